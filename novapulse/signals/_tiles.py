"""Work in tiles that stay in the processor's cache.

A pipeline (moves, smoothed, divided, smoothed again) runs tile by tile instead of column by column. Tiles do not show
in the results: each column of a tile begins with the last `CARRY` elements of the tile before it.
"""

import numpy as np
from numpy.typing import NDArray

from novapulse.compiled import kernel
from novapulse.core.bars import Floats
from novapulse.signals._recursion import CARRY, Smoothing, advance, smooth

Tile = NDArray[np.float64]

_ROWS = 2048


@kernel
def tile_rows(seed_bars: int) -> int:
    """Return how many rows a tile has, so that the first one holds every seed and the carry behind it."""
    return max(_ROWS, seed_bars + 2 * CARRY)


@kernel
def new_tile(columns: int, rows: int) -> Tile:
    """Return scratch for `columns` columns: the carry, then `rows` elements each."""
    return np.empty((columns, CARRY + rows))


@kernel
def smooth_tile(values: Floats, rows: int, is_first: bool, smoothing: Smoothing, averages: Floats) -> None:
    """Smooth one column of a tile into another."""
    if is_first:
        smooth(values[CARRY : CARRY + rows], smoothing, averages[CARRY : CARRY + rows])
    else:
        advance(values[: CARRY + rows], smoothing.keep, smoothing.gain, averages[: CARRY + rows])


@kernel
def carry_over(tile: Tile, rows: int) -> None:
    """Put the last elements of every column in front, for the next tile."""
    for column in range(tile.shape[0]):
        for j in range(CARRY):
            tile[column, j] = tile[column, rows + j]
