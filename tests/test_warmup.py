"""Set-up compiles every kernel: what runs afterwards finds machine code for exactly the types it calls with."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

WATCH = """
import importlib, json, pkgutil, sys
import novapulse

def compiled():
    found = [m.name for m in pkgutil.walk_packages(novapulse.__path__, "novapulse.")]
    names = [name for name in found if not {"__main__", "migrations"} & {*name.split(".")}]
    kernels = {}
    for name in names:
        for label, value in vars(importlib.import_module(name)).items():
            if hasattr(value, "py_func") and value.py_func.__module__ == name:
                kernels[f"{name}.{label}"] = [str(signature) for signature in value.signatures]
    return kernels

from novapulse.warmup import warm_up
warm_up(lambda step: None)
before = compiled()

from novapulse.cli import main
from novapulse.core.bars import MINUTE_NS
from novapulse.market.lake import Lake
from novapulse.market.sample import sample_market

lake = Lake(sys.argv[1])
symbols = ("BTC/USDT", "SOL/USDT")
for timeframe, width, count in (("1m", 1, 30000), ("5m", 5, 6000)):
    for symbol, bars in sample_market(symbols, count, 5, width * MINUTE_NS).items():
        lake.append("binance", symbol, timeframe, bars)
for words in (
    "backtest", "backtest --symbol BTC-USDT --metrics-only", "backtest --timeframe 5m", "data verify",
    "explain --exchange binance --symbol SOL-USDT --at 2024-01-20",
    "scan", "scan --timeframe 1m --own-timeframe",
    "replay --symbol BTC-USDT SOL-USDT", "replay --timeframe 5m --symbol BTC-USDT",
    "parity --symbol BTC-USDT SOL-USDT --end 2024-01-20",
):
    assert main(words.split()) == 0, words

from novapulse.confluence.plan import prepare
from novapulse.confluence.settings import ConfluenceSettings
from novapulse.core.instruments import InstrumentKey
from novapulse.engine.votes import votes_on
from novapulse.engine.window_signals import WindowSignals
from novapulse.strategies import STRATEGIES
key = InstrumentKey("binance", "BTC/USDT")
bars = lake.bars("binance", "BTC/USDT", "1m")
live = WindowSignals.behind(prepare(ConfluenceSettings(), STRATEGIES), {key: bars})
assert votes_on(live.window(key, int(bars.ts_close_ns[-1])), key, 0)
after = compiled()
new = {name: [s for s in after[name] if s not in before[name]] for name in after}
print(json.dumps({"known": sum(map(len, before.values())), "new": {name: s for name, s in new.items() if s}}))
"""


@pytest.mark.skipif(os.environ.get("NUMBA_DISABLE_JIT") == "1", reason="nothing is compiled in this lane")
def test_what_runs_after_set_up_compiles_nothing(tmp_path: Path) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("NOVAPULSE_")}
    places = {"NOVAPULSE_HOME": str(tmp_path), "NOVAPULSE_DATA_DIR": str(tmp_path / "lake"), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", WATCH, str(tmp_path / "lake")],
        env=kept | places,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["known"] > 30
    assert found["new"] == {}
