"""A generated order book of our own, for demonstrations where none was recorded.

Invariants:
- the same seed and length give the same tape; no global random state is read or changed;
- it is written as books are recorded: a snapshot, and differences numbered without a gap but for one in the middle,
  where some are lost and a new snapshot comes, as it happens in life;
- a book is never crossed, and the side with more to offer leads the price a little: something is there to be seen.
"""

import os
from pathlib import Path

import numpy as np
import polars as pl

START_US = 1_704_067_200_000_000
STEP_US = 100_000

_TICK = 0.1
_FIRST_TICKS = 420_000
_LEVELS = 60
_TOUCHED = 6
_LOST_STEPS = 20

_Book = dict[int, float]


def sample_tape(seed: int, seconds: int) -> pl.DataFrame:
    """Generate a tape with ten messages a second, beginning on 2024-01-01.

    Args:
        seed: Anything from 0; every seed is another tape.
        seconds: Its length, at least 10.

    Returns:
        The columns that `market.tape.read_tape` reads: prices in quote per base, quantities in base units.

    Raises:
        ValueError: `seed` is negative, or `seconds` below 10.
    """
    if seed < 0 or seconds < 10:
        raise ValueError(f"a sample tape needs a seed of 0 or more and 10 seconds or more, got {seed} and {seconds}")
    chance = np.random.default_rng([seed, 2])
    steps = seconds * 1_000_000 // STEP_US
    lost = steps * 3 // 5
    middle, leaning = _FIRST_TICKS, 0.0
    books: tuple[_Book, _Book] = ({}, {})
    rows: list[tuple[int, str, int, str, float, float]] = []
    for step in range(steps):
        leaning = 0.97 * leaning + float(chance.normal(0.0, 0.12))
        middle += int(np.rint(chance.normal(0.6 * leaning, 1.2)))
        changed = _moved(books, middle, leaning, chance)
        if step in (0, lost + _LOST_STEPS):
            whole = [(side, tick, qty) for side, book in enumerate(books) for tick, qty in book.items()]
            rows += _rows(step, "snapshot", whole)
        elif not lost <= step < lost + _LOST_STEPS // 4:
            rows += _rows(step, "update", changed)
    schema = {"recv_ts": pl.Int64, "kind": str, "last_id": pl.Int64, "side": str, "price": float, "qty": float}
    table = pl.DataFrame(rows, schema=schema, orient="row")
    stamps = pl.col("recv_ts").cast(pl.Datetime("us", "UTC"))
    return table.select(
        stamps, stamps.alias("event_ts"), "kind", pl.col("last_id").alias("first_id"), "last_id", "side", "price", "qty"
    )


def write_sample_tape(path: Path, seed: int, seconds: int) -> None:
    """Write a tape to a file, whole or not at all; errors as in `sample_tape`, and OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.{os.getpid()}")
    sample_tape(seed, seconds).write_parquet(unfinished)
    unfinished.replace(path)


def _moved(
    books: tuple[_Book, _Book], middle: int, leaning: float, chance: np.random.Generator
) -> list[tuple[int, int, float]]:
    """Move both sides of a book to a new middle and return what changed: side, price in ticks, quantity."""
    changed: list[tuple[int, int, float]] = []
    touched = chance.integers(0, _LEVELS, (2, _TOUCHED))
    for side, book in enumerate(books):
        way = -1 if side == 0 else 1
        there = {middle + way * (1 + level) for level in range(_LEVELS)}
        gone = [tick for tick in book if tick not in there]
        wanted = [tick for tick in sorted(there) if tick not in book]
        wanted += [middle + way * (1 + int(level)) for level in touched[side]]
        for tick in gone:
            del book[tick]
            changed.append((side, tick, 0.0))
        for tick in dict.fromkeys(wanted):
            far = abs(tick - middle)
            book[tick] = round(float(np.exp(chance.normal(-1.5 + 0.02 * far - way * 0.8 * leaning, 0.7))), 5) + 1e-5
            changed.append((side, tick, book[tick]))
    return changed


def _rows(step: int, kind: str, levels: list[tuple[int, int, float]]) -> list[tuple[int, str, int, str, float, float]]:
    stamp_us = START_US + step * STEP_US
    sides = ("bid", "ask")
    return [(stamp_us, kind, step + 1, sides[side], round(tick * _TICK, 1), qty) for side, tick, qty in levels]
