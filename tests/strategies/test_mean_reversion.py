"""Mean reversion: far from the mean in a range, and turned inside the bar."""

import pytest

from tests.strategies.markets import after_quiet, market, mirrored, opinion


def test_long_below_the_mean_of_a_range() -> None:
    assert opinion("mean_reversion", market(after_quiet([-0.33]), wick=0.2)) > 2


def test_short_above_the_mean_of_a_range() -> None:
    assert opinion("mean_reversion", mirrored(market(after_quiet([-0.33]), wick=0.2))) < -2


@pytest.mark.parametrize(
    ("moves", "wick"),
    [
        pytest.param([-0.33], 0.0, id="closed at its low: not turned"),
        pytest.param([-0.05], 0.2, id="near the mean"),
        pytest.param([-1.5], 0.2, id="the bands have opened: a move has begun"),
        pytest.param([-0.09, 0.04] * 40 + [-0.5], 0.2, id="in a falling trend"),
    ],
)
def test_nothing_where_the_move_may_go_on(moves: list[float], wick: float) -> None:
    assert opinion("mean_reversion", market(after_quiet(moves), wick=wick)) == 0


def test_a_clearer_turn_is_a_stronger_opinion() -> None:
    little, much = (opinion("mean_reversion", market(after_quiet([-0.33]), wick=wick)) for wick in (0.05, 0.2))
    assert 0 < little < much
