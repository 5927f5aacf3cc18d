"""The rules of risk as a person writes them: frozen, typed, an unknown key fails."""

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

FROZEN = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

WAIT_S_MAX = 315_360_000
"""Ten years: a moment that lies farther ahead cannot be told in nanoseconds for long."""

COUNT_MAX = 1_000_000


class SizingSettings(BaseModel):
    """How large a position may be."""

    model_config = FROZEN

    risk_fraction: float = Field(
        0.005, gt=0, le=0.1, description="Share of equity lost at the stop, at an average forecast."
    )
    position_notional_max: float = Field(200.0, ge=0, description="Largest position in quote; 0 for no cap.")
    position_fraction_max: float = Field(
        0.2, ge=0, le=10, description="Largest position as a share of equity; 0 for no cap."
    )
    cash_fraction_max: float = Field(1.0, gt=0, le=1, description="Share of the free cash one entry may use.")
    fixed_qty: float = Field(
        0.0, ge=0, description="Quantity in base units instead of sizing by risk; 0 for off. Caps still bind."
    )
    volatility_target: float | None = Field(
        0.5, gt=0, le=5, description="Annual volatility a position aims at; null for off."
    )
    volatility_weight_max: float = Field(
        1.0, gt=0, le=10, description="Largest share of equity by the volatility target."
    )
    kelly_trades_min: int = Field(100, ge=0, description="Round trips before the Kelly cap may speak; 0 for off.")
    kelly_floor_fraction: float = Field(
        0.0005,
        ge=0,
        le=0.1,
        description="Share of equity still risked when the trades show no edge; 0 stops trading then.",
    )


class LimitSettings(BaseModel):
    """What forbids an entry."""

    model_config = FROZEN

    daily_loss_max_fraction: float = Field(
        0.05, ge=0, lt=1, description="No entries for the day beyond this loss; 0 for off."
    )
    drawdown_max_fraction: float = Field(
        0.2, ge=0, lt=1, description="Size falls to zero towards this drawdown; 0 for off."
    )
    gross_exposure_max_fraction: float = Field(
        0.5, ge=0, le=20, description="All positions and open entries, share of equity; 0 for off."
    )
    group_exposure_max_fraction: float = Field(
        0.4, ge=0, le=20, description="The same within one correlated group; 0 for off."
    )
    positions_max: int = Field(8, ge=0, le=COUNT_MAX, description="Open positions and entries at work; 0 for no limit.")
    ruin_trades_min: int = Field(
        50, ge=0, le=COUNT_MAX, description="Round trips before the risk of ruin is judged; 0 for off."
    )
    ruin_probability_max: float = Field(0.05, gt=0, le=1)
    ruin_horizon_trades: int = Field(250, gt=0, le=COUNT_MAX)
    instrument_cooldown_s: float = Field(60.0, ge=0, le=WAIT_S_MAX, description="After a round trip, per instrument.")
    strategy_cooldown_s: float = Field(
        600.0, ge=0, le=WAIT_S_MAX, description="After an entry, per strategy that led it."
    )
    loss_cooldown_s: float = Field(
        1800.0, ge=0, le=WAIT_S_MAX, description="After a losing round trip, for the whole account."
    )
    loss_streak_max: int = Field(
        5, ge=0, le=COUNT_MAX, description="Losses in a row before the account pauses; 0 for off."
    )
    loss_streak_pause_s: float = Field(14_400.0, ge=0, le=WAIT_S_MAX)


class StopSettings(BaseModel):
    """Where a position is protected and where it takes profit."""

    model_config = FROZEN

    stop_atr: float = Field(2.0, gt=0, le=20, description="Stop distance in average true ranges, frozen at entry.")
    target_atr: float = Field(3.0, ge=0, le=100, description="Target distance in average true ranges; 0 for none.")
    target_cost_multiple_min: float = Field(
        2.5, ge=0, description="A target is at least this many round-trip costs away."
    )
    target_stretch_max: float = Field(
        2.0,
        ge=1,
        description="Costs may push a target this many times farther than the range would; beyond it: no trade.",
    )
    breakeven_r: float = Field(
        1.0, ge=0, description="Gain in R after which the stop moves to entry plus costs; 0 for off."
    )
    trail_r: float = Field(2.0, ge=0, description="Distance of the trailing stop in R; 0 for off.")
    trail_start_r: float = Field(2.0, ge=0, description="Gain in R from which the stop trails.")
    time_stop_bars: int = Field(0, ge=0, description="Bars after which a position is closed; 0 for off.")

    @model_validator(mode="after")
    def _target_beyond_costs(self) -> Self:
        if self.trail_r > 0 and self.trail_start_r < self.breakeven_r:
            raise ValueError(
                f"trail_start_r ({self.trail_start_r:g}) is before breakeven_r ({self.breakeven_r:g}): "
                "a stop would trail before it breaks even"
            )
        return self


class GateSettings(BaseModel):
    """Whether a model's opinion is needed for an entry."""

    model_config = FROZEN

    required: bool = Field(False, description="An abstaining gate blocks entries.")
    probability_min: float = Field(0.0, ge=0, le=1, description="Smallest chance of winning for an entry; 0 for off.")


class RiskSettings(BaseModel):
    """Everything `decide` is told about risk."""

    model_config = FROZEN

    entry_forecast_min: float = Field(5.0, gt=0, le=20, description="Smallest |consensus| that opens a position.")
    exit_forecast_min: float = Field(2.0, gt=0, le=20, description="Consensus against the position that closes it.")
    sizing: SizingSettings = SizingSettings()
    limits: LimitSettings = LimitSettings()
    stops: StopSettings = StopSettings()
    gate: GateSettings = GateSettings()

    @model_validator(mode="after")
    def _limits_agree(self) -> Self:
        limits, sizing = self.limits, self.sizing
        if 0 < limits.gross_exposure_max_fraction < limits.group_exposure_max_fraction:
            raise ValueError(
                f"limits.group_exposure_max_fraction ({limits.group_exposure_max_fraction:g}) is above "
                f"limits.gross_exposure_max_fraction ({limits.gross_exposure_max_fraction:g}): it could never bind"
            )
        if sizing.kelly_floor_fraction > sizing.risk_fraction:
            raise ValueError(
                f"sizing.kelly_floor_fraction ({sizing.kelly_floor_fraction:g}) is above "
                f"sizing.risk_fraction ({sizing.risk_fraction:g}): the Kelly cap could never bind"
            )
        return self
