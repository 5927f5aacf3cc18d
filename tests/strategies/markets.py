"""Markets built on purpose: a quiet range long enough to warm up, then the path a test is about."""

from pathlib import Path

import numpy as np
import polars as pl

from novapulse.core.bars import MINUTE_NS, BarColumns, Floats, timeframe_ns
from novapulse.signals.regimes import Thresholds
from novapulse.strategies import STRATEGIES, Votes, evaluate

START_NS = 1_700_006_400_000_000_000
LEVEL = 100.0
QUIET_BARS = 1_700


def quiet(bars: int = QUIET_BARS, seed: int = 5) -> Floats:
    """Return closes that wander around `LEVEL` and come back: float64[bars], true range about 0.2."""
    shocks = np.random.default_rng(seed).normal(0.0, 0.1, bars)
    closes = np.empty(bars)
    offset = 0.0
    for i, shock in enumerate(shocks):
        offset = 0.7 * offset + shock
        closes[i] = LEVEL + offset
    return closes


def zigzag(up: float, down: float, times: int) -> Floats:
    """Return moves that go up and down by turns: float64[2 * times], quote."""
    return np.tile([up, -down], times)


def market(
    closes: Floats, volume: Floats | None = None, *, wick: float = 0.03, timeframe_ns: int = MINUTE_NS
) -> BarColumns:
    """Return bars that open at the last close, with a small wick on both ends; volume 10 unless given."""
    opens = np.concatenate(([closes[0]], closes[:-1]))
    return BarColumns.checked(
        START_NS + timeframe_ns * np.arange(1, closes.size + 1),
        opens,
        np.maximum(opens, closes) + wick,
        np.minimum(opens, closes) - wick,
        closes,
        np.full(closes.size, 10.0) if volume is None else volume,
        timeframe_ns=timeframe_ns,
    )


def after_quiet(moves: list[float] | Floats, start: float | None = LEVEL, seed: int = 5) -> Floats:
    """Return a quiet range that ends at `start` (None: where it ends by itself), followed by `moves` of the close."""
    before = quiet(seed=seed)
    if start is not None:
        before[-1] = start
    return np.concatenate((before, before[-1] + np.cumsum(np.asarray(moves))))


def with_volume(base: float, last: list[float] | Floats) -> Floats:
    """Return volumes that are `base` throughout the quiet range and then `last`."""
    return np.concatenate((np.full(QUIET_BARS, base), np.asarray(last, np.float64)))


def mirrored(bars: BarColumns) -> BarColumns:
    """Return the market upside down: what was long must be short."""
    return BarColumns.checked(
        bars.ts_close_ns,
        2 * LEVEL - bars.open,
        2 * LEVEL - bars.low,
        2 * LEVEL - bars.high,
        2 * LEVEL - bars.close,
        bars.volume,
        timeframe_ns=bars.timeframe_ns,
    )


def recorded(folder: Path, name: str) -> BarColumns:
    """Return recorded bars by file name, such as `binance_BTC-USDT_1m`; the files carry opening stamps."""
    frame = pl.read_parquet(folder / f"{name}.parquet")
    width = timeframe_ns(name.rpartition("_")[2])
    prices = (frame[column].to_numpy() for column in ("open", "high", "low", "close", "volume"))
    return BarColumns.checked(frame["ts"].dt.epoch("ns").to_numpy() + width, *prices, timeframe_ns=width)


def votes_on(name: str, bars: BarColumns) -> Votes:
    """Return a built-in strategy's votes with its default settings."""
    strategy = STRATEGIES[name]
    return evaluate(strategy, bars, strategy.Params(), Thresholds())


def opinion(name: str, bars: BarColumns) -> float:
    """Return a built-in strategy's forecast on the last bar, times its confidence there."""
    votes = votes_on(name, bars)
    return float(votes.forecast[-1] * votes.confidence[-1])
