"""The bracket that guards what an entry filled, as it stands after each fill; and what cash an open buy binds."""

from collections.abc import Iterable
from dataclasses import replace

from novapulse.core.orders import OrderRequest, OrderType, Protection, Role, Side, Terms
from novapulse.core.records import Liquidity
from novapulse.risk.cash import fee_units, notional_units, price_to_units
from novapulse.risk.stops import place_stops
from novapulse.venues.simulated.book import Order, Slot


def bracket_terms(slot: Slot, protection: Protection, bracket: Order | None, units: int) -> Terms:
    """Return the terms of a bracket after a fill of the entry that it guards.

    Stop and target are where `risk.stops.place_stops` puts them for the average entry price; the stop of a bracket that
    stands is never loosened, and a target that was set by an amendment stays.

    Args:
        slot: Instrument; its position holds the fill already.
        protection: What the entry carries.
        bracket: The bracket as it stands; None before the first fill.
        units: Quantity units that the fill added.
    """
    position, factor = slot.position, float(slot.record["price_factor"])
    before = bracket.terms if bracket is not None else Terms(0)
    fixed = bracket is not None and bracket.target_fixed
    position.stop_distance = protection.stop_distance
    position.target_distance = 0.0 if fixed else protection.target_distance
    position.stop_price = before.stop_units / factor
    position.target_price = before.target_units / factor
    place_stops(position, slot.record)
    return Terms(
        before.qty_units + units,
        stop_units=round(float(position.stop_price) * factor),
        target_units=round(float(position.target_price) * factor),
    )


def may_grow(slot: Slot, bracket: OrderRequest) -> bool:
    """Tell whether a live entry carries a bracket: what that fills it covers as well."""
    carried = (order.request.protection for order in slot.live)
    return any(one is not None and one.client_order_id == bracket.client_order_id for one in carried)


def bracket_request(entry: OrderRequest, protection: Protection, terms: Terms) -> OrderRequest:
    """Return the bracket of an entry as a request of its own."""
    return replace(
        entry,
        client_order_id=protection.client_order_id,
        role=Role.PROTECT,
        side=Side(-entry.side),
        kind=OrderType.BRACKET,
        terms=terms,
        expires_ns=0,
        reduce_only=True,
        post_only=False,
        notional_max_units=0,
        reason=0,
        parent="",
        protection=None,
        attached_to=entry.client_order_id,
    )


def bound_units(slot: Slot, request: OrderRequest, units: int) -> int:
    """Return the cash units that a buy of a quantity binds: at its limit, or at the last price, with its fee."""
    limit = request.kind is OrderType.LIMIT
    price_units = request.terms.limit_units if limit else price_to_units(slot.record, max(slot.last_price, 1e-300), 1)
    notional = int(notional_units(slot.record, price_units, units))
    fee = int(fee_units(slot.record, notional, Liquidity.MAKER if limit else Liquidity.TAKER))
    return notional + max(fee, 0)


def bound_in(slots: Iterable[Slot]) -> int:
    """Return the cash units that all open buys together bind."""
    return sum(
        bound_units(slot, replace(order.request, terms=order.terms), order.leaves_units)
        for slot in slots
        for order in slot.live
        if order.request.side is Side.BUY and not order.reduces
    )
