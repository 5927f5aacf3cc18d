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
def tile_rows(seed_bars: int, size: int) -> int:
    """Return how many rows a tile of `size` has, so that the first one holds every seed and the carry behind it."""
    return max(min(max(_ROWS, seed_bars + 2 * CARRY), size), 1)


@kernel
def new_tile(columns: int, rows: int) -> Tile:
    """Return scratch for `columns` columns: the carry, then `rows` elements each."""
    return np.empty((columns, CARRY + rows))


@kernel(inline=True)
def lead_of(start: int) -> int:
    """Return how many known elements lie in front of the tile that begins at row `start`."""
    return 0 if start == 0 else CARRY


@kernel
def tile_part(tile: Tile, column: int, start: int, stop: int) -> Floats:
    """Return one column of the tile of rows `start` to `stop`, from its lead on."""
    values: Floats = tile[column][CARRY - lead_of(start) : CARRY + stop - start]
    return values


@kernel
def smooth_tile(values: Floats, lead: int, smoothing: Smoothing, averages: Floats, scratch: Floats) -> None:
    """Smooth the values of one tile; both columns begin with the tile's `lead`. Scratch is a whole column of it."""
    if lead == 0:
        smooth(values, smoothing, averages, scratch)
    else:
        advance(values, smoothing.keep, smoothing.gain, averages, scratch)


@kernel
def carry_over(tile: Tile, rows: int) -> None:
    """Put the last elements of every column in front, for the next tile."""
    for column in range(tile.shape[0]):
        for j in range(CARRY):
            tile[column, j] = tile[column, rows + j]
