"""Worse luck, recomputed in another way: step by step through the ticks, in plain Python."""

import math
import statistics
from bisect import bisect_left, bisect_right
from dataclasses import replace

import numpy as np
import pytest

from novapulse.backtest import run
from novapulse.backtest.columns import signals_of
from novapulse.core.bars import DAY_NS
from novapulse.research.stress import BEST_TRIPS, stress
from novapulse.stats.drawdowns import max_drawdown
from tests.research.runs import SETTINGS, Case, eventful, sample_run


@pytest.fixture(params=[True, False], ids=["cold in front", "warm from the first bar"])
def case(request) -> Case:
    return eventful(is_cold=request.param)


def row_of(case: Case, equity: list[float], trades: int) -> dict:
    """The figures of a curve over the ticks of a run, one step at a time; ratios from the first warm day on."""
    capital = peak = case.result.settings.capital
    depth, ends = 0.0, {}
    for ts, value in zip(case.result.equity_ts_ns.tolist(), equity, strict=True):
        peak = max(peak, value)
        depth = max(depth, 1.0 - value / peak)
        ends[(ts - 1) // DAY_NS] = value
    returns, before = [], capital
    for day, value in ends.items():
        if day >= (case.warm_ts_ns - 1) // DAY_NS:
            returns.append(value / before - 1.0)
        before = value
    return {
        "total_return": pytest.approx(equity[-1] / capital - 1.0, rel=1e-9),
        "max_drawdown": pytest.approx(depth, rel=1e-9),
        "sharpe": pytest.approx(statistics.fmean(returns) / statistics.stdev(returns) * math.sqrt(365.25), rel=1e-9),
        "trades": trades,
        "final_equity": pytest.approx(equity[-1], rel=1e-12),
    }


def test_every_figure_of_twice_the_costs_and_of_the_run_itself(case: Case):
    """Rebates are not doubled, nor is a price that was better than expected."""
    fills = case.result.fills.copy()
    fills["slippage"][::3] = -0.5
    result = replace(case.result, fills=fills)
    stamps, factors = result.equity_ts_ns.tolist(), [1.0] * result.equity.size
    for fill in result.fills.tolist():
        one = dict(zip(result.fills.dtype.names, fill, strict=True))
        row = bisect_left(stamps, one["ts_ns"])
        factors[row] *= 1.0 - (max(one["fee_units"] / 10**4, 0.0) + max(one["slippage"], 0.0)) / result.equity[row]
    kept = np.cumprod(factors) * result.equity
    rows = stress(result, case.markets)
    assert rows["double_costs"] == row_of(case, kept.tolist(), result.round_trips.size)
    assert rows["as_tested"] == row_of(case, result.equity.tolist(), result.round_trips.size)
    assert (result.fills["fee_units"] < 0).any()


def test_every_figure_without_the_best_five_which_are_gone_while_they_were_open_too(case: Case):
    result, (capital, curve) = case.result, (case.result.settings.capital, case.result.equity.tolist())
    stamps, names = result.equity_ts_ns.tolist(), result.round_trips.dtype.names
    trips = [dict(zip(names, one, strict=True)) for one in result.round_trips.tolist()]
    for trip in sorted(trips, key=lambda one: -one["pnl"])[:5]:
        bars = case.markets.bars[result.instruments[trip["instrument"]].key]
        closes = bars.ts_close_ns.tolist()
        first, last = bisect_left(stamps, trip["entry_ts_ns"]), bisect_left(stamps, trip["exit_ts_ns"])
        for row in range(first, len(stamps)):
            price = bars.close[bisect_right(closes, stamps[row]) - 1]
            made = trip["direction"] * trip["qty"] * (price - trip["entry_price"]) if row < last else trip["pnl"]
            curve[row] /= 1.0 + made / result.equity[first]
    assert stress(result, case.markets)["without_best_five"] == row_of(case, curve, len(trips) - 5)
    assert curve[-1] > 1.1 * capital


def test_a_run_on_ready_signals_cannot_come_a_bar_late_and_one_without_gains_has_no_best(case: Case):
    assert "one_bar_late" not in stress(case.result, case.markets)
    trips = case.result.round_trips.copy()
    trips["pnl"] = -np.abs(trips["pnl"]) - 1.0
    rows = stress(replace(case.result, round_trips=trips), case.markets)
    assert rows["without_best_five"] == pytest.approx(rows["as_tested"], rel=1e-12)


def test_twice_the_costs_takes_each_share_of_equity_once_more():
    result, markets = sample_run()
    row = stress(result, markets)["double_costs"]
    kept, curve, fills = 1.0, [], result.fills.tolist()
    names = result.fills.dtype.names
    pending = [dict(zip(names, fill, strict=True)) for fill in fills]
    for ts, equity in zip(result.equity_ts_ns.tolist(), result.equity.tolist(), strict=True):
        while pending and pending[0]["ts_ns"] <= ts:
            fill = pending.pop(0)
            kept *= 1.0 - (max(fill["fee_units"], 0) / 10**8 + max(fill["slippage"], 0.0)) / equity
        curve.append(equity * kept)
    assert row["final_equity"] == pytest.approx(curve[-1], rel=1e-12)
    assert row["max_drawdown"] == pytest.approx(max_drawdown(np.array(curve), 10_000.0), rel=1e-9)
    summary = result.summary()
    assert row["final_equity"] == pytest.approx(
        summary["final_equity"] - summary["fees"] - summary["slippage"], rel=1e-3
    )


def test_a_round_trip_that_is_taken_out_leaves_nothing_of_itself_in_the_curve():
    """One round trip in all: without it the account is as flat as if it had never traded."""
    result, markets = sample_run()
    first = result.round_trips[np.argmax(result.round_trips["pnl"])]
    key = result.instruments[int(first["instrument"])].key
    entry, leave = int(first["entry_ts_ns"]), int(first["exit_ts_ns"])
    bars = {key: markets.bars[key]}
    columns = result.signals[key].to_kernel()
    inside = (bars[key].ts_close_ns >= entry - 2 * 60 * 10**9) & (bars[key].ts_close_ns < leave)
    columns["consensus"] = np.where(inside, columns["consensus"], 0.0)
    signals = {key: signals_of(**columns)}
    alone = run(bars, SETTINGS, instruments=markets.instruments, signals=signals)
    assert alone.round_trips.size == 1
    assert alone.round_trips["pnl"][0] > 0
    row = stress(alone, markets)["without_best_five"]
    assert row["trades"] == 0
    assert row["final_equity"] == pytest.approx(10_000.0, abs=0.01)
    assert row["max_drawdown"] < 1e-4
    assert stress(alone, markets)["as_tested"]["max_drawdown"] > row["max_drawdown"]


def test_the_best_five_are_the_best_five():
    result, markets = sample_run()
    row = stress(result, markets)["without_best_five"]
    left = np.sort(result.round_trips["pnl"])[:-BEST_TRIPS]
    assert row["final_equity"] == pytest.approx(
        10_000.0 + left.sum() + (result.equity[-1] - 10_000.0 - result.round_trips["pnl"].sum()), rel=1e-4
    )
    assert row["trades"] == left.size


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
