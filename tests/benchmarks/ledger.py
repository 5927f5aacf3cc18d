"""The ledger against what SQLite itself does at the same durability, on the same disk, in the same run.

Everybody is handed the same records and takes turns in short blocks, so that a disk that slows down slows all of them:
a raw `fdatasync` of a record's bytes; a plain `sqlite3` transaction that writes the record as one row, at WAL and
synchronous=FULL, once encoding its JSON as everybody has to and once handed the text for nothing; our commit of one
order intent (lease, event, hash, two postings that must balance, order id, balances, head); and ours with several
intents to a transaction. Rates are records over the whole time, checkpoints of the write-ahead log included. Decision
to durable is the whole way from the records of a decision (why, intent, attempt, state) to the return of `commit`.
"""

import gc
import json
import os
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from statistics import median

from novapulse.core.instruments import AccountKey
from novapulse.core.messages import Commit, Record, client_order_id
from novapulse.core.postings import Book, move
from novapulse.ledger.journal import Ledger
from tests.benchmarks.page import Rows

ACCOUNT = AccountKey("kraken", "main")
RECORDS = 1920
BLOCK = 64
TURNS = 3
GROUPS = (1, 8, 64)
ENCODING = "plain sqlite3, one row, encodes its JSON"
PREPARED = "plain sqlite3, one row, text prepared before"
RAW = "raw fdatasync of the record's bytes"
COLUMNS = ("what", "figure:", "to plain that encodes:", "to plain of prepared text:", "to raw fdatasync:")

_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode


def intent(number: int) -> Record:
    """Return what an entry order writes before it leaves: its terms, and the cash it holds."""
    body = {
        "client_order_id": client_order_id(ACCOUNT, "decision", "entry", number),
        "instrument": ["kraken", "BTC/USD"],
        "decision_id": "0123456789abcdef0123456789abcdef",
        "role": "entry",
        "side": 1,
        "kind": "limit",
        "terms": {"qty_units": 1_250_000, "limit_units": 6_512_340, "stop_units": 0, "target_units": 0},
        "decided_ns": 1_700_000_000_000_000_000 + number,
        "expires_ns": 1_700_000_060_000_000_000 + number,
        "reduce_only": False,
        "post_only": True,
        "notional_max_units": 81_404_250_000,
        "reason": 26,
        "parent": "",
        "protection": {"client_order_id": "b", "stop_distance": "0x1.9p+6", "target_distance": "0x1.2cp+7"},
        "attached_to": "",
    }
    return Record("order_intended", 1_700_000_000_000_000_000 + number, body, move("USD", 81_404, Book.CASH, Book.HOLD))


def decision(number: int) -> Commit:
    """Return a whole decision: why, what, that it may leave, and the trader's state."""
    ts_ns = 1_700_000_000_000_000_000 + number
    order = client_order_id(ACCOUNT, "decision", "entry", number)
    why = {
        "decision_id": f"{number:032x}",
        "instrument": ["kraken", "BTC/USD"],
        "verb": 1,
        "reason": 26,
        "sizes": [float(size).hex() for size in range(7)],
        "calibration": "0123456789abcdef",
        "digest": "0123456789abcdef0123456789abcdef",
    }
    return Commit(
        (
            Record("decision_taken", ts_ns, why),
            intent(number),
            Record("order_attempted", ts_ns, {"client_order_id": order, "attempt": 1, "ts_ns": ts_ns}),
        ),
        ts_close_ns=ts_ns,
        state=bytes(2000),
    )


@contextmanager
def opened(path: Path | None) -> Iterator[Ledger]:
    """Open a new ledger that trades one account; in memory where no path is given."""
    with Ledger.open(path or ":memory:") as ledger:
        ledger.register_assets({"USD": 8})
        ledger.take_lease(ACCOUNT, "benchmark", 0, 1)
        yield ledger


@contextmanager
def plain_sqlite(
    path: Path, records: list[Record], texts: list[str] | None = None
) -> Iterator[Callable[[int], object]]:
    """Give a call that writes a record as one row in a transaction of its own; it encodes where no texts are given."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("CREATE TABLE t (seq INTEGER PRIMARY KEY, ts_ns INTEGER, kind TEXT, body TEXT) STRICT")

        def one(number: int) -> None:
            record = records[number]
            text = _encode(record.body) if texts is None else texts[number]
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("INSERT INTO t (ts_ns, kind, body) VALUES (?, ?, ?)", (record.ts_ns, record.kind, text))
            connection.execute("COMMIT")

        yield one


@contextmanager
def raw_sync(path: Path, texts: list[str]) -> Iterator[Callable[[int], object]]:
    """Give a call that writes a record's bytes to a file that has its size already, and forces them to the disk."""
    contents = [text.encode() for text in texts]
    handle = os.open(path, os.O_RDWR | os.O_CREAT)
    sync = getattr(os, "fdatasync", os.fsync)
    os.pwrite(handle, bytes(1000 * 1024), 0)
    os.fsync(handle)

    def one(number: int) -> None:
        os.pwrite(handle, contents[number], number % 1000 * 1024)
        sync(handle)

    try:
        yield one
    finally:
        os.close(handle)


@contextmanager
def grouped(folder: Path, records: list[Record], group: int) -> Iterator[Callable[[int], object]]:
    """Give a call that commits so many records in one transaction, at every last one of them."""
    with opened(folder / f"group-{group}") as ledger:
        commits = [(ACCOUNT, Commit((record,))) for record in records]

        def one(number: int) -> None:
            if (number + 1) % group == 0:
                ledger.commit(commits[number + 1 - group : number + 1])

        yield one


def seconds_of(calls: dict[str, Callable[[int], object]]) -> dict[str, float]:
    """Return what each call took for all records, taking turns in short blocks."""
    spent = dict.fromkeys(calls, 0.0)
    for first in range(0, RECORDS, BLOCK):
        for name, call in calls.items():
            began = time.perf_counter()
            for number in range(first, first + BLOCK):
                call(number)
            spent[name] += time.perf_counter() - began
    return spent


def decision_to_durable_us(folder: Path) -> list[float]:
    """Return sorted microseconds from a decision's records to their being durable."""
    with opened(folder / "decisions") as ledger:
        times = []
        for number in range(RECORDS):
            commit = decision(number)
            began = time.perf_counter_ns()
            ledger.commit([(ACCOUNT, commit)])
            times.append((time.perf_counter_ns() - began) / 1000)
    return sorted(times)


def in_memory_us() -> tuple[float, float]:
    """Return microseconds of a checkpoint alone, and of a whole decision, in memory."""
    with opened(None) as ledger:
        state = bytes(2000)
        kinds = ([Commit((), number + 1, state) for number in range(RECORDS)], [decision(n) for n in range(RECORDS)])
        figures = []
        for commits in kinds:
            began = time.perf_counter()
            for commit in commits:
                ledger.commit([(ACCOUNT, commit)])
            figures.append((time.perf_counter() - began) / RECORDS * 1e6)
    return figures[0], figures[1]


def turn(records: list[Record]) -> tuple[dict[str, float], list[float]]:
    """Return rates of one turn, and the times of its decisions."""
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as scratch, ExitStack() as stack:
        folder, texts = Path(scratch), [_encode(record.body) for record in records]
        calls = {
            ENCODING: stack.enter_context(plain_sqlite(folder / "encoding.db", records)),
            PREPARED: stack.enter_context(plain_sqlite(folder / "prepared.db", records, texts)),
            RAW: stack.enter_context(raw_sync(folder / "raw", texts)),
        }
        for group in GROUPS:
            name = "ours, one record a commit" if group == 1 else f"ours, {group} records a commit"
            calls[name] = stack.enter_context(grouped(folder, records, group))
        # What was made beforehand is nobody's: none has to look through it for rubbish.
        gc.collect()
        gc.freeze()
        rates = {name: RECORDS / spent for name, spent in seconds_of(calls).items()}
        return rates, decision_to_durable_us(folder)


def rows() -> Rows:
    """Measure all of it in turns and return the table's rows."""
    records = [intent(number) for number in range(RECORDS)]
    turns, times = [], []
    for _ in range(TURNS):
        rates, decisions = turn(records)
        turns.append(rates)
        times += decisions
    times.sort()
    checkpoint, whole = in_memory_us()
    table: Rows = []
    for name in turns[0]:
        ratios = [median(rates[name] / rates[base] for rates in turns) for base in (ENCODING, PREPARED, RAW)]
        table.append((name, f"{median(rates[name] for rates in turns):,.0f} /s", *(f"{each:.2f}x" for each in ratios)))
    return [
        *table,
        *(
            (name, f"{microseconds:,.0f} us", "", "", "")
            for name, microseconds in (
                ("decision to intent durable, p50", times[len(times) // 2]),
                ("decision to intent durable, p99", times[len(times) * 99 // 100]),
                ("in memory: a checkpoint alone", checkpoint),
                ("in memory: a whole decision", whole),
            )
        ),
    ]
