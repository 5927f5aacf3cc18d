"""The order manager: brings what is out at the venue in line with what the plan wants, one legal step at a time.

Invariants:
- one live child per plan; the next one is sent when the one before has ended and its fills are booked;
- an intent and its attempt are durable before a request leaves, and a client order id is minted once per order;
- what can only be changed when the venue has answered waits for the answer;
- an exit waits for no entry and is tried until the position is closed; an entry that the venue refuses is given up;
- an entry that ends before it was filled, wholly or in part, ends with a record that says why;
- what is too little for the venue is not sent: of an entry it is given up, of an exit it is dust (`engine.dust`).
"""

from novapulse.core.messages import SetTimer, Severity, Submit, client_order_id
from novapulse.core.order_fold import Order
from novapulse.core.orders import (
    TERMINAL,
    Attempted,
    Filled,
    Intended,
    OrderRequest,
    OrderStatus,
    OrderType,
    Protection,
    Role,
    Side,
    Terms,
)
from novapulse.core.records import Intent, Mode, OrderKind, Reason
from novapulse.engine.amounts import plan_exit, plan_whole
from novapulse.engine.answers import tell_end
from novapulse.engine.changes import RETRY_SECONDS, SECOND_NS, amend, cancel, forget_waits
from novapulse.engine.desk import CLOSED_KEPT, Desk, Draft
from novapulse.engine.exits import decide_exit
from novapulse.engine.room import has_room, let_look_again
from novapulse.engine.round_trips import RoundTrip
from novapulse.engine.standing import STANDS, UNHEARD_OF
from novapulse.engine.step import reprice_now
from novapulse.execution.planner import TOO_LITTLE, NotSent, Planned
from novapulse.execution.tactics import last_moment_ns

ANSWER_GRACE_S = 5
"""How long after its deadline a request may still come back before it counts as unclear."""

POST_ONLY = "post_only"
"""Code of a refusal because the order would have crossed the spread."""


def sync(desk: Desk, draft: Draft, row: int) -> None:
    """Take the next step towards the plan of an instrument, if there is one to take now.

    Args:
        desk: The trader's state.
        draft: Answer to the event at hand; records and effects are added.
        row: The instrument.
    """
    slot, intent = desk.slots[row], desk.books.intent(row)
    child = desk.orders.get(slot.child)
    if intent is Intent.NONE:
        if child is not None:
            let_go(desk, draft, row)
        slot.not_sent = ""
        return
    if _is_bracket_at_work(desk, row):
        return
    if child is None:
        _send(desk, draft, row)
    elif intent is Intent.ENTRY and child.request.role is not Role.ENTRY:
        let_go(desk, draft, row)
    elif child.request.kind is not OrderType.LIMIT:
        return
    elif int(desk.plan(row).kind) == OrderKind.MARKET:
        cancel(desk, draft, child)
    else:
        _follow_price(desk, draft, row, child)


def _is_bracket_at_work(desk: Desk, row: int) -> bool:
    # A stop that was touched is leaving by itself: a second order would sell what is already being sold.
    slot = desk.slots[row]
    if not slot.leaves_by_stop or desk.books.intent(row) is not Intent.EXIT:
        return False
    bracket = desk.orders.get(slot.protect)
    return bracket is not None and bracket.is_live


def _follow_price(desk: Desk, draft: Draft, row: int, child: Order) -> None:
    if child.status not in STANDS:
        return
    wanted = _limit_units(desk, row)
    if wanted == 0 or child.terms.limit_units == wanted:
        return
    if child.request.role is Role.ENTRY and not is_fresh(desk, draft.ts_ns, row):
        desk.slots[row].not_sent = NotSent.PRICE_STALE.value
        return
    amend(desk, draft, child, Terms(child.terms.qty_units, limit_units=wanted))


def _limit_units(desk: Desk, row: int) -> int:
    return desk.price_units(row, float(desk.plan(row).limit_price))


def is_fresh(desk: Desk, ts_ns: int, row: int) -> bool:
    """Tell whether the last price of an instrument is young enough to send an order on."""
    return ts_ns - desk.prices_ns[row] <= desk.settings.quote_age_s_max * SECOND_NS


def _send(desk: Desk, draft: Draft, row: int) -> None:
    slot = desk.slots[row]
    planned = _planned(desk, draft, row)
    slot.not_sent = planned.why_not.value if planned.why_not else ""
    if planned.units == 0:
        _nothing_to_send(desk, draft, row, planned)
        return
    plan = desk.plan(row)
    is_entry = desk.books.intent(row) is Intent.ENTRY
    if slot.leaves_by_stop:
        # A stop was touched and no bracket is there to leave by: the order of our own is a decision of its own.
        decide_exit(desk, draft, row, "touched")
    slot.legs += 1
    role = Role.ENTRY if is_entry else Role.EXIT
    name = client_order_id(desk.key, slot.decision, role.value, slot.legs)
    rests = int(plan.kind) != OrderKind.MARKET
    request = OrderRequest(
        client_order_id=name,
        account=desk.key,
        instrument=desk.keys[row],
        decision_id=slot.decision,
        role=role,
        side=Side(1 if planned.units > 0 else -1),
        kind=OrderType.LIMIT if rests else OrderType.MARKET,
        terms=Terms(abs(planned.units), _limit_units(desk, row) if rests else 0),
        decided_ns=int(plan.decision_ts_ns),
        expires_ns=int(last_moment_ns(plan, desk.books.rules)) if is_entry else 0,
        reduce_only=not is_entry,
        notional_max_units=_notional_max(desk, row) if is_entry else 0,
        reason=int(plan.reason),
        parent=client_order_id(desk.key, slot.decision, role.value, slot.legs - 1) if slot.legs > 1 else "",
        protection=_protection(desk, row) if is_entry else None,
    )
    slot.child = name
    _intend(desk, draft, request, desk.hold_units(plan) if is_entry else 0)
    if request.protection is not None and request.protection.client_order_id not in desk.orders:
        _intend_bracket(desk, draft, row, request)
    _attempt(desk, draft, request)


def _planned(desk: Desk, draft: Draft, row: int) -> Planned:
    is_entry = desk.books.intent(row) is Intent.ENTRY
    drains = [order for name in desk.slots[row].drains if (order := desk.orders.get(name)) is not None]
    why_not = _why_nothing(desk, draft, row, drains)
    if why_not is None and is_entry:
        why_not = _why_no_entry(desk, draft, row, drains)
    if why_not is not None:
        return Planned(0, why_not)
    return _planned_entry(desk, row) if is_entry else _planned_exit(desk, row, drains)


def _why_nothing(desk: Desk, draft: Draft, row: int, drains: list[Order]) -> NotSent | None:
    intent = desk.books.intent(row)
    alike = [order for order in drains if order.request.role is plan_role(intent)]
    if not desk.may_leave:
        return NotSent.HALTED
    if desk.slots[row].retry_ns > draft.ts_ns:
        return NotSent.BEING_RETRIED
    # An exit waits for no entry.
    if any(order.status in UNHEARD_OF for order in (drains if intent is Intent.ENTRY else alike)):
        return NotSent.OUTCOME_UNKNOWN
    return NotSent.WAITS_FOR_CANCEL if _any_is_open(alike) else None


def _why_no_entry(desk: Desk, draft: Draft, row: int, drains: list[Order]) -> NotSent | None:
    if drains or _has_old_bracket(desk, row):
        return NotSent.WAITS_FOR_CANCEL
    if desk.books.mode != Mode.NORMAL:
        return NotSent.NO_NEW_RISK
    if not desk.ready or desk.slots[row].gate:
        return NotSent.NOT_COMPARED
    if not has_room(desk, row):
        return NotSent.NO_ROOM_YET
    return None if is_fresh(desk, draft.ts_ns, row) else NotSent.PRICE_STALE


def _any_is_open(orders: list[Order]) -> bool:
    return any(order.undisputed_status not in TERMINAL for order in orders)


def _planned_exit(desk: Desk, row: int, drains: list[Order]) -> Planned:
    planned = plan_exit(desk, row)
    if planned.why_not in TOO_LITTLE and _any_is_open(drains):
        # What may still be filled may make it enough for an order.
        return Planned(0, NotSent.WAITS_FOR_CANCEL)
    return planned


def _planned_entry(desk: Desk, row: int) -> Planned:
    plan, held = desk.plan(row), desk.books.held_units(row)
    if int(plan.side) * desk.slots[row].dust_units < 0:
        return Planned(0, NotSent.BESIDE_DUST)
    price = float(plan.limit_price) or float(plan.decision_price)
    return plan_whole(desk, row, held + int(plan.side) * int(plan.units), held, price)


def plan_role(intent: Intent) -> Role:
    """Return the role of the orders that carry out a plan."""
    return Role.ENTRY if intent is Intent.ENTRY else Role.EXIT


def _has_old_bracket(desk: Desk, row: int) -> bool:
    slot = desk.slots[row]
    return slot.entry != slot.decision and slot.protect in desk.orders


def _nothing_to_send(desk: Desk, draft: Draft, row: int, planned: Planned) -> None:
    slot = desk.slots[row]
    why = planned.why_not
    is_too_little = why in TOO_LITTLE and desk.books.intent(row) is Intent.ENTRY
    if why and (is_too_little or why in (NotSent.NOTHING_LEFT, NotSent.BESIDE_DUST)):
        give_up(desk, draft, row, Reason.BELOW_MINIMUM, why.value)
    elif why is NotSent.BEING_RETRIED:
        draft.then(SetTimer(f"retry:{row}", slot.retry_ns))


def _notional_max(desk: Desk, row: int) -> int:
    worth = float(desk.plan(row).notional_max) * float(desk.books.records[row].cash_factor)
    return round(worth) if worth < 2**62 else 0


def _protection(desk: Desk, row: int) -> Protection:
    slot, plan = desk.slots[row], desk.plan(row)
    if slot.entry != slot.decision:
        slot.entry, slot.brackets, slot.protect = slot.decision, 0, ""
    if not slot.protect:
        slot.brackets += 1
        slot.protect = client_order_id(desk.key, slot.entry, Role.PROTECT.value, slot.brackets)
    return Protection(slot.protect, float(plan.stop_distance), float(plan.target_distance))


def _intend_bracket(desk: Desk, draft: Draft, row: int, entry: OrderRequest) -> None:
    assert entry.protection is not None
    bracket = OrderRequest(
        client_order_id=entry.protection.client_order_id,
        account=desk.key,
        instrument=entry.instrument,
        decision_id=entry.decision_id,
        role=Role.PROTECT,
        side=Side(-entry.side),
        kind=OrderType.BRACKET,
        terms=entry.terms,
        decided_ns=entry.decided_ns,
        reduce_only=True,
        reason=int(Reason.EXIT_STOP),
        attached_to=entry.client_order_id,
    )
    _intend(desk, draft, bracket, 0)


def submit(desk: Desk, draft: Draft, request: OrderRequest) -> None:
    """Write an order that reserves nothing and send it."""
    _intend(desk, draft, request, 0)
    _attempt(desk, draft, request)


def _intend(desk: Desk, draft: Draft, request: OrderRequest, hold_units: int) -> None:
    desk.orders[request.client_order_id] = Order(request.client_order_id)
    postings = desk.hold(request.client_order_id, hold_units) if hold_units else ()
    desk.learn(draft, Intended(request.client_order_id, request), postings)


def _attempt(desk: Desk, draft: Draft, request: OrderRequest) -> None:
    desk.learn(draft, Attempted(request.client_order_id, 1, draft.ts_ns))
    desk.counted(draft, "orders")
    draft.then(Submit(request, 1))
    deadline_s = desk.settings.submit_deadline_s + ANSWER_GRACE_S
    draft.then(SetTimer(f"deadline:{request.client_order_id}", draft.ts_ns + round(deadline_s * SECOND_NS)))


def let_go(desk: Desk, draft: Draft, row: int) -> None:
    """Cancel the child of a plan that is over, and let it drain: it may still fill until it has ended."""
    slot = desk.slots[row]
    child = desk.orders.get(slot.child)
    if child is None:
        return
    slot.drains.append(slot.child)
    slot.child = ""
    cancel(desk, draft, child)


def drain(desk: Desk, draft: Draft, row: int) -> None:
    """Cancel what drains until the venue has ended it, and forget what has."""
    drains = desk.slots[row].drains
    for name in list(drains):
        order = desk.orders.get(name)
        if order is None:
            drains.remove(name)
        else:
            cancel(desk, draft, order)


def give_up(desk: Desk, draft: Draft, row: int, reason: Reason, text: str = "") -> None:
    """End what is at work for an instrument and keep why: an entry that was not filled, wholly or in part."""
    slot = desk.slots[row]
    slot.unfilled = reason.name
    slot.leaving_ns = 0 if desk.books.held_units(row) == 0 else slot.leaving_ns
    if desk.books.intent(row) is Intent.ENTRY:
        write_unfilled(desk, draft, row, reason, text)
    desk.books.end_plan(row)
    slot.not_sent = ""
    let_go(desk, draft, row)


def book_closing(desk: Desk, draft: Draft, row: int, fill: Filled, reason: int) -> RoundTrip | None:
    """Book what closes a position, or a part of it: an entry whose rest is at work beside it is given up for that.

    Args:
        desk: The trader's state.
        draft: Answer to the event at hand.
        row: The instrument.
        fill: The execution; what of it is beyond the position is nobody's.
        reason: Code of the exit.

    Returns:
        The round trip that it closed, or None.
    """
    if desk.books.intent(row) is Intent.ENTRY and int(fill.side) * desk.books.held_units(row) < 0:
        give_up(desk, draft, row, Reason.UNFILLED_SUPERSEDED, "its position is being closed")
    return desk.books.book(row, fill, Role.EXIT, None, reason)


def write_unfilled(desk: Desk, draft: Draft, row: int, reason: Reason, text: str = "") -> None:
    """Keep that an entry was not filled, wholly or in part: an outcome like any other."""
    slot = desk.slots[row]
    slot.unfilled = reason.name
    plan = desk.plans.get(slot.decision)
    draft.write(
        "entry_unfilled",
        {
            "decision_id": slot.decision,
            "instrument": [desk.key.exchange, desk.instrument(row).symbol],
            "reason": reason.name,
            "wanted_units": int(plan.units) if plan is not None else 0,
            "text": text,
        },
    )


def close(desk: Desk, draft: Draft, row: int, order: Order) -> None:
    """Write that an order has ended and give back what it reserved."""
    name, slot = order.client_order_id, desk.slots[row]
    postings = desk.release(order, 0)
    draft.write(
        "order_closed",
        {"client_order_id": name, "status": order.status.value, "filled_units": order.filled_units},
        postings,
    )
    desk.orders.pop(name, None)
    forget_waits(desk, order, "cancel", "amend")
    for what in ("cancel", "amend", "reopened"):
        desk.alert_over(draft, f"{what}:{name}", f"order {name} has ended: {order.status.value}")
    desk.extras_asked.difference_update(order.venue_order_ids)
    desk.closed[name] = order
    tell_end(desk, draft, order)
    if order.request.role is Role.ENTRY:
        let_look_again(desk, draft)
    while len(desk.closed) > CLOSED_KEPT:
        forgotten, ended = desk.closed.popitem(last=False)
        for trade in ended.fills:
            desk.remember_foreign(trade)
        desk.active_ns.pop(forgotten, None)
        desk.venue_ids = {venue: ours for venue, ours in desk.venue_ids.items() if ours != forgotten}
    if slot.child == name:
        slot.child = ""
    if slot.protect == name:
        slot.protect = ""
    if name in slot.drains:
        slot.drains.remove(name)


def was_ended_unasked(order: Order) -> bool:
    """Tell whether the venue ended an order by itself that had not filled at all: for what it was for, a refusal."""
    ended = order.status in (OrderStatus.CANCELED, OrderStatus.EXPIRED)
    return ended and order.filled_units == 0 and order.cancels == 0


def count_refusal(desk: Desk, draft: Draft, row: int, order: Order) -> int:
    """Count the refusals in a row of what is wanted of an instrument; what had lasted begins a new row.

    Returns:
        How many there are now: 0 behind an order that had lasted, which is sent anew at once.
    """
    slot = desk.slots[row]
    since_ns = order.first_attempt_ns or order.request.decided_ns
    lasted = order.status is not OrderStatus.REJECTED and draft.ts_ns - since_ns > RETRY_SECONDS[-1] * SECOND_NS
    slot.refusals = 0 if lasted else slot.refusals + 1
    wait_s = RETRY_SECONDS[min(slot.refusals, len(RETRY_SECONDS)) - 1] if slot.refusals else 0
    slot.retry_ns = draft.ts_ns + wait_s * SECOND_NS
    return slot.refusals


def after_child(desk: Desk, draft: Draft, row: int, child: Order) -> None:
    """React to the end of the order that carried out a plan which still wants something.

    Args:
        desk: The trader's state.
        draft: Answer to the event at hand.
        row: The instrument.
        child: The order, ended and closed.
    """
    slot, intent = desk.slots[row], desk.books.intent(row)
    if intent is Intent.NONE:
        return
    we_asked = child.cancels > 0
    if child.status is OrderStatus.REJECTED or (intent is Intent.EXIT and was_ended_unasked(child)):
        _refused(desk, draft, row, child)
    elif child.status is OrderStatus.NEVER_PLACED or we_asked or intent is Intent.EXIT:
        slot.refusals = 0
    else:
        give_up(desk, draft, row, Reason.UNFILLED_CANCELED, f"the venue ended it: {child.status.value}")


def _refused(desk: Desk, draft: Draft, row: int, child: Order) -> None:
    plan = desk.plan(row)
    if desk.books.intent(row) is Intent.ENTRY:
        desk.slots[row].refusals += 1
        if child.evidence.startswith(POST_ONLY) and plan.chases_left > 0 and is_fresh(desk, draft.ts_ns, row):
            reprice_now(plan, desk.books.last_bars[row], draft.ts_ns, desk.books.records[row], desk.books.rules)
            return
        give_up(desk, draft, row, Reason.UNFILLED_REFUSED, child.evidence)
        return
    count = count_refusal(desk, draft, row, child)
    if count >= 3:
        name = desk.instrument(row).symbol
        desk.alert(
            draft,
            Severity.CRITICAL,
            f"exit:{name}",
            f"the exit of {name} was refused or ended {count} times and is tried again: {child.evidence}",
        )
