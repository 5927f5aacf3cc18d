"""Cancels and amendments: each waits for itself behind a refusal."""

from dataclasses import replace

import pytest

from novapulse.core.messages import Amend, AmendEnded, Cancel, CommandReceived, Outcome, SetTimer, Submit, TimerFired
from novapulse.engine import changes
from novapulse.engine.desk import Draft
from tests.engine.harness import decides
from tests.engine.scene import Scene, opened


def moved_entry() -> tuple[Scene, Amend]:
    """Return a scene whose resting entry is to follow the price."""
    settings = decides()
    execution = settings.execution.model_copy(update={"chases_max": 6})
    scene = Scene(chosen=settings.model_copy(update={"execution": execution}))
    scene.accept(scene.enter())
    event = scene.ticks.event(scene.row + 1, 0)
    bars, signals = event.bars.copy(), event.signals.copy()
    for name in ("open", "high", "low", "close"):
        bars[name] = (bars[name] + 0.05).round(2)
    signals["consensus"], signals["atr"] = 10.0, 3.0
    scene.row, scene.ts_ns = scene.row + 2, event.ts_close_ns
    scene.hear(replace(event, ts_ns=scene.ts_ns, bars=bars, signals=signals))
    (amend,) = scene.sent(Amend)
    return scene, amend


def refuse(scene: Scene, amend: Amend) -> None:
    scene.hear(AmendEnded(scene.wait(0.1), amend.client_order_id, amend.amendment, Outcome.REJECTED, "no"))


def next_try(scene: Scene, what: str) -> TimerFired:
    """Return the timer that brings the next try of a change, at its time."""
    timer = [timer for timer in scene.sent(SetTimer) if f":{what}:" in timer.name][-1]
    scene.ts_ns = max(scene.ts_ns, timer.at_ns)
    return TimerFired(scene.ts_ns, timer.name)


@pytest.mark.parametrize("verb", ["kill", "cancel", "reduce_only"])
def test_an_entry_is_withdrawn_at_once_however_long_its_refused_amendment_waits(verb: str):
    """A bug: both shared one wait, and the cancel of a kill left a minute late."""
    scene, amend = moved_entry()
    refuse(scene, amend)
    scene.hear(CommandReceived(scene.wait(0.1), "c", verb, {}, "ops"))
    assert [cancel.client_order_id for cancel in scene.sent(Cancel)] == [amend.client_order_id]


def test_an_amendment_that_was_taken_ends_no_wait_of_a_cancel():
    scene, amend = moved_entry()
    order = scene.desk.orders[amend.client_order_id]
    changes.note_refusal(scene.desk, Draft(scene.ts_ns), order, "cancel")
    scene.hear(AmendEnded(scene.wait(0.1), amend.client_order_id, amend.amendment, Outcome.ACCEPTED))
    scene.hear(CommandReceived(scene.wait(0.1), "c", "cancel", {}, "ops"))
    assert not scene.sent(Cancel)
    scene.hear(next_try(scene, "cancel"))
    assert [cancel.client_order_id for cancel in scene.sent(Cancel)] == [amend.client_order_id]


def test_what_waits_in_one_instrument_has_a_timer_each():
    """A bug: they shared the instrument's, and whoever waited longest took it from the others."""
    scene = opened()
    (stop,) = scene.sent(Amend)
    scene.tick(-15.0)
    (exit_,) = scene.sent(Submit)
    scene.accept(exit_)
    draft = Draft(scene.ts_ns)
    bracket, leaving = (scene.desk.orders[name] for name in (stop.client_order_id, exit_.request.client_order_id))
    for order, what, times in ((leaving, "cancel", 1), (bracket, "amend", 4)):
        for _ in range(times):
            changes.note_refusal(scene.desk, draft, order, what)
    changes.ask_cancel(scene.desk, draft, leaving)
    changes.amend(scene.desk, draft, bracket, bracket.terms)
    timers = [effect for effect in draft.effects if isinstance(effect, SetTimer) and effect.name.startswith("retry")]
    due = {timer.name: (timer.at_ns - draft.ts_ns) / 1e9 for timer in timers}
    assert due == {f"retry:0:cancel:{leaving.client_order_id}": 1.0, f"retry:0:amend:{bracket.client_order_id}": 10.0}
