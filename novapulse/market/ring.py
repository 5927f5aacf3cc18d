"""The newest bars of one instrument in memory, as contiguous columns without a copy.

Invariants:
- appending and replacing the last bar cost the same however many bars are held; memory is fixed at construction;
- every bar is written twice, one capacity apart, so that the newest bars always lie contiguous somewhere;
- a view shows the ring as it was until the next append or replacement: who keeps bars longer copies them.
"""

import math
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from novapulse.core.bars import BarColumns, BarError, Integers, format_ns

Column = TypeVar("Column", bound=NDArray[Any])


class BarRing:
    """A ring of the newest bars.

    Attributes:
        capacity: Most bars held.
        timeframe_ns: Width of a bar.
    """

    def __init__(self, capacity: int, timeframe_ns: int) -> None:
        """Reserve all memory there will ever be: 114 bytes per bar of capacity.

        Args:
            capacity: Most bars held, >= 1.
            timeframe_ns: Width of a bar, > 0.

        Raises:
            ValueError: Capacity or width is not positive.
        """
        if capacity < 1 or timeframe_ns < 1:
            raise ValueError(f"a ring needs a capacity and a width above 0, got {capacity} and {timeframe_ns}")
        self.capacity = capacity
        self.timeframe_ns = timeframe_ns
        self._stamps = np.zeros(2 * capacity, np.int64)
        self._prices = np.zeros((5, 2 * capacity), np.float64)
        self._numbers = np.zeros(2 * capacity, np.int64)
        self._made = np.zeros(2 * capacity, np.bool_)
        open_, high, low, close, volume = (_read_only(column) for column in self._prices)
        stamps, numbers, made = _read_only(self._stamps), _read_only(self._numbers), _read_only(self._made)
        self._shown = BarColumns(stamps, open_, high, low, close, volume, numbers, made, timeframe_ns)
        self._written = 0

    def __len__(self) -> int:
        return min(self._written, self.capacity)

    def append(
        self,
        ts_close_ns: int,
        open: float,
        high: float,
        low: float,
        close: float,
        volume: float,
        number: int,
        made: bool = False,
    ) -> None:
        """Add the next bar; the oldest falls out when the ring is full.

        Args:
            ts_close_ns: Close, ns UTC, after the last bar's.
            open: First price, quote per base, as `high`, `low` and `close`.
            high: Highest price.
            low: Lowest price.
            close: Last price.
            volume: Base units, >= 0.
            number: Ordinal on the calendar's grid, above the last bar's.
            made: Whether the bar was made for an interval without trades.

        Raises:
            BarError: The bar is impossible or not newer than the last; the ring is as before.
        """
        _refuse_the_impossible(ts_close_ns, open, high, low, close, volume)
        if self._written:
            last = (self._written - 1) % self.capacity
            if ts_close_ns <= self._stamps[last] or number <= self._numbers[last]:
                newest = format_ns(int(self._stamps[last]))
                raise BarError(f"bar closing {format_ns(ts_close_ns)} is not newer than the last bar, {newest}")
        self._write(self._written % self.capacity, (ts_close_ns, open, high, low, close, volume, number, made))
        self._written += 1

    def replace_last(
        self, open: float, high: float, low: float, close: float, volume: float, made: bool = False
    ) -> None:
        """Correct the newest bar in place; its close and number stay.

        Args:
            open: First price, quote per base, as `high`, `low` and `close`.
            high: Highest price.
            low: Lowest price.
            close: Last price.
            volume: Base units, >= 0.
            made: Whether the bar was made for an interval without trades.

        Raises:
            BarError: The bar is impossible or the ring is empty; the ring is as before.
        """
        if not self._written:
            raise BarError("no bar to replace: the ring is empty")
        at = (self._written - 1) % self.capacity
        stamp, number = int(self._stamps[at]), int(self._numbers[at])
        _refuse_the_impossible(stamp, open, high, low, close, volume)
        self._write(at, (stamp, open, high, low, close, volume, number, made))

    def extend(self, bars: BarColumns) -> None:
        """Append many bars at once, e.g. the history at start-up.

        Raises:
            BarError: Their width differs or they do not follow the last bar; the ring is as before.
        """
        if bars.timeframe_ns != self.timeframe_ns:
            raise BarError(f"bars of {bars.timeframe_ns} ns in a ring of {self.timeframe_ns} ns")
        held = self.columns()
        follows = not (len(held) and len(bars)) or (
            bars.ts_close_ns[0] > held.ts_close_ns[-1] and bars.number[0] > held.number[-1]
        )
        if not follows:
            raise BarError(f"bar closing {format_ns(int(bars.ts_close_ns[0]))} is not newer than the last bar")
        newest = bars[-self.capacity :] if len(bars) > self.capacity else bars
        self._written += len(bars) - len(newest)
        at = (self._written + np.arange(len(newest))) % self.capacity
        self._write_rows(at, newest)
        self._written += len(newest)

    def columns(self) -> BarColumns:
        """Return the bars held, oldest first, as read-only views without a copy."""
        start = self._written % self.capacity if self._written > self.capacity else 0
        return self._shown[start : start + len(self)]

    def _write(self, at: int, bar: tuple[int, float, float, float, float, float, int, bool]) -> None:
        for place in (at, at + self.capacity):
            self._stamps[place] = bar[0]
            self._prices[:, place] = bar[1:6]
            self._numbers[place] = bar[6]
            self._made[place] = bar[7]

    def _write_rows(self, at: Integers, bars: BarColumns) -> None:
        for places in (at, at + self.capacity):
            self._stamps[places] = bars.ts_close_ns
            for column, values in zip(
                self._prices, (bars.open, bars.high, bars.low, bars.close, bars.volume), strict=True
            ):
                column[places] = values
            self._numbers[places] = bars.number
            self._made[places] = bars.made


def _read_only(column: Column) -> Column:
    view = column.view()
    view.flags.writeable = False
    return view


def _refuse_the_impossible(ts_close_ns: int, open: float, high: float, low: float, close: float, volume: float) -> None:
    # One chain of comparisons: it is False for NaN and for anything infinite as well.
    if not (0 < low <= open <= high < math.inf and low <= close <= high and 0 <= volume < math.inf):
        raise BarError(
            f"bar closing {format_ns(ts_close_ns)} is impossible: open {open}, high {high}, low {low}, close {close}, "
            f"volume {volume}"
        )
