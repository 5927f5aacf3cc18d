"""Finds out what became of an order that the venue has not answered for: asks, and asks again, until there is evidence.

Invariants:
- a query that failed, or was read in part, says nothing;
- absence is believed after two whole reads that are at least five seconds apart, and not before the moment from which
  the venue must have refused a late request;
- nothing here ends by time: UNKNOWN is reported, then halts the account, and stays until somebody or something knows.
"""

from dataclasses import dataclass

from novapulse.core.messages import Found, Lookup, LookupEnded, SetTimer
from novapulse.core.order_fold import Order
from novapulse.core.orders import AbsenceProved, AmendRefused, OrderStatus, Role, VenueState
from novapulse.engine.changes import SECOND_NS, ask_cancel_again, forget_waits
from novapulse.engine.desk import Desk, Draft

DELAYS_S = (0, 2, 5, 10, 20, 40, 60)
UNSETTLED = frozenset(
    {
        OrderStatus.UNKNOWN,
        OrderStatus.CANCEL_PENDING,
        OrderStatus.REPLACE_PENDING,
        OrderStatus.SETTLING,
    }
)


@dataclass(slots=True)
class Inquiry:
    """What has been asked about one order.

    Attributes:
        began_ns: Since when.
        asked: How often.
        absences: Whole reads that did not find it.
        absent_ns: When the first of these came back.
        old_terms: Reads that still showed the terms before an amendment.
        kept: Whether it lasts until there is an answer, whatever the order's state.
    """

    began_ns: int
    asked: int = 0
    absences: int = 0
    absent_ns: int = 0
    old_terms: int = 0
    kept: bool = False


class Resolver:
    """The inquiries of one trader."""

    def __init__(self, desk: Desk) -> None:
        """Start without any inquiry: they follow from the orders' states."""
        self.desk = desk
        self.inquiries: dict[str, Inquiry] = {}

    def watch(self, draft: Draft, order: Order, wait_s: int = 0, *, keep: bool = False) -> None:
        """Look into an order unless that is under way; an answer that is on its way is given time first."""
        name = order.client_order_id
        if name in self.inquiries:
            return
        self.inquiries[name] = Inquiry(draft.ts_ns, kept=keep)
        draft.then(SetTimer(f"lookup:{name}", draft.ts_ns + wait_s * SECOND_NS))

    def settled(self, order: Order) -> None:
        """End the inquiry into an order that needs none any more."""
        inquiry = self.inquiries.get(order.client_order_id)
        if inquiry is not None and (order.is_terminal or not inquiry.kept):
            del self.inquiries[order.client_order_id]

    def on_timer(self, draft: Draft, name: str) -> None:
        """Ask the venue, and set the time of the next question."""
        order, inquiry = self.desk.orders.get(name), self.inquiries.get(name)
        if order is None or inquiry is None:
            return
        inquiry.asked += 1
        request = order.request
        sent_ns = order.first_attempt_ns or request.decided_ns
        draft.then(Lookup(name, order.venue_order_id, request.instrument, sent_ns))
        wait = DELAYS_S[min(inquiry.asked, len(DELAYS_S) - 1)]
        draft.then(SetTimer(f"lookup:{name}", draft.ts_ns + wait * SECOND_NS))

    def oldest_unknown_s(self, ts_ns: int) -> float:
        """Return for how long the oldest UNKNOWN order has been so; 0 when there is none."""
        began = [
            order.first_attempt_ns or order.request.decided_ns
            for order in self.desk.orders.values()
            if order.status is OrderStatus.UNKNOWN
        ]
        return (ts_ns - min(began)) / SECOND_NS if began else 0.0

    def on_answer(self, draft: Draft, event: LookupEnded) -> None:
        """Take in what a query found; its fills are booked by the caller."""
        order = self.desk.orders.get(event.client_order_id)
        if order is None:
            return
        # Whoever asked first: an inquiry without a next question would be no inquiry, and would be in the way of one.
        self.watch(draft, order, DELAYS_S[1])
        inquiry = self.inquiries[event.client_order_id]
        if event.found is Found.FOUND and event.seen is not None:
            inquiry.absences = 0
            inquiry.kept = False
            if order.undisputed_status is OrderStatus.UNKNOWN:
                # Now that it shows, its cancel waits for nothing.
                forget_waits(self.desk, order, "cancel")
            self.desk.learn(draft, event.seen)
            if event.seen.state is VenueState.LIVE:
                self._still_live(draft, order, inquiry)
        elif event.found is Found.ABSENT:
            self._absent(draft, order, inquiry)

    def _still_live(self, draft: Draft, order: Order, inquiry: Inquiry) -> None:
        if order.undisputed_status is OrderStatus.CANCEL_PENDING:
            ask_cancel_again(self.desk, draft, order)
        elif order.undisputed_status is OrderStatus.REPLACE_PENDING:
            inquiry.old_terms += 1
            if inquiry.old_terms >= 2:
                self.desk.learn(draft, AmendRefused(order.client_order_id, order.amendments))
                inquiry.old_terms = 0

    def _absent(self, draft: Draft, order: Order, inquiry: Inquiry) -> None:
        if order.venue_order_id:
            return
        inquiry.absences += 1
        if inquiry.absences == 1:
            inquiry.absent_ns = draft.ts_ns
        apart = draft.ts_ns - inquiry.absent_ns >= self.desk.settings.absences_apart_s * SECOND_NS
        late = draft.ts_ns - inquiry.began_ns >= self.desk.settings.absence_after_s * SECOND_NS
        is_attached = order.request.role is Role.PROTECT and order.request.attached_to != ""
        if inquiry.absences >= 2 and apart and (late or is_attached):
            self.desk.learn(draft, AbsenceProved(order.client_order_id))
