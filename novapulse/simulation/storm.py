"""A world in which things go wrong: the same traders and venues, with a faulty network, disk, clock and process.

Invariants:
- a fault is drawn where it happens and only in a storm; in a calm this world is as kind as its parent;
- nothing that a trader wants is done before its commit has returned, and nothing at all for a trader that is down;
- the auditor sees every record, every request and every event.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from novapulse.core.messages import (
    Alert,
    Amend,
    AmendEnded,
    Answer,
    BarLate,
    BarsClosed,
    Cancel,
    CancelEnded,
    Commit,
    ConditionSeen,
    Effect,
    Event,
    FillReported,
    Found,
    Lookup,
    LookupEnded,
    Outcome,
    QuoteSeen,
    ReadSnapshot,
    SetTimer,
    SnapshotFailed,
    SnapshotRead,
    Submit,
    SubmitEnded,
    TimerFired,
)
from novapulse.core.orders import Filled, OrderType
from novapulse.core.ports import Fenced, JournalError, Unwritable
from novapulse.simulation import quotes
from novapulse.simulation.auditor import Auditor
from novapulse.simulation.disk import Disk
from novapulse.simulation.faults import Fault
from novapulse.simulation.host import Host, client_ids_of, host_of
from novapulse.simulation.marks import Marks
from novapulse.simulation.nemesis import Nemesis
from novapulse.simulation.network import READ_DEADLINE_NS, SECOND_NS, Fate, Network
from novapulse.simulation.operators import Operator
from novapulse.simulation.plan import FaultPlan
from novapulse.simulation.points import aim_at, is_everyday, write_point
from novapulse.simulation.process import Process
from novapulse.simulation.reads import after_splits, blurred_snapshot, is_young, shifted
from novapulse.simulation.scene import Scene
from novapulse.simulation.world import Node, Timeline, World
from novapulse.venues.simulated import VenueMode

MILLISECOND_NS = 1_000_000


@dataclass(slots=True)
class Call:
    """A request under way."""

    host: Host
    life: int
    effect: Effect
    fate: Fate
    sent_ns: int
    is_answered: bool = False


class StormyWorld(World):
    """A scene with the faults of one seed.

    Attributes:
        digest: Of everything that happened, in order.
        alerts: What people were told, so far.
        points: Places at which the process could have ended, so far.
        crash_points: Numbers of those at which it ends; None leaves it to chance.
    """

    def __init__(
        self, scene: Scene, plan: FaultPlan, crash_points: frozenset[int] | None = None, place: str = ":memory:"
    ) -> None:
        self.marks = Marks()
        self.disk = Disk(scene, plan, self.marks, place)
        super().__init__(Timeline(scene.begin_ns), self.disk)
        self.scene = scene
        self.plan = plan
        self.network = Network(plan, self.marks)
        self.hosts = [host_of(scene, part, client_ids_of(part.key, plan.seed)) for part in scene.parts]
        for host in self.hosts:
            self.add(host)
        self.auditor = Auditor(self)
        self.process = Process(self)
        self.nemesis = Nemesis(self)
        self.operator = Operator(self)
        self.digest = hashlib.sha256()
        self.events = 0
        self.alerts = 0
        self.points = 0
        self.crash_points = crash_points

    def is_stormy(self) -> bool:
        """Tell whether faults may happen now."""
        return self.plan.is_stormy(self.timeline.now_ns)

    def run(self) -> None:
        """Live the whole seed."""
        self.process.open_accounts()
        for host in self.hosts:
            self.play(host, host.part.ticks)
        self.nemesis.schedule()
        self.operator.schedule()
        self.timeline.run(self.scene.end_ns)
        self.auditor.finish()

    def end(self) -> None:
        """Let go of what refers to this world, so that nobody has to look for it when it is gone."""
        self.timeline.clear()
        self.nodes.clear()
        for part in (self.auditor, self.process, self.nemesis, self.operator):
            vars(part).clear()

    # ---- events and effects ----

    def deliver(self, node: Node, event: Event) -> None:
        """Let a trader hear an event, carry out what it wants, and look at what came of it."""
        trader = node.trader
        if trader is None:
            return
        assert isinstance(node, Host)
        self.events += 1
        self.digest.update(f"{self.timeline.now_ns} {node.key.account_id} {_told(event)}\n".encode())
        if node.ghost is not None:
            self.process.haunt(node, event)
        try:
            effects = trader.handle(event)
        except Exception as wrong:
            self.auditor.raised(node, event, wrong)
            self.process.rebuild(node)
            return
        self.perform(node, effects)

    def perform(self, node: Node, effects: Sequence[Effect]) -> None:
        """Carry effects out in order, unless the process ends in between."""
        for effect in effects:
            if isinstance(effect, Commit):
                point = write_point(effect)
                rarely = is_everyday(effect)
                if self._ends_here(f"before the commit {point}", rarely=rarely):
                    return
                if not self.commit(node, effect):
                    return
                if self._ends_here(f"after the commit {point}", rarely=rarely):
                    return
            elif isinstance(effect, SetTimer):
                self._set_timer(node, effect)
            elif isinstance(effect, Alert):
                self.alerts += 1
                node.alerts[effect.key] = effect
            elif isinstance(effect, Answer):
                node.answers[effect.command_id] = effect
            else:
                self.send(node, effect)
                if self._ends_here(f"behind a send of {type(effect).__name__}"):
                    return

    def _ends_here(self, where: str, *, rarely: bool = False) -> bool:
        self.points += 1
        if self.crash_points is not None:
            if self.points not in self.crash_points:
                return False
        else:
            rate = self.plan.rates.get(Fault.CRASH, 0.0)
            if not rate or not self.is_stormy():
                return False
            aim = aim_at(where)
            if aim > 1:
                rate *= aim
            elif self.timeline.now_ns < self.process.recovering_until_ns:
                rate *= 10
            if not self.plan.chance.happens(Fault.CRASH, rate / 20 if rarely else rate):
                return False
        self.process.crash(where)
        return True

    def commit(self, node: Node, effect: Commit) -> bool:
        """Make something durable; a trader whose commit was not taken ends, because it is ahead of its ledger."""
        assert isinstance(node, Host)
        self.disk.now_ns = self.timeline.now_ns
        try:
            self.disk.commit([(node.key, effect)])
        except Unwritable:
            self.process.rebuild(node)
            return False
        except Fenced as wrong:
            self.auditor.broke("SYS-14", node, f"the only trader of the account was fenced: {wrong}")
            return False
        except JournalError as wrong:
            self.auditor.broke("LEDGER", node, f"the ledger refused a commit: {wrong}")
            return False
        self.auditor.wrote(node, effect)
        if node.ledger_failed:
            node.ledger_failed, node.failures = False, 0
            self._say(node, ConditionSeen(0, "ledger_unwritable", 0.0, "the ledger takes writes again"), 0)
        return True

    # ---- the network ----

    def send(self, node: Node, effect: Effect) -> None:
        """Let a request leave; its fate is drawn now."""
        assert isinstance(node, Host)
        now = self.timeline.now_ns
        self.auditor.sent(node, effect)
        fate = self.network.fate(effect, now)
        call = Call(node, node.life, effect, fate, now)
        deadline = round(self.scene.settings.submit_deadline_s * SECOND_NS)
        is_read = isinstance(effect, Lookup | ReadSnapshot)
        if fate.is_taken and (is_read or fate.out_ns <= deadline):
            if isinstance(effect, Submit):
                node.in_flight[effect.request.client_order_id] = now + fate.out_ns
            self.timeline.at(now + fate.out_ns, lambda: self.take(call))
        if fate.unclear:
            self.later(node, fate.back_ns, lambda: self._hear_nothing(call, fate.unclear))
        else:
            patience = READ_DEADLINE_NS if is_read else deadline
            self.later(node, patience, lambda: self._hear_nothing(call, "no answer in time"))

    def take(self, call: Call) -> None:
        """Let the venue take a request."""
        host, effect, fate = call.host, call.effect, call.fate
        if isinstance(effect, Submit):
            host.in_flight.pop(effect.request.client_order_id, None)
        if fate.trades_first and isinstance(effect, Cancel | Amend):
            self.nemesis.trade_some(host, effect.client_order_id)
        if isinstance(effect, Submit) and self._refuses(host, effect):
            answer = _refused(call, "bracket_refused")
        elif fate.refused:
            answer = _refused(call, fate.refused)
        elif fate.is_unknown:
            answer = _refused(call, "unknown_order")
        elif fate.is_denied:
            answer = self._denial_of(call)
        else:
            answer = self._answer_of(call)
        self.auditor.taken(host, effect)
        self.stream(host)
        if fate.is_heard:
            self._reply(call, answer, fate.back_ns)
        if fate.again_ns and fate.is_heard:
            self._again(call, answer)

    def _refuses(self, host: Host, effect: Submit) -> bool:
        is_bracket = effect.request.kind is OrderType.BRACKET
        return is_bracket and self.timeline.now_ns < host.refuses_brackets_until_ns

    def _denial_of(self, call: Call) -> Event:
        self._answer_of(call)
        if isinstance(call.effect, Submit) and call.host.exchange.book.of_client(call.effect.request.client_order_id):
            call.host.denied.add(call.effect.request.client_order_id)
            self.marks.reached("a refusal was wrong")
            if self.plan.chance.happens("wrong refusal is kept quiet", 0.5):
                # The stream says nothing of the order either: only a list shows it.
                call.host.exchange.take_events()
        return _refused(call, "unavailable")

    def _answer_of(self, call: Call) -> Event:
        host, effect, fate = call.host, call.effect, call.fate
        answer = self.answered(host, effect)
        accepted = answer if isinstance(answer, SubmitEnded) and answer.outcome is Outcome.ACCEPTED else None
        if fate.is_resent and accepted is not None and host.knows_again(accepted.client_order_id):
            self.marks.reached(f"sent twice to a venue that says {host.exchange.client_ids.value}")
            answer = self.answered(host, effect)
        if isinstance(effect, Lookup | ReadSnapshot):
            return self._blurred(call, answer)
        if isinstance(answer, SubmitEnded) and answer.code == "duplicate_id":
            return SubmitEnded(0, answer.client_order_id, answer.attempt, Outcome.AMBIGUOUS, "", "", "the venue has it")
        return answer

    def _blurred(self, call: Call, answer: Event) -> Event:
        host, now = call.host, self.timeline.now_ns
        if isinstance(answer, SnapshotRead):
            snapshot = blurred_snapshot(host.exchange, answer.snapshot, call, self.plan.chance, now)
            return SnapshotRead(0, shifted(snapshot, host.clock_ns))
        seen = answer.seen if isinstance(answer, LookupEnded) else None
        if call.fate.lags and seen is not None and is_young(host.exchange, seen.venue_order_id, now):
            return LookupEnded(0, seen.client_order_id, Found.ABSENT)
        return answer

    def _reply(self, call: Call, answer: Event, back_ns: int) -> None:
        if call.host.life == call.life:
            self.later(call.host, back_ns, lambda: self._hear(call, answer))

    def _again(self, call: Call, answer: Event) -> None:
        def again() -> None:
            self.deliver(call.host, self.arrived(call.host, answer))

        if call.host.life == call.life:
            self.later(call.host, call.fate.back_ns + call.fate.again_ns, again)

    def _hear_nothing(self, call: Call, text: str) -> None:
        if not call.is_answered:
            self._hear(call, _unclear(call, text))

    def _hear(self, call: Call, answer: Event) -> None:
        if not call.is_answered:
            call.is_answered = True
            self.deliver(call.host, self.arrived(call.host, answer))

    def answered(self, node: Node, effect: Effect) -> Event:
        """Return what the venue says to a request; reads fail while it is in maintenance."""
        if node.exchange.mode is VenueMode.MAINTENANCE:
            if isinstance(effect, Lookup):
                return LookupEnded(0, effect.client_order_id, Found.FAILED)
            if isinstance(effect, ReadSnapshot):
                return SnapshotFailed(0, "the venue is in maintenance")
        return super().answered(node, effect)

    def stream(self, node: Node) -> None:
        """Let the venue's stream say what happened, as far as it does."""
        assert isinstance(node, Host)
        events = node.exchange.take_events()
        if not events or node.trader is None:
            return
        now, chance = self.timeline.now_ns, self.plan.chance
        if now < node.silent_until_ns:
            return
        stormy, rates = self.is_stormy(), self.plan.rates
        for event in events:
            delay = chance.between("stream", 5, 250) * MILLISECOND_NS
            if stormy:
                if chance.happens("gap", rates.get(Fault.STREAM_GAP, 0.0)):
                    self._lose(node)
                    continue
                if chance.happens("shuffle", rates.get(Fault.STREAM_SHUFFLED, 0.0)):
                    self.marks.saw(Fault.STREAM_SHUFFLED)
                    delay += chance.between("shuffled", 0, 8000) * MILLISECOND_NS
                    if chance.happens("repeated", 0.5):
                        self._say(node, event, delay + chance.between("repeat", 1, 30) * SECOND_NS)
            self._say(node, event, delay)

    def _say(self, host: Host, event: Event, delay_ns: int) -> None:
        self.later(host, delay_ns, lambda: self.deliver(host, self.arrived(host, event)))

    def _lose(self, host: Host) -> None:
        self.marks.saw(Fault.STREAM_GAP)
        if self.plan.chance.happens("gap is noticed", 0.5):
            self._say(host, ConditionSeen(0, "stream_gap", 1.0, "a number is missing"), SECOND_NS)

    def say_twice_differently(self, host: Host, fill: Filled) -> None:
        """Let the stream give an execution once more, with another price."""
        other = replace(fill, price_units=fill.price_units + 1, cash_units=fill.cash_units + 1)

        def say() -> None:
            self.deliver(host, self.arrived(host, FillReported(0, other)))
            self.auditor.told_twice(host, other)

        self.later(host, SECOND_NS, say)

    # ---- the market ----

    def tick(self, node: Node, ticks: object, event: BarsClosed) -> None:
        """Let one close happen: at the venue now, to the trader when the feed brings it."""
        assert isinstance(node, Host)
        now = self.timeline.now_ns
        event = after_splits(node, event, now)
        node.last.came(event)
        for column, key in enumerate(node.part.ticks.keys):
            if event.present[column]:
                node.exchange.on_bar(key, event.bars[column], now)
        self.auditor.closed(node)
        self.stream(node)
        if node.trader is None or now < node.stale_until_ns:
            node.missed += 1
            self._age(node)
            return
        if node.missed:
            node.missed = 0
            self._age(node)
        self.later(node, self.plan.chance.between("feed", 20, 600) * MILLISECOND_NS, lambda: self._feed(node, event))

    def _feed(self, host: Host, event: BarsClosed) -> None:
        quotes.quote_all(self, host)
        arrived = self.arrived(host, event)
        if not self.is_stormy() or Fault.STALE_FEED not in self.plan.faults:
            self.deliver(host, arrived)
            self.auditor.decided(host)
            return
        chance = self.plan.chance
        if len(host.part.instruments) > 1 and chance.happens("late bar", 0.004):
            self._late(host, arrived)
            return
        self.deliver(host, arrived)
        self.auditor.decided(host)
        if chance.happens("bar twice", 0.004):
            self.marks.reached("a close came twice")
            self._say(host, arrived, chance.between("bar again", 1, 90_000) * MILLISECOND_NS)

    def _late(self, host: Host, event: BarsClosed) -> None:
        column = self.plan.chance.between("which late", 0, len(host.part.instruments) - 1)
        present = event.present.copy()
        present[column] = 0
        self.marks.reached("a bar came late")
        self.deliver(host, replace(event, present=present))
        late = BarLate(0, host.part.instruments[column].key, event.ts_close_ns, "it came after its close was decided")
        self._say(host, late, 3 * SECOND_NS)

    def _age(self, host: Host) -> None:
        if host.trader is not None:
            self.deliver(host, ConditionSeen(self.now(host), "bar_age", float(host.missed)))


def _told(event: Event) -> str:
    match event:
        case QuoteSeen():
            return f"QuoteSeen {event.instrument.symbol} {event.bid} {event.ask}"
        case TimerFired():
            return f"TimerFired {event.name}"
        case BarsClosed():
            return f"BarsClosed {event.ts_close_ns}"
        case SnapshotRead():
            return f"SnapshotRead {event.snapshot.cursor} {len(event.snapshot.fills)}"
        case _:
            return repr(event)


def _unclear(call: Call, text: str) -> Event:
    effect = call.effect
    if isinstance(effect, Submit):
        return SubmitEnded(0, effect.request.client_order_id, effect.attempt, Outcome.AMBIGUOUS, "", "", text)
    if isinstance(effect, Cancel):
        return CancelEnded(0, effect.client_order_id, effect.attempt, Outcome.AMBIGUOUS, text)
    if isinstance(effect, Amend):
        return AmendEnded(0, effect.client_order_id, effect.amendment, Outcome.AMBIGUOUS, text)
    if isinstance(effect, Lookup):
        return LookupEnded(0, effect.client_order_id, Found.FAILED)
    return SnapshotFailed(0, text)


def _refused(call: Call, code: str) -> Event:
    effect = call.effect
    if isinstance(effect, Submit):
        return SubmitEnded(0, effect.request.client_order_id, effect.attempt, Outcome.REJECTED, "", code)
    if isinstance(effect, Cancel):
        return CancelEnded(0, effect.client_order_id, effect.attempt, Outcome.REJECTED, code)
    assert isinstance(effect, Amend), effect
    return AmendEnded(0, effect.client_order_id, effect.amendment, Outcome.REJECTED, code)
