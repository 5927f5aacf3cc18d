"""Where a position is protected and where it takes profit: the only definition, for backtest and live.

Invariants:
- distances are frozen at the decision; prices follow from them at the fill;
- a stop never loosens: break-even and trail only move it towards the market;
- a target clears the round trip's costs, or there is no trade.
"""

import math

from novapulse.compiled import kernel
from novapulse.core.records import Record, StopKind
from novapulse.risk.cash import FEE_ONE, price_to_units


@kernel(inline=True, allocates=False)
def round_trip_cost(instrument: Record, rules: Record) -> float:
    """Return what entering and leaving costs at the worst, as a share of the price: taker fees, spread and slippage."""
    fee = 2.0 * instrument.taker_fee_e8 / FEE_ONE
    return fee + 2.0 * (rules.half_spread_fraction + rules.slippage_fraction)


@kernel(inline=True, allocates=False)
def stop_distance(instrument: Record, atr: float, rules: Record) -> float:
    """Return the distance of the protective stop from the entry price, in price; at least two ticks."""
    return max(rules.stop_atr * atr, 2.0 * instrument.tick)


@kernel(inline=True, allocates=False)
def target_distance(instrument: Record, price: float, atr: float, rules: Record) -> float:
    """Return the distance of the take-profit price, fee-aware.

    The target is `target_atr` average true ranges away, or as far as the round trip's costs times
    `target_cost_multiple_min` if that is farther.

    Returns:
        Distance in price; 0 when the rules set no target; -1 when the costs would push the target beyond
        `target_stretch_max` times where the market's own range would put it.
    """
    if rules.target_atr == 0.0:
        return 0.0
    by_range = rules.target_atr * atr
    by_cost = rules.target_cost_multiple_min * round_trip_cost(instrument, rules) * price
    if by_cost > rules.target_stretch_max * by_range:
        return -1.0
    return max(by_range, by_cost)


@kernel(inline=True, allocates=False)
def place_stops(position: Record, instrument: Record) -> None:
    """Set stop and target prices from the average entry price and the frozen distances, on the tick grid.

    The stop is rounded towards the entry (never more risk than decided), the target away from it. A later fill of the
    same entry moves the average, and with it the target; the stop only if that tightens it.
    """
    direction = position.direction
    stop = max(position.entry_price - direction * position.stop_distance, instrument.tick)
    on_grid = price_to_units(instrument, stop, direction) / instrument.price_factor
    if position.stop_price == 0.0 or direction * (on_grid - position.stop_price) > 0.0:
        position.stop_price = on_grid
    if position.target_distance > 0.0:
        target = max(position.entry_price + direction * position.target_distance, instrument.tick)
        position.target_price = price_to_units(instrument, target, direction) / instrument.price_factor


@kernel(inline=True, allocates=False)
def breakeven_price(position: Record, instrument: Record, rules: Record) -> float:
    """Return the price at which leaving pays for the round trip."""
    return position.entry_price * (1.0 + position.direction * round_trip_cost(instrument, rules))


@kernel(inline=True, allocates=False)
def ratchet_gain(position: Record, instrument: Record, rules: Record) -> float:
    """Return the gain in price below which `ratchet_stop` does nothing; infinity when it can do nothing at all."""
    gain = math.inf
    if rules.breakeven_r > 0.0:
        direction = position.direction
        price = price_to_units(instrument, breakeven_price(position, instrument, rules), -direction)
        if direction * (price / instrument.price_factor - position.stop_price) > 0.0:
            gain = rules.breakeven_r * position.stop_distance
    if rules.trail_r > 0.0:
        gain = min(gain, rules.trail_start_r * position.stop_distance)
    return gain


@kernel(inline=True, allocates=False)
def ratchet_stop(position: Record, instrument: Record, rules: Record) -> None:
    """Move the stop to break-even after `breakeven_r`, and behind the best price after `trail_start_r`; never back."""
    direction = position.direction
    gain = direction * (position.best_price - position.entry_price)
    if rules.breakeven_r > 0.0 and gain >= rules.breakeven_r * position.stop_distance:
        price = breakeven_price(position, instrument, rules)
        if direction * (position.best_price - price) > 0.0:
            _tighten(position, instrument, price, StopKind.BREAKEVEN)
    if rules.trail_r > 0.0 and gain >= rules.trail_start_r * position.stop_distance:
        trail = position.best_price - direction * rules.trail_r * position.stop_distance
        _tighten(position, instrument, trail, StopKind.TRAIL)


@kernel(inline=True, allocates=False)
def _tighten(position: Record, instrument: Record, price: float, kind: int) -> None:
    direction = position.direction
    if direction * (price - position.stop_price) <= 0.0 or price <= 0.0:
        return
    on_grid = price_to_units(instrument, price, -direction) / instrument.price_factor
    if direction * (on_grid - position.stop_price) > 0.0:
        position.stop_price = on_grid
        position.stop_kind = kind
