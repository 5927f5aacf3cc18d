"""Which way, and how firmly: RSI, stochastic, efficiency ratio.

A market that did not move has no opinion: RSI and stochastic are 50, the efficiency ratio 0.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from novapulse.compiled import kernel
from novapulse.core.bars import Floats
from novapulse.signals._columns import all_known, columns, evaluate, period
from novapulse.signals._extremes import window_extremes
from novapulse.signals._recursion import wilder_from
from novapulse.signals._steps import share
from novapulse.signals._tiles import carry_over, lead_of, new_tile, smooth_tile, tile_part, tile_rows
from novapulse.signals._windows import window_sums


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
def _rsi(close: Floats, n: int, index: Floats) -> bool:
    rows = tile_rows(n + 1, close.size)
    tile = new_tile(5, rows)
    scratch = tile[4]
    for start in range(0, close.size, rows):
        stop, lead = min(start + rows, close.size), lead_of(start)
        if not all_known(close[start:stop]):
            return False
        gains = tile_part(tile, 0, start, stop)
        losses = tile_part(tile, 1, start, stop)
        ups = tile_part(tile, 2, start, stop)
        downs = tile_part(tile, 3, start, stop)
        _split_moves(close, start, stop, gains[lead:], losses[lead:])
        smooth_tile(gains, lead, wilder_from(1, n), ups, scratch)
        smooth_tile(losses, lead, wilder_from(1, n), downs, scratch)
        _strength(ups[lead:], downs[lead:], close[start:stop], index[start:stop])
        carry_over(tile, stop - start)
    index[: min(n, close.size)] = math.nan
    return True


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
def _stochastic(
    high: Floats, low: Floats, close: Floats, k_n: int, k_smooth: int, d_n: int, k: Floats, d: Floats
) -> bool:
    if not (all_known(high) and all_known(low) and all_known(close)):
        return False
    size = close.size
    start = k_n - 1
    k[:] = math.nan
    d[:] = math.nan
    if k_n + k_smooth + d_n - 3 >= size:
        return True
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
    return True


@kernel
def _efficiency_ratio(close: Floats, n: int, ratio: Floats) -> bool:
    if not all_known(close):
        return False
    ratio[: min(n, close.size)] = math.nan
    if n >= close.size:
        return True
    ways = np.empty(close.size)
    for i in range(1, close.size):
        ways[i] = abs(close[i] - close[i - 1])
    window_sums(ways[1:], n, ratio[1:])
    for i in range(n, close.size):
        ratio[i] = min(share(abs(close[i] - close[i - n]), ratio[i], close[i], 0.0), 1.0)
    return True
