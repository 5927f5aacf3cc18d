"""Highest and lowest of the last `n` values, by doubling: 1, 2, 4, ... values, then two windows that overlap."""

import math

import numpy as np

from novapulse.compiled import kernel
from novapulse.core.bars import Floats
from novapulse.signals._windows import chunk_rows, copy_values


@kernel(inline=True)
def _farther(a: float, b: float, sign: float) -> float:
    return a if sign * a > sign * b else b


@kernel
def window_extremes(values: Floats, n: int, sign: float, extremes: Floats) -> None:
    """Fill `extremes[i]` with the largest (`sign` 1) or smallest (-1) of the `n` values up to `i`, NaN before."""
    extremes[: min(n - 1, values.size)] = math.nan
    rows = chunk_rows(n, values.size)
    if rows == 0:
        return
    scratch = np.empty((2, rows + n))
    for start in range(n - 1, values.size, rows):
        stop = min(start + rows, values.size)
        _extreme_windows(values[start - n + 1 : stop], n, sign, extremes[start:stop], scratch)


@kernel
def _extreme_windows(values: Floats, n: int, sign: float, extremes: Floats, scratch: Floats) -> None:
    power, other = scratch[0], scratch[1]
    size, length = values.size, 1
    copy_values(values, power[:size])
    while 2 * length <= n:
        _double_extremes(power, power[length:size], sign, other)
        power, other = other, power
        size -= length
        length *= 2
    _double_extremes(power, power[n - length : size], sign, extremes)


@kernel
def _double_extremes(power: Floats, ahead: Floats, sign: float, doubled: Floats) -> None:
    for j in range(ahead.size):
        doubled[j] = _farther(power[j], ahead[j], sign)
