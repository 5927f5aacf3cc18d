"""Worse luck, recomputed in another way: costs doubled on each fill, trades taken away, signals a bar late."""

import numpy as np
import pytest

from novapulse.backtest import run
from novapulse.backtest.columns import signals_of
from novapulse.research.stress import BEST_TRADES, stress
from tests.research.runs import SETTINGS, sample_run


def test_twice_the_costs_takes_them_once_more():
    result, markets = sample_run()
    rows = stress(result, markets)
    fees = sum(int(fill.fee_units) for fill in result.fills) / 10**8
    slippage = float(np.maximum(result.fills["slippage"], 0.0).sum())
    summary = result.summary()
    assert rows["double_costs"]["final_equity"] == pytest.approx(summary["final_equity"] - fees - slippage, rel=1e-12)
    assert rows["double_costs"]["max_drawdown"] > summary["max_drawdown"]
    assert rows["as_tested"] == {name: summary[name] for name in rows["as_tested"]}


def test_the_best_trades_are_gone_from_the_moment_they_closed():
    result, markets = sample_run()
    row = stress(result, markets)["without_best_five"]
    best = sorted(result.round_trips["pnl"])[-BEST_TRADES:]
    assert row["final_equity"] == pytest.approx(result.summary()["final_equity"] - sum(best), rel=1e-12)
    assert row["trades"] == result.round_trips.size - BEST_TRADES


def test_one_bar_late_is_a_run_on_signals_that_come_a_bar_late():
    result, markets = sample_run()
    late = {}
    for key, columns in result.signals.items():
        moved = {name: np.roll(column, 1) for name, column in columns.to_kernel().items()}
        moved["consensus"][0], moved["warm"][0] = 0.0, False
        late[key] = signals_of(**moved)
    expected = run(markets.bars, SETTINGS, instruments=markets.instruments, signals=late).summary()
    row = stress(result, markets)["one_bar_late"]
    assert row == {name: expected[name] for name in row}
    assert row["total_return"] != result.summary()["total_return"]


def test_without_a_curve_there_is_nothing_to_put_under_stress():
    assert stress(*sample_run(metrics_only=True)) is None
