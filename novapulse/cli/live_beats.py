"""Tells systemd how the trader is."""

import time

from novapulse.engine.supervisor import Supervisor
from novapulse.ops.watchdog import Watchdog

HEALTH_EVERY_S = 1.0


class Beats:
    """Tells systemd that the process is ready, and that it lives."""

    def __init__(self, supervisor: Supervisor) -> None:
        """Begin with a process that is not ready."""
        self._supervisor = supervisor
        self._watchdog = Watchdog()
        self._is_ready = False
        self._last_s = time.monotonic()

    def __call__(self) -> None:
        """Say that the process is ready when it is, and that it lives."""
        now_s = time.monotonic()
        lag_s, self._last_s = now_s - self._last_s - HEALTH_EVERY_S, now_s
        if self._supervisor.is_ready and not self._is_ready:
            self._is_ready = self._watchdog.ready(f"{len(self._supervisor.runners)} accounts trade") or True
        self._watchdog.beat(lag_s, None)
