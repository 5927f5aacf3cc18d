"""How much of an entry a bar may fill: the bar's volume, the position's cap and the account's cash, whichever is least.

A gap or a chase can make an entry dearer than it was when it was decided: neither cash nor a cap is overdrawn.
"""

from novapulse.compiled import kernel
from novapulse.core.records import Intent, Liquidity, OrderKind, Record
from novapulse.execution.fills import taker_price_units
from novapulse.risk.cash import FEE_ONE, fee_units, notional_units, price_to_units, qty_to_units
from novapulse.risk.decide import cash_per_notional


@kernel(inline=True, allocates=False)
def entry_room(
    account: Record, position: Record, order: Record, room: int, bar: Record, instrument: Record, rules: Record
) -> int:
    """Return how much of a working order one bar may fill.

    Args:
        account: ACCOUNT; its cash is what may be spent.
        position: POSITION of the instrument; what it cost so far counts against the order's cap.
        order: ORDER; only an entry is bounded by more than the bar.
        room: Quantity units that the bar can still fill.
        bar: BAR; a market order is worth its open.
        instrument: INSTRUMENT.
        rules: RULES.

    Returns:
        Quantity units, at most `room`; below one when nothing may fill.
    """
    if order.intent != Intent.ENTRY:
        return room
    price = order.limit_price
    if order.kind == OrderKind.MARKET:
        price = bar.open * (1.0 + rules.half_spread_fraction + rules.slippage_fraction) + instrument.tick
    worth = order.units / instrument.qty_factor * price
    spent = position.entry_units / instrument.cash_factor
    if worth + spent <= order.notional_max and worth * cash_per_notional(instrument, rules) < account.cash:
        return room
    return scant_room(account, position, order, room, bar, instrument, rules)


@kernel(allocates=False)
def scant_room(
    account: Record, position: Record, order: Record, room: int, bar: Record, instrument: Record, rules: Record
) -> int:
    """Return what `entry_room` does where the cap or the cash may bind: the same arguments, the exact arithmetic."""
    liquidity = Liquidity.MAKER
    price_units = price_to_units(instrument, max(order.limit_price, instrument.tick), 0)
    if order.kind == OrderKind.MARKET:
        liquidity = Liquidity.TAKER
        price_units = taker_price_units(instrument, bar.open, order.side, rules)
    price = price_units / instrument.price_factor
    capped = order.notional_max - position.entry_units / instrument.cash_factor
    room = min(room, qty_to_units(instrument, capped / price))
    if order.side < 0:
        return room
    rate = instrument.taker_fee_e8 if liquidity == Liquidity.TAKER else instrument.maker_fee_e8
    room = min(room, qty_to_units(instrument, account.cash / (price * (1.0 + max(rate, 0) / FEE_ONE))))
    cost = notional_units(instrument, price_units, room)
    # Notional and fee are each rounded, which may cost a unit of cash more than there is.
    if room > 0 and cost + fee_units(instrument, cost, liquidity) > account.cash_units:
        room -= instrument.lot_units
    return room
