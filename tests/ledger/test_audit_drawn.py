"""Any bit, any row and any byte that is damaged is found, whichever is drawn."""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from novapulse.core.ports import Unwritable
from novapulse.ledger.audit import Audit, audit
from novapulse.ledger.opening import SchemaError
from tests.ledger.damage import Unguarded, tables_of

SETTINGS = settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


def _flipped(value: object, at: int) -> object:
    """One bit of a value changed; the type stays."""
    if isinstance(value, int):
        return value ^ (1 << (at % 40))
    raw = bytearray(value if isinstance(value, bytes) else str(value).encode())
    if not raw:
        return b"\x01" if isinstance(value, bytes) else "x"
    raw[at // 8 % len(raw)] ^= 1 << (at % 8)
    return bytes(raw) if isinstance(value, bytes) else bytes(raw).decode("utf-8", "surrogateescape")


@given(
    table=st.integers(0, 10**6),
    column=st.integers(0, 10**6),
    row=st.integers(0, 10**6),
    at=st.integers(0, 10**4),
)
@SETTINGS
def test_any_flipped_bit_is_found(full: Path, tmp_path: Path, table: int, column: int, row: int, at: int) -> None:
    path = Path(shutil.copy(full, tmp_path / "flipped.db"))
    table_name, columns, keys = _drawn(path, table)
    name = columns[column % len(columns)]
    with Unguarded(path) as connection:
        values = _row(connection, table_name, [*keys, name], row)
        changed = _flipped(values[-1], at)
        text = changed.encode("utf-8", "surrogateescape") if isinstance(changed, str) else changed
        value = "CAST(? AS TEXT)" if isinstance(changed, str) else "?"
        where = " AND ".join(f"{key} = ?" for key in keys)
        try:
            connection.execute(f"UPDATE {table_name} SET {name} = {value} WHERE {where}", (text, *values[:-1]))
        except sqlite3.IntegrityError:
            return  # Two rows with one key cannot be planted.
    seqs = [value for key, value in zip(keys, values, strict=False) if key == "seq"]
    found = audit_of(path)
    if found is None:
        assert (table_name, name) == ("ledger", "ledger_id"), "its name is no text any more: that is said instead"
        return
    assert not found.ok, f"{table_name}.{name} of row {values[:-1]}: {values[-1]!r} became {changed!r}"
    if table_name in ("event", "posting") and name != "seq":
        assert found.first_bad is not None
        assert found.first_bad.seq == seqs[0], found.faults


def audit_of(path: Path) -> Audit | None:
    try:
        return audit(path)
    except Unwritable:
        return None


def _drawn(path: Path, number: int) -> tuple[str, list[str], list[str]]:
    """A table of a file, its columns and its key."""
    tables = tables_of(path)
    name = sorted(tables)[number % len(tables)]
    return name, *tables[name]


def _row(connection: sqlite3.Connection, table: str, columns: list[str], number: int) -> tuple[object, ...]:
    (count,) = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
    query = f"SELECT {', '.join(columns)} FROM {table} LIMIT 1 OFFSET ?"
    found: tuple[object, ...] = connection.execute(query, (number % count,)).fetchone()
    return found


@given(table=st.integers(0, 10**6), row=st.integers(0, 10**6))
@SETTINGS
def test_any_missing_row_is_found(full: Path, tmp_path: Path, table: int, row: int) -> None:
    path = Path(shutil.copy(full, tmp_path / "short.db"))
    name, _, keys = _drawn(path, table)
    with Unguarded(path) as connection:
        values = _row(connection, name, keys, row)
        connection.execute(f"DELETE FROM {name} WHERE {' AND '.join(f'{key} = ?' for key in keys)}", values)
    if name == "ledger":
        with pytest.raises(SchemaError, match="its name is gone"):
            audit(path)
        return
    found = audit(path)
    assert not found.ok
    if name in ("event", "posting"):
        assert found.first_bad is not None
        assert found.first_bad.seq == values[0]


@given(table=st.integers(0, 10**6), pair=st.lists(st.integers(0, 10**6), min_size=2, max_size=2, unique=True))
@SETTINGS
def test_any_two_swapped_rows_are_found(full: Path, tmp_path: Path, table: int, pair: list[int]) -> None:
    path = Path(shutil.copy(full, tmp_path / "exchanged.db"))
    name, columns, keys = _drawn(path, table)
    rest = [column for column in columns if column not in keys]
    if not rest:
        return
    with Unguarded(path) as connection:
        one, other = (_row(connection, name, keys + rest, number) for number in pair)
        sets, where = ", ".join(f"{column} = ?" for column in rest), " AND ".join(f"{key} = ?" for key in keys)
        for row, source in ((one, other), (other, one)):
            connection.execute(f"UPDATE {name} SET {sets} WHERE {where}", source[len(keys) :] + row[: len(keys)])
    if one[len(keys) :] != other[len(keys) :]:
        assert not audit(path).ok, (name, one, other)


@given(pair=st.lists(st.integers(0, 10**6), min_size=2, max_size=2, unique=True), hashes=st.booleans())
@SETTINGS
def test_any_two_swapped_events_are_found(whole: Path, tmp_path: Path, pair: list[int], hashes: bool) -> None:
    path = Path(shutil.copy(whole, tmp_path / "swapped.db"))
    with Unguarded(path) as connection:
        count = connection.execute("SELECT count(*) FROM event").fetchone()[0]
        one, other = sorted(number % count + 1 for number in pair)
        if one == other:
            return
        columns = "ts_ns, exchange, account_id, kind, body" + (", hash" if hashes else "")
        rows = {
            seq: connection.execute(f"SELECT {columns} FROM event WHERE seq = ?", (seq,)).fetchone()
            for seq in (one, other)
        }
        for seq, source in ((one, other), (other, one)):
            sets = ", ".join(f"{name} = ?" for name in columns.split(", "))
            connection.execute(f"UPDATE event SET {sets} WHERE seq = ?", (*rows[source], seq))
    found = audit(path)
    if rows[one] != rows[other]:
        assert found.first_bad is not None
        assert found.first_bad.seq == one


def pages_of(path: Path) -> Iterator[int]:
    with closing(sqlite3.connect(path)) as connection:
        size = connection.execute("PRAGMA page_size").fetchone()[0]
        root = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'event'").fetchone()[0]
        index = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'ix_event_kind'").fetchone()[0]
    yield (root - 1) * size
    yield (index - 1) * size


@pytest.mark.parametrize("which", [0, 1])
def test_a_torn_page_is_a_fault_and_no_crash(damaged: Path, which: int) -> None:
    at = list(pages_of(damaged))[which]
    raw = bytearray(damaged.read_bytes())
    raw[at : at + 64] = bytes(64)
    damaged.write_bytes(raw)
    assert not audit(damaged).ok


@given(at=st.integers(0, 10**7), bit=st.integers(0, 7))
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_flipped_bit_anywhere_in_the_file_is_found_or_lies_where_nothing_is_proven(
    full: Path, tmp_path: Path, at: int, bit: int
) -> None:
    path = tmp_path / "bit.db"
    raw = bytearray(full.read_bytes())
    raw[at % len(raw)] ^= 1 << bit
    path.write_bytes(raw)
    try:
        is_found = not audit(path).ok
    except (Unwritable, SchemaError):
        is_found = True
    assert is_found or _everything(path) == _everything(full)


def _everything(path: Path) -> list[list[object]]:
    # How Alembic spells its own table is not ours to prove.
    schema = "(SELECT type, name, sql FROM sqlite_master WHERE name <> 'alembic_version')"
    with closing(sqlite3.connect(path)) as connection:
        return [
            connection.execute(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall()
            for table in (*(name for name in tables_of(path) if name != "alembic_version"), schema)
        ]
