"""`python -m tests.benchmarks.server`: the kill switch from request to the trader's answer, and what listeners cost.

A real trader of three accounts and a real server, as processes of their own; ten bars a second.
"""

import argparse
import json
import signal
import statistics
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests.server.processes import Served, serving, trading

BARS = 20_000
SOCKETS = (0, 1, 5, 20)
_WATCHED_S = 6.0
_WARM_UP_S = 20.0
_TICKS = 100


def kill_ms(served: Served, times: int, named: str) -> list[float]:
    """Return milliseconds from sending `kill` to the answer that every account obeyed, of some presses."""
    taken = []
    for number in range(times):
        begun_s = time.perf_counter()
        obeyed(served, "kill", f"{named} {number:04}")
        taken.append((time.perf_counter() - begun_s) * 1e3)
        obeyed(served, "resume_from_halt", f"{named} {number:04} on")
    return taken


def obeyed(served: Served, verb: str, key: str) -> None:
    """Send a command to all accounts and wait until each has obeyed."""
    status, told = served.ask("POST", f"/api/v1/control/{verb}?wait=10", {"all": True}, idempotency_key=key)
    assert (status, told["ok"]) == (202, True), told


def memory_mb(pid: int) -> float:
    """Return what a process has in memory for itself alone, MB."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="utf-8").splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_")) / 1024


def cpu_s(pid: int) -> float:
    """Return how long a process has computed so far, s."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


@contextmanager
def listeners(served: Served, count: int) -> Iterator[None]:
    """Open some live sockets and read whatever comes."""
    with ExitStack() as opened:
        for _ in range(count):
            wire = opened.enter_context(connect(served.live, additional_headers=served.bearer, max_size=None))
            wire.recv()
            threading.Thread(target=_read, args=(wire,), daemon=True).start()
        yield


def _read(wire: ClientConnection) -> None:
    with suppress(ConnectionClosed):
        while True:
            wire.recv()


@contextmanager
def hard_work(served: Served) -> Iterator[Counter[str]]:
    """Let the server prove the ledger, run a backtest and make two decisions again, over and over; count these."""
    account = "/api/v1/accounts/kraken/main"
    _, decisions = served.ask("GET", f"{account}/decisions")
    again = [f"{account}/decision/{one['decision_id']}" for one in decisions[:2]]
    done: Counter[str] = Counter()
    over = threading.Event()

    def work(path: str) -> None:
        while not over.is_set():
            status, _ = served.ask("GET", path)
            done[path.rpartition("/")[0] if "/decision/" in path else path] += status == 200

    paths = ("/api/v1/ledger/proof", f"{account}/chart/backtest?last=20000", *again)
    threads = [threading.Thread(target=work, args=(path,)) for path in paths]
    for thread in threads:
        thread.start()
    try:
        time.sleep(_WARM_UP_S)
        yield done
    finally:
        over.set()
        for thread in threads:
            thread.join()


def run() -> dict[str, float]:
    """Return figures by name."""
    found: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="novapulse-server-") as folder, ExitStack() as stack:
        home = Path(folder) / "home"
        stack.enter_context(trading(home, BARS, 10.0))
        begun_s = time.perf_counter()
        served = stack.enter_context(serving(home))
        found["start, s"] = time.perf_counter() - begun_s
        taken = kill_ms(served, 20, "calm")
        found["kill, ms, median"], found["kill, ms, worst of 20"] = statistics.median(taken), max(taken)
        pid = served.process.pid
        for count in SOCKETS:
            with listeners(served, count):
                before_s = cpu_s(pid)
                time.sleep(_WATCHED_S)
                found[f"{count} sockets, memory, MB"] = memory_mb(pid)
                found[f"{count} sockets, share of a core, %"] = (cpu_s(pid) - before_s) / _WATCHED_S * 100
        with hard_work(served) as done:
            before = done.total()
            taken = kill_ms(served, 20, "hard")
            found["kill at hard work, ms, median"] = statistics.median(taken)
            found["kill at hard work, ms, worst of 20"] = max(taken)
            found["proofs, backtests and explanations meanwhile"] = float(done.total() - before)
        with listeners(served, SOCKETS[-1]):
            taken = kill_ms(served, 20, "busy")
            found[f"kill with {SOCKETS[-1]} sockets, ms, median"] = statistics.median(taken)
            found[f"kill with {SOCKETS[-1]} sockets, ms, worst of 20"] = max(taken)
            begun_s = time.perf_counter()
            served.process.send_signal(signal.SIGTERM)
            served.process.wait()
            found[f"stop with {SOCKETS[-1]} sockets, s"] = time.perf_counter() - begun_s
    return {name: round(value, 2) for name, value in found.items()}


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description="What the server takes, and how soon the kill switch acts.")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    asked = parser.parse_args()
    found = run()
    print(json.dumps(found) if asked.json else "\n".join(f"{name:38} {value:10.2f}" for name, value in found.items()))


if __name__ == "__main__":
    main()
