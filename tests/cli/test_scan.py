"""`novapulse scan`: what it prints is what the look over the lake found, in every form, and bad words are named."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from novapulse.market.lake import Lake
from novapulse.market.sample import sample_market
from tests.cli.conftest import Cli
from tests.cli.test_bad_input import refused

HOUR_NS = 3_600 * 10**9
LONG, SHORT_HISTORY = ("AAA/USD", "BBB/USD", "CCC/USD"), "DDD/USD"


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    lake = Lake(tmp_path_factory.mktemp("wide"))
    for symbol, bars in sample_market([*LONG, SHORT_HISTORY], 1_700, 21, HOUR_NS).items():
        lake.append("kraken", symbol, "1h", bars[:50] if symbol == SHORT_HISTORY else bars, source="a test")
    return lake.path


@pytest.fixture
def universe(home: Path, wide: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NOVAPULSE_DATA_DIR", str(wide))
    return wide


def values_of(cli: Cli, *words: str) -> dict[str, Any]:
    outcome = cli("scan", "--own-timeframe", *words, "--json")
    assert outcome.code == 0, outcome.err
    values: dict[str, Any] = json.loads(outcome.out)
    return values


def test_json_lists_every_series_the_strongest_first(cli: Cli, universe: Path) -> None:
    values = values_of(cli)
    assert (values["series"], values["not_warm"], values["left_out"]) == (4, 1, 0)
    assert [row["symbol"] for row in values["rows"]][-1] == SHORT_HISTORY
    assert values["rows"][-1]["note"].startswith("not warm: 50 of 1,5")
    sizes = [abs(row["consensus"]) for row in values["rows"][:-1]]
    assert sizes == sorted(sizes, reverse=True)
    for row in values["rows"][:-1]:
        assert set(row["forecasts"]) == set(row["weights"]) == set(values["strategies"])
        assert sum(row["weights"].values()) == pytest.approx(1.0)
    symbols = [row["symbol"] for row in values_of(cli, "--sort", "symbol")["rows"]]
    assert symbols == [*LONG, SHORT_HISTORY]


def test_csv_and_tables_say_the_same(cli: Cli, universe: Path) -> None:
    values = values_of(cli)
    outcome = cli("scan", "--own-timeframe", "--csv")
    rows = list(csv.DictReader(io.StringIO(outcome.out)))
    assert [row["symbol"] for row in rows] == [row["symbol"] for row in values["rows"]]
    for row, wanted in zip(rows, values["rows"], strict=True):
        assert row["consensus"] == ("" if wanted["consensus"] is None else str(wanted["consensus"]))
        assert row["would_reason"] == wanted["would"]["reason"]
        for name in values["strategies"]:
            assert row[f"vote_{name}"] == ("" if wanted["forecasts"] is None else str(wanted["forecasts"][name]))
    told = cli("scan", "--own-timeframe").out
    assert "4 series at" in told
    assert "3 judged" in told
    assert "kraken DDD-USD 1h not warm: 50 of 1,5" in told.replace("\n  ", " ")
    for wanted in values["rows"][:-1]:
        (line,) = [
            one for one in told.splitlines() if one.startswith(f"kraken {wanted['symbol'].replace('/', '-')} 1h ")
        ]
        assert f"{wanted['consensus']:+.1f}" in line
        marks = "".join("+" if vote > 0 else "-" if vote < 0 else "." for vote in wanted["forecasts"].values())
        assert f" {marks} " in line
        assert wanted["would"]["side"] or wanted["would"]["why"] in " ".join(told.split())


def test_filters_leave_out_and_say_how_many(cli: Cli, universe: Path) -> None:
    whole = values_of(cli)
    long = values_of(cli, "--direction", "long")
    assert [row["symbol"] for row in long["rows"]] == [
        row["symbol"] for row in whole["rows"] if (row["consensus"] or 0) > 0
    ]
    assert long["left_out"] == 4 - len(long["rows"])
    only = values_of(cli, "--symbol", "bbb-*", "DDD/USD", "--exchange", "kraken", "--timeframe", "1h")
    assert {row["symbol"] for row in only["rows"]} == {"BBB/USD", "DDD/USD"}
    dear = values_of(cli, "--turnover-min", "1e17")
    assert (dear["rows"], dear["left_out"]) == ([], 4)
    assert "4 left out by what was asked for" in cli("scan", "--own-timeframe", "--turnover-min", "1e17").out


def test_the_configuration_names_the_universe(cli: Cli, universe: Path, home: Path) -> None:
    home.mkdir(exist_ok=True)
    (home / "config.yaml").write_text("scan: {symbols: [AAA-USD, 'C*'], own_timeframe: true}\n")
    values = json.loads(cli("scan", "--json").out)
    assert {row["symbol"] for row in values["rows"]} == {"AAA/USD", "CCC/USD"}
    assert values["not_warm"] == 0
    assert {row["symbol"] for row in json.loads(cli("scan", "--symbol", "B*", "--json").out)["rows"]} == {"BBB/USD"}


def test_a_series_that_cannot_be_read_is_named_and_the_rest_is_judged(cli: Cli, lake: Path) -> None:
    made = Lake(lake)
    for symbol, bars in sample_market(LONG[:2], 1_700, 21, HOUR_NS).items():
        made.append("us", symbol, "1h", bars, source="a test")
    next(lake.glob("us/AAA-USD/1h/*.parquet")).write_bytes(b"no parquet")
    outcome = cli("scan", "--exchange", "us", "--own-timeframe", "--json")
    assert outcome.code == 1
    assert "us AAA-USD 1h cannot be judged" in outcome.err
    assert [bool(row["problem"]) for row in json.loads(outcome.out)["rows"]] == [False, True]


def test_an_empty_lake_says_how_to_fill_it(cli: Cli, home: Path) -> None:
    refused(cli("scan"), ["is empty", "novapulse data import FILE --exchange us"])


WRONG = {
    "an exchange without bars": (("--exchange", "us"), ["no series of us", "of kraken", "1h wide"]),
    "an exchange that is none": (("--exchange", "US!"), ["--exchange", "'US!'", "lower-case"]),
    "a symbol without bars": (("--symbol", "ZZZ*"), ["no series of ZZZ*", "data list"]),
    "a width that is none": (("--timeframe", "7x"), ["--timeframe", "7x"]),
    "a width without bars": (("--timeframe", "1d"), ["no series of * 1d", "1h wide"]),
    "a regime that is none": (("--regime", "calm"), ["--regime calm", "trend-high"]),
    "a direction that is none": (("--direction", "up"), ["--direction", "'up'", "long"]),
    "a score beyond the scale": (("--score-min", "21"), ["--score-min", "'21'", "0 to 20"]),
    "a score that is no number": (("--score-min", "nan"), ["--score-min", "'nan'"]),
    "a negative turnover": (("--turnover-min=-1",), ["--turnover-min", "'-1'"]),
    "an order that is none": (("--sort", "luck"), ["--sort", "'luck'", "turnover"]),
    "two forms at once": (("--json", "--csv"), ["--csv", "--json"]),
}


@pytest.mark.parametrize(("words", "named"), WRONG.values(), ids=WRONG)
def test_wrong_words_are_named(cli: Cli, universe: Path, words: tuple[str, ...], named: list[str]) -> None:
    refused(cli("scan", *words), named)
