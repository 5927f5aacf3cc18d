"""Calendars of exchanges: regular sessions with holidays, half-days, lunch breaks and daylight saving.

Invariants:
- bars lie on the clock's grid, so an hourly day in New York starts with the half bar 09:30-10:00, and the last bar of a
  session ends with the session;
- numbers count bars since 1970 and run on from session to session; every session starts on a whole group of 30 minutes
  (of an hour, for widths that do not divide 30 minutes), so 5x and 15x groups of minutes line up with the open, on
  half-days too;
- a daily bar closes at its session's close and has the session's ordinal.
"""

import warnings
from dataclasses import dataclass
from functools import cache

import numpy as np

from novapulse.core.bars import DAY_NS, MINUTE_NS, Flags, Integers
from novapulse.market.calendars import YEAR_NS, Calendar, CalendarError, refuse_stamps

_HOUR_NS = 60 * MINUTE_NS
_HALF_HOUR_NS = 30 * MINUTE_NS
_REACH_NS = 8 * _HOUR_NS
_FIRST_DAY, _LAST_DAY = "1970-01-01", "2049-12-31"
_REFERENCE_START_NS, _REFERENCE_END_NS = 1_451_606_400_000_000_000, 1_767_225_600_000_000_000


@dataclass(frozen=True, eq=False)
class Sessions:
    """Stretches of trading without a break, and where sessions end.

    Attributes:
        opens: int64[S], ns UTC, ascending.
        closes: int64[S], ns UTC, ascending.
        session_closes: int64[T], the closes that end a session (T < S where lunch breaks split sessions).
    """

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

    def __init__(self, name: str, sessions: Sessions) -> None:
        """Take a calendar's name, e.g. `XNYS`, and its sessions."""
        self.name = name
        self._sessions = sessions
        self._grids: dict[int, _Grid] = {}

    def __repr__(self) -> str:
        return f"Exchange({self.name!r})"

    def has(self, timeframe_ns: int) -> bool:
        """Return True for a day and for widths that divide an hour."""
        return timeframe_ns == DAY_NS or (timeframe_ns > 0 and _HOUR_NS % timeframe_ns == 0)

    def closes(self, start_ns: int, end_ns: int, timeframe_ns: int) -> Integers:
        """Return every close of a regular bar in (start, end]."""
        if timeframe_ns == DAY_NS:
            closes = self._sessions.session_closes
        else:
            spans, grid = self._sessions, self._grid(timeframe_ns)
            first = int(np.searchsorted(spans.closes, start_ns, side="right"))
            last = min(int(np.searchsorted(spans.opens, end_ns, side="left")), grid.bars_before.size - 1)
            numbers = np.arange(grid.bars_before[first], grid.bars_before[last], dtype=np.int64) + 1
            closes = self.closes_of(numbers, timeframe_ns)
        return closes[(closes > start_ns) & (closes <= end_ns)]

    def on_grid(self, ts_close_ns: Integers, timeframe_ns: int) -> Flags:
        """Return which stamps are session closes (daily bars), or closes of bars within a session."""
        spans = self._sessions
        if timeframe_ns == DAY_NS:
            at = np.searchsorted(spans.session_closes, ts_close_ns)
            return np.equal(spans.session_closes[np.minimum(at, spans.session_closes.size - 1)], ts_close_ns)
        grid = self._grid(timeframe_ns)
        at = np.minimum(np.searchsorted(spans.closes, ts_close_ns), spans.closes.size - 1)
        whole = (ts_close_ns - grid.starts[at]) % timeframe_ns == 0
        on_grid: Flags = self.regular(ts_close_ns) & (whole | (ts_close_ns == spans.closes[at]))
        return on_grid

    def numbers(self, ts_close_ns: Integers, timeframe_ns: int) -> Integers:
        """Return how many regular bars closed since 1970, the bar itself included."""
        self._refuse_off_grid(ts_close_ns, timeframe_ns)
        spans = self._sessions
        if timeframe_ns == DAY_NS:
            return np.searchsorted(spans.session_closes, ts_close_ns).astype(np.int64) + 1
        grid = self._grid(timeframe_ns)
        at = np.searchsorted(spans.closes, ts_close_ns)
        return grid.bars_before[at] - (grid.starts[at] - ts_close_ns) // timeframe_ns

    def closes_of(self, numbers: Integers, timeframe_ns: int) -> Integers:
        """Return the closes of ordinals; -1 for the empty rest of a session that is no whole group of bars."""
        spans = self._sessions
        if timeframe_ns == DAY_NS:
            inside = (numbers >= 1) & (numbers <= spans.session_closes.size)
            return np.where(inside, spans.session_closes[np.where(inside, numbers, 1) - 1], -1)
        grid = self._grid(timeframe_ns)
        at = np.clip(np.searchsorted(grid.bars_before, numbers) - 1, 0, spans.closes.size - 1)
        begins = grid.starts[at] + (numbers - grid.bars_before[at] - 1) * timeframe_ns
        closes = np.minimum(begins + timeframe_ns, spans.closes[at])
        inside = (begins < spans.closes[at]) & (closes > spans.opens[at]) & (numbers > grid.bars_before[at])
        return np.where(inside, closes, -1)

    def closes_of_opens(self, ts_open_ns: Integers, timeframe_ns: int) -> Integers:
        """Return the end of each bar, its session's close where that comes first."""
        spans = self._sessions
        if timeframe_ns == DAY_NS:
            at = np.searchsorted(spans.session_closes, ts_open_ns, side="right")
            found = spans.session_closes[np.minimum(at, spans.session_closes.size - 1)]
            refuse_stamps(self.name, (found - ts_open_ns > DAY_NS) | (found < ts_open_ns), ts_open_ns, "is no session")
            return found
        ends = ts_open_ns + timeframe_ns
        at = np.minimum(np.searchsorted(spans.closes, ts_open_ns, side="right"), spans.closes.size - 1)
        crosses = (ends > spans.opens[at]) & (ts_open_ns < spans.closes[at])
        return np.where(crosses, np.minimum(ends, spans.closes[at]), ends)

    def regular(self, ts_close_ns: Integers) -> Flags:
        """Return which stamps lie in (open, close] of a session."""
        spans = self._sessions
        at = np.minimum(np.searchsorted(spans.closes, ts_close_ns), spans.closes.size - 1)
        inside: Flags = (ts_close_ns > spans.opens[at]) & (ts_close_ns <= spans.closes[at])
        return inside

    def near_session(self, ts_close_ns: Integers) -> Flags:
        """Return which stamps lie within eight hours of a session."""
        spans = self._sessions
        ahead = np.minimum(np.searchsorted(spans.closes, ts_close_ns), spans.closes.size - 1)
        behind = np.maximum(ahead - 1, 0)
        before = (spans.opens[ahead] - ts_close_ns <= _REACH_NS) & (ts_close_ns <= spans.closes[ahead])
        near: Flags = before | (np.abs(ts_close_ns - spans.closes[behind]) <= _REACH_NS)
        return near

    def sessions_between(self, start_ns: int, end_ns: int) -> int:
        """Return how many sessions close in (start, end]."""
        first, last = np.searchsorted(self._sessions.session_closes, (start_ns, end_ns), side="right")
        return int(last - first)

    def bars_per_year(self, timeframe_ns: int) -> float:
        """Return the mean of 2016 to 2025; widths of several hours or days are groups of hourly or daily bars."""
        for unit in (timeframe_ns, DAY_NS, _HOUR_NS, MINUTE_NS):
            if timeframe_ns % unit == 0 and self.has(unit):
                bars = self.closes(_REFERENCE_START_NS, _REFERENCE_END_NS, unit).size
                years = (_REFERENCE_END_NS - _REFERENCE_START_NS) / YEAR_NS
                return bars / years / (timeframe_ns // unit)
        raise self._no_such_width(timeframe_ns)

    def _grid(self, timeframe_ns: int) -> _Grid:
        if timeframe_ns not in self._grids:
            if timeframe_ns <= 0 or _HOUR_NS % timeframe_ns:
                raise self._no_such_width(timeframe_ns)
            group = _HALF_HOUR_NS if _HALF_HOUR_NS % timeframe_ns == 0 else _HOUR_NS
            starts = self._sessions.opens // group * group
            bars = -((starts - self._sessions.closes) // group) * (group // timeframe_ns)
            before = np.concatenate([[0], np.cumsum(bars)]).astype(np.int64)
            self._grids[timeframe_ns] = _Grid(starts, before)
        return self._grids[timeframe_ns]

    def _no_such_width(self, timeframe_ns: int) -> CalendarError:
        return CalendarError(
            f"calendar {self.name}: no bars of {timeframe_ns / 1e9:g} s; a width must divide an hour or be a day"
        )


@cache
def load_sessions(name: str) -> Sessions:
    """Return the sessions of an exchange from 1970 to 2049, or what of that its calendar covers.

    Args:
        name: A name `exchange_calendars` knows, e.g. `XNYS`.

    Raises:
        CalendarError: Nobody knows a calendar of this name.
    """
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
    return Sessions(
        np.sort(np.concatenate([opens, break_ends[broken]])),
        np.sort(np.concatenate([closes, break_starts[broken]])),
        closes,
    )
