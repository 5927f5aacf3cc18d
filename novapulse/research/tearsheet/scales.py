"""Where a value lies along an axis, which ticks an axis carries, and which points of a long line are enough to draw it.

Invariants:
- a scale maps to 0..1 and has a width above zero, also for one value or none;
- thinning keeps the first, the last, the lowest and the highest point of every bucket, so that no extreme is lost.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from novapulse.core.bars import DAY_NS, MINUTE_NS, Floats, Integers

SECOND_NS = 1_000_000_000
HOUR_NS = 60 * MINUTE_NS
MINUS = "\N{MINUS SIGN}"

_TIME_STEPS_NS = (
    *(n * SECOND_NS for n in (1, 5, 15, 30)),
    *(n * MINUTE_NS for n in (1, 2, 5, 10, 15, 30)),
    *(n * HOUR_NS for n in (1, 2, 3, 6, 12)),
    *(n * DAY_NS for n in (1, 2, 4, 7, 14)),
)
_MONTH_STEPS = (1, 2, 3, 6, 12, 24, 60, 120)
_MONTH_NS = 30.4 * DAY_NS


class Tick(NamedTuple):
    """One mark of an axis."""

    value: float
    label: str


@dataclass(frozen=True, slots=True)
class Scale:
    """A stretch of values that an axis covers.

    Attributes:
        low: Value at 0.
        high: Value at 1, above `low`.
    """

    low: float
    high: float

    def at(self, value: float) -> float:
        """Return where a value lies, 0 at `low` and 1 at `high`; values beyond are held at the rim."""
        return min(max((value - self.low) / (self.high - self.low), 0.0), 1.0)


def scale_of(values: Sequence[float], *, room: float = 0.0) -> Scale:
    """Return a scale that covers some values.

    Args:
        values: Finite numbers; none of them gives 0..1.
        room: Share of the width that is left free at either end.
    """
    if not values:
        return Scale(0.0, 1.0)
    low, high = min(values), max(values)
    spare = (high - low) * room
    if high - low <= 1e-12 * max(abs(low), abs(high)):
        spare = 0.005 * abs(low) or 1.0
    return Scale(low - spare, high + spare)


def number_ticks(scale: Scale, count_max: int, suffix: str = "", factor: float = 1.0) -> list[Tick]:
    """Return round numbers along a scale.

    Args:
        scale: What the axis covers.
        count_max: At most this many, >= 2.
        suffix: Unit behind each label.
        factor: What a value is multiplied by for its label, e.g. 100 for percent.
    """
    step = round_step((scale.high - scale.low) * factor / count_max)
    first, last = math.ceil(scale.low * factor / step - 1e-9), math.floor(scale.high * factor / step + 1e-9)
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    return [Tick(n * step / factor, signed(n * step, digits) + suffix) for n in range(first, last + 1)]


def round_step(width: float) -> float:
    """Return the smallest of 1, 2 and 5 times a power of ten that is not below a width > 0."""
    power = 10.0 ** math.floor(math.log10(width))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= width * (1 - 1e-9))


def signed(value: float | Decimal, digits: int) -> str:
    """Return a number with thousands marked and a true minus sign; what rounds to zero has none."""
    text = f"{value:,.{digits}f}"
    return text.lstrip("-") if not text.strip("-0.,") else text.replace("-", MINUS)


def time_ticks(start_ns: int, end_ns: int, count_max: int) -> list[Tick]:
    """Return round moments in UTC from a start to an end; the year stands where it begins."""
    width = (end_ns - start_ns) / count_max
    step = next((one for one in _TIME_STEPS_NS if one >= width), None)
    if step is not None:
        first = -(-start_ns // step)
        moments = [n * step for n in range(first, end_ns // step + 1)]
        return [Tick(moment, _moment_label(moment, step)) for moment in moments]
    months = next((n for n in _MONTH_STEPS if n * _MONTH_NS >= width), _MONTH_STEPS[-1])
    return [
        Tick(ns, day.strftime("%Y" if day.month == 1 else "%b" if number else "%b %Y"))
        for number, (ns, day) in enumerate(_months(start_ns, end_ns, months))
    ]


def _moment_label(moment_ns: int, step_ns: int) -> str:
    moment = _utc(moment_ns)
    if step_ns >= DAY_NS or moment_ns % DAY_NS == 0:
        return f"{moment.day} {moment:%b}"
    return f"{moment:%H:%M:%S}" if step_ns < MINUTE_NS else f"{moment:%H:%M}"


def _months(start_ns: int, end_ns: int, step: int) -> Iterator[tuple[int, datetime]]:
    first = _utc(start_ns)
    number = -(-(first.year * 12 + first.month - 1) // step) * step
    while True:
        day = datetime(number // 12, number % 12 + 1, 1, tzinfo=UTC)
        moment = int(day.timestamp()) * SECOND_NS
        if moment > end_ns:
            return
        if moment >= start_ns:
            yield moment, day
        number += step


def _utc(moment_ns: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=moment_ns // 1000)


def buckets(ts_ns: Integers, count_max: int) -> list[slice]:
    """Return stretches of rows that fall into equal times, at most so many; rows as they are where there are few.

    Args:
        ts_ns: int64[N], ascending.
        count_max: At most this many, >= 1.
    """
    if ts_ns.size <= count_max:
        return [slice(row, row + 1) for row in range(ts_ns.size)]
    first, last = int(ts_ns[0]), int(ts_ns[-1])
    edges = first + (last + 1 - first) * np.arange(count_max + 1) / count_max
    rows = np.searchsorted(ts_ns, edges)
    rows[-1] = ts_ns.size
    return [slice(a, b) for a, b in pairwise(rows.tolist()) if b > a]


def thinned(ts_ns: Integers, values: Floats, count_max: int) -> Integers:
    """Return the rows that are enough to draw a line: ends, lows and highs of equal times.

    Args:
        ts_ns: int64[N], ascending.
        values: float64[N], finite.
        count_max: About twice as many rows are returned at most, and both ends.

    Returns:
        int64[M], ascending rows.
    """
    if ts_ns.size <= 2 * count_max:
        return np.arange(ts_ns.size, dtype=np.int64)
    kept = {0, int(ts_ns.size) - 1}
    for part in buckets(ts_ns, count_max):
        kept |= {part.start + int(values[part].argmin()), part.start + int(values[part].argmax())}
    return np.array(sorted(kept), np.int64)
