"""Everything a person can give that cannot be: a sentence that names it, exit code 2, no traceback, nothing written."""

from pathlib import Path

import polars as pl
import pytest

from tests.cli.conftest import Cli, Outcome, tree

HEAD = "open_time,open,high,low,close,volume\n"


def row(minute: int = 0, tail: str = "10,11,9,10.5,3", zone: str = "Z") -> str:
    return f"2024-03-01T00:{minute:02d}:00{zone},{tail}\n"


FILES = {
    "an empty file": ("", ["the file is empty"]),
    "a header alone": (HEAD, ["there are no rows"]),
    "a missing column": ("open_time,open,high,low,close\n2024-03-01T00:00Z,1,1,1,1\n", ["volume", "missing"]),
    "wrong columns": ("a,b,c\n1,2,3\n", ["missing", "found a, b, c"]),
    "no header": ("1,2,3,4\n5,6,7,8\n", ["without a header"]),
    "a short row": (HEAD + row(0) + "2024-03-01T00:01:00Z,1,1\n", ["row 2"]),
    "unsorted": (HEAD + row(1) + row(0), ["open_time, row 2", "not sorted"]),
    "a duplicate": (HEAD + row(0) + row(1) + row(1), ["open_time, row 3", "duplicate of row 2"]),
    "a negative price": (HEAD + row(0) + row(1, "10,11,-9,10,3"), ["low, row 2", "-9", "negative"]),
    "a negative volume": (HEAD + row(0, "10,11,9,10,-3"), ["volume, row 1", "-3", "negative"]),
    "a price of zero": (HEAD + row(0, "10,11,0,10,3"), ["low, row 1", "zero"]),
    "an infinite price": (HEAD + row(0, "10,inf,9,10,3"), ["high, row 1", "infinite"]),
    "NaN": (HEAD + row(0) + row(1, "10,11,9,NaN,3"), ["close, row 2", "not a number"]),
    "a word for a price": (HEAD + row(0, "10,11,9,high,3"), ["close, row 1", "'high'"]),
    "an empty cell": (HEAD + row(0, "10,11,9,,3"), ["close, row 1", "missing"]),
    "high below low": (HEAD + row(0, "10,9,11,10,3"), ["high, row 1", "below low"]),
    "mixed zones": (HEAD + row(0) + row(1, zone="+01:00"), ["row 2", "mixed time zones"]),
    "no zone": (HEAD + row(0, zone=""), ["names no time zone"]),
    "a time that is none": (HEAD + row(0) + "later,1,1,1,1,1\n", ["open_time, row 2", "'later'"]),
    "off the grid": (HEAD + "2024-03-01T00:00:07Z,10,11,9,10,3\n", ["row 1", "grid"]),
    "another symbol": ("symbol," + HEAD + "ETHUSD," + row(0), ["symbol", "ETHUSD", "BTC-USD"]),
}


def refused(outcome: Outcome, named: list[str]) -> None:
    """The contract of every bad input."""
    assert outcome.code == 2, outcome
    assert outcome.out == ""
    assert "Traceback" not in outcome.err
    assert "bug of ours" not in outcome.err
    for part in named:
        assert part in outcome.err, outcome.err


@pytest.mark.parametrize(("text", "named"), FILES.values(), ids=FILES)
def test_a_bad_file_is_not_imported(cli: Cli, lake: Path, tmp_path: Path, text: str, named: list[str]) -> None:
    file = tmp_path / "bars.csv"
    file.write_text(text, "utf-8")
    before = tree(lake)
    words = ("data", "import", file, "--exchange", "kraken", "--symbol", "BTC-USD", "--timeframe", "1m")
    refused(cli(*words), [file.name, *named])
    assert tree(lake) == before


def test_a_damaged_parquet_file_is_not_imported(cli: Cli, home: Path, tmp_path: Path) -> None:
    file = tmp_path / "bars.parquet"
    pl.DataFrame({"open_time": [1.0] * 1000}).write_parquet(file)
    file.write_bytes(file.read_bytes()[:-100])
    words = ("data", "import", file, "--exchange", "kraken", "--symbol", "BTC-USD", "--timeframe", "1m")
    refused(cli(*words), ["bars.parquet", "cannot be read"])
    assert not home.exists()


def test_bars_that_contradict_stored_ones_are_not_imported(cli: Cli, home: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "first.csv", tmp_path / "second.csv"
    first.write_text(HEAD + row(0) + row(1))
    second.write_text(HEAD + row(1, "10,12,9,10.5,3") + row(2))
    words = ("--exchange", "kraken", "--symbol", "BTC-USD", "--timeframe", "1m")
    assert cli("data", "import", first, *words).code == 0
    before = tree(home)
    refused(cli("data", "import", second, *words), ["00:02:00Z", "high 11.0", "12.0"])
    assert tree(home) == before


IMPORT = {
    "a file that is not there": (["--timeframe", "1m"], ["nothing.csv: no such file"]),
    "a timeframe that is none": (["--timeframe", "1x"], ["1x"]),
    "another meaning of the stamps": (["--timeframe", "1m", "--stamps", "close"], ["open_time", "open stamps"]),
    "an unknown calendar": (["--timeframe", "1m", "--calendar", "MARS"], ["MARS"]),
    "an exchange that is none": (["--timeframe", "1m", "--exchange", "My Exchange"], ["My Exchange", "lower-case"]),
    "a symbol that is none": (["--timeframe", "1m", "--symbol", "B T C"], ["B T C"]),
    "no timeframe": ([], ["--timeframe"]),
    "a word for stamps": (["--timeframe", "1m", "--stamps", "middle"], ["middle"]),
}


@pytest.mark.parametrize(("words", "named"), IMPORT.values(), ids=IMPORT)
def test_bad_words_import_nothing(
    cli: Cli, home: Path, tmp_path: Path, words: list[str], named: list[str], request: pytest.FixtureRequest
) -> None:
    file = tmp_path / ("nothing.csv" if "not there" in request.node.name else "bars.csv")
    (tmp_path / "bars.csv").write_text(HEAD + row(0))
    refused(cli("data", "import", file, "--exchange", "kraken", "--symbol", "BTC-USD", *words), named)
    assert not home.exists()


BACKTESTS = {
    "an unknown symbol": (["--symbol", "DOGE-USDT"], ["DOGE-USDT", "binance BTC-USDT 1m"]),
    "a symbol that is none": (["--symbol", "D O G E"], ["D O G E"]),
    "an unknown exchange": (["--exchange", "kraken"], ["kraken", "1m bars"]),
    "another timeframe": (["--timeframe", "4h"], ["4h bars"]),
    "no capital": (["--capital", "0"], ["--capital", "greater than 0"]),
    "less than no capital": (["--capital", "-5"], ["--capital", "-5"]),
    "endless capital": (["--capital", "inf"], ["--capital", "inf"]),
    "a word for capital": (["--capital", "much"], ["--capital", "much"]),
    "a time that is none": (["--start", "yesterday"], ["yesterday", "ISO 8601"]),
    "an end before the start": (
        ["--start", "2024-01-05", "--end", "2024-01-03"],
        ["the start 2024-01-05", "the end 2024-01-03"],
    ),
    "a range without bars": (["--start", "2030-01-01"], ["2030-01-01", "closes"]),
    "a configuration that is not there": (["--config", "no.yaml"], ["no.yaml", "--config"]),
    "an option nobody knows": (["--leverage", "5"], ["--leverage"]),
}


@pytest.mark.parametrize(("words", "named"), BACKTESTS.values(), ids=BACKTESTS)
def test_bad_words_backtest_nothing(cli: Cli, lake: Path, words: list[str], named: list[str]) -> None:
    before = tree(lake.parent)
    refused(cli("backtest", *words), named)
    assert tree(lake.parent) == before


CONFIGURATIONS = {
    "an unknown key": ("risk:\n  sizzing: {}\n", ["line 2", "risk.sizzing", "risk.sizing"]),
    "no capital": ("capital: 0\n", ["line 1", "capital is 0"]),
    "contradictory settings": (
        "risk: {stops: {trail_start_r: 0.5}}\n",
        ["line 1", "trail_start_r (0.5)", "breakeven_r (1)"],
    ),
    "an unknown strategy": ("confluence:\n  weights: {keltnr: 1}\n", ["line 2", "weights.keltnr"]),
    "an impossible parameter": (
        "confluence:\n  parameters:\n    keltner: {band_bars: 1000}\n",
        ["line 3", "keltner.band_bars", "1000"],
    ),
    "an unknown parameter": ("confluence:\n  parameters: {keltner: {bands: 1}}\n", ["line 2", "keltner.bands"]),
    "all weights zero": (
        "confluence:\n  weights: {"
        + ", ".join(
            f"{name}: 0"
            for name in "keltner trend momentum breakout vwap_momentum_alpha mean_reversion rsi_mean_reversion "
            "reversal".split()
        )
        + "}\n",
        ["weights are all zero"],
    ),
    "an order that is later than the next bar": (
        "data: {timeframe: 5m}\nexecution:\n  latency_ms: 300000\n",
        ["line 3", "execution.latency_ms", "300000", "5m"],
    ),
    "a label that nothing earns": (
        "confluence:\n  sure_fire: {strategies_min: 9}\n",
        ["line 2", "strategies_min is 9", "only 8 of the strategies have a weight"],
    ),
    "an estimate above its cap": (
        "confluence:\n  calibration:\n    diversification_max: 1.5\n",
        ["diversification_default is 1.8", "diversification_max (1.5)"],
    ),
    "one fee alone": ("execution:\n  maker_fee_bps: 1\n", ["line 2", "maker_fee_bps", "taker_fee_bps"]),
    "an exit at no opinion": ("risk:\n  exit_forecast_min: 0\n", ["line 2", "exit_forecast_min is 0"]),
    "a folder that is not there": ("data: {strategies_folder: nowhere}\n", ["nowhere", "does not exist"]),
}


@pytest.mark.parametrize("command", ["backtest", "demo", "bias", "config"])
@pytest.mark.parametrize(("text", "named"), CONFIGURATIONS.values(), ids=CONFIGURATIONS)
def test_a_bad_configuration_runs_nothing(
    cli: Cli, lake: Path, tmp_path: Path, command: str, text: str, named: list[str]
) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(text)
    before = tree(lake.parent)
    words = ["config", "check"] if command == "config" else [command]
    refused(cli(*words, "--config", file), named)
    assert tree(lake.parent) == before


@pytest.mark.parametrize("words", [("config", "check"), ("backtest",)], ids=["config", "backtest"])
@pytest.mark.parametrize(
    ("symbols", "qty", "named"),
    [
        ("BTC/USDT, ETH/USDT", 0.1, ["line 1", "one instrument only"]),
        ("BTC/USDT", 1e-12, ["line 1", "less than one lot"]),
    ],
    ids=["several symbols", "less than a lot"],
)
def test_a_fixed_quantity_that_cannot_be_is_refused_before_a_run(
    cli: Cli, lake: Path, tmp_path: Path, words: tuple[str, ...], symbols: str, qty: float, named: list[str]
) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(f"risk: {{sizing: {{fixed_qty: {qty}}}}}\ndata: {{symbols: [{symbols}]}}\n")
    refused(cli(*words, "--config", file), [*named[words[0] == "backtest" :], "sizing.fixed_qty"])


@pytest.mark.parametrize("command", ["backtest", "demo", "bias"])
def test_an_unknown_environment_name_runs_nothing(
    cli: Cli, lake: Path, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOVAPULSE_RISK__SIZING__RISK_FRACTOIN", "0.01")
    before = tree(lake.parent)
    refused(cli(command), ["NOVAPULSE_RISK__SIZING__RISK_FRACTOIN", "NOVAPULSE_RISK__SIZING__RISK_FRACTION"])
    assert tree(lake.parent) == before


STRATEGY = """
import numpy as np
from pydantic import BaseModel
from novapulse.strategies import Votes

class Params(BaseModel, frozen=True, extra="forbid"):
    bars: int = 5

def warmup_bars(params):
    return params.bars

def votes(indicators, params):
    close = indicators.close
    {votes}
"""
MOVE = "np.sign(np.diff(close, prepend=close[0])) * 10"
STRATEGIES = {
    "raises": ("raise KeyError('no such column')", ["mine", "KeyError", "no such column", "mine.py"]),
    "divides by zero": ("return 1 / 0", ["mine", "ZeroDivisionError", "mine.py"]),
    "returns nothing": ("return None", ["mine", "NoneType", "expected Votes"]),
    "returns too few": ("return Votes(close[1:], close[1:])", ["mine", "forecast", "float64["]),
    "returns two columns": ("return Votes(np.stack([close, close]), close)", ["mine", "forecast", "float64[2, "]),
    "returns words": ("return Votes(np.full(close.size, 'up'), close)", ["mine", "forecast"]),
    "shouts": ("return Votes(close * 0 + 500, close * 0 + 1)", ["mine", "500.0", "-20..20"]),
    "does not know": ("return Votes(close * np.nan, close * 0 + 1)", ["mine", "nan", "-20..20"]),
    "looks ahead": (f"return Votes.made(np.roll({MOVE}, -1), 0.5, params.bars)", ["strategy mine", "looks ahead"]),
    "knows the average of all": (
        "return Votes.made(np.sign(close - close.mean()) * 10, 0.5, params.bars)",
        ["strategy mine", "looks ahead"],
    ),
}


def configured(tmp_path: Path, source: str) -> Path:
    """A configuration with one strategy of the user's own."""
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "mine.py").write_text(source)
    file = tmp_path / "mine.yaml"
    file.write_text("data: {strategies_folder: own}\nconfluence: {weights: {mine: 0.2}}\n")
    return file


ASKING = [
    ["backtest"],
    ["bias", "--strategy", "mine"],
    ["explain", "--of", "BTC-USDT", "--at", "2024-01-20T00:00Z"],
]


@pytest.mark.parametrize("words", ASKING, ids=["backtest", "bias", "explain"])
@pytest.mark.parametrize(("votes", "named"), STRATEGIES.values(), ids=STRATEGIES)
def test_a_bad_strategy_is_named(
    cli: Cli, lake: Path, tmp_path: Path, words: list[str], votes: str, named: list[str]
) -> None:
    file = configured(tmp_path, STRATEGY.format(votes=votes))
    before = tree(lake.parent), tree(tmp_path / "own")
    outcome = cli(*words, "--config", file)
    assert outcome.code == 2, outcome
    assert "Traceback" not in outcome.err
    for part in named:
        assert part in outcome.err, outcome.err
    assert (tree(lake.parent), tree(tmp_path / "own")) == before


SOURCES = {
    "a syntax error": ("def votes(:\n", ["mine.py", "SyntaxError"]),
    "an error on import": ("raise RuntimeError('not today')\n", ["mine.py", "not today"]),
    "nothing in it": ("", ["mine.py", "Params", "votes"]),
    "a warm-up that is none": (
        STRATEGY.format(votes="return None").replace("return params.bars", "return -1"),
        ["mine", "warmup_bars", "-1"],
    ),
}


@pytest.mark.parametrize(("source", "named"), SOURCES.values(), ids=SOURCES)
def test_a_file_that_is_no_strategy_is_named(
    cli: Cli, lake: Path, tmp_path: Path, source: str, named: list[str]
) -> None:
    file = configured(tmp_path, source)
    before = tree(lake.parent)
    refused(cli("backtest", "--config", file), named)
    assert tree(lake.parent) == before


def test_an_honest_strategy_of_ones_own_takes_part(cli: Cli, lake: Path, tmp_path: Path) -> None:
    """R-16; and the counterpart of the table above: what is right passes."""
    file = configured(tmp_path, STRATEGY.format(votes=f"return Votes.made({MOVE}, 0.5, params.bars)"))
    outcome = cli("backtest", "--config", file, "--json")
    assert outcome.code == 0, outcome.err
    assert '"mine"' in outcome.out
