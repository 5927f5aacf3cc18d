"""Widgets of many rows: all of them once as bytes, then one by one.

Invariants:
- at most `ROWS_MAX` rows go to a page, the latest;
- rows that follow are numbered. A page that missed one asks with `ready` and gets everything since the bytes again.
"""

from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np
import traitlets
from numpy.typing import NDArray

from novapulse.ui.widgets.live import Live

ROWS_MAX = 20_000
"""Most rows that a page draws."""

_TAIL_MAX = 2_000


class Streamed(Live):
    """A widget that draws rows of numbers, the first of which is the time in seconds UTC.

    Attributes:
        rows: Little-endian float64: the width of a row, then the rows, as `send_rows` packed them.
        height: Pixels.
    """

    rows = traitlets.Bytes(b"").tag(sync=True)
    height = traitlets.Int(240).tag(sync=True)

    def __init__(self, **shown: Any) -> None:
        self._tail: deque[tuple[float, ...]] = deque(maxlen=_TAIL_MAX)
        self._latest: NDArray[np.float64] = np.empty((0, 0))
        self._count = 0
        super().__init__(**shown)

    def send_rows(self, rows: NDArray[np.float64]) -> None:
        """Show rows in place of all others.

        Args:
            rows: float64[N, width], ascending in the first column.
        """
        with self._one_at_a_time:
            self._tail.clear()
            self._latest = np.ascontiguousarray(rows[-ROWS_MAX:], dtype="<f8")
            self.rows = np.float64(rows.shape[1]).tobytes() + self._latest.tobytes()

    def send_row(self, row: Sequence[float]) -> None:
        """Show one more row, or another last one when its time is that of the last."""
        with self._one_at_a_time:
            if len(self._tail) == _TAIL_MAX:
                self.send_rows(self._whole())
            self._tail.append(tuple(map(float, row)))
            self._count += 1
            self.send({"type": "row", "count": self._count, "row": _plain(self._tail[-1])})

    def _whole(self) -> NDArray[np.float64]:
        """Return all rows, of those with one time the last."""
        rows = np.vstack([self._latest, np.array(self._tail)]) if self._latest.size else np.array(self._tail)
        whole: NDArray[np.float64] = rows[np.append(rows[1:, 0] != rows[:-1, 0], True)]
        return whole

    def _came(self) -> None:
        super()._came()
        self.send({"type": "rows", "count": self._count, "rows": [_plain(row) for row in self._tail]})


def _plain(row: tuple[float, ...]) -> list[float | None]:
    """Unknown is None: JSON has no NaN."""
    return [value if np.isfinite(value) else None for value in row]
