"""Calibration: what changes slowly, one row per UTC day, computed from the row before and that day's bars alone.

Invariants:
- a row counts for bars that close after its `valid_from_ns` (00:00 UTC) and was computed from bars that closed by then,
  pooled over instruments;
- it follows from the row before it and one day's samples, so history in pieces gives the same rows to the bit, and a
  live trader needs the rows it stored and its window of bars, nothing else;
- estimates forget: a day counts half after `half_life_days`; before `days_min` days, constants serve;
- memory is bounded: histograms and sums, no list of days.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from novapulse.confluence.estimates import (
    EFFICIENCIES,
    LEVELS,
    Forecasts,
    Markets,
    Memory,
    Pace,
    learn_forecasts,
    learn_markets,
)
from novapulse.confluence.plan import Plan
from novapulse.confluence.samples import Samples
from novapulse.core.bars import DAY_NS, Floats, Integers
from novapulse.core.instruments import InstrumentKey
from novapulse.signals.regimes import Thresholds


@dataclass(frozen=True)
class Calibration:
    """One row: counts for bars that close after `valid_from_ns`, up to the next row.

    Attributes:
        valid_from_ns: 00:00 UTC of a day.
        instruments: Keys in the order of the arrays.
        strategies: Names in the order of the arrays.
        multiples: Timeframes in base bars.
        thresholds: float64[P, T, 5], regime thresholds, columns as in `regimes.Thresholds`.
        volatility: float64[P], annual volatility forecast, a fraction; NaN before `days_min` days.
        scalars: float64[T, S], forecast scalars.
        weights: float64[S], tilted weights, sum 1.
        learned: float64[S], what the tilt leans towards, sum 1.
        diversification: Factor on the weighted sum, 1..`diversification_max`.
        days: Days with votes so far.
        memory: The estimators' sums at `valid_from_ns`; None where only the numbers are kept.
    """

    valid_from_ns: int
    instruments: tuple[InstrumentKey, ...]
    strategies: tuple[str, ...]
    multiples: tuple[int, ...]
    thresholds: Floats
    volatility: Floats
    scalars: Floats
    weights: Floats
    learned: Floats
    diversification: float
    days: int
    memory: Memory | None = None

    @cached_property
    def id(self) -> str:
        """The sha256 (16 hex digits) of everything this row says: the name that decisions carry."""
        digest = hashlib.sha256()
        digest.update(repr((self.valid_from_ns, self.strategies, self.multiples, self.diversification)).encode())
        digest.update(repr([(key.exchange, key.symbol) for key in self.instruments]).encode())
        for numbers in (self.thresholds, self.volatility, self.scalars, self.weights, self.learned):
            digest.update(np.ascontiguousarray(numbers, "<f8").tobytes())
        return digest.hexdigest()[:16]


def first_row(plan: Plan, instruments: Sequence[InstrumentKey], day: int) -> Calibration:
    """Return the row before any history, valid from the beginning of a UTC day on: constants.

    Args:
        plan: What is weighed.
        instruments: Keys in the order that arrays will have.
        day: Days since 1970-01-01.
    """
    count, timeframes, strategies = len(instruments), len(plan.multiples), len(plan.names)
    pace = pace_of(plan)
    memory = Memory(
        days=np.zeros(count),
        origin=np.full((count, 2), np.nan),
        seen=np.zeros((count, timeframes)),
        levels=np.zeros((count, timeframes, LEVELS)),
        efficiencies=np.zeros((count, timeframes, EFFICIENCIES)),
        variance=np.zeros((count, 4)),
        daily_levels=np.zeros((count, LEVELS)),
        voices=np.zeros(1),
        votes=np.zeros((timeframes, strategies)),
        strengths=np.zeros((timeframes, strategies)),
        products=np.zeros((strategies, strategies)),
        learned=plan.shares.copy(),
        last=np.zeros((count, strategies)),
    )
    return Calibration(
        day * DAY_NS,
        tuple(instruments),
        plan.names,
        plan.multiples,
        thresholds=np.tile(pace.thresholds, (count, timeframes, 1)),
        volatility=np.full(count, np.nan),
        scalars=np.tile(plan.scalars, (timeframes, 1)),
        weights=plan.shares,
        learned=plan.shares,
        diversification=pace.diversification,
        days=0,
        memory=memory,
    )


def copied(memory: Memory) -> Memory:
    """Return memory that can be advanced without changing the row it came from."""
    return Memory(*(numbers.copy() for numbers in memory))


def advance_markets(plan: Plan, memory: Memory, samples: Samples) -> Markets:
    """Let the estimators of volatility and efficiency learn some days, in place.

    Returns:
        What they say before the first day, and after each.
    """
    rows, count = samples.squares.shape[0] + 1, memory.days.size
    said = Markets(np.empty((rows, count, len(plan.multiples), 5)), np.empty((rows, count)))
    learn_markets(memory, samples, pace_of(plan), said)
    return said


def advance_forecasts(plan: Plan, memory: Memory, samples: Samples) -> Forecasts:
    """Let scalars, correlations and the tilt learn some days, in place.

    Returns:
        What they say before the first day, and after each.
    """
    rows, strategies = samples.squares.shape[0] + 1, len(plan.names)
    said = Forecasts(
        scalars=np.empty((rows, len(plan.multiples), strategies)),
        weights=np.empty((rows, strategies)),
        learned=np.empty((rows, strategies)),
        diversification=np.empty(rows),
        days=np.empty(rows),
    )
    learn_forecasts(memory, samples, pace_of(plan), said)
    return said


def rows_after(
    row: Calibration, days: Integers, markets: Markets, forecasts: Forecasts, memory: Memory
) -> list[Calibration]:
    """Return the rows that follow `row`: one after each day; the last one holds the memory."""
    following = [
        Calibration(
            (day + 1) * DAY_NS,
            row.instruments,
            row.strategies,
            row.multiples,
            markets.thresholds[d],
            markets.volatility[d],
            forecasts.scalars[d],
            forecasts.weights[d],
            forecasts.learned[d],
            float(forecasts.diversification[d]),
            int(forecasts.days[d]),
        )
        for d, day in enumerate(days.tolist(), 1)
    ]
    following[-1] = replace(following[-1], memory=memory)
    return following


def pace_of(plan: Plan) -> Pace:
    """Return how fast estimates move under a plan, and the constants before there is history."""
    calibration, tilt = plan.settings.calibration, plan.settings.tilt
    return Pace(
        keep=0.5 ** (1.0 / calibration.half_life_days),
        days_min=calibration.days_min,
        thresholds=Thresholds().table(1)[0],
        prior_votes=calibration.prior_votes,
        scalars=plan.scalars,
        diversification=min(calibration.diversification_default, calibration.diversification_max),
        diversification_max=calibration.diversification_max,
        shares=plan.shares,
        timeframe_shares=plan.timeframe_shares,
        tilt_fraction=tilt.fraction,
        eta=tilt.eta,
        share=tilt.share,
    )
