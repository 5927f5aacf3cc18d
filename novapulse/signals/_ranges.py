"""How far prices reach: true range, ATR, and the channels drawn with it."""

import math
from typing import NamedTuple

from numpy.typing import ArrayLike

from novapulse.compiled import kernel
from novapulse.core.bars import Floats
from novapulse.signals._columns import all_known, columns, evaluate, period, positive
from novapulse.signals._extremes import window_extremes
from novapulse.signals._recursion import ema_from, wilder_from
from novapulse.signals._steps import true_range_of, typical_prices
from novapulse.signals._tiles import carry_over, lead_of, new_tile, smooth_tile, tile_part, tile_rows


class Bands(NamedTuple):
    """`upper`, `middle` and `lower` band: float64[N] each, quote per base."""

    upper: Floats
    middle: Floats
    lower: Floats


class Supertrend(NamedTuple):
    """`line`: float64[N], quote per base; `direction`: float64[N], +1 up or -1 down."""

    line: Floats
    direction: Floats


def true_range(high: ArrayLike, low: ArrayLike, close: ArrayLike) -> Floats:
    """Return the true range: the bar's range, stretched to the close before it.

    Args:
        high: float64[N], quote per base.
        low: float64[N], quote per base.
        close: float64[N], quote per base.

    Returns:
        float64[N], quote per base, >= 0; NaN for the first bar, which has no close before it.

    Raises:
        ValueError: A column is not one-dimensional or lengths differ.
    """
    return evaluate(_true_range, columns(high=high, low=low, close=close), (), 1)[0]


def atr(high: ArrayLike, low: ArrayLike, close: ArrayLike, n: int) -> Floats:
    """Return the average true range: Wilder's smoothing, seeded with the mean of the first n true ranges.

    Args:
        high: float64[N], quote per base.
        low: float64[N], quote per base.
        close: float64[N], quote per base.
        n: Smoothing in bars, >= 1.

    Returns:
        float64[N], quote per base, >= 0; NaN for the first n bars.

    Raises:
        ValueError: A column is not one-dimensional, lengths differ, or `n` is not a whole number >= 1.
    """
    return evaluate(_atr, columns(high=high, low=low, close=close), (period("n", n),), 1)[0]


def keltner(high: ArrayLike, low: ArrayLike, close: ArrayLike, n: int, atr_n: int, k: float) -> Bands:
    """Return Keltner channels: the EMA of the typical price and k ATR around it.

    Both averages begin on the bar on which the later of them can.

    Args:
        high: float64[N], quote per base.
        low: float64[N], quote per base.
        close: float64[N], quote per base.
        n: Span of the EMA in bars, >= 1.
        atr_n: Smoothing of the ATR in bars, >= 1.
        k: Width in ATR, > 0.

    Returns:
        upper, middle, lower: float64[N] each, quote per base; NaN for the first max(n - 1, atr_n) bars.

    Raises:
        ValueError: A column is not one-dimensional, lengths differ, or a parameter is out of range.
    """
    parameters = (period("n", n), period("atr_n", atr_n), positive("k", k))
    return Bands(*evaluate(_keltner, columns(high=high, low=low, close=close), parameters, 3))


def donchian(high: ArrayLike, low: ArrayLike, n: int) -> Bands:
    """Return Donchian channels: highest high, their middle, lowest low of n bars, the current one included.

    A breakout is a close beyond the channel of the bar before.

    Args:
        high: float64[N], quote per base.
        low: float64[N], quote per base.
        n: Window in bars, >= 1.

    Returns:
        upper, middle, lower: float64[N] each, quote per base; NaN for the first n - 1 bars.

    Raises:
        ValueError: A column is not one-dimensional, lengths differ, or `n` is not a whole number >= 1.
    """
    return Bands(*evaluate(_donchian, columns(high=high, low=low), (period("n", n),), 3))


def supertrend(high: ArrayLike, low: ArrayLike, close: ArrayLike, n: int, k: float) -> Supertrend:
    """Return Supertrend: a trailing band that the close must cross to turn the direction.

    The line depends on the whole way behind it: it is for charts, not for strategies.

    Args:
        high: float64[N], quote per base.
        low: float64[N], quote per base.
        close: float64[N], quote per base.
        n: Smoothing of the ATR in bars, >= 1.
        k: Distance of the bands from the bar's middle in ATR, > 0.

    Returns:
        line, direction: float64[N] each; NaN for the first n bars.

    Raises:
        ValueError: A column is not one-dimensional, lengths differ, or a parameter is out of range.
    """
    parameters = (period("n", n), positive("k", k))
    return Supertrend(*evaluate(_supertrend, columns(high=high, low=low, close=close), parameters, 2))


@kernel
def true_ranges(high: Floats, low: Floats, close: Floats, start: int, stop: int, ranges: Floats) -> None:
    """Fill the true ranges of bars `start` to `stop`; the first bar of all has none (NaN)."""
    ranges[0] = math.nan
    first = max(start, 1)
    highs, lows, before, out = high[first:stop], low[first:stop], close[first - 1 :], ranges[first - start :]
    for j in range(highs.size):
        out[j] = true_range_of(highs[j], lows[j], before[j])


@kernel
def _true_range(high: Floats, low: Floats, close: Floats, ranges: Floats) -> bool:
    if not (all_known(high) and all_known(low) and all_known(close)):
        return False
    if close.size:
        true_ranges(high, low, close, 0, close.size, ranges)
    return True


@kernel
def _atr(high: Floats, low: Floats, close: Floats, n: int, averages: Floats) -> bool:
    rows = tile_rows(n + 1, close.size)
    tile = new_tile(2, rows)
    scratch = tile[1]
    for start in range(0, close.size, rows):
        stop, lead = min(start + rows, close.size), lead_of(start)
        if not (all_known(high[start:stop]) and all_known(low[start:stop]) and all_known(close[start:stop])):
            return False
        ranges = tile_part(tile, 0, start, stop)
        true_ranges(high, low, close, start, stop, ranges[lead:])
        smooth_tile(ranges, lead, wilder_from(1, n), averages[start - lead : stop], scratch)
        carry_over(tile, stop - start)
    return True


@kernel
def _keltner(
    high: Floats, low: Floats, close: Floats, n: int, atr_n: int, k: float, upper: Floats, middle: Floats, lower: Floats
) -> bool:
    begin = max(n - 1, atr_n)
    rows = tile_rows(begin + 1, close.size)
    tile = new_tile(5, rows)
    scratch = tile[4]
    for start in range(0, close.size, rows):
        stop, lead = min(start + rows, close.size), lead_of(start)
        if not (all_known(high[start:stop]) and all_known(low[start:stop]) and all_known(close[start:stop])):
            return False
        typicals = tile_part(tile, 0, start, stop)
        centres = tile_part(tile, 1, start, stop)
        ranges = tile_part(tile, 2, start, stop)
        reaches = tile_part(tile, 3, start, stop)
        typical_prices(high[start:stop], low[start:stop], close[start:stop], typicals[lead:])
        true_ranges(high, low, close, start, stop, ranges[lead:])
        smooth_tile(typicals, lead, ema_from(begin - n + 1, n), centres, scratch)
        smooth_tile(ranges, lead, wilder_from(begin - atr_n + 1, atr_n), reaches, scratch)
        _surround(k, centres[lead:], reaches[lead:], upper[start:stop], middle[start:stop], lower[start:stop])
        carry_over(tile, stop - start)
    return True


@kernel
def _surround(k: float, centres: Floats, reaches: Floats, upper: Floats, middle: Floats, lower: Floats) -> None:
    for j in range(upper.size):
        width = k * reaches[j]
        upper[j], middle[j], lower[j] = centres[j] + width, centres[j], centres[j] - width


@kernel
def _donchian(high: Floats, low: Floats, n: int, upper: Floats, middle: Floats, lower: Floats) -> bool:
    if not (all_known(high) and all_known(low)):
        return False
    window_extremes(high, n, 1.0, upper)
    window_extremes(low, n, -1.0, lower)
    for i in range(high.size):
        middle[i] = 0.5 * (upper[i] + lower[i])
    return True


@kernel
def _supertrend(high: Floats, low: Floats, close: Floats, n: int, k: float, line: Floats, direction: Floats) -> bool:
    if not _atr(high, low, close, n, line):
        return False
    direction[: min(n, close.size)] = math.nan
    if n >= close.size:
        return True
    upper, lower, side, before = math.inf, -math.inf, 1.0, close[n - 1]
    for i in range(n, close.size):
        centre, reach, now = 0.5 * (high[i] + low[i]), k * line[i], close[i]
        capped, raised = min(centre + reach, upper), max(centre - reach, lower)
        upper = centre + reach if before > upper else capped
        lower = centre - reach if before < lower else raised
        barrier = lower if side > 0.0 else upper
        side = -side if (now - barrier) * side < 0.0 else side
        direction[i] = side
        line[i] = lower if side > 0.0 else upper
        before = now
    return True
