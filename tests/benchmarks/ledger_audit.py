"""How many entries an audit proves in a second, against the bare minimum: reading the rows and hashing their bytes.

Run `python -m tests.benchmarks.ledger_audit [EVENTS] [--write]`; `--write` keeps the figures in docs/performance.md.
The bare minimum and the audits take turns, and the best of each counts: other programs can only slow them down. The
ledger is what a trader writes: orders with holds, partial fills, alerts; about three legs for every second event.
"""

import argparse
import hashlib
import os
import sqlite3
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tests.benchmarks.page import Rows, keep

EVENTS = 400_000
TURNS = 3
_PER_COMMIT = 50


def write(path: Path, events: int) -> None:
    """Write a ledger of about so many events."""
    # A process that only walks loads this module first: what it does not need is loaded where it is needed.
    from novapulse.core.messages import Commit
    from novapulse.ledger.journal import Ledger
    from tests.ledger.written import SCALES, START_NS, open_accounts

    with Ledger.open(path, durable=False, now_ns=START_NS, ledger_id="benchmark") as journal:
        journal.register_assets(SCALES)
        lives = open_accounts(journal, 1)
        while journal.head()[0] < events:
            for account, life in lives.items():
                records = [record for _ in range(_PER_COMMIT) for record in (*life.round_trip(), *life.aside())]
                journal.commit([(account, Commit(tuple(records), life.ts_ns, life.state()))])


def bare(path: Path) -> int:
    """Read every event and every leg and hash what was read: what no audit can do without."""
    connection = sqlite3.connect(path)
    sha256, events = hashlib.sha256, 0
    for row in connection.execute("SELECT seq, ts_ns, exchange, account_id, kind, body, hash FROM event ORDER BY seq"):
        sha256(row[5].encode()).digest()
        events += 1
    for row in connection.execute("SELECT seq, leg, book, asset, amount FROM posting ORDER BY seq, leg"):
        sha256(row[2].encode())
    connection.close()
    return events


def seconds(call: Callable[[], object]) -> float:
    """Return what a call takes."""
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def proven(path: Path, processes: int) -> None:
    """Audit a ledger that is sound."""
    from novapulse.ledger.audit import audit

    found = audit(path, processes=processes)
    assert found.ok, found.first_bad


def rows(events: int) -> Rows:
    """Measure in turns and return the table's rows."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ledger.db"
        write(path, events)
        entries, size = bare(path), path.stat().st_size
        counts = sorted({1, os.cpu_count() or 1})
        calls: dict[str, Callable[[], object]] = {"reading and hashing alone": partial(bare, path)}
        for count in counts:
            name = "audit by one process" if count == 1 else f"audit by {count} processes"
            calls[name] = partial(proven, path, count)
        best = dict.fromkeys(calls, float("inf"))
        for _ in range(TURNS):
            for name, call in calls.items():
                best[name] = min(best[name], seconds(call))
    least = best["reading and hashing alone"]
    what = f"{entries:,} entries, {size / 1e6:.0f} MB"
    return [(what, name, f"{entries / spent:,.0f} /s", f"{spent / least:.1f}x") for name, spent in best.items()]


def main() -> None:
    """Print entries per second, and the time as a multiple of the bare minimum of the same run."""
    parser = argparse.ArgumentParser(description="Measure how fast an audit proves entries.")
    parser.add_argument("events", nargs="?", type=int, default=EVENTS, help=f"about how many ({EVENTS:,})")
    parser.add_argument("--write", action="store_true", help="keep the figures in docs/performance.md")
    asked = parser.parse_args()
    measured = rows(asked.events)
    for row in measured:
        print(f"{row[0]:28} {row[1]:28} {row[2]:>12}  {row[3]}")
    if asked.write:
        keep("audit", ("what", "who", "entries:", "time, to the bare minimum:"), measured)


if __name__ == "__main__":
    main()
