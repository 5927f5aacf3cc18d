"""How far prices lie apart: Bollinger bands and volatility."""

import math

import numpy as np
from numpy.typing import ArrayLike

from novapulse.compiled import kernel
from novapulse.core.bars import Floats
from novapulse.signals._columns import all_known, columns, evaluate, period, positive
from novapulse.signals._ranges import Bands
from novapulse.signals._recursion import ema_from, smooth
from novapulse.signals._tiles import new_tile, tile_rows
from novapulse.signals._windows import chunk_rows, disperse_windows, window_moments

_ROUNDING = 1e-13


def bollinger(close: ArrayLike, n: int, k: float) -> Bands:
    """Return Bollinger bands: the SMA and k population standard deviations around it.

    Args:
        close: float64[N], any unit.
        n: Window in bars, >= 1.
        k: Width in standard deviations, > 0.

    Returns:
        upper, middle, lower: float64[N] each, same unit; NaN for the first n - 1 bars.

    Raises:
        ValueError: `close` is not one-dimensional, or a parameter is out of range.
    """
    return Bands(*evaluate(_bollinger, columns(close=close), (period("n", n), positive("k", k)), 3))


def realized_volatility(close: ArrayLike, n: int, bars_per_year: float) -> Floats:
    """Return the sample standard deviation of the last n log returns, a year's worth.

    Args:
        close: float64[N], quote per base, > 0.
        n: Window in returns, >= 2.
        bars_per_year: Bars in a year, > 0.

    Returns:
        float64[N], fraction per year, >= 0; NaN for the first n bars. A close that is not above 0 is unknown.

    Raises:
        ValueError: `close` is not one-dimensional, or a parameter is out of range.
    """
    parameters = (period("n", n, 2), math.sqrt(positive("bars_per_year", bars_per_year)))
    return evaluate(_realized_volatility, (_above_zero(close),), parameters, 1)[0]


def ewm_volatility(close: ArrayLike, n: int, bars_per_year: float) -> Floats:
    """Return the root of the EMA of squared log returns, a year's worth.

    Args:
        close: float64[N], quote per base, > 0.
        n: Span of the EMA in returns, >= 1.
        bars_per_year: Bars in a year, > 0.

    Returns:
        float64[N], fraction per year, >= 0; NaN for the first n bars. A close that is not above 0 is unknown.

    Raises:
        ValueError: `close` is not one-dimensional, or a parameter is out of range.
    """
    parameters = (period("n", n), math.sqrt(positive("bars_per_year", bars_per_year)))
    return evaluate(_ewm_volatility, (_above_zero(close),), parameters, 1)[0]


def _above_zero(close: ArrayLike) -> Floats:
    prices = columns(close=close)[0]
    return prices if prices.min(initial=1.0) > 0.0 else np.where(prices > 0.0, prices, np.nan)


@kernel
def _bollinger(close: Floats, n: int, k: float, upper: Floats, middle: Floats, lower: Floats) -> bool:
    warm_up = min(n - 1, close.size)
    upper[:warm_up], middle[:warm_up], lower[:warm_up] = math.nan, math.nan, math.nan
    rows = chunk_rows(n, close.size)
    if rows == 0:
        return True
    scratch = np.empty((4, rows + n))
    for start in range(n - 1, close.size, rows):
        stop = min(start + rows, close.size)
        if not all_known(close[start - n + 1 : stop]):
            return False
        disperse_windows(close[start - n + 1 : stop], n, middle[start:stop], upper[start:stop], scratch)
        _spread(n, k, upper[start:stop], middle[start:stop], lower[start:stop])
    return True


@kernel
def _spread(n: int, k: float, upper: Floats, middle: Floats, lower: Floats) -> None:
    for j in range(upper.size):
        centre, sigma = middle[j] / n, math.sqrt(upper[j] / n)
        width = k * sigma if sigma > _ROUNDING * abs(centre) else 0.0
        upper[j], middle[j], lower[j] = centre + width, centre, centre - width


@kernel
def _log_returns(close: Floats) -> Floats:
    returns = np.empty(close.size - 1)
    for i in range(1, close.size):
        returns[i - 1] = math.log(close[i] / close[i - 1])
    return returns


@kernel
def _realized_volatility(close: Floats, n: int, root_of_year: float, volatility: Floats) -> bool:
    if not all_known(close):
        return False
    volatility[: min(n, close.size)] = math.nan
    if n >= close.size:
        return True
    returns = _log_returns(close)
    window_moments(returns, n, np.empty(returns.size), volatility[1:])
    for i in range(n, close.size):
        volatility[i] = math.sqrt(volatility[i] / (n - 1)) * root_of_year
    return True


@kernel
def _ewm_volatility(close: Floats, n: int, root_of_year: float, volatility: Floats) -> bool:
    if not all_known(close):
        return False
    volatility[: min(n, close.size)] = math.nan
    if n >= close.size:
        return True
    squares = _log_returns(close)
    for i in range(squares.size):
        squares[i] *= squares[i]
    smooth(squares, ema_from(0, n), volatility[1:], new_tile(1, tile_rows(n, close.size))[0])
    for i in range(n, close.size):
        volatility[i] = math.sqrt(volatility[i]) * root_of_year
    return True
