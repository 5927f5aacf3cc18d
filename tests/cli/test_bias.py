"""`novapulse bias` through the command line. What the proofs catch is the business of their own tests."""

import json
from functools import partial
from pathlib import Path

import pytest

from novapulse.cli import bias
from novapulse.research import bias as proofs
from novapulse.research.bias import Effort
from tests.cli.conftest import Cli, tree


def test_a_strategy_is_proven_on_the_lakes_bars(cli: Cli, lake: Path) -> None:
    before = tree(lake)
    outcome = cli("bias", "--strategy", "keltner", "--json")
    assert outcome.code == 0, outcome.err
    assert "real bars: the last 34,560 1m bars of BTC/USDT on binance, beside those of ETH/USDT" in outcome.err
    report = json.loads(outcome.out)
    assert report["ok"] is True
    assert [subject["name"] for subject in report["subjects"]] == ["keltner"]
    assert report["subjects"][0]["proofs"]["prefix"]["outcome"] == "passed"
    assert len(report["mutants"]) >= 6
    assert all(mutant["ok"] for mutant in report["mutants"])
    assert tree(lake) == before


def test_without_bars_a_generated_market_will_do_and_nothing_is_written(cli: Cli, home: Path) -> None:
    outcome = cli("bias", "--strategy", "momentum")
    assert outcome.code == 0, outcome.err
    assert "sample market" in outcome.err
    assert "\n  momentum " in outcome.out
    assert outcome.out.splitlines()[-1] == "every proof that could be tried holds"
    assert max(map(len, outcome.out.splitlines())) <= 80
    assert not home.exists()


def test_an_unknown_strategy_is_refused_with_the_nearest(cli: Cli, lake: Path) -> None:
    outcome = cli("bias", "--strategy", "keltnr")
    assert (outcome.code, outcome.out) == (2, "")
    assert "keltnr" in outcome.err
    assert "nearest: keltner" in outcome.err


def test_the_whole_way_is_proven_with_what_is_configured(cli: Cli, lake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    effort = Effort(2, 2, 2, 1, 2, 0)
    monkeypatch.setattr(proofs, "prove", partial(proofs.prove, effort=effort, heavy_effort=effort))
    outcome = cli("bias")
    assert outcome.code == 0, outcome.err
    marks = {line[:36].strip(): line[36:].split() for line in outcome.out.splitlines() if line.startswith("  ")}
    assert marks["keltner"] == marks["live window"] == ["yes"] * 4
    assert marks["consensus"] == marks["calibrations"] == ["yes", "yes", "yes", "-"]
    assert marks["decisions"] == ["yes", "yes", "yes", "yes", "-"]
    assert "- window: it remembers everything" in outcome.out
    assert outcome.out.splitlines()[-1] == "every proof that could be tried holds"


CHEAT = """
from dataclasses import dataclass

import numpy as np

from novapulse.strategies import Votes


@dataclass(frozen=True)
class Params:
    pass


def warmup_bars(params):
    return 10


def votes(view, params):
    ahead = np.append(view.close[1:], view.close[-1]) - view.close
    return Votes.made(np.sign(ahead) * 10, 1.0, 10)
"""


def test_a_strategy_of_ones_own_that_looks_ahead_is_wrong_input(
    cli: Cli, lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "cheat.py").write_text(CHEAT)
    monkeypatch.setenv("NOVAPULSE_DATA__STRATEGIES_FOLDER", str(tmp_path / "own"))
    monkeypatch.setattr(bias, "_BARS_MAX", 2_000)
    outcome = cli("bias", "--strategy", "cheat")
    assert outcome.code == 2
    assert "strategy cheat looks ahead: prefix proof" in outcome.err
    assert outcome.out.splitlines()[-1] == "NOT EVERY PROOF HOLDS"
