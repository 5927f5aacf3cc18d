"""RSI mean reversion: too far, and turned; in a trend only dips in its direction."""

import pytest

from tests.strategies.markets import after_quiet, market, mirrored, opinion

FALL = [-0.12] * 6


def test_long_where_rsi_turns_up_from_below() -> None:
    assert opinion("rsi_mean_reversion", market(after_quiet([*FALL, 0.15]))) > 2


def test_short_where_rsi_turns_down_from_above() -> None:
    assert opinion("rsi_mean_reversion", mirrored(market(after_quiet([*FALL, 0.15])))) < -2


@pytest.mark.parametrize(
    "moves",
    [
        pytest.param([*FALL, -0.1], id="RSI still falls"),
        pytest.param([-0.05, 0.1], id="RSI was never low"),
        pytest.param([-0.09, 0.04] * 40 + [-0.3, 0.1], id="a dip in a falling trend"),
    ],
)
def test_nothing_where_the_fall_may_go_on(moves: list[float]) -> None:
    assert opinion("rsi_mean_reversion", market(after_quiet(moves))) == 0


def test_a_fall_too_far_from_the_average_is_not_bought() -> None:
    assert opinion("rsi_mean_reversion", market(after_quiet([-2.0, 0.5]))) > 2
    assert opinion("rsi_mean_reversion", market(after_quiet([-20.0, 0.8]))) == 0


def test_a_shallow_dip_in_a_rising_trend_is_bought() -> None:
    assert opinion("rsi_mean_reversion", market(after_quiet([0.09, -0.04] * 40 + [-0.25] * 3 + [0.15]))) > 0
