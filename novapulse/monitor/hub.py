"""Readings for many listeners: one thread for each home folder, as long as somebody listens.

Invariants:
- a home folder is read by one thread of a process, whoever listens, and by none when nobody does;
- a listener that is slow loses the oldest readings, never the newest, and holds nobody up;
- nothing that goes wrong outside ends the thread: it becomes a reading that says so.
"""

import queue
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import structlog

from novapulse.monitor.home import Home
from novapulse.monitor.state import LedgerHealth, Overview
from novapulse.monitor.voted import Memory

_log = structlog.get_logger("novapulse.monitor")

LOOK_EVERY_S = 0.4
PUBLISH_EVERY_S = 1.0
QUEUE_MAX = 64

Readings = queue.Queue[Overview]


class Hub:
    """Readings of one home folder.

    Attributes:
        voted: What was voted at the closes that its readings had.
    """

    def __init__(self, home: Path, ledger: str | Path | None = None) -> None:
        """Name the folder; nothing is read before somebody asks. See `Home` for the arguments.

        Raises:
            ValueError: The ledger is an URL of another kind of database.
        """
        self.voted = Memory()
        self._home = Home(home, ledger)
        self._lock = threading.Lock()
        self._reading = threading.Lock()
        self._listeners: list[Readings] = []
        self._thread: threading.Thread | None = None
        self._wake = threading.Event()
        self._latest: Overview | None = None
        self._looked_s = 0.0

    def now(self) -> Overview:
        """Return the latest reading: at most `LOOK_EVERY_S` old, so that it is made now where nobody listens."""
        return self._look(LOOK_EVERY_S)

    @contextmanager
    def subscribed(self) -> Iterator[Readings]:
        """Listen: a queue of readings, one at once and then at least one a second."""
        mine: Readings = queue.Queue(QUEUE_MAX)
        _put(mine, self.now())
        self._join(mine)
        try:
            yield mine
        finally:
            self._leave(mine)

    @property
    def listeners(self) -> int:
        """How many listen."""
        return len(self._listeners)

    def _join(self, mine: Readings) -> None:
        with self._lock:
            self._listeners.append(mine)
            if self._thread is None:
                self._wake = threading.Event()
                self._thread = threading.Thread(
                    target=self._run, args=(self._wake,), name=f"monitor of {self._home.home}", daemon=True
                )
                self._thread.start()

    def _leave(self, mine: Readings) -> None:
        with self._lock:
            self._listeners.remove(mine)
            thread = self._thread
            if self._listeners or thread is None:
                return
            self._thread = None
            self._wake.set()
        thread.join()
        with self._reading:
            if self._thread is None:
                self._home.close()

    def _run(self, ended: threading.Event) -> None:
        shown: Overview | None = None
        told_s = 0.0
        while not ended.wait(LOOK_EVERY_S):
            try:
                found = self._look(0.0)
            except Exception as bug:
                _log.exception("a reading failed")
                found = _failed(self._latest, bug)
            now_s = time.monotonic()
            if shown is None or _differ(shown, found) or now_s - told_s >= PUBLISH_EVERY_S - LOOK_EVERY_S / 2:
                shown, told_s = found, now_s
                with self._lock:
                    for listener in self._listeners:
                        _put(listener, found)

    def _look(self, age_s_max: float) -> Overview:
        with self._reading:
            age_s = time.monotonic() - self._looked_s
            if self._latest is None or age_s > age_s_max:
                self._latest = self._home.look()
                self._looked_s = time.monotonic()
                self.voted.note(self._latest)
            return self._latest


def _failed(latest: Overview | None, bug: Exception) -> Overview:
    """Return the latest reading as one that is not proven any more: a bug of ours is no news of the ledger."""
    assert latest is not None, "a listener has had a reading before the thread begins"
    problem = f"the monitor itself failed: {type(bug).__name__}: {bug}"
    accounts = tuple(
        replace(one, proven=False, healthy=False, connected=None, reasons=(problem, *one.reasons))
        for one in latest.accounts
    )
    return replace(
        latest, as_of_ns=time.time_ns(), ledger=LedgerHealth.UNREACHABLE, ledger_problem=problem, accounts=accounts
    )


def _put(listener: Readings, found: Overview) -> None:
    while True:
        try:
            listener.put_nowait(found)
            return
        except queue.Full:
            try:
                listener.get_nowait()
            except queue.Empty:
                continue


def _differ(one: Overview, other: Overview) -> bool:
    """Tell whether something happened between two readings, their ages apart."""
    return _facts(one) != _facts(other)


def _facts(one: Overview) -> tuple[Any, ...]:
    trader = one.trader
    accounts = tuple(
        (each.as_of_seq, each.last_close_ns, each.healthy, each.proven, each.reasons) for each in one.accounts
    )
    return one.ledger, one.ledger_id, one.head_seq, trader.life, trader.healthy, trader.session, accounts


_hubs: dict[tuple[Path, str], Hub] = {}
_hubs_lock = threading.Lock()


def hub_of(home: Path, ledger: str | Path | None = None) -> Hub:
    """Return the hub of a home folder: the same for everybody in this process.

    Args:
        home: Folder of the trader's state.
        ledger: Where the ledger lies, a path or an URL; None for the file in the folder.

    Raises:
        ValueError: The ledger is an URL of another kind of database.
    """
    key = home.absolute(), "" if ledger is None else str(ledger)
    with _hubs_lock:
        if key not in _hubs:
            _hubs[key] = Hub(home, ledger)
        return _hubs[key]
