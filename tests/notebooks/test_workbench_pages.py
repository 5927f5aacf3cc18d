"""Every notebook in Chromium: a control that works, nothing that overflows, on desk and phone, light and dark.

The test run takes a choice in which every two of notebook, size and mode meet; `just pages` takes them all.
"""

import itertools
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from novapulse.config import recordings_folder
from tests.browser import CONTRAST
from tests.notebooks.served import opened, served
from tests.parity.conftest import Small, record, recorded, small

__all__ = ["record", "recorded", "small"]

COLD_MS = 60_000
"""How long a first backtest may take where kernels are compiled or the machine is busy."""

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"


@pytest.fixture(scope="module")
def kept_home(small: Small, recorded: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a ledger, and the lake its session heard."""
    home = tmp_path_factory.mktemp("kept")
    shutil.copytree(small.lake.path, home / "lake")
    shutil.copy(recorded, home / "ledger.db")
    return home


def unfold(page: Any) -> None:
    """Open the settings, which a phone folds away."""
    if page.viewport_size["width"] < 1000:
        page.locator(".np-settings > summary").first.click()


def choose_bar(page: Any, *keys: str) -> None:
    """Choose a bar of the chart with keys, once it is drawn."""
    chart = page.locator(".npw-candles .box")
    page.locator(".npw-candles .box canvas").first.wait_for()
    for key in keys:
        chart.press(key)
    chart.press("Enter")


def travel(page: Any) -> None:
    page.locator(".np-check .gain").first.wait_for()
    entry = page.locator(".np-chip", has_text=re.compile(r"^entry \d+$"))
    before = entry.inner_text()
    choose_bar(page, "Home")
    entry.filter(has_not_text=re.compile(f"^{before}$")).wait_for()
    page.locator(".np-check .gain").first.wait_for()
    unfold(page)
    page.get_by_label("Mode").last.select_option("paused")
    because = page.locator(".np-changed", has_text=re.compile("^Because"))
    because.locator("td", has_text="the account is paused").wait_for()


def explore(page: Any) -> None:
    page.get_by_role("tab", name="Orders", exact=True).click()
    page.get_by_text("State after it").wait_for()
    page.get_by_role("tab", name="Proof", exact=True).click()
    page.get_by_role("button", name="Prove every entry").click()
    page.get_by_text("every one as it was written").wait_for()


def compare(page: Any) -> None:
    unfold(page)
    page.get_by_role("button", name="Run it again and compare").click()
    page.locator(".np-progress").wait_for()
    running = page.locator('[data-cell-name="running"]').evaluate(
        "(e) => [getComputedStyle(e).borderTopWidth, getComputedStyle(e).backgroundColor]"
    )
    assert running[0] == "1px"
    assert running[1] != "rgba(0, 0, 0, 0)", "a bug: what scrolled by shone through the progress that lies over it"
    cancel = page.get_by_role("button", name="Cancel", exact=True)
    page.mouse.move(0, 0)
    assert cancel.evaluate(CONTRAST) >= 4.5, "a bug: pale words on orange, where light stands on dark"
    cancel.click()
    page.get_by_text("cancelled", exact=True).wait_for()


def prove(page: Any) -> None:
    page.locator(".np-pairs").first.wait_for()
    choose_bar(page, "End")
    page.locator(".npw-candles .answers", has_text="bars on: not known").wait_for()
    before = page.locator(".np-tile .np-value").first.inner_text()
    unfold(page)
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
    page.locator(".np-play-at", has_text=re.compile(f"^{re.escape(before)}$")).wait_for(state="detached")


def deepen(page: Any) -> None:
    page.locator('[data-cell-name="price"] .npw-candles[data-drawn]').wait_for(timeout=COLD_MS)
    page.locator(".np-explain h3").wait_for()
    before = page.locator(".np-tile .np-value").first.inner_text()
    unfold(page)
    stops = page.locator(".np-group", has=page.get_by_text("Stops and targets", exact=True))
    stops.locator("summary").click()
    slider = stops.get_by_role("slider").first
    slider.focus()
    for _ in range(10):
        slider.press("ArrowRight")
    page.wait_for_function("was => document.querySelector('.np-tile .np-value')?.innerText !== was", arg=before)


USES: dict[str, Callable[[Any], None]] = {
    "replay": travel,
    "ledger_explorer": explore,
    "parity": compare,
    "strategy_lab": prove,
    "order_book": walk,
    "backtest": deepen,
}
SIZES = ((1440, 900), (390, 844))
MODES = ("light", "dark")

Way = tuple[str, tuple[int, int], str]


def chosen() -> list[Way]:
    """Two looks at every notebook, each the other's opposite: every two of notebook, size and mode meet."""
    ways: list[Way] = []
    for number, name in enumerate(USES):
        size, mode = number & 1, number >> 1 & 1
        ways += [(name, SIZES[size ^ other], MODES[mode ^ other]) for other in (0, 1)]
    return ways


def all_ways() -> list[Way]:
    return list(itertools.product(USES, SIZES, MODES))


def name_of(way: Way) -> str:
    name, size, mode = way
    return f"{name}-{'x'.join(map(str, size))}-{mode}"


WAYS = all_ways() if os.environ.get("PAGES") == "all" else chosen()


@pytest.fixture(scope="module")
def address_of(
    kept_home: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], tuple[str, Path]]]:
    """Serves a notebook when it is first asked for, until all have been looked at; tells its address and its log."""
    logs = tmp_path_factory.mktemp("logs")
    known: dict[str, str] = {}
    with ExitStack() as stack:

        def asked(name: str) -> tuple[str, Path]:
            log = logs / name
            if name not in known:
                known[name] = stack.enter_context(served(kept_home, log, notebook=FOLDER / f"{name}.py"))
            return known[name], log

        yield asked


@pytest.mark.parametrize("way", WAYS, ids=name_of)
def test_it_answers_and_fits(way: Way, chromium: Any, address_of: Callable[[str], tuple[str, Path]]):
    name, (width, height), mode = way
    folder = recordings_folder({})
    if name == "order_book" and (folder is None or not list(folder.glob("*_l2.parquet"))):
        pytest.skip("no recorded order book on this machine")
    url, log = address_of(name)
    with opened(chromium, url, width=width, height=height, mode=mode) as page:
        USES[name](page)
        wide = page.evaluate(
            "[document.documentElement, document.querySelector('#App')].map(e => e.scrollWidth - e.clientWidth)"
        )
        assert wide == [0, 0]
        heads = page.locator("thead th[class~=min-h-10]").evaluate_all("all => all.map(e => e.offsetHeight)")
        assert not [high for high in heads if high > 30], "a bug: marimo's room for filters made heads of tables tall"
        assert page.evaluate("() => document.body.classList.contains('dark')") == (mode == "dark")
    assert "Traceback" not in log.read_text()


def test_the_choice_lets_every_two_meet() -> None:
    def pairs(ways: list[Way]) -> set[Any]:
        return {((a, way[a]), (b, way[b])) for way in ways for a, b in itertools.combinations(range(3), 2)}

    assert pairs(chosen()) == pairs(all_ways())
    assert len(chosen()) == 12


def test_no_notebook_is_left_out() -> None:
    assert {path.stem for path in FOLDER.glob("*.py")} == set(USES)
