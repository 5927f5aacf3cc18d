"""The same backtest under worse luck: twice the costs, one bar late, without its best round trips.

The first and the last change the account afterwards: what was decided stays decided, and every share of equity that
was paid or earned is paid once more, or never earned. Only being late is a run of its own, over the same signals moved
by one bar.
"""

from collections.abc import Mapping

import numpy as np

from novapulse.backtest import Result, run
from novapulse.backtest.columns import Records, Signals, signals_of
from novapulse.confluence.combine import SignalColumns
from novapulse.core.bars import Floats, Integers
from novapulse.research.inputs import Markets
from novapulse.stats.drawdowns import max_drawdown
from novapulse.stats.returns import at_day_ends, sharpe, simple_returns

Row = dict[str, float | int | None]

BEST_TRIPS = 5
LUCK = {
    "as_tested": "as tested",
    "double_costs": "with twice the costs",
    "one_bar_late": "one bar late",
    "without_best_five": "without its best five round trips",
}
"""The rows by name, in words."""


def stress(result: Result, markets: Markets) -> dict[str, Row] | None:
    """Return the figures of a backtest as tested and under worse luck.

    Args:
        result: A backtest that kept its events and its curve.
        markets: What it ran on.

    Returns:
        By the names of `LUCK`: total return, drawdown, Sharpe ratio, round trips, final equity. None for a
        metrics-only run. Rebates are not doubled, and not taken for costs.
    """
    if result.equity.size == 0:
        return None
    trips = result.round_trips
    best = np.argsort(-trips["pnl"], kind="stable")[:BEST_TRIPS]
    best = best[trips["pnl"][best] > 0]
    rows = {
        "as_tested": _picked(result.summary()),
        "double_costs": _row(result, result.equity * _paid_again(result), int(trips.size)),
    }
    if result.signals:
        rows["one_bar_late"] = _picked(_late_summary(result, markets))
    without = result.equity / _grown_by(result, markets, trips[best])
    return {**rows, "without_best_five": _row(result, without, int(trips.size - best.size))}


def equity_at(result: Result, ts_ns: Integers) -> Floats:
    """Return the account's equity on the ticks of some stamps, in quote: float64[N]."""
    rows = np.minimum(np.searchsorted(result.equity_ts_ns, ts_ns), result.equity.size - 1)
    return np.asarray(result.equity[rows], np.float64)


def _paid_again(result: Result) -> Floats:
    fills = result.fills
    scales = np.array([10.0**fact.cash_scale for fact in result.instruments])
    costs = np.maximum(fills["fee_units"] / scales[fills["instrument"]], 0.0) + np.maximum(fills["slippage"], 0.0)
    equity = equity_at(result, fills["ts_ns"])
    kept = np.ones(result.equity.size)
    rows = np.minimum(np.searchsorted(result.equity_ts_ns, fills["ts_ns"]), result.equity.size - 1)
    np.multiply.at(kept, rows, np.where(equity > 0, 1.0 - costs / np.where(equity > 0, equity, 1.0), 1.0))
    return np.asarray(np.cumprod(kept), np.float64)


def _grown_by(result: Result, markets: Markets, trips: Records) -> Floats:
    """Return by what factor some round trips had changed the account at each tick, open or closed: float64[T]."""
    factor = np.ones(result.equity.size)
    for trip, equity in zip(trips, equity_at(result, trips["entry_ts_ns"]), strict=True):
        bars = markets.bars[result.instruments[int(trip["instrument"])].key]
        first, last = np.searchsorted(result.equity_ts_ns, (trip["entry_ts_ns"], trip["exit_ts_ns"])).tolist()
        rows = np.searchsorted(bars.ts_close_ns, result.equity_ts_ns[first:last], "right") - 1
        open_pnl = trip["direction"] * trip["qty"] * (bars.close[rows] - trip["entry_price"])
        factor[first:last] *= 1.0 + open_pnl / equity
        factor[last:] *= 1.0 + trip["pnl"] / equity
    return factor


def _row(result: Result, equity: Floats, trips: int) -> Row:
    capital = result.settings.capital
    stamps, days = at_day_ends(result.equity_ts_ns, equity)
    returns = simple_returns(days, capital)[result.is_track(stamps)]
    known = result.summary()["sharpe"] is not None
    return {
        "total_return": float(equity[-1]) / capital - 1.0,
        "max_drawdown": max_drawdown(equity, capital),
        "sharpe": sharpe(returns, result.days_per_year) if known else None,
        "trades": trips,
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
    return signals_of(**columns[:-1].after(silent).to_kernel())


def _picked(summary: Mapping[str, float | int | None]) -> Row:
    return {name: summary[name] for name in ("total_return", "max_drawdown", "sharpe", "trades", "final_equity")}
