"""A ledger carried from a server into one file, and from such a file into an empty server: the same rows, both ways.

Invariants:
- what is read is one state, in one snapshot of the server: a trader goes on writing beside it;
- rows go in the order of their making, through the triggers and constraints of the schema that takes them: postings
  first, then the events that seal them, then what follows from them;
- a lease is carried with its epoch and given back: nobody trades where a copy was just put;
- a place that holds anything is never written to, and one that was not filled whole is left as empty as it was.
"""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, create_engine, func, insert, select, text, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool, StaticPool

from novapulse.core.ports import Unwritable
from novapulse.ledger.lease import RUNNING, held
from novapulse.ledger.opening import PAGE_BYTES, Place, SchemaError, found_revision, open_storage, reader, upgrade
from novapulse.ledger.schema import (
    REVISION,
    TWINS,
    asset,
    balance,
    checkpoint,
    consumer,
    dead_letter,
    event,
    fill_key,
    hold_run,
    lease,
    ledger,
    metadata,
    order_step,
    posting,
    views,
)
from novapulse.ledger.snapshots import UNREADABLE, said, snapshot
from novapulse.ledger.storage import SqliteStorage, Storage

Progress = Callable[[int, int], None]

_IN_ORDER = (
    *(ledger, asset, posting, event, order_step, fill_key),
    *(balance, checkpoint, hold_run, consumer, dead_letter, lease),
)
_PART = 2_000
_FUNCTIONS = (
    *("ledger_refuse", "ledger_event_sealed", "ledger_posting_first"),
    *(f"ledger_{twin.name}" for twin in TWINS.values()),
)


def carry_out(where: str | Path, copy: Path, progress: Progress | None = None) -> None:
    """Write one state of a server's ledger into a new file.

    Args:
        where: `postgresql://HOST/DATABASE`.
        copy: An empty file.
        progress: Told rows done and all rows.

    Raises:
        SchemaError: It is no ledger, or its schema is not the one of this code.
        Unwritable: The server cannot be reached, or the file cannot be written.
    """
    engine = reader(where)
    try:
        with snapshot(engine) as source:
            _refuse_other_schema(source, str(Place.of(where)))
            with _file(copy) as target:
                _carry(source, target, progress)
    except UNREADABLE as wrong:
        raise Unwritable(f"{Place.of(where)}: cannot be copied ({said(wrong).strip()})") from wrong
    finally:
        engine.dispose()


@contextmanager
def carried_in(copy: Path, where: str | Path, now_ns: int) -> Iterator[None]:
    """Fill an empty server from a file; if the body of the `with` raises, empty it again.

    Args:
        copy: A ledger that was checked.
        where: `postgresql://HOST/DATABASE`.
        now_ns: Now, ns UTC: whether leases are held.

    Raises:
        SchemaError: The server holds a ledger or something else already, or the copy is of another schema.
        Unwritable: The server cannot be reached, or does not take it.
    """
    place = Place.of(where)
    storage = open_storage(place)
    try:
        _refuse_what_is_there(storage, place, now_ns)
        from_file = reader(copy)
        into = create_engine(place.url, poolclass=NullPool)
        try:
            with snapshot(from_file) as source:
                _refuse_other_schema(source, str(copy))
                with _emptied_on_error(into):
                    upgrade(storage, place, f"{REVISION:04d}")
                    with into.begin() as target:
                        _carry(source, target, None)
                        target.execute(update(lease).values(expires_ns=0))
                    yield
        finally:
            from_file.dispose()
            into.dispose()
    except DBAPIError as wrong:
        raise Unwritable(f"{place}: not restored ({said(wrong).strip()})") from wrong
    finally:
        storage.close()


def _refuse_other_schema(source: Connection, name: str) -> None:
    try:
        revision = source.execute(select(ledger.c.revision)).scalar()
    except UNREADABLE as wrong:
        raise SchemaError(f"{name}: is not a ledger ({said(wrong).strip()})") from wrong
    if revision != REVISION:
        raise SchemaError(f"{name}: schema {revision} is not {REVISION}, which alone is carried: migrate it first")


def _refuse_what_is_there(storage: Storage, place: Place, now_ns: int) -> None:
    if not found_revision(storage, place):
        return
    rows = storage.execute(storage.prepare(RUNNING), (now_ns,)).fetchall()
    if sentences := held(rows, now_ns):
        raise SchemaError(f"{place}: not restored, a lease is held: {'; '.join(sentences)}: stop the trader first")
    raise SchemaError(f"{place}: not restored, it holds a ledger: name an empty database or schema, this one stays")


@contextmanager
def _file(copy: Path) -> Iterator[Connection]:
    with closing(sqlite3.connect(copy, isolation_level=None)) as raw:
        for pragma in (f"page_size = {PAGE_BYTES}", "journal_mode = OFF", "synchronous = OFF", "foreign_keys = ON"):
            raw.execute(f"PRAGMA {pragma}").fetchall()
        upgrade(SqliteStorage(raw, str(copy)), Place.of(copy), f"{REVISION:04d}")
        engine = create_engine("sqlite://", creator=lambda: raw, poolclass=StaticPool)
        with engine.connect() as target:
            target.exec_driver_sql("BEGIN IMMEDIATE")
            yield target
            target.exec_driver_sql("COMMIT")


@contextmanager
def _emptied_on_error(into: Any) -> Iterator[None]:
    try:
        yield
    except BaseException:
        with into.begin() as connection:
            for view in views.tables:
                connection.execute(text(f"DROP VIEW IF EXISTS {view}"))
            for table in (*metadata.tables, "alembic_version"):
                connection.execute(text(f"DROP TABLE IF EXISTS {table} CASCADE"))
            for function in _FUNCTIONS:
                connection.execute(text(f"DROP FUNCTION IF EXISTS {function}()"))
        raise


def _carry(source: Connection, target: Connection, progress: Progress | None) -> None:
    total = sum(source.execute(select(func.count()).select_from(table)).scalar_one() for table in _IN_ORDER)
    done = 0
    for table in _IN_ORDER:
        rows = source.execution_options(stream_results=True).execute(select(table).order_by(*table.primary_key))
        for part in rows.mappings().partitions(_PART):
            target.execute(insert(table), [dict(row) for row in part])
            done += len(part)
            if progress is not None:
                progress(done, total)
