"""Since when an account could decide anything, against warm flags laid out by hand."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from novapulse.backtest.columns import market_of
from novapulse.backtest.tally import new_tally
from novapulse.backtest.warmth import note_warmth
from novapulse.core.bars import DAY_NS, BarColumns
from tests.backtest.builders import START_NS

QUARTER_NS = DAY_NS // 4


def bars_at(quarters) -> BarColumns:
    """Bars that close so many quarters of a day after the start: the fourth of each day at its midnight."""
    stamps = START_NS + QUARTER_NS * np.array(quarters, np.int64)
    prices = [np.full(stamps.size, 100.0)] * 4
    return BarColumns.checked(stamps, *prices, np.ones(stamps.size), timeframe_ns=QUARTER_NS)


def noted(*stretches) -> tuple:
    """(quarter of the first warm tick or None, cold ticks, cold days) after stretches of ([quarters], [warm]) pairs."""
    tally = new_tally(10_000.0, 100.0)
    for stretch in stretches:
        market = market_of([bars_at(quarters) for quarters, _ in stretch])
        note_warmth(tally, market, np.concatenate([np.array(warm, np.bool_) for _, warm in stretch]))
    warm_ns = int(tally["warm_ts_ns"][0])
    first = (warm_ns - START_NS) // QUARTER_NS if warm_ns else None
    return first, int(tally["cold_ticks"][0]), int(tally["cold_days"][0])


def test_where_every_row_is_warm_the_first_tick_is_and_none_is_cold():
    tally = new_tally(10_000.0, 100.0)
    note_warmth(tally, market_of([bars_at([9, 10]), bars_at([7, 10])]), np.zeros(0, np.bool_))
    assert tally["warm_ts_ns"][0] == START_NS + 7 * QUARTER_NS
    assert (tally["cold_ticks"][0], tally["cold_days"][0]) == (0, 0)


@pytest.mark.parametrize(
    ("warm_from", "cold_days"),
    [(1, 0), (4, 0), (5, 1), (8, 1), (9, 2)],
)
def test_only_whole_days_before_the_first_warm_bar_are_cold_and_midnight_ends_a_day(warm_from, cold_days):
    quarters = np.arange(1, 13)
    assert noted([(quarters, quarters >= warm_from)]) == (warm_from, warm_from - 1, cold_days)


def test_the_first_of_any_instrument_counts_and_a_tick_of_two_is_one():
    slow, fast = ([1, 2, 3, 5, 6], [0, 0, 0, 0, 1]), ([2, 3, 4, 5], [0, 0, 0, 1])
    assert noted([slow, fast]) == (5, 4, 1)
    assert noted([fast, slow]) == (5, 4, 1)


def test_days_without_bars_are_no_cold_days():
    assert noted([([1, 2, 39, 40, 41], [0, 0, 0, 0, 1])]) == (41, 4, 2)


def test_never_warm_is_cold_all_along_and_has_no_first_tick():
    assert noted([([1, 2, 5, 6], [0] * 4)])[:2] == (None, 4)


def test_the_day_of_the_first_warm_bar_is_not_cold_where_a_stretch_ends_in_it():
    assert noted([([1, 2], [0, 1])]) == noted([([1], [0])], [([2], [1])]) == (2, 1, 0)
    assert noted([([1, 2, 3, 5], [0] * 4)], [([6, 7], [0, 1])]) == (7, 5, 1)


def test_a_flag_that_goes_out_again_stays_behind_the_first():
    assert noted([([1, 2, 3, 4, 5, 6], [0, 1, 0, 0, 0, 1])]) == (2, 1, 0)
    assert noted([([1, 2], [0, 1])], [([5, 6, 7], [0, 0, 1])]) == (2, 1, 0)


def test_an_instrument_without_bars_in_a_stretch_says_nothing():
    assert noted([([], []), ([1, 2, 3], [0, 0, 1])]) == (3, 2, 0)


@settings(max_examples=100)
@given(
    quarters=st.sets(st.integers(1, 24), min_size=1),
    warm_from=st.integers(1, 26),
    cuts=st.sets(st.integers(1, 23), max_size=6),
)
@example(quarters={1, 2}, warm_from=2, cuts={1})
def test_stretches_add_up_to_the_whole(quarters, warm_from, cuts):
    """Wherever a history is cut, also within a day."""
    parts = [[q for q in sorted(quarters) if low < q <= high] for low, high in pairwise([0, *sorted(cuts), 24])]
    cold = [q for q in quarters if q < warm_from]
    first = min(quarters - set(cold), default=None)
    got = noted(*([(part, [q >= warm_from for q in part])] for part in parts if part))
    assert got[:2] == (first, len(cold))
    if first is not None:
        assert got[2] == len({(q - 1) // 4 for q in cold} - {(first - 1) // 4})
