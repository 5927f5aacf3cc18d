"""Scaling and diversification against numbers worked out by hand."""

import numpy as np
import pytest
from numpy.typing import NDArray

from novapulse.confluence.scale import correlation, diversification_multiplier, forecast_scalar, scaled

Floats = NDArray[np.float64]


def alike(size: int, correlation: float) -> Floats:
    """Sums of products of forecasts that are all correlated by the same amount."""
    return np.where(np.eye(size, dtype=bool), 1.0, correlation) * 400.0


@pytest.mark.parametrize(
    ("size", "correlation", "expected"),
    [(8, 0.0, 2.5), (8, 0.3, 1.606), (2, 0.5, 1.155), (2, 1.0, 1.0), (2, -0.9, 1.4142)],
    ids=["capped at 2.5", "eight at .3", "two at .5", "the same twice", "opposites count as strangers"],
)
def test_known_diversification_multipliers(size: int, correlation: float, expected: float) -> None:
    weights = np.full(size, 1.0 / size)
    assert diversification_multiplier(weights, alike(size, correlation), 2.5) == pytest.approx(expected, abs=5e-4)


def test_eight_strangers_would_get_more_than_the_cap() -> None:
    assert diversification_multiplier(np.full(8, 0.125), alike(8, 0.0), 9.0) == pytest.approx(2.8284, abs=1e-4)


def test_a_strategy_that_never_spoke_is_like_nobody() -> None:
    products = np.array([[4.0, 0.0], [0.0, 0.0]])
    assert [correlation(products, *pair) for pair in ((0, 0), (0, 1), (1, 0), (1, 1))] == [1.0, 0.0, 0.0, 1.0]


@pytest.mark.parametrize("cut", [0.1, 0.5, 0.9])
def test_splitting_a_strategy_into_clones_changes_no_consensus(cut: float) -> None:
    rng = np.random.default_rng(7)
    forecasts = rng.normal(size=(4, 5000)) * 10
    weights = np.full(4, 0.25)
    cloned = np.vstack([forecasts, forecasts[:1]])
    split = np.array([0.25 * (1 - cut), 0.25, 0.25, 0.25, 0.25 * cut])
    one = diversification_multiplier(weights, forecasts @ forecasts.T, 2.5) * (weights @ forecasts)
    two = diversification_multiplier(split, cloned @ cloned.T, 2.5) * (split @ cloned)
    assert np.allclose(one, two, rtol=1e-9, atol=0)


@pytest.mark.parametrize("common_share", [0.0, 0.3, 0.8])
def test_adding_a_clone_does_not_raise_the_consensus(common_share: float) -> None:
    rng = np.random.default_rng(11)
    common, own = rng.normal(size=20_000), rng.normal(size=(8, 20_000))
    forecasts = 10 * (np.sqrt(common_share) * common + np.sqrt(1 - common_share) * own)
    cloned = np.vstack([forecasts, forecasts[:1]])

    def mean_size(voices: Floats) -> float:
        weights = np.full(len(voices), 1 / len(voices))
        multiplier = diversification_multiplier(weights, voices @ voices.T, 2.5)
        return float(np.abs(np.clip(multiplier * (weights @ voices), -20, 20)).mean())

    assert mean_size(cloned) <= 1.05 * mean_size(forecasts)


def test_the_scalar_makes_an_average_vote_ten_and_begins_at_the_constant() -> None:
    assert forecast_scalar(0.0, 0.0, 1.35, 500.0) == pytest.approx(1.35)
    assert forecast_scalar(1e6, 4e6, 1.35, 500.0) == pytest.approx(2.5, rel=1e-2)
    assert scaled(4.0, 2.5) == 10.0
    assert (scaled(19.0, 2.5), scaled(-19.0, 2.5)) == (20.0, -20.0)
