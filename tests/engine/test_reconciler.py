"""What the trader does with differences: each planted at the simulated venue, in a whole small world."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from novapulse.core.bars import MINUTE_NS
from novapulse.core.instruments import InstrumentKey
from novapulse.core.messages import (
    Answer,
    CommandReceived,
    Snapshot,
    SnapshotFailed,
    SnapshotRead,
    Started,
    TimerFired,
)
from novapulse.core.orders import OrderType, Side, Terms
from novapulse.core.postings import Book
from novapulse.core.records import Mode
from novapulse.engine.settings import ReconciliationSettings, TraderSettings
from novapulse.engine.viewing import balances_of, is_same
from novapulse.simulation.world import Node, World, snapshot_of
from novapulse.venues.simulated import Levers
from tests.engine.harness import ORIGIN_NS, SECOND_NS, MemoryJournal, noisy_ticks, trader_of, world_of
from tests.engine.scene import Scene

BTC = InstrumentKey("kraken", "BTC/USD")


class Play:
    """A world that trades for a while, then is disturbed, then goes on."""

    def __init__(self, bars: int = 120, settings: TraderSettings | None = None) -> None:
        self.ticks = noisy_ticks(bars=bars, seed=5)
        self.world: World
        self.node: Node
        self.journal: MemoryJournal
        self.world, self.node, self.journal = world_of(trader_of(trader=settings))
        self.world.start(self.node)
        self.world.play(self.node, self.ticks)
        self.levers = Levers(self.node.exchange)
        self.run(30)

    @property
    def desk(self):
        assert self.node.trader is not None
        return self.node.trader.desk

    def run(self, minutes: float) -> None:
        self.world.timeline.run(self.world.timeline.now_ns + round(minutes * MINUTE_NS))

    def classes(self) -> set[str]:
        return {record.body["class"] for record in self.journal.records("break_found")}

    def tell(self, verb: str, **arguments: str) -> bool:
        event = CommandReceived(self.world.timeline.now_ns, f"c{self.world.timeline.now_ns}", verb, arguments, "ops")
        self.world.deliver(self.node, event)
        return bool(self.node.answers[event.command_id].done)

    def agrees(self) -> bool:
        return balances_of(self.desk) == {
            asset: units for asset, units in self.node.exchange.balances().items() if asset in self.desk.scales
        }


def test_an_undisturbed_account_has_no_breaks_and_asserts_its_balances():
    play = Play()
    play.run(80)
    assert play.journal.records("break_found") == []
    assert play.journal.records("balance_asserted")
    assert play.agrees()


def test_nothing_of_a_coin_not_traded_and_a_known_order_of_somebody_else_are_no_difference():
    play = Play()
    play.levers.place(BTC, Side.BUY, OrderType.LIMIT, Terms(2000, 100), play.world.timeline.now_ns)
    play.run(2)
    assert play.desk.foreign
    play.desk.scales["DOGE"] = 8
    shown = snapshot_of(play.node.exchange, play.desk.cursor, play.world.timeline.now_ns)
    assert len(shown.orders) > len(play.desk.orders)
    now_ns = play.world.timeline.now_ns
    assert is_same(play.desk, replace(shown, balances={**shown.balances, "DOGE": 0}), now_ns)
    assert not is_same(play.desk, replace(shown, balances={**shown.balances, "DOGE": 1}), now_ns)
    play.desk.foreign.clear()
    assert not is_same(play.desk, shown, now_ns)


def test_an_order_that_is_not_ours_is_cancelled_where_nobody_else_trades():
    play = Play(settings=TraderSettings(reconciliation=ReconciliationSettings(account_is_exclusive=True)))
    play.levers.place(BTC, Side.BUY, OrderType.LIMIT, Terms(5000, 5000), play.world.timeline.now_ns)
    play.run(30)
    found = next(record for record in play.journal.records("break_found") if record.body["class"] == "D5")
    (asked,) = play.journal.records("extra_cancel_asked")
    assert asked.ts_ns > found.ts_ns, "it waits for a second reading"
    assert all(shown.seen.client_order_id for shown in play.node.exchange.open_orders())
    assert not play.desk.breaks
    assert play.agrees()


def test_a_deposit_is_capital_and_no_profit():
    play = Play()
    before = float(play.desk.books.account[0].day_opening_equity)
    play.levers.flow("deposit", "USD", 500 * 10**8, play.world.timeline.now_ns)
    play.run(20)
    assert play.classes() == {"D10"}
    assert play.agrees()
    assert float(play.desk.books.account[0].day_opening_equity) == pytest.approx(before + 500)
    (flow,) = play.journal.records("flow_booked")
    assert {posting.book for posting in flow.postings} == {Book.CAPITAL, Book.CASH}
    assert not play.desk.breaks


def test_a_manual_trade_belongs_to_nobody_and_is_in_the_books():
    play = Play()
    price = int(play.node.exchange.slots[BTC].last_price * 100)
    play.levers.trade(BTC, Side.BUY, 5000, price, play.world.timeline.now_ns)
    play.run(20)
    assert play.agrees()
    assert play.desk.books.foreign_units[0] == 5000
    assert any("belongs to no order of ours" in alert.text for alert in play.node.alerts.values())


def test_an_order_that_is_not_ours_is_recorded_once_and_left_alone():
    play = Play()
    play.levers.place(BTC, Side.BUY, OrderType.LIMIT, Terms(5000, 5000), play.world.timeline.now_ns)
    play.run(30)
    assert "D5" in play.classes()
    assert len(play.journal.records("foreign_order_seen")) == 1
    assert play.journal.records("extra_cancel_asked") == []
    assert any(not shown.seen.client_order_id for shown in play.node.exchange.open_orders())
    assert not play.desk.breaks


def test_missing_money_is_read_twice_and_then_stops_the_account_until_an_operator_accepts_it():
    play = Play()
    play.node.exchange.holdings.move_cash(-3_000 * 10**8)
    play.run(20)
    assert "D13" in play.classes()
    assert play.desk.books.mode is Mode.HALTED
    (key,) = [key for key in play.desk.breaks if key.startswith("D13")]
    assert not play.tell("adopt", order="D13:XYZ")
    assert play.tell("adopt", order=key)
    play.run(2)
    assert play.agrees()
    suspense = [
        posting.amount
        for record in play.journal.records("break_adopted")
        for posting in record.postings
        if posting.book is Book.SUSPENSE
    ]
    assert suspense == [3_000 * 10**8]
    assert not play.desk.breaks
    assert play.tell("resume_from_halt")
    assert play.desk.books.mode is Mode.NORMAL


def is_out(play: Play, client_order_id: str) -> bool:
    order = play.desk.orders.get(client_order_id)
    return order is not None and order.is_live


def test_an_order_cancelled_behind_our_back_is_found_out_and_a_stop_is_armed_anew():
    play = Play()
    while not any(
        play.desk.orders[slot.protect].is_live for slot in play.desk.slots if slot.protect in play.desk.orders
    ):
        play.run(1)
    play.run(0.5)
    bracket = next(slot.protect for slot in play.desk.slots if slot.protect in play.desk.orders)
    play.levers.cancel(bracket, play.world.timeline.now_ns)
    play.node.exchange.take_events()
    held = [row for row, slot in enumerate(play.desk.slots) if slot.protect == bracket]
    play.run(0.4)
    play.run(2)
    for row in held:
        if play.desk.books.positions[row].qty_units:
            assert play.desk.slots[row].protect not in ("", bracket)


def failing(play: Play) -> Callable[..., object]:
    return lambda effect, exchange: SnapshotFailed(play.world.timeline.now_ns, "timeout")


def test_a_read_that_fails_twice_freezes_entries_and_concludes_nothing(monkeypatch):
    play = Play()
    monkeypatch.setattr(play.world, "_snapshot", failing(play))
    held = play.desk.books.positions["qty_units"].tolist()
    play.world.deliver(play.node, CommandReceived(play.world.timeline.now_ns, "r", "reconcile", {}, "ops"))
    play.run(0.2)
    assert not play.desk.ready
    assert play.desk.books.positions["qty_units"].tolist() == held
    monkeypatch.undo()
    play.run(2)
    assert play.desk.ready
    assert not play.desk.breaks


def test_an_order_of_ours_without_a_record_halts_the_account():
    play = Play()
    play.world.timeline.run(play.world.timeline.now_ns)
    fresh = trader_of()
    node = play.node
    while not node.exchange.open_orders():
        play.run(1)
    node.trader = fresh
    node.life += 1
    node.timers.clear()
    play.world.deliver(node, Started(play.world.timeline.now_ns))
    play.run(1)
    assert fresh.desk.books.mode is Mode.HALTED
    assert "D4" in play.classes()


def placed(race_guard_s: float) -> Scene:
    scene = Scene(TraderSettings(reconciliation=ReconciliationSettings(race_guard_s=race_guard_s)))
    scene.accept(scene.enter())
    return scene


def test_a_list_that_lags_behind_a_placement_declares_nothing_missing():
    scene = placed(5.0)
    scene.wait(4.9)
    scene.hear(SnapshotRead(scene.ts_ns, scene.snapshot(orders=())))
    assert (scene.desk.breaks, scene.desk.slots[0].gate) == ({}, "")
    scene.wait(0.1)
    scene.hear(SnapshotRead(scene.ts_ns, scene.snapshot(orders=())))
    assert [key[:3] for key in scene.desk.breaks] == ["D2:"]
    assert scene.desk.slots[0].gate


def test_without_a_race_guard_the_first_list_counts():
    scene = placed(0.0)
    scene.wait(0.1)
    scene.hear(SnapshotRead(scene.ts_ns, scene.snapshot(orders=())))
    assert [key[:3] for key in scene.desk.breaks] == ["D2:"]


def test_a_list_may_lag_over_a_restart_as_well():
    play = Play()
    while not play.desk.orders:
        play.run(1)
    again = trader_of()
    again.restore(*play.journal.restored())
    sent = {name: order.first_attempt_ns for name, order in play.desk.orders.items()}
    assert {name: again.desk.active_ns[name] for name in sent} == sent


def test_a_market_that_is_played_fast_waits_no_less_for_a_reading_than_for_a_request():
    scene = Scene(TraderSettings(submit_deadline_s=6000.0))
    for waited_s, failures in ((5_000, 0), (1_000, 1)):
        if not scene.trader.reconciler.asked_ns:
            scene.hear(TimerFired(scene.wait(1), "reconcile:rhythm"))
        scene.hear(TimerFired(scene.wait(waited_s), "reconcile:answer"))
        assert scene.trader.reconciler.failures == failures


@pytest.mark.parametrize(
    ("began_ms", "ended_ms", "skew_ms"),
    [
        (700, 700, 700.0),
        (-700, -600, -600.0),
        (-5_000, 300, None),
        (650, 9_000, 650.0),
        (-200, 250, 0.0),
        (-9_000, -900, -900.0),
    ],
)
def test_only_what_lies_outside_of_a_reading_is_skew(began_ms, ended_ms, skew_ms, monkeypatch):
    scene = Scene()
    told = []
    monkeypatch.setattr(scene.desk, "measured", lambda draft, name, value: told.append((name, value)))
    now = scene.wait(20)
    read = replace(
        scene.snapshot(), began_ns=now + began_ms * 1_000_000, ended_ns=now + ended_ms * 1_000_000, venue_ns=now
    )
    scene.hear(SnapshotRead(now, read))
    assert [value for name, value in told if name == "clock_skew"] == ([] if skew_ms is None else [skew_ms])


def test_a_venue_that_does_not_say_the_time_is_not_traded_at():
    scene = Scene()
    scene.hear(SnapshotRead(scene.wait(20), replace(scene.snapshot(), venue_ns=None)))
    assert scene.desk.books.mode is Mode.PAUSED


def test_a_venue_whose_clock_is_off_takes_no_new_risk_until_it_is_well_within_its_limit():
    play = Play()
    modes = []
    for ahead_ms in (400, 600, 400, 200, -1_500, 0):
        play.levers.set_clock(ahead_ms * 1_000_000)
        play.tell("reconcile")
        play.run(0.5)
        modes.append(play.desk.books.mode)
    assert modes == [Mode.NORMAL, Mode.PAUSED, Mode.PAUSED, Mode.NORMAL, Mode.HALTED, Mode.HALTED]


def test_nothing_is_concluded_from_a_snapshot_that_is_older_than_a_minute():
    trader = trader_of(["BTC/USD"])
    trader.handle(Started(ORIGIN_NS))
    old = Snapshot(ORIGIN_NS, ORIGIN_NS, (), (), "0/0", {"USD": 1, "BTC": 7})
    trader.handle(SnapshotRead(ORIGIN_NS + 120 * SECOND_NS, old))
    assert not trader.desk.ready
    assert [key[:3] for key in trader.desk.breaks] == ["D16"]


def test_dust_that_was_swept_is_not_adopted_once_more():
    scene = Scene()
    scene.tick()
    scene.wait(10)
    shown = scene.snapshot()
    scene.hear(SnapshotRead(scene.ts_ns, replace(shown, balances={**shown.balances, "BTC": 1})))
    assert int(scene.desk.books.foreign_units[0]) == 1
    assert "D9:BTC" not in scene.desk.breaks, "what was booked is no difference any more"
    scene.hear(CommandReceived(scene.wait(1), "c", "adopt", {"order": "D9:BTC"}, "ops"))
    (answer,) = scene.sent(Answer)
    assert not answer.done
    assert int(scene.desk.books.foreign_units[0]) == 1
