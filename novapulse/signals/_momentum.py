"""Which way, and how firmly: RSI, directional movement, stochastic, efficiency ratio.

A market that did not move has no opinion: RSI and stochastic are 50, ADX, DI and the efficiency ratio 0.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from novapulse.compiled import kernel
from novapulse.core.bars import Floats
from novapulse.signals._columns import columns, evaluate, period
from novapulse.signals._ranges import true_ranges
from novapulse.signals._recursion import wilder_from, wilder_sum_from
from novapulse.signals._steps import directional_move, share
from novapulse.signals._tiles import carry_over, lead_of, new_tile, smooth_tile, tile_part, tile_rows
from novapulse.signals._windows import window_extremes, window_sums


class Stochastic(NamedTuple):
    """Slow `k` and its average `d`: float64[N] each, 0..100."""

    k: Floats
    d: Floats


def rsi(close: ArrayLike, n: int) -> Floats:
    """Return Wilder's relative strength index.

    Args:
        close: float64[N], any unit.
        n: Smoothing in bars, >= 1.

    Returns:
        float64[N], 0..100, 50 where the price did not move; NaN for the first n bars.

    Raises:
        ValueError: `close` is not one-dimensional or `n` is not a whole number >= 1.
    """
    inputs = columns(close=close)
    return evaluate(_rsi, inputs, (period("n", n),), 1)[0]


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


def stochastic(high: ArrayLike, low: ArrayLike, close: ArrayLike, k_n: int, k_smooth: int, d_n: int) -> Stochastic:
    """Return the slow stochastic: where the close lies in its recent range.

    Args:
        high: float64[N], quote per base.
        low: float64[N], quote per base.
        close: float64[N], quote per base.
        k_n: Bars of the range, >= 1.
        k_smooth: Bars averaged into slow k, >= 1.
        d_n: Bars averaged into d, >= 1.

    Returns:
        k, d: float64[N] each, 0..100, 50 for a range of width 0; NaN for the first k_n + k_smooth + d_n - 3 bars.

    Raises:
        ValueError: A column is not one-dimensional, lengths differ, or a parameter is not a whole number >= 1.
    """
    inputs = columns(high=high, low=low, close=close)
    parameters = (period("k_n", k_n), period("k_smooth", k_smooth), period("d_n", d_n))
    return Stochastic(*evaluate(_stochastic, inputs, parameters, 2))


def efficiency_ratio(close: ArrayLike, n: int) -> Floats:
    """Return Kaufman's efficiency ratio: the net move over n bars as a share of the way travelled.

    Args:
        close: float64[N], any unit.
        n: Window in bars, >= 1.

    Returns:
        float64[N], 0..1, 0 where the price did not move; NaN for the first n bars.

    Raises:
        ValueError: `close` is not one-dimensional or `n` is not a whole number >= 1.
    """
    inputs = columns(close=close)
    return evaluate(_efficiency_ratio, inputs, (period("n", n),), 1)[0]


@kernel
def _rsi(close: Floats, n: int, index: Floats) -> None:
    rows = tile_rows(n + 1)
    tile = new_tile(4, rows)
    for start in range(0, close.size, rows):
        stop, lead = min(start + rows, close.size), lead_of(start)
        gains = tile_part(tile, 0, start, stop)
        losses = tile_part(tile, 1, start, stop)
        ups = tile_part(tile, 2, start, stop)
        downs = tile_part(tile, 3, start, stop)
        _split_moves(close, start, stop, gains[lead:], losses[lead:])
        smooth_tile(gains, lead, wilder_from(1, n), ups)
        smooth_tile(losses, lead, wilder_from(1, n), downs)
        _strength(ups[lead:], downs[lead:], close[start:stop], index[start:stop])
        carry_over(tile, stop - start)
    index[: min(n, close.size)] = math.nan


@kernel
def _split_moves(close: Floats, start: int, stop: int, gains: Floats, losses: Floats) -> None:
    gains[0], losses[0] = 0.0, 0.0
    first = max(start, 1)
    gain, loss = gains[first - start :], losses[first - start :]
    now, before = close[first:stop], close[first - 1 :]
    for j in range(now.size):
        move = now[j] - before[j]
        gain[j] = 0.5 * (abs(move) + move)
        loss[j] = 0.5 * (abs(move) - move)


@kernel
def _strength(ups: Floats, downs: Floats, close: Floats, index: Floats) -> None:
    for j in range(index.size):
        index[j] = 100.0 * share(ups[j], ups[j] + downs[j], close[j], 0.5)


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
def _directional(high: Floats, low: Floats, close: Floats, n: int, side: int, indicator: Floats) -> None:
    rows = tile_rows(n + 1)
    tile = new_tile(5, rows)
    for start in range(0, close.size, rows):
        stop, lead = min(start + rows, close.size), lead_of(start)
        plus = tile_part(tile, 0, start, stop)
        minus = tile_part(tile, 1, start, stop)
        ranges = tile_part(tile, 2, start, stop)
        sums = tile_part(tile, 3, start, stop)
        range_sums = tile_part(tile, 4, start, stop)
        _split_directions(high, low, start, stop, plus[lead:], minus[lead:])
        true_ranges(high, low, close, start, stop, ranges[lead:])
        smooth_tile(plus if side > 0 else minus, lead, wilder_sum_from(1, n), sums)
        smooth_tile(ranges, lead, wilder_sum_from(1, n), range_sums)
        _percent(sums[lead:], range_sums[lead:], close[start:stop], indicator[start:stop])
        carry_over(tile, stop - start)
    indicator[: min(n, close.size)] = math.nan


@kernel
def _percent(parts: Floats, wholes: Floats, close: Floats, result: Floats) -> None:
    for j in range(result.size):
        result[j] = 100.0 * share(parts[j], wholes[j], close[j], 0.0)


@kernel
def _adx(high: Floats, low: Floats, close: Floats, n: int, index: Floats) -> None:
    rows = tile_rows(2 * n)
    tile = new_tile(5, rows)
    for start in range(0, close.size, rows):
        stop, lead = min(start + rows, close.size), lead_of(start)
        plus = tile_part(tile, 0, start, stop)
        minus = tile_part(tile, 1, start, stop)
        plus_sums = tile_part(tile, 2, start, stop)
        minus_sums = tile_part(tile, 3, start, stop)
        one_sided = tile_part(tile, 4, start, stop)
        _split_directions(high, low, start, stop, plus[lead:], minus[lead:])
        smooth_tile(plus, lead, wilder_sum_from(1, n), plus_sums)
        smooth_tile(minus, lead, wilder_sum_from(1, n), minus_sums)
        _one_sidedness(plus_sums[lead:], minus_sums[lead:], close[start:stop], one_sided[lead:])
        smooth_tile(one_sided, lead, wilder_from(n, n), index[start - lead : stop])
        carry_over(tile, stop - start)


@kernel
def _one_sidedness(plus: Floats, minus: Floats, close: Floats, one_sided: Floats) -> None:
    for j in range(close.size):
        one_sided[j] = 100.0 * share(abs(plus[j] - minus[j]), plus[j] + minus[j], close[j], 0.0)


@kernel
def _stochastic(
    high: Floats, low: Floats, close: Floats, k_n: int, k_smooth: int, d_n: int, k: Floats, d: Floats
) -> None:
    size = close.size
    start = k_n - 1
    k[:] = math.nan
    d[:] = math.nan
    if k_n + k_smooth + d_n - 3 >= size:
        return
    highest, lowest = np.empty(size), np.empty(size)
    window_extremes(high, k_n, 1.0, highest)
    window_extremes(low, k_n, -1.0, lowest)
    fast = highest
    for i in range(start, size):
        width = highest[i] - lowest[i]
        fast[i] = 100.0 * (close[i] - lowest[i]) / width if width > 0.0 else 50.0
    window_sums(fast[start:], k_smooth, k[start:])
    for i in range(start + k_smooth - 1, size):
        k[i] /= k_smooth
    window_sums(k[start + k_smooth - 1 :], d_n, d[start + k_smooth - 1 :])
    for i in range(start + k_smooth + d_n - 2, size):
        d[i] /= d_n
    k[: start + k_smooth + d_n - 2] = math.nan


@kernel
def _efficiency_ratio(close: Floats, n: int, ratio: Floats) -> None:
    ratio[: min(n, close.size)] = math.nan
    if n >= close.size:
        return
    ways = np.empty(close.size)
    for i in range(1, close.size):
        ways[i] = abs(close[i] - close[i - 1])
    window_sums(ways[1:], n, ratio[1:])
    for i in range(n, close.size):
        ratio[i] = min(share(abs(close[i] - close[i - n]), ratio[i], close[i], 0.0), 1.0)
