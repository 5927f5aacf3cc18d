"""One seed from its beginning to its end, and what came of it."""

import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import get_args

from novapulse.engine.settings import PartialFill
from novapulse.simulation.auditor import Broken, Violation
from novapulse.simulation.chance import Chance
from novapulse.simulation.faults import Fault
from novapulse.simulation.plan import plan_of
from novapulse.simulation.scene import Scene
from novapulse.simulation.storm import StormyWorld

DAYS_UNTIDIED = 2.0


@dataclass(frozen=True)
class SeedReport:
    """What came of one seed.

    Attributes:
        seed: Which.
        violation: What broke it; None when nothing did.
        digest: sha256 of its event log: the same for the same seed.
        marks: What was reached, and how often.
        events: Events that traders heard.
        points: Places at which the process could have ended.
        records: Events of the ledger.
        seconds: How long it took.
        trips: Closed round trips.
        faults: Those that the seed had.
        outcome: What was made of the market: each account's executions, in the venue's order, without their names.
    """

    seed: int
    violation: Violation | None
    digest: str
    marks: dict[str, int]
    events: int
    points: int
    records: int
    seconds: float
    trips: int = 0
    faults: tuple[str, ...] = ()
    outcome: tuple[tuple[int, ...], ...] = ()

    @property
    def ok(self) -> bool:
        """Whether nothing broke."""
        return self.violation is None


def cast_of(scene: Scene, seed: int) -> Scene:
    """Return a scene with the accounts of a seed: one, two or all of them, each number equally often.

    What goes wrong beside others is not what goes wrong alone: one account and several are one code path, and both
    are lived. So is each of the things that can become of an entry that was filled in part.
    """
    chance, count = Chance(seed), len(scene.parts)
    wanted = chance.between("accounts", 1, count)
    keys = sorted((part.key for part in scene.parts), key=lambda key: chance.roll(f"account {key}"))[:wanted]
    policies = get_args(PartialFill)
    chosen = {"partial_fill": policies[chance.between("partial fill", 0, len(policies) - 1)]}
    parts = tuple(part for part in scene.parts if part.key in keys)
    return replace(scene, parts=parts, settings=scene.settings.model_copy(update=chosen))


def world_of(
    scene: Scene, seed: int, faults: frozenset[Fault], crash_points: frozenset[int] | None = None
) -> StormyWorld:
    """Return the world of a seed, before its first event."""
    plan = plan_of(seed, faults, scene.begin_ns, scene.stormy_until_ns, scene.end_ns)
    return StormyWorld(scene, plan, crash_points)


def run_seed(
    scene: Scene, seed: int, faults: frozenset[Fault], crash_points: frozenset[int] | None = None
) -> SeedReport:
    """Live one seed.

    Args:
        scene: What all seeds share.
        seed: Which.
        faults: Those that may happen.
        crash_points: Numbers of the points at which the process ends; None leaves that to chance.
    """
    began = time.perf_counter()
    world = world_of(scene, seed, faults, crash_points)
    violation = None
    with _little_tidying(scene.days):
        try:
            world.run()
        except Broken as broken:
            violation = broken.violation
            broken.__traceback__ = None
    head = world.disk.ledger.head()
    world.digest.update(head[1])
    trips = sum(host.durable.kinds["round_trip_closed"] for host in world.hosts)
    world.disk.ledger.close()
    report = SeedReport(
        seed,
        violation,
        world.digest.hexdigest(),
        dict(world.marks.counts),
        world.events,
        world.points,
        head[0],
        time.perf_counter() - began,
        trips,
        tuple(fault.value for fault in sorted(world.plan.faults, key=lambda fault: fault.number)),
        _outcome(world),
    )
    world.end()
    return report


@contextmanager
def _little_tidying(days: float) -> Iterator[None]:
    # A world of a day fits into memory with all that it leaves lying about: looking for it takes a tenth of the time.
    was_on = gc.isenabled()
    if days <= DAYS_UNTIDIED:
        gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _outcome(world: StormyWorld) -> tuple[tuple[int, ...], ...]:
    return tuple(
        (number, int(fill.side), fill.qty_units, fill.price_units, fill.fee_units, fill.ts_event_ns)
        for number, host in enumerate(world.hosts)
        for fill in host.exchange.holdings.trades.values()
    )
