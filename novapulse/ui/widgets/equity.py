"""The curve of an account's equity."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import traitlets

from novapulse.ui.widgets.assets import asset
from novapulse.ui.widgets.streamed import Streamed

Point = tuple[int, Any]


class Equity(Streamed):
    """Equity, and under it how far it stands below its peak.

    Attributes:
        quote: Asset that equity is counted in.
        start: `{"time": seconds UTC, "equity": number}` that changes are counted from; empty for the oldest point.
        equity_href: Where its equity, and what that changed by, are explained; empty for nowhere.
        drawdown_href: The same of how far it is, and was, under its peak.
        peak: What the last point is under; None for the highest point shown. Either says which it is.
    """

    _esm, _css = asset("equity.js"), asset("equity.css")
    quote = traitlets.Unicode("").tag(sync=True)
    start = traitlets.Dict().tag(sync=True)
    equity_href = traitlets.Unicode("").tag(sync=True)
    drawdown_href = traitlets.Unicode("").tag(sync=True)
    peak = traitlets.Float(None, allow_none=True).tag(sync=True)

    def __init__(self, points: Sequence[Point] = (), **shown: Any) -> None:
        super().__init__(**shown)
        self._last: Point | None = None
        if points:
            self.show(points)

    def show(self, points: Sequence[Point], start: Point | None = None, peak: Any = None) -> None:
        """Show a curve; where it continues the one that is shown, only what is new is sent.

        Args:
            points: Time in ns UTC and equity as number or decimal text, ascending.
            start: What the account began with, where that is known; it may be older than the points.
            peak: The account's own peak, where that is known; it may stand between the points.
        """
        with self._one_at_a_time:
            self.start = {} if start is None else dict(zip(("time", "equity"), _row(start), strict=True))
            self.peak = None if peak is None else float(peak)
            at = next((n for n in range(len(points) - 1, -1, -1) if points[n] == self._last), None)
            if at is None:
                self.send_rows(np.array([_row(point) for point in points], dtype=np.float64).reshape(-1, 2))
            elif at + 1 == len(points):
                self.word()
            else:
                for point in points[at + 1 :]:
                    self.send_row(_row(point))
            self._last = points[-1] if points else None


def _row(point: Point) -> tuple[float, float]:
    ts_ns, equity = point
    return ts_ns / 1_000_000_000, float(equity)
