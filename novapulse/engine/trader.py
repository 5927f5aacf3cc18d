"""One account as a function of events: what happens goes in, what is to be done comes out.

Invariants:
- `handle` does no I/O and knows no time but the event's; the same events from the same state give the same effects;
- what must be durable comes first in the effects, in one commit together with the state that follows from it;
- a commit that failed is the end of this object: what it believes is not in the ledger, so it answers nothing any more,
  and the account goes on from what is;
- nothing is decided twice: a close at or before the last decided one is ignored;
- no new risk before the account has been reconciled once after its start.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from novapulse.core.messages import (
    AmendEnded,
    BarLate,
    BarsClosed,
    CancelEnded,
    CommandReceived,
    CommitFailed,
    ConditionSeen,
    Effect,
    Event,
    FillBusted,
    FillReported,
    LookupEnded,
    OrderReported,
    Outcome,
    QuoteSeen,
    Record,
    SnapshotFailed,
    SnapshotRead,
    Started,
    SubmitEnded,
    TimerFired,
)
from novapulse.core.order_fold import Order, orders_of
from novapulse.core.orders import (
    TERMINAL,
    AbsenceProved,
    Acked,
    AmendDone,
    AmendRefused,
    CancelRefused,
    Fact,
    OrderStatus,
    Refused,
    Role,
    Unclear,
)
from novapulse.core.records import Intent, Reason
from novapulse.engine import commands, conditions, doubles, fills, leaving, memory, protection, roster, splits, ticks
from novapulse.engine.changes import forget_waits, note_refusal
from novapulse.engine.desk import Desk, Draft
from novapulse.engine.orders import after_child, close, drain, was_ended_unasked
from novapulse.engine.reconciler import Reconciler
from novapulse.engine.resolver import UNSETTLED, Resolver
from novapulse.engine.standing import STANDS

LOOK_AGAIN = frozenset({"stream_gap", "clock_step", "reconnected", "resumed"})
"""Conditions behind which something may have been missed."""

ANSWER_S = 5
"""How long a cancel or an amendment that was taken may need to show."""


class Trader:
    """One account."""

    def __init__(self, desk: Desk) -> None:
        """Take a desk over; `restore` may follow, then events."""
        self.desk = desk
        self.resolver = Resolver(desk)
        self.reconciler = Reconciler(desk, self.resolver)
        self.failed = ""
        self._inherited: frozenset[str] = frozenset()
        self._restores: tuple[Record, ...] = ()
        self._packer = memory.Packer(desk)

    def restore(
        self,
        ts_close_ns: int,
        state: bytes,
        facts: Iterable[Fact],
        recent: Iterable[Fact],
        restores: Iterable[Record] = (),
    ) -> None:
        """Take up the state of an earlier run.

        Args:
            ts_close_ns: Close of the last decided bar.
            state: As the last commit had it; empty when there was none.
            facts: Facts of the orders that have not ended, in the ledger's order.
            recent: All facts of at least the time that a venue may tell again, those of ended orders included: what
                is booked is known by them.
            restores: What the ledger says of backups that were put in its place since that state; the account halts
                when it starts.

        Raises:
            StillNeededError: Something is left of an instrument that is not traded any more.
            ValueError: The state is of another account or version, or damaged.
        """
        desk = self.desk
        desk.ts_close_ns = ts_close_ns
        self._restores = tuple(restores)
        desk.orders |= orders_of(facts)
        ended = orders_of(fact for fact in recent if fact.client_order_id not in desk.orders)
        if state:
            memory.unpack(desk, state, (*desk.orders.values(), *ended.values()))
            desk.prices_ns = desk.books.last_bars["ts_close_ns"].tolist()
        for name, order in ended.items():
            if order.is_intended and order.request.instrument not in desk.rows:
                # Told again, they are what was booked while it was traded.
                for trade in order.fills:
                    desk.remember_foreign(trade)
            elif order.is_intended and order.is_terminal:
                desk.closed[name] = order
            elif order.is_intended:
                desk.orders[name] = order
                drains = desk.slots[desk.row_of(order)].drains
                drains.extend([name] if name not in drains else [])
            for trade in order.fills if not order.is_intended else ():
                desk.remember_foreign(trade)
        self._inherited = frozenset(desk.orders)
        for order in (*desk.closed.values(), *desk.orders.values()):
            desk.venue_ids.update(dict.fromkeys(order.venue_order_ids, order.client_order_id))
            # A list that lags behind a placement does so over a restart as well.
            desk.active_ns[order.client_order_id] = order.first_attempt_ns

    def handle(self, event: Event) -> list[Effect]:
        """Take an event in and return what is to be done, in order; nothing after a commit has failed."""
        if self.failed:
            return []
        draft, mode = Draft(event.ts_ns), self.desk.books.mode
        _HANDLERS[type(event)](self, event, draft)
        for row in leaving.stay_flat(self.desk, draft):
            self._settle(row, draft)
        if self.desk.books.mode != mode:
            self._obey_mode(draft)
        state = self._packer.packed(draft) if draft.entries or draft.runs or draft.changed else b""
        return draft.finished(self.desk.ts_close_ns, state)

    # ---- start ----

    def _on_started(self, event: Started, draft: Draft) -> None:
        desk = self.desk
        desk.started_ns = event.ts_ns
        desk.ready = False
        draft.write(
            "session_started",
            {
                "settings": desk.settings_hash,
                "configuration": desk.configured.text,
                "ts_close_ns": desk.ts_close_ns,
                "open_orders": sorted(desk.orders),
                "instruments": [[desk.key.exchange, instrument.symbol] for instrument in desk.instruments],
            },
        )
        roster.let_go(desk, draft)
        for restore in self._restores:
            conditions.take_restore(desk, draft, restore.body)
        for order in list(desk.orders.values()):
            if order.status is OrderStatus.SENDING:
                desk.learn(draft, Unclear(order.client_order_id, order.attempts, "the trader was started anew"))
            elif order.status is OrderStatus.INTENT and not order.request.attached_to:
                desk.learn(draft, AbsenceProved(order.client_order_id, never_sent=True))
        for row in range(len(desk.slots)):
            leaving.go_on(desk, draft, row)
            self._settle(row, draft)
        self.desk.tell_again(draft)
        self.reconciler.start(draft)

    # ---- the market ----

    def _on_bars(self, event: BarsClosed, draft: Draft) -> None:
        if event.ts_close_ns <= self.desk.ts_close_ns:
            return
        self.desk.measured(draft, "unknown_order_age", self.resolver.oldest_unknown_s(event.ts_ns))
        for row in ticks.on_bars(self.desk, draft, event):
            self._settle(row, draft)

    def _on_late(self, event: BarLate, draft: Draft) -> None:
        instrument = event.instrument
        draft.write(
            "bar_late",
            {
                "instrument": [instrument.exchange, instrument.symbol],
                "ts_close_ns": event.ts_close_ns,
                "problem": event.problem,
            },
        )

    def _on_quote(self, event: QuoteSeen, draft: Draft) -> None:
        row = self.desk.rows.get(event.instrument)
        if row is None:
            return
        real = 0.0 < event.bid < event.ask
        usable = real and splits.is_behind(self.desk, draft, row, (event.bid + event.ask) / 2)
        if usable:
            self.desk.prices_ns[row] = event.ts_ns
            self.desk.quotes[row] = (event.ts_ns, event.bid, event.ask)
        spread = self.desk.spread_in_medians(row, event)
        if spread is not None or not real:
            self.desk.measured(draft, "spread", spread, event.instrument)
        if usable and protection.is_beyond_stop(self.desk, row):
            leaving.leave(self.desk, draft, row, Reason.EXIT_STOP)
            self._settle(row, draft)
        elif usable and draft.changed:
            self._settle(row, draft)

    # ---- answers of the venue ----

    def _learn(self, draft: Draft, fact: Fact) -> Order | None:
        order = self.desk.order(fact.client_order_id)
        if order is not None:
            self.desk.learn(draft, fact)
        return order

    def _on_submit(self, event: SubmitEnded, draft: Draft) -> None:
        name = event.client_order_id
        fact: Fact
        if event.outcome is Outcome.ACCEPTED and event.venue_order_id:
            fact = Acked(name, event.venue_order_id)
        elif event.outcome is Outcome.REJECTED:
            fact = Refused(name, event.attempt, event.code, event.text)
            self.desk.counted(draft, "rejects")
        else:
            fact = Unclear(name, event.attempt, event.text)
        order = self._learn(draft, fact)
        if order is not None:
            self._settle(self.desk.row_of(order), draft)

    def _on_cancel(self, event: CancelEnded, draft: Draft) -> None:
        order = self.desk.order(event.client_order_id)
        if order is None:
            return
        if event.outcome is Outcome.REJECTED:
            self.desk.learn(draft, CancelRefused(event.client_order_id, event.attempt))
            note_refusal(self.desk, draft, order, "cancel")
        if not order.is_terminal and order.undisputed_status is not OrderStatus.UNKNOWN:
            self.resolver.settled(order)
            # A refused cancel tells nothing: the order may be gone, or filled. It is looked for until somebody answers.
            wait_s, refused = ANSWER_S if event.outcome is Outcome.ACCEPTED else 0, event.outcome is Outcome.REJECTED
            self.resolver.watch(draft, order, wait_s, keep=refused)
        self._settle(self.desk.row_of(order), draft)

    def _on_amend(self, event: AmendEnded, draft: Draft) -> None:
        name = event.client_order_id
        order = self.desk.order(name)
        if order is None:
            return
        if event.outcome is Outcome.ACCEPTED:
            self.desk.learn(draft, AmendDone(name, event.amendment))
            forget_waits(self.desk, order, "amend")
            self.desk.alert_over(draft, f"amend:{name}", f"the venue changed order {name}")
        elif event.outcome is Outcome.REJECTED:
            self.desk.learn(draft, AmendRefused(name, event.amendment))
            note_refusal(self.desk, draft, order, "amend")
        if event.outcome is not Outcome.ACCEPTED and not order.is_terminal:
            self.resolver.settled(order)
            self.resolver.watch(draft, order, keep=event.outcome is Outcome.REJECTED)
        self._settle(self.desk.row_of(order), draft)

    def _on_order(self, event: OrderReported, draft: Draft) -> None:
        seen = event.seen
        order = self.desk.order(seen.client_order_id, seen.venue_order_id)
        if order is None:
            self.reconciler.soon(draft, f"order {seen.venue_order_id} is not ours")
            return
        self._take_seen(draft, order, event)
        self._settle(self.desk.row_of(order), draft)

    def _take_seen(self, draft: Draft, order: Order, event: OrderReported) -> None:
        seen = event.seen
        if seen.client_order_id != order.client_order_id:
            seen = replace(seen, client_order_id=order.client_order_id)
        self.desk.learn(draft, seen)

    def _on_fill(self, event: FillReported, draft: Draft) -> None:
        if fills.is_early(self.desk, event.fill) or fills.is_lost(self.desk, event.fill):
            self.reconciler.soon(draft, "an execution came whose beginning is not known")
            return
        row = fills.take_fill(self.desk, draft, event.fill)
        if row is not None:
            self._settle(row, draft)

    def _on_bust(self, event: FillBusted, draft: Draft) -> None:
        row = fills.take_bust(self.desk, draft, event)
        if row is not None:
            self.reconciler.soon(draft, "an execution was taken back")
            self._settle(row, draft)

    def _on_lookup(self, event: LookupEnded, draft: Draft) -> None:
        for fill in event.fills:
            if fills.is_early(self.desk, fill):
                self.reconciler.soon(draft, "an execution was found before the one that it closes")
            else:
                fills.take_fill(self.desk, draft, fill)
        order = self.desk.order(event.client_order_id)
        self.resolver.on_answer(draft, event)
        if order is not None:
            self._settle(self.desk.row_of(order), draft)

    def _on_snapshot(self, event: SnapshotRead, draft: Draft) -> None:
        self.reconciler.take(draft, event.snapshot)
        for row in range(len(self.desk.slots)):
            self._settle(row, draft)

    def _on_no_snapshot(self, event: SnapshotFailed, draft: Draft) -> None:
        self.reconciler.failed(draft, event.text)

    # ---- everything else ----

    def _on_timer(self, event: TimerFired, draft: Draft) -> None:
        kind, _, what = event.name.partition(":")
        self.desk.measured(draft, "unknown_order_age", self.resolver.oldest_unknown_s(event.ts_ns))
        if kind == "lookup":
            self.resolver.on_timer(draft, what)
        elif kind == "reconcile":
            self.reconciler.on_timer(draft, what)
        elif kind == "protect":
            protection.on_timer(self.desk, draft, int(what))
            self._settle(int(what), draft)
        elif kind == "exit":
            leaving.look_after(self.desk, draft, int(what))
            self._settle(int(what), draft)
        elif kind == "deadline":
            self._on_deadline(draft, what)
        elif kind == "retry":
            self._settle(int(what.partition(":")[0]), draft)
        elif kind == "alerts":
            self.desk.tell_again(draft)

    def _on_deadline(self, draft: Draft, name: str) -> None:
        # Whoever carries requests out answers each. If an answer was lost on the way, nobody knows what happened.
        order = self.desk.orders.get(name)
        if order is not None and order.status is OrderStatus.SENDING:
            self.desk.learn(draft, Unclear(name, order.attempts, "no answer came back"))
            self._settle(self.desk.row_of(order), draft)

    def _on_commit_failed(self, event: CommitFailed, draft: Draft) -> None:
        self.failed = event.text

    def _on_condition(self, event: ConditionSeen, draft: Draft) -> None:
        if event.condition in LOOK_AGAIN:
            self.reconciler.soon(draft, event.condition)
        else:
            conditions.take(self.desk, draft, event)
        self._obey_mode(draft)

    def _on_command(self, event: CommandReceived, draft: Draft) -> None:
        touched = commands.obey(self.desk, draft, event, self.reconciler)
        self._obey_mode(draft)
        for row in touched:
            self._settle(row, draft)

    def _obey_mode(self, draft: Draft) -> None:
        for row in leaving.withdraw_entries(self.desk, draft):
            self._settle(row, draft)

    def _settle(self, row: int, draft: Draft) -> None:
        """Close what has ended, look into what is not known, and take the next step towards what is wanted."""
        desk = self.desk
        doubles.sort_out(desk, draft, row)
        for order in list(desk.open_orders(row)):
            if order.disputes:
                doubles.cancel_extras(desk, draft, order)
            if order.status is OrderStatus.DISPUTED and order.undisputed_status in TERMINAL:
                doubles.set_aside(desk, draft, row, order)
            if order.is_terminal:
                self._close(row, order, draft)
            else:
                self._look_into(order, draft)
        drain(desk, draft, row)
        self._forget_unborn_bracket(row, draft)
        leaving.take_next_step(desk, draft, row)
        protection.sync_protection(desk, draft, row)
        if desk.alerts.open and desk.books.positions[row].qty_units == 0:
            name = desk.instruments[row].symbol
            desk.alert_over(draft, f"exit:{name}", f"the position in {name} is closed")
        if draft.entries:
            self.reconciler.hurry(draft)

    def _close(self, row: int, order: Order, draft: Draft) -> None:
        desk, slot, name = self.desk, self.desk.slots[row], order.client_order_id
        was_child, was_bracket = slot.child == name, slot.protect == name
        self.resolver.settled(order)
        close(desk, draft, row, order)
        if was_child:
            after_child(desk, draft, row, order)
        if was_bracket and (order.status is OrderStatus.REJECTED or was_ended_unasked(order)):
            protection.refused(desk, draft, row, order)

    def _look_into(self, order: Order, draft: Draft) -> None:
        standing = order.undisputed_status
        if standing in UNSETTLED:
            is_asked = standing in (OrderStatus.CANCEL_PENDING, OrderStatus.REPLACE_PENDING)
            self.resolver.watch(draft, order, ANSWER_S if is_asked else 0)
        elif standing in STANDS:
            self.resolver.settled(order)

    def _forget_unborn_bracket(self, row: int, draft: Draft) -> None:
        # An entry that ended without a fill never made its bracket.
        desk = self.desk
        slot = desk.slots[row]
        bracket = desk.orders.get(slot.protect)
        if bracket is None or bracket.status is not OrderStatus.INTENT or not bracket.request.attached_to:
            return
        is_wanted = desk.books.intent(row) is Intent.ENTRY and slot.decision == bracket.request.decision_id
        entry_is_over = not is_wanted and not any(order.request.role is Role.ENTRY for order in desk.open_orders(row))
        if not entry_is_over or desk.books.held_units(row) != 0:
            return
        name = bracket.client_order_id
        if name in self._inherited or any(
            order.fills or order.seen_units
            for order in (*desk.closed.values(), *desk.orders.values())
            if order.request.protection is not None and order.request.protection.client_order_id == name
        ):
            # An entry filled, or another may have that a restored ledger has lost: only the venue can say.
            self.resolver.watch(draft, bracket)
            return
        desk.learn(draft, AbsenceProved(name, never_sent=True))
        close(desk, draft, row, bracket)
        slot.entry = ""


# Not bound to a trader: one that refers to itself would have to be looked for when it is gone.
_HANDLERS: dict[type, Callable[[Trader, Any, Draft], None]] = {
    Started: Trader._on_started,
    BarsClosed: Trader._on_bars,
    BarLate: Trader._on_late,
    QuoteSeen: Trader._on_quote,
    SubmitEnded: Trader._on_submit,
    CancelEnded: Trader._on_cancel,
    AmendEnded: Trader._on_amend,
    OrderReported: Trader._on_order,
    FillReported: Trader._on_fill,
    FillBusted: Trader._on_bust,
    LookupEnded: Trader._on_lookup,
    SnapshotRead: Trader._on_snapshot,
    SnapshotFailed: Trader._on_no_snapshot,
    TimerFired: Trader._on_timer,
    CommitFailed: Trader._on_commit_failed,
    ConditionSeen: Trader._on_condition,
    CommandReceived: Trader._on_command,
}
