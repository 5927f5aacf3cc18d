"""What happens to one seed: which faults, how often, and when.

Invariants:
- everything follows from the seed and the faults that were asked for;
- storms and calms take turns: in a calm nothing new goes wrong, so that recovery can be demanded of it, and the time
  behind the last day is one long calm.
"""

from dataclasses import dataclass, field

from novapulse.simulation.chance import Chance
from novapulse.simulation.faults import TABLE, Fault

MINUTE_NS = 60_000_000_000
STORM_NS = 160 * MINUTE_NS
CALM_NS = 20 * MINUTE_NS
HEALTHY_WITHIN_NS = 2 * MINUTE_NS


@dataclass(frozen=True, slots=True)
class Act:
    """A fault at a moment."""

    ts_ns: int
    fault: Fault


@dataclass(frozen=True)
class FaultPlan:
    """The faults of one seed.

    Attributes:
        seed: Which.
        chance: Its dice.
        faults: Those that this seed has.
        rates: Chance per occasion of those that are accidents of a message.
        acts: Those that happen at moments, in order.
        calms: (begin, end) of each calm, in order; the last one lasts to the end.
        begin_ns: Before the first close.
        end_ns: Behind the last.
    """

    seed: int
    chance: Chance
    faults: frozenset[Fault]
    rates: dict[Fault, float]
    acts: tuple[Act, ...]
    calms: tuple[tuple[int, int], ...]
    begin_ns: int
    end_ns: int
    _at: list[int] = field(default_factory=lambda: [0])

    def is_stormy(self, now_ns: int) -> bool:
        """Tell whether faults may happen now; time must not go back between questions."""
        number = self._at[0]
        while number < len(self.calms) and now_ns >= self.calms[number][1]:
            number += 1
        self._at[0] = number
        return number < len(self.calms) and now_ns < self.calms[number][0]


def plan_of(seed: int, faults: frozenset[Fault], begin_ns: int, stormy_until_ns: int, end_ns: int) -> FaultPlan:
    """Draw the plan of a seed.

    Args:
        seed: Which.
        faults: Those that may happen.
        begin_ns: Before the first close.
        stormy_until_ns: When the last storm ends.
        end_ns: Behind the last close.
    """
    chance = Chance(seed)
    mine = frozenset(fault for fault in Fault if fault in faults and _has(chance, fault, len(faults)))
    calms, cursor = [], begin_ns
    while cursor + STORM_NS + CALM_NS < stormy_until_ns:
        calms.append((cursor + STORM_NS, cursor + STORM_NS + CALM_NS))
        cursor += STORM_NS + CALM_NS
    calms.append((stormy_until_ns, end_ns + 1))
    rates, acts = {}, []
    for fault in sorted(mine, key=lambda fault: fault.number):
        does = TABLE[fault]
        weight = 4.0 ** (chance.roll(f"weight {fault}") - 0.5)
        if not does.daily:
            rates[fault] = does.rate * weight
            continue
        days = (stormy_until_ns - begin_ns) / (1440 * MINUTE_NS)
        wanted = does.rate * weight * days
        count = max(int(wanted) + (chance.roll(f"count {fault}") < wanted % 1.0), 1)
        acts += [Act(_moment(chance, fault, begin_ns, stormy_until_ns, calms), fault) for _ in range(count)]
    acts.sort(key=lambda act: (act.ts_ns, act.fault.number))
    return FaultPlan(seed, chance, mine, rates, tuple(acts), tuple(calms), begin_ns, end_ns)


def _has(chance: Chance, fault: Fault, asked: int) -> bool:
    # Who asks for a few faults by name wants to see them in every seed.
    return asked <= 3 or chance.roll(f"has {fault}") < TABLE[fault].share


def _moment(chance: Chance, fault: Fault, begin_ns: int, until_ns: int, calms: list[tuple[int, int]]) -> int:
    # Half of the acts come seconds after a close, when orders are on their way.
    first = begin_ns + 2 * MINUTE_NS
    minutes = max((until_ns - first) // MINUTE_NS - 1, 1)
    ts_ns = first + chance.between(f"minute of {fault}", 0, minutes) * MINUTE_NS
    soon = chance.roll(f"soon {fault}") < 0.5
    ts_ns += chance.between(f"moment of {fault}", 0, 3_000_000_000 if soon else MINUTE_NS - 1)
    for begin, end in calms:
        if begin - MINUTE_NS <= ts_ns < end:
            ts_ns = begin - chance.between(f"before calm {fault}", 2, 40) * MINUTE_NS
    return max(ts_ns, first)
