"""The notebooks beside the backtest: they run headless on a small ledger, and say so where there is nothing to see."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from novapulse.config import recordings_folder
from tests.parity.conftest import Small, record, recorded, small
from tests.ui.notebooks.conftest import traded_home

__all__ = ["Small", "record", "recorded", "small", "traded_home"]

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"
OF_A_LEDGER = ("replay", "parity", "ledger_explorer")


def ran(name: str, **overridden: Any) -> tuple[str, dict[str, Any]]:
    """Run a notebook, and return its page and its names."""
    spec = importlib.util.spec_from_file_location(f"{name}_notebook", FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    outputs, names = module.app.run(defs=overridden) if overridden else module.app.run()
    return "".join(getattr(output, "text", "") for output in outputs), dict(names)


class Pressed:
    """A button that was pressed."""

    value = True
    text = "pressed"


def test_marimo_finds_nothing_wrong():
    files = sorted(str(file) for file in FOLDER.glob("*.py"))
    assert len(files) == 6
    command = [sys.executable, "-m", "marimo", "check", "--strict", *files]
    checked = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize("name", OF_A_LEDGER)
def test_without_a_ledger_there_is_a_sentence(name: str, home: Path):
    page, names = ran(name)
    assert "there is no ledger at" in page
    assert "Traceback" not in page
    assert names["desk"].problem is not None


@pytest.mark.parametrize("name", OF_A_LEDGER)
def test_what_is_no_ledger_is_a_sentence(name: str, home: Path):
    home.mkdir()
    (home / "ledger.db").write_text("these are not the books")
    page, _ = ran(name)
    assert "np-wrong" in page
    assert "Traceback" not in page


def test_replay_travels_to_the_newest_decision(traded_home: Path):
    page, names = ran("replay")
    assert names["came"].problem is None
    assert names["came"].result.found.is_shown
    for part in (
        "proven: the same to the bit",
        "Votes, regime, weights",
        "What was decided",
        "np-beside",
        "np-settings",
    ):
        assert part in page


def test_a_session_equals_its_replay(traded_home: Path):
    page, names = ran("parity", button=Pressed(), session=names_session(traded_home))
    assert names["came"].problem is None
    rungs = names["came"].result.rungs
    assert [rung.holds for rung in rungs[:3]] == [True, True, True]
    assert "session = its own backtest" in page
    if rungs[3].differences:
        assert "By cause" in page


def names_session(home: Path) -> Any:
    from novapulse.ui.notebooks import parity

    return parity.session_choice(parity.open_desk())


def test_the_ledger_is_explored_and_not_written(traded_home: Path):
    before = (traded_home / "ledger.db").read_bytes()
    page, names = ran("ledger_explorer")
    assert names["head"].seq > 0
    for part in ("read-only", "np-tiles", "Entry ", "Chain up to here"):
        assert part in page
    assert (traded_home / "ledger.db").read_bytes() == before


def test_the_lab_votes_trades_alone_and_waits_with_its_proofs(lake: Path):
    page, names = ran("strategy_lab")
    assert names["votes"].result.spoken.spoke > 0
    assert names["traded"].result.result.strategies == (names["chosen"].name,)
    for part in ("Has an opinion", "Alone, in figures", "not yet", "np-settings"):
        assert part in page


def test_without_a_recorded_tape_a_generated_one_is_walked_and_said_to_be(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """A bug: whoever had recorded no order book saw a sentence in place of the page."""
    monkeypatch.setattr("novapulse.ui.notebooks.book.recordings_folder", lambda environment: tmp_path)
    page, names = ran("order_book")
    assert (names["desk"].problem, names["came"].problem) == (None, None)
    assert names["came"].result.is_generated
    assert names["told"].known > 1_000
    for part in ("generated, not recorded", "Walk through the tape", "Refused books", "Features over the tape"):
        assert part in page
    assert "recorded, not live" not in page
    (sample,) = (home / "sample").iterdir()
    before = sample.stat().st_mtime_ns
    ran("order_book")
    assert sample.stat().st_mtime_ns == before, "it is generated once"


def test_a_tape_that_cannot_be_generated_is_a_sentence(home: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("novapulse.ui.notebooks.book.recordings_folder", lambda environment: None)
    home.mkdir(parents=True, exist_ok=True)
    (home / "sample").write_text("no folder")
    page, _ = ran("order_book")
    assert "no order book was recorded here, and none can be generated" in page


def test_the_tape_is_walked_and_measured(home: Path):
    folder = recordings_folder({})
    if folder is None or not list(folder.glob("*_l2.parquet")):
        pytest.skip("no recorded order book on this machine")
    page, names = ran("order_book")
    assert names["came"].problem is None
    assert names["told"].known > 1_000
    for part in ("recorded, not live", "Walk through the tape", "Refused books", "Features over the tape"):
        assert part in page
