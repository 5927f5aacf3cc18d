"""Whose an execution is where a venue knows one net quantity: ours and nobody's never lie on two sides."""

from dataclasses import replace

import pytest

from novapulse.core.messages import (
    Alert,
    Cancel,
    Commit,
    FillBusted,
    FillReported,
    OrderReported,
    Severity,
    SnapshotRead,
    Submit,
    TimerFired,
)
from novapulse.core.orders import Filled, OrderType, Role, Seen, Side, Terms, VenueState
from novapulse.core.records import Intent, Mode, Reason
from tests.engine.scene import Scene, fill_entry, with_position


def short_scene() -> Scene:
    return Scene(shortable=True)


def executed(scene: Scene, name: str, venue_id: str, trade: str, side: Side, units: int, price: int = 10_000) -> Filled:
    cash = price * units * 10**2
    return Filled(name, venue_id, trade, scene.desk.keys[0], side, units, price, cash, cash // 1000, 1, scene.ts_ns)


def held(scene: Scene) -> tuple[int, int]:
    """Return what is ours and what is nobody's."""
    return scene.desk.books.held_units(0), int(scene.desk.books.foreign_units[0])


def written(scene: Scene, kind: str) -> list[dict]:
    commits = [effect for effect in scene.kept if isinstance(effect, Commit)]
    return [dict(record.body) for commit in commits for record in commit.records if record.kind == kind]


def closed_by_its_target() -> tuple[Scene, Filled]:
    """Return a scene whose long position was closed by its bracket, and the execution that did it."""
    scene = with_position(short_scene())
    name, units = scene.desk.slots[0].protect, held(scene)[0]
    sold = replace(executed(scene, name, "V2", "T-out", Side.SELL, units), reason=int(Reason.EXIT_TARGET))
    scene.hear(FillReported(scene.wait(1), sold))
    scene.hear(OrderReported(scene.ts_ns, Seen(name, "V2", VenueState.FILLED, units, scene.ts_ns)))
    assert held(scene) == (0, 0)
    return scene, sold


def busted(scene: Scene, fill: Filled) -> None:
    scene.hear(
        FillBusted(scene.wait(1), fill.instrument, fill.client_order_id, fill.venue_order_id, fill.venue_trade_id)
    )


def enter_short(scene: Scene, venue_id: str = "V9") -> Submit:
    scene.tick(-10.0)
    (submit,) = scene.sent(Submit)
    assert (submit.request.role, submit.request.side) == (Role.ENTRY, Side.SELL)
    scene.accept(submit, venue_id)
    return submit


def sell(scene: Scene, entry: Submit, units: int) -> Filled:
    sold = executed(scene, entry.request.client_order_id, "V9", "S1", Side.SELL, units)
    scene.hear(FillReported(scene.wait(1), sold))
    return sold


def somebody(scene: Scene, side: Side, units: int, trade: str) -> None:
    scene.hear(FillReported(scene.wait(0.1), executed(scene, "", "X1", trade, side, units)))


def test_an_exit_that_was_taken_back_is_our_position_again_with_a_stop_and_is_closed_once_a_reading_shows_it():
    scene, sold = closed_by_its_target()
    cash, units = int(scene.desk.books.account[0].cash_units), sold.qty_units
    busted(scene, sold)
    assert held(scene) == (units, 0)
    assert int(scene.desk.books.account[0].cash_units) == cash - sold.cash_units + sold.fee_units
    (stop,) = scene.sent(Submit)
    assert (stop.request.kind, stop.request.side, stop.request.terms.qty_units) == (OrderType.BRACKET, Side.SELL, units)
    assert 0 < stop.request.terms.stop_units < sold.price_units
    (told,) = [alert for alert in scene.sent(Alert) if alert.key == "bust:T-out"]
    assert "held again" in told.text
    scene.accept(stop, "V3")
    scene.hear(OrderReported(scene.ts_ns, Seen(stop.request.client_order_id, "V3", VenueState.LIVE, 0, scene.ts_ns)))
    scene.hear(SnapshotRead(scene.wait(1), scene.snapshot()))
    exits = [submit.request for submit in scene.sent(Submit)]
    assert [(request.role, request.kind, request.side, request.terms.qty_units) for request in exits] == [
        (Role.EXIT, OrderType.MARKET, Side.SELL, units)
    ]
    assert written(scene, "decision_taken")[-1]["reason"] == "EXIT_EXCESS"
    assert written(scene, "fill_busted")[-1]["own_units"] == units


def test_an_exit_that_was_taken_back_is_no_loss_of_the_day():
    """A bug: the money went back and the position counted as nobody's, so a third of the equity seemed lost: HALTED."""
    scene, sold = closed_by_its_target()
    scene.tick(0.0)
    before = float(scene.desk.books.account[0].equity)
    busted(scene, sold)
    scene.tick(0.0)
    assert float(scene.desk.books.account[0].equity) == pytest.approx(before, rel=0.01)
    assert scene.desk.books.mode is Mode.NORMAL


def test_what_was_given_back_is_netted_with_the_short_that_was_on_its_way():
    """Found by seed 259: a short of 4,301 stood beside 8,613 of nobody, and the venue refused every stop of it."""
    scene, sold = closed_by_its_target()
    entry = enter_short(scene)
    busted(scene, sold)
    assert scene.desk.books.intent(0) is Intent.NONE
    assert [effect.venue_order_id for effect in scene.sent(Cancel)] == ["V9"]
    part = sold.qty_units // 2
    sell(scene, entry, part)
    assert held(scene) == (sold.qty_units - part, 0)
    scene.hear(SnapshotRead(scene.wait(20), scene.snapshot()))
    exits = [submit.request for submit in scene.sent(Submit) if submit.request.role is Role.EXIT]
    assert [(request.side, request.terms.qty_units) for request in exits] == [(Side.SELL, sold.qty_units - part)]


def test_what_was_given_back_closes_the_short_that_was_opened_since_and_the_rest_is_closed():
    scene, sold = closed_by_its_target()
    entry = enter_short(scene)
    units = sold.qty_units // 4
    scene.hear(
        FillReported(scene.wait(1), executed(scene, entry.request.client_order_id, "V9", "S1", Side.SELL, units))
    )
    assert held(scene) == (-units, 0)
    busted(scene, sold)
    assert held(scene) == (sold.qty_units - units, 0)
    assert [trip["exit_reason"] for trip in written(scene, "round_trip_closed")] == ["EXIT_TARGET", "EXIT_FOREIGN"]
    scene.hear(SnapshotRead(scene.wait(20), scene.snapshot()))
    exits = [submit.request for submit in scene.sent(Submit) if submit.request.role is Role.EXIT]
    assert [(request.side, request.terms.qty_units) for request in exits] == [(Side.SELL, sold.qty_units - units)]


def test_an_entry_that_was_taken_back_behind_its_exit_leaves_ours_on_the_other_side_to_be_closed():
    scene, sold = closed_by_its_target()
    entry = next(order for order in scene.desk.closed.values() if order.request.role is Role.ENTRY)
    (bought,) = entry.fills.values()
    busted(scene, bought)
    assert held(scene) == (-sold.qty_units, 0)
    scene.hear(SnapshotRead(scene.wait(20), scene.snapshot()))
    exits = [submit.request for submit in scene.sent(Submit) if submit.request.role is Role.EXIT]
    assert [(request.side, request.terms.qty_units) for request in exits] == [(Side.BUY, sold.qty_units)]


def test_a_part_of_an_exit_that_was_taken_back_returns_to_its_position_which_keeps_its_stop():
    scene = with_position(short_scene())
    name, units = scene.desk.slots[0].protect, held(scene)[0]
    position = scene.desk.books.positions[0].copy()
    prices = (scene.desk.price_units(0, float(position[price])) for price in ("stop_price", "target_price"))
    terms = Terms(units, 0, *prices)
    scene.hear(OrderReported(scene.wait(1), Seen(name, "V2", VenueState.LIVE, 0, scene.ts_ns, terms)))
    half = units // 2
    part = executed(scene, name, "V2", "T-half", Side.SELL, half)
    scene.hear(FillReported(scene.wait(1), part))
    busted(scene, part)
    assert held(scene) == (units, 0)
    now = scene.desk.books.positions[0]
    for field in ("qty_units", "exited_units", "exit_units", "entered_units", "entry_price", "exit_price", "fee_units"):
        assert now[field] == position[field], field
    assert now.stop_price == position.stop_price
    assert not scene.desk.slots[0].turned
    # The venue counts what it took back as executed: the bracket of the entry covers the other half alone.
    assert [effect.client_order_id for effect in scene.sent(Cancel)] == [name]
    scene.hear(OrderReported(scene.wait(1), Seen(name, "V2", VenueState.CANCELED, half, scene.ts_ns)))
    armed = [submit.request for submit in scene.sent(Submit)]
    assert [(request.kind, request.terms.qty_units) for request in armed] == [(OrderType.BRACKET, units)]


def test_an_entry_at_work_is_taken_back_when_somebody_holds_the_other_side():
    scene = short_scene()
    enter_short(scene)
    somebody(scene, Side.BUY, 8_000, "X-1")
    assert scene.desk.books.intent(0) is Intent.NONE
    assert [effect.venue_order_id for effect in scene.sent(Cancel)] == ["V9"]
    (unfilled,) = written(scene, "entry_unfilled")
    assert unfilled["reason"] == "BREAK_OPEN"
    assert "nobody" in unfilled["text"]


def test_an_entry_beside_somebody_on_its_own_side_goes_on():
    scene = short_scene()
    enter_short(scene)
    somebody(scene, Side.SELL, 8_000, "X-1")
    assert scene.desk.books.intent(0) is Intent.ENTRY
    assert not scene.sent(Cancel)


def test_what_an_entry_sells_of_nobodys_is_gone_and_told_and_opens_nothing():
    scene = short_scene()
    entry = enter_short(scene)
    units = entry.request.terms.qty_units
    somebody(scene, Side.BUY, units + 300, "X-1")
    cash = int(scene.desk.books.account[0].cash_units)
    sold = sell(scene, entry, units)
    assert held(scene) == (0, 300)
    assert int(scene.desk.books.account[0].cash_units) == cash + sold.cash_units - sold.fee_units
    assert [alert.key for alert in scene.sent(Alert) if "nobody" in alert.text] == ["netted:S1"]
    assert written(scene, "fill_booked")[-1]["foreign_units"] == -units
    assert not scene.sent(Submit)
    scene.hear(SnapshotRead(scene.wait(20), scene.snapshot()))
    assert not scene.desk.breaks


def test_what_an_entry_sells_beyond_nobodys_is_ours_and_has_a_stop_over_that():
    scene = short_scene()
    entry = enter_short(scene)
    units, bracket = entry.request.terms.qty_units, entry.request.protection.client_order_id
    somebody(scene, Side.BUY, 1_000, "X-1")
    sell(scene, entry, units)
    assert held(scene) == (1_000 - units, 0)
    scene.hear(OrderReported(scene.wait(1), Seen(bracket, "V8", VenueState.CANCELED, 0, scene.ts_ns)))
    scene.hear(TimerFired(scene.wait(1), "protect:0"))
    armed = [submit.request for submit in scene.sent(Submit)]
    assert [(request.kind, request.side, request.terms.qty_units) for request in armed] == [
        (OrderType.BRACKET, Side.BUY, units - 1_000)
    ]


def given_up_short(units: int) -> tuple[Scene, Submit, int]:
    """Return a scene that gave a short up and holds a long position of so many units since, and that short."""
    scene = short_scene()
    late = enter_short(scene)
    name = late.request.client_order_id
    scene.hear(OrderReported(scene.wait(1), Seen(name, "V9", VenueState.CANCELED, 0, scene.ts_ns)))
    entry = scene.enter()
    scene.accept(entry)
    fill_entry(scene, entry, units)
    bracket = entry.request.protection.client_order_id
    scene.hear(OrderReported(scene.ts_ns, Seen(bracket, "V2", VenueState.LIVE, 0, scene.ts_ns)))
    return scene, late, late.request.terms.qty_units


def test_an_entry_that_fills_late_against_the_position_of_today_closes_it_first_and_people_are_told():
    """A bug: what it sold counted as nobody's, on the other side of what we held."""
    scene, late, _ = given_up_short(9_000)
    sold = sell(scene, late, 4_000)
    assert held(scene) == (5_000, 0)
    (told,) = [alert for alert in scene.sent(Alert) if alert.key == f"covered:{sold.venue_trade_id}"]
    assert told.severity is Severity.CRITICAL
    assert "0.4000 BTC" in told.text
    assert "nobody" not in told.text
    assert not scene.desk.slots[0].turned


def test_what_a_late_entry_opens_beyond_the_position_of_today_has_its_own_stop_and_is_closed_once_a_reading_shows_it():
    """A bug: the short stood behind the stop of the long before it, and nobody was told."""
    scene, late, units = given_up_short(9_000)
    guard = scene.desk.slots[0].protect
    sold = sell(scene, late, units)
    assert held(scene) == (9_000 - units, 0)
    (told,) = [alert for alert in scene.sent(Alert) if alert.key == f"covered:{sold.venue_trade_id}"]
    assert "nobody decided" in told.text
    assert [trip["exit_reason"] for trip in written(scene, "round_trip_closed")] == ["EXIT_EXCESS"]
    assert scene.desk.books.account[0].positions == 1
    assert guard in scene.desk.slots[0].drains
    scene.hear(OrderReported(scene.wait(1), Seen(guard, "V2", VenueState.CANCELED, 0, scene.ts_ns)))
    (stop,) = scene.sent(Submit)
    assert (stop.request.kind, stop.request.side) == (OrderType.BRACKET, Side.BUY)
    assert stop.request.terms.qty_units == units - 9_000
    assert stop.request.terms.stop_units > sold.price_units
    scene.accept(stop, "V3")
    scene.hear(SnapshotRead(scene.wait(20), scene.snapshot()))
    exits = [submit.request for submit in scene.sent(Submit) if submit.request.role is Role.EXIT]
    assert [(request.side, request.terms.qty_units) for request in exits] == [(Side.BUY, units - 9_000)]


def test_what_was_given_back_uses_up_what_somebody_sold_since():
    scene, sold = closed_by_its_target()
    somebody(scene, Side.SELL, 1_000, "X-1")
    assert held(scene) == (0, -1_000)
    busted(scene, sold)
    assert held(scene) == (sold.qty_units - 1_000, 0)


def test_a_fill_of_the_whole_entry_that_comes_first_is_not_netted():
    scene = short_scene()
    entry = enter_short(scene)
    fill_units = entry.request.terms.qty_units
    sell(scene, entry, fill_units)
    assert held(scene) == (-fill_units, 0)
    somebody(scene, Side.BUY, fill_units + 200, "X-1")
    assert held(scene) == (0, 200)


def late_and_forgotten(*, beside: bool) -> tuple[Scene, Submit]:
    """Return a scene with an entry that ended so long ago that what it was decided with is forgotten."""
    scene = Scene()
    late = scene.enter()
    scene.accept(late, "V9")
    name = late.request.client_order_id
    scene.hear(OrderReported(scene.wait(1), Seen(name, "V9", VenueState.CANCELED, 0, scene.ts_ns)))
    scene.desk.plans.clear()
    return with_position(scene) if beside else scene, late


def bought(scene: Scene, entry: Submit, units: int) -> Filled:
    fill = executed(scene, entry.request.client_order_id, "V9", "L1", Side.BUY, units)
    scene.hear(FillReported(scene.wait(1), fill))
    return fill


def test_what_an_entry_buys_so_late_that_its_decision_is_forgotten_is_ours_has_a_stop_and_is_closed():
    """A bug: it counted as nobody's: no stop guarded it, nobody was told, and nobody ever sold it."""
    scene, late = late_and_forgotten(beside=False)
    units = late.request.terms.qty_units
    fill = bought(scene, late, units)
    assert held(scene) == (units, 0)
    (told,) = [alert for alert in scene.sent(Alert) if alert.key == f"covered:{fill.venue_trade_id}"]
    assert told.severity is Severity.CRITICAL
    assert "nobody decided" in told.text
    scene.hear(TimerFired(scene.wait(5), "protect:0"))
    stops = [sent.request for sent in scene.kept if isinstance(sent, Submit) and sent.request.role is Role.PROTECT]
    assert [(stop.side, stop.terms.qty_units) for stop in stops] == [(Side.SELL, units)]
    distance = round(late.request.protection.stop_distance * 100)
    assert stops[0].terms.stop_units == fill.price_units - distance
    scene.hear(SnapshotRead(scene.wait(20), scene.snapshot()))
    exits = [submit.request for submit in scene.sent(Submit) if submit.request.role is Role.EXIT]
    assert [(request.side, request.terms.qty_units) for request in exits] == [(Side.SELL, units)]


def test_what_an_entry_whose_decision_is_forgotten_adds_to_a_position_is_part_of_it():
    scene, late = late_and_forgotten(beside=True)
    before = held(scene)[0]
    bought(scene, late, 1_000)
    assert held(scene) == (before + 1_000, 0)
    assert not scene.desk.slots[0].turned
