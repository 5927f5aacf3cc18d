"""Trading calendars: when bars close, and which ordinal each bar has.

Invariants:
- on `24/7` a bar closes at every multiple of its width since 1970 and has the number `ts_close_ns // timeframe_ns`;
- on an exchange calendar only regular sessions count (`novapulse.market.sessions`);
- numbers of consecutive bars are consecutive, through nights and weekends as well;
- nothing here asks for the time of day or today's date.
"""

from abc import ABC, abstractmethod
from functools import cache

import numpy as np

from novapulse.core.bars import DAY_NS, BarColumns, Flags, Integers, format_ns, timeframe_text

CONTINUOUS = "24/7"
YEAR_NS = DAY_NS * 1461 // 4


class CalendarError(ValueError):
    """Stamps that do not fit a calendar: the message names the calendar and the first stamp.

    Attributes:
        row: Index of that stamp, or None where it is not about one stamp.
    """

    def __init__(self, message: str, row: int | None = None) -> None:
        super().__init__(message)
        self.row = row


class Calendar(ABC):
    """When an instrument trades. Stamps are int64 ns UTC, bar widths are ns.

    Attributes:
        name: `24/7` or the name of an exchange calendar.
    """

    name: str

    @abstractmethod
    def has(self, timeframe_ns: int) -> bool:
        """Return whether the calendar defines bars of this width itself (and not only groups of narrower ones)."""

    @abstractmethod
    def closes(self, start_ns: int, end_ns: int, timeframe_ns: int) -> Integers:
        """Return every close the calendar expects in (start, end], int64[M], ascending.

        Raises:
            CalendarError: The calendar has no bars of this width.
        """

    @abstractmethod
    def on_grid(self, ts_close_ns: Integers, timeframe_ns: int) -> Flags:
        """Return which stamps are closes of regular bars, bool[N].

        Raises:
            CalendarError: The calendar has no bars of this width.
        """

    @abstractmethod
    def numbers(self, ts_close_ns: Integers, timeframe_ns: int) -> Integers:
        """Return the ordinals of bars by their closes, int64[N].

        Raises:
            CalendarError: A stamp is not a close of the calendar's grid, or there are no bars of this width.
        """

    @abstractmethod
    def closes_of(self, numbers: Integers, timeframe_ns: int) -> Integers:
        """Return the closes of ordinals, int64[N]; -1 where no bar has that ordinal.

        Raises:
            CalendarError: The calendar has no bars of this width.
        """

    @abstractmethod
    def closes_of_opens(self, ts_open_ns: Integers, timeframe_ns: int) -> Integers:
        """Return the closes of bars that are stamped with their open, int64[N].

        A daily stamp on an exchange calendar is a session's label (its date at 00:00 UTC) or any moment before its
        close.

        Raises:
            CalendarError: A daily stamp is no session, or there are no bars of this width.
        """

    @abstractmethod
    def regular(self, ts_close_ns: Integers) -> Flags:
        """Return which stamps lie in a regular session, (open, close], bool[N]."""

    @abstractmethod
    def near_session(self, ts_close_ns: Integers) -> Flags:
        """Return which stamps lie within eight hours of a session: where bars before and after the market can be."""

    @abstractmethod
    def sessions_between(self, start_ns: int, end_ns: int) -> int:
        """Return how many sessions close in (start, end]; days on `24/7`."""

    @abstractmethod
    def bars_per_year(self, timeframe_ns: int) -> float:
        """Return how many bars a year of 365.25 days has; for exchanges the mean of the years 2016 to 2025.

        Raises:
            CalendarError: The calendar has no bars of this width and they are no whole group of its bars.
        """

    def _refuse_off_grid(self, stamps: Integers, timeframe_ns: int) -> None:
        off = ~self.on_grid(stamps, timeframe_ns)
        refuse_stamps(self.name, off, stamps, f"is no close of a regular {timeframe_text(timeframe_ns)} bar")


class Continuous(Calendar):
    """The calendar of markets that never close."""

    name = CONTINUOUS

    def has(self, timeframe_ns: int) -> bool:
        """Return True for every width."""
        return timeframe_ns > 0

    def closes(self, start_ns: int, end_ns: int, timeframe_ns: int) -> Integers:
        """Return every multiple of the width in (start, end]."""
        return np.arange(start_ns // timeframe_ns + 1, end_ns // timeframe_ns + 1, dtype=np.int64) * timeframe_ns

    def on_grid(self, ts_close_ns: Integers, timeframe_ns: int) -> Flags:
        """Return which stamps are multiples of the width (of a day, for longer bars)."""
        return np.equal(ts_close_ns % min(timeframe_ns, DAY_NS), 0)

    def numbers(self, ts_close_ns: Integers, timeframe_ns: int) -> Integers:
        """Return `ts_close_ns // timeframe_ns`."""
        self._refuse_off_grid(ts_close_ns, timeframe_ns)
        return ts_close_ns // timeframe_ns

    def closes_of(self, numbers: Integers, timeframe_ns: int) -> Integers:
        """Return `numbers * timeframe_ns`."""
        return numbers * timeframe_ns

    def closes_of_opens(self, ts_open_ns: Integers, timeframe_ns: int) -> Integers:
        """Return the opens plus the width."""
        return ts_open_ns + timeframe_ns

    def regular(self, ts_close_ns: Integers) -> Flags:
        """Return all True."""
        return np.ones(ts_close_ns.size, np.bool_)

    def near_session(self, ts_close_ns: Integers) -> Flags:
        """Return all True."""
        return self.regular(ts_close_ns)

    def sessions_between(self, start_ns: int, end_ns: int) -> int:
        """Return the number of midnights in (start, end]."""
        return end_ns // DAY_NS - start_ns // DAY_NS

    def bars_per_year(self, timeframe_ns: int) -> float:
        """Return 365.25 days over the width."""
        return YEAR_NS / timeframe_ns


@cache
def calendar(name: str) -> Calendar:
    """Return a calendar by its name.

    Args:
        name: `24/7`, or a name `exchange_calendars` knows such as `XNYS`.

    Raises:
        CalendarError: Nobody knows a calendar of this name.
    """
    if name == CONTINUOUS:
        return Continuous()
    # Sessions need a table that takes a second to build; markets that never close do without.
    from novapulse.market.sessions import Exchange, load_sessions

    return Exchange(name, load_sessions(name))


def bars_per_year_of(bars: BarColumns) -> float:
    """Return bars per year as the data have them: bars over the years between first and last close.

    Raises:
        ValueError: There are fewer than two bars.
    """
    if len(bars) < 2:
        raise ValueError(f"bars per year need at least two bars, got {len(bars)}")
    return len(bars) / (int(bars.ts_close_ns[-1] - bars.ts_close_ns[0]) / YEAR_NS)


def check_bars_per_year(bars: BarColumns, market: Calendar, tolerance_fraction: float = 0.03) -> float:
    """Return the bars per year to annualise with, or refuse a calendar the bars contradict.

    The bars are counted against what the calendar expects over the same stretch. The longest gap is left out on both
    sides: one outage or one delisting is no calendar, while a wrong calendar leaves a gap every night or weekend.

    Args:
        bars: At least one bar, bars made for quiet intervals included.
        market: The instrument's calendar.
        tolerance_fraction: Largest accepted difference, >= 0.

    Returns:
        The figure of the data where it lies within the tolerance of the calendar's, else (short stretches, one long
        gap) the calendar's.

    Raises:
        CalendarError: Bars and calendar differ by more than the tolerance, or a bar closes where the calendar has none.
    """
    annual = market.bars_per_year(bars.timeframe_ns)
    if len(bars) < 3:
        return annual
    numbers = market.numbers(bars.ts_close_ns, bars.timeframe_ns) if market.has(bars.timeframe_ns) else bars.number
    counted, expected = len(bars) - 2, int(numbers[-1] - numbers[0]) - int(np.diff(numbers).max())
    if abs(counted / expected - 1.0) > tolerance_fraction:
        width = timeframe_text(bars.timeframe_ns)
        raise CalendarError(
            f"calendar {market.name}: {counted} bars of {width} where it expects {expected} between "
            f"{format_ns(int(bars.ts_close_ns[0]))} and {format_ns(int(bars.ts_close_ns[-1]))}, "
            f"more than {tolerance_fraction:.0%} apart: another calendar, or data with many gaps"
        )
    measured = bars_per_year_of(bars)
    return measured if abs(measured / annual - 1.0) <= tolerance_fraction else annual


def refuse_stamps(name: str, bad: Flags, stamps: Integers, what: str) -> None:
    """Raise for the first stamp that is bad.

    Args:
        name: The calendar's name.
        bad: bool[N].
        stamps: int64[N], ns UTC.
        what: The rest of the sentence after the stamp.

    Raises:
        CalendarError: A stamp is bad.
    """
    if bad.any():
        row = int(np.argmax(bad))
        raise CalendarError(f"calendar {name}: row {row}, {format_ns(int(stamps[row]))} {what}", row)
