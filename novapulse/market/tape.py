"""Recorded order books: a Parquet file of one snapshot and the differences around it, played into columns.

The columns are `recv_ts, event_ts, kind (snapshot or update), first_id, last_id, side (bid or ask), price, qty`; a
quantity of 0 takes its level away. Differences that came before the snapshot wait for it, as they do in life.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from novapulse.market.book.build import Builder, GapError, LevelError, sides_of
from novapulse.market.book.columns import BookColumns, BookProblem, problems

MILLISECOND_NS = 1_000_000
_COLUMNS = ("recv_ts", "kind", "first_id", "last_id", "side", "price", "qty")


class TapeError(ValueError):
    """A file that is no recorded book; the message says which and why."""


@dataclass(frozen=True, slots=True)
class Tape:
    """A recorded book as it can be measured.

    Attributes:
        books: Sampled.
        updates: Differences that went into it.
        gaps: Times at which the book was lost, because updates were missing or a level was none; the books until the
            next snapshot have the problem GAP or INVALID.
    """

    books: BookColumns
    updates: int
    gaps: int


def read_tape(path: Path, levels: int = 50, every_ms: int = 1000) -> Tape:
    """Play a recorded book.

    Args:
        path: Parquet.
        levels: Of each side that are kept, >= 1.
        every_ms: One book is kept for each of these intervals, as it stood at its end, >= 1.

    Raises:
        TapeError: It is not there, or no recorded book.
        ValueError: `levels` or `every_ms` is below 1.
    """
    if levels < 1 or every_ms < 1:
        raise ValueError(f"levels ({levels}) and every_ms ({every_ms}) must be at least 1")
    try:
        table = pl.read_parquet(path, columns=list(_COLUMNS))
    except (OSError, pl.exceptions.PolarsError) as wrong:
        raise TapeError(f"{path}: is not a recorded book ({str(wrong).splitlines()[0]})") from wrong
    messages = _messages(table)
    if not messages:
        raise TapeError(f"{path}: holds no message")
    return _play(messages, levels, every_ms * MILLISECOND_NS)


_Message = tuple[int, bool, int, int, Any, Any, Any]


def _messages(table: pl.DataFrame) -> list[_Message]:
    stamps = table["recv_ts"].dt.timestamp("ns").to_numpy()
    first, last = table["first_id"].to_numpy(), table["last_id"].to_numpy()
    is_snapshot = (table["kind"] == "snapshot").to_numpy()
    sides, prices, qtys = sides_of(table["side"].to_list()), table["price"].to_numpy(), table["qty"].to_numpy()
    new = np.ones(len(table), np.bool_)
    new[1:] = (np.diff(last) != 0) | (np.diff(is_snapshot.astype(np.int8)) != 0)
    starts = np.flatnonzero(new)
    ends = np.append(starts[1:], len(table))
    return [
        (int(stamps[a]), bool(is_snapshot[a]), int(first[a]), int(last[a]), sides[a:b], prices[a:b], qtys[a:b])
        for a, b in zip(starts, ends, strict=True)
    ]


def _play(messages: list[_Message], levels: int, every_ns: int) -> Tape:
    builder, waiting = Builder(), list[_Message]()
    rows: list[tuple[int, BookProblem, Any]] = []
    updates = gaps = 0
    boundary = 0
    for message in messages:
        ts_ns, is_snapshot, first_id, last_id, sides, prices, qtys = message
        if boundary and ts_ns >= boundary:
            # As it stood at the end of the interval; intervals in which nothing came have no book.
            rows.append((boundary, builder.lost, builder.top(levels)))
            boundary = 0
        try:
            if is_snapshot:
                builder.snapshot(last_id, sides, prices, qtys)
                behind, waiting = [one for one in waiting if one[3] > last_id], []
                updates += sum(builder.update(*one[2:]) for one in behind)
            elif builder.is_known:
                updates += builder.update(first_id, last_id, sides, prices, qtys)
            else:
                waiting.append(message)
        except LevelError:
            gaps += 1
        except GapError:
            gaps += 1
            waiting.append(message)
        if not boundary and (builder.is_known or gaps):
            boundary = (ts_ns // every_ns + 1) * every_ns
    if not rows:
        raise TapeError("the recording ends before its first interval does")
    top = [np.stack([row[2][column] for row in rows]) for column in range(4)]
    found = problems(top[0], top[1], top[2], top[3])
    lost = np.array([row[1] for row in rows], found.dtype)
    found[lost != BookProblem.NONE] = lost[lost != BookProblem.NONE]
    moments = np.array([row[0] for row in rows], np.int64)
    return Tape(BookColumns(moments, top[0], top[1], top[2], top[3], found), updates, gaps)
