"""Tells systemd how the process is: ready, alive, what it does, stopping. Without systemd every call does nothing.

Invariant: a sign of life is sent only while the event loop answers in time and nobody objects; a process that hangs
is restarted, and so is one that only looks alive.
"""

import os
import socket
from collections.abc import Mapping

LAG_S_MAX = 1.0


class Watchdog:
    """The line to systemd.

    Args:
        environment: Where `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID` may stand; None for the process's own.
    """

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        named = os.environ if environment is None else environment
        address = named.get("NOTIFY_SOCKET", "")
        # A name that starts with @ lies in no folder: its first byte is really zero.
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        usec, pid = named.get("WATCHDOG_USEC", ""), named.get("WATCHDOG_PID", "")
        self._is_watched = usec.isdigit() and int(usec) > 0 and (not pid or pid == str(os.getpid()))

    def notify(self, *lines: str) -> bool:
        """Send lines such as `READY=1`; return whether somebody listens."""
        if not self._address:
            return False
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as line:
                line.sendto("\n".join(lines).encode(), self._address)
        except OSError:
            return False
        return True

    def ready(self, status: str) -> bool:
        """Say that the process has started: it is reconciled and sees a fresh bar."""
        return self.notify("READY=1", f"STATUS={_one_line(status)}")

    def status(self, text: str) -> bool:
        """Say in a few words what the process does."""
        return self.notify(f"STATUS={_one_line(text)}")

    def stopping(self, why: str) -> bool:
        """Say that the process is about to end."""
        return self.notify("STOPPING=1", f"STATUS={_one_line(why)}")

    def beat(self, lag_s: float, objection: str | None) -> bool:
        """Send a sign of life, unless the loop lags by a second or somebody objects; return whether it was sent."""
        if not self._is_watched or lag_s >= LAG_S_MAX:
            return False
        if objection is not None:
            self.status(objection)
            return False
        return self.notify("WATCHDOG=1")


def _one_line(text: str) -> str:
    return " ".join(text.split())
