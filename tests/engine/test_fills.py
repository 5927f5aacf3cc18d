import pytest

from novapulse.core.messages import (
    Alert,
    FillBusted,
    Found,
    LookupEnded,
    OrderReported,
    ReadSnapshot,
    SetTimer,
    SnapshotRead,
)
from novapulse.core.orders import OrderStatus, Role, Seen, VenueState
from tests.engine.scene import Scene, fill_entry, opened


def test_an_execution_that_was_taken_back_before_it_was_known_moves_no_money():
    scene = Scene()
    submit = scene.enter()
    scene.accept(submit)
    request, units = submit.request, submit.request.terms.qty_units
    cash = int(scene.desk.books.account[0].cash_units)
    bust = FillBusted(scene.wait(0.1), request.instrument, request.client_order_id, "V1", f"T{units}")
    scene.hear(bust)
    fill_entry(scene, submit, units)
    assert scene.desk.books.positions[0].qty_units == 0
    assert int(scene.desk.books.account[0].cash_units) == cash


@pytest.mark.parametrize("is_told", [False, True], ids=["nobody said so", "the bust was told"])
def test_an_execution_that_was_taken_back_unseen_ends_its_order_without_a_position_that_the_venue_has_not(is_told):
    scene = Scene()
    submit = scene.enter()
    scene.accept(submit)
    request, units = submit.request, submit.request.terms.qty_units
    cash = int(scene.desk.books.account[0].cash_units)
    if is_told:
        scene.hear(FillBusted(scene.wait(1), request.instrument, request.client_order_id, "V1", "T-gone"))
    filled = Seen(request.client_order_id, "V1", VenueState.FILLED, units, scene.wait(1))
    scene.hear(OrderReported(scene.ts_ns, filled))
    assert scene.status(submit) is OrderStatus.SETTLING
    for _ in range(3):
        scene.hear(SnapshotRead(scene.wait(250), scene.snapshot()))
        assert scene.desk.slots[0].gate
        assert scene.status(submit) is OrderStatus.SETTLING
    scene.hear(SnapshotRead(scene.wait(250), scene.snapshot()))
    assert scene.status(submit) is OrderStatus.FILLED
    assert scene.desk.closed[request.client_order_id].filled_units == 0
    assert scene.desk.books.positions[0].qty_units == 0
    assert int(scene.desk.books.account[0].cash_units) == cash
    assert scene.desk.holds == {}
    assert any("taken back" in alert.text for alert in scene.sent(Alert))
    scene.hear(SnapshotRead(scene.wait(5), scene.snapshot()))
    assert not scene.desk.slots[0].gate


def test_the_bracket_of_an_entry_whose_only_execution_was_taken_back_is_asked_for():
    scene = Scene()
    submit = scene.enter()
    scene.accept(submit)
    request, units = submit.request, submit.request.terms.qty_units
    fill_entry(scene, submit, units)
    scene.hear(FillBusted(scene.wait(0.1), request.instrument, request.client_order_id, "V1", f"T{units}"))
    bracket = request.protection.client_order_id
    assert scene.desk.orders[bracket].status is OrderStatus.INTENT
    assert [timer.name for timer in scene.sent(SetTimer) if timer.name.startswith("lookup")] == [f"lookup:{bracket}"]
    gone = Seen(bracket, "V2", VenueState.CANCELED, 0, scene.wait(1))
    scene.hear(LookupEnded(scene.ts_ns, bracket, Found.FOUND, gone))
    assert scene.desk.closed[bracket].status is OrderStatus.CANCELED


def test_a_bust_gives_money_and_quantity_back_and_the_venue_is_asked_again():
    scene = opened()
    request = next(order.request for order in scene.desk.closed.values() if order.request.role is Role.ENTRY)
    units = request.terms.qty_units
    scene.hear(FillBusted(scene.wait(1), request.instrument, request.client_order_id, "V1", f"T{units}"))
    assert scene.desk.books.positions[0].qty_units == 0
    assert int(scene.desk.books.account[0].cash_units) == 10_000 * 10**8
    assert [effect.why for effect in scene.sent(ReadSnapshot)] == ["an execution was taken back"]
