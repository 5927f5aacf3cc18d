"""Planted bugs: each is what somebody once shipped, and each has to be caught by the ordinary seeds.

A mutant that survives says that the simulation is too kind, not that the bug is harmless.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any
from unittest.mock import patch

from novapulse.core import known_facts
from novapulse.core.facts import to_body
from novapulse.core.messages import BarsClosed, CancelEnded, Commit, Effect, Outcome, Submit, SubmitEnded, TimerFired
from novapulse.core.order_fold import Order
from novapulse.core.orders import AbsenceProved, Filled, Refused, Role, Seen, Side, VenueState
from novapulse.core.records import Intent
from novapulse.engine import changes, excess, fills, leaving, netting, orders, protection, stop_size, ticks, trader
from novapulse.engine.amounts import plan_whole
from novapulse.engine.bare import Bare
from novapulse.engine.books import Books
from novapulse.engine.desk import Desk, Draft
from novapulse.engine.reconciler import Reconciler
from novapulse.engine.resolver import Resolver
from novapulse.engine.rows import Ticks
from novapulse.engine.trader import Trader
from novapulse.execution.planner import NotSent, Planned

Mutant = Callable[[ExitStack], None]


@contextmanager
def planted(name: str) -> Iterator[None]:
    """Plant a bug for as long as the context lasts.

    Raises:
        KeyError: There is no such mutant.
    """
    with ExitStack() as stack:
        MUTANTS[name](stack)
        yield


def _patched(stack: ExitStack, where: Any, name: str, value: Any) -> None:
    stack.enter_context(patch.object(where, name, value))


def _fresh_id_on_retry(stack: ExitStack) -> None:
    """What is not known is sent again, under a new name."""
    plain = Trader._on_submit

    def hasty(self: Trader, event: Any, draft: Draft) -> None:
        order = self.desk.order(event.client_order_id)
        plain(self, event, draft)
        if order is None or event.outcome.value != "ambiguous" or order.request.role is not Role.ENTRY:
            return
        again = replace(order.request, client_order_id=f"again-{event.client_order_id}", protection=None)
        if again.client_order_id not in self.desk.orders and not order.is_terminal:
            self.desk.slots[self.desk.row_of(order)].drains.append(again.client_order_id)
            orders.submit(self.desk, draft, again)

    stack.enter_context(patch.dict(trader._HANDLERS, {SubmitEnded: hasty}))


def _no_fill_dedupe(stack: ExitStack) -> None:
    """An execution that comes twice is booked twice."""
    plain = fills.take_fill
    known: dict[str, int] = {}

    def forgetful(desk: Desk, draft: Draft, fill: Filled) -> int | None:
        order = desk.order(fill.client_order_id, fill.venue_order_id)
        if order is not None and fill.venue_trade_id in order.fills:
            number = known[fill.venue_trade_id] = known.get(fill.venue_trade_id, 0) + 1
            if number == 1 and desk.books.positions[desk.rows[fill.instrument]].qty_units:
                row = desk.rows[fill.instrument]
                legs = desk.trade_legs(row, int(fill.side), fill.qty_units, fill.cash_units, fill.fee_units)
                desk.books.book(row, fill, order.request.role, desk.plans.get(order.request.decision_id), 0)
                draft.write("fill_booked", to_body(fill), legs)
                return row
        return plain(desk, draft, fill)

    _patched(stack, fills, "take_fill", forgetful)
    _patched(stack, fills, "_is_booked", lambda desk, fill: False)


def _send_before_intent(stack: ExitStack) -> None:
    """A request leaves, and what it was is written afterwards."""
    plain = Draft.finished

    def eager(self: Draft, ts_close_ns: int, state: bytes) -> list[Effect]:
        effects = plain(self, ts_close_ns, state)
        sent = [effect for effect in effects if isinstance(effect, Submit)]
        rest = [effect for effect in effects if not isinstance(effect, Submit)]
        return [*sent, *rest]

    _patched(stack, Draft, "finished", eager)


def _no_intent_row(stack: ExitStack) -> None:
    """Orders are sent, and the ledger never hears of their intent."""
    plain = Draft.write

    def silent(self: Draft, kind: str, body: Any, postings: Sequence[Any] = ()) -> None:
        if kind != "order_intended" or postings:
            plain(self, kind, body, postings)

    _patched(stack, Draft, "write", silent)


def _cancel_ack_is_the_end(stack: ExitStack) -> None:
    """A cancel that was taken counts as an order that has ended."""
    plain = Trader._on_cancel

    def trusting(self: Trader, event: Any, draft: Draft) -> None:
        order = self.desk.orders.get(event.client_order_id)
        if order is not None and event.outcome.value == "accepted":
            ended = Seen(event.client_order_id, "", VenueState.CANCELED, order.filled_units, draft.ts_ns)
            self.desk.learn(draft, ended)
        plain(self, event, draft)

    stack.enter_context(patch.dict(trader._HANDLERS, {CancelEnded: trusting}))


def _timeout_is_rejection(stack: ExitStack) -> None:
    """No answer counts as a refusal."""

    def certain(name: str, attempt: int, text: str = "") -> Refused:
        return Refused(name, attempt, "timeout", text)

    _patched(stack, trader, "Unclear", certain)


def _cursor_ahead(stack: ExitStack) -> None:
    """The cursor moves although not everything behind it was booked."""
    plain = Reconciler.take

    def hasty(self: Reconciler, draft: Draft, snapshot: Any) -> None:
        plain(self, draft, replace(snapshot, fills=snapshot.fills[:-1]))

    _patched(stack, Reconciler, "take", hasty)


def _stop_loosened(stack: ExitStack) -> None:
    """A stop follows the price in both directions."""
    plain = protection._follow_stop

    def loose(desk: Desk, draft: Draft, row: int, bracket: Order) -> None:
        position, known = desk.books.positions[row], bracket.terms
        if known.stop_units and not desk.slots[row].leaving_ns and position.bars_held in (3, 7, 11):
            record = desk.books.records[row]
            away = known.stop_units - int(position.direction) * 5 * int(record.tick_units)
            if away > 0:
                changes.amend(desk, draft, bracket, replace(known, stop_units=away))
                return
        plain(desk, draft, row, bracket)

    _patched(stack, protection, "_follow_stop", loose)


def _no_start_reconciliation(stack: ExitStack) -> None:
    """A trader that was started trades on at once, and asks nobody what happened meanwhile."""

    def trusting(self: Reconciler, draft: Draft) -> None:
        self.desk.ready = True

    _patched(stack, Reconciler, "start", trusting)


def _hold_never_released(stack: ExitStack) -> None:
    """What an entry reserved stays reserved."""
    plain = Desk.release

    def keeps(self: Desk, order: Order, leaves_units: int) -> tuple[Any, ...]:
        before = dict(self.holds)
        legs = plain(self, order, leaves_units)
        if leaves_units <= 0 and legs:
            self.holds = before
            return ()
        return legs

    _patched(stack, Desk, "release", keeps)


def _cumulative_as_delta(stack: ExitStack) -> None:
    """A cumulative quantity is added to what was seen before."""
    plain = known_facts.KnownFacts._take_seen

    def adding(self: Any, fact: Seen) -> bool:
        if fact.filled_units and self.seen_units:
            fact = replace(fact, filled_units=self.seen_units + fact.filled_units)
        return plain(self, fact)

    stack.enter_context(patch.dict(known_facts._TAKE, {Seen: adding}))


def _notional_check_skipped(stack: ExitStack) -> None:
    """An entry says nothing of what its position may be worth."""
    _patched(stack, orders, "_notional_max", lambda desk, row: 0)


def _absence_at_once(stack: ExitStack) -> None:
    """One list that does not hold an order proves that there is none."""

    def hasty(self: Resolver, draft: Draft, order: Order, inquiry: Any) -> None:
        if not order.venue_order_id:
            self.desk.learn(draft, AbsenceProved(order.client_order_id))

    _patched(stack, Resolver, "_absent", hasty)


def _attempt_unwritten(stack: ExitStack) -> None:
    """The intent is written, the attempt is not: a crash takes what was sent for something that never left."""
    plain = Draft.write

    def silent(self: Draft, kind: str, body: Any, postings: Sequence[Any] = ()) -> None:
        if kind != "order_attempted":
            plain(self, kind, body, postings)

    _patched(stack, Draft, "write", silent)


def _state_without_commit(stack: ExitStack) -> None:
    """What a trader wants is done before the commit that it needs."""
    plain = Draft.finished

    def eager(self: Draft, ts_close_ns: int, state: bytes) -> list[Effect]:
        effects = plain(self, ts_close_ns, state)
        commits = [effect for effect in effects if isinstance(effect, Commit)]
        return [*(effect for effect in effects if not isinstance(effect, Commit)), *commits]

    _patched(stack, Draft, "finished", eager)


def _reopened_for_nothing(stack: ExitStack) -> None:
    """An order that is alive after all reserves nothing again."""
    _patched(stack, Desk, "_hold_again", lambda self, order: ())


def _never_armed_again(stack: ExitStack) -> None:
    """A position without a stop says why it has none, and gets none."""

    def explains(desk: Desk, draft: Draft, row: int) -> None:
        protection._explain(desk, draft, row, Bare.REARMED)

    _patched(stack, protection, "_arm", explains)


def _look_ahead(stack: ExitStack) -> None:
    """Every close comes with the signals of the next bar."""
    plain = Ticks.event

    def knowing(self: Ticks, row: int, ts_ns: int) -> BarsClosed:
        event = plain(self, row, ts_ns)
        return replace(event, signals=self.signals[row + 1]) if row + 1 < len(self) else event

    _patched(stack, Ticks, "event", knowing)


def _exit_left_alone(stack: ExitStack) -> None:
    """An exit that does not close its position is not looked after."""
    _patched(stack, leaving, "look_after", lambda desk, draft, row: None)


def _exit_waits_for_an_entry(stack: ExitStack) -> None:
    """An exit waits until the entry that it takes back has ended."""
    plain = orders._planned

    def patient(desk: Desk, draft: Draft, row: int) -> Planned:
        if desk.books.intent(row) is Intent.EXIT and desk.slots[row].drains:
            return Planned(0, NotSent.WAITS_FOR_CANCEL)
        return plain(desk, draft, row)

    _patched(stack, orders, "_planned", patient)


def _losses_not_measured(stack: ExitStack) -> None:
    """The breakers never hear of the day's loss."""
    _patched(stack, ticks, "measure_losses", lambda *told: None)


def _price_always_fresh(stack: ExitStack) -> None:
    """An order follows whatever price there was last."""
    _patched(stack, orders, "is_fresh", lambda desk, ts_ns, row: True)


def _nobody_is_told(stack: ExitStack) -> None:
    """What goes wrong is written, and no alert is raised."""
    _patched(stack, Desk, "alert", lambda self, *told, **how: None)


def _late_stop_not_looked_for(stack: ExitStack) -> None:
    """A stop that is late, or that outlived its position, is left alone."""
    _patched(stack, protection, "on_timer", lambda desk, draft, row: None)


def _versions_not_compared(stack: ExitStack) -> None:
    """An execution that comes again in another version counts as known."""
    _patched(stack, fills, "_compare", lambda *told: None)


def _sent_again(stack: ExitStack) -> None:
    """What is not known is sent again under its name minutes later, as if no venue took an id twice."""
    plain = Trader._on_submit

    def stubborn(self: Trader, event: Any, draft: Draft) -> None:
        plain(self, event, draft)
        order = self.desk.order(event.client_order_id)
        if order is not None and event.outcome is Outcome.AMBIGUOUS and order.request.role is Role.EXIT:
            again.append(order)

    def later(self: Trader, event: Any, draft: Draft) -> None:
        if again and event.name.startswith("exit:"):
            order = again.pop()
            if order.request.account == self.desk.key:
                draft.then(Submit(order.request, 1))
        timed(self, event, draft)

    again: list[Order] = []
    timed = trader._HANDLERS[TimerFired]
    stack.enter_context(patch.dict(trader._HANDLERS, {SubmitEnded: stubborn, TimerFired: later}))


def _stop_stays_too_large(stack: ExitStack) -> None:
    """A stop that came with its entry is left as large as the entry had filled."""
    plain = stop_size.is_to_be_asked

    def asked(desk: Desk, draft: Draft, row: int, bracket: Order) -> bool:
        return not bracket.request.attached_to and plain(desk, draft, row, bracket)

    _patched(stack, stop_size, "is_to_be_asked", asked)


def _excess_left_alone(stack: ExitStack) -> None:
    """What was executed beyond what was held stays as it is."""
    _patched(stack, leaving, "leave_what_nobody_decided", lambda desk, draft, snapshot: None)


def _excess_is_nobodys(stack: ExitStack) -> None:
    """What was executed beyond what was held counts as somebody else's."""

    def disown(self: Books, row: int, fill: Filled, stop_distance: float) -> None:
        self.book(row, fill, Role.EXIT, None, 0)

    _patched(stack, Books, "turn", disown)


def _given_back_to_nobody(stack: ExitStack) -> None:
    """What an execution of ours had closed is somebody else's when the venue takes it back."""

    def disown(desk: Desk, draft: Draft, row: int, order: Order, fill: Filled) -> tuple[object, bool]:
        undone = replace(fill, side=Side(-fill.side), fee_units=-fill.fee_units, client_order_id="")
        return netting.book_nobodys(desk, draft, row, undone), False

    _patched(stack, netting, "give_back", disown)


def _one_bid_is_believed(stack: ExitStack) -> None:
    """What is left of a position is worth what the last quote says, however far from the last close it stands."""

    def by_the_quote(desk: Desk, row: int) -> Planned:
        held = desk.books.held_units(row)
        price = float(desk.plan(row).limit_price) or desk.price_across(row, -1 if held > 0 else 1)
        return plan_whole(desk, row, 0, held + desk.slots[row].dust_beside(held), price)

    _patched(stack, orders, "plan_exit", by_the_quote)


def _counted_twice(stack: ExitStack) -> None:
    """What opens late beside another entry at work counts once more."""
    plain = Books.book

    def eager(self: Books, row: int, fill: Filled, role: Role, plan: Any, *told: Any, **how: Any) -> Any:
        is_worked_for = self.held_units(row) == 0 and self.intent(row) is Intent.ENTRY
        is_another = plan is not None and int(plan.decision_ts_ns) != int(self.orders[row].decision_ts_ns)
        trip = plain(self, row, fill, role, plan, *told, **how)
        if role is Role.ENTRY and is_worked_for and is_another:
            self.account["positions"] += 1
        return trip

    _patched(stack, Books, "book", eager)


def _entry_ends_unsaid(stack: ExitStack) -> None:
    """What closes a position ends the rest of its entry, and nobody writes why."""

    def silent(desk: Desk, draft: Draft, row: int, fill: Filled, reason: int) -> Any:
        return desk.books.book(row, fill, Role.EXIT, None, reason)

    for module in (fills, excess, netting):
        _patched(stack, module, "book_closing", silent)


MUTANTS: dict[str, Mutant] = {
    "fresh id on retry": _fresh_id_on_retry,
    "no fill dedupe": _no_fill_dedupe,
    "send before intent": _send_before_intent,
    "no intent row": _no_intent_row,
    "cancel ack treated as terminal": _cancel_ack_is_the_end,
    "timeout treated as rejected": _timeout_is_rejection,
    "cursor ahead of fills": _cursor_ahead,
    "stop loosened": _stop_loosened,
    "no start-up reconciliation": _no_start_reconciliation,
    "hold never released": _hold_never_released,
    "cumulative taken as delta": _cumulative_as_delta,
    "notional check skipped": _notional_check_skipped,
    "absence believed at once": _absence_at_once,
    "attempt not written": _attempt_unwritten,
    "acts before its commit": _state_without_commit,
    "reopened for nothing": _reopened_for_nothing,
    "stop never armed again": _never_armed_again,
    "look ahead": _look_ahead,
    "exit left alone": _exit_left_alone,
    "stop stays too large": _stop_stays_too_large,
    "exit waits for an entry": _exit_waits_for_an_entry,
    "losses not measured": _losses_not_measured,
    "price always fresh": _price_always_fresh,
    "nobody is told": _nobody_is_told,
    "late stop not looked for": _late_stop_not_looked_for,
    "versions not compared": _versions_not_compared,
    "sent again under its name": _sent_again,
    "excess left alone": _excess_left_alone,
    "excess is nobody's": _excess_is_nobodys,
    "given back to nobody": _given_back_to_nobody,
    "one bid is believed": _one_bid_is_believed,
    "counted twice": _counted_twice,
    "entry ends unsaid": _entry_ends_unsaid,
}
"""Name -> the bug: the twelve that were asked for, then some more."""
