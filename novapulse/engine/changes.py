"""What is asked about an order that the venue has: to cancel it, or to change it in place.

Invariants:
- what the venue refused, or took and did not do, is asked again after a while, longer each time and for as long as the
  order lives, and people are told when it keeps doing so;
- cancels and amendments wait each for themselves: that terms were refused puts off no cancel;
- what is unknown is cancelled by our own id, and stays unknown until the venue shows what became of it.
"""

from typing import Literal

from novapulse.core.messages import Amend, Cancel, SetTimer, Severity
from novapulse.core.order_fold import Order
from novapulse.core.orders import AmendAsked, CancelAsked, OrderStatus, Role, Terms
from novapulse.core.postings import Posting
from novapulse.engine.desk import Desk, Draft
from novapulse.engine.standing import AT_WORK

SECOND_NS = 1_000_000_000
RETRY_SECONDS = (1, 2, 5, 10, 30, 60)

TOLD_AT = 3
"""How often the venue is asked in vain before people are told."""

Change = Literal["cancel", "amend"]
"""What the venue may be asked about an order; each has its own wait behind a refusal (`Desk.waits`)."""


def cancel(desk: Desk, draft: Draft, order: Order) -> None:
    """Ask the venue to cancel, unless it is being asked already; what is unknown is cancelled by our own id."""
    if order.undisputed_status is OrderStatus.UNKNOWN:
        _cancel_unknown(desk, draft, order)
    elif order.undisputed_status in AT_WORK and order.venue_order_id:
        ask_cancel(desk, draft, order)


def _cancel_unknown(desk: Desk, draft: Draft, order: Order) -> None:
    # It may rest there while nothing can be read. What comes back proves nothing: it stays unknown and is asked again.
    if not _may_ask(desk, draft, order, "cancel"):
        return
    ask_cancel(desk, draft, order)
    desk.waits[order.client_order_id, "cancel"] = (
        0,
        draft.ts_ns + RETRY_SECONDS[min(order.cancels, 5) - 1] * SECOND_NS,
    )
    _may_ask(desk, draft, order, "cancel")


def ask_cancel(desk: Desk, draft: Draft, order: Order) -> None:
    """Ask the venue to cancel, again if need be; what it refused is asked again only after a while."""
    if not _may_ask(desk, draft, order, "cancel"):
        return
    attempt = order.cancels + 1
    desk.learn(draft, CancelAsked(order.client_order_id, attempt))
    draft.then(Cancel(order.client_order_id, order.venue_order_id, order.request.instrument, attempt))


def ask_cancel_again(desk: Desk, draft: Draft, order: Order) -> None:
    """Ask once more to cancel what the venue shows at work although it was asked: the first time may have been lost."""
    if draft.ts_ns < _due_ns(desk, order, "cancel"):
        return
    ask_cancel(desk, draft, order)
    _note_in_vain(desk, draft, order, "cancel")


def amend(desk: Desk, draft: Draft, order: Order, terms: Terms) -> None:
    """Ask the venue to change an order in place; what it refused is asked again only after a while."""
    if not _may_ask(desk, draft, order, "amend"):
        return
    number = order.amendments + 1
    more: tuple[Posting, ...] = ()
    if order.request.role is Role.ENTRY:
        more = desk.hold_more(order, desk.hold_units(desk.plan(desk.row_of(order))))
    desk.learn(draft, AmendAsked(order.client_order_id, number, terms), more)
    draft.then(Amend(order.client_order_id, order.venue_order_id, order.request.instrument, number, terms))


def _may_ask(desk: Desk, draft: Draft, order: Order, what: Change) -> bool:
    due_ns = _due_ns(desk, order, what)
    if draft.ts_ns >= due_ns:
        return True
    # A timer of its own brings the next try: whatever else waits in the instrument must not put it off.
    draft.then(SetTimer(f"retry:{desk.row_of(order)}:{what}:{order.client_order_id}", due_ns))
    return False


def _due_ns(desk: Desk, order: Order, what: Change) -> int:
    return desk.waits.get((order.client_order_id, what), (0, 0))[1]


def note_refusal(desk: Desk, draft: Draft, order: Order, what: Change) -> None:
    """Wait before the venue is asked again, longer each time, and tell people when it keeps refusing."""
    if order.undisputed_status is not OrderStatus.UNKNOWN:
        _note_in_vain(desk, draft, order, what)


def _note_in_vain(desk: Desk, draft: Draft, order: Order, what: Change) -> None:
    count = desk.waits.get((order.client_order_id, what), (0, 0))[0] + 1
    wait_s = RETRY_SECONDS[min(count, len(RETRY_SECONDS)) - 1]
    desk.waits[order.client_order_id, what] = (count, draft.ts_ns + wait_s * SECOND_NS)
    if count == TOLD_AT:
        key = f"{what}:{order.client_order_id}"
        which = f"order {order.client_order_id} of {order.request.instrument}"
        desk.alert(draft, Severity.CRITICAL, key, f"the venue was asked {TOLD_AT} times in vain to {what} {which}")


def forget_waits(desk: Desk, order: Order, *changes: Change) -> None:
    """Let the venue be asked again at once: it took what was asked, shows what it did not, or the order has ended."""
    for what in changes:
        desk.waits.pop((order.client_order_id, what), None)
