"""Wilder's directional movement: DI and ADX.

A market that did not move has no direction: all are 0.
"""

import math

from numpy.typing import ArrayLike

from novapulse.compiled import kernel
from novapulse.core.bars import Floats
from novapulse.signals._columns import all_known, columns, evaluate, period
from novapulse.signals._ranges import true_ranges
from novapulse.signals._recursion import wilder_from, wilder_sum_from
from novapulse.signals._steps import directional_move, share
from novapulse.signals._tiles import carry_over, lead_of, new_tile, smooth_tile, tile_part, tile_rows


def plus_di(high: ArrayLike, low: ArrayLike, close: ArrayLike, n: int) -> Floats:
    """Return Wilder's positive directional indicator.

    Args:
        high: float64[N], quote per base.
        low: float64[N], quote per base.
        close: float64[N], quote per base.
        n: Smoothing in bars, >= 2.

    Returns:
        float64[N], 0..100, 0 where nothing moved; NaN for the first n bars.

    Raises:
        ValueError: A column is not one-dimensional, lengths differ, or `n` is not a whole number >= 2.
    """
    inputs = columns(high=high, low=low, close=close)
    return evaluate(_directional, inputs, (period("n", n, 2), 1), 1)[0]


def minus_di(high: ArrayLike, low: ArrayLike, close: ArrayLike, n: int) -> Floats:
    """Return Wilder's negative directional indicator.

    Args:
        high: float64[N], quote per base.
        low: float64[N], quote per base.
        close: float64[N], quote per base.
        n: Smoothing in bars, >= 2.

    Returns:
        float64[N], 0..100, 0 where nothing moved; NaN for the first n bars.

    Raises:
        ValueError: A column is not one-dimensional, lengths differ, or `n` is not a whole number >= 2.
    """
    inputs = columns(high=high, low=low, close=close)
    return evaluate(_directional, inputs, (period("n", n, 2), -1), 1)[0]


def adx(high: ArrayLike, low: ArrayLike, close: ArrayLike, n: int) -> Floats:
    """Return Wilder's average directional index: how one-sided the movement is, whichever side.

    Args:
        high: float64[N], quote per base.
        low: float64[N], quote per base.
        close: float64[N], quote per base.
        n: Smoothing in bars, >= 2.

    Returns:
        float64[N], 0..100; NaN for the first 2n - 1 bars.

    Raises:
        ValueError: A column is not one-dimensional, lengths differ, or `n` is not a whole number >= 2.
    """
    inputs = columns(high=high, low=low, close=close)
    return evaluate(_adx, inputs, (period("n", n, 2),), 1)[0]


@kernel
def _split_directions(high: Floats, low: Floats, start: int, stop: int, plus: Floats, minus: Floats) -> None:
    plus[0], minus[0] = 0.0, 0.0
    first = max(start, 1)
    ups, downs = plus[first - start :], minus[first - start :]
    highs, highs_before = high[first:stop], high[first - 1 :]
    lows, lows_before = low[first:stop], low[first - 1 :]
    for j in range(highs.size):
        rise, fall = highs[j] - highs_before[j], lows_before[j] - lows[j]
        ups[j] = directional_move(rise, fall)
        downs[j] = directional_move(fall, rise)


@kernel
def _directional(high: Floats, low: Floats, close: Floats, n: int, side: int, indicator: Floats) -> bool:
    rows = tile_rows(n + 1, close.size)
    tile = new_tile(6, rows)
    scratch = tile[5]
    for start in range(0, close.size, rows):
        stop, lead = min(start + rows, close.size), lead_of(start)
        if not (all_known(high[start:stop]) and all_known(low[start:stop]) and all_known(close[start:stop])):
            return False
        plus = tile_part(tile, 0, start, stop)
        minus = tile_part(tile, 1, start, stop)
        ranges = tile_part(tile, 2, start, stop)
        sums = tile_part(tile, 3, start, stop)
        range_sums = tile_part(tile, 4, start, stop)
        _split_directions(high, low, start, stop, plus[lead:], minus[lead:])
        true_ranges(high, low, close, start, stop, ranges[lead:])
        smooth_tile(plus if side > 0 else minus, lead, wilder_sum_from(1, n), sums, scratch)
        smooth_tile(ranges, lead, wilder_sum_from(1, n), range_sums, scratch)
        _percent(sums[lead:], range_sums[lead:], close[start:stop], indicator[start:stop])
        carry_over(tile, stop - start)
    indicator[: min(n, close.size)] = math.nan
    return True


@kernel
def _percent(parts: Floats, wholes: Floats, close: Floats, result: Floats) -> None:
    for j in range(result.size):
        result[j] = 100.0 * share(parts[j], wholes[j], close[j], 0.0)


@kernel
def _adx(high: Floats, low: Floats, close: Floats, n: int, index: Floats) -> bool:
    rows = tile_rows(2 * n, close.size)
    tile = new_tile(6, rows)
    scratch = tile[5]
    for start in range(0, close.size, rows):
        stop, lead = min(start + rows, close.size), lead_of(start)
        if not (all_known(high[start:stop]) and all_known(low[start:stop]) and all_known(close[start:stop])):
            return False
        plus = tile_part(tile, 0, start, stop)
        minus = tile_part(tile, 1, start, stop)
        plus_sums = tile_part(tile, 2, start, stop)
        minus_sums = tile_part(tile, 3, start, stop)
        one_sided = tile_part(tile, 4, start, stop)
        _split_directions(high, low, start, stop, plus[lead:], minus[lead:])
        smooth_tile(plus, lead, wilder_sum_from(1, n), plus_sums, scratch)
        smooth_tile(minus, lead, wilder_sum_from(1, n), minus_sums, scratch)
        _one_sidedness(plus_sums[lead:], minus_sums[lead:], close[start:stop], one_sided[lead:])
        smooth_tile(one_sided, lead, wilder_from(n, n), index[start - lead : stop], scratch)
        carry_over(tile, stop - start)
    return True


@kernel
def _one_sidedness(plus: Floats, minus: Floats, close: Floats, one_sided: Floats) -> None:
    for j in range(close.size):
        one_sided[j] = 100.0 * share(abs(plus[j] - minus[j]), plus[j] + minus[j], close[j], 0.0)
