"""A backtest that could decide nothing says so first, with the cause and a remedy that works."""

import json
from pathlib import Path
from typing import Any

import pytest

from novapulse.market.lake import Lake
from novapulse.market.sample import sample_market
from tests.cli.conftest import SYMBOLS, Cli

HOURS = ("--exchange", "us", "--symbol", "SPY", "--timeframe", "1h", "--json")
ONE_TIMEFRAME = {"TIMEFRAME_MULTIPLES": "[1]", "TIMEFRAME_WEIGHTS": "[1]", "AGREEMENT_MULTIPLIERS": "[1]"}


def backtested(cli: Cli, *words: str) -> dict[str, Any]:
    outcome = cli("backtest", *words)
    assert outcome.code == 0, outcome.err
    values: dict[str, Any] = json.loads(outcome.out)
    return values


def test_ten_years_of_hours_are_too_few_for_three_timeframes_and_the_remedy_works(
    cli: Cli, home: Path, shared_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    series = ("--exchange", "us", "--symbol", "SPY", "--timeframe", "1h", "--calendar", "XNYS", "--stamps", "open")
    assert cli("data", "import", shared_data / "us_SPY_1h.parquet", *series).code == 0
    cause, remedy = backtested(cli, *HOURS)["notes"]
    assert cause == (
        "No bar was warm: the 15x timeframe needs 23,205 bars of 1h without a gap, and the longest stretch here has "
        "19,311."
    )
    words = "confluence.timeframe_multiples [1,5], timeframe_weights [0.2,0.3], agreement_multipliers [0.85,1]"
    assert words in remedy
    for setting in words.removeprefix("confluence.").split(", "):
        name, value = setting.split()
        monkeypatch.setenv(f"NOVAPULSE_CONFLUENCE__{name.upper()}", value)
    healed = backtested(cli, *HOURS)
    assert healed["notes"] == []
    assert healed["summary"]["trades"] > 0


@pytest.mark.parametrize("kept", [(), ("--metrics-only",)])
def test_a_short_sample_is_told_to_grow(cli: Cli, home: Path, kept: tuple[str, ...]) -> None:
    for symbol, bars in sample_market(SYMBOLS, 1_200, seed=3).items():
        Lake(home / "lake").append("binance", symbol, "1m", bars)
    cause, remedy = backtested(cli, "--json", *kept)["notes"]
    assert cause.startswith("No bar was warm: ")
    assert "the longest stretch here has 1,200." in cause
    assert remedy == "Give it a longer history: the 1x timeframe alone needs 1,547."
    assert cli("backtest", *kept).out.startswith("No bar was warm: ")


def test_an_instrument_that_stays_cold_beside_warm_ones_is_named(
    cli: Cli, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in ONE_TIMEFRAME.items():
        monkeypatch.setenv(f"NOVAPULSE_CONFLUENCE__{name}", value)
    for symbol, bars in sample_market(SYMBOLS, 4_000, seed=3).items():
        Lake(home / "lake").append("binance", symbol, "1m", bars if symbol == SYMBOLS[0] else bars[-900:])
    cause, _ = backtested(cli, "--json")["notes"]
    assert cause.startswith(f"No bar of {SYMBOLS[1]} was warm: ")
