"""Connections of which every read sees one state, and what drivers raise for what is damaged."""

import sqlite3
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from novapulse.ledger.opening import reader
from novapulse.ledger.walk import Source, Stretch, walk, without_collector

UNREADABLE = (DBAPIError, sqlite3.Error, UnicodeDecodeError)
"""What a driver raises for a damaged file."""


def snapshot(engine: Engine) -> Connection:
    """Return a connection whose reads all see one state, until it is closed."""
    if engine.dialect.name == "postgresql":
        return engine.connect().execution_options(isolation_level="REPEATABLE READ")
    connection = engine.connect()
    connection.exec_driver_sql("BEGIN")
    return connection


def said(wrong: Exception) -> str:
    """Return what a driver said, without the statement."""
    return str(wrong.orig if isinstance(wrong, DBAPIError) else wrong)


def source_of(connection: Connection) -> Source:
    """Return what a walk reads from, of a snapshot."""
    raw: Any = connection.connection.driver_connection
    if connection.dialect.name == "sqlite":
        return Source(raw.execute)
    import psycopg

    return Source(raw.execute, "%s", (psycopg.Error, UnicodeDecodeError))


def walk_server(where: str | Path, after_seq: int, until_seq: int, genesis: bytes) -> Stretch:
    """Check a stretch of a server's ledger in a process of its own: see `walk`."""
    engine = reader(where)
    try:
        with snapshot(engine) as connection, without_collector():
            return walk(source_of(connection), after_seq, until_seq, genesis)
    finally:
        engine.dispose()
