"""The orders of one account: those that have not ended, and the last that have, for facts that come late.

Invariants:
- an order's state is the fold over its facts (`core.order_fold`), the same as in the trader;
- an order has ended when its `order_closed` was written, and is at work again when its `order_reopened` was: the last
  of these counts, as in `ledger.queries`.
"""

from collections import OrderedDict, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from typing import Any

from novapulse.core.amounts import from_units
from novapulse.core.facts import KINDS, from_body
from novapulse.core.order_fold import AT_VENUE, Order
from novapulse.core.orders import OrderStatus, Role
from novapulse.core.records import REASON_TEXT, Reason
from novapulse.ledger.queries import Listing
from novapulse.monitor.rows import OrderState
from novapulse.monitor.values import average, filled

ENDS = ("order_closed", "order_reopened")
CLOSED_KEPT = 512
"""As many as the trader remembers: one that it can reopen is here."""
FACTS_KEPT = 100
RESTING = frozenset({OrderStatus.ACCEPTED, OrderStatus.PARTIALLY_FILLED})
"""Where the venue is known to have an order at work."""
IN_FORCE = RESTING | {OrderStatus.REPLACE_PENDING}
"""Where a stop is in force: while it is being changed, the old or the new one is."""


@dataclass(slots=True)
class Known:
    """An order and the entries that speak of it; its row is made once for all that is known."""

    order: Order
    seq: int = 0
    facts: deque[int] = field(default_factory=lambda: deque(maxlen=FACTS_KEPT))
    row: OrderState | None = None

    @property
    def symbol(self) -> str:
        """What it trades."""
        return self.order.request.instrument.symbol


class OrderBook:
    """Orders by client order id."""

    def __init__(self) -> None:
        self.open: dict[str, Known] = {}
        self.closed: OrderedDict[str, Known] = OrderedDict()

    def take(self, seq: int, kind: str, body: Mapping[str, Any]) -> None:
        """Take an entry that speaks of an order; others are passed over.

        Raises:
            ValueError: The entry does not hold the fact that its kind says.
        """
        name = body.get("client_order_id")
        if not name or kind not in (*KINDS, *ENDS):
            return
        known = self.open.get(name) or self.closed.get(name)
        if known is None:
            # What belongs to nobody's order, or to one that was forgotten, is in the fills.
            if kind != "order_intended":
                return
            known = self.open[name] = Known(Order(name), seq)
        known.facts.append(seq)
        known.row = None
        if kind == "order_closed":
            self._close(name)
        elif kind == "order_reopened":
            self.closed.pop(name, None)
            self.open[name] = known
        else:
            known.order.add(from_body(kind, body))

    def _close(self, name: str) -> None:
        known = self.open.pop(name, None)
        if known is not None:
            self.closed[name] = known
        while len(self.closed) > CLOSED_KEPT:
            self.closed.popitem(last=False)

    def find(self, client_order_id: str) -> Known | None:
        """Return an order that is open, or ended not long ago."""
        return self.open.get(client_order_id) or self.closed.get(client_order_id)

    @property
    def working(self) -> Iterator[Known]:
        """Yield what has not ended and may still bring executions, in the order of the intents."""
        for known in self.open.values():
            if known.order.is_risk or known.order.status is OrderStatus.INTENT:
                yield known

    @property
    def open_count(self) -> int:
        """How many the venue is known to have."""
        return sum(known.order.status in AT_VENUE or known.order.is_live for known in self.open.values())

    @property
    def unknown_count(self) -> int:
        """How many have an outcome that is not known."""
        return sum(known.order.status is OrderStatus.UNKNOWN for known in self.open.values())

    def bracket_of(self, symbol: str, side: int) -> Known | None:
        """Return the protective order of a position: the one at work where there are several.

        Args:
            symbol: What is held.
            side: Of the order that closes it: -1 for a long position.
        """
        found = [
            known
            for known in self.open.values()
            if known.symbol == symbol
            and known.order.request.role is Role.PROTECT
            and int(known.order.request.side) == side
            and not known.order.is_terminal
        ]
        return max(found, key=lambda known: (known.order.status in IN_FORCE, known.seq), default=None)


def order_state(known: Known, listing: Listing) -> OrderState:
    """Return an order as a row.

    Args:
        known: Intended.
        listing: Its instrument.
    """
    if known.row is None:
        known.row = _row(known, listing)
    return known.row


def _row(known: Known, listing: Listing) -> OrderState:
    order, request = known.order, known.order.request
    terms = order.terms
    has_prices = not _waits_for_its_entry(order)
    return OrderState(
        client_order_id=order.client_order_id,
        venue_order_id=order.venue_order_id,
        symbol=known.symbol,
        side=request.side.name.lower(),
        role=request.role.value,
        kind=request.kind.value,
        status=order.status.value,
        qty=from_units(terms.qty_units, listing.qty_scale),
        filled_qty=from_units(order.filled_units, listing.qty_scale),
        leaves_qty=from_units(order.leaves_units, listing.qty_scale),
        limit_price=price_of(terms.limit_units, listing) if has_prices else None,
        stop_price=price_of(terms.stop_units, listing) if has_prices else None,
        target_price=price_of(terms.target_units, listing) if has_prices else None,
        avg_fill_price=_average_price(order, listing),
        decided_ns=request.decided_ns,
        expires_ns=request.expires_ns or None,
        decision_id=request.decision_id,
        seq=known.seq,
        why=_why(order),
        facts=tuple(known.facts),
    )


def price_of(units: int, listing: Listing) -> Decimal | None:
    """Return price units as a decimal; None for 0, which stands for no price."""
    return from_units(units, listing.price_scale) if units else None


def _average_price(order: Order, listing: Listing) -> Decimal | None:
    fills = order.counted_fills
    units = sum(fill.qty_units for fill in fills)
    if not units:
        return None
    paid = sum(fill.qty_units * fill.price_units for fill in fills)
    return filled(average(Fraction(paid, units * 10**listing.price_scale)), listing.price_scale)


def _protection(order: Order) -> str:
    if _waits_for_its_entry(order):
        return "it goes out for what its entry fills"
    return "it protects the position" if order.status in IN_FORCE else "it is to protect the position"


def _waits_for_its_entry(order: Order) -> bool:
    # Its terms are its entry's until then: no price of them is one that it would trade at.
    return order.status is OrderStatus.INTENT and bool(order.request.attached_to)


def _why(order: Order) -> str:
    code = order.request.reason
    told = [REASON_TEXT[Reason(code)]] if code in set(Reason) else []
    if order.request.role is Role.PROTECT:
        told = [_protection(order)]
    told += [f"disputed: {text}" for text in order.disputes]
    if order.status is OrderStatus.UNKNOWN:
        told.append("nobody knows yet whether the venue has it")
    return "; ".join(told)
