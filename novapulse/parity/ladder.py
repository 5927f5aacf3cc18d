"""The ladder, rung by rung: folding decisions = kernel, replay = kernel, session = replay.

Invariants:
- all rungs see the same bars, the same signals and the same settings;
- a rung holds when everything is equal to the bit; what is not equal is listed with its cause.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from novapulse.backtest import Result, run
from novapulse.backtest.account import checked
from novapulse.backtest.columns import Records, Signals, signals_of
from novapulse.backtest.settings import BacktestSettings
from novapulse.confluence import pipeline
from novapulse.core.bars import BarColumns, format_ns
from novapulse.core.instruments import AccountKey, Instrument, InstrumentKey
from novapulse.core.messages import CommandReceived, HoldRun, Record
from novapulse.engine.configuration import Configuration, History
from novapulse.engine.opening import capital_units, scales_of
from novapulse.engine.rows import Ticks, ticks_of
from novapulse.engine.settings import BreakerSettings, TraderSettings
from novapulse.execution.rules import rules_record
from novapulse.market.lake import Lake
from novapulse.parity.causes import (
    Cause,
    Evidence,
    Explained,
    ExplainedRecord,
    Span,
    bars_seen_otherwise,
    delays_of,
    explained,
    explained_records,
    gates_of,
    limits_of,
)
from novapulse.parity.kept import Kept, new_ledger
from novapulse.parity.memory import MemoryJournal
from novapulse.parity.plain import PlainFold
from novapulse.parity.playing import SECOND_NS, Late, Played, Script, Told, play
from novapulse.parity.recorded import bars_in, record_heard
from novapulse.parity.sessions import SessionRun, replay_session
from novapulse.parity.trips import Comparison, compare, trips_of_kernel, trips_of_records
from novapulse.strategies import Strategy


@dataclass(frozen=True)
class Stretch:
    """What all rungs look at.

    Attributes:
        key: The account.
        configuration: What it trades and decides by.
        bars: Of its instruments.
        signals: Rows as in the bars.
        ticks: Both, tick by tick.
    """

    key: AccountKey
    configuration: Configuration
    bars: Mapping[InstrumentKey, BarColumns]
    signals: Mapping[InstrumentKey, Signals]
    ticks: Ticks


@dataclass(frozen=True)
class Rung:
    """One rung.

    Attributes:
        number: 1..4.
        name: What is compared.
        holds: Whether it is equal to the bit; None where nothing was compared.
        is_same_in_deed: Whether at least everything that was decided, sent, filled and booked is equal, and only what
            was noticed, and when, differs.
        counts: What -> (equal, in all).
        text: How, in a few words.
        differences: What is not equal, with its cause.
        lake_otherwise: Bars that the lake has otherwise than a session heard them: of the data, not of the rung.
    """

    number: int
    name: str
    holds: bool | None
    counts: Mapping[str, tuple[int, int]]
    text: str = ""
    differences: tuple[Explained | ExplainedRecord, ...] = field(default=(), repr=False)
    is_same_in_deed: bool = False
    lake_otherwise: tuple[Span, ...] = field(default=(), repr=False)


def stretch_of(
    exchange: str,
    bars: Mapping[InstrumentKey, BarColumns],
    instruments: Mapping[InstrumentKey, Instrument],
    settings: BacktestSettings,
    strategies: Mapping[str, Strategy],
    trader: TraderSettings | None = None,
    breakers: BreakerSettings | None = None,
    told: Told | None = None,
) -> Stretch:
    """Return what all rungs look at, signals made.

    Args:
        exchange: Where the account is.
        bars: Of its instruments.
        instruments: Their facts.
        settings: Capital, confluence, risk and execution.
        strategies: By name.
        trader: How the trader goes about its work; None for the defaults.
        breakers: Limits of the circuit breakers; None for the defaults.
        told: Called with (bars done, bars in all).

    Raises:
        ValueError: One account cannot trade these.
    """
    table, facts = checked(bars, instruments, settings)
    columns, calibrations = pipeline.signals(table, settings.confluence, strategies, progress=told)
    ticks = ticks_of(table, columns, [calibration.id for calibration in calibrations])
    configuration = Configuration(
        facts,
        settings,
        trader or TraderSettings(),
        breakers or BreakerSettings(),
        next(iter(table.values())).timeframe_ns,
        scales_of(facts),
        History(tuple(table), int(ticks.ts_close_ns[0])),
        spread_by_model=True,
    )
    signals = {key: signals_of(**columns[key].to_kernel()) for key in table}
    return Stretch(AccountKey(exchange, "replay"), configuration, table, signals, ticks)


def stretch_of_session(run: SessionRun) -> Stretch:
    """Return what a recorded session looked at: its own bars, with the signals that it heard."""
    ticks, facts = run.heard.ticks, run.heard.facts
    return Stretch(run.session.account, facts, bars_in(ticks, facts.timeframe_ns), signals_in(ticks), ticks)


def signals_in(ticks: Ticks) -> dict[InstrumentKey, Signals]:
    """Return the signals of each instrument at its bars, as the kernel takes them."""
    signals = {}
    for column, key in enumerate(ticks.keys):
        rows = ticks.signals[ticks.present[:, column] != 0, column]
        named = {name: np.ascontiguousarray(rows[name]) for name in Signals._fields}
        small = {name: named[name].astype(np.int8) for name in ("lead", "regime")}
        flags = {name: named[name].astype(np.bool_) for name in ("warm", "sure_fire")}
        signals[key] = signals_of(**{**named, **small, **flags})
    return signals


def kernel_of(stretch: Stretch) -> Result:
    """Run the kernel of the backtest."""
    facts = {fact.key: fact for fact in stretch.configuration.instruments}
    return run(stretch.bars, stretch.configuration.decides, instruments=facts, signals=stretch.signals)


def fold_rung(stretch: Stretch, kernel: Result) -> Rung:
    """Compare the kernel with the plain fold."""
    one = stretch.configuration
    facts = one.instruments
    rules = rules_record(
        one.decides.risk, one.decides.execution, one.timeframe_ns, facts[0] if len(facts) == 1 else None
    )
    keys = sorted(stretch.bars)
    bars, signals = [stretch.bars[key] for key in keys], [stretch.signals[key] for key in keys]
    fold = PlainFold(bars, signals, facts, rules, one.decides.capital).run()
    counts = {
        "fills": _equal(fold.fills, kernel.fills),
        "round trips": _equal(fold.round_trips, kernel.round_trips),
        "refusals": _equal(fold.denials, kernel.denials),
        "equities": _equal_bits(fold.equity, kernel.equity),
        "reasons counted": _equal_bits(fold.reasons.ravel(), kernel.reasons.ravel()),
    }
    return _rung(1, "kernel = fold of decisions", counts, "a fold in plain Python, every bar through every step")


def _equal(mine: Records, theirs: Records) -> tuple[int, int]:
    count, most = min(mine.size, theirs.size), max(mine.size, theirs.size)
    same = np.ones(count, np.bool_)
    for name in mine.dtype.names or ():
        same &= _same_bits(np.ascontiguousarray(mine[name][:count]), np.ascontiguousarray(theirs[name][:count]))
    return int(same.sum()), most


def _same_bits(mine: "np.ndarray[Any, Any]", theirs: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
    rows = mine.shape[0]
    width = mine.dtype.itemsize * (mine.size // rows if rows else 1)
    same = mine.view(np.uint8).reshape(rows, width) == theirs.view(np.uint8).reshape(rows, width)
    return np.asarray(same.all(axis=1))


def _equal_bits(mine: "np.ndarray[Any, Any]", theirs: "np.ndarray[Any, Any]") -> tuple[int, int]:
    count = min(mine.size, theirs.size)
    same = _same_bits(np.ascontiguousarray(mine[:count]), np.ascontiguousarray(theirs[:count]))
    return int(same.sum()), max(mine.size, theirs.size)


def _rung(
    number: int,
    name: str,
    counts: Mapping[str, tuple[int, int]],
    text: str,
    differences: Sequence[Explained | ExplainedRecord] = (),
) -> Rung:
    holds = all(equal == whole for equal, whole in counts.values()) and not differences
    return Rung(number, name, holds, counts, text, tuple(differences))


def replay_rung(stretch: Stretch, kernel: Result, played: Played) -> Rung:
    """Compare the kernel with the whole engine."""
    found = _compared(played.journal.records, kernel, stretch)
    told = explained(found.differences, evidence_of(played.journal.records, played.holds, stretch.configuration))
    counts = {
        "round trips": (found.equal, max(found.ours, found.reference)),
        "equities": _equal_bits(played.equity, kernel.equity),
    }
    text = "trader, order manager, venue and journal in virtual time, without faults"
    return _rung(2, "replay = kernel", counts, text, told)


def _compared(records: Sequence[Record], kernel: Result, stretch: Stretch) -> Comparison:
    facts = stretch.configuration.instruments
    return compare(trips_of_records(records), trips_of_kernel(kernel.round_trips, facts), facts)


def evidence_of(
    records: Sequence[Record], holds: Sequence[HoldRun], configuration: Configuration, changed: tuple[Span, ...] = ()
) -> Evidence:
    """Return what is known of a run that explains how it differs."""
    latency_ns = round(configuration.decides.execution.latency_ms * 1_000_000)
    starts = [record.ts_ns for record in records if record.kind == "session_started"]
    return Evidence(
        configuration.timeframe_ns,
        changed,
        delays_of(records, latency_ns),
        gates_of(holds, records),
        tuple(starts[1:]),
        limits_of(records),
        capital_units(configuration.decides, configuration.instruments[0]),
    )


def session_rung(found: SessionRun) -> Rung:
    """Compare a session with its replay."""
    compared = found.compared
    changed = bars_seen_otherwise(found.records, found.played.ticks)
    evidence = evidence_of(found.records, found.holds, found.heard.facts, changed)
    counts = {
        kind: (same, same + differ + only + extra) for kind, (same, differ, only, extra) in compared.by_kind.items()
    }
    counts["orders of the records"] = int(compared.in_order), 1
    told = explained_records(compared.first, evidence, (*found.records, *found.played.journal.records))
    rung = _rung(3, "session = replay", counts, f"{_source(found)}{_told_of_end(found)}", told)
    return replace(rung, is_same_in_deed=compared.is_same_in_deed, lake_otherwise=found.changed)


def _told_of_end(found: SessionRun) -> str:
    if found.script.last is None:
        return ""
    behind = ", ".join(dict.fromkeys(record.kind for record in found.played.behind))
    would = f": the replay would go on with {behind}" if behind else ""
    return f"; it ended without a stop behind its last record ({Cause.RESTART}){would}"


def _source(found: SessionRun) -> str:
    began_ns, recorded_ns = int(found.heard.ticks.ts_close_ns[0]), found.heard.recorded_ns
    if recorded_ns == 0:
        return "from records and lake: no recording of the session is kept"
    if recorded_ns == began_ns:
        return "from records and the session's own recording alone"
    return f"from records and recordings, which begin {format_ns(recorded_ns)}; before that from the lake"


def session_kernel_rung(found: SessionRun, stretch: Stretch, kernel: Result) -> Rung:
    """Compare a session with its own backtest, trade by trade."""
    trips = _compared(found.records, kernel, stretch)
    changed = bars_seen_otherwise(found.records, found.played.ticks)
    told = explained(trips.differences, evidence_of(found.records, found.holds, found.heard.facts, changed))
    counts = {"round trips": (trips.equal, max(trips.ours, trips.reference))}
    text = "the same bars and settings, without a trader"
    if trips.differences:
        text = f"{trips.within_grid} more within a tick and a lot"
    return Rung(3, "session = its own backtest", not told, counts, text, tuple(told))


def rehearsed(stretch: Stretch, folder: Path, lake: Lake, strategies: Mapping[str, Strategy], told: Told) -> SessionRun:
    """Record a session with a late bar, a pause and a restart in it, and run it again from its ledger.

    Args:
        stretch: What it trades.
        folder: Where its ledger is written.
        lake: Where the bars are.
        strategies: By name.
        told: Called with (closes done, closes in all).

    Raises:
        JournalError: The ledger could not be written.
        OSError: The recording could not be written.
    """
    path = folder / "session.db"
    begin_ns = int(stretch.ticks.ts_close_ns[0]) - stretch.configuration.timeframe_ns
    ledger = new_ledger(path, stretch.key, stretch.configuration.scales, begin_ns)
    try:
        journal, script = MemoryJournal((), ledger), eventful(stretch.ticks)
        played = play(stretch.key, stretch.configuration, stretch.ticks, journal, script, told)
    finally:
        ledger.close()
    with Kept(path) as kept:
        record_heard(folder / "sessions", "rehearsal", kept.ledger_id, stretch.key, played.ticks)
        return replay_session(kept, kept.session("last"), lake, strategies, told, folder / "sessions")


def eventful(ticks: Ticks) -> Script:
    """Return a script in which something of everything happens: a late bar, a pause, a new start."""
    stamps = ticks.ts_close_ns
    at = [int(stamps[len(ticks) * part // 12]) for part in range(12)]
    column = int(np.flatnonzero(ticks.present[len(ticks) * 4 // 12])[0])
    return Script(
        late=(Late(ticks.keys[column], at[4], at[4] + 30 * SECOND_NS),),
        commands=(
            CommandReceived(at[6] + SECOND_NS, "pause-1", "pause", {}, "rehearsal"),
            CommandReceived(at[7] + SECOND_NS, "resume-1", "resume", {}, "rehearsal"),
        ),
        starts_ns=(at[8] + 20 * SECOND_NS,),
    )


def simulation_rung() -> Rung:
    """Return the rung that is run by itself: with faults, the invariants hold."""
    text = "novapulse simulate --seeds 0:300 --days 1 --faults all --json"
    return Rung(4, "with faults, the invariants hold", None, {}, text)
