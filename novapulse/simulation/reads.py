"""What a read shows when lists lag and pages shift: less than there is, or the same twice; never what is not.

Invariants:
- an execution that a read leaves out lies behind its cursor;
- a balance is that of the moment of the read.
"""

from dataclasses import replace
from typing import TYPE_CHECKING

from novapulse.core.messages import ReadSnapshot, Snapshot
from novapulse.simulation.chance import Chance
from novapulse.venues.simulated import SimulatedExchange

if TYPE_CHECKING:
    from novapulse.simulation.storm import Call

LAG_NS = 5_000_000_000


def is_young(exchange: SimulatedExchange, venue_order_id: str, now_ns: int) -> bool:
    """Tell whether an order was placed so lately that lists need not show it yet."""
    order = exchange.book.find(venue_order_id)
    return order is not None and order.active_ns > 0 and now_ns - order.active_ns < LAG_NS


def blurred_snapshot(
    exchange: SimulatedExchange, snapshot: Snapshot, call: "Call", chance: Chance, now_ns: int
) -> Snapshot:
    """Return a snapshot as its fate lets it be seen.

    Args:
        exchange: Whose.
        snapshot: What there is.
        call: The read; it began when it was sent.
        chance: Dice.
        now_ns: When the venue answered.
    """
    assert isinstance(call.effect, ReadSnapshot)
    seen = replace(snapshot, began_ns=call.sent_ns, ended_ns=now_ns)
    if call.fate.lags:
        shown = [order for order in seen.orders if not is_young(exchange, order.seen.venue_order_id, now_ns)]
        seen = replace(seen, orders=tuple(shown))
    if call.fate.is_repeated and seen.fills:
        fills = list(seen.fills)
        fills.insert(0, fills[chance.between("repeated fill", 0, len(fills) - 1)])
        fills.reverse()
        seen = replace(seen, fills=tuple(fills), cursor=call.effect.cursor or seen.cursor)
    return seen


def shifted(snapshot: Snapshot, clock_ns: int) -> Snapshot:
    """Return a snapshot as a machine with a wrong clock stamps it."""
    if clock_ns == 0:
        return snapshot
    return replace(snapshot, began_ns=snapshot.began_ns + clock_ns, ended_ns=snapshot.ended_ns + clock_ns)
