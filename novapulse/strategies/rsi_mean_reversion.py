"""RSI mean reversion: selling that has gone too far too fast is answered, once RSI itself turns up.

Speaks long when RSI was below its level on the bar before, rises now, and the bar closed in its upper part; short is
the mirror image. How far RSI was below its level and how sharply it turns make the size. The level is further out in
high volatility and closer in low volatility; in a trend a shallow dip is enough, but never against the way the 50-bar
average moves.
More confident where the stochastic agrees, the price is stretched from its 50-bar mean, and volume is no climax.
Silent where RSI keeps falling, the price has come down so far that something broke, or without trade or range.
"""

import numpy as np
from pydantic import BaseModel, Field

from novapulse.compiled import kernel
from novapulse.core.bars import Floats
from novapulse.signals import regimes
from novapulse.signals.regimes import TREND, Codes
from novapulse.signals.view import Indicators
from novapulse.strategies.votes import EMA_WARMUP, WILDER_WARMUP, Market, Votes, capped, market, ramp


class Params(BaseModel, frozen=True, extra="forbid"):
    """Settings; `_bars` count bars, `_atrs` are average true ranges, RSI is 0..100 and given for the long side."""

    rsi_bars: int = Field(14, ge=2, le=28)
    low_volatility_rsi_level: float = Field(40.0, ge=5.0, le=50.0)
    rsi_level: float = Field(36.0, ge=5.0, le=50.0)
    high_volatility_rsi_level: float = Field(31.0, ge=5.0, le=50.0)
    trend_rsi_level: float = Field(46.0, ge=5.0, le=60.0)
    slope_bars: int = Field(10, ge=1, le=60)
    turn_points: float = Field(3.0, ge=0.1, le=50.0)
    broken_atrs: float = Field(9.0, ge=1.0, le=50.0)
    forecast_per_point: float = Field(3.0, gt=0.0, le=100.0)


def warmup_bars(params: Params) -> int:
    """Return the bars before the first vote."""
    return max(EMA_WARMUP * 50 + params.slope_bars, WILDER_WARMUP * params.rsi_bars + 1, regimes.warmup_bars())


def votes(indicators: Indicators, params: Params) -> Votes:
    """Return the votes on a stretch of bars without gaps."""
    stochastic = indicators.stochastic(14, 3, 3)[0]
    regime = indicators.regime
    forecast, confidence = _speak(
        market(indicators),
        (indicators.rsi(params.rsi_bars), stochastic, indicators.ema(50)),
        (regime.trend, regime.volatility),
        (params.low_volatility_rsi_level, params.rsi_level, params.high_volatility_rsi_level, params.trend_rsi_level),
        (params.turn_points, params.broken_atrs, params.forecast_per_point),
        params.slope_bars,
        warmup_bars(params),
    )
    return Votes(forecast, confidence)


@kernel
def _speak(
    market: Market,
    columns: tuple[Floats, Floats, Floats],
    states: tuple[Codes, Codes],
    levels: tuple[float, float, float, float],
    numbers: tuple[float, float, float],
    slope_bars: int,
    warmup: int,
) -> tuple[Floats, Floats]:
    high, low, close, volume, volume_mean, atr = market
    rsi, stochastic, slow = columns
    trend, volatility = states
    turn_points, broken_atrs, forecast_per_point = numbers
    forecast, confidence = np.zeros(high.size), np.zeros(high.size)
    for i in range(warmup, high.size):
        if volume[i] <= 0.0 or high[i] <= low[i] or not atr[i] > 0.0:
            continue
        trending = trend[i] == TREND
        level = levels[3] if trending else levels[volatility[i] + 1]
        turn = rsi[i] - rsi[i - 1]
        slope = slow[i] - slow[i - slope_bars]
        if turn > 0.0 and rsi[i - 1] < level and not (trending and slope < 0.0):
            side, beyond = 1.0, level - rsi[i - 1]
        elif turn < 0.0 and rsi[i - 1] > 100.0 - level and not (trending and slope > 0.0):
            side, beyond = -1.0, rsi[i - 1] - (100.0 - level)
        else:
            continue
        place = (close[i] - low[i]) / (high[i] - low[i])
        closes_well = ramp(place if side > 0.0 else 1.0 - place, 0.3, 0.7)
        stretch = side * (slow[i] - close[i]) / atr[i]
        if stretch >= broken_atrs:
            continue
        turned = ramp(abs(turn), 0.0, turn_points)
        forecast[i] = capped(side * forecast_per_point * beyond * turned * closes_well)
        exhausted = 1.0 - ramp(stochastic[i] if side > 0.0 else 100.0 - stochastic[i], 15.0, 45.0)
        ordinary = 1.0 - ramp(volume[i], 2.0 * volume_mean[i], 5.0 * volume_mean[i])
        stretched = 1.0 if trending else ramp(stretch, 0.5, 3.0)
        confidence[i] = 0.3 + 0.25 * exhausted + 0.25 * stretched + 0.2 * ordinary
    return forecast, confidence
