"""Fewer points for the same picture: what a chart shows of a long history.

Invariants:
- the highest high, the lowest low, the first open and the last close of a stretch of bars survive, and so do the
  first, last, lowest and highest value of a stretch of a curve;
- groups of bars are anchored at absolute bar numbers, so a bar shown keeps its edges when the window moves.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from novapulse.core.bars import DAY_NS, MINUTE_NS, BarColumns, Floats, Integers

_SECONDS, _MINUTES, _HOURS = (1, 2, 5, 10, 15, 30), (1, 2, 3, 5, 10, 15, 20, 30), (1, 2, 3, 4, 6, 8, 12)
_DAYS = (1, 2, 5, 7, 10, 14, 20, 30)
_WIDTHS_NS = (
    *(count * MINUTE_NS // 60 for count in _SECONDS),
    *(count * MINUTE_NS for count in _MINUTES),
    *(count * 60 * MINUTE_NS for count in _HOURS),
    *(count * DAY_NS for count in _DAYS),
)


@dataclass(frozen=True, slots=True)
class DisplayBars:
    """Bars as they are drawn, each made of up to `multiple` bars.

    Attributes:
        start_ns: int64[M], where each is drawn from, ns UTC.
        ts_close_ns: int64[M], close of the last bar inside, and where each is drawn to.
        open: float64[M], quote per base.
        high: float64[M].
        low: float64[M].
        close: float64[M].
        volume: float64[M], base units.
        last: int64[M], row of the last bar inside.
        multiple: Bars of the calendar's grid per bar drawn.
    """

    start_ns: Integers
    ts_close_ns: Integers
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    last: Integers
    multiple: int

    def __len__(self) -> int:
        return int(self.last.size)


def display_bars(bars: BarColumns, bars_max: int) -> DisplayBars:
    """Group bars by the narrowest usual width that leaves at most `bars_max` of them.

    Args:
        bars: Bars, gaps allowed.
        bars_max: How many may be drawn, >= 2.
    """
    multiple = _multiple(bars, bars_max)
    groups = (bars.number - 1) // multiple
    first = np.flatnonzero(np.diff(groups, prepend=groups[0] - 1)) if len(bars) else np.zeros(0, np.int64)
    last = np.append(first[1:], len(bars))[: first.size] - 1
    opened = bars.ts_close_ns[first] - bars.timeframe_ns
    # A group that reaches over a closed market is drawn no wider than the others.
    start = np.maximum(opened, bars.ts_close_ns[last] - multiple * bars.timeframe_ns)
    return DisplayBars(
        start,
        bars.ts_close_ns[last],
        bars.open[first],
        _over(np.maximum, bars.high, first),
        _over(np.minimum, bars.low, first),
        bars.close[last],
        _over(np.add, bars.volume, first),
        last,
        multiple,
    )


def extremes(values: Floats, columns: int) -> Integers:
    """Return the rows of a curve that keep its picture in so many columns of pixels.

    Args:
        values: float64[N], finite.
        columns: Stretches of equal length, >= 1.

    Returns:
        int64[<= 4 * columns], ascending: first, lowest, highest and last row of each stretch; all rows if N is less.
    """
    if values.size <= 4 * columns:
        return np.arange(values.size)
    width = -(-values.size // columns)
    starts = np.arange(0, values.size, width)
    padded = np.append(values, np.full(starts.size * width - values.size, values[-1])).reshape(-1, width)
    ends = np.minimum(starts + width, values.size) - 1
    rows = np.concatenate([starts, starts + padded.argmin(axis=1), starts + padded.argmax(axis=1), ends])
    return np.unique(rows)


@dataclass(frozen=True, slots=True)
class Buckets:
    """Stretches of equal time.

    Attributes:
        start_ns: int64[M], open, ns UTC.
        end_ns: int64[M], close.
        means: float64[R, M], NaN where no value is known.
        lows: float64[R, M].
        highs: float64[R, M].
    """

    start_ns: Integers
    end_ns: Integers
    means: Floats
    lows: Floats
    highs: Floats


def bucketed(values: Floats, ts_close_ns: Integers, timeframe_ns: int, columns_max: int) -> Buckets:
    """Return mean, lowest and highest of some rows over stretches of equal time that hold any bar.

    Args:
        values: float64[R, N], NaN where unknown.
        ts_close_ns: int64[N], ascending, ns UTC.
        timeframe_ns: Width of a bar.
        columns_max: How many stretches there may be, >= 2.
    """
    if ts_close_ns.size == 0:
        nothing, empty = np.zeros(0, np.int64), np.zeros((values.shape[0], 0))
        return Buckets(nothing, nothing, empty, empty, empty)
    span = int(ts_close_ns[-1] - ts_close_ns[0]) // timeframe_ns + 1
    width = _usual(-(-span // (columns_max - 1)), timeframe_ns) * timeframe_ns
    groups = (ts_close_ns - 1) // width
    first = np.flatnonzero(np.diff(groups, prepend=groups[0] - 1))
    known = ~np.isnan(values)
    counts = np.add.reduceat(known, first, axis=1, dtype=np.int64)
    sums = np.add.reduceat(np.where(known, values, 0.0), first, axis=1)
    unknown = counts == 0
    lows = np.minimum.reduceat(np.where(known, values, np.inf), first, axis=1)
    highs = np.maximum.reduceat(np.where(known, values, -np.inf), first, axis=1)
    for part in (sums, lows, highs):
        part[unknown] = np.nan
    starts = groups[first] * width
    return Buckets(starts, starts + width, sums / np.maximum(counts, 1), lows, highs)


def _over(function: np.ufunc, column: Floats, first: Integers) -> Floats:
    if first.size == 0:
        return np.zeros(0)
    reduced: NDArray[np.float64] = function.reduceat(column, first)
    return reduced


def _multiple(bars: BarColumns, bars_max: int) -> int:
    if len(bars) == 0:
        return 1
    span = int(bars.number[-1] - bars.number[0]) + 1
    return 1 if span <= bars_max else _usual(-(-span // (bars_max - 1)), bars.timeframe_ns)


def _usual(multiple: int, timeframe_ns: int) -> int:
    for width in _WIDTHS_NS:
        if width % timeframe_ns == 0 and width // timeframe_ns >= multiple:
            return width // timeframe_ns
    return multiple
