"""The ledger's proof and a decision's explanation beside a page: they say how far they are, and end when told to."""

import threading
from pathlib import Path
from typing import Any

import pytest

from novapulse.monitor import read_home
from novapulse.parity.rederive import Rederived
from novapulse.ui.apps import explained, proof
from novapulse.ui.jobs import Job, Reporter, Shared
from novapulse.ui.widgets import Press
from tests.ui.apps.conftest import Look

MAIN = {"exchange": "kraken", "account_id": "main"}


def buttons(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What is called when a button is clicked, by the button's words."""
    found: dict[str, Any] = {}
    button = proof.mo.ui.button

    def noted(*given: Any, **named: Any) -> Any:
        found[named["label"]] = named["on_click"]
        return button(*given, **named)

    monkeypatch.setattr("marimo.ui.button", noted)
    return found


def press(button: Press) -> None:
    """What a page sends when the button is clicked."""
    button._handle_custom_msg({"type": "pressed"}, [])


def test_what_stops_an_explanation_is_gone_once_there_is_nothing_to_stop(left_home: Path, look: Look) -> None:
    """A bug: a red Cancel stood under ORDER long after the decision had been made again."""
    reading = read_home(left_home)
    account = reading.account("kraken", "main")
    name = account.recent_decisions[0].decision_id
    drawn = look("decisions", left_home, "operator", **MAIN, decision=name)
    explained.explanation(left_home, account.key, name).job.wait(120)
    drawn.deliver(reading)
    (stop,) = drawn.presses
    assert stop.state["text"] == ""
    assert drawn.tiles("Decision")["made again"]["value"] == "the same"
    press(stop)
    drawn.deliver(reading)
    assert drawn.tiles("Decision")["made again"]["value"] == "the same"
    assert "Cancel" not in drawn.html


def test_a_proof_says_how_far_it_is_and_ends_when_it_is_cancelled(
    left_home: Path, look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    half, go_on, ended = threading.Event(), threading.Event(), threading.Event()

    def audit(_: Path, *, told: Any) -> Any:
        told(1, 2)
        half.set()
        go_on.wait(30)
        try:
            told(2, 2)
        finally:
            ended.set()
        raise AssertionError("nobody wanted it any more")

    monkeypatch.setattr(proof, "audit", audit)
    clicked, reading = buttons(monkeypatch), read_home(left_home)
    drawn = look("journal", left_home, "operator")

    def told() -> dict[str, Any]:
        drawn.deliver(reading)
        (found,) = [one for widget in drawn.widgets for one in widget.state.get("tiles", ()) if one["label"] == "proof"]
        return dict(found)

    (stop,) = drawn.presses
    assert told()["value"] == "not asked"
    assert stop.state["text"] == "", "there is nothing to stop"
    press(stop)
    clicked["Prove every entry now"](None)
    assert half.wait(30)
    assert told() == {"label": "proof", "value": "working", "note": "reading every entry … 50%"}
    assert stop.state["text"] == "Stop proving"
    press(stop)
    go_on.set()
    assert ended.wait(30)
    for _ in range(200):
        if (now := told())["value"] != "working":
            break
        threading.Event().wait(0.02)
    assert (now["value"], now["note"]) == ("not made", "it was cancelled")
    assert stop.state["text"] == ""


def test_an_explanation_can_be_cancelled_and_asked_for_again(
    left_home: Path, look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[Job[Rederived]] = []

    def made_again(*given: Any) -> Rederived:
        reporter: Reporter = given[-1]
        reporter.phase("asking the strategies")(1, 4)
        while True:
            reporter.pause(0.01)

    monkeypatch.setattr(explained, "_made_again", made_again)
    monkeypatch.setattr(explained, "_shared", Shared(4))
    reading = read_home(left_home)
    name = reading.account("kraken", "main").recent_decisions[0].decision_id
    for _ in range(2):
        drawn = look("decisions", left_home, "viewer", **MAIN, decision=name)
        job = explained.explanation(left_home, reading.account("kraken", "main").key, name)
        while job.job.progress.fraction is None:
            threading.Event().wait(0.01)
        drawn.deliver(reading)
        assert drawn.tiles("Decision")["working"]["note"] == "asking the strategies … 25%"
        job.cancel()
        assert not job.job.is_leaving, "the page still waits for it"
        (stop,) = drawn.presses
        assert stop.state["text"] == "Stop explaining"
        press(stop)
        drawn.deliver(reading)
        assert stop.state["text"] == ""
        assert drawn.tiles("Decision")["decision"]["note"] == "it was cancelled"
        assert job.job.wait(30)
        begun.append(job.job)
    assert begun[0] is not begun[1]
