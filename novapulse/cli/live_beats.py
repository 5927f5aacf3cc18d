"""Tells systemd how the trader is.

Invariant: a process whose ledger takes nothing, or none of whose accounts runs, gives no sign of life: it is started
anew when that lasts.
"""

import time

from novapulse.core.words import counted
from novapulse.engine.life import Life
from novapulse.engine.supervisor import Supervisor
from novapulse.ops.health import EVERY_S
from novapulse.ops.watchdog import Watchdog


class Beats:
    """Tells systemd that the process is ready, that it lives, and that it stops."""

    def __init__(self, supervisor: Supervisor) -> None:
        """Begin with a process that is not ready."""
        self._supervisor = supervisor
        self._watchdog = Watchdog()
        self._is_ready = False
        self._is_stopping = False
        self._objected = False
        self._last_s = time.monotonic()

    def __call__(self) -> None:
        """Say once that the process is ready, once that it stops, and that it lives, or why it does not count so."""
        now_s = time.monotonic()
        lag_s, self._last_s = now_s - self._last_s - EVERY_S, now_s
        if self._supervisor.is_ready and not self._is_ready:
            self._is_ready = self._watchdog.ready(self._well) or True
        objection = self._objection()
        if self._is_ready and self._objected and objection is None:
            self._watchdog.status(self._well)
        if self._supervisor.ended.why and not self._is_stopping:
            self._is_stopping = self._watchdog.stopping(self._supervisor.ended.why) or True
        self._objected = objection is not None
        self._watchdog.beat(lag_s, objection)

    @property
    def _well(self) -> str:
        count = len(self._supervisor.runners)
        return f"{counted(count, 'account')} {'trades' if count == 1 else 'trade'}"

    def _objection(self) -> str | None:
        runners = list(self._supervisor.runners.values())
        if any(runner.told.ledger_failed for runner in runners):
            return "the ledger takes nothing"
        if all(runner.life is not Life.RUNNING for runner in runners):
            return "no account runs: " + "; ".join(dict.fromkeys(runner.told.why_down for runner in runners))
        return None
