"""Sums, dispersion and extremes of the last `n` values.

Built by doubling: windows of 1, 2, 4, ... values, of which those that `n` is made of in binary are joined, oldest first.
The order of operations depends on nothing but `n`: the same `n` values give the same bits wherever they lie, and errors
do not pile up.
"""

import math

import numpy as np

from novapulse.compiled import kernel
from novapulse.core.bars import Floats

_CHUNK = 1024


@kernel
def chunk_rows(n: int) -> int:
    """Return how many windows of `n` values are worth computing at a time."""
    return max(_CHUNK, 2 * n)


@kernel
def window_sums(values: Floats, n: int, sums: Floats) -> None:
    """Fill `sums[i]` with the sum of the `n` values up to `i`, NaN before there are `n`."""
    sums[: min(n - 1, values.size)] = math.nan
    rows = chunk_rows(n)
    scratch = np.empty((2, rows + n))
    for start in range(n - 1, values.size, rows):
        stop = min(start + rows, values.size)
        sum_windows(values[start - n + 1 : stop], n, sums[start:stop], scratch)


@kernel
def sum_windows(values: Floats, n: int, sums: Floats, scratch: Floats) -> None:
    """Fill `sums[j]` with the sum of `values[j : j + n]`.

    Args:
        values: float64[M + n - 1].
        n: Values in a window, >= 1.
        sums: float64[M], written.
        scratch: float64[2, M + n - 1 or more].
    """
    power, other = scratch[0], scratch[1]
    size, length, done = values.size, 1, n & 1
    if done:
        sums[:] = values[: sums.size]
    else:
        sums[:] = 0.0
    if n > 1:
        _double_sums(values, values[1:], power)
    while done < n:
        size -= length
        length *= 2
        if n & length:
            _add(power[done:], sums)
            done += length
        if done < n:
            _double_sums(power, power[length:size], other)
            power, other = other, power


@kernel
def _add(piece: Floats, sums: Floats) -> None:
    for j in range(sums.size):
        sums[j] += piece[j]


@kernel
def _double_sums(power: Floats, ahead: Floats, doubled: Floats) -> None:
    for j in range(ahead.size):
        doubled[j] = power[j] + ahead[j]


@kernel
def window_moments(values: Floats, n: int, sums: Floats, squares: Floats) -> None:
    """Fill the sum of the `n` values up to `i`, and the sum of their squared distances from their mean."""
    warm_up = min(n - 1, values.size)
    sums[:warm_up] = math.nan
    squares[:warm_up] = math.nan
    rows = chunk_rows(n)
    scratch = np.empty((4, rows + n))
    for start in range(n - 1, values.size, rows):
        stop = min(start + rows, values.size)
        window_values = values[start - n + 1 : stop]
        disperse_windows(window_values, n, sums[start:stop], squares[start:stop], scratch)


@kernel
def disperse_windows(values: Floats, n: int, sums: Floats, squares: Floats, scratch: Floats) -> None:
    """Fill the sum of `values[j : j + n]` and the sum of squared distances from its mean.

    Two neighbouring windows of `a` and `b` values join without cancellation: the squares add up, plus
    `(b * sum_a - a * sum_b)**2 / (a * b * (a + b))`.

    Args:
        values: float64[M + n - 1].
        n: Values in a window, >= 1.
        sums: float64[M], written.
        squares: float64[M], written.
        scratch: float64[4, M + n - 1 or more].
    """
    power, power_squares, other, other_squares = scratch[0], scratch[1], scratch[2], scratch[3]
    size, length, done = values.size, 1, 0
    power[:size] = values
    power_squares[:size] = 0.0
    while True:
        if n & length:
            _join(power[done:], power_squares[done:], length, done, sums, squares)
            done += length
        if done == n:
            return
        _double_squares(1.0 / (2 * length), power, power[length:size], power_squares, power_squares[length:], other_squares)
        _double_sums(power, power[length:size], other)
        power, other = other, power
        power_squares, other_squares = other_squares, power_squares
        size -= length
        length *= 2


@kernel
def _double_squares(
    scale: float, power: Floats, ahead: Floats, squares: Floats, ahead_squares: Floats, doubled: Floats
) -> None:
    for j in range(ahead.size):
        apart = power[j] - ahead[j]
        doubled[j] = (squares[j] + ahead_squares[j]) + scale * (apart * apart)


@kernel
def _join(piece: Floats, piece_squares: Floats, length: int, done: int, sums: Floats, squares: Floats) -> None:
    if done == 0:
        for j in range(sums.size):
            sums[j], squares[j] = piece[j], piece_squares[j]
        return
    a, b = float(done), float(length)
    scale = 1.0 / (a * b * (a + b))
    for j in range(sums.size):
        apart = b * sums[j] - a * piece[j]
        squares[j] = (squares[j] + piece_squares[j]) + scale * (apart * apart)
        sums[j] += piece[j]


@kernel
def window_weighted(values: Floats, n: int, sums: Floats) -> None:
    """Fill `sums[i]` with `n * values[i] + (n - 1) * values[i - 1] + ...`, NaN before there are `n` values."""
    sums[: min(n - 1, values.size)] = math.nan
    rows = chunk_rows(n)
    scratch = np.empty((4, rows + n))
    for start in range(n - 1, values.size, rows):
        stop = min(start + rows, values.size)
        _weigh_windows(values[start - n + 1 : stop], n, sums[start:stop], scratch)


@kernel
def _weigh_windows(values: Floats, n: int, sums: Floats, scratch: Floats) -> None:
    power, weighted, other, other_weighted = scratch[0], scratch[1], scratch[2], scratch[3]
    size, length, done = values.size, 1, 0
    power[:size] = values
    weighted[:size] = values
    sums[:] = 0.0
    while True:
        if n & length:
            _add_weighted(power[done:], weighted[done:], float(done), sums)
            done += length
        if done == n:
            return
        _double_weighted(weighted, power[length:size], weighted[length:], float(length), other_weighted)
        _double_sums(power, power[length:size], other)
        power, other = other, power
        weighted, other_weighted = other_weighted, weighted
        size -= length
        length *= 2


@kernel
def _add_weighted(piece: Floats, piece_weighted: Floats, older: float, sums: Floats) -> None:
    for j in range(sums.size):
        sums[j] += piece_weighted[j] + older * piece[j]


@kernel
def _double_weighted(weighted: Floats, ahead: Floats, ahead_weighted: Floats, older: float, doubled: Floats) -> None:
    for j in range(ahead.size):
        doubled[j] = weighted[j] + (ahead_weighted[j] + older * ahead[j])


@kernel(inline=True)
def _farther(a: float, b: float, sign: float) -> float:
    return a if sign * a > sign * b else b


@kernel
def window_extremes(values: Floats, n: int, sign: float, extremes: Floats) -> None:
    """Fill `extremes[i]` with the largest (`sign` 1) or smallest (-1) of the `n` values up to `i`, NaN before."""
    extremes[: min(n - 1, values.size)] = math.nan
    rows = chunk_rows(n)
    scratch = np.empty((2, rows + n))
    for start in range(n - 1, values.size, rows):
        stop = min(start + rows, values.size)
        _extreme_windows(values[start - n + 1 : stop], n, sign, extremes[start:stop], scratch)


@kernel
def _extreme_windows(values: Floats, n: int, sign: float, extremes: Floats, scratch: Floats) -> None:
    power, other = scratch[0], scratch[1]
    size, length = values.size, 1
    power[:size] = values
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
