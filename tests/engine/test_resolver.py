from novapulse.core.messages import (
    Cancel,
    CancelEnded,
    Found,
    Lookup,
    LookupEnded,
    OrderReported,
    Outcome,
    Submit,
    SubmitEnded,
    TimerFired,
)
from novapulse.core.orders import OrderStatus, Seen, VenueState
from tests.engine.scene import Scene


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
