"""Virtual time: a heap of moments, and the machines that live in it.

Invariants:
- time goes on only when everything that was due has happened; what is due at the same moment happens in the order in
  which it was asked for;
- nothing here draws chance or reads a clock: the same world runs the same way;
- a trader that is down hears nothing, and what it had not made durable is gone;
- a trader knows no time but its own clock's, which may be wrong; its timers count on all the same.
"""

import heapq
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from novapulse.core.instruments import AccountKey
from novapulse.core.messages import (
    Alert,
    Amend,
    AmendEnded,
    Answer,
    BarsClosed,
    Cancel,
    CancelEnded,
    Commit,
    CommitFailed,
    Effect,
    Event,
    Found,
    Lookup,
    LookupEnded,
    Outcome,
    ReadSnapshot,
    SetTimer,
    Snapshot,
    SnapshotFailed,
    SnapshotRead,
    Started,
    Submit,
    SubmitEnded,
    TimerFired,
)
from novapulse.core.ports import Fenced, Journal, JournalError, Rejected, Unavailable
from novapulse.engine.rows import Ticks
from novapulse.engine.trader import Trader
from novapulse.venues.simulated import SimulatedExchange

Call = Callable[[], None]
Heard = TypeVar("Heard", bound=Event)

OVERLAP = 8
"""Executions before the cursor that a reading tells again."""


class Timeline:
    """Moments in virtual time."""

    def __init__(self, now_ns: int) -> None:
        """Begin at a moment."""
        self.now_ns = now_ns
        self._heap: list[tuple[int, int, Call]] = []
        self._order = itertools.count()

    def at(self, ts_ns: int, call: Call) -> None:
        """Let something happen at a moment, or now when that is over."""
        heapq.heappush(self._heap, (ts_ns if ts_ns > self.now_ns else self.now_ns, next(self._order), call))

    @property
    def waiting(self) -> int:
        """How much is still to happen."""
        return len(self._heap)

    def clear(self) -> None:
        """Forget everything that is still to happen."""
        self._heap.clear()

    def run(self, until_ns: int) -> None:
        """Let everything happen that is due up to a moment."""
        heap = self._heap
        while heap and heap[0][0] <= until_ns:
            self.now_ns, _, call = heapq.heappop(heap)
            call()
        self.now_ns = max(self.now_ns, until_ns)


@dataclass(slots=True)
class Link:
    """How long messages take, one way, ns; and what the stream adds."""

    out_ns: int
    back_ns: int
    stream_ns: int = 0


@dataclass(slots=True)
class Node:
    """One account: its trader, its side of the network, and the venue at the other end.

    Attributes:
        key: The account.
        trader: None while it is down.
        exchange: The venue's truth.
        link: The network between.
        life: Counts starts: what was meant for an earlier life does not reach a later one.
        timers: Name -> number of the timer that counts.
        alerts: What people were told, the last of each key.
        answers: Results of commands by id.
        clock_ns: How far its machine's clock is ahead of the true time.
    """

    key: AccountKey
    trader: Trader | None
    exchange: SimulatedExchange
    link: Link
    life: int = 0
    timers: dict[str, int] = field(default_factory=dict)
    alerts: dict[str, Alert] = field(default_factory=dict)
    answers: dict[str, Answer] = field(default_factory=dict)
    clock_ns: int = 0


class World:
    """Accounts on a timeline, with one journal."""

    def __init__(self, timeline: Timeline, journal: Journal) -> None:
        """Begin without accounts."""
        self.timeline = timeline
        self.journal = journal
        self.nodes: dict[AccountKey, Node] = {}
        self._numbers = itertools.count(1)

    def add(self, node: Node) -> None:
        """Add an account."""
        self.nodes[node.key] = node

    def now(self, node: Node) -> int:
        """Return what a node's clock shows."""
        return self.timeline.now_ns + node.clock_ns

    def start(self, node: Node) -> None:
        """Let a node's trader begin: it hears that it was started."""
        self.deliver(node, Started(self.now(node)))

    def deliver(self, node: Node, event: Event) -> None:
        """Let a trader hear an event, and carry out what it wants."""
        if node.trader is not None:
            self.perform(node, node.trader.handle(event))

    def perform(self, node: Node, effects: Sequence[Effect]) -> None:
        """Carry effects out in order; those behind a commit that failed are dropped."""
        for effect in effects:
            if isinstance(effect, Commit):
                if not self.commit(node, effect):
                    return
            elif isinstance(effect, SetTimer):
                self._set_timer(node, effect)
            elif isinstance(effect, Alert):
                node.alerts[effect.key] = effect
            elif isinstance(effect, Answer):
                node.answers[effect.command_id] = effect
            else:
                self.send(node, effect)

    def commit(self, node: Node, effect: Commit) -> bool:
        """Make something durable; False when the journal did not take it."""
        try:
            self.journal.commit([(node.key, effect)])
        except JournalError as wrong:
            self.deliver(node, CommitFailed(self.now(node), str(wrong), isinstance(wrong, Fenced)))
            return False
        return True

    def later(self, node: Node, wait_ns: int, call: Call) -> None:
        """Let something happen to this life of a node."""
        life = node.life

        def if_alive() -> None:
            if node.life == life and node.trader is not None:
                call()

        self.timeline.at(self.timeline.now_ns + wait_ns, if_alive)

    def _set_timer(self, node: Node, effect: SetTimer) -> None:
        if not effect.at_ns:
            node.timers.pop(effect.name, None)
            return
        number = next(self._numbers)
        node.timers[effect.name] = number

        def fire() -> None:
            if node.timers.get(effect.name) == number:
                del node.timers[effect.name]
                self.deliver(node, TimerFired(self.now(node), effect.name))

        self.later(node, effect.at_ns - self.now(node), fire)

    # ---- the network ----

    def send(self, node: Node, effect: Effect) -> None:
        """Let a request travel to the venue, and its answer back."""
        self.timeline.at(self.timeline.now_ns + node.link.out_ns, lambda: self.arrive(node, effect, node.life))

    def arrive(self, node: Node, effect: Effect, life: int) -> None:
        """Let the venue take a request, whoever is still there to hear the answer."""
        answer = self.answered(node, effect)
        if node.life == life:
            self.later(node, node.link.back_ns, lambda: self.deliver(node, self.arrived(node, answer)))
        self.stream(node)

    def arrived(self, node: Node, answer: Heard) -> Heard:
        """Return an event with the moment at which it arrives."""
        later: Heard = type(answer)(self.now(node), *[getattr(answer, name) for name in answer.__slots__[1:]])
        return later

    def answered(self, node: Node, effect: Effect) -> Event:
        """Return what the venue says to a request."""
        now, exchange = self.timeline.now_ns, node.exchange
        if isinstance(effect, Submit):
            name, number = effect.request.client_order_id, effect.attempt
            try:
                return SubmitEnded(now, name, number, Outcome.ACCEPTED, exchange.submit(effect.request, now))
            except Rejected as refused:
                return SubmitEnded(now, name, number, Outcome.REJECTED, "", str(refused.code), refused.text)
            except Unavailable as down:
                return SubmitEnded(now, name, number, Outcome.REJECTED, "", "unavailable", str(down))
        if isinstance(effect, Cancel):
            return self._cancelled(effect, exchange)
        if isinstance(effect, Amend):
            return self._amended(effect, exchange)
        if isinstance(effect, Lookup):
            return self._looked_up(effect, exchange)
        assert isinstance(effect, ReadSnapshot)
        return self._snapshot(effect, exchange)

    def _cancelled(self, effect: Cancel, exchange: SimulatedExchange) -> Event:
        now, name = self.timeline.now_ns, effect.client_order_id
        try:
            exchange.cancel(effect.venue_order_id or name, now)
        except (Rejected, Unavailable) as refused:
            return CancelEnded(now, name, effect.attempt, Outcome.REJECTED, str(refused))
        return CancelEnded(now, name, effect.attempt, Outcome.ACCEPTED)

    def _amended(self, effect: Amend, exchange: SimulatedExchange) -> Event:
        now, name = self.timeline.now_ns, effect.client_order_id
        try:
            exchange.amend(effect.venue_order_id, effect.terms, now)
        except (Rejected, Unavailable) as refused:
            return AmendEnded(now, name, effect.amendment, Outcome.REJECTED, str(refused))
        return AmendEnded(now, name, effect.amendment, Outcome.ACCEPTED)

    def _looked_up(self, effect: Lookup, exchange: SimulatedExchange) -> Event:
        now, name = self.timeline.now_ns, effect.client_order_id
        exchange.advance(now)
        found = exchange.lookup(name)
        if found is None:
            return LookupEnded(now, name, Found.ABSENT)
        return LookupEnded(now, name, Found.FOUND, found[0], found[1])

    def _snapshot(self, effect: ReadSnapshot, exchange: SimulatedExchange) -> Event:
        now = self.timeline.now_ns
        exchange.advance(now)
        try:
            return SnapshotRead(now, snapshot_of(exchange, effect.cursor, now))
        except LookupError as wrong:
            return SnapshotFailed(now, str(wrong))

    def stream(self, node: Node) -> None:
        """Let the venue's stream say what happened."""
        for event in node.exchange.take_events():
            if node.link.stream_ns:
                self._stream_later(node, event)
            elif node.trader is not None:
                self.deliver(node, self.arrived(node, event))

    def _stream_later(self, node: Node, event: Event) -> None:
        self.later(node, node.link.stream_ns, lambda: self.deliver(node, self.arrived(node, event)))

    # ---- the market ----

    def play(self, node: Node, ticks: Ticks) -> None:
        """Let the closes of some ticks happen to an account, each at its time: first the venue, then the trader."""

        def close(row: int) -> None:
            event = ticks.event(row, self.now(node))
            self.tick(node, ticks, event)
            if row + 1 < len(ticks):
                self.timeline.at(int(ticks.ts_close_ns[row + 1]), lambda: close(row + 1))

        if len(ticks):
            self.timeline.at(int(ticks.ts_close_ns[0]), lambda: close(0))

    def tick(self, node: Node, ticks: Ticks, event: BarsClosed) -> None:
        """Let one close happen to an account."""
        for column, key in enumerate(ticks.keys):
            if event.present[column]:
                node.exchange.on_bar(key, event.bars[column], self.timeline.now_ns)
        self.stream(node)
        self.deliver(node, event)


def snapshot_of(exchange: SimulatedExchange, cursor: str, now_ns: int) -> Snapshot:
    """Return a consistent cut of a simulated account.

    Raises:
        LookupError: What lies behind the cursor is not kept any more.
    """
    trades, flows = (int(part) for part in cursor.split("/")) if cursor else (0, 0)
    fills, trades = exchange.fills_after(trades, overlap=OVERLAP if trades else 0)
    moved, flows = exchange.flows_after(flows)
    venue_ns, cursor = now_ns + exchange.clock_ahead_ns, f"{trades}/{flows}"
    return Snapshot(now_ns, now_ns, exchange.open_orders(), fills, cursor, exchange.balances(), moved, venue_ns)
