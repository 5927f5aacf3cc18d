"""The median of what was seen last."""

from bisect import bisect_left, insort
from collections import deque


class LastMedian:
    """The last numbers, in the order in which they came and in the order of their size."""

    def __init__(self, kept: int) -> None:
        """Begin without any.

        Args:
            kept: How many of the last numbers count.
        """
        self._kept = kept
        self._came: deque[float] = deque()
        self._sorted: list[float] = []

    def __len__(self) -> int:
        return len(self._came)

    @property
    def value(self) -> float:
        """The median; of an even number of them the upper one.

        Raises:
            IndexError: There is none yet.
        """
        return self._sorted[len(self._sorted) // 2]

    def add(self, value: float) -> None:
        """Take a number in, and let go of the oldest when there are too many.

        Args:
            value: Not NaN.
        """
        if len(self._came) == self._kept:
            del self._sorted[bisect_left(self._sorted, self._came.popleft())]
        self._came.append(value)
        insort(self._sorted, value)
