"""How many entries an audit proves in a second, against the bare minimum: reading the rows and hashing their bytes.

Run `python -m tests.benchmarks.ledger_audit [EVENTS]`. The ledger is what a trader writes: orders with holds, partial
fills, alerts; about three legs for every second event.
"""

import hashlib
import os
import sqlite3
import sys
import tempfile
import time
from pathlib import Path

from novapulse.core.messages import Commit
from novapulse.ledger.audit import audit
from novapulse.ledger.journal import Ledger
from tests.ledger.written import SCALES, START_NS, open_accounts

EVENTS = 400_000
_PER_COMMIT = 50


def write(path: Path, events: int) -> None:
    """Write a ledger of about so many events."""
    with Ledger.open(path, durable=False, now_ns=START_NS, ledger_id="benchmark") as journal:
        journal.register_assets(SCALES)
        lives = open_accounts(journal, 1)
        while journal.head()[0] < events:
            for account, life in lives.items():
                records = [record for _ in range(_PER_COMMIT) for record in (*life.round_trip(), *life.aside())]
                journal.commit([(account, Commit(tuple(records)))])


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


def main() -> None:
    """Print entries per second, and the ratio to the bare minimum of the same run."""
    events = int(sys.argv[1]) if len(sys.argv) > 1 else EVENTS
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ledger.db"
        write(path, events)
        started = time.perf_counter()
        read = bare(path)
        least = time.perf_counter() - started
        print(f"{read:,} entries, {path.stat().st_size / 1e6:.0f} MB; read and hashed in {least:.2f} s")
        for processes in (1, os.cpu_count() or 1):
            started = time.perf_counter()
            found = audit(path, processes=processes)
            seconds = time.perf_counter() - started
            assert found.ok, found.first_bad
            ratio = seconds / least
            print(f"audit by {processes}: {found.entries / seconds:,.0f} entries/s, {ratio:.1f} times the bare minimum")


if __name__ == "__main__":
    main()
