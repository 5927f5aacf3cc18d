"""Keltner: a price that touched the edge of its volatility channel comes back, once momentum has turned.

Speaks long when a recent low reached below the lower band, the MACD histogram rises and RSI is below its gate; short is
the mirror image. The deeper the touch, the clearer the turn and the further RSI from its gate, the stronger.
In a trend it only joins pullbacks: never against the way the 50-bar average moves, and RSI's gate is wider. In high
volatility the bands stand further out.
Silent where nothing touched, momentum still runs, RSI is past its gate, or the bar had no trade or no range.
"""

import numpy as np
from pydantic import BaseModel, Field

from novapulse.compiled import kernel
from novapulse.core.bars import Floats
from novapulse.signals import regimes
from novapulse.signals.regimes import HIGH, TREND, Codes
from novapulse.signals.view import Indicators
from novapulse.strategies.votes import EMA_WARMUP, WILDER_WARMUP, Market, Votes, capped, market, ramp


class Params(BaseModel, frozen=True, extra="forbid"):
    """Settings; `_bars` count bars, `_atrs` are average true ranges, RSI is 0..100 and given for the long side."""

    band_bars: int = Field(20, ge=5, le=60)
    band_atr_bars: int = Field(10, ge=5, le=25)
    band_atrs: float = Field(2.0, ge=0.5, le=5.0)
    high_volatility_band_factor: float = Field(1.25, ge=1.0, le=3.0)
    touch_bars: int = Field(8, ge=1, le=20)
    turn_atrs: float = Field(0.03, ge=0.001, le=1.0)
    range_rsi_gate: float = Field(48.0, ge=10.0, le=60.0)
    slope_bars: int = Field(10, ge=1, le=60)
    trend_rsi_gate: float = Field(56.0, ge=10.0, le=60.0)
    forecast_full: float = Field(30.0, gt=0.0, le=100.0)


def warmup_bars(params: Params) -> int:
    """Return the bars before the first vote."""
    bands = max(EMA_WARMUP * params.band_bars, WILDER_WARMUP * params.band_atr_bars)
    averages = EMA_WARMUP * 50 + params.slope_bars
    return max(bands, averages, regimes.warmup_bars()) + params.touch_bars


def votes(indicators: Indicators, params: Params) -> Votes:
    """Return the votes on a stretch of bars without gaps."""
    upper, _, lower = indicators.keltner(params.band_bars, params.band_atr_bars, params.band_atrs)
    histogram = indicators.macd(12, 26, 9)[2]
    regime = indicators.regime
    forecast, confidence = _speak(
        market(indicators),
        (upper, lower, histogram, indicators.rsi(14), indicators.ema(50)),
        (regime.trend, regime.volatility),
        (params.high_volatility_band_factor, params.turn_atrs, params.range_rsi_gate, params.trend_rsi_gate),
        (params.touch_bars, params.slope_bars),
        params.forecast_full,
        warmup_bars(params),
    )
    return Votes(forecast, confidence)


@kernel
def _speak(
    market: Market,
    columns: tuple[Floats, Floats, Floats, Floats, Floats],
    states: tuple[Codes, Codes],
    numbers: tuple[float, float, float, float],
    spans: tuple[int, int],
    forecast_full: float,
    warmup: int,
) -> tuple[Floats, Floats]:
    high, low, _, volume, volume_mean, atr = market
    upper, lower, histogram, rsi, slow = columns
    trend, volatility = states
    touch_bars, slope_bars = spans
    wider, turn_atrs, range_gate, trend_gate = numbers
    forecast, confidence = np.zeros(high.size), np.zeros(high.size)
    below_age, below_atrs, above_age, above_atrs = touch_bars, 0.0, touch_bars, 0.0
    for i in range(max(1, warmup - touch_bars), high.size):
        below_age += 1
        above_age += 1
        if volume[i] <= 0.0 or high[i] <= low[i] or not atr[i] > 0.0:
            continue
        outward = (wider - 1.0) * 0.5 * (upper[i] - lower[i]) if volatility[i] == HIGH else 0.0
        if low[i] <= lower[i] - outward:
            below_age, below_atrs = 0, (lower[i] - outward - low[i]) / atr[i]
        if high[i] >= upper[i] + outward:
            above_age, above_atrs = 0, (high[i] - upper[i] - outward) / atr[i]
        if i < warmup or min(below_age, above_age) >= touch_bars:
            continue
        turn = (histogram[i] - histogram[i - 1]) / atr[i]
        trending = trend[i] == TREND
        slope = slow[i] - slow[i - slope_bars]
        gate = trend_gate if trending else range_gate
        if turn > 0.0 and below_age < touch_bars and not (trending and slope < 0.0):
            side, age, depth, room = 1.0, below_age, below_atrs, gate - rsi[i]
        elif turn < 0.0 and above_age < touch_bars and not (trending and slope > 0.0):
            side, age, depth, room = -1.0, above_age, above_atrs, gate - (100.0 - rsi[i])
        else:
            continue
        turned = ramp(abs(turn), 0.0, turn_atrs)
        deep = 0.5 + 0.5 * ramp(depth, 0.0, 1.0)
        forecast[i] = capped(side * forecast_full * turned * deep * ramp(room, 0.0, 12.0))
        traded = ramp(volume[i], 0.5 * volume_mean[i], 2.0 * volume_mean[i])
        fresh = 1.0 - age / touch_bars
        confidence[i] = 0.4 + 0.2 * traded + 0.2 * fresh + (0.0 if trending else 0.2)
    return forecast, confidence
