"""Breakout: a close beyond the earlier channel, on volume, that holds."""

import pytest

from novapulse.core.bars import BarColumns
from tests.strategies.markets import after_quiet, market, mirrored, opinion, with_volume


def broken(moves: list[float], volume: list[float]) -> BarColumns:
    """Return a quiet market that ends with these moves and volumes."""
    return market(after_quiet(moves), with_volume(10.0, volume))


def test_long_above_the_channel() -> None:
    bars = broken([0.35, 0.0], [30.0, 10.0])
    assert opinion("breakout", bars[:-1]) > 2
    assert 0 < opinion("breakout", bars) < opinion("breakout", bars[:-1]), "an older break counts less"


def test_short_below_the_channel() -> None:
    assert opinion("breakout", mirrored(broken([0.6], [30.0]))) < -2


@pytest.mark.parametrize(
    ("moves", "volume"),
    [
        pytest.param([0.6], [5.0], id="on thin volume"),
        pytest.param([0.6, -0.5], [30.0, 10.0], id="fell back below the level"),
        pytest.param([0.1], [30.0], id="inside the channel"),
        pytest.param([0.6] + [0.0] * 4, [30.0] + [10.0] * 4, id="too long ago"),
    ],
)
def test_nothing_where_the_break_does_not_count(moves: list[float], volume: list[float]) -> None:
    assert opinion("breakout", broken(moves, volume)) == 0


def test_the_channel_excludes_the_bar_that_breaks_it() -> None:
    bars = broken([0.6], [30.0])
    assert bars.close[-1] < bars.high[-1] == bars.high[-60:].max()
    assert opinion("breakout", bars) > 0
