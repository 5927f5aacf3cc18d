"""Whose an execution is, where a venue knows one net quantity of an instrument.

Invariants:
- what is ours and what is nobody's never lie on two sides: together they are what the venue has;
- an entry closes first what we hold on the other side, then uses up what is nobody's there; only the rest opens;
- where the other side had been decided, that entry had been given up for it: people are told, and what it opens beyond
  that is what nobody decided (`excess`); where nobody had, the entry goes before;
- an entry that fills so late that what it was decided with is forgotten is ours all the same: where nothing is held, it
  opens what nobody decided;
- what no order of ours did is nobody's as far as that reaches, then it closes what we hold;
- what an execution of ours did is ours when it is taken back as well: a part of an exit returns to its position, and a
  position that had been left is there again, which nobody decided (`excess`);
- an entry at work is taken back when what is nobody's lies on its other side: it would trade away somebody else's.
"""

from dataclasses import replace

from novapulse.core.messages import Severity
from novapulse.core.order_fold import Order
from novapulse.core.orders import Filled, OrderType, Role, Side
from novapulse.core.records import Intent, Reason
from novapulse.engine import excess
from novapulse.engine.desk import Desk, Draft
from novapulse.engine.orders import book_closing, give_up
from novapulse.engine.round_trips import RoundTrip

BESIDE_NOBODYS = "what belongs to nobody lies on the other side"


def book_entry(desk: Desk, draft: Draft, row: int, order: Order, fill: Filled) -> tuple[RoundTrip | None, int, bool]:
    """Book an execution of an entry.

    Returns:
        The round trip that it closed on its way, or None; how many units it closed of a position that was decided; and
        whether it opened what nobody decided.
    """
    request, books, trip = order.request, desk.books, None
    was_decided = not desk.slots[row].turned
    plan = desk.plans.get(request.decision_id)
    covering, fill = excess.parted(fill, min(fill.qty_units, max(-int(fill.side) * books.held_units(row), 0)))
    if covering.qty_units:
        trip = book_closing(desk, draft, row, covering, Reason.EXIT_EXCESS)
    nobodys, fill = excess.parted(fill, min(fill.qty_units, _nobodys_across(desk, row, int(fill.side))))
    if nobodys.qty_units:
        _use_up(desk, draft, row, nobodys)
    covers = covering.qty_units > 0 and was_decided
    is_undecided = fill.qty_units > 0 and (covers or (plan is None and books.held_units(row) == 0))
    if fill.qty_units and (covers or plan is None):
        excess.turn(desk, draft, row, fill, excess.stop_distance(desk, row, order))
    elif fill.qty_units:
        if books.held_units(row) == 0:
            _opens(desk, row, request.decision_id)
        books.book(row, fill, request.role, plan, int(request.reason), rested=request.kind is OrderType.LIMIT)
    return trip, covering.qty_units if was_decided else 0, is_undecided


def note_late(desk: Desk, draft: Draft, row: int, fill: Filled, covered: int, *, is_undecided: bool) -> None:
    """Tell people what an entry that had been given up closed of what is held, and remember what it opened."""
    slot, held, did = desk.slots[row], int(fill.side) * desk.books.held_units(row), []
    slot.turned = slot.turned or is_undecided
    if covered:
        did.append(f"it closed {excess.amount_text(desk, row, covered)} of what was held")
    if is_undecided:
        did.append(f"{excess.amount_text(desk, row, held)} are held now that nobody decided, and are closed")
    text = (
        f"entry {fill.client_order_id} of {fill.instrument} was executed although it had been given up: "
        f"{', and '.join(did)}"
    )
    desk.alert(draft, Severity.CRITICAL, f"covered:{fill.venue_trade_id}", text, is_event=True)


def _nobodys_across(desk: Desk, row: int, side: int) -> int:
    units: int = desk.books.foreign_units.item(row)
    return max(-side * units, 0)


def _use_up(desk: Desk, draft: Draft, row: int, fill: Filled) -> None:
    desk.books.book(row, fill, Role.ENTRY, None, Reason.NONE)
    amount = excess.amount_text(desk, row, fill.qty_units)
    text = (
        f"order {fill.client_order_id} of {fill.instrument} traded {amount} that belonged to nobody: it opened nothing"
    )
    desk.alert(draft, Severity.CRITICAL, f"netted:{fill.venue_trade_id}", text, is_event=True)


def _opens(desk: Desk, row: int, decision: str) -> None:
    # The stops of one position go by its own entry's name: what a late execution opens is not the last one's.
    desk.slots[row].turned = False
    if desk.slots[row].entry != decision:
        desk.slots[row].entry = ""


def book_nobodys(desk: Desk, draft: Draft, row: int, fill: Filled) -> RoundTrip | None:
    """Book what no order of ours did: what belongs to nobody is used up first, then what we hold, the rest is nobody's.

    The venue has one holding: what somebody else sold of ours is gone, whoever we believe to own it.

    Returns:
        The round trip that it closed, or None.
    """
    books = desk.books
    nobodys, ours = excess.parted(fill, min(_nobodys_across(desk, row, int(fill.side)), fill.qty_units))
    if nobodys.qty_units:
        books.book(row, nobodys, Role.ENTRY, None, Reason.NONE)
    return book_closing(desk, draft, row, ours, Reason.EXIT_FOREIGN) if ours.qty_units else None


def give_back(desk: Desk, draft: Draft, row: int, order: Order, fill: Filled) -> tuple[RoundTrip | None, bool]:
    """Book that the venue took an execution of ours back.

    Args:
        desk: The trader's state.
        draft: Answer to the event at hand.
        row: Instrument.
        order: Whose execution it was.
        fill: The execution, as it was booked.

    Returns:
        The round trip that this closed on its way, or None; and whether what we hold now is a position that nobody
        decided.
    """
    position, side = desk.books.positions[row], -int(fill.side)
    undone = replace(fill, side=Side(side), fee_units=-fill.fee_units, client_order_id="")
    is_of_this_position = position.direction == side and position.entry_ts_ns <= fill.ts_event_ns
    if order.request.role is not Role.ENTRY and is_of_this_position:
        desk.books.reopen(row, undone)
        return None, False
    is_beyond = excess.units_beyond(desk, row, undone) > 0
    trip = excess.book(desk, draft, row, order, undone, Reason.EXIT_FOREIGN)
    return trip, is_beyond and side * desk.books.held_units(row) > 0


def withdraw_entry(desk: Desk, draft: Draft, row: int) -> None:
    """Take an entry at work back when what belongs to nobody lies on its other side."""
    if desk.books.intent(row) is not Intent.ENTRY:
        return
    beside = desk.books.foreign_units.item(row) - desk.slots[row].dust_units
    if int(desk.plan(row).side) * beside < 0:
        give_up(desk, draft, row, Reason.BREAK_OPEN, BESIDE_NOBODYS)
