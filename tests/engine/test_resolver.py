from dataclasses import replace
from itertools import pairwise

from novapulse.core.messages import (
    Alert,
    Cancel,
    CancelEnded,
    Event,
    Found,
    Lookup,
    LookupEnded,
    OrderReported,
    Outcome,
    SetTimer,
    Severity,
    Submit,
    SubmitEnded,
    TimerFired,
)
from novapulse.core.orders import OrderStatus, Role, Seen, VenueState
from tests.engine.harness import SECOND_NS
from tests.engine.scene import Scene, close_by_hand, fill_entry, opened


def test_an_unclear_outcome_is_unknown_gates_the_instrument_and_is_looked_into():
    scene = Scene()
    submit = scene.enter()
    scene.hear(SubmitEnded(scene.wait(5), submit.request.client_order_id, 1, Outcome.AMBIGUOUS, text="timeout"))
    assert scene.status(submit) is OrderStatus.UNKNOWN
    scene.hear(TimerFired(scene.wait(0), f"lookup:{submit.request.client_order_id}"))
    assert scene.sent(Lookup)
    scene.tick(12.0)
    assert not scene.sent(Submit)
    seen = Seen(submit.request.client_order_id, "V1", VenueState.LIVE, 0, scene.ts_ns)
    scene.hear(LookupEnded(scene.wait(1), submit.request.client_order_id, Found.FOUND, seen))
    assert scene.status(submit) in (OrderStatus.ACCEPTED, OrderStatus.REPLACE_PENDING)


def test_absence_needs_two_whole_reads_apart_and_a_failed_one_counts_for_nothing():
    scene = Scene()
    submit = scene.enter()
    name = submit.request.client_order_id
    scene.hear(SubmitEnded(scene.wait(5), name, 1, Outcome.AMBIGUOUS))
    for wait, found, status in (
        (1, Found.ABSENT, OrderStatus.UNKNOWN),
        (1, Found.ABSENT, OrderStatus.UNKNOWN),
        (6, Found.FAILED, OrderStatus.UNKNOWN),
        (6, Found.FAILED, OrderStatus.UNKNOWN),
        (6, Found.ABSENT, OrderStatus.NEVER_PLACED),
    ):
        scene.hear(LookupEnded(scene.wait(wait), name, found))
        assert scene.status(submit) is status
    assert scene.desk.holds == {} or name not in scene.desk.holds


def test_a_taken_cancel_ends_nothing_until_the_venue_shows_it():
    scene = Scene()
    submit = scene.enter()
    scene.accept(submit)
    scene.tick(-12.0)
    (cancel,) = scene.sent(Cancel)
    scene.hear(CancelEnded(scene.wait(0.2), cancel.client_order_id, cancel.attempt, Outcome.ACCEPTED))
    assert scene.status(submit) is OrderStatus.CANCEL_PENDING
    assert scene.desk.holds
    scene.hear(OrderReported(scene.wait(1), Seen(cancel.client_order_id, "V1", VenueState.CANCELED, 0, scene.ts_ns)))
    assert scene.status(submit) is OrderStatus.CANCELED
    assert not scene.desk.holds


def timers(scene: Scene) -> list[str]:
    return [timer.name for timer in scene.sent(SetTimer)]


def look_in_vain(scene: Scene, name: str) -> None:
    """Let the venue have nothing of an order that is being looked for."""
    for _ in range(5):
        scene.hear(TimerFired(scene.wait(15), f"lookup:{name}"))
        if name in scene.desk.orders:
            assert scene.sent(Lookup)
            scene.hear(LookupEnded(scene.wait(0.2), name, Found.ABSENT))


def test_what_an_inquiry_began_with_is_asked_for_until_there_is_an_answer():
    """A bug: an answer to whoever else had asked began an inquiry without a timer: nobody ever asked again."""
    scene = Scene()
    submit = scene.enter()
    scene.accept(submit)
    fill_entry(scene, submit, submit.request.terms.qty_units)
    stop = submit.request.protection.client_order_id
    scene.hear(TimerFired(scene.wait(5), "protect:0"))
    scene.hear(LookupEnded(scene.wait(0.3), stop, Found.FAILED))
    assert f"lookup:{stop}" in timers(scene)
    close_by_hand(scene)
    assert scene.desk.books.held_units(0) == 0
    look_in_vain(scene, stop)
    assert stop not in scene.desk.orders


def test_a_stop_that_was_asked_for_while_it_was_sent_is_asked_for_when_its_answer_is_lost():
    """A bug: it stayed UNKNOWN, nobody asked, and ten minutes later the account halted."""
    scene = opened()
    stop = scene.desk.slots[0].protect
    scene.hear(OrderReported(scene.wait(1), Seen(stop, "V2", VenueState.CANCELED, 0, scene.ts_ns)))
    scene.hear(TimerFired(scene.wait(1.5), "protect:0"))
    (sent,) = scene.sent(Submit)
    name = sent.request.client_order_id
    assert sent.request.role is Role.PROTECT
    scene.hear(TimerFired(scene.wait(5), "protect:0"))
    scene.hear(LookupEnded(scene.wait(0.2), name, Found.ABSENT))
    scene.hear(SubmitEnded(scene.wait(4.8), name, 1, Outcome.AMBIGUOUS, text="no answer"))
    assert scene.status(sent) is OrderStatus.UNKNOWN
    close_by_hand(scene)
    look_in_vain(scene, name)
    assert name not in scene.desk.orders


def cancels_of_what_lives_on(scene: Scene, name: str, seconds: float) -> list[float]:
    """Let the venue take every cancel of an order and show the order at work; return when it was asked, in seconds."""
    asked, due_ns, end_ns, began_ns = [], {}, scene.ts_ns + round(seconds * SECOND_NS), scene.ts_ns
    answers: list[Event] = []
    while True:
        for effect in scene.effects:
            if isinstance(effect, SetTimer) and effect.name.partition(":")[0] in ("lookup", "retry"):
                due_ns[effect.name] = effect.at_ns
            elif isinstance(effect, Cancel):
                asked.append((scene.ts_ns - began_ns) / SECOND_NS)
                answers.append(CancelEnded(0, name, effect.attempt, Outcome.ACCEPTED))
            elif isinstance(effect, Lookup):
                answers.append(LookupEnded(0, name, Found.FOUND, Seen(name, "V1", VenueState.LIVE, 0, scene.ts_ns)))
        scene.effects = []
        if answers:
            scene.hear(replace(answers.pop(0), ts_ns=scene.wait(0.1)))
            continue
        timer = min(due_ns, key=due_ns.__getitem__)
        if due_ns[timer] > end_ns:
            return asked
        scene.ts_ns = max(scene.ts_ns, due_ns.pop(timer))
        scene.hear(TimerFired(scene.ts_ns, timer))


def cancelled() -> tuple[Scene, Submit]:
    """Return an account whose consensus turned while its entry was at work, and that entry."""
    scene = Scene()
    submit = scene.enter()
    scene.accept(submit)
    scene.tick(-12.0)
    return scene, submit


def told_of_a_cancel(scene: Scene) -> list[tuple[Severity, str]]:
    told = [effect for effect in scene.kept if isinstance(effect, Alert) and effect.key.startswith("cancel:")]
    return [(alert.severity, alert.text) for alert in told]


def test_a_cancel_that_is_taken_and_does_nothing_is_repeated_ever_less_often_and_people_hear_of_it():
    """A bug: an order that lived on was asked about every five seconds for ever, and nobody heard of it."""
    scene, submit = cancelled()
    name = submit.request.client_order_id
    asked = cancels_of_what_lives_on(scene, name, 3600)
    waits = [after - before for before, after in pairwise(asked)]
    assert waits[0] < 10, "the first may have been lost on its way"
    assert all(after > 0.9 * before for before, after in pairwise(waits)), "longer each time"
    assert 60 <= max(waits) < 130, "and never given up"
    assert 3600 / 130 < len(asked) < 3600 / 60 + 10
    ((severity, text),) = told_of_a_cancel(scene)
    assert severity is Severity.CRITICAL
    assert name in text
    assert "3 times in vain to cancel" in text
    scene.hear(OrderReported(scene.wait(1), Seen(name, "V1", VenueState.CANCELED, 0, scene.ts_ns)))
    assert scene.status(submit) is OrderStatus.CANCELED
    assert not [key for key in scene.desk.alerts.open if key.startswith("cancel:")]
    assert told_of_a_cancel(scene)[1][0] is Severity.INFO


def test_a_cancel_that_was_lost_once_tells_nobody():
    scene, submit = cancelled()
    name = submit.request.client_order_id
    assert len(cancels_of_what_lives_on(scene, name, 8)) == 2
    scene.hear(OrderReported(scene.wait(1), Seen(name, "V1", VenueState.CANCELED, 0, scene.ts_ns)))
    assert scene.status(submit) is OrderStatus.CANCELED
    assert not told_of_a_cancel(scene)
    assert not scene.desk.waits
