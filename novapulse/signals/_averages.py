"""Moving averages of one series, and what is built from them alone.

A MACD is the difference of two nearly equal averages, so the last bits of these are its leading ones near zero. It is
therefore evaluated in the plain order, `average += gain * (value - average)`, which is TA-Lib's own.
"""

import math
from typing import NamedTuple

from numpy.typing import ArrayLike

from novapulse.compiled import kernel
from novapulse.core.bars import Floats
from novapulse.signals._columns import all_known, columns, evaluate, period
from novapulse.signals._recursion import ema_from
from novapulse.signals._tiles import lead_of, new_tile, smooth_tile, tile_rows
from novapulse.signals._windows import window_sums, window_weighted


class Macd(NamedTuple):
    """`line` (fast EMA - slow EMA), its `signal` EMA, and `histogram` (line - signal): float64[N] each."""

    line: Floats
    signal: Floats
    histogram: Floats


def sma(close: ArrayLike, n: int) -> Floats:
    """Return the simple moving average.

    Args:
        close: float64[N], any unit.
        n: Window in bars, >= 1.

    Returns:
        float64[N], same unit; NaN for the first n - 1 bars.

    Raises:
        ValueError: `close` is not one-dimensional or `n` is not a whole number >= 1.
    """
    inputs = columns(close=close)
    return evaluate(_sma, inputs, (period("n", n),), 1)[0]


def ema(close: ArrayLike, n: int) -> Floats:
    """Return the exponential moving average: weight 2 / (n + 1), seeded with the mean of the first n values.

    Args:
        close: float64[N], any unit.
        n: Span in bars, >= 1.

    Returns:
        float64[N], same unit; NaN for the first n - 1 bars.

    Raises:
        ValueError: `close` is not one-dimensional or `n` is not a whole number >= 1.
    """
    inputs = columns(close=close)
    return evaluate(_ema, inputs, (period("n", n),), 1)[0]


def wma(close: ArrayLike, n: int) -> Floats:
    """Return the linearly weighted moving average: weight n for the newest value, 1 for the oldest.

    Args:
        close: float64[N], any unit.
        n: Window in bars, >= 1.

    Returns:
        float64[N], same unit; NaN for the first n - 1 bars.

    Raises:
        ValueError: `close` is not one-dimensional or `n` is not a whole number >= 1.
    """
    inputs = columns(close=close)
    return evaluate(_wma, inputs, (period("n", n),), 1)[0]


def macd(close: ArrayLike, fast: int, slow: int, signal: int) -> Macd:
    """Return moving average convergence and divergence; both EMAs begin on the bar on which the slow one can.

    Args:
        close: float64[N], any unit.
        fast: Span of the fast EMA in bars, >= 1 and below `slow`.
        slow: Span of the slow EMA in bars.
        signal: Span of the signal EMA in bars, >= 1.

    Returns:
        line, signal, histogram: float64[N] each, same unit; NaN for the first slow + signal - 2 bars.

    Raises:
        ValueError: `close` is not one-dimensional, or a span is out of range.
    """
    inputs = columns(close=close)
    spans = (period("fast", fast), period("slow", slow), period("signal", signal))
    if spans[0] >= spans[1]:
        raise ValueError(f"fast must be below slow, got fast {fast} and slow {slow}")
    return Macd(*evaluate(_macd, inputs, spans, 3))


@kernel
def _sma(close: Floats, n: int, averages: Floats) -> bool:
    if not all_known(close):
        return False
    window_sums(close, n, averages)
    for i in range(close.size):
        averages[i] /= n
    return True


@kernel
def _wma(close: Floats, n: int, averages: Floats) -> bool:
    if not all_known(close):
        return False
    window_weighted(close, n, averages)
    weights = 0.5 * n * (n + 1)
    for i in range(close.size):
        averages[i] /= weights
    return True


@kernel
def _ema(close: Floats, n: int, averages: Floats) -> bool:
    rows = tile_rows(n, close.size)
    scratch = new_tile(1, rows)[0]
    for start in range(0, close.size, rows):
        stop, lead = min(start + rows, close.size), lead_of(start)
        if not all_known(close[start:stop]):
            return False
        smooth_tile(close[start - lead : stop], lead, ema_from(0, n), averages[start - lead : stop], scratch)
    return True


@kernel
def _macd(close: Floats, fast: int, slow: int, signal: int, line: Floats, signals: Floats, histogram: Floats) -> bool:
    if not all_known(close):
        return False
    known_at = min(slow + signal - 2, close.size)
    line[:known_at] = signals[:known_at] = histogram[:known_at] = math.nan
    if known_at == close.size:
        return True
    gain_fast, gain_slow, gain_signal = 2.0 / (fast + 1.0), 2.0 / (slow + 1.0), 2.0 / (signal + 1.0)
    quick, calm = _mean(close[slow - fast : slow]), _mean(close[:slow])
    total = quick - calm
    for i in range(slow, known_at + 1):
        quick = (close[i] - quick) * gain_fast + quick
        calm = (close[i] - calm) * gain_slow + calm
        total += quick - calm
    smooth = total / signal
    line[known_at], signals[known_at], histogram[known_at] = quick - calm, smooth, quick - calm - smooth
    for i in range(known_at + 1, close.size):
        quick = (close[i] - quick) * gain_fast + quick
        calm = (close[i] - calm) * gain_slow + calm
        apart = quick - calm
        smooth = (apart - smooth) * gain_signal + smooth
        line[i], signals[i], histogram[i] = apart, smooth, apart - smooth
    return True


@kernel
def _mean(values: Floats) -> float:
    total = 0.0
    for i in range(values.size):
        total += values[i]
    return total / values.size
