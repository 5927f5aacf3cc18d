"""The same backtest under worse luck: twice the costs, one bar late, without its best trades.

The first and the last change the account afterwards, trade by trade: what was decided stays decided. Only being late is
a run of its own, over the same signals moved by one bar.
"""

from collections.abc import Mapping
from dataclasses import fields

import numpy as np

from novapulse.backtest import Result, run
from novapulse.backtest.columns import Signals, signals_of
from novapulse.confluence.combine import SignalColumns
from novapulse.core.bars import Floats, Integers
from novapulse.research.inputs import Markets
from novapulse.stats.drawdowns import max_drawdown
from novapulse.stats.returns import at_day_ends, sharpe, simple_returns

Row = dict[str, float | int | None]

BEST_TRADES = 5


def stress(result: Result, markets: Markets) -> dict[str, Row] | None:
    """Return the figures of a backtest as tested and under worse luck.

    Args:
        result: A backtest that kept its events and its curve.
        markets: What it ran on.

    Returns:
        By name `as_tested`, `double_costs`, `one_bar_late` and `without_best_five`: total return, drawdown, Sharpe
        ratio, round trips, final equity. None for a metrics-only run.
    """
    if result.equity.size == 0:
        return None
    trips = result.round_trips
    best = np.argsort(-trips["pnl"], kind="stable")[:BEST_TRADES]
    best = best[trips["pnl"][best] > 0]
    without = _less(result, trips["exit_ts_ns"][best], trips["pnl"][best])
    rows = {
        "as_tested": _picked(result.summary()),
        "double_costs": _row(result, _less(result, result.fills["ts_ns"], _costs(result)), int(trips.size)),
    }
    if result.signals:
        rows["one_bar_late"] = _picked(_late_summary(result, markets))
    return {**rows, "without_best_five": _row(result, without, int(trips.size - best.size))}


def _costs(result: Result) -> Floats:
    fills = result.fills
    scales = np.array([10.0**fact.cash_scale for fact in result.instruments])
    fees = fills["fee_units"] / scales[fills["instrument"]]
    return np.asarray(np.maximum(fees, 0.0) + np.maximum(fills["slippage"], 0.0), np.float64)


def _less(result: Result, ts_ns: Integers, amounts: Floats) -> Floats:
    steps = np.zeros(result.equity.size)
    rows = np.minimum(np.searchsorted(result.equity_ts_ns, ts_ns), result.equity.size - 1)
    np.add.at(steps, rows, amounts)
    return np.asarray(result.equity - np.cumsum(steps), np.float64)


def _row(result: Result, equity: Floats, trades: int) -> Row:
    capital = result.settings.capital
    _, days = at_day_ends(result.equity_ts_ns, equity)
    known = result.summary()["sharpe"] is not None
    solvent = bool((days > 0).all())
    return {
        "total_return": float(equity[-1]) / capital - 1.0,
        "max_drawdown": max_drawdown(equity, capital),
        "sharpe": sharpe(simple_returns(days, capital), result.days_per_year) if known and solvent else None,
        "trades": trades,
        "final_equity": float(equity[-1]),
    }


def _late_summary(result: Result, markets: Markets) -> Mapping[str, float | int | None]:
    return run(
        markets.bars,
        result.settings,
        instruments={fact.key: fact for fact in result.instruments},
        signals={key: _one_bar_late(columns) for key, columns in result.signals.items()},
        finer=markets.finer,
        metrics_only=True,
    ).summary()


def _one_bar_late(columns: SignalColumns) -> Signals:
    silent = SignalColumns.empty(1, columns.strategies)
    moved = {
        field.name: np.concatenate([getattr(silent, field.name), getattr(columns, field.name)[:-1]])
        for field in fields(columns)
        if field.name != "strategies"
    }
    return signals_of(**SignalColumns(**moved, strategies=columns.strategies).to_kernel())


def _picked(summary: Mapping[str, float | int | None]) -> Row:
    return {name: summary[name] for name in ("total_return", "max_drawdown", "sharpe", "trades", "final_equity")}
