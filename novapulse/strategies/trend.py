"""Trend: while a fast average leads a slow one and both still move the same way, the price keeps going.

Speaks long when the 12-bar average stands above the 50-bar one, the slow one rises, MACD stands above zero and the
close above the slow average; short is the mirror image. The lead, in average true ranges, is the size of the opinion,
and ADX decides how much of it counts: much less of it in a range, unless ADX is already high.
Less confident where the price has run far ahead of its fast average, or in high volatility without a trend.
Silent where any of the four disagree, ADX is below its floor, or the bar had no trade or no range.
"""

import numpy as np
from pydantic import BaseModel, Field

from novapulse.compiled import kernel
from novapulse.core.bars import Floats
from novapulse.signals import regimes
from novapulse.signals.regimes import HIGH, TREND, Codes
from novapulse.signals.view import Indicators
from novapulse.strategies.votes import EMA_WARMUP, Market, Votes, capped, market, ramp


class Params(BaseModel, frozen=True, extra="forbid"):
    """Settings; `_bars` count bars, `_atrs` are average true ranges, ADX is 0..100."""

    fast_bars: int = Field(12, ge=3, le=40)
    slow_bars: int = Field(50, ge=10, le=60)
    slope_bars: int = Field(10, ge=1, le=60)
    range_adx_floor: float = Field(18.0, ge=0.0, le=60.0)
    trend_adx_floor: float = Field(12.0, ge=0.0, le=60.0)
    stretched_atrs: float = Field(2.5, ge=0.5, le=20.0)
    forecast_per_atr: float = Field(7.5, gt=0.0, le=200.0)


def warmup_bars(params: Params) -> int:
    """Return the bars before the first vote."""
    averages = EMA_WARMUP * max(params.fast_bars, params.slow_bars, 26 + 9) + params.slope_bars
    return max(averages, regimes.warmup_bars())


def votes(indicators: Indicators, params: Params) -> Votes:
    """Return the votes on a stretch of bars without gaps."""
    macd = indicators.macd(12, 26, 9)[0]
    regime = indicators.regime
    forecast, confidence = _speak(
        market(indicators),
        (indicators.ema(params.fast_bars), indicators.ema(params.slow_bars), macd, indicators.adx(regimes.ADX_BARS)),
        (regime.trend, regime.volatility),
        (params.range_adx_floor, params.trend_adx_floor, params.stretched_atrs, params.forecast_per_atr),
        params.slope_bars,
        warmup_bars(params),
    )
    return Votes(forecast, confidence)


@kernel
def _speak(
    market: Market,
    columns: tuple[Floats, Floats, Floats, Floats],
    states: tuple[Codes, Codes],
    numbers: tuple[float, float, float, float],
    slope_bars: int,
    warmup: int,
) -> tuple[Floats, Floats]:
    high, low, close, volume, volume_mean, atr = market
    fast, slow, macd, adx = columns
    trend, volatility = states
    range_floor, trend_floor, stretched_atrs, forecast_per_atr = numbers
    forecast, confidence = np.zeros(high.size), np.zeros(high.size)
    for i in range(warmup, high.size):
        if volume[i] <= 0.0 or high[i] <= low[i] or not atr[i] > 0.0:
            continue
        lead = fast[i] - slow[i]
        slope = slow[i] - slow[i - slope_bars]
        above = close[i] - slow[i]
        rising = lead > 0.0 and slope > 0.0 and macd[i] > 0.0 and above > 0.0
        falling = lead < 0.0 and slope < 0.0 and macd[i] < 0.0 and above < 0.0
        trending = trend[i] == TREND
        floor = trend_floor if trending else range_floor
        strong = ramp(adx[i], floor, floor + 15.0)
        if not (rising or falling) or strong <= 0.0:
            continue
        forecast[i] = capped(forecast_per_atr * strong * lead / atr[i])
        ahead = abs(close[i] - fast[i]) / atr[i]
        calm = 1.0 - ramp(ahead, stretched_atrs, 2.0 * stretched_atrs)
        traded = ramp(volume[i], 0.5 * volume_mean[i], 2.0 * volume_mean[i])
        fit = 0.3 if trending else 0.0 if volatility[i] == HIGH else 0.15
        confidence[i] = 0.3 + 0.2 * calm + 0.2 * traded + fit
    return forecast, confidence
