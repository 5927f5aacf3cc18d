from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from novapulse.market.book import BookProblem
from novapulse.market.tape import TapeError, read_tape

START = datetime(2024, 1, 1, tzinfo=UTC)
SNAPSHOT = [("bid", 99.0, 1.0), ("ask", 101.0, 1.0)]


def write(path: Path, *messages: tuple[int, str, int, int, list[tuple[str, float, float]]]) -> Path:
    rows: list[dict[str, Any]] = [
        {
            "recv_ts": START + timedelta(milliseconds=at),
            "kind": kind,
            "first_id": first,
            "last_id": last,
            "side": side,
            "price": price,
            "qty": qty,
        }
        for at, kind, first, last, levels in messages
        for side, price, qty in levels
    ]
    pl.DataFrame(rows).write_parquet(path)
    return path


def test_what_came_before_the_snapshot_waits_for_it(tmp_path: Path) -> None:
    tape = read_tape(
        write(
            tmp_path / "tape.parquet",
            (0, "update", 4, 5, [("bid", 98.0, 7.0)]),
            (10, "update", 6, 6, [("bid", 99.5, 2.0)]),
            (20, "snapshot", 5, 5, SNAPSHOT),
            (120, "update", 7, 7, [("ask", 101.0, 0.0), ("ask", 100.5, 3.0)]),
            (220, "update", 8, 8, [("bid", 99.0, 0.0)]),
        ),
        levels=2,
        every_ms=100,
    )
    assert tape.updates == 3
    assert tape.books.bid_price.tolist()[0] == [99.5, 99.0]
    assert [row[0] for row in tape.books.ask_price.tolist()] == [101.0, 100.5]


def test_a_missing_update_refuses_every_book_until_the_next_snapshot(tmp_path: Path) -> None:
    tape = read_tape(
        write(
            tmp_path / "tape.parquet",
            (0, "snapshot", 5, 5, SNAPSHOT),
            (110, "update", 8, 8, [("bid", 98.0, 7.0)]),
            (210, "update", 9, 9, [("bid", 98.0, 8.0)]),
            (310, "snapshot", 20, 20, SNAPSHOT),
            (410, "update", 21, 21, [("bid", 98.0, 9.0)]),
            (510, "update", 22, 22, [("bid", 98.0, 9.0)]),
        ),
        every_ms=100,
    )
    assert tape.gaps == 1
    assert tape.books.problem.tolist() == [BookProblem.NONE, BookProblem.GAP, BookProblem.GAP, 0, 0]


def test_what_is_no_tape_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TapeError, match="is not a recorded book"):
        read_tape(tmp_path / "missing.parquet")
    pl.DataFrame({"price": [1.0]}).write_parquet(tmp_path / "other.parquet")
    with pytest.raises(TapeError, match="is not a recorded book"):
        read_tape(tmp_path / "other.parquet")
    with pytest.raises(ValueError, match="every_ms"):
        read_tape(tmp_path / "other.parquet", every_ms=0)
