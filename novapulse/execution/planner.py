"""From what is wanted to what is sent: target position minus position, in whole lots, once nothing alike is in flight.

Invariants:
- rounding is towards doing less;
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
    HALTED = "the account is halted: only cancels are sent, and stops"
    BEING_RETRIED = "the venue refused, and the next try is not due yet"


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
    notional_min_units: int,
    notional_of_one_lot_units: int,
) -> Planned:
    """Return the order that leads from here to the target: the caller has waited until no order of ours may fill.

    Args:
        target_units: Signed position wanted.
        position_units: Signed position held.
        lot_units: Quantity step, > 0.
        qty_min_units: Smallest order.
        notional_min_units: Smallest order in cash units; it does not bind what closes a position.
        notional_of_one_lot_units: Cash units that a lot is worth now; 0 when unknown.
    """
    wanted = target_units - position_units
    if wanted == 0:
        return Planned(0, NotSent.NOTHING_LEFT)
    side = 1 if wanted > 0 else -1
    lots = abs(wanted) // lot_units
    if lots == 0:
        return Planned(0, NotSent.BELOW_LOT)
    closes = target_units == 0
    units = lots * lot_units
    if units < qty_min_units:
        return Planned(0, NotSent.BELOW_MINIMUM)
    if not closes and 0 < lots * notional_of_one_lot_units < notional_min_units:
        return Planned(0, NotSent.BELOW_MINIMUM)
    return Planned(side * units)
