"""What is left of a position and is too little for the venue: kept in mind, told once, and taken along."""

from dataclasses import replace
from decimal import Decimal

import pytest

from novapulse.core.messages import (
    Alert,
    Amend,
    AmendEnded,
    CommandReceived,
    Commit,
    OrderReported,
    Outcome,
    QuoteSeen,
    Submit,
    SubmitEnded,
    TimerFired,
)
from novapulse.core.orders import Role, Seen, VenueState
from novapulse.core.postings import Book, imbalance
from novapulse.core.records import Mode
from novapulse.engine import orders
from novapulse.engine.ticks import LOOK_NS
from tests.engine import harness
from tests.engine.scene import Scene, fill_entry, opened

LEAST = 5_000


@pytest.fixture(autouse=True)
def least_is_half_a_coin(monkeypatch: pytest.MonkeyPatch) -> None:
    facts_of = harness.facts_of

    def with_least(symbols: tuple[str, ...]):
        return tuple(replace(one, qty_min=Decimal("0.5")) for one in facts_of(symbols))

    monkeypatch.setattr(harness, "facts_of", with_least)


def filled_in_part(scene: Scene, units: int, venue: str = "V1") -> Submit:
    """Let an entry fill in part, its rest be cancelled, and its bracket stand."""
    submit = scene.enter()
    scene.accept(submit, venue)
    fill_entry(scene, submit, units)
    seen = Seen(submit.request.client_order_id, venue, VenueState.CANCELED, units, scene.ts_ns)
    scene.hear(OrderReported(scene.wait(0.1), seen))
    bracket = submit.request.protection.client_order_id
    scene.hear(OrderReported(scene.ts_ns, Seen(bracket, f"{venue}B", VenueState.LIVE, 0, scene.ts_ns)))
    return submit


def records(scene: Scene, kind: str) -> list:
    every = [record for effect in scene.kept if isinstance(effect, Commit) for record in effect.records]
    return [record for record in every if record.kind == kind]


def told(scene: Scene, key: str) -> list[Alert]:
    return [effect for effect in scene.kept if isinstance(effect, Alert) and effect.key == key]


def end_bracket(scene: Scene, venue: str = "V1B") -> None:
    slot = scene.desk.slots[0]
    scene.hear(TimerFired(scene.wait(6), "protect:0"))
    if slot.protect:
        scene.hear(OrderReported(scene.wait(0.2), Seen(slot.protect, venue, VenueState.CANCELED, 0, scene.ts_ns)))


def leave(scene: Scene, wanted: int, units: int) -> Submit:
    """Let the trader mean to sell so many units at the market and the venue execute so many; return the order."""
    scene.tick(-15.0)
    (leaving,) = [each for each in scene.sent(Submit) if each.request.role is Role.EXIT]
    assert leaving.request.terms.qty_units == wanted
    scene.accept(leaving, "V3")
    terms = replace(leaving.request.terms, limit_units=10_000)
    sold = replace(leaving, request=replace(leaving.request, terms=terms))
    fill_entry(scene, sold, units)
    return sold


def test_what_the_venue_would_refuse_to_sell_alone_is_set_aside_and_told_once():
    scene = Scene()
    filled_in_part(scene, 2_000)
    cash = int(scene.desk.books.account[0].cash_units)
    scene.tick(-15.0)
    assert not scene.sent(Submit), "the venue takes no order of 0.2 where the least is 0.5"
    for _ in range(20):
        scene.hear(TimerFired(scene.wait(LOOK_NS / 1e9), "exit:0"))
        scene.hear(TimerFired(scene.ts_ns, "retry:0"))
        assert not scene.sent(Submit)
    (alert,) = told(scene, "dust:BTC/USD")
    assert "0.2000 BTC" in alert.text
    assert "less than the venue takes" in alert.text
    assert scene.desk.books.mode is Mode.NORMAL
    out, back = records(scene, "dust_set_aside")
    assert (out.body["own_units"], out.body["foreign_units"]) == (-2_000, 0)
    assert (back.body["own_units"], back.body["foreign_units"]) == (0, 2_000)
    assert out.body["why"] == "what is left is less than the venue takes"
    legs = [*out.postings, *back.postings]
    assert not imbalance(legs)
    assert sum(leg.amount for leg in legs if leg.book is Book.INVENTORY) == 0
    assert int(scene.desk.books.account[0].cash_units) == cash
    assert scene.desk.books.held_units(0) == 0
    assert int(scene.desk.books.foreign_units[0]) == scene.desk.slots[0].dust_units == 2_000
    assert len(records(scene, "round_trip_closed")) == 1


def test_the_next_exit_takes_the_dust_along():
    scene = Scene()
    filled_in_part(scene, 2_000)
    scene.tick(-15.0)
    end_bracket(scene)
    submit = scene.enter()
    units = submit.request.terms.qty_units
    scene.accept(submit, "V2")
    fill_entry(scene, submit, units)
    sold = leave(scene, units + 2_000, units + 1_500)
    assert scene.desk.books.held_units(0) == 0, "the position goes first"
    assert scene.desk.slots[0].dust_units == int(scene.desk.books.foreign_units[0]) == 500
    fill_entry(scene, sold, 500)
    assert scene.desk.slots[0].dust_units == int(scene.desk.books.foreign_units[0]) == 0
    assert len(records(scene, "round_trip_closed")) == 2


def test_a_kill_ends_although_dust_is_left():
    scene = Scene()
    filled_in_part(scene, 2_000)
    scene.hear(CommandReceived(scene.wait(1), "c1", "kill", {}, "ops"))
    assert not [each for each in scene.sent(Submit)]
    assert scene.desk.books.mode is Mode.HALTED


def test_what_may_still_grow_is_no_dust_yet():
    scene = Scene()
    submit = scene.enter()
    scene.accept(submit)
    fill_entry(scene, submit, 2_000)
    scene.tick(-15.0)
    assert scene.desk.slots[0].drains
    assert scene.desk.books.held_units(0) == 2_000
    assert not records(scene, "dust_set_aside")
    seen = Seen(submit.request.client_order_id, "V1", VenueState.CANCELED, 2_000, scene.ts_ns)
    scene.hear(OrderReported(scene.wait(0.1), seen))
    assert scene.desk.books.held_units(0) == 0
    assert records(scene, "dust_set_aside")


def test_no_stop_is_sent_that_the_venue_would_refuse():
    scene = Scene()
    filled_in_part(scene, 2_000)
    bracket = scene.desk.slots[0].protect
    scene.hear(OrderReported(scene.wait(0.2), Seen(bracket, "V1B", VenueState.CANCELED, 0, scene.ts_ns)))
    for _ in range(5):
        scene.hear(TimerFired(scene.wait(61), "protect:0"))
        assert not scene.sent(Submit)
    assert "less than the venue takes" in scene.desk.slots[0].why_bare
    assert records(scene, "protection_noted")


def test_what_somebody_else_sold_is_no_dust_any_more():
    scene = opened()
    slot = scene.desk.slots[0]
    slot.dust_units = 700
    slot.bound_dust(300)
    assert slot.dust_units == 300
    slot.bound_dust(-5)
    assert slot.dust_units == 0
    assert [slot.dust_beside(held) for held in (5, -5)] == [0, 0]


def test_dust_that_goes_with_an_exit_is_nothing_that_was_executed_beyond_what_was_held():
    scene = opened()
    units = scene.desk.books.held_units(0)
    scene.desk.slots[0].dust_units = scene.desk.books.foreign_units[0] = 100
    leave(scene, units + 100, units + 100)
    assert (
        int(scene.desk.books.foreign_units[0]) == scene.desk.slots[0].dust_units == scene.desk.books.held_units(0) == 0
    )
    assert not [each for each in scene.kept if isinstance(each, Alert) and each.key.startswith("excess:")]


def test_what_goes_on_with_an_entry_whose_bracket_has_ended_has_a_bracket_of_another_name():
    """A bug: the name of the bracket that had ended was gone, and the next order of the entry named none."""
    scene = Scene()
    submit = scene.enter()
    first = submit.request.protection.client_order_id
    scene.desk.slots[0].protect = ""
    again = orders._protection(scene.desk, 0)
    assert again.client_order_id not in ("", first)
    assert again == orders._protection(scene.desk, 0)
    assert scene.desk.slots[0].protect == again.client_order_id


def guarded() -> tuple[Scene, int]:
    """Return a scene whose position has a stop that the venue shows where ours is, and what is held."""
    scene = opened()
    for effect in [each for each in scene.kept if isinstance(each, Amend)]:
        name = effect.client_order_id
        scene.hear(AmendEnded(scene.wait(0.1), name, effect.amendment, Outcome.ACCEPTED))
        scene.hear(OrderReported(scene.ts_ns, Seen(name, "V2", VenueState.LIVE, 0, scene.ts_ns, effect.terms)))
    return scene, scene.desk.books.held_units(0)


def exits(scene: Scene) -> list[int]:
    return [each.request.terms.qty_units for each in scene.sent(Submit) if each.request.role is Role.EXIT]


@pytest.mark.parametrize("verb", ["close", "kill"])
def test_one_bad_bid_makes_no_dust_of_a_whole_position(verb: str):
    """A bug: the worth of what is left went by the last bid alone, so 200 USD were left over where 5 are the least."""
    scene, held = guarded()
    scene.hear(QuoteSeen(scene.wait(1), scene.desk.keys[0], 0.01, 100.2))
    scene.hear(CommandReceived(scene.wait(0.5), "c1", verb, {"symbol": "BTC/USD"}, "ops"))
    assert exits(scene) == [held]
    assert not records(scene, "dust_set_aside")
    assert scene.desk.books.mode is not Mode.HALTED, "what is killed is halted when it is flat"


def test_a_bad_bid_between_a_close_and_its_telling_makes_no_dust_of_what_the_close_leaves():
    scene, held = guarded()
    close_ns = scene.ticks.event(scene.row, 0).ts_close_ns
    scene.hear(QuoteSeen(close_ns + 1, scene.desk.keys[0], 0.01, 100.2))
    scene.tick(-15.0)
    assert exits(scene) == [held]
    assert not records(scene, "dust_set_aside")


@pytest.mark.parametrize(
    ("bid", "is_dust"),
    [pytest.param(0.97, True, id="little more than the least"), pytest.param(0.01, False, id="many times the least")],
)
def test_what_the_venue_refused_is_dust_where_the_better_price_makes_it_little_more_than_the_least(
    bid: float, is_dust: bool
):
    scene, held = guarded()
    close = float(scene.desk.books.last_bars[0].close)
    least = Decimal(round(held * (0.98 if is_dust else 0.1) * close)).scaleb(-4)
    scene.desk.instruments = (replace(scene.desk.instruments[0], notional_min=least),)
    scene.hear(QuoteSeen(scene.wait(1), scene.desk.keys[0], close * bid, close))
    scene.hear(CommandReceived(scene.wait(0.5), "c1", "close", {"symbol": "BTC/USD"}, "ops"))
    (leaving,) = scene.sent(Submit)
    name = leaving.request.client_order_id
    scene.hear(SubmitEnded(scene.wait(0.1), name, 1, Outcome.REJECTED, "", "below_minimum"))
    assert not records(scene, "dust_set_aside") or is_dust
    scene.hear(TimerFired(scene.wait(2), "retry:0"))
    assert bool(records(scene, "dust_set_aside")) == is_dust
    assert exits(scene) == ([] if is_dust else [held])
