"""What is left of a position and is too little for an order of its own: it is kept in mind, and told once.

Invariants:
- it is set aside only when the position is to be left and nothing of ours may change it any more;
- it is nobody's in the books, so that the instrument goes on; the next exit on its side takes it along;
- the venue has it and the ledger says so: its quantity stays in the inventory, its worth at the last price is in the
  record, and no cash moves.
"""

from decimal import Decimal

from novapulse.core.messages import Severity
from novapulse.core.orders import Filled, Role, Side
from novapulse.core.postings import Book, move
from novapulse.core.records import Intent, Liquidity
from novapulse.engine.desk import Desk, Draft
from novapulse.engine.fills import close_round_trip
from novapulse.execution.planner import TOO_LITTLE
from novapulse.risk.cash import notional_units


def set_aside(desk: Desk, draft: Draft, row: int) -> None:
    """Set aside what is held of an instrument if it is to be left and no order can close it."""
    slot, books = desk.slots[row], desk.books
    held = books.held_units(row)
    if slot.not_sent not in TOO_LITTLE or held == 0 or books.intent(row) is not Intent.EXIT:
        return
    why, instrument, key = slot.not_sent, desk.instruments[row], desk.keys[row]
    price = desk.price_units(row, float(books.last_bars[row].close))
    cash = int(notional_units(books.records[row], price, abs(held)))
    side = Side(-1 if held > 0 else 1)
    gone = Filled("", "", "", key, side, abs(held), price, cash, 0, int(Liquidity.TAKER), draft.ts_ns)
    trip = books.book(row, gone, Role.EXIT, None, int(books.orders[row].reason))
    assert trip is not None, f"{held} units of {key} were set aside, and some are still held"
    books.move_cash(int(side) * cash)
    books.foreign_units[row] += held
    slot.dust_units += held
    for own, foreign in ((-held, 0), (0, held)):
        units = desk.base_amount(row, own + foreign)
        draft.write(
            "dust_set_aside",
            {
                "asset": instrument.base,
                "asset_units": units,
                "instrument": [key.exchange, key.symbol],
                "why": why,
                "price_units": price,
                "worth_units": cash,
                "own_units": own,
                "foreign_units": foreign,
            },
            move(instrument.base, units, Book.DUST, Book.INVENTORY),
        )
    close_round_trip(desk, draft, row, trip)
    slot.not_sent = ""
    left = Decimal(slot.dust_units).scaleb(-instrument.qty_scale)
    text = f"{left} {instrument.base} are left over: {why}; the next exit of {key.symbol} takes them along"
    desk.alert(draft, Severity.WARNING, f"dust:{key.symbol}", text, is_event=True)
