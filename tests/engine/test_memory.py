"""The state of a trader as it lies beside the records: what is spelled once and kept is never out of date."""

import base64
import json
import zlib
from collections.abc import Callable
from typing import Any

import pytest

from novapulse.core import kept_state
from novapulse.core.bars import MINUTE_NS
from novapulse.core.messages import CommandReceived, Commit, OrderReported, SnapshotRead, Submit
from novapulse.core.orders import Seen, VenueState
from novapulse.engine import memory
from novapulse.engine.desk import Desk
from novapulse.engine.gauges import FILLS, SLIPPAGE
from novapulse.engine.settings import TraderSettings
from tests.engine.harness import noisy_ticks, trader_of, world_of
from tests.engine.scene import Scene, fill_entry
from tests.engine.test_late_evidence import Kept, executed


def kept(desk: Desk) -> tuple[dict[str, bytes], list[str]]:
    return {name: plan.tobytes() for name, plan in desk.plans.items()}, list(desk.foreign_trades)


def test_plans_and_executions_of_nobody_are_in_every_state_as_they_are():
    world, node, journal = world_of(trader_of())
    world.start(node)
    world.play(node, noisy_ticks(bars=150, seed=5))
    assert node.trader is not None
    seen = set()
    for minute in range(150):
        world.timeline.run(world.timeline.now_ns + MINUTE_NS)
        if minute == 60:
            node.trader.desk.remember_foreign("T77")
        again = trader_of().desk
        memory.unpack(again, journal.restored()[1])
        if minute != 60:
            assert kept(again) == kept(node.trader.desk)
        seen.add(len(again.plans))
    assert len(seen) > 3


def told_otherwise(state: bytes, change: Callable[[dict[str, Any]], None]) -> bytes:
    told, runs, books = kept_state.parts(state)
    change(told)
    spelled = json.dumps(told).encode()
    return kept_state.HEAD.pack(kept_state.MAGIC, len(spelled), len(runs), len(books)) + spelled + runs + books


def test_plans_are_read_as_they_were_written_before_and_damaged_ones_are_refused():
    scene = Scene(TraderSettings())
    scene.enter()
    (commit,) = scene.sent(Commit)

    def plainly(told: dict[str, Any]) -> None:
        told["plan_bytes"] = base64.b64encode(zlib.decompress(base64.b64decode(told.pop("plans_zlib")))).decode()

    def cut(told: dict[str, Any]) -> None:
        told["plans_zlib"] = told["plans_zlib"][:-8]

    again = trader_of(["BTC/USD"]).desk
    memory.unpack(again, told_otherwise(commit.state, plainly))
    assert kept(again) == kept(scene.desk)
    assert len(again.plans) == 1
    with pytest.raises(ValueError, match="its kept plans cannot be unpacked"):
        memory.unpack(again, told_otherwise(commit.state, cut))


@pytest.mark.parametrize("policy", ["complete", "keep"])
def test_a_plan_that_was_completed_is_kept_as_ended(policy):
    scene = Scene(TraderSettings(partial_fill=policy))
    submit = scene.enter()
    scene.accept(submit)
    units = submit.request.terms.qty_units // 2 // 10 * 10
    fill_entry(scene, submit, units)
    seen = Seen(submit.request.client_order_id, "V1", VenueState.CANCELED, units, scene.ts_ns)
    scene.hear(OrderReported(scene.wait(1), seen))
    again = trader_of(["BTC/USD"]).desk
    (commit,) = scene.sent(Commit)
    memory.unpack(again, commit.state)
    assert kept(again) == kept(scene.desk)
    assert [int(plan.intent) for plan in again.plans.values()] == [0 if policy == "complete" else 1]


@pytest.mark.parametrize("anew", [False, True], ids=["one life", "a restart in between"])
def test_what_the_market_took_before_a_restart_is_measured_behind_it(anew):
    scene = Kept()
    submit = scene.enter()
    scene.accept(submit)
    fill_entry(scene, submit, submit.request.terms.qty_units)
    scene.hear(CommandReceived(scene.wait(1), "c", "close", {"symbol": "BTC/USD"}, "ops"))
    (leaving,) = scene.sent(Submit)
    executed(scene, leaving, 9_900, "X1")
    assert len(scene.desk.taken) == 1
    if anew:
        scene.start_anew()
        scene.hear(SnapshotRead(scene.ts_ns, scene.snapshot()))
    scene.tick()
    assert scene.desk.books.gauges[FILLS] == 1
    assert scene.desk.books.gauges[SLIPPAGE] > 0.0
    scene.start_anew()
    assert scene.desk.taken == []
