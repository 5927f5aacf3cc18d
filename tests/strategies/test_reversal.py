"""Reversal: a lower low that RSI does not confirm, known only after the swing."""

import pytest

from tests.strategies.markets import after_quiet, market, mirrored, opinion

FIRST_LOW = [-0.3] * 3 + [0.13] * 5
SECOND_LOW = [-0.2, 0.1] * 7 + [-0.15]
REBOUND = [0.1, 0.08, 0.1, 0.05]


def test_long_after_a_bullish_divergence() -> None:
    assert opinion("reversal", market(after_quiet([*FIRST_LOW, *SECOND_LOW, *REBOUND]))) > 2


def test_short_after_a_bearish_divergence() -> None:
    assert opinion("reversal", mirrored(market(after_quiet([*FIRST_LOW, *SECOND_LOW, *REBOUND])))) < -2


@pytest.mark.parametrize(
    "moves",
    [
        pytest.param([*FIRST_LOW, *SECOND_LOW, *REBOUND[:3]], id="the swing is not known yet"),
        pytest.param([*FIRST_LOW, *[-0.3] * 5, *REBOUND], id="RSI confirms the lower low"),
        pytest.param([*FIRST_LOW, *SECOND_LOW, *REBOUND, -0.45, 0.3, 0.3], id="closed below the second low"),
        pytest.param([*FIRST_LOW, *SECOND_LOW, *REBOUND, *[0.01] * 10, 0.1, 0.2, 0.3], id="expired"),
        pytest.param([-0.3] * 3 + [0.13] * 5 + REBOUND, id="only one low"),
    ],
)
def test_nothing_without_a_living_divergence(moves: list[float]) -> None:
    assert opinion("reversal", market(after_quiet(moves))) == 0
