"""Why two runs of the same account differ: each difference gets one cause, and one that only follows says of which.

Invariants:
- a cause is what was found in the evidence, never a guess: `fill` is what is left when bars, delays, restarts, gates,
  limits, prices and fees are the same;
- an account shares its money: a difference in size or in whether there was an entry follows from an earlier difference
  of any instrument, unless there is a cause of its own.
"""

import base64
import enum
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from novapulse.core.instruments import InstrumentKey
from novapulse.core.messages import HoldRun, Record
from novapulse.core.records import BAR, REASON_TEXT, Reason
from novapulse.engine.rows import Ticks
from novapulse.parity.trips import Difference


class Cause(enum.StrEnum):
    """What makes runs differ."""

    DATA = "data"  # the bars were not the same
    PRICE = "price"  # the same fill at another price
    FILL = "fill"  # filled at another time, in another quantity, or not at all
    FEE = "fee"  # the same fill at another fee
    DELAY = "delay"  # a bar or an answer came late
    GATE = "gate"  # an entry was blocked by what only the running trader knows: breaker, mode, break, spread
    LIMITS = "limits"  # decided under limits that an operator had changed
    RESTART = "restart"  # the trader was started anew


GATES = frozenset(
    {
        Reason.MODE_PAUSED,
        Reason.MODE_REDUCE_ONLY,
        Reason.MODE_HALTED,
        Reason.GATE_MISSING,
        Reason.GATE_REFUSED,
        Reason.SPREAD_UNKNOWN,
        Reason.ORDER_UNKNOWN,
        Reason.BREAK_OPEN,
        Reason.BREAKER,
    }
)
"""Reasons that a backtest does not have, or not at the same bars."""

OBSERVED = frozenset({"order_seen", "balance_asserted", "alert_raised", "alert_cleared", "alert_acknowledged"})
"""Kinds of records that tell what the trader noticed: how often depends on when it looked."""

PATIENCE_NS = 1_000_000_000
"""How much longer than the configured latency an answer may take and be nothing special."""

_NEVER = 2**62

_PRICES = ("entry_price", "exit_price")


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time on one instrument, or on all where `instrument` is None."""

    instrument: InstrumentKey | None
    first_ns: int
    last_ns: int
    text: str

    def touches(self, instrument: InstrumentKey, first_ns: int, last_ns: int) -> bool:
        """Tell whether it has to do with a stretch of an instrument."""
        here = self.instrument is None or self.instrument == instrument
        return here and self.first_ns <= last_ns and first_ns <= self.last_ns


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of the run in question, beside its round trips.

    Attributes:
        timeframe_ns: Width of a bar.
        changed: Bars that are not those of the reference.
        delays: Bars that came late, and requests that took longer than configured.
        gates: Stretches in which entries were blocked, or an operator acted.
        starts_ns: Starts after the first.
        limits: Stretches in which limits were otherwise than configured.
    """

    timeframe_ns: int
    changed: tuple[Span, ...] = ()
    delays: tuple[Span, ...] = ()
    gates: tuple[Span, ...] = ()
    starts_ns: tuple[int, ...] = ()
    limits: tuple[Span, ...] = ()


@dataclass(frozen=True, slots=True)
class Explained:
    """A difference and its cause.

    Attributes:
        difference: What differs.
        cause: Why.
        why: In words.
        follows: Whether it only follows from an earlier difference, whose cause this is.
    """

    difference: Difference
    cause: Cause
    why: str
    follows: bool = False


def explained(differences: Sequence[Difference], evidence: Evidence) -> list[Explained]:
    """Return the cause of each difference.

    Args:
        differences: In time order.
        evidence: What is known of the run.
    """
    told: list[Explained] = []
    for one in differences:
        cause, why = _own_cause(one, evidence)
        first = next((earlier for earlier in told if not earlier.follows), None)
        if cause is Cause.FILL and first is not None and one.field in ("missing", "extra", "qty_units", "entry_ns"):
            text = f"follows from {first.difference.one.instrument} (round trip {first.difference.one.number})"
            told.append(Explained(one, first.cause, text, follows=True))
        else:
            told.append(Explained(one, cause, why))
    return told


def _own_cause(one: Difference, evidence: Evidence) -> tuple[Cause, str]:
    key, width = one.one.instrument, evidence.timeframe_ns
    # What decided the entry closed a bar or some before it: chases and the fallback take a few more.
    first_ns, last_ns = one.began_ns - 10 * width, one.ended_ns
    start = next((moment for moment in evidence.starts_ns if first_ns <= moment <= last_ns), None)
    if start is not None:
        return Cause.RESTART, f"the trader was started anew at {np.datetime64(start, 'ns')}"
    late = next((span for span in evidence.delays if span.touches(key, first_ns, last_ns)), None)
    if late is not None:
        return Cause.DELAY, late.text
    # Signals look far back: a bar that changed anywhere before may have moved them.
    changed = next((span for span in evidence.changed if span.touches(key, 0, last_ns)), None)
    if changed is not None:
        return Cause.DATA, changed.text
    gate = next((span for span in evidence.gates if span.touches(key, first_ns, last_ns)), None)
    if gate is not None:
        return Cause.GATE, gate.text
    limited = next((span for span in evidence.limits if span.touches(key, first_ns, last_ns)), None)
    if limited is not None:
        return Cause.LIMITS, limited.text
    if one.field == "fee_units":
        return Cause.FEE, "the same fills at another fee"
    if one.field in _PRICES:
        return Cause.PRICE, f"the same fill {one.price_ticks:.4g} ticks away"
    return Cause.FILL, _told_of_fill(one)


def _told_of_fill(one: Difference) -> str:
    if one.field in ("missing", "extra"):
        return "only the other run entered" if one.field == "missing" else "only this run entered"
    return f"{one.field.removesuffix('_ns').removesuffix('_units')} differs"


def changed_bars(ours: Ticks, reference: Ticks) -> tuple[Span, ...]:
    """Return the bars that two runs did not hear alike, one that only one of them heard included."""
    spans = []
    for column, key in enumerate(ours.keys):
        other = reference.keys.index(key)
        mine = _by_close(ours, column)
        theirs = _by_close(reference, other)
        for stamp in sorted(mine.keys() ^ theirs.keys()):
            where = "the other run" if stamp in mine else "this run"
            spans.append(bar_span(key, stamp, f"is not in {where}"))
        for stamp in sorted(mine.keys() & theirs.keys()):
            if mine[stamp] != theirs[stamp]:
                spans.append(bar_span(key, stamp, f"differs in {differing(mine[stamp], theirs[stamp])}"))
    return tuple(spans)


def _by_close(ticks: Ticks, column: int) -> dict[int, bytes]:
    rows = np.flatnonzero(ticks.present[:, column])
    bars = np.ascontiguousarray(ticks.bars[rows, column])
    return {int(stamp): bar.tobytes() for stamp, bar in zip(ticks.ts_close_ns[rows], bars, strict=True)}


def differing(mine: bytes, theirs: bytes) -> str:
    """Return the names of the columns in which two bars differ."""
    one, other = np.frombuffer(mine, BAR)[0], np.frombuffer(theirs, BAR)[0]
    return ", ".join(name for name in BAR.names or () if one[name] != other[name])


def bar_span(key: InstrumentKey, stamp: int, what: str) -> Span:
    """Return the moment of a bar, and what is the matter with it."""
    return Span(key, stamp, stamp, f"the bar of {key} closing {np.datetime64(stamp, 'ns')} {what}")


def gates_of(holds: Iterable[HoldRun], records: Iterable[Record]) -> tuple[Span, ...]:
    """Return the stretches in which the running trader held entries back, or an operator acted."""
    spans = [
        Span(run.instrument, run.first_ns, run.last_ns, f"entries were blocked: {REASON_TEXT[Reason(run.reason)]}")
        for run in holds
        if run.reason in GATES
    ]
    for record in records:
        if record.kind == "mode_changed":
            spans.append(Span(None, record.ts_ns, record.ts_ns, f"the mode changed to {record.body['to']}"))
        elif record.kind == "command_answered" and record.body["verb"] != "limits":
            spans.append(Span(None, record.ts_ns, record.ts_ns, f"an operator said {record.body['verb']}"))
    return tuple(spans)


def limits_of(records: Iterable[Record]) -> tuple[Span, ...]:
    """Return the stretches in which limits were otherwise than configured; the last may still go on."""
    words = [(record.ts_ns, record.body["limits"]) for record in records if record.kind == "limits_changed"]
    ends = [*(ts_ns for ts_ns, _ in words), _NEVER][1:]
    return tuple(
        Span(None, ts_ns, end_ns, f"an operator had changed {', '.join(changed)}")
        for (ts_ns, changed), end_ns in zip(words, ends, strict=True)
        if changed
    )


def delays_of(records: Iterable[Record], latency_ns: int) -> tuple[Span, ...]:
    """Return the bars that came late, and the requests that reached the venue later than configured."""
    spans: list[Span] = []
    asked: dict[str, tuple[InstrumentKey, int]] = {}
    for record in records:
        body = record.body
        if record.kind == "bar_late":
            key = InstrumentKey(*body["instrument"])
            spans.append(bar_span(key, int(body["ts_close_ns"]), f"came late ({body['problem']})"))
        elif record.kind == "order_intended":
            asked[body["client_order_id"]] = (InstrumentKey(*body["request"]["instrument"]), record.ts_ns)
        elif record.kind == "order_acked":
            sent = asked.get(body["client_order_id"])
            if sent is not None and record.ts_ns - sent[1] > latency_ns + PATIENCE_NS:
                took = (record.ts_ns - sent[1]) / 1e9
                spans.append(Span(sent[0], sent[1], record.ts_ns, f"an order took {took:.3g} s to be answered"))
    return tuple(spans)


def counted(told: Sequence["Explained | ExplainedRecord"]) -> Mapping[str, int]:
    """Return how many differences each cause made, those that follow included."""
    return {cause.value: sum(one.cause is cause for one in told) for cause in Cause}


@dataclass(frozen=True, slots=True)
class ExplainedRecord:
    """A record that is not the same in a session and in its replay.

    Attributes:
        kind: Its kind.
        instrument: What it is about; None for the whole account.
        ts_ns: When it was written.
        cause: Why.
        why: In words.
        follows: Whether it only follows from an earlier one.
    """

    kind: str
    instrument: InstrumentKey | None
    ts_ns: int
    cause: Cause
    why: str
    follows: bool


Pair = tuple[Record | None, Record | None]


def explained_records(pairs: Sequence[Pair], evidence: Evidence) -> list[ExplainedRecord]:
    """Return the cause of each record that differs, in time order.

    Args:
        pairs: Records of the session and of the replay; None where one of them has none.
        evidence: What is known of the session.
    """
    told: list[ExplainedRecord] = []
    asked: dict[str, InstrumentKey] = {}
    for one, other in pairs:
        known = one if one is not None else other
        assert known is not None
        key = _instrument_of(known, asked)
        cause, why, is_own = _cause_of_record(one, other, key, known.ts_ns, evidence)
        if told and not is_own:
            first = told[0]
            told.append(ExplainedRecord(known.kind, key, known.ts_ns, first.cause, f"follows: {first.why}", True))
        else:
            told.append(ExplainedRecord(known.kind, key, known.ts_ns, cause, why, False))
    return told


def _instrument_of(record: Record, asked: dict[str, InstrumentKey]) -> InstrumentKey | None:
    body = record.body
    if record.kind == "order_intended":
        asked[body["client_order_id"]] = InstrumentKey(*body["request"]["instrument"])
    if "instrument" in body:
        return InstrumentKey(*body["instrument"])
    return asked.get(body.get("client_order_id", ""))


def _cause_of_record(
    one: Record | None, other: Record | None, key: InstrumentKey | None, ts_ns: int, evidence: Evidence
) -> tuple[Cause, str, bool]:
    first_ns, last_ns = ts_ns - 10 * evidence.timeframe_ns, ts_ns
    start = next((moment for moment in evidence.starts_ns if first_ns <= moment <= last_ns), None)
    if start is not None:
        return Cause.RESTART, f"the trader was started anew at {np.datetime64(start, 'ns')}", True
    for spans, cause, since in (
        (evidence.delays, Cause.DELAY, first_ns),
        (evidence.changed, Cause.DATA, 0),
        (evidence.gates, Cause.GATE, first_ns),
        (evidence.limits, Cause.LIMITS, first_ns),
    ):
        found = next((span for span in spans if key is None or span.touches(key, since, last_ns)), None)
        if found is not None:
            return cause, found.text, True
    if one is not None and other is not None and one.kind == "fill_booked":
        names = {name for name in one.body if one.body[name] != other.body.get(name)}
        if names == {"fee_units"}:
            return Cause.FEE, "the same execution at another fee", True
        if names and names <= {"price_units", "cash_units", "fee_units"}:
            return Cause.PRICE, "the same execution at another price", True
    known = one if one is not None else other
    assert known is not None
    before = [moment for moment in evidence.starts_ns if moment <= ts_ns]
    if before and known.kind in OBSERVED:
        return Cause.RESTART, f"when it looks began anew at {np.datetime64(before[-1], 'ns')}", True
    return Cause.FILL, f"{known.kind} differs", False


def bars_seen_otherwise(records: Iterable[Record], ticks: Ticks) -> tuple[Span, ...]:
    """Return the bars that a session decided on and that the lake has otherwise, or not at all."""
    spans = []
    for record in records:
        if record.kind != "decision_taken" or record.body["inputs"] is None:
            continue
        key, stamp = InstrumentKey(*record.body["instrument"]), int(record.body["ts_close_ns"])
        recorded = base64.b64decode(record.body["inputs"]["bar"])
        row = int(np.searchsorted(ticks.ts_close_ns, stamp))
        column = ticks.keys.index(key)
        if row == len(ticks) or ticks.ts_close_ns[row] != stamp or not ticks.present[row, column]:
            spans.append(bar_span(key, stamp, "is not in the lake"))
        elif ticks.bars[row, column].tobytes() != recorded:
            names = differing(recorded, ticks.bars[row, column].tobytes())
            spans.append(bar_span(key, stamp, f"differs from the lake's in {names}"))
    return tuple(spans)
