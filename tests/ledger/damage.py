"""Ways to change a ledger behind the journal's back, as somebody would who knows how it is made."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from novapulse.core import kept_state
from novapulse.ledger import chain
from tests.ledger.written import MAIN, START_NS


def opened_up(path: Path) -> sqlite3.Connection:
    """A connection that no check and no foreign key holds back."""
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute("PRAGMA ignore_check_constraints = ON")
    connection.execute("PRAGMA foreign_keys = OFF")
    return connection


def tables_of(path: Path) -> dict[str, tuple[list[str], list[str]]]:
    """Every table of a file as the file itself says: its columns, and those of them that are its key."""
    with closing(sqlite3.connect(path)) as connection:
        names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY 1").fetchall()
        infos = {name: connection.execute(f"PRAGMA table_info({name})").fetchall() for (name,) in names}
    return {
        name: (
            [column for _, column, *_ in info],
            [column for _, column, *_, place in sorted(info, key=lambda row: int(row[5])) if place],
        )
        for name, info in infos.items()
    }


class Unguarded:
    """Work on a file without its triggers, or those of one table; they are put back, so only the damage is found."""

    def __init__(self, path: Path, table: str = "") -> None:
        self.connection = opened_up(path)
        self.table = table

    def __enter__(self) -> sqlite3.Connection:
        query = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND ? IN ('', tbl_name)"
        rows = self.connection.execute(query, (self.table,)).fetchall()
        self.triggers = [sql for _, sql in rows]
        for name, _ in rows:
            self.connection.execute(f"DROP TRIGGER {name}")
        return self.connection

    def __exit__(self, *_: object) -> None:
        for sql in self.triggers:
            self.connection.execute(sql)
        self.connection.commit()
        self.connection.close()


def forge(path: Path, kind: str, body: str, legs: Sequence[chain.Leg] = ()) -> int:
    """Append an event as somebody would who knows how the chain is made, and return its number."""
    with Unguarded(path) as connection:
        last, previous = connection.execute("SELECT head_seq, head_hash FROM ledger").fetchone()
        seq = int(last) + 1
        digest = chain.link(previous, seq, chain.canonical_bytes(START_NS, "kraken", "main", kind, body, legs))
        row = (seq, START_NS, "kraken", "main", kind, body, digest)
        connection.execute("INSERT INTO event VALUES (?, ?, ?, ?, ?, ?, ?)", row)
        for number, leg in enumerate(legs):
            connection.execute("INSERT INTO posting VALUES (?, ?, ?, ?, ?)", (seq, number, *leg))
        connection.execute("UPDATE ledger SET head_seq = ?, head_hash = ?", (seq, digest))
        of_main = "WHERE exchange = 'kraken' AND account_id = 'main'"
        state, close = connection.execute(f"SELECT state, ts_close_ns FROM checkpoint {of_main}").fetchone()
        sealed = kept_state.sealed(state, MAIN, close, seq)
        connection.execute(f"UPDATE checkpoint SET seq = ?, state = ? {of_main}", (seq, sealed))
    return seq
