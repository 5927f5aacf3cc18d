"""What fails again and again is told once, then counted.

Invariant: nothing is forgotten: what was not told is in the count of the next line.
"""

import time
from collections.abc import Callable

EVERY_S = 10.0
"""Between two lines about the same failure, seconds of the machine."""


class Repeats:
    """The failures of one task.

    Args:
        clock: The machine's seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._text = ""
        self._told_s = 0.0
        self._untold = 0

    def take(self, text: str) -> int | None:
        """Take note of a failure.

        Args:
            text: What failed, and how: the same while it is the same failure.

        Returns:
            0 for one that is to be told whole, a count >= 1 of those since the last line for one that is worth a line,
            None for one that is not to be told.
        """
        now_s = self._clock()
        if text != self._text:
            self._text, self._told_s, self._untold = text, now_s, 0
            return 0
        self._untold += 1
        if now_s - self._told_s < EVERY_S:
            return None
        count, self._untold, self._told_s = self._untold, 0, now_s
        return count
