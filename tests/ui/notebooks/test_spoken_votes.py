"""The sum of votes: what came after is known only without gaps, and means of a few bars are not told."""

import numpy as np
import pytest

from novapulse.core.bars import MINUTE_NS, BarColumns
from novapulse.strategies import Votes
from novapulse.ui.notebooks.spoken_votes import COUNT_MIN, correlation, means, moves, spoken


def bars_of(close: np.ndarray, gap_before: int | None = None) -> BarColumns:
    stamps = np.arange(1, close.size + 1) * MINUTE_NS + 1_700_000_040_000_000_000
    if gap_before is not None:
        stamps[gap_before:] += 5 * MINUTE_NS
    return BarColumns.checked(stamps, close, close, close, close, np.ones(close.size), timeframe_ns=MINUTE_NS)


def test_moves_reach_over_no_gap_and_not_beyond_the_end():
    moved = moves(bars_of(100.0 * 1.01 ** np.arange(8.0), gap_before=4), 2)
    assert moved[[0, 1, 4, 5]] == pytest.approx(201.0)
    assert np.isnan(moved[[2, 3, 6, 7]]).all()


def test_a_strategy_that_knows_the_next_move_has_information_and_its_mirror_the_opposite():
    chance = np.random.default_rng(7)
    close = 100.0 + np.cumsum(chance.normal(0, 0.1, 2_000))
    bars = bars_of(close)
    forecast = np.clip(np.nan_to_num(moves(bars, 1)), -20, 20)
    said = spoken(bars, Votes(forecast, np.full(close.size, 0.5)), 1)
    assert said.information > 0.8
    assert spoken(bars, Votes(-forecast, np.full(close.size, 0.5)), 1).information < -0.8
    known = np.isfinite(said.after)
    assert (np.diff(said.after[known]) > 0).all()
    assert said.counts.sum() == said.spoke
    assert said.confidence == 0.5


def test_a_silent_strategy_is_unknown_not_zero():
    said = spoken(bars_of(np.full(50, 100.0)), Votes(np.zeros(50), np.zeros(50)), 5)
    assert said.spoke == 0
    assert np.isnan([said.information, said.confidence, said.strength]).all()
    assert np.isnan(said.after).all()


def test_a_mean_of_too_few_is_not_told_and_overlapping_moves_count_once():
    values = np.append(np.full(COUNT_MIN, -0.5), np.full(COUNT_MIN - 1, 0.5))
    moved = np.arange(values.size, dtype=np.float64)
    mean, error = means(values, moved, np.array([-1.0, 0.0, 1.0]), 1)
    assert mean[0] == moved[:COUNT_MIN].mean()
    assert np.isnan(mean[1])
    assert means(values, moved, np.array([-1.0, 0.0, 1.0]), 4)[1][0] == pytest.approx(2 * error[0])


def test_what_never_changes_correlates_with_nothing():
    assert np.isnan(correlation(np.ones(100), np.arange(100.0)))
