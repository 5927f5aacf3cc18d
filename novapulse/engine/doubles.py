"""Two live orders that do the work of one (D15), as late evidence makes them.

Invariants:
- the newest is cancelled and disputed, whoever is told of it first: the trader here, or a comparison;
- what the venue has twice under one id is disputed by the order itself; all but the acknowledged one is cancelled;
- of two brackets the oldest guards the position alone, so that it is bare at no moment;
- the dispute ends by proof: the venue has ended the newest, and all that it executed is booked.
"""

from collections import defaultdict

from novapulse.core.messages import Cancel
from novapulse.core.order_fold import Order
from novapulse.core.orders import TERMINAL, DisputeRaised, DisputeSettled, Role
from novapulse.engine import excess
from novapulse.engine.changes import cancel
from novapulse.engine.desk import Desk, Draft
from novapulse.engine.slots import Slot
from novapulse.engine.standing import AT_WORK
from novapulse.reconciliation.orders import age, doubled_text, is_doubling


def sort_out(desk: Desk, draft: Draft, row: int) -> None:
    """Dispute and cancel what is one too many, and let the oldest bracket be the one of its position."""
    slot = desk.slots[row]
    if not slot.drains:
        return
    together: defaultdict[tuple[Role, str], list[Order]] = defaultdict(list)
    for order in desk.open_orders(row):
        is_of_before = order.request.role is Role.PROTECT and order.request.decided_ns <= slot.split_ns
        if order.undisputed_status in AT_WORK and not is_of_before:
            together[order.request.role, order.request.decision_id].append(order)
    for (role, decision), orders in together.items():
        first, *others = sorted(orders, key=age)
        for other in others:
            _dispute(desk, draft, first, other)
        if role is Role.PROTECT and decision == slot.entry and desk.books.positions[row].qty_units != 0:
            _let_guard(slot, first.client_order_id)


def cancel_extras(desk: Desk, draft: Draft, order: Order) -> None:
    """Ask the venue to cancel what it has under an order's id beside the one that it acknowledged; once each.

    Whatever lists one of them as live again has it asked again: see `is_extra`.
    """
    for venue_order_id in order.venue_order_ids:
        if is_extra(order, venue_order_id) and venue_order_id not in desk.extras_asked:
            desk.extras_asked.add(venue_order_id)
            body = {"client_order_id": order.client_order_id, "venue_order_id": venue_order_id}
            draft.write("extra_cancel_asked", body)
            draft.then(Cancel("", venue_order_id, order.request.instrument, 1))


def is_extra(order: Order, venue_order_id: str) -> bool:
    """Tell whether an id of the venue is of another order than the acknowledged one."""
    return venue_order_id not in ("", order.venue_order_id)


def _dispute(desk: Desk, draft: Draft, first: Order, other: Order) -> None:
    desk.learn(draft, DisputeRaised(other.client_order_id, doubled_text(first, other)))
    cancel(desk, draft, other)


def _let_guard(slot: Slot, name: str) -> None:
    if slot.protect == name:
        return
    slot.drains.remove(name)
    slot.drains.extend([slot.protect] if slot.protect else [])
    slot.protect = name


def set_aside(desk: Desk, draft: Draft, row: int, order: Order) -> None:
    """Deal with a disputed order that the venue has ended: it is settled where that proves all, else it waits.

    Whoever has to settle it, the position must not wait for that.
    """
    slot, name = desk.slots[row], order.client_order_id
    assert order.undisputed_status in TERMINAL, f"order {name} is {order.undisputed_status}"
    if all(is_doubling(each) for each in order.disputes) or excess.is_repaired(desk, row, order):
        desk.learn(draft, DisputeSettled(name, order.disputes))
    elif name in (slot.child, slot.protect):
        slot.child = "" if slot.child == name else slot.child
        slot.protect = "" if slot.protect == name else slot.protect
        slot.drains.append(name)
