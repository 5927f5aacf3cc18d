"""What the chapters show is run here: examples, commands and what they print, figures, sums and tables."""

import doctest
import json
import os
import re
import shlex
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from novapulse.backtest import BacktestSettings
from novapulse.cli import main
from novapulse.cli.parser import parse
from novapulse.confluence.settings import ConfluenceSettings
from novapulse.core.records import REASON_TEXT, Reason
from novapulse.market.sample import sample_market
from novapulse.signals.regimes import HIGH, LOW, NORMAL, RANGE, TREND, Thresholds
from novapulse.strategies import FAMILIES, STRATEGIES, evaluate_all
from novapulse.strategies.loader import load
from tests.docs import pages
from tests.docs.pages import CHAPTERS, PAGES, ROOT, blocks, name_of, prose, rows, sums
from tests.test_architecture import PURE, PURE_MARKET

SAMPLE = "--exchange sample --symbol BTC/USDT"
HASH = re.compile(r"\b[0-9a-f]{16}\b")
SHIPPED = yaml.safe_load((ROOT / "config/novapulse.yaml").read_text(encoding="utf-8"))


def commands(page: Path) -> list[str]:
    return [line for block in blocks(page, "sh") for line in block.text.splitlines() if line and line[0] != "#"]


@dataclass(frozen=True)
class Said:
    """What a command left behind."""

    code: int
    out: str
    err: str


class Reader:
    """Someone who follows the chapters in a folder of their own; the same command is not run twice."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.said: dict[str, Said] = {}

    @contextmanager
    def at_home(self) -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            for name in [name for name in os.environ if name.startswith("NOVAPULSE_")]:
                patch.delenv(name)
            patch.setenv("NOVAPULSE_HOME", str(self.folder / "home"))
            patch.chdir(self.folder)
            yield

    def run(self, command: str) -> Said:
        if command not in self.said:
            words = shlex.split(command)
            assert words[0] == "novapulse"
            out, err = StringIO(), StringIO()
            with self.at_home(), redirect_stdout(out), redirect_stderr(err):
                code = main(words[1:])
            self.said[command] = Said(code, out.getvalue(), err.getvalue())
        return self.said[command]

    def result(self, options: str) -> dict[str, Any]:
        said = self.run(f"novapulse backtest {options} --json")
        assert said.code == 0, said.err
        values: dict[str, Any] = json.loads(said.out)
        return values


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Reader:
    """A reader who has made the market and written the files of the developer's chapter."""
    reader = Reader(tmp_path_factory.mktemp("reader"))
    (market,) = (block.text for block in blocks(pages.MARKET, "python") if ">>>" not in block.text)
    with reader.at_home():
        exec(compile(market, pages.MARKET, "exec"), {})
    (reader.folder / "my_strategies").mkdir()
    for name, block in zip(("my_strategies/pullback.py", "test_pullback.py"), blocks(pages.OWN, "python"), strict=True):
        (reader.folder / name).write_text(block.text, encoding="utf-8")
    for name, block in zip(("novapulse.yaml", "alone.yaml"), blocks(pages.OWN, "yaml"), strict=True):
        (reader.folder / name).write_text(block.text, encoding="utf-8")
    return reader


@pytest.mark.parametrize("page", CHAPTERS, ids=name_of)
def test_every_block_is_of_a_kind_that_is_checked(page: Path) -> None:
    assert {block.language for block in blocks(page)} <= {"python", "sh", "text", "yaml"}


@pytest.mark.parametrize("page", CHAPTERS, ids=name_of)
def test_examples_print_what_the_page_says(page: Path) -> None:
    examples = [block.text for block in blocks(page, "python") if ">>>" in block.text]
    names: dict[str, Any] = {}
    if page.name == Path(pages.MARKET).name:
        names["bars"] = sample_market(["BTC/USDT"], 43_200, seed=7)["BTC/USDT"]
    told: list[str] = []
    runner = doctest.DocTestRunner(verbose=False)
    for number, example in enumerate(examples, 1):
        test = doctest.DocTestParser().get_doctest(example, names, f"{page.name}, example {number}", str(page), 0)
        runner.run(test, out=told.append, clear_globs=False)
        names = test.globs
    assert not runner.summarize(verbose=False).failed, "".join(told)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_have_the_options_that_there_are(page: Path) -> None:
    for command in commands(page):
        words = shlex.split(command, comments=True)
        if words[0] == "novapulse":
            assert callable(parse(words[1:]).command), command


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_recipes_and_paths_that_are_named_exist(page: Path) -> None:
    recipes = set(re.findall(r"^([a-z][a-z-]*)(?: [^:]*)?:", (ROOT / "justfile").read_text(), re.M))
    text = page.read_text(encoding="utf-8")
    assert set(re.findall(r"\./run ([a-z][a-z-]+)", text)) <= recipes
    named = re.findall(r"(?:novapulse|tests|config|notebooks|docs)/[\w/.-]*\w", text)
    assert not [path for path in named if not (ROOT / path).exists()]


OUTPUTS = [
    pytest.param(block.command, block.text, id=f"{page.stem}: {block.command}")
    for page in CHAPTERS
    for block in blocks(page, "text")
    if block.command
]


@pytest.mark.parametrize(("command", "expected"), OUTPUTS)
def test_commands_print_what_the_page_says(reader: Reader, command: str, expected: str) -> None:
    said = reader.run(command)
    assert said.code == 0, said.err
    masked = [HASH.sub("(hash)", text) for text in (expected, said.out)]
    same = doctest.OutputChecker().check_output(*masked, doctest.ELLIPSIS)
    assert same, f"{command} printed\n{said.out}\nand the page has\n{expected}"


def is_off(off: float, digit: float) -> bool:
    """Tell whether a claim is off by more than the rounding of what it was worked out from."""
    return abs(off) > 0.75 * digit


@pytest.mark.parametrize("page", CHAPTERS, ids=name_of)
def test_sums_come_out(page: Path) -> None:
    wrong = [f"{expression} = {claim}" for expression, claim, off, digit in sums(prose(page)) if is_off(off, digit)]
    assert not wrong


def test_a_wrong_sum_would_be_found() -> None:
    found = list(sums("so 2 x 3 = 7, or\n    1 - 9,996 / 10,200 = 2.00 % and `a = 5`"))
    assert [(claim, is_off(off, digit)) for _, claim, off, digit in found] == [("7", True), ("2.00 %", False)]


# ---- A trader's chapters ----


def test_the_table_of_strategies_says_what_ships() -> None:
    table = {
        name: (family, float(weight)) for name, family, weight, _ in rows(pages.STRATEGIES, "Families and weights")
    }
    assert table == {name: (FAMILIES[name], weight) for name, weight in SHIPPED["confluence"]["weights"].items()}
    assert SHIPPED["confluence"]["weights"] == ConfluenceSettings().weights
    assert table.keys() == STRATEGIES.keys()


def test_the_table_of_regimes_says_what_ships() -> None:
    text = prose(pages.STRATEGIES)
    settings = ConfluenceSettings()
    for family in set(FAMILIES.values()):
        (line,) = re.findall(rf"^\| {family} \| ([0-9.| ]+) \|$", text, re.M)
        name = next(name for name, its in FAMILIES.items() if its == family)
        neutral = settings.multiplier_of(name, RANGE, NORMAL)
        expected = [settings.multiplier_of(name, state, NORMAL) for state in (TREND, RANGE)]
        expected += [settings.multiplier_of(name, RANGE, state) / neutral for state in (LOW, NORMAL, HIGH)]
        assert [float(cell) for cell in line.split("|")] == pytest.approx(expected)


def test_each_strategy_has_its_section_with_its_real_settings() -> None:
    sections = re.split(r"^### ", prose(pages.STRATEGIES).split("\n## How often")[0], flags=re.M)[1:]
    named = {section.split("\n")[0]: re.findall(r"`(\w+)=([\d.]+)`", section) for section in sections}
    assert named.keys() == STRATEGIES.keys()
    for name, parameters in named.items():
        params = STRATEGIES[name].Params()
        assert parameters
        assert {key: float(value) for key, value in parameters} == {key: getattr(params, key) for key, _ in parameters}


def test_they_speak_as_often_as_the_chapter_says() -> None:
    bars = sample_market(["BTC/USDT"], 43_200, seed=7)["BTC/USDT"]
    said = evaluate_all({name: (one, one.Params()) for name, one in STRATEGIES.items()}, bars, Thresholds())
    warm = max(one.warmup_bars(one.Params()) for one in STRATEGIES.values())
    table = rows(pages.STRATEGIES, "How often they speak")
    assert {name for name, _, _ in table} == STRATEGIES.keys()
    for name, share, size in table:
        vote = np.abs(said[name].forecast * said[name].confidence)[warm:]
        assert f"{(said[name].forecast[warm:] != 0).mean():.1%}".replace("%", " %") == share
        assert f"{vote[said[name].forecast[warm:] != 0].mean():.1f}" == size


def test_the_table_of_reasons_holds_every_refusal_in_its_words() -> None:
    table = rows(pages.MARKET, "5. Rules")
    assert {name: text for name, text, _ in table} == {
        reason.name: REASON_TEXT[reason]
        for reason in Reason
        if reason in (Reason.NOT_WARM, Reason.NO_SIGNAL)
        or Reason.SHORT_NOT_ALLOWED <= reason <= Reason.BELOW_MINIMUM
        or reason == Reason.ORDER_WORKING
    }
    settings: Any = BacktestSettings().model_dump()
    for _, _, key in table:
        value = settings
        for part in key.split(".") if "." in key else ():
            value = value[part]


FIGURE = re.compile(r"`([a-z_]+(?:\.\w+)+) = (-?[\d,]*\.?\d+|null)( %)?`")


def test_the_figures_of_the_run_are_those_of_its_result(reader: Reader) -> None:
    result = reader.result(SAMPLE)
    values = {**result, "refused": {row["reason"]: row for row in result["refused"]}}
    claims = FIGURE.findall(prose(pages.NUMBERS).replace("\n", " "))
    assert len(claims) > 50
    wrong = []
    for path, claim, percent in claims:
        value: Any = values
        for part in path.split("."):
            value = value[part]
        digits = len(claim.partition(".")[2])
        printed = "null" if value is None else f"{value * (100 if percent else 1):,.{digits}f}"
        if printed != claim:
            wrong.append(f"{path} is {value}, the page says {claim}{percent}")
    assert not wrong


# ---- A developer's chapters ----

PURITY = "Where purity ends"


def test_the_table_of_pure_packages_is_that_of_the_rules() -> None:
    def shortened(name: str) -> str:
        return "market.*" if name in PURE_MARKET else name

    table = {package: set(re.findall(r"[a-z][\w.*]*", targets)) for package, targets in rows(pages.FLOW, PURITY)}
    assert table == {shortened(name): {shortened(one) for one in allowed} for name, allowed in PURE.items()}


def test_the_files_and_functions_of_the_picture_exist() -> None:
    picture = blocks(pages.FLOW, "text")[0].text
    files = set(re.findall(r"\w+/\w+\.py", picture))
    assert len(files) > 12
    assert not [file for file in files if not (ROOT / "novapulse" / file).exists()]
    sources = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "novapulse").rglob("*.py"))
    named = re.findall(r"^[ |]*([a-z]\w+(?:(?:, | -> )[a-z]\w+)*) {2,}\S", picture, re.M)
    functions = {name for names in named for name in re.split(", | -> ", names)}
    assert {"decide", "fold", "mark_account", "combine"} <= functions | set(re.findall(r"(\w+):", picture))
    assert not [name for name in functions if f"def {name}(" not in sources]


def test_the_strategy_of_the_chapter_is_one(reader: Reader) -> None:
    pullback = load(reader.folder / "my_strategies")["pullback"]
    bars = sample_market(["AAA/USD"], 3_000, seed=3)["AAA/USD"]
    votes = evaluate_all({"pullback": (pullback, pullback.Params())}, bars, Thresholds())["pullback"]
    warmup = pullback.warmup_bars(pullback.Params())
    assert not votes.forecast[:warmup].any()
    assert votes.forecast[warmup:].min() < -1.0 < 1.0 < votes.forecast[warmup:].max()


def test_the_tests_of_the_chapter_pass(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(reader.folder)
    names: dict[str, Any] = {}
    exec(compile((reader.folder / "test_pullback.py").read_text(encoding="utf-8"), "test_pullback.py", "exec"), names)
    tests = [test for name, test in names.items() if name.startswith("test_")]
    assert len(tests) == 5
    for test in tests:
        test()


def test_the_configuration_of_the_chapter_is_valid(reader: Reader) -> None:
    said = reader.run("novapulse config check --config novapulse.yaml")
    assert said.code == 0, said.err
    assert re.search(r"^confluence\.weights\.pullback +0\.15 ", said.out, re.M)


@pytest.mark.parametrize(
    ("old", "new", "caught"),
    [
        pytest.param("indicators.close)", "np.roll(indicators.close, -1))", "looks ahead", id="a cheat"),
        pytest.param("max(25 * params.slow_bars, 50 * max(params.rsi_bars, 14))", "250", "window", id="too short"),
    ],
)
def test_what_the_chapter_says_is_refused_is_refused(reader: Reader, old: str, new: str, caught: str) -> None:
    honest = (reader.folder / "my_strategies/pullback.py").read_text(encoding="utf-8")
    assert honest.count(old) == 1
    cheats = f"cheats-{caught.split()[0]}"
    (reader.folder / cheats).mkdir()
    (reader.folder / cheats / "pullback.py").write_text(honest.replace(old, new), encoding="utf-8")
    configuration = (reader.folder / "novapulse.yaml").read_text(encoding="utf-8")
    (reader.folder / f"{cheats}.yaml").write_text(configuration.replace("my_strategies", cheats), encoding="utf-8")
    said = reader.run(f"novapulse bias --strategy pullback --config {cheats}.yaml")
    assert said.code == 2
    assert caught in said.err
    assert re.search(r"bar closing \d{4}-\d\d-\d\d", said.err)


def test_the_comparison_of_the_chapter_is_that_of_the_runs(reader: Reader) -> None:
    runs = [reader.result(options) for options in (SAMPLE, "--config novapulse.yaml", "--config alone.yaml")]
    figures = ("total_return", "trades", "sharpe", "profit_factor", "break_even_slippage_bps")
    table = rows(pages.OWN, "Read the result")
    assert len(table) == len(figures)
    for figure, (_, *cells) in zip(figures, table, strict=True):
        for cell, one in zip(cells, runs, strict=True):
            digits, scale = len(cell.removesuffix(" %").partition(".")[2]), 100 if cell.endswith("%") else 1
            assert f"{scale * one['summary'][figure]:.{digits}f}" == cell.removesuffix(" %"), figure
    with_it, text = runs[1]["statistics"], " ".join(prose(pages.OWN).split())
    assert f"{with_it['days']} daily returns" in text
    assert f"{with_it['min_track_record_days']:.0f} days are the least" in text
    assert f"{with_it['psr']:.0%}".replace("%", " %") + " of such records would look worse" in text
