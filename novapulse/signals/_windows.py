"""Sums and dispersion of the last `n` values.

Built by doubling: windows of 1, 2, 4, ... values, of which those that `n` is made of in binary are joined, oldest
first (two doublings in one pass where the window between is not needed: the same operations, less traffic). The order
of operations depends on nothing but `n`: the same `n` values give the same bits wherever they lie,
and errors do not pile up.
"""

import math

import numpy as np

from novapulse.compiled import kernel
from novapulse.core.bars import Floats

_CHUNK = 1024


@kernel
def chunk_rows(n: int, size: int) -> int:
    """Return how many of the windows of `n` in `size` values to compute at a time; 0 where there is none."""
    return min(max(_CHUNK, 2 * n), max(size - n + 1, 0))


@kernel
def window_sums(values: Floats, n: int, sums: Floats) -> None:
    """Fill `sums[i]` with the sum of the `n` values up to `i`, NaN before there are `n`."""
    sums[: min(n - 1, values.size)] = math.nan
    rows = chunk_rows(n, values.size)
    if rows == 0:
        return
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
    size, length, done = values.size, 1, 0
    copy_values(values, power[:size])
    while True:
        if n & length:
            _append(power[done:], done, sums)
            done += length
        if done == n:
            return
        grown = _growth(n, length)
        _widen_sums(power, length, size, grown, other)
        power, other = other, power
        size -= (grown - 1) * length
        length *= grown


@kernel
def copy_values(values: Floats, copies: Floats) -> None:
    """Fill `copies` with as many of the first values."""
    for j in range(copies.size):
        copies[j] = values[j]


@kernel
def _append(piece: Floats, done: int, sums: Floats) -> None:
    if done == 0:
        copy_values(piece, sums)
        return
    for j in range(sums.size):
        sums[j] += piece[j]


@kernel(inline=True)
def _growth(n: int, length: int) -> int:
    return 2 if n & (2 * length) else 4


@kernel
def _widen_sums(power: Floats, length: int, size: int, grown: int, wider: Floats) -> None:
    if grown == 2:
        ahead = power[length:size]
        for j in range(ahead.size):
            wider[j] = power[j] + ahead[j]
        return
    second, third, fourth = power[length:], power[2 * length :], power[3 * length : size]
    for j in range(fourth.size):
        wider[j] = (power[j] + second[j]) + (third[j] + fourth[j])


@kernel
def window_moments(values: Floats, n: int, sums: Floats, squares: Floats) -> None:
    """Fill the sum of the `n` values up to `i`, and the sum of their squared distances from their mean."""
    warm_up = min(n - 1, values.size)
    sums[:warm_up] = math.nan
    squares[:warm_up] = math.nan
    rows = chunk_rows(n, values.size)
    if rows == 0:
        return
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
    size, done, length = values.size, n & 1, _growth(n, 1)
    if done:
        copy_values(values, sums)
        squares[:] = 0.0
    if n > 1:
        _widen_sums(values, 1, size, length, power)
        _first_squares(values, size, length, power_squares)
        size -= length - 1
    while done < n:
        if n & length:
            _join(power[done:], power_squares[done:], length, done, sums, squares)
            done += length
        if done < n:
            grown = _growth(n, length)
            _widen_squares(power, power_squares, length, size, grown, other_squares)
            _widen_sums(power, length, size, grown, other)
            power, other = other, power
            power_squares, other_squares = other_squares, power_squares
            size -= (grown - 1) * length
            length *= grown


@kernel
def _first_squares(values: Floats, size: int, grown: int, wider: Floats) -> None:
    second = values[1:]
    if grown == 2:
        for j in range(size - 1):
            apart = values[j] - second[j]
            wider[j] = 0.5 * (apart * apart)
        return
    third, fourth = values[2:], values[3:]
    for j in range(size - 3):
        early, late = values[j] - second[j], third[j] - fourth[j]
        halves = (values[j] + second[j]) - (third[j] + fourth[j])
        wider[j] = (0.5 * (early * early) + 0.5 * (late * late)) + 0.25 * (halves * halves)


@kernel
def _widen_squares(power: Floats, squares: Floats, length: int, size: int, grown: int, wider: Floats) -> None:
    scale = 1.0 / (2 * length)
    power_2, squares_2 = power[length:], squares[length:]
    if grown == 2:
        for j in range(size - length):
            apart = power[j] - power_2[j]
            wider[j] = (squares[j] + squares_2[j]) + scale * (apart * apart)
        return
    power_3, squares_3 = power[2 * length :], squares[2 * length :]
    power_4, squares_4 = power[3 * length :], squares[3 * length :]
    for j in range(size - 3 * length):
        early, late = power[j] - power_2[j], power_3[j] - power_4[j]
        halves = (power[j] + power_2[j]) - (power_3[j] + power_4[j])
        first_half = (squares[j] + squares_2[j]) + scale * (early * early)
        second_half = (squares_3[j] + squares_4[j]) + scale * (late * late)
        wider[j] = (first_half + second_half) + (0.5 * scale) * (halves * halves)


@kernel
def _join(piece: Floats, piece_squares: Floats, length: int, done: int, sums: Floats, squares: Floats) -> None:
    if done == 0:
        copy_values(piece, sums)
        copy_values(piece_squares, squares)
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
    rows = chunk_rows(n, values.size)
    if rows == 0:
        return
    scratch = np.empty((4, rows + n))
    for start in range(n - 1, values.size, rows):
        stop = min(start + rows, values.size)
        _weigh_windows(values[start - n + 1 : stop], n, sums[start:stop], scratch)


@kernel
def _weigh_windows(values: Floats, n: int, sums: Floats, scratch: Floats) -> None:
    power, weighted, other, other_weighted = scratch[0], scratch[1], scratch[2], scratch[3]
    size, length, done = values.size, 1, 0
    copy_values(values, power[:size])
    copy_values(values, weighted[:size])
    sums[:] = 0.0
    while True:
        if n & length:
            _add_weighted(power[done:], weighted[done:], float(done), sums)
            done += length
        if done == n:
            return
        _double_weighted(weighted, power[length:size], weighted[length:], float(length), other_weighted)
        _widen_sums(power, length, size, 2, other)
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
