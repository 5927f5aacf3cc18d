"""W3: indicators over 1,000,000 bars, ours against TA-Lib, in turns in one process.

Run with `python -m tests.benchmarks.w3_indicators`; prints nanoseconds per bar and ratios (below 1: we are faster).
"""

import time
from collections.abc import Callable
from statistics import median

import numpy as np
import talib

from novapulse.signals import indicators as ours

BARS = 1_000_000
ROUNDS = 15
SHARED = ("ema", "rsi", "atr", "bollinger", "macd", "adx", "keltner")

Call = Callable[[], object]


def made_bars(bars: int = BARS, seed: int = 7) -> tuple[np.ndarray, ...]:
    """Return high, low, close, volume of a random walk in 0.01 ticks."""
    random = np.random.default_rng(seed)
    close = np.round(1_000 * np.exp(np.cumsum(random.normal(0, 2e-4, bars))), 2)
    opening = np.concatenate(([close[0]], close[:-1]))
    reach = np.abs(random.normal(0, 0.1, (2, bars)))
    high = np.round(np.maximum(opening, close) + reach[0], 2)
    low = np.round(np.minimum(opening, close) - reach[1], 2)
    return high, low, close, np.round(random.lognormal(2, 0.8, bars), 4)


def calls(high: np.ndarray, low: np.ndarray, close: np.ndarray, volume: np.ndarray) -> dict[str, tuple[Call, Call]]:
    """Return, by name, our call and TA-Lib's."""
    return {
        "ema": (lambda: ours.ema(close, 20), lambda: talib.EMA(close, 20)),
        "rsi": (lambda: ours.rsi(close, 14), lambda: talib.RSI(close, 14)),
        "atr": (lambda: ours.atr(high, low, close, 14), lambda: talib.ATR(high, low, close, 14)),
        "bollinger": (lambda: ours.bollinger(close, 20, 2.0), lambda: talib.BBANDS(close, 20, 2.0, 2.0)),
        "macd": (lambda: ours.macd(close, 12, 26, 9), lambda: talib.MACD(close, 12, 26, 9)),
        "adx": (lambda: ours.adx(high, low, close, 14), lambda: talib.ADX(high, low, close, 14)),
        "keltner": (lambda: ours.keltner(high, low, close, 20, 10, 2.0), lambda: talib.KC(high, low, close, 20, 10, 2)),
        "sma": (lambda: ours.sma(close, 20), lambda: talib.SMA(close, 20)),
        "donchian": (lambda: ours.donchian(high, low, 20), lambda: talib.DONCHIAN(high, low, 20)),
        "stochastic": (
            lambda: ours.stochastic(high, low, close, 14, 3, 3),
            lambda: talib.STOCH(high, low, close, 14, 3, 0, 3, 0),
        ),
        "efficiency_ratio": (lambda: ours.efficiency_ratio(close, 60), lambda: talib.ER(close, 60)),
        "supertrend": (
            lambda: ours.supertrend(high, low, close, 10, 3.0),
            lambda: talib.SUPERTREND(high, low, close, 10, 3.0),
        ),
        "vwap": (lambda: ours.vwap(high, low, close, volume), lambda: talib.VWAP(high, low, close, volume)),
    }


def run(bars: int = BARS, rounds: int = ROUNDS) -> dict[str, dict[str, float]]:
    """Return, by indicator and for the sum of the seven of W3, ns per bar of both sides (medians) and the ratio."""
    table = {name: _race(pair, rounds, bars) for name, pair in calls(*made_bars(bars)).items()}
    table["sum of seven"] = tuple(sum(table[name][side] for name in SHARED) for side in (0, 1))
    return {name: {"ours_ns": a, "talib_ns": b, "ratio": a / b} for name, (a, b) in table.items()}


def _race(pair: tuple[Call, Call], rounds: int, bars: int) -> tuple[float, ...]:
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds + 1):
        for side, call in zip(times, pair, strict=True):
            began = time.perf_counter_ns()
            call()
            side.append((time.perf_counter_ns() - began) / bars)
    return tuple(median(side[1:]) for side in times)


def main() -> None:
    """Print the table."""
    print(f"{'':18}{'ours ns':>9}{'TA-Lib ns':>11}{'ratio':>8}")
    for name, row in run().items():
        print(f"{name:18}{row['ours_ns']:9.2f}{row['talib_ns']:11.2f}{row['ratio']:8.2f}")


if __name__ == "__main__":
    main()
