"""How much one Sharpe ratio proves: its variance, the chance of luck, the record it needs, what a year makes of it.

Every Sharpe ratio here is per period of the returns it came from: mean / standard deviation (ddof=1), never annualised.
Kurtosis is not in excess: 3 for a normal distribution. The gate trusts the more sceptical of two forms, that of 2012
(variance at the observed ratio) and that of 2025 (variance under the null): each alone passes luck too often where
the other does not. Unknown is None, never zero; what could only be a mistake is a ValueError.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from novapulse.core.bars import Floats
from novapulse.stats._inputs import column

OBSERVATIONS_MIN = 120
"""Fewest returns on which the asymptotic forms are trusted: below it returns with rare crashes pass too often."""

_NORMAL = NormalDist()
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Moments:
    """What inference needs to know of one series of returns.

    Attributes:
        sharpe: Mean / standard deviation (ddof=1), per period.
        skew: Third standardised moment.
        kurtosis: Fourth standardised moment, not in excess: at least 1 + skew^2.
        observations: Number of returns, >= 2.
        autocorrelation: Lag-one autocorrelation, -1..1 exclusive; used by the form of 2025 alone.

    Raises:
        ValueError: A number is not finite or outside its range.
    """

    sharpe: float
    skew: float
    kurtosis: float
    observations: int
    autocorrelation: float = 0.0

    def __post_init__(self) -> None:
        for name in ("sharpe", "skew", "kurtosis", "autocorrelation"):
            _finite(name, getattr(self, name))
        if self.observations < 2:
            raise ValueError(f"observations must be at least 2, got {self.observations}")
        if self.kurtosis < (1.0 + self.skew**2) * (1.0 - _ROUNDING):
            raise ValueError(
                f"kurtosis {self.kurtosis} with skew {self.skew} belongs to no distribution: "
                "it counts 3 for a normal one and is at least 1 + skew^2"
            )
        _autocorrelation_in_range(self.autocorrelation)

    @classmethod
    def of(cls, returns: ArrayLike, autocorrelation: float = 0.0) -> Self | None:
        """Measure a series of returns.

        Args:
            returns: float64[T], fraction per period, finite.
            autocorrelation: Lag-one autocorrelation to assume, -1..1 exclusive.

        Returns:
            The moments, or None where they do not exist: fewer than two returns, or all the same.

        Raises:
            ValueError: Returns are not one finite column, or the autocorrelation is out of range.
        """
        values = column("returns", returns)
        _autocorrelation_in_range(autocorrelation)
        deviations = _deviations(values)
        if deviations is None:
            return None
        # Ratios of moments have no scale: one of 1 for the largest deviation neither overflows nor underflows.
        scale = float(np.abs(deviations).max())
        unit = deviations / scale
        square = unit * unit
        second = float(square.mean())
        count = len(values)
        return cls(
            sharpe=float(values.mean()) / (scale * math.sqrt(second * count / (count - 1))),
            skew=float((square * unit).mean()) / second**1.5,
            kurtosis=float((square * square).mean()) / second**2,
            observations=count,
            autocorrelation=autocorrelation,
        )


def autocorrelations(returns: ArrayLike, lags: int) -> Floats | None:
    """Estimate the autocorrelations of lags 1 to `lags`.

    Args:
        returns: float64[T], fraction per period, finite.
        lags: How many, 1..T-1.

    Returns:
        float64[lags], -1..1, each sum divided by the sum of all squares, as Lo (2002) needs them; None where the
        returns are fewer than two or all the same.

    Raises:
        ValueError: Returns are not one finite column, or there are fewer than `lags` + 1 of them.
    """
    values = column("returns", returns)
    deviations = _deviations(values)
    if deviations is None:
        return None
    if not 1 <= lags < len(values):
        raise ValueError(f"lags must be 1 to {len(values) - 1} for {len(values)} returns, got {lags}")
    unit = deviations / np.abs(deviations).max()
    total = float(unit @ unit)
    return np.array([float(unit[lag:] @ unit[:-lag]) / total for lag in range(1, lags + 1)])


def sharpe_variance(
    sharpe: float, observations: float, skew: float = 0.0, kurtosis: float = 3.0, autocorrelation: float = 0.0
) -> float:
    """Return the variance of an estimated Sharpe ratio whose true value is `sharpe`.

    For independent returns that of Mertens (2002), as used by Bailey and Lopez de Prado (2012); with first-order
    autocorrelation that of Lopez de Prado, Lipton and Zoonekynd (2025).

    Args:
        sharpe: True ratio, per period.
        observations: Number of returns, > 0.
        skew: Third standardised moment of the returns.
        kurtosis: Fourth standardised moment, not in excess.
        autocorrelation: Lag-one autocorrelation, -1..1 exclusive.

    Returns:
        Variance, > 0.

    Raises:
        ValueError: An argument is out of range, or the moments leave no positive variance.
    """
    _autocorrelation_in_range(autocorrelation)
    if not observations > 0:
        raise ValueError(f"observations must be above 0, got {observations}")
    rho, square = autocorrelation, autocorrelation**2
    level = (1.0 + rho) / (1.0 - rho)
    tilt = (1.0 + rho + square) / (1.0 - square)
    spread = (1.0 + square) / (1.0 - square)
    variance = level - tilt * skew * sharpe + spread * (kurtosis - 1.0) / 4.0 * sharpe**2
    if not variance > 0.0:
        raise ValueError(
            f"the Sharpe ratio {sharpe} has no positive variance with skew {skew}, kurtosis {kurtosis} "
            f"and autocorrelation {autocorrelation}"
        )
    return variance / observations


def psr_2012(track: Moments, benchmark: float = 0.0) -> float:
    """Return the probabilistic Sharpe ratio of Bailey and Lopez de Prado (2012): variance at the observed ratio.

    Args:
        track: Moments of the returns; their autocorrelation is not used.
        benchmark: Ratio to beat, per period.

    Returns:
        Probability that the true ratio exceeds the benchmark, 0..1.

    Raises:
        ValueError: The benchmark is not finite, or the moments leave no positive variance.
    """
    _finite("benchmark", benchmark)
    variance = sharpe_variance(track.sharpe, track.observations - 1, track.skew, track.kurtosis)
    return _NORMAL.cdf((track.sharpe - benchmark) / math.sqrt(variance))


def psr_2025(track: Moments, benchmark: float = 0.0) -> float:
    """Return the probabilistic Sharpe ratio of Lopez de Prado, Lipton and Zoonekynd (2025): variance under the null.

    At a benchmark of zero it takes no notice of skew and kurtosis.

    Args:
        track: Moments of the returns.
        benchmark: Ratio to beat, per period.

    Returns:
        One minus the p-value of the null that the true ratio is the benchmark, 0..1.

    Raises:
        ValueError: The benchmark is not finite, or the moments leave no positive variance.
    """
    variance = _null_variance(track, benchmark, track.observations)
    return _NORMAL.cdf((track.sharpe - benchmark) / math.sqrt(variance))


def probabilistic_sharpe_ratio(track: Moments, benchmark: float = 0.0) -> float:
    """Return the smaller of the forms of 2012 and 2025: what the gate goes by.

    Args:
        track: Moments of the returns.
        benchmark: Ratio to beat, per period.

    Returns:
        Probability, 0..1.

    Raises:
        ValueError: The benchmark is not finite, or the moments leave no positive variance.
    """
    return min(psr_2012(track, benchmark), psr_2025(track, benchmark))


def min_track_record_2012(track: Moments, benchmark: float = 0.0, alpha: float = 0.05) -> float:
    """Return the returns needed for `psr_2012` to reach 1 - alpha (Bailey and Lopez de Prado 2012).

    Args:
        track: Moments of the returns; only their observations are taken as free.
        benchmark: Ratio to beat, per period.
        alpha: Accepted chance of luck, 0..0.5 exclusive.

    Returns:
        Number of observations, > 1, not rounded; infinite where the ratio does not exceed the benchmark.

    Raises:
        ValueError: The benchmark or alpha is out of range, or the moments leave no positive variance.
    """
    _finite("benchmark", benchmark)
    variance = sharpe_variance(track.sharpe, 1, track.skew, track.kurtosis)
    return 1.0 + variance * _errors_needed(track.sharpe - benchmark, alpha)


def min_track_record_2025(track: Moments, benchmark: float = 0.0, alpha: float = 0.05) -> float:
    """Return the returns needed for `psr_2025` to reach 1 - alpha (Lopez de Prado, Lipton and Zoonekynd 2025).

    Args:
        track: Moments of the returns; only their observations are taken as free.
        benchmark: Ratio to beat, per period.
        alpha: Accepted chance of luck, 0..0.5 exclusive.

    Returns:
        Number of observations, > 0, not rounded; infinite where the ratio does not exceed the benchmark.

    Raises:
        ValueError: The benchmark or alpha is out of range, or the moments leave no positive variance.
    """
    return _null_variance(track, benchmark, 1) * _errors_needed(track.sharpe - benchmark, alpha)


def minimum_track_record_length(track: Moments, benchmark: float = 0.0, alpha: float = 0.05) -> float:
    """Return the larger of the forms of 2012 and 2025: from there on `probabilistic_sharpe_ratio` reaches 1 - alpha.

    Args:
        track: Moments of the returns; only their observations are taken as free.
        benchmark: Ratio to beat, per period.
        alpha: Accepted chance of luck, 0..0.5 exclusive.

    Returns:
        Number of observations, > 1, not rounded; infinite where the ratio does not exceed the benchmark.

    Raises:
        ValueError: The benchmark or alpha is out of range, or the moments leave no positive variance.
    """
    return max(min_track_record_2012(track, benchmark, alpha), min_track_record_2025(track, benchmark, alpha))


def enough_observations(track: Moments, benchmark: float = 0.0, alpha: float = 0.05) -> bool:
    """Say whether a record is long enough to be judged: `OBSERVATIONS_MIN` returns and its own minimum length.

    Args:
        track: Moments of the returns.
        benchmark: Ratio to beat, per period.
        alpha: Accepted chance of luck, 0..0.5 exclusive.

    Raises:
        ValueError: The benchmark or alpha is out of range, or the moments leave no positive variance.
    """
    return track.observations >= max(OBSERVATIONS_MIN, minimum_track_record_length(track, benchmark, alpha))


def power(track: Moments, alternative: float, benchmark: float = 0.0, alpha: float = 0.05) -> float:
    """Return how often a strategy with a true ratio of `alternative` is told from the benchmark.

    The test of Lopez de Prado, Lipton and Zoonekynd (2025), whose beta is one minus this.

    Args:
        track: Moments of the returns; their ratio is not used.
        alternative: True ratio, per period, above the benchmark.
        benchmark: Ratio to beat, per period.
        alpha: Size of the test, 0..0.5 exclusive.

    Returns:
        Probability, alpha..1 where the variance does not shrink with the ratio.

    Raises:
        ValueError: The alternative does not exceed the benchmark, alpha is out of range, or the moments leave no
            positive variance.
    """
    _finite("alternative", alternative)
    if alternative <= benchmark:
        raise ValueError(f"the alternative must exceed the benchmark, got {alternative} and {benchmark}")
    critical = benchmark + _quantile(alpha) * math.sqrt(_null_variance(track, benchmark, track.observations))
    spread = math.sqrt(_null_variance(track, alternative, track.observations))
    return _NORMAL.cdf((alternative - critical) / spread)


def false_discovery_rate(alpha: float, beta: float, prior: float) -> float:
    """Return the share of luck among the strategies that pass a test: Storey's positive rate (2003).

    Args:
        alpha: Chance that a worthless strategy passes, 0..1.
        beta: Chance that a true one fails, 0..1.
        prior: Share of true ones among all that are tested, 0..1 exclusive (0.05 to 0.10 is realistic).

    Returns:
        Probability that a strategy that passed is worthless, 0..1.

    Raises:
        ValueError: An argument is out of range, or nothing can pass at all.
    """
    if not (0.0 <= alpha <= 1.0 and 0.0 <= beta <= 1.0 and 0.0 < prior < 1.0):
        raise ValueError(f"alpha and beta must be 0 to 1, prior between them, got {alpha}, {beta} and {prior}")
    luck, truth = alpha * (1.0 - prior), (1.0 - beta) * prior
    if luck + truth == 0.0:
        raise ValueError("with alpha 0 and beta 1 no strategy ever passes")
    return luck / (luck + truth)


def annualised_sharpe_lo(sharpe: float, periods: float, lagged: ArrayLike) -> float:
    """Annualise a Sharpe ratio of autocorrelated returns (Lo 2002).

    Args:
        sharpe: Ratio per period.
        periods: Periods in a year, >= 1.
        lagged: float64[K], autocorrelations of lags 1 to K, -1..1. Lags beyond K count as zero, lags of a year and
            more do not enter; with none of them the factor is the square root of `periods`.

    Returns:
        Ratio per year.

    Raises:
        ValueError: An argument is out of range, or the autocorrelations leave a year no variance.
    """
    _finite("sharpe", sharpe)
    if not 1.0 <= periods < math.inf:
        raise ValueError(f"periods in a year must be at least 1, got {periods}")
    rho = np.asarray(lagged, np.float64)
    if rho.ndim != 1 or not (np.abs(rho) <= 1.0).all():
        raise ValueError("autocorrelations must be one column of numbers from -1 to 1")
    weights = np.maximum(periods - np.arange(1, len(rho) + 1), 0.0)
    variance = periods + 2.0 * float(weights @ rho)
    if variance <= 0.0:
        raise ValueError(f"these autocorrelations leave a year of {periods:g} periods no variance")
    return sharpe * periods / math.sqrt(variance)


def _finite(name: str, number: float) -> None:
    if not math.isfinite(number):
        raise ValueError(f"{name} must be finite, got {number}")


def _autocorrelation_in_range(autocorrelation: float) -> None:
    if not -1.0 < autocorrelation < 1.0:
        raise ValueError(f"autocorrelation must be between -1 and 1, got {autocorrelation}")


def _deviations(values: Floats) -> Floats | None:
    if len(values) < 2 or values.min() == values.max():
        return None
    deviations: Floats = values - values.mean()
    return deviations


def _quantile(alpha: float) -> float:
    if not 0.0 < alpha < 0.5:
        raise ValueError(f"alpha must be between 0 and 0.5, got {alpha}")
    return -_NORMAL.inv_cdf(alpha)


def _null_variance(track: Moments, sharpe: float, observations: float) -> float:
    _finite("benchmark", sharpe)
    return sharpe_variance(sharpe, observations, track.skew, track.kurtosis, track.autocorrelation)


def _errors_needed(advantage: float, alpha: float) -> float:
    quantile = _quantile(alpha)
    return (quantile / advantage) ** 2 if advantage > 0.0 else math.inf
