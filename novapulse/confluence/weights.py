"""Weights: the base shares, their adaptive half-tilt, and what the regime makes of them.

Invariants:
- weights are never negative and sum to 1, whatever was earned;
- a strategy without an opinion sleeps: it loses and gains nothing, and its mass is kept to the bit;
- the tilt sees each strategy's own forecasts and what followed, never an account.

The learner is Hedge with a fixed share (Freund and Schapire; Herbster and Warmuth), one step per UTC day. A step is a
day, not a bar, so that its pace does not depend on the timeframe. The share flows back to the base weights: without
evidence they are what remains.
"""

import math

import numpy as np

from novapulse.compiled import kernel
from novapulse.confluence.settings import ConfluenceSettings
from novapulse.core.bars import Flags, Floats
from novapulse.signals.regimes import HIGH, LOW, RANGE, TREND

PAYOFF_SCALE = 100.0
PAYOFF_MAX = 0.5


@kernel
def loss_of(payoff: float) -> float:
    """Return the loss, 0..1, of a forecast that earned `payoff` standard deviations times its size."""
    return 0.5 - min(max(payoff / PAYOFF_SCALE, -PAYOFF_MAX), PAYOFF_MAX)


@kernel
def hedge(mass: Floats, base: Floats, losses: Floats, awake: Flags, eta: float, share: float) -> None:
    """Move mass, in place, from the awake strategies that lost to those that did not.

    Args:
        mass: float64[S], >= 0, sum 1.
        base: float64[S], the base weights, to which `share` flows back.
        losses: float64[S], 0..1.
        awake: bool[S], who spoke.
        eta: Speed, > 0.
        share: 0..1.
    """
    before, after, base_awake = 0.0, 0.0, 0.0
    for s in range(mass.size):
        if awake[s]:
            before += mass[s]
            base_awake += base[s]
            after += mass[s] * math.exp(-eta * losses[s])
    if not (after > 0.0 and base_awake > 0.0):
        return
    for s in range(mass.size):
        if awake[s]:
            moved = mass[s] * math.exp(-eta * losses[s]) * before / after
            mass[s] = (1.0 - share) * moved + share * before * base[s] / base_awake


@kernel
def tilt(base: Floats, mass: Floats, fraction: float, weights: Floats) -> None:
    """Fill the weights: `1 - fraction` of the base and `fraction` of what was learned."""
    total = 0.0
    for s in range(base.size):
        weights[s] = (1.0 - fraction) * base[s] + fraction * mass[s]
        total += weights[s]
    for s in range(base.size):
        weights[s] /= total


def multiplier_table(settings: ConfluenceSettings, names: tuple[str, ...]) -> Floats:
    """Return float64[6, S], the regime multiplier of each strategy, rows in the order of `regimes.LABELS`."""
    states = [(trending, volatility) for trending in (RANGE, TREND) for volatility in range(LOW, HIGH + 1)]
    return np.array([[settings.multiplier_of(name, *state) for name in names] for state in states])
