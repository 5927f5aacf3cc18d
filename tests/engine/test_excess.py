"""What a venue executes beyond what is held, such as both legs of a bracket: booked as ours, told, and closed again."""

from dataclasses import replace

import pytest

from novapulse.core.messages import (
    Alert,
    CommandReceived,
    Commit,
    FillReported,
    OrderReported,
    ReadSnapshot,
    Severity,
    SnapshotRead,
    Submit,
)
from novapulse.core.orders import Filled, OrderStatus, OrderType, Role, Seen, Side, VenueState
from novapulse.core.records import Mode, Reason
from tests.engine.scene import Scene, opened


def executed(scene: Scene, name: str, venue_id: str, trade: str, side: Side, units: int, price: int = 10_000) -> Filled:
    cash = price * units * 10**2
    return Filled(name, venue_id, trade, scene.desk.keys[0], side, units, price, cash, 0, 1, scene.ts_ns)


def both_legs(scene: Scene) -> tuple[Filled, Filled]:
    """Let both legs of the bracket fill: the first is heard, the second comes too early for the stream."""
    bracket = scene.desk.orders[scene.desk.slots[0].protect]
    units = scene.desk.books.held_units(0)
    name = bracket.client_order_id
    target = replace(
        executed(scene, name, "V2", "T-target", Side.SELL, units), reason=int(Reason.EXIT_TARGET), liquidity=0
    )
    stop = executed(scene, name, "V2", "T-stop", Side.SELL, units, 9_900)
    scene.hear(FillReported(scene.wait(1), target))
    assert scene.desk.books.held_units(0) == 0
    scene.hear(FillReported(scene.wait(1), stop))
    assert scene.sent(ReadSnapshot)
    scene.hear(OrderReported(scene.ts_ns, Seen(name, "V2", VenueState.FILLED, 2 * units, scene.ts_ns)))
    return target, stop


def reading(scene: Scene, *fills: Filled, shows: bool = True, units: int | None = None) -> SnapshotRead:
    """Return a snapshot that holds executions, and whose balances have them as well where it shows them."""
    known = {name for order in (*scene.desk.orders.values(), *scene.desk.closed.values()) for name in order.fills}
    snapshot, totals = scene.snapshot(fills=fills), {**scene.snapshot().balances}
    for fill in fills:
        if shows and fill.venue_trade_id not in known:
            totals["BTC"] += int(fill.side) * fill.qty_units
            totals["USD"] -= int(fill.side) * fill.cash_units
    if units is not None:
        totals["BTC"] = units
    return SnapshotRead(scene.ts_ns, replace(snapshot, balances=totals))


def written(scene: Scene, kind: str) -> list[dict]:
    return [
        dict(record.body)
        for effect in scene.kept
        if isinstance(effect, Commit)
        for record in effect.records
        if record.kind == kind
    ]


def test_what_both_legs_of_a_bracket_did_is_ours_and_is_closed_again_without_anybody():
    scene = opened()
    units = scene.desk.books.held_units(0)
    legs = both_legs(scene)
    name = legs[0].client_order_id
    scene.wait(1)
    scene.hear(reading(scene, *legs))
    assert scene.desk.books.held_units(0) == -units
    assert int(scene.desk.books.foreign_units[0]) == 0
    assert scene.desk.order(name).status is OrderStatus.DISPUTED
    told = [alert for alert in scene.sent(Alert) if alert.key == "excess:T-stop"]
    assert [alert.severity for alert in told] == [Severity.CRITICAL]
    (submit,) = scene.sent(Submit)
    request = submit.request
    assert (request.role, request.kind, request.side) == (Role.EXIT, OrderType.MARKET, Side.BUY)
    assert (request.terms.qty_units, request.reduce_only, request.reason) == (units, True, Reason.EXIT_EXCESS)
    assert written(scene, "decision_taken")[-1]["reason"] == "EXIT_EXCESS"
    assert written(scene, "protection_noted")[-1]["why"] == "what nobody decided is being closed"
    scene.accept(submit, "V3")
    scene.hear(FillReported(scene.wait(1), executed(scene, request.client_order_id, "V3", "T-back", Side.BUY, units)))
    assert scene.desk.books.held_units(0) == 0
    assert not scene.desk.slots[0].turned
    assert scene.desk.closed[name].status is OrderStatus.FILLED
    assert written(scene, "dispute_settled")[-1]["client_order_id"] == name
    trips = written(scene, "round_trip_closed")
    assert [(trip["direction"], trip["exit_reason"]) for trip in trips] == [(1, "EXIT_TARGET"), (-1, "EXIT_EXCESS")]
    scene.tick(10.0)
    assert [submit.request.role for submit in scene.sent(Submit)] == [Role.ENTRY]


def test_every_cent_of_both_legs_and_of_the_way_back_is_in_the_books():
    scene = opened()
    cash, units = int(scene.desk.books.account[0].cash_units), scene.desk.books.held_units(0)
    legs = both_legs(scene)
    scene.wait(1)
    scene.hear(reading(scene, *legs))
    assert int(scene.desk.books.account[0].cash_units) == cash + sum(leg.cash_units for leg in legs)
    assert scene.desk.books.account[0].positions == 1
    assert float(scene.desk.books.positions[0].entry_price) == pytest.approx(99.0)
    (exit_,) = scene.sent(Submit)
    scene.accept(exit_, "V3")
    back = executed(scene, exit_.request.client_order_id, "V3", "T-back", Side.BUY, units)
    scene.hear(FillReported(scene.wait(1), back))
    assert scene.desk.books.account[0].positions == 0
    assert int(scene.desk.books.account[0].cash_units) == cash + sum(leg.cash_units for leg in legs) - back.cash_units


def test_what_no_balance_shows_has_a_stop_and_is_closed_once_one_does():
    scene = opened()
    units = scene.desk.books.held_units(0)
    distance = float(scene.desk.books.positions[0].stop_distance)
    legs = both_legs(scene)
    scene.wait(1)
    scene.hear(reading(scene, *legs, shows=False))
    assert scene.desk.books.held_units(0) == -units
    (stop,) = scene.sent(Submit)
    assert (stop.request.kind, stop.request.side) == (OrderType.BRACKET, Side.BUY)
    assert stop.request.terms.stop_units == pytest.approx(9_900 + 100 * distance, abs=1)
    assert stop.request.terms.target_units == 0
    scene.accept(stop, "V3")
    scene.hear(OrderReported(scene.ts_ns, Seen(stop.request.client_order_id, "V3", VenueState.LIVE, 0, scene.ts_ns)))
    scene.wait(20)
    scene.hear(reading(scene, *legs))
    exits = [submit.request for submit in scene.sent(Submit)]
    assert [(request.role, request.reason, request.side) for request in exits] == [
        (Role.EXIT, Reason.EXIT_EXCESS, Side.BUY)
    ]


def test_a_halted_account_keeps_it_behind_a_stop_and_closes_it_when_it_may():
    scene = opened()
    units = scene.desk.books.held_units(0)
    scene.hear(CommandReceived(scene.wait(0.1), "c1", "halt", {}, "me"))
    legs = both_legs(scene)
    scene.wait(1)
    scene.hear(reading(scene, *legs))
    assert [submit.request.kind for submit in scene.sent(Submit)] == [OrderType.BRACKET]
    scene.hear(CommandReceived(scene.wait(1), "c2", "resume_from_halt", {}, "me"))
    assert scene.desk.books.mode == Mode.NORMAL
    assert scene.sent(ReadSnapshot)
    scene.wait(1)
    scene.hear(reading(scene, *legs))
    exits = [submit.request for submit in scene.sent(Submit)]
    assert [(request.role, request.terms.qty_units) for request in exits] == [(Role.EXIT, units)]


def test_what_belongs_to_nobody_is_used_up_first():
    scene = opened()
    units = scene.desk.books.held_units(0)
    legs = both_legs(scene)
    scene.desk.books.foreign_units[0] = units + 5
    scene.wait(1)
    scene.hear(reading(scene, *legs))
    assert (scene.desk.books.held_units(0), int(scene.desk.books.foreign_units[0])) == (0, 5)
    assert [alert.severity for alert in scene.sent(Alert) if alert.key == "excess:T-stop"] == [Severity.CRITICAL]
    assert not scene.sent(Submit)
    assert scene.desk.closed[legs[0].client_order_id].status is OrderStatus.FILLED


def test_an_exit_that_trades_beside_the_stop_is_closed_again_as_well():
    scene = opened()
    units = scene.desk.books.held_units(0)
    bracket = scene.desk.slots[0].protect
    scene.hear(CommandReceived(scene.wait(0.1), "c1", "close", {"symbol": "BTC/USD"}, "me"))
    (exit_,) = scene.sent(Submit)
    scene.accept(exit_, "V3")
    scene.hear(FillReported(scene.wait(1), executed(scene, bracket, "V2", "T-stop", Side.SELL, units)))
    sold = executed(scene, exit_.request.client_order_id, "V3", "T-exit", Side.SELL, units)
    scene.wait(1)
    scene.hear(reading(scene, sold))
    assert scene.desk.books.held_units(0) == -units
    backs = [submit.request for submit in scene.sent(Submit)]
    assert [(request.side, request.terms.qty_units, request.reason) for request in backs] == [
        (Side.BUY, units, Reason.EXIT_EXCESS)
    ]


def test_an_entry_that_was_on_its_way_covers_it_first():
    scene = opened()
    units = scene.desk.books.held_units(0)
    bracket = scene.desk.slots[0].protect
    target = executed(scene, bracket, "V2", "T-target", Side.SELL, units)
    scene.hear(FillReported(scene.wait(1), target))
    scene.hear(OrderReported(scene.ts_ns, Seen(bracket, "V2", VenueState.FILLED, units, scene.ts_ns)))
    scene.tick(10.0)
    (entry,) = scene.sent(Submit)
    scene.accept(entry, "V4")
    stop = executed(scene, bracket, "V2", "T-stop", Side.SELL, units, 9_900)
    scene.wait(1)
    scene.hear(reading(scene, stop))
    assert scene.desk.books.held_units(0) == -units
    assert "UNFILLED_SUPERSEDED" in [body["reason"] for body in written(scene, "entry_unfilled")]
    bought = executed(scene, entry.request.client_order_id, "V4", "T-in", Side.BUY, units // 2)
    scene.hear(FillReported(scene.wait(1), bought))
    assert scene.desk.books.held_units(0) == units // 2 - units
    assert int(scene.desk.books.foreign_units[0]) == 0
    more = units - units // 2 + 10
    again = replace(bought, venue_trade_id="T-in-2", qty_units=more, cash_units=bought.price_units * more * 10**2)
    scene.hear(FillReported(scene.wait(1), again))
    assert scene.desk.books.held_units(0) == 10
    assert not scene.desk.slots[0].turned, "what opens now was decided"


def test_a_restart_in_between_goes_on_to_close_it():
    scene = opened()
    legs = both_legs(scene)
    scene.hear(CommandReceived(scene.wait(0.1), "c1", "halt", {}, "me"))
    scene.wait(1)
    scene.hear(reading(scene, *legs))
    state = next(effect.state for effect in reversed(scene.kept) if isinstance(effect, Commit) and effect.state)
    again = Scene()
    again.trader.restore(scene.desk.ts_close_ns, state, (), ())
    assert again.desk.slots[0].turned
    assert again.desk.books.held_units(0) == scene.desk.books.held_units(0)


def test_legs_that_together_close_no_more_than_is_held_leave_nothing_to_repair():
    scene = opened()
    name, units = scene.desk.slots[0].protect, scene.desk.books.held_units(0)
    half = units // 2
    smaller = replace(scene.desk.orders[name].request.terms, qty_units=half)
    scene.hear(OrderReported(scene.wait(1), Seen(name, "V2", VenueState.LIVE, 0, scene.ts_ns, smaller)))
    for trade in ("T-target", "T-stop"):
        scene.hear(FillReported(scene.wait(1), executed(scene, name, "V2", trade, Side.SELL, half)))
    assert scene.desk.books.held_units(0) == units - 2 * half
    assert not scene.desk.slots[0].turned
    assert not [alert for alert in scene.kept if isinstance(alert, Alert) and alert.key.startswith("excess:")]


def test_an_entry_that_bought_too_much_stays_in_dispute_for_a_person():
    scene = Scene()
    submit = scene.enter()
    scene.accept(submit)
    units, name = submit.request.terms.qty_units, submit.request.client_order_id
    for trade in ("T1", "T2"):
        scene.hear(FillReported(scene.wait(1), executed(scene, name, "V1", trade, Side.BUY, units)))
    scene.wait(30)
    scene.hear(reading(scene))
    assert scene.desk.orders[name].status is OrderStatus.DISPUTED
    assert scene.desk.books.held_units(0) == 2 * units
