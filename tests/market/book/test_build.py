import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from novapulse.market.book.build import CAPACITY, Builder, GapError, LevelError, Side, sides_of
from novapulse.market.book.columns import BookProblem

SIDES = sides_of(["bid", "bid", "ask", "ask"])
PRICES = np.array([99.0, 98.0, 100.0, 101.0])


def whole(last_id: int = 10) -> Builder:
    builder = Builder()
    builder.snapshot(last_id, SIDES, PRICES, np.array([1.0, 2.0, 3.0, 4.0]))
    return builder


def levels(builder: Builder, side: Side) -> dict[float, float]:
    top = builder.top(8)
    prices, qtys = top[2 * side], top[2 * side + 1]
    return {price: qty for price, qty in zip(prices.tolist(), qtys.tolist(), strict=True) if price == price}


changes = st.lists(
    st.tuples(st.sampled_from(list(Side)), st.integers(1, 60).map(float), st.integers(0, 3).map(float)), max_size=80
)


@given(changes=changes)
def test_it_holds_what_two_dictionaries_would(changes: list[tuple[Side, float, float]]) -> None:
    builder, model = Builder(), {Side.BID: dict[float, float](), Side.ASK: dict[float, float]()}
    builder.snapshot(1, np.zeros(0, np.int8), np.zeros(0), np.zeros(0))
    for number, (side, price, qty) in enumerate(changes, 2):
        assert builder.update(number, number, np.array([side], np.int8), np.array([price]), np.array([qty]))
        model[side][price] = qty
        model[side] = {one: size for one, size in model[side].items() if size}
    top = builder.top(60)
    for side, away in ((Side.BID, -1), (Side.ASK, 1)):
        best = sorted(model[side], key=lambda price: price * away)
        assert top[2 * side][: len(best)].tolist() == best
        assert top[2 * side + 1][: len(best)].tolist() == [model[side][price] for price in best]
        assert np.isnan(top[2 * side][len(best) :]).all()


def test_an_update_that_is_in_the_book_already_changes_nothing() -> None:
    builder = whole(10)
    assert not builder.update(8, 10, SIDES[:1], PRICES[:1], np.zeros(1))
    assert builder.update(9, 12, SIDES[:1], PRICES[:1], np.zeros(1))
    assert levels(builder, Side.BID) == {98.0: 2.0}


@pytest.mark.parametrize(
    ("price", "qty"), [(np.nan, 1.0), (0.0, 1.0), (99.0, np.nan), (99.0, -1.0), (np.inf, 1.0), (99.0, np.inf)]
)
def test_a_level_that_is_none_is_refused_and_never_taken_for_gone(price: float, qty: float) -> None:
    builder = whole(10)
    with pytest.raises(LevelError):
        builder.update(11, 11, SIDES[:1], np.array([price]), np.array([qty]))
    assert builder.problem() is BookProblem.INVALID
    assert not builder.is_known
    with pytest.raises(LevelError):
        builder.snapshot(12, SIDES[:1], np.array([price]), np.array([qty]))
    assert builder.problem() is BookProblem.INVALID
    builder.snapshot(13, SIDES, PRICES, np.ones(4))
    assert builder.problem() is BookProblem.NONE


def test_a_missing_update_ends_the_book_until_the_next_snapshot() -> None:
    builder = whole(10)
    with pytest.raises(GapError, match="2 updates before 13 are missing"):
        builder.update(13, 14, SIDES, PRICES, np.ones(4))
    assert builder.problem() is BookProblem.GAP
    with pytest.raises(GapError, match="a snapshot has to come first"):
        builder.update(15, 15, SIDES, PRICES, np.ones(4))
    builder.snapshot(20, SIDES, PRICES, np.ones(4))
    assert builder.problem() is BookProblem.NONE


def test_a_crossed_book_is_told() -> None:
    builder = whole()
    builder.update(11, 11, sides_of(["bid"]), np.array([100.5]), np.ones(1))
    assert builder.problem() is BookProblem.CROSSED


def test_beyond_its_capacity_the_farthest_levels_are_given_up() -> None:
    builder = Builder()
    prices = np.arange(1.0, CAPACITY + 11)
    builder.snapshot(1, np.zeros(prices.size, np.int8), prices, np.ones(prices.size))
    assert builder.top(1)[0].tolist() == [CAPACITY + 10.0]
    assert np.nanmin(builder.top(CAPACITY)[0]) == 11.0


def test_a_side_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="'buy': expected 'bid' or 'ask'"):
        sides_of(["bid", "buy"])
