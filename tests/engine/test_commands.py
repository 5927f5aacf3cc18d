"""Flatten and kill: nothing is held in the end, whatever fills late, and a halt comes only when that is proven."""

import pytest

from novapulse.core.messages import (
    Answer,
    Cancel,
    CommandReceived,
    ConditionSeen,
    Found,
    LookupEnded,
    OrderReported,
    Outcome,
    Submit,
    SubmitEnded,
    TimerFired,
)
from novapulse.core.orders import OrderStatus, OrderType, Role, Seen, VenueState
from novapulse.core.records import Mode
from novapulse.engine.leaving import is_flat
from tests.engine.scene import fill_entry
from tests.engine.test_late_evidence import Kept, executed


def say(scene: Kept, verb: str) -> Answer:
    scene.hear(CommandReceived(scene.wait(1), f"c-{scene.ts_ns}", verb, {}, "ops"))
    (answer,) = scene.sent(Answer)
    return answer


def resting(scene: Kept) -> Submit:
    submit = scene.enter()
    scene.accept(submit)
    return submit


def exits(scene: Kept) -> list[Submit]:
    return [submit for submit in scene.sent(Submit) if submit.request.role is Role.EXIT]


def leave_what_filled(scene: Kept, submit: Submit, units: int) -> None:
    """Let an entry fill after the wish, and the exit that follows at once as well."""
    fill_entry(scene, submit, units)
    (leaving,) = exits(scene)
    assert leaving.request.kind is OrderType.MARKET
    assert leaving.request.terms.qty_units == units
    assert scene.desk.books.mode is Mode.REDUCE_ONLY
    executed(scene, leaving, 10_000, f"X{units}")
    assert scene.desk.books.positions[0].qty_units == 0


def end_at_the_venue(scene: Kept, submit: Submit, filled: int) -> None:
    seen = Seen(submit.request.client_order_id, "V1", VenueState.CANCELED, filled, scene.wait(1))
    scene.hear(OrderReported(scene.ts_ns, seen))


@pytest.mark.parametrize("anew", [False, True], ids=["one life", "a restart in between"])
@pytest.mark.parametrize(("verb", "mode"), [("flatten", Mode.REDUCE_ONLY), ("kill", Mode.HALTED)])
def test_an_entry_that_fills_behind_the_wish_is_left_and_a_kill_halts_only_then(verb, mode, anew):
    scene = Kept()
    submit = resting(scene)
    assert "1 entry is being cancelled that may still fill" in say(scene, verb).text
    assert scene.desk.books.mode is Mode.REDUCE_ONLY
    assert [cancel.client_order_id for cancel in scene.sent(Cancel)] == [submit.request.client_order_id]
    if anew:
        scene.start_anew()
    leave_what_filled(scene, submit, 5000)
    assert scene.desk.books.mode is Mode.REDUCE_ONLY
    end_at_the_venue(scene, submit, 5000)
    assert scene.desk.books.mode is mode


def test_an_entry_of_which_nobody_knows_keeps_a_kill_waiting_until_it_is_known():
    scene = Kept()
    submit = scene.enter()
    name = submit.request.client_order_id
    scene.hear(SubmitEnded(scene.wait(1), name, 1, Outcome.AMBIGUOUS))
    say(scene, "kill")
    assert scene.status(submit) is OrderStatus.UNKNOWN
    for _ in range(3):
        scene.tick()
        assert scene.desk.books.mode is Mode.REDUCE_ONLY
    scene.hear(LookupEnded(scene.wait(1), name, Found.FOUND, Seen(name, "V1", VenueState.LIVE, 0, scene.ts_ns)))
    assert [cancel.client_order_id for cancel in scene.sent(Cancel)] == [name]
    leave_what_filled(scene, submit, 5000)
    end_at_the_venue(scene, submit, 5000)
    assert scene.desk.books.mode is Mode.HALTED


def test_an_unknown_entry_that_is_proven_absent_lets_a_kill_halt():
    scene = Kept()
    submit = scene.enter()
    name = submit.request.client_order_id
    scene.hear(SubmitEnded(scene.wait(1), name, 1, Outcome.AMBIGUOUS))
    say(scene, "kill")
    scene.start_anew()
    for wait in (6, 20):
        assert scene.desk.books.mode is Mode.REDUCE_ONLY
        scene.hear(LookupEnded(scene.wait(wait), name, Found.ABSENT))
    assert scene.status(submit) is OrderStatus.NEVER_PLACED
    assert scene.desk.books.mode is Mode.HALTED


def test_what_an_execution_opens_long_after_a_flatten_is_left_until_somebody_resumes():
    scene = Kept()
    submit = scene.enter()
    scene.hear(SubmitEnded(scene.wait(1), submit.request.client_order_id, 1, Outcome.REJECTED, "", "unavailable"))
    say(scene, "flatten")
    for _ in range(3):
        scene.tick()
    leave_what_filled(scene, submit, 5000)
    end_at_the_venue(scene, submit, 5000)
    assert say(scene, "resume").done
    assert scene.desk.flat_wanted == ""
    assert scene.desk.books.account[0].flattening == 0


def held(scene: Kept) -> Submit:
    submit = resting(scene)
    fill_entry(scene, submit, submit.request.terms.qty_units)
    bracket = submit.request.protection.client_order_id
    scene.hear(OrderReported(scene.ts_ns, Seen(bracket, "V2", VenueState.LIVE, 0, scene.ts_ns)))
    return submit


def test_a_breaker_that_halts_while_a_kill_is_under_way_does_not_keep_the_position():
    scene = Kept()
    held(scene)
    say(scene, "kill")
    (leaving,) = exits(scene)
    scene.hear(SubmitEnded(scene.wait(1), leaving.request.client_order_id, 1, Outcome.REJECTED, "", "busy"))
    scene.hear(ConditionSeen(scene.wait(1), "clock_skew", 2000.0))
    assert scene.desk.books.mode is Mode.HALTED
    scene.hear(TimerFired(scene.wait(2), "retry:0"))
    (again,) = exits(scene)
    executed(scene, again, 10_000, "X1")
    assert scene.desk.books.positions[0].qty_units == 0
    assert scene.desk.books.mode is Mode.HALTED
    assert is_flat(scene.desk)


def test_an_operator_who_halts_behind_a_flatten_leaves_the_position_to_its_stop():
    scene = Kept()
    held(scene)
    say(scene, "flatten")
    (leaving,) = exits(scene)
    scene.accept(leaving, "V9")
    say(scene, "halt")
    assert leaving.request.client_order_id in [cancel.client_order_id for cancel in scene.sent(Cancel)]
    name = leaving.request.client_order_id
    scene.hear(OrderReported(scene.wait(1), Seen(name, "V9", VenueState.CANCELED, 0, scene.ts_ns)))
    for _ in range(3):
        scene.tick()
        assert not exits(scene)


@pytest.mark.parametrize("verb", ["kill", "flatten"])
def test_a_second_kill_of_an_account_that_is_halted_and_flat_is_done_already(verb):
    scene = Kept()
    assert say(scene, "kill").done
    assert scene.desk.books.mode is Mode.HALTED
    answer = say(scene, verb)
    assert (answer.done, answer.text) == (True, "the account is halted and flat already")


def test_a_halted_account_is_flattened_by_a_kill_alone():
    scene = Kept()
    held(scene)
    say(scene, "halt")
    refused = say(scene, "flatten")
    assert not refused.done
    assert "kill" in refused.text
    assert not exits(scene)
    assert say(scene, "kill").done
    (leaving,) = exits(scene)
    executed(scene, leaving, 10_000, "X1")
    assert is_flat(scene.desk)
    assert scene.desk.books.mode is Mode.HALTED


def test_what_a_halted_account_may_still_be_given_is_left_behind_a_kill():
    scene = Kept()
    submit = resting(scene)
    say(scene, "halt")
    assert say(scene, "kill").done
    assert not is_flat(scene.desk)
    fill_entry(scene, submit, submit.request.terms.qty_units)
    (leaving,) = exits(scene)
    executed(scene, leaving, 10_000, "X1")
    assert is_flat(scene.desk)


def test_a_flatten_behind_a_kill_is_still_a_kill():
    scene = Kept()
    submit = resting(scene)
    say(scene, "kill")
    say(scene, "flatten")
    end_at_the_venue(scene, submit, 0)
    assert scene.desk.books.mode is Mode.HALTED


def test_what_fills_in_a_killed_account_after_all_is_left_although_it_is_halted():
    scene = Kept()
    submit = scene.enter()
    scene.hear(SubmitEnded(scene.wait(1), submit.request.client_order_id, 1, Outcome.REJECTED, "", "unavailable"))
    say(scene, "kill")
    assert scene.desk.books.mode is Mode.HALTED
    say(scene, "halt")
    scene.start_anew()
    fill_entry(scene, submit, 5000)
    (leaving,) = exits(scene)
    executed(scene, leaving, 10_000, "X1")
    assert scene.desk.books.positions[0].qty_units == 0
    assert say(scene, "resume_from_halt").done
    assert scene.desk.flat_wanted == ""
