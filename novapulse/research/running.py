"""A backtest as people ask for it: their own strategies are looked at first, and what is wrong is one sentence."""

from collections.abc import Mapping

from novapulse.backtest import Result, run
from novapulse.backtest.settings import BacktestSettings
from novapulse.core.bars import BarColumns
from novapulse.research.inputs import InputError, Markets, Told
from novapulse.strategies import STRATEGIES, Strategy


def backtest_markets(
    markets: Markets,
    settings: BacktestSettings,
    strategies: Mapping[str, Strategy],
    *,
    metrics_only: bool = False,
    told: Told | None = None,
) -> Result:
    """Run a backtest, after a look at the user's own strategies.

    Args:
        markets: What it runs on.
        settings: What is run.
        strategies: By name, the built-in ones and the user's own.
        metrics_only: Keep no events and no curve.
        told: Called with (rows done, rows in all).

    Raises:
        InputError: A strategy of the user looks ahead, or instruments do not belong into one account.
        StrategyError: A strategy cannot be used.
    """
    refuse_lookahead(settings, strategies, next(iter(markets.bars.values())))
    try:
        return run(
            markets.bars,
            settings,
            instruments=markets.instruments,
            strategies=strategies,
            finer=markets.finer,
            metrics_only=metrics_only,
            progress=told,
        )
    except ValueError as wrong:
        if type(wrong) is ValueError:
            raise InputError(str(wrong)) from wrong
        raise


def refuse_lookahead(settings: BacktestSettings, strategies: Mapping[str, Strategy], bars: BarColumns) -> None:
    """Refuse a strategy of the user that a quick look finds looking ahead.

    Raises:
        InputError: There is one.
    """
    for name in settings.confluence.shares:
        if name not in STRATEGIES:
            from novapulse.research.bias import quick_check

            strategy = strategies[name]
            parameters = strategy.Params(**settings.confluence.parameters.get(name, {}))
            checked = quick_check(name, strategy, bars, parameters)
            if checked.complaint:
                raise InputError(checked.complaint)
