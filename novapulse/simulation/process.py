"""The life of the process that holds all traders: starts, crashes, restarts, and a second one beside it.

What a start does is what the shell of a live trader does: take the lease, rebuild each trader from its ledger, tell it
`Started`, and, when it has been compared with its venue, the last close if that is all it missed and no other has come.
What was missed otherwise decides nothing: the last close of it is told as late, and trading goes on with the next.

Invariants:
- what a trader knew and had not committed is gone with it; requests that had left are taken by the venue all the same;
- a trader whose commit failed is ahead of its ledger: it ends there and then, and is rebuilt from the ledger.
"""

from typing import TYPE_CHECKING

from novapulse.core.facts import from_body
from novapulse.core.messages import BarsClosed, Commit, ConditionSeen, Event
from novapulse.engine.memory import fills_since_clean
from novapulse.engine.opening import opening_record
from novapulse.simulation import quotes
from novapulse.simulation.durable import FILLS_KNOWN, Durable
from novapulse.simulation.faults import Fault
from novapulse.simulation.host import Ghost, Host, trader_of

if TYPE_CHECKING:
    from novapulse.simulation.storm import StormyWorld

SECOND_NS = 1_000_000_000
RETRY_S = (1, 2, 5, 10, 20)
AUDITED = 4
"""One restart of so many is done a second time by the auditor, and compared."""

RECOVERING_NS = 20 * SECOND_NS


class Process:
    """The process of one world.

    Attributes:
        lives: How often it was started.
        recovering_until_ns: A crash before this is one during recovery.
        absence_s: How long it is away where the points at which it ends are given.
    """

    def __init__(self, world: "StormyWorld") -> None:
        self.world = world
        self.lives = 0
        self.recovering_until_ns = 0
        self.absence_s = 1

    def open_accounts(self) -> None:
        """Open the ledger's accounts, and start."""
        now = self.world.timeline.now_ns
        for host in self.world.hosts:
            self.world.disk.take_lease(host.key, f"life {self.lives}", now)
            opening = Commit((opening_record(trader_of(self.world.scene, host.part), now),))
            self.world.disk.ledger.commit([(host.key, opening)])
            host.durable.add_all(opening.records)
        self._start_all()

    def crash(self, why: str) -> None:
        """End the process; somebody starts it again soon."""
        world, chance = self.world, self.world.plan.chance
        world.marks.saw(Fault.CRASH)
        world.marks.reached(f"crash {why}")
        if world.timeline.now_ns < self.recovering_until_ns:
            world.marks.reached("crash during recovery")
        for host in world.hosts:
            self._end(host)
        long = chance.happens("long absence", 0.15)
        wait = chance.between("absence", 60, 600) if long else chance.between("absence", 1, 20)
        if world.crash_points is not None:
            wait = self.absence_s
        self.start_later(wait * SECOND_NS)

    def start_later(self, wait_ns: int) -> None:
        """Start all that is down after a while."""
        world = self.world
        due = world.timeline.now_ns + wait_ns
        calm = next((begin for begin, _ in world.plan.calms if begin >= world.timeline.now_ns), due)
        if calm < due:
            due = calm + SECOND_NS
        self.lives += 1
        life = self.lives
        world.timeline.at(due, lambda: self._start_all() if life == self.lives else None)

    def _end(self, host: Host) -> None:
        host.trader = None
        host.ghost = None
        host.life += 1
        host.timers.clear()

    def _start_all(self) -> None:
        self.recovering_until_ns = self.world.timeline.now_ns + RECOVERING_NS
        for host in self.world.hosts:
            if host.trader is None and not host.wants_restart:
                self.start(host)

    def start(self, host: Host) -> None:
        """Rebuild a trader from its ledger and let it begin."""
        world = self.world
        now = world.timeline.now_ns
        world.disk.take_lease(host.key, f"life {self.lives}", now)
        restored = world.disk.restore(host.key)
        restored.check()
        trader = trader_of(world.scene, host.part)
        facts = [from_body(entry.record.kind, entry.record.body) for entry in restored.open_facts]
        recent = host.durable.recent_facts(FILLS_KNOWN + fills_since_clean(restored.state))
        trader.restore(restored.ts_close_ns, restored.state, facts, recent)
        host.trader = trader
        host.life += 1
        host.timers.clear()
        if restored.state:
            world.marks.reached("restart")
        if self.lives % AUDITED == 0:
            world.auditor.restored(host, trader, restored, recent)
        # The first commit that is taken says that writing works again: by then it has to be known that it did not.
        had_failed = host.ledger_failed
        world.start(host)
        self._tell_what_was_missed(host, had_failed=had_failed)

    def _tell_what_was_missed(self, host: Host, *, had_failed: bool) -> None:
        world = self.world
        self._tell(host, ConditionSeen(world.now(host), "ledger_unwritable", float(had_failed)))
        missed = host.last.missed(host.trader.desk.ts_close_ns) if host.trader is not None else None
        if missed is not None:
            self._tell_missed(host, missed)
        self._tell(host, ConditionSeen(world.now(host), "disk_free", 0.5))
        quotes.quote_all(world, host)

    def _tell_missed(self, host: Host, missed: BarsClosed) -> None:
        world, trader = self.world, host.trader
        if trader is None:
            return
        desk = trader.desk
        told = host.last.told(missed, desk.ts_close_ns, desk.ready, desk.keys, world.now(host))
        for event in told:
            world.marks.reached("a missed close was told " + ("again" if isinstance(event, BarsClosed) else "as late"))
            self._tell(host, event)
        if not told:
            world.later(host, SECOND_NS, lambda: self._tell_missed(host, missed))

    def _tell(self, host: Host, event: Event) -> None:
        if host.trader is not None:
            self.world.deliver(host, event)

    def rebuild(self, host: Host) -> None:
        """End one trader, whose commit failed, and rebuild it after a while."""
        self._end(host)
        self.world.marks.reached("rebuilt after a failed commit")
        wait = RETRY_S[min(host.failures, len(RETRY_S) - 1)]
        host.failures += 1
        host.ledger_failed = True
        host.wants_restart = True

        def again() -> None:
            host.wants_restart = False
            if host.trader is None:
                self.start(host)

        self.world.timeline.at(self.world.timeline.now_ns + wait * SECOND_NS, again)

    def second_instance(self, host: Host) -> None:
        """Let another process take an account over while the first one believes that it still has it."""
        world = self.world
        if host.trader is None or host.ghost is not None:
            return
        world.marks.saw(Fault.SECOND_INSTANCE)
        old = world.disk.ledger.leases.epochs[host.key]
        ghost = Ghost(host.trader, old, world.plan.chance.between("ghost", 3, 12))
        self._end(host)
        epoch = world.disk.overtake(host.key, "another process", world.timeline.now_ns)
        world.disk.ledger.leases.epochs[host.key] = epoch
        self.start(host)
        if host.trader is not None:
            host.ghost = ghost

    def haunt(self, host: Host, event: Event) -> None:
        """Let a trader that was overtaken hear what its successor hears; nothing of it may have an effect."""
        ghost, world = host.ghost, self.world
        assert ghost is not None
        ghost.events_left -= 1
        effects = ghost.trader.handle(event)
        is_first = bool(effects) and isinstance(effects[0], Commit)
        if is_first and isinstance(effects[0], Commit):
            if world.disk.is_fenced(host.key, effects[0], ghost.epoch):
                world.marks.reached("a second instance was fenced")
            else:
                world.auditor.broke("SYS-14", host, "a trader that was overtaken wrote into the ledger")
            host.ghost = None
            return
        world.auditor.overtaken(host, effects)
        if ghost.events_left <= 0:
            host.ghost = None

    def old_backup(self) -> None:
        """End the process and start it on an older ledger."""
        world = self.world
        if not world.disk.put_copy_back():
            return
        world.marks.saw(Fault.OLD_BACKUP)
        for host in world.hosts:
            self._end(host)
            host.durable = Durable()
            host.durable.add_all(entry.record for entry in world.disk.ledger.records(host.key))
            host.is_halted_for_good = host.is_halted_for_good or _has_lost(host)
            host.flat_asked = ""
        world.auditor.ledger_is_old()
        self.start_later(5 * SECOND_NS)


def _has_lost(host: Host) -> bool:
    # What the venue shows of us and the ledger does not know: nobody but a person can say what it was.
    durable, exchange = host.durable, host.exchange
    lost = any(
        fill.venue_trade_id not in durable.trades and fill.client_order_id not in durable.intents
        for fill in exchange.holdings.trades.values()
        if fill.client_order_id
    )
    names = [order.seen.client_order_id for order in exchange.open_orders()]
    return lost or any(name and name not in durable.intents for name in names)
