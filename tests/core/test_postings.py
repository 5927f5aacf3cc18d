from hypothesis import given
from hypothesis import strategies as st

from novapulse.core.postings import Book, Posting, imbalance, move, trade

AMOUNTS = st.integers(-(2**60), 2**60)
BOOKS = st.sampled_from(Book)


@given(AMOUNTS, BOOKS, BOOKS)
def test_a_move_balances_and_a_move_of_nothing_has_no_legs(amount, source, target):
    legs = move("USD", amount, source, target)
    assert imbalance(legs) == {}
    assert len(legs) == (2 if amount else 0)


@given(st.sampled_from((1, -1)), st.integers(1, 2**60), st.integers(0, 2**60), AMOUNTS)
def test_a_trade_balances_in_both_assets_and_no_leg_is_empty(side, base_units, cash_units, fee_units):
    legs = trade("BTC", "USD", side, base_units, cash_units, fee_units)
    assert imbalance(legs) == {}
    assert all(leg.amount != 0 for leg in legs)
    cash = sum(leg.amount for leg in legs if leg.book is Book.CASH)
    assert cash == -side * cash_units - fee_units
    assert sum(leg.amount for leg in legs if leg.book is Book.INVENTORY) == side * base_units
    assert sum(leg.amount for leg in legs if leg.book is Book.FEES) == fee_units


def test_a_rebate_is_cash_that_came_in():
    legs = trade("BTC", "USD", 1, 5, 100, -3)
    assert sum(leg.amount for leg in legs if leg.book is Book.CASH) == -97
    assert sum(leg.amount for leg in legs if leg.book is Book.FEES) == -3


@given(st.lists(st.builds(Posting, BOOKS, st.sampled_from(("BTC", "USD")), AMOUNTS)))
def test_what_is_missing_to_balance_is_named_by_asset(legs):
    missing = imbalance(legs)
    assert imbalance([*legs, *(Posting(Book.SUSPENSE, asset, -amount) for asset, amount in missing.items())]) == {}
    assert 0 not in missing.values()


def test_one_asset_does_not_make_up_for_another():
    assert imbalance([Posting(Book.CASH, "USD", 5), Posting(Book.CASH, "BTC", -5)]) == {"USD": 5, "BTC": -5}
