"""VWAP momentum: price above the traded level, with volume behind the rise."""

import numpy as np
import pytest

from novapulse.core.bars import BarColumns, Floats
from tests.strategies.markets import after_quiet, market, mirrored, opinion, with_volume, zigzag

UP = zigzag(0.09, 0.05, 10)


def rising(volume: Floats) -> BarColumns:
    """Return a market that rises with this volume."""
    return market(after_quiet(UP), with_volume(10.0, volume))


def test_long_where_volume_carries_the_rise() -> None:
    assert opinion("vwap_momentum_alpha", rising(np.linspace(8.0, 30.0, 20))) > 2


def test_short_where_volume_carries_the_fall() -> None:
    assert opinion("vwap_momentum_alpha", mirrored(rising(np.linspace(8.0, 30.0, 20)))) < -2


@pytest.mark.parametrize(
    "volume",
    [
        pytest.param(np.full(20, 10.0), id="volume does not lean"),
        pytest.param(np.linspace(30.0, 8.0, 20), id="volume leans to the lower prices"),
        pytest.param(np.append(np.linspace(8.0, 30.0, 19), 2.0), id="thin on the last bar"),
    ],
)
def test_nothing_where_volume_does_not_agree(volume: Floats) -> None:
    assert abs(opinion("vwap_momentum_alpha", rising(volume))) < 1e-9


def test_nothing_where_the_price_ran_away() -> None:
    bars = market(after_quiet([*UP, 2.0]), with_volume(10.0, np.linspace(8.0, 30.0, 21)))
    assert opinion("vwap_momentum_alpha", bars) == 0
