"""Breakout: a close beyond the channel of the bars before it, on volume, starts a move.

Speaks long for a few bars after a close above the highest high of the bars BEFORE it, while the price holds above
that level; short is the mirror image. How far the price stands beyond the level makes the size, and it fades with age.
In a trend, or right after a squeeze (Bollinger bands inside the Keltner channel), the 20-bar channel is enough; in an
ordinary range the 55-bar channel must break.
More confident after a squeeze, on high volume, with a wide bar that closes at its end.
Silent where the break came on thin volume or on a narrow bar, the price fell back, or the bar had no trade or no range.
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
    """Settings; `_bars` count bars, `_fraction` compares with the 20-bar mean volume or with ATR."""

    short_channel_bars: int = Field(20, ge=5, le=100)
    long_channel_bars: int = Field(55, ge=10, le=300)
    squeeze_bars: int = Field(10, ge=1, le=60)
    hold_bars: int = Field(4, ge=1, le=20)
    volume_fraction: float = Field(0.9, ge=0.0, le=5.0)
    range_fraction: float = Field(0.7, ge=0.0, le=5.0)
    forecast_per_atr: float = Field(18.0, gt=0.0, le=200.0)


def warmup_bars(params: Params) -> int:
    """Return the bars before the first vote."""
    channels = max(params.short_channel_bars, params.long_channel_bars) + 1
    return max(channels, EMA_WARMUP * 20, regimes.warmup_bars()) + max(params.squeeze_bars, params.hold_bars)


def votes(indicators: Indicators, params: Params) -> Votes:
    """Return the votes on a stretch of bars without gaps."""
    short, long = indicators.donchian(params.short_channel_bars), indicators.donchian(params.long_channel_bars)
    bollinger, keltner = indicators.bollinger(20, 2.0), indicators.keltner(20, 10, 2.0)
    forecast, confidence = _speak(
        market(indicators),
        (short[0], short[2], long[0], long[2]),
        (bollinger[0], bollinger[1], keltner[0], keltner[1]),
        indicators.regime.trend,
        (params.volume_fraction, params.range_fraction, params.forecast_per_atr),
        (params.squeeze_bars, params.hold_bars),
        warmup_bars(params),
    )
    return Votes(forecast, confidence)


@kernel
def _speak(
    market: Market,
    channels: tuple[Floats, Floats, Floats, Floats],
    bands: tuple[Floats, Floats, Floats, Floats],
    trend: Codes,
    numbers: tuple[float, float, float],
    spans: tuple[int, int],
    warmup: int,
) -> tuple[Floats, Floats]:
    high, low, close, volume, volume_mean, atr = market
    short_upper, short_lower, long_upper, long_lower = channels
    bollinger_upper, mean, keltner_upper, middle = bands
    volume_fraction, range_fraction, forecast_per_atr = numbers
    squeeze_bars, hold_bars = spans
    forecast, confidence = np.zeros(high.size), np.zeros(high.size)
    squeeze_age, break_age, side, level, evidence = squeeze_bars, hold_bars, 1.0, 0.0, 0.0
    for i in range(warmup - max(squeeze_bars, hold_bars), high.size):
        squeeze_age += 1
        break_age += 1
        if bollinger_upper[i] - mean[i] < keltner_upper[i] - middle[i]:
            squeeze_age = 0
        if volume[i] <= 0.0 or high[i] <= low[i] or not atr[i] > 0.0:
            continue
        squeezed = squeeze_age < squeeze_bars
        near = trend[i] == TREND or squeezed
        ceiling = short_upper[i - 1] if near else long_upper[i - 1]
        ground = short_lower[i - 1] if near else long_lower[i - 1]
        width = (high[i] - low[i]) / atr[i]
        broken = close[i] > ceiling or close[i] < ground
        if broken and width > range_fraction and volume[i] > volume_fraction * volume_mean[i]:
            up = close[i] > ceiling
            break_age, side, level = 0, 1.0 if up else -1.0, ceiling if up else ground
            place = (close[i] - low[i]) / (high[i] - low[i])
            traded = ramp(volume[i], volume_fraction * volume_mean[i], 3.0 * volume_mean[i])
            shape = 0.15 * ramp(width, range_fraction, 2.0) + 0.15 * (place if up else 1.0 - place)
            evidence = 0.25 + (0.2 if squeezed else 0.0) + 0.25 * traded + shape
        beyond = side * (close[i] - level) / atr[i]
        if i >= warmup and break_age < hold_bars and beyond > 0.0:
            forecast[i] = capped(side * forecast_per_atr * beyond * (1.0 - break_age / hold_bars))
            confidence[i] = evidence
    return forecast, confidence
