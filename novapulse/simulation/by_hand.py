"""What the owner of an account does with it by hand: trades, leaves an order, brings money or coins, takes them.

Invariants:
- nobody takes more than there is, and of money half of it at most;
- an amount is never so small that an account would not feel it, had it been a profit or a loss.
"""

from novapulse.core.orders import OrderType, Side, Terms
from novapulse.simulation.chance import Chance
from novapulse.simulation.host import Host
from novapulse.venues.simulated.book import Slot

LEAST, MOST = 50, 1200
"""What money or coins are worth that come or go, of an account that begins with 2,000."""

COINS_COME, COINS_GO = 0.4, 0.8
"""Chances that it is coins: those that go have to be there."""

UNSAID = 25
"""Money that goes without a movement that tells of it."""


def act(chance: Chance, host: Host, now_ns: int) -> str:
    """Do one thing with an account, drawn by chance; return what was done, empty for nothing."""
    kind, exchange, levers = chance.between("foreign", 0, 5), host.exchange, host.levers
    instrument = host.part.instruments[chance.between("foreign in", 0, len(host.part.instruments) - 1)]
    slot = exchange.slots[instrument.key]
    if kind == 2:
        slot = max(exchange.slots.values(), key=lambda each: each.held_units)
    key = slot.instrument.key
    units = int(slot.record["lot_units"]) * chance.between("foreign lots", 2, 9)
    price = round(slot.last_price * float(slot.record["price_factor"]))
    if price <= 0:
        return ""
    if kind == 0:
        levers.trade(key, Side.BUY, units, price, now_ns)
        return "bought"
    if kind == 1:
        levers.place(key, Side.BUY, OrderType.LIMIT, Terms(units, price // 2), now_ns)
        return "left an order"
    if kind == 2 and slot.held_units + slot.stray_units >= units:
        levers.trade(key, Side.SELL, units, price, now_ns)
        return "sold"
    if kind == 5:
        exchange.holdings.move_cash(-UNSAID * 10**exchange.holdings.cash_scale)
        return "took money without a word"
    return _moves(chance, host, slot, now_ns, comes=kind == 3)


def _has_some(slot: Slot) -> bool:
    return slot.held_units + slot.stray_units > 0


def _units_worth(slot: Slot, worth: int) -> int:
    if slot.last_price <= 0.0:
        return 0
    lot = int(slot.record["lot_units"])
    return int(worth / slot.last_price * float(slot.record["qty_factor"])) // lot * lot


def _moves(chance: Chance, host: Host, slot: Slot, now_ns: int, *, comes: bool) -> str:
    holdings, kind = host.exchange.holdings, "deposit" if comes else "withdrawal"
    worth = chance.between("foreign worth", LEAST, MOST)
    if chance.happens("foreign coins", COINS_COME if comes else COINS_GO):
        if not comes:
            slot = max(host.exchange.slots.values(), key=_has_some)
        units = _units_worth(slot, worth)
        if not comes:
            units = -min(units, slot.held_units + slot.stray_units)
        if units > 0 if comes else units < 0:
            base = slot.instrument.base
            scale = holdings.scales[base] - slot.instrument.qty_scale
            host.levers.flow(kind, base, units * 10**scale, now_ns)
            return "brought coins" if comes else "took coins"
    cash = worth * 10**holdings.cash_scale
    if not comes:
        cash = -min(cash, holdings.cash_units // 2)
    if cash:
        scale = holdings.scales[holdings.quote] - holdings.cash_scale
        host.levers.flow(kind, holdings.quote, cash * 10**scale, now_ns)
    return "brought money" if comes else "took money"
