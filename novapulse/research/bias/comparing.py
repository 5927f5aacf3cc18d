"""Two sets of columns compared to the bit, and the rows at which a subject has something to lose.

Two values are equal when their bits are; unknown (NaN) equals unknown.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from novapulse.core.bars import BarColumns, Flags, Integers
from novapulse.research.bias.subjects import Column, Columns


class Difference(NamedTuple):
    """The first row at which two sets of columns differ; rows count from the start of what was compared."""

    row: int
    column: str
    expected: float
    got: float


def first_difference(expected: Columns, got: Columns) -> Difference | None:
    """Return where two sets of columns of equal length first differ, or None.

    Raises:
        ValueError: They do not have the same columns.
    """
    if expected.keys() != got.keys():
        raise ValueError(f"columns are {', '.join(got)} where they were {', '.join(expected)}")
    found: Difference | None = None
    for name, column in expected.items():
        rows = np.flatnonzero(_bits(column) != _bits(got[name]))
        if rows.size and (found is None or rows[0] < found.row):
            row = int(rows[0])
            found = Difference(row, name, float(column[row]), float(got[name][row]))
    return found


def rows_of(columns: Columns, rows: slice) -> Columns:
    """Return a stretch of rows of every column."""
    return {name: column[rows] for name, column in columns.items()}


def spoken_rows(columns: Columns) -> int:
    """Return on how many rows any column is neither 0 nor unknown."""
    spoken: Flags | None = None
    for column in columns.values():
        says = (column != 0) & (column == column)
        spoken = says if spoken is None else spoken | says
    return 0 if spoken is None else int(spoken.sum())


def turning_rows(columns: Columns) -> Integers:
    """Return the rows on which a column begins or ends to speak, changes its sign, or a whole number its value."""
    turns: set[int] = set()
    for column in columns.values():
        state = _state(column)
        turns.update((np.flatnonzero(state[1:] != state[:-1]) + 1).tolist())
    return np.array(sorted(turns), np.int64)


def gap_rows(bars: BarColumns) -> Integers:
    """Return the last row before each gap and the first one behind it."""
    before = np.flatnonzero(np.diff(bars.number) != 1)
    return np.concatenate((before, before + 1))


def _bits(column: Column) -> NDArray[np.int64]:
    if column.dtype.kind != "f":
        return column.astype(np.int64)
    values = np.array(column, np.float64)
    values[np.isnan(values)] = np.nan
    return values.view(np.int64)


def _state(column: Column) -> NDArray[np.int64]:
    if column.dtype.kind != "f":
        return column.astype(np.int64)
    return np.where(np.isnan(column), 2.0, np.sign(column)).astype(np.int64)
