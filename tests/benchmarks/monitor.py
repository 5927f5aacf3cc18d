"""`python -m tests.benchmarks.monitor`: what readings cost on a ledger of 100,000 entries, in ms of a core.

Idle: nothing happened since the last look. One commit: a decision with its order, or an execution with its end. From
the beginning: the first look of a process.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from novapulse.ledger.journal import Ledger
from novapulse.monitor.home import Home
from tests.ledger.written import SCALES, START_NS, live_on, open_accounts

ENTRIES = 100_000
LOOKS = 300
_LEASE_NS = 10**18


def fill(journal: Ledger, entries: int) -> Callable[[], None]:
    """Let three accounts trade until there are so many entries; return what makes one of them trade once more."""
    lives = open_accounts(journal, 1)
    for account in lives:
        journal.renew_lease(account, START_NS, _LEASE_NS)
    turn = [0]

    def once() -> None:
        turn[0] += 1
        live_on(journal, list(lives.values())[turn[0] % len(lives)])

    while journal.head()[0] < entries:
        once()
    return once


def milliseconds(work: Callable[[], object], times: int, before: Callable[[], object] = lambda: None) -> float:
    """Return the median of some calls, of what this process computed: the machine may be busy with other things."""
    taken = []
    for _ in range(times):
        before()
        begun = time.process_time()
        work()
        taken.append((time.process_time() - begun) * 1e3)
    return median(taken)


def run(entries: int = ENTRIES) -> dict[str, float]:
    """Return milliseconds by what was done."""
    with tempfile.TemporaryDirectory(prefix="novapulse-monitor-") as folder:
        path = Path(folder) / "ledger.db"
        with Ledger.open(path, durable=False, now_ns=START_NS) as journal:
            journal.register_assets(SCALES)
            once = fill(journal, entries)
            home = Home(Path(folder))
            first = milliseconds(home.look, 1)
            assert len(home.look().accounts) == 3
            found = {
                "from the beginning": first,
                "idle": milliseconds(home.look, LOOKS),
                "after new commits": milliseconds(home.look, LOOKS, once),
                "as JSON": milliseconds(lambda: json.dumps(home.look().json()), 30),
            }
            home.close()
    return found


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=ENTRIES)
    options = parser.parse_args()
    for name, figure in run(options.entries).items():
        print(f"{name:24} {figure:10.2f} ms")


if __name__ == "__main__":
    main()
