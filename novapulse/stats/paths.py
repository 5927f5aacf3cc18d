"""What the same round trips could have done to an account in another order, or with other days drawn.

Invariants:
- round trips of one day stay together and in order, over all instruments: losses that come together are drawn together;
- each round trip makes the share of equity that it made in the record, and shares compound: an account that grew is not
  drawn as one that risked a later year's amounts on the first day's capital;
- another order (permuted) changes drawdowns and never the final return; drawing days (resampled) changes both;
- bootstrapped drawdowns are biased low where outcomes are autocorrelated: a block forgets what came before it, and
  the longest bad stretches are cut. The bands say what is easily possible, not the worst that is;
- drawdowns are seen at exits alone; what lay under water between entry and exit is not in here.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from novapulse.core.bars import DAY_NS, Floats, Integers
from novapulse.stats._inputs import column, same_length, share, whole
from novapulse.stats.resampling import Seed, generator, optimal_block_length, stationary_indices
from novapulse.stats.returns import annual_growth

_CELLS_MAX = 1 << 17


class Band(NamedTuple):
    """Three quantiles over paths: 5, 50 and 95 %."""

    p05: float
    p50: float
    p95: float


@dataclass(frozen=True, slots=True)
class PathBands:
    """What one way of drawing paths gave.

    Attributes:
        final_return: Final over opening equity - 1, fraction.
        cagr: The same as a rate a year; None without a length or where no number could hold it.
        max_drawdown: Deepest drawdown at exits, fraction >= 0.
        under_water_trades: Most round trips in a row that ended below the highest equity so far.
        ruin_probability: Share of paths that fell to the ruin level or below it at an exit.
    """

    final_return: Band
    cagr: Band | None
    max_drawdown: Band
    under_water_trades: Band
    ruin_probability: float


@dataclass(frozen=True, slots=True)
class TradePaths:
    """Monte Carlo of round trips.

    Attributes:
        resampled: Blocks of days drawn with the stationary bootstrap.
        permuted: The days of the record in another order, each once.
        max_drawdown: Of the record itself, seen at its exits as that of the paths is.
        paths: Paths of either kind.
        trades: Round trips of a path, as many as the record has.
        days: Days of the record with an exit.
        block_days: Mean length of the blocks that were drawn, in such days.
    """

    resampled: PathBands
    permuted: PathBands
    max_drawdown: float
    paths: int
    trades: int
    days: int
    block_days: float


def trade_paths(
    exit_ts_ns: Integers,
    fractions: Floats,
    *,
    years: float,
    seed: Seed,
    paths: int = 1000,
    ruin_fraction: float = 0.5,
    block_days: float | None = None,
) -> TradePaths | None:
    """Draw other histories from the round trips of a record, of all its instruments together.

    Shares of equity are drawn and compounded. Resampled drawdowns are biased low where outcomes are autocorrelated.

    Args:
        exit_ts_ns: int64[N], ns UTC, in any order; rows of one stamp stay in the order given.
        fractions: float64[N], PnL net of fees over the account's equity at the entry, > -1 where the account survived.
        years: Length of the record, which each path is taken to last, years of 365.25 days.
        seed: Generator, or the seed of one.
        paths: Paths of either kind, > 0.
        ruin_fraction: Ruin is a loss of this share of the opening equity, between 0 and 1.
        block_days: Mean length of a block in days with an exit, >= 1; `optimal_block_length` of the days' sums
            when not given.

    Returns:
        None where the exits lie on fewer than two days of UTC.

    Raises:
        ValueError: Lengths differ, a row is not finite, or a number is out of its range.
    """
    outcomes, exits = column("fractions", fractions), whole("exit_ts_ns", exit_ts_ns)
    same_length("exit_ts_ns", exits, "fractions", outcomes)
    level = 1.0 - share("ruin_fraction", ruin_fraction)
    if paths < 1:
        raise ValueError(f"paths must be at least 1, got {paths}")
    rng = generator(seed)
    order = np.argsort(exits, kind="stable")
    outcomes, day = outcomes[order], (exits[order] - 1) // DAY_NS
    first = np.flatnonzero(np.diff(day, prepend=day[:1] - 1))
    if first.size < 2:
        return None
    if block_days is None:
        block_days = optimal_block_length(np.add.reduceat(outcomes, first))
    block, days = block_days, first.size
    sizes = np.diff(first, append=outcomes.size)
    # What is lost with everything cannot be won back.
    kept: Floats = np.maximum(1.0 + outcomes, 0.0)

    def drawn(count: int) -> Integers:
        return stationary_indices(days, block, count, rng, length=_days_enough(sizes))[0]

    def shuffled(count: int) -> Integers:
        return rng.permuted(np.broadcast_to(np.arange(days), (count, days)), axis=1)

    def bands(draw: Callable[[int], Integers]) -> PathBands:
        measured = [
            _measured(np.asarray(np.cumprod(kept[rows], axis=1), np.float64))
            for rows in _rows_of_days(draw, first, sizes, paths)
        ]
        return _bands(np.concatenate(measured, axis=1), level, years)

    own = float(_measured(np.asarray(np.cumprod(kept), np.float64)[None, :])[1, 0])
    return TradePaths(bands(drawn), bands(shuffled), own, paths, outcomes.size, days, block)


def _days_enough(sizes: Integers) -> int:
    """So many days that they hold as many round trips as the record, whichever are drawn."""
    return -(-int(sizes.sum()) // int(sizes.min()))


def _rows_of_days(draw: Callable[[int], Integers], first: Integers, sizes: Integers, paths: int) -> Iterator[Integers]:
    """Lay out the round trips of drawn days one after another, and cut each path at the record's number of them."""
    trades = int(sizes.sum())
    at_once = max(1, _CELLS_MAX // trades)
    for done in range(0, paths, at_once):
        days = draw(min(at_once, paths - done))
        ends = np.minimum(np.cumsum(sizes[days], axis=1), trades)
        counts = np.diff(ends, axis=1, prepend=0)
        begins = first[days] - (ends - counts)
        yield np.repeat(begins.ravel(), counts.ravel()).reshape(-1, trades) + np.arange(trades)


def _measured(equity: Floats) -> Floats:
    """Per path: final equity, deepest drawdown, longest run below the peak, lowest equity."""
    peak = np.maximum(np.maximum.accumulate(equity, axis=1), 1.0)
    drawdown = 1.0 - (equity / peak).min(axis=1)
    position = np.arange(equity.shape[1], dtype=np.int32)
    at_peak = np.maximum.accumulate(np.where(equity < peak, np.int32(-1), position), axis=1)
    return np.stack((equity[:, -1], drawdown, (position - at_peak).max(axis=1), equity.min(axis=1)))


def _bands(measured: Floats, level: float, years: float) -> PathBands:
    growth = _band(measured[0])
    rates = [rate for rate in (annual_growth(each, years) for each in growth) if rate is not None]
    return PathBands(
        final_return=Band(*(each - 1.0 for each in growth)),
        cagr=Band(*rates) if len(rates) == len(growth) else None,
        max_drawdown=_band(measured[1]),
        under_water_trades=_band(measured[2]),
        ruin_probability=float(np.mean(measured[3] <= level)),
    )


def _band(values: Floats) -> Band:
    return Band(*np.quantile(values, (0.05, 0.5, 0.95)).tolist())
