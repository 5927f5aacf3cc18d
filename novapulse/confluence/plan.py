"""What is weighed, resolved once: the strategies that are switched on, their parameters, shares and warm-up."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import ValidationError

from novapulse.confluence.settings import ConfluenceError, ConfluenceSettings
from novapulse.confluence.weights import multiplier_table
from novapulse.core.bars import Floats
from novapulse.core.records import STRATEGIES_MAX
from novapulse.signals import regimes
from novapulse.strategies.votes import ATR_BARS, WILDER_WARMUP, Strategy, warmup_of


@dataclass(frozen=True)
class Plan:
    """Settings resolved against the strategies there are.

    Attributes:
        settings: What was asked for.
        strategies: Name -> strategy and its parameters, sorted by name; `lead` counts in it.
        warmup_bars: Bars of each timeframe, without a gap, before anything is said on it.
        shares: float64[S], base weights, sum 1.
        timeframe_shares: float64[T], sum 1.
        scalars: float64[S], constant forecast scalars.
        multipliers: float64[6, S], regime multipliers, rows in the order of `regimes.LABELS`.
    """

    settings: ConfluenceSettings
    strategies: dict[str, tuple[Strategy, Any]]
    warmup_bars: int
    shares: Floats
    timeframe_shares: Floats
    scalars: Floats
    multipliers: Floats

    @property
    def names(self) -> tuple[str, ...]:
        """Return the strategies' names in the order in which arrays hold them."""
        return tuple(self.strategies)

    @property
    def multiples(self) -> tuple[int, ...]:
        """Return the timeframes in base bars, ascending."""
        return self.settings.timeframe_multiples

    @property
    def warmup_base_bars(self) -> int:
        """Return the base bars without a gap that a window needs before its first bar of interest.

        Wherever the window begins and ends, it may cut a slower bar at either end.
        """
        return (self.warmup_bars + 3) * self.multiples[-1]


def prepare(settings: ConfluenceSettings, strategies: Mapping[str, Strategy]) -> Plan:
    """Resolve settings against the strategies there are.

    Args:
        settings: Weights, parameters and the rest.
        strategies: Name -> strategy: the shipped ones and one's own.

    Raises:
        ConfluenceError: A key names a strategy or a parameter that does not exist, or a parameter is out of range.
        StrategyError: A strategy does not say how many bars it needs.
    """
    for key in ("weights", "parameters", "families", "forecast_scalars"):
        for name in getattr(settings, key):
            shipped_constant = key == "forecast_scalars" and name not in settings.weights
            if name not in strategies and not shipped_constant:
                raise ConfluenceError(f"{key}.{name}: no such strategy; there are {', '.join(sorted(strategies))}")
    shares = settings.shares
    if len(shares) > STRATEGIES_MAX:
        raise ConfluenceError(f"weights name {len(shares)} strategies, at most {STRATEGIES_MAX} can be weighed")
    chosen = {name: (strategies[name], _params(name, strategies[name], settings)) for name in shares}
    warmups = [warmup_of(name, strategy, params) for name, (strategy, params) in chosen.items()]
    return Plan(
        settings,
        chosen,
        max(*warmups, regimes.warmup_bars(), WILDER_WARMUP * ATR_BARS),
        np.array(list(shares.values())),
        np.array(settings.timeframe_shares),
        np.array([settings.scalar_of(name) for name in shares]),
        multiplier_table(settings, tuple(shares)),
    )


def _params(name: str, strategy: Strategy, settings: ConfluenceSettings) -> Any:
    given = settings.parameters.get(name, {})
    try:
        return strategy.Params(**given)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(("parameters", name, *(str(part) for part in first["loc"])))
        raise ConfluenceError(f"{key}: {first['msg'].lower()}, got {first['input']!r}") from error
    except TypeError as error:
        raise ConfluenceError(f"parameters.{name}: {error}") from error
