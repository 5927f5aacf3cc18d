from novapulse.core.messages import (
    FillBusted,
    ReadSnapshot,
)
from novapulse.core.orders import Role
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


def test_a_bust_gives_money_and_quantity_back_and_the_venue_is_asked_again():
    scene = opened()
    request = next(order.request for order in scene.desk.closed.values() if order.request.role is Role.ENTRY)
    units = request.terms.qty_units
    scene.hear(FillBusted(scene.wait(1), request.instrument, request.client_order_id, "V1", f"T{units}"))
    assert scene.desk.books.positions[0].qty_units == 0
    assert int(scene.desk.books.account[0].cash_units) == 10_000 * 10**8
    assert [effect.why for effect in scene.sent(ReadSnapshot)] == ["an execution was taken back"]
