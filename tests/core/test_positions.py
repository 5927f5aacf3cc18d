from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from novapulse.core.orders import Filled, Side
from novapulse.core.positions import Position, position_of
from tests.core.order_stories import BTC


def execution(number: int, side: Side, qty: int, cash: int, fee: int, price: int) -> Filled:
    return Filled("c", "v", f"t{number}", BTC, side, qty, price, cash, fee, 0, number)


TRADES = st.tuples(
    st.sampled_from(Side), st.integers(1, 50), st.integers(0, 10_000), st.integers(-50, 200), st.integers(1, 300)
)
FILLS = st.lists(TRADES, max_size=30).map(lambda trades: [execution(n, *trade) for n, trade in enumerate(trades)])


@given(FILLS)
def test_quantity_is_the_signed_sum_of_the_executions_and_lots_are_of_one_side(fills):
    position, _ = position_of(fills)
    assert position.qty_units == sum(fill.side * fill.qty_units for fill in fills)
    assert len({lot.side for lot in position.lots}) <= 1
    assert all(lot.qty_units > 0 for lot in position.lots)


@given(FILLS)
def test_cash_that_moved_is_the_result_and_the_cost_of_what_is_open_to_the_unit(fills):
    position, closings = position_of(fills)
    moved = sum(-fill.side * fill.cash_units - fill.fee_units for fill in fills)
    assert moved == position.realised_units - position.cost_units - position.open_fee_units
    assert position.realised_units == sum(closing.pnl_units for closing in closings)


@given(FILLS)
def test_every_quantity_is_opened_once_and_closed_once_oldest_first(fills):
    position, closings = position_of(fills)
    bought = sum(fill.qty_units for fill in fills if fill.side is Side.BUY)
    sold = sum(fill.qty_units for fill in fills if fill.side is Side.SELL)
    closed = sum(closing.qty_units for closing in closings)
    assert bought + sold == 2 * closed + abs(position.qty_units)
    opened = [closing.opened_ns for closing in closings]
    assert opened == sorted(opened)
    assert [lot.ts_event_ns for lot in position.lots] == sorted(lot.ts_event_ns for lot in position.lots)


@given(FILLS)
def test_the_average_price_lies_among_the_prices_of_what_is_held(fills):
    position, _ = position_of(fills)
    prices = [lot.price_units for lot in position.lots]
    assert isinstance(position.average_price, Fraction)
    if prices:
        assert min(prices) <= position.average_price <= max(prices)
    else:
        assert position.average_price == 0


@given(FILLS, st.data())
def test_folding_in_two_steps_is_folding_in_one(fills, data):
    cut = data.draw(st.integers(0, len(fills)))
    first, closed = position_of(fills[:cut])
    for fill in fills[cut:]:
        first, more = first.after(fill)
        closed += more
    assert (first, closed) == position_of(fills)


def test_the_oldest_lot_is_closed_first_and_pays_its_share_of_both_fees():
    position, closings = position_of(
        [
            execution(1, Side.BUY, 10, 1000, 10, 100),
            execution(2, Side.BUY, 10, 2000, 20, 200),
            execution(3, Side.SELL, 15, 2250, 15, 150),
        ]
    )
    assert [(each.opened_by, each.qty_units, each.pnl_units) for each in closings] == [
        ("t1", 10, 1500 - 1000 - 10 - 10),
        ("t2", 5, 750 - 1000 - 10 - 5),
    ]
    assert (position.qty_units, position.cost_units, position.average_price) == (5, 1000, Fraction(200))


def test_an_execution_through_zero_closes_all_and_opens_the_rest_on_the_other_side():
    position, closings = position_of(
        [execution(1, Side.BUY, 3, 300, 0, 100), execution(2, Side.SELL, 10, 1001, 7, 100)]
    )
    assert [closing.exit_cash_units for closing in closings] == [300]
    assert (position.qty_units, position.cost_units, position.open_fee_units) == (-7, -701, 5)


def test_an_average_is_exact_where_a_float_is_not():
    position, _ = position_of([execution(1, Side.BUY, 1, 1, 0, 1), execution(2, Side.BUY, 2, 4, 0, 2)])
    assert position.average_price == Fraction(5, 3)


def test_an_execution_of_nothing_is_a_bug_and_says_so():
    with pytest.raises(AssertionError, match="an execution of 0 units"):
        Position().after(execution(1, Side.BUY, 0, 0, 0, 1))
