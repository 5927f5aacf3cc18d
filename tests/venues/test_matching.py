"""Which bars and public trades an order of the simulated exchange meets, and how long."""

import pytest

from novapulse.core.instruments import InstrumentKey
from novapulse.core.orders import Terms, VenueState
from tests.backtest.builders import bare_rules
from tests.venues.builders import (
    BTC,
    UNIT,
    at,
    entry,
    exchange_of,
    facts,
    play,
    print_of,
    story,
)


def test_an_order_meets_bars_that_close_after_its_arrival_and_no_other():
    exchange = exchange_of()
    exchange.submit(entry("late", 99.0), at(2))
    play(exchange, 2, 100, 100, 90, 100)
    assert story(exchange) == []
    play(exchange, 3, 100, 100, 90, 100)
    assert story(exchange) == [("late", UNIT, 99.0)]


def test_an_amended_limit_meets_bars_that_close_after_the_amendment():
    exchange = exchange_of()
    order_id = exchange.submit(entry("e", 90.0), at(0.5))
    exchange.amend(order_id, Terms(UNIT, 9900), at(2))
    play(exchange, 2, 100, 100, 95, 100)
    assert story(exchange) == []
    play(exchange, 3, 100, 100, 95, 100)
    assert story(exchange) == [("e", UNIT, 99.0)]


def test_an_order_is_valid_up_to_its_last_nanosecond():
    for expires, filled in ((at(2), 1), (at(2) - 1, 0)):
        exchange = exchange_of()
        exchange.submit(entry("e", expires_ns=expires), at(0.5))
        exchange.advance(expires)
        assert exchange.lookup("e")[0].state is VenueState.LIVE
        play(exchange, 2, 100)
        assert len(story(exchange)) == filled
        assert (exchange.lookup("e")[0].state is VenueState.EXPIRED) == (not filled)


def test_time_alone_ends_an_order_and_says_when():
    exchange = exchange_of()
    for cid, expires in (("never", 0), ("later", at(9)), ("soon", at(2))):
        exchange.submit(entry(cid, 90.0, expires_ns=expires), at(1))
    exchange.take_events()
    exchange.advance(at(2) + 1)
    (event,) = exchange.take_events()
    assert (event.seen.client_order_id, event.seen.state, event.seen.ts_event_ns) == ("soon", VenueState.EXPIRED, at(2))
    exchange.advance(at(9) + 1)
    assert [order.seen.client_order_id for order in exchange.open_orders()] == ["never"]


def test_a_bar_is_played_once_and_an_older_one_never():
    exchange = exchange_of(bare_rules(participation_max=0.1))
    exchange.submit(entry("e", units=10 * UNIT), at(0.5))
    play(exchange, 1, 100, volume=5)
    before = facts(exchange)
    play(exchange, 1, 100, volume=5)
    play(exchange, 0.9, 100, volume=5)
    assert facts(exchange) == before
    play(exchange, 2, 100, volume=5)
    assert len(story(exchange)) == 2


def test_public_trades_of_one_moment_are_all_played():
    exchange = exchange_of()
    exchange.submit(entry("a", 99.0, units=UNIT), at(0.5))
    assert exchange.on_trade(BTC, print_of(99.5, at(1)), at(1))
    assert exchange.on_trade(BTC, print_of(98.0, at(1)), at(1))
    assert not exchange.on_trade(BTC, print_of(90.0, at(0.9)), at(1))
    assert story(exchange) == [("a", UNIT, 99.0)]


def test_a_bar_of_an_instrument_that_is_not_traded_is_an_error():
    with pytest.raises(KeyError):
        play(exchange_of(), 1, 100, key=InstrumentKey("kraken", "ETH/USD"))
