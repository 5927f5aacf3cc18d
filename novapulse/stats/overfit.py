"""How likely the best of many trials is to be luck: deflated Sharpe ratio, effective trials, overfitting by CSCV.

Ratios are per period of the returns they came from, as in `novapulse.stats.sharpe`. The number of trials counts every
variant that was tried, not those that were kept. A high probability of backtest overfitting vetoes; a low one proves
nothing: on pure noise single values range from 0.2 to 0.8.
"""

import math
from dataclasses import dataclass
from itertools import combinations
from statistics import NormalDist
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from novapulse.core.bars import Floats
from novapulse.stats.sharpe import Moments, minimum_track_record_length, probabilistic_sharpe_ratio

__all__ = [
    "PBO_MAX",
    "Metric",
    "Moments",
    "Overfitting",
    "deflated_sharpe_ratio",
    "effective_trials",
    "expected_max_sharpe",
    "min_backtest_years",
    "minimum_track_record_length",
    "probabilistic_sharpe_ratio",
    "probability_of_backtest_overfitting",
]

Metric = Literal["sharpe", "mean"]

PBO_MAX = 0.5
"""Above it the choice of the best trial is worth less than a draw of lots."""

BLOCKS_MAX = 20
"""Most blocks that are halved in every way: 184,756 splits."""

_NORMAL = NormalDist()
_EULER_MASCHERONI = 0.5772156649015329
_ROUNDING = 1e-9
_CELLS_AT_ONCE = 1 << 19
_SHARPE_MAX = 1e6


def expected_max_sharpe(trials: float, trial_variance: float) -> float:
    """Return the Sharpe ratio that the best of many worthless trials is expected to show.

    The approximation of Bailey and Lopez de Prado (2014); one trial is expected to show none.

    Args:
        trials: Number of independent trials, >= 1; need not be whole (see `effective_trials`).
        trial_variance: Variance across trials of their Sharpe ratios per period, >= 0.

    Returns:
        Ratio per period, >= 0.

    Raises:
        ValueError: An argument is out of range.
    """
    if not 1.0 <= trials < math.inf:
        raise ValueError(f"trials must be at least 1, got {trials}")
    if not 0.0 <= trial_variance < math.inf:
        raise ValueError(f"the variance across trials must be 0 or more, got {trial_variance}")
    if trials == 1.0:
        return 0.0
    near, far = (-_NORMAL.inv_cdf(1.0 / (trials * factor)) for factor in (1.0, math.e))
    # Just above one trial the approximation falls below zero, which the best of several cannot.
    best = max((1.0 - _EULER_MASCHERONI) * near + _EULER_MASCHERONI * far, 0.0)
    return math.sqrt(trial_variance) * best


def deflated_sharpe_ratio(track: Moments, trials: float, trial_variance: float) -> float:
    """Return `probabilistic_sharpe_ratio` against the best of as many worthless trials (Bailey, Lopez de Prado 2014).

    Args:
        track: Moments of the returns of the trial that was chosen.
        trials: Number of independent trials it was chosen from, >= 1.
        trial_variance: Variance across trials of their Sharpe ratios per period, >= 0.

    Returns:
        Probability, 0..1.

    Raises:
        ValueError: An argument is out of range, or the moments leave no positive variance.
    """
    return probabilistic_sharpe_ratio(track, expected_max_sharpe(trials, trial_variance))


def min_backtest_years(trials: float, annual_sharpe: float = 1.0) -> float:
    """Return the years below which the best of many worthless trials is expected to show `annual_sharpe`.

    The minimum backtest length of Bailey, Borwein, Lopez de Prado and Zhu (2014).

    Args:
        trials: Number of independent trials, >= 1.
        annual_sharpe: Ratio per year, > 0.

    Returns:
        Years, >= 0.

    Raises:
        ValueError: An argument is out of range.
    """
    if not 0.0 < annual_sharpe < math.inf:
        raise ValueError(f"the annual Sharpe ratio must be above 0, got {annual_sharpe}")
    return (expected_max_sharpe(trials, 1.0) / annual_sharpe) ** 2


def effective_trials(correlation: ArrayLike) -> float:
    """Return how many independent trials correlated ones amount to: the effective rank of Roy and Vetterli (2007).

    Args:
        correlation: float64[N, N], correlations of the returns of the trials, -1..1, symmetric, ones on the diagonal.
            Eigenvalues below zero, as pairwise estimates have them, count as zero.

    Returns:
        Number of trials, 1..N.

    Raises:
        ValueError: This is no correlation matrix.
    """
    matrix = np.asarray(correlation, np.float64)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not matrix.size:
        raise ValueError(f"a correlation matrix is square, got shape {matrix.shape}")
    if not np.isfinite(matrix).all():
        raise ValueError(
            "the correlation matrix has entries that are not finite: a trial with constant returns has none"
        )
    if np.abs(matrix - matrix.T).max() > _ROUNDING or np.abs(np.diagonal(matrix) - 1.0).max() > _ROUNDING:
        raise ValueError("a correlation matrix is symmetric with ones on its diagonal")
    if np.abs(matrix).max() > 1.0 + _ROUNDING:
        raise ValueError("correlations are between -1 and 1")
    values = np.linalg.eigvalsh(matrix)
    values = values[values > 0.0]
    shares = values / values.sum()
    return max(math.exp(-float(shares @ np.log(shares))), 1.0)


@dataclass(frozen=True, eq=False)
class Overfitting:
    """What choosing the best trial on one half of the data is worth on the other half.

    Attributes:
        pbo: Probability of backtest overfitting: share of splits whose winner is no better than the median, 0..1.
        logits: float64[splits], log odds of the winner's relative rank out of sample; 0 = median. Read-only.
        slope: Of the winner's result out of sample on that in sample, least squares; None where that never varies.
        loss_probability: Share of splits whose winner loses out of sample, 0..1.
        trials: Number of strategies compared.
        splits: Number of ways in which the blocks were halved.
    """

    pbo: float
    logits: Floats
    slope: float | None
    loss_probability: float
    trials: int
    splits: int

    @property
    def vetoed(self) -> bool:
        """Say whether the probability is too high for the choice to be used."""
        return self.pbo > PBO_MAX


def probability_of_backtest_overfitting(returns: ArrayLike, blocks: int = 16, metric: Metric = "sharpe") -> Overfitting:
    """Cross-validate the choice of the best trial: CSCV of Bailey, Borwein, Lopez de Prado and Zhu (2017).

    The rows are cut into blocks of equal length (the first ones are longer by one row where they do not divide evenly).
    Each way of halving the blocks chooses the best trial on one half and ranks it on the other, ties averaged. Where
    several trials are best, the mean of their ranks and results counts, so that the order of columns is of no account.

    Args:
        returns: float64[T, N], fraction per bar after costs, one column per trial, finite.
        blocks: Number of blocks, even, 2..20.
        metric: What the best trial is best at: "sharpe" (per bar, ddof=1; 0 where a trial earned nothing throughout a
            half) or "mean".

    Returns:
        The probability and what it rests on.

    Raises:
        ValueError: The matrix has fewer than two columns, too few rows or an entry that is not finite; the blocks are
            not an even number in range; the metric is unknown; a trial never varies in one half, so that it has no
            Sharpe ratio there.
    """
    matrix = _matrix(returns, blocks, metric)
    sums = _BlockSums(matrix, blocks)
    halves = np.array(list(combinations(range(blocks), blocks // 2)), np.intp)
    # In this order the complement of a half stands as far from the end as the half from the beginning.
    splits, trials = len(halves), matrix.shape[1]
    rank, inside, outside = np.empty(splits), np.empty(splits), np.empty(splits)
    step = max(_CELLS_AT_ONCE // trials, 1)
    for start in range(0, splits // 2, step):
        here = np.arange(start, min(start + step, splits // 2))
        there = splits - 1 - here
        one, other = sums.results(halves[here], metric), sums.results(halves[there], metric)
        for rows, chosen_on, judged_on in ((here, one, other), (there, other, one)):
            rank[rows], inside[rows], outside[rows] = _winners(chosen_on, judged_on)
    logits = np.log(rank / (trials + 1 - rank))
    logits.setflags(write=False)
    return Overfitting(
        pbo=float(np.mean(logits <= 0.0)),
        logits=logits,
        slope=_slope(inside, outside),
        loss_probability=float(np.mean(outside < 0.0)),
        trials=trials,
        splits=splits,
    )


class _BlockSums:
    def __init__(self, matrix: Floats, blocks: int) -> None:
        parts = np.array_split(matrix, blocks)
        self.rows = np.array([len(part) for part in parts], np.float64)
        self.means = np.array([part.mean(axis=0) for part in parts])
        self.total = self.means * self.rows[:, None]
        # About the mean of the block: sums of plain squares lose the digits that a variance is made of.
        self.spread = np.array(
            [np.square(part - mean).sum(axis=0) for part, mean in zip(parts, self.means, strict=True)]
        )

    def results(self, halves: NDArray[np.intp], metric: Metric) -> Floats:
        rows = self.rows[halves].sum(axis=1)[:, None]
        means = _over(halves, self.total) / rows
        return means if metric == "mean" else self._sharpe(halves, rows, means)

    def _sharpe(self, halves: NDArray[np.intp], rows: Floats, means: Floats) -> Floats:
        spread = _over(halves, self.spread)
        for block in halves.T:
            spread += self.rows[block, None] * np.square(self.means[block] - means)
        deviation = np.sqrt(spread / (rows - 1.0))
        stuck = np.abs(means) >= _SHARPE_MAX * deviation
        without = np.argwhere(stuck & (means != 0.0))
        if len(without):
            column = int(without[0, 1])
            raise ValueError(
                f"trial {column} has the same return at every bar of one half: it has no Sharpe ratio there"
            )
        return means / np.where(stuck, 1.0, deviation)


def _over(halves: NDArray[np.intp], values: Floats) -> Floats:
    # Block by block: a matrix product promises no order of addition, and twins must tie to the bit.
    total = np.zeros((len(halves), values.shape[1]))
    for block in halves.T:
        total += values[block]
    return total


def _winners(chosen_on: Floats, judged_on: Floats) -> tuple[Floats, Floats, Floats]:
    best = chosen_on.max(axis=1)
    winners = chosen_on == best[:, None]
    count = winners.sum(axis=1)
    rank, result = np.zeros(len(best)), np.zeros(len(best))
    while (rows := np.flatnonzero(winners.any(axis=1))).size:
        columns = winners[rows].argmax(axis=1)
        field = judged_on[rows]
        own = field[np.arange(len(rows)), columns]
        below, ties = (field < own[:, None]).sum(axis=1), (field == own[:, None]).sum(axis=1)
        rank[rows] += below + (ties + 1) / 2
        result[rows] += own
        winners[rows, columns] = False
    return rank / count, best, result / count


def _slope(inside: Floats, outside: Floats) -> float | None:
    if inside.min() == inside.max():
        return None
    deviations = inside - inside.mean()
    return float(deviations @ (outside - outside.mean()) / (deviations @ deviations))


def _matrix(returns: ArrayLike, blocks: int, metric: str) -> Floats:
    matrix = np.asarray(returns, np.float64, order="C")
    if matrix.ndim != 2 or matrix.shape[1] < 2:
        raise ValueError(f"returns must be a matrix of bars by at least 2 trials, got shape {matrix.shape}")
    if metric not in ("sharpe", "mean"):
        raise ValueError(f'the metric must be "sharpe" or "mean", got {metric!r}')
    if blocks % 2 or not 2 <= blocks <= BLOCKS_MAX:
        raise ValueError(f"blocks must be an even number from 2 to {BLOCKS_MAX}, got {blocks}")
    rows_min = blocks if metric == "mean" else max(blocks, 4)
    if len(matrix) < rows_min:
        raise ValueError(f"{blocks} blocks of the metric {metric!r} need at least {rows_min} bars, got {len(matrix)}")
    bad = np.argwhere(~np.isfinite(matrix))
    if len(bad):
        row, column = bad[0]
        raise ValueError(f"returns must be finite, got {matrix[row, column]} at row {row} of trial {column}")
    return matrix
