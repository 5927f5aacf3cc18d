"""Momentum: one side dominates, the price has moved, and the move is not exhausted."""

import pytest

from tests.strategies.markets import after_quiet, market, mirrored, opinion, zigzag

UP = zigzag(0.09, 0.06, 15).tolist() + zigzag(0.12, 0.06, 12).tolist()


def test_long_where_buyers_dominate() -> None:
    assert opinion("momentum", market(after_quiet(UP))) > 2


def test_short_where_sellers_dominate() -> None:
    assert opinion("momentum", mirrored(market(after_quiet(UP)))) < -2


@pytest.mark.parametrize(
    "moves",
    [
        pytest.param(zigzag(0.05, 0.05, 30), id="neither side dominates"),
        pytest.param([0.1] * 60, id="exhausted: nothing but rises"),
        pytest.param([*UP, *zigzag(0.05, 0.04, 10)], id="the histogram no longer agrees"),
    ],
)
def test_nothing_where_the_move_is_over(moves: list[float]) -> None:
    assert opinion("momentum", market(after_quiet(moves))) == 0
