"""What else could have happened: the stationary bootstrap, and intervals made with it.

Invariants:
- chance comes from a generator or a seed that the caller hands in: the same seed gives the same numbers;
- observations that follow one another are drawn in blocks (Politis & Romano 1994), as long as their memory asks for
  (Politis & White 2004, Patton, Politis & White 2009), since single draws would forget it;
- a draw takes a bounded share of memory at a time, whatever the number of draws;
- what is not known is None.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from novapulse.core.bars import Flags, Floats, Integers
from novapulse.stats._inputs import column, positive, share

Seed = int | np.random.Generator

_CELLS_MAX = 1 << 18


@dataclass(frozen=True, slots=True)
class Interval:
    """Where a figure lies, as far as the record can tell.

    Attributes:
        estimate: The figure of the record itself.
        low: Lower end.
        high: Upper end.
        confidence: Share of records whose interval would hold the truth, fraction.
        block: Mean length of the blocks that were drawn.
    """

    estimate: float
    low: float
    high: float
    confidence: float
    block: float


def generator(seed: Seed) -> np.random.Generator:
    """Return the generator handed in, or a new one for a seed.

    Raises:
        ValueError: It is neither a generator nor a whole number of at least 0.
    """
    if isinstance(seed, np.random.Generator):
        return seed
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise ValueError(f"seed must be a generator or a whole number of at least 0, got {seed!r}")
    return np.random.Generator(np.random.PCG64(seed))


def optimal_block_length(values: Floats) -> float:
    """Return the mean block length with which the stationary bootstrap estimates the variance of the mean best.

    Autocovariances count up to twice the lag behind which they no longer differ from noise, under a flat-top window.

    Args:
        values: float64[N].

    Returns:
        In observations, 1 <= length <= min(3 sqrt(N), N / 3) rounded up; 1 where there is nothing to estimate from.

    Raises:
        ValueError: A row is not finite.
    """
    observed = column("values", values)
    n = observed.size
    centred = observed - observed.mean() if n else observed
    if n < 9 or float(centred @ centred) <= 1e-24 * float(observed @ observed):
        return 1.0
    in_a_row = max(5, math.ceil(math.sqrt(math.log10(n))))
    lag_max = min(math.ceil(math.sqrt(n)) + in_a_row, n - 1)
    covariance = _autocovariances(centred, lag_max)
    noise = np.abs(covariance[1:]) < 2.0 * math.sqrt(math.log10(n) / n) * covariance[0]
    quiet = np.convolve(noise, np.ones(in_a_row), "valid") == in_a_row if noise.size >= in_a_row else noise[:0]
    width = min(2 * (int(np.argmax(quiet)) + 1), lag_max) if quiet.any() else lag_max
    lags = np.arange(1, width + 1)
    window = np.minimum(1.0, 2.0 * (1.0 - lags / width))
    curvature = 2.0 * float(np.sum(window * lags * covariance[1 : width + 1]))
    long_run = float(covariance[0] + 2.0 * np.sum(window * covariance[1 : width + 1]))
    longest = math.ceil(min(3.0 * math.sqrt(n), n / 3.0))
    if long_run == 0.0:
        return float(longest)
    return min(max(math.cbrt(n * (curvature / long_run) ** 2), 1.0), float(longest))


def stationary_indices(
    count: int, block: float, draws: int, seed: Seed, length: int | None = None
) -> tuple[Integers, Flags]:
    """Draw rows in blocks of geometrically distributed length that run on from the end to the beginning.

    Args:
        count: Rows to draw from, > 0.
        block: Mean length of a block in rows, >= 1; 1 draws rows singly.
        draws: How often to draw.
        seed: Generator, or the seed of one.
        length: Rows of a draw, > 0; `count` when not given.

    Returns:
        int64[draws, length], rows in 0..count-1, and bool[draws, length], True where a block starts.

    Raises:
        ValueError: A number is out of its range.
    """
    length = count if length is None else length
    if count < 1 or length < 1 or draws < 0:
        raise ValueError(f"cannot draw {draws} times {length} rows out of {count}")
    if not (math.isfinite(block) and block >= 1):
        raise ValueError(f"block must be at least 1 row, got {block!r}")
    rng = generator(seed)
    fresh = rng.integers(0, count, (draws, length))
    begins = rng.random((draws, length)) * block < 1.0
    begins[:, 0] = True
    position = np.arange(length)
    begun = np.maximum.accumulate(np.where(begins, position, 0), axis=1)
    return (np.take_along_axis(fresh, begun, axis=1) + position - begun) % count, begins


def mean_interval(
    values: Floats, seed: Seed, *, confidence: float = 0.95, draws: int = 2000, block: float | None = None
) -> Interval | None:
    """Return the percentile interval of a mean.

    Args:
        values: float64[N].
        seed: Generator, or the seed of one.
        confidence: Between 0 and 1.
        draws: > 0.
        block: Mean block length, >= 1; `optimal_block_length` when not given.

    Returns:
        None for fewer than two values.

    Raises:
        ValueError: A row is not finite, or a number is out of its range.
    """
    observed, tail = column("values", values), (1.0 - share("confidence", confidence)) / 2.0
    if observed.size < 2:
        return None
    block = optimal_block_length(observed) if block is None else block
    means = np.concatenate([drawn.mean(axis=1) for drawn, _ in _resampled(observed, block, draws, seed)])
    low, high = np.quantile(means, (tail, 1.0 - tail)).tolist()
    return Interval(float(observed.mean()), low, high, confidence, block)


def sharpe_interval(
    returns: Floats,
    periods_per_year: float,
    seed: Seed,
    *,
    confidence: float = 0.95,
    draws: int = 2000,
    block: float | None = None,
    risk_free: float = 0.0,
) -> Interval | None:
    """Return the studentised interval of the annualised Sharpe ratio.

    Each draw is measured by its own standard error, which the sums of its blocks give; the error of the record itself
    is what the same blocks have on average. On skewed and fat-tailed returns this covers better than percentiles.

    Args:
        returns: float64[N], fractions.
        periods_per_year: > 0.
        seed: Generator, or the seed of one.
        confidence: Between 0 and 1.
        draws: > 0.
        block: Mean block length, >= 1; `optimal_block_length` when not given.
        risk_free: Return a year that needs no risk, fraction, taken off in equal parts.

    Returns:
        None for fewer than ten returns, returns that do not vary, or fewer than half of the draws that do.

    Raises:
        ValueError: A row is not finite, or a number is out of its range.
    """
    year = positive("periods per year", periods_per_year)
    excess, tail = column("returns", returns) - risk_free / year, (1.0 - share("confidence", confidence)) / 2.0
    if excess.size < 10 or _alike(excess[None, :])[0]:
        return None
    block = optimal_block_length(excess) if block is None else block
    ratio, influence = _sharpe_and_influence(excess[None, :])
    error = _block_error(influence[0], block)
    scores = np.concatenate([_scores(*part, float(ratio[0])) for part in _resampled(excess, block, draws, seed)])
    if error <= 0 or 2 * scores.size < draws:
        return None
    above, below = np.quantile(scores, (tail, 1.0 - tail)).tolist()
    scale, estimate = math.sqrt(year), float(ratio[0])
    return Interval(
        estimate * scale, (estimate - below * error) * scale, (estimate - above * error) * scale, confidence, block
    )


def _autocovariances(centred: Floats, lag_max: int) -> Floats:
    # A sum over all pairs takes seconds for a year of minutes; padding keeps the end from meeting the beginning.
    size = 1 << (centred.size + lag_max).bit_length()
    spectrum: Floats = np.abs(np.fft.rfft(centred, size)) ** 2
    return np.fft.irfft(spectrum, size)[: lag_max + 1] / centred.size


def _resampled(values: Floats, block: float, draws: int, seed: Seed) -> Iterator[tuple[Floats, Flags]]:
    if draws < 1:
        raise ValueError(f"draws must be at least 1, got {draws}")
    rng = generator(seed)
    at_once = max(1, _CELLS_MAX // values.size)
    for done in range(0, draws, at_once):
        rows, begins = stationary_indices(values.size, block, min(at_once, draws - done), rng)
        yield values[rows], begins


def _alike(rows: Floats) -> Flags:
    dust: Floats = np.maximum(1e-12 * np.mean(rows**2, axis=1), 1e-24)
    flat: Flags = rows.var(axis=1) <= dust
    return flat


def _sharpe_and_influence(rows: Floats) -> tuple[Floats, Floats]:
    """The ratio of each row per period, and how much each observation moves it."""
    mean = rows.mean(axis=1)
    deviation = rows.std(axis=1, ddof=1)
    standard = (rows - mean[:, None]) / deviation[:, None]
    ratio = mean / deviation
    influence = standard - 0.5 * ratio[:, None] * (standard**2 - 1.0)
    return ratio, influence - influence.mean(axis=1)[:, None]


def _block_error(influence: Floats, block: float) -> float:
    n, keep = influence.size, 1.0 - 1.0 / block
    covariance = _autocovariances(influence, n - 1)
    lags = np.arange(1, n)
    weights = (1.0 - lags / n) * keep**lags + lags / n * keep ** (n - lags)
    return math.sqrt(max(float(covariance[0] + 2.0 * weights @ covariance[1:]) / n, 0.0))


def _scores(rows: Floats, begins: Flags, truth: float) -> Floats:
    vary = ~_alike(rows)
    ratio, influence = _sharpe_and_influence(rows[vary])
    starts = np.flatnonzero(begins[vary])
    if not starts.size:
        return ratio
    squares = np.add.reduceat(influence.ravel(), starts) ** 2
    width = rows.shape[1]
    error = np.sqrt(np.add.reduceat(squares, np.flatnonzero(starts % width == 0))) / width
    known = error > 1e-12
    scores: Floats = (ratio[known] - truth) / error[known]
    return scores
