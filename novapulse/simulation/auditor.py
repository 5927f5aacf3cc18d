"""Looks at a stormy world while it happens, and ends it at the first broken invariant.

The oracle is the exchange's own truth; what traders believe is judged by it, and what they wrote by both.

Invariants:
- it changes nothing: a world with an auditor and one without are the same world;
- every invariant has one name (`INVARIANTS`) under which it is told.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from novapulse.core.instruments import AccountKey
from novapulse.core.messages import Amend, Cancel, Commit, Effect, Event, Lookup, Submit
from novapulse.core.orders import Fact, Filled
from novapulse.core.records import Reason
from novapulse.engine.configuration import Configuration
from novapulse.engine.trader import Trader
from novapulse.ledger.reads import RestoredAccount
from novapulse.simulation import at_rest, on_alerts, on_closes, on_marks, on_records, on_requests
from novapulse.simulation.host import Host
from novapulse.simulation.relay import Relay
from novapulse.simulation.tally import OrderTally
from novapulse.simulation.world import Node

if TYPE_CHECKING:
    from novapulse.simulation.storm import StormyWorld

INVARIANTS = {
    "ORD-1": "no request leaves before the attempt that it is was written",
    "ORD-2": "a client order id has one order at the venue at most",
    "ORD-3": "an order that was closed has the executions that the venue says it has",
    "ORD-4": "a cumulative quantity never falls",
    "ORD-5": "an execution is booked once, and reading again what a venue may tell again changes nothing",
    "ORD-6": "positions of ledger, trader and venue are the same when nothing is under way",
    "ORD-7": "what is held is what open orders reserve, and nothing without them",
    "ORD-8": "postings sum to nought for each asset of each entry",
    "ORD-9": "no new risk in an instrument with an order of which nobody knows what became",
    "ORD-10": "no order is closed against the venue's truth",
    "ORD-11": "the cursor never passes an execution that is not booked",
    "ORD-12": "all orders of one entry together never fill more than was decided",
    "ORD-13": "a crash and a restart end where no crash would have",
    "ORD-14": "every order and every position of the venue is known to the ledger",
    "SYS-1": "the ledger's inventory is what the venue's executions sum to",
    "SYS-2": "every order of ours at the venue has its intent",
    "SYS-3": "what was booked is what the venue executed, to the unit",
    "SYS-4": "debits are credits",
    "SYS-5": "positions, open entries and unknown ones stay within the limits",
    "SYS-6": "a position has its stop, or for a while a reason that is so; none is loosened, or larger than that",
    "SYS-7": "no entry leaves an account that takes no new risk or lost too much, or without a spread or a fresh price",
    "SYS-8": "cash moves by executions, fees and flows alone",
    "SYS-9": "events are numbered without a gap and chained",
    "SYS-10": "a consumer that dies now and then is given every event at least once, and in order",
    "SYS-11": "two minutes after the last fault everything is healthy",
    "SYS-12": "a decision knows the bar and the signals of its close, and nothing that came later",
    "SYS-13": "restarting twice is restarting once",
    "SYS-14": "a trader that was overtaken has no effect",
    "FLAT": "an account that was flattened or killed is flat in a calm, and halted when it was killed",
    "TOLD": "what an operator said holds: limits from their moment on, and a cancel by hand ends its order",
    "EXIT": "a position that is to be left has an exit at work, which waits for no entry",
    "EXCESS": "what a venue executed beyond what was held, or gave back, is closed again, by whoever it was booked to",
    "COUNT": "what an account counts as positions and entries is what it holds or works for",
    "DUST": "what is given up as too little for an order is worth hardly more than the least that an order may be",
    "UNFILLED": "an entry that ended before it was filled, wholly or in part, has a record that says why",
    "MARKS": "what comes or goes without a trade is neither profit nor loss, on its day and on later ones",
    "ALERTS": "what people have to know they are told",
    "TRADER": "a trader raises nothing",
    "LEDGER": "the ledger takes what a trader commits",
}


@dataclass(frozen=True, slots=True)
class Violation:
    """A broken invariant.

    Attributes:
        invariant: Its name.
        ts_ns: When.
        account: Of which account, as its two fields.
        text: What is wrong.
    """

    invariant: str
    ts_ns: int
    account: tuple[str, str]
    text: str


class Broken(BaseException):
    """Ends a seed: nothing that follows from a broken world is worth looking at."""

    def __init__(self, violation: Violation) -> None:
        super().__init__(violation)
        self.violation = violation


class Auditor:
    """The invariants of one seed.

    Attributes:
        world: What is looked at.
        tallies: Account -> what was seen of its orders.
        relay: Who is given the events.
        in_force: (account, limits otherwise than configured) -> what counts then.
        is_ledger_old: An old copy was put back: what it lacks is not the traders' fault.
    """

    def __init__(self, world: "StormyWorld") -> None:
        self.world = world
        self.tallies = {host.key: OrderTally() for host in world.hosts}
        self.relay = Relay(world.disk)
        self.is_ledger_old = False
        self.in_force: dict[tuple[AccountKey, tuple[tuple[str, str], ...]], Configuration] = {}

    def broke(self, invariant: str, node: Node, text: str) -> None:
        """End the seed.

        Raises:
            Broken: Always.
        """
        assert invariant in INVARIANTS, invariant
        key = (node.key.exchange, node.key.account_id)
        raise Broken(Violation(invariant, self.world.timeline.now_ns, key, text))

    def raised(self, node: Node, event: Event, wrong: Exception) -> None:
        """A trader raised something.

        Raises:
            Broken: Always.
        """
        frame = wrong.__traceback__
        while frame is not None and frame.tb_next is not None:
            frame = frame.tb_next
        where = f"{frame.tb_frame.f_code.co_filename.rpartition('/')[2]}:{frame.tb_lineno}" if frame else "?"
        self.broke("TRADER", node, f"{type(wrong).__name__} at {where}: {wrong}; on {str(event)[:300]}")

    # ---- while it happens ----

    def wrote(self, host: Host, commit: Commit) -> None:
        """A commit is durable."""
        if commit.records:
            on_records.check(self, host, commit)
        if commit.state:
            on_marks.check(self, host)

    def sent(self, host: Host, effect: Effect) -> None:
        """A request leaves."""
        if isinstance(effect, Submit | Cancel | Amend):
            on_requests.check(self, host, effect)
        elif isinstance(effect, Lookup):
            self.tallies[host.key].asked_ns[effect.client_order_id] = self.world.timeline.now_ns

    def taken(self, host: Host, effect: Effect) -> None:
        """The venue took a request, and answers."""
        if isinstance(effect, Submit):
            on_requests.check_taken(self, host, effect)

    def decided(self, host: Host) -> None:
        """A trader has heard a close."""
        if host.trader is None:
            return
        on_closes.check_exits(self, host)
        on_closes.check_losses(self, host)
        if Reason.SPREAD_UNKNOWN in host.trader.desk.books.actions["reason"].tolist():
            self.world.marks.reached("an entry was not decided for want of a spread")

    def told_twice(self, host: Host, fill: Filled) -> None:
        """A trader has heard an execution that it may know otherwise."""
        on_alerts.told_twice(self, host, fill)

    def closed(self, host: Host) -> None:
        """A bar closed at the venue."""
        on_closes.check_stops(self, host)
        if host.beyond:
            on_closes.check_excess(self, host)
        if wrong := self.relay.look():
            self.broke("SYS-10", host, wrong)

    def overtaken(self, host: Host, effects: Sequence[Effect]) -> None:
        """A trader that was overtaken wants something without having to write."""
        if any(isinstance(effect, Submit | Cancel | Amend) for effect in effects):
            self.broke("SYS-14", host, f"a trader that was overtaken sends {effects}")

    def restored(self, host: Host, trader: Trader, restored: RestoredAccount, recent: Sequence[Fact]) -> None:
        """A trader was rebuilt."""
        at_rest.check_restored(self, host, trader, restored, recent)

    def ledger_is_old(self) -> None:
        """An old copy of the ledger was put back."""
        self.is_ledger_old = True
        self.relay.ledger_is_old()
        for host in self.world.hosts:
            # What an operator has ended stays so, or trips again: an account may be as it was or more restricted.
            had_ended = self.tallies[host.key].has_ended_a_loss
            self.tallies[host.key] = OrderTally()
            self.tallies[host.key].has_ended_a_loss = had_ended

    # ---- when it is calm ----

    def rested(self) -> None:
        """Two minutes of a calm are over."""
        for host in self.world.hosts:
            at_rest.check(self, host)
        self.world.marks.reached("healthy in a calm")

    def finish(self) -> None:
        """The seed is over."""
        self.rested()
        for host in self.world.hosts:
            at_rest.check_replayed(self, host)
        at_rest.check_ledger(self)
