"""The command line in-process: an own home folder, no settings of this machine, and a lake with a generated market."""

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from novapulse.cli import main
from novapulse.market.lake import Lake
from novapulse.market.resample import resample
from novapulse.market.sample import sample_market
from tests.cli.living import BARS as LIVE_BARS
from tests.cli.living import NoHooks
from tests.killing import make_home

BARS = 24 * 1440
SYMBOLS = ("BTC/USDT", "ETH/USDT")


@dataclass(frozen=True)
class Outcome:
    """What a command left behind."""

    code: int
    out: str
    err: str


Cli = Callable[..., Outcome]


@pytest.fixture(scope="session")
def stocked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake with two symbols of 24 days, and the first of these days in wider bars; only to be read."""
    lake = Lake(tmp_path_factory.mktemp("stocked"))
    market = sample_market(SYMBOLS, BARS, seed=3)
    for symbol, bars in market.items():
        lake.append("binance", symbol, "1m", bars, source="a test")
    lake.append("binance", SYMBOLS[0], "5m", resample(market[SYMBOLS[0]][:1500], 5))
    return lake.path


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty home folder in an empty working folder, and none of this machine's settings."""
    with monkeypatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("NOVAPULSE_")]:
            patch.delenv(name)
        home = tmp_path / "home"
        patch.setenv("NOVAPULSE_HOME", str(home))
        patch.setenv("HOME", str(tmp_path))
        patch.delenv("NO_COLOR", raising=False)
        (tmp_path / "work").mkdir()
        patch.chdir(tmp_path / "work")
        yield home


@pytest.fixture
def cli(home: Path, capsys: pytest.CaptureFixture[str]) -> Cli:
    """Run `novapulse` with some words."""

    def run(*words: str | Path) -> Outcome:
        capsys.readouterr()
        code = main([str(word) for word in words])
        said = capsys.readouterr()
        return Outcome(code, said.out, said.err)

    return run


@pytest.fixture
def lake(home: Path, stocked: Path) -> Path:
    """A lake of the test's own at the place where the command line looks for it."""
    shutil.copytree(stocked, home / "lake")
    return home / "lake"


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below a folder with its content."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def stocked_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with a lake of two exchanges and a configuration of three accounts."""
    monkeypatch.setattr("novapulse.cli.live.CrashHooks", NoHooks)
    return make_home(home, LIVE_BARS)
