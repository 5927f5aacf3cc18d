"""Figures of finished round trips.

Invariants:
- profit and loss are net of fees; a round trip wins above zero and loses below it, at zero it does neither;
- the order of round trips matters to nothing here but the streaks;
- what is not known is None: a record without losses has no profit factor, and none that is infinite.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from novapulse.core.bars import Flags, Floats, Integers
from novapulse.stats._inputs import column, columns, same_length, whole


class Streaks(NamedTuple):
    """Most round trips in a row that won, and that lost."""

    wins: int
    losses: int


class Holding(NamedTuple):
    """How long round trips lasted, ns."""

    average_ns: float
    median_ns: float


@dataclass(frozen=True, slots=True)
class Excursions:
    """How far prices went against and for round trips before their exits.

    Attributes:
        mae_average: Mean of the worst excursions, R, <= 0.
        mae_median: Their median, R, <= 0.
        mfe_average: Mean of the best excursions, R, >= 0.
        mfe_median: Their median, R, >= 0.
        edge_ratio: Mean best over mean worst, both as distances; above 1 entries are better than chance. None where
            nothing went against them.
    """

    mae_average: float
    mae_median: float
    mfe_average: float
    mfe_median: float
    edge_ratio: float | None


def profit_factor(pnl: Floats) -> float | None:
    """Return the sum of profits over the sum of losses; None without a loss.

    Args:
        pnl: float64[N], quote.

    Raises:
        ValueError: A row is not finite.
    """
    values = column("pnl", pnl)
    return _over(float(values[values > 0].sum()), -float(values[values < 0].sum()))


def expectancy(pnl: Floats) -> float | None:
    """Return the mean outcome of a round trip, in the unit of `pnl` (quote or R); None without any.

    Raises:
        ValueError: A row is not finite.
    """
    values = column("pnl", pnl)
    return float(values.mean()) if values.size else None


def win_rate(pnl: Floats) -> float | None:
    """Return the share of round trips that won, fraction; None without any.

    Raises:
        ValueError: A row is not finite.
    """
    values = column("pnl", pnl)
    return _over(float((values > 0).sum()), values.size)


def payoff_ratio(pnl: Floats) -> float | None:
    """Return the mean profit over the mean loss; None where nothing won or nothing lost.

    Raises:
        ValueError: A row is not finite.
    """
    values = column("pnl", pnl)
    won, lost = values[values > 0], values[values < 0]
    return _over(float(won.mean()), -float(lost.mean())) if won.size and lost.size else None


def system_quality_number(r_multiples: Floats) -> float | None:
    """Return sqrt(N) x mean / standard deviation (ddof 1), the SQN: over all N, not cut off at a hundred.

    Args:
        r_multiples: float64[N], outcomes in R (outcomes in quote where all risked the same).

    Returns:
        None for fewer than two round trips, or outcomes that do not vary.

    Raises:
        ValueError: A row is not finite.
    """
    values = column("r_multiples", r_multiples)
    if values.size < 2:
        return None
    spread = float(np.sum((values - values.mean()) ** 2))
    if spread <= 1e-12 * float(values @ values):
        return None
    return math.sqrt(values.size) * float(values.mean()) / math.sqrt(spread / (values.size - 1))


def longest_streaks(pnl: Floats) -> Streaks:
    """Return the longest runs of wins and of losses.

    Args:
        pnl: float64[N], quote or R, in order of the exits. An outcome of zero ends either run.

    Raises:
        ValueError: A row is not finite.
    """
    values = column("pnl", pnl)
    return Streaks(_longest(values > 0), _longest(values < 0))


def holding(entry_ts_ns: Integers, exit_ts_ns: Integers) -> Holding | None:
    """Return how long round trips lasted; None without any.

    Args:
        entry_ts_ns: int64[N], ns UTC, in any order.
        exit_ts_ns: int64[N], ns UTC, of the same round trips.

    Raises:
        ValueError: Lengths differ, a stamp is no whole number, or an exit lies before its entry.
    """
    entries, exits = whole("entry_ts_ns", entry_ts_ns), whole("exit_ts_ns", exit_ts_ns)
    same_length("entry_ts_ns", entries, "exit_ts_ns", exits)
    lasted = exits - entries
    if (lasted < 0).any():
        raise ValueError(f"exit_ts_ns: row {int(np.argmax(lasted < 0))} lies before its entry")
    return Holding(float(lasted.mean()), float(np.median(lasted))) if lasted.size else None


def excursions(mae_r: Floats, mfe_r: Floats) -> Excursions | None:
    """Return how far prices went against and for round trips; None without any.

    Args:
        mae_r: float64[N], worst excursion between entry and exit, R, <= 0.
        mfe_r: float64[N], best excursion, R, >= 0.

    Raises:
        ValueError: Lengths differ, a row is not finite, or an excursion has the other's sign.
    """
    worst, best = columns(mae_r=mae_r, mfe_r=mfe_r)
    for name, wrong, sign in (("mae_r", worst > 0, "above"), ("mfe_r", best < 0, "below")):
        if wrong.any():
            raise ValueError(f"{name}: row {int(np.argmax(wrong))} is {sign} zero")
    if not worst.size:
        return None
    against, along = float(worst.mean()), float(best.mean())
    return Excursions(against, float(np.median(worst)), along, float(np.median(best)), _over(along, -against))


def _longest(flags: Flags) -> int:
    edges = np.flatnonzero(np.diff(flags, prepend=False, append=False))
    return int((edges[1::2] - edges[::2]).max(initial=0))


def _over(numerator: float, denominator: float) -> float | None:
    ratio = numerator / denominator if denominator > 0 else math.inf
    return ratio if math.isfinite(ratio) else None
