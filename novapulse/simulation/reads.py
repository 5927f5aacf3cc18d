"""What a read shows when lists lag and pages shift: less than there is, or the same twice; never what is not.

Invariants:
- an execution that a read leaves out lies behind its cursor;
- a balance is that of the moment of the read;
- a market that was split shows no bar for a while, then bars at its new prices, to venue and trader alike.
"""

from dataclasses import replace
from typing import TYPE_CHECKING

from novapulse.core.messages import BarsClosed, ReadSnapshot, Snapshot
from novapulse.simulation.chance import Chance
from novapulse.venues.simulated import SimulatedExchange

if TYPE_CHECKING:
    from novapulse.simulation.host import Host
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
    seen = Snapshot(call.sent_ns, now_ns, *[getattr(snapshot, name) for name in Snapshot.__slots__[2:]])
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


def after_splits(host: "Host", event: BarsClosed, now_ns: int) -> BarsClosed:
    """Return a close as the market shows it after the splits of a host's instruments."""
    if not host.splits:
        return event
    bars, signals, present = event.bars.copy(), event.signals.copy(), event.present.copy()
    for column, instrument in enumerate(host.part.instruments):
        factor = host.splits.get(instrument.key, 1.0)
        if factor == 1.0:
            continue
        tick = float(instrument.tick)
        for name in ("open", "high", "low", "close"):
            bars[name][column] = max(round(float(bars[name][column]) * factor / tick), 1) * tick
        bars["volume"][column] /= factor
        signals["atr"][column] *= factor
        if now_ns < host.closed_until_ns[instrument.key]:
            present[column] = 0
    return replace(event, bars=bars, signals=signals, present=present)
