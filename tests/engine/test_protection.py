import pytest

from novapulse.core.messages import (
    CommandReceived,
    Found,
    Lookup,
    LookupEnded,
    OrderReported,
    QuoteSeen,
    SetTimer,
    Submit,
    TimerFired,
)
from novapulse.core.orders import OrderStatus, OrderType, Seen, VenueState
from novapulse.core.records import Mode
from tests.engine.harness import (
    noisy_ticks,
    trader_of,
    world_of,
)
from tests.engine.scene import Scene, fill_entry, opened


def test_a_position_without_a_bracket_gets_one_after_the_venue_was_asked():
    scene = Scene()
    submit = scene.enter()
    scene.accept(submit)
    fill_entry(scene, submit, submit.request.terms.qty_units)
    bracket = submit.request.protection.client_order_id
    scene.hear(TimerFired(scene.wait(5), "protect:0"))
    assert [lookup.client_order_id for lookup in scene.sent(Lookup)] == [bracket]
    scene.hear(LookupEnded(scene.wait(1), bracket, Found.ABSENT))
    assert not scene.sent(Submit)
    scene.hear(LookupEnded(scene.wait(6), bracket, Found.ABSENT))
    (rearmed,) = scene.sent(Submit)
    assert rearmed.request.kind is OrderType.BRACKET
    assert rearmed.request.client_order_id != bracket
    assert rearmed.request.terms.stop_units > 0


def test_nothing_puts_off_that_the_venue_is_asked_for_a_stop():
    scene = Scene()
    submit = scene.enter()
    scene.accept(submit)
    fill_entry(scene, submit, submit.request.terms.qty_units)
    due_ns = [timer.at_ns for timer in scene.sent(SetTimer) if timer.name == "protect:0"][-1]
    scene.wait(3)
    scene.accept(submit)
    assert [timer.at_ns for timer in scene.sent(SetTimer) if timer.name == "protect:0"][-1] == due_ns


def test_the_stop_at_the_venue_only_ever_moves_towards_the_market():
    ticks = noisy_ticks(seed=9)
    world, node, journal = world_of(trader_of())
    world.start(node)
    world.play(node, ticks)
    world.timeline.run(int(ticks.ts_close_ns[-1]))
    stops: dict[str, list[int]] = {}
    for record in journal.records("amend_asked"):
        stops.setdefault(record.body["client_order_id"], []).append(record.body["terms"][2])
    moved = [prices for prices in stops.values() if len(prices) > 1 and prices[0]]
    assert moved
    for prices in moved:
        assert prices == sorted(prices)


def test_a_halted_account_cancels_and_keeps_its_stops():
    scene = opened()
    scene.hear(CommandReceived(scene.wait(1), "c1", "halt", {}, "ops"))
    assert scene.desk.books.mode is Mode.HALTED
    scene.tick(-15.0)
    assert not scene.sent(Submit)
    assert scene.desk.orders[scene.desk.slots[0].protect].is_live


def test_a_halted_account_whose_stop_the_venue_ended_arms_another_though_an_exit_was_decided():
    """A bug: the position counted as being closed, and a halt sends no exit: it stood there with nothing."""
    scene = opened()
    scene.hear(CommandReceived(scene.wait(1), "c", "halt", {}, "ops"))
    scene.tick(-20.0)
    assert scene.desk.books.positions[0].exiting
    assert not scene.sent(Submit)
    bracket = scene.desk.slots[0].protect
    scene.hear(OrderReported(scene.wait(1), Seen(bracket, "V2", VenueState.CANCELED, 0, scene.ts_ns)))
    scene.hear(TimerFired(scene.wait(60), "protect:0"))
    rearmed = [sent.request for sent in scene.kept if isinstance(sent, Submit)][-1]
    assert (rearmed.kind, rearmed.client_order_id != bracket) == (OrderType.BRACKET, True)
    assert rearmed.terms.qty_units == abs(int(scene.desk.books.positions[0].qty_units))


def test_a_quote_beyond_the_stop_closes_what_no_bracket_protects():
    scene = Scene()
    submit = scene.enter()
    scene.accept(submit)
    fill_entry(scene, submit, submit.request.terms.qty_units)
    stop = float(scene.desk.books.positions[0].stop_price)
    key = scene.desk.instruments[0].key
    scene.hear(QuoteSeen(scene.wait(1), key, stop + 0.05, stop + 0.06))
    assert not scene.sent(Submit)
    scene.hear(QuoteSeen(scene.wait(1), key, stop - 0.05, stop - 0.04))
    assert [submit.request.kind for submit in scene.sent(Submit)] == [OrderType.MARKET]


@pytest.mark.parametrize("asked_far_away", [False, True])
def test_one_price_far_away_is_no_stop_that_was_touched(asked_far_away: bool):
    """A bug: a bid that nobody meant, on a thin book, sold a position that no bracket protected yet, at that bid."""
    scene = Scene()
    submit = scene.enter()
    scene.accept(submit)
    fill_entry(scene, submit, submit.request.terms.qty_units)
    close, key = float(scene.desk.books.last_bars[0].close), scene.desk.instruments[0].key
    bid, ask = (close, 50 * close) if asked_far_away else (0.01, close + 0.01)
    scene.hear(QuoteSeen(scene.wait(1), key, bid, ask))
    assert not scene.sent(Submit)


def test_a_quote_beyond_a_stop_that_is_being_moved_closes_nothing_beside_it():
    """A bug: the venue has the stop all the while, and both were filled: as much again was held on the other side."""
    scene = opened()
    bracket = scene.desk.orders[scene.desk.slots[0].protect]
    assert bracket.undisputed_status is OrderStatus.REPLACE_PENDING
    beyond = float(scene.desk.books.positions[0].stop_price) - 0.05
    scene.hear(QuoteSeen(scene.wait(0.1), scene.desk.keys[0], beyond, beyond + 0.01))
    assert not scene.sent(Submit)


def test_a_moved_stop_that_does_not_close_a_touched_position_is_not_waited_for_for_ever():
    scene = opened()
    assert scene.desk.orders[scene.desk.slots[0].protect].undisputed_status is OrderStatus.REPLACE_PENDING
    scene.touch()
    assert not scene.sent(Submit)
    scene.hear(TimerFired(scene.wait(200), "exit:0"))
    assert [submit.request.kind for submit in scene.sent(Submit)] == [OrderType.MARKET]
