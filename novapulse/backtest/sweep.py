"""Many backtests of the same bars, metrics only: what tuning and sensitivity studies call."""

from collections.abc import Iterable, Mapping

import numpy as np

from novapulse.backtest.account import Bars, Books, Plan, Stretch, checked
from novapulse.backtest.columns import NO_FINE, Records, Signals, market_of
from novapulse.backtest.settings import BacktestSettings
from novapulse.backtest.tally import TALLY
from novapulse.core.bars import BarColumns
from novapulse.core.instruments import Instrument, InstrumentKey


def sweep(
    bars: BarColumns | Bars,
    signals: Iterable[Signals],
    settings: BacktestSettings | None = None,
    *,
    instruments: Mapping[InstrumentKey, Instrument] | None = None,
) -> Records:
    """Fold the decision core once per set of signals, in bounded memory: one is alive at a time.

    Args:
        bars: Bars of one instrument, or by instrument; one timeframe.
        signals: Signal columns per trial, rows as in `bars` (several instruments: one behind the other, sorted).
        settings: What every trial runs with; None means the defaults.
        instruments: Facts of each instrument; those missing are read off the bars.

    Returns:
        TALLY[trials]; `result.summarise` turns one into figures.

    Raises:
        ValueError: As `run`; or a trial's signals have another number of rows than the bars.
    """
    settings = BacktestSettings() if settings is None else settings
    table, facts = checked(bars, instruments or {}, settings)
    market = market_of(list(table.values()))
    plan = Plan.of(settings, facts, table)
    tallies = []
    for number, columns in enumerate(signals):
        if columns.consensus.size != market.close.size:
            raise ValueError(
                f"trial {number}: {columns.consensus.size} rows of signals for {market.close.size} rows of bars"
            )
        books = Books(plan, keep=False)
        books.fold(Stretch(market, columns, NO_FINE))
        tallies.append(books.state.tally)
    return np.concatenate(tallies) if tallies else np.zeros(0, TALLY)
