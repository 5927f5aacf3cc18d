"""Print the hash of folds, for tests that compare this interpreter with one that compiles in another way.

Usage: python -m tests.backtest.fingerprint random|FOLDER
"""

import sys
from pathlib import Path

import numpy as np

from novapulse.backtest.columns import fine_of
from novapulse.core.bars import MINUTE_NS, BarColumns
from tests.backtest.builders import (
    LIVELY,
    busy_rules,
    folded,
    instrument,
    lively_signals,
    random_bars,
    random_signals,
    real_bars,
    rules_of,
)


def of_random_markets() -> list[str]:
    digests = []
    for seed in range(6):
        count = 1 + seed % 3
        names = [instrument(f"A{j}/USD", shortable=True, group="g") for j in range(count)]
        fine = [random_bars(seed + 10 * j, 600) for j in range(count)]
        bars = [widened(b) for b in fine]
        signals = [random_signals(seed + j, b) for j, b in enumerate(bars)]
        book = folded(bars, signals, names, busy_rules(seed), fine=fine_of(bars, fine), room=60 * count)
        digests.append(book.digest)
    return digests


def widened(bars: BarColumns) -> BarColumns:
    stamps = -(-bars.ts_close_ns // (5 * MINUTE_NS)) * (5 * MINUTE_NS)
    first = np.flatnonzero(np.append(True, np.diff(stamps) != 0))
    last = np.append(first[1:], stamps.size) - 1
    return BarColumns.checked(
        stamps[first],
        bars.open[first],
        np.maximum.reduceat(bars.high, first),
        np.minimum.reduceat(bars.low, first),
        bars.close[last],
        np.add.reduceat(bars.volume, first),
        timeframe_ns=5 * MINUTE_NS,
    )


def of_real_bars(folder: Path) -> list[str]:
    names = ["binance_BTC-USDT_1m.parquet", "binance_XRP-USDT_1m.parquet"]
    bars = [real_bars(folder, name, 2000, 1500) for name in names]
    facts = [instrument(f"A{j}/USD", shortable=True) for j in range(2)]
    rules = rules_of(breakeven_r=0.7, trail_r=0.8, trail_start_r=0.8, **LIVELY)
    book = folded(bars, [lively_signals(b) for b in bars], facts, rules)
    single = folded(bars[:1], [lively_signals(bars[0])], facts[:1], rules_of(kelly_trades_min=10, **LIVELY))
    assert min(book.round_trips.size, single.round_trips.size) > 10
    return [book.digest, single.digest]


if __name__ == "__main__":
    found = of_random_markets() if sys.argv[1] == "random" else of_real_bars(Path(sys.argv[1]))
    print("\n".join(found))
