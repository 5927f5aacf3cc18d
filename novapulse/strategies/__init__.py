"""The built-in strategies by name. Each is one file; a user's own come from a folder (`loader`).

A family is a way to be right: strategies of one family are right together, so default weights are shared out by family.
"""

from types import MappingProxyType

from novapulse.strategies import (
    breakout,
    keltner,
    mean_reversion,
    momentum,
    reversal,
    rsi_mean_reversion,
    trend,
    vwap_momentum_alpha,
)
from novapulse.strategies.votes import ACTIONABLE_STRENGTH, Strategy, StrategyError, Votes, evaluate, evaluate_all

__all__ = [
    "ACTIONABLE_STRENGTH",
    "FAMILIES",
    "STRATEGIES",
    "Strategy",
    "StrategyError",
    "Votes",
    "evaluate",
    "evaluate_all",
]

STRATEGIES: dict[str, Strategy] = {
    "keltner": keltner,
    "trend": trend,
    "mean_reversion": mean_reversion,
    "momentum": momentum,
    "vwap_momentum_alpha": vwap_momentum_alpha,
    "rsi_mean_reversion": rsi_mean_reversion,
    "breakout": breakout,
    "reversal": reversal,
}

FAMILIES = MappingProxyType(
    {
        "keltner": "reversion",
        "trend": "trend",
        "mean_reversion": "reversion",
        "momentum": "trend",
        "vwap_momentum_alpha": "flow",
        "rsi_mean_reversion": "reversion",
        "breakout": "breakout",
        "reversal": "reversion",
    }
)
