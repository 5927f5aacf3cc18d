"""Ledgers on every storage: a file, memory, and a PostgreSQL server that the test run starts for itself."""

import os
import pwd
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest

from novapulse.core.instruments import AccountKey, InstrumentKey
from novapulse.core.messages import Commit, HoldRun, Record
from novapulse.core.postings import Book, Posting, move
from novapulse.ledger.journal import Ledger
from novapulse.ledger.opening import MEMORY
from novapulse.ledger.outbox import Outbox
from tests.ledger.written import ACCOUNTS, LEASE_NS, START_NS, write_life

MAIN = AccountKey("kraken", "main")
OTHER = AccountKey("coinbase", "main")
SECOND_NS = 1_000_000_000
SCALES = {"USD": 8, "BTC": 8}
STORAGES = ("file", "memory", "postgresql")

_BINARIES = ("/usr/local/bin", "/usr/lib/postgresql/17/bin", "/usr/lib/postgresql/16/bin", "/usr/lib/postgresql/15/bin")
_PATIENCE_S = 60


def _binaries() -> Path | None:
    found = shutil.which("postgres")
    folders = [*_BINARIES, *([str(Path(found).parent)] if found else [])]
    folders += sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin")), reverse=True)
    whole = (Path(f) for f in folders if (Path(f) / "postgres").exists() and (Path(f) / "initdb").exists())
    return next(whole, None)


def _somebody_else() -> tuple[str, list[str]]:
    """Whom to run as instead of root, which PostgreSQL refuses, and what to put before a command for that."""
    if os.geteuid() != 0:
        return "", []
    for name in ("postgres", "nobody"):
        with suppress(KeyError):
            who = pwd.getpwnam(name)
            return name, ["setpriv", f"--reuid={who.pw_uid}", f"--regid={who.pw_gid}", "--clear-groups"]
    pytest.skip("PostgreSQL does not run as root, and there is no other user to run it as")


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """A server of its own on a socket in a temporary folder; gives its URL."""
    binaries = _binaries()
    if binaries is None or sys.platform == "win32":
        pytest.skip("no PostgreSQL server binaries (initdb, postgres) on this machine")
    user, become = _somebody_else()
    if become and shutil.which("setpriv") is None:
        pytest.skip("PostgreSQL does not run as root, and setpriv is not there to change the user")
    folder = Path(tempfile.mkdtemp(prefix="np-pg-", dir="/tmp"))
    if become:
        shutil.chown(folder, user=user)
    run: dict[str, Any] = {
        "cwd": folder,
        "stdin": subprocess.DEVNULL,
        "stdout": subprocess.PIPE,
        "stderr": subprocess.STDOUT,
    }
    options = ["-U", "novapulse", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync", "-D", str(folder / "data")]
    made = subprocess.run([*become, str(binaries / "initdb"), *options], text=True, **run)
    assert made.returncode == 0, made.stdout
    settings = [f"unix_socket_directories={folder}", "listen_addresses=", "fsync=off", "max_connections=30"]
    arguments = [argument for setting in settings for argument in ("-c", setting)]
    server = subprocess.Popen([*become, str(binaries / "postgres"), "-D", str(folder / "data"), *arguments], **run)

    url = f"postgresql://novapulse@/postgres?host={folder}"
    try:
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            try:
                psycopg.connect(url).close()
                break
            except psycopg.OperationalError:
                assert server.poll() is None, server.stdout and server.stdout.read()
                assert time.monotonic() < deadline, "the server did not come up"
                time.sleep(0.05)
        yield url
    finally:
        server.send_signal(signal.SIGQUIT)
        server.communicate(timeout=_PATIENCE_S)
        shutil.rmtree(folder, ignore_errors=True)


_schemas = iter(range(10**9))


@contextmanager
def _schema(server: str) -> Iterator[str]:
    name = f"ledger_{next(_schemas)}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {name}")
    yield f"{server}&options=-csearch_path%3D{name}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"DROP SCHEMA {name} CASCADE")


@pytest.fixture
def postgresql(postgresql_server: str) -> Iterator[str]:
    """URL of an empty schema of its own: what a database is to a program, and faster to make."""
    with _schema(postgresql_server) as url:
        yield url


@pytest.fixture
def other_postgresql(postgresql_server: str) -> Iterator[str]:
    """URL of a second empty schema."""
    with _schema(postgresql_server) as url:
        yield url


@pytest.fixture(params=STORAGES)
def where(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a ledger may be made, on every storage."""
    if request.param == "memory":
        return MEMORY
    if request.param == "file":
        return str(tmp_path / "ledger.db")
    return str(request.getfixturevalue("postgresql"))


@pytest.fixture(params=["file", "postgresql"])
def lasting(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a ledger outlives its process."""
    return str(tmp_path / "ledger.db") if request.param == "file" else str(request.getfixturevalue("postgresql"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file as a trader left it: three accounts that have traded."""
    path = tmp_path_factory.mktemp("audit") / "ledger.db"
    write_life(path, seed=7, rounds=6, started=True)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
    return path


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that has two rows in every table that may have two, and two values in every column."""
    path = tmp_path_factory.mktemp("audit") / "full.db"
    write_life(path, seed=11, rounds=1, started=True)
    with Ledger.open(path, durable=False, now_ns=START_NS) as journal:
        for number, account in enumerate(ACCOUNTS):
            journal.take_lease(account, f"holder {number}", START_NS + number, LEASE_NS + number, f"host {number}")
            runs = [
                HoldRun(
                    InstrumentKey(account.exchange, symbol), number + row, START_NS + row, START_NS + 9 + row, 3 + row
                )
                for row, symbol in enumerate(("BTC/USD", "ETH/USD"))
            ]
            journal.commit([(account, Commit((), holds=tuple(runs)))])
        journal.take_lease(ACCOUNTS[-1], "holder 9", START_NS + LEASE_NS + 9, LEASE_NS, "host 9")
        outbox = Outbox(journal)
        for number, name in enumerate(("bus", "chat")):
            outbox.register(name, after_seq=number)
            for _ in range(number):
                outbox.failed(name, START_NS, "busy")
            outbox.failed(name, START_NS + number, f"refused {number}", for_good=True)
            for _ in range(number + 1):
                outbox.failed(name, START_NS + number, "busy")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
    return path


@pytest.fixture
def damaged(whole: Path, tmp_path: Path) -> Path:
    """A copy of it, to be damaged."""
    return Path(shutil.copy(whole, tmp_path / "damaged.db"))


def opened(where: str | Path, holder: str = "me", *accounts: AccountKey) -> Ledger:
    """A ledger that trades some accounts, MAIN by default."""
    with ExitStack() as stack:
        ledger = stack.enter_context(Ledger.open(where, now_ns=1, busy_ms=200))
        ledger.register_assets(SCALES)
        for account in accounts or (MAIN,):
            ledger.take_lease(account, holder, now_ns=SECOND_NS, ttl_ns=SECOND_NS)
        stack.pop_all()
        return ledger


@pytest.fixture
def ledger(where: str) -> Iterator[Ledger]:
    """An open ledger that trades MAIN and OTHER."""
    with opened(where, "me", MAIN, OTHER) as made:
        yield made


def intended(name: str, hold: int = 5, ts_ns: int = 7) -> Record:
    legs = move("USD", hold, Book.CASH, Book.HOLD)
    return Record("order_intended", ts_ns, {"client_order_id": name, "side": 1, "terms": [1, {"a": None}]}, legs)


def closed(name: str, hold: int = 5, ts_ns: int = 9) -> Record:
    return Record("order_closed", ts_ns, {"client_order_id": name}, move("USD", hold, Book.HOLD, Book.CASH))


def fact(name: str, kind: str = "order_acked", ts_ns: int = 8) -> Record:
    return Record(kind, ts_ns, {"client_order_id": name, "venue_order_id": "v"})


def filled(trade: str, name: str = "", units: int = 3, cash: int = 2, ts_ns: int = 8) -> Record:
    legs = (*move("BTC", units, Book.TRADING, Book.INVENTORY), *move("USD", cash, Book.CASH, Book.TRADING))
    return Record("fill_booked", ts_ns, {"client_order_id": name, "venue_trade_id": trade}, legs)


def noted(text: str = "x", ts_ns: int = 6, postings: tuple[Posting, ...] = ()) -> Record:
    return Record("alert_raised", ts_ns, {"text": text}, postings)


def write(ledger: Ledger, *records: Record, account: AccountKey = MAIN, state: bytes = b"", close: int = 0) -> None:
    ledger.commit([(account, Commit(records, close, state))])


def contents(ledger: Ledger) -> dict[str, list[tuple[object, ...]]]:
    """Every row of every table but who holds which lease: to see that nothing changed."""
    tables = "ledger asset event posting order_step fill_key balance checkpoint hold_run consumer dead_letter".split()
    with ledger.reading() as storage:
        return {name: storage.execute(f"SELECT * FROM {name} ORDER BY 1, 2").fetchall() for name in tables}
