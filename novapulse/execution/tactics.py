"""What an order does when it is not filled in time: chase, then cross the spread if the edge still pays, then give up.

Shared by the backtest's fill model and the live order manager: both ask `next_step` with what they know at that moment.
"""

import enum

from novapulse.compiled import kernel
from novapulse.core.records import Intent, OrderKind, Record
from novapulse.risk.decide import passive_price
from novapulse.risk.sizing import forecast_scale
from novapulse.risk.stops import round_trip_cost


class Step(enum.IntEnum):
    """What to do with an order whose time to live is over."""

    CHASE = 1
    CROSS = 2
    GIVE_UP_EXPIRED = 3
    GIVE_UP_NO_EDGE = 4


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
def next_step(order: Record, price: float, instrument: Record, rules: Record) -> int:
    """Return the step after the time to live has passed.

    Args:
        order: ORDER; one of kind MARKET is an entry, for a market exit never expires.
        price: Last price known, quote per base.
        instrument: INSTRUMENT.
        rules: RULES.

    Returns:
        A `Step`. An exit never gives up: it chases, then crosses.
    """
    if order.kind == OrderKind.MARKET:
        return Step.GIVE_UP_EXPIRED
    if order.chases_left > 0:
        return Step.CHASE
    if order.intent == Intent.EXIT:
        return Step.CROSS
    if not rules.fallback_market:
        return Step.GIVE_UP_EXPIRED
    if edge_left(order, price, rules) > round_trip_cost(instrument, rules) * price:
        return Step.CROSS
    return Step.GIVE_UP_NO_EDGE


@kernel(inline=True, allocates=False)
def reprice(order: Record, price: float, ts_ns: int, instrument: Record, rules: Record) -> None:
    """Move a chasing order to the passive side of the last price, with what it reserves, and start its clock again."""
    before = order.limit_price
    order.limit_price = passive_price(instrument, price, order.side, OrderKind.LIMIT, rules)
    order.hold *= order.limit_price / before
    order.notional *= order.limit_price / before
    order.chases_left -= 1
    order.active_ns = ts_ns + rules.latency_ns
    order.expires_ns = ts_ns + rules.time_to_live_ns


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
