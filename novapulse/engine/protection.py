"""Every open position has exactly one live bracket, or a recorded reason why not.

Invariants:
- the venue makes the bracket with the entry's first fill; the trader moves its stop as the books' stop ratchets, never
  back, and arms a new one where there is none;
- a bracket is missing only when the venue was asked and has it not: silence is looked into, not believed;
- a bracket is as large as what it guards (`engine.stop_size`);
- the bracket of a closed position is cancelled if the venue has not done so itself.
"""

from novapulse.core.messages import Lookup, SetTimer, Severity, client_order_id, decision_id
from novapulse.core.order_fold import Order
from novapulse.core.orders import OrderRequest, OrderStatus, OrderType, Role, Side, Terms
from novapulse.core.records import Intent, Reason
from novapulse.engine import bare, stop_size
from novapulse.engine.bare import Bare
from novapulse.engine.changes import SECOND_NS, amend, cancel
from novapulse.engine.desk import Desk, Draft
from novapulse.engine.leaving import leave
from novapulse.engine.orders import count_refusal, submit
from novapulse.engine.standing import STANDS, UNHEARD_OF
from novapulse.engine.stop_size import PATIENCE_S


def sync_protection(desk: Desk, draft: Draft, row: int) -> None:
    """Take the next step towards exactly one bracket at the right place."""
    _step(desk, draft, row)
    bare.count_time(desk, draft, row)


def _step(desk: Desk, draft: Draft, row: int) -> None:
    bracket = desk.orders.get(desk.slots[row].protect)
    if desk.books.held_units(row) == 0 or bracket is None:
        stop_size.forget(desk, draft, row)
    if desk.books.held_units(row) == 0:
        _without_position(desk, draft, row, bracket)
        return
    if bracket is None:
        _arm(desk, draft, row)
    elif bracket.status in STANDS and _holds_more(desk, row, bracket):
        _let_it_go(desk, draft, row, bracket)
    elif bracket.status in STANDS:
        _explain(desk, draft, row, None)
        _follow_stop(desk, draft, row, bracket)
    elif bracket.status in UNHEARD_OF:
        _explain(desk, draft, row, Bare.ON_ITS_WAY)
        _wait_for(desk, draft, row, bracket)


def _wait_for(desk: Desk, draft: Draft, row: int, bracket: Order) -> None:
    # Whatever else happens to the instrument meanwhile does not put off that the venue is asked.
    name, latest_ns = bracket.client_order_id, draft.ts_ns + PATIENCE_S * SECOND_NS
    awaited, due_ns = desk.stops_due[row]
    if awaited != name or not draft.ts_ns < due_ns <= latest_ns:
        due_ns = latest_ns
        desk.stops_due[row] = name, due_ns
    draft.then(SetTimer(f"protect:{row}", due_ns))


def _without_position(desk: Desk, draft: Draft, row: int, bracket: Order | None) -> None:
    slot = desk.slots[row]
    if slot.why_bare:
        bare.end_alert(desk, draft, row)
    slot.why_bare = ""
    if bracket is not None and bracket.status in STANDS and not _waits_for_entry(desk, row):
        draft.then(SetTimer(f"protect:{row}", draft.ts_ns + PATIENCE_S * SECOND_NS))


def _waits_for_entry(desk: Desk, row: int) -> bool:
    slot = desk.slots[row]
    of_this_plan = slot.entry == slot.decision and slot.entry != ""
    return of_this_plan and desk.books.intent(row) is Intent.ENTRY


def _follow_stop(desk: Desk, draft: Draft, row: int, bracket: Order) -> None:
    position = desk.books.positions[row]
    wanted = desk.price_units(row, float(position.stop_price))
    known = bracket.terms.stop_units
    tighter = known == 0 or int(position.direction) * (wanted - known) > 0
    moves = wanted != known and tighter
    slot = desk.slots[row]
    leaves_by_it = slot.leaving_ns and slot.leaves_by_stop
    if wanted == 0 or leaves_by_it:
        return
    is_sized = stop_size.is_to_be_asked(desk, draft, row, bracket)
    if not (moves or is_sized):
        return
    # Where the venue sizes it, an amendment of the price says no less than is known of either side.
    guarded = stop_size.guarded_units(desk, row, bracket)
    qty_units = guarded if is_sized else max(guarded, bracket.terms.qty_units)
    target = desk.price_units(row, float(position.target_price))
    amend(desk, draft, bracket, Terms(qty_units, 0, wanted if moves else known, target))


def _holds_more(desk: Desk, row: int, bracket: Order) -> bool:
    """Tell whether another order filled as well, such as one that was refused: a bracket grows with its own alone."""
    held, used = abs(desk.books.held_units(row)), stop_size.used_units(bracket)
    if not bracket.request.attached_to or held <= bracket.terms.qty_units - used:
        return False
    own = sum(
        order.filled_units
        for order in (*desk.orders.values(), *desk.closed.values())
        if order.request.role is Role.ENTRY and order.request.decision_id == bracket.request.decision_id
    )
    return held > own - used


def _let_it_go(desk: Desk, draft: Draft, row: int, bracket: Order) -> None:
    # One that covers everything follows it: the venue ends no more than a bracket's own quantity.
    desk.slots[row].drains.append(bracket.client_order_id)
    desk.slots[row].protect = ""
    cancel(desk, draft, bracket)
    _explain(desk, draft, row, Bare.OVER_ALL)


def _arm(desk: Desk, draft: Draft, row: int) -> None:
    slot, position = desk.slots[row], desk.books.positions[row]
    if slot.retry_ns > draft.ts_ns:
        _explain(desk, draft, row, Bare.REFUSED)
        draft.then(SetTimer(f"protect:{row}", slot.retry_ns))
        return
    if desk.has_plan(row) and position.exiting and desk.may_leave:
        _explain(desk, draft, row, Bare.EXCESS if slot.turned else Bare.CLOSING)
        return
    if bare.is_too_little(desk, row):
        _explain(desk, draft, row, Bare.TOO_LITTLE)
        return
    if slot.split_new:
        _explain(desk, draft, row, Bare.SPLIT)
        return
    if bare.is_another_ending(desk, row):
        _explain(desk, draft, row, Bare.CANCELED_FIRST)
        return
    if not slot.entry:
        # What opened it was not its slot's own entry: this position's stops go by a name that no other ever had.
        slot.entry = decision_id(desk.key, desk.keys[row], draft.ts_ns, f"{desk.settings_hash}:adopted")
        slot.brackets = 0
    slot.brackets += 1
    name = client_order_id(desk.key, slot.entry, Role.PROTECT.value, slot.brackets)
    request = OrderRequest(
        client_order_id=name,
        account=desk.key,
        instrument=desk.keys[row],
        decision_id=slot.entry,
        role=Role.PROTECT,
        side=Side(-int(position.direction)),
        kind=OrderType.BRACKET,
        terms=Terms(
            abs(int(position.qty_units)),
            0,
            desk.price_units(row, float(position.stop_price)),
            desk.price_units(row, float(position.target_price)),
        ),
        decided_ns=desk.ts_close_ns,
        reduce_only=True,
        reason=int(Reason.EXIT_STOP),
    )
    slot.protect = name
    _explain(desk, draft, row, Bare.REARMED)
    submit(desk, draft, request)


def _explain(desk: Desk, draft: Draft, row: int, why: Bare | None) -> None:
    slot = desk.slots[row]
    if why is None and slot.why_bare:
        bare.end_alert(desk, draft, row)
    if why is not None and slot.why_bare != why:
        name = desk.instrument(row).symbol
        draft.write("protection_noted", {"instrument": [desk.key.exchange, name], "why": why.value})
    slot.why_bare = "" if why is None else why.value


def on_timer(desk: Desk, draft: Draft, row: int) -> None:
    """Look after a bracket that is late, or that outlived its position."""
    slot, position = desk.slots[row], desk.books.positions[row]
    bracket = desk.orders.get(slot.protect)
    if bracket is None:
        sync_protection(desk, draft, row)
        return
    if position.qty_units == 0 and bracket.status in STANDS and not _waits_for_entry(desk, row):
        cancel(desk, draft, bracket)
    elif bracket.status in UNHEARD_OF:
        if position.qty_units == 0:
            return
        request = bracket.request
        asked_ns = bracket.first_attempt_ns or request.decided_ns
        draft.then(Lookup(request.client_order_id, bracket.venue_order_id, request.instrument, asked_ns))
        desk.stops_due[row] = "", 0
        _wait_for(desk, draft, row, bracket)


def is_beyond_stop(desk: Desk, row: int) -> bool:
    """Tell whether prices are beyond a stop that no live bracket holds at the venue: then the trader is the stop.

    One that is being moved, or withdrawn, is live: an order of our own beside it would sell what it sells.
    """
    slot, position = desk.slots[row], desk.books.positions[row]
    bracket = desk.orders.get(slot.protect)
    if position.qty_units == 0 or slot.leaving_ns or (bracket is not None and bracket.is_live):
        return False
    stop, price = float(position.stop_price), desk.middle_price(row)
    return bool(price <= stop if position.direction > 0 else price >= stop) and stop > 0.0


def refused(desk: Desk, draft: Draft, row: int, bracket: Order) -> None:
    """React to a bracket that the venue would not take, or ended: try again, leave the position if it stays bare."""
    if desk.books.positions[row].qty_units == 0:
        return
    count, name = count_refusal(desk, draft, row, bracket), desk.instrument(row).symbol
    if count >= 3 or bracket.status is OrderStatus.REJECTED:
        desk.alert(draft, Severity.CRITICAL, f"bare:{name}", f"the position in {name} has no stop: {bracket.evidence}")
    if count >= desk.settings.bracket_tries and desk.may_leave:
        leave(desk, draft, row, Reason.EXIT_STOP)
