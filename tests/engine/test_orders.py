from collections.abc import Callable
from dataclasses import replace

import pytest

from novapulse.core.messages import (
    Amend,
    Cancel,
    FillReported,
    OrderReported,
    Outcome,
    Submit,
    SubmitEnded,
)
from novapulse.core.orders import Seen, Side, VenueState
from novapulse.core.records import Intent
from novapulse.engine.settings import TraderSettings
from tests.engine.harness import (
    SECOND_NS,
)
from tests.engine.scene import Scene, fill_entry
from tests.engine.test_netting import enter_short, executed, given_up_short, sell, somebody, written


def test_a_price_that_is_too_old_is_not_chased():
    scene = Scene()
    submit = scene.enter()
    scene.accept(submit)
    event = scene.ticks.event(scene.row, 0)
    late = event.ts_close_ns + 60 * SECOND_NS
    scene.hear(replace(event, ts_ns=late))
    assert not scene.sent(Amend)
    assert "old" in scene.desk.slots[0].not_sent


def test_a_post_only_refusal_is_repriced_a_bounded_number_of_times():
    scene = Scene()
    submit = scene.enter()
    tries = 1
    while submit is not None and tries < 10:
        scene.hear(SubmitEnded(scene.wait(0.2), submit.request.client_order_id, 1, Outcome.REJECTED, "", "post_only"))
        submit = next(iter(scene.sent(Submit)), None)
        tries += 1
    assert tries == 1 + 1 + int(scene.desk.books.rules.chases_max)
    assert scene.desk.plan(0).intent == Intent.NONE


def filled_in_part(settings: TraderSettings | None = None, units: int = 4_000) -> tuple[Scene, Submit]:
    """Return a scene that holds a part of an entry behind its bracket, while the rest of it is at work."""
    scene = Scene(settings)
    submit = scene.enter()
    scene.accept(submit)
    fill_entry(scene, submit, units)
    bracket = submit.request.protection.client_order_id
    scene.hear(OrderReported(scene.ts_ns, Seen(bracket, "V2", VenueState.LIVE, 0, scene.ts_ns)))
    assert scene.desk.books.intent(0) is Intent.ENTRY
    return scene, submit


def stopped(scene: Scene, units: int) -> None:
    """Let the bracket of the position sell so much."""
    name = scene.desk.slots[0].protect
    scene.hear(FillReported(scene.wait(1), executed(scene, name, "V2", f"B{units}", Side.SELL, units, 9_900)))


@pytest.mark.parametrize(
    ("ends", "reason"),
    [
        pytest.param(lambda scene: stopped(scene, 4_000), "UNFILLED_SUPERSEDED", id="its stop sold all of it"),
        pytest.param(lambda scene: stopped(scene, 1_000), "UNFILLED_SUPERSEDED", id="its stop sold a part of it"),
        pytest.param(
            lambda scene: somebody(scene, Side.SELL, 1_000, "X-1"), "UNFILLED_SUPERSEDED", id="somebody sold of it"
        ),
        pytest.param(lambda scene: scene.touch(), "UNFILLED_SUPERSEDED", id="a close is beyond its stop"),
        pytest.param(lambda scene: scene.tick(-15.0), "UNFILLED_TURNED", id="the consensus has turned"),
    ],
)
def test_an_entry_that_ends_filled_in_part_says_why(ends: Callable[[Scene], object], reason: str):
    """A bug: what closed its position, or a decision to leave it, ended the rest without a word."""
    scene, submit = filled_in_part()
    ends(scene)
    assert scene.desk.books.intent(0) is not Intent.ENTRY
    (unfilled,) = written(scene, "entry_unfilled")
    assert (unfilled["decision_id"], unfilled["reason"]) == (submit.request.decision_id, reason)
    asked = {effect.client_order_id for effect in scene.kept if isinstance(effect, Cancel)}
    assert submit.request.client_order_id in asked
    assert scene.desk.slots[0].unfilled == reason


def test_an_entry_whose_position_a_late_one_covers_says_why():
    scene, late, _ = given_up_short(9_000)
    assert scene.desk.books.intent(0) is Intent.ENTRY
    before = len(written(scene, "entry_unfilled"))
    decision = scene.desk.slots[0].decision
    sell(scene, late, 4_000)
    (unfilled,) = written(scene, "entry_unfilled")[before:]
    assert (unfilled["decision_id"], unfilled["reason"]) == (decision, "UNFILLED_SUPERSEDED")


def test_the_rest_of_an_entry_that_its_stop_has_ended_is_not_completed():
    """A bug: the end of an earlier entry was taken for that of this one, whose rest was bought while it was sold."""
    scene, submit = filled_in_part(TraderSettings(partial_fill="complete"))
    scene.desk.slots[0].unfilled = "UNFILLED_EXPIRED"
    stopped(scene, 1_000)
    scene.hear(OrderReported(scene.wait(1), Seen(submit.request.client_order_id, "V1", VenueState.CANCELED, 4_000, 0)))
    assert scene.desk.books.held_units(0) == 3_000
    assert not scene.sent(Submit)


def test_an_entry_that_is_filled_to_the_last_unit_says_nothing():
    scene, submit = filled_in_part()
    fill_entry(scene, submit, submit.request.terms.qty_units - 4_000)
    stopped(scene, submit.request.terms.qty_units)
    assert not written(scene, "entry_unfilled")


def test_what_an_entry_closes_of_nobodys_ends_no_entry():
    scene = Scene(shortable=True)
    entry = enter_short(scene)
    somebody(scene, Side.BUY, 1_000, "X-1")
    before = len(written(scene, "entry_unfilled"))
    sell(scene, entry, 1_000)
    assert len(written(scene, "entry_unfilled")) == before
