"""Regime thresholds that change at 00:00 UTC: one row per calibration instead of one per bar."""

from dataclasses import dataclass, field
from typing import Self

import numpy as np

from novapulse.core.bars import Floats, Integers
from novapulse.signals.regimes import Thresholds


@dataclass(frozen=True, slots=True)
class DailyThresholds(Thresholds):
    """Thresholds of each bar of one timeframe, looked up where they are asked for.

    Attributes:
        levels: float64[R, 5], a row per calibration, columns in the order of `Thresholds`, each row in order.
        calibration: int64[N], row of each bar, ascending.
    """

    levels: Floats = field(default_factory=lambda: Thresholds().table(1))
    calibration: Integers = field(default_factory=lambda: np.zeros(0, np.int64))

    def rows(self, rows: slice) -> Self:
        """Return the thresholds of a stretch of bars."""
        return type(self)(levels=self.levels, calibration=self.calibration[rows])

    def check_length(self, bars: int) -> None:
        """Refuse to serve other bars.

        Raises:
            ValueError: The bars are not as many as these thresholds were looked up for.
        """
        if bars != self.calibration.size:
            raise ValueError(f"thresholds are for {self.calibration.size} bars, not for {bars}")

    def table(self, bars: int) -> Floats:
        """Return float64[bars, 5], or float64[1, 5] where all bars share a row."""
        self.check_length(bars)
        first, last = self.calibration[0], self.calibration[-1]
        return self.levels[first : first + 1] if first == last else self.levels[self.calibration]
