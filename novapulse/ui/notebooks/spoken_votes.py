"""What a strategy's votes look like as a whole: how often it speaks, how strongly, and what the price did after.

Invariants:
- what came after a bar is known only where all bars up to then follow without a gap;
- a mean of fewer than `COUNT_MIN` bars is unknown.
"""

from dataclasses import dataclass

import numpy as np

from novapulse.core.bars import DAY_NS, BarColumns, Floats, Integers
from novapulse.strategies.votes import FORECAST_MAX, Votes

BINS = 20
"""Stretches of the forecast, from -20 to 20."""

COUNT_MIN = 20
BPS = 10_000.0


@dataclass(frozen=True)
class Spoken:
    """The votes of a strategy on some bars.

    Attributes:
        bars: How many.
        spoke: Bars on which it had an opinion.
        long: Of these, how many were long.
        confidence: Mean of its confidence where it spoke; NaN where it never did.
        strength: Mean size of its forecast where it spoke.
        turns_per_day: How often it changed from one side to the other, per day of bars.
        edges: float64[BINS + 1] of the forecast.
        counts: int64[BINS], bars on which it spoke, by forecast.
        after: float64[BINS], mean move over the horizon in bps, NaN where too few are known.
        error: float64[BINS], standard error of that, as if moves did not overlap every horizon bars.
        information: Correlation of forecast and what came after, where it spoke; NaN where that cannot be known.
        horizon: Bars.
    """

    bars: int
    spoke: int
    long: int
    confidence: float
    strength: float
    turns_per_day: float
    edges: Floats
    counts: Integers
    after: Floats
    error: Floats
    information: float
    horizon: int


def moves(bars: BarColumns, horizon: int) -> Floats:
    """Return float64[N], the move from each close to the one `horizon` bars later, bps; NaN where it is not known."""
    moved = np.full(len(bars), np.nan)
    if len(bars) > horizon:
        gone = bars.ts_close_ns[horizon:] - bars.ts_close_ns[:-horizon]
        whole = gone == horizon * bars.timeframe_ns
        change = (bars.close[horizon:] / bars.close[:-horizon] - 1.0) * BPS
        moved[:-horizon][whole] = change[whole]
    return moved


def spoken(bars: BarColumns, votes: Votes, horizon: int) -> Spoken:
    """Sum up votes.

    Args:
        bars: N bars, at least one.
        votes: On these.
        horizon: Bars after which is looked at what became of the price, >= 1.
    """
    forecast, heard = votes.forecast, votes.forecast != 0
    edges = np.linspace(-FORECAST_MAX, FORECAST_MAX, BINS + 1)
    moved = moves(bars, horizon)
    known = heard & np.isfinite(moved)
    counts = np.bincount(stretch_of(forecast[heard], edges), minlength=BINS)
    after, error = means(forecast[known], moved[known], edges, horizon)
    sides = np.sign(forecast[heard])
    days = len(bars) * bars.timeframe_ns / DAY_NS
    return Spoken(
        bars=len(bars),
        spoke=int(heard.sum()),
        long=int((forecast > 0).sum()),
        confidence=float(votes.confidence[heard].mean()) if heard.any() else float("nan"),
        strength=float(np.abs(forecast[heard]).mean()) if heard.any() else float("nan"),
        turns_per_day=float((np.diff(sides) != 0).sum() / days),
        edges=edges,
        counts=counts,
        after=after,
        error=error,
        information=correlation(forecast[known], moved[known]),
        horizon=horizon,
    )


def stretch_of(values: Floats, edges: Floats) -> Integers:
    """Return int64[N], the stretch between two edges of each value; the outermost take what is beyond."""
    place: Integers = np.clip(np.digitize(values, edges) - 1, 0, edges.size - 2)
    return place


def means(values: Floats, moved: Floats, edges: Floats, horizon: int) -> tuple[Floats, Floats]:
    """Return the mean move by stretch of values, and its standard error.

    Args:
        values: float64[N].
        moved: float64[N], what came after each.
        edges: float64[B + 1], ascending.
        horizon: Rows that a move lasts: moves that overlap count once in so many.

    Returns:
        float64[B] each, NaN where fewer than `COUNT_MIN` are known.
    """
    place, bins = stretch_of(values, edges), edges.size - 1
    counts = np.bincount(place, minlength=bins)
    sums = np.bincount(place, weights=moved, minlength=bins)
    squares = np.bincount(place, weights=moved**2, minlength=bins)
    enough = counts >= COUNT_MIN
    mean, error = np.full(bins, np.nan), np.full(bins, np.nan)
    mean[enough] = sums[enough] / counts[enough]
    spread = np.maximum(squares[enough] / counts[enough] - mean[enough] ** 2, 0.0)
    error[enough] = np.sqrt(spread / np.maximum(counts[enough] / horizon, 1.0))
    return mean, error


def correlation(one: Floats, other: Floats) -> float:
    """Return the correlation of two columns; NaN of too few rows, or where one of them never changes."""
    if one.size < COUNT_MIN or float(np.ptp(one)) == 0.0 or float(np.ptp(other)) == 0.0:
        return float("nan")
    return float(np.corrcoef(one, other)[0, 1])
