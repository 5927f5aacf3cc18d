"""The backtest notebook without a browser: marimo finds nothing wrong with it, and its cells give the page's parts."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import marimo as mo
import pytest

from novapulse.research.tearsheet.words import unparted
from novapulse.ui import backtest_page, controls

NOTEBOOK = Path(__file__).resolve().parents[2] / "notebooks" / "backtest.py"


@pytest.fixture
def app() -> Any:
    spec = importlib.util.spec_from_file_location("backtest_notebook", NOTEBOOK)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.app


class Typed:
    """A form with what somebody typed into it."""

    def __init__(self, values: dict[str, Any], base: Any = None) -> None:
        bench = backtest_page.open_desk().bench
        widgets = controls.elements(bench.loaded.settings, bench.strategies) if base is None else base
        self.widgets = widgets
        self.value = {**(widgets.value if base is None else base), **values}

    def __getitem__(self, key: str) -> Any:
        return self.widgets[key] if key in self.value and self.widgets else ""


def html_of(output: Any) -> str:
    return getattr(output, "text", "")


def test_marimo_finds_nothing_wrong():
    checked = subprocess.run(
        [sys.executable, "-m", "marimo", "check", "--strict", str(NOTEBOOK)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_it_runs_from_top_to_bottom(app: Any, lake: Path):
    outputs, defs = app.run()
    page = "".join(html_of(output) for output in outputs)
    data = defs["view"].outcome.analysis.as_data()
    assert data["summary"]["trades"] > 0
    assert unparted(data["verdict"][0].split(":")[0]) in page
    for part in ("np-tiles", "np-explain", "marimo-anywidget", "vega-lite", "marimo-table", "np-settings"):
        assert part in page
    assert "real bars" in page


def test_what_the_form_says_is_run(app: Any, lake: Path):
    _, shipped = app.run()
    _, changed = app.run(defs={"form": Typed({"risk.stops.stop_atr": 3.0}), "fields": shipped["fields"], "reset": None})
    before, after = (run["view"].outcome for run in (shipped, changed))
    assert after.request.settings.risk.stops.stop_atr == 3.0
    assert after.analysis.summary != before.analysis.summary


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"capital": 0}, "capital is 0"),
        ({"risk.stops.trail_start_r": 0.5}, "a stop would trail before it breaks even"),
        ({"execution.maker_fee_bps": "1"}, "taker_fee_bps is not"),
    ],
)
def test_bad_settings_are_a_sentence(app: Any, lake: Path, values: dict[str, Any], said: str):
    outputs, defs = app.run(defs={"form": Typed(values), "fields": mo.Html(""), "reset": None})
    page = "".join(html_of(output) for output in outputs)
    assert said in page
    assert "Traceback" not in page
    assert defs["view"].outcome is None


def test_no_symbols_is_a_sentence(app: Any, lake: Path):
    outputs, _ = app.run(defs={"data": Typed({"symbols": [], "period": None}, base={})})
    assert "choose at least one symbol" in "".join(html_of(output) for output in outputs)


def test_a_configuration_that_cannot_be_used_is_a_sentence(app: Any, lake: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("NOVAPULSE_CAPITAL", "-5")
    outputs, defs = app.run()
    page = "".join(html_of(output) for output in outputs)
    assert "environment variable NOVAPULSE_CAPITAL: capital is -5" in page
    assert "view" not in defs or defs["view"].outcome is None


def test_the_settings_of_a_saved_run_come_back_to_their_hash(app: Any, lake: Path):
    _, shipped = app.run()
    desk, outcome = shipped["desk"], shipped["view"].outcome
    settings = outcome.request.settings
    confluence = settings.confluence.model_copy(update={"parameters": {"trend": {"fast_bars": 8}}})
    other = settings.model_copy(update={"confluence": confluence, "capital": 5_000.0})
    base = backtest_page.base_of(desk, other)
    form = backtest_page.settings_form(desk, base)
    asked = backtest_page.ask(desk, base, shipped["series"].value, shipped["data"].value, form.value)
    assert asked.request is not None
    assert asked.request.settings.hash == other.hash
    assert backtest_page.base_of(desk, None) is desk.bench.loaded.settings
