"""Calibration: what changes slowly, one row per UTC day, computed from the row before and that day's bars alone.

Invariants:
- the row that is valid in a day was computed from bars that closed by its beginning (00:00 UTC), pooled over instruments;
- it follows from the row before it and one day's samples, so history in pieces gives the same rows to the bit, and a live
  trader that stores its last row needs nothing else;
- estimates forget: a day counts half after `half_life_days`; before `days_min` days, constants serve;
- memory is bounded: histograms and sums, no list of days.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from novapulse.confluence.estimates import EFFICIENCIES, LEVELS, Forecasting, Memory, learn_forecasts, learn_markets
from novapulse.confluence.plan import Plan
from novapulse.confluence.samples import Samples
from novapulse.confluence.settings import ConfluenceError
from novapulse.core.bars import DAY_NS, Floats, Integers, format_ns
from novapulse.core.instruments import InstrumentKey
from novapulse.signals.regimes import Thresholds


@dataclass(frozen=True)
class Calibration:
    """One row: valid for bars that close after `valid_from_ns`, until the next row.

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
        memory: The estimators' sums after the last bar before `valid_from_ns`; None where only the numbers are kept.
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


class Markets(NamedTuple):
    """What rows say of instruments: thresholds float64[R, P, T, 5] and annual volatility float64[R, P]."""

    thresholds: Floats
    volatility: Floats


def new_memory(plan: Plan, instruments: int) -> Memory:
    """Return the memory of estimators that have seen nothing."""
    timeframes, strategies = len(plan.multiples), len(plan.names)
    return Memory(
        np.zeros(instruments),
        np.full((instruments, 2), np.nan),
        np.zeros((instruments, timeframes, LEVELS)),
        np.zeros((instruments, timeframes, EFFICIENCIES)),
        np.zeros((instruments, 4)),
        np.zeros((instruments, LEVELS)),
        np.zeros(1),
        np.zeros((timeframes, strategies)),
        np.zeros((timeframes, strategies)),
        np.zeros((strategies, strategies)),
        plan.shares.copy(),
        np.zeros((instruments, strategies)),
    )


def first_row(plan: Plan, instruments: Sequence[InstrumentKey], valid_from_ns: int) -> Calibration:
    """Return the row before any history: constants."""
    memory = new_memory(plan, len(instruments))
    markets = advance_markets(plan, memory, None)
    return rows_of(plan, tuple(instruments), np.array([valid_from_ns]), markets, advance_forecasts(plan, memory, None))[
        0
    ]


def advance_markets(plan: Plan, memory: Memory, samples: Samples | None) -> Markets:
    """Let the estimators of volatility and efficiency see some days, in place, and say what was valid in each.

    Returns:
        One row per day and one for the day after: each from the days before it.
    """
    ...
