"""Trend: averages in order and moving, on the right side of the price."""

import pytest

from tests.strategies.markets import after_quiet, market, mirrored, opinion, zigzag

UP = zigzag(0.09, 0.04, 40)


def test_long_in_a_rising_market() -> None:
    assert opinion("trend", market(after_quiet(UP))) > 2


def test_short_in_a_falling_market() -> None:
    assert opinion("trend", mirrored(market(after_quiet(UP)))) < -2


@pytest.mark.parametrize(
    "moves",
    [
        pytest.param(zigzag(0.05, 0.05, 40), id="nothing moves"),
        pytest.param([*UP, -2.5], id="the price fell through the slow average"),
        pytest.param([0.0, 0.02, -0.01, 0.02], id="a range with weak ADX"),
    ],
)
def test_nothing_where_the_averages_or_the_price_disagree(moves: list[float]) -> None:
    assert opinion("trend", market(after_quiet(moves))) == 0


def test_a_slower_trend_is_a_weaker_opinion() -> None:
    slow, fast = (opinion("trend", market(after_quiet(zigzag(up, 0.04, 40)))) for up in (0.05, 0.06))
    assert 0 < slow < fast
