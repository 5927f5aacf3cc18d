"""From what is wanted to what is sent: target position minus position, in whole lots, once nothing alike is in flight.

Invariants:
- rounding is towards doing less;
- what the venue would refuse as too little is not sent, to leave a position no more than to enter one;
- when nothing is sent there is a name for why.
"""

import enum
from dataclasses import dataclass


class NotSent(enum.StrEnum):
    """Why there is no order although something is wanted."""

    NOTHING_LEFT = "the position is already what is wanted"
    BELOW_LOT = "what is left is less than one lot"
    BELOW_MINIMUM = "what is left is less than the venue takes"
    WAITS_FOR_CANCEL = "an earlier order of the instrument has not ended yet"
    OUTCOME_UNKNOWN = "the outcome of an earlier order of the instrument is not known yet"
    NO_ROOM_YET = "the room it needs is still reserved by an order that is being cancelled"
    NO_NEW_RISK = "the account takes no new risk"
    NOT_COMPARED = "the account, or the instrument, does not agree with the venue yet"
    PRICE_STALE = "the last price is too old to send an order on"
    BESIDE_DUST = "what is left over of an earlier position lies on the other side"
    HALTED = "the account is halted: only cancels are sent, and stops"
    BEING_RETRIED = "the venue refused, and the next try is not due yet"


TOO_LITTLE = frozenset({NotSent.BELOW_LOT, NotSent.BELOW_MINIMUM})
"""What is left and no order alone can change."""


@dataclass(frozen=True, slots=True)
class Planned:
    """What to send.

    Attributes:
        units: Signed quantity units; 0 when nothing is sent.
        why_not: Why, when it is 0.
    """

    units: int
    why_not: NotSent | None = None


def plan_order(
    target_units: int,
    position_units: int,
    *,
    lot_units: int,
    qty_min_units: int,
    notional_min: int,
    price_units: int,
) -> Planned:
    """Return the order that leads from here to the target: the caller has waited until no order of ours may fill.

    Args:
        target_units: Signed position wanted.
        position_units: Signed position held.
        lot_units: Quantity step, > 0.
        qty_min_units: Smallest order.
        notional_min: What the smallest order is worth, in price units times quantity units: whole numbers alone.
        price_units: The price that the venue counts its worth by; 0 when unknown: then its worth is not asked.
    """
    wanted = target_units - position_units
    if wanted == 0:
        return Planned(0, NotSent.NOTHING_LEFT)
    side = 1 if wanted > 0 else -1
    lots = abs(wanted) // lot_units
    if lots == 0:
        return Planned(0, NotSent.BELOW_LOT)
    units = lots * lot_units
    if units < qty_min_units or 0 < units * price_units < notional_min:
        return Planned(0, NotSent.BELOW_MINIMUM)
    return Planned(side * units)
