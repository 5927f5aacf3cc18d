"""Inference on one Sharpe ratio, against published numbers, simulation and the definitions."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from novapulse.stats.sharpe import (
    OBSERVATIONS_MIN,
    Moments,
    annualised_sharpe_lo,
    autocorrelations,
    enough_observations,
    false_discovery_rate,
    min_track_record_2012,
    min_track_record_2025,
    minimum_track_record_length,
    power,
    probabilistic_sharpe_ratio,
    psr_2012,
    psr_2025,
    sharpe_variance,
)

# The fund of 24 months that the papers of 2012 and 2025 both carry through.
SKEW, KURTOSIS = -2.448, 10.164
NORMAL_FUND = Moments(0.458, 0.0, 3.0, 24)
FUND_2012 = Moments(0.458, SKEW, KURTOSIS, 24)
FUND_2025 = Moments(0.036 / 0.079, SKEW, KURTOSIS, 24)
FUND_AUTOCORRELATED = Moments(0.036 / 0.079, SKEW, KURTOSIS, 24, autocorrelation=0.2)

VECTORS = {
    "PSR 2012, normal": (psr_2012(NORMAL_FUND), 0.98167, 5e-6),
    "PSR 2012, skewed": (psr_2012(FUND_2012), 0.91336, 5e-6),
    "PSR 2025 against 0": (psr_2025(FUND_2025), 0.987, 5e-4),
    "PSR 2025 against 0.1": (psr_2025(FUND_2025, 0.1), 0.939, 5e-4),
    "PSR 2025 against 0, autocorrelated": (psr_2025(FUND_AUTOCORRELATED), 0.9658, 5e-5),
    "PSR 2025 against 0.1, autocorrelated": (psr_2025(FUND_AUTOCORRELATED, 0.1), 0.9005, 5e-5),
    "standard error, skewed": (math.sqrt(sharpe_variance(0.036 / 0.079, 24, SKEW, KURTOSIS)), 0.329, 5e-4),
    "standard error, normal": (math.sqrt(sharpe_variance(0.036 / 0.079, 24)), 0.214, 5e-4),
    "MinTRL 2025": (min_track_record_2025(FUND_2025), 13.029, 5e-4),
    "beta": (1 - power(FUND_2025, 0.5), 0.315, 5e-4),
    "false discoveries": (false_discovery_rate(0.05, 0.315, 0.05), 0.581, 5e-4),
    "false discoveries by the odds": (false_discovery_rate(0.05, 0.2, 0.1), 1 / (1 + 0.8 * 0.1 / (0.05 * 0.9)), 1e-12),
    "Lo, AR(1) of 0.2": (annualised_sharpe_lo(1.0, 12, 0.2 ** np.arange(1, 12)), 2.879, 5e-4),
    "Lo, independent": (annualised_sharpe_lo(1.0, 12, []), math.sqrt(12), 1e-12),
    "Lo, lags of a year and more": (annualised_sharpe_lo(1.0, 3, [0.0, 0.0, 0.9, 0.9]), math.sqrt(3), 1e-12),
}


@pytest.mark.parametrize(("got", "published", "tolerance"), VECTORS.values(), ids=VECTORS)
def test_published_value(got: float, published: float, tolerance: float) -> None:
    assert got == pytest.approx(published, abs=tolerance, rel=0)


@pytest.mark.parametrize(
    ("periods", "skew", "kurtosis", "years"),
    [(252, 0.0, 3.0, 2.73), (52, 0.0, 3.0, 2.83), (12, 0.0, 3.0, 3.24), (12, -0.72, 5.78, 4.99)],
    ids=["daily", "weekly", "monthly", "monthly, skewed"],
)
def test_published_years_to_tell_an_annual_ratio_of_2_from_1(
    periods: int, skew: float, kurtosis: float, years: float
) -> None:
    track = Moments(2 / math.sqrt(periods), skew, kurtosis, 24)
    assert min_track_record_2012(track, 1 / math.sqrt(periods)) / periods == pytest.approx(years, abs=5e-3)


def test_moments_are_those_of_the_definition() -> None:
    returns = np.array([0.03, -0.02, 0.01, 0.05, -0.04, 0.0, 0.02])
    track = Moments.of(returns)
    assert track is not None
    z = (returns - returns.mean()) / returns.std()
    assert track.sharpe == pytest.approx(returns.mean() / returns.std(ddof=1), rel=1e-12)
    assert (track.skew, track.kurtosis) == pytest.approx(((z**3).mean(), (z**4).mean()), rel=1e-12)
    assert track.observations == 7


def test_moments_of_a_large_normal_sample_count_three_for_the_fourth() -> None:
    track = Moments.of(np.random.default_rng(5).normal(0.1, 1.0, 100_000))
    assert track is not None
    assert (track.sharpe, track.skew, track.kurtosis) == pytest.approx((0.1, 0.0, 3.0), abs=0.06)


@given(st.lists(st.floats(-1, 1), min_size=3, max_size=30), st.sampled_from([2.0**-600, 2.0**-20, 2.0**400]))
def test_moments_have_no_unit(returns: list[float], unit: float) -> None:
    column = np.round(returns, 6)
    track, scaled = Moments.of(column), Moments.of(column * unit)
    assert (track is None) == (scaled is None) == (column.min() == column.max())
    if track is not None and scaled is not None:
        assert scaled.sharpe == pytest.approx(track.sharpe, rel=1e-12)
        assert scaled.kurtosis == pytest.approx(track.kurtosis, rel=1e-12)


@pytest.mark.parametrize("returns", [[], [0.01], [0.1] * 10, [0.0] * 3], ids=["none", "one", "constant", "flat"])
def test_what_has_no_sharpe_ratio_is_unknown(returns: list[float]) -> None:
    assert Moments.of(returns) is None
    assert autocorrelations(returns, 1) is None


def test_variance_is_that_of_simulated_autocorrelated_skewed_returns() -> None:
    rho, true, rows, worlds = 0.2, 0.5, 400, 6000
    rng = np.random.default_rng(3)
    state = np.zeros(worlds)
    total, square = np.zeros(worlds), np.zeros(worlds)
    for row in range(-30, rows):
        state = rho * state + (1.0 - rng.exponential(size=worlds))
        if row >= 0:
            returns = true + state * math.sqrt(1 - rho**2)
            total += returns
            square += returns**2
    ratios = total / rows / np.sqrt((square - total**2 / rows) / (rows - 1))
    skew = -2.0 * (1 - rho**2) ** 1.5 / (1 - rho**3)
    kurtosis = 3.0 + 6.0 * (1 - rho**2) ** 2 / (1 - rho**4)
    assert sharpe_variance(true, rows, skew, kurtosis, rho) == pytest.approx(ratios.var(), rel=0.08)
    assert sharpe_variance(true, rows, skew, kurtosis) < 0.8 * ratios.var()


def test_skew_towards_losses_lowers_confidence() -> None:
    ladder = [psr_2012(Moments(0.3, skew, 12.0, 60)) for skew in (1.0, 0.0, -1.0, -2.0, -3.0)]
    assert ladder == sorted(ladder, reverse=True)
    assert len(set(ladder)) == len(ladder)


def test_the_gate_takes_the_more_sceptical_form() -> None:
    crashes, lottery = Moments(0.3, -2.0, 9.0, 60), Moments(0.3, 2.0, 6.0, 60)
    assert probabilistic_sharpe_ratio(crashes) == psr_2012(crashes) < psr_2025(crashes)
    assert probabilistic_sharpe_ratio(lottery) == psr_2025(lottery) < psr_2012(lottery)


def test_a_ratio_equal_to_its_benchmark_is_an_even_bet() -> None:
    assert psr_2012(FUND_2012, 0.458) == psr_2025(FUND_2012, 0.458) == 0.5


@pytest.mark.parametrize("skew", [-1.5, 0.0, 1.5])
@pytest.mark.parametrize("autocorrelation", [-0.2, 0.0, 0.3])
def test_the_minimum_record_is_where_the_gate_opens(skew: float, autocorrelation: float) -> None:
    def record(observations: int) -> Moments:
        return Moments(0.2, skew, 7.0, observations, autocorrelation)

    length = minimum_track_record_length(record(2), 0.05, alpha=0.1)
    assert probabilistic_sharpe_ratio(record(math.ceil(length)), 0.05) >= 0.9
    assert probabilistic_sharpe_ratio(record(math.ceil(length) - 1), 0.05) < 0.9


def test_no_record_is_long_enough_for_a_ratio_that_does_not_beat_its_benchmark() -> None:
    assert minimum_track_record_length(FUND_2012, 0.458) == math.inf
    assert not enough_observations(Moments(0.0, 0.0, 3.0, 10**9))


def test_enough_is_both_the_floor_and_the_own_minimum() -> None:
    strong, weak = 1.0, 0.05
    assert not enough_observations(Moments(strong, 0.0, 3.0, OBSERVATIONS_MIN - 1))
    assert enough_observations(Moments(strong, 0.0, 3.0, OBSERVATIONS_MIN))
    needed = math.ceil(minimum_track_record_length(Moments(weak, 0.0, 3.0, 2)))
    assert needed > OBSERVATIONS_MIN
    assert not enough_observations(Moments(weak, 0.0, 3.0, needed - 1))
    assert enough_observations(Moments(weak, 0.0, 3.0, needed))


def test_autocorrelations_of_a_known_process() -> None:
    rng = np.random.default_rng(8)
    values = rng.normal(size=50_001)
    found = autocorrelations(values[1:] + 0.5 * values[:-1], 3)
    assert found == pytest.approx([0.4, 0.0, 0.0], abs=0.02)
    assert autocorrelations([1.0, -1.0, 1.0, -1.0], 2) == pytest.approx([-0.75, 0.5])


REFUSED = {
    "a missing return": (lambda: Moments.of([0.1, math.nan]), "returns: row 1"),
    "a table of returns": (lambda: Moments.of([[0.1, 0.2]]), "one dimension"),
    "kurtosis in excess": (lambda: Moments(0.1, 0.0, 0.0, 100), "3 for a normal"),
    "a single observation": (lambda: Moments(0.1, 0.0, 3.0, 1), "observations must be at least 2"),
    "an infinite ratio": (lambda: Moments(math.inf, 0.0, 3.0, 9), "sharpe must be finite"),
    "a unit root": (lambda: Moments(0.1, 0.0, 3.0, 9, 1.0), "autocorrelation"),
    "an unknown benchmark": (lambda: psr_2012(FUND_2012, math.nan), "benchmark must be finite"),
    "an unknown benchmark, 2025": (lambda: psr_2025(FUND_2012, math.nan), "benchmark must be finite"),
    "no observations": (lambda: sharpe_variance(0.1, 0), "observations must be above 0"),
    "a certain ratio": (lambda: sharpe_variance(1.0, 9, 2.0, 5.0), "no positive variance"),
    "alpha as confidence": (lambda: minimum_track_record_length(FUND_2012, 0.0, 0.95), "alpha must be"),
    "an alternative that is none": (lambda: power(FUND_2012, 0.1, 0.1), "alternative must exceed"),
    "a certain prior": (lambda: false_discovery_rate(0.05, 0.2, 1.0), "prior"),
    "a test nobody passes": (lambda: false_discovery_rate(0.0, 1.0, 0.1), "no strategy ever passes"),
    "half a period": (lambda: annualised_sharpe_lo(1.0, 0.5, []), "at least 1"),
    "a year without variance": (lambda: annualised_sharpe_lo(1.0, 2, [-1.0]), "no variance"),
    "autocorrelations beyond 1": (lambda: annualised_sharpe_lo(1.0, 12, [1.5]), "from -1 to 1"),
    "more lags than returns": (lambda: autocorrelations([1.0, 2.0], 2), "lags must be 1 to 1"),
}


@pytest.mark.parametrize(("call", "sentence"), REFUSED.values(), ids=REFUSED)
def test_nonsense_is_refused_in_a_sentence(call, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        call()
