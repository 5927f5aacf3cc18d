"""How orders are placed and what the fill model assumes, as a person writes it."""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

OrderChoice = Literal["market", "limit"]


class ExecutionSettings(BaseModel):
    """Order kinds, tactics and the assumptions of the fill model."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    entry_order: OrderChoice = Field("limit", description="How entries are placed.")
    exit_order: OrderChoice = Field("market", description="How decided exits are placed; stops are always marketable.")
    target_order: OrderChoice = Field(
        "limit", description="Take-profit rests as a limit, or crosses when it is touched."
    )
    limit_offset_bps: float = Field(0.0, ge=0, lt=1000, description="Passive distance of a limit from the last close.")
    time_to_live_bars: int = Field(1, ge=1, description="Bars a limit rests before it is chased.")
    chases_max: int = Field(2, ge=0, description="How often a limit follows the price before it crosses or gives up.")
    exit_deadline_bars: int = Field(
        3, ge=1, description="Bars after which a resting exit crosses the spread, chased to the end or not."
    )
    exit_cross_bars: int = Field(
        0, ge=0, description="Bars it then rests across the spread before it is a market order; 0 for not at all."
    )
    fallback_market: bool = Field(True, description="Cross the spread after the last chase if the edge still pays.")
    fallback_edge_capture: float = Field(
        0.5, ge=0, le=1, description="Share of the way to the target one expects to earn."
    )
    latency_ms: float = Field(200.0, ge=0, description="From the decision to the venue.")
    half_spread_bps: float = Field(1.0, ge=0, lt=1000, description="Half the quoted spread that a taker pays.")
    slippage_bps: float = Field(2.0, ge=0, lt=1000, description="What a taker loses beyond the spread.")
    participation_max_fraction: float = Field(
        0.1, ge=0, le=1, description="Share of a bar's volume one order may fill; 0 for no cap."
    )
    touch_probability: float = Field(0.25, ge=0, le=1, description="Chance that a touched limit fills (base band).")
    maker_fee_bps: float | None = Field(
        None, ge=-100, lt=1000, description="Fee of an order that added liquidity; null for the instrument's own."
    )
    taker_fee_bps: float | None = Field(
        None, ge=-100, lt=1000, description="Fee of an order that removed liquidity; null for the instrument's own."
    )
    seed: int = Field(7, ge=0, lt=2**31)

    @model_validator(mode="after")
    def _fees_come_in_pairs(self) -> Self:
        if (self.maker_fee_bps is None) != (self.taker_fee_bps is None):
            given, missing = (
                ("taker_fee_bps", "maker_fee_bps") if self.maker_fee_bps is None else ("maker_fee_bps", "taker_fee_bps")
            )
            raise ValueError(f"{given} is set and {missing} is not: set both, or neither for the instrument's own fees")
        return self

    @model_validator(mode="after")
    def _fallback_can_happen(self) -> Self:
        if self.fallback_market and self.entry_order == "limit" and self.fallback_edge_capture == 0:
            raise ValueError(
                "fallback_market is on but fallback_edge_capture is 0: it could never pay; turn one of them off"
            )
        return self
