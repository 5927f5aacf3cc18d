"""Compares what we believe with what the venue shows: at the start, in rhythm, and whenever something may be missed.

Invariants:
- a snapshot that could not be read whole is no data: nothing is concluded from it, and it is read again;
- until a comparison leaves nothing that freezes the account, no new risk is taken;
- the cursor moves with the executions that it passed, in one commit;
- a break is opened and cleared by records, over restarts as well; what it touches is gated for exactly as long;
- a difference that is not compared because something happens to it is not over;
- what an operator ignores counts again when it grows or turns;
- the venue's clock is read with its account: a slow reading makes no skew, and hides none that it proves.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from novapulse.core.messages import ReadSnapshot, SetTimer, Severity, Snapshot
from novapulse.core.orders import OrderStatus, Role, VenueState
from novapulse.engine import doubles, fills, leaving
from novapulse.engine.changes import SECOND_NS
from novapulse.engine.desk import Desk, Draft
from novapulse.engine.resolutions import Resolutions
from novapulse.engine.resolver import Resolver
from novapulse.engine.viewing import is_same, is_same_money, still_differs, view_of
from novapulse.reconciliation.breaks import Break, BreakClass, readings_of
from novapulse.reconciliation.compare import reconcile, unreachable
from novapulse.reconciliation.resolve import Policy, resolve

RETRY_S = (1, 2, 5, 10, 20, 30)
SECOND_READING_S = 5
ANSWER_S = 15
"""How long a snapshot may take before it counts as not read: never less than a request may."""

SHARP_NS = SECOND_NS // 2
"""A reading that took longer than this cannot show that the clocks agree, only that they do not."""

FAILURES_THAT_FREEZE = 2
ASSERT_EVERY_NS = 3600 * SECOND_NS
_ANSWER_MAX_NS = 60 * SECOND_NS


class Reconciler:
    """The comparisons of one trader."""

    def __init__(self, desk: Desk, resolver: Resolver) -> None:
        """Begin without a comparison."""
        self.desk = desk
        self.resolutions = Resolutions(desk, resolver)
        self.asked_ns = 0
        self.next_ns = 0
        self.failures = 0
        self.answer_ns = round(max(ANSWER_S, desk.settings.submit_deadline_s) * SECOND_NS)
        settings = desk.settings.reconciliation
        self.policy = Policy(settings.account_is_exclusive, settings.readings_min)

    def start(self, draft: Draft) -> None:
        """Ask for the first snapshot."""
        self.asked_ns = 0
        self.soon(draft, "start")
        self._next(draft)

    def soon(self, draft: Draft, why: str) -> None:
        """Ask for a snapshot now, unless one is on its way."""
        if self.asked_ns and draft.ts_ns - self.asked_ns < _ANSWER_MAX_NS:
            return
        self.asked_ns = max(draft.ts_ns, 1)
        draft.then(ReadSnapshot(self.desk.cursor, why))
        draft.then(SetTimer("reconcile:answer", draft.ts_ns + self.answer_ns))

    def on_timer(self, draft: Draft, what: str) -> None:
        """Compare again; what runs in rhythm sets its next time. An answer that never came is a failed reading."""
        if what == "answer":
            if self.asked_ns and draft.ts_ns - self.asked_ns >= self.answer_ns:
                self.failed(draft, "no answer came back")
            return
        self.soon(draft, what)
        if what == "rhythm":
            self._next(draft)

    def hurry(self, draft: Draft) -> None:
        """Bring the next comparison forward when an order has come out since it was set."""
        if self.next_ns - draft.ts_ns > self._wait_ns():
            self._next(draft)

    def _next(self, draft: Draft) -> None:
        self.next_ns = draft.ts_ns + self._wait_ns()
        draft.then(SetTimer("reconcile:rhythm", self.next_ns))

    def _wait_ns(self) -> int:
        # Nothing of ours can be executed while no order is out: then only others can have changed something.
        settings = self.desk.settings.reconciliation
        if any(slot.turned for slot in self.desk.slots):
            return round(settings.orders_interval_s * SECOND_NS)
        wait_s = settings.balances_interval_s
        for order in self.desk.orders.values():
            if order.status is OrderStatus.UNKNOWN or (order.is_live and order.request.role is not Role.PROTECT):
                return round(settings.orders_interval_s * SECOND_NS)
            if order.is_live:
                wait_s = settings.fills_interval_s
        return round(wait_s * SECOND_NS)

    def _answered(self, draft: Draft) -> None:
        self.asked_ns = 0
        draft.then(SetTimer("reconcile:answer", 0))

    def failed(self, draft: Draft, text: str) -> None:
        """Read again later; what was believed stays believed, and ages."""
        self._answered(draft)
        self.failures += 1
        wait = RETRY_S[min(self.failures, len(RETRY_S)) - 1]
        draft.then(SetTimer("reconcile:retry", draft.ts_ns + wait * SECOND_NS))
        if self.failures == FAILURES_THAT_FREEZE:
            self._unreadable(draft, unreachable(view_of(self.desk, draft.ts_ns), text, draft.ts_ns))
            self.desk.alert(draft, Severity.WARNING, "reconcile", f"the account cannot be read: {text}")

    def _unreadable(self, draft: Draft, lost: Sequence[Break]) -> None:
        self.desk.ready = False
        self.desk.frozen = lost[0].text
        self._open(draft, lost, keep=True)

    def take(self, draft: Draft, snapshot: Snapshot) -> None:
        """Compare with a snapshot and do what follows."""
        desk = self.desk
        self._answered(draft)
        self.failures = 0
        desk.alert_over(draft, "reconcile", "the account can be read again")
        self._measure_clock(draft, snapshot)
        are_booked = fills.take_all(desk, draft, snapshot.fills)
        for shown in snapshot.orders:
            order = desk.order(shown.seen.client_order_id, shown.seen.venue_order_id)
            if order is not None and order.client_order_id in desk.orders:
                seen = shown.seen
                if seen.client_order_id != order.client_order_id:
                    seen = replace(seen, client_order_id=order.client_order_id)
                desk.learn(draft, seen)
                if seen.state is VenueState.LIVE and doubles.is_extra(order, seen.venue_order_id):
                    desk.extras_asked.discard(seen.venue_order_id)
        has_moved = desk.cursor != snapshot.cursor
        if has_moved:
            desk.cursor = snapshot.cursor
            draft.changed = draft.told = True
        breaks: list[Break] = []
        agrees = is_same(desk, snapshot, draft.ts_ns, are_booked=are_booked)
        if not agrees:
            breaks = reconcile(view_of(desk, draft.ts_ns), snapshot, draft.ts_ns)
        if any(found.kind is BreakClass.VENUE_UNREACHABLE for found in breaks):
            self._unreadable(draft, breaks)
            draft.then(SetTimer("reconcile:retry", draft.ts_ns + SECOND_READING_S * SECOND_NS))
            return
        passed_over = [] if agrees else self._passed_over(snapshot, breaks)
        self._open(draft, (*breaks, *passed_over))
        self._forget_ignored(draft)
        self.resolutions.begin()
        for found in breaks:
            if found.key not in desk.ignored:
                self.resolutions.apply(draft, found, resolve(found, self.policy))
                if found.is_blocking and found.readings >= self.policy.readings_min:
                    desk.alert(draft, found.rule.severity, f"break:{found.key}", found.text)
        self._restrict(draft, (*breaks, *passed_over))
        leaving.leave_what_nobody_decided(desk, draft, snapshot)
        if agrees or is_same_money(desk, snapshot, are_booked=are_booked):
            # Behind a cursor that stands still the same executions come again, and have to be known then.
            desk.fills_since_clean = 0 if has_moved else desk.fills_since_clean
            desk.clean_cursor = desk.cursor
        if agrees:
            self._assert_balances(draft, snapshot)

    def _measure_clock(self, draft: Draft, snapshot: Snapshot) -> None:
        # The venue told its time at some moment of the reading: only what lies outside of the reading is skew.
        if snapshot.venue_ns is None:
            self.desk.measured(draft, "clock_skew", None)
            return
        least, most = sorted((snapshot.began_ns - snapshot.venue_ns, snapshot.ended_ns - snapshot.venue_ns))
        proven = max(least, 0) + min(most, 0)
        if proven or most - least <= SHARP_NS:
            self.desk.measured(draft, "clock_skew", proven / 1e6)

    def _open(self, draft: Draft, breaks: Sequence[Break], *, keep: bool = False) -> None:
        desk = self.desk
        now = {found.key: found for found in breaks}
        for key, found in now.items():
            if key not in desk.breaks_recorded:
                draft.write("break_found", body_of(found))
                desk.breaks_recorded.add(key)
        for key in sorted(desk.breaks_recorded - now.keys()) if not keep else ():
            self._over(draft, key, "what we have and what the venue shows agree again")
        if keep:
            now = {**desk.breaks, **now}
        if now or desk.breaks:
            draft.changed = draft.told = True
        desk.breaks = now
        desk.readings = readings_of(now.values())

    def _over(self, draft: Draft, key: str, text: str) -> None:
        draft.write("break_resolved", {"key": key})
        self.desk.breaks_recorded.discard(key)
        self.desk.alert_over(draft, f"break:{key}", text)

    def _passed_over(self, snapshot: Snapshot, breaks: Sequence[Break]) -> list[Break]:
        # Balances that something has just happened to are not compared: what differed in them before still does.
        compared = {found.asset for found in breaks}
        known = (*self.desk.breaks.values(), *self._of_an_earlier_life())
        return [
            found
            for found in known
            if found.subject == found.asset
            and found.asset not in compared
            and still_differs(self.desk, snapshot, found.asset)
        ]

    def _of_an_earlier_life(self) -> Iterator[Break]:
        # A restart remembers which differences were found, not what they were.
        desk = self.desk
        for key in sorted(desk.breaks_recorded - desk.breaks.keys()):
            kind, _, asset = key.partition(":")
            touched = tuple(desk.keys[row] for row, one in enumerate(desk.instruments) if one.base == asset)
            text = f"{asset} differed before the trader was started anew"
            yield Break(BreakClass(kind), asset, text, instruments=touched, asset=asset)

    def _forget_ignored(self, draft: Draft) -> None:
        # What was lived with was a difference of its size: another one in the same place is news.
        desk = self.desk
        for key, units in list(desk.ignored.items()):
            found = desk.breaks.get(key)
            if found is None or abs(found.diff_units) > abs(units) or found.diff_units * units < 0:
                del desk.ignored[key]
                draft.changed = draft.told = True
                if found is not None:
                    draft.write("break_found", body_of(found))

    def _restrict(self, draft: Draft, breaks: Sequence[Break]) -> None:
        desk, asked = self.desk, self.resolutions
        blocking = [found for found in breaks if found.is_blocking and found.key not in desk.ignored]
        for found in blocking:
            asked.gate(found)
        desk.ready = not asked.frozen
        desk.frozen = asked.frozen
        for row, slot in enumerate(desk.slots):
            slot.gate = asked.gates.get(desk.keys[row], "")
        desk.measured(draft, "fatal_breaks", float(asked.fatal))
        if blocking:
            self._look_again(draft, min(found.readings for found in blocking))

    def _look_again(self, draft: Draft, readings: int) -> None:
        # Soon until something can be done about it, then ever less often: the rhythm goes on beside it.
        wait_ns = (SECOND_READING_S * SECOND_NS) << min(max(readings - self.policy.readings_min, 0), 8)
        if wait_ns < self._wait_ns():
            draft.then(SetTimer("reconcile:retry", draft.ts_ns + wait_ns))

    def _assert_balances(self, draft: Draft, snapshot: Snapshot) -> None:
        desk = self.desk
        if desk.asserted_ns and draft.ts_ns - desk.asserted_ns < ASSERT_EVERY_NS:
            return
        desk.asserted_ns = draft.ts_ns
        body = {asset: units for asset, units in sorted(snapshot.balances.items()) if asset in desk.scales}
        draft.write("balance_asserted", {"balances": body, "began_ns": snapshot.began_ns})

    def decide_foreign(self, draft: Draft, subject: str, verb: str) -> tuple[bool, str]:
        """Let an operator end a break: `adopt` books it as it is, `ignore` lives with it.

        Returns:
            Whether it was done, and a sentence.
        """
        desk = self.desk
        found = desk.breaks.get(subject)
        if found is None:
            listed = ", ".join(sorted(desk.breaks)) or "none is open"
            return False, f"no break {subject!r}: {listed}"
        if verb == "ignore":
            desk.ignored[subject] = found.diff_units
            draft.told = True
            self.soon(draft, "a break is ignored")
            return True, f"{subject} is ignored while it lasts and does not grow: {found.text}"
        done, text = self.resolutions.adopt(draft, found)
        if done:
            del desk.breaks[subject]
            desk.readings = {key: reading for key, reading in desk.readings.items() if key != subject}
            self._over(draft, subject, text)
            self.soon(draft, "a break was adopted")
        return done, text


def body_of(found: Break) -> dict[str, object]:
    """Return a break as the body of its record."""
    return {
        "key": found.key,
        "class": found.kind.value,
        "meaning": found.rule.meaning,
        "text": found.text,
        "ours": found.ours,
        "theirs": found.theirs,
        "instruments": [[key.exchange, key.symbol] for key in found.instruments],
        "client_order_id": found.client_order_id,
        "venue_order_id": found.venue_order_id,
        "asset": found.asset,
        "diff_units": found.diff_units,
    }
