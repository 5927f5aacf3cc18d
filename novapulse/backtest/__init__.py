"""Backtest: the decision core folded over columns of bars.

`run` and its settings and result are imported on first use, so that importing one record does not load the compiler.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from novapulse.backtest.result import Result
    from novapulse.backtest.runner import SignalRule, run
    from novapulse.backtest.settings import BacktestSettings

__all__ = ["BacktestSettings", "Result", "SignalRule", "run"]

_HOMES = {"run": "runner", "SignalRule": "runner", "Result": "result", "BacktestSettings": "settings"}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
