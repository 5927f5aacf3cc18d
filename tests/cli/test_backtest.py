"""`novapulse backtest`: its JSON contract, and that it is the library's own `run` on the lake's own bars."""

import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from novapulse.backtest import BacktestSettings, run
from novapulse.core.instruments import InstrumentKey
from novapulse.core.records import REASON_TEXT, Reason
from novapulse.market.lake import Lake
from novapulse.market.resample import resample
from novapulse.market.sample import sample_market
from tests.cli.conftest import BARS, SYMBOLS, Cli

SUMMARY = set(
    "total_return cagr sharpe sortino calmar max_drawdown trades win_rate profit_factor expectancy exposure turnover "
    "fees slippage break_even_slippage_bps".split()
)


def parsed(text: str) -> dict[str, Any]:
    """One JSON object and nothing else, without numbers that are none."""

    def impossible(name: str) -> None:
        pytest.fail(f"{name} in JSON")

    assert text.count("\n") == 1
    values = json.loads(text, parse_constant=impossible)
    assert isinstance(values, dict)
    return values


@pytest.fixture
def result(cli: Cli, lake: Path) -> dict[str, Any]:
    outcome = cli("backtest", "--json")
    assert outcome.code == 0, outcome.err
    return parsed(outcome.out)


def test_json_keeps_its_contract(result: dict[str, Any]) -> None:
    assert set(result) >= {"data", "settings_hash", "summary", "by_strategy", "denials", "bands", "notes"}
    assert set(result) >= {"verdict", "statistics", "attribution", "stress", "monte_carlo", "refused"}
    assert set(result) >= {"months", "years", "drawdowns"}
    assert result["notes"] == []
    assert {"hash", "bars", "start", "end", "bars_per_year", "gaps"} <= set(result["data"])
    assert set(result["summary"]) >= SUMMARY
    assert set(result["bands"]) == {"pessimistic", "base", "optimistic"}
    assert result["bands"]["base"] == result["summary"]
    assert set(result["denials"]) <= {reason.name for reason in Reason}
    assert sum(row["trades"] for row in result["by_strategy"].values()) == result["summary"]["trades"] > 0


def test_it_is_the_librarys_run_on_the_lakes_bars(result: dict[str, Any], lake: Path) -> None:
    shelf = Lake(lake)
    keys = [InstrumentKey("binance", symbol) for symbol in SYMBOLS]
    bars = {key: shelf.bars(key.exchange, key.symbol, "1m") for key in keys}
    expected = run(bars, instruments={key: shelf.instrument(key.exchange, key.symbol) for key in keys})
    assert result["summary"] == expected.summary()
    assert result["by_strategy"] == expected.by_strategy
    assert result["settings_hash"] == BacktestSettings().hash
    data = result["data"]
    assert data["bars"] == 2 * BARS
    assert (data["start"], data["end"]) == ("2024-01-01T00:01:00Z", "2024-01-25T00:00:00Z")
    assert data["bars_per_year"] == pytest.approx(365.25 * 1440, rel=1e-3)
    assert (data["gaps"], [one["inferred"] for one in data["instruments"]]) == (0, [True, True])


def test_the_same_words_say_the_same_bytes(cli: Cli, lake: Path) -> None:
    words = ("backtest", "--json", "--symbol", "btc-usdt")
    assert cli(*words).out == cli(*words).out


def test_a_range_is_of_closes_and_half_open(cli: Cli, lake: Path) -> None:
    words = ("--symbol", "BTC-USDT", "--start", "2024-01-02", "--end", "2024-01-03T00:00+00:00", "--json")
    data = parsed(cli("backtest", *words).out)["data"]
    assert (data["bars"], data["start"], data["end"]) == (1440, "2024-01-02T00:01:00Z", "2024-01-03T00:00:00Z")


def test_metrics_only_has_the_same_figures_and_no_invented_ones(cli: Cli, lake: Path, result: dict[str, Any]) -> None:
    short = parsed(cli("backtest", "--json", "--metrics-only").out)
    for name in "statistics by_strategy attribution stress months years drawdowns monte_carlo refused".split():
        assert short[name] is None, name
        assert result[name] is not None, name
    for name in ("data", "settings_hash", "summary", "bands", "denials", "notes"):
        assert short[name] == result[name], name


def test_capital_is_what_the_account_opens_with(cli: Cli, lake: Path) -> None:
    values = parsed(cli("backtest", "--json", "--symbol", "BTC-USDT", "--capital", "5000").out)
    summary = values["summary"]
    assert summary["final_equity"] == pytest.approx(5000 * (1 + summary["total_return"]), abs=1e-6)
    assert values["settings_hash"] == BacktestSettings(capital=5000).hash


def test_narrower_bars_are_used_inside_a_decision_bar(cli: Cli, lake: Path) -> None:
    data = parsed(cli("backtest", "--json", "--symbol", "BTC-USDT", "--timeframe", "5m").out)["data"]
    one = data["instruments"][0]
    assert (data["timeframe"], one["finer"], one["finer_bars"]) == ("5m", "1m", data["bars"])


def test_the_series_that_covers_most_is_used_and_its_share_told(cli: Cli, home: Path) -> None:
    """Two hours of 1m bars do not speak for a day, and a group with a hole is not complete."""
    minutes = sample_market(["A/USD"], 1440, seed=3)["A/USD"]
    wide, fifteen, five = (resample(minutes, multiple) for multiple in (60, 15, 5))
    lake = Lake(home / "lake")
    lake.append("binance", "A/USD", "1m", minutes[:130])
    lake.append("binance", "A/USD", "1h", wide)
    words = ("backtest", "--symbol", "A-USD", "--timeframe", "1h")

    def told() -> tuple[str, int, str]:
        one = parsed(cli(*words, "--json").out)["data"]["instruments"][0]
        (line,) = [line for line in cli(*words).out.splitlines() if "looked up" in line]
        return one["finer"], one["finer_bars"], line

    assert told() == ("1m", 2, "fills of 8 % of the bars looked up in 1m bars")
    lake.append("binance", "A/USD", "15m", fifteen)
    lake.append("binance", "A/USD", "5m", five[: 23 * 12 + 5])
    assert told() == ("15m", 24, "fills of all bars looked up in 15m bars")


def test_fees_are_told_and_can_be_set(cli: Cli, lake: Path, tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("execution: {maker_fee_bps: -0.5, taker_fee_bps: 4}\n")
    shelf, key = Lake(lake), InstrumentKey("binance", SYMBOLS[0])
    facts = shelf.instrument(key.exchange, key.symbol)
    words = ("backtest", "--symbol", "BTC-USDT", "--metrics-only")

    def told(*more: str | Path) -> tuple[list[Any], str, float]:
        values = parsed(cli(*words, *more, "--json").out)
        (line,) = [line for line in cli(*words, *more).out.splitlines() if line.startswith("fees: ")]
        one = values["data"]["instruments"][0]
        rates = [one[name] for name in ("maker_fee_bps", "taker_fee_bps", "fees_from")]
        return rates, line, values["summary"]["fees"]

    rates, line, assumed = told()
    assert (rates, line) == ([16, 26, "assumed"], "fees: maker 16, taker 26 bps (assumed)")
    rates, line, configured = told("--config", file)
    assert (rates, line) == ([-0.5, 4, "configured"], "fees: maker -0.5, taker 4 bps (configured)")
    assert configured < assumed / 4
    shelf.set_instrument(
        replace(facts, inferred=False, maker_fee_bps=Decimal(10), taker_fee_bps=Decimal("10.5")), "2024-01-01", "a test"
    )
    rates, line, _ = told()
    assert (rates, line) == ([10, 10.5, "venue"], "fees: maker 10, taker 10.5 bps (venue)")


def test_symbols_without_bars_are_named_and_left_out(cli: Cli, lake: Path) -> None:
    outcome = cli("backtest")
    assert outcome.code == 0
    for name in ("SOL/USDT", "ATOM/USDT"):
        assert name in outcome.err


def test_the_table_says_what_matters_in_80_columns(cli: Cli, lake: Path, result: dict[str, Any]) -> None:
    out = cli("backtest").out
    lines = out.splitlines()
    assert max(map(len, lines)) <= 80
    assert "\x1b" not in out
    told = lines[: lines.index("")]
    assert " ".join(told) == " ".join(result["verdict"])
    figures = lines[len(told) + 1 :]
    assert [line.split()[0] for line in figures[:4]] == ["Return", "Drawdown", "Trades", "Costs"]
    assert f"{100 * result['summary']['total_return']:,.2f} %" in figures[0]
    for name in result["denials"]:
        assert REASON_TEXT[Reason[name]] in " ".join(out.split())
    assert "for comparison: the entries that were taken, imagined in the same way" in " ".join(out.split())
    for name in (*result["by_strategy"], "pessimistic", "base", "optimistic", "inferred", result["settings_hash"]):
        assert name in out


def test_a_tear_sheet_is_written_whole_or_not_at_all(cli: Cli, lake: Path, tmp_path: Path) -> None:
    words = ("backtest", "--symbol", "BTC-USDT", "--html")
    folder = tmp_path / "sheets"
    folder.mkdir()
    sheet = folder / "sheet.html"
    outcome = cli(*words, sheet, "--json")
    assert (outcome.code, sheet.name in outcome.err) == (0, True)
    assert parsed(outcome.out)["settings_hash"] in sheet.read_text()
    assert [path.name for path in folder.iterdir()] == ["sheet.html"]
    for place, complaint in ((folder, "is a folder"), (folder / "no" / "sheet.html", "there is no folder")):
        refused = cli(*words, place)
        assert (refused.code, refused.out) == (2, "")
        assert complaint in refused.err


def test_colours_are_for_terminals_that_want_them(cli: Cli, lake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert "\x1b[" in cli("backtest").out
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in cli("backtest").out
