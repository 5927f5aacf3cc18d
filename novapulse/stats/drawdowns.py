"""Drawdowns of an equity curve.

Invariants:
- a drawdown is 1 - equity / peak, a fraction >= 0; the opening value is the first peak;
- under water is below the peak, not at it: a new high that equals the old one ends a drawdown;
- time and memory grow with the number of values, whatever the curve.
"""

from dataclasses import dataclass

import numpy as np

from novapulse.core.bars import Floats, Integers
from novapulse.stats._inputs import column, positive, same_length, stamps


@dataclass(frozen=True, slots=True)
class Drawdown:
    """One stretch under water.

    Attributes:
        peak_ts_ns: Last stamp at the peak, ns UTC; the curve's first stamp where the peak is the opening value.
        trough_ts_ns: First stamp at the deepest point.
        recovered_ts_ns: First stamp back at the peak or above it; None while it lasts.
        depth: 1 - trough / peak, fraction > 0.
        bars: Values below the peak.
        under_water_ns: From the peak to the recovery, or to the last stamp while it lasts.
    """

    peak_ts_ns: int
    trough_ts_ns: int
    recovered_ts_ns: int | None
    depth: float
    bars: int
    under_water_ns: int


def drawdown_curve(equity: Floats, opening: float) -> Floats:
    """Return how far each value lies below the highest so far.

    Args:
        equity: float64[N], quote; zero or less is a drawdown of 1 or more.
        opening: Quote, > 0.

    Returns:
        float64[N], fractions >= 0.

    Raises:
        ValueError: The opening value is not above zero, or an equity is not finite.
    """
    values = column("equity", equity)
    return 1.0 - values / _peaks(values, opening)


def max_drawdown(equity: Floats, opening: float) -> float | None:
    """Return the deepest drawdown, fraction >= 0; None for an empty curve.

    Raises:
        ValueError: As `drawdown_curve`.
    """
    curve = drawdown_curve(equity, opening)
    return float(curve.max()) if curve.size else None


def longest_under_water(equity: Floats, opening: float) -> int:
    """Return the most values in a row that lie below the highest so far.

    Raises:
        ValueError: As `drawdown_curve`.
    """
    values = column("equity", equity)
    starts, ends = _runs(values < _peaks(values, opening))
    return int((ends - starts).max(initial=0))


def episodes(ts_ns: Integers, equity: Floats, opening: float, count_max: int | None = None) -> list[Drawdown]:
    """Return the stretches under water, the deepest first, equally deep ones in time order.

    Args:
        ts_ns: int64[N], ns UTC, ascending.
        equity: float64[N], quote.
        opening: Quote, > 0.
        count_max: Return no more than so many, >= 0; all when not given.

    Raises:
        ValueError: Lengths differ, stamps do not ascend, the opening value is not above zero, or an equity is not
            finite.
    """
    closes, values = stamps("ts_ns", ts_ns), column("equity", equity)
    same_length("ts_ns", closes, "equity", values)
    peaks = _peaks(values, opening)
    starts, ends = _runs(values < peaks)
    if not starts.size:
        return []
    # Between one start and the next only the run lies below: what follows it is at a peak and never its minimum.
    lowest = np.minimum.reduceat(values, starts)
    depths = 1.0 - lowest / peaks[starts]
    found = []
    for k in np.argsort(-depths, kind="stable")[:count_max].tolist():
        start, end = int(starts[k]), int(ends[k])
        peak = int(closes[max(start - 1, 0)])
        recovered = int(closes[end]) if end < closes.size else None
        found.append(
            Drawdown(
                peak_ts_ns=peak,
                trough_ts_ns=int(closes[start + int(np.argmin(values[start:end]))]),
                recovered_ts_ns=recovered,
                depth=float(depths[k]),
                bars=end - start,
                under_water_ns=(int(closes[-1]) if recovered is None else recovered) - peak,
            )
        )
    return found


def _peaks(values: Floats, opening: float) -> Floats:
    return np.maximum(np.maximum.accumulate(values), positive("opening", opening))


def _runs(flags: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> tuple[Integers, Integers]:
    edges = np.flatnonzero(np.diff(flags, prepend=False, append=False))
    return edges[::2], edges[1::2]
