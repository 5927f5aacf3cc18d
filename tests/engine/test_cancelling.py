"""Cancelling one order by hand: asked at once, answered when the venue has ended it, refused for what protects."""

from dataclasses import replace
from typing import Any

import pytest

from novapulse.core.kept_state import parts
from novapulse.core.messages import (
    Answer,
    Cancel,
    CancelEnded,
    CommandReceived,
    Commit,
    Effect,
    FillReported,
    Found,
    LookupEnded,
    OrderReported,
    Outcome,
    Submit,
    SubmitEnded,
    TimerFired,
)
from novapulse.core.orders import OrderStatus, Role, Seen, VenueState
from novapulse.core.records import Intent
from tests.engine.scene import fill_entry
from tests.engine.test_commands import end_at_the_venue, held, resting
from tests.engine.test_late_evidence import Kept


def say(scene: Kept, order: str, command_id: str = "c1") -> list[Effect]:
    return scene.hear(CommandReceived(scene.wait(0.1), command_id, "cancel", {"order": order}, "web:ann"))


def answers(scene: Kept) -> list[tuple[str, bool, str]]:
    return [(one.command_id, one.done, one.text) for one in scene.sent(Answer)]


def kinds(scene: Kept) -> list[str]:
    return [record.kind for commit in scene.sent(Commit) for record in commit.records]


def name_of(submit: Submit) -> str:
    return submit.request.client_order_id


def text_of(submit: Submit, status: str, filled: int = 0) -> str:
    whole = submit.request.terms.qty_units / 10**4
    return f"order {name_of(submit)} has ended: {status}, {filled / 10**4:g} of {whole:g} filled"


@pytest.mark.parametrize("anew", [False, True], ids=["one life", "a restart in between"])
@pytest.mark.parametrize("by", ["our id", "the venue's id"])
def test_a_resting_entry_is_cancelled_and_answered_when_the_venue_has_ended_it(by, anew):
    scene = Kept()
    submit = resting(scene)
    say(scene, name_of(submit) if by == "our id" else "V1")
    assert [one.client_order_id for one in scene.sent(Cancel)] == [name_of(submit)]
    assert answers(scene) == []
    assert kinds(scene)[:2] == ["command_taken", "entry_unfilled"]
    assert scene.desk.books.intent(0) is Intent.NONE
    scene.hear(CancelEnded(scene.wait(1), name_of(submit), 1, Outcome.ACCEPTED))
    assert answers(scene) == [], "that the venue took it is not that it did it"
    if anew:
        scene.start_anew()
        assert say(scene, name_of(submit)) == [], "given again by the inbox, it waits on"
    end_at_the_venue(scene, submit, 0)
    assert answers(scene) == [("c1", True, text_of(submit, "CANCELED"))]
    assert kinds(scene).count("command_answered") == 1
    assert say(scene, name_of(submit)) == [], "given once more before the answer was heard"
    assert len(scene.journal.records("command_taken")) == 1


def test_other_orders_stay():
    scene = Kept()
    submit = resting(scene)
    fill_entry(scene, submit, 5000)
    bracket = submit.request.protection.client_order_id
    scene.hear(OrderReported(scene.ts_ns, Seen(bracket, "V2", VenueState.LIVE, 0, scene.ts_ns)))
    say(scene, name_of(submit))
    assert [one.client_order_id for one in scene.sent(Cancel)] == [name_of(submit)]
    end_at_the_venue(scene, submit, 5000)
    assert answers(scene) == [("c1", True, text_of(submit, "CANCELED", 5000))]
    assert scene.desk.books.held_units(0) == 5000
    assert scene.desk.orders[bracket].is_live


def test_a_lost_reply_is_no_success_and_is_found_out():
    scene = Kept()
    submit = resting(scene)
    say(scene, name_of(submit))
    scene.hear(CancelEnded(scene.wait(1), name_of(submit), 1, Outcome.AMBIGUOUS))
    assert answers(scene) == []
    live = Seen(name_of(submit), "V1", VenueState.LIVE, 0, scene.ts_ns)
    scene.hear(LookupEnded(scene.wait(1), name_of(submit), Found.FOUND, live))
    assert answers(scene) == []
    end_at_the_venue(scene, submit, 0)
    assert answers(scene) == [("c1", True, text_of(submit, "CANCELED"))]


def test_an_order_that_fills_before_the_cancel_arrives_was_not_cancelled():
    scene = Kept()
    submit = resting(scene)
    say(scene, name_of(submit))
    scene.hear(CancelEnded(scene.wait(1), name_of(submit), 1, Outcome.REJECTED, "too late"))
    assert answers(scene) == []
    units = submit.request.terms.qty_units
    fill_entry(scene, submit, units)
    assert answers(scene) == [("c1", False, text_of(submit, "FILLED", units))]
    assert scene.desk.books.held_units(0) == units


def test_an_entry_of_which_nobody_knows_yet_is_cancelled_again_as_soon_as_it_shows():
    scene = Kept()
    submit = scene.enter()
    scene.hear(SubmitEnded(scene.wait(1), name_of(submit), 1, Outcome.AMBIGUOUS))
    say(scene, name_of(submit))
    assert [one.venue_order_id for one in scene.sent(Cancel)] == [""]
    scene.hear(CancelEnded(scene.wait(1), name_of(submit), 1, Outcome.REJECTED, "unknown order"))
    assert answers(scene) == []
    live = Seen(name_of(submit), "V1", VenueState.LIVE, 0, scene.ts_ns)
    scene.hear(LookupEnded(scene.wait(1), name_of(submit), Found.FOUND, live))
    assert [one.client_order_id for one in scene.sent(Cancel)] == [name_of(submit)]
    end_at_the_venue(scene, submit, 0)
    assert [done for _, done, _ in answers(scene)] == [True]


def test_an_entry_that_is_proven_absent_rests_nowhere():
    scene = Kept()
    submit = scene.enter()
    scene.hear(SubmitEnded(scene.wait(1), name_of(submit), 1, Outcome.AMBIGUOUS))
    say(scene, name_of(submit))
    for wait in (6, 20):
        assert answers(scene) == []
        scene.hear(LookupEnded(scene.wait(wait), name_of(submit), Found.ABSENT))
    assert answers(scene) == [("c1", True, text_of(submit, "NEVER_PLACED"))]


def test_two_who_want_the_same_are_both_answered():
    scene = Kept()
    submit = resting(scene)
    say(scene, name_of(submit))
    say(scene, name_of(submit), "c2")
    assert scene.sent(Cancel) == []
    end_at_the_venue(scene, submit, 0)
    assert [name for name, _, _ in answers(scene)] == ["c1", "c2"]


def refused(scene: Kept, order: str) -> str:
    say(scene, order, f"c-{scene.ts_ns}")
    assert scene.sent(Cancel) == []
    ((_, done, text),) = answers(scene)
    assert not done
    assert kinds(scene) == ["command_answered"]
    return text


def test_what_protects_a_position_is_not_cancelled_by_hand():
    scene = Kept()
    submit = held(scene)
    bracket = submit.request.protection.client_order_id
    text = f"order {bracket} protects the position in BTC/USD and is not cancelled by hand: close closes the position"
    assert refused(scene, bracket) == text
    assert scene.desk.orders[bracket].cancels == 0


def test_what_leaves_a_position_is_not_cancelled_by_hand():
    scene = Kept()
    held(scene)
    scene.hear(CommandReceived(scene.wait(1), "c0", "close", {"symbol": "BTC/USD"}, "ops"))
    (leaving,) = [one for one in scene.sent(Submit) if one.request.role is Role.EXIT]
    name = leaving.request.client_order_id
    expected = f"order {name} closes the position in BTC/USD and is not cancelled by hand: halt keeps what is held"
    assert refused(scene, name) == expected


def test_an_unknown_order_is_named_with_what_can_be_cancelled():
    scene = Kept()
    assert refused(scene, "O-1") == "this account has no order 'O-1': what can be cancelled is nothing now"
    submit = resting(scene)
    assert refused(scene, "O-1").endswith(f"what can be cancelled is {name_of(submit)}")


def test_an_order_that_has_ended_is_not_cancelled_again():
    scene = Kept()
    submit = resting(scene)
    end_at_the_venue(scene, submit, 0)
    assert refused(scene, name_of(submit)) == text_of(submit, "CANCELED")


def test_a_dispute_over_what_has_ended_is_not_cancelled_but_settled():
    scene = Kept()
    submit = resting(scene)
    name = name_of(submit)
    fill_entry(scene, submit, 5000)
    fill = next(iter(scene.desk.orders[name].fills.values()))
    scene.hear(FillReported(scene.wait(1), replace(fill, qty_units=4999)))
    say(scene, name)
    assert [one.client_order_id for one in scene.sent(Cancel)] == [name]
    end_at_the_venue(scene, submit, 5000)
    assert scene.status(submit) is OrderStatus.DISPUTED
    assert answers(scene) == [], "what it filled is in dispute"
    expected = f"order {name} has ended at the venue and is disputed: settle ends that"
    assert refused(scene, name) == expected
    scene.hear(CommandReceived(scene.wait(1), "c9", "settle", {"order": name}, "ops"))
    assert ("c1", True, text_of(submit, "CANCELED", 5000)) in answers(scene)


@pytest.mark.parametrize("survives", [False, True], ids=["killed before the commit", "killed behind it"])
def test_a_kill_between_two_steps_leaves_the_command_whole_or_unsaid(survives):
    scene = Kept()
    submit = resting(scene)
    command = CommandReceived(scene.wait(1), "c1", "cancel", {"order": name_of(submit)}, "ops")
    effects: list[Any] = scene.trader.handle(command) if not survives else scene.hear(command)
    assert [type(one) for one in effects[:2]] == [Commit, Cancel], "durable before the venue is asked"
    scene.start_anew()
    scene.hear(replace(command, ts_ns=scene.wait(1)))
    assert len(scene.journal.records("command_taken")) == 1
    end_at_the_venue(scene, submit, 0)
    assert [done for _, done, _ in answers(scene)] == [True]


def test_nothing_of_it_is_in_a_state_without_it():
    scene = Kept()
    submit = resting(scene)
    assert "waiting" not in parts(scene.sent(Commit)[0].state)[0]
    say(scene, name_of(submit))
    assert list(parts(scene.sent(Commit)[0].state)[0]["waiting"]) == [name_of(submit)]
    end_at_the_venue(scene, submit, 0)
    assert "waiting" not in parts(scene.sent(Commit)[0].state)[0]


@pytest.mark.parametrize("verb", ["cancel", "kill", "reduce_only"])
def test_an_entry_of_which_nothing_is_known_is_cancelled_by_our_id_and_stays_unknown(verb):
    scene = Kept()
    submit = scene.enter()
    name = name_of(submit)
    scene.hear(SubmitEnded(scene.wait(10), name, 1, Outcome.AMBIGUOUS, "", "", "no answer"))
    scene.hear(CommandReceived(scene.wait(1), "c1", verb, {}, "ops"))
    (asked,) = scene.sent(Cancel)
    assert (asked.client_order_id, asked.venue_order_id, asked.attempt) == (name, "", 1)
    began_ns = scene.ts_ns
    outcomes = [Outcome.REJECTED, Outcome.AMBIGUOUS, Outcome.ACCEPTED, *[Outcome.REJECTED] * 9]
    for attempt, outcome in enumerate(outcomes, 1):
        scene.hear(CancelEnded(scene.wait(0.2), name, attempt, outcome, "unknown order"))
        assert scene.status(submit) is OrderStatus.UNKNOWN
        assert not scene.sent(Cancel), "each has its time"
        scene.hear(LookupEnded(scene.ts_ns, name, Found.FAILED))
        scene.hear(TimerFired(scene.wait(30), "retry:0"))
        assert [one.attempt for one in scene.sent(Cancel)] == [attempt + 1]
    assert scene.ts_ns - began_ns < 600 * 10**9
    assert not [key for key in scene.desk.alerts.open if key.startswith("cancel:")], "nobody refused what nobody knows"
    seen = Seen(name, "V1", VenueState.LIVE, 0, scene.ts_ns)
    scene.hear(LookupEnded(scene.wait(1), name, Found.FOUND, seen))
    assert [one.venue_order_id for one in scene.sent(Cancel)] == ["V1"]


def test_what_is_found_absent_is_found_so_although_cancels_come_back():
    scene = Kept()
    submit = scene.enter()
    name = name_of(submit)
    scene.hear(SubmitEnded(scene.wait(10), name, 1, Outcome.AMBIGUOUS, "", "", "no answer"))
    scene.hear(CommandReceived(scene.wait(1), "c1", "cancel", {}, "ops"))
    for attempt in (1, 2, 3):
        scene.hear(CancelEnded(scene.wait(1), name, attempt, Outcome.REJECTED, "unknown order"))
        scene.hear(LookupEnded(scene.wait(7), name, Found.ABSENT))
        scene.hear(TimerFired(scene.ts_ns, "retry:0"))
    assert scene.status(submit) is OrderStatus.NEVER_PLACED
