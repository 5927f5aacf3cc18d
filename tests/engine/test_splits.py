"""A split: what is held is restated, the result is untouched, and nothing is sold at a price of before."""

from dataclasses import replace

import pytest

from novapulse.core.messages import (
    Alert,
    Cancel,
    Commit,
    FillReported,
    Flow,
    OrderReported,
    Outcome,
    QuoteSeen,
    Record,
    SnapshotRead,
    Submit,
    SubmitEnded,
)
from novapulse.core.orders import Filled, OrderType, Seen, Side, VenueState
from novapulse.core.postings import Book, Posting
from novapulse.core.records import Mode
from novapulse.engine import memory
from tests.engine.harness import trader_of
from tests.engine.scene import Scene, fill_entry, opened


def split(scene: Scene, new: int, old: int, units: int | None = None, told: tuple[int, int] | None = None) -> None:
    """Let the venue show a split of what is held, by its flow and its balance."""
    held = int(scene.desk.books.positions[0].qty_units)
    gained = held * new // old - held if units is None else units
    flow = Flow("F1", "split", "BTC", gained, scene.wait(30), *(told or (new, old)))
    snapshot = scene.snapshot()
    balances = {**snapshot.balances, "BTC": snapshot.balances["BTC"] + gained}
    scene.hear(SnapshotRead(scene.ts_ns, replace(snapshot, balances=balances, flows=(flow,))))


def records(scene: Scene, kind: str) -> list[Record]:
    return [record for commit in scene.sent(Commit) for record in commit.records if record.kind == kind]


def quote(scene: Scene, price: float) -> None:
    key = scene.desk.instruments[0].key
    scene.hear(QuoteSeen(scene.wait(1), key, round(price - 0.01, 2), round(price + 0.01, 2)))


def bracket_ends(scene: Scene) -> None:
    (cancel,) = scene.sent(Cancel)
    seen = Seen(cancel.client_order_id, "V2", VenueState.CANCELED, 0, scene.wait(1))
    scene.hear(OrderReported(scene.ts_ns, seen))


def close_of(scene: Scene) -> float:
    return float(scene.desk.books.last_bars[0].close)


@pytest.mark.parametrize(("new", "old"), [(2, 1), (3, 2), (1, 4)])
def test_quantity_and_prices_are_restated_and_what_was_paid_and_the_equity_are_not(new, old):
    scene = opened()
    before, equity = scene.desk.books.positions[0].copy(), float(scene.desk.books.account[0].equity)
    units = int(before.qty_units)
    assert units % 4 == 0
    split(scene, new, old)
    after = scene.desk.books.positions[0]
    (record,) = records(scene, "split_applied")
    assert int(after.qty_units) == int(after.entered_units) == units * new // old
    gained = units * new // old - units
    assert record.postings == (Posting(Book.TRADING, "BTC", -gained), Posting(Book.INVENTORY, "BTC", gained))
    for name in ("entry_price", "mark_price", "stop_distance", "target_distance"):
        assert getattr(after, name) == pytest.approx(getattr(before, name) * old / new)
    assert after.stop_price == pytest.approx(before.stop_price * old / new, abs=0.0101)
    assert after.entry_units == before.entry_units
    assert after.qty * after.mark_price == pytest.approx(before.qty * before.mark_price)
    assert float(scene.desk.books.account[0].equity) == equity


def test_the_old_bracket_goes_first_and_the_new_one_comes_with_the_first_price_behind():
    scene = opened()
    price, stop = close_of(scene), float(scene.desk.books.positions[0].stop_price)
    units = int(scene.desk.books.positions[0].qty_units)
    split(scene, 2, 1)
    (cancel,) = scene.sent(Cancel)
    assert cancel.venue_order_id == "V2"
    assert not scene.sent(Submit)
    assert scene.desk.slots[0].why_bare
    bracket_ends(scene)
    quote(scene, price)
    assert not scene.sent(Submit), "a price of before the split is none"
    quote(scene, price / 2)
    (armed,) = scene.sent(Submit)
    assert armed.request.kind is OrderType.BRACKET
    assert armed.request.terms.qty_units == 2 * units
    assert armed.request.terms.stop_units == pytest.approx(stop * 100 / 2, abs=1.01)


def test_no_new_bracket_stands_beside_the_old_one():
    scene = opened()
    price = close_of(scene)
    split(scene, 2, 1)
    first = scene.effects
    quote(scene, price / 2)
    assert not scene.sent(Submit)
    scene.effects = first
    bracket_ends(scene)
    assert scene.sent(Submit)


def test_a_price_of_before_a_reverse_split_touches_no_stop():
    scene = opened()
    price = close_of(scene)
    split(scene, 1, 4)
    bracket_ends(scene)
    assert scene.desk.books.positions[0].stop_price > price
    quote(scene, price)
    scene.tick(0.0)
    assert not scene.sent(Submit)
    assert scene.desk.books.positions[0].qty_units > 0


def test_the_round_trip_earns_what_it_would_have_earned_without_the_split():
    results = []
    for ratio in (None, (2, 1)):
        scene = opened()
        if ratio:
            split(scene, *ratio)
            bracket_ends(scene)
        position = scene.desk.books.positions[0]
        units, request = int(position.qty_units), scene.desk.instruments[0]
        price_units = 10_100 // (2 if ratio else 1)
        slot = scene.desk.slots[0]
        if ratio:
            quote(scene, close_of(scene))
            (armed,) = scene.sent(Submit)
            scene.hear(SubmitEnded(scene.wait(1), armed.request.client_order_id, 1, Outcome.ACCEPTED, "V7"))
        cash, now = price_units * units * 100, scene.wait(1)
        fill = Filled(slot.protect, "", "T9", request.key, Side.SELL, units, price_units, cash, 0, 1, now)
        scene.hear(FillReported(scene.ts_ns, fill))
        (trip,) = records(scene, "round_trip_closed")
        results.append((trip.body["pnl_units"], float.fromhex(trip.body["r_multiple"])))
    assert results[0][0] == results[1][0] != 0
    assert results[0][1] == pytest.approx(results[1][1])


@pytest.mark.parametrize(
    ("units", "told"), [(None, (0, 0)), (12, (2, 1)), (None, (3, 1))], ids=["no ratio", "too few", "another ratio"]
)
def test_what_the_venue_does_not_say_or_what_does_not_fit_is_never_guessed(units, told):
    scene = opened()
    before = scene.desk.books.positions[0].copy()
    split(scene, 2, 1, units, told)
    assert scene.desk.books.positions[0] == before
    assert not records(scene, "split_applied")
    assert "D12" in [record.body["class"] for record in records(scene, "break_found")]
    assert scene.desk.slots[0].gate
    assert scene.sent(Alert)


def test_an_entry_at_work_is_given_up():
    scene = Scene()
    submit = scene.enter()
    scene.accept(submit)
    fill_entry(scene, submit, 8000)
    split(scene, 2, 1)
    assert "V1" in [cancel.venue_order_id for cancel in scene.sent(Cancel)]
    assert [record.body["text"] for record in records(scene, "entry_unfilled")] == ["a split"]
    assert not scene.desk.has_plan(0)


@pytest.mark.parametrize(("new", "old"), [(2, 1), (1, 4)])
@pytest.mark.parametrize("side", [Side.BUY, Side.SELL])
def test_a_split_waits_for_an_execution_of_before_it_that_is_told_later(new, old, side):
    scene = opened()
    key, before_ns = scene.desk.keys[0], scene.wait(1)
    units = int(scene.desk.books.positions[0].qty_units)
    really = units + int(side) * 4000
    gained = really * new // old - really
    split(scene, new, old, gained)
    assert not records(scene, "split_applied"), "what the venue gave counts an execution that is not booked"
    assert scene.desk.slots[0].gate
    fill = Filled("", "V9", "L1", key, side, 4000, 10_000, 4000 * 10_000 * 100, 0, 1, before_ns)
    scene.hear(FillReported(scene.wait(1), fill))
    shown = scene.snapshot()
    flow = Flow("F1", "split", "BTC", gained, scene.wait(30), new, old)
    balances = {**shown.balances, "BTC": shown.balances["BTC"] + gained}
    scene.hear(SnapshotRead(scene.ts_ns, replace(shown, balances=balances, flows=(flow,))))
    assert len(records(scene, "split_applied")) == 1
    held = int(scene.desk.books.positions[0].qty_units) + int(scene.desk.books.foreign_units[0])
    assert held == really * new // old


def test_a_split_is_applied_once_and_the_wait_outlives_a_restart():
    scene = opened()
    units = int(scene.desk.books.positions[0].qty_units)
    (plan,) = scene.desk.plans.values()
    before = int(plan.units), float(plan.stop_distance)
    split(scene, 2, 1)
    fresh = trader_of(["BTC/USD"])
    memory.unpack(fresh.desk, scene.sent(Commit)[0].state)
    assert fresh.desk.slots[0].split_new == 2
    for desk in (scene.desk, fresh.desk):
        (after,) = desk.plans.values()
        assert (int(after.units), float(after.stop_distance)) == (2 * before[0], before[1] / 2)
    assert fresh.desk.books.positions[0].qty_units == 2 * units
    flow = Flow("F1", "split", "BTC", units, scene.ts_ns, 2, 1)
    scene.hear(SnapshotRead(scene.wait(20), replace(scene.snapshot(), flows=(flow,))))
    assert scene.desk.books.positions[0].qty_units == 2 * units
    assert scene.desk.books.mode is Mode.NORMAL


def test_cash_in_lieu_is_the_price_of_what_was_left_over():
    scene = opened()
    peak, cash = float(scene.desk.books.account[0].equity_peak), int(scene.desk.books.account[0].cash_units)
    flow = Flow("F2", "cash_in_lieu", "USD", 500, scene.wait(30))
    snapshot = scene.snapshot()
    balances = {**snapshot.balances, "USD": cash + 500}
    scene.hear(SnapshotRead(scene.ts_ns, replace(snapshot, balances=balances, flows=(flow,))))
    (record,) = records(scene, "flow_booked")
    assert record.postings == (Posting(Book.TRADING, "USD", -500), Posting(Book.CASH, "USD", 500))
    assert int(scene.desk.books.account[0].cash_units) == cash + 500
    assert float(scene.desk.books.account[0].equity_peak) == peak
