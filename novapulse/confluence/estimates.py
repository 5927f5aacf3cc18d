"""The estimators of a calibration: what they remember, and how one UTC day moves them.

Invariants:
- memory changes only here, in place, one day after the other; what is said of a day is said before that day is learned;
- sums forget by a factor per day; histograms are sums too, so a percentile costs no list of values.
"""

import math
from typing import NamedTuple

import numpy as np

from novapulse.compiled import kernel
from novapulse.confluence.samples import Samples
from novapulse.confluence.scale import diversification_multiplier, forecast_scalar, scaled
from novapulse.confluence.weights import hedge, loss_of, tilt
from novapulse.core.bars import DAY_NS, Flags, Floats

LEVELS = 240
EFFICIENCIES = 50
_LEVEL_WIDTH = 0.05
_LEVEL_LOWEST = math.log(1e-3)

_YEAR_NS = 365.25 * DAY_NS
_KEEP_FAST = 1.0 - 2.0 / (32.0 + 1.0)
_KEEP_SLOW = 1.0 - 2.0 / (365.0 + 1.0)
_SHARE_FAST = 0.7
_FLOOR = 0.05

THRESHOLD_QUANTILES = (0.20, 0.25, 0.75, 0.80, 0.60)


class Memory(NamedTuple):
    """What the estimators remember of P instruments, T timeframes and S strategies.

    Attributes:
        days: float64[P], days with a price change to measure.
        origin: float64[P, 2], number and close of the first bar; NaN before it.
        seen: float64[P, T], days with warm bars.
        levels: float64[P, T, LEVELS], histogram of the regimes' volatility.
        efficiencies: float64[P, T, EFFICIENCIES], histogram of the efficiency ratio.
        variance: float64[P, 4], squared returns and bar steps, forgotten fast; the same, forgotten slowly.
        daily_levels: float64[P, LEVELS], histogram of each day's volatility.
        voices: float64[1], days on which any strategy spoke.
        votes: float64[T, S], votes that are not 0.
        strengths: float64[T, S], sums of their absolute values.
        products: float64[S, S], sums of products of scaled forecasts.
        learned: float64[S], mass of the learner, sum 1.
        last: float64[P, S], scaled forecasts at the slowest timeframe's last close.
    """

    days: Floats
    origin: Floats
    seen: Floats
    levels: Floats
    efficiencies: Floats
    variance: Floats
    daily_levels: Floats
    voices: Floats
    votes: Floats
    strengths: Floats
    products: Floats
    learned: Floats
    last: Floats


class Pace(NamedTuple):
    """How fast estimates move, and the constants before there is history."""

    keep: float
    days_min: int
    thresholds: Floats
    prior_votes: float
    scalars: Floats
    diversification: float
    diversification_max: float
    shares: Floats
    timeframe_shares: Floats
    tilt_fraction: float
    eta: float
    share: float


class Markets(NamedTuple):
    """What is said of instruments, a row per day: thresholds float64[R, P, T, 5], annual volatility float64[R, P]."""

    thresholds: Floats
    volatility: Floats


class Forecasts(NamedTuple):
    """What is said of strategies, a row per day.

    Attributes:
        scalars: float64[R, T, S].
        weights: float64[R, S], tilted, sum 1.
        learned: float64[R, S], what the tilt leans towards, sum 1.
        diversification: float64[R].
        days: float64[R], days on which any strategy spoke.
    """

    scalars: Floats
    weights: Floats
    learned: Floats
    diversification: Floats
    days: Floats


@kernel
def learn_markets(memory: Memory, samples: Samples, pace: Pace, said: Markets) -> None:
    """Learn volatility and efficiency; row 0 of `said` is from before the first day, row d + 1 from after day d."""
    instruments = memory.days.size
    for p in range(instruments):
        _say_market(memory, pace, p, said, 0)
    for day in range(samples.squares.shape[0]):
        for p in range(instruments):
            if samples.last[day, p, 1] > 0:
                _learn_variance(memory, samples, day, p)
            first, stop = samples.edges[day * instruments + p], samples.edges[day * instruments + p + 1]
            if stop > first:
                _learn_levels(memory, samples, pace.keep, p, first, stop)
            _say_market(memory, pace, p, said, day + 1)


@kernel
def _learn_variance(memory: Memory, samples: Samples, day: int, p: int) -> None:
    number, stamp = float(samples.last[day, p, 0]), float(samples.last[day, p, 1])
    if math.isnan(memory.origin[p, 0]):
        memory.origin[p, 0], memory.origin[p, 1] = float(samples.first[p, 0]), float(samples.first[p, 1])
    squares, steps = samples.squares[day, p], samples.steps[day, p]
    if not (steps > 0.0 and stamp > memory.origin[p, 1]):
        return
    steps_per_year = (number - memory.origin[p, 0]) / (stamp - memory.origin[p, 1]) * _YEAR_NS
    memory.days[p] += 1.0
    memory.variance[p, 0] = _KEEP_FAST * memory.variance[p, 0] + squares * steps_per_year
    memory.variance[p, 1] = _KEEP_FAST * memory.variance[p, 1] + steps
    memory.variance[p, 2] = _KEEP_SLOW * memory.variance[p, 2] + squares * steps_per_year
    memory.variance[p, 3] = _KEEP_SLOW * memory.variance[p, 3] + steps
    for b in range(LEVELS):
        memory.daily_levels[p, b] *= _KEEP_SLOW
    memory.daily_levels[p, _level_bin(math.sqrt(squares / steps * steps_per_year))] += 1.0


@kernel
def _learn_levels(memory: Memory, samples: Samples, keep: float, p: int, first: int, stop: int) -> None:
    for t in range(memory.levels.shape[1]):
        known = 0
        for b in range(LEVELS):
            memory.levels[p, t, b] *= keep
        for b in range(EFFICIENCIES):
            memory.efficiencies[p, t, b] *= keep
        for j in range(first, stop):
            level, efficiency = samples.volatility[j, t], samples.efficiency[j, t]
            if not (math.isnan(level) or math.isnan(efficiency)):
                known += 1
                memory.levels[p, t, _level_bin(level)] += 1.0
                memory.efficiencies[p, t, min(int(efficiency * EFFICIENCIES), EFFICIENCIES - 1)] += 1.0
        if known > 0:
            memory.seen[p, t] += 1.0


@kernel
def _say_market(memory: Memory, pace: Pace, p: int, said: Markets, row: int) -> None:
    for t in range(memory.levels.shape[1]):
        for k in range(5):
            if memory.seen[p, t] < pace.days_min:
                said.thresholds[row, p, t, k] = pace.thresholds[k]
            elif k < 4:
                said.thresholds[row, p, t, k] = level_quantile(memory.levels[p, t], THRESHOLD_QUANTILES[k])
            else:
                place = quantile(memory.efficiencies[p, t], THRESHOLD_QUANTILES[k])
                said.thresholds[row, p, t, k] = place / EFFICIENCIES
    if memory.days[p] < pace.days_min:
        said.volatility[row, p] = math.nan
        return
    fast = math.sqrt(memory.variance[p, 0] / memory.variance[p, 1])
    slow = math.sqrt(memory.variance[p, 2] / memory.variance[p, 3])
    floor = level_quantile(memory.daily_levels[p], _FLOOR)
    said.volatility[row, p] = max(_SHARE_FAST * fast + (1.0 - _SHARE_FAST) * slow, floor)


@kernel
def learn_forecasts(memory: Memory, samples: Samples, pace: Pace, said: Forecasts) -> None:
    """Learn scalars, correlations and the tilt; rows of `said` as for `learn_markets`."""
    instruments, strategies = memory.last.shape
    payoffs, earned = np.zeros(strategies), np.zeros(strategies)
    spoke, awake = np.zeros(strategies), np.zeros(strategies, np.bool_)
    _say_forecasts(memory, pace, said, 0)
    for day in range(samples.squares.shape[0]):
        payoffs[:] = 0.0
        spoke[:] = 0.0
        memory.products[:] *= pace.keep
        for p in range(instruments):
            first, stop = samples.edges[day * instruments + p], samples.edges[day * instruments + p + 1]
            outcomes = _learn_day(memory, samples, pace, said.scalars[day], p, first, stop, earned, awake)
            for s in range(strategies):
                if awake[s]:
                    payoffs[s] += earned[s] / math.sqrt(outcomes)
                    spoke[s] += 1.0
        _learn_votes(memory, samples, pace.keep, day)
        for s in range(strategies):
            awake[s] = spoke[s] > 0.0
            payoffs[s] = loss_of(payoffs[s] / spoke[s]) if awake[s] else 0.0
        hedge(memory.learned, pace.shares, payoffs, awake, pace.eta, pace.share)
        _say_forecasts(memory, pace, said, day + 1)


@kernel
def _learn_day(
    memory: Memory,
    samples: Samples,
    pace: Pace,
    scalars: Floats,
    p: int,
    first: int,
    stop: int,
    earned: Floats,
    awake: Flags,
) -> int:
    timeframes, strategies = scalars.shape
    outcomes = 0
    earned[:] = 0.0
    awake[:] = False
    last = memory.last[p]
    for j in range(first, stop):
        outcome = samples.outcome[j]
        known = not math.isnan(outcome)
        outcomes += known
        for s in range(strategies):
            if known and last[s] != 0.0:
                earned[s] += last[s] * outcome
                awake[s] = True
            last[s] = 0.0
            for t in range(timeframes):
                last[s] += pace.timeframe_shares[t] * scaled(samples.votes[j, t, s], scalars[t, s])
        for a in range(strategies):
            if last[a] != 0.0:
                for b in range(strategies):
                    memory.products[a, b] += last[a] * last[b]
    return outcomes


@kernel
def _learn_votes(memory: Memory, samples: Samples, keep: float, day: int) -> None:
    heard = 0.0
    for t in range(memory.votes.shape[0]):
        for s in range(memory.votes.shape[1]):
            heard += samples.counts[day, t, s]
            memory.votes[t, s] = keep * memory.votes[t, s] + samples.counts[day, t, s]
            memory.strengths[t, s] = keep * memory.strengths[t, s] + samples.strengths[day, t, s]
    if heard > 0.0:
        memory.voices[0] += 1.0


@kernel
def _say_forecasts(memory: Memory, pace: Pace, said: Forecasts, row: int) -> None:
    early = memory.voices[0] < pace.days_min
    for s in range(pace.shares.size):
        for t in range(pace.timeframe_shares.size):
            said.scalars[row, t, s] = (
                pace.scalars[s]
                if early
                else forecast_scalar(memory.votes[t, s], memory.strengths[t, s], pace.scalars[s], pace.prior_votes)
            )
        said.learned[row, s] = memory.learned[s]
    tilt(pace.shares, memory.learned, pace.tilt_fraction, said.weights[row])
    said.diversification[row] = (
        pace.diversification
        if early
        else diversification_multiplier(said.weights[row], memory.products, pace.diversification_max)
    )
    said.days[row] = memory.voices[0]


@kernel
def quantile(histogram: Floats, share: float) -> float:
    """Return where a share of a histogram lies below, in bins from its left edge; NaN for an empty one."""
    total = 0.0
    for b in range(histogram.size):
        total += histogram[b]
    if not total > 0.0:
        return math.nan
    below = 0.0
    for b in range(histogram.size):
        if histogram[b] > 0.0 and below + histogram[b] >= share * total:
            return float(b + max(share * total - below, 0.0) / histogram[b])
        below += histogram[b]
    return float(histogram.size)


@kernel
def level_quantile(histogram: Floats, share: float) -> float:
    """Return a percentile of volatility, a fraction > 0, from a histogram of its logarithm."""
    return float(math.exp(_LEVEL_LOWEST + _LEVEL_WIDTH * quantile(histogram, share)))


@kernel
def _level_bin(level: float) -> int:
    if not level > 0.0:
        return 0
    return min(max(int((math.log(level) - _LEVEL_LOWEST) / _LEVEL_WIDTH), 0), LEVELS - 1)
