"""Orders as rows: what a row says of an order is what the order is, not what it is to become."""

from decimal import Decimal

import pytest

from novapulse.core.facts import kind_of, to_body
from novapulse.core.instruments import AccountKey, InstrumentKey
from novapulse.core.orders import (
    Attempted,
    Fact,
    Intended,
    OrderRequest,
    OrderType,
    Role,
    Seen,
    Side,
    Terms,
    VenueState,
)
from novapulse.ledger.queries import Listing
from novapulse.monitor.order_book import OrderBook, order_state
from novapulse.monitor.rows import OrderState

BTC = InstrumentKey("kraken", "BTC/USD")
LISTING = Listing(BTC, "BTC", "USD", 8, 1, 8)


def row_of(*facts: Fact) -> OrderState:
    book = OrderBook()
    for seq, fact in enumerate(facts, 1):
        book.take(seq, kind_of(fact), to_body(fact))
    (known,) = book.working
    return order_state(known, LISTING)


def bracket(attached_to: str, terms: Terms) -> Intended:
    request = OrderRequest(
        *("P", AccountKey("kraken", "main"), BTC, "D", Role.PROTECT, Side.SELL, OrderType.BRACKET, terms, 1),
        attached_to=attached_to,
    )
    return Intended("P", request)


def test_a_stop_that_waits_for_its_entry_protects_nothing_yet_and_has_no_price() -> None:
    """A bug: it read "it protects the position" with the limit of its entry, while nothing was held."""
    row = row_of(bracket("E", Terms(100, 258_501)))
    assert (row.status, row.why) == ("INTENT", "it goes out for what its entry fills")
    assert (row.limit_price, row.stop_price, row.target_price) == (None, None, None)


@pytest.mark.parametrize("attached_to", ["", "E"])
def test_a_stop_protects_once_the_venue_has_it(attached_to: str) -> None:
    sent = (bracket(attached_to, Terms(100, 0, 250_000, 270_000)), Attempted("P", 1, 1))
    assert row_of(*sent).why == "it is to protect the position"
    row = row_of(*sent, Seen("P", "V", VenueState.LIVE, 0, 2))
    assert (row.status, row.why) == ("ACCEPTED", "it protects the position")
    assert (row.stop_price, row.target_price) == (Decimal("25000.0"), Decimal("27000.0"))
