"""The same market on several timeframes, and what of the slower ones is known at a faster close.

Invariants:
- a slower bar is known from its close on, and only while it is the latest one that could be: behind a gap there is
  nothing to see until a whole new bar has closed;
- a row is warm when enough bars without a gap lie before it, so it does not depend on where the window began.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from novapulse.compiled import kernel
from novapulse.confluence.plan import Plan
from novapulse.core.bars import BarColumns, Flags, Floats, Integers, timeframe_text
from novapulse.market.resample import resample, visible_rows
from novapulse.signals import Indicators
from novapulse.signals.regimes import (
    ADX_BARS,
    EFFICIENCY_BARS,
    LABELS,
    VOLATILITY_BARS,
    Thresholds,
    bars_per_year,
    classify,
)
from novapulse.strategies.votes import ATR_BARS


@dataclass(frozen=True, slots=True)
class Frame:
    """One timeframe of a window of bars, and what is measured on it apart from the strategies.

    Attributes:
        multiple: Base bars per bar.
        bars: The bars, those of the warm-up included.
        warm: bool[N], True where enough bars without a gap lie before.
        volatility: float64[N], realised volatility of the regimes; to be used where warm, as all that follow.
        efficiency: float64[N], efficiency ratio of the regimes.
        adx: float64[N] where the regime is taken from this timeframe, else length 0.
        atr: float64[N], quote per base, where stops are made from this timeframe, else length 0.
    """

    multiple: int
    bars: BarColumns
    warm: Flags
    volatility: Floats
    efficiency: Floats
    adx: Floats
    atr: Floats


def feature_names(names: tuple[str, ...], multiples: tuple[int, ...], timeframe_ns: int) -> list[list[str]]:
    """Return how a strategy's vote on a timeframe is called, such as `keltner@5m`: one list per strategy."""
    widths = [timeframe_text(timeframe_ns * multiple) for multiple in multiples]
    return [[f"{name}@{width}" for width in widths] for name in names]


def frames_of(bars: BarColumns, first: int, plan: Plan) -> tuple[Frame, ...]:
    """Return every timeframe of the plan, fastest first; see `frame_of`."""
    return tuple(frame_of(bars, first, multiple, plan) for multiple in plan.multiples)


def frame_of(bars: BarColumns, first: int, multiple: int, plan: Plan) -> Frame:
    """Return one timeframe of the bars from row `first` on, with as many before as its warm-up takes.

    Args:
        bars: Base bars.
        first: First base row of interest.
        multiple: Base bars per bar.
        plan: Gives the warm-up; the rows of the last two slower bars before `first` are warm too.
    """
    window = bars[max(0, first - (plan.warmup_bars + 3) * multiple) :]
    coarse = resample(window, multiple)
    warm = np.empty(len(coarse), np.bool_)
    _mark_warm(coarse.number, plan.warmup_bars, warm)
    here = (True, True, multiple == plan.settings.regime_multiple, multiple == plan.settings.stop_multiple)
    volatility, efficiency, adx, atr = (np.full(len(coarse) if wanted else 0, np.nan) for wanted in here)
    frame = Frame(multiple, coarse, warm, volatility, efficiency, adx, atr)
    year = bars_per_year(coarse.timeframe_ns)
    for rows in coarse.segments():
        if rows.stop - rows.start > plan.warmup_bars:
            _measure(frame, rows, year)
    return frame


def _measure(frame: Frame, rows: slice, year: float) -> None:
    indicators = Indicators(frame.bars[rows])
    frame.volatility[rows] = indicators.realized_volatility(VOLATILITY_BARS, year)
    frame.efficiency[rows] = indicators.efficiency_ratio(EFFICIENCY_BARS)
    if frame.adx.size:
        frame.adx[rows] = indicators.adx(ADX_BARS)
    if frame.atr.size:
        frame.atr[rows] = indicators.atr(ATR_BARS)


def regime_labels(frame: Frame, thresholds: Thresholds) -> NDArray[np.int8]:
    """Return int8[N], the regime of each bar as an index into `regimes.LABELS`; range-normal where not warm."""
    labels = np.full(len(frame.bars), LABELS.index("range-normal"), np.int8)
    for rows in frame.bars.segments():
        if frame.warm[rows.stop - 1]:
            states = classify(frame.adx[rows], frame.efficiency[rows], frame.volatility[rows], thresholds.rows(rows))
            labels[rows] = states.label
    labels[~frame.warm] = LABELS.index("range-normal")
    return labels


def known_rows(bars: BarColumns, multiple: int, frame: Frame) -> Integers:
    """Return, for each bar, the row of the frame that is known at its close.

    Args:
        bars: Bars at whose closes one looks, `multiple` base bars wide.
        multiple: Their width.
        frame: Another timeframe of the same instrument.

    Returns:
        int64[N], -1 where the latest bar that could have closed has not, because of a gap.
    """
    rows = visible_rows(bars, frame.bars)
    _forget_stale(bars.number, multiple, frame.bars.number, frame.multiple, rows)
    return rows


@kernel
def _mark_warm(number: Integers, warmup: int, warm: Flags) -> None:
    age = 0
    for i in range(number.size):
        age = age + 1 if i > 0 and number[i] == number[i - 1] + 1 else 0
        warm[i] = age >= warmup


@kernel
def _forget_stale(number: Integers, width: int, coarse: Integers, multiple: int, rows: Integers) -> None:
    for i in range(number.size):
        if rows[i] >= 0 and number[i] * width - coarse[rows[i]] * multiple >= multiple:
            rows[i] = -1
