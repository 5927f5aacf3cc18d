"""What a calibration learns from: whole UTC days of several instruments, sampled at the slowest timeframe's closes.

Samples of one day depend on that day's bars and the warm-up before them, so days can be added one by one.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from novapulse.compiled import kernel
from novapulse.confluence.timeframes import Frame, known_rows
from novapulse.core.bars import DAY_NS, BarColumns, Flags, Floats, Integers
from novapulse.signals.regimes import bars_per_year


class Samples(NamedTuple):
    """D days of P instruments.

    Attributes:
        squares: float64[D, P], sums of squared returns of the base bars.
        steps: float64[D, P], bar steps these returns span, gaps included.
        first: int64[P, 2], number and close of each instrument's first bar.
        last: int64[D, P, 2], number and close of the day's last bar, 0 where there is none.
        edges: int64[D * P + 1], rows of day d and instrument p are `edges[d * P + p]:edges[d * P + p + 1]`.
        volatility: float64[M, T], of the regimes; NaN where unknown.
        efficiency: float64[M, T], the same.
        votes: float64[M, T, S], forecast times confidence, 0 where unknown.
        outcome: float64[M], return since the close before over the volatility known then; NaN where unknown.
        counts: float64[D, T, S], votes that are not 0, all bars of the timeframe.
        strengths: float64[D, T, S], sums of their absolute values.
    """

    squares: Floats
    steps: Floats
    first: Integers
    last: Integers
    edges: Integers
    volatility: Floats
    efficiency: Floats
    votes: Floats
    outcome: Floats
    counts: Floats
    strengths: Floats


@dataclass(frozen=True, slots=True)
class Part:
    """One instrument's part of a stretch of days.

    Attributes:
        bars: Base bars of these days.
        before: Base bars that precede them, at least one where there is one.
        frames: The timeframes, warm-up included, slowest last.
    """

    bars: BarColumns
    before: BarColumns
    frames: tuple[Frame, ...]


def days_of(stamps: Integers) -> Integers:
    """Return the UTC days, counted from 1970, in which bars close, ascending; a day's last bar closes at 00:00."""
    days = np.empty(stamps.size, np.int64)
    return days[: _days_of(stamps, days)].copy()


def market_samples(days: Integers, parts: list[Part], timeframes: int) -> tuple[Samples, list[Integers]]:
    """Sample everything but the votes.

    Args:
        days: int64[D], ascending; every bar of `parts` lies in one of them.
        parts: One per instrument; those without bars have no rows anywhere.
        timeframes: T.

    Returns:
        The samples with S = 0, and for each instrument int64[m, T + 1]: the row of each timeframe known at each close
        of the slowest one (-1 for none), and where that sample lies.
    """
    count = len(parts)
    squares, steps = np.zeros((days.size, count)), np.zeros((days.size, count))
    first, last = np.zeros((count, 2), np.int64), np.zeros((days.size, count, 2), np.int64)
    bounds = np.zeros((days.size, count, 2), np.int64)
    for p, part in enumerate(parts):
        if len(part.bars):
            bars, before = part.bars, part.before[-1:]
            first[p] = bars.number[0], bars.ts_close_ns[0]
            prices = (bars.close, bars.number, before.close, before.number)
            _sum_returns(days, bars.ts_close_ns, prices, p, squares, steps, last)
            _day_bounds(days, part.frames[-1].bars.ts_close_ns, p, bounds)
    edges = np.zeros(days.size * count + 1, np.int64)
    np.cumsum((bounds[:, :, 1] - bounds[:, :, 0]).ravel(), out=edges[1:])
    volatility, efficiency = (np.full((int(edges[-1]), timeframes), np.nan) for _ in range(2))
    outcome = np.full(int(edges[-1]), np.nan)
    places = [np.zeros((0, timeframes + 1), np.int64)] * count
    for p, part in enumerate(parts):
        if len(part.bars):
            places[p] = _places(bounds[:, p], edges[:-1].reshape(days.size, count)[:, p], part)
            for t, frame in enumerate(part.frames):
                _gather(places[p], t, frame.warm, frame.volatility, volatility)
                _gather(places[p], t, frame.warm, frame.efficiency, efficiency)
            slow = part.frames[-1]
            year = bars_per_year(slow.bars.timeframe_ns)
            _outcomes(places[p], slow.bars.close, slow.bars.number, slow.warm, slow.volatility, year, outcome)
    nothing = np.zeros((days.size, timeframes, 0))
    votes = np.zeros((outcome.size, timeframes, 0))
    samples = Samples(squares, steps, first, last, edges, volatility, efficiency, votes, outcome, nothing, nothing)
    return samples, places


def with_votes(
    samples: Samples, days: Integers, parts: list[Part], places: list[Integers], votes: list[list[Floats]]
) -> Samples:
    """Add the votes: float64[S, n] per instrument and timeframe, as long as its frame."""
    timeframes, strategies = samples.volatility.shape[1], votes[0][0].shape[0]
    taken = np.zeros((samples.outcome.size, timeframes, strategies))
    counts, strengths = (np.zeros((days.size, timeframes, strategies)) for _ in range(2))
    for p, part in enumerate(parts):
        if len(part.bars):
            for t, frame in enumerate(part.frames):
                _gather_votes(places[p], t, votes[p][t], taken)
                _sum_votes(days, frame.bars.ts_close_ns, votes[p][t], t, counts, strengths)
    return samples._replace(votes=taken, counts=counts, strengths=strengths)


def _places(bounds: Integers, edges: Integers, part: Part) -> Integers:
    slow = part.frames[-1]
    rows = np.empty((int((bounds[:, 1] - bounds[:, 0]).sum()), len(part.frames) + 1), np.int64)
    taken = _number_samples(bounds, edges, rows)
    closes = slow.bars[slice(int(taken[0]), int(taken[-1]) + 1)] if taken.size else slow.bars[:0]
    for t, frame in enumerate(part.frames[:-1]):
        rows[:, t] = known_rows(closes, slow.multiple, frame)
    rows[:, -2] = taken
    return rows


@kernel
def _days_of(stamps: Integers, days: Integers) -> int:
    found, end = 0, 0
    for i in range(stamps.size):
        if found == 0 or stamps[i] > end:
            days[found] = (stamps[i] - 1) // DAY_NS
            end = (days[found] + 1) * DAY_NS
            found += 1
    return found


@kernel
def _sum_returns(
    days: Integers,
    stamps: Integers,
    prices: tuple[Floats, Integers, Floats, Integers],
    p: int,
    squares: Floats,
    steps: Floats,
    last: Integers,
) -> None:
    close, number, close_before, number_before = prices
    day = 0
    known = close_before.size > 0
    price, ordinal = (close_before[0], number_before[0]) if known else (close[0], number[0])
    for i in range(stamps.size):
        while stamps[i] > (days[day] + 1) * DAY_NS:
            day += 1
        if known or i > 0:
            change = (close[i] - price) / price
            squares[day, p] += change * change
            steps[day, p] += number[i] - ordinal
        price, ordinal = close[i], number[i]
        last[day, p, 0] = number[i]
        last[day, p, 1] = stamps[i]


@kernel
def _day_bounds(days: Integers, stamps: Integers, p: int, bounds: Integers) -> None:
    row = 0
    for day in range(days.size):
        while row < stamps.size and stamps[row] <= days[day] * DAY_NS:
            row += 1
        bounds[day, p, 0] = row
        while row < stamps.size and stamps[row] <= (days[day] + 1) * DAY_NS:
            row += 1
        bounds[day, p, 1] = row


@kernel
def _number_samples(bounds: Integers, edges: Integers, rows: Integers) -> Integers:
    found = 0
    taken = np.empty(rows.shape[0], np.int64)
    for day in range(bounds.shape[0]):
        for offset in range(bounds[day, 1] - bounds[day, 0]):
            taken[found] = bounds[day, 0] + offset
            rows[found, rows.shape[1] - 1] = edges[day] + offset
            found += 1
    return taken


@kernel
def _gather(places: Integers, t: int, warm: Flags, values: Floats, out: Floats) -> None:
    for j in range(places.shape[0]):
        row = places[j, t]
        if row >= 0 and warm[row]:
            out[places[j, places.shape[1] - 1], t] = values[row]


@kernel
def _gather_votes(places: Integers, t: int, votes: Floats, out: Floats) -> None:
    for j in range(places.shape[0]):
        row = places[j, t]
        if row >= 0:
            for s in range(votes.shape[0]):
                out[places[j, places.shape[1] - 1], t, s] = votes[s, row]


@kernel
def _outcomes(
    places: Integers, close: Floats, number: Integers, warm: Flags, volatility: Floats, year: float, out: Floats
) -> None:
    for j in range(places.shape[0]):
        row = places[j, places.shape[1] - 2]
        if row > 0 and number[row] == number[row - 1] + 1 and warm[row - 1] and volatility[row - 1] > 0.0:
            change = (close[row] - close[row - 1]) / close[row - 1]
            out[places[j, places.shape[1] - 1]] = change / volatility[row - 1] * math.sqrt(year)


@kernel
def _sum_votes(days: Integers, stamps: Integers, votes: Floats, t: int, counts: Floats, strengths: Floats) -> None:
    row = 0
    for day in range(days.size):
        while row < stamps.size and stamps[row] <= days[day] * DAY_NS:
            row += 1
        start = row
        while row < stamps.size and stamps[row] <= (days[day] + 1) * DAY_NS:
            row += 1
        for s in range(votes.shape[0]):
            spoken, strength = 0, 0.0
            for i in range(start, row):
                spoken += votes[s, i] != 0.0
                strength += abs(votes[s, i])
            counts[day, t, s] += spoken
            strengths[day, t, s] += strength
