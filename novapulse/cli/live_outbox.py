"""Measures the ledger's way out: how far its consumers are behind, and what they could not take.

Invariant: a consumer is behind by the age of the oldest event that it lacks, in the machine's time, since that event
was first seen here.
"""

import time
from collections import deque
from collections.abc import Callable

from novapulse.engine.supervisor import Supervisor
from novapulse.ledger.journal import Ledger
from novapulse.ledger.outbox import Outbox

HEADS_KEPT = 10_000
"""Looks that are remembered: those of half a day. A consumer further behind is that late all the same."""


class OutboxWatch:
    """Lets the accounts know how late the slowest consumer is, and how much lies in the dead letters.

    Without a consumer nothing is measured: then nobody waits for anything.
    """

    def __init__(self, ledger: Ledger, supervisor: Supervisor, now_s: Callable[[], float] = time.monotonic) -> None:
        """Begin with nothing seen."""
        self._outbox = Outbox(ledger)
        self._ledger = ledger
        self._supervisor = supervisor
        self._now_s = now_s
        self._heads: deque[tuple[int, float]] = deque()
        self._found: tuple[float, int] | None = None

    def __call__(self) -> Callable[[], None]:
        """Let the accounts know what was found last, and return what looks again: it may block."""
        if self._found is not None:
            lag_s, lost = self._found
            for runner in self._supervisor.runners.values():
                runner.condition("outbox_lag", lag_s)
                runner.condition("outbox_lost", float(lost))
        return self._look

    def _look(self) -> None:
        names = self._outbox.consumers()
        head, now_s = self._ledger.head()[0], self._now_s()
        if not names:
            # One that was removed is late no more.
            self._found = None if self._found is None else (0.0, 0)
            self._heads.clear()
            return
        if len(self._heads) < HEADS_KEPT and (not self._heads or self._heads[-1][0] < head):
            self._heads.append((head, now_s))
        taken = head - max(self._outbox.pending(name) for name in names)
        while self._heads and self._heads[0][0] <= taken:
            self._heads.popleft()
        lag_s = now_s - self._heads[0][1] if self._heads else 0.0
        self._found = lag_s, sum(len(self._outbox.dead_letters(name)) for name in names)
