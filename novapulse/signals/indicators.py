"""Every indicator as a plain function: columns first, then parameters.

Invariants:
- results have the length of the inputs, NaN in warm-up, outputs in TA-Lib's order; a window longer than the data is
  all NaN; inputs are never written to;
- a result depends on the past only: `f(x[:t])` equals `f(x)[:t]` bit for bit;
- the same trailing bars give the same bits wherever they lie: windows exactly (n bars), EMA after 25 spans and
  Wilder's smoothing after 50n, summed along chains. Exempt, because they remember everything: `obv`, `supertrend`;
- an unknown value (NaN) makes its own row NaN, and the indicator starts anew behind it;
- seeds and formulas are TA-Lib's, except where a market that does not move would make TA-Lib speak: RSI and stochastic
  are 50 there (TA-Lib 0), the efficiency ratio 0 (TA-Lib 1), ADX sinks (TA-Lib keeps its last value), and a VWAP
  without volume is NaN (TA-Lib 0).
"""

from novapulse.signals._averages import Macd, ema, macd, sma, wma
from novapulse.signals._directional import adx, minus_di, plus_di
from novapulse.signals._dispersion import bollinger, ewm_volatility, realized_volatility
from novapulse.signals._momentum import Stochastic, efficiency_ratio, rsi, stochastic
from novapulse.signals._ranges import Bands, Supertrend, atr, donchian, keltner, supertrend, true_range
from novapulse.signals._structure import Levels, Pivots, levels, pivot_high, pivot_low
from novapulse.signals._volume import obv, rolling_vwap, typical, vwap

__all__ = [
    "Bands",
    "Levels",
    "Macd",
    "Pivots",
    "Stochastic",
    "Supertrend",
    "adx",
    "atr",
    "bollinger",
    "donchian",
    "efficiency_ratio",
    "ema",
    "ewm_volatility",
    "keltner",
    "levels",
    "macd",
    "minus_di",
    "obv",
    "pivot_high",
    "pivot_low",
    "plus_di",
    "realized_volatility",
    "rolling_vwap",
    "rsi",
    "sma",
    "stochastic",
    "supertrend",
    "true_range",
    "typical",
    "vwap",
    "wma",
]
