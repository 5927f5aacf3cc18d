"""What follows a slider only where it rests: the last step, once, and without waiting where there is nothing yet."""

import threading

import pytest

from novapulse.ui import resting
from novapulse.ui.resting import Resting


@pytest.fixture
def followed(monkeypatch: pytest.MonkeyPatch) -> Resting[str]:
    monkeypatch.setattr(resting.mo, "running_in_notebook", lambda: True)
    monkeypatch.setattr(resting, "REST_S", 0.05)
    return Resting()


def test_only_the_step_at_which_a_slider_rests_is_handed_on(followed: Resting[str]):
    came, rested = list[str](), threading.Event()

    def call(value: str) -> None:
        came.append(value)
        rested.set()

    followed.hand_on("first", call, at_once=True)
    assert came == ["first"]
    rested.clear()
    for step in ("second", "third", "third"):
        followed.hand_on(step, call)
    assert came == ["first"], "the kernel does not wait for it"
    assert rested.wait(5)
    threading.Event().wait(0.15)
    assert came == ["first", "third"]


def test_without_a_page_nothing_waits():
    came: list[str] = []
    Resting[str]().hand_on("only", came.append)
    assert came == ["only"]
