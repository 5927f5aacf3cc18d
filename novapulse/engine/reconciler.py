"""Compares what we believe with what the venue shows, at the start, in rhythm, and whenever something may be missed.

Invariants:
- a snapshot that could not be read whole is no data: nothing is concluded from it, and it is read again;
- until the first comparison after a start is clean, no new risk is taken;
- the cursor moves with the executions that it passed, in one commit.
"""

from novapulse.core.messages import ReadSnapshot, SetTimer, Severity, Snapshot
from novapulse.core.orders import OrderStatus
from novapulse.engine import fills
from novapulse.engine.desk import Desk, Draft
from novapulse.engine.orders import SECOND_NS
from novapulse.engine.resolver import Resolver

RETRY_S = (1, 2, 5, 10, 20, 30)
_ON_ITS_WAY = frozenset({OrderStatus.INTENT, OrderStatus.SENDING, OrderStatus.UNKNOWN})


class Reconciler:
    """The comparisons of one trader."""

    def __init__(self, desk: Desk, resolver: Resolver) -> None:
        """Begin without a comparison."""
        self.desk = desk
        self.resolver = resolver
        self.asked_ns = 0
        self.failures = 0

    def start(self, draft: Draft) -> None:
        """Ask for the first snapshot."""
        self.soon(draft, "start")

    def soon(self, draft: Draft, why: str) -> None:
        """Ask for a snapshot now, unless one is on its way."""
        if self.asked_ns:
            return
        self.asked_ns = draft.ts_ns
        draft.then(ReadSnapshot(self.desk.cursor, why))

    def on_timer(self, draft: Draft, what: str) -> None:
        """Compare again when there may be something to find."""
        if what == "retry" or what == "balances" or self._is_busy():
            self.soon(draft, what)
        if what != "retry":
            self._next(draft)

    def _is_busy(self) -> bool:
        return bool(self.desk.orders)

    def _next(self, draft: Draft) -> None:
        settings = self.desk.settings.reconciliation
        wait = settings.fills_interval_s if self._is_busy() else settings.balances_interval_s
        draft.then(SetTimer("reconcile:balances", draft.ts_ns + round(wait * SECOND_NS)))

    def failed(self, draft: Draft, text: str) -> None:
        """Read again later; what was believed stays believed, and ages."""
        self.asked_ns = 0
        self.failures += 1
        wait = RETRY_S[min(self.failures, len(RETRY_S)) - 1]
        draft.then(SetTimer("reconcile:retry", draft.ts_ns + wait * SECOND_NS))
        if self.failures == 3:
            draft.alert(Severity.WARNING, "reconcile", f"the account cannot be read: {text}")

    def take(self, draft: Draft, snapshot: Snapshot) -> None:
        """Compare with a snapshot and do what follows."""
        desk = self.desk
        self.asked_ns = self.failures = 0
        for fill in snapshot.fills:
            fills.take_fill(desk, draft, fill)
        if desk.cursor != snapshot.cursor:
            desk.cursor = snapshot.cursor
            draft.changed = True
        listed = set()
        for shown in snapshot.orders:
            order = desk.order(shown.seen.client_order_id, shown.seen.venue_order_id)
            if order is None:
                continue
            listed.add(order.client_order_id)
            desk.learn(draft, shown.seen)
        for name, order in list(desk.orders.items()):
            if name not in listed and order.status not in _ON_ITS_WAY:
                self.resolver.watch(draft, order)
        if not desk.ready:
            desk.ready = True
            self._next(draft)

    def decide_foreign(self, draft: Draft, order: str, verb: str) -> tuple[bool, str]:
        """Let an operator say whose an order of the venue is."""
        return False, f"no foreign order {order!r} is known"
