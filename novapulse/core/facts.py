"""Facts of orders as the ledger keeps them: a kind, and a body of text, integers, truth values and lists.

Invariants:
- `from_body(kind_of(fact), to_body(fact)) == fact` for every fact, to the last bit of its distances;
- a body holds no float (they are written as `float.hex()` does) and no enum, only the value of one;
- every body names the `client_order_id` that its fact speaks of.
"""

from collections.abc import Callable, Mapping
from typing import Any

from novapulse.core.instruments import AccountKey, InstrumentKey
from novapulse.core.orders import (
    AbsenceProved,
    Acked,
    AmendAsked,
    AmendDone,
    AmendRefused,
    Attempted,
    Busted,
    CancelAsked,
    CancelRefused,
    DisputeRaised,
    DisputeSettled,
    Fact,
    Filled,
    Intended,
    OrderRequest,
    OrderType,
    Protection,
    Refused,
    Role,
    Seen,
    Side,
    Terms,
    Unclear,
    VenueState,
)

BESIDE_FACTS = frozenset({"own_units", "foreign_units"})
"""What the record of an execution says beside the venue's fact: by how much our position changed, and what belongs to
nobody, in signed quantity units."""

Body = Mapping[str, Any]
"""What a record holds: text, integers, truth values, None, lists and mappings of them."""

KINDS: dict[str, type[Fact]] = {
    "order_intended": Intended,
    "order_attempted": Attempted,
    "order_acked": Acked,
    "order_refused": Refused,
    "order_unclear": Unclear,
    "order_seen": Seen,
    "fill_booked": Filled,
    "fill_busted": Busted,
    "cancel_asked": CancelAsked,
    "cancel_refused": CancelRefused,
    "amend_asked": AmendAsked,
    "amend_done": AmendDone,
    "amend_refused": AmendRefused,
    "absence_proved": AbsenceProved,
    "dispute_raised": DisputeRaised,
    "dispute_settled": DisputeSettled,
}
"""Kind of the record -> the fact that it holds."""

_KIND_OF: dict[type[Fact], str] = {fact: kind for kind, fact in KINDS.items()}


def kind_of(fact: Fact) -> str:
    """Return the kind of the record that holds a fact."""
    return _KIND_OF[type(fact)]


def to_body(fact: Fact) -> dict[str, Any]:
    """Return a fact as the body of its record."""
    return {name: _plain(name, getattr(fact, name)) for name in fact.__slots__}


def from_body(kind: str, body: Body) -> Fact:
    """Return the fact of a record.

    Args:
        kind: Kind of the record.
        body: Its body; a field that it lacks has the fact's own default.

    Raises:
        ValueError: The kind is not one of an order's facts, or the body does not fit it.
    """
    if kind not in KINDS:
        raise ValueError(f"record of kind {kind!r}: expected one of {', '.join(KINDS)}")
    try:
        return KINDS[kind](**_whole(body))
    except (TypeError, KeyError, ValueError) as problem:
        raise ValueError(f"body of a record of kind {kind!r}: {problem}") from problem


def _plain(name: str, value: Any) -> Any:
    if name in _TO_PLAIN and value is not None:
        return _TO_PLAIN[name](value)
    return value


def _whole(body: Body) -> dict[str, Any]:
    return {
        name: _FROM_PLAIN[name](value) if name in _FROM_PLAIN and value is not None else value
        for name, value in body.items()
        if name not in BESIDE_FACTS
    }


def _terms_to_plain(terms: Terms) -> list[int]:
    return [terms.qty_units, terms.limit_units, terms.stop_units, terms.target_units]


def _terms_from_plain(units: list[int]) -> Terms:
    qty, limit, stop, target = units
    return Terms(qty, limit, stop, target)


def _instrument_from_plain(parts: list[str]) -> InstrumentKey:
    exchange, symbol = parts
    return InstrumentKey(exchange, symbol)


def _account_from_plain(parts: list[str]) -> AccountKey:
    exchange, account_id = parts
    return AccountKey(exchange, account_id)


def _protection_to_plain(protection: Protection) -> list[str]:
    return [protection.client_order_id, protection.stop_distance.hex(), protection.target_distance.hex()]


def _protection_from_plain(parts: list[str]) -> Protection:
    client_order_id, stop, target = parts
    return Protection(client_order_id, float.fromhex(stop), float.fromhex(target))


def request_to_body(request: OrderRequest) -> dict[str, Any]:
    """Return a request without floats and enums."""
    return {name: _plain(name, getattr(request, name)) for name in OrderRequest.__slots__}


def request_from_body(body: Body) -> OrderRequest:
    """Return the request of a body made by `request_to_body`.

    Raises:
        TypeError: A field is missing or unknown.
        ValueError: A field does not hold what it should.
    """
    return OrderRequest(**_whole(body))


# A name means the same in every fact, so one table by name serves them all.
_TO_PLAIN: dict[str, Callable[[Any], Any]] = {
    "request": request_to_body,
    "account": lambda account: [account.exchange, account.account_id],
    "instrument": lambda instrument: [instrument.exchange, instrument.symbol],
    "role": lambda role: role.value,
    "side": lambda side: side.value,
    "kind": lambda kind: kind.value,
    "state": lambda state: state.value,
    "liquidity": int,
    "reason": int,
    "terms": _terms_to_plain,
    "protection": _protection_to_plain,
    "disputes": list,
}
_FROM_PLAIN: dict[str, Callable[[Any], Any]] = {
    "request": request_from_body,
    "account": _account_from_plain,
    "instrument": _instrument_from_plain,
    "role": Role,
    "side": Side,
    "kind": OrderType,
    "state": VenueState,
    "terms": _terms_from_plain,
    "protection": _protection_from_plain,
    "disputes": tuple,
}
