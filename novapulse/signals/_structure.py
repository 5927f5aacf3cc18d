"""Swing points, and the price levels at which several of them lie.

A pivot is the extreme bar of `k` bars on either side, so it is known only `k` bars later: every result stands at the
bar on which it was known. Of several equal extremes the first counts, so that a flat market has no pivots.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from novapulse.compiled import kernel
from novapulse.core.bars import Floats, Integers
from novapulse.signals._columns import all_known, columns, evaluate, period, positive


class Pivots(NamedTuple):
    """`at`: int64[N], index of the pivot that became known here, -1 for none; `price`: float64[N], NaN for none."""

    at: Integers
    price: Floats


class Levels(NamedTuple):
    """Nearest level under and above the close, NaN for none, and how many pivots lie at each: float64[N]."""

    support: Floats
    resistance: Floats
    support_touches: Floats
    resistance_touches: Floats


def pivot_low(low: ArrayLike, k: int) -> Pivots:
    """Return the swing lows, each at the bar on which it became known.

    Args:
        low: float64[N], quote per base.
        k: Bars on either side that lie higher, >= 1.

    Returns:
        at, price: the pivot at `i - k`, stated at `i`.

    Raises:
        ValueError: `low` is not one-dimensional or `k` is not a whole number >= 1.
    """
    return _pivots(columns(low=low), period("k", k), -1.0)


def pivot_high(high: ArrayLike, k: int) -> Pivots:
    """Return the swing highs, each at the bar on which it became known.

    Args:
        high: float64[N], quote per base.
        k: Bars on either side that lie lower, >= 1.

    Returns:
        at, price: the pivot at `i - k`, stated at `i`.

    Raises:
        ValueError: `high` is not one-dimensional or `k` is not a whole number >= 1.
    """
    return _pivots(columns(high=high), period("k", k), 1.0)


def levels(high: ArrayLike, low: ArrayLike, close: ArrayLike, k: int, window: int, tolerance: float) -> Levels:
    """Return the nearest support and resistance: clusters of swing highs and lows of the last `window` bars.

    Pivots are grouped from the lowest upwards, each group no wider than `tolerance`; a level is the mean of its group.

    Args:
        high: float64[N], quote per base.
        low: float64[N], quote per base.
        close: float64[N], quote per base.
        k: Bars on either side of a pivot, >= 1.
        window: Age in bars beyond which a pivot is forgotten, > k.
        tolerance: Width of a group as a fraction of price, > 0.

    Returns:
        support (highest level <= close), resistance (lowest level > close), and the pivots of each.

    Raises:
        ValueError: A column is not one-dimensional, lengths differ, or a parameter is out of range.
    """
    inputs = columns(high=high, low=low, close=close)
    reach = period("k", k)
    parameters = (reach, period("window", window, reach + 1), positive("tolerance", tolerance))
    return Levels(*evaluate(_levels, inputs, parameters, 4))


def _pivots(inputs: tuple[Floats, ...], k: int, sign: float) -> Pivots:
    price = evaluate(_pivot_prices, inputs, (k, sign), 1)[0]
    at = np.where(np.isnan(price), -1, np.arange(price.size, dtype=np.int64) - k)
    return Pivots(at, price)


@kernel(inline=True)
def _is_pivot(values: Floats, at: int, k: int, sign: float) -> bool:
    for distance in range(1, k + 1):
        if sign * values[at - distance] >= sign * values[at] or sign * values[at + distance] > sign * values[at]:
            return False
    return True


@kernel
def _pivot_prices(values: Floats, k: int, sign: float, prices: Floats) -> bool:
    if not all_known(values):
        return False
    prices[: min(2 * k, values.size)] = math.nan
    for i in range(2 * k, values.size):
        prices[i] = values[i - k] if _is_pivot(values, i - k, k, sign) else math.nan
    return True


@kernel
def _insert(prices: Floats, count: int, price: float) -> int:
    slot = count
    while slot > 0 and prices[slot - 1] > price:
        prices[slot] = prices[slot - 1]
        slot -= 1
    prices[slot] = price
    return count + 1


@kernel
def _remove(prices: Floats, count: int, price: float) -> int:
    slot = 0
    while prices[slot] != price:
        slot += 1
    for later in range(slot + 1, count):
        prices[later - 1] = prices[later]
    return count - 1


@kernel
def _group(prices: Floats, count: int, tolerance: float, means: Floats, touches: Floats) -> int:
    groups, start = 0, 0
    while start < count:
        stop, total = start, 0.0
        while stop < count and prices[stop] <= prices[start] * (1.0 + tolerance):
            total += prices[stop]
            stop += 1
        means[groups], touches[groups] = total / (stop - start), float(stop - start)
        groups += 1
        start = stop
    return groups


@kernel
def _levels(
    high: Floats,
    low: Floats,
    close: Floats,
    k: int,
    window: int,
    tolerance: float,
    support: Floats,
    resistance: Floats,
    support_touches: Floats,
    resistance_touches: Floats,
) -> bool:
    if not (all_known(high) and all_known(low) and all_known(close)):
        return False
    room = 2 * (min(window, close.size) // (k + 1) + 2)
    prices, means, touches = np.empty(room), np.empty(room), np.empty(room)
    highs, lows = np.empty(high.size), np.empty(low.size)
    _pivot_prices(high, k, 1.0, highs)
    _pivot_prices(low, k, -1.0, lows)
    count, groups = 0, 0
    for i in range(close.size):
        changed = False
        gone = i - window + k
        if gone >= 0:
            for price in (highs[gone], lows[gone]):
                if not math.isnan(price):
                    count, changed = _remove(prices, count, price), True
        for price in (highs[i], lows[i]):
            if not math.isnan(price):
                count, changed = _insert(prices, count, price), True
        if changed:
            groups = _group(prices, count, tolerance, means, touches)
        above = 0
        while above < groups and means[above] <= close[i]:
            above += 1
        support[i] = means[above - 1] if above > 0 else math.nan
        support_touches[i] = touches[above - 1] if above > 0 else 0.0
        resistance[i] = means[above] if above < groups else math.nan
        resistance_touches[i] = touches[above] if above < groups else 0.0
    return True
