"""Keltner: a touch of the band counts once momentum turns, and never against a trend."""

import pytest

from tests.strategies.markets import after_quiet, market, mirrored, opinion

FALL = [-0.3, -0.3, -0.3]


def test_long_where_the_lower_band_was_touched_and_momentum_turned() -> None:
    assert opinion("keltner", market(after_quiet([*FALL, 0.2, 0.15]))) > 2


def test_short_where_the_upper_band_was_touched_and_momentum_turned() -> None:
    assert opinion("keltner", mirrored(market(after_quiet([*FALL, 0.2, 0.15])))) < -2


@pytest.mark.parametrize(
    "moves",
    [
        pytest.param([*FALL, -0.3, -0.3], id="still falling: touched, histogram not turned"),
        pytest.param([-0.05, 0.05, -0.05, 0.05, 0.1], id="inside the channel: nothing touched"),
        pytest.param([*FALL, 0.1] + [0.0, 0.02] * 5, id="the touch is too old"),
        pytest.param([*FALL, 0.5, 0.5, 0.4], id="RSI past its gate: already back"),
        pytest.param([-0.09, 0.04] * 40 + [-0.6, 0.1, 0.3], id="a pullback in a falling trend is not bought"),
    ],
)
def test_nothing_where_one_confirmation_is_missing(moves: list[float]) -> None:
    assert opinion("keltner", market(after_quiet(moves))) == 0


def test_a_pullback_in_a_rising_trend_is_bought() -> None:
    assert opinion("keltner", market(after_quiet([0.09, -0.04] * 40 + [-0.5, -0.1, 0.25]))) > 0


def test_a_deeper_touch_is_a_stronger_opinion() -> None:
    shallow, deep = (opinion("keltner", market(after_quiet([*[-fall] * 3, 0.1, 0.1]))) for fall in (0.25, 0.28))
    assert 0 < shallow < deep
