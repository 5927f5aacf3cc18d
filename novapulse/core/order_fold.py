"""An order as the fold over the facts known about it.

Invariants:
- the state is a function of the set of facts: neither their order of arrival nor their repetition changes it;
- a fact for which `add` returns False left no trace: what was recorded rebuilds the same order;
- what the venue shows outweighs what it answered, an answer outweighs proof of absence, and silence weighs nothing;
- `filled_units` falls by busts alone, `seen_units` never;
- an order has ended only by evidence, which `evidence` names: a taken cancel request is none.
"""

from collections.abc import Iterable, Mapping

from novapulse.core.known_facts import KnownFacts
from novapulse.core.orders import TERMINAL, Fact, Filled, OrderRequest, OrderStatus, Terms

AT_VENUE = frozenset(
    {
        OrderStatus.ACCEPTED,
        OrderStatus.PARTIALLY_FILLED,
        OrderStatus.CANCEL_PENDING,
        OrderStatus.REPLACE_PENDING,
        OrderStatus.SETTLING,
    }
)
"""What the venue is known to have had and what may still bring executions."""


class Order(KnownFacts):
    """One logical order, by its client order id."""

    __slots__ = ("_known", "_terms")

    def __init__(self, client_order_id: str) -> None:
        super().__init__(client_order_id)
        self._known: tuple[OrderStatus, OrderStatus, tuple[str, ...]] | None = None
        self._terms: Terms | None = None

    def add(self, fact: Fact) -> bool:
        """Take in a fact.

        An execution is booked once per `venue_trade_id`: ask `fills` before, because a second version of a known one
        says something new as well (a conflict) and moves no money.

        Args:
            fact: Of this order.

        Returns:
            True when it said something new; otherwise it left no trace and need not be recorded.
        """
        changed = super().add(fact)
        if changed:
            self._known = self._terms = None
        return changed

    # ---- what was asked ----

    @property
    def request(self) -> OrderRequest:
        """The order as it was asked for."""
        assert self._request is not None, f"order {self.client_order_id} was never intended"
        return self._request

    @property
    def is_intended(self) -> bool:
        """Whether its request is known."""
        return self._request is not None

    @property
    def terms(self) -> Terms:
        """Terms in force: the request's, as amendments were agreed and as the venue shows them."""
        if self._terms is None:
            self._terms = self._amends.terms()
        return self._terms

    @property
    def worst_units(self) -> int:
        """Quantity that risk is counted with: the larger one while an amendment is open."""
        return self._amends.worst_units()

    @property
    def first_attempt_ns(self) -> int:
        """When the first request was about to leave; 0 when none was."""
        return min(self._tries.values(), default=0)

    # ---- what came of it ----

    @property
    def venue_order_id(self) -> str:
        """The venue's id; empty while it is not known."""
        return min(self._acked_ids or self._ids, default="")

    @property
    def venue_order_ids(self) -> tuple[str, ...]:
        """All ids that the venue gave it; more than one is a dispute."""
        return tuple(sorted(self._ids))

    @property
    def fills(self) -> Mapping[str, Filled]:
        """Venue trade id -> execution: all that are known, provisional ones and those taken back included."""
        return self._executions.fills

    def is_busted(self, venue_trade_id: str) -> bool:
        """Tell whether the venue took an execution back, known here or not."""
        return venue_trade_id in self._executions.busted

    @property
    def counted_fills(self) -> tuple[Filled, ...]:
        """The real executions that stand, in the venue's order."""
        return self._executions.counted()

    @property
    def filled_units(self) -> int:
        """Quantity executed: real executions less busts, and what rests on provisional ones alone."""
        return self._executions.filled_units

    @property
    def provisional_units(self) -> int:
        """The part of `filled_units` that no real execution covers yet."""
        return self._executions.provisional_units

    def provisional_share(self, units: int) -> tuple[int, int]:
        """Return cash and fee units of the next provisional quantity that a real execution takes the place of.

        Args:
            units: At most `provisional_units`. Ask before the real execution is added.
        """
        return self._executions.provisional_share(units)

    @property
    def missing_units(self) -> int:
        """What the venue reported as filled and no execution covers."""
        return max(0, self._due_units() - self._executions.covered_units)

    @property
    def leaves_units(self) -> int:
        """Quantity that may still be booked under the terms in force; 0 when it has ended."""
        return self._left(self._amends.terms().qty_units)

    @property
    def risk_units(self) -> int:
        """Quantity that may still be booked in the worst case, an open amendment included."""
        return self._left(self._amends.worst_units())

    # ---- how it stands ----

    @property
    def status(self) -> OrderStatus:
        """Where it stands."""
        return self._judged()[0]

    @property
    def undisputed_status(self) -> OrderStatus:
        """Where it would stand without its disputes."""
        return self._judged()[1]

    @property
    def disputes(self) -> tuple[str, ...]:
        """Why it is DISPUTED: one sentence for each broken invariant that nobody settled."""
        return self._judged()[2]

    @property
    def is_terminal(self) -> bool:
        """Whether it has ended; a late execution or a bust is booked all the same."""
        return self._judged()[0] in TERMINAL

    @property
    def is_live(self) -> bool:
        """Whether the venue has it and it may still bring executions, as far as is known."""
        return self._judged()[1] in AT_VENUE

    @property
    def is_risk(self) -> bool:
        """Whether it may still bring executions: everything but what has ended and what never left."""
        status = self._judged()[0]
        if status is OrderStatus.INTENT:
            return self._request is not None and self._request.attached_to != ""
        return status not in TERMINAL

    @property
    def has_venue_evidence(self) -> bool:
        """Whether the venue ever showed that it had the order."""
        shown = self._ids or self._seen_live or self._last_word or self.seen_units
        return bool(shown or self._executions.fills or self._amends.done)

    @property
    def evidence(self) -> str:
        """Why it has ended; empty when it has not. A refusal starts with the venue's code."""
        status = self._judged()[1]
        if status not in TERMINAL:
            return ""
        if not self.has_venue_evidence:
            return self._refused[max(self._refused)] if status is OrderStatus.REJECTED else self._absence()
        if self._last_word is not None:
            return f"the venue says {self._last_word[1].value} with {self.seen_units} units filled"
        return f"executions of {self.filled_units} units cover the quantity"

    # ---- the fold ----

    def _judged(self) -> tuple[OrderStatus, OrderStatus, tuple[str, ...]]:
        if self._known is None:
            plain, disputes = self._plain_status(), self._open_disputes()
            self._known = (OrderStatus.DISPUTED if disputes else plain, plain, disputes)
        return self._known

    def _plain_status(self) -> OrderStatus:
        if not self.has_venue_evidence:
            return self._unseen_status()
        if self._request is not None and self._executions.covered_units >= self._amends.most_units():
            return OrderStatus.FILLED if self._executions.covered_units >= self.seen_units else OrderStatus.SETTLING
        if self._last_word is not None:
            status = self._last_word[1]
            if self._executions.covered_units < self._due_units():
                return OrderStatus.SETTLING
            was_executed = status is OrderStatus.REJECTED and self._executions.covered_units > 0
            return OrderStatus.CANCELED if was_executed else status
        if self._request is not None:
            reached = max(self._executions.covered_units, self.seen_units)
            # Under a quantity that was lowered, an execution may have slipped through: the venue has the last word.
            if reached >= self._amends.worst_units():
                return OrderStatus.SETTLING
        if self.cancels and self.cancels not in self._cancels_refused:
            return OrderStatus.CANCEL_PENDING
        if self._request is not None and self._amends.open_numbers():
            return OrderStatus.REPLACE_PENDING
        is_filled = self._executions.covered_units > 0 or self.seen_units > 0
        return OrderStatus.PARTIALLY_FILLED if is_filled else OrderStatus.ACCEPTED

    def _unseen_status(self) -> OrderStatus:
        tries = self._tries.keys() | self._unclear.keys() | self._refused.keys()
        if tries and tries <= self._refused.keys():
            return OrderStatus.REJECTED
        if self._absent or (self._never_sent and not tries):
            return OrderStatus.NEVER_PLACED
        if not tries:
            return OrderStatus.INTENT
        last = max(tries)
        return OrderStatus.UNKNOWN if last in self._unclear or last in self._refused else OrderStatus.SENDING

    def _due_units(self) -> int:
        # A venue that says "filled" and no quantity means the whole one.
        says_filled = self._last_word is not None and self._last_word[1] is OrderStatus.FILLED
        if says_filled and self.seen_units == 0 and self._request is not None:
            return self._amends.terms().qty_units
        return self.seen_units

    def _left(self, qty_units: int) -> int:
        status = self._judged()[1]
        if status in TERMINAL:
            return 0
        if status is OrderStatus.SETTLING and self._last_word is not None:
            return self.missing_units
        return max(0, qty_units - self.filled_units, self.missing_units)

    def _absence(self) -> str:
        return "it was never sent" if self._never_sent and not self._absent else "the venue cannot have it"

    def _open_disputes(self) -> tuple[str, ...]:
        found = set(self._raised)
        if len(self._ids) > 1:
            found.add(f"the venue has it twice: {', '.join(sorted(self._ids))}")
        found |= {f"execution {name} came in two versions" for name in self._executions.conflicts}
        if self._request is not None:
            self._find_excess(self._request, found)
        if not found or self._settled is None:
            return ()
        return tuple(sorted(found - self._settled))

    def _find_excess(self, request: OrderRequest, found: set[str]) -> None:
        most = self._amends.most_units()
        if self._executions.filled_units > most:
            found.add(f"executed {self._executions.filled_units} of {most} units")
        if self.seen_units > most:
            found.add(f"the venue filled {self.seen_units} of {most} units")
        if not self._amends.follows_position and self._amends.shown_units() > most:
            found.add(f"the venue shows {self._amends.shown_units()} units where {most} were asked for")
        for fill in self._executions.fills.values():
            if fill.side is not request.side or fill.instrument != request.instrument:
                found.add(f"execution {fill.venue_trade_id} is of another side or instrument")


def orders_of(facts: Iterable[Fact]) -> dict[str, Order]:
    """Return the orders that facts are about, by client order id; what is of no order of ours is passed over."""
    found: dict[str, Order] = {}
    for fact in facts:
        if name := fact.client_order_id:
            if (order := found.get(name)) is None:
                order = found[name] = Order(name)
            order.add(fact)
    return found
