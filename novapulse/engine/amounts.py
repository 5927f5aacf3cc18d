"""What the venue takes as one order of an instrument: whole lots of at least its minimums."""

import math

from novapulse.engine.desk import Desk
from novapulse.execution.planner import Planned, plan_order

HARDLY_MORE = 1.1
"""Times the least that an order may be worth: so much of a position is given up at most, where the venue refuses it."""


def plan_whole(desk: Desk, row: int, target_units: int, held_units: int, price: float) -> Planned:
    """Return the order that leads from a holding to a target by the venue's rules; a price of 0 is unknown."""
    instrument, record = desk.instrument(row), desk.books.records[row]
    return plan_order(
        target_units,
        held_units,
        lot_units=int(record.lot_units),
        qty_min_units=int(record.qty_min_units),
        notional_min=math.ceil(instrument.notional_min.scaleb(instrument.price_scale + instrument.qty_scale)),
        price_units=desk.price_units(row, price),
    )


def plan_exit(desk: Desk, row: int) -> Planned:
    """Return the order that closes a position, with what is left over beside it.

    One price may be wrong by orders of magnitude, such as the bid of an empty book: what even the best one calls too
    little is not sent. A venue counts by a price of its own: what it refused is too little where the worst one says so
    and the best one says hardly more.
    """
    slot, held = desk.slots[row], desk.books.held_units(row)
    across = desk.price_across(row, -1 if held > 0 else 1)
    prices = (float(desk.plan(row).limit_price), across, float(desk.books.last_bars[row].close))
    best = max(prices)
    worst = min((price for price in prices if price > 0.0), default=0.0)
    price = max(worst, best / HARDLY_MORE) if slot.refusals else best
    return plan_whole(desk, row, 0, held + slot.dust_beside(held), price)
