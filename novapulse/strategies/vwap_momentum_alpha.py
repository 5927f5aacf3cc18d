"""VWAP momentum: a price that leaves the level where volume traded, with the volume behind it, goes on.

Speaks long when the close stands above the 60-bar VWAP, the 20-bar VWAP does too, and recent volume leans to the
higher prices (the 20-bar VWAP stands above the plain mean of those bars); short is the mirror image. The distance
between the two VWAPs, in average true ranges, is the size of the opinion; how far volume leans scales it. In a trend
the price may run further from VWAP before it counts as stretched.
Silent where one of the three disagrees, the price is stretched, volume is thin, or the bar had no trade or no range.
VWAPs over windows are used, not the session's: they mean the same on every timeframe and calendar, and their warm-up
does not depend on when a session began.
"""

import numpy as np
from pydantic import BaseModel, Field

from novapulse.compiled import kernel
from novapulse.core.bars import Floats
from novapulse.signals import regimes
from novapulse.signals.regimes import HIGH, TREND, Codes
from novapulse.signals.view import Indicators
from novapulse.strategies.votes import Market, Votes, capped, market, ramp


class Params(BaseModel, frozen=True, extra="forbid"):
    """Settings; `_bars` count bars, `_atrs` are average true ranges, volumes are fractions of the 20-bar mean."""

    fast_bars: int = Field(20, ge=5, le=200)
    slow_bars: int = Field(60, ge=10, le=500)
    range_stretched_atrs: float = Field(4.0, ge=0.5, le=30.0)
    trend_stretched_atrs: float = Field(7.0, ge=0.5, le=30.0)
    lean_atrs: float = Field(0.08, ge=0.01, le=2.0)
    thin_volume_fraction: float = Field(0.4, ge=0.0, le=1.0)
    forecast_per_atr: float = Field(7.0, gt=0.0, le=200.0)


def warmup_bars(params: Params) -> int:
    """Return the bars before the first vote."""
    return max(params.fast_bars, params.slow_bars, regimes.warmup_bars())


def votes(indicators: Indicators, params: Params) -> Votes:
    """Return the votes on a stretch of bars without gaps."""
    mean = indicators.sma(params.fast_bars, of="typical")
    regime = indicators.regime
    forecast, confidence = _speak(
        market(indicators),
        (indicators.rolling_vwap(params.fast_bars), indicators.rolling_vwap(params.slow_bars), mean),
        (regime.trend, regime.volatility),
        (params.range_stretched_atrs, params.trend_stretched_atrs),
        (params.lean_atrs, params.thin_volume_fraction, params.forecast_per_atr),
        warmup_bars(params),
    )
    return Votes(forecast, confidence)


@kernel
def _speak(
    market: Market,
    columns: tuple[Floats, Floats, Floats],
    states: tuple[Codes, Codes],
    stretched: tuple[float, float],
    numbers: tuple[float, float, float],
    warmup: int,
) -> tuple[Floats, Floats]:
    high, low, close, volume, volume_mean, atr = market
    fast, slow, mean = columns
    trend, volatility = states
    lean_atrs, thin_fraction, forecast_per_atr = numbers
    forecast, confidence = np.zeros(high.size), np.zeros(high.size)
    for i in range(warmup, high.size):
        if volume[i] <= thin_fraction * volume_mean[i] or high[i] <= low[i] or not atr[i] > 0.0:
            continue
        away = (close[i] - slow[i]) / atr[i]
        lead = (fast[i] - slow[i]) / atr[i]
        lean = (fast[i] - mean[i]) / atr[i]
        agreed = (away > 0.0 and lead > 0.0 and lean > 0.0) or (away < 0.0 and lead < 0.0 and lean < 0.0)
        limit = stretched[1] if trend[i] == TREND else stretched[0]
        if not agreed or abs(away) >= limit:
            continue
        forecast[i] = capped(forecast_per_atr * lead * ramp(abs(lean), 0.0, lean_atrs))
        traded = ramp(volume[i], volume_mean[i], 2.5 * volume_mean[i])
        near = 1.0 - ramp(abs(away), 0.5 * limit, limit)
        place = (close[i] - low[i]) / (high[i] - low[i])
        ends_well = place if away > 0.0 else 1.0 - place
        fit = 0.2 if trend[i] == TREND else 0.0 if volatility[i] == HIGH else 0.1
        confidence[i] = 0.2 + 0.25 * traded + 0.2 * near + 0.15 * ends_well + fit
    return forecast, confidence
