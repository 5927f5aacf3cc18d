"""Why two runs of the same account differ: each difference gets one cause, and one that only follows says of which.

Invariants:
- a cause is what was found in the evidence, never a guess: `fill` is what is left when bars, delays, restarts, gates,
  limits, prices and fees are the same;
- where the instrument of a record is not known, neither is its cause;
- an account shares its money: a difference in size follows from money that another one made or lost, in its proportion,
  and whether there was an entry from what was held otherwise within a day before; anything else has its own cause.
"""

import base64
import enum
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from novapulse.core.bars import DAY_NS
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
    UNKNOWN = "not known"  # what it is about is not known


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
_ENTRIES = ("missing", "extra", "entry_ns", "direction")
_HELD = (*_ENTRIES, "qty_units", "exit_ns", "exit_reason")
_SIZES_FOLLOW = 4
"""How many times as far as equity, in proportion, a quantity may be apart that follows from it."""
_ABOUT_MONEY = frozenset({"fill_booked", "round_trip_closed"})


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
        capital_units: What the account began with, in units of its cash; 0 where it is not known.
    """

    timeframe_ns: int
    changed: tuple[Span, ...] = ()
    delays: tuple[Span, ...] = ()
    gates: tuple[Span, ...] = ()
    starts_ns: tuple[int, ...] = ()
    limits: tuple[Span, ...] = ()
    capital_units: int = 0


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
        before = _led_to(one, told, evidence) if cause is Cause.FILL else None
        if before is not None:
            text = f"follows from {before.difference.one.instrument} (round trip {before.difference.one.number})"
            told.append(Explained(one, before.cause, text, follows=True))
        else:
            told.append(Explained(one, cause, why))
    return told


def _own_cause(one: Difference, evidence: Evidence) -> tuple[Cause, str]:
    if one.field == "fee_units":
        return Cause.FEE, "the same fills at another fee"
    key, width = one.one.instrument, evidence.timeframe_ns
    # What decided the entry closed a bar or some before it: chases and the fallback take a few more.
    first_ns, last_ns = one.began_ns - 10 * width, one.ended_ns
    start = next((moment for moment in evidence.starts_ns if first_ns <= moment <= last_ns), None)
    if start is not None:
        return Cause.RESTART, f"the trader was started anew at {np.datetime64(start, 'ns')}"
    # Signals look far back: a bar that changed anywhere before may have moved an entry, but not what became of it.
    looks_back = one.field in (*_ENTRIES, "qty_units")
    for spans, cause, since_ns, is_one in (
        (evidence.delays, Cause.DELAY, first_ns, True),
        (evidence.changed, Cause.DATA, first_ns, True),
        (evidence.gates, Cause.GATE, first_ns, one.field not in _PRICES),
        (evidence.limits, Cause.LIMITS, first_ns, one.field not in _PRICES),
        (evidence.changed, Cause.DATA, 0, looks_back),
    ):
        found = next((span for span in spans if is_one and span.touches(key, since_ns, last_ns)), None)
        if found is not None:
            return cause, found.text
    if one.field in _PRICES:
        return Cause.PRICE, f"the same fill {one.price_ticks:.4g} ticks away"
    return Cause.FILL, _told_of_fill(one)


def _led_to(one: Difference, told: Sequence[Explained], evidence: Evidence) -> Explained | None:
    """Return the earlier difference that a fill-like one follows from; None where no way leads from one to it.

    Whether, when and how much was entered follows from a position that was held otherwise: its end, cooldowns, exposure
    and the limits of a day. A quantity also follows from money that was earned otherwise, in its proportion.
    """
    if one.field not in (*_ENTRIES, "qty_units"):
        return None
    earlier = [before for before in told if before.difference.began_ns <= one.began_ns]
    held = [before for before in earlier if before.difference.field in _HELD]
    near = [before for before in held if one.began_ns - before.difference.ended_ns <= DAY_NS]
    own = [before for before in near if before.difference.one.instrument == one.one.instrument]
    if near:
        return (own or near)[-1]
    return _paid_for(one, earlier, evidence.capital_units) if one.ours and one.reference else None


def _paid_for(one: Difference, earlier: Sequence[Explained], capital_units: int) -> Explained | None:
    """Return what made the most of the money that a quantity follows from; None where it is too far apart for that."""
    money = [_money_apart(before.difference) for before in earlier]
    if one.field != "qty_units" or not any(money) or not capital_units:
        return None
    assert one.ours is not None
    assert one.reference is not None
    quantities = one.ours.qty_units, one.reference.qty_units
    apart = max(quantities) - min(quantities)
    is_so = abs(one.qty_lots) <= 1 or apart * capital_units <= _SIZES_FOLLOW * sum(money) * max(quantities)
    return earlier[money.index(max(money))] if is_so else None


def _money_apart(one: Difference) -> int:
    ours = one.ours.pnl_units if one.ours else 0
    return abs(ours - (one.reference.pnl_units if one.reference else 0))


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


def explained_records(
    pairs: Sequence[Pair], evidence: Evidence, records: Iterable[Record] = ()
) -> list[ExplainedRecord]:
    """Return the cause of each record that differs, in time order.

    Args:
        pairs: Records of the session and of the replay; None where one of them has none.
        evidence: What is known of the session.
        records: All records of both, which tell what the orders are about.
    """
    told: list[ExplainedRecord] = []
    both = (one for pair in pairs for one in pair if one is not None)
    asked = {
        one.body["client_order_id"]: InstrumentKey(*one.body["request"]["instrument"])
        for one in (*records, *both)
        if one.kind == "order_intended"
    }
    for one, other in pairs:
        known = one if one is not None else other
        assert known is not None
        key = _instrument_of(known, asked)
        found = _cause_of_record(one, other, key, evidence)
        before = _record_before(known, key, told) if found is None else None
        if key is None and "client_order_id" in known.body and (found is None or found[0] is not Cause.RESTART):
            told.append(ExplainedRecord(known.kind, None, known.ts_ns, Cause.UNKNOWN, _NOT_KNOWN, False))
        elif found is not None:
            told.append(ExplainedRecord(known.kind, key, known.ts_ns, *found, False))
        elif before is not None:
            told.append(ExplainedRecord(known.kind, key, known.ts_ns, before.cause, f"follows: {before.why}", True))
        else:
            told.append(ExplainedRecord(known.kind, key, known.ts_ns, Cause.FILL, f"{known.kind} differs", False))
    return told


_NOT_KNOWN = "the order that it belongs to is not in the records"


def _record_before(known: Record, key: InstrumentKey | None, told: Sequence[ExplainedRecord]) -> ExplainedRecord | None:
    """Return what a record follows from: through the position of its instrument, else through the account's money."""
    if known.kind == "fill_booked" and key is None:
        return None
    own = [before for before in told if before.instrument == key and key is not None]
    money = [before for before in told if before.kind in _ABOUT_MONEY] if known.kind != "fill_booked" else []
    return own[-1] if own else money[-1] if money else None


def _instrument_of(record: Record, asked: Mapping[str, InstrumentKey]) -> InstrumentKey | None:
    body = record.body
    if "instrument" in body:
        return InstrumentKey(*body["instrument"])
    return asked.get(body.get("client_order_id", ""))


def _cause_of_record(
    one: Record | None, other: Record | None, key: InstrumentKey | None, evidence: Evidence
) -> tuple[Cause, str] | None:
    known = one if one is not None else other
    assert known is not None
    names = set()
    if one is not None and other is not None and one.kind == "fill_booked":
        names = {name for name in one.body if one.body[name] != other.body.get(name)}
    if names == {"fee_units"}:
        return Cause.FEE, "the same execution at another fee"
    first_ns, last_ns = known.ts_ns - 10 * evidence.timeframe_ns, known.ts_ns
    start = next((moment for moment in evidence.starts_ns if first_ns <= moment <= last_ns), None)
    if start is not None:
        return Cause.RESTART, f"the trader was started anew at {np.datetime64(start, 'ns')}"
    is_price = bool(names) and names <= {"price_units", "cash_units", "fee_units"}
    for spans, cause, since_ns, is_one in (
        (evidence.delays, Cause.DELAY, first_ns, True),
        (evidence.changed, Cause.DATA, first_ns, True),
        (evidence.gates, Cause.GATE, first_ns, not is_price),
        (evidence.limits, Cause.LIMITS, first_ns, not is_price),
        (evidence.changed, Cause.DATA, 0, known.kind == "decision_taken"),
    ):
        found = next((span for span in spans if is_one and _is_about(span, key, since_ns, last_ns)), None)
        if found is not None:
            return cause, found.text
    if is_price:
        return Cause.PRICE, "the same execution at another price"
    before = [moment for moment in evidence.starts_ns if moment <= known.ts_ns]
    if before and known.kind in OBSERVED:
        return Cause.RESTART, f"when it looks began anew at {np.datetime64(before[-1], 'ns')}"
    return None


def _is_about(span: Span, key: InstrumentKey | None, first_ns: int, last_ns: int) -> bool:
    if key is None:
        return span.instrument is None and span.first_ns <= last_ns and first_ns <= span.last_ns
    return span.touches(key, first_ns, last_ns)


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
