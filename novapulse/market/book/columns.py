"""Books as columns: the best levels of each side, row by row, and what can be wrong with a row."""

import enum
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from novapulse.compiled import kernel
from novapulse.core.bars import Floats, Integers


class BookProblem(enum.IntEnum):
    """Why a book is refused; NONE where it is not."""

    NONE = 0
    EMPTY = 1
    """A side has no level."""
    CROSSED = 2
    """The best bid is not below the best ask."""
    UNORDERED = 3
    """Levels of a side do not lead away from the best one."""
    INVALID = 4
    """A price or a quantity is not finite and above 0."""
    GAP = 5
    """Updates are missing before it."""


@dataclass(frozen=True, slots=True)
class BookColumns:
    """N books of at most L levels a side, oldest first; behind the last level of a side stands NaN.

    Attributes:
        ts_ns: int64[N], ns UTC, not descending: when each book was so.
        bid_price: float64[N, L], quote per base, descending along a row.
        bid_qty: float64[N, L], base units, > 0.
        ask_price: float64[N, L], quote per base, ascending along a row.
        ask_qty: float64[N, L], base units, > 0.
        problem: int8[N], of `BookProblem`.
    """

    ts_ns: Integers
    bid_price: Floats
    bid_qty: Floats
    ask_price: Floats
    ask_qty: Floats
    problem: NDArray[np.int8]

    def __len__(self) -> int:
        return int(self.ts_ns.size)

    def __post_init__(self) -> None:
        shape = self.bid_price.shape
        if len(shape) != 2 or any(one.shape != shape for one in (self.bid_qty, self.ask_price, self.ask_qty)):
            raise ValueError("the four columns of levels must have one shape [N, L]")
        if self.ts_ns.shape != (shape[0],) or self.problem.shape != (shape[0],):
            raise ValueError(f"{shape[0]} books have {self.ts_ns.size} moments and {self.problem.size} problems")
        if self.ts_ns.size and bool((np.diff(self.ts_ns) < 0).any()):
            raise ValueError("books must not go back in time")

    def rows(self, first: int, last: int) -> "BookColumns":
        """Return the books `first:last` as views."""
        return BookColumns(
            self.ts_ns[first:last],
            self.bid_price[first:last],
            self.bid_qty[first:last],
            self.ask_price[first:last],
            self.ask_qty[first:last],
            self.problem[first:last],
        )


def problems(bid_price: Floats, bid_qty: Floats, ask_price: Floats, ask_qty: Floats) -> NDArray[np.int8]:
    """Return what is wrong with each book: int8[N] of `BookProblem`; gaps are known to `Builder` alone.

    Args:
        bid_price: float64[N, L], quote per base; NaN behind the last level.
        bid_qty: float64[N, L], base units.
        ask_price: float64[N, L].
        ask_qty: float64[N, L].
    """
    found = np.zeros(bid_price.shape[0], np.int8)
    _check(bid_price, bid_qty, ask_price, ask_qty, found)
    return found


@kernel
def _check(bid_price: Floats, bid_qty: Floats, ask_price: Floats, ask_qty: Floats, found: NDArray[np.int8]) -> None:
    for row in range(bid_price.shape[0]):
        bids, asks = depth(bid_price[row]), depth(ask_price[row])
        if bids == 0 or asks == 0:
            found[row] = 1
            continue
        problem = _side(bid_price[row], bid_qty[row], bids, -1.0)
        if problem == 0:
            problem = _side(ask_price[row], ask_qty[row], asks, 1.0)
        if problem == 0 and bid_price[row, 0] >= ask_price[row, 0]:
            problem = 2
        found[row] = problem


@kernel(inline=True, allocates=False)
def depth(prices: Floats) -> int:
    """Return how many levels a side has."""
    for level in range(prices.size):
        if math.isnan(prices[level]):
            return level
    return prices.size


@kernel(inline=True, allocates=False)
def _side(prices: Floats, qtys: Floats, levels: int, away: float) -> int:
    for level in range(levels):
        price, qty = prices[level], qtys[level]
        if not (0.0 < price < math.inf and 0.0 < qty < math.inf):
            return 4
        if level > 0 and (price - prices[level - 1]) * away <= 0.0:
            return 3
    return 0
