"""The quotes that traders of a stormy world see: good ones, crossed ones, and those that stand far from the price."""

from typing import TYPE_CHECKING

from novapulse.core.instruments import InstrumentKey
from novapulse.core.messages import QuoteSeen
from novapulse.engine.desk import SPREADS_MIN
from novapulse.simulation.faults import Fault
from novapulse.simulation.host import Host

if TYPE_CHECKING:
    from novapulse.simulation.storm import StormyWorld

QUOTES_ENOUGH = SPREADS_MIN + 2

STUB = 0.02
"""Chance that the book of an instrument is empty on a side when a close is told, but for what nobody will pay."""

FAR = 1e-4
"""Share of the price at which a stub bids; a stub asks by as much more."""


def quote_all(world: "StormyWorld", host: Host) -> None:
    """Let a trader see a good quote of each instrument, and enough of them where it does not know the spread."""
    if host.trader is None or world.timeline.now_ns < host.unquoted_until_ns:
        return
    desk = host.trader.desk
    for row, key in enumerate(desk.keys):
        is_known = not desk.is_spread_unknown(row) and not desk.breakers.blocks(key)
        for _ in range(1 if is_known else QUOTES_ENOUGH):
            quote(world, host, key, crossed=False)
        if world.is_stormy() and Fault.STALE_FEED in world.plan.faults:
            _stub(world, host, key)


def quote(world: "StormyWorld", host: Host, key: InstrumentKey, *, crossed: bool) -> None:
    """Let a trader see a quote around the last price."""
    price = host.exchange.slots[key].last_price
    if host.trader is None or price <= 0.0:
        return
    half = price * 1e-4
    bid, ask = (price + half, price - half) if crossed else (price - half, price + half)
    if crossed:
        world.marks.reached("a quote crossed")
    else:
        host.quoted_ns[key] = world.timeline.now_ns
    world.deliver(host, QuoteSeen(world.now(host), key, bid, ask))


def _stub(world: "StormyWorld", host: Host, key: InstrumentKey) -> None:
    chance, price = world.plan.chance, host.exchange.slots[key].last_price
    if price <= 0.0 or not chance.happens("stub quote", STUB):
        return
    sides = chance.between("stub side", 1, 3)
    bid = price * (FAR if sides & 1 else 1.0 - 1e-4)
    ask = price * (1.0 / FAR if sides & 2 else 1.0 + 1e-4)
    world.marks.reached("a quote stood far from the price")
    world.deliver(host, QuoteSeen(world.now(host), key, bid, ask))
