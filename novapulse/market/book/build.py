"""A book from a snapshot and the differences behind it."""

import enum
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from novapulse.compiled import kernel
from novapulse.core.bars import Floats
from novapulse.market.book.columns import BookProblem, problems

CAPACITY = 4096
"""Levels a side may hold; the ones farthest from the price are given up beyond it."""


class GapError(ValueError):
    """Updates are missing: the book is not known any more until the next snapshot."""


class LevelError(GapError):
    """A level has a price or a quantity that is none: the book is not known any more until the next snapshot."""


class Side(enum.IntEnum):
    """Which half of the book."""

    BID = 0
    ASK = 1


class Builder:
    """The book of one instrument, kept up to date.

    Attributes:
        last_id: Of the last update that is in the book; 0 while there is no book.
        lost: Why there is none, GAP or INVALID; NONE while there is one.
    """

    def __init__(self) -> None:
        """Begin without a book."""
        self.last_id = 0
        self.lost = BookProblem.GAP
        self._prices = np.full((2, CAPACITY), np.nan)
        self._qtys = np.full((2, CAPACITY), np.nan)
        self._counts = np.zeros(2, np.int64)

    @property
    def is_known(self) -> bool:
        """Whether there is a book."""
        return self.last_id > 0

    def snapshot(self, last_id: int, sides: NDArray[np.int8], prices: Floats, qtys: Floats) -> None:
        """Begin anew from a whole book.

        Args:
            last_id: Of the last update that is in it, > 0.
            sides: int8[M] of `Side`.
            prices: float64[M], quote per base.
            qtys: float64[M], base units.

        Raises:
            LevelError: A price is not finite and above 0, or a quantity not finite and at least 0; there is no book.
        """
        self.forget()
        self._take(last_id, sides, prices, qtys)

    def update(self, first_id: int, last_id: int, sides: NDArray[np.int8], prices: Floats, qtys: Floats) -> bool:
        """Take a difference; return False for one that the book already has.

        Args:
            first_id: The first update in it.
            last_id: The last one.
            sides: int8[M] of `Side`.
            prices: float64[M], quote per base.
            qtys: float64[M], base units; 0 takes the level away.

        Raises:
            GapError: Updates between the book and this one are missing, or there is no book; it is forgotten.
            LevelError: A price is not finite and above 0, or a quantity not finite and at least 0; it is forgotten.
        """
        if not self.is_known:
            raise GapError("there is no book to change: a snapshot has to come first")
        if last_id <= self.last_id:
            return False
        if first_id > self.last_id + 1:
            missing = first_id - self.last_id - 1
            self.forget()
            raise GapError(f"{missing} updates before {first_id} are missing: the book has to be read anew")
        self._take(last_id, sides, prices, qtys)
        return True

    def _take(self, last_id: int, sides: NDArray[np.int8], prices: Floats, qtys: Floats) -> None:
        # A quantity that is none is not the word that a level is gone.
        if not (np.isfinite(prices).all() and np.isfinite(qtys).all() and (prices > 0).all() and (qtys >= 0).all()):
            self.forget()
            self.lost = BookProblem.INVALID
            raise LevelError("a level has a price or a quantity that is none: the book has to be read anew")
        _apply(self._prices, self._qtys, self._counts, sides, prices, qtys)
        self.last_id, self.lost = last_id, BookProblem.NONE

    def forget(self) -> None:
        """Have no book."""
        self.last_id, self.lost = 0, BookProblem.GAP
        self._counts[:] = 0

    def top(self, levels: int) -> tuple[Floats, Floats, Floats, Floats]:
        """Return bid prices, bid quantities, ask prices and ask quantities: float64[levels], NaN behind the last."""
        found: list[Floats] = []
        for side in Side:
            count = min(int(self._counts[side]), levels)
            for column in (self._prices, self._qtys):
                best = np.full(levels, np.nan)
                best[:count] = column[side, :count]
                found.append(best)
        return found[0], found[1], found[2], found[3]

    def problem(self) -> BookProblem:
        """Return what is wrong with the book as it stands."""
        if not self.is_known:
            return self.lost
        top = self.top(int(self._counts.max(initial=1)) or 1)
        return BookProblem(int(problems(*(column[None, :] for column in top))[0]))


def sides_of(names: Sequence[str]) -> NDArray[np.int8]:
    """Return `bid` and `ask` as codes.

    Raises:
        ValueError: A name is neither.
    """
    codes = {"bid": Side.BID, "ask": Side.ASK}
    try:
        return np.array([codes[name] for name in names], np.int8)
    except KeyError as unknown:
        raise ValueError(f"a level is on the side {unknown}: expected 'bid' or 'ask'") from None


@kernel(allocates=False)
def _apply(
    prices: Floats, qtys: Floats, counts: NDArray[np.int64], sides: NDArray[np.int8], new: Floats, sizes: Floats
) -> None:
    for change in range(new.size):
        side = sides[change]
        away = 1.0 if side == 1 else -1.0
        count = counts[side]
        low, high = 0, count
        while low < high:
            middle = (low + high) // 2
            if (prices[side, middle] - new[change]) * away < 0.0:
                low = middle + 1
            else:
                high = middle
        is_there = low < count and prices[side, low] == new[change]
        if sizes[change] > 0.0:
            if not is_there:
                if low == prices.shape[1]:
                    continue
                last = min(count, prices.shape[1] - 1)
                for level in range(last, low, -1):
                    prices[side, level] = prices[side, level - 1]
                    qtys[side, level] = qtys[side, level - 1]
                prices[side, low] = new[change]
                counts[side] = last + 1
            qtys[side, low] = sizes[change]
        elif is_there:
            for level in range(low, count - 1):
                prices[side, level] = prices[side, level + 1]
                qtys[side, level] = qtys[side, level + 1]
            counts[side] = count - 1
