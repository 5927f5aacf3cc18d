"""The whole rulebook: eight strategies on three timeframes, confluence, calibration, limits, stops, three fill bands.

Real one-minute bars where they lie beside the checkout, else the sample market; speed is bars a second on one core.
"""

import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import polars as pl

from novapulse import backtest
from novapulse.core.bars import MINUTE_NS, BarColumns
from novapulse.core.instruments import InstrumentKey
from novapulse.market.facts import inferred
from novapulse.market.sample import sample_market
from tests.conftest import SHARED_DATA

_RECORDED = "binanceusdm_FIL-USDT-PERP_1m.parquet"


def recorded_bars(path: Path) -> BarColumns:
    """Return recorded bars, which carry their opens as stamps."""
    frame = pl.read_parquet(path)
    stamps = frame["ts"].dt.epoch("ns").to_numpy() + MINUTE_NS
    prices = (frame[name].to_numpy() for name in ("open", "high", "low", "close", "volume"))
    return BarColumns.checked(stamps, *prices, timeframe_ns=MINUTE_NS)


def some_bars() -> tuple[str, BarColumns]:
    """Return the name and the bars of the market that is measured."""
    path = SHARED_DATA / _RECORDED
    if path.is_file():
        return f"{_RECORDED} (recorded)", recorded_bars(path)
    return "sample market", sample_market(["AAA/USD"], 132_480, seed=7)["AAA/USD"]


def bars_per_second(repetitions: int = 9) -> tuple[str, int, float, float]:
    """Return market, bars, and bars a second of `backtest.run` with and without events and curve (medians)."""
    name, bars = some_bars()
    key = InstrumentKey("bench", "FIL/USDT")
    facts = {key: inferred(key.exchange, key.symbol, "24/7", (bars.open, bars.high, bars.low, bars.close), bars.volume)}
    rates = []
    for metrics_only in (False, True):
        backtest.run({key: bars}, instruments=facts, metrics_only=metrics_only)
        times = []
        for _ in range(repetitions):
            began = time.perf_counter()
            backtest.run({key: bars}, instruments=facts, metrics_only=metrics_only)
            times.append(time.perf_counter() - began)
        rates.append(len(bars) / median(times))
    return name, len(bars), rates[0], rates[1]


_LONG = """
import resource, sys, time
from novapulse import backtest
from novapulse.core.instruments import InstrumentKey
from novapulse.market.sample import sample_market
bars = sample_market(["AAA/USD"], 10_000_000, seed=7)["AAA/USD"]
made = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
began = time.perf_counter()
result = backtest.run({InstrumentKey("bench", "AAA/USD"): bars}, metrics_only=True)
print(time.perf_counter() - began, made, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def ten_million_bars() -> tuple[float, float, float]:
    """Return seconds, and memory (MB) once the bars are made and at its peak: 10 million bars, metrics only."""
    done = subprocess.run([sys.executable, "-c", _LONG], capture_output=True, text=True, check=True, timeout=900)
    seconds, made, peak = (float(word) for word in done.stdout.split())
    return seconds, made, peak
