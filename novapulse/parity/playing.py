"""The whole engine over recorded bars in virtual time: trader, simulated venue and journal, nothing left to chance.

Invariants:
- without a script nothing goes wrong: every bar arrives at its close, every request and answer takes its time;
- a script says what happened to a session besides its bars, and the same script gives the same records;
- what is played is what live does: the same trader, the same order of venue and trader at each close;
- a life that was killed ends behind its last durable commit, its venue where the next life found it, and requests that
  had not reached the venue by then never do.
"""

import copy
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from novapulse.core.bars import Floats
from novapulse.core.instruments import AccountKey, Instrument, InstrumentKey
from novapulse.core.kept_state import print_of_state
from novapulse.core.messages import (
    Alert,
    BarLate,
    BarsClosed,
    CommandReceived,
    Commit,
    Effect,
    HoldRun,
    Lookup,
    ReadSnapshot,
    Record,
)
from novapulse.core.ports import Journal
from novapulse.core.records import Record as Row
from novapulse.engine.configuration import Configuration
from novapulse.engine.opening import new_trader, opening_record
from novapulse.engine.rows import Ticks
from novapulse.engine.trader import Trader
from novapulse.execution.rules import rules_record
from novapulse.parity.memory import MemoryJournal
from novapulse.simulation.world import Call, Link, Node, Timeline, World
from novapulse.venues.simulated import SimulatedExchange, print_of

SECOND_NS = 1_000_000_000
BACK_NS = 50_000_000
"""How long an answer of the venue takes."""

UNHEARD_CLOSES_MAX = 64
"""How many closes a venue may have played that its trader had not decided when it was killed."""

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
class End:
    """How a life of the trader ended: behind which commit, and where its venue was.

    Attributes:
        records: How many records of the trader were durable, those of earlier lives included.
        ts_close_ns: The last close that was durable as decided; 0 for none.
        state: Fingerprint of the state that was durable; empty where nobody looked.
        venue: Fingerprint of the venue as the next life found it; empty where nobody looked.
        decided_ns: The last close that the next life is not told any more.
        commands: How many commands had been heard.
        late: How many late bars had been heard.
    """

    records: int
    ts_close_ns: int
    state: str = ""
    venue: str = ""
    decided_ns: int = 0
    commands: int = 0
    late: int = 0


@dataclass(frozen=True, slots=True)
class Script:
    """What happens besides bars.

    Attributes:
        late: Bars that come late.
        commands: What operators say, each at its moment.
        starts_ns: When the trader is started anew from what was durable.
        ends: Number of a start -> how the life before it ended, where that is known: nothing of it happens behind that.
            Where it is not, that life ends at the moment of the start, and its requests still arrive.
        last: How the last life ended; None for one that ended with the feed.
        restores: Start -> what the ledger said by then of backups that were put in its place since the start before.
        begins_ns: When it is started first; 0 for a bar before the first close.
        venue_rules: RULES that the venue fills by instead of the configured ones.
        venue_instruments: Facts that the venue goes by instead of the configured ones, such as other fees.
        link: How long messages take; None for the configured latency.
    """

    late: tuple[Late, ...] = ()
    commands: tuple[CommandReceived, ...] = ()
    starts_ns: tuple[int, ...] = ()
    ends: Mapping[int, End] = field(default_factory=dict)
    last: End | None = None
    restores: Mapping[int, tuple[Record, ...]] = field(default_factory=dict)
    begins_ns: int = 0
    venue_rules: Row | None = None
    venue_instruments: Mapping[InstrumentKey, Instrument] = field(default_factory=dict)
    link: Link | None = None


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
        behind: Records that it would have gone on with where its last life was killed.
    """

    key: AccountKey
    journal: MemoryJournal
    holds: tuple[HoldRun, ...]
    equity: Floats
    trader: Trader
    alerts: Mapping[str, Alert]
    ticks: Ticks
    behind: tuple[Record, ...] = ()


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


class _LifeOverError(Exception):
    """A life of the trader ends here."""


class _Stage(World):
    """A world that asks before anything is made durable, and before a request changes the venue."""

    def __init__(self, timeline: Timeline, journal: Journal, player: "_Player") -> None:
        super().__init__(timeline, journal)
        self._player = player

    def commit(self, node: Node, effect: Commit) -> bool:
        self._player.before_commit(effect)
        return super().commit(node, effect)

    def arrive(self, node: Node, effect: Effect, life: int) -> None:
        if not isinstance(effect, (Lookup, ReadSnapshot)):
            self._player.before_venue()
        super().arrive(node, effect, life)


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
        self.world = _Stage(Timeline(begin_ns), journal, self)
        self.lives = 0
        self.is_alone = False
        self.behind: tuple[Record, ...] = ()
        self.node = Node(key, trader, self._exchange(trader), script.link or link_of(configuration))
        journal.commit([(key, Commit((opening,)))])
        self.world.add(self.node)
        self.ahead = self._script()
        if self._ended_in(lambda: self.world.start(self.node)):
            self._next_life()

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
            spread_by_model=one.spread_by_model,
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
        if not self.lives:
            self._go_on(0)
        until_ns = int(self.ticks.ts_close_ns[-1]) + SECOND_NS
        # A life that had nothing left to do ends as well.
        while self._ended_in(lambda: self.world.timeline.run(until_ns)) or self._end is not None:
            if not self._next_life():
                return

    def _go_on(self, row: int) -> None:
        if row < len(self.ticks):
            self._schedule_up_to(int(self.ticks.ts_close_ns[row]))
            self._close_at(int(self.ticks.ts_close_ns[row]), row)

    def _close_at(self, ts_ns: int, row: int) -> None:
        # As live: timers that are due at a close go off before the bar is there.
        timeline = self.world.timeline
        timeline.at(ts_ns, lambda: timeline.at(ts_ns, lambda: self._close(row)))

    # ---- Where lives end ----

    @property
    def _end(self) -> End | None:
        starts = self.script.starts_ns
        return self.script.ends.get(self.lives) if self.lives < len(starts) else self.script.last

    def _is_reached(self, end: End) -> bool:
        return self.journal.counts.total() >= end.records and self.journal.ts_close_ns >= end.ts_close_ns

    def before_commit(self, commit: Commit) -> None:
        end = self._end
        if end is None:
            return
        more = self.journal.counts.total() + len(commit.records) > end.records
        is_reached = self._is_reached(end)
        # Some commits have no record: how many of those there were is known by the state that was found.
        is_done = is_reached and bool(end.state) and print_of_state(self.journal.state) == end.state
        if commit.ts_close_ns > end.ts_close_ns or (more and is_reached) or is_done:
            self.behind = commit.records
            raise _LifeOverError

    def before_venue(self) -> None:
        end = self._end
        if end is not None and (self.is_alone or self._is_reached(end)) and self._is_as_found(end):
            raise _LifeOverError

    def _is_as_found(self, end: End) -> bool:
        return bool(end.venue) and print_of(self.node.exchange) == end.venue

    def _ended_in(self, call: Call) -> bool:
        """Let something happen; True when a life ended in it."""
        try:
            call()
        except _LifeOverError:
            return True
        return False

    def _next_life(self) -> bool:
        """Begin the life behind one that ended; False where there is none."""
        if self.lives >= len(self.script.starts_ns):
            return False
        end, moment = self._end, self.script.starts_ns[self.lives]
        assert end is not None
        self._play_alone(end)
        self.world.timeline.clear()
        self.world.timeline.now_ns = moment
        self.node.exchange.take_events()
        self.ahead = self._script(end)
        self.lives += 1
        self.behind = ()
        self._go_on(int(np.searchsorted(self.ticks.ts_close_ns, end.ts_close_ns, side="right")))
        return not self._ended_in(lambda: self._begin_anew(moment)) or self._next_life()

    def _play_alone(self, end: End) -> None:
        """Let what was on its way reach the venue, until it is as the next life found it."""
        if not end.venue or self._is_as_found(end):
            return
        before = copy.deepcopy(self.node.exchange)
        self.node.trader, self.is_alone = None, True
        until_ns = self.world.timeline.now_ns + UNHEARD_CLOSES_MAX * self.configuration.timeframe_ns
        self._ended_in(lambda: self.world.timeline.run(until_ns))
        if not self._is_as_found(end):
            self.node.exchange = before
        self.is_alone = False

    def _schedule_up_to(self, before_ns: int) -> None:
        """Schedule what the script has before a moment: what stands at a close comes behind it."""
        while self.ahead and self.ahead[0][0] < before_ns:
            moment, call = self.ahead.popleft()
            self.world.timeline.at(moment, call)

    def _script(self, end: End | None = None) -> deque[tuple[int, Call]]:
        """Return what happens besides bars up to the end of the next life that is known, behind the end of one."""
        script, begun = self.script, 0 if end is None else self.lives + 1
        known = next((number for number in sorted(script.ends) if number >= begun), None)
        until = End(0, 0, commands=len(script.commands), late=len(script.late)) if known is None else script.ends[known]
        heard, missed = (0, 0) if end is None else (end.commands, end.late)
        starts = [moment for number, moment in enumerate(script.starts_ns) if begun <= number < (known or 0)]
        if known is None:
            starts = list(script.starts_ns[begun:])
        calls: list[tuple[int, Call]] = [(moment, partial(self._start_anew, moment)) for moment in starts]
        commands, late = script.commands[heard : until.commands], script.late[missed : until.late]
        calls += [(one.ts_ns, partial(self.world.deliver, self.node, one)) for one in commands]
        calls += [(one.arrives_ns, partial(self._late, one)) for one in late]
        return deque(sorted(calls, key=lambda call: call[0]))

    def _close(self, row: int) -> None:
        self.before_venue()
        event = self.ticks.event(row, self.world.timeline.now_ns)
        is_over = False
        try:
            if event.present.any():
                self._happen(event)
        except _LifeOverError:
            is_over = True
        trader = self.node.trader
        if trader is not None:
            self.equity[row] = trader.desk.books.account[0].equity
        self._behind_close(row, event)
        if is_over:
            raise _LifeOverError

    def _happen(self, event: BarsClosed) -> None:
        end, begun = self._end, self.script.ends.get(self.lives - 1)
        is_unheard = begun is not None and event.ts_close_ns <= begun.decided_ns
        if not (is_unheard or self.is_alone or (end is not None and event.ts_close_ns > end.ts_close_ns)):
            self.world.tick(self.node, self.ticks, event)
            return
        for column, key in enumerate(self.ticks.keys):
            if event.present[column]:
                self.node.exchange.on_bar(key, event.bars[column], self.world.timeline.now_ns)
        self.world.stream(self.node)
        if not (is_unheard or self.is_alone):
            raise _LifeOverError

    def _behind_close(self, row: int, event: BarsClosed) -> None:
        if row + 1 < len(self.ticks):
            following = int(self.ticks.ts_close_ns[row + 1])
            self._schedule_up_to(following)
            self._close_at(following, row + 1)
        else:
            self._schedule_up_to(event.ts_close_ns + SECOND_NS)
        if self.told is not None and row % 1000 == 0:
            self.told(row, len(self.ticks))

    def _late(self, late: Late) -> None:
        now = self.world.timeline.now_ns
        self.world.deliver(self.node, BarLate(now, late.instrument, late.ts_close_ns, late.problem))

    def _start_anew(self, moment: int) -> None:
        self.lives += 1
        self._begin_anew(moment)

    def _begin_anew(self, moment: int) -> None:
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
        return Played(self.key, self.journal, holds, self.equity, trader, self.node.alerts, self.ticks, self.behind)


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
