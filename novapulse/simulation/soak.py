"""Many virtual days of one seed: whether anything grows that should not.

Invariants:
- what is measured is this process: its memory after a collection, its open files, and what the world keeps of itself;
- what traders hold is counted apart: venues and auditor remember everything that ever happened, traders must not;
- the ledger lies in a file here, as it does in earnest, so that its write-ahead log can be watched.
"""

import gc
import os
import sys
import types
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from novapulse.simulation.auditor import Broken, Violation
from novapulse.simulation.faults import Fault
from novapulse.simulation.plan import plan_of
from novapulse.simulation.scene import Scene
from novapulse.simulation.storm import StormyWorld

MINUTE_NS = 60_000_000_000

_CODE = (type, types.ModuleType, types.FunctionType, types.BuiltinFunctionType, types.CodeType)


@dataclass(frozen=True, slots=True)
class Sample:
    """How large things are at a moment.

    Attributes:
        hours: Virtual hours since the beginning.
        resident_bytes: Memory of the process, with all that venues and auditor remember.
        trader_bytes: Memory of everything that a trader refers to, of all of them.
        files: Open files.
        appointments: What waits on the timeline.
        timers: Timers that traders have set.
        state_bytes: Largest state of a trader in the ledger.
        orders: Orders that traders remember, ended ones included.
        events: Events in the ledger.
        ledger_bytes: The ledger's file.
        log_bytes: Its write-ahead log.
        lines: What people were told so far, each a line of the log.
    """

    hours: float
    resident_bytes: int
    trader_bytes: int
    files: int
    appointments: int
    timers: int
    state_bytes: int
    orders: int
    events: int
    ledger_bytes: int
    log_bytes: int
    lines: int


def soak(
    scene: Scene,
    seed: int,
    faults: frozenset[Fault],
    folder: Path,
    every_hours: float = 6.0,
    told: Callable[[Sample], None] | None = None,
) -> tuple[list[Sample], Violation | None]:
    """Live a long seed and measure in between.

    Args:
        scene: Several days.
        seed: Which.
        faults: Those that may happen; an old copy of the ledger is not among what a file can do here.
        folder: Where the ledger's file goes.
        every_hours: Virtual hours between two measurements.
        told: Called with each measurement.

    Returns:
        The measurements, and what broke, if anything did.
    """
    path = folder / "soak.db"
    plan = plan_of(seed, faults - {Fault.OLD_BACKUP}, scene.begin_ns, scene.stormy_until_ns, scene.end_ns)
    world = StormyWorld(scene, plan, place=str(path))
    samples: list[Sample] = []

    def measure() -> None:
        samples.append(_sample(world, path))
        if told is not None:
            told(samples[-1])

    step = round(every_hours * 60) * MINUTE_NS
    for moment in range(scene.begin_ns + step, scene.end_ns, step):
        world.timeline.at(moment, measure)
    violation = None
    try:
        world.run()
    except Broken as broken:
        violation = broken.violation
    finally:
        world.disk.ledger.close()
    return samples, violation


def _sample(world: StormyWorld, path: Path) -> Sample:
    gc.collect()
    log = path.with_name(path.name + "-wal")
    desks = [host.trader.desk for host in world.hosts if host.trader is not None]
    states = [len(world.disk.restore(host.key).state) for host in world.hosts]
    return Sample(
        hours=(world.timeline.now_ns - world.scene.begin_ns) / (60 * MINUTE_NS),
        resident_bytes=_resident_bytes(),
        trader_bytes=held_bytes([host.trader for host in world.hosts if host.trader is not None]),
        files=len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0,
        appointments=world.timeline.waiting,
        timers=sum(len(host.timers) for host in world.hosts),
        state_bytes=max(states),
        orders=sum(len(desk.orders) + len(desk.closed) for desk in desks),
        events=world.disk.ledger.head()[0],
        ledger_bytes=path.stat().st_size,
        log_bytes=log.stat().st_size if log.exists() else 0,
        lines=world.alerts,
    )


def held_bytes(roots: Sequence[object]) -> int:
    """Return the memory of objects and of all that they refer to, each counted once; code is not counted."""
    seen: set[int] = set()
    waiting, total = list(roots), 0
    while waiting:
        one = waiting.pop()
        if id(one) in seen or isinstance(one, _CODE):
            continue
        seen.add(id(one))
        total += sys.getsizeof(one)
        waiting += gc.get_referents(one)
    return total


def _resident_bytes() -> int:
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")
