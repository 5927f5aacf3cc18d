"""Collects the bars of one exchange until a close is complete, or has waited long enough.

Invariants:
- closes leave in ascending order, each once, with at most one bar of an instrument;
- a bar that comes for a close that has left, twice, out of order, or that cannot be, decides nothing: it is told as a
  problem with a name, and nothing of it is lost;
- a bar that is not there when the time is over is missing from its close; it is not waited for any longer.
"""

import enum
import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from novapulse.core.bars import format_ns
from novapulse.core.instruments import InstrumentKey
from novapulse.core.records import Record

FUTURE_NS = 2_000_000_000
"""How far a close may lie ahead of our clock: clocks are not the same everywhere."""

SEEN_KEPT = 256


class Problem(enum.StrEnum):
    """What is wrong with a bar that decides nothing."""

    LATE = "late"
    DUPLICATE = "duplicate"
    CONFLICTING = "conflicting"
    OUT_OF_ORDER = "out_of_order"
    IMPOSSIBLE = "impossible"
    FUTURE = "future"
    UNKNOWN = "unknown_instrument"


@dataclass(frozen=True, slots=True)
class Arrival:
    """A bar as it came.

    Attributes:
        ts_ns: When.
        instrument: Whose.
        bar: BAR.
        number: Its ordinal on the calendar's grid.
        made: Whether it was made for an interval without trades.
    """

    ts_ns: int
    instrument: InstrumentKey
    bar: Record
    number: int
    made: bool = False


@dataclass(frozen=True, slots=True)
class Rejection:
    """A bar that decides nothing, and why."""

    arrival: Arrival
    problem: Problem
    text: str


@dataclass(frozen=True, slots=True)
class Close:
    """A close as it is decided on: the bars that were there."""

    ts_close_ns: int
    bars: dict[InstrumentKey, Arrival]


@dataclass(slots=True)
class _Waiting:
    deadline_ns: int
    bars: dict[InstrumentKey, Arrival] = field(default_factory=dict)


class Gather:
    """The closes of one exchange."""

    def __init__(self, keys: Iterable[InstrumentKey], deadline_ns: int, decided_ns: int = 0) -> None:
        """Wait for some instruments.

        Args:
            keys: Instruments whose bars may come.
            deadline_ns: How long a close waits for the rest after its first bar.
            decided_ns: Close of the last decided bar; what closes up to it is late.
        """
        self.keys = frozenset(keys)
        self.decided_ns = decided_ns
        self._deadline_ns = deadline_ns
        self._waiting: dict[int, _Waiting] = {}
        self._newest: dict[InstrumentKey, int] = {}
        self._seen: dict[tuple[InstrumentKey, int], Record] = {}

    def take(self, arrival: Arrival) -> Rejection | None:
        """Take a bar in; return why not if it cannot decide anything."""
        problem = self._problem(arrival)
        if problem is not None:
            return problem
        ts_close_ns = int(arrival.bar["ts_close_ns"])
        waiting = self._waiting.get(ts_close_ns)
        if waiting is None:
            waiting = self._waiting[ts_close_ns] = _Waiting(max(arrival.ts_ns, ts_close_ns) + self._deadline_ns)
        waiting.bars[arrival.instrument] = arrival
        self._newest[arrival.instrument] = ts_close_ns
        self._remember(arrival, ts_close_ns)
        return None

    def leave(self, now_ns: int, expected: Collection[InstrumentKey] | None = None) -> list[Close]:
        """Return the closes that need not wait any longer, in order; they have left then.

        Args:
            now_ns: Now.
            expected: Instruments that close at the newest close there is; None for all.
        """
        ready = [
            ts_close_ns
            for ts_close_ns, waiting in self._waiting.items()
            if waiting.deadline_ns <= now_ns or self._is_complete(waiting, expected)
        ]
        if not ready:
            return []
        # What is older than a close that leaves has been overtaken: it goes first, as it is.
        leaving = sorted(ts_close_ns for ts_close_ns in self._waiting if ts_close_ns <= max(ready))
        self.decided_ns = leaving[-1]
        return [Close(ts_close_ns, self._waiting.pop(ts_close_ns).bars) for ts_close_ns in leaving]

    @property
    def deadline_ns(self) -> int | None:
        """When the first close that waits has waited long enough; None when none waits."""
        return min((waiting.deadline_ns for waiting in self._waiting.values()), default=None)

    def _is_complete(self, waiting: _Waiting, expected: Collection[InstrumentKey] | None) -> bool:
        return len(waiting.bars) >= len(self.keys if expected is None else expected)

    def _problem(self, arrival: Arrival) -> Rejection | None:
        key, bar = arrival.instrument, arrival.bar
        ts_close_ns = int(bar["ts_close_ns"])
        stamp = format_ns(ts_close_ns)
        if key not in self.keys:
            return Rejection(arrival, Problem.UNKNOWN, f"nobody trades {key} here")
        before = self._seen.get((key, ts_close_ns))
        if before is not None:
            if _same(before, bar):
                return Rejection(arrival, Problem.DUPLICATE, f"the bar of {key} closing {stamp} came twice")
            return Rejection(
                arrival, Problem.CONFLICTING, f"two bars of {key} close {stamp} and differ; the first one counts"
            )
        impossible = _impossible(bar)
        if impossible:
            return Rejection(arrival, Problem.IMPOSSIBLE, f"the bar of {key} closing {stamp}: {impossible}")
        if ts_close_ns > arrival.ts_ns + FUTURE_NS:
            ahead_s = (ts_close_ns - arrival.ts_ns) / 1e9
            return Rejection(arrival, Problem.FUTURE, f"the bar of {key} closes {stamp}, {ahead_s:.3g} s from now")
        if ts_close_ns <= self.decided_ns:
            late_s = (arrival.ts_ns - ts_close_ns) / 1e9
            return Rejection(arrival, Problem.LATE, f"the bar of {key} closing {stamp} came {late_s:.3g} s later")
        newest = self._newest.get(key, 0)
        if ts_close_ns < newest:
            text = f"the bar of {key} closing {stamp} came after the one closing {format_ns(newest)}"
            return Rejection(arrival, Problem.OUT_OF_ORDER, text)
        return None

    def _remember(self, arrival: Arrival, ts_close_ns: int) -> None:
        self._seen[arrival.instrument, ts_close_ns] = arrival.bar
        while len(self._seen) > SEEN_KEPT * max(len(self.keys), 1):
            self._seen.pop(next(iter(self._seen)))


def _same(one: Record, other: Record) -> bool:
    return bool(one.tobytes() == other.tobytes())


def _impossible(bar: Record) -> str:
    open_, high, low, close, volume = (float(bar[name]) for name in ("open", "high", "low", "close", "volume"))
    # Comparisons are False for NaN, and so is the whole.
    if 0 < low <= open_ <= high < math.inf and low <= close <= high and 0 <= volume < math.inf:
        return ""
    return f"open {open_:g}, high {high:g}, low {low:g}, close {close:g}, volume {volume:g} cannot be"
