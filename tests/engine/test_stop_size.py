"""A stop guards what is held, and no more: whatever the venue made of it with the entry's fills."""

import pytest

from novapulse.core.messages import Alert, Amend, AmendEnded, FillReported, OrderReported, Outcome, Severity, TimerFired
from novapulse.core.orders import Filled, Seen, Side, Terms, VenueState
from tests.engine.scene import Scene, fill_entry, opened


def taken(scene: Scene, *, keeps_units: int = 0) -> Scene:
    """Let the venue take the amendments of a stop and show it, with a quantity of its own if so."""
    for amend in scene.sent(Amend):
        name, terms = amend.client_order_id, amend.terms
        scene.hear(AmendEnded(scene.wait(0.1), name, amend.amendment, Outcome.ACCEPTED))
        shown = Terms(keeps_units or terms.qty_units, 0, terms.stop_units, terms.target_units)
        scene.hear(OrderReported(scene.ts_ns, Seen(name, "V2", VenueState.LIVE, 0, scene.ts_ns, shown)))
    return scene


def sold_elsewhere(scene: Scene, units: int) -> None:
    """Let an order of nobody sell part of what is held."""
    key = scene.desk.keys[0]
    sold = Filled("", "VX", f"TX{scene.ts_ns}", key, Side.SELL, units, 10_000, 10_000 * units * 100, 0, 1, scene.ts_ns)
    scene.hear(FillReported(scene.wait(1), sold))


def look(scene: Scene, seconds: float = 5) -> list[Amend]:
    scene.hear(TimerFired(scene.wait(seconds), "protect:0"))
    return scene.sent(Amend)


def test_a_stop_that_came_with_its_entry_is_made_as_small_as_what_is_left_to_guard():
    """A bug: it stayed as large as the entry had filled, and would have sold what was not held any more."""
    scene = taken(opened())
    units = scene.desk.books.held_units(0)
    bracket = scene.desk.orders[scene.desk.slots[0].protect]
    sold_elsewhere(scene, units // 2)
    assert not scene.sent(Amend), "a venue that follows by itself is given time to show it"
    (amend,) = look(scene)
    known = bracket.terms
    assert amend.client_order_id == bracket.client_order_id
    assert amend.terms == Terms(units - units // 2, 0, known.stop_units, known.target_units)
    taken(scene)
    assert not look(scene, 60)
    assert bracket.terms.qty_units == units - units // 2


def test_a_venue_that_follows_by_itself_is_told_nothing():
    scene = taken(opened())
    units = scene.desk.books.held_units(0)
    bracket = scene.desk.orders[scene.desk.slots[0].protect]
    sold_elsewhere(scene, units // 2)
    known = bracket.terms
    shown = Terms(units - units // 2, 0, known.stop_units, known.target_units)
    seen = Seen(bracket.client_order_id, "V2", VenueState.LIVE, 0, scene.ts_ns, shown)
    scene.hear(OrderReported(scene.wait(1), seen))
    assert not look(scene)


def test_a_stop_is_not_measured_while_its_entry_may_still_fill():
    scene = Scene()
    submit = scene.enter()
    scene.accept(submit)
    units = submit.request.terms.qty_units
    fill_entry(scene, submit, units // 2)
    stop = submit.request.protection.client_order_id
    terms = Terms(units // 2, 0, 9_400, 0)
    scene.hear(OrderReported(scene.ts_ns, Seen(stop, "V2", VenueState.LIVE, 0, scene.ts_ns, terms)))
    taken(scene, keeps_units=units // 2)
    sold_elsewhere(scene, units // 4)
    assert not [amend for amend in look(scene) if amend.client_order_id == stop]


def test_a_stop_that_the_venue_leaves_too_large_is_asked_for_ever_less_often_and_people_hear_of_it():
    scene = taken(opened())
    units = scene.desk.books.held_units(0)
    sold_elsewhere(scene, units // 2)
    asked, told = 0, []
    for _ in range(60):
        scene.hear(TimerFired(scene.wait(5), "protect:0"))
        asked += len(scene.sent(Amend))
        told += [alert for alert in scene.sent(Alert) if alert.key == "size:BTC/USD"]
        taken(scene, keeps_units=units)
    assert 5 <= asked <= 9
    (alert,) = told
    assert alert.severity is Severity.CRITICAL
    assert "BTC/USD" in alert.text
    for amend in look(scene, 60):
        assert amend.terms.qty_units == units - units // 2
    taken(scene)
    assert "size:BTC/USD" not in scene.desk.alerts.open


@pytest.mark.parametrize("how", ["closed", "its stop is gone"])
def test_the_word_of_a_stop_that_is_too_large_ends_with_it(how: str):
    scene = taken(opened())
    units = scene.desk.books.held_units(0)
    stop = scene.desk.slots[0].protect
    sold_elsewhere(scene, units // 2)
    for _ in range(20):
        look(scene)
        taken(scene, keeps_units=units)
    assert "size:BTC/USD" in scene.desk.alerts.open
    if how == "closed":
        sold_elsewhere(scene, units - units // 2)
        assert scene.desk.books.held_units(0) == 0
    else:
        scene.hear(OrderReported(scene.wait(1), Seen(stop, "V2", VenueState.CANCELED, 0, scene.ts_ns)))
    assert "size:BTC/USD" not in scene.desk.alerts.open
