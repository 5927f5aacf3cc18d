"""What a hostile reader found: each case once lost money or stood still for ever."""

from dataclasses import replace

import pytest

from novapulse.core.messages import (
    Alert,
    Amend,
    AmendEnded,
    Cancel,
    CommandReceived,
    FillReported,
    Found,
    LookupEnded,
    OrderReported,
    Outcome,
    SetTimer,
    Severity,
    SnapshotRead,
    Submit,
    SubmitEnded,
    TimerFired,
    VenueOrder,
)
from novapulse.core.orders import Filled, OrderStatus, Role, Seen, VenueState
from novapulse.core.records import Mode, Reason
from novapulse.engine import leaving, memory
from novapulse.engine.desk import Draft
from novapulse.engine.room import has_room
from novapulse.engine.settings import TraderSettings
from tests.engine.harness import SECOND_NS, decides, trader_of
from tests.engine.scene import Scene, fill_entry, opened


def test_an_order_that_was_let_go_before_the_venue_answered_is_cancelled_as_soon_as_it_has():
    scene = Scene()
    submit = scene.enter()
    scene.hear(CommandReceived(scene.wait(0.1), "c", "halt", {}, "ops"))
    assert not scene.sent(Cancel)
    scene.accept(submit)
    assert [cancel.client_order_id for cancel in scene.sent(Cancel)] == [submit.request.client_order_id]


def test_a_crash_after_a_touched_stop_does_not_sell_twice():
    scene = opened()
    event = scene.ticks.event(scene.row, 0)
    bars = event.bars.copy()
    bars["low"] = bars["close"] = bars["open"] = 50.0
    scene.ts_ns = event.ts_close_ns
    effects = scene.hear(replace(event, ts_ns=scene.ts_ns, bars=bars))
    assert not scene.sent(Submit)
    fresh = trader_of(["BTC/USD"])
    memory.unpack(fresh.desk, effects[0].state)
    assert fresh.desk.slots[0].decision == ""
    assert fresh.desk.slots[0].leaving_ns == scene.ts_ns


@pytest.mark.parametrize("is_moved", [False, True])
def test_a_touched_stop_that_the_venue_has_further_away_is_not_waited_for(is_moved: bool):
    scene = opened()
    (amend,) = scene.sent(Amend)
    bracket = amend.client_order_id
    at_venue = amend.terms if is_moved else replace(amend.terms, stop_units=9_300)
    scene.hear(AmendEnded(scene.wait(1), bracket, amend.amendment, Outcome.AMBIGUOUS))
    event = scene.ticks.event(scene.row, 0)
    bars = event.bars.copy()
    bars["low"] = bars["close"] = bars["open"] = 94.0
    scene.ts_ns = event.ts_close_ns
    scene.hear(replace(event, ts_ns=scene.ts_ns, bars=bars))
    assert scene.desk.slots[0].leaving_ns == scene.ts_ns
    for _ in range(2):
        seen = Seen(bracket, "V2", VenueState.LIVE, 0, scene.ts_ns, at_venue)
        scene.hear(LookupEnded(scene.wait(1), bracket, Found.FOUND, seen))
        assert not scene.sent(Submit)
    scene.hear(TimerFired(scene.wait(30), "exit:0"))
    assert [submit.request.role for submit in scene.sent(Submit)] == ([] if is_moved else [Role.EXIT])


def test_a_stop_that_the_venue_will_not_move_is_asked_for_ever_less_often_and_people_hear_of_it():
    scene = opened()
    asked, told = 0, []
    for _ in range(100):
        for amend in scene.sent(Amend):
            asked += 1
            scene.hear(AmendEnded(scene.wait(0.1), amend.client_order_id, amend.amendment, Outcome.REJECTED, "no"))
            told += [alert.key for alert in scene.sent(Alert)]
        scene.hear(TimerFired(scene.wait(1), "retry:0"))
    assert 3 <= asked <= 8
    assert len(told) == 1


def test_an_exit_does_not_wait_for_an_entry_whose_outcome_is_not_known():
    scene = opened()
    slot = scene.desk.slots[0]
    other = Scene()
    unknown = other.enter()
    other.hear(SubmitEnded(other.wait(1), unknown.request.client_order_id, 1, Outcome.AMBIGUOUS))
    scene.desk.orders[unknown.request.client_order_id] = other.desk.orders[unknown.request.client_order_id]
    slot.drains.append(unknown.request.client_order_id)
    scene.hear(CommandReceived(scene.wait(1), "c", "flatten", {}, "ops"))
    assert [submit.request.role for submit in scene.sent(Submit)] == [Role.EXIT]


def test_a_stand_in_that_is_covered_in_parts_costs_what_the_real_executions_cost():
    scene = Scene()
    submit = scene.enter()
    scene.accept(submit)
    request, units = submit.request, 6000
    before = int(scene.desk.books.account[0].cash_units)

    def fill(name: str, qty_units: int, price_units: int, provisional: bool = False) -> Filled:
        name = f"inf:{request.client_order_id}:{qty_units}" if provisional else name
        ids = request.client_order_id, "V1", name
        cash = price_units * qty_units * 100
        return Filled(*ids, request.instrument, request.side, qty_units, price_units, cash, 7, 0, 1, provisional)

    scene.hear(OrderReported(scene.wait(1), Seen(request.client_order_id, "V1", VenueState.LIVE, units, 1)))
    for one in (fill("", 5000, 10_000, True), fill("T1", 3000, 10_010), fill("T2", 3000, 10_020)):
        scene.hear(FillReported(scene.wait(1), one))
    assert scene.desk.books.positions[0].qty_units == units
    paid = before - int(scene.desk.books.account[0].cash_units)
    assert paid == 3000 * 10_010 * 100 + 3000 * 10_020 * 100 + 14


def test_a_stop_that_was_armed_anew_grows_with_its_position():
    scene = Scene()
    submit = scene.enter()
    scene.accept(submit)
    fill_entry(scene, submit, 5000)
    bracket = submit.request.protection.client_order_id
    for wait in (1, 6):
        scene.hear(LookupEnded(scene.wait(wait), bracket, Found.ABSENT))
    (armed,) = scene.sent(Submit)
    name = armed.request.client_order_id
    scene.hear(SubmitEnded(scene.wait(1), name, 1, Outcome.ACCEPTED, "V9"))
    assert armed.request.terms.qty_units == 5000
    fill_entry(scene, submit, 4000)
    (amend,) = scene.sent(Amend)
    assert (amend.client_order_id, amend.terms.qty_units) == (name, 9000)


def test_a_difference_is_adopted_once():
    scene = Scene()
    snapshot = scene.snapshot()
    cash = int(scene.desk.books.account[0].cash_units)
    short = replace(snapshot, balances={**snapshot.balances, "USD": cash - 50 * 10**8})
    for _ in range(2):
        scene.wait(6)
        scene.hear(SnapshotRead(scene.ts_ns, replace(short, began_ns=scene.ts_ns, ended_ns=scene.ts_ns)))
    (key,) = [key for key in scene.desk.breaks if key.startswith("D13")]
    for number in range(2):
        scene.hear(CommandReceived(scene.wait(1), f"c{number}", "adopt", {"order": key}, "ops"))
    assert int(scene.desk.books.account[0].cash_units) == cash - 50 * 10**8


def test_kill_on_a_halted_account_is_refused_and_leaves_no_wish_behind():
    scene = opened()
    scene.hear(CommandReceived(scene.wait(1), "c1", "halt", {}, "ops"))
    scene.hear(CommandReceived(scene.wait(1), "c2", "kill", {}, "ops"))
    scene.hear(CommandReceived(scene.wait(1), "c3", "resume_from_halt", {}, "ops"))
    assert scene.desk.books.mode is Mode.NORMAL


def test_an_operator_settles_a_dispute():
    scene = Scene()
    submit = scene.enter()
    scene.accept(submit)
    fill_entry(scene, submit, 5000)
    name = submit.request.client_order_id
    twice = next(iter(scene.desk.orders[name].fills.values()))
    scene.hear(FillReported(scene.wait(1), replace(twice, qty_units=4999)))
    assert scene.status(submit) is OrderStatus.DISPUTED
    scene.hear(CommandReceived(scene.wait(1), "c", "settle", {"order": name}, "ops"))
    assert scene.status(submit) is not OrderStatus.DISPUTED


def test_an_answer_that_never_comes_makes_the_order_unknown():
    scene = Scene()
    submit = scene.enter()
    scene.hear(TimerFired(scene.wait(15), f"deadline:{submit.request.client_order_id}"))
    assert scene.status(submit) is OrderStatus.UNKNOWN


def test_completing_is_for_entries_that_nobody_here_ended():
    scene = Scene(TraderSettings(partial_fill="complete"))
    submit = scene.enter()
    scene.accept(submit)
    fill_entry(scene, submit, 5000)
    scene.hear(CommandReceived(scene.wait(1), "c", "cancel", {}, "ops"))
    seen = Seen(submit.request.client_order_id, "V1", VenueState.CANCELED, 5000, scene.ts_ns)
    scene.hear(OrderReported(scene.wait(1), seen))
    assert not scene.sent(Submit)


def test_a_dearer_amendment_holds_the_dearer_price():
    scene = Scene()
    submit = scene.enter()
    scene.accept(submit)
    name = submit.request.client_order_id
    held = scene.desk.holds[name][1]
    plan = scene.desk.plan(0)
    plan.hold *= 1.05
    plan.limit_price = round(float(plan.limit_price) * 1.05, 2)
    scene.hear(TimerFired(scene.wait(1), "retry:0"))
    assert scene.sent(Amend)
    assert scene.desk.holds[name][1] > held * 1.04


def test_leaving_twice_is_leaving_once():
    scene = opened()
    draft = Draft(scene.wait(1))
    assert leaving.leave(scene.desk, draft, 0, Reason.EXIT_MODE)
    assert not leaving.leave(scene.desk, draft, 0, Reason.EXIT_MODE)


def test_room_that_a_cancelled_entry_filled_after_all_is_no_room_for_the_next_one():
    scene = Scene()
    scene.enter()
    books = scene.desk.books
    slot = scene.desk.slots[0]
    assert has_room(scene.desk, 0)
    slot.legs = 0
    books.positions[0].qty, books.positions[0].mark_price = 60.0, 100.0
    assert not has_room(scene.desk, 0)


class Pair(Scene):
    """A trader of two instruments."""

    symbols = ("BTC/USD", "ETH/USD")


@pytest.mark.parametrize("filled", [False, True])
def test_an_entry_waits_for_the_place_of_one_that_was_given_up_and_takes_it_as_soon_as_that_has_ended(filled: bool):
    scene = Pair(chosen=decides(limits={**decides().risk.limits.model_dump(), "positions_max": 1}))
    given_up = scene.enter()
    scene.accept(given_up)
    scene.tick(-12.0, 10.0)
    (cancel,) = scene.sent(Cancel)
    assert cancel.client_order_id == given_up.request.client_order_id
    assert not scene.sent(Submit), "the place is taken until the first one has ended"
    if filled:
        fill_entry(scene, given_up, given_up.request.terms.qty_units)
    else:
        gone = Seen(given_up.request.client_order_id, "V1", VenueState.CANCELED, 0, scene.wait(1))
        scene.hear(OrderReported(scene.ts_ns, gone))
    due = [timer.name for timer in scene.sent(SetTimer) if timer.name == "retry:1"]
    assert due == ["retry:1"]
    scene.hear(TimerFired(scene.ts_ns, "retry:1"))
    entries = [one for one in scene.sent(Submit) if one.request.instrument.symbol == "ETH/USD"]
    assert len(entries) == (0 if filled else 1)


def ended_by_the_venue(scene: Scene, submit: Submit, venue_id: str, after_s: float) -> None:
    scene.accept(submit, venue_id)
    seen = Seen(submit.request.client_order_id, venue_id, VenueState.CANCELED, 0, scene.wait(after_s))
    scene.hear(OrderReported(scene.ts_ns, seen))


def test_an_exit_that_the_venue_keeps_ending_is_tried_ever_less_often_and_people_hear_of_it():
    scene = opened()
    scene.tick(-15.0)
    waits, told = [], []
    for number in range(6):
        (submit,) = scene.sent(Submit)
        ended_by_the_venue(scene, submit, f"X{number}", 0.1)
        assert not scene.sent(Submit)
        told += [alert.key for alert in scene.sent(Alert) if alert.severity is Severity.CRITICAL]
        waits.append((scene.desk.slots[0].retry_ns - scene.ts_ns) / SECOND_NS)
        scene.hear(TimerFired(scene.wait(waits[-1]), "retry:0"))
    assert waits == [1, 2, 5, 10, 30, 60]
    assert told == ["exit:BTC/USD"]


def test_an_exit_that_rested_for_long_and_is_ended_by_the_venue_is_sent_anew_at_once():
    scene = opened()
    scene.tick(-15.0)
    (submit,) = scene.sent(Submit)
    ended_by_the_venue(scene, submit, "X1", 61)
    assert [again.request.role for again in scene.sent(Submit)] == [Role.EXIT]
    assert scene.desk.slots[0].refusals == 0


def test_a_stop_that_the_venue_keeps_ending_is_armed_less_often_and_then_the_position_is_left():
    scene = opened()
    slot, waits = scene.desk.slots[0], []
    scene.hear(OrderReported(scene.wait(1), Seen(slot.protect, "V2", VenueState.CANCELED, 0, scene.ts_ns)))
    for number in range(2):
        assert not scene.sent(Submit)
        waits.append((slot.retry_ns - scene.ts_ns) / SECOND_NS)
        scene.hear(TimerFired(scene.wait(waits[-1]), "protect:0"))
        (stop,) = scene.sent(Submit)
        assert stop.request.role is Role.PROTECT
        ended_by_the_venue(scene, stop, f"S{number}", 0.1)
    assert waits == [1, 2]
    assert [submit.request.role for submit in scene.sent(Submit)] == [Role.EXIT]
    assert "bare:BTC/USD" in scene.desk.alerts.open


def test_a_stop_that_stood_for_long_and_is_ended_by_the_venue_is_armed_at_once():
    scene = opened()
    name = scene.desk.slots[0].protect
    scene.hear(OrderReported(scene.wait(300), Seen(name, "V2", VenueState.EXPIRED, 0, scene.ts_ns)))
    (stop,) = scene.sent(Submit)
    assert stop.request.role is Role.PROTECT
    assert stop.request.client_order_id != name


def test_what_the_venue_has_twice_under_one_id_is_told_once_and_all_but_the_acknowledged_one_is_cancelled():
    scene = Scene()
    submit = scene.enter()
    scene.accept(submit, "V1")
    name, told, cancelled = submit.request.client_order_id, [], []
    for _ in range(3):
        scene.hear(OrderReported(scene.wait(1), Seen(name, "V7", VenueState.LIVE, 0, scene.ts_ns)))
        told += [alert for alert in scene.sent(Alert) if alert.severity is Severity.CRITICAL]
        cancelled += [cancel.venue_order_id for cancel in scene.sent(Cancel)]
    assert scene.status(submit) is OrderStatus.DISPUTED
    assert ["V7" in alert.text for alert in told] == [True]
    assert cancelled == ["V7"]
    assert not scene.desk.orders[name].cancels
    listed = VenueOrder(
        Seen(name, "V7", VenueState.LIVE, 0, scene.ts_ns), submit.request.instrument, submit.request.side, 1
    )
    scene.hear(SnapshotRead(scene.wait(6), replace(scene.snapshot(orders=(listed,)), began_ns=scene.ts_ns)))
    assert "V7" in [cancel.venue_order_id for cancel in scene.sent(Cancel)]


def test_an_execution_beyond_the_quantity_is_booked_and_told_once():
    scene = Scene()
    submit = scene.enter()
    scene.accept(submit)
    units = submit.request.terms.qty_units
    fill_entry(scene, submit, units - 1000)
    fill_entry(scene, submit, 3000)
    (alert,) = [alert for alert in scene.sent(Alert) if alert.severity is Severity.CRITICAL]
    assert f"executed {units + 2000} of {units} units" in alert.text
    assert scene.desk.books.positions[0].qty_units == units + 2000
    scene.hear(TimerFired(scene.wait(1), "retry:0"))
    assert not [alert for alert in scene.sent(Alert) if alert.severity is Severity.CRITICAL]
    scene.hear(CommandReceived(scene.wait(1), "c", "settle", {"order": submit.request.client_order_id}, "ops"))
    assert alert.key not in scene.desk.alerts.open
