"""Bringing forecasts to one scale: scalars, the cap, and what diversification is worth.

A scaled forecast of 10 is an average opinion of its strategy, 20 the strongest that counts. The average is taken over
the bars on which the strategy speaks: silence is no opinion, not a weak one, and must not make rare words louder.
"""

import math

from novapulse.compiled import kernel
from novapulse.core.bars import Floats
from novapulse.strategies.votes import FORECAST_MAX

AVERAGE_FORECAST = 10.0


@kernel(inline=True)
def scaled(vote: float, scalar: float) -> float:
    """Return a vote on the common scale, -20..20."""
    return min(max(vote * scalar, -FORECAST_MAX), FORECAST_MAX)


@kernel
def forecast_scalar(votes: float, strength: float, constant: float, prior_votes: float) -> float:
    """Return the factor that makes a strategy's average vote 10.

    Args:
        votes: Votes seen, >= 0; fractions after forgetting.
        strength: Their sum of absolute values, >= 0.
        constant: Scalar assumed before any vote, > 0.
        prior_votes: Votes that this assumption is worth, > 0.
    """
    return AVERAGE_FORECAST * (prior_votes + votes) / (prior_votes * AVERAGE_FORECAST / constant + strength)


@kernel
def correlation(products: Floats, a: int, b: int) -> float:
    """Return how alike two forecasts are, 0..1: uncentred, as a forecast's neutral level is 0; opposites count as 0.

    Args:
        products: float64[S, S], sums of products of forecasts.
        a: One strategy.
        b: Another; a strategy is always like itself.
    """
    if a == b:
        return 1.0
    square = products[a, a] * products[b, b]
    return min(max(products[a, b] / math.sqrt(square), 0.0), 1.0) if square > 0.0 else 0.0


@kernel
def diversification_multiplier(weights: Floats, products: Floats, maximum: float) -> float:
    """Return what the weighted sum is multiplied with, because forecasts that differ average out: 1/sqrt(w H w').

    Args:
        weights: float64[S], >= 0, sum 1.
        products: float64[S, S], sums of products of forecasts; their correlations make H, negative ones floored at 0.
        maximum: Upper bound, >= 1.
    """
    variance = 0.0
    for a in range(weights.size):
        for b in range(weights.size):
            variance += weights[a] * weights[b] * correlation(products, a, b)
    return min(maximum, 1.0 / math.sqrt(variance)) if variance > 0.0 else maximum
