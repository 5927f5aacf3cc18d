"""The price of many trials, against published numbers, quadrature and a recomputation by hand."""

import math
from itertools import combinations, pairwise
from statistics import NormalDist

import numpy as np
import pytest

from novapulse.stats.overfit import (
    Metric,
    Moments,
    deflated_sharpe_ratio,
    effective_trials,
    expected_max_sharpe,
    min_backtest_years,
    probability_of_backtest_overfitting,
)
from novapulse.stats.sharpe import psr_2012, psr_2025

# Bailey and Lopez de Prado (2014): an annual ratio of 2.5 over five years of days, the best of many.
TRIAL_VARIANCE = 0.5 / 250
SKEWED = Moments(2.5 / math.sqrt(250), -3.0, 10.0, 1250)
NORMAL = Moments(2.5 / math.sqrt(250), 0.0, 3.0, 1250)


def test_published_deflated_ratios() -> None:
    assert expected_max_sharpe(100, TRIAL_VARIANCE) == pytest.approx(0.1132, abs=5e-5)
    for track, trials, published in ((SKEWED, 100, 0.9004), (SKEWED, 46, 0.9505), (NORMAL, 88, 0.9505)):
        got = psr_2012(track, expected_max_sharpe(trials, TRIAL_VARIANCE))
        assert got == pytest.approx(published, abs=5e-5)


def test_the_deflated_ratio_of_the_gate_is_the_lower_of_both_forms() -> None:
    for track in (SKEWED, NORMAL, Moments(0.15, 2.0, 9.0, 1250)):
        hurdle = expected_max_sharpe(100, TRIAL_VARIANCE)
        got = deflated_sharpe_ratio(track, 100, TRIAL_VARIANCE)
        assert got == min(psr_2012(track, hurdle), psr_2025(track, hurdle))


def test_published_maxima_and_backtest_lengths() -> None:
    assert expected_max_sharpe(45, 1.0) == pytest.approx(2.2356, abs=5e-5)
    assert expected_max_sharpe(7, 1.0) == pytest.approx(1.387, abs=5e-4)
    assert min_backtest_years(45) == pytest.approx(5.0, abs=5e-3)
    assert min_backtest_years(7) == pytest.approx(1.92, abs=5e-3)
    assert min_backtest_years(45, annual_sharpe=2.0) == pytest.approx(min_backtest_years(45) / 4)


def test_the_expected_maximum_is_close_to_and_above_the_exact_one() -> None:
    normal = NormalDist()
    grid = np.linspace(-9.0, 9.0, 4001)
    density = np.array([100 * normal.pdf(x) * normal.cdf(x) ** 99 for x in grid])
    exact = float((grid * density).sum() * (grid[1] - grid[0]))
    assert exact == pytest.approx(2.5076, abs=5e-5)
    assert expected_max_sharpe(100, 1.0) == pytest.approx(2.5306, abs=5e-5)


def test_every_further_trial_costs() -> None:
    hurdles = [expected_max_sharpe(trials, 1.0) for trials in (1, 1.1, 1.5, 2, 3, 10, 1e3, 1e6, 1e18, 1e30)]
    assert hurdles[:2] == [0.0, 0.0], "the best of one is expected at zero, and never below"
    assert all(fewer < more for fewer, more in pairwise(hurdles[1:]))
    deflated = [deflated_sharpe_ratio(SKEWED, trials, TRIAL_VARIANCE) for trials in (1, 2, 10, 100, 1000)]
    assert all(fewer > more for fewer, more in pairwise(deflated))


def test_effective_trials() -> None:
    assert effective_trials(np.eye(3)) == pytest.approx(3.0, abs=1e-12)
    assert effective_trials([[1, 0.1, 0.7], [0.1, 1, 0.8], [0.7, 0.8, 1]]) == pytest.approx(1.840, abs=5e-4)
    assert effective_trials(np.ones((50, 50))) == pytest.approx(1.0, abs=1e-9)
    twins = np.kron(np.eye(2), np.ones((3, 3)))
    assert effective_trials(twins) == pytest.approx(2.0, abs=1e-9)
    assert expected_max_sharpe(effective_trials(np.ones((2, 2))), 1.0) == pytest.approx(0.0, abs=1e-9)


def by_hand(returns: np.ndarray, blocks: int, metric: Metric) -> tuple[list[float], list[float], list[float]]:
    """Logit, result in sample and out of sample of every split, row by row as the definition has it."""

    def result(rows: np.ndarray, trial: int) -> float:
        values = returns[rows, trial]
        if metric == "mean" or (values == 0.0).all():
            return values.mean()
        return values.mean() / values.std(ddof=1)

    parts = np.array_split(np.arange(len(returns)), blocks)
    trials = range(returns.shape[1])
    logits, inside, outside = [], [], []
    for half in combinations(range(blocks), blocks // 2):
        chosen = np.concatenate([parts[block] for block in half])
        judged = np.concatenate([parts[block] for block in range(blocks) if block not in half])
        seen, unseen = [result(chosen, trial) for trial in trials], [result(judged, trial) for trial in trials]
        winners = [trial for trial in trials if math.isclose(seen[trial], max(seen), rel_tol=1e-12)]
        ranks = []
        for winner in winners:
            tied = [math.isclose(other, unseen[winner], rel_tol=1e-12) for other in unseen]
            below = sum(other < unseen[winner] and not tie for other, tie in zip(unseen, tied, strict=True))
            ranks.append(below + (sum(tied) + 1) / 2)
        relative = float(np.mean(ranks)) / (len(unseen) + 1)
        logits.append(math.log(relative / (1 - relative)))
        inside.append(max(seen))
        outside.append(float(np.mean([unseen[winner] for winner in winners])))
    return logits, inside, outside


@pytest.mark.parametrize("metric", ["sharpe", "mean"])
@pytest.mark.parametrize(("bars", "blocks"), [(24, 6), (29, 6), (40, 4), (5, 2)])
def test_every_split_equals_the_recomputation_by_hand(bars: int, blocks: int, metric: Metric) -> None:
    rng = np.random.default_rng(bars)
    returns = rng.normal(-0.1, 1.0, (bars, 6))
    returns[:, 4] = returns[:, 1]
    returns[:, 5] = 0.0
    returns[bars // 2 :, 3] = 0.0
    got = probability_of_backtest_overfitting(returns, blocks, metric)
    logits, inside, outside = by_hand(returns, blocks, metric)
    assert got.logits == pytest.approx(logits, abs=1e-12)
    assert got.pbo == np.mean(np.array(logits) <= 0)
    assert got.loss_probability == np.mean(np.array(outside) < 0)
    assert got.slope == pytest.approx(np.polyfit(inside, outside, 1)[0], abs=1e-9)
    assert (got.trials, got.splits) == (6, math.comb(blocks, blocks // 2))


def test_four_of_six() -> None:
    got = probability_of_backtest_overfitting([[1, 0, 2], [2, 1, 0], [0, 2, 1], [1, 3, 0]], blocks=4, metric="mean")
    assert got.pbo == 4 / 6


@pytest.mark.parametrize("metric", ["sharpe", "mean"])
def test_noise_without_any_mean_is_overfitting_in_every_split(metric: Metric) -> None:
    noise = np.random.default_rng(11).normal(size=(480, 20))
    noise = (noise - noise.mean(axis=0)) / noise.std(axis=0)
    got = probability_of_backtest_overfitting(noise, blocks=8, metric=metric)
    assert got.pbo == 1.0
    assert got.vetoed
    assert got.loss_probability == 1.0
    if metric == "mean":
        assert got.slope == pytest.approx(-1.0, abs=1e-9)


@pytest.mark.parametrize("metric", ["sharpe", "mean"])
def test_a_strategy_with_an_edge_is_never_overfitting(metric: Metric) -> None:
    returns = np.random.default_rng(12).normal(size=(800, 30))
    returns[:, 17] += 0.35
    got = probability_of_backtest_overfitting(returns, blocks=8, metric=metric)
    assert got.pbo == 0.0
    assert not got.vetoed
    assert (got.logits == math.log(30)).all()


def test_pure_noise_is_a_coin_and_single_values_range_widely() -> None:
    found = [
        probability_of_backtest_overfitting(np.random.default_rng(seed).normal(size=(480, 40)), blocks=8).pbo
        for seed in range(200)
    ]
    assert np.mean(found) == pytest.approx(0.499, abs=0.04)
    low, high = np.quantile(found, [0.05, 0.95])
    assert low < 0.3
    assert high > 0.7


def test_the_order_of_columns_is_of_no_account_even_between_twins() -> None:
    rng = np.random.default_rng(4)
    returns = rng.normal(size=(96, 13))
    returns[:, 5] = returns[:, 2]
    returns[:, 9:] = 0.0
    one = probability_of_backtest_overfitting(returns, blocks=8)
    for _ in range(5):
        other = probability_of_backtest_overfitting(returns[:, rng.permutation(13)], blocks=8)
        assert (other.logits == one.logits).all()
        assert other.loss_probability == one.loss_probability


def test_trials_that_are_all_alike_leave_nothing_to_choose() -> None:
    returns = np.repeat(np.random.default_rng(2).normal(size=(64, 1)), 5, axis=1)
    got = probability_of_backtest_overfitting(returns, blocks=4)
    assert (got.logits == 0.0).all()
    assert got.pbo == 1.0
    assert probability_of_backtest_overfitting(np.zeros((8, 2)), blocks=4).slope is None


def test_a_small_spread_on_a_large_mean_keeps_its_digits() -> None:
    rng = np.random.default_rng(6)
    returns = 1e5 + rng.normal(size=(60, 4))
    got = probability_of_backtest_overfitting(returns, blocks=6)
    logits, inside, outside = by_hand(returns, 6, "sharpe")
    assert got.logits == pytest.approx(logits, abs=1e-12)
    assert got.slope == pytest.approx(np.polyfit(inside, outside, 1)[0], rel=1e-9)


@pytest.mark.parametrize("blocks", [2, 10, 12])
def test_many_splits_worked_in_portions_give_the_same(blocks: int, monkeypatch: pytest.MonkeyPatch) -> None:
    returns = np.random.default_rng(9).normal(size=(60, 3))
    whole = probability_of_backtest_overfitting(returns, blocks)
    monkeypatch.setattr("novapulse.stats.overfit._CELLS_AT_ONCE", 100)
    portions = probability_of_backtest_overfitting(returns, blocks)
    assert (whole.logits == portions.logits).all()
    assert whole.slope == portions.slope


GOOD = np.random.default_rng(0).normal(size=(32, 3))
STUCK = np.where(np.arange(3) == 1, 0.1, GOOD)
HOLED = np.where((np.arange(32) == 7)[:, None] & (np.arange(3) == 2), np.nan, GOOD)

REFUSED = {
    "one trial": (lambda: probability_of_backtest_overfitting(GOOD[:, :1]), "at least 2 trials"),
    "one column": (lambda: probability_of_backtest_overfitting(GOOD[:, 0]), "matrix of bars"),
    "odd blocks": (lambda: probability_of_backtest_overfitting(GOOD, 5), "even number"),
    "no blocks": (lambda: probability_of_backtest_overfitting(GOOD, 0), "from 2 to 20"),
    "too many blocks": (lambda: probability_of_backtest_overfitting(GOOD, 22), "from 2 to 20"),
    "too few bars": (lambda: probability_of_backtest_overfitting(GOOD[:7], 8), "need at least 8 bars, got 7"),
    "one bar a half": (lambda: probability_of_backtest_overfitting(GOOD[:2], 2), "need at least 4 bars"),
    "a hole": (lambda: probability_of_backtest_overfitting(HOLED), "nan at row 7 of trial 2"),
    "a metric of one's own": (lambda: probability_of_backtest_overfitting(GOOD, 8, "sortino"), "'sortino'"),
    "interest": (lambda: probability_of_backtest_overfitting(STUCK, 8), "trial 1 has the same return"),
    "no trial": (lambda: expected_max_sharpe(0, 1.0), "trials must be at least 1"),
    "trials unknown": (lambda: expected_max_sharpe(math.nan, 1.0), "trials must be at least 1"),
    "a negative variance": (lambda: deflated_sharpe_ratio(NORMAL, 5, -1.0), "variance across trials"),
    "no target": (lambda: min_backtest_years(5, 0.0), "above 0"),
    "no square": (lambda: effective_trials([[1.0, 0.5]]), "is square"),
    "an empty square": (lambda: effective_trials(np.empty((0, 0))), "is square"),
    "a hole in the correlations": (lambda: effective_trials([[1.0, math.nan], [math.nan, 1.0]]), "not finite"),
    "a covariance": (lambda: effective_trials([[2.0, 0.1], [0.1, 2.0]]), "ones on its diagonal"),
    "one side only": (lambda: effective_trials([[1.0, 0.5], [0.1, 1.0]]), "symmetric"),
    "beyond one": (lambda: effective_trials([[1.0, 1.5], [1.5, 1.0]]), "between -1 and 1"),
}


@pytest.mark.parametrize(("call", "sentence"), REFUSED.values(), ids=REFUSED)
def test_nonsense_is_refused_in_a_sentence(call, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        call()
