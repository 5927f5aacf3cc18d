"""The one recursive average: `average[i] = keep * average[i - 1] + gain * values[i]`.

EMA and Wilder's smoothing differ only in `keep`, `gain` and the seed.

Written eight steps at a time, `average[i] = keep**8 * average[i - 8] + (the last eight values, weighted)`, so that
eight chains run side by side instead of one that waits for itself. Every element is computed by the same formula from
the same neighbours, wherever it lies: after enough bars the bits no longer depend on where the data began.
"""

import math
from typing import NamedTuple

from novapulse.compiled import kernel
from novapulse.core.bars import Floats

CARRY = 8


class Smoothing(NamedTuple):
    """A recursive average and its seed: the sum of `seed_bars` values from index `first` on, over `divisor`.

    Attributes:
        first: Index of the first value that counts.
        seed_bars: Values in the seed, >= 1.
        divisor: `seed_bars` for a mean, 1 for a sum.
        keep: Share of the old average kept, 0 <= keep < 1.
        gain: Factor on a new value.
    """

    first: int
    seed_bars: int
    divisor: float
    keep: float
    gain: float


@kernel
def ema_from(first: int, n: int) -> Smoothing:
    """Return the exponential moving average of span `n` over the values from `first` on."""
    gain = 2.0 / (n + 1.0)
    return Smoothing(first, n, float(n), 1.0 - gain, gain)


@kernel
def wilder_from(first: int, n: int) -> Smoothing:
    """Return Wilder's smoothing over `n` of the values from `first` on."""
    return Smoothing(first, n, float(n), 1.0 - 1.0 / n, 1.0 / n)


@kernel
def wilder_sum_from(first: int, n: int) -> Smoothing:
    """Return Wilder's smoothed sum over `n`, seeded one value short, of the values from `first` on."""
    return Smoothing(first, n - 1, 1.0, 1.0 - 1.0 / n, 1.0)


@kernel
def smooth(values: Floats, smoothing: Smoothing, averages: Floats, scratch: Floats) -> None:
    """Fill `averages`: NaN up to the seed's last value, then the average; `scratch` as for `advance`."""
    first, behind, keep, gain = smoothing.first, smoothing.first + smoothing.seed_bars, smoothing.keep, smoothing.gain
    seed_at = min(behind - 1, values.size)
    averages[:seed_at] = math.nan
    if seed_at == values.size:
        return
    total = 0.0
    for i in range(first, behind):
        total += values[i]
    average = total / smoothing.divisor
    averages[seed_at] = average
    for i in range(seed_at + 1, min(seed_at + CARRY, values.size)):
        average = keep * average + gain * values[i]
        averages[i] = average
    if values.size > seed_at + CARRY:
        advance(values[seed_at:], keep, gain, averages[seed_at:], scratch)


@kernel
def advance(values: Floats, keep: float, gain: float, averages: Floats, scratch: Floats) -> None:
    """Continue an average whose first `CARRY` elements are known.

    Args:
        values: float64[N], N >= CARRY.
        keep: Share of the old average kept, 0 <= keep < 1.
        gain: Factor on a new value.
        averages: float64[N], written from element `CARRY` on.
        scratch: float64[M], M > CARRY; work goes in pieces of M - CARRY, which do not show in the result.
    """
    piece = scratch.size - CARRY
    for start in range(0, values.size - CARRY, piece):
        stop = min(start + piece + CARRY, values.size)
        _weigh_fours(values[start + 1 : stop], keep, gain, scratch)
        _eight_chains(scratch, keep, averages[start:stop])


@kernel
def _weigh_fours(values: Floats, keep: float, gain: float, fours: Floats) -> None:
    gain_1 = gain * keep
    gain_2 = gain_1 * keep
    gain_3 = gain_2 * keep
    new, old, older, oldest = values[3:], values[2:], values[1:], values
    for j in range(values.size - 3):
        fours[j] = (gain * new[j] + gain_1 * old[j]) + (gain_2 * older[j] + gain_3 * oldest[j])


@kernel
def _eight_chains(fours: Floats, keep: float, averages: Floats) -> None:
    keep_4 = (keep * keep) * (keep * keep)
    keep_8 = keep_4 * keep_4
    e0, e1, e2, e3 = averages[0], averages[1], averages[2], averages[3]
    e4, e5, e6, e7 = averages[4], averages[5], averages[6], averages[7]
    later, out = fours[4:], averages[CARRY:]
    whole = out.size // CARRY
    for block in range(whole):
        j = CARRY * block
        e0 = (later[j] + keep_4 * fours[j]) + keep_8 * e0
        e1 = (later[j + 1] + keep_4 * fours[j + 1]) + keep_8 * e1
        e2 = (later[j + 2] + keep_4 * fours[j + 2]) + keep_8 * e2
        e3 = (later[j + 3] + keep_4 * fours[j + 3]) + keep_8 * e3
        e4 = (later[j + 4] + keep_4 * fours[j + 4]) + keep_8 * e4
        e5 = (later[j + 5] + keep_4 * fours[j + 5]) + keep_8 * e5
        e6 = (later[j + 6] + keep_4 * fours[j + 6]) + keep_8 * e6
        e7 = (later[j + 7] + keep_4 * fours[j + 7]) + keep_8 * e7
        out[j], out[j + 1], out[j + 2], out[j + 3] = e0, e1, e2, e3
        out[j + 4], out[j + 5], out[j + 6], out[j + 7] = e4, e5, e6, e7
    for j in range(CARRY * whole, out.size):
        out[j] = (later[j] + keep_4 * fours[j]) + keep_8 * averages[j]
