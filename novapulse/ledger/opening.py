"""The ways into a ledger: one that writes, any number that read, and the one that changes the schema.

Invariants:
- an SQLite ledger has one read-write connection on the machine: its opener holds an exclusive lock on `<file>.lock`
  until it is closed or dies, whatever the version of SQLite; readers open the file read-only and take no lock;
- a ledger that is opened for writing was checked (`quick_check`), and has a schema that this code may write;
- nothing is migrated while a trader holds a lease.
"""

import functools
import os
import sqlite3
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Engine, create_engine, make_url, update
from sqlalchemy.event import listen
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool, StaticPool

from novapulse import locks
from novapulse.core.ports import JournalError, Unwritable
from novapulse.ledger.chain import genesis
from novapulse.ledger.files import BUSY_MS, read_only
from novapulse.ledger.lease import RUNNING, held
from novapulse.ledger.schema import OLDEST_REVISION, REVISION, ledger
from novapulse.ledger.storage import PostgresqlStorage, SqliteStorage, Storage, lock_file, sqlite_problem

MEMORY = ":memory:"
WAL_RESET_FIXED = (3, 51, 3)
PAGE_BYTES = 2048
"""Of a new file: a commit touches half a dozen pages and writes each whole; smaller ones make it a tenth faster."""
CHECKPOINT_PAGES = 2000
"""As many bytes of log as SQLite's own default: more checkpoints would be more synchronisations of the disk."""
_HEAD = f"{REVISION:04d}"
_MIGRATIONS = Path(__file__).parent / "migrations"
_blank: dict[str, bytes] = {}
_one_upgrade = threading.Lock()
"""Alembic keeps what it works on in its module: one at a time."""


class SchemaError(JournalError):
    """The ledger's schema is not one that this code may write, or may not change now."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a ledger lies: a file, memory, or a server.

    Attributes:
        url: For SQLAlchemy.
        path: The file; None for memory and servers.
    """

    url: URL
    path: Path | None

    @classmethod
    def of(cls, where: str | Path) -> "Place":
        """Return the place that a path or an URL names.

        Raises:
            ValueError: The URL is of another kind of database.
        """
        text = str(where)
        if text in {MEMORY, "sqlite://", "sqlite:///:memory:"}:
            return cls(URL.create("sqlite"), None)
        if "://" not in text:
            return cls(URL.create("sqlite", database=text), Path(text))
        url = make_url(text)
        if url.get_backend_name() == "sqlite" and url.database:
            return cls(URL.create("sqlite", database=url.database), Path(url.database))
        if url.get_backend_name() == "postgresql":
            return cls(url.set(drivername="postgresql+psycopg"), None)
        raise ValueError(f"ledger {url!r}: expected a path, sqlite:///PATH or postgresql://HOST/DATABASE")

    @property
    def is_server(self) -> bool:
        """Whether it is a PostgreSQL server."""
        return self.url.get_backend_name() == "postgresql"

    def __str__(self) -> str:
        if self.path is not None:
            return str(self.path)
        return self.url.render_as_string(hide_password=True) if self.is_server else MEMORY


def sqlite_notice(version: tuple[int, ...] = sqlite3.sqlite_version_info) -> str:
    """Return what the operator has to know about a version of SQLite; empty when there is nothing."""
    if version >= WAL_RESET_FIXED:
        return ""
    return (
        f"SQLite {'.'.join(map(str, version))} can damage a write-ahead log that two connections write (fixed in "
        f"{'.'.join(map(str, WAL_RESET_FIXED))}): only this process may write the ledger, a lock beside the file sees "
        "to that; open it with other tools read-only"
    )


def _locked(path: Path) -> int:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return locks.take(lock_file(path))
    except locks.HeldError as wrong:
        raise Unwritable(f"{path}: {wrong.holder} writes this ledger already") from wrong
    except OSError as wrong:
        raise Unwritable(f"{path}: cannot be locked for writing ({wrong})") from wrong


def _pragmas(connection: sqlite3.Connection, durable: bool, busy_ms: int) -> None:
    connection.execute(f"PRAGMA busy_timeout = {busy_ms:d}")
    connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
    (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode not in {"wal", "memory"}:
        raise sqlite3.OperationalError(f"write-ahead log refused, journal mode is {mode}")
    connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'OFF'}")
    for pragma in (
        "foreign_keys = ON",
        f"wal_autocheckpoint = {CHECKPOINT_PAGES}",
        "mmap_size = 0",
        "temp_store = MEMORY",
        "cell_size_check = ON",
        "trusted_schema = OFF",
        "cache_size = -16384",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _open_sqlite(place: Place, durable: bool, busy_ms: int) -> SqliteStorage:
    lock = None if place.path is None else _locked(place.path)
    connection = None
    try:
        connection = sqlite3.connect(place.path or MEMORY, isolation_level=None, check_same_thread=False)
        _pragmas(connection, durable, busy_ms)
        found = [str(row[0]) for row in connection.execute("PRAGMA quick_check(3)")]
        if found != ["ok"]:
            raise Unwritable(f"{place}: the file is damaged: {'; '.join(found)}")
    except BaseException as error:
        if connection is not None:
            connection.close()
        if lock is not None:
            os.close(lock)
        if isinstance(error, sqlite3.Error):
            raise Unwritable(f"{place}: not opened, {sqlite_problem(error)[0]} ({error})") from error
        raise
    return SqliteStorage(connection, str(place), lock)


def grow_log(storage: Storage) -> None:
    """Let the write-ahead log of a file have its size before anything waits for it: growing costs a commit twice.

    What it is filled with is never committed. Where it cannot be done now nothing is lost but the time.
    """
    if not isinstance(storage, SqliteStorage):
        return
    connection = storage.connection
    before = [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("busy_timeout", "cache_size")]
    with suppress(sqlite3.OperationalError):
        connection.execute("PRAGMA busy_timeout = 0")
        connection.execute("PRAGMA cache_size = 10")  # Pages: what is more goes to the log at once.
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("CREATE TABLE room (bytes BLOB)")
        connection.execute("INSERT INTO room VALUES (zeroblob(?))", (CHECKPOINT_PAGES * PAGE_BYTES,))
    storage.rollback()
    for name, value in zip(("busy_timeout", "cache_size"), before, strict=True):
        connection.execute(f"PRAGMA {name} = {value}")


def _conninfo(url: URL) -> str:
    return url.set(drivername="postgresql").render_as_string(hide_password=False)


def open_storage(place: Place, *, durable: bool = True, busy_ms: int = BUSY_MS) -> Storage:
    """Open a place for writing; its schema is not looked at.

    Args:
        place: Where.
        durable: Whether a commit waits for the disk; False is for simulations.
        busy_ms: How long to wait for a foreign connection that holds the file.

    Raises:
        Unwritable: It is held by another process, damaged, read-only or not there.
    """
    if not place.is_server:
        return _open_sqlite(place, durable, busy_ms)
    return PostgresqlStorage(_conninfo(place.url), str(place), "on" if durable else "off")


def _read_only(connection: Any, _: object) -> None:
    connection.execute("SET default_transaction_read_only = on")
    connection.commit()


def reader(where: str | Path) -> Engine:
    """Return an engine that reads a ledger and cannot write it, for any number of processes beside the trader.

    Raises:
        Unwritable: There is no such file.
    """
    place = Place.of(where)
    if place.is_server:
        engine = create_engine(place.url, poolclass=NullPool)
        listen(engine, "connect", _read_only)
        return engine
    path = place.path
    if path is None:
        raise ValueError("a ledger in memory has no readers beside its writer")
    if not path.is_file():
        raise Unwritable(f"{path}: there is no such ledger")
    return create_engine("sqlite://", creator=functools.partial(read_only, path), poolclass=NullPool)


def upgrade(storage: Storage, place: Place, target: str) -> None:
    """Make the tables of a revision, or bring older ones to it; the ledger says so in the same transaction.

    Raises:
        JournalError: The storage did not take it.
    """
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))

    raw: Any = storage.connection if isinstance(storage, SqliteStorage) else None
    engine = (
        create_engine(place.url, poolclass=NullPool)
        if raw is None
        else create_engine("sqlite://", creator=lambda: raw, poolclass=StaticPool)
    )
    try:
        with _one_upgrade, engine.begin() as connection:
            if raw is not None:
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            config.attributes["connection"] = connection
            command.upgrade(config, target)
            oldest = min(int(target), OLDEST_REVISION)
            connection.execute(update(ledger).values(revision=int(target), oldest_revision=oldest))
    except DBAPIError as error:
        failure = storage.failure(error.orig) if isinstance(error.orig, storage.errors) else SchemaError(str(error))
        raise failure from error


def _tables(storage: Storage) -> set[str]:
    names = (
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        if storage.dialect == "sqlite"
        else "SELECT table_name FROM information_schema.tables WHERE table_schema = current_schema()"
    )
    return {str(row[0]) for row in storage.execute(names).fetchall()}


def _migrate(storage: Storage, place: Place, found: str, now_ns: int, target: int) -> None:
    if found and not storage.exclusive:
        rows = storage.execute(storage.prepare(RUNNING), (now_ns,)).fetchall()
        if sentences := held(rows, now_ns):
            raise SchemaError(f"{place}: not migrated, a trader holds {'; '.join(sentences)}: stop it first")
    upgrade(storage, place, f"{target:04d}")


def found_revision(storage: Storage, place: Place) -> str:
    """Return the revision of the schema that is there, four digits; empty where there is nothing at all.

    Raises:
        SchemaError: Something else is there.
    """
    tables = _tables(storage)
    if "alembic_version" not in tables:
        if tables:
            raise SchemaError(f"{place}: is not a ledger, it holds {', '.join(sorted(tables)[:5])}")
        return ""
    row = storage.execute("SELECT version_num FROM alembic_version").fetchone()
    return "" if row is None else str(row[0])


def bring_up(
    storage: Storage, place: Place, *, now_ns: int, ledger_id: str, migrate: bool = True, target: int = REVISION
) -> str:
    """Create the schema where there is none, migrate an older one, refuse a newer one that this code may not write.

    Args:
        storage: Open for writing.
        place: Where it is.
        now_ns: Now, ns UTC: when a new ledger was made, and whether leases are held.
        ledger_id: Name of a new ledger.
        migrate: Whether an older schema may be changed.
        target: Revision to stop at.

    Returns:
        A sentence for the operator; empty when there is nothing to say.

    Raises:
        SchemaError: The schema is newer, or older and may not be changed, or no ledger at all.
    """
    found = found_revision(storage, place)
    if storage.dialect == "sqlite" and place.path is None and not found and isinstance(storage, SqliteStorage):
        _fill_memory(storage, place, now_ns, target)
    elif found.isdigit() and int(found) > REVISION:
        return _newer(storage, place, found)
    elif found != f"{target:04d}" and (not found or int(found) < target):
        if found and not migrate:
            raise SchemaError(f"{place}: schema {found} is older than {_HEAD}: run novapulse ledger migrate")
        _migrate(storage, place, found, now_ns, target)
    if storage.execute("SELECT ledger_id FROM ledger").fetchone() is None:
        storage.begin()
        storage.execute(
            storage.prepare("INSERT INTO ledger VALUES (1, ?, ?, ?, ?, 0, ?)"),
            (ledger_id, now_ns, target, min(target, OLDEST_REVISION), genesis(ledger_id)),
        )
        storage.commit()
    return f"{place}: schema brought from {found} to {target:04d}" if found and int(found) < target else ""


def _newer(storage: Storage, place: Place, found: str) -> str:
    row = storage.execute("SELECT revision, oldest_revision FROM ledger").fetchone()
    if row is None or row[0] != int(found) or row[1] > REVISION:
        oldest = "" if row is None or row[0] != int(found) else f", which only code from revision {row[1]} on may write"
        raise SchemaError(f"{place}: schema {found} is newer than {_HEAD}, the newest this code knows{oldest}")
    return f"{place}: schema {found} is newer than {_HEAD}; this code may still write it, an update is due"


def _fill_memory(storage: SqliteStorage, place: Place, now_ns: int, target: int) -> None:
    key = f"{target:04d}"
    if key not in _blank:
        _migrate(storage, place, "", now_ns, target)
        _blank[key] = storage.connection.serialize()
    else:
        storage.connection.deserialize(_blank[key])


@functools.cache
def definitions(revision: int) -> Mapping[str, tuple[str, str]]:
    """Return what the migrations make in a file: name -> table, index, trigger or view, and its text."""
    place = Place.of(MEMORY)
    storage = _open_sqlite(place, durable=False, busy_ms=0)
    try:
        upgrade(storage, place, f"{revision:04d}")
        rows = storage.execute("SELECT name, type, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    finally:
        storage.close()
    # Its own table Alembic spells as its version does.
    return {name: (kind, spelled) for name, kind, spelled in rows if name != "alembic_version"}


def migrate(where: str | Path, *, now_ns: int, target: int = REVISION) -> str:
    """Bring the schema of a ledger that exists to what this code writes.

    Returns:
        What was done, a sentence.

    Raises:
        SchemaError: A trader holds a lease, or the schema is newer, or it is no ledger.
        Unwritable: The ledger is not there, or another process writes it.
    """
    place = Place.of(where)
    if place.path is not None and not place.path.is_file():
        raise Unwritable(f"{place.path}: there is no such ledger")
    storage = open_storage(place)
    try:
        if not found_revision(storage, place):
            raise SchemaError(f"{place}: is not a ledger, it is empty")
        said = bring_up(storage, place, now_ns=now_ns, ledger_id="", target=target)
    finally:
        storage.close()
    return said or f"{place}: schema is {_HEAD} already"
