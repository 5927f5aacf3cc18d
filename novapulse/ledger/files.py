"""A connection to a ledger file that reads and cannot write, without anything else that takes long to load."""

import sqlite3
from pathlib import Path
from urllib.parse import quote

BUSY_MS = 5000
"""How long a connection waits for another one that holds the file."""


def read_only(path: Path) -> sqlite3.Connection:
    """Return a connection to a file that is there; it may be used by one thread after the other."""
    connection = sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode=ro", uri=True, check_same_thread=False)
    connection.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
    connection.execute("PRAGMA query_only = ON")
    connection.execute("PRAGMA trusted_schema = OFF")
    return connection
