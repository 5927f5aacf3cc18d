"""Price weighted by what was traded: VWAP by session and by window, on-balance volume.

Where nothing was traded there is no average price: NaN, not zero.
"""

import math

import numpy as np
from numpy.typing import ArrayLike

from novapulse.compiled import kernel
from novapulse.core.bars import Floats, Integers
from novapulse.signals._columns import all_known, columns, evaluate, period
from novapulse.signals._steps import typical_price, typical_prices
from novapulse.signals._windows import window_sums


def vwap(
    high: ArrayLike, low: ArrayLike, close: ArrayLike, volume: ArrayLike, session: ArrayLike | None = None
) -> Floats:
    """Return the volume-weighted average of the typical price since its session began.

    Args:
        high: float64[N], quote per base.
        low: float64[N], quote per base.
        close: float64[N], quote per base.
        volume: float64[N], base units, >= 0.
        session: int64[N], id of each bar's session; a new id begins anew. None means one session.

    Returns:
        float64[N], quote per base; NaN until something was traded in the session.

    Raises:
        ValueError: A column is not one-dimensional or lengths differ.
    """
    inputs = columns(high=high, low=low, close=close, volume=volume)
    sessions = np.zeros(inputs[0].size, np.int64) if session is None else np.ascontiguousarray(session, np.int64)
    if sessions.shape != inputs[0].shape:
        raise ValueError(f"session has shape {sessions.shape}, high has {inputs[0].shape}")
    return evaluate(_vwap, (*inputs, sessions), (), 1)[0]


def typical(high: ArrayLike, low: ArrayLike, close: ArrayLike) -> Floats:
    """Return the typical price: the mean of high, low and close.

    Args:
        high: float64[N], quote per base.
        low: float64[N], quote per base.
        close: float64[N], quote per base.

    Returns:
        float64[N], quote per base.

    Raises:
        ValueError: A column is not one-dimensional or lengths differ.
    """
    return evaluate(_typical, columns(high=high, low=low, close=close), (), 1)[0]


def rolling_vwap(high: ArrayLike, low: ArrayLike, close: ArrayLike, volume: ArrayLike, n: int) -> Floats:
    """Return the volume-weighted average of the typical price over the last n bars.

    Args:
        high: float64[N], quote per base.
        low: float64[N], quote per base.
        close: float64[N], quote per base.
        volume: float64[N], base units, >= 0.
        n: Window in bars, >= 1.

    Returns:
        float64[N], quote per base; NaN for the first n - 1 bars and where nothing was traded in the window.

    Raises:
        ValueError: A column is not one-dimensional, lengths differ, or `n` is not a whole number >= 1.
    """
    inputs = columns(high=high, low=low, close=close, volume=volume)
    return evaluate(_rolling_vwap, inputs, (period("n", n),), 1)[0]


def obv(close: ArrayLike, volume: ArrayLike) -> Floats:
    """Return on-balance volume: volume added on a rise and taken off on a fall. Its level means nothing.

    Args:
        close: float64[N], quote per base.
        volume: float64[N], base units, >= 0.

    Returns:
        float64[N], base units; the first bar's is its volume.

    Raises:
        ValueError: A column is not one-dimensional or lengths differ.
    """
    return evaluate(_obv, columns(close=close, volume=volume), (), 1)[0]


@kernel
def _typical(high: Floats, low: Floats, close: Floats, prices: Floats) -> bool:
    typical_prices(high, low, close, prices)
    return all_known(high) and all_known(low) and all_known(close)


@kernel
def _vwap(high: Floats, low: Floats, close: Floats, volume: Floats, session: Integers, averages: Floats) -> bool:
    if not (all_known(high) and all_known(low) and all_known(close) and all_known(volume)):
        return False
    value, traded = 0.0, 0.0
    for i in range(close.size):
        if i > 0 and session[i] != session[i - 1]:
            value, traded = 0.0, 0.0
        value += typical_price(high[i], low[i], close[i]) * volume[i]
        traded += volume[i]
        averages[i] = value / traded if traded > 0.0 else math.nan
    return True


@kernel
def _rolling_vwap(high: Floats, low: Floats, close: Floats, volume: Floats, n: int, averages: Floats) -> bool:
    if not (all_known(high) and all_known(low) and all_known(close) and all_known(volume)):
        return False
    values, traded = np.empty(close.size), np.empty(close.size)
    typical_prices(high, low, close, values)
    for i in range(close.size):
        values[i] *= volume[i]
    window_sums(values, n, averages)
    window_sums(volume, n, traded)
    for i in range(min(n - 1, close.size), close.size):
        averages[i] = averages[i] / traded[i] if traded[i] > 0.0 else math.nan
    return True


@kernel
def _obv(close: Floats, volume: Floats, level: Floats) -> bool:
    if not (all_known(close) and all_known(volume)):
        return False
    balance = 0.0
    for i in range(close.size):
        if i == 0 or close[i] > close[i - 1]:
            balance += volume[i]
        elif close[i] < close[i - 1]:
            balance -= volume[i]
        level[i] = balance
    return True
