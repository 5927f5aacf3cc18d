from dataclasses import replace

from novapulse.core.messages import (
    Amend,
    Outcome,
    Submit,
    SubmitEnded,
)
from novapulse.core.records import Intent
from tests.engine.harness import (
    SECOND_NS,
)
from tests.engine.scene import Scene


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
