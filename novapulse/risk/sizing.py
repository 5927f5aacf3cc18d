"""How large a position may be before the limits: fixed-fractional risk, volatility target, drawdown, Kelly as a cap.

Every function returns a share or a quantity that is never negative; an unknown input never makes a size larger.
"""

import math

from novapulse.compiled import kernel
from novapulse.core.records import Record

FORECAST_AVERAGE = 10.0
"""The strength that an average opinion has after scaling; a position has its plain size there."""

FORECAST_SCALE_MAX = 2.0

KELLY_T_STRONG = 1.0
"""t-statistic of the mean R above which half of Kelly is allowed, below it a quarter."""


@kernel(inline=True, allocates=False)
def drawdown(account: Record) -> float:
    """Return 1 - equity / peak of the last 180 days, 0..1."""
    if account.equity_peak <= 0.0:
        return 0.0
    return min(max(1.0 - account.equity / account.equity_peak, 0.0), 1.0)


@kernel(inline=True, allocates=False)
def drawdown_scale(depth: float, depth_max: float) -> float:
    """Return the surplus scale `(Dmax - D) / (Dmax (1 - D))`: 1 at the peak, 0 at the limit.

    Args:
        depth: Drawdown D, 0..1.
        depth_max: Limit Dmax, 0..1; 0 turns the scale off.

    Returns:
        Share of the plain size, 0..1 (Grossman and Zhou 1993).
    """
    if depth_max <= 0.0:
        return 1.0
    if depth >= depth_max:
        return 0.0
    return min((depth_max - depth) / (depth_max * (1.0 - depth)), 1.0)


@kernel(inline=True, allocates=False)
def forecast_scale(consensus: float) -> float:
    """Return how much of the plain size an opinion deserves: |F| / 10, at most 2."""
    return min(abs(consensus) / FORECAST_AVERAGE, FORECAST_SCALE_MAX)


@kernel(inline=True, allocates=False)
def kelly_cap(account: Record, rules: Record) -> float:
    """Return the largest share of equity to risk that the account's own round trips justify.

    The continuous Kelly fraction is mean(R) / var(R) per unit of R risked; half of it is allowed when the mean is at
    least one standard error above zero, else a quarter. A mean that is not positive leaves `kelly_floor_fraction`,
    so that the measurement can go on; a floor of 0 ends it.

    Returns:
        Share of equity, >= 0; infinity while the cap is off or there are too few trades.
    """
    n = account.evidence
    if rules.kelly_trades_min <= 0 or n < rules.kelly_trades_min:
        return math.inf
    mean = account.r_sum / n
    variance = max(account.r_squares / n - mean * mean, 1e-12)
    if mean <= 0.0:
        return float(rules.kelly_floor_fraction)
    t = mean / math.sqrt(variance / n)
    share = 0.5 if t >= KELLY_T_STRONG else 0.25
    return max(share * mean / variance, float(rules.kelly_floor_fraction))


@kernel(inline=True, allocates=False)
def normal_cdf(x: float) -> float:
    """Return the standard normal distribution function."""
    return 0.5 * math.erfc(-x / math.sqrt(2.0))


@kernel(inline=True, allocates=False)
def risk_of_ruin(mean: float, deviation: float, room: float, horizon: float) -> float:
    """Return the probability that a drifting random walk falls by `room` within `horizon` steps.

    `Phi((-L - mT) / (s sqrt T)) + exp(-2 m L / s^2) Phi((-L + mT) / (s sqrt T))`, the first-passage law of Brownian
    motion with drift.

    Args:
        mean: Drift m per step.
        deviation: Standard deviation s per step, >= 0.
        room: Distance L to ruin, in the unit of the mean.
        horizon: Steps T, > 0.

    Returns:
        Probability, 0..1.
    """
    if room <= 0.0:
        return 1.0
    if deviation <= 0.0:
        return 1.0 if -mean * horizon >= room else 0.0
    scale = deviation * math.sqrt(horizon)
    direct = normal_cdf((-room - mean * horizon) / scale)
    exponent = -2.0 * mean * room / (deviation * deviation)
    tail = normal_cdf((-room + mean * horizon) / scale)
    reflected = math.exp(min(exponent, 700.0)) * tail if tail > 0.0 else 0.0
    return min(max(direct + reflected, 0.0), 1.0)


@kernel(inline=True, allocates=False)
def ruin_probability(account: Record, rules: Record) -> float:
    """Return the chance of losing what is left to the drawdown limit within the horizon, if trades go on as they went.

    Mean and spread of R, and the size of R in quote, are those of the account's own closed round trips, old ones
    counting less: evidence fades, so that a refusal is never for ever.
    """
    n = account.evidence
    if n <= 0.0 or account.risk_sum <= 0.0:
        return 0.0
    mean = account.r_sum / n
    variance = max(account.r_squares / n - mean * mean, 0.0)
    depth_max = rules.drawdown_max if rules.drawdown_max > 0.0 else 1.0
    left = account.equity - (1.0 - depth_max) * account.equity_peak
    room = left / (account.risk_sum / n)
    return risk_of_ruin(mean, math.sqrt(variance), room, rules.ruin_horizon_trades)


@kernel(inline=True, allocates=False)
def risk_qty(account: Record, distance: float, share: float) -> float:
    """Return the quantity that loses `share` of the equity at a stop `distance` away."""
    return max(account.equity, 0.0) * share / distance


@kernel(inline=True, allocates=False)
def volatility_qty(account: Record, price: float, volatility: float, rules: Record) -> float:
    """Return the quantity that gives the position the target volatility; infinity while the target is off.

    An unknown volatility gives 0: a target that cannot be computed allows nothing.
    """
    if rules.volatility_target <= 0.0:
        return math.inf
    if not volatility > 0.0:
        return 0.0
    weight = min(rules.volatility_weight_max, rules.volatility_target / volatility)
    return weight * max(account.equity, 0.0) / price
