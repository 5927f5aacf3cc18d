"""The backtest notebook in Chromium: it answers, explains, points out, refuses in words, asks nothing of the net."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from tests.notebooks.served import figure, opened, served

Open = Callable[..., AbstractContextManager[Any]]

EQUITY = "summary.final_equity"
PRICE = '[data-cell-name="price"] .npw-candles[data-drawn]'


@pytest.fixture(scope="module")
def home_served(stocked: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    shutil.copytree(stocked, home / "lake")
    return home


@pytest.fixture(scope="module")
def url(home_served: Path) -> Iterator[str]:
    with served(home_served, home_served / "server.log") as address:
        yield address


@pytest.fixture
def open_page(chromium: Any, url: str) -> Open:
    return lambda **options: opened(chromium, url, **options)


def ready(page: Any) -> None:
    page.locator(".np-tile .np-value").first.wait_for()
    page.locator(PRICE).wait_for()
    page.locator(".np-explain h3").wait_for()


def group(page: Any, name: str) -> Any:
    """Open a group of settings."""
    box = page.locator(".np-group", has=page.get_by_text(name, exact=True))
    box.locator("summary").click()
    return box


def move(page: Any, slider: Any) -> None:
    """Move a slider step by step. Each is answered before what follows: on their way requests overtake each other."""
    slider.focus()
    for _ in range(10):
        with page.expect_response(lambda answer: answer.url.endswith("/set_ui_element_value")):
            slider.press("ArrowRight")


def changed(page: Any, locator: str, before: str) -> str:
    """Wait until a text is another one."""
    page.wait_for_function(
        "([where, before]) => document.querySelector(where)?.innerText !== before", arg=[locator, before]
    )
    text: str = page.locator(locator).first.inner_text()
    return text


def test_a_slider_changes_the_figures_and_reset_brings_them_back_r_2(open_page: Open):
    """R-2: move a slider, the page follows."""
    with open_page() as page:
        ready(page)
        before = figure(page, EQUITY)
        box = group(page, "Stops and targets")
        slider = box.get_by_role("slider").first
        move(page, slider)
        tile = f'.np-tile [data-path="{EQUITY}"]'
        changed(page, tile, before)
        page.get_by_role("button", name="Reset settings").click()
        page.wait_for_function(
            "([where, text]) => document.querySelector(where)?.innerText === text", arg=[tile, before]
        )


def test_the_figures_are_those_of_the_command_line(open_page: Open, home_served: Path):
    command = [sys.executable, "-m", "novapulse.cli", "backtest", "--symbol", "BTC/USDT", "--json"]
    environment = {**os.environ, "NOVAPULSE_HOME": str(home_served)}
    printed = subprocess.run(command, env=environment, cwd=home_served, capture_output=True, check=True, text=True)
    summary = json.loads(printed.stdout)["summary"]
    with open_page() as page:
        ready(page)
        assert float(figure(page, EQUITY).replace(",", "")) == pytest.approx(summary["final_equity"], abs=0.005)
        assert figure(page, "summary.trades") == f"{summary['trades']:,}"


def test_a_click_on_a_bar_explains_it(open_page: Open):
    with open_page() as page:
        ready(page)
        before = page.locator(".np-when").inner_text()
        page.locator(PRICE).locator(".box").click(position={"x": 120, "y": 200})
        explained = changed(page, ".np-when", before)
        page.get_by_role("button", name="Next", exact=True).click()
        assert changed(page, ".np-when", explained) != before


def test_a_chosen_row_is_shown_on_the_chart_with_its_stop(open_page: Open):
    with open_page() as page:
        ready(page)
        chart = page.locator(PRICE)
        before, whole = page.locator(".np-when").inner_text(), chart.locator(".keys").inner_text()
        row = page.locator("marimo-table tbody tr").nth(3)
        side = row.get_by_text(re.compile("^(long|short)$")).inner_text()
        row.get_by_role("checkbox").click()
        changed(page, ".np-when", before)
        chart.locator(".keys", has_text=", 1m bars").wait_for()
        assert ", 1m bars" not in whole
        chart.locator(".box").press("s")
        page.wait_for_function(
            "chart => /entry at .*stop at/.test(chart.querySelector('.said[aria-live]')?.textContent ?? '')"
            " || /entry at .*stop at/.test(chart.textContent)",
            arg=chart.element_handle(),
        )
        assert side in ("long", "short")
        page.get_by_role("button", name="Whole period").click()
        chart.locator(".keys", has_text=whole.split(";")[0]).wait_for()


def test_a_step_of_a_slider_makes_no_widget_and_no_chart_of_the_price_anew_r_2(open_page: Open):
    """R-2: only what another setting changes is drawn, so that a slider is followed in time."""
    with open_page() as page:
        ready(page)
        chart = page.locator(PRICE)
        drawn, before = chart.get_attribute("data-drawn"), figure(page, EQUITY)
        page.evaluate("chart => { chart.isTheSame = true; }", chart.element_handle())
        box = group(page, "Stops and targets").get_by_role("slider").first
        page.evaluate("() => { document.querySelector('.np-settings').isTheSame = true; }")
        move(page, box)
        changed(page, f'.np-tile [data-path="{EQUITY}"]', before)
        page.wait_for_function(
            "([chart, drawn]) => chart.isTheSame && chart.isConnected && chart.dataset.drawn !== drawn",
            arg=[chart.element_handle(), drawn],
        )
        assert page.evaluate("() => document.querySelector('.np-settings').isTheSame")


WRONG = (
    ("Size and limits", "Opening cash", "0", "capital is 0: it should be greater than 0"),
    ("Orders and costs", "Maker fee", "cheap", "'cheap' is not a number"),
    ("When to trade", "Timeframes, in bars", "5, 1", "expected ascending numbers from 1"),
)


def test_what_cannot_be_is_a_sentence_beside_the_form(open_page: Open):
    with open_page() as page:
        ready(page)
        before = figure(page, EQUITY)
        for where, name, typed, said in WRONG:
            box = group(page, where).locator(".np-field", has=page.get_by_text(name)).locator("input")
            shipped = box.input_value()
            for text in (typed, shipped):
                box.fill(text)
                box.press("Enter")
                box.blur()
                told = page.locator(".np-settings .np-wrong", has_text=said)
                told.wait_for(state="visible" if text == typed else "detached")
            assert figure(page, EQUITY) == before
        assert "Traceback" not in page.content()


def test_a_configuration_that_cannot_be_used_is_a_sentence(chromium: Any, home_served: Path, tmp_path: Path):
    with (
        served(home_served, tmp_path / "server.log", {"NOVAPULSE_CAPITAL": "-5"}) as url,
        opened(chromium, url) as page,
    ):
        page.locator(".np-wrong", has_text="NOVAPULSE_CAPITAL: capital is -5").wait_for()
        page.wait_for_timeout(1_000)
        assert page.get_by_text("error occurred").count() == 0
    assert "Traceback" not in (tmp_path / "server.log").read_text()


def test_a_run_is_saved_compared_with_and_deleted(open_page: Open, home_served: Path):
    with open_page() as page:
        ready(page)
        page.get_by_role("tab", name="Compare").click()
        page.get_by_role("button", name="Save this run").click()
        page.get_by_text("saved as").wait_for()
        assert len(list((home_served / "runs").glob("*.json"))) == 1
        page.locator('[data-cell-name="section"] marimo-multiselect button').first.click()
        page.get_by_role("option").filter(has_text="BTC/USDT 1m").first.click()
        page.locator(".np-table th", has_text="BTC/USDT").first.wait_for()
        page.keyboard.press("Escape")
        saved_equity, tile = figure(page, EQUITY), f'.np-tile [data-path="{EQUITY}"]'
        box = group(page, "Stops and targets").get_by_role("slider").first
        move(page, box)
        changed(page, tile, saved_equity)
        page.get_by_role("button", name="Load its settings").click()
        page.wait_for_function(
            "([where, text]) => document.querySelector(where)?.innerText === text", arg=[tile, saved_equity]
        )
        page.get_by_role("button", name="Delete the chosen").click()
        page.get_by_text("deleted 1").wait_for()
        assert list((home_served / "runs").glob("*.json")) == []


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_it_fits_a_phone(open_page: Open, mode: str):
    with open_page(width=390, height=844, mode=mode) as page:
        ready(page)
        wide = page.evaluate(
            "[document.documentElement, document.querySelector('#App')].map(e => e.scrollWidth - e.clientWidth)"
        )
        assert wide == [0, 0]
        assert not page.get_by_text("Strategies and weights").is_visible()
        page.locator(".np-settings > summary").click()
        page.get_by_text("Strategies and weights").wait_for()


SLOW = """
import time
from dataclasses import dataclass

from novapulse.strategies import Votes


@dataclass(frozen=True)
class Params:
    span_bars: int = 10


def warmup_bars(params):
    return 25 * params.span_bars


def votes(indicators, params):
    if indicators.close.size > 20_000:
        time.sleep(2.5)
    return Votes.made(indicators.close - indicators.ema(params.span_bars), 0.5, warmup_bars(params))
"""


def test_a_long_run_shows_its_progress_blocks_nothing_and_can_be_cancelled(
    chromium: Any, home_served: Path, tmp_path: Path
):
    (tmp_path / "slow.py").write_text(SLOW)
    settings = {
        "NOVAPULSE_DATA__STRATEGIES_FOLDER": str(tmp_path),
        "NOVAPULSE_CONFLUENCE__WEIGHTS": "{slow: 1.0, trend: 1.0}",
    }
    with served(home_served, tmp_path / "server.log", settings) as url, opened(chromium, url) as page:
        ready(page)
        before = figure(page, EQUITY)
        page.locator(".np-strategy", has_text="Trend").get_by_role("switch").click()
        page.locator(".np-progress").wait_for()
        page.get_by_role("tab", name="Data").click()
        page.get_by_text("Quiet bars made").wait_for(timeout=2_000)
        assert page.locator(".np-progress").is_visible(), "the page answered only after the run"
        page.get_by_role("button", name="Cancel", exact=True).click()
        page.locator(".np-settings .np-wrong", has_text="cancelled").wait_for(timeout=2_000)
        page.locator(".np-progress").wait_for(state="hidden", timeout=2_000)
        assert figure(page, EQUITY) == before
