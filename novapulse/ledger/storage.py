"""The two storages of a ledger behind one set of verbs: an SQLite connection, a PostgreSQL connection.

Invariants:
- a statement is a constant with `?` for its arguments; `prepare` spells it for the storage, once;
- one transaction at a time: `begin` takes the write lock, `rollback` may be called in every state;
- every error of a driver leaves as one of `core.ports`: `failure` names what happened.
"""

import os
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

from novapulse.core.ports import JournalError, Unwritable

Row = Sequence[Any]

_PRIMARY_CODE = 0xFF
_IMPATIENT_MS = 250
_SQLITE_PROBLEMS = {
    sqlite3.SQLITE_FULL: "the disk is full",
    sqlite3.SQLITE_READONLY: "it is read-only",
    sqlite3.SQLITE_BUSY: "it is locked by another connection",
    sqlite3.SQLITE_LOCKED: "it is locked by another connection",
    sqlite3.SQLITE_CORRUPT: "the file is damaged",
    sqlite3.SQLITE_NOTADB: "the file is no SQLite database",
    sqlite3.SQLITE_IOERR: "the disk fails",
    sqlite3.SQLITE_CANTOPEN: "the file cannot be opened",
    sqlite3.SQLITE_PERM: "access is denied",
    sqlite3.SQLITE_NOMEM: "there is no memory left",
    sqlite3.SQLITE_PROTOCOL: "it is locked by another connection",
    sqlite3.SQLITE_TOOBIG: "a value is too big",
}
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_IOERR}


def sqlite_problem(error: sqlite3.Error) -> tuple[str, bool]:
    """Return what an error of SQLite means, and whether the file may be damaged by it or was before."""
    code = getattr(error, "sqlite_errorcode", 0) & _PRIMARY_CODE
    if "decode" in str(error):
        # Text that is none: the module says so itself, without a code of SQLite's.
        return "an entry in it is damaged, 'novapulse ledger audit' names it", False
    return _SQLITE_PROBLEMS.get(code, "the storage refused"), code in _DAMAGED


class Cursor(Protocol):
    """What a statement gives back."""

    @property
    def rowcount(self) -> int:
        """How many rows it changed."""
        ...

    def fetchone(self) -> Any:
        """Return the next row, None behind the last."""
        ...

    def fetchall(self) -> list[Any]:
        """Return the rows that are left."""
        ...


class Storage(Protocol):
    """A connection that may write."""

    place: str
    dialect: str
    exclusive: bool
    errors: tuple[type[Exception], ...]
    constraint_errors: tuple[type[Exception], ...]
    gone: str
    """Why nothing is written any more until it is opened anew; empty while it is not so."""
    execute: Callable[..., Cursor]
    """Run one prepared statement with its arguments."""
    many: Callable[[str, Iterable[Row]], object]
    """Run one prepared statement per row."""

    def prepare(self, statement: str) -> str:
        """Return a statement as this storage spells it."""
        ...

    def begin(self) -> None:
        """Begin a transaction that writes.

        Raises:
            Unwritable: The storage is gone for good, or cannot be reached.
        """
        ...

    def commit(self) -> None:
        """Make the transaction durable."""
        ...

    def rollback(self) -> None:
        """Undo the transaction, if there is one."""
        ...

    def failure(self, error: Exception) -> JournalError:
        """Return what an error of the driver means."""
        ...

    def shrink(self) -> None:
        """Give back what the storage needs for writing only."""
        ...

    def close(self) -> None:
        """End the connection; the storage is free for the next writer."""
        ...


class SqliteStorage:
    """The one read-write connection to an SQLite file, or to a database in memory."""

    dialect = "sqlite"
    exclusive = True
    errors: tuple[type[Exception], ...] = (sqlite3.Error, OverflowError)
    constraint_errors: tuple[type[Exception], ...] = (sqlite3.IntegrityError,)

    def __init__(self, connection: sqlite3.Connection, place: str, lock: int | None = None) -> None:
        self.connection = connection
        self.place = place
        self.execute: Callable[..., Cursor] = connection.execute
        self.many: Callable[[str, Iterable[Row]], object] = connection.executemany
        self._lock = lock
        # How long `begin` waits, ms, while another connection has kept it waiting in vain; None while none has.
        self._patient_ms: int | None = None
        self.gone = ""

    def prepare(self, statement: str) -> str:
        """Return the statement as it is."""
        return statement

    def begin(self) -> None:
        """Begin a transaction that writes.

        Whoever holds the file is waited for once; until the file is free again, every further try is a short one, so
        that a trader that stops does not wait anew with each of its last words.

        Raises:
            Unwritable: The file was found damaged before: it has to be opened anew, which checks it.
        """
        if self.gone:
            raise Unwritable(f"{self.place}: not written since {self.gone}: open it anew, which checks it")
        try:
            self.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if self._patient_ms is None and error.sqlite_errorcode & _PRIMARY_CODE == sqlite3.SQLITE_BUSY:
                self._patient_ms = int(self.execute("PRAGMA busy_timeout").fetchone()[0])
                self.execute(f"PRAGMA busy_timeout = {min(self._patient_ms, _IMPATIENT_MS):d}")
            raise
        if self._patient_ms is not None:
            self.execute(f"PRAGMA busy_timeout = {self._patient_ms:d}")
            self._patient_ms = None

    def commit(self) -> None:
        """Make the transaction durable."""
        self.execute("COMMIT")

    def rollback(self) -> None:
        """Undo the transaction, if there is one."""
        try:
            if self.connection.in_transaction:
                self.execute("ROLLBACK")
        except sqlite3.Error as error:
            self.gone = f"a transaction could not be undone ({error})"

    def failure(self, error: Exception) -> JournalError:
        """Return what an error of the driver means; after damage and failed writes nothing is written any more."""
        if isinstance(error, sqlite3.DatabaseError) and not isinstance(
            error, sqlite3.IntegrityError | sqlite3.ProgrammingError
        ):
            problem, is_damage = sqlite_problem(error)
            if is_damage:
                self.gone = f"{problem} ({error})"
            return Unwritable(f"{self.place}: not written, {problem} ({error})")
        return JournalError(f"{self.place}: not written, {error}")

    def shrink(self) -> None:
        """Copy the write-ahead log into the file and empty it, as far as readers allow."""
        self.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def close(self) -> None:
        """Close the connection, then let the lock go."""
        self.connection.close()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


class PostgresqlStorage:
    """One connection to a PostgreSQL server; it comes back by itself when the server does."""

    dialect = "postgresql"
    exclusive = False
    gone = ""

    def __init__(self, conninfo: str, place: str, synchronous_commit: str = "on") -> None:
        import psycopg

        self._driver = psycopg
        self.errors: tuple[type[Exception], ...] = (psycopg.Error, OverflowError)
        self.constraint_errors: tuple[type[Exception], ...] = (psycopg.IntegrityError, psycopg.DataError)
        self.place = place
        self._conninfo = conninfo
        self.many: Callable[[str, Iterable[Row]], object] = self._many
        self._synchronous_commit = synchronous_commit
        self._connect()

    def _connect(self) -> None:
        try:
            self.connection = self._driver.connect(self._conninfo, autocommit=True)
            self.connection.execute("SELECT set_config('synchronous_commit', %s, false)", (self._synchronous_commit,))
        except self._driver.Error as error:
            raise Unwritable(f"{self.place}: the server cannot be reached ({str(error).strip()})") from error
        self.execute: Callable[..., Cursor] = self.connection.execute

    def prepare(self, statement: str) -> str:
        """Return the statement with `%s` for its arguments."""
        return statement.replace("?", "%s")

    def _many(self, statement: str, rows: Iterable[Row]) -> object:
        with self.connection.cursor() as cursor:
            cursor.executemany(statement, list(rows))
            return cursor

    def begin(self) -> None:
        """Begin a transaction, on a new connection where the old one broke.

        Raises:
            Unwritable: The server cannot be reached.
        """
        if self.connection.closed:
            self._connect()
        self.execute("BEGIN")

    def commit(self) -> None:
        """Make the transaction durable."""
        self.execute("COMMIT")

    def rollback(self) -> None:
        """Undo the transaction, if there is one."""
        idle = self._driver.pq.TransactionStatus.IDLE
        if not self.connection.closed and self.connection.info.transaction_status != idle:
            try:
                self.execute("ROLLBACK")
            except self._driver.Error:
                self.connection.close()

    def failure(self, error: Exception) -> JournalError:
        """Return what an error of the driver means."""
        text = " ".join(str(error).split())
        if isinstance(error, self._driver.OperationalError | self._driver.InternalError):
            return Unwritable(f"{self.place}: not written, the server refused ({text})")
        return JournalError(f"{self.place}: not written, {text}")

    def shrink(self) -> None:
        """Do nothing: the server looks after its log."""

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()


def lock_file(path: Path) -> Path:
    """Return the file whose lock the writer of an SQLite ledger holds."""
    return path.with_name(path.name + ".lock")
