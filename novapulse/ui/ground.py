"""Where things are on the price chart: one scale of prices from the bottom of the page to its top, and times in UTC."""

from typing import NamedTuple, Self

import altair as alt
import numpy as np

from novapulse.core.bars import Floats
from novapulse.ui.aggregate import DisplayBars
from novapulse.ui.marks import UTC, time_axis

_VOLUME_PX, _STRIP_PX = 64, 5


class Ground(NamedTuple):
    """The edges of a price chart.

    Attributes:
        bottom: Price at the bottom of the page, under the strip of regimes.
        volume: Price at the foot of the volume.
        candles: Price at the foot of the candles.
        top: Price at the top.
        start_ns: Time at the left edge, ns UTC.
        end_ns: Time at the right edge.
    """

    bottom: float
    volume: float
    candles: float
    top: float
    start_ns: int
    end_ns: int

    @classmethod
    def under(cls, shown: DisplayBars, levels: Floats, height: int) -> Self:
        """Return the ground that holds some bars and levels.

        Args:
            shown: At least one bar.
            levels: float64[L], prices that must be in sight, NaN where unknown.
            height: Pixels.
        """
        prices = np.concatenate([shown.low, shown.high, levels[np.isfinite(levels)]])
        low, high = float(prices.min()), float(prices.max())
        margin = 0.05 * (high - low) or 0.01 * high
        low, high = low - margin, high + margin
        pixel = (high - low) / (height - _VOLUME_PX - _STRIP_PX)
        bottom = low - (_VOLUME_PX + _STRIP_PX) * pixel
        return cls(bottom, low - _VOLUME_PX * pixel, low, high, int(shown.start_ns[0]), int(shown.ts_close_ns[-1]))

    @property
    def scale(self) -> alt.Scale:
        """Return the scale of prices, the same for every layer."""
        return alt.Scale(domain=[self.bottom, self.top], nice=False, zero=False)

    def x(self, field: str = "from") -> alt.X:
        """Return a time on the horizontal axis."""
        return alt.X(f"{field}:T", scale=UTC, axis=time_axis())

    def y(self, field: str) -> alt.Y:
        """Return a price on the vertical axis."""
        return alt.Y(f"{field}:Q", scale=self.scale, axis=alt.Axis(orient="right", title=None, tickCount=6))


def as_told(field: str) -> alt.Color:
    """Return the colour that a column names."""
    return alt.Color(f"{field}:N", scale=None)
