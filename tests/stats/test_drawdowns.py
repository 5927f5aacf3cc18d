"""Drawdowns against a walk through the curve, value by value."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from novapulse.core.bars import DAY_NS
from novapulse.stats.drawdowns import Drawdown, drawdown_curve, episodes, longest_under_water, max_drawdown

DAYS = DAY_NS * np.arange(1, 100)


def test_the_published_example() -> None:
    equity = np.array([100.0, 110.0, 105.0, 120.0, 90.0, 95.0, 130.0])
    assert max_drawdown(equity, 100.0) == 0.25
    deepest, other = episodes(DAYS[:7], equity, 100.0)
    assert deepest == Drawdown(DAYS[3], DAYS[4], DAYS[6], 0.25, 2, 3 * DAY_NS)
    assert other == Drawdown(DAYS[1], DAYS[2], DAYS[3], pytest.approx(5 / 110), 1, 2 * DAY_NS)
    assert episodes(DAYS[:7], equity, 100.0, count_max=1) == [deepest]


def test_the_opening_value_is_a_peak_and_the_end_no_recovery() -> None:
    assert max_drawdown(np.array([80.0, 90.0]), 100.0) == pytest.approx(0.2)
    (only,) = episodes(DAYS[:3], np.array([90.0, 80.0, 85.0]), 100.0)
    assert only == Drawdown(DAYS[0], DAYS[1], None, pytest.approx(0.2), 3, 2 * DAY_NS)


def test_a_curve_that_only_rises_or_is_empty_has_none() -> None:
    assert episodes(DAYS[:3], np.array([1.0, 1.0, 2.0]), 1.0) == []
    assert max_drawdown(np.array([1.0, 1.0, 2.0]), 1.0) == 0.0
    assert max_drawdown(np.zeros(0), 1.0) is None
    assert longest_under_water(np.zeros(0), 1.0) == 0


def walked(ts_ns: list[int], equity: list[float], opening: float) -> list[Drawdown]:
    found: list[Drawdown] = []
    peak, peak_at = opening, ts_ns[0]
    below: list[int] = []

    def close(end: int | None) -> None:
        if below:
            trough = min(below, key=lambda i: equity[i])
            last = ts_ns[-1] if end is None else ts_ns[end]
            depth = 1.0 - equity[trough] / peak
            recovered = None if end is None else last
            found.append(Drawdown(peak_at, ts_ns[trough], recovered, depth, len(below), last - peak_at))

    for i, value in enumerate(equity):
        if value < peak:
            below.append(i)
        else:
            close(i)
            below, peak, peak_at = [], value, ts_ns[i]
    close(None)
    return sorted(found, key=lambda each: -each.depth)


@given(st.lists(st.integers(-1, 6).map(float), min_size=1, max_size=40), st.integers(1, 6))
def test_drawdowns_are_those_of_a_walk(equity: list[float], opening: int) -> None:
    closes = np.cumsum(np.arange(1, len(equity) + 1))
    expected = walked(closes.tolist(), equity, float(opening))
    assert episodes(closes, np.array(equity), float(opening)) == expected
    assert max_drawdown(np.array(equity), opening) == max((each.depth for each in expected), default=0.0)
    assert longest_under_water(np.array(equity), opening) == max((each.bars for each in expected), default=0)
    assert (drawdown_curve(np.array(equity), opening) > 0).sum() == sum(each.bars for each in expected)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1, 2], [1.0], 1.0), "equity has 1 rows, ts_ns has 2"),
        (([1, 2], [1.0, np.inf], 1.0), "equity: row 1 is inf"),
        (([2, 1], [1.0, 1.0], 1.0), "ts_ns: row 1, 1, does not come after 2"),
        (([1, 2], [1.0, 1.0], 0.0), "opening must be"),
    ],
)
def test_a_wrong_argument_is_named(arguments, message) -> None:
    with pytest.raises(ValueError, match=message):
        episodes(np.array(arguments[0]), np.array(arguments[1]), arguments[2])
