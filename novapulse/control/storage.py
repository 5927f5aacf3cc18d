"""The file control.db: opened for one short transaction, then closed again.

Invariants:
- many processes use it and none of them stays: a rollback journal, no shared memory;
- a write that is not durable is an error;
- only the user who made it may read it.
"""

import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from novapulse.control import schema
from novapulse.ops.disk import free_bytes

FILE = "control.db"

_DURABLE = "PRAGMA synchronous = FULL"
_BRIEFLY = "PRAGMA busy_timeout = 250"
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


class ControlError(ValueError):
    """A wish that cannot be fulfilled, or a control.db that cannot be used: the message is for people."""


class UnusableError(ControlError):
    """The file cannot be used now: whether a wish was fulfilled is not known."""


class Storage:
    """The control.db of one home folder.

    Args:
        path: The file; made where it is not there yet.
        busy_s: How long a transaction waits while another process writes.

    Raises:
        ControlError: It cannot be opened, belongs to something else, or to a later version.
    """

    def __init__(self, path: Path, busy_s: float = 5.0) -> None:
        self.path = path
        self._busy_s = busy_s
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _make_private(path)
        except OSError as wrong:
            raise UnusableError(f"{wrong.filename or path.parent}: {wrong.strerror or wrong}") from wrong
        with self.reading() as database:
            database.execute("PRAGMA journal_mode = DELETE")
            try:
                schema.prepare(database)
            except schema.SchemaError as wrong:
                raise ControlError(f"{path} cannot be used: {wrong}") from wrong

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Open the file; each statement is a transaction of its own.

        Raises:
            UnusableError: It cannot be used.
        """
        try:
            with closing(sqlite3.connect(self.path, timeout=self._busy_s, isolation_level=None)) as database:
                database.execute("PRAGMA foreign_keys = ON")
                database.execute(_DURABLE)
                database.execute("PRAGMA trusted_schema = OFF")
                yield database
        except UnicodeEncodeError as wrong:
            raise ControlError("that is not a text: it holds half a character") from wrong
        except sqlite3.Error as wrong:
            raise UnusableError(f"{self.path} cannot be used: {_said(wrong, self.path.parent)}") from wrong

    @contextmanager
    def writing(self, *, briefly: bool = False) -> Iterator[sqlite3.Connection]:
        """Open the file for one transaction, which is durable when this ends and nothing at all when it raises.

        Args:
            briefly: Whether it gives up after a quarter of a second while another process writes.

        Raises:
            UnusableError: It cannot be used.
        """
        with self.reading() as database:
            if briefly:
                database.execute(_BRIEFLY)
            database.execute("BEGIN IMMEDIATE")
            try:
                yield database
            except BaseException:
                # A disk that is full ends the transaction by itself.
                if database.in_transaction:
                    database.execute("ROLLBACK")
                raise
            database.execute("COMMIT")


def note(database: sqlite3.Connection, statement: str, values: tuple[Any, ...]) -> None:
    """Write down in passing what somebody who only reads leaves behind: when it cannot be written now, it is lost."""
    database.execute(_BRIEFLY)
    with suppress(sqlite3.OperationalError):
        database.execute(statement, values)


def _said(wrong: sqlite3.Error, folder: Path) -> str:
    code = getattr(wrong, "sqlite_errorcode", 0)
    # A full disk is told in two ways: by the name of it, and as a write that failed.
    if code == sqlite3.SQLITE_FULL or (code == sqlite3.SQLITE_IOERR_WRITE and not free_bytes(folder)):
        return (
            f"the disk is full ({wrong}): free space at {folder}; a trader that has to stand still at once is stopped "
            "by SIGTERM, its stops at the venue stay"
        )
    return str(wrong)


def _make_private(path: Path) -> None:
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    found = path.stat()
    if found.st_mode & _OTHERS and found.st_uid == os.getuid():
        path.chmod(stat.S_IMODE(found.st_mode) & ~_OTHERS)
