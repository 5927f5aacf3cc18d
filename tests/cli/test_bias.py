"""`novapulse bias` through the command line. What the proofs catch is the business of their own tests."""

import json
from pathlib import Path

from tests.cli.conftest import Cli, tree


def test_a_strategy_is_proven_on_the_lakes_bars(cli: Cli, lake: Path) -> None:
    before = tree(lake)
    outcome = cli("bias", "--strategy", "keltner", "--json")
    assert outcome.code == 0, outcome.err
    assert "real bars: the last 20,000 1m bars of binance BTC/USDT" in outcome.err
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
    assert "strategy momentum" in outcome.out
    assert outcome.out.splitlines()[-1] == "every proof that could be tried holds"
    assert max(map(len, outcome.out.splitlines())) <= 100
    assert not home.exists()


def test_an_unknown_strategy_is_refused_with_the_nearest(cli: Cli, lake: Path) -> None:
    outcome = cli("bias", "--strategy", "keltnr")
    assert (outcome.code, outcome.out) == (2, "")
    assert "keltnr" in outcome.err
    assert "nearest: keltner" in outcome.err
