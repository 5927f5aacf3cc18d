"""A position without a stop: what excuses it, and for how long (D14)."""

import pytest

from novapulse.core.messages import (
    CommandReceived,
    Commit,
    Found,
    LookupEnded,
    OrderReported,
    Outcome,
    SnapshotRead,
    Submit,
    SubmitEnded,
    TimerFired,
)
from novapulse.core.orders import Role, Seen, VenueState
from novapulse.core.records import Mode
from novapulse.engine import memory
from novapulse.engine.bare import BARE_S_MAX, Bare, excuse
from tests.engine.scene import Scene, fill_entry, opened


def compare(scene: Scene) -> list[str]:
    """Let the account be compared with a venue that lists nothing, and return the breaks that are open then."""
    scene.hear(SnapshotRead(scene.ts_ns, scene.snapshot()))
    return sorted(scene.desk.breaks)


def end_bracket(scene: Scene) -> None:
    """Let the venue end the bracket that stands."""
    bracket = scene.desk.slots[0].protect
    scene.hear(OrderReported(scene.wait(1), Seen(bracket, "V2", VenueState.CANCELED, 0, scene.ts_ns)))


def refuse_brackets(scene: Scene, until_ns: int) -> None:
    """Let the venue refuse every bracket, and each be tried again when that is due, up to a moment."""
    slot = scene.desk.slots[0]
    while True:
        if slot.protect:
            scene.hear(SubmitEnded(scene.wait(0.2), slot.protect, 1, Outcome.REJECTED, "", "it takes no stop"))
        if slot.retry_ns > until_ns:
            return
        scene.ts_ns = max(scene.ts_ns, slot.retry_ns)
        scene.hear(TimerFired(scene.ts_ns, "protect:0"))
        assert slot.protect


D14 = "D14:BTC/USD on kraken"


@pytest.mark.parametrize("said", ["it is not needed", Bare.CLOSING.value, Bare.SPLIT.value, Bare.CANCELED_FIRST.value])
def test_a_reason_that_is_not_true_excuses_nothing(said):
    """A bug: whatever the trader had noted as its reason, the position counted as looked after."""
    scene = opened()
    end_bracket(scene)
    assert excuse(scene.desk, 0, scene.ts_ns) is Bare.REFUSED
    scene.desk.slots[0].why_bare = said
    scene.wait(6)
    assert excuse(scene.desk, 0, scene.ts_ns) is None
    assert compare(scene) == [D14]


def test_a_try_that_is_due_and_not_made_excuses_nothing():
    scene = opened()
    end_bracket(scene)
    scene.ts_ns = scene.desk.slots[0].retry_ns + 4_900_000_000
    assert excuse(scene.desk, 0, scene.ts_ns) is Bare.REFUSED
    scene.wait(0.2)
    assert excuse(scene.desk, 0, scene.ts_ns) is None


def test_a_stop_of_which_nothing_is_heard_is_on_its_way_for_ten_minutes():
    scene = Scene()
    submit = scene.enter()
    scene.accept(submit)
    fill_entry(scene, submit, submit.request.terms.qty_units)
    since_ns, bracket = scene.ts_ns, submit.request.protection.client_order_id
    while scene.ts_ns - since_ns < (BARE_S_MAX - 20) * 10**9:
        scene.hear(TimerFired(scene.wait(15), "protect:0"))
        scene.hear(LookupEnded(scene.wait(1), bracket, Found.FAILED))
        assert excuse(scene.desk, 0, scene.ts_ns) is Bare.ON_ITS_WAY
    assert compare(scene) == []
    scene.wait(30)
    assert D14 in compare(scene)
    assert f"break:{D14}" in scene.desk.alerts.open
    scene.hear(OrderReported(scene.wait(1), Seen(bracket, "V2", VenueState.LIVE, 0, scene.ts_ns)))
    assert scene.desk.slots[0].bare_ns == 0


@pytest.mark.parametrize("is_leaving", [False, True])
def test_in_a_halted_account_that_tries_again_and_again_people_hear_of_it(is_leaving):
    """A bug: a position that was to be left needed no stop, though a halt sends no exit and the venue took no stop."""
    scene = opened()
    scene.hear(CommandReceived(scene.wait(1), "c", "halt", {}, "ops"))
    if is_leaving:
        scene.tick(-20.0)
    end_bracket(scene)
    since_ns = scene.desk.slots[0].bare_ns
    refuse_brackets(scene, since_ns + (BARE_S_MAX - 60) * 10**9)
    assert compare(scene) == []
    scene.ts_ns = since_ns + (BARE_S_MAX + 50) * 10**9
    scene.hear(TimerFired(scene.ts_ns, "protect:0"))
    assert scene.desk.books.mode is Mode.HALTED
    scene.wait(6)
    assert D14 in compare(scene)
    refuse_brackets(scene, scene.ts_ns + 61 * 10**9)
    assert D14 in compare(scene)


def test_an_exit_that_is_at_work_excuses_its_position_and_one_that_is_not_does_not():
    scene = opened()
    scene.tick(-20.0)
    (leaving,) = [sent for sent in scene.sent(Submit) if sent.request.role is Role.EXIT]
    scene.accept(leaving, "V3")
    end_bracket(scene)
    scene.hear(TimerFired(scene.wait(2), "protect:0"))
    assert excuse(scene.desk, 0, scene.ts_ns) is Bare.CLOSING
    scene.ts_ns += BARE_S_MAX * 10**9
    assert excuse(scene.desk, 0, scene.ts_ns) is None


def test_the_wait_goes_on_over_a_restart():
    scene = opened()
    end_bracket(scene)
    since_ns = scene.desk.slots[0].bare_ns
    assert since_ns == scene.ts_ns
    fresh = Scene()
    (*_, last) = [sent for sent in scene.kept if isinstance(sent, Commit)]
    memory.unpack(fresh.desk, last.state)
    assert fresh.desk.slots[0].bare_ns == since_ns
