"""What the documentation shows is run here, so that it cannot go stale."""

import re
import tomllib
from pathlib import Path

import numpy as np
import pytest
import yaml

from novapulse.confluence.settings import ConfluenceSettings
from novapulse.market.sample import sample_market
from novapulse.signals import Indicators
from novapulse.strategies import FAMILIES, STRATEGIES
from novapulse.strategies.loader import load

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", (ROOT / page).read_text(encoding="utf-8"), re.M | re.S)


def test_the_example_of_the_readme_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (example,) = blocks("README.md", "python")
    exec(compile(example, "README.md", "exec"), {})
    assert capsys.readouterr().out.strip()


def test_the_strategy_of_the_documentation_works(tmp_path: Path) -> None:
    (example,) = blocks("docs/strategies.md", "python")
    (tmp_path / "pullback.py").write_text(example, encoding="utf-8")
    pullback = load(tmp_path)["pullback"]
    bars = sample_market(["AAA/USD"], 3_000, seed=3)["AAA/USD"]
    votes = pullback.votes(Indicators(bars), pullback.Params())
    warmup = pullback.warmup_bars(pullback.Params())
    assert not votes.forecast[:warmup].any()
    assert np.abs(votes.forecast[warmup:]).max() > 1.0


def test_the_configuration_of_the_documentation_is_valid() -> None:
    (example,) = blocks("docs/strategies.md", "yaml")
    wanted = yaml.safe_load(example)["confluence"]
    assert ConfluenceSettings.model_validate(wanted).weights["pullback"] > 0


def test_the_table_of_strategies_says_what_ships() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| ([0-9.]+) \|", (ROOT / "docs/strategies.md").read_text(), re.M)
    shipped = ConfluenceSettings().weights
    assert {name: (family, float(weight)) for name, family, weight in rows} == {
        name: (FAMILIES[name], shipped[name]) for name in STRATEGIES
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8"))
    missing = [target for target in targets if not (page.parent / target).exists()]
    assert not missing


def test_recipes_named_in_the_readme_exist() -> None:
    recipes = set(re.findall(r"^([a-z][a-z-]*)(?: [^:]*)?:", (ROOT / "justfile").read_text(), re.M))
    named = set(re.findall(r"\./run ([a-z-]+)", (ROOT / "README.md").read_text()))
    assert named
    assert named <= recipes


def test_the_command_of_the_readme_is_installed() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert "novapulse" in project["scripts"]
