"""What every indicator does before its first bar: check the arguments, and step over what is unknown.

Invariants:
- inputs are read-only views and never written to; results are new arrays;
- a row where any input is not finite is unknown: its result is NaN and the indicator starts anew behind it, as on a
  first bar. An unknown value is therefore never averaged, and never spreads further than the warm-up.
"""

from collections.abc import Callable, Iterator
from typing import SupportsFloat, SupportsIndex, cast

import numpy as np
from numpy.typing import ArrayLike

from novapulse.compiled import kernel
from novapulse.core.bars import Floats, Integers

_LARGEST = float(np.finfo(np.float64).max)


def columns(**named: ArrayLike) -> tuple[Floats, ...]:
    """Return the named inputs as read-only float64 columns of one length.

    Raises:
        ValueError: A column is not one-dimensional, or two differ in length.
    """
    checked = [_column(name, values) for name, values in named.items()]
    names = list(named)
    for name, values in zip(names[1:], checked[1:], strict=True):
        if values.size != checked[0].size:
            raise ValueError(f"{name} has {values.size} elements, {names[0]} has {checked[0].size}")
    return tuple(checked)


def _column(name: str, values: ArrayLike) -> Floats:
    column = np.ascontiguousarray(values, np.float64)
    if np.ndim(values) != 1:
        raise ValueError(f"{name} must have one dimension, got shape {np.shape(values)}")
    view = column.view()
    view.flags.writeable = False
    return view


def period(name: str, value: object, minimum: int = 1) -> int:
    """Return `value` as a number of bars.

    Raises:
        ValueError: It is not a whole number of at least `minimum`.
    """
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise ValueError(f"{name} must be a whole number of bars, got {value!r}")
    bars = int(cast(SupportsIndex, value))
    if bars < minimum:
        raise ValueError(f"{name} must be at least {minimum}, got {bars}")
    return bars


def positive(name: str, value: object) -> float:
    """Return `value` as a finite number above zero.

    Raises:
        ValueError: It is not.
    """
    if isinstance(value, bool) or not hasattr(value, "__float__"):
        raise ValueError(f"{name} must be a number above 0, got {value!r}")
    number = float(cast(SupportsFloat, value))
    if not 0.0 < number <= _LARGEST:
        raise ValueError(f"{name} must be a finite number above 0, got {number}")
    return number


def evaluate(
    compute: Callable[..., bool], inputs: tuple[Floats | Integers, ...], parameters: tuple[float, ...], outputs: int
) -> tuple[Floats, ...]:
    """Run a kernel over every stretch of rows without an unknown value.

    Args:
        compute: `compute(*inputs, *parameters, *outputs)`: fills each output completely, NaN in warm-up, and returns
            True; or returns False as soon as it meets an unknown value.
        inputs: float64[N] or int64[N] each.
        parameters: Scalars, already checked.
        outputs: How many columns the kernel fills.

    Returns:
        `outputs` arrays, float64[N].
    """
    results = tuple(np.empty(inputs[0].size) for _ in range(outputs))
    if compute(*inputs, *parameters, *results):
        return results
    for result in results:
        result.fill(np.nan)
    for run in _known_runs(inputs):
        compute(*(column[run] for column in inputs), *parameters, *(result[run] for result in results))
    return results


def _known_runs(inputs: tuple[Floats | Integers, ...]) -> Iterator[slice]:
    known = np.ones(inputs[0].size + 2, np.bool_)
    known[0] = known[-1] = False
    for column in inputs:
        known[1:-1] &= np.isfinite(column)
    edges = np.flatnonzero(known[1:] != known[:-1])
    for start, stop in edges.reshape(-1, 2).tolist():
        yield slice(start, stop)


@kernel
def all_known(values: Floats | Integers) -> bool:
    """Return whether every value is finite."""
    unknown = 0
    for i in range(values.size):
        unknown += 0 if abs(values[i]) <= _LARGEST else 1
    return unknown == 0
