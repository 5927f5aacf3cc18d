"""What an operator tells the traders: in a storm whatever comes to mind, in a calm what only a person may.

Invariants:
- nothing is said to a trader that is down, and without faults nothing at all but what a calm asks for;
- every word is judged by what came of it (`on_commands`).
"""

from functools import partial
from typing import TYPE_CHECKING

from novapulse.core.messages import CommandReceived
from novapulse.core.order_fold import Order
from novapulse.core.records import Mode
from novapulse.engine.leaving import may_fill
from novapulse.simulation.host import Host

if TYPE_CHECKING:
    from novapulse.simulation.storm import StormyWorld

SECOND_NS = 1_000_000_000
TURN_NS = 20 * SECOND_NS
LEAVES = 0.3
"""Chance that in a storm somebody wants nothing held any more."""

LIMITS_MOST = 2
CANCELS_MOST = 3
"""Words of a kind in one storm, at most."""

RETRY_NS = 61 * SECOND_NS
TRIES = 10

WISHES = (
    "position_notional_max=300,risk_fraction=0.01",
    "position_notional_max=900,position_fraction_max=0.45",
    "position_fraction_max=0.15",
    "gross_exposure_max_fraction=0.3,group_exposure_max_fraction=0.25",
    "gross_exposure_max_fraction=0.8,positions_max=4",
    "positions_max=1",
    "cash_fraction_max=0.4,loss_cooldown_s=600",
    "instrument_cooldown_s=0,strategy_cooldown_s=0",
    "positions_max=configured,risk_fraction=configured",
    "all=configured",
    "positions_max=-1",
    "stop_atr=3",
)
"""Narrower and wider limits, back to what is configured, and what has to be refused."""


class Operator:
    """Tells the traders of one world something."""

    def __init__(self, world: "StormyWorld") -> None:
        self.world = world
        self._said = 0

    def schedule(self) -> None:
        """Put on the timeline what is said in the storms and in the calms of the plan."""
        timeline, plan = self.world.timeline, self.world.plan
        chance, calm_until = plan.chance, plan.begin_ns
        for begin, end in plan.calms:
            if plan.faults and chance.happens("operator leaves", LEAVES):
                timeline.at(chance.between("leaves at", calm_until, begin - 1), self._leaves)
            for _ in range(chance.between("limits", 0, LIMITS_MOST) if plan.faults else 0):
                timeline.at(chance.between("limits at", calm_until, begin - 1), self._changes_limits)
            for _ in range(chance.between("cancels", 0, CANCELS_MOST) if plan.faults else 0):
                timeline.at(chance.between("cancels at", calm_until, begin - 1), self._cancels_one)
            calm_until = end
            for turn in range(1, 5):
                timeline.at(begin + turn * TURN_NS, self._adopts)
            timeline.at(begin + 5 * TURN_NS, self._resumes)

    def enters_again(self) -> None:
        """Go on trading what was left, once it has been found flat."""
        for host in self.world.hosts:
            if host.flat_asked:
                host.flat_asked = ""
                self._resume(host)

    def _resumes(self) -> None:
        for host in self.world.hosts:
            if not host.flat_asked:
                self._resume(host)

    def _resume(self, host: Host) -> None:
        if host.trader is not None and host.trader.desk.books.mode != Mode.NORMAL and not host.is_halted_for_good:
            halted = host.trader.desk.books.mode == Mode.HALTED
            self._say(host, "resume_from_halt" if halted else "resume")

    def _leaves(self) -> None:
        self.leaves(self._one("who leaves"))

    def leaves(self, host: Host) -> None:
        """Want nothing held any more: it is seen to, and looked at again in the next calm."""
        verb = "kill" if self.world.plan.chance.happens("kills", 0.5) else "flatten"
        if not host.is_halted_for_good and self._say(host, verb):
            host.flat_asked = verb

    def _adopts(self) -> None:
        # What nothing explains needs a person: differences of amounts are booked against suspense.
        for host in self.world.hosts:
            if host.trader is None or host.is_halted_for_good:
                continue
            for key, found in list(host.trader.desk.breaks.items()):
                if found.asset and found.diff_units and found.readings > 1:
                    self._say(host, "adopt", order=key)

    def _changes_limits(self) -> None:
        host = self._one("whose limits")
        if host.trader is not None:
            wish = WISHES[self.world.plan.chance.between("which limits", 0, len(WISHES) - 1)]
            self._say(host, "limits", set=wish)

    def _cancels_one(self, tries_left: int = TRIES) -> None:
        host, chance = self._one("whose entry"), self.world.plan.chance
        entries = [] if host.trader is None else [one for one in host.trader.desk.orders.values() if may_fill(one)]
        if entries:
            self._say(host, "cancel", order=self._name_of(entries[chance.between("which entry", 0, len(entries) - 1)]))
        elif tries_left and self.world.is_stormy():
            again = self.world.timeline.now_ns + RETRY_NS
            self.world.timeline.at(again, partial(self._cancels_one, tries_left - 1))

    def _name_of(self, order: Order) -> str:
        by_venue = order.venue_order_id and self.world.plan.chance.happens("by the venue's id", 0.3)
        return order.venue_order_id if by_venue else order.client_order_id

    def _one(self, site: str) -> Host:
        hosts = self.world.hosts
        return hosts[self.world.plan.chance.between(site, 0, len(hosts) - 1)]

    def _say(self, host: Host, verb: str, **arguments: str) -> bool:
        self._said += 1
        world = self.world
        world.marks.reached(f"operator says {verb}")
        name = f"c{self._said}"
        world.deliver(host, CommandReceived(world.now(host), name, verb, arguments, "operator"))
        return name in host.answers and host.answers[name].done
