"""Time from the machine.

Invariants:
- moments are ns UTC from the wall clock; waits and deadlines go by the monotonic clock, which nobody can set;
- a step of the wall clock is noticed by comparing both.
"""

import time
from collections.abc import Callable

JUMP_NS = 2_000_000_000
"""A wall clock that moves this much against the monotonic one was set, or the machine slept."""


class SystemClock:
    """The machine's clock."""

    def now_ns(self) -> int:
        """Return ns UTC."""
        return time.time_ns()

    def monotonic_ns(self) -> int:
        """Return ns of a clock that only goes forwards."""
        return time.monotonic_ns()


class ScaledClock:
    """A clock that starts at a moment of history and runs faster or slower than the machine's.

    Args:
        start_ns: What it shows first, ns UTC.
        speed: Its seconds per second, > 0.
        monotonic_ns: Where real time comes from.

    Raises:
        ValueError: The speed is not above 0.
    """

    def __init__(self, start_ns: int, speed: float, monotonic_ns: Callable[[], int] = time.monotonic_ns) -> None:
        if not 0 < speed < float("inf"):
            raise ValueError(f"the speed of a clock must be a number above 0, got {speed}")
        self._start_ns = start_ns
        self._speed = speed
        self._monotonic_ns = monotonic_ns
        self._began_ns = monotonic_ns()

    def now_ns(self) -> int:
        """Return ns UTC of the scaled time."""
        return self._start_ns + int((self._monotonic_ns() - self._began_ns) * self._speed)

    def real_s(self, until_ns: int) -> float:
        """Return how many real seconds are left until a moment of the scaled time, >= 0."""
        return max(0.0, (until_ns - self.now_ns()) / self._speed / 1e9)


class WallWatch:
    """Notices when the wall clock was set or the machine slept.

    Args:
        wall_ns: The wall clock.
        monotonic_ns: The clock it is compared with.
    """

    def __init__(
        self, wall_ns: Callable[[], int] = time.time_ns, monotonic_ns: Callable[[], int] = time.monotonic_ns
    ) -> None:
        self._wall_ns = wall_ns
        self._monotonic_ns = monotonic_ns
        self._ahead_ns = wall_ns() - monotonic_ns()

    def jump_ns(self) -> int | None:
        """Return by how much the wall clock jumped since it was last looked at (backwards < 0), or None if it did not.

        Slow drift is followed and is no jump.
        """
        ahead_ns = self._wall_ns() - self._monotonic_ns()
        jump = ahead_ns - self._ahead_ns
        self._ahead_ns = ahead_ns
        return jump if abs(jump) > JUMP_NS else None
