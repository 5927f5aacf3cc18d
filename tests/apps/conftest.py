"""A server over what a real session of the paper trader left, and two people who look at it."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.apps.house import PEOPLE, House, serving, signed_in, welcomed
from tests.browser import chromium
from tests.monitor.conftest import left_home

__all__ = ["chromium", "left_home"]


@dataclass
class Visited:
    """A server, and the browsers of a viewer and an operator."""

    house: House
    browsers: dict[str, Any]


@pytest.fixture(scope="module")
def visited(chromium: Any, left_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Visited]:
    home = tmp_path_factory.mktemp("visited") / "home"
    shutil.copytree(left_home, home)
    with serving(home) as house:
        yield Visited(house, let_in(chromium, house))


def let_in(browser: Any, house: House) -> dict[str, Any]:
    """Sign a viewer and an operator in; return the browser of each by role."""
    welcomed(browser, house).close()
    house.add_people()
    return {str(role): signed_in(browser, house, name) for name, role in PEOPLE.items()}
