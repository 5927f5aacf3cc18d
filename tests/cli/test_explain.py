"""`novapulse explain`: what it says of a bar is what the backtest did there."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from novapulse.backtest import BacktestSettings, Result, run
from novapulse.core.bars import format_ns
from novapulse.core.instruments import InstrumentKey
from novapulse.core.records import Reason
from novapulse.market.lake import Lake
from tests.cli.conftest import SYMBOLS, Cli


@pytest.fixture(scope="module")
def result(stocked: Path) -> Result:
    lake = Lake(stocked)
    keys = [InstrumentKey("binance", symbol) for symbol in SYMBOLS]
    facts = {key: lake.instrument(key.exchange, key.symbol) for key in keys}
    return run({key: lake.bars(key.exchange, key.symbol, "1m") for key in keys}, instruments=facts)


def explained(cli: Cli, symbol: str, moment_ns: int) -> dict[str, Any]:
    at = format_ns(moment_ns).replace(" ", "T")
    outcome = cli("explain", "--exchange", "binance", "--of", symbol, "--at", at, "--json")
    assert outcome.code == 0, outcome.err
    values: dict[str, Any] = json.loads(outcome.out)
    return values


@pytest.mark.parametrize("number", range(len(SYMBOLS)))
def test_an_entry_is_explained_as_one(cli: Cli, lake: Path, result: Result, number: int) -> None:
    trips = result.round_trips[result.round_trips["instrument"] == number]
    fills = result.fills[result.fills["round_trip"] == trips["number"][-1]]
    said = explained(cli, SYMBOLS[number], int(fills["decision_ts_ns"].min()))
    assert (said["decision"]["verb"], said["decision"]["reason"]) == ("ENTER", Reason.ENTER_CONSENSUS.name)
    assert said["entry"]["reached"]
    assert said["lead"] == result.strategies[int(trips["lead"][-1])]
    sizes = said["decision"]["sizes"]
    assert sizes[said["decision"]["binding"]] == min(size for size in sizes.values() if size is not None)


def test_a_refusal_is_explained_by_the_same_reason(cli: Cli, lake: Path, result: Result) -> None:
    refusals = result.denials[result.denials["reason"] < Reason.ENTER_CONSENSUS]
    kinds = [Reason(int(code)) for code in np.unique(refusals["reason"])]
    assert len(kinds) >= 3, f"this market refuses for few reasons, choose another seed: {kinds}"
    for kind in kinds:
        denial = refusals[refusals["reason"] == kind][-1]
        said = explained(cli, SYMBOLS[int(denial["instrument"])], int(denial["first_ts_ns"]))
        assert (said["decision"]["verb"], said["decision"]["reason"]) == ("HOLD", kind.name)
        assert said["consensus"] == denial["consensus"]


def test_the_consensus_is_the_backtests(cli: Cli, lake: Path, result: Result) -> None:
    columns = result.signals[InstrumentKey("binance", SYMBOLS[1])]
    row = int(np.abs(columns.consensus).argmax())
    stamps = Lake(lake).bars("binance", SYMBOLS[1], "1m").ts_close_ns
    assert explained(cli, SYMBOLS[1], int(stamps[row]))["consensus"] == columns.consensus[row]


def test_people_read_every_vote_and_the_decision(cli: Cli, lake: Path) -> None:
    outcome = cli("explain", "--exchange", "binance", "--symbol", "BTC-USDT", "--at", "2024-01-20T12:00Z")
    assert outcome.code == 0, outcome.err
    assert "\ndecision: " in outcome.out
    for name in ("keltner@15m", "reversal@1m", "consensus", "sure-fire"):
        assert name in outcome.out


BAD = {
    "a moment between bars": ("2024-01-20T12:00:30Z", ["12:00:30", "2024-01-20T12:00:00Z"]),
    "a moment after the last bar": ("2025-01-01", ["2025-01-01", "2024-01-25T00:00:00Z"]),
    "a moment before the first bar": ("2020-01-01", ["2020-01-01"]),
    "no moment": ("noon", ["noon", "ISO 8601"]),
}


@pytest.mark.parametrize(("at", "named"), BAD.values(), ids=BAD)
def test_a_bar_that_is_not_there_is_refused(cli: Cli, lake: Path, at: str, named: list[str]) -> None:
    outcome = cli("explain", "--exchange", "binance", "--symbol", "BTC-USDT", "--at", at)
    assert (outcome.code, outcome.out) == (2, "")
    for part in named:
        assert part in outcome.err


@pytest.mark.parametrize("symbol", ["SOL-USDT", "DOGE-USDT"])
def test_a_symbol_without_bars_is_refused(cli: Cli, lake: Path, symbol: str) -> None:
    for words in (["--of", symbol], ["--symbol", symbol]):
        outcome = cli("explain", "--exchange", "binance", *words, "--at", "2024-01-20")
        assert (outcome.code, outcome.out) == (2, "")
        assert symbol in outcome.err


RUN = ("--symbol", "BTC-USDT", "ETH-USDT", "--start", "2024-01-02", "--end", "2024-01-24", "--capital", "700")


def test_the_words_of_a_backtest_name_the_run_that_is_explained(cli: Cli, lake: Path) -> None:
    """Start and capital decide too: the last entry of that very run is one here, and refused in another account."""
    shelf = Lake(lake)
    keys = [InstrumentKey("binance", symbol) for symbol in SYMBOLS]
    ran = run(
        {key: shelf.bars(key.exchange, key.symbol, "1m", "2024-01-02", "2024-01-24") for key in keys},
        BacktestSettings(capital=700),
        instruments={key: shelf.instrument(key.exchange, key.symbol) for key in keys},
    )
    trip = ran.round_trips[-1]
    fills = ran.fills[ran.fills["round_trip"] == trip["number"]]
    at = format_ns(int(fills["decision_ts_ns"].min())).replace(" ", "T")
    outcome = cli("explain", *RUN, "--of", SYMBOLS[int(trip["instrument"])], "--at", at, "--json")
    assert outcome.code == 0, outcome.err
    said = json.loads(outcome.out)
    assert (said["decision"]["verb"], said["settings_hash"]) == ("ENTER", ran.settings.hash)
    before = ran.equity[ran.equity_ts_ns <= fills["decision_ts_ns"].min()][-1]
    assert said["decision"]["equity"] == pytest.approx(before, rel=1e-3)
    assert "2024-01-02" in outcome.err


def test_another_timeframe_is_explained(cli: Cli, lake: Path) -> None:
    words = ("--symbol", "BTC-USDT", "--timeframe", "5m", "--at", "2024-01-01T20:00Z")
    outcome = cli("explain", *words)
    assert outcome.code == 0, outcome.err
    assert "5m, 25m, 75m not warm" in outcome.out


RUNS = {
    "which of several": (["--at", "2024-01-20"], ["--of", "BTC/USDT, ETH/USDT"]),
    "one that is not traded": (["--symbol", "BTC-USDT", "--of", "ETH-USDT", "--at", "2024-01-20"], ["--of ETH-USDT"]),
    "after the end": (
        ["--symbol", "BTC-USDT", "--end", "2024-01-05", "--at", "2024-01-20"],
        ["--at 2024-01-20", "--end 2024-01-05"],
    ),
    "before the start": (["--symbol", "BTC-USDT", "--start", "2024-01-21", "--at", "2024-01-20"], ["--at 2024-01-20"]),
}


@pytest.mark.parametrize(("words", "named"), RUNS.values(), ids=RUNS)
def test_a_bar_outside_the_run_is_refused(cli: Cli, lake: Path, words: list[str], named: list[str]) -> None:
    outcome = cli("explain", *words)
    assert (outcome.code, outcome.out) == (2, "")
    for part in named:
        assert part in outcome.err


def test_people_read_no_sentinel_and_no_count_above_its_total(
    cli: Cli, lake: Path, result: Result, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where an entry was, costs that no target can pay for refuse it."""
    monkeypatch.setenv("NOVAPULSE_EXECUTION__SLIPPAGE_BPS", "900")
    entry = result.fills[0]
    at = format_ns(int(entry["decision_ts_ns"])).replace(" ", "T")
    words = ("explain", "--of", SYMBOLS[int(entry["instrument"])], "--at", at)
    out = cli(*words).out
    assert f"push the target beyond {result.settings.risk.stops.target_stretch_max:g} times where the range" in out
    assert "-1 away" not in out
    assert re.search(r"\d+ strateg(y agrees|ies agree), 3 are needed", out)
    assert json.loads(cli(*words, "--json").out)["decision"]["target_distance"] is None
