"""Regimes: is the market trending or ranging, and is it calm, normal or wild?

Invariants:
- a state depends on at most `MEMORY_BARS` bars of its measures, so a trailing window of `warmup_bars()` bars gives
  the same state as the whole history, to the bit;
- hysteresis: a measure that is decisive sets the state, one that is not keeps it, and after `MEMORY_BARS` bars without
  a decisive one the state is neutral (RANGE, NORMAL);
- an unknown measure (NaN) is never decisive.

TREND begins where ADX is above 25 and the efficiency ratio confirms it, and ends where ADX falls below 20. ADX over
14 bars is used rather than 28, although 28 separates trends slightly better: its warm-up is 1,400 bars instead of
2,800, and on the slowest of three timeframes that is two weeks of minutes rather than four.
"""

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray

from novapulse.compiled import kernel
from novapulse.core.bars import DAY_NS, Floats

if TYPE_CHECKING:
    from novapulse.signals.view import Indicators

ADX_BARS = 14
EFFICIENCY_BARS = 60
VOLATILITY_BARS = 60
MEMORY_BARS = 64

ADX_TREND_BEGINS = 25.0
ADX_TREND_ENDS = 20.0

RANGE, TREND = 0, 1
LOW, NORMAL, HIGH = -1, 0, 1
LABELS = ("range-low", "range-normal", "range-high", "trend-low", "trend-normal", "trend-high")

Codes = NDArray[np.int8]


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Where volatility is low or high and where movement is efficient; the defaults serve until there is history.

    Each field is one number, or float64[N] with one number per bar. Volatilities are annualised as if the market never
    closed (`bars_per_year`), fractions; `low < low_leave <= high_leave < high` gives the hysteresis.

    Attributes:
        volatility_low: Below it volatility becomes LOW (calibrated: 20th percentile).
        volatility_low_leave: Above it LOW ends (25th percentile).
        volatility_high_leave: Below it HIGH ends (75th percentile).
        volatility_high: Above it volatility becomes HIGH (80th percentile).
        efficiency_trend: Efficiency ratio that confirms a trend, 0..1 (60th percentile).
    """

    volatility_low: float | Floats = 0.25
    volatility_low_leave: float | Floats = 0.28
    volatility_high_leave: float | Floats = 0.62
    volatility_high: float | Floats = 0.70
    efficiency_trend: float | Floats = 0.14

    def rows(self, rows: slice) -> Self:
        """Return the thresholds of a stretch of bars; numbers stay numbers."""
        values = (getattr(self, field.name) for field in fields(self))
        return type(self)(*(v[rows] if isinstance(v, np.ndarray) else v for v in values))

    def check_length(self, bars: int) -> None:
        """Refuse columns that are not as long as the bars they belong to.

        Raises:
            ValueError: A column has another length.
        """
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, np.ndarray) and value.shape != (bars,):
                raise ValueError(f"threshold {field.name} has shape {value.shape}, expected ({bars},)")

    def table(self, bars: int) -> Floats:
        """Return float64[1, 5] where all are numbers, else float64[bars, 5], columns in the order of the fields.

        Raises:
            ValueError: A column has another length, or the hysteresis is upside down.
        """
        self.check_length(bars)
        values = [getattr(self, field.name) for field in fields(self)]
        moving = any(isinstance(value, np.ndarray) for value in values)
        table = np.empty((bars if moving else 1, len(values)))
        for column, value in enumerate(values):
            table[:, column] = value
        low, low_leave, high_leave, high, efficiency = table.T
        ordered = (low > 0) & (low <= low_leave) & (low_leave <= high_leave) & (high_leave <= high)
        good = ordered & (efficiency >= 0) & (efficiency <= 1)
        if not good.all():
            row = int(np.argmin(good))
            raise ValueError(
                f"thresholds of row {row} are {table[row].tolist()}, expected 0 < volatility_low <="
                " volatility_low_leave <= volatility_high_leave <= volatility_high and efficiency_trend in 0..1"
            )
        return table


@dataclass(frozen=True, slots=True)
class RegimeColumns:
    """The state of each bar.

    Attributes:
        trend: int8[N], RANGE or TREND.
        volatility: int8[N], LOW, NORMAL or HIGH.
    """

    trend: Codes
    volatility: Codes

    @property
    def label(self) -> Codes:
        """int8[N], index into `LABELS`."""
        codes: Codes = self.trend * np.int8(3) + self.volatility + np.int8(1)
        return codes

    @property
    def names(self) -> list[str]:
        """Return the label of each bar as a word, such as `trend-high`."""
        return [LABELS[code] for code in self.label.tolist()]


def warmup_bars() -> int:
    """Return how many bars pass before a state is sure: the measures' own warm-up, then the memory."""
    return 2 * 50 * ADX_BARS + MEMORY_BARS


def bars_per_year(timeframe_ns: int) -> float:
    """Return the bars in 365.25 days that never close: the unit of `Thresholds`, whatever the calendar."""
    return 365.25 * DAY_NS / timeframe_ns


def regime_columns(indicators: "Indicators", thresholds: Thresholds | None = None) -> RegimeColumns:
    """Return the regime of each bar of a stretch without gaps; None means the default thresholds."""
    year = bars_per_year(indicators.bars.timeframe_ns)
    return classify(
        indicators.adx(ADX_BARS),
        indicators.efficiency_ratio(EFFICIENCY_BARS),
        indicators.realized_volatility(VOLATILITY_BARS, year),
        thresholds or Thresholds(),
    )


def classify(adx: Floats, efficiency: Floats, volatility: Floats, thresholds: Thresholds) -> RegimeColumns:
    """Return the regime of each bar of a stretch without gaps.

    Args:
        adx: float64[N], ADX over `ADX_BARS`, 0..100, NaN in warm-up.
        efficiency: float64[N], efficiency ratio over `EFFICIENCY_BARS`, 0..1, NaN in warm-up.
        volatility: float64[N], realised volatility over `VOLATILITY_BARS`, per `bars_per_year`, NaN in warm-up.
        thresholds: Numbers, or columns of length N.

    Raises:
        ValueError: Lengths differ, or thresholds are contradictory.
    """
    if not adx.shape == efficiency.shape == volatility.shape or adx.ndim != 1:
        raise ValueError(f"adx, efficiency and volatility have shapes {adx.shape, efficiency.shape, volatility.shape}")
    trend = np.zeros(adx.size, np.int8)
    state = np.zeros(adx.size, np.int8)
    if adx.size:
        _classify(adx, efficiency, volatility, thresholds.table(adx.size), trend, state)
    trend.flags.writeable = state.flags.writeable = False
    return RegimeColumns(trend, state)


@kernel
def _classify(
    adx: Floats, efficiency: Floats, volatility: Floats, thresholds: Floats, trend: Codes, state: Codes
) -> None:
    step = 1 if thresholds.shape[0] > 1 else 0
    trending, trend_age = RANGE, MEMORY_BARS
    wildness, wildness_age = NORMAL, MEMORY_BARS
    for i in range(adx.size):
        row = i * step
        trend_age += 1
        if adx[i] < ADX_TREND_ENDS:
            trending, trend_age = RANGE, 0
        elif adx[i] > ADX_TREND_BEGINS and efficiency[i] > thresholds[row, 4]:
            trending, trend_age = TREND, 0
        trend[i] = trending if trend_age < MEMORY_BARS else RANGE

        wildness_age += 1
        level = volatility[i]
        if level < thresholds[row, 0]:
            wildness, wildness_age = LOW, 0
        elif level > thresholds[row, 3]:
            wildness, wildness_age = HIGH, 0
        elif thresholds[row, 1] < level < thresholds[row, 2]:
            wildness, wildness_age = NORMAL, 0
        kept = wildness if wildness_age < MEMORY_BARS else NORMAL
        if (kept == LOW and level > thresholds[row, 1]) or (kept == HIGH and level < thresholds[row, 2]):
            kept = NORMAL
        state[i] = kept
