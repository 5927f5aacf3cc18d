"""What the venue takes as one order of an instrument: whole lots of at least its minimums."""

import math

from novapulse.engine.desk import Desk
from novapulse.execution.planner import Planned, plan_order


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


def least_price(desk: Desk, row: int) -> float:
    """Return what an exit at the market is worth, per unit, at least: the venue counts it by its own last price."""
    across = desk.price_across(row, -int(desk.books.positions[row].direction))
    return min(across, float(desk.books.last_bars[row].close))
