"""What an operator tells a trader that may end at any point: done once, whole, and answered once, or not at all."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from novapulse.core.messages import CommandReceived
from novapulse.core.orders import Role
from novapulse.simulation.host import Host
from novapulse.simulation.scene import scene_of
from novapulse.simulation.seeds import world_of
from novapulse.simulation.storm import StormyWorld

DAYS = 0.014
EVERY = 9
SECOND_NS = 1_000_000_000
LIMITS: Mapping[int, str] = {
    180: "position_notional_max=300,risk_fraction=0.01",
    484: "positions_max=2, risk_fraction=configured",
    600: "positions_max=-1",
}
"""Seconds since the beginning -> what is said then."""

CANCEL_FROM_S = 480


@dataclass
class Operator:
    """Says things, and says them again until the ledger has their answer, as the inbox does."""

    world: StormyWorld
    wishes: dict[str, tuple[str, dict[str, Any]]] = field(default_factory=dict)

    def look(self, host: Host) -> None:
        now_s = (self.world.timeline.now_ns - self.world.scene.begin_ns) // SECOND_NS
        for at_s, what in LIMITS.items():
            if now_s >= at_s:
                self.wishes.setdefault(f"limits {at_s}", ("limits", {"set": what}))
        if now_s >= CANCEL_FROM_S and host.trader is not None:
            for name, order in host.trader.desk.orders.items():
                if order.request.role is Role.ENTRY and order.is_live:
                    self.wishes.setdefault("cancel", ("cancel", {"order": name}))
        done = answers(self.world, host)
        for name, (verb, arguments) in self.wishes.items():
            if name not in done and host.trader is not None:
                self.world.deliver(host, CommandReceived(self.world.now(host), name, verb, arguments, "operator"))


def answers(world: StormyWorld, host: Host) -> Counter[str]:
    return Counter(body["command_id"] for body in bodies(world, host, "command_answered"))


def bodies(world: StormyWorld, host: Host, kind: str) -> list[Mapping[str, Any]]:
    return [entry.record.body for entry in world.disk.ledger.records(host.key, (kind,))]


def live(crash_points: frozenset[int]) -> tuple[StormyWorld, Host, Operator]:
    """Live a small world without faults in which the process ends at some points."""
    world = world_of(scene_of(DAYS), 0, frozenset(), crash_points)
    host, operator = world.hosts[1], Operator(world)
    for second in range(60, round(DAYS * 86_400) - 60, 5):
        world.timeline.at(world.scene.begin_ns + second * SECOND_NS + 1, lambda: operator.look(host))
    world.run()
    return world, host, operator


@pytest.fixture(scope="module")
def points() -> int:
    world, host, operator = live(frozenset())
    check(world, host, operator)
    (taken,) = bodies(world, host, "command_taken")
    (cancel,) = [one for one in bodies(world, host, "command_answered") if one["verb"] == "cancel"]
    assert taken["command_id"] == cancel["command_id"]
    assert cancel["done"]
    return world.points


def check(world: StormyWorld, host: Host, operator: Operator) -> None:
    assert answers(world, host) == Counter(operator.wishes.keys()), "each was answered once"
    assert host.trader is not None
    limits = host.trader.desk.limits
    assert {name: (one.value, one.command_id) for name, one in limits.items()} == {
        "position_notional_max": ("300.0", "limits 180"),
        "positions_max": ("2", "limits 484"),
    }
    said = bodies(world, host, "limits_changed")
    assert [one["command_id"] for one in said] == ["limits 180", "limits 484"]
    assert said[-1]["settings"] == host.trader.desk.settings_hash
    assert host.trader.desk.waiting == {}
    cancels = [one for one in bodies(world, host, "command_answered") if one["verb"] == "cancel"]
    ended = {one["client_order_id"]: one["status"] for one in bodies(world, host, "order_closed")}
    for one in cancels:
        status = ended[one["arguments"]["order"]]
        assert status in one["text"]
        assert not (one["done"] and status == "FILLED")


@pytest.mark.parametrize("offset", range(0, EVERY, 3))
def test_wherever_the_process_ends_every_word_is_obeyed_once(points: int, offset: int) -> None:
    for point in range(1 + offset, points + 1, EVERY):
        world, host, operator = live(frozenset({point}))
        assert any(mark.startswith("crash ") for mark in world.marks.counts), f"point {point} was never reached"
        check(world, host, operator)
        world.disk.ledger.close()
        world.end()
