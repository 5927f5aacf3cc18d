"""Regimes: labelled markets are recovered, hysteresis holds, and nothing is remembered without bound."""

from itertools import pairwise

import numpy as np
import pytest

from novapulse.core.bars import MINUTE_NS, Floats
from novapulse.signals import Indicators, regimes
from novapulse.signals.regimes import HIGH, LOW, NORMAL, RANGE, TREND, Thresholds, classify
from tests.strategies.markets import market

ORDERED = Thresholds(0.25, 0.28, 0.62, 0.70, 0.14)


def states(
    adx: list[float] | Floats, *, efficiency: float = 0.5, volatility: float = 0.4, thresholds: Thresholds = ORDERED
) -> list[int]:
    """Return the trend state for a path of ADX, all else constant."""
    path = np.asarray(adx, np.float64)
    constant = np.full(path.size, efficiency), np.full(path.size, volatility)
    return classify(path, *constant, thresholds).trend.tolist()


def wildness(volatility: list[float], thresholds: Thresholds = ORDERED) -> list[int]:
    """Return the volatility state for a path of volatility."""
    path = np.asarray(volatility)
    return classify(np.zeros(path.size), np.zeros(path.size), path, thresholds).volatility.tolist()


def test_a_trend_begins_above_25_and_ends_below_20() -> None:
    assert states([19, 24, 26, 24, 21, 19, 24]) == [RANGE, RANGE, TREND, TREND, TREND, RANGE, RANGE]


def test_a_trend_needs_efficient_movement_to_begin() -> None:
    assert states([30, 30, 30], efficiency=0.1) == [RANGE] * 3


def test_volatility_keeps_its_state_inside_the_hysteresis() -> None:
    path = [0.4, 0.24, 0.27, 0.29, 0.27, 0.71, 0.65, 0.61, 0.65, 0.71, 0.27]
    expected = [NORMAL, LOW, LOW, NORMAL, NORMAL, HIGH, HIGH, NORMAL, NORMAL, HIGH, NORMAL]
    assert wildness(path) == expected


def test_an_indecisive_state_is_forgotten() -> None:
    memory = regimes.MEMORY_BARS
    trend = states([30.0] + [22.0] * (memory + 5))
    assert trend == [TREND] * memory + [RANGE] * 6
    assert wildness([0.8] + [0.65] * (memory + 5)) == [HIGH] * memory + [NORMAL] * 6


def test_the_unknown_decides_nothing() -> None:
    assert states([np.nan, 30, np.nan, 22]) == [RANGE, TREND, TREND, TREND]
    assert wildness([np.nan, 0.8, np.nan, 0.65]) == [NORMAL, HIGH, HIGH, HIGH]


def test_thresholds_may_change_from_bar_to_bar() -> None:
    rows = 4
    moving = Thresholds(0.2, 0.25, np.array([0.6, 0.6, 0.3, 0.3]), np.array([0.7, 0.7, 0.35, 0.35]), 0.14)
    assert wildness([0.4] * rows, moving) == [NORMAL, NORMAL, HIGH, HIGH]
    assert wildness([0.4] * 2, moving.rows(slice(2, 4))) == [HIGH, HIGH]


@pytest.mark.parametrize(
    ("thresholds", "message"),
    [
        pytest.param(Thresholds(0.5, 0.4), "row 0 are", id="upside down"),
        pytest.param(Thresholds(volatility_low=float("nan")), "row 0 are", id="NaN"),
        pytest.param(Thresholds(efficiency_trend=1.5), "row 0 are", id="impossible efficiency"),
        pytest.param(Thresholds(efficiency_trend=np.array([0.1, 2.0, 0.1])), "row 1 are", id="one bad row"),
        pytest.param(Thresholds(efficiency_trend=np.zeros(2)), r"efficiency_trend has shape \(2,\)", id="length"),
    ],
)
def test_contradictory_thresholds_are_refused(thresholds: Thresholds, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        states([20, 20, 20], thresholds=thresholds)


def labelled(drift: float, seed: int, segments: int = 40, bars: int = 250) -> tuple[Floats, Floats]:
    """Return closes of trending and mean-reverting stretches by turns, and the truth (1 = trend)."""
    chance = np.random.default_rng(seed)
    truth = np.repeat(np.arange(segments) % 2, bars).astype(np.float64)
    price, centre, direction = 1000.0, 1000.0, 1.0
    closes = np.empty(truth.size)
    for i, trending in enumerate(truth):
        if i % bars == 0:
            centre, direction = price, 1.0 if chance.random() < 0.5 else -1.0
        pull = direction * drift if trending else 0.1 * (centre - price)
        price += pull + chance.normal()
        closes[i] = price
    return closes, truth


def area_under_curve(score: Floats, truth: Floats) -> float:
    """Return the chance that a random trend bar scores above a random range bar."""
    ranks = np.argsort(np.argsort(score))
    positive = truth == 1
    count = positive.sum()
    return float((ranks[positive].sum() - count * (count - 1) / 2) / (count * (truth.size - count)))


@pytest.mark.parametrize(("drift", "least_area", "least_accuracy"), [(0.2, 0.80, 0.75), (0.4, 0.95, 0.90)])
def test_labelled_regimes_are_recovered(drift: float, least_area: float, least_accuracy: float) -> None:
    """R-13: a weak and a strong drift against mean reversion; the bars right behind a change cannot be known."""
    closes, truth = labelled(drift, seed=3)
    indicators = Indicators(market(closes, wick=0.3))
    known = (np.arange(truth.size) % 250 >= 60) & (np.arange(truth.size) >= regimes.warmup_bars())
    trend = indicators.regime.trend[known]
    found, falsely = (trend[truth[known] == 1] == TREND).mean(), (trend[truth[known] == 0] == TREND).mean()
    assert area_under_curve(indicators.adx(regimes.ADX_BARS)[known], truth[known]) > least_area
    assert 0.5 * (found + 1 - falsely) > least_accuracy
    changes = sum(a != b for a, b in pairwise(trend.tolist()))
    raw = np.diff(indicators.adx(regimes.ADX_BARS)[known] > 22.5).sum()
    assert changes < 0.7 * raw, "hysteresis must calm what a bare threshold would flip"


def test_calm_and_wild_stretches_are_recovered() -> None:
    year = np.sqrt(regimes.bars_per_year(MINUTE_NS))
    chance = np.random.default_rng(4)
    truth = np.tile(np.repeat([LOW, NORMAL, HIGH], 400), 6)
    annual = np.choose(truth + 1, [0.15, 0.45, 1.2])
    closes = 100 * np.exp(np.cumsum(annual / year * chance.normal(size=truth.size)))
    regime = Indicators(market(closes, wick=0.01)).regime
    known = np.arange(truth.size) % 400 >= regimes.VOLATILITY_BARS
    assert (regime.volatility[known] == truth[known]).mean() > 0.97


def test_labels_name_both_states() -> None:
    columns = classify(np.array([30.0, 10.0]), np.ones(2), np.array([0.8, 0.2]), ORDERED)
    assert columns.names == ["trend-high", "range-low"]
