"""Books executions: once each, in every state of their order, and never for a strategy that did not ask for them.

Invariants:
- an execution is known by the venue's id: the same one from stream, query and snapshot is booked once;
- what belongs to no order of ours is money all the same: its legs are posted, its quantity is foreign;
- an execution that stood in for unknown ones gives its legs back when those arrive.
"""

from collections.abc import Iterable
from dataclasses import replace

from novapulse.core.facts import kind_of, to_body
from novapulse.core.messages import JSON, FillBusted, Severity
from novapulse.core.order_fold import Order
from novapulse.core.orders import Busted, DisputeRaised, Filled, OrderType, Role, Side
from novapulse.core.postings import Posting
from novapulse.core.records import Intent, Liquidity, Reason
from novapulse.engine import bare, excess, netting
from novapulse.engine.desk import Desk, Draft
from novapulse.engine.orders import book_closing, give_up
from novapulse.engine.round_trips import RoundTrip
from novapulse.execution.fills import stop_reason
from novapulse.reconciliation.view import looks_ours
from novapulse.risk.cash import notional_units


def take_fill(desk: Desk, draft: Draft, fill: Filled) -> int | None:
    """Book an execution unless it is booked.

    Args:
        desk: The trader's state.
        draft: Answer to the event at hand.
        fill: The execution.

    Returns:
        The instrument's row, or None when the instrument is not ours.
    """
    row = desk.rows.get(fill.instrument)
    if row is None:
        if fill.venue_trade_id not in desk.foreign_trades:
            desk.remember_foreign(fill.venue_trade_id)
            desk.alert(
                draft,
                Severity.WARNING,
                f"foreign:{fill.instrument.symbol}",
                f"a fill in {fill.instrument}: not traded here",
                is_event=True,
            )
        return None
    order = desk.order(fill.client_order_id, fill.venue_order_id)
    if order is None:
        _take_foreign(desk, draft, row, fill)
        return row
    mine = fill
    if fill.client_order_id != order.client_order_id:
        mine = replace(fill, client_order_id=order.client_order_id)
    if mine.venue_trade_id in order.fills:
        _compare(desk, draft, order, mine)
        return row
    if order.is_busted(mine.venue_trade_id):
        desk.learn(draft, mine)
        return row
    _take_ours(desk, draft, row, order, mine)
    return row


def _compare(desk: Desk, draft: Draft, order: Order, fill: Filled) -> None:
    # The first version is booked and stays; that there is another one is a dispute, and moves nothing.
    name, known = fill.venue_trade_id, order.fills[fill.venue_trade_id]
    fields = ("side", "instrument", "qty_units", "price_units", "cash_units", "fee_units")
    if all(getattr(known, field) == getattr(fill, field) for field in fields):
        return
    desk.learn(draft, DisputeRaised(order.client_order_id, f"execution {name} came in two versions"))


def is_early(desk: Desk, fill: Filled) -> bool:
    """Tell whether an execution closes more than is known to be held: the one that opened it is still on its way.

    Streams reorder. Such an execution waits for the next reading of all of them.
    """
    order = desk.order(fill.client_order_id, fill.venue_order_id)
    row = desk.rows.get(fill.instrument)
    if order is None or row is None or order.request.role is Role.ENTRY or fill.venue_trade_id in order.fills:
        return False
    units = fill.qty_units - min(order.provisional_units, fill.qty_units)
    side = -int(fill.side)
    return side * desk.books.held_units(row) + max(side * desk.slots[row].dust_units, 0) < units


def is_lost(desk: Desk, fill: Filled) -> bool:
    """Tell whether an execution bears our name and no record knows its order: the ledger lost it (D4)."""
    unknown = desk.order(fill.client_order_id, fill.venue_order_id) is None
    return unknown and looks_ours(fill.client_order_id) and fill.venue_trade_id not in desk.foreign_trades


def take_all(desk: Desk, draft: Draft, found: Iterable[Filled]) -> bool:
    """Book executions of one reading in the venue's order, what opens a position before what closes it.

    What the ledger lost is left to the comparison, which halts the account before it is booked.

    Returns:
        Whether nothing of it was new: every one was booked before, as it was told now.
    """
    unknown = [each for each in found if not _is_booked(desk, each)]
    if not unknown:
        return True
    news = [each for each in unknown if not is_lost(desk, each)]
    waiting = sorted(news, key=lambda each: (each.ts_event_ns, each.venue_trade_id))
    while waiting:
        early = [each for each in waiting if not _taken_unless_early(desk, draft, each)]
        if len(early) == len(waiting):
            for each in early:
                take_fill(desk, draft, each)
            break
        waiting = early
    return False


def _is_booked(desk: Desk, fill: Filled) -> bool:
    order = desk.order(fill.client_order_id, fill.venue_order_id)
    known = order.fills.get(fill.venue_trade_id) if order is not None else None
    return known is fill or known == fill


def _taken_unless_early(desk: Desk, draft: Draft, fill: Filled) -> bool:
    if is_early(desk, fill):
        return False
    take_fill(desk, draft, fill)
    return True


def _take_ours(desk: Desk, draft: Draft, row: int, order: Order, fill: Filled) -> None:
    request, position = order.request, desk.books.positions[row]
    legs = desk.trade_legs(row, int(fill.side), fill.qty_units, fill.cash_units, fill.fee_units)
    stand_in = min(order.provisional_units, fill.qty_units) if not fill.provisional else 0
    if stand_in:
        legs += _returned(desk, row, order, fill, stand_in)
    released: tuple[Posting, ...] = ()
    if request.role is Role.ENTRY:
        released = desk.release(order, max(order.leaves_units - fill.qty_units + stand_in, 0))
    reason = int(request.reason)
    if request.role is Role.PROTECT:
        reason = Reason.EXIT_TARGET if fill.reason == Reason.EXIT_TARGET else int(stop_reason(position))
    trip, before, beyond, covered, is_undecided = None, _held(desk, row), 0, 0, False
    dust = max(-int(fill.side) * desk.slots[row].dust_units, 0)
    left = _beyond(fill, stand_in) if stand_in else fill
    if left.qty_units > 0 and request.role is Role.ENTRY:
        trip, covered, is_undecided = netting.book_entry(desk, draft, row, order, left)
    elif left.qty_units > 0:
        beyond = excess.units_beyond(desk, row, left)
        trip = (
            excess.book(desk, draft, row, order, left, reason)
            if beyond
            else book_closing(desk, draft, row, left, reason)
        )
    desk.fills_since_clean += 1
    if request.kind is OrderType.MARKET:
        desk.taken.append((row, int(fill.side), fill.price_units / float(desk.books.records[row].price_factor)))
    desk.learn(draft, fill, (*legs, *released), _moved(desk, row, before))
    if trip is not None:
        close_round_trip(desk, draft, row, trip)
    if beyond > dust:
        excess.note(desk, draft, row, fill, beyond - dust)
    if covered or is_undecided:
        netting.note_late(desk, draft, row, fill, covered, is_undecided=is_undecided)
    if request.role is Role.ENTRY:
        _withdraw_later_entry(desk, draft, row, request.decision_id)


def _withdraw_later_entry(desk: Desk, draft: Draft, row: int, decision: str) -> None:
    # Whoever decided since counted on an order that was refused or given up: what it would add was never decided.
    if desk.books.intent(row) is Intent.ENTRY and desk.slots[row].decision != decision:
        give_up(desk, draft, row, Reason.UNFILLED_SUPERSEDED, "an earlier order was filled after all")


def _returned(desk: Desk, row: int, order: Order, fill: Filled, units: int) -> tuple[Posting, ...]:
    # The quantity was booked by the stand-in; what differs is the cash, which the books take up as well.
    cash, fee = order.provisional_share(units)
    rest = _beyond(fill, units)
    real, real_fee = fill.cash_units - rest.cash_units, fill.fee_units - rest.fee_units
    desk.books.move_cash(int(fill.side) * (cash - real) + fee - real_fee)
    return desk.trade_legs(row, -int(fill.side), units, cash, -fee)


def _beyond(fill: Filled, units: int) -> Filled:
    # What is left of an execution behind its first units: the whole cash and fee are shared out, none is lost.
    left = fill.qty_units - units
    cash, fee = fill.cash_units * left // fill.qty_units, fill.fee_units * left // fill.qty_units
    return replace(fill, qty_units=left, cash_units=cash, fee_units=fee)


def close_round_trip(desk: Desk, draft: Draft, row: int, trip: RoundTrip) -> None:
    """Write a closed round trip, and forget that its position was to be left, or had no stop."""
    slot = desk.slots[row]
    draft.write(
        "round_trip_closed",
        {
            "instrument": [desk.key.exchange, desk.instrument(row).symbol],
            "number": trip.number,
            "direction": trip.direction,
            "lead": trip.lead,
            "regime": trip.regime,
            "entry_ns": trip.entry_ns,
            "exit_ns": trip.exit_ns,
            "bars_held": trip.bars_held,
            "qty_units": trip.qty_units,
            "entry_price": trip.entry_price.hex(),
            "exit_price": trip.exit_price.hex(),
            "pnl_units": trip.pnl_units,
            "fee_units": trip.fee_units,
            "r_multiple": trip.r_multiple.hex(),
            "exit_reason": Reason(trip.exit_reason).name,
            "entry_consensus": trip.entry_consensus.hex(),
        },
    )
    slot.leaving_ns = slot.retry_ns = slot.refusals = 0
    slot.why_bare, slot.turned = "", False
    bare.end_alert(desk, draft, row)


def _take_foreign(desk: Desk, draft: Draft, row: int, fill: Filled) -> None:
    if fill.venue_trade_id in desk.foreign_trades:
        return
    desk.remember_foreign(fill.venue_trade_id)
    nobody, before = replace(fill, client_order_id=""), _held(desk, row)
    trip = netting.book_nobodys(desk, draft, row, nobody)
    legs = desk.trade_legs(row, int(fill.side), fill.qty_units, fill.cash_units, fill.fee_units)
    draft.write(kind_of(nobody), {**to_body(nobody), **_moved(desk, row, before)}, legs)
    desk.alert(
        draft,
        Severity.WARNING,
        f"foreign:{fill.instrument.symbol}",
        f"an execution of {fill.instrument} belongs to no order of ours: {fill.venue_trade_id}",
        is_event=True,
    )
    if trip is not None:
        close_round_trip(desk, draft, row, trip)


def _held(desk: Desk, row: int) -> tuple[int, int]:
    return int(desk.books.positions[row].qty_units), int(desk.books.foreign_units[row])


def _moved(desk: Desk, row: int, before: tuple[int, int]) -> dict[str, JSON]:
    # Whose quantity it was is known here alone: who asks the ledger later is told, not left to guess.
    own, foreign = _held(desk, row)
    desk.slots[row].bound_dust(foreign)
    return {"own_units": own - before[0], "foreign_units": foreign - before[1]}


def take_amount(desk: Desk, draft: Draft, row: int, units: int, *, own_money: bool) -> dict[str, JSON]:
    """Let the books have a quantity that came (> 0) or went (< 0) without a trade: no cash moves with it.

    What goes is nobody's first; what goes of a position of ours closes that much of it at the last price.

    Args:
        desk: The trader's state.
        draft: Answer to the event at hand.
        row: Instrument.
        units: Signed quantity.
        own_money: Whether what it takes of a position of ours is no result: the day's opening and the peaks move with
            its worth.

    Returns:
        What its record says of it: instrument, price, what it was worth in cash units, and whose quantity changed.
    """
    books, record = desk.books, desk.books.records[row]
    price = desk.price_units(row, float(books.last_bars[row].close))
    cash = int(notional_units(record, price, abs(units)))
    side = Side(1 if units > 0 else -1)
    key = desk.keys[row]
    moved = Filled("", "", "", key, side, abs(units), price, cash, 0, int(Liquidity.TAKER), draft.ts_ns)
    before = _held(desk, row)
    trip = netting.book_nobodys(desk, draft, row, moved)
    books.move_cash(int(side) * cash)
    own = abs(books.held_units(row) - before[0])
    if own and own_money:
        books.shift_marks(int(side) * int(notional_units(record, price, own)))
    if trip is not None:
        close_round_trip(desk, draft, row, trip)
    return {
        "instrument": [key.exchange, key.symbol],
        "price_units": price,
        "worth_units": cash,
        **_moved(desk, row, before),
    }


def take_bust(desk: Desk, draft: Draft, event: FillBusted) -> int | None:
    """Give an execution back that the venue took back: what it opened is closed, and what it closed is ours again."""
    row = desk.rows.get(event.instrument)
    order = desk.order(event.client_order_id, event.venue_order_id)
    if row is None or order is None:
        return row
    fill = order.fills.get(event.venue_trade_id)
    fact = Busted(order.client_order_id, event.venue_trade_id)
    if fill is None:
        desk.learn(draft, fact)
        return row
    legs = desk.trade_legs(row, -int(fill.side), fill.qty_units, fill.cash_units, -fill.fee_units)
    if not order.is_busted(event.venue_trade_id):
        before = _held(desk, row)
        trip, is_undecided = netting.give_back(desk, draft, row, order, fill)
        is_new = desk.learn(draft, fact, legs, _moved(desk, row, before))
        assert is_new, f"{fact} was known"
        desk.alert(
            draft,
            Severity.CRITICAL,
            f"bust:{event.venue_trade_id}",
            _taken_back_text(desk, row, event, is_undecided=is_undecided),
            is_event=True,
        )
        if trip is not None:
            close_round_trip(desk, draft, row, trip)
        desk.slots[row].turned = desk.slots[row].turned or is_undecided
    return row


def _taken_back_text(desk: Desk, row: int, event: FillBusted, *, is_undecided: bool) -> str:
    text = f"the venue took execution {event.venue_trade_id} of {event.instrument} back"
    if not is_undecided:
        return text
    left = excess.amount_text(desk, row, abs(desk.books.held_units(row)))
    return f"{text}: {left} are held again that nobody decided, and are closed"
