"""Damage to any column and any row of any table is named: tables and columns are those that the file has."""

import functools
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from novapulse.core.ports import JournalError
from novapulse.ledger import audit as audit_module
from novapulse.ledger.audit import audit
from novapulse.ledger.walk import Fault
from tests.ledger.damage import Unguarded, tables_of

OF_ONE_ROW = {"ledger", "ledger_twin", "alembic_version"}
"""Tables that have no second row: nothing to be swapped, and no need to say which row it was."""

Value = int | str | bytes | None
Row = tuple[Value, ...]
Damage = Callable[[sqlite3.Connection], None]


def flipped(value: Value) -> Value:
    """One bit changed; the type stays."""
    if isinstance(value, int):
        return value ^ (1 << 33)
    if not value:
        return "x"
    raw = bytearray(value if isinstance(value, bytes) else value.encode())
    raw[len(raw) // 2] ^= 1
    return bytes(raw) if isinstance(value, bytes) else raw.decode()


class Tables:
    """What a file has, and what can be done to it."""

    def __init__(self, path: Path) -> None:
        found = tables_of(path)
        self.columns = {name: columns for name, (columns, _) in found.items()}
        self.keys = {name: keys for name, (_, keys) in found.items()}
        with closing(sqlite3.connect(path)) as connection:
            self.rows: dict[str, list[Row]] = {
                name: connection.execute(f"SELECT * FROM {name} ORDER BY {', '.join(keys)}").fetchall()
                for name, keys in self.keys.items()
            }

    def key_of(self, table: str, row: Row) -> Row:
        return tuple(row[self.columns[table].index(key)] for key in self.keys[table])

    def where(self, table: str) -> str:
        return " AND ".join(f"{key} = ?" for key in self.keys[table])

    def set(self, table: str, columns: list[str], values: Row, row: Row) -> Damage:
        sets = ", ".join(f"{column} = ?" for column in columns)
        statement = f"UPDATE {table} SET {sets} WHERE {self.where(table)}"

        def change(connection: sqlite3.Connection) -> None:
            assert connection.execute(statement, (*values, *self.key_of(table, row))).rowcount == 1

        return change

    def damages(self) -> Iterator[tuple[str, str, tuple[Row, ...], Damage]]:
        """Give table, what is done, the rows it is done to, and the doing."""
        for table, columns in self.columns.items():
            rows, keys = self.rows[table], self.keys[table]
            assert (len(rows) == 1) == (table in OF_ONE_ROW), f"{table} has {len(rows)} rows"
            row = rows[len(rows) // 2]
            for column in columns:
                yield from self._changed(table, column)
            yield table, "row gone", (row,), self._without(table, row)
            yield self._with_copy(table, row)
            rest = [column for column in columns if column not in keys]
            for swapped in [*([column] for column in rest), rest]:
                if swapped and len(rows) > 1:
                    yield self._swapped(table, swapped)

    def _changed(self, table: str, column: str) -> Iterator[tuple[str, str, tuple[Row, ...], Damage]]:
        # Two rows with one key cannot be planted: where it is a key's column, the row is one that has room beside it.
        taken = {self.key_of(table, row) for row in self.rows[table]}
        at = self.columns[table].index(column)
        changes = {"a bit": flipped, "one more": lambda value: value + 1, "one less": lambda value: value - 1}
        for name, change in changes.items():
            for row in self.rows[table]:
                if name != "a bit" and not isinstance(row[at], int):
                    continue
                value = change(row[at])
                if (
                    column not in self.keys[table]
                    or self.key_of(table, (*row[:at], value, *row[at + 1 :])) not in taken
                ):
                    yield table, f"{column}: {name}", (row,), self.set(table, [column], (value,), row)
                    break
            else:
                assert name != "a bit", f"nothing can be changed in {table}.{column}"

    def _without(self, table: str, row: Row) -> Damage:
        def remove(connection: sqlite3.Connection) -> None:
            statement = f"DELETE FROM {table} WHERE {self.where(table)}"
            assert connection.execute(statement, self.key_of(table, row)).rowcount == 1

        return remove

    def _with_copy(self, table: str, row: Row) -> tuple[str, str, tuple[Row, ...], Damage]:
        at = self.columns[table].index(self.keys[table][-1])
        others = [each[at] for each in self.rows[table]]
        other = max(others) + 1 if isinstance(row[at], int) else f"{row[at]!s}x"
        added = (*row[:at], other, *row[at + 1 :])

        def add(connection: sqlite3.Connection) -> None:
            connection.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(row))})", added)

        return table, "row too many", (added,), add

    def _swapped(self, table: str, columns: list[str]) -> tuple[str, str, tuple[Row, ...], Damage]:
        at = [self.columns[table].index(column) for column in columns]
        rows = self.rows[table]
        one = rows[0]
        different = (row for row in rows if row[at[0]] != one[at[0]])
        other = next(different, None)
        assert other is not None, f"{table}.{columns[0]} is the same in every row: nothing can be swapped"
        values = [tuple(row[place] for place in at) for row in (one, other)]
        sets = self.set(table, columns, values[1], one), self.set(table, columns, values[0], other)

        def swap(connection: sqlite3.Connection) -> None:
            for change in sets:
                change(connection)

        return table, f"{' and '.join(columns)}: swapped", (one, other), swap


def is_named(fault: Fault, table: str, keys: list[Row], seqs: set[Value]) -> bool:
    """Whether a fault names the table and one of the rows, or the entry that the row is of."""
    if table in ("event", "posting"):
        return fault.seq in seqs
    told = f"{fault.where}: {fault.what}"
    if table not in told:
        return False
    return table in OF_ONE_ROW or any(all(str(part) in told for part in key) or fault.seq in seqs for key in keys)


def test_damage_to_any_column_and_any_row_of_any_table_is_named(
    full: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # One engine for all: it spells each query once.
    monkeypatch.setattr(audit_module, "reader", functools.cache(audit_module.reader))
    path = tmp_path / "damaged.db"
    assert audit(full).faults == ()
    tables = Tables(full)
    missed, count = [], 0
    for table, what, rows, damage in tables.damages():
        shutil.copy(full, path)
        with Unguarded(path, table) as connection:
            damage(connection)
        keys = [tables.key_of(table, row) for row in rows]
        columns = tables.columns[table]
        seqs = {row[columns.index("seq")] for row in rows} if "seq" in columns else set()
        try:
            faults = audit(path).faults
            if not any(is_named(fault, table, keys, seqs) for fault in faults):
                missed.append(f"{table}, {what}: {[(f.seq, f.where, f.what) for f in faults[:3]]}")
        except JournalError as wrong:
            if table != "ledger":
                missed.append(f"{table}, {what}: {wrong}")
        count += 1
    assert missed == []
    assert count > 250
