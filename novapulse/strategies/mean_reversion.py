"""Mean reversion: in a range, a close far from its mean returns, once the bar itself has turned back.

Speaks long when the close is more than `entry` standard deviations below its 20-bar mean and the bar closed away from
its low; short is the mirror image. The further out and the clearer the turn inside the bar, the stronger. The entry
distance grows from low to high volatility.
More confident where movement is inefficient, ADX is low, the bands do not widen and volume is no climax.
Silent in a trend, inside the entry distance, where the bands have opened (a move has begun), or without trade or range.
"""

import numpy as np
from pydantic import BaseModel, Field

from novapulse.compiled import kernel
from novapulse.core.bars import Floats
from novapulse.signals import regimes
from novapulse.signals.regimes import TREND, Codes
from novapulse.signals.view import Indicators
from novapulse.strategies.votes import Market, Votes, capped, market, ramp


class Params(BaseModel, frozen=True, extra="forbid"):
    """Settings; `_bars` count bars, `_deviations` are standard deviations of the close over `mean_bars`."""

    mean_bars: int = Field(20, ge=5, le=200)
    low_volatility_entry_deviations: float = Field(1.0, ge=0.1, le=5.0)
    entry_deviations: float = Field(1.25, ge=0.1, le=5.0)
    high_volatility_entry_deviations: float = Field(1.6, ge=0.1, le=5.0)
    widening_bars: int = Field(5, ge=1, le=60)
    widening_factor: float = Field(1.5, ge=1.0, le=5.0)
    forecast_per_deviation: float = Field(35.0, gt=0.0, le=200.0)


def warmup_bars(params: Params) -> int:
    """Return the bars before the first vote."""
    return max(params.mean_bars + params.widening_bars, regimes.warmup_bars())


def votes(indicators: Indicators, params: Params) -> Votes:
    """Return the votes on a stretch of bars without gaps."""
    upper, mean, _ = indicators.bollinger(params.mean_bars, 2.0)
    regime = indicators.regime
    entries = (params.low_volatility_entry_deviations, params.entry_deviations, params.high_volatility_entry_deviations)
    forecast, confidence = _speak(
        market(indicators),
        (upper, mean, indicators.efficiency_ratio(regimes.EFFICIENCY_BARS), indicators.adx(regimes.ADX_BARS)),
        (regime.trend, regime.volatility),
        entries,
        (params.widening_factor, params.forecast_per_deviation),
        params.widening_bars,
        warmup_bars(params),
    )
    return Votes(forecast, confidence)


@kernel
def _speak(
    market: Market,
    columns: tuple[Floats, Floats, Floats, Floats],
    states: tuple[Codes, Codes],
    entries: tuple[float, float, float],
    numbers: tuple[float, float],
    widening_bars: int,
    warmup: int,
) -> tuple[Floats, Floats]:
    high, low, close, volume, volume_mean, atr = market
    upper, mean, efficiency, adx = columns
    trend, volatility = states
    widening_factor, forecast_per_deviation = numbers
    forecast, confidence = np.zeros(high.size), np.zeros(high.size)
    for i in range(warmup, high.size):
        if trend[i] == TREND or volume[i] <= 0.0 or high[i] <= low[i] or not atr[i] > 0.0:
            continue
        deviation = 0.5 * (upper[i] - mean[i])
        before = 0.5 * (upper[i - widening_bars] - mean[i - widening_bars])
        if not deviation > 0.0 or deviation > widening_factor * before:
            continue
        distance = (close[i] - mean[i]) / deviation
        beyond = abs(distance) - entries[volatility[i] + 1]
        if beyond <= 0.0:
            continue
        place = (close[i] - low[i]) / (high[i] - low[i])
        turned = ramp(place if distance < 0.0 else 1.0 - place, 0.0, 0.5)
        side = 1.0 if distance < 0.0 else -1.0
        forecast[i] = capped(side * forecast_per_deviation * beyond * turned)
        idle = 1.0 - ramp(efficiency[i], 0.1, 0.4)
        weak = 1.0 - ramp(adx[i], 15.0, 25.0)
        narrow = 1.0 - ramp(deviation, before, widening_factor * before)
        ordinary = 1.0 - ramp(volume[i], 2.0 * volume_mean[i], 5.0 * volume_mean[i])
        confidence[i] = 0.2 + 0.25 * idle + 0.2 * weak + 0.2 * narrow + 0.15 * ordinary
    return forecast, confidence
