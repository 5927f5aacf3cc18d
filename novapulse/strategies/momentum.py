"""Momentum: when one side dominates and its dominance grows, the next bars go its way.

Speaks long when +DI stands above -DI, ADX is above its floor, the price has risen over `change_bars` and the MACD
histogram agrees; short is the mirror image. Size comes from how far ADX stands above its floor and how one-sided the
two directional indicators are. In a trend the floor is lower and RSI may run further before the move counts as
exhausted.
More confident while ADX still grows, volume is above its mean and the bar closes near its own end.
Silent where one of the four disagrees, the move is exhausted, or the bar had no trade or no range.
"""

import numpy as np
from pydantic import BaseModel, Field

from novapulse.compiled import kernel
from novapulse.core.bars import Floats
from novapulse.signals import regimes
from novapulse.signals.regimes import TREND, Codes
from novapulse.signals.view import Indicators
from novapulse.strategies.votes import EMA_WARMUP, Market, Votes, capped, market, ramp


class Params(BaseModel, frozen=True, extra="forbid"):
    """Settings; `_bars` count bars, `_atrs` are average true ranges, ADX and RSI are 0..100 (RSI for the long side)."""

    change_bars: int = Field(20, ge=2, le=120)
    change_atrs: float = Field(2.0, ge=0.1, le=20.0)
    range_adx_floor: float = Field(20.0, ge=0.0, le=60.0)
    trend_adx_floor: float = Field(16.0, ge=0.0, le=60.0)
    range_rsi_exhausted: float = Field(75.0, ge=50.0, le=100.0)
    trend_rsi_exhausted: float = Field(85.0, ge=50.0, le=100.0)
    growth_bars: int = Field(5, ge=1, le=60)
    forecast_full: float = Field(45.0, gt=0.0, le=200.0)


def warmup_bars(params: Params) -> int:
    """Return the bars before the first vote."""
    macd = EMA_WARMUP * (26 + 9)
    return max(macd, params.change_bars, regimes.warmup_bars() + params.growth_bars)


def votes(indicators: Indicators, params: Params) -> Votes:
    """Return the votes on a stretch of bars without gaps."""
    histogram = indicators.macd(12, 26, 9)[2]
    directional = (indicators.plus_di(14), indicators.minus_di(14), indicators.adx(regimes.ADX_BARS))
    forecast, confidence = _speak(
        market(indicators),
        (*directional, indicators.rsi(14), histogram),
        indicators.regime.trend,
        (params.range_adx_floor, params.range_rsi_exhausted),
        (params.trend_adx_floor, params.trend_rsi_exhausted),
        (params.change_atrs, params.forecast_full),
        (params.change_bars, params.growth_bars),
        warmup_bars(params),
    )
    return Votes(forecast, confidence)


@kernel
def _speak(
    market: Market,
    columns: tuple[Floats, Floats, Floats, Floats, Floats],
    trend: Codes,
    in_range: tuple[float, float],
    in_trend: tuple[float, float],
    numbers: tuple[float, float],
    spans: tuple[int, int],
    warmup: int,
) -> tuple[Floats, Floats]:
    high, low, close, volume, volume_mean, atr = market
    plus_di, minus_di, adx, rsi, histogram = columns
    change_atrs, forecast_full = numbers
    change_bars, growth_bars = spans
    forecast, confidence = np.zeros(high.size), np.zeros(high.size)
    for i in range(warmup, high.size):
        floor, exhausted = in_trend if trend[i] == TREND else in_range
        if volume[i] <= 0.0 or high[i] <= low[i] or not (atr[i] > 0.0 and adx[i] > floor):
            continue
        lean = plus_di[i] - minus_di[i]
        side = 1.0 if lean > 0.0 else -1.0
        change = side * (close[i] - close[i - change_bars]) / atr[i]
        heat = rsi[i] if lean > 0.0 else 100.0 - rsi[i]
        if lean == 0.0 or change <= 0.0 or side * histogram[i] <= 0.0 or heat >= exhausted:
            continue
        one_sided = abs(lean) / (plus_di[i] + minus_di[i])
        moved = ramp(change, 0.0, change_atrs)
        forecast[i] = capped(side * forecast_full * ramp(adx[i], floor, floor + 20.0) * one_sided * moved)
        growing = 1.0 if adx[i] > adx[i - growth_bars] else 0.0
        traded = ramp(volume[i], 0.5 * volume_mean[i], 2.0 * volume_mean[i])
        place = (close[i] - low[i]) / (high[i] - low[i])
        confidence[i] = 0.3 + 0.3 * growing + 0.2 * traded + 0.2 * (place if lean > 0.0 else 1.0 - place)
    return forecast, confidence
