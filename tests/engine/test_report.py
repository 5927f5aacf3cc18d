from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from novapulse.core.messages import (
    Amend,
    AmendEnded,
    CommandReceived,
    ConditionSeen,
    FillReported,
    OrderReported,
    Outcome,
    SnapshotRead,
    Submit,
    SubmitEnded,
    TimerFired,
)
from novapulse.core.orders import Filled, Seen, Side, VenueState
from novapulse.engine.life import Life, Told
from novapulse.engine.report import health_of, summary_of
from novapulse.ops.health import AccountHealth
from tests.engine.harness import ACCOUNT, noisy_ticks
from tests.engine.scene import Scene, fill_entry, opened
from tests.engine.shell import House, in_virtual_time
from tests.engine.test_splits import bracket_ends, split

TICKS = noisy_ticks(bars=200)


def test_the_report_says_where_an_account_stands() -> None:
    async def work() -> dict[str, Any]:
        house = House(TICKS, [ACCOUNT])
        before = health_of(house.runners[ACCOUNT], house.timeline.now_ns())
        assert (before.healthy, before.reasons) == (False, ("it has not started yet",))
        assert before.money == "paper"
        await house.supervisor().run()
        runner = house.runners[ACCOUNT]
        assert health_of(runner, house.timeline.now_ns()).money == "paper"
        runner.venue.is_simulated = False
        assert health_of(runner, house.timeline.now_ns()).money == "live"
        return summary_of(runner, house.timeline.now_ns())

    said = in_virtual_time(work)
    assert (said["exchange"], said["account_id"], said["mode"], said["healthy"]) == ("kraken", "main", "normal", True)
    assert said["round_trips"] == said["round_trips_ever"] > 5
    assert float(said["equity"]) == pytest.approx(10_000, rel=0.1)
    assert said["fills"] >= 2 * said["round_trips"]


def health_in(scene: Scene) -> AccountHealth:
    venue = SimpleNamespace(is_simulated=True)
    runner: Any = SimpleNamespace(
        key=scene.desk.key, told=Told(), trader=scene.trader, life=Life.STOPPED, waiting=0, venue=venue
    )
    return health_of(runner, scene.ts_ns)


def test_an_account_whose_task_keeps_failing_is_not_well() -> None:
    scene = opened()
    assert health_in(scene).healthy
    for _ in range(5):
        scene.hear(ConditionSeen(scene.wait(1), "task_failed", 1.0, "feed kraken: RuntimeError: boom", "feed kraken"))
    assert any("failures of a task" in text for text in health_in(scene).reasons)


def test_an_account_without_room_on_the_disk_is_not_well() -> None:
    scene = opened()
    scene.hear(ConditionSeen(scene.wait(1), "disk_free", 0.001, ""))
    assert any("free disk" in text for text in health_in(scene).reasons)


def test_an_account_that_trades_on_old_bars_is_not_well() -> None:
    scene = opened()
    event = scene.ticks.event(scene.row, 0)
    scene.hear(replace(event, ts_ns=event.ts_close_ns + 600_000_000_000))
    assert any("age of the last bar" in text for text in health_in(scene).reasons)


def test_an_account_whose_position_has_no_stop_is_not_well() -> None:
    scene = Scene()
    entry = scene.enter()
    scene.accept(entry)
    fill_entry(scene, entry, entry.request.terms.qty_units)
    bracket = entry.request.protection.client_order_id
    for state in (VenueState.LIVE, VenueState.CANCELED):
        scene.hear(OrderReported(scene.wait(1), Seen(bracket, "V2", state, 0, scene.ts_ns)))
    scene.hear(TimerFired(scene.wait(2), "protect:0"))
    for sent in scene.sent(Submit):
        name = sent.request.client_order_id
        scene.hear(SubmitEnded(scene.wait(0.2), name, 1, Outcome.REJECTED, "", "busy"))
    assert [key for key in scene.desk.alerts.open if key.startswith("bare:")]
    assert any("has no stop" in text for text in health_in(scene).reasons)


def test_an_account_whose_difference_is_a_position_without_a_stop_is_not_well() -> None:
    scene = opened()
    split(scene, 2, 1)
    bracket_ends(scene)
    for _ in range(15):
        # Bars go on at the prices of before: no stop may be armed.
        scene.tick(0.0)
        scene.hear(SnapshotRead(scene.wait(20), scene.snapshot()))
    assert [key for key in scene.desk.alerts.open if key.startswith("break:D14:")]
    assert any("no protective order" in text for text in health_in(scene).reasons)


def test_an_account_is_well_again_once_the_position_without_a_stop_is_closed() -> None:
    scene = opened()
    key, held = scene.desk.keys[0], scene.desk.books.held_units(0)
    scene.hear(
        OrderReported(scene.wait(1), Seen(scene.desk.slots[0].protect, "V2", VenueState.CANCELED, 0, scene.ts_ns))
    )
    scene.hear(TimerFired(scene.wait(2), "protect:0"))
    scene.hear(SubmitEnded(scene.wait(0.2), scene.desk.slots[0].protect, 1, Outcome.REJECTED, "", "busy"))
    assert "bare:BTC/USD" in scene.desk.alerts.open
    scene.hear(CommandReceived(scene.wait(0.5), "c", "close", {"symbol": "BTC/USD"}, "ops"))
    (exit_,) = scene.sent(Submit)
    scene.accept(exit_, "V9")
    name, cash = exit_.request.client_order_id, held * 10_000 * 100
    sold = Filled(name, "V9", "TX", key, Side.SELL, held, 10_000, cash, 0, 1, scene.wait(0.2))
    scene.hear(FillReported(scene.ts_ns, sold))
    assert scene.desk.books.held_units(0) == 0
    assert not scene.desk.alerts.open
    assert health_in(scene).healthy


def test_an_account_is_well_again_once_an_amendment_is_taken() -> None:
    scene = opened()
    bracket = scene.desk.slots[0].protect
    (amend,) = [effect for effect in scene.kept if isinstance(effect, Amend)]
    for _ in range(3):
        scene.hear(AmendEnded(scene.wait(0.1), bracket, amend.amendment, Outcome.REJECTED, "busy"))
        scene.tick(0.0)
        (amend,) = scene.sent(Amend)
    assert any("asked 3 times in vain to amend" in text for text in health_in(scene).reasons)
    scene.hear(AmendEnded(scene.wait(0.1), bracket, amend.amendment, Outcome.ACCEPTED))
    assert not scene.desk.alerts.open
    assert health_in(scene).healthy
