"""What the simulated exchange takes, refuses and says; around 100, ticks of a cent, lots of a thousandth."""

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given, settings

from novapulse.core.instruments import AccountKey, InstrumentKey
from novapulse.core.messages import FillBusted, FillReported, OrderReported
from novapulse.core.orders import OrderType, Side, Terms, VenueState
from novapulse.core.ports import Rejected, Unavailable
from novapulse.venues.simulated import ClientIds, Funds, Levers, Refusal, SimulatedExchange, VenueMode
from tests.backtest.builders import bare_rules, instrument
from tests.venues.builders import (
    BTC,
    CAPITAL_UNITS,
    UNIT,
    at,
    bracket,
    entry,
    exchange_of,
    facts,
    guarded,
    held,
    leave,
    play,
    story,
)
from tests.venues.moves import MOVES, act

PRICED = {"half_spread_fraction": 0.001, "slippage_fraction": 0.001}


# ---- requests ----

REFUSED = {
    "another account": (entry(account=AccountKey("kraken", "other")), Refusal.WRONG_ACCOUNT),
    "an unknown instrument": (entry(instrument=InstrumentKey("kraken", "ETH/USD")), Refusal.UNKNOWN_INSTRUMENT),
    "no quantity": (entry(units=0), Refusal.BAD_QTY),
    "a quantity off the lot": (entry(units=1001), Refusal.BAD_QTY),
    "a limit order without a limit": (entry(kind=OrderType.LIMIT), Refusal.BAD_PRICE),
    "a limit off the tick": (entry(price=99.01), Refusal.BAD_PRICE),
    "a bracket without a stop": (bracket(stop=0), Refusal.BAD_PRICE),
    "a target off the tick": (bracket(target=103.01), Refusal.BAD_PRICE),
    "less than the smallest quantity": (entry(units=10), Refusal.BELOW_MINIMUM),
    "less than the smallest worth, at its limit": (entry(price=49.5, units=100), Refusal.BELOW_MINIMUM),
    "more than is held of what cannot be sold short": (entry(side=Side.SELL), Refusal.INSUFFICIENT_FUNDS),
    "nothing to reduce": (leave(), Refusal.NOTHING_TO_REDUCE),
    "nothing to guard": (bracket(), Refusal.NOTHING_TO_REDUCE),
    "a time that is over": (entry(expires_ns=at(2)), Refusal.EXPIRED),
    "post-only across the last price": (entry(price=100.05, post_only=True), Refusal.WOULD_CROSS),
}


@pytest.mark.parametrize(("request_", "code"), REFUSED.values(), ids=REFUSED)
def test_a_refused_request_is_named_and_changes_nothing(request_, code):
    strict = instrument(lot=Decimal("0.002"), tick=Decimal("0.05"), qty_min=Decimal("0.02"), notional_min=Decimal(5))
    exchange = exchange_of(instruments=[strict])
    play(exchange, 1, 100)
    before = facts(exchange)
    with pytest.raises(Rejected) as refused:
        exchange.submit(request_, at(2))
    assert refused.value.code == code
    assert facts(exchange) == before
    assert exchange.take_events() == []


def test_what_is_just_within_the_rules_is_taken():
    strict = instrument(lot=Decimal("0.002"), tick=Decimal("0.05"), qty_min=Decimal("0.02"), notional_min=Decimal(5))
    exchange = exchange_of(instruments=[strict])
    play(exchange, 1, 100)
    for cid, request in {
        "a": entry("a", price=250.0, units=20),
        "b": entry("b", price=100.0, post_only=True),
        "c": entry("c", expires_ns=at(2) + 1),
        "d": entry("d", units=50),
    }.items():
        exchange.submit(request, at(2))
        assert exchange.lookup(cid)[0].state is VenueState.LIVE


@pytest.mark.parametrize("make", [leave, bracket])
@pytest.mark.parametrize("least", [{"qty_min": Decimal("0.5")}, {"notional_min": Decimal(50)}])
def test_what_is_held_cannot_be_left_below_the_minimums(make, least):
    exchange = held(exchange_of(instruments=[instrument(**least)]))
    with pytest.raises(Rejected, match=Refusal.BELOW_MINIMUM):
        exchange.submit(make(units=1), at(1.5))
    exchange.submit(make(units=600), at(1.5))


def test_a_client_order_id_names_one_open_order_and_another_after_its_end():
    exchange = exchange_of()
    first = exchange.submit(entry("same", 90.0), at(1))
    with pytest.raises(Rejected, match=Refusal.DUPLICATE_ID):
        exchange.submit(entry("same", 91.0), at(2))
    exchange.cancel("same", at(3))
    second = exchange.submit(entry("same", 91.0), at(4))
    assert first != second
    assert len(exchange.book.of_client("same")) == 2
    assert exchange.lookup("same")[0].venue_order_id == second


def test_a_venue_that_remembers_ids_never_makes_a_second_order():
    kind = exchange_of(client_ids=ClientIds.FIRST)
    strict = exchange_of(client_ids=ClientIds.ONCE)
    first = kind.submit(entry("same", 90.0), at(1))
    strict.submit(entry("same", 90.0), at(1))
    for exchange in (kind, strict):
        exchange.cancel("same", at(2))
    assert kind.submit(entry("same", 91.0), at(3)) == first
    with pytest.raises(Rejected, match=Refusal.DUPLICATE_ID):
        strict.submit(entry("same", 91.0), at(3))
    assert [len(exchange.book.of_client("same")) for exchange in (kind, strict)] == [1, 1]


def test_a_venue_that_asks_for_cover_counts_open_buys_and_fees():
    fee = instrument(maker_fee_bps=Decimal(0), taker_fee_bps=Decimal(100))
    exchange = exchange_of(instruments=[fee], funds=Funds.AT_SUBMIT)
    play(exchange, 1, 100)
    exchange.submit(entry("a", price=99.0, units=60 * UNIT), at(1))
    with pytest.raises(Rejected, match=Refusal.INSUFFICIENT_FUNDS):
        exchange.submit(entry("b", units=40 * UNIT + 500), at(1))
    # 60 at 99 bind 5,940 of 10,000, 40 at the market 4,040; half a coin more would be 4,050, and its fee too much.
    exchange.submit(entry("c", units=40 * UNIT), at(1))
    exchange.cancel("a", at(1))
    exchange.submit(entry("d", units=50 * UNIT), at(1))
    Levers(exchange).freeze(CAPITAL_UNITS)
    with pytest.raises(Rejected, match=Refusal.INSUFFICIENT_FUNDS):
        exchange.submit(entry("e"), at(1))


def test_a_rebate_that_is_hoped_for_covers_nothing():
    exchange = exchange_of(instruments=[instrument(maker_fee_bps=Decimal(-100))], funds=Funds.AT_SUBMIT)
    with pytest.raises(Rejected, match=Refusal.INSUFFICIENT_FUNDS):
        exchange.submit(entry("a", price=100.0, units=101 * UNIT), at(1))
    exchange.submit(entry("b", price=100.0, units=100 * UNIT), at(1))


def test_by_default_cash_is_asked_for_at_the_fill():
    exchange = exchange_of()
    exchange.submit(entry(units=250 * UNIT), at(0.5))
    play(exchange, 1, 100)
    assert story(exchange) == [("e1", 100 * UNIT, 100.0)]
    assert exchange.balances()["USD"] == 0
    with pytest.raises(Rejected, match=Refusal.INSUFFICIENT_FUNDS):
        exchange.submit(entry("more"), at(1.5))


def test_a_mode_of_the_venue_admits_what_it_says():
    exchange = held(exchange_of())
    exchange.submit(entry("rest", 90.0), at(1.1))
    levers = Levers(exchange)
    levers.set_mode(VenueMode.POST_ONLY)
    with pytest.raises(Rejected, match=Refusal.POST_ONLY):
        exchange.submit(entry("a", 91.0), at(1.2))
    exchange.submit(entry("b", 91.0, post_only=True), at(1.2))
    levers.set_mode(VenueMode.CANCEL_ONLY)
    with pytest.raises(Rejected, match=Refusal.CANCEL_ONLY):
        exchange.submit(entry("c", 91.0, post_only=True), at(1.3))
    with pytest.raises(Rejected, match=Refusal.CANCEL_ONLY):
        exchange.amend("rest", Terms(UNIT, 9100), at(1.3))
    play(exchange, 2, 80)
    assert len(story(exchange)) == 1
    exchange.cancel("b", at(2.1))
    levers.set_mode(VenueMode.MAINTENANCE)
    for call in (
        lambda: exchange.submit(entry("d", 91.0), at(2.2)),
        lambda: exchange.cancel("rest", at(2.2)),
        lambda: exchange.amend("rest", Terms(UNIT, 9100), at(2.2)),
    ):
        with pytest.raises(Unavailable, match="maintenance"):
            call()
    play(exchange, 3, 80)
    levers.set_mode(VenueMode.ONLINE)
    play(exchange, 4, 80)
    assert story(exchange)[1:] == [("rest", UNIT, 90.0)]


# ---- the life of an order ----


def test_an_amendment_keeps_ids_and_fills_and_one_below_what_is_filled_ends_the_rest():
    exchange = exchange_of(bare_rules(participation_max=0.1))
    order_id = exchange.submit(entry("e", 99.0), at(0.5))
    play(exchange, 1, 100, 100, 90, 100, volume=4)
    exchange.amend("e", Terms(2 * UNIT, 9950), at(1.5))
    seen, fills = exchange.lookup("e")
    assert (seen.venue_order_id, seen.filled_units, seen.terms) == (order_id, 400, Terms(2 * UNIT, 9950))
    assert len(fills) == 1
    exchange.amend(order_id, Terms(300, 9950), at(1.6))
    seen, _ = exchange.lookup("e")
    assert (seen.state, seen.filled_units, seen.terms.qty_units) == (VenueState.CANCELED, 400, 400)


@pytest.mark.parametrize(
    ("terms", "code"),
    [(Terms(0, 9000), Refusal.BAD_QTY), (Terms(UNIT), Refusal.BAD_PRICE), (Terms(UNIT, 10_001), Refusal.WOULD_CROSS)],
    ids=["no quantity", "no limit", "across the market"],
)
def test_a_refused_amendment_leaves_the_terms(terms, code):
    exchange = exchange_of()
    play(exchange, 1, 100)
    exchange.submit(entry("e", 90.0, post_only=True), at(1))
    before = facts(exchange)
    with pytest.raises(Rejected) as refused:
        exchange.amend("e", terms, at(2))
    assert refused.value.code == code
    assert facts(exchange) == before


def test_what_is_not_there_or_has_ended_can_be_neither_cancelled_nor_amended():
    exchange = exchange_of()
    exchange.submit(entry("gone", 90.0), at(1))
    exchange.cancel("gone", at(2))
    for order_id, code in (("gone", Refusal.NOT_LIVE), ("nobody", Refusal.UNKNOWN_ORDER)):
        with pytest.raises(Rejected) as refused:
            exchange.cancel(order_id, at(3))
        assert refused.value.code == code
        with pytest.raises(Rejected) as refused:
            exchange.amend(order_id, Terms(UNIT, 9100), at(3))
        assert refused.value.code == code


# ---- brackets ----


def test_what_cannot_be_sold_short_is_never_oversold_by_what_was_sold_meanwhile():
    exchange = held(exchange_of())
    exchange.submit(entry("resting", 101.0, side=Side.SELL), at(1.5))
    exchange.submit(leave("all"), at(1.5))
    play(exchange, 2, 100)
    play(exchange, 3, 105)
    assert story(exchange)[1:] == [("all", -UNIT, 100.0)]
    assert exchange.lookup("resting")[0].state is VenueState.LIVE


def test_a_position_that_is_turned_starts_with_an_average_of_its_own():
    exchange = held(exchange_of(instruments=[instrument(shortable=True)]))
    exchange.submit(guarded("turn", units=3 * UNIT, side=Side.SELL), at(1.5))
    play(exchange, 2, 110)
    assert exchange.slots[BTC].held_units == -2 * UNIT
    assert exchange.lookup("b-turn")[0].terms == Terms(2 * UNIT, stop_units=11_200, target_units=10_700)


# ---- what it says ----


def test_the_stream_says_every_change_in_order():
    exchange = exchange_of(bare_rules(participation_max=0.1))
    exchange.submit(guarded("e"), at(0.5))
    play(exchange, 1, 100, volume=4)
    play(exchange, 2, 97, volume=60)
    told = [
        (event.seen.client_order_id, event.seen.state.value, event.seen.filled_units)
        if isinstance(event, OrderReported)
        else (event.fill.client_order_id, event.fill.qty_units)
        for event in exchange.take_events()
    ]
    assert told == [
        ("e", "live", 0),
        ("e", 400),
        ("e", "live", 400),
        ("b-e", "live", 0),
        ("e", 600),
        ("e", "filled", 1000),
        ("b-e", "live", 0),
        ("b-e", 1000),
        ("b-e", "filled", 1000),
    ]
    assert exchange.take_events() == []


def test_reads_go_on_where_the_last_one_ended():
    exchange = exchange_of(bare_rules(participation_max=0.1))
    exchange.submit(entry("e", units=10 * UNIT), at(0.5))
    cursor, seen = 0, []
    for minute in range(1, 6):
        play(exchange, minute, 100, volume=5)
        fills, cursor = exchange.fills_after(cursor)
        seen += fills
    assert tuple(seen) == exchange.fills_after(0)[0]
    assert len(exchange.fills_after(cursor, overlap=3)[0]) == 3
    assert exchange.fills_after(cursor) == ((), cursor)


def test_cash_and_balances_move_by_notional_and_fee():
    priced = instrument(taker_fee_bps=Decimal(26), maker_fee_bps=Decimal(-2))
    exchange = exchange_of(bare_rules(**PRICED), [priced], scales={"USD": 9, "BTC": 8})
    exchange.submit(guarded("e", units=2 * UNIT), at(0.5))
    play(exchange, 1, 100)
    play(exchange, 2, 100, 104, 100, 104)
    bought, sold = exchange.fills_after(0)[0]
    assert (bought.price_units, bought.cash_units, bought.fee_units) == (10_020, 200_40000000, 52104000)
    assert (sold.price_units, sold.fee_units) == (10_320, -4128000)
    assert exchange.balances() == {
        "USD": 10 * (CAPITAL_UNITS - bought.cash_units - bought.fee_units + sold.cash_units - sold.fee_units),
        "BTC": 0,
    }


def test_memory_keeps_live_orders_and_the_last_that_ended():
    exchange = exchange_of(history_max=3)
    exchange.submit(entry("stays", 50.0), at(0))
    for k in range(8):
        exchange.submit(entry(f"e{k}"), at(k + 0.5))
        play(exchange, k + 1, 100)
    assert exchange.lookup("stays")[0].state is VenueState.LIVE
    assert [exchange.lookup(f"e{k}") is None for k in range(8)] == [True] * 5 + [False] * 3
    assert exchange.holdings.first_kept == 5
    with pytest.raises(LookupError, match="from 5 on, asked for 4"):
        exchange.fills_after(4)
    assert len(exchange.fills_after(5)[0]) == 3


def test_two_runs_are_the_same_to_the_id_and_two_accounts_never_share_one():
    def run(account):
        exchange = SimulatedExchange(account, [instrument()], bare_rules(), CAPITAL_UNITS)
        exchange.submit(replace(guarded("e"), account=account), at(0.5))
        play(exchange, 1, 100)
        return exchange

    one, same, other = (run(AccountKey("kraken", name)) for name in ("a", "a", "b"))
    assert facts(one) == facts(same)
    ids = [
        {f.venue_trade_id for f in e.fills_after(0)[0]} | {o.seen.venue_order_id for o in e.open_orders()}
        for e in (one, other)
    ]
    assert not ids[0] & ids[1]


def test_instruments_of_two_quotes_or_too_fine_for_a_scale_are_refused():
    with pytest.raises(ValueError, match="one quote asset, got EUR of 8 digits, USD of 8 digits"):
        exchange_of(instruments=[instrument(), instrument("ETH/EUR", quote="EUR")])
    with pytest.raises(ValueError, match="scale of BTC is 2: its instruments need 3 digits"):
        exchange_of(scales={"BTC": 2})


@settings(max_examples=150)
@given(MOVES)
def test_whatever_is_asked_the_books_add_up_and_the_stream_tells_all(moves):
    exchange = exchange_of(bare_rules(participation_max=0.1, **PRICED), [instrument(taker_fee_bps=Decimal(26))])
    for minute, move in enumerate(moves):
        act(exchange, minute, move)
    events = exchange.take_events()
    trades, _ = exchange.fills_after(0)
    told = {event.fill.venue_trade_id: event.fill for event in events if isinstance(event, FillReported)}
    taken_back = {event.venue_trade_id for event in events if isinstance(event, FillBusted)}
    assert [fill for name, fill in told.items() if name not in taken_back] == list(trades)
    last = {event.seen.venue_order_id: event.seen for event in events if isinstance(event, OrderReported)}
    orders = list(exchange.book.by_number.values())
    assert [last[order.venue_order_id] for order in orders] == [order.seen() for order in orders]
    totals = {"USD": CAPITAL_UNITS, "BTC": 0}
    for fill in trades:
        totals["USD"] -= int(fill.side) * fill.cash_units + fill.fee_units
        totals["BTC"] += int(fill.side) * fill.qty_units
    for flow in exchange.flows_after(0)[0]:
        totals[flow.asset] = totals.get(flow.asset, 0) + flow.asset_units
    assert exchange.balances() == totals
    assert totals["BTC"] >= 0
    if not {"deposit", "by hand"} & {verb for verb, *_ in moves}:
        assert totals["USD"] >= 0
    for order in orders:
        mine = sum(fill.qty_units for fill in told.values() if fill.venue_order_id == order.venue_order_id)
        assert mine == order.filled_units <= order.terms.qty_units
        assert order.leaves_units == 0 or order.state is not VenueState.FILLED
    for order in exchange.slots[BTC].live:
        if order.reduces:
            most = exchange.slots[BTC].held_units
            assert most > 0
            assert order.leaves_units <= most or order.request.kind is not OrderType.BRACKET
