"""The stationary bootstrap against theory, another library's numbers, and intervals that must hold the truth."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from novapulse.stats.resampling import (
    generator,
    mean_interval,
    optimal_block_length,
    sharpe_interval,
    stationary_indices,
)
from tests.stats.series import autoregression


@pytest.mark.parametrize(
    ("phi", "count", "seed", "expected"),
    [
        (0.3, 2000, 0, 9.420717102501978),
        (0.3, 2000, 2, 7.480980682207126),
        (0.9, 500, 4, 31.088422703452306),
        (-0.4, 300, 5, 7.4107535278067145),
        (0.6, 60, 6, 3.740739893482403),
        (0.99, 200, 8, 18.850030948129994),
    ],
)
def test_block_lengths_are_those_of_another_library(phi: float, count: int, seed: int, expected: float) -> None:
    """Numbers of arch 8.0.0: optimal_block_length(series)["stationary"]."""
    assert optimal_block_length(autoregression(phi, count, seed)) == pytest.approx(expected)


def test_block_lengths_come_to_what_theory_asks_for() -> None:
    """AR(.3), T = 2000: about 8; (T (2 phi / (1 - phi^2))^2)^(1/3) = 9.5 if all autocovariances were known."""
    lengths = [optimal_block_length(autoregression(0.3, 2000, seed)) for seed in range(20)]
    assert 7.0 < np.mean(lengths) < 10.0


def test_what_has_no_memory_is_drawn_singly() -> None:
    assert np.mean([optimal_block_length(autoregression(0.0, 1000, seed)) for seed in range(20)]) < 2.0
    assert [optimal_block_length(values) for values in (np.zeros(0), np.arange(8.0), np.full(50, 0.1))] == [1.0] * 3


@given(st.lists(st.floats(-1e3, 1e3), min_size=9, max_size=120))
def test_a_block_is_never_shorter_than_a_row_nor_longer_than_a_third(values) -> None:
    assert 1.0 <= optimal_block_length(np.array(values)) <= np.ceil(len(values) / 3)


@given(st.integers(1, 30), st.floats(1.0, 20.0), st.integers(1, 5), st.integers(1, 60), st.integers(0, 1000))
def test_rows_run_on_within_a_block_and_round_the_end(count, block, draws, length, seed) -> None:
    rows, begins = stationary_indices(count, block, draws, seed, length)
    assert rows.shape == begins.shape == (draws, length)
    assert (rows >= 0).all()
    assert (rows < count).all()
    assert begins[:, 0].all()
    follows = ~begins[:, 1:]
    assert (rows[:, 1:][follows] == (rows[:, :-1][follows] + 1) % count).all()


def test_blocks_begin_anywhere_and_are_as_long_as_asked() -> None:
    rows, begins = stationary_indices(50, 8.0, 400, 1, 1000)
    assert begins.mean() == pytest.approx(1 / 8, rel=0.02)
    assert np.bincount(rows[begins], minlength=50) == pytest.approx(begins.sum() / 50, rel=0.15)
    assert stationary_indices(50, 1.0, 3, 1)[1].all()


def test_the_bootstrapped_mean_spreads_as_in_another_library() -> None:
    """Numbers of arch 8.0.0: StationaryBootstrap(10, series), 20,000 draws of the mean."""
    series = autoregression(0.5, 400, 21)
    rows, _ = stationary_indices(400, 10.0, 5000, 5)
    assert series[rows].mean(axis=1).std() == pytest.approx(0.09969, rel=0.03)
    interval = mean_interval(series, 5, draws=5000, block=10.0)
    assert interval is not None
    assert interval.estimate == pytest.approx(series.mean())
    assert (interval.low, interval.high) == (pytest.approx(-0.2417, abs=0.01), pytest.approx(0.1502, abs=0.01))


@pytest.mark.parametrize(("phi", "block"), [(0.0, 1.0), (0.5, 25.0)], ids=["without memory", "with memory"])
def test_long_records_have_the_interval_of_the_formula(phi: float, block: float) -> None:
    """Error of a ratio s: sqrt(((1 + phi) / (1 - phi) + s^2 / 2 (1 + phi^2) / (1 - phi^2)) / n) of normal returns."""
    returns = autoregression(phi, 4000, 5) + 0.2
    interval = sharpe_interval(returns, 252.0, 9, block=block, draws=1000)
    assert interval is not None
    ratio = returns.mean() / returns.std(ddof=1)
    error = np.sqrt(((1 + phi) / (1 - phi) + ratio**2 / 2 * (1 + phi**2) / (1 - phi**2)) / 4000)
    ends = [interval.low, interval.estimate, interval.high]
    assert (np.array(ends) / 252**0.5 - ratio) / error == pytest.approx([-1.96, 0.0, 1.96], abs=0.15)


def ratio_of(values, weights) -> float:
    mean = weights @ values
    return mean / np.sqrt(weights @ (values - mean) ** 2)


def slopes(values):
    """How the ratio changes with the weight of each observation, by small steps."""
    equal = np.full(values.size, 1.0 / values.size)
    steps = [equal + 1e-6 * (np.eye(values.size)[i] - equal) for i in range(values.size)]
    return np.array([(ratio_of(values, step) - ratio_of(values, equal)) / 1e-6 for step in steps])


def test_the_studentised_interval_step_by_step() -> None:
    returns = np.random.default_rng(2).exponential(1.0, 80) - 0.2
    n, block, draws = returns.size, 4.0, 400
    rows, begins = stationary_indices(n, block, draws, 3)
    ratio = returns.mean() / returns.std(ddof=1)
    scores = []
    for row, begin in zip(rows, begins, strict=True):
        drawn = returns[row]
        sums = [part.sum() for part in np.split(slopes(drawn), np.flatnonzero(begin)[1:])]
        error = np.sqrt(np.square(sums).sum()) / n
        scores.append((drawn.mean() / drawn.std(ddof=1) - ratio) / error)
    slope, total = slopes(returns), 0.0
    for i in range(n):
        for j in range(n):
            ahead = (j - i) % n
            keeps = (1 - 1 / block) ** ahead * (1 - ahead / n) + (1 - 1 / block) ** (n - ahead) * ahead / n
            total += slope[i] * slope[j] * keeps
    low, high = np.quantile(scores, (0.95, 0.05))
    expected = [ratio - low * np.sqrt(total) / n, ratio - high * np.sqrt(total) / n]
    got = sharpe_interval(returns, 1.0, 3, confidence=0.9, block=block, draws=draws)
    assert got is not None
    assert [got.low, got.high] == pytest.approx(expected, rel=0.01)


def test_the_risk_free_rate_moves_the_whole_interval() -> None:
    returns = np.random.default_rng(5).normal(0.02, 0.1, 300)
    whole, excess = sharpe_interval(returns + 0.001, 100.0, 9, risk_free=0.1), sharpe_interval(returns, 100.0, 9)
    assert (whole.low, whole.estimate, whole.high) == pytest.approx((excess.low, excess.estimate, excess.high))


def coverage(series, block: float | None, count: int = 200) -> float:
    held = 0
    for seed in range(count):
        interval = sharpe_interval(series(seed) + 0.1, 1.0, seed, draws=200, block=block)
        held += interval.low <= 0.1 <= interval.high
    return held / count


def fat_tails(seed: int):
    return np.random.default_rng(seed).standard_t(4, 150) / 2**0.5


def with_memory(seed: int):
    return autoregression(0.3, 150, seed) * (1 - 0.3**2) ** 0.5


def test_nine_and_a_half_of_ten_intervals_hold_the_truth() -> None:
    assert 0.91 <= coverage(fat_tails, 1.0) <= 0.985


def test_single_draws_of_what_remembers_promise_too_much() -> None:
    blocks, single = coverage(with_memory, 6.0), coverage(with_memory, 1.0)
    assert single < 0.89 < blocks


def test_a_seed_or_its_generator_give_the_same_interval() -> None:
    returns = autoregression(0.2, 100, 1)
    one = sharpe_interval(returns, 365.0, 7)
    assert one == sharpe_interval(returns, 365.0, np.random.Generator(np.random.PCG64(7)))
    assert one != sharpe_interval(returns, 365.0, 8)
    handed_in = generator(7)
    assert mean_interval(returns, handed_in) != mean_interval(returns, handed_in)


def test_what_cannot_be_known_is_none() -> None:
    assert sharpe_interval(np.arange(9.0), 1.0, 1) is None
    assert sharpe_interval(np.full(20, 0.01), 1.0, 1) is None
    assert sharpe_interval(np.append(np.zeros(19), 0.01), 1.0, 1, block=20.0 / 3) is not None
    assert mean_interval(np.ones(1), 1) is None


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: generator(None), "seed must be a generator or a whole number of at least 0, got None"),
        (lambda: generator(-1), "seed must be .* got -1"),
        (lambda: stationary_indices(0, 1.0, 1, 1), "cannot draw 1 times 0 rows out of 0"),
        (lambda: stationary_indices(5, 0.5, 1, 1), "block must be at least 1 row, got 0.5"),
        (lambda: mean_interval(np.ones(5), 1, confidence=95), "confidence must lie between 0 and 1, got 95"),
        (lambda: mean_interval(np.ones(5), 1, draws=0), "draws must be at least 1, got 0"),
        (lambda: sharpe_interval(np.array([np.inf]), 1.0, 1), "returns: row 0 is inf"),
    ],
)
def test_a_wrong_argument_is_named(call, message) -> None:
    with pytest.raises(ValueError, match=message):
        call()
