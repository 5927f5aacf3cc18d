"""The name of settings is that of what they say, however they came about."""

from copy import copy, deepcopy

from novapulse.backtest.settings import BacktestSettings
from novapulse.risk.settings import RiskSettings

OTHER = RiskSettings(entry_forecast_min=7)


def test_a_copy_that_says_something_else_has_another_name():
    """A bug: the name was remembered, and a changed copy took it along."""
    one = BacktestSettings()
    name = one.hash
    changed = one.model_copy(update={"risk": OTHER})
    assert changed.hash == BacktestSettings(risk=OTHER).hash != name
    assert one.hash == name
    assert [copied.hash for copied in (copy(one), deepcopy(one), one.model_copy())] == [name] * 3
