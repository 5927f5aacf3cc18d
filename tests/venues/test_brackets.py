"""Brackets of the simulated exchange: what makes them, moves them, touches them and ends them."""

import pytest

from novapulse.core.orders import Protection, Side, Terms, VenueState
from novapulse.core.ports import Rejected
from novapulse.core.records import Liquidity, Reason
from novapulse.venues.simulated import Levers, Refusal
from tests.backtest.builders import bare_rules, instrument
from tests.venues.builders import (
    BTC,
    UNIT,
    at,
    bracket,
    entry,
    exchange_of,
    guarded,
    held,
    leave,
    play,
    story,
)


def test_a_bracket_appears_with_the_first_fill_and_grows_with_the_next():
    exchange = exchange_of(bare_rules(participation_max=0.1))
    exchange.submit(guarded("e", units=UNIT), at(0.5))
    assert exchange.lookup("b-e") is None
    play(exchange, 1, 100, volume=4)
    assert exchange.lookup("b-e")[0].terms == Terms(400, stop_units=9800, target_units=10_300)
    play(exchange, 2, 101, volume=6)
    seen, _ = exchange.lookup("b-e")
    # 400 at 100 and 600 at 101 are 100.60 on average.
    assert seen.terms == Terms(1000, stop_units=9860, target_units=10_360)
    assert [order.seen.client_order_id for order in exchange.open_orders()] == ["b-e"]


def test_a_lower_average_does_not_loosen_a_stop():
    exchange = exchange_of(bare_rules(participation_max=0.1))
    exchange.submit(guarded("e"), at(0.5))
    play(exchange, 1, 100, volume=4)
    play(exchange, 2, 99, volume=6)
    assert exchange.lookup("b-e")[0].terms == Terms(1000, stop_units=9800, target_units=10_240)


def test_an_amended_stop_counts_from_then_on_and_later_fills_leave_it_and_an_amended_target():
    exchange = exchange_of(bare_rules(participation_max=0.1))
    exchange.submit(guarded("e"), at(0.5))
    play(exchange, 1, 100, volume=4)
    exchange.amend("b-e", Terms(1, stop_units=9950, target_units=10_500), at(1.5))
    assert exchange.lookup("b-e")[0].terms == Terms(400, stop_units=9950, target_units=10_500)
    play(exchange, 2, 100, volume=2)
    assert exchange.lookup("b-e")[0].terms == Terms(600, stop_units=9950, target_units=10_500)
    play(exchange, 3, 100, 100, 99.4, 100)
    assert story(exchange)[2:] == [("e", 400, 100.0), ("b-e", -1000, 99.5)]


def test_an_amended_stop_guards_on_while_it_moves():
    exchange = exchange_of()
    exchange.submit(guarded("e"), at(0.5))
    play(exchange, 1, 100)
    exchange.amend("b-e", Terms(UNIT, stop_units=9900, target_units=10_300), at(3))
    play(exchange, 2, 100, 100, 98.5, 99)
    assert story(exchange)[1:] == [("b-e", -UNIT, 99.0)]


def test_a_stop_may_be_loosened_by_an_amendment_alone():
    exchange = exchange_of()
    exchange.submit(guarded("e"), at(0.5))
    play(exchange, 1, 100)
    exchange.amend("b-e", Terms(UNIT, stop_units=9000, target_units=10_300), at(1.5))
    play(exchange, 2, 100, 100, 95, 100)
    assert len(story(exchange)) == 1


def test_a_touched_bracket_ends_the_entry_that_it_guards_and_no_other():
    exchange = exchange_of(bare_rules(participation_max=0.1))
    exchange.submit(guarded("e"), at(0.5))
    play(exchange, 1, 100, volume=4)
    exchange.submit(entry("other", 50.0), at(1.5))
    play(exchange, 2, 99, 99, 97, 97, volume=20)
    assert story(exchange)[1:] == [("e", 600, 99.0), ("b-e", -1000, 98.0)]
    exchange = exchange_of(bare_rules(participation_max=0.1))
    exchange.submit(guarded("e"), at(0.5))
    play(exchange, 1, 100, volume=4)
    exchange.submit(entry("other", 50.0), at(1.5))
    play(exchange, 2, 99, 99, 97, 97, volume=3)
    assert exchange.lookup("e")[0].state is VenueState.CANCELED
    assert exchange.lookup("other")[0].state is VenueState.LIVE
    # No volume was left for the stop: it is a market order, and takes the next open.
    assert exchange.lookup("b-e")[0].state is VenueState.LIVE
    with pytest.raises(Rejected, match=Refusal.TRIGGERED):
        exchange.amend("b-e", Terms(700, stop_units=9000), at(2.5))
    play(exchange, 3, 105, volume=100)
    seen, (fill,) = exchange.lookup("b-e")
    assert (seen.state, fill.price_units, fill.reason) == (VenueState.FILLED, 10_500, Reason.EXIT_STOP)
    assert fill.liquidity == Liquidity.TAKER


@pytest.mark.parametrize(
    ("bar", "reason", "price"),
    [((100, 104, 99, 104), Reason.EXIT_TARGET, 10_300), ((100, 104, 97, 104), Reason.EXIT_STOP, 9800)],
    ids=["target alone", "stop and target in one bar"],
)
def test_a_fill_of_a_bracket_says_which_side_of_it_was_hit(bar, reason, price):
    exchange = exchange_of()
    exchange.submit(guarded("e"), at(0.5))
    play(exchange, 1, 100)
    play(exchange, 2, *bar)
    fill = exchange.fills_after(1)[0][0]
    assert (fill.reason, fill.price_units, fill.client_order_id) == (reason, price, "b-e")


def test_a_bracket_ends_with_the_position_and_shrinks_with_it():
    exchange = exchange_of()
    exchange.submit(guarded("e"), at(0.5))
    play(exchange, 1, 100)
    exchange.submit(leave("part", units=300), at(1.5))
    play(exchange, 2, 100)
    assert exchange.lookup("b-e")[0].terms.qty_units == 700
    exchange.submit(leave("rest", units=UNIT), at(2.5))
    exchange.submit(leave("resting", 200.0), at(2.5))
    play(exchange, 3, 100)
    assert story(exchange)[1:] == [("part", -300, 100.0), ("rest", -700, 100.0)]
    assert exchange.open_orders() == ()
    states = [exchange.lookup(cid)[0].state for cid in ("b-e", "rest", "resting")]
    assert states == [VenueState.CANCELED] * 3


def test_a_bracket_whose_entry_has_ended_has_the_quantity_that_it_is_told_up_to_what_is_held():
    exchange = exchange_of(bare_rules(participation_max=0.1))
    exchange.submit(guarded("e"), at(0.5))
    play(exchange, 1, 100, volume=4)
    exchange.amend("b-e", Terms(100, stop_units=9800, target_units=10_300), at(1.2))
    assert exchange.lookup("b-e")[0].terms.qty_units == 400, "its entry may still fill"
    exchange.cancel("e", at(1.5))
    for wanted, has in ((100, 100), (300, 300), (900, 400)):
        exchange.amend("b-e", Terms(wanted, stop_units=9800, target_units=10_300), at(1.6))
        assert exchange.lookup("b-e")[0].terms.qty_units == has


@pytest.mark.parametrize("follows", [True, False])
def test_a_bracket_follows_trades_of_others_where_the_venue_sees_to_that(follows: bool):
    exchange = exchange_of()
    exchange.follows_others = follows
    exchange.submit(guarded("e"), at(0.5))
    play(exchange, 1, 100)
    Levers(exchange).trade(BTC, Side.SELL, 300, 10_000, at(1.5))
    assert exchange.lookup("b-e")[0].terms.qty_units == (700 if follows else UNIT)
    exchange.submit(leave("part", units=300), at(1.6))
    play(exchange, 2, 100)
    assert exchange.lookup("b-e")[0].terms.qty_units == 400


def test_a_bracket_that_ended_is_not_made_again_by_a_later_fill():
    exchange = exchange_of(bare_rules(participation_max=0.1))
    exchange.submit(guarded("e"), at(0.5))
    play(exchange, 1, 100, volume=4)
    exchange.cancel("b-e", at(1.5))
    play(exchange, 2, 100, volume=6)
    assert len(exchange.book.of_client("b-e")) == 1
    assert exchange.open_orders() == ()


def test_a_continuation_of_an_entry_shares_its_bracket():
    exchange = exchange_of(bare_rules(participation_max=0.1))
    exchange.submit(guarded("e", 100.0), at(0.5))
    play(exchange, 1, 100, 100, 99, 100, volume=4)
    exchange.cancel("e", at(1.5))
    shared = Protection("b-e", 2.0, 3.0)
    exchange.submit(entry("cross", units=600, protection=shared, parent="e"), at(1.5))
    play(exchange, 2, 102, volume=100)
    assert exchange.lookup("b-e")[0].terms == Terms(1000, stop_units=9920, target_units=10_420)


def test_a_bracket_sent_by_itself_guards_what_is_held_from_its_arrival_on():
    exchange = held(exchange_of(), units=2 * UNIT)
    exchange.submit(bracket("b", stop=98, units=UNIT), at(2))
    play(exchange, 2, 100, 100, 90, 100)
    assert len(story(exchange)) == 1
    play(exchange, 3, 97, 97, 90, 95)
    assert story(exchange)[1:] == [("b", -UNIT, 97.0)]
    assert exchange.slots[BTC].held_units == UNIT


def test_a_bracket_sent_by_itself_is_cut_to_what_is_held():
    exchange = held(exchange_of())
    exchange.submit(bracket("b", units=5 * UNIT), at(2))
    assert exchange.lookup("b")[0].terms == Terms(UNIT, stop_units=9800)


def test_a_short_position_is_guarded_from_above():
    exchange = exchange_of(instruments=[instrument(shortable=True)])
    exchange.submit(guarded("e", side=Side.SELL), at(0.5))
    play(exchange, 1, 100)
    seen, _ = exchange.lookup("b-e")
    assert seen.terms == Terms(UNIT, stop_units=10_200, target_units=9700)
    play(exchange, 2, 100, 103, 100, 103)
    assert story(exchange) == [("e", -UNIT, 100.0), ("b-e", UNIT, 102.0)]
