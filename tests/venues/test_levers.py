"""What happens at the venue without the trader's doing, and that its books stay true to it."""

from dataclasses import replace
from decimal import Decimal

import pytest

from novapulse.core.messages import FillBusted, FillReported, OrderReported
from novapulse.core.orders import OrderType, Side, Terms, VenueState
from novapulse.core.ports import Rejected
from novapulse.core.records import Liquidity
from novapulse.venues.simulated import Levers, Refusal
from novapulse.venues.simulated.account import shift, shift_position
from novapulse.venues.simulated.book import new_slot
from tests.backtest.builders import bare_rules, instrument
from tests.venues.builders import BTC, CAPITAL_UNITS, UNIT, at, entry, exchange_of, guarded, leave, play, story


@pytest.fixture
def venue():
    """One coin bought at 100 and guarded by `b-e`; one more wanted at 90."""
    exchange = exchange_of(instruments=[instrument(taker_fee_bps=Decimal(10))])
    exchange.submit(guarded("e"), at(0.5))
    play(exchange, 1, 100)
    exchange.submit(guarded("rest", 90.0), at(1.5))
    exchange.take_events()
    return exchange


def states(exchange, *names):
    return [exchange.lookup(name)[0].state for name in names]


def test_an_order_can_end_without_anybody_asking(venue):
    Levers(venue).cancel("rest", at(2))
    (event,) = venue.take_events()
    assert (event.seen.client_order_id, event.seen.state, event.seen.ts_event_ns) == (
        "rest",
        VenueState.CANCELED,
        at(2),
    )
    with pytest.raises(ValueError, match="no live order rest"):
        Levers(venue).cancel("rest", at(3))


def test_a_dead_man_switch_ends_protective_orders_too(venue):
    assert Levers(venue).cancel_all(at(2)) == 2
    assert venue.open_orders() == ()
    play(venue, 3, 50)
    assert len(story(venue)) == 1


def test_a_cancel_that_is_taken_late_may_lose_to_a_fill():
    for price, state in ((100, VenueState.CANCELED), (89, VenueState.FILLED)):
        exchange = exchange_of()
        exchange.submit(entry("rest", 90.0), at(1))
        Levers(exchange).delay_cancels(at(2) - at(1))
        exchange.cancel("rest", at(2))
        assert states(exchange, "rest") == [VenueState.LIVE]
        play(exchange, 2.5, price)
        exchange.advance(at(3) + 1)
        assert states(exchange, "rest") == [state]
        assert exchange.open_orders() == ()


def test_a_late_cancel_has_its_effect_on_the_first_bar_behind_it():
    exchange = exchange_of()
    exchange.submit(entry("rest", 90.0), at(1))
    Levers(exchange).delay_cancels(at(2) - at(1))
    exchange.cancel("rest", at(2))
    play(exchange, 4, 80)
    (seen, fills) = exchange.lookup("rest")
    assert (seen.state, seen.ts_event_ns, fills) == (VenueState.CANCELED, at(3), ())


def test_a_late_cancel_that_is_asked_for_once_more_is_not_put_off():
    """A bug: who asked again every few seconds moved its moment on each time, and the order never ended."""
    exchange = exchange_of()
    exchange.submit(entry("rest", 90.0), at(1))
    Levers(exchange).delay_cancels(at(2) - at(1))
    for minute in (2, 2.9):
        exchange.cancel("rest", at(minute))
    exchange.advance(at(3) + 1)
    assert states(exchange, "rest") == [VenueState.CANCELED]


def test_a_part_can_trade_outside_of_any_bar(venue):
    fill = Levers(venue).fill("rest", 400, 9000, at(2))
    assert (fill.cash_units, fill.fee_units) == (36 * 10**8, 0)
    seen, fills = venue.lookup("rest")
    assert (seen.filled_units, seen.state, fills) == (400, VenueState.LIVE, (fill,))
    assert venue.lookup("b-rest")[0].terms.qty_units == 400
    with pytest.raises(ValueError, match="trades 601 units, can trade 600"):
        Levers(venue).fill("rest", 601, 9000, at(2))
    taken = Levers(venue).fill("rest", 600, 9000, at(2), liquidity=Liquidity.TAKER)
    assert taken.fee_units == 54 * 10**5
    assert states(venue, "rest") == [VenueState.FILLED]


def test_both_sides_of_a_bracket_can_trade_no_more_than_is_held(venue):
    venue.submit(leave("twin", 103.0), at(2))
    Levers(venue).fill("twin", UNIT, 10_300, at(2.1))
    assert states(venue, "b-e", "twin") == [VenueState.CANCELED, VenueState.FILLED]
    with pytest.raises(ValueError, match="no live order b-e"):
        Levers(venue).fill("b-e", UNIT, 9800, at(2.2))


@pytest.mark.parametrize(
    ("shortable", "beside", "second", "held", "stray"),
    [
        (True, 0, UNIT, -UNIT, 0),
        (False, 0, None, 0, 0),
        (False, 300, 300, 0, 0),
        (True, 300, UNIT, 300 - UNIT, 0),
        (False, 2 * UNIT, UNIT, 0, UNIT),
    ],
    ids=["sold short", "refused", "sold what lies beside", "both", "some lies beside still"],
)
def test_both_legs_of_a_bracket_can_fill(shortable, beside, second, held, stray):
    exchange = exchange_of(instruments=[replace(instrument(), shortable=shortable)])
    exchange.submit(guarded("e"), at(0.5))
    play(exchange, 1, 100)
    exchange.submit(guarded("rest", 90.0), at(1.5))
    if beside:
        Levers(exchange).trade(BTC, Side.BUY, beside, 10_000, at(1.6))
    cash = exchange.holdings.cash_units
    target, stop = Levers(exchange).fill_both_legs("b-e", at(2))
    assert (target.qty_units, target.price_units) == (UNIT, 10_300)
    assert (stop and stop.qty_units) == second
    slot = exchange.slots[BTC]
    assert (slot.held_units, slot.stray_units) == (held, stray)
    seen, fills = exchange.lookup("b-e")
    assert (seen.state, seen.filled_units) == (VenueState.FILLED, UNIT + (second or 0))
    assert sum(fill.qty_units for fill in fills) == seen.filled_units
    assert exchange.holdings.cash_units == cash + 103 * 10**8 + (98 * 10**8 * (second or 0) // UNIT)
    assert states(exchange, "rest") == [VenueState.CANCELED]
    with pytest.raises(ValueError, match="no live order b-e"):
        Levers(exchange).fill_both_legs("b-e", at(3))


def test_a_trade_that_is_taken_back_leaves_cash_and_holdings_as_if_it_had_not_been(venue):
    (fill,) = venue.fills_after(0)[0]
    Levers(venue).bust(fill.venue_trade_id, at(2))
    assert venue.balances() == {"USD": CAPITAL_UNITS, "BTC": 0}
    assert venue.fills_after(0)[0] == ()
    seen, fills = venue.lookup("e")
    assert (seen.filled_units, seen.state, fills) == (UNIT, VenueState.FILLED, ())
    assert states(venue, "b-e") == [VenueState.CANCELED]
    event = venue.take_events()[0]
    assert event == FillBusted(at(2), BTC, "e", fill.venue_order_id, fill.venue_trade_id)
    with pytest.raises(ValueError, match="no trade"):
        Levers(venue).bust(fill.venue_trade_id, at(3))


def test_an_exit_that_is_taken_back_opens_the_position_again_unguarded(venue):
    play(venue, 2, 97)
    sold = venue.fills_after(1)[0][0]
    Levers(venue).bust(sold.venue_trade_id, at(3))
    assert venue.slots[BTC].held_units == UNIT
    assert [order.seen.client_order_id for order in venue.open_orders()] == []
    venue.submit(leave("again"), at(4))
    play(venue, 5, 95)
    assert story(venue)[-1] == ("again", -UNIT, 95.0)
    assert venue.balances()["BTC"] == 0


def test_trades_by_hand_belong_to_nobody_and_lie_beside_the_position(venue):
    before = venue.balances()
    fill = Levers(venue).trade(BTC, Side.BUY, 500, 10_000, at(2))
    assert (fill.client_order_id, fill.fee_units) == ("", 5 * 10**6)
    assert venue.balances() == {"USD": before["USD"] - 50 * 10**8 - 5 * 10**6, "BTC": 1500}
    assert venue.lookup("b-e")[0].terms.qty_units == UNIT
    assert venue.lookup("") is None
    kinds = [type(event) for event in venue.take_events()]
    assert kinds == [OrderReported, FillReported, OrderReported]
    Levers(venue).trade(BTC, Side.SELL, 700, 10_000, at(3))
    assert venue.slots[BTC].held_units == 800
    assert venue.lookup("b-e")[0].terms.qty_units == 800
    with pytest.raises(ValueError, match="sells 801 units, holds 800"):
        Levers(venue).trade(BTC, Side.SELL, 801, 10_000, at(4))
    play(venue, 5, 97)
    assert venue.balances()["BTC"] == 0


def test_what_comes_in_covers_a_short_position_first(venue):
    """Found by a seed: a position of -4 beside 4 strays was a holding of nothing that no order could reduce."""
    slot = new_slot(venue.slots[BTC].instrument)
    shift_position(slot, -800)
    seen = []
    for units in (300, 700, -300):
        shift(slot, units)
        seen.append((slot.held_units, slot.stray_units))
    assert seen == [(-500, 0), (0, 200), (-100, 0)]


@pytest.mark.parametrize(
    ("beside", "held", "stray", "guards"),
    [(300, 300 - UNIT, 0, [UNIT - 300]), (2 * UNIT, 0, UNIT, []), (0, -UNIT, 0, [UNIT])],
    ids=["a part", "all of it", "nothing"],
)
def test_an_entry_takes_what_lies_on_its_other_side_first(beside, held, stray, guards):
    """Found by a seed: a short stood beside what somebody had bought, and no order could reduce either."""
    exchange = exchange_of(instruments=[replace(instrument(), shortable=True)])
    if beside:
        Levers(exchange).trade(BTC, Side.BUY, beside, 10_000, at(0.2))
    exchange.submit(guarded("e", side=Side.SELL), at(0.5))
    play(exchange, 1, 100)
    slot = exchange.slots[BTC]
    assert (slot.held_units, slot.stray_units) == (held, stray)
    assert [order.leaves_units for order in slot.live if order.request.kind is OrderType.BRACKET] == guards


def test_what_comes_back_with_a_trade_that_is_taken_back_is_netted_with_what_lies_beside():
    exchange = exchange_of(instruments=[replace(instrument(), shortable=True)])
    exchange.submit(guarded("e"), at(0.5))
    play(exchange, 1, 100)
    (bought,) = exchange.lookup("e")[1]
    levers = Levers(exchange)
    levers.fill("b-e", UNIT, 10_300, at(2))
    levers.trade(BTC, Side.BUY, 300, 10_000, at(3))
    levers.bust(bought.venue_trade_id, at(4))
    slot = exchange.slots[BTC]
    assert (slot.held_units, slot.stray_units) == (300 - UNIT, 0)


def test_an_order_of_nobody_is_listed_and_trades(venue):
    order_id = Levers(venue).place(BTC, Side.BUY, OrderType.LIMIT, Terms(300, 9500), at(2))
    listed = {order.seen.venue_order_id: order.seen.client_order_id for order in venue.open_orders()}
    assert listed[order_id] == ""
    play(venue, 3, 98.5, 98.5, 94, 98.5)
    assert ("", 300, 95.0) in story(venue)
    assert venue.slots[BTC].stray_units == 300


def test_money_and_assets_come_and_go_as_flows():
    exchange = exchange_of(scales={"USD": 9, "BTC": 5})
    exchange.submit(guarded("e"), at(0.5))
    play(exchange, 1, 100)
    levers = Levers(exchange)
    before = exchange.balances()
    flows = [
        levers.flow("deposit", "USD", 50 * 10**9, at(2)),
        levers.flow("deposit", "BTC", 10**5, at(3)),
        levers.flow("staking", "ETH", 7, at(4)),
        levers.flow("withdrawal", "BTC", -15 * 10**4, at(5)),
    ]
    assert exchange.balances() == {"USD": before["USD"] + 50 * 10**9, "BTC": 5 * 10**4, "ETH": 7}
    assert exchange.slots[BTC].held_units == 500
    assert exchange.lookup("b-e")[0].terms.qty_units == 500
    assert exchange.flows_after(0) == (tuple(flows), 4)
    assert exchange.flows_after(3) == ((flows[3],), 4)
    assert len({flow.flow_id for flow in flows}) == 4
    with pytest.raises(ValueError, match="1 units of BTC at 5 digits do not fit 3 digits"):
        levers.flow("deposit", "BTC", 1, at(6))


def test_new_rules_hold_for_requests_and_fills_from_then_on(venue):
    stricter = instrument(tick=Decimal("0.05"), lot=Decimal("0.005"), taker_fee_bps=Decimal(100))
    Levers(venue).change_rules(stricter)
    for request, code in ((entry("a", 90.01), Refusal.BAD_PRICE), (entry("b", 90.0, units=1001), Refusal.BAD_QTY)):
        with pytest.raises(Rejected, match=code):
            venue.submit(request, at(2))
    play(venue, 3, 97)
    assert venue.fills_after(1)[0][0].fee_units == 97 * 10**6
    with pytest.raises(ValueError, match="new rules count in"):
        Levers(venue).change_rules(replace(stricter, tick=Decimal("0.001")))


def test_a_split_leaves_the_bracket_its_old_price_and_ends_the_rest(venue):
    Levers(venue).split(BTC, 2, 1, at(2))
    assert venue.balances()["BTC"] == 2 * UNIT
    assert venue.slots[BTC].position.entry_price == 50.0
    assert venue.lookup("b-e")[0].terms == Terms(2 * UNIT, stop_units=9800, target_units=10_300)
    assert states(venue, "rest") == [VenueState.CANCELED]
    assert [(flow.kind, flow.asset_units) for flow in venue.flows_after(0)[0]] == [("split", UNIT)]
    play(venue, 3, 50)
    assert story(venue)[-1] == ("b-e", -2 * UNIT, 50.0)


def test_a_reverse_split_pays_out_what_is_less_than_a_lot():
    exchange = exchange_of(instruments=[instrument(lot=Decimal("0.1"))])
    exchange.submit(entry("e", units=15), at(0.5))
    play(exchange, 1, 100)
    cash = exchange.balances()["USD"]
    Levers(exchange).split(BTC, 1, 4, at(2))
    assert exchange.balances() == {"USD": cash + 30 * 10**8, "BTC": 3}
    assert [(flow.kind, flow.asset, flow.asset_units) for flow in exchange.flows_after(0)[0]] == [
        ("split", "BTC", -12),
        ("cash_in_lieu", "USD", 30 * 10**8),
    ]


def test_frozen_cash_is_in_the_total_and_cannot_be_spent():
    exchange = exchange_of(bare_rules())
    Levers(exchange).freeze(CAPITAL_UNITS)
    assert exchange.balances()["USD"] == CAPITAL_UNITS
    with pytest.raises(Rejected, match=Refusal.INSUFFICIENT_FUNDS):
        exchange.submit(entry("e"), at(1))
