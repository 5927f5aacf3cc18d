"""Orders, trades and flows as JSON and back, to the bit: a float is written at its shortest exact spelling."""

import json
from typing import Any

from novapulse.core.instruments import AccountKey, InstrumentKey
from novapulse.core.messages import Flow
from novapulse.core.orders import Filled, OrderRequest, OrderType, Protection, Role, Side, Terms, VenueState
from novapulse.venues.simulated.book import Order


def order_text(order: Order) -> str:
    """Return an order as text, its trades apart."""
    return _text(
        {
            "number": order.number,
            "venue_order_id": order.venue_order_id,
            "request": _request_fields(order.request),
            "terms": _terms_fields(order.terms),
            "active_ns": order.active_ns,
            "updated_ns": order.updated_ns,
            "state": order.state,
            "filled_units": order.filled_units,
            "trigger": order.trigger,
            "target_fixed": order.target_fixed,
            "cancel_ns": order.cancel_ns,
        }
    )


def order_of(text: str) -> Order:
    """Return the order that `order_text` wrote."""
    fields = json.loads(text)
    fields["request"] = _request_of(fields["request"])
    fields["terms"] = Terms(*fields["terms"])
    fields["state"] = VenueState(fields["state"])
    return Order(**fields)


def trade_text(fill: Filled) -> str:
    """Return a trade as text."""
    names = ("client_order_id", "venue_order_id", "venue_trade_id", "qty_units", "price_units", "cash_units")
    fields = {name: getattr(fill, name) for name in (*names, "fee_units", "liquidity", "ts_event_ns", "reason")}
    return _text(fields | {"instrument": _key_fields(fill.instrument), "side": int(fill.side)})


def trade_of(text: str) -> Filled:
    """Return the trade that `trade_text` wrote."""
    fields = json.loads(text)
    fields["instrument"] = InstrumentKey(*fields["instrument"])
    fields["side"] = Side(fields["side"])
    return Filled(**fields)


def flow_text(flow: Flow) -> str:
    """Return a movement without a trade as text."""
    return _text([flow.flow_id, flow.kind, flow.asset, flow.asset_units, flow.ts_event_ns, flow.new, flow.old])


def flow_of(text: str) -> Flow:
    """Return the flow that `flow_text` wrote."""
    return Flow(*json.loads(text))


def _text(fields: object) -> str:
    return json.dumps(fields, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _key_fields(key: InstrumentKey) -> list[str]:
    return [key.exchange, key.symbol]


def _terms_fields(terms: Terms) -> list[int]:
    return [terms.qty_units, terms.limit_units, terms.stop_units, terms.target_units]


_PLAIN = (
    "client_order_id decision_id role kind decided_ns expires_ns reduce_only post_only notional_max_units reason "
    "parent attached_to"
).split()


def _request_fields(request: OrderRequest) -> dict[str, Any]:
    guard = request.protection
    return {name: getattr(request, name) for name in _PLAIN} | {
        "account": [request.account.exchange, request.account.account_id],
        "instrument": _key_fields(request.instrument),
        "side": int(request.side),
        "terms": _terms_fields(request.terms),
        "protection": None if guard is None else [guard.client_order_id, guard.stop_distance, guard.target_distance],
    }


def _request_of(fields: dict[str, Any]) -> OrderRequest:
    guard = fields["protection"]
    return OrderRequest(
        **{name: fields[name] for name in _PLAIN}
        | {
            "account": AccountKey(*fields["account"]),
            "instrument": InstrumentKey(*fields["instrument"]),
            "role": Role(fields["role"]),
            "kind": OrderType(fields["kind"]),
            "side": Side(fields["side"]),
            "terms": Terms(*fields["terms"]),
            "protection": None if guard is None else Protection(*guard),
        }
    )
