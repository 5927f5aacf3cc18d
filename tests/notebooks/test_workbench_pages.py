"""The notebooks beside the backtest in Chromium: one page each, a control that works, nothing that overflows."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from novapulse.config import recordings_folder
from tests.notebooks.served import opened, served
from tests.parity.conftest import Small, record, recorded, small

__all__ = ["record", "recorded", "small"]

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"


@pytest.fixture(scope="module")
def kept_home(small: Small, recorded: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a ledger, and the lake its session heard."""
    home = tmp_path_factory.mktemp("kept")
    shutil.copytree(small.lake.path, home / "lake")
    shutil.copy(recorded, home / "ledger.db")
    return home


def travel(page: Any) -> None:
    page.locator(".np-check .gain").first.wait_for()
    page.get_by_label("Mode").last.select_option("paused")
    page.locator(".np-changed", has_text="the account is paused").wait_for()


def explore(page: Any) -> None:
    page.get_by_role("tab", name="Orders").click()
    page.get_by_text("State after it").wait_for()
    page.get_by_role("tab", name="Proof").click()
    page.get_by_role("button", name="Prove every entry").click()
    page.get_by_text("every one as it was written").wait_for()


def compare(page: Any) -> None:
    page.get_by_role("button", name="Run it again and compare").click()
    page.locator(".np-progress").wait_for()
    page.get_by_role("button", name="Cancel").click()
    page.locator(".np-wrong", has_text="cancelled").wait_for()


def prove(page: Any) -> None:
    page.locator(".np-pairs").first.wait_for()
    before = page.locator(".np-tile .np-value").first.inner_text()
    slider = page.locator(".np-group", has_text="Parameters").get_by_role("slider").first
    slider.focus()
    for _ in range(12):
        slider.press("ArrowRight")
    page.wait_for_function("was => document.querySelector('.np-tile .np-value')?.innerText !== was", arg=before)


def walk(page: Any) -> None:
    label = page.locator(".np-play-at")
    label.wait_for()
    before = label.inner_text()
    page.get_by_role("button", name="Play").click()
    page.locator(".np-play-at", has_text=before).wait_for(state="detached")


@pytest.mark.parametrize(
    ("name", "use", "size", "mode"),
    [
        ("replay", travel, (1440, 900), "dark"),
        ("ledger_explorer", explore, (390, 844), "light"),
        ("parity", compare, (1440, 900), "light"),
        ("strategy_lab", prove, (1440, 900), "light"),
        ("order_book", walk, (390, 844), "dark"),
    ],
)
def test_it_answers_and_fits(
    name: str,
    use: Callable[[Any], None],
    size: tuple[int, int],
    mode: str,
    chromium: Any,
    kept_home: Path,
    tmp_path: Path,
):
    folder = recordings_folder({})
    if name == "order_book" and (folder is None or not list(folder.glob("*_l2.parquet"))):
        pytest.skip("no recorded order book on this machine")
    notebook = FOLDER / f"{name}.py"
    with (
        served(kept_home, tmp_path / "server.log", notebook=notebook) as url,
        opened(chromium, url, width=size[0], height=size[1], mode=mode) as page,
    ):
        use(page)
        wide = page.evaluate(
            "[document.documentElement, document.querySelector('#App')].map(e => e.scrollWidth - e.clientWidth)"
        )
        assert wide == [0, 0]
    assert "Traceback" not in (tmp_path / "server.log").read_text()
