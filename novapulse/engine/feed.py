"""Brings the closes of one exchange to its accounts: first the venue of each plays the bars, then its trader decides.

Invariants:
- at a close every paper venue of the exchange has played the bar, and its stream has been heard, before any trader is
  told that the bar closed;
- a close is told once; an account that has decided it before a restart is not told again;
- an account that cannot be told a close misses it, hears that it did, and keeps no other from it;
- bars that a venue could not play wait for it, in order, and its account decides nothing meanwhile;
- silence counts from the last bar that was taken, see `hearing`; a feed that has ended is not silent.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import structlog

from novapulse.confluence.calibration import Calibration
from novapulse.core.bars import Integers, format_ns
from novapulse.core.instruments import AccountKey, InstrumentKey
from novapulse.core.messages import BarLate, BarsClosed
from novapulse.core.messages import Record as Entry
from novapulse.core.ports import JournalError, Unavailable
from novapulse.core.records import Record
from novapulse.engine import staleness
from novapulse.engine.calibrations import to_record
from novapulse.engine.gather import Arrival, Close, Gather, Rejection
from novapulse.engine.hearing import Hearing
from novapulse.engine.life import Life
from novapulse.engine.rows import Ticks
from novapulse.engine.runner import AccountRunner
from novapulse.engine.tell import Row
from novapulse.engine.timeline import Timeline
from novapulse.engine.votes import Past, Window

_log = structlog.get_logger("novapulse.feed")

UNPLAYED_MAX = 10_000
QUEUE_HIGH = 64
"""An account that is this many events behind holds the feed back."""

Bars = Sequence[tuple[InstrumentKey, Record]]


class FeedEndedError(Exception):
    """There are no more bars."""


class Source(Protocol):
    """Where bars come from."""

    async def next(self, until_ns: int | None) -> Sequence[Arrival]:
        """Wait for the next bars; none when `until_ns` comes first.

        Raises:
            FeedEndedError: No more will come.
        """
        ...

    def expected(self, ts_close_ns: int) -> frozenset[InstrumentKey] | None:
        """Return which instruments close at a moment; None where that is not known."""
        ...

    @property
    def has_quotes(self) -> bool:
        """Whether quotes come beside the bars: where they should and do not, nothing is entered."""
        ...

    @property
    def heartbeat_ns(self) -> int:
        """How often at least something is heard while the market is open, > 0."""
        ...

    @property
    def due_ns(self) -> int | None:
        """When something is to be heard next; None when nothing is."""
        ...


class Signals(Protocol):
    """Makes the signals of some instruments."""

    @property
    def keys(self) -> tuple[InstrumentKey, ...]:
        """Instruments, sorted."""
        ...

    def at(self, close: Close) -> Row | None:
        """Return what is said at a close; None when none of the instruments closed."""
        ...

    def late(self, arrival: Arrival) -> None:
        """Hear a bar that came too late to be decided."""
        ...

    def learned(self, calibration: str) -> Entry | None:
        """Return the record of a calibration."""
        ...

    def window(self, key: InstrumentKey, ts_close_ns: int, earlier: int = 0) -> Window | None:
        """Return what the votes on a bar, and on some before it, are made of; None where it is not at hand.

        It does not change any more.
        """
        ...

    def between(self, key: InstrumentKey, after_ns: int, before_ns: int) -> tuple[Integers, Record] | None:
        """Return the closes of an instrument between two, and what was said at each; None where it is not at hand."""
        ...


class Recorder(Protocol):
    """Keeps what was seen."""

    def saw(self, arrivals: Sequence[Arrival], rejections: Sequence[Rejection]) -> None:
        """Take note of bars as they came, and of those that decide nothing."""
        ...


@dataclass(slots=True)
class Listener:
    """One account of the exchange.

    Attributes:
        runner: Brings events to its trader.
        signals: What is said of its instruments; shared by accounts that trade the same ones.
        play: Lets its paper venue meet the bars of a close; None for a venue that is its own market.
        known: Calibrations that its ledger has.
        decided_ns: The last close that was told.
        note: Keeps what it is told, before it is told.
        unplayed: Bars that its venue could not take yet.
        heard_ns: The last close at which a bar of one of its instruments was there; before the first, the feed's first.
    """

    runner: AccountRunner
    signals: Signals
    play: Callable[[Bars, int], object] | None
    known: set[str]
    decided_ns: int
    note: Callable[[Row], None] | None = None
    unplayed: deque[Bars] = field(default_factory=deque)
    heard_ns: int = 0


class RecordedSource:
    """Bars of a recording, at their closes; it has no quotes."""

    has_quotes = False

    def __init__(self, ticks: Ticks, numbers: Record, made: Record, timeline: Timeline, heartbeat_ns: int) -> None:
        """Take a recording.

        Args:
            ticks: The bars; their signals are not read.
            numbers: int64[N, P], ordinal of each bar on its calendar's grid.
            made: bool[N, P], whether a bar was made for an interval without trades.
            timeline: Time.
            heartbeat_ns: See `Source`; the width of a bar, or more where the machine cannot be that prompt.
        """
        self.heartbeat_ns = heartbeat_ns
        self._ticks = ticks
        self._numbers = numbers
        self._made = made
        self._timeline = timeline
        self._row = 0
        self._expected: dict[int, frozenset[InstrumentKey]] = {}

    async def next(self, until_ns: int | None) -> Sequence[Arrival]:
        """Wait for the next close and return all its bars; none when `until_ns` comes first.

        Raises:
            FeedEndedError: The recording is over.
        """
        if self._row >= len(self._ticks):
            raise FeedEndedError
        row, ticks = self._row, self._ticks
        ts_close_ns = int(ticks.ts_close_ns[row])
        if until_ns is not None and until_ns < ts_close_ns:
            await self._timeline.until(until_ns)
            return ()
        await self._timeline.until(ts_close_ns)
        self._row += 1
        here = np.flatnonzero(ticks.present[row]).tolist()
        keys = [ticks.keys[column] for column in here]
        self._expected = {ts_close_ns: frozenset(keys)}
        now_ns = self._timeline.now_ns()
        return [
            Arrival(
                now_ns, key, ticks.bars[row, column], int(self._numbers[row, column]), bool(self._made[row, column])
            )
            for key, column in zip(keys, here, strict=True)
        ]

    def expected(self, ts_close_ns: int) -> frozenset[InstrumentKey] | None:
        """Return which instruments close at the close that came last."""
        return self._expected.get(ts_close_ns)

    @property
    def due_ns(self) -> int | None:
        """The next close of the recording; None when it is over."""
        return int(self._ticks.ts_close_ns[self._row]) if self._row < len(self._ticks) else None


class RecordedSignals:
    """Signals that were computed in bulk over a recording: the same to the bit as from a window."""

    def __init__(self, ticks: Ticks, calibrations: Iterable[Calibration], past: Past | None = None) -> None:
        """Take the rows, the calibrations that they count in, and where wanted what votes are made of."""
        self._ticks = ticks
        self._past = past
        self._calibrations = {row.id: row for row in calibrations}
        self._row = 0

    @property
    def keys(self) -> tuple[InstrumentKey, ...]:
        """Instruments, sorted."""
        return self._ticks.keys

    def at(self, close: Close) -> Row | None:
        """Return the row of a close; None when none of the instruments closed."""
        ticks, stamp = self._ticks, close.ts_close_ns
        if self._row >= len(ticks) or int(ticks.ts_close_ns[self._row]) != stamp:
            self._row = int(np.searchsorted(ticks.ts_close_ns, stamp))
            if self._row >= len(ticks) or int(ticks.ts_close_ns[self._row]) != stamp:
                return None
        row = self._row
        present = ticks.present[row]
        if len(close.bars) < present.sum() or any(key not in close.bars for key in self._present(row)):
            present = present * np.array([key in close.bars for key in ticks.keys])
        return Row(ticks.bars[row], ticks.signals[row], present, ticks.calibrations[row])

    def late(self, arrival: Arrival) -> None:
        """Hear a bar that came too late: the columns have it already."""
        return

    def learned(self, calibration: str) -> Entry | None:
        """Return the record of a calibration."""
        row = self._calibrations.get(calibration)
        return None if row is None else to_record(row)

    def window(self, key: InstrumentKey, ts_close_ns: int, earlier: int = 0) -> Window | None:
        """Return what the votes on a bar, and on some before it, are made of; None without a past."""
        return None if self._past is None else self._past.window(key, ts_close_ns, earlier)

    def between(self, key: InstrumentKey, after_ns: int, before_ns: int) -> tuple[Integers, Record]:
        """Return the closes of an instrument between two, and what was said at each."""
        ticks, column = self._ticks, self._ticks.keys.index(key)
        first = int(np.searchsorted(ticks.ts_close_ns, after_ns, side="right"))
        rows = slice(first, max(first, int(np.searchsorted(ticks.ts_close_ns, before_ns))))
        closed = ticks.present[rows, column] > 0
        return ticks.ts_close_ns[rows][closed], ticks.signals[rows, column][closed]

    def _present(self, row: int) -> list[InstrumentKey]:
        return [self._ticks.keys[column] for column in np.flatnonzero(self._ticks.present[row]).tolist()]


class Feed:
    """One exchange.

    Attributes:
        exchange: Which.
        closes: Closes that were told.
        last_close_ns: The last of them; 0 before the first.
        rejected: Bars that decided nothing.
        over: Set when there are no more bars.
    """

    def __init__(
        self,
        exchange: str,
        source: Source,
        gather: Gather,
        listeners: Sequence[Listener],
        timeline: Timeline,
        recorder: Recorder | None = None,
    ) -> None:
        """Bring what a source has to some accounts."""
        self.exchange = exchange
        self.listeners = tuple(listeners)
        self.closes = 0
        self.last_close_ns = 0
        self.rejected = 0
        self.over = asyncio.Event()
        self._source = source
        self._gather = gather
        self._timeline = timeline
        self._recorder = recorder
        self._hearing = Hearing(source.heartbeat_ns)

    async def run(self) -> None:
        """Go on until the source ends; called again after a failure, it goes on behind the last close."""
        self._hearing.begin(self._timeline.now_ns())
        while not self.ended:
            is_over = False
            due_ns = self._source.due_ns
            try:
                arrivals = await self._source.next(self._gather.deadline_ns)
            except FeedEndedError:
                arrivals, is_over = (), True
            await self._take(arrivals, due_ns, is_over)
            if is_over:
                self.over.set()

    @property
    def ended(self) -> bool:
        """Whether there are no more bars."""
        return self.over.is_set()

    @property
    def silence(self) -> float:
        """For how long nothing was taken of what was due, in heartbeats of the source."""
        return self._hearing.silence(self._timeline.now_ns(), None if self.ended else self._source.due_ns)

    async def watch(self) -> None:
        """Tell the accounts once a heartbeat how silent the source is of what they trade, until it has ended."""
        while not self.ended:
            await self._timeline.until(self._timeline.now_ns() + self._source.heartbeat_ns)
            for listener in self.listeners:
                listener.runner.condition("feed_silence", max(self.silence, self._silence_of(listener)))

    def _silence_of(self, listener: Listener) -> float:
        # The feed goes on for others: what counts are their closes at which a bar of this account was due as well.
        if listener.runner.trader is None:
            return 0.0
        configured = listener.runner.trader.desk.configured
        width_ns = configured.timeframe_ns
        due = staleness.bars_due(configured.instruments, listener.heard_ns, self.last_close_ns, width_ns)
        return due * width_ns / self._source.heartbeat_ns

    async def _take(self, arrivals: Sequence[Arrival], due_ns: int | None, is_over: bool) -> None:
        rejections = [wrong for arrival in arrivals if (wrong := self._gather.take(arrival)) is not None]
        if len(rejections) < len(arrivals):
            self._hearing.took(self._timeline.now_ns())
        elif rejections:
            self._hearing.turned_down(self._timeline.now_ns(), due_ns, rejections)
        if self._recorder is not None and arrivals:
            self._recorder.saw(arrivals, rejections)
        for wrong in rejections:
            self._tell_rejection(wrong)
        newest = int(arrivals[-1].bar["ts_close_ns"]) if arrivals else 0
        now_ns = 2**63 - 1 if is_over else self._timeline.now_ns()
        for close in self._gather.leave(now_ns, self._source.expected(newest) if arrivals else None):
            await self._tell(close)

    async def _tell(self, close: Close) -> None:
        now_ns = self._timeline.now_ns()
        for listener in self.listeners:
            if not listener.heard_ns or any(key in close.bars for key in listener.signals.keys):
                listener.heard_ns = close.ts_close_ns
            self._play(listener, close, now_ns)
        # What the venues said of it is in the hands of the tasks that hear their streams: they are let through first.
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        for listener in self.listeners:
            try:
                await self._tell_one(listener, close)
            except Exception as wrong:
                self._failed(listener, "the feed", f"the close {format_ns(close.ts_close_ns)} was not told", wrong)
        self.closes += 1
        self.last_close_ns = close.ts_close_ns
        for listener in self.listeners:
            if listener.runner.waiting > QUEUE_HIGH:
                await listener.runner.idle()

    def _play(self, listener: Listener, close: Close, now_ns: int) -> None:
        if listener.play is None:
            return
        bars = [(key, close.bars[key].bar) for key in listener.signals.keys if key in close.bars]
        if bars:
            listener.unplayed.append(bars)
        while listener.unplayed:
            try:
                listener.play(listener.unplayed[0], now_ns)
            except Exception as wrong:
                if len(listener.unplayed) == 1:
                    self._failed(listener, "the paper venue", "a bar was not played", wrong)
                while len(listener.unplayed) > UNPLAYED_MAX:
                    listener.unplayed.popleft()
                return
            listener.unplayed.popleft()

    def _failed(self, listener: Listener, task: str, text: str, wrong: Exception) -> None:
        known = isinstance(wrong, Unavailable)
        why = f"{task}: {text}: {wrong}" if known else f"{task}: {text}: {type(wrong).__name__}: {wrong}"
        listener.runner.condition("task_failed", 1.0, why, task)
        _log.error(text, task=task, account=listener.runner.key, error=str(wrong), exc_info=None if known else wrong)

    async def _tell_one(self, listener: Listener, close: Close) -> None:
        if close.ts_close_ns <= listener.decided_ns or listener.unplayed:
            return
        row = listener.signals.at(close)
        if row is None or not row.present.any():
            return
        listener.decided_ns = close.ts_close_ns
        if row.calibration not in listener.known:
            await self._keep_calibration(listener, row.calibration)
        if listener.note is not None:
            listener.note(row)
        runner = listener.runner
        runner.deliver(
            BarsClosed(self._timeline.now_ns(), close.ts_close_ns, row.bars, row.signals, row.present, row.calibration)
        )

    async def _keep_calibration(self, listener: Listener, calibration: str) -> None:
        record = listener.signals.learned(calibration)
        if record is None or listener.runner.life is not Life.RUNNING:
            return
        try:
            await listener.runner.write(record)
        except JournalError as wrong:
            _log.error("a calibration was not kept", account=listener.runner.key, error=str(wrong))
            return
        listener.known.add(calibration)

    def _tell_rejection(self, wrong: Rejection) -> None:
        self.rejected += 1
        arrival = wrong.arrival
        event = BarLate(
            self._timeline.now_ns(),
            arrival.instrument,
            int(arrival.bar["ts_close_ns"]),
            f"{wrong.problem}: {wrong.text}",
        )
        seen: set[int] = set()
        for listener in self.listeners:
            if arrival.instrument in listener.signals.keys:
                listener.runner.deliver(event)
                if id(listener.signals) not in seen:
                    seen.add(id(listener.signals))
                    try:
                        listener.signals.late(arrival)
                    except Exception as failed:
                        self._failed(
                            listener, "the feed", f"the late bar of {arrival.instrument} was not taken", failed
                        )


def accounts_of(feeds: Sequence[Feed]) -> list[AccountKey]:
    """Return the accounts that some feeds serve."""
    return [listener.runner.key for feed in feeds for listener in feed.listeners]
