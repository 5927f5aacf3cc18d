"""`novapulse data`: what was imported is listed, and damage is found."""

import json
from pathlib import Path

from novapulse.market.lake import Lake
from tests.cli.conftest import BARS, Cli

CSV = "open_time,open,high,low,close,volume\n2024-03-01T00:01Z,10,11,9,10.5,3\n2024-03-01T00:00Z,10,11,9,10.5,3\n"


def test_an_import_says_what_it_read_and_how(cli: Cli, home: Path, tmp_path: Path) -> None:
    file = tmp_path / "bars.csv"
    file.write_text(CSV)
    words = ("data", "import", file, "--exchange", "kraken", "--symbol", "btc-usd", "--timeframe", "1m", "--sort")
    outcome = cli(*words)
    assert (outcome.code, outcome.err) == (0, "")
    for part in ("2 bars added to kraken BTC/USD 1m", "open_time read as open stamps", "24/7", "rows sorted"):
        assert part in outcome.out
    assert Lake(home / "lake").bars("kraken", "BTC/USD", "1m").close.tolist() == [10.5, 10.5]
    again = json.loads(cli(*words, "--json").out)
    assert (again["added"], again["already_there"], again["first"]) == (0, 2, "2024-03-01T00:01:00Z")


def test_a_stock_has_the_calendar_of_new_york_unless_another_is_named(cli: Cli, home: Path, tmp_path: Path) -> None:
    file = tmp_path / "bars.csv"
    file.write_text(CSV.replace("T00:", "T15:"))
    words = ("data", "import", file, "--exchange", "us", "--symbol", "SPY", "--timeframe", "1m", "--sort", "--json")
    assert json.loads(cli(*words).out)["calendar"] == "XNYS"


def test_the_list_is_the_lake(cli: Cli, lake: Path) -> None:
    values = json.loads(cli("data", "list", "--json").out)
    assert [(one["symbol"], one["timeframe"], one["bars"]) for one in values["series"]] == [
        ("BTC/USDT", "1m", BARS),
        ("BTC/USDT", "5m", 300),
        ("ETH/USDT", "1m", BARS),
    ]
    assert {one["hash"] for one in values["series"]} == {info.content_hash for info in Lake(lake).series()}
    text = cli("data", "list").out
    assert "binance ETH-USDT 1m" in text
    assert max(map(len, text.splitlines()[1:])) <= 80


def test_an_empty_lake_is_no_error(cli: Cli, home: Path) -> None:
    for command in ("list", "verify"):
        outcome = cli("data", command)
        assert outcome.code == 0
        assert "no series" in outcome.out
    assert not home.exists()


def test_damage_is_found_named_and_a_failure(cli: Cli, lake: Path) -> None:
    assert cli("data", "verify").code == 0
    other, damaged = (lake / "binance" / name / "1m" / "2024.parquet" for name in ("ETH-USDT", "BTC-USDT"))
    damaged.write_bytes(other.read_bytes())
    outcome = cli("data", "verify")
    assert outcome.code == 1
    assert "binance BTC-USDT 1m is damaged" in outcome.err
    assert "binance ETH-USDT 1m" in outcome.out
    values = json.loads(cli("data", "verify", "--json").out)
    assert values["ok"] is False
    assert [one["symbol"] for one in values["series"] if not one["ok"]] == ["BTC/USDT"]
