"""A run's fills as a portfolio of vectorbt, for those who know its plots.

Invariants:
- every fill is one order, at our price, quantity and fee; vectorbt decides nothing;
- its final value is ours but for the rounding of floats.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from novapulse.backtest import Result
from novapulse.core.bars import BarColumns
from novapulse.core.instruments import InstrumentKey


def portfolio(result: Result, bars: Mapping[InstrumentKey, BarColumns], key: InstrumentKey | None = None) -> Any:
    """Return a run as a `vectorbt.Portfolio`.

    vectorbt takes one order per row and column, so there is one row per fill and then one per tick.

    Args:
        result: A run with its fills.
        bars: The decision bars it ran on.
        key: The instrument to look at alone, with all of the opening cash; None for the whole account over shared cash.

    Raises:
        ValueError: The run kept no fills, or does not know the instrument.
    """
    import pandas as pd
    import vectorbt

    if result.equity.size == 0:
        raise ValueError("the run kept no fills and no curve: run it without metrics_only")
    known = [fact.key for fact in result.instruments]
    keys = known if key is None else [key]
    if not set(keys) <= set(known):
        raise ValueError(f"{key} is not an instrument of this run")
    rows = _rows(result, bars, keys, [known.index(one) for one in keys])
    index = pd.DatetimeIndex(rows.pop("ts_ns")).tz_localize("UTC")
    names = [str(one) for one in keys]
    frames = {name: pd.DataFrame(values, index=index, columns=names) for name, values in rows.items()}
    frequency = pd.Timedelta(next(iter(bars.values())).timeframe_ns, unit="ns")
    return vectorbt.Portfolio.from_orders(
        init_cash=result.settings.capital,
        cash_sharing=len(keys) > 1,
        group_by=len(keys) > 1 or None,
        freq=frequency,
        **frames,
    )


def _rows(
    result: Result, bars: Mapping[InstrumentKey, BarColumns], keys: list[InstrumentKey], numbers: list[int]
) -> dict[str, Any]:
    ticks = result.equity_ts_ns
    fills = result.fills[np.isin(result.fills["instrument"], numbers)]
    # Fills of a tick come before the tick's own row, at which everything is marked.
    stamps = np.concatenate([fills["ts_ns"], ticks])
    order = np.lexsort((np.repeat([0, 1], [fills.size, ticks.size]), stamps))
    place = np.empty(order.size, np.int64)
    place[order] = np.arange(order.size)
    close = np.column_stack([_marks(bars[key], stamps[order]) for key in keys])
    size = np.full(close.shape, np.nan)
    price, fees = close.copy(), np.zeros(close.shape)
    at, column = place[: fills.size], np.searchsorted(numbers, fills["instrument"])
    size[at, column] = fills["side"] * fills["qty"]
    price[at, column] = fills["price"]
    fees[at, column] = fills["fee_units"] / fills["cash_units"]
    return {"ts_ns": stamps[order], "close": close, "size": size, "price": price, "fees": fees}


def _marks(bars: BarColumns, stamps: Any) -> Any:
    row = np.searchsorted(bars.ts_close_ns, stamps, side="right") - 1
    return np.where(row >= 0, bars.close[np.maximum(row, 0)], bars.open[0])
