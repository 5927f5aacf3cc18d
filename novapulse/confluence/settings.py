"""The settings of the consensus: frozen, typed, an unknown key fails.

Weights are shares: they are scaled so that they sum to 1, and a strategy of weight 0 is switched off.
"""

from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from novapulse.strategies import FAMILIES

FROZEN = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
FAMILY_OF_STRANGERS = "other"

_SHIPPED_WEIGHTS = {
    "keltner": 0.30,
    "trend": 0.12,
    "momentum": 0.12,
    "breakout": 0.12,
    "vwap_momentum_alpha": 0.12,
    "mean_reversion": 0.08,
    "rsi_mean_reversion": 0.07,
    "reversal": 0.07,
}
_SHIPPED_SCALARS = {
    "keltner": 1.5,
    "trend": 1.3,
    "momentum": 1.45,
    "breakout": 1.35,
    "vwap_momentum_alpha": 1.55,
    "mean_reversion": 1.35,
    "rsi_mean_reversion": 1.35,
    "reversal": 1.35,
}


class ConfluenceError(ValueError):
    """Settings, strategies or calibrations that do not belong together: the message names the key."""


class RegimeMultipliers(BaseModel):
    """How much a family of strategies counts in each state of the market; the two that hold are multiplied."""

    model_config = FROZEN

    trend: float = Field(1.0, gt=0, le=5)
    range: float = Field(1.0, gt=0, le=5)
    low: float = Field(1.0, gt=0, le=5, description="Low volatility.")
    normal: float = Field(1.0, gt=0, le=5)
    high: float = Field(1.0, gt=0, le=5, description="High volatility.")

    def of(self, trending: int, volatility: int) -> float:
        """Return the multiplier of a state, given as `regimes.RANGE`/`TREND` and `regimes.LOW`/`NORMAL`/`HIGH`."""
        return (self.range, self.trend)[trending] * (self.low, self.normal, self.high)[volatility + 1]


class TiltSettings(BaseModel):
    """How far weights may follow what each strategy's own forecasts earned."""

    model_config = FROZEN

    fraction: float = Field(0.5, ge=0, le=0.5, description="Share of the weight that is learned; 0 for off.")
    eta: float = Field(0.6, gt=0, le=5, description="Speed of learning, per UTC day.")
    share: float = Field(0.001, ge=0, le=0.1, description="Share that flows back to the base weights, per UTC day.")


class CalibrationSettings(BaseModel):
    """How slowly the estimates move, and what is used before there is enough history."""

    model_config = FROZEN

    half_life_days: float = Field(180.0, ge=5, le=5000, description="Age at which a day counts half.")
    days_min: int = Field(10, ge=1, le=1000, description="Days before an estimate replaces its constant.")
    prior_votes: float = Field(500.0, gt=0, description="Votes that the constant forecast scalar is worth.")
    diversification_default: float = Field(1.8, ge=1, le=10)
    diversification_max: float = Field(2.5, ge=1, le=10)


class SureFireSettings(BaseModel):
    """What earns the label "sure-fire"."""

    model_config = FROZEN

    actionable_strength: float = Field(0.1, gt=0, le=1, description="Share of a full forecast that counts.")
    strategies_min: int = Field(3, ge=1, le=32)
    confidence_min: float = Field(0.8, ge=0, le=1)


def _shipped_multipliers() -> dict[str, RegimeMultipliers]:
    return {
        "trend": RegimeMultipliers(trend=1.5, range=0.6, low=1.0, high=0.8),
        "breakout": RegimeMultipliers(trend=1.2, range=0.8, low=1.2, high=0.8),
        "reversion": RegimeMultipliers(trend=0.6, range=1.4, low=0.9, high=1.0),
        "flow": RegimeMultipliers(trend=1.1, range=0.9, low=1.0, high=0.9),
        FAMILY_OF_STRANGERS: RegimeMultipliers(),
    }


class ConfluenceSettings(BaseModel):
    """What is weighed, how much each vote counts, and when agreement is called sure-fire."""

    model_config = FROZEN

    weights: dict[str, float] = Field(default_factory=lambda: dict(_SHIPPED_WEIGHTS), description="Share per strategy.")
    families: dict[str, str] = Field(default_factory=dict, description="Family of strategies of one's own.")
    parameters: dict[str, dict[str, Any]] = Field(default_factory=dict, description="Parameters per strategy.")
    timeframe_multiples: tuple[int, ...] = Field((1, 5, 15), description="Bars per vote, in base bars, ascending.")
    timeframe_weights: tuple[float, ...] = Field((0.2, 0.3, 0.5), description="Share per timeframe.")
    agreement_multipliers: tuple[float, ...] = Field(
        (0.6, 0.85, 1.0), description="Factor on the consensus where one, two, ... timeframes agree with it."
    )
    stop_timeframe_multiple: int | None = Field(
        None, description="Timeframe of the average true range that stops are made of; null for the slowest."
    )
    regime_timeframe_multiple: int | None = Field(
        None, description="Timeframe whose regime chooses the multipliers; null for the slowest."
    )
    regime_multipliers: dict[str, RegimeMultipliers] = Field(
        default_factory=_shipped_multipliers, description="Per family; one that is not named stays as shipped."
    )
    forecast_scalars: dict[str, float] = Field(
        default_factory=lambda: dict(_SHIPPED_SCALARS),
        description="Until there is history; one that is not named stays as shipped, 1 for strategies of one's own.",
    )
    book_weight: float = Field(0.1, ge=0, le=1, description="Share of the order book's vote beside all strategies' 1.")
    tilt: TiltSettings = TiltSettings()
    calibration: CalibrationSettings = CalibrationSettings()
    sure_fire: SureFireSettings = SureFireSettings()

    @model_validator(mode="after")
    def _weights_are_shares(self) -> Self:
        for key in ("weights", "forecast_scalars"):
            for name, value in getattr(self, key).items():
                if value < 0 or (key == "forecast_scalars" and value == 0):
                    raise ValueError(f"{key}.{name} is {value}, expected a number above zero")
        if sum(self.weights.values()) <= 0:
            raise ValueError("weights are all zero, expected at least one strategy with a weight above zero")
        for name, family in self.families.items():
            if family not in self._multipliers:
                known = ", ".join(sorted(self._multipliers))
                raise ValueError(f"families.{name} is {family!r}, expected a family of regime_multipliers: {known}")
        return self

    @model_validator(mode="after")
    def _timeframes_fit(self) -> Self:
        multiples = self.timeframe_multiples
        if not multiples or multiples[0] < 1 or list(multiples) != sorted(set(multiples)):
            raise ValueError(f"timeframe_multiples are {list(multiples)}, expected ascending numbers from 1")
        for key in ("timeframe_weights", "agreement_multipliers"):
            values = getattr(self, key)
            if len(values) != len(multiples):
                raise ValueError(f"{key} has {len(values)} numbers, timeframe_multiples {len(multiples)}")
            if min(values) < 0 or sum(values) <= 0:
                raise ValueError(f"{key} is {list(values)}, expected numbers from 0, not all of them 0")
        for key in ("stop_timeframe_multiple", "regime_timeframe_multiple"):
            if getattr(self, key) not in (None, *multiples):
                raise ValueError(f"{key} is {getattr(self, key)}, expected one of {list(multiples)}")
        return self

    @property
    def _multipliers(self) -> dict[str, RegimeMultipliers]:
        return {**_shipped_multipliers(), **self.regime_multipliers}

    @property
    def stop_multiple(self) -> int:
        """Return the timeframe of the average true range, base bars."""
        return self.stop_timeframe_multiple or self.timeframe_multiples[-1]

    @property
    def regime_multiple(self) -> int:
        """Return the timeframe of the regime, base bars."""
        return self.regime_timeframe_multiple or self.timeframe_multiples[-1]

    @property
    def shares(self) -> dict[str, float]:
        """Return the weights of the strategies that are switched on, scaled to sum 1, sorted by name.

        Opinions are summed up in this order: the one in which the keys were written down moves no bit.
        """
        by_name = sorted(self.weights.items())
        total = sum(weight for _, weight in by_name)
        return {name: weight / total for name, weight in by_name if weight > 0}

    @property
    def timeframe_shares(self) -> tuple[float, ...]:
        """Return the timeframes' weights, scaled to sum 1."""
        total = sum(self.timeframe_weights)
        return tuple(weight / total for weight in self.timeframe_weights)

    def family_of(self, name: str) -> str:
        """Return a strategy's family: as set, as shipped, else `other`."""
        return self.families.get(name) or FAMILIES.get(name, FAMILY_OF_STRANGERS)

    def multiplier_of(self, name: str, trending: int, volatility: int) -> float:
        """Return how much a strategy counts in a state of the market."""
        return self._multipliers[self.family_of(name)].of(trending, volatility)

    def scalar_of(self, name: str) -> float:
        """Return the constant forecast scalar of a strategy."""
        return self.forecast_scalars.get(name, _SHIPPED_SCALARS.get(name, 1.0))
