"""Bars as columns.

Invariants, checked where columns enter the program (`BarColumns.checked`) and relied on everywhere else:
- a bar is named by its CLOSE (`ts_close_ns`, int64 ns UTC), ascending, without duplicates;
- prices are finite and above zero, low <= open, close <= high; volume is finite and not negative;
- `number` is the bar's ordinal on its calendar's grid: the same bar has the same number in every window, and
  consecutive bars have consecutive numbers. A jump is a gap: indicators start anew behind it;
- arrays are read-only and contiguous; a slice is a view.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]

MINUTE_NS = 60_000_000_000
DAY_NS = 86_400_000_000_000

_UNITS_NS = {"s": 1_000_000_000, "m": MINUTE_NS, "h": 60 * MINUTE_NS, "d": DAY_NS}


_COLUMNS = ("ts_close_ns", "open", "high", "low", "close", "volume", "number", "made")


class BarError(ValueError):
    """Bars that cannot be: the message names the column, the row and what was wrong."""


@dataclass(frozen=True, slots=True)
class BarColumns:
    """A stretch of bars of one instrument and one timeframe.

    Attributes:
        ts_close_ns: int64[N], close of each bar, ns UTC, ascending.
        open: float64[N], quote per base.
        high: float64[N], quote per base.
        low: float64[N], quote per base.
        close: float64[N], quote per base.
        volume: float64[N], base units.
        number: int64[N], ordinal on the calendar's grid (24/7: `ts_close_ns // timeframe_ns`).
        made: bool[N], True for a flat zero-volume bar made at read time for an interval without trades.
        timeframe_ns: Width of a bar.
    """

    ts_close_ns: Integers
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    number: Integers
    made: Flags
    timeframe_ns: int

    @classmethod
    def checked(
        cls,
        ts_close_ns: object,
        open: object,
        high: object,
        low: object,
        close: object,
        volume: object,
        *,
        timeframe_ns: int,
        number: object = None,
        made: object = None,
    ) -> Self:
        """Build columns from anything array-like, or say which row is impossible.

        Args:
            ts_close_ns: Closes, ns UTC.
            open: Prices, as `high`, `low` and `close`.
            high: Highest prices.
            low: Lowest prices.
            close: Last prices.
            volume: Traded quantity, base units.
            timeframe_ns: Width of a bar, > 0.
            number: Ordinals on the calendar's grid; None means a 24/7 grid.
            made: Flags of bars made at read time; None means none.

        Returns:
            Read-only columns.

        Raises:
            BarError: Lengths differ, a stamp is out of order, or a value is impossible.
        """
        if timeframe_ns <= 0:
            raise BarError(f"timeframe must be above 0 ns, got {timeframe_ns}")
        stamps = np.ascontiguousarray(ts_close_ns, np.int64)
        ordinals = stamps // timeframe_ns if number is None else np.ascontiguousarray(number, np.int64)
        flags = np.zeros(stamps.size, np.bool_) if made is None else np.ascontiguousarray(made, np.bool_)
        prices = {"open": open, "high": high, "low": low, "close": close, "volume": volume}
        columns = {name: np.ascontiguousarray(values, np.float64) for name, values in prices.items()}
        for name, values in {**columns, "number": ordinals, "made": flags}.items():
            if values.shape != stamps.shape or stamps.ndim != 1:
                raise BarError(f"column {name} has shape {values.shape}, ts_close_ns has {stamps.shape}")
        bars = cls(
            ts_close_ns=stamps,
            open=columns["open"],
            high=columns["high"],
            low=columns["low"],
            close=columns["close"],
            volume=columns["volume"],
            number=ordinals,
            made=flags,
            timeframe_ns=timeframe_ns,
        )
        bars._refuse_the_impossible()
        return bars._frozen()

    def _refuse_the_impossible(self) -> None:
        if self.ts_close_ns.size == 0:
            return
        self._refuse(np.diff(self.ts_close_ns, prepend=self.ts_close_ns[0] - 1) <= 0, "ts_close_ns", "is not ascending")
        self._refuse(np.diff(self.number, prepend=self.number[0] - 1) <= 0, "number", "is not ascending")
        for name in ("open", "high", "low", "close"):
            column: Floats = getattr(self, name)
            self._refuse(~np.isfinite(column), name, "is not finite")
            self._refuse(column <= 0, name, "is not above zero")
        self._refuse(~np.isfinite(self.volume), "volume", "is not finite")
        self._refuse(self.volume < 0, "volume", "is negative")
        self._refuse(self.low > np.minimum(self.open, self.close), "low", "is above open or close")
        self._refuse(self.high < np.maximum(self.open, self.close), "high", "is below open or close")

    def _refuse(self, bad: Flags, column: str, what: str) -> None:
        if bad.any():
            row = int(np.argmax(bad))
            value = getattr(self, column)[row]
            stamp = format_ns(int(self.ts_close_ns[row]))
            more = int(bad.sum()) - 1
            rest = f" (and {more} more rows)" if more else ""
            raise BarError(f"row {row}, bar closing {stamp}: {column} {value} {what}{rest}")

    def _frozen(self) -> Self:
        columns: dict[str, Any] = {name: _read_only(getattr(self, name)) for name in _COLUMNS}
        return replace(self, **columns)

    def __len__(self) -> int:
        return int(self.ts_close_ns.size)

    def __getitem__(self, rows: slice) -> Self:
        """Return a stretch of rows as views, without a copy."""
        columns: dict[str, Any] = {name: getattr(self, name)[rows] for name in _COLUMNS}
        return replace(self, **columns)

    def segments(self) -> Iterator[slice]:
        """Yield the stretches without a gap, in time order."""
        if len(self) == 0:
            return
        breaks = np.flatnonzero(np.diff(self.number) != 1) + 1
        edges = [0, *breaks.tolist(), len(self)]
        for start, stop in pairwise(edges):
            yield slice(start, stop)

    def between(self, start_ns: int | None, end_ns: int | None) -> Self:
        """Return the bars that close in (start, end], as views."""
        first = 0 if start_ns is None else int(np.searchsorted(self.ts_close_ns, start_ns, side="right"))
        last = len(self) if end_ns is None else int(np.searchsorted(self.ts_close_ns, end_ns, side="right"))
        return self[first:last]


def _read_only(column: NDArray[Any]) -> NDArray[Any]:
    if not column.flags.writeable:
        return column
    view = column.view()
    view.flags.writeable = False
    return view


def timeframe_ns(text: str) -> int:
    """Return the width of a timeframe such as `1m`, `15m`, `1h` or `1d`, in ns.

    Raises:
        ValueError: The text is not a timeframe.
    """
    count, unit = text[:-1], text[-1:]
    if not count.isdigit() or int(count) == 0 or unit not in _UNITS_NS:
        raise ValueError(f"timeframe {text!r}: expected a number and one of s, m, h, d, such as 1m or 4h")
    return int(count) * _UNITS_NS[unit]


def timeframe_text(width_ns: int) -> str:
    """Return the shortest spelling of a bar width: 900 s -> `15m`."""
    for unit in ("d", "h", "m", "s"):
        if width_ns % _UNITS_NS[unit] == 0:
            return f"{width_ns // _UNITS_NS[unit]}{unit}"
    raise ValueError(f"timeframe of {width_ns} ns: expected whole seconds")


def day_start_ns(stamp_ns: int) -> int:
    """Return where the UTC day of a moment begins, ns: midnight belongs to the day that it ends, as a close does.

    Args:
        stamp_ns: ns UTC.
    """
    return (stamp_ns - 1) // DAY_NS * DAY_NS


def format_ns(stamp_ns: int) -> str:
    """Return a stamp as people read it, exact to what it holds: `2026-03-23 12:10:00Z`."""
    text = str(np.datetime64(stamp_ns, "ns")).replace("T", " ")
    return text.rstrip("0").rstrip(".") + "Z" if "." in text else text + "Z"
