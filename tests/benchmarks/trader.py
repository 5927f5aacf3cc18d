"""The trader's hot path: the whole engine over recorded bars in virtual time, its signals made beforehand.

What is timed is everything between a close and the next one: the venue's play, the trader's answer, the commit, orders
and fills. `replay` keeps records in memory; `replay, ledger` writes them through SQLite without waiting for the disk;
`handle` is `Trader.handle` of a close on which nothing is at work, the call that most bars come down to.
"""

import tempfile
import time
from pathlib import Path
from statistics import median

from novapulse.backtest.settings import BacktestSettings
from novapulse.core.bars import BarColumns
from novapulse.core.instruments import Instrument, InstrumentKey
from novapulse.market.importer import import_file, recorded_files
from novapulse.market.lake import Lake
from novapulse.market.sample import sample_market
from novapulse.parity.kept import new_ledger
from novapulse.parity.ladder import Stretch, stretch_of
from novapulse.parity.memory import MemoryJournal
from novapulse.parity.playing import play
from novapulse.strategies import STRATEGIES
from tests.benchmarks.rulebook import SHARED_DATA

SYMBOLS = ("BTC/USDT", "ETH/USDT", "SOL/USDT", "XRP/USDT", "BNB/USDT")
BARS = 43_200
TURNS = 3
COLUMNS = ("what", "over", "figure:")

Rows = list[tuple[str, ...]]


def stretch() -> tuple[str, Stretch]:
    """Return thirty days of five pairs with their signals: recorded ones where there are any, else a sample market."""
    with tempfile.TemporaryDirectory() as folder:
        lake = Lake(folder)
        files = [one for one in recorded_files(SHARED_DATA) if one.symbol in SYMBOLS and one.timeframe == "1m"]
        files = [one for one in files if one.exchange == "binance"]
        for one in files:
            import_file(lake, one.path, one.exchange, one.symbol, "1m", "open", calendar_name=one.calendar)
        name = "recorded bars"
        if len(files) < len(SYMBOLS):
            name = "a sample market"
            for symbol, made in sample_market(SYMBOLS, BARS, 7).items():
                lake.append("binance", symbol, "1m", made)
        bars: dict[InstrumentKey, BarColumns] = {}
        facts: dict[InstrumentKey, Instrument] = {}
        for symbol in SYMBOLS:
            key = InstrumentKey("binance", symbol)
            bars[key], facts[key] = lake.bars("binance", symbol, "1m"), lake.instrument("binance", symbol)
    return name, stretch_of("binance", bars, facts, BacktestSettings(), STRATEGIES)


def seconds_of_replay(one: Stretch, ledger: Path | None = None) -> float:
    """Return how long the whole replay takes."""
    begin_ns = int(one.ticks.ts_close_ns[0]) - one.configuration.timeframe_ns
    behind = None if ledger is None else new_ledger(ledger, one.key, one.configuration.scales, begin_ns)
    try:
        began_s = time.perf_counter()
        play(one.key, one.configuration, one.ticks, MemoryJournal((), behind))
        return time.perf_counter() - began_s
    finally:
        if behind is not None:
            behind.close()


def seconds_of_quiet_closes(one: Stretch) -> tuple[float, int]:
    """Return how long `Trader.handle` takes for closes before any signal is warm, and how many pair-bars that were."""
    first = one.ticks.after(0, int(one.ticks.ts_close_ns[5000]))
    trader = play(one.key, one.configuration, first.after(0, int(first.ts_close_ns[10])), MemoryJournal()).trader
    events = list(first.after(int(first.ts_close_ns[10])).events())
    began_s = time.perf_counter()
    for event in events:
        trader.handle(event)
    return time.perf_counter() - began_s, len(events) * len(SYMBOLS)


def rows() -> Rows:
    """Measure in turns and return table rows."""
    name, one = stretch()
    pair_bars = int(one.ticks.present.sum())
    seconds_of_replay(one)
    took: dict[str, list[float]] = {"replay": [], "replay, ledger": [], "handle": []}
    for _ in range(TURNS):
        took["replay"].append(seconds_of_replay(one) / pair_bars)
        with tempfile.TemporaryDirectory() as folder:
            took["replay, ledger"].append(seconds_of_replay(one, Path(folder) / "ledger.db") / pair_bars)
        seconds, count = seconds_of_quiet_closes(one)
        took["handle"].append(seconds / count)
    what = f"{pair_bars:,} bars of 5 pairs, {name}"
    return [(f"Trader, {key}", what, f"{1e6 * median(each):.1f} µs a bar and pair") for key, each in took.items()]
