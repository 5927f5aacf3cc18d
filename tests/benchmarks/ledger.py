"""The ledger against what SQLite itself does at the same durability, on the same disk, in the same run.

Each turn measures all of them one after the other: a raw `fdatasync` of the bytes that one commit appends, a plain
`sqlite3` transaction of one row at WAL and synchronous=FULL, our commit of one order intent (event, two postings, keys,
balances, outbox, lease check, hash), and ours in groups. Only ratios of the same turn are quoted, the median over the
turns. Decision-to-intent-durable is the whole way from the records of a decision to the return of `commit`.
"""

import os
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from statistics import median

from novapulse.core.instruments import AccountKey
from novapulse.core.messages import Commit, Record, client_order_id
from novapulse.core.postings import Book, move
from novapulse.ledger.journal import Ledger

ACCOUNT = AccountKey("kraken", "main")
COMMITS = 1500
TURNS = 5
GROUPS = (8, 64)

Rows = list[tuple[str, ...]]


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
def opened(folder: Path) -> Iterator[Ledger]:
    """Open a new ledger that trades one account."""
    with Ledger.open(folder / f"ledger-{time.perf_counter_ns()}.db") as ledger:
        ledger.register_assets({"USD": 8})
        ledger.take_lease(ACCOUNT, "benchmark", 0, 1)
        yield ledger


def per_second(count: int, call: Callable[[int], object]) -> float:
    """Return how often a second something is done."""
    began = time.perf_counter()
    for number in range(count):
        call(number)
    return count / (time.perf_counter() - began)


def plain_sqlite(folder: Path) -> float:
    """Return plain one-row transactions a second: the same text and a number, WAL and synchronous=FULL."""
    with closing(sqlite3.connect(folder / f"plain-{time.perf_counter_ns()}.db", isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("CREATE TABLE t (seq INTEGER PRIMARY KEY, ts_ns INTEGER, body TEXT) STRICT")
        texts = [str(dict(intent(number).body)) for number in range(COMMITS)]

        def one(number: int) -> None:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("INSERT INTO t (ts_ns, body) VALUES (?, ?)", (number, texts[number]))
            connection.execute("COMMIT")

        return per_second(COMMITS, one)


def raw_sync(folder: Path, size: int) -> float:
    """Return how often a second so many bytes are appended to a file and forced to the disk."""
    data = bytes(size)
    path = folder / f"raw-{time.perf_counter_ns()}"
    handle = os.open(path, os.O_RDWR | os.O_CREAT)
    sync = getattr(os, "fdatasync", os.fsync)
    try:

        def one(number: int) -> None:
            os.pwrite(handle, data, number % 1000 * size)
            sync(handle)

        return per_second(COMMITS, one)
    finally:
        os.close(handle)


def single(folder: Path) -> float:
    """Return commits of one intent a second."""
    with opened(folder) as ledger:
        commits = [[(ACCOUNT, Commit((intent(number),)))] for number in range(COMMITS)]
        return per_second(COMMITS, lambda number: ledger.commit(commits[number]))


def grouped(folder: Path, group: int) -> float:
    """Return intents a second, so many to a transaction."""
    with opened(folder) as ledger:
        total = COMMITS // group * group
        commits = [(ACCOUNT, Commit((intent(number),))) for number in range(total)]
        parts = [commits[first : first + group] for first in range(0, total, group)]
        return per_second(len(parts), lambda number: ledger.commit(parts[number])) * group


def decision_to_durable_us(folder: Path) -> list[float]:
    """Return sorted microseconds from a decision's records to their being durable."""
    with opened(folder) as ledger:
        times = []
        for number in range(COMMITS):
            began = time.perf_counter_ns()
            ledger.commit([(ACCOUNT, decision(number))])
            times.append((time.perf_counter_ns() - began) / 1000)
    return sorted(times)


def in_memory_us() -> tuple[float, float]:
    """Return microseconds of a checkpoint alone, and of a whole decision, in memory."""
    with Ledger.open(":memory:") as ledger:
        ledger.register_assets({"USD": 8})
        ledger.take_lease(ACCOUNT, "benchmark", 0, 1)
        state = bytes(2000)
        checkpoint = per_second(COMMITS, lambda number: ledger.commit([(ACCOUNT, Commit((), number + 1, state))]))
        whole = per_second(COMMITS, lambda number: ledger.commit([(ACCOUNT, decision(number))]))
    return 1e6 / checkpoint, 1e6 / whole


def rows() -> Rows:
    """Measure all of it in turns and return the table's rows."""
    ours = {"one intent a commit": single}
    ours |= {f"{group} intents a commit": lambda folder, group=group: grouped(folder, group) for group in GROUPS}
    plain: list[float] = []
    ratios: dict[str, list[float]] = {name: [] for name in ("raw fdatasync of a commit's bytes", *ours)}
    rates: dict[str, list[float]] = {name: [] for name in ratios}
    times: list[float] = []
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as scratch:
        folder = Path(scratch)
        size = len(str(dict(intent(0).body))) + 200
        for _ in range(TURNS):
            base = plain_sqlite(folder)
            plain.append(base)
            measured = {"raw fdatasync of a commit's bytes": raw_sync(folder, size)}
            measured |= {name: call(folder) for name, call in ours.items()}
            for name, rate in measured.items():
                rates[name].append(rate)
                ratios[name].append(rate / base)
            times += decision_to_durable_us(folder)
    times.sort()
    checkpoint, whole = in_memory_us()
    what = "Ledger, WAL and FULL"
    return [
        (what, "plain sqlite3, one row", f"{median(plain):,.0f} /s", "1"),
        *((what, name, f"{median(rates[name]):,.0f} /s", f"{median(ratios[name]):.2f}x") for name in rates),
        (what, "decision to durable, p50", f"{times[len(times) // 2]:,.0f} us", ""),
        (what, "decision to durable, p99", f"{times[len(times) * 99 // 100]:,.0f} us", ""),
        ("Ledger in memory", "checkpoint alone", f"{checkpoint:.1f} us", ""),
        ("Ledger in memory", "whole decision", f"{whole:.1f} us", ""),
    ]
