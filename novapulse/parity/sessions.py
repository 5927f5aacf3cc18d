"""A recorded session, run again from its ledger and its own recording, and compared with itself record by record.

Invariants:
- settings, instruments, starts, commands and late bars come from records, bars and signals from what the session
  recorded of them; the lake serves only where no recording is kept, and what it has otherwise now is told;
- a record is the same when its content and its postings are; when a message arrived is told apart, because a session on
  the clock of a machine cannot repeat it.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from novapulse.backtest.settings import BacktestSettings
from novapulse.confluence import pipeline
from novapulse.core.bars import BarColumns, timeframe_text
from novapulse.core.facts import BESIDE_FACTS
from novapulse.core.instruments import InstrumentKey
from novapulse.core.messages import CommandReceived, HoldRun, Record
from novapulse.engine.configuration import Configuration, History, parsed
from novapulse.engine.rows import Ticks, ticks_of
from novapulse.ledger.reads import RESTORED
from novapulse.market.lake import Lake
from novapulse.parity.causes import OBSERVED, Span
from novapulse.parity.kept import Entry, Kept, KeptError, Session
from novapulse.parity.memory import MemoryJournal
from novapulse.parity.playing import End, Late, Played, Script, Told, play
from novapulse.parity.recorded import Beginning, beginnings_in, close_behind, heard_in, joined, lake_otherwise, late_in
from novapulse.strategies import Strategy

SECOND_NS = 1_000_000_000
MOMENTS = {"order_attempted": "ts_ns", "order_seen": "ts_event_ns"}
"""Fields that tell when a message came by, not what was done."""

NOT_THE_TRADERS = frozenset({"session_stopped", "account_ended", "calibration_learned", "instrument_listed", RESTORED})
"""Kinds that are written around the trader."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What an account heard.

    Attributes:
        ticks: Its closes and signals.
        facts: Configuration of the account.
        recorded_ns: First close that comes from the session's own recording; what lies before was made again from the
            lake. 0 where nothing was recorded.
    """

    ticks: Ticks
    facts: Configuration
    recorded_ns: int = 0


@dataclass(frozen=True, slots=True)
class Compared:
    """Records of a session and of its replay.

    Attributes:
        session: How many the session has of its trader.
        replay: How many the replay has.
        by_kind: Kind -> how many are the same, differ, are in the session only, in the replay only.
        moments_equal: How many of those that are the same also came at the same nanosecond.
        in_order: Whether all of them stand in the same order.
        first: Records that differ, as (record of the session, record of the replay), in time order; None where there
            is none.
    """

    session: int
    replay: int
    by_kind: Mapping[str, tuple[int, int, int, int]]
    moments_equal: int
    in_order: bool
    first: tuple[tuple[Record | None, Record | None], ...]

    @property
    def is_same(self) -> bool:
        """Whether every record is the same, to the bit."""
        return not self.first

    @property
    def is_same_in_deed(self) -> bool:
        """Whether everything that was decided, sent, filled and booked is the same; what was noticed may differ."""
        return all(
            not any(counts[1:]) for kind, counts in self.by_kind.items() if kind not in OBSERVED | NOT_THE_TRADERS
        )


@dataclass(frozen=True, slots=True)
class SessionRun:
    """A session and its replay.

    Attributes:
        session: Which.
        records: The account's, from its opening to the session's end.
        holds: Runs of bars on which it did nothing.
        heard: What it heard.
        script: What happened besides.
        played: The replay.
        compared: Record by record.
        changed: Bars that the lake has otherwise than they were heard.
    """

    session: Session
    records: tuple[Record, ...]
    holds: tuple[HoldRun, ...]
    heard: Heard
    script: Script
    played: Played
    compared: Compared
    changed: tuple[Span, ...] = ()


def configuration_of(session: Session) -> Configuration:
    """Return what a session ran with.

    Raises:
        KeptError: It was not kept, or cannot be read.
    """
    if not session.configuration:
        raise KeptError(f"session {session.first_seq} was recorded without its configuration: it cannot be run again")
    try:
        return parsed(session.configuration)
    except ValueError as wrong:
        raise KeptError(f"session {session.first_seq}: {wrong}") from wrong


def replay_session(
    kept: Kept,
    session: Session,
    lake: Lake,
    strategies: Mapping[str, Strategy],
    told: Told | None = None,
    recordings: Path | None = None,
) -> SessionRun:
    """Run an account again from its opening to the end of a session, and compare.

    Args:
        kept: The ledger.
        session: Which.
        lake: Where the bars came from.
        strategies: By name, the user's own included.
        told: Called with (closes done, closes in all).
        recordings: Folder of what sessions recorded; None for none.

    Raises:
        KeptError: The ledger does not hold what is needed, or its configuration changed on the way.
        RecorderError: A recording is damaged.
        DataError: Nothing was recorded and the lake does not hold the bars.
    """
    configuration = configuration_of(session)
    earlier = [one for one in kept.sessions(session.account) if one.first_seq < session.first_seq]
    other = next((one for one in earlier if one.configuration != session.configuration), None)
    if other is not None:
        raise KeptError(
            f"session {other.first_seq} of this account {_otherwise(other, configuration)} than session "
            f"{session.first_seq}: the account cannot be run again from its opening"
        )
    entries = list(kept.records(session.account, session.last_seq))
    holds = tuple(run for run in kept.holds(session.account) if run.first_ns <= session.until_ns)
    first_ns = _first_heard(entries, holds)
    recorded = None if recordings is None else _heard(recordings, session, configuration)
    heard = heard_by(configuration, lake, strategies, first_ns, session.until_ns, recorded)
    beginnings = [] if recordings is None else beginnings_in(recordings, session.ledger_id, session.account)
    script, ticks = script_of(entries, heard.ticks, beginnings), heard.ticks
    if beginnings and not _is_stopped(entries):
        script = replace(script, last=End(_written(entries), session.until_ns))
        last_ns = int(ticks.ts_close_ns[-1])
        unheard = None if recordings is None else close_behind(recordings, session.ledger_id, ticks.keys, last_ns)
        ticks = ticks if unheard is None else joined(ticks, unheard)
    played = play(session.account, configuration, ticks, MemoryJournal(), script, told)
    records = tuple(entry.record for entry in entries)
    changed: tuple[Span, ...] = ()
    if recordings is not None and heard.recorded_ns:
        told_late = {(one.instrument, one.ts_close_ns): b"" for one in script.late}
        late = told_late | late_in(recordings, session.ledger_id, heard.ticks.keys)
        changed = lake_otherwise(heard.ticks.after(heard.recorded_ns - 1), late, lake, configuration.timeframe_ns)
    compared = compare(records, played.journal.records)
    return SessionRun(session, records, holds, heard, script, played, compared, changed)


def _otherwise(session: Session, configuration: Configuration) -> str:
    try:
        theirs = [one.symbol for one in configuration_of(session).instruments]
    except KeptError:
        return "ran with another configuration"
    ours = [one.symbol for one in configuration.instruments]
    return "ran with another configuration" if theirs == ours else f"traded other instruments ({', '.join(theirs)})"


def _heard(recordings: Path, session: Session, configuration: Configuration) -> Ticks | None:
    keys = [one.key for one in configuration.instruments]
    return heard_in(recordings, session.ledger_id, session.account, keys)


def _first_heard(entries: Sequence[Entry], holds: Sequence[HoldRun]) -> int:
    closes = [run.first_ns for run in holds]
    closes += [int(one.record.body["ts_close_ns"]) for one in entries if one.record.kind == "decision_taken"]
    return min(closes, default=0)


def heard_by(
    configuration: Configuration,
    lake: Lake,
    strategies: Mapping[str, Strategy],
    first_ns: int,
    until_ns: int,
    recorded: Ticks | None = None,
) -> Heard:
    """Return what an account heard from its first close to its last: as recorded, before that made from the lake.

    Raises:
        KeptError: There is no bar.
        DataError: The lake does not hold the bars.
    """
    own = None if recorded is None else recorded.after(max(first_ns - 1, 0), until_ns)
    if own is None or len(own) == 0:
        return Heard(_made_again(configuration, lake, strategies, first_ns, until_ns), configuration)
    begins_ns = int(own.ts_close_ns[0])
    if first_ns < begins_ns and first_ns > 0:
        before = _made_again(configuration, lake, strategies, first_ns, begins_ns - 1)
        own = joined(before, own)
    return Heard(own, configuration, begins_ns)


def _made_again(
    configuration: Configuration, lake: Lake, strategies: Mapping[str, Strategy], first_ns: int, until_ns: int
) -> Ticks:
    bars = bars_of(configuration, lake, until_ns)
    ticks = _ticks(bars, configuration.decides, strategies).of([one.key for one in configuration.instruments])
    ticks = ticks.after(max(first_ns - 1, 0), until_ns)
    if len(ticks) == 0:
        raise KeptError(f"the lake {lake.path} has no bar of what the session heard")
    return ticks


def bars_of(configuration: Configuration, lake: Lake, until_ns: int) -> dict[InstrumentKey, BarColumns]:
    """Return the bars that signals are made from, up to a close.

    Raises:
        DataError: The lake does not hold them.
    """
    history = configuration.history or History(tuple(one.key for one in configuration.instruments), 0)
    timeframe = timeframe_text(configuration.timeframe_ns)
    return {
        key: lake.bars(key.exchange, key.symbol, timeframe).between(max(history.first_close_ns - 1, 0), until_ns)
        for key in sorted(history.instruments)
    }


def _ticks(
    bars: Mapping[InstrumentKey, BarColumns], decides: BacktestSettings, strategies: Mapping[str, Strategy]
) -> Ticks:
    columns, calibrations = pipeline.signals(bars, decides.confluence, strategies)
    return ticks_of(bars, columns, [calibration.id for calibration in calibrations])


def _is_stopped(entries: Sequence[Entry]) -> bool:
    around = [one.record.kind for one in entries if one.record.kind in ("session_started", "session_stopped")]
    return not around or around[-1] == "session_stopped"


def _written(entries: Sequence[Entry]) -> int:
    return sum(entry.record.kind not in NOT_THE_TRADERS for entry in entries)


def script_of(entries: Sequence[Entry], ticks: Ticks, beginnings: Sequence[Beginning] = ()) -> Script:
    """Return what happened to an account besides bars: as its records tell, and as its sessions found it.

    Args:
        entries: The account's records from its opening.
        ticks: What it heard.
        beginnings: What its sessions found when they began, as far as they are kept, in their order.
    """
    moments = _Moments(entries, ticks)
    late: list[Late] = []
    starts: list[int] = []
    commands: dict[str, CommandReceived] = {}
    ends: dict[int, End] = {}
    restores: defaultdict[int, list[Record]] = defaultdict(list)
    unheard: list[Record] = []
    for number, entry in enumerate(entries):
        record, body = entry.record, entry.record.body
        if record.kind == "bar_late":
            at_ns = moments.at(number, int(body["ts_close_ns"]))
            late.append(Late(InstrumentKey(*body["instrument"]), int(body["ts_close_ns"]), at_ns, body["problem"]))
        elif record.kind in ("command_taken", "command_answered") and body["command_id"] not in commands:
            # One that waited for the venue was heard when it was taken, not when it was answered.
            said = (moments.at(number), body["command_id"], body["verb"], body["arguments"], body["actor"])
            commands[body["command_id"]] = CommandReceived(*said)
        elif record.kind == "session_started":
            begun = [one.seq for one in entries[:number] if one.record.kind == "session_started"]
            found = [one for one in beginnings if max(begun, default=0) <= one.behind_seq < entry.seq]
            if found and begun:
                written, close_ns, one = _written(entries[:number]), int(body["ts_close_ns"]), found[-1]
                heard = len(commands), len(late)
                ends[len(starts) - 1] = End(written, close_ns, one.state, one.venue, one.decided_ns, *heard)
            starts.append(moments.at(number, int(body["ts_close_ns"])))
            restores[starts[-1]] += unheard
            unheard.clear()
        elif record.kind == RESTORED:
            unheard.append(record)
    first, *others = starts or [0]
    begins = first if 0 < first < int(ticks.ts_close_ns[0]) else 0
    put_back = {moment: tuple(records) for moment, records in restores.items()}
    return Script(tuple(late), tuple(commands.values()), tuple(others), ends, None, put_back, begins)


class _Moments:
    """Places records in the time of the bars: their own time where that is one of it, else behind the last close."""

    def __init__(self, entries: Sequence[Entry], ticks: Ticks) -> None:
        self._entries = entries
        self._stamps = ticks.ts_close_ns
        self._known: list[int] = []
        last = 0
        for entry in entries:
            last = max(last, int(entry.record.body.get("ts_close_ns", 0)) if entry.record.kind != "bar_late" else 0)
            self._known.append(last)

    def at(self, number: int, close_ns: int = 0) -> int:
        """Return the moment of a record that came behind a close."""
        own, close = self._entries[number].record.ts_ns, max(self._known[number], close_ns)
        if close == 0:
            return own
        later = next((known for known in self._known[number:] if known > close), int(self._stamps[-1]))
        if close <= own <= max(later, close) + 2 * SECOND_NS:
            return own
        following = int(np.searchsorted(self._stamps, close, side="right"))
        return int(self._stamps[following]) - 1 if following < len(self._stamps) else close + SECOND_NS


def compare(session: Iterable[Record], replay: Iterable[Record]) -> Compared:
    """Compare the records of a session with those of its replay."""
    mine, theirs = _named(session), _named(replay)
    by_kind: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    first: list[tuple[Record | None, Record | None]] = []
    moments = 0
    for name in dict.fromkeys((*mine, *theirs)):
        one, other = mine.get(name), theirs.get(name)
        if name[0] in NOT_THE_TRADERS:
            continue
        if one is not None and other is not None:
            same = _content(one, other) == _content(other, one) and one.postings == other.postings
            by_kind[name[0]][0 if same else 1] += 1
            moments += same and one == other
        else:
            same = False
            by_kind[name[0]][2 if other is None else 3] += 1
        if not same:
            first.append((one, other))
    first.sort(key=lambda pair: min(record.ts_ns for record in pair if record is not None))
    in_order = [name for name in mine if name[0] not in NOT_THE_TRADERS] == list(theirs)
    counts = {kind: (same, differ, only, extra) for kind, (same, differ, only, extra) in sorted(by_kind.items())}
    own = sum(name[0] not in NOT_THE_TRADERS for name in mine)
    return Compared(own, len(theirs), counts, moments, in_order, tuple(first))


Name = tuple[str, str, int]


def _named(records: Iterable[Record]) -> dict[Name, Record]:
    """Name each record by its kind, what it is about, and its number among those."""
    seen: Counter[tuple[str, str]] = Counter()
    named: dict[Name, Record] = {}
    for record in records:
        body: Mapping[str, Any] = record.body
        about = next((str(body[key]) for key in ("client_order_id", "decision_id", "instrument") if key in body), "")
        seen[record.kind, about] += 1
        named[record.kind, about, seen[record.kind, about]] = record
    return named


def _content(record: Record, other: Record) -> Mapping[str, Any]:
    # Whose quantity an execution changed is not in the records of older code.
    without = {MOMENTS.get(record.kind), *(BESIDE_FACTS - other.body.keys())}
    return {key: value for key, value in record.body.items() if key not in without}
