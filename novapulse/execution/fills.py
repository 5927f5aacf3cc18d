"""The fill model on bars, the same for backtest, replay and paper.

Invariants:
- nothing fills on the bar that decided: an order is active on bars that close after its decision and latency;
- a limit order fills at its limit as maker when the bar trades through it, by chance (`touch_probability`) when the bar
  only touches it, and never better than its limit;
- a limit across the spread takes what the open offers within it, as a market order would; then it rests like any other;
- a market order and a triggered stop fill at the open or at the trigger, worsened by half the spread and slippage, as
  taker;
- a bar with a stop and a target inside it fills the stop;
- no more than `participation_max` of the bar's volume fills, over all orders together; a bar without volume fills
  nothing while that cap is on, and a stop that it triggers is a market order from then on.
"""

import enum

from novapulse.compiled import kernel
from novapulse.core.records import Liquidity, OrderKind, Reason, Record, StopKind
from novapulse.risk.cash import fee_units, notional_units, price_to_units, qty_to_units

_MASK_31 = 0x7FFFFFFF
_NO_CAP = 2**62


class Protection(enum.IntEnum):
    """What a bar did to the protection of an open position."""

    NOT_REACHED = 0
    FILLED = 1
    TRIGGERED = 2
    """The bar had no volume left for the market order that the trigger became."""


@kernel(inline=True, allocates=False)
def _mix(x: int) -> int:
    x = (x ^ (x >> 16)) & _MASK_31
    x = (x * 0x45D9F3B) & _MASK_31
    x = (x ^ (x >> 15)) & _MASK_31
    x = (x * 0x3C6EF35F) & _MASK_31
    return (x ^ (x >> 16)) & _MASK_31


@kernel(inline=True, allocates=False)
def chance(seed: int, instrument_key: int, ts_ns: int) -> float:
    """Return a number in [0, 1) that depends on seed, instrument and time only, never on what was drawn before."""
    x = _mix(seed & _MASK_31)
    x = _mix(x ^ (instrument_key & _MASK_31))
    x = _mix(x ^ (ts_ns & _MASK_31))
    x = _mix(x ^ ((ts_ns >> 31) & _MASK_31))
    return x / 2147483648.0


@kernel(inline=True, allocates=False)
def fillable_units(instrument: Record, volume: float, rules: Record) -> int:
    """Return how much one bar's volume can fill, in quantity units, whole lots."""
    if rules.participation_max <= 0.0:
        return _NO_CAP
    return qty_to_units(instrument, volume * rules.participation_max)


@kernel(inline=True, allocates=False)
def write_fill(
    fill: Record,
    instrument: Record,
    side: int,
    units: int,
    price_units: int,
    reference: float,
    liquidity: int,
    ts_ns: int,
    reason: int,
) -> None:
    """Write a fill at a price on the grid: cash and fee in whole units, and what it lost against the reference."""
    fill.ts_ns = ts_ns
    fill.side = side
    fill.liquidity = liquidity
    fill.reason = reason
    fill.price_units = price_units
    fill.price = price_units / instrument.price_factor
    fill.qty_units = units
    fill.qty = units / instrument.qty_factor
    fill.cash_units = notional_units(instrument, price_units, units)
    fill.fee_units = fee_units(instrument, fill.cash_units, liquidity)
    fill.slippage = side * (fill.price - reference) * fill.qty


@kernel(inline=True, allocates=False)
def taker_price_units(instrument: Record, reference: float, side: int, rules: Record) -> int:
    """Return the price of a marketable order: the reference worsened by half the spread and slippage, on the grid."""
    price = reference * (1.0 + side * (rules.half_spread_fraction + rules.slippage_fraction))
    return price_to_units(instrument, price, side)


@kernel(inline=True, allocates=False)
def fill_order(order: Record, instrument: Record, bar: Record, rules: Record, room: int, fill: Record) -> bool:
    """Try to fill a working order on one bar.

    Args:
        order: ORDER, read only.
        instrument: INSTRUMENT.
        bar: BAR after the decision; its open, low and high are what the market offered.
        rules: RULES.
        room: Quantity units that this bar can still fill.
        fill: FILL, written when the order fills.

    Returns:
        True when `fill` was written.
    """
    units = min(order.units, room)
    if units <= 0:
        return False
    if order.kind != OrderKind.LIMIT:
        price_units = taker_price_units(instrument, bar.open, order.side, rules)
        beyond = order.side * (price_units / instrument.price_factor - order.limit_price)
        if order.kind == OrderKind.ACROSS and beyond > 0.0:
            return False
        write_fill(
            fill, instrument, order.side, units, price_units, bar.open, Liquidity.TAKER, bar.ts_close_ns, order.reason
        )
        return True
    reached = bar.low if order.side > 0 else bar.high
    if not limit_trades(order.limit_price, order.side, reached, instrument, bar.ts_close_ns, rules):
        return False
    price_units = price_to_units(instrument, order.limit_price, 0)
    write_fill(
        fill,
        instrument,
        order.side,
        units,
        price_units,
        order.limit_price,
        Liquidity.MAKER,
        bar.ts_close_ns,
        order.reason,
    )
    return True


@kernel(inline=True, allocates=False)
def limit_trades(
    limit_price: float, side: int, reached: float, instrument: Record, ts_close_ns: int, rules: Record
) -> bool:
    """Tell whether a resting limit order trades: through it for certain, at a touch (within one tick) by chance.

    Args:
        limit_price: Quote per base.
        side: +1 buys, -1 sells.
        reached: The price farthest through the limit that the bar is known to have reached while the order rested.
        instrument: INSTRUMENT.
        ts_close_ns: Close of the bar, which names its chance.
        rules: RULES.
    """
    # Distances within a millionth of a tick are the noise of floats, not prices.
    reach = side * (limit_price - reached)
    noise = 1e-6 * instrument.tick
    if reach > instrument.tick + noise:
        return True
    if reach < -noise:
        return False
    return chance(rules.seed, instrument.chance_key, ts_close_ns) < rules.touch_probability


@kernel(inline=True, allocates=False)
def stop_reason(position: Record) -> int:
    """Return which exit a hit of the protective stop is."""
    if position.stop_kind == StopKind.BREAKEVEN:
        return Reason.EXIT_BREAKEVEN
    if position.stop_kind == StopKind.TRAIL:
        return Reason.EXIT_TRAIL
    return Reason.EXIT_STOP


@kernel(inline=True, allocates=False)
def touches_protection(position: Record, low: float, high: float) -> bool:
    """Tell whether a bar reaches the stop or the target of an open position; a flat position has neither."""
    if position.direction >= 0:
        return low <= position.stop_price or 0.0 < position.target_price <= high
    return high >= position.stop_price or low <= position.target_price


@kernel(inline=True, allocates=False)
def fill_protection(
    position: Record,
    instrument: Record,
    bar: Record,
    rules: Record,
    room: int,
    held_at_open: bool,
    entered_inside: bool,
    fill: Record,
) -> int:
    """Try the protective stop, then the target, of an open position on one bar.

    Args:
        position: POSITION, read only.
        instrument: INSTRUMENT.
        bar: BAR.
        rules: RULES.
        room: Quantity units that this bar can still fill.
        held_at_open: Something of the position was held from the bar's open on, so that a gap is a gap.
        entered_inside: Something was entered by a limit order inside this very bar: what the bar did before is unknown,
            so the target counts only if the close is beyond it.
        fill: FILL, written when something fills; when a trigger found no room, only its price, side and reason are.

    Returns:
        A `Protection`.
    """
    direction = position.direction
    worst = bar.low if direction > 0 else bar.high
    best = bar.high if direction > 0 else bar.low
    if direction * (worst - position.stop_price) <= 0.0:
        gapped = held_at_open and direction * (bar.open - position.stop_price) <= 0.0
        reference = bar.open if gapped else position.stop_price
        return _fill_trigger(position, instrument, bar, rules, room, reference, stop_reason(position), fill)
    if position.target_price <= 0.0:
        return Protection.NOT_REACHED
    if entered_inside:
        best = bar.close
    if direction * (best - position.target_price) < 0.0:
        return Protection.NOT_REACHED
    if rules.target_kind == OrderKind.MARKET:
        gapped = held_at_open and direction * (bar.open - position.target_price) > 0.0
        reference = bar.open if gapped and not entered_inside else position.target_price
        return _fill_trigger(position, instrument, bar, rules, room, reference, Reason.EXIT_TARGET, fill)
    return _fill_resting_target(position, instrument, bar, rules, room, best, fill)


@kernel(inline=True, allocates=False)
def _fill_trigger(
    position: Record,
    instrument: Record,
    bar: Record,
    rules: Record,
    room: int,
    reference: float,
    reason: int,
    fill: Record,
) -> int:
    units = max(min(abs(position.qty_units), room), 0)
    side = -position.direction
    price_units = taker_price_units(instrument, reference, side, rules)
    write_fill(fill, instrument, side, units, price_units, reference, Liquidity.TAKER, bar.ts_close_ns, reason)
    return Protection.FILLED if units > 0 else Protection.TRIGGERED


@kernel(inline=True, allocates=False)
def _fill_resting_target(
    position: Record, instrument: Record, bar: Record, rules: Record, room: int, reached: float, fill: Record
) -> int:
    side = -position.direction
    units = min(abs(position.qty_units), room)
    if units <= 0 or not limit_trades(position.target_price, side, reached, instrument, bar.ts_close_ns, rules):
        return Protection.NOT_REACHED
    price_units = price_to_units(instrument, position.target_price, 0)
    write_fill(
        fill,
        instrument,
        side,
        units,
        price_units,
        position.target_price,
        Liquidity.MAKER,
        bar.ts_close_ns,
        Reason.EXIT_TARGET,
    )
    return Protection.FILLED
