"""Every indicator, ready to be called on a dictionary of columns, and how many bars it remembers."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import polars as pl

from novapulse.signals import indicators as ind

Columns = dict[str, np.ndarray]


class Entry(NamedTuple):
    call: Callable[[Columns], object]
    reads: tuple[str, ...]
    window_bars: int | None  # None: remembers everything


HLC = ("high", "low", "close")
YEAR = 525_960.0

CATALOGUE: dict[str, Entry] = {
    "sma": Entry(lambda c: ind.sma(c["close"], 20), ("close",), 20),
    "ema": Entry(lambda c: ind.ema(c["close"], 20), ("close",), 25 * 20),
    "wma": Entry(lambda c: ind.wma(c["close"], 13), ("close",), 13),
    "rsi": Entry(lambda c: ind.rsi(c["close"], 14), ("close",), 50 * 14),
    "true_range": Entry(lambda c: ind.true_range(c["high"], c["low"], c["close"]), HLC, 2),
    "atr": Entry(lambda c: ind.atr(c["high"], c["low"], c["close"], 14), HLC, 50 * 14),
    "plus_di": Entry(lambda c: ind.plus_di(c["high"], c["low"], c["close"], 14), HLC, 50 * 14),
    "minus_di": Entry(lambda c: ind.minus_di(c["high"], c["low"], c["close"], 14), HLC, 50 * 14),
    "adx": Entry(lambda c: ind.adx(c["high"], c["low"], c["close"], 14), HLC, 2 * 50 * 14),
    "macd": Entry(lambda c: ind.macd(c["close"], 12, 26, 9), ("close",), 25 * (26 + 9)),
    "bollinger": Entry(lambda c: ind.bollinger(c["close"], 20, 2.0), ("close",), 20),
    "keltner": Entry(lambda c: ind.keltner(c["high"], c["low"], c["close"], 20, 10, 2.0), HLC, 50 * 10),
    "donchian": Entry(lambda c: ind.donchian(c["high"], c["low"], 20), ("high", "low"), 20),
    "stochastic": Entry(lambda c: ind.stochastic(c["high"], c["low"], c["close"], 14, 3, 3), HLC, 14 + 3 + 3),
    "supertrend": Entry(lambda c: ind.supertrend(c["high"], c["low"], c["close"], 10, 3.0), HLC, None),
    "vwap": Entry(
        lambda c: ind.vwap(c["high"], c["low"], c["close"], c["volume"], np.arange(len(c["close"])) // 60),
        (*HLC, "volume"),
        None,
    ),
    "rolling_vwap": Entry(
        lambda c: ind.rolling_vwap(c["high"], c["low"], c["close"], c["volume"], 60), (*HLC, "volume"), 60
    ),
    "typical": Entry(lambda c: ind.typical(c["high"], c["low"], c["close"]), HLC, 1),
    "obv": Entry(lambda c: ind.obv(c["close"], c["volume"]), ("close", "volume"), None),
    "realized_volatility": Entry(lambda c: ind.realized_volatility(c["close"], 60, YEAR), ("close",), 61),
    "ewm_volatility": Entry(lambda c: ind.ewm_volatility(c["close"], 32, YEAR), ("close",), 25 * 32 + 1),
    "efficiency_ratio": Entry(lambda c: ind.efficiency_ratio(c["close"], 60), ("close",), 61),
    "pivot_low": Entry(lambda c: ind.pivot_low(c["low"], 3).price, ("low",), 7),
    "pivot_high": Entry(lambda c: ind.pivot_high(c["high"], 3).price, ("high",), 7),
    "levels": Entry(lambda c: ind.levels(c["high"], c["low"], c["close"], 3, 240, 0.002), HLC, 240 + 3),
}


def outputs(name: str, columns: Columns) -> tuple[np.ndarray, ...]:
    result = CATALOGUE[name].call(columns)
    return result if isinstance(result, tuple) else (result,)


def cut(columns: Columns, rows: slice) -> Columns:
    return {name: values[rows] for name, values in columns.items()}


def recorded(path: object) -> Columns:
    frame = pl.read_parquet(path)
    return {name: np.ascontiguousarray(frame[name].to_numpy()) for name in ("open", *HLC, "volume")}


def made(bars: int, seed: int = 0) -> Columns:
    """A random walk on a coarse grid, with flat stretches, equal highs and bars without volume."""
    random = np.random.default_rng(seed)
    close = 100.0 + np.cumsum(random.integers(-2, 3, bars) * (random.random(bars) < 0.7)) * 0.25
    close = np.abs(close) + 1.0
    opening = np.concatenate((close[:1], close[:-1]))
    high = np.maximum(opening, close) + random.integers(0, 3, bars) * 0.25
    low = np.minimum(opening, close) - random.integers(0, 3, bars) * 0.25
    volume = random.integers(0, 5, bars).astype(np.float64)
    return {"open": opening, "high": high, "low": low, "close": close, "volume": volume}
