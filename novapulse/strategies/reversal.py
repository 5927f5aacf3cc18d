"""Reversal: a new extreme that momentum no longer confirms is the move's last.

Speaks long after two swing lows of which the second is lower in price but higher in RSI (bullish divergence), both
with weak RSI, while MACD's histogram rises; short is the mirror image at swing highs. RSI's gain between the swings
makes the size, and it fades until the opinion expires. A swing is known only `swing_bars` after its bar. In a trend
the divergence must be wider.
More confident where the price has already left the extreme, on volume, and where volatility is not low.
Silent without a divergence, after a close beyond the second swing, where both directions claim one, or without trade.
"""

import math

import numpy as np
from pydantic import BaseModel, Field

from novapulse.compiled import kernel
from novapulse.core.bars import Floats
from novapulse.signals import regimes
from novapulse.signals.regimes import LOW, TREND, Codes
from novapulse.signals.view import Indicators
from novapulse.strategies.votes import EMA_WARMUP, WILDER_WARMUP, Market, Votes, capped, market, ramp


class Params(BaseModel, frozen=True, extra="forbid"):
    """Settings; `_bars` count bars, `_atrs` are average true ranges, RSI and points are 0..100 (for the long side)."""

    swing_bars: int = Field(4, ge=1, le=20)
    apart_bars_min: int = Field(5, ge=1, le=60)
    apart_bars_max: int = Field(60, ge=2, le=240)
    rsi_weak: float = Field(45.0, ge=10.0, le=60.0)
    range_gap_points: float = Field(2.0, ge=0.0, le=50.0)
    trend_gap_points: float = Field(6.0, ge=0.0, le=50.0)
    left_atrs: float = Field(2.0, ge=0.1, le=20.0)
    forecast_per_point: float = Field(5.0, gt=0.0, le=100.0)


def warmup_bars(params: Params) -> int:
    """Return the bars before the first vote."""
    measures = max(EMA_WARMUP * (26 + 9), WILDER_WARMUP * 14, regimes.warmup_bars())
    return measures + params.apart_bars_max + 5 * params.swing_bars


def votes(indicators: Indicators, params: Params) -> Votes:
    """Return the votes on a stretch of bars without gaps."""
    swings = (indicators.pivot_low(params.swing_bars).price, indicators.pivot_high(params.swing_bars).price)
    spans = (params.swing_bars, params.apart_bars_min, params.apart_bars_max)
    rsi, close, warmup = indicators.rsi(14), indicators.close, warmup_bars(params)
    rising = _divergence(swings[0], rsi, close, 1.0, params.rsi_weak, spans, warmup)
    falling = _divergence(swings[1], rsi, close, -1.0, params.rsi_weak, spans, warmup)
    regime = indicators.regime
    forecast, confidence = _speak(
        market(indicators),
        (*rising, *falling, indicators.macd(12, 26, 9)[2]),
        (regime.trend, regime.volatility),
        (params.range_gap_points, params.trend_gap_points, params.left_atrs, params.forecast_per_point),
        warmup,
    )
    return Votes(forecast, confidence)


@kernel
def _divergence(
    swing: Floats, rsi: Floats, close: Floats, side: float, weak: float, spans: tuple[int, int, int], warmup: int
) -> tuple[Floats, Floats, Floats]:
    swing_bars, apart_min, apart_max = spans
    gain, fresh, extreme = np.zeros(close.size), np.zeros(close.size), np.zeros(close.size)
    last, points = -1, 0.0
    for i in range(warmup - apart_max - 5 * swing_bars, close.size):
        if not math.isnan(swing[i]):
            before, last, points = last, i - swing_bars, 0.0
            apart = last - before
            if before >= 0 and apart_min <= apart <= apart_max:
                strongest = max(side * (rsi[before] - 50.0), side * (rsi[last] - 50.0))
                if side * (swing[i] - swing[before + swing_bars]) < 0.0 and strongest < weak - 50.0:
                    points = side * (rsi[last] - rsi[before])
        if last >= 0 and side * (close[i] - swing[last + swing_bars]) < 0.0:
            points = 0.0
        age = i - last - swing_bars
        if points > 0.0 and age < 3 * swing_bars and i >= warmup:
            gain[i], fresh[i], extreme[i] = points, 1.0 - age / (3.0 * swing_bars), swing[last + swing_bars]
    return gain, fresh, extreme


@kernel
def _speak(
    market: Market,
    columns: tuple[Floats, Floats, Floats, Floats, Floats, Floats, Floats],
    states: tuple[Codes, Codes],
    numbers: tuple[float, float, float, float],
    warmup: int,
) -> tuple[Floats, Floats]:
    high, low, close, volume, volume_mean, atr = market
    gain_up, fresh_up, bottom, gain_down, fresh_down, top, histogram = columns
    trend, volatility = states
    range_gap, trend_gap, left_atrs, forecast_per_point = numbers
    forecast, confidence = np.zeros(high.size), np.zeros(high.size)
    for i in range(warmup, high.size):
        up, down = gain_up[i] > 0.0, gain_down[i] > 0.0
        if up == down or volume[i] <= 0.0 or high[i] <= low[i] or not atr[i] > 0.0:
            continue
        side, gain, fresh = (1.0, gain_up[i], fresh_up[i]) if up else (-1.0, gain_down[i], fresh_down[i])
        beyond = gain - (trend_gap if trend[i] == TREND else range_gap)
        if beyond <= 0.0 or side * (histogram[i] - histogram[i - 1]) <= 0.0:
            continue
        forecast[i] = capped(side * forecast_per_point * beyond * fresh)
        left = side * (close[i] - (bottom[i] if up else top[i])) / atr[i]
        traded = ramp(volume[i], 0.5 * volume_mean[i], 2.0 * volume_mean[i])
        awake = 0.0 if volatility[i] == LOW else 0.2
        confidence[i] = 0.3 + 0.3 * ramp(left, 0.0, left_atrs) + 0.2 * traded + awake
    return forecast, confidence
