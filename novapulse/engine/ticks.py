"""A close: marks, decisions, and what they mean for the orders at work.

Invariants:
- every instrument whose bar closed is judged, and what it was judged is kept: a decision as a record, "why not" as a
  run of bars;
- a decision's record holds every input to the bit: what the account, the position, the bar and the signal were.
"""

import base64

import numpy as np

from novapulse.core.messages import BarsClosed, HoldRun, SetTimer, decision_id
from novapulse.core.orders import OrderStatus
from novapulse.core.records import Mode, Reason, Record, Verb
from novapulse.engine import splits, staleness
from novapulse.engine.books import Attention
from novapulse.engine.desk import Desk, Draft
from novapulse.engine.gauges import measure_equity, measure_fills, measure_losses
from novapulse.engine.orders import let_go, write_unfilled
from novapulse.engine.slots import TO_ITS_STOP, Run
from novapulse.engine.step import TRIGGERED
from novapulse.execution.tactics import Step

LOOK_NS = 30_000_000_000
"""Between two looks at an exit that has not closed its position."""

FEED_OPENS_NS = 60_000_000_000
"""How long after a start the first quote may need."""

_DOUBTFUL = frozenset({OrderStatus.UNKNOWN, OrderStatus.DISPUTED})
_ENDS = {
    Step.GIVE_UP_EXPIRED: Reason.UNFILLED_EXPIRED,
    Step.GIVE_UP_NO_EDGE: Reason.UNFILLED_NO_EDGE,
    TRIGGERED: Reason.UNFILLED_SUPERSEDED,
}
"""Step that ends an entry by itself -> why it was not filled; an entry that a decision ends has turned."""

_OF_STOPS = frozenset({Reason.EXIT_STOP, Reason.EXIT_BREAKEVEN, Reason.EXIT_TRAIL})


def on_bars(desk: Desk, draft: Draft, event: BarsClosed) -> list[int]:
    """Take a close in.

    Args:
        desk: The trader's state.
        draft: Answer to the event.
        event: The close, later than the last decided one.

    Returns:
        Rows whose orders or bracket want a look.
    """
    desk.calibration = event.calibration
    step_ns = event.ts_close_ns - desk.ts_close_ns
    desk.bar_ns = min(desk.bar_ns or step_ns, step_ns) if desk.ts_close_ns else 0
    desk.ts_close_ns = event.ts_close_ns
    desk.time_passed(draft)
    staleness.count(desk, draft, event)
    event = splits.seen_bars(desk, draft, event)
    for row, here in enumerate(event.present.tolist()):
        if here:
            desk.prices_ns[row] = event.ts_close_ns
            _miss_quotes(desk, draft, row)
    blocked = np.array([_blocked(desk, row) for row in range(len(desk.slots))], np.int64)
    leaves_by_stop = [is_left_by_stop(desk, row) for row in range(len(desk.slots))]
    attention = desk.books.tick(event.ts_close_ns, event.bars, event.signals, event.present, blocked, desk.reserved())
    measure_losses(desk, draft, *desk.books.losses.tolist())
    if desk.bar_ns:
        desk.measured(draft, "bar_age", (event.ts_ns - event.ts_close_ns) / desk.bar_ns)
    measure_fills(desk, draft, event)
    measure_equity(desk, draft)
    _note_holds(desk, draft, event)
    draft.changed = True
    draft.told = draft.told or bool(attention)
    touched = {row for row, slot in enumerate(desk.slots) if slot.child or slot.protect or slot.drains}
    for one in attention:
        if one.ends_entry:
            write_unfilled(desk, draft, one.row, _ENDS.get(one.step, Reason.UNFILLED_TURNED))
        if one.step == TRIGGERED and not leaves_by_stop[one.row]:
            _leave_by_trigger(desk, draft, one.row)
        _act(desk, draft, one, event)
        touched.add(one.row)
    touched.update(row for row in range(len(desk.slots)) if desk.has_plan(row))
    return sorted(touched)


def _miss_quotes(desk: Desk, draft: Draft, row: int) -> None:
    # No quote, no measurement: only the close itself shows that one should have come, once the feed had time to open.
    last_ns = desk.quotes[row][0]
    is_opening = not last_ns and draft.ts_ns - desk.started_ns <= FEED_OPENS_NS
    if not desk.spread_by_model and not is_opening and draft.ts_ns - last_ns > desk.settings.quote_age_s_max * 1e9:
        desk.measured(draft, "spread", None, desk.keys[row])


def _blocked(desk: Desk, row: int) -> int:
    slot = desk.slots[row]
    if not desk.ready:
        return Reason.BREAK_OPEN
    if slot.gate:
        return Reason.BREAK_OPEN
    foreign = desk.books.foreign_units.item(row) - slot.dust_units
    if foreign < 0 or (foreign > 0 and desk.instruments[row].shortable):
        # The venue has one holding: against what belongs to nobody a position could not be guarded.
        return Reason.BREAK_OPEN
    if any(order.status in _DOUBTFUL for order in desk.open_orders(row)):
        return Reason.ORDER_UNKNOWN
    why = desk.breakers.blocks(desk.keys[row])
    if why is not None:
        return Reason.SPREAD_UNKNOWN if "spread" in why else Reason.BREAKER
    return Reason.SPREAD_UNKNOWN if desk.is_spread_unknown(row) else 0


def _note_holds(desk: Desk, draft: Draft, event: BarsClosed) -> None:
    verbs = desk.books.actions["verb"].tolist()
    reasons = desk.books.actions["reason"].tolist()
    for row, here in enumerate(event.present.tolist()):
        if not here:
            continue
        run = desk.runs[row]
        held = verbs[row] == Verb.HOLD
        if run is not None and held and run.reason == reasons[row]:
            run.last_ns = event.ts_close_ns
            run.bars += 1
            continue
        if run is not None:
            draft.runs.append(HoldRun(desk.keys[row], run.reason, run.first_ns, run.last_ns, run.bars))
        desk.runs[row] = Run(reasons[row], event.ts_close_ns, event.ts_close_ns, 1) if held else None


def _act(desk: Desk, draft: Draft, one: Attention, event: BarsClosed) -> None:
    slot = desk.slots[one.row]
    if one.verb == Verb.HOLD:
        if one.ends_entry:
            let_go(desk, draft, one.row)
        return
    name = decision_id(desk.key, desk.keys[one.row], event.ts_close_ns, desk.settings_hash)
    _write_decision(desk, draft, one, event, name)
    let_go(desk, draft, one.row)
    slot.decision = name if one.verb != Verb.WITHDRAW else ""
    slot.legs = slot.refusals = slot.retry_ns = 0
    if one.verb == Verb.ENTER:
        desk.keep_plan(name, one.row)
    elif one.verb == Verb.EXIT:
        begin_to_leave(desk, draft, one.row)


def begin_to_leave(desk: Desk, draft: Draft, row: int) -> None:
    """Note since when a position is to be closed, and look after it until it is."""
    desk.slots[row].leaving_ns = draft.ts_ns
    draft.then(SetTimer(f"exit:{row}", draft.ts_ns + LOOK_NS))


def is_left_by_stop(desk: Desk, row: int) -> bool:
    """Tell whether a position is being left because its stop was touched: another touch is nothing new."""
    return desk.slots[row].leaving_ns != 0 and int(desk.plan(row).reason) in _OF_STOPS and desk.has_plan(row)


def _leave_by_trigger(desk: Desk, draft: Draft, row: int) -> None:
    let_go(desk, draft, row)
    desk.slots[row].decision = TO_ITS_STOP
    begin_to_leave(desk, draft, row)


def _write_decision(desk: Desk, draft: Draft, one: Attention, event: BarsClosed, name: str) -> None:
    row, books = one.row, desk.books
    action = books.actions[row]
    draft.write(
        "decision_taken",
        {
            "decision_id": name,
            "instrument": [desk.key.exchange, desk.instruments[row].symbol],
            "ts_close_ns": event.ts_close_ns,
            "verb": one.verb.name,
            "reason": Reason(one.reason).name,
            "side": int(action.side),
            "units": int(action.units),
            "target_units": int(action.target_units),
            "limit_price": float(action.limit_price).hex(),
            "settings": desk.settings_hash,
            "calibration": event.calibration,
            "mode": Mode(int(books.seen_account[row].mode)).name,
            "inputs": {
                "account": encoded(books.seen_account[row]),
                "position": encoded(books.seen_positions[row]),
                "bar": encoded(event.bars[row]),
                "signal": encoded(event.signals[row]),
                "group_exposure": float(books.groups[row]).hex(),
                "action": encoded(action),
            },
        },
    )


def encoded(record: Record) -> str:
    """Return the bytes of a record as text."""
    return base64.b64encode(record.tobytes()).decode()


def decoded(text: str, dtype: "np.dtype[np.void]") -> Record:
    """Return the record that `encoded` wrote.

    Raises:
        ValueError: The text holds something else.
    """
    raw = base64.b64decode(text, validate=True)
    if len(raw) != dtype.itemsize:
        raise ValueError(f"{len(raw)} bytes where a record has {dtype.itemsize}")
    return np.frombuffer(raw, dtype).copy()[0]
