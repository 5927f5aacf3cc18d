"""`just bench`: every measurement that docs/performance.md states, in one run; `--write` keeps it there.

Rivals and ours are measured in turns, each rival in a process of its own, and only ratios of the same turn are quoted:
the median over the turns. A rival that cannot run here is named as such.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from novapulse.backtest.columns import laid_out
from tests.benchmarks import engine, ledger, rivals, rulebook, trader
from tests.benchmarks.page import Rows, keep
from tests.benchmarks.rivals import NoHarnessError

COLUMNS = ("what", "who", "figure:", "NovaPulse is faster by:")
TURNS = 3

Rival = Callable[[], float]


def in_turns(
    ours: Callable[[], float], others: dict[str, Rival], turns: int = TURNS
) -> tuple[float, dict[str, tuple[float, float] | str]]:
    """Return our median, and per rival its median seconds and its median ratio to ours, or why there is none."""
    own: list[float] = []
    theirs: dict[str, list[tuple[float, float]]] = {name: [] for name in others}
    missing: dict[str, str] = {}
    for _ in range(turns):
        for name, rival in others.items():
            if name in missing:
                continue
            try:
                other = rival()
            except NoHarnessError as reason:
                missing[name] = str(reason)
                continue
            mine = ours()
            own.append(mine)
            theirs[name].append((other, other / mine))
    if not own:
        own = [ours() for _ in range(turns)]
    found: dict[str, tuple[float, float] | str] = {
        name: (median(s for s, _ in pairs), median(r for _, r in pairs)) for name, pairs in theirs.items() if pairs
    }
    return median(own), {**found, **missing}


def script(*arguments: str, repetitions: int = 5) -> Rival:
    """Return a call that runs a script of the harness and gives its seconds."""
    return lambda: float(rivals.measure(*arguments, repetitions=repetitions)[-1]["seconds"])


def told(title: str, unit: str, own: float, others: dict[str, tuple[float, float] | str]) -> Rows:
    """Return table rows of one comparison and print them."""
    rows: Rows = [(title, "NovaPulse", unit.format(own), "1")]
    for name, figures in others.items():
        if isinstance(figures, str):
            rows.append((title, name, "-", f"not measured: {figures}"))
        else:
            rows.append((title, name, unit.format(figures[0]), f"{figures[1]:.1f}x"))
    for row in rows:
        print(f"{row[0]:34} {row[1]:28} {row[2]:>12}  {row[3]}", flush=True)
    return rows


def w1() -> Rows:
    """Measure one backtest of 525,600 bars."""
    common = rivals.workloads()
    bars, market = engine.columns(common.workload("W1")), engine.instrument(common)
    book = engine.settings(common, fixed_qty=common.SIZE)
    own, others = in_turns(
        lambda: engine.seconds(lambda: engine.w1(common, bars, book, market), 41),
        {
            "vectorbt, rust engine": script("peer_vectorbt.py", "W1", "rust"),
            "vectorbt, numba engine": script("peer_vectorbt.py", "W1", "numba"),
            "raptorbt": script("peer_raptorbt.py", "W1"),
            "bare compiled loop": script("ref_numba.py", "W1"),
        },
        turns=9,
    )
    return told("W1 one backtest, 525,600 bars", "{:.4f} s", own, others)


def w2() -> Rows:
    """Measure 1,000 backtests of 100,000 bars, metrics only, with the same metrics."""
    common = rivals.workloads()
    bars, market, pairs = engine.columns(common.workload("W2")), engine.instrument(common), common.combos()
    book = engine.settings(common, fixed_qty=common.SIZE)
    own, others = in_turns(
        lambda: engine.seconds(lambda: engine.w2(common, bars, book, market, pairs), 3),
        {
            "vectorbt, numba, same metrics": script("peer_vectorbt.py", "W2", "numba", "metrics", repetitions=1),
            "raptorbt": script("peer_raptorbt.py", "W2", repetitions=1),
            "bare compiled loop": script("ref_numba.py", "W2"),
        },
        turns=1,
    )
    return told("W2 1,000 x 100,000 bars", "{:.3f} s", own, others)


def w3() -> Rows:
    """Measure the indicators that TA-Lib shares with us."""
    from tests.benchmarks import w3_indicators

    rows: Rows = []
    for name, figures in w3_indicators.run().items():
        ours, theirs = figures["ours_ns"], figures["talib_ns"]
        rows.append((f"W3 {name}", "NovaPulse / TA-Lib", f"{ours:.2f} / {theirs:.2f} ns", f"{theirs / ours:.1f}x"))
        print(f"{rows[-1][0]:34} {rows[-1][1]:28} {rows[-1][2]:>18}  {rows[-1][3]}", flush=True)
    return rows


def w5() -> Rows:
    """Measure eight instruments over shared cash."""
    common = rivals.workloads()
    markets = {m.key: m for m in (engine.instrument(common, number) for number in range(8))}
    bars = laid_out({key: engine.columns(made) for key, made in zip(markets, common.pairs(), strict=True)})
    book = engine.settings(common, cash_fraction=0.02)
    own, others = in_turns(
        lambda: engine.seconds(lambda: engine.w5(common, bars, book, markets), 5),
        {
            "vectorbt, numba engine": script("peer_vectorbt.py", "W5", "numba"),
            "vectorbt, rust engine": script("peer_vectorbt.py", "W5", "rust"),
            "raptorbt": script("peer_raptorbt.py", "W5"),
            "bare compiled loop": script("ref_numba.py", "W5"),
        },
    )
    return told("W5 8 x 131,400 bars, shared cash", "{:.4f} s", own, others)


def whole_rulebook() -> Rows:
    """Measure bars a second of everything together."""
    name, bars, kept, totals = rulebook.bars_per_second()
    rows = [
        ("Full rulebook, events and curve", f"{bars:,} bars of {name}", f"{kept / 1e6:.2f} M bars/s", ""),
        ("Full rulebook, metrics only", f"{bars:,} bars of {name}", f"{totals / 1e6:.2f} M bars/s", ""),
    ]
    for row in rows:
        print(f"{row[0]:34} {row[1]:58} {row[2]:>16}", flush=True)
    return rows


def long_history() -> Rows:
    """Measure 10 million bars, metrics only."""
    rulebook.ten_million_bars()
    seconds, made, peak = rulebook.ten_million_bars()
    row = (
        "10 million bars, metrics only",
        f"{seconds:.1f} s; the bars themselves and their making took {made:,.0f} MB",
        f"{peak:,.0f} MB peak",
        "",
    )
    print(f"{row[0]:34} {row[1]:58} {row[2]:>16}", flush=True)
    return [row]


def command_line() -> Rows:
    """Measure whole processes: `--help`, and a warm backtest of 43,000 bars where recorded ones are there."""
    rows: Rows = []
    program = str(Path(sys.executable).with_name("novapulse"))
    with tempfile.TemporaryDirectory() as home:
        import os

        surroundings = {**os.environ, "NOVAPULSE_HOME": home}
        timed = {"novapulse --help": [program, "--help"]}
        recorded = rulebook.SHARED_DATA / "binance_BTC-USDT_1m.parquet"
        if recorded.is_file():
            series = ["--exchange", "binance", "--symbol", "BTC/USDT", "--timeframe", "1m"]
            subprocess.run(
                [program, "data", "import", str(recorded), *series, "--stamps", "open"],
                env=surroundings,
                check=True,
                capture_output=True,
            )
            timed["novapulse backtest, 43,199 bars"] = [program, "backtest", *series, "--json"]
        for name, command in timed.items():
            times = []
            for _ in range(6):
                began = time.perf_counter()
                subprocess.run(command, env=surroundings, check=True, capture_output=True)
                times.append(time.perf_counter() - began)
            rows.append((name, "whole process, warm", f"{median(times[1:]):.2f} s", ""))
            print(f"{name:34} {'whole process, warm':28} {rows[-1][2]:>12}", flush=True)
    return rows


def whole_ledger() -> Rows:
    """Measure the ledger against plain SQLite and the disk."""
    print(f"{'rate, and ratio to: encoding, prepared, raw':46}")
    rows = ledger.rows()
    for row in rows:
        print(f"{row[0]:46} {row[1]:>12} {row[2]:>8} {row[3]:>8} {row[4]:>8}", flush=True)
    return rows


def whole_trader() -> Rows:
    """Measure the trader's hot path."""
    rows = trader.rows()
    for row in rows:
        print(f"{row[0]:34} {row[1]:58} {row[2]:>16}", flush=True)
    return rows


PARTS: dict[str, Callable[[], Rows]] = {
    "w1": w1,
    "w2": w2,
    "w3": w3,
    "w5": w5,
    "rulebook": whole_rulebook,
    "long": long_history,
    "cli": command_line,
    "ledger": whole_ledger,
    "trader": whole_trader,
}


OWN_TABLES = {"ledger": ledger.COLUMNS, "trader": trader.COLUMNS}
"""Parts that have a section of their own, and its columns."""


def main() -> None:
    """Run the parts that are asked for, all by default."""
    parser = argparse.ArgumentParser(description="Measure NovaPulse against its rivals, in one run.")
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], default=[], help="which parts; all by default")
    parser.add_argument("--write", action="store_true", help="keep the figures in docs/performance.md")
    asked = parser.parse_args()
    rows: dict[str, Rows] = {"measured": [], **{section: [] for section in OWN_TABLES}}
    for name in asked.parts or PARTS:
        try:
            rows[name if name in OWN_TABLES else "measured"] += PARTS[name]()
        except NoHarnessError as reason:
            print(f"{name}: not measured: {reason}")
    for section, measured in rows.items():
        if asked.write and measured:
            keep(section, OWN_TABLES.get(section, COLUMNS), measured)


if __name__ == "__main__":
    main()
