"""Trading calendars: when bars close, and which ordinal each bar has.

Invariants:
- on `24/7` a bar closes at every multiple of its width since 1970 and has the number `ts_close_ns // timeframe_ns`;
- on an exchange calendar (`XNYS`, any name `exchange_calendars` knows) only regular sessions count. Bars lie on the
  clock's grid, so an hourly day in New York starts with the half bar 09:30-10:00, and the last bar of a session ends
  with the session. Numbers count bars since 1970 and run on from session to session; every session starts on a whole
  group of 30 minutes (of an hour, for widths that do not divide 30 minutes), so 5x and 15x groups of minutes line up
  with the open, on half-days too;
- a daily bar closes at its session's close and has the session's ordinal;
- nothing here asks for the time of day or today's date: a calendar spans 1970 to 2049.
"""

import warnings
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np

from novapulse.core.bars import DAY_NS, MINUTE_NS, BarColumns, Flags, Integers, format_ns, timeframe_text

CONTINUOUS = "24/7"
YEAR_NS = DAY_NS * 1461 // 4

_HOUR_NS = 60 * MINUTE_NS
_HALF_HOUR_NS = 30 * MINUTE_NS
_REACH_NS = 8 * _HOUR_NS
_FIRST_DAY, _LAST_DAY = "1970-01-01", "2049-12-31"
_REFERENCE_START_NS, _REFERENCE_END_NS = 1_451_606_400_000_000_000, 1_767_225_600_000_000_000


class CalendarError(ValueError):
    """Stamps that do not fit a calendar: the message names the calendar and the first stamp."""


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
        _refuse(self.name, off, stamps, f"is no close of a regular {timeframe_text(timeframe_ns)} bar")


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


@dataclass(frozen=True)
class _Spans:
    """Stretches of trading without a break, int64[S] ascending, and the last close of each session."""

    opens: Integers
    closes: Integers
    session_closes: Integers


@dataclass(frozen=True)
class _Grid:
    """Bars of one width over the spans: where each span's grid starts and how many bars lie before it."""

    starts: Integers
    bars_before: Integers


class Exchange(Calendar):
    """The regular sessions of an exchange, with holidays, half-days, lunch breaks and daylight saving."""

    def __init__(self, name: str) -> None:
        """Look a calendar up; its sessions are loaded when they are first needed.

        Args:
            name: A name `exchange_calendars` knows, e.g. `XNYS`.
        """
        self.name = name

    def __repr__(self) -> str:
        return f"Exchange({self.name!r})"

    def has(self, timeframe_ns: int) -> bool:
        """Return True for a day and for widths that divide an hour."""
        return timeframe_ns == DAY_NS or (timeframe_ns > 0 and _HOUR_NS % timeframe_ns == 0)

    def closes(self, start_ns: int, end_ns: int, timeframe_ns: int) -> Integers:
        """Return every close of a regular bar in (start, end]."""
        if timeframe_ns == DAY_NS:
            closes = _spans(self.name).session_closes
        else:
            spans, grid = _spans(self.name), _grid(self.name, timeframe_ns)
            first = int(np.searchsorted(spans.closes, start_ns, side="right"))
            last = min(int(np.searchsorted(spans.opens, end_ns, side="left")), grid.bars_before.size - 1)
            numbers = np.arange(grid.bars_before[first], grid.bars_before[last], dtype=np.int64) + 1
            closes = self.closes_of(numbers, timeframe_ns)
        return closes[(closes > start_ns) & (closes <= end_ns)]

    def on_grid(self, ts_close_ns: Integers, timeframe_ns: int) -> Flags:
        """Return which stamps are session closes (daily bars), or closes of bars within a session."""
        spans = _spans(self.name)
        if timeframe_ns == DAY_NS:
            at = np.searchsorted(spans.session_closes, ts_close_ns)
            return np.equal(spans.session_closes[np.minimum(at, spans.session_closes.size - 1)], ts_close_ns)
        grid = _grid(self.name, timeframe_ns)
        at = np.minimum(np.searchsorted(spans.closes, ts_close_ns), spans.closes.size - 1)
        whole = (ts_close_ns - grid.starts[at]) % timeframe_ns == 0
        on_grid: Flags = self.regular(ts_close_ns) & (whole | (ts_close_ns == spans.closes[at]))
        return on_grid

    def numbers(self, ts_close_ns: Integers, timeframe_ns: int) -> Integers:
        """Return how many regular bars closed since 1970, the bar itself included."""
        self._refuse_off_grid(ts_close_ns, timeframe_ns)
        spans = _spans(self.name)
        if timeframe_ns == DAY_NS:
            return np.searchsorted(spans.session_closes, ts_close_ns).astype(np.int64) + 1
        grid = _grid(self.name, timeframe_ns)
        at = np.searchsorted(spans.closes, ts_close_ns)
        return grid.bars_before[at] - (grid.starts[at] - ts_close_ns) // timeframe_ns

    def closes_of(self, numbers: Integers, timeframe_ns: int) -> Integers:
        """Return the closes of ordinals; -1 for the empty rest of a session that is no whole group of bars."""
        spans = _spans(self.name)
        if timeframe_ns == DAY_NS:
            inside = (numbers >= 1) & (numbers <= spans.session_closes.size)
            return np.where(inside, spans.session_closes[np.where(inside, numbers, 1) - 1], -1)
        grid = _grid(self.name, timeframe_ns)
        at = np.clip(np.searchsorted(grid.bars_before, numbers) - 1, 0, spans.closes.size - 1)
        begins = grid.starts[at] + (numbers - grid.bars_before[at] - 1) * timeframe_ns
        closes = np.minimum(begins + timeframe_ns, spans.closes[at])
        inside = (begins < spans.closes[at]) & (closes > spans.opens[at]) & (numbers > grid.bars_before[at])
        return np.where(inside, closes, -1)

    def closes_of_opens(self, ts_open_ns: Integers, timeframe_ns: int) -> Integers:
        """Return the end of each bar, its session's close where that comes first."""
        spans = _spans(self.name)
        if timeframe_ns == DAY_NS:
            at = np.searchsorted(spans.session_closes, ts_open_ns, side="right")
            found = spans.session_closes[np.minimum(at, spans.session_closes.size - 1)]
            _refuse(self.name, (found - ts_open_ns > DAY_NS) | (found < ts_open_ns), ts_open_ns, "is no session")
            return found
        ends = ts_open_ns + timeframe_ns
        at = np.minimum(np.searchsorted(spans.closes, ts_open_ns, side="right"), spans.closes.size - 1)
        crosses = (ends > spans.opens[at]) & (ts_open_ns < spans.closes[at])
        return np.where(crosses, np.minimum(ends, spans.closes[at]), ends)

    def regular(self, ts_close_ns: Integers) -> Flags:
        """Return which stamps lie in (open, close] of a session."""
        spans = _spans(self.name)
        at = np.minimum(np.searchsorted(spans.closes, ts_close_ns), spans.closes.size - 1)
        inside: Flags = (ts_close_ns > spans.opens[at]) & (ts_close_ns <= spans.closes[at])
        return inside

    def near_session(self, ts_close_ns: Integers) -> Flags:
        """Return which stamps lie within eight hours of a session."""
        spans = _spans(self.name)
        ahead = np.minimum(np.searchsorted(spans.closes, ts_close_ns), spans.closes.size - 1)
        behind = np.maximum(ahead - 1, 0)
        before = (spans.opens[ahead] - ts_close_ns <= _REACH_NS) & (ts_close_ns <= spans.closes[ahead])
        near: Flags = before | (np.abs(ts_close_ns - spans.closes[behind]) <= _REACH_NS)
        return near

    def sessions_between(self, start_ns: int, end_ns: int) -> int:
        """Return how many sessions close in (start, end]."""
        first, last = np.searchsorted(_spans(self.name).session_closes, (start_ns, end_ns), side="right")
        return int(last - first)

    def bars_per_year(self, timeframe_ns: int) -> float:
        """Return the mean of 2016 to 2025; widths of several hours or days are groups of hourly or daily bars."""
        for unit in (timeframe_ns, DAY_NS, _HOUR_NS, MINUTE_NS):
            if timeframe_ns % unit == 0 and self.has(unit):
                bars = self.closes(_REFERENCE_START_NS, _REFERENCE_END_NS, unit).size
                years = (_REFERENCE_END_NS - _REFERENCE_START_NS) / YEAR_NS
                return bars / years / (timeframe_ns // unit)
        raise _no_such_width(self.name, timeframe_ns)


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
    _spans(name)
    return Exchange(name)


@cache
def _spans(name: str) -> _Spans:
    with warnings.catch_warnings():
        # The library touches pandas interfaces that the installed pandas announces to change.
        warnings.simplefilter("ignore")
        import exchange_calendars
        import pandas as pd

        try:
            sort = exchange_calendars.calendar_utils.global_calendar_dispatcher
            known = sort._calendar_factories[sort.resolve_alias(name)]
        except (exchange_calendars.errors.InvalidCalendarName, KeyError) as unknown:
            raise CalendarError(f"calendar {name!r}: expected 24/7 or an exchange's code such as XNYS") from unknown
        bounds = (known.bound_min(), known.bound_max())
        first = max(pd.Timestamp(_FIRST_DAY), bounds[0] or pd.Timestamp(_FIRST_DAY))
        last = min(pd.Timestamp(_LAST_DAY), bounds[1] or pd.Timestamp(_LAST_DAY))
        sessions = exchange_calendars.get_calendar(name, start=first, end=last)
        columns = [sessions.opens, sessions.break_starts, sessions.break_ends, sessions.closes]
        opens, break_starts, break_ends, closes = (
            column.to_numpy(dtype="datetime64[ns]").astype(np.int64) for column in columns
        )
    broken = break_starts > 0
    return _Spans(
        np.sort(np.concatenate([opens, break_ends[broken]])),
        np.sort(np.concatenate([closes, break_starts[broken]])),
        closes,
    )


@lru_cache(maxsize=64)
def _grid(name: str, timeframe_ns: int) -> _Grid:
    if timeframe_ns <= 0 or _HOUR_NS % timeframe_ns:
        raise _no_such_width(name, timeframe_ns)
    group = _HALF_HOUR_NS if _HALF_HOUR_NS % timeframe_ns == 0 else _HOUR_NS
    spans = _spans(name)
    starts = spans.opens // group * group
    bars = -((starts - spans.closes) // group) * (group // timeframe_ns)
    return _Grid(starts, np.concatenate([[0], np.cumsum(bars)]).astype(np.int64))


def _no_such_width(name: str, timeframe_ns: int) -> CalendarError:
    return CalendarError(
        f"calendar {name}: no bars of {timeframe_ns / 1e9:g} s; expected a width that divides an hour, or a day"
    )


def _refuse(name: str, bad: Flags, stamps: Integers, what: str) -> None:
    if bad.any():
        row = int(np.argmax(bad))
        raise CalendarError(f"calendar {name}: row {row}, {format_ns(int(stamps[row]))} {what}")


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
