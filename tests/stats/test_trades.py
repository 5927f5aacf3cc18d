"""Figures of round trips, by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from novapulse.stats.trades import (
    Excursions,
    Holding,
    Streaks,
    excursions,
    expectancy,
    holding,
    longest_streaks,
    payoff_ratio,
    profit_factor,
    system_quality_number,
    win_rate,
)

PNL = np.array([100.0, -50.0, 80.0, -40.0, -60.0, 150.0])
ALL = (profit_factor, expectancy, payoff_ratio, win_rate, system_quality_number)


def test_the_published_example() -> None:
    assert profit_factor(PNL) == pytest.approx(2.2)
    assert expectancy(PNL) == pytest.approx(30.0)
    assert payoff_ratio(PNL) == pytest.approx(2.2)
    assert win_rate(PNL) == 0.5
    assert system_quality_number(PNL) == pytest.approx(0.8095, abs=5e-5)
    assert longest_streaks(PNL) == Streaks(1, 2)


def test_payoff_differs_from_profit_factor_where_wins_are_rare() -> None:
    rare = np.array([90.0, -10.0, -20.0, 0.0])
    assert (profit_factor(rare), payoff_ratio(rare), win_rate(rare)) == (3.0, 6.0, 0.25)


@pytest.mark.parametrize(
    ("pnl", "unknown"),
    [
        ([], ALL),
        ([5.0], (profit_factor, payoff_ratio, system_quality_number)),
        ([-5.0, -4.0], (payoff_ratio,)),
        ([0.1, 0.1, 0.1], (profit_factor, payoff_ratio, system_quality_number)),
        ([0.0, 0.0], (profit_factor, payoff_ratio, system_quality_number)),
    ],
    ids=["nothing", "one win", "only losses", "always the same", "nothing won or lost"],
)
def test_what_cannot_be_known_is_none(pnl: list[float], unknown: tuple) -> None:
    values = np.array(pnl)
    assert [figure.__name__ for figure in ALL if figure(values) is None] == [figure.__name__ for figure in unknown]


def test_an_outcome_of_zero_ends_a_streak_of_either_kind() -> None:
    assert longest_streaks(np.array([1.0, 2.0, 0.0, 3.0, -1.0, -1.0, 0.0, -1.0])) == Streaks(2, 2)
    assert longest_streaks(np.zeros(0)) == Streaks(0, 0)


@given(st.lists(st.integers(-2, 2), max_size=50))
def test_streaks_are_those_of_the_written_out_signs(outcomes: list[int]) -> None:
    signs = "".join("-0+"[(x > 0) - (x < 0) + 1] for x in outcomes)
    longest = [max(map(len, "".join(c if c == sign else " " for c in signs).split()), default=0) for sign in "+-"]
    assert list(longest_streaks(np.array(outcomes, float))) == longest


@given(st.lists(st.floats(-1e6, 1e6), max_size=30), st.randoms(use_true_random=False))
def test_only_streaks_know_the_order(outcomes: list[float], chance) -> None:
    shuffled = chance.sample(outcomes, len(outcomes))
    for figure in (profit_factor, expectancy, payoff_ratio, win_rate):
        expected = figure(np.array(outcomes))
        assert figure(np.array(shuffled)) == (None if expected is None else pytest.approx(expected, rel=1e-9, abs=1e-6))


def test_holding_in_any_order() -> None:
    assert holding(np.array([50, 10, 20]), np.array([60, 11, 120])) == Holding(37.0, 10.0)
    assert holding(np.zeros(0, np.int64), np.zeros(0, np.int64)) is None


def test_excursions_by_hand() -> None:
    got = excursions(np.array([-0.5, -1.0, 0.0]), np.array([2.0, 0.25, 0.75]))
    assert got == Excursions(-0.5, -0.5, 1.0, 0.75, 2.0)
    assert excursions(np.zeros(2), np.ones(2)).edge_ratio is None
    assert excursions(np.zeros(0), np.zeros(0)) is None


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: profit_factor(np.array([1.0, np.nan])), "pnl: row 1 is nan"),
        (lambda: holding(np.array([5, 5]), np.array([6, 4])), "exit_ts_ns: row 1 lies before its entry"),
        (lambda: excursions(np.array([0.5]), np.array([1.0])), "mae_r: row 0 is above zero"),
        (lambda: excursions(np.array([-0.5]), np.array([-1.0])), "mfe_r: row 0 is below zero"),
        (lambda: excursions(np.array([-0.5]), np.ones(2)), "mfe_r has 2 rows, mae_r has 1"),
    ],
)
def test_a_wrong_argument_is_named(call, message) -> None:
    with pytest.raises(ValueError, match=message):
        call()
