"""A home with a ledger in which a session was recorded, and the lake that it heard."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from novapulse.parity.playing import Script
from tests.cli.conftest import home, lake, stocked
from tests.parity.conftest import Small, played, record, recorded, small

__all__ = ["home", "lake", "played", "record", "recorded", "small", "stocked"]


@pytest.fixture(scope="session")
def sober(record: Callable[[Script], Path]) -> Path:
    """A ledger of a session in which nothing happened besides its bars; only to be read."""
    return record(Script())


@pytest.fixture
def traded_home(home: Path, small: Small, recorded: Path) -> Path:
    """The home folder, with the ledger of an eventful session and its lake."""
    home.mkdir()
    shutil.copytree(small.lake.path, home / "lake")
    shutil.copy(recorded, home / "ledger.db")
    return home
