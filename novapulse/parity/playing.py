"""The whole engine over recorded bars in virtual time: trader, simulated venue and journal, nothing left to chance.

Invariants:
- without a script nothing goes wrong: every bar arrives at its close, every request and answer takes its time;
- a script says what happened to a session besides its bars, and the same script gives the same records;
- what is played is what live does: the same trader, the same order of venue and trader at each close.
"""

from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from novapulse.core.bars import DAY_NS, Floats
from novapulse.core.facts import KINDS, from_body
from novapulse.core.instruments import AccountKey, Instrument, InstrumentKey
from novapulse.core.messages import Alert, BarLate, CommandReceived, Commit, HoldRun, Record
from novapulse.core.orders import Fact
from novapulse.core.ports import Journal
from novapulse.core.records import Record as Row
from novapulse.engine.configuration import Configuration
from novapulse.engine.opening import new_trader, opening_record
from novapulse.engine.rows import Ticks
from novapulse.engine.trader import Trader
from novapulse.execution.rules import rules_record
from novapulse.simulation.world import Call, Link, Node, Timeline, World
from novapulse.venues.simulated import SimulatedExchange

SECOND_NS = 1_000_000_000
BACK_NS = 50_000_000
"""How long an answer of the venue takes."""

RECENT_NS = 2 * DAY_NS
"""For how long a venue may tell what is booked once more."""

Told = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Late:
    """A bar that came after its close had been decided.

    Attributes:
        instrument: Whose.
        ts_close_ns: Its close.
        arrives_ns: When it came.
        problem: What was wrong with it.
    """

    instrument: InstrumentKey
    ts_close_ns: int
    arrives_ns: int
    problem: str = "late"

    @property
    def missed_its_close(self) -> bool:
        """Whether its close was decided without it: so it is unless a good bar of that close had come before."""
        return not self.problem.startswith(("duplicate", "twice", "again"))


@dataclass(frozen=True, slots=True)
class Script:
    """What happens besides bars.

    Attributes:
        late: Bars that come late.
        commands: What operators say, each at its moment.
        starts_ns: When the trader is started anew from what was durable.
        restores: Start -> what the ledger said by then of backups that were put in its place since the start before.
        begins_ns: When it is started first; 0 for a bar before the first close.
        venue_rules: RULES that the venue fills by instead of the configured ones.
        venue_instruments: Facts that the venue goes by instead of the configured ones, such as other fees.
        link: How long messages take; None for the configured latency.
    """

    late: tuple[Late, ...] = ()
    commands: tuple[CommandReceived, ...] = ()
    starts_ns: tuple[int, ...] = ()
    restores: Mapping[int, tuple[Record, ...]] = field(default_factory=dict)
    begins_ns: int = 0
    venue_rules: Row | None = None
    venue_instruments: Mapping[InstrumentKey, Instrument] = field(default_factory=dict)
    link: Link | None = None


class MemoryJournal:
    """A journal in memory that keeps records of some kinds, counts all, and can start a trader anew.

    Attributes:
        records: What was kept, in order.
        holds: Runs of bars on which nothing was done, as they ended.
        counts: Kind -> how many there were.
        commits: How many transactions.
    """

    def __init__(self, kinds: Collection[str] | None = None, behind: Journal | None = None) -> None:
        """Begin empty.

        Args:
            kinds: What is kept; None for everything.
            behind: A journal that everything is handed on to.
        """
        self.records: list[Record] = []
        self.holds: list[HoldRun] = []
        self.counts: Counter[str] = Counter()
        self.commits = 0
        self._kinds = kinds
        self._behind = behind
        self._open: dict[str, list[Record]] = {}
        self._recent: deque[Record] = deque()
        self._state = b""
        self._ts_close_ns = 0

    def commit(self, commits: Sequence[tuple[AccountKey, Commit]]) -> None:
        """Take what happened; errors are those of the journal behind this one."""
        if self._behind is not None:
            self._behind.commit(commits)
        self.commits += 1
        for _, commit in commits:
            for record in commit.records:
                self._take(record)
            self.holds += commit.holds
            self._state = commit.state or self._state
            self._ts_close_ns = commit.ts_close_ns or self._ts_close_ns

    def _take(self, record: Record) -> None:
        self.counts[record.kind] += 1
        if self._kinds is None or record.kind in self._kinds:
            self.records.append(record)
        if record.kind == "order_closed":
            self._open.pop(record.body["client_order_id"], None)
        elif record.kind == "order_reopened":
            name = record.body["client_order_id"]
            self._open[name] = [one for one in self._recent if one.body["client_order_id"] == name]
        elif record.kind in KINDS:
            name = record.body["client_order_id"]
            if record.kind == "order_intended":
                self._open[name] = []
            if name in self._open:
                self._open[name].append(record)
            self._recent.append(record)
            while self._recent[0].ts_ns < record.ts_ns - RECENT_NS:
                self._recent.popleft()

    def restored(self) -> tuple[int, bytes, list[Fact], list[Fact]]:
        """Return what `Trader.restore` starts from: last close, state, facts of open orders, all recent facts."""
        still_open = [record for records in self._open.values() for record in records]
        return self._ts_close_ns, self._state, _facts(still_open), _facts(self._recent)


def _facts(records: Iterable[Record]) -> list[Fact]:
    return [from_body(record.kind, record.body) for record in records]


@dataclass(frozen=True, slots=True)
class Played:
    """What a run of the engine left behind.

    Attributes:
        key: The account.
        journal: Its records, kept or counted.
        holds: Runs of bars on which nothing was done, those at the end included.
        equity: float64[N], at each close.
        trader: As it stands at the end.
        alerts: What people were told, the last of each key.
        ticks: What it heard; a late bar is not present at its close.
    """

    key: AccountKey
    journal: MemoryJournal
    holds: tuple[HoldRun, ...]
    equity: Floats
    trader: Trader
    alerts: Mapping[str, Alert]
    ticks: Ticks


def play(
    key: AccountKey,
    configuration: Configuration,
    ticks: Ticks,
    journal: MemoryJournal,
    script: Script | None = None,
    told: Told | None = None,
) -> Played:
    """Run the engine over some ticks.

    Args:
        key: The account.
        configuration: What it trades, decides by and goes about it.
        ticks: Closes of its instruments with their signals.
        journal: Empty; takes everything.
        script: What happens besides; None for nothing.
        told: Called with (closes done, closes in all) now and then.

    Raises:
        ValueError: There are no ticks, or the instruments do not fit one account.
        JournalError: The journal behind did not take the account's opening.
    """
    if len(ticks) == 0:
        raise ValueError(f"there is no close to play to account {key.account_id} on {key.exchange}")
    player = _Player(key, configuration, ticks, journal, script or Script(), told)
    player.run()
    return player.played()


def link_of(configuration: Configuration) -> Link:
    """Return the network of a paper account: the configured latency on the way to the venue."""
    return Link(round(configuration.decides.execution.latency_ms * 1_000_000), BACK_NS)


class _Player:
    def __init__(
        self,
        key: AccountKey,
        configuration: Configuration,
        ticks: Ticks,
        journal: MemoryJournal,
        script: Script,
        told: Told | None,
    ) -> None:
        self.key = key
        self.configuration = configuration
        self.script = script
        self.journal = journal
        self.told = told
        self.ticks = _without_late(ticks, script.late)
        self.equity = np.zeros(len(ticks))
        trader = self._trader()
        begin_ns = script.begins_ns or int(ticks.ts_close_ns[0]) - configuration.timeframe_ns
        opening = opening_record(trader, begin_ns)
        self.world = World(Timeline(begin_ns), journal)
        self.node = Node(key, trader, self._exchange(trader), script.link or link_of(configuration))
        journal.commit([(key, Commit((opening,)))])
        self.world.add(self.node)
        self.ahead = self._script()
        self.world.start(self.node)

    def _trader(self) -> Trader:
        one = self.configuration
        return new_trader(
            self.key,
            one.instruments,
            one.decides,
            one.settings,
            one.breakers,
            one.timeframe_ns,
            one.scales,
            one.history,
            has_quotes=one.has_quotes,
        )

    def _exchange(self, trader: Trader) -> SimulatedExchange:
        one, desk = self.configuration, trader.desk
        facts = [self.script.venue_instruments.get(fact.key, fact) for fact in desk.instruments]
        rules = self.script.venue_rules
        if rules is None:
            single = desk.instruments[0] if len(desk.instruments) == 1 else None
            rules = rules_record(one.decides.risk, one.decides.execution, one.timeframe_ns, single)
        cash = int(desk.books.account[0].cash_units)
        return SimulatedExchange(self.key, facts, rules, cash, scales=one.scales)

    def run(self) -> None:
        stamps = self.ticks.ts_close_ns
        self._schedule_up_to(int(stamps[0]))
        self.world.timeline.at(int(stamps[0]), lambda: self._close(0))
        self.world.timeline.run(int(stamps[-1]) + SECOND_NS)

    def _schedule_up_to(self, before_ns: int) -> None:
        """Schedule what the script has before a moment: what stands at a close comes behind it."""
        while self.ahead and self.ahead[0][0] < before_ns:
            moment, call = self.ahead.popleft()
            self.world.timeline.at(moment, call)

    def _script(self) -> deque[tuple[int, Call]]:
        script = self.script
        calls: list[tuple[int, Call]] = [(moment, partial(self._start_anew, moment)) for moment in script.starts_ns]
        calls += [(one.ts_ns, partial(self.world.deliver, self.node, one)) for one in script.commands]
        calls += [(one.arrives_ns, partial(self._late, one)) for one in script.late]
        return deque(sorted(calls, key=lambda call: call[0]))

    def _close(self, row: int) -> None:
        event = self.ticks.event(row, self.world.timeline.now_ns)
        if event.present.any():
            self.world.tick(self.node, self.ticks, event)
        trader = self.node.trader
        assert trader is not None
        self.equity[row] = trader.desk.books.account[0].equity
        if row + 1 < len(self.ticks):
            following = int(self.ticks.ts_close_ns[row + 1])
            self._schedule_up_to(following)
            self.world.timeline.at(following, lambda: self._close(row + 1))
        else:
            self._schedule_up_to(event.ts_close_ns + SECOND_NS)
        if self.told is not None and row % 1000 == 0:
            self.told(row, len(self.ticks))

    def _late(self, late: Late) -> None:
        now = self.world.timeline.now_ns
        self.world.deliver(self.node, BarLate(now, late.instrument, late.ts_close_ns, late.problem))

    def _start_anew(self, moment: int) -> None:
        trader = self._trader()
        trader.restore(*self.journal.restored(), self.script.restores.get(moment, ()))
        self.node.life += 1
        self.node.timers.clear()
        self.node.trader = trader
        self.world.start(self.node)

    def played(self) -> Played:
        trader = self.node.trader
        assert trader is not None
        desk = trader.desk
        last = tuple(
            HoldRun(instrument.key, run.reason, run.first_ns, run.last_ns, run.bars)
            for instrument, run in zip(desk.instruments, desk.runs, strict=True)
            if run is not None
        )
        holds = (*self.journal.holds, *last)
        return Played(self.key, self.journal, holds, self.equity, trader, self.node.alerts, self.ticks)


def _without_late(ticks: Ticks, late: Sequence[Late]) -> Ticks:
    missed = [one for one in late if one.missed_its_close]
    if not missed:
        return ticks
    present = ticks.present.copy()
    for one in missed:
        row = int(np.searchsorted(ticks.ts_close_ns, one.ts_close_ns))
        if row == len(ticks) or ticks.ts_close_ns[row] != one.ts_close_ns or one.instrument not in ticks.keys:
            continue
        present[row, ticks.keys.index(one.instrument)] = 0
    present.flags.writeable = False
    return replace(ticks, present=present)
