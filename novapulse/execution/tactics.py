"""What an order does when it is not filled in time: chase, then cross the spread if the edge still pays, then give up.

Shared by the backtest's fill model and the live order manager: both ask `next_step` at the closes of bars, with what
they know at that moment.

Invariants:
- an exit never gives up: it rests, follows the price, goes across the spread where that is configured, and ends at the
  market;
- its deadline counts from its decision in bars: no chase begins at it or outlasts it;
- an entry ends at its last moment, however long no bar came: the venue itself sees to that.
"""

import enum

from novapulse.compiled import kernel
from novapulse.core.records import Intent, OrderKind, Record
from novapulse.risk.cash import price_to_units
from novapulse.risk.decide import passive_price
from novapulse.risk.sizing import forecast_scale
from novapulse.risk.stops import round_trip_cost


class Step(enum.IntEnum):
    """What to do with an order whose time to live is over."""

    CHASE = 1
    CROSS = 2
    GIVE_UP_EXPIRED = 3
    GIVE_UP_NO_EDGE = 4
    REACH = 5
    """Go across the spread with a limit."""


@kernel(inline=True, allocates=False)
def edge_left(order: Record, price: float, rules: Record) -> float:
    """Return what the trade may still bring at a price, per unit of base, before costs.

    The distance from here to the target that the decision had in mind, times the share of it that is expected to be
    captured and the strength of the opinion. A price that ran away leaves less.
    """
    aim = order.target_distance if order.target_distance > 0.0 else order.stop_distance
    left = aim - order.side * (price - order.decision_price)
    return max(left, 0.0) * rules.fallback_edge_capture * forecast_scale(order.consensus)


@kernel(inline=True, allocates=False)
def next_step(order: Record, price: float, ts_ns: int, instrument: Record, rules: Record) -> int:
    """Return the step after the time to live has passed.

    Args:
        order: ORDER; one of kind MARKET is an entry, for a market exit never expires.
        price: Last price known, quote per base.
        ts_ns: The close at which this is asked.
        instrument: INSTRUMENT.
        rules: RULES.

    Returns:
        A `Step`.
    """
    if order.kind == OrderKind.MARKET:
        return Step.GIVE_UP_EXPIRED
    if order.intent == Intent.EXIT:
        return _next_step_out(order, ts_ns, rules)
    if has_lapsed(order, ts_ns, rules):
        return Step.GIVE_UP_EXPIRED
    if order.chases_left > 0:
        return Step.CHASE
    if not rules.fallback_market or _is_below_minimum(order, price, instrument):
        return Step.GIVE_UP_EXPIRED
    if edge_left(order, price, rules) > round_trip_cost(instrument, rules) * price:
        return Step.CROSS
    return Step.GIVE_UP_NO_EDGE


@kernel(inline=True, allocates=False)
def _is_below_minimum(order: Record, price: float, instrument: Record) -> bool:
    # What is left of an entry that was filled in part goes to the market as an order of its own.
    worth = order.units / instrument.qty_factor * min(price, order.decision_price)
    return order.units < instrument.qty_min_units or worth < instrument.notional_min


@kernel(inline=True, allocates=False)
def _next_step_out(order: Record, ts_ns: int, rules: Record) -> int:
    if order.chases_left > 0 and ts_ns < order.decision_ts_ns + rules.exit_deadline_ns:
        return Step.CHASE
    return Step.REACH if order.chases_left >= 0 and rules.exit_cross_ns > 0 else Step.CROSS


@kernel(inline=True, allocates=False)
def rests_until(order: Record, ts_ns: int, rules: Record) -> int:
    """Return until when an order that rests from now on may do so before its next step; an exit has a deadline."""
    expires_ns = ts_ns + rules.time_to_live_ns
    if order.intent == Intent.EXIT:
        expires_ns = min(expires_ns, order.decision_ts_ns + rules.exit_deadline_ns)
    return expires_ns


@kernel(inline=True, allocates=False)
def reprice(order: Record, price: float, ts_ns: int, instrument: Record, rules: Record) -> None:
    """Move a chasing order to the passive side of the last price, with what it reserves, and start its clock again."""
    before = order.limit_price
    order.limit_price = passive_price(instrument, price, order.side, OrderKind.LIMIT, rules)
    order.hold *= order.limit_price / before
    order.notional *= order.limit_price / before
    order.chases_left -= 1
    order.active_ns = ts_ns + rules.latency_ns
    order.expires_ns = rests_until(order, ts_ns, rules)


@kernel(inline=True, allocates=False)
def reach(order: Record, price: float, ts_ns: int, instrument: Record, rules: Record) -> None:
    """Put an exit across the spread: a limit one tick beyond what a taker is expected to get at the last price."""
    worse = price * (1.0 + order.side * (rules.half_spread_fraction + rules.slippage_fraction))
    limit_units = price_to_units(instrument, worse + order.side * instrument.tick, order.side)
    limit_price = limit_units / instrument.price_factor
    # One that rests at this very price already has nothing to change: it does not come to take what is there.
    order.kind = OrderKind.LIMIT if limit_price == order.limit_price else OrderKind.ACROSS
    order.limit_price = limit_price
    order.chases_left = -1
    order.active_ns = ts_ns + rules.latency_ns
    order.expires_ns = ts_ns + rules.exit_cross_ns


@kernel(inline=True, allocates=False)
def cross(order: Record, ts_ns: int, rules: Record) -> None:
    """Turn an order into a market order; an entry waits for a trade only so long, an exit for ever."""
    order.kind = OrderKind.MARKET
    order.limit_price = 0.0
    order.active_ns = ts_ns + rules.latency_ns
    order.expires_ns = ts_ns + patience_ns(rules) if order.intent == Intent.ENTRY else 0


@kernel(inline=True, allocates=False)
def patience_ns(rules: Record) -> int:
    """Return how long a marketable entry waits in a market where nobody trades: as long as a chase would take."""
    return rules.time_to_live_ns * (1 + rules.chases_max)


@kernel(inline=True, allocates=False)
def last_moment_ns(order: Record, rules: Record) -> int:
    """Return when the venue ends an entry by itself: all its chases, and the fallback's patience, are over by then.

    It bounds what a trader that is gone leaves behind, and what waits in a gap of the bars, where nobody takes a step.
    """
    return order.decision_ts_ns + 2 * (rules.chases_max + 2) * rules.time_to_live_ns


@kernel(inline=True, allocates=False)
def has_lapsed(order: Record, ts_ns: int, rules: Record) -> bool:
    """Tell whether the venue has ended an entry; an exit never lapses."""
    return order.intent == Intent.ENTRY and last_moment_ns(order, rules) < ts_ns
