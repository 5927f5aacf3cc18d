"""What every figure does first: refuse a column that is no column of finite numbers, and name the row."""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from novapulse.core.bars import Floats, Integers


def column(name: str, values: ArrayLike) -> Floats:
    """Return values as float64[N].

    Raises:
        ValueError: It has not one dimension, or a row is not finite.
    """
    array: Floats = np.asarray(values, np.float64)
    if array.ndim != 1:
        raise ValueError(f"{name} must have one dimension, got shape {array.shape}")
    bad = ~np.isfinite(array)
    if bad.any():
        row = int(np.argmax(bad))
        raise ValueError(f"{name}: row {row} is {array[row]}, not a finite number")
    return array


def columns(**named: ArrayLike) -> tuple[Floats, ...]:
    """Return the named inputs as float64 columns of one length.

    Raises:
        ValueError: One is no column of finite numbers, or two differ in length.
    """
    checked = tuple(column(name, values) for name, values in named.items())
    names = list(named)
    for name, values in zip(names, checked, strict=True):
        same_length(names[0], checked[0], name, values)
    return checked


def whole(name: str, values: ArrayLike) -> Integers:
    """Return stamps as int64[N], ns UTC, in any order.

    Raises:
        ValueError: They are not whole numbers in one dimension.
    """
    given = np.asarray(values)
    if given.ndim != 1 or (given.size and given.dtype.kind not in "iu"):
        raise ValueError(f"{name} must be whole nanoseconds in one dimension, got {given.dtype} of shape {given.shape}")
    return given.astype(np.int64, copy=False)


def stamps(name: str, values: ArrayLike) -> Integers:
    """Return stamps as int64[N], ns UTC, ascending.

    Raises:
        ValueError: They are not whole numbers in one dimension, or do not ascend.
    """
    array = whole(name, values)
    steps = np.diff(array)
    if (steps <= 0).any():
        row = int(np.argmax(steps <= 0)) + 1
        raise ValueError(f"{name}: row {row}, {array[row]}, does not come after {array[row - 1]}")
    return array


def same_length(name: str, values: NDArray[np.generic], other_name: str, other: NDArray[np.generic]) -> None:
    """Refuse two columns that differ in length.

    Raises:
        ValueError: They do.
    """
    if values.size != other.size:
        raise ValueError(f"{other_name} has {other.size} rows, {name} has {values.size}")


def positive(name: str, value: float) -> float:
    """Return a finite number above zero.

    Raises:
        ValueError: It is none.
    """
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"{name} must be a finite number above 0, got {value!r}")
    return float(value)


def share(name: str, value: float) -> float:
    """Return a number between 0 and 1, both excluded.

    Raises:
        ValueError: It is none.
    """
    if not 0 < value < 1:
        raise ValueError(f"{name} must lie between 0 and 1, got {value!r}")
    return float(value)
