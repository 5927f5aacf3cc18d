"""What a venue executed beyond what was held: both legs of a bracket, or an exit beside the stop of its position.

Invariants:
- it is ours: an order of ours did it, whatever that makes of the position;
- what lies beside the position is used up first: a venue has one holding, which is never long and short at a time;
- what is left is a position that nobody decided: it has a stop like any other, and is closed at the market as soon as
  a reading of the balances shows it as well: an execution alone may be an error that is taken back;
- the dispute over the order ends by proof: the venue has ended it, what it executed is booked, nothing of it is held.
"""

import re
from dataclasses import replace

from novapulse.core.amounts import from_units
from novapulse.core.messages import Severity
from novapulse.core.order_fold import Order
from novapulse.core.orders import Filled, OrderStatus, Role
from novapulse.core.records import Intent, Reason
from novapulse.engine.desk import Desk, Draft
from novapulse.engine.orders import book_closing, give_up
from novapulse.engine.round_trips import RoundTrip

_EXCESS = re.compile(r"(executed|the venue filled) \d+ of \d+ units")
"""Disputes over more than an order's quantity, as its fold words them."""


def units_beyond(desk: Desk, row: int, fill: Filled) -> int:
    """Return how many units of an execution that reduces are beyond the position."""
    return max(fill.qty_units - max(-int(fill.side) * desk.books.held_units(row), 0), 0)


def book(desk: Desk, draft: Draft, row: int, order: Order, fill: Filled, reason: int) -> RoundTrip | None:
    """Book an execution that reduces more than there is.

    Args:
        desk: The trader's state.
        draft: Answer to the event at hand.
        row: Instrument.
        order: Whose execution it is: one that was only to reduce, or one of which an execution was taken back.
        fill: The execution, turned round where it was taken back.
        reason: Code of the exit.

    Returns:
        The round trip that it closed on its way, or None.
    """
    books, distance = desk.books, stop_distance(desk, row, order)
    closing, beyond = parted(fill, fill.qty_units - units_beyond(desk, row, fill))
    trip = None
    if closing.qty_units:
        trip = book_closing(desk, draft, row, closing, reason)
    free = max(-int(fill.side) * books.foreign_units.item(row), 0)
    nobodys, ours = parted(beyond, min(free, beyond.qty_units))
    if nobodys.qty_units:
        books.book(row, nobodys, Role.EXIT, None, reason)
    if ours.qty_units:
        turn(desk, draft, row, ours, distance)
    return trip


def parted(fill: Filled, units: int) -> tuple[Filled, Filled]:
    """Return the first units of an execution and the rest of it; the whole cash and fee are shared out."""
    whole = fill.qty_units or 1
    cash, fee, rest = fill.cash_units * units // whole, fill.fee_units * units // whole, fill.qty_units - units
    return (
        replace(fill, qty_units=units, cash_units=cash, fee_units=fee),
        replace(fill, qty_units=rest, cash_units=fill.cash_units - cash, fee_units=fill.fee_units - fee),
    )


def turn(desk: Desk, draft: Draft, row: int, fill: Filled, distance: float) -> None:
    """Book what was executed beyond what was held: a position that nobody decided, its stop so far from its price."""
    slot = desk.slots[row]
    if desk.books.intent(row) is Intent.ENTRY:
        give_up(desk, draft, row, Reason.UNFILLED_SUPERSEDED, "more was executed than was held")
    if desk.books.held_units(row) == 0:
        # Its stops go by a name of their own, and what guarded the position before is of the wrong side.
        slot.entry = ""
        before = desk.orders.get(slot.protect)
        if before is not None and before.status is not OrderStatus.INTENT:
            slot.drains.append(slot.protect)
            slot.protect = ""
    desk.books.turn(row, fill, distance)


def stop_distance(desk: Desk, row: int, order: Order) -> float:
    """Return how far from its price the stop of such a position is, quote per base; 0 where nothing says."""
    # As far as the stop of the position that was closed too often, else as its own entry asked for, else as the last
    # one's; at the price itself where nobody knows it any more.
    own, last = (desk.plans.get(name) for name in (order.request.decision_id, desk.slots[row].entry))
    known = (desk.books.positions[row], own, order.request.protection, last)
    distances = (float(one.stop_distance) for one in known if one is not None)
    return next((distance for distance in distances if distance > 0.0), 0.0)


def note(desk: Desk, draft: Draft, row: int, fill: Filled, beyond: int) -> None:
    """Tell people what was executed beyond what was held, and remember that what is left of it is to be closed."""
    slot, held = desk.slots[row], int(fill.side) * desk.books.held_units(row)
    slot.turned = held > 0
    left, more = amount_text(desk, row, held), amount_text(desk, row, beyond)
    what = f"{left} are held now that nobody decided, and are closed" if slot.turned else "what was traded was nobody's"
    text = f"order {fill.client_order_id} of {fill.instrument} was executed for {more} more than was held: {what}"
    desk.alert(draft, Severity.CRITICAL, f"excess:{fill.venue_trade_id}", text, is_event=True)


def amount_text(desk: Desk, row: int, units: int) -> str:
    """Return a quantity of an instrument in the digits of its base asset."""
    return f"{from_units(units, desk.instruments[row].qty_scale):f} {desk.instruments[row].base}"


def is_repaired(desk: Desk, row: int, order: Order) -> bool:
    """Tell whether an ended order is disputed for nothing but its excess, of which nothing is held any more."""
    is_only_excess = all(_EXCESS.fullmatch(each) for each in order.disputes)
    return order.request.role is not Role.ENTRY and is_only_excess and not desk.slots[row].turned
