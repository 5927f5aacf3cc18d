"""What is known about one order: the facts, joined so that neither their order nor their repetition matters.

Invariants:
- facts join by union and maximum; nothing that was learnt is forgotten;
- a fact for which `add` returns False left no trace: what was recorded rebuilds the same knowledge;
- our own facts are never contradictory: one request per order, one set of terms per amendment.
"""

from collections.abc import Callable
from typing import Any

from novapulse.core.amendments import Amendments
from novapulse.core.executions import Executions
from novapulse.core.orders import (
    AbsenceProved,
    Acked,
    AmendAsked,
    AmendDone,
    AmendRefused,
    Attempted,
    Busted,
    CancelAsked,
    CancelRefused,
    DisputeRaised,
    DisputeSettled,
    Fact,
    Filled,
    Intended,
    OrderRequest,
    OrderStatus,
    OrderType,
    Refused,
    Seen,
    Unclear,
    VenueState,
)

# Of two last words the one with the larger number counts, whenever it was said.
_LAST_WORDS = {
    VenueState.FILLED: (5, OrderStatus.FILLED),
    VenueState.REPLACED: (4, OrderStatus.REPLACED),
    VenueState.CANCELED: (3, OrderStatus.CANCELED),
    VenueState.EXPIRED: (2, OrderStatus.EXPIRED),
    VenueState.REJECTED: (1, OrderStatus.REJECTED),
}


class KnownFacts:
    """The facts of one order, joined.

    Attributes:
        client_order_id: Ours.
        seen_units: Largest cumulative filled quantity that the venue reported.
        attempts: Number of the last attempt to send it; 0 before the first.
        cancels: Number of the last cancel request; 0 before the first.
        amendments: Number of the last amendment asked for; 0 before the first.
    """

    __slots__ = (
        "_absent",
        "_acked_ids",
        "_amends",
        "_cancels_refused",
        "_executions",
        "_ids",
        "_last_word",
        "_never_sent",
        "_raised",
        "_refused",
        "_request",
        "_seen_live",
        "_settled",
        "_tries",
        "_unclear",
        "amendments",
        "attempts",
        "cancels",
        "client_order_id",
        "seen_units",
    )

    def __init__(self, client_order_id: str) -> None:
        self.client_order_id = client_order_id
        self.seen_units = 0
        self.attempts = 0
        self.cancels = 0
        self.amendments = 0
        self._request: OrderRequest | None = None
        self._executions = Executions()
        self._amends = Amendments()
        self._tries: dict[int, int] = {}
        self._unclear: dict[int, str] = {}
        self._refused: dict[int, str] = {}
        self._ids: set[str] = set()
        self._acked_ids: set[str] = set()
        self._seen_live = False
        self._last_word: tuple[int, OrderStatus] | None = None
        self._cancels_refused: set[int] = set()
        self._absent = False
        self._never_sent = False
        self._raised: set[str] = set()
        self._settled: set[str] | None = set()

    def add(self, fact: Fact) -> bool:
        """Take in a fact of this order; False when it says nothing new."""
        assert fact.client_order_id in ("", self.client_order_id), f"{fact} was given to order {self.client_order_id}"
        return _TAKE[type(fact)](self, fact)

    # ---- one method for each fact: True when it said something new ----

    def _take_intended(self, fact: Intended) -> bool:
        assert self._request in (None, fact.request), f"order {self.client_order_id} was intended twice, differently"
        if self._request is not None:
            return False
        self._request = fact.request
        self._amends.base = fact.request.terms
        self._amends.follows_position = fact.request.kind is OrderType.BRACKET
        return True

    def _take_attempted(self, fact: Attempted) -> bool:
        if self._tries.get(fact.attempt, fact.ts_ns + 1) <= fact.ts_ns:
            return False
        self._tries[fact.attempt] = fact.ts_ns
        self.attempts = max(self.attempts, fact.attempt)
        return True

    def _take_acked(self, fact: Acked) -> bool:
        return _join(self._acked_ids, fact.venue_order_id) | _join(self._ids, fact.venue_order_id)

    def _take_refused(self, fact: Refused) -> bool:
        text = f"{fact.code}: {fact.text}" if fact.text else fact.code
        return _keep_least(self._refused, fact.attempt, text)

    def _take_unclear(self, fact: Unclear) -> bool:
        return _keep_least(self._unclear, fact.attempt, fact.text)

    def _take_seen(self, fact: Seen) -> bool:
        changed = _join(self._ids, fact.venue_order_id) if fact.venue_order_id else False
        if fact.filled_units > self.seen_units:
            self.seen_units = fact.filled_units
            changed = True
        if fact.terms is not None:
            changed |= self._amends.show(fact.terms, fact.ts_event_ns)
        if fact.state is VenueState.LIVE:
            changed |= not self._seen_live
            self._seen_live = True
            return changed
        word = _LAST_WORDS[fact.state]
        if self._last_word is None or word[0] > self._last_word[0]:
            self._last_word = word
            changed = True
        return changed

    def _take_filled(self, fact: Filled) -> bool:
        named = bool(fact.venue_order_id) and not fact.provisional and _join(self._ids, fact.venue_order_id)
        return self._executions.add(fact) | named

    def _take_busted(self, fact: Busted) -> bool:
        return self._executions.bust(fact.venue_trade_id)

    def _take_cancel_asked(self, fact: CancelAsked) -> bool:
        changed = fact.attempt > self.cancels
        self.cancels = max(self.cancels, fact.attempt)
        return changed

    def _take_cancel_refused(self, fact: CancelRefused) -> bool:
        return _join(self._cancels_refused, fact.attempt)

    def _take_amend_asked(self, fact: AmendAsked) -> bool:
        known = self._amends.asked.get(fact.amendment)
        assert known in (None, fact.terms), f"amendment {fact.amendment} was asked differently: {fact.terms}"
        self._amends.asked[fact.amendment] = fact.terms
        self.amendments = max(self.amendments, fact.amendment)
        return known is None

    def _take_amend_done(self, fact: AmendDone) -> bool:
        return _join(self._amends.done, fact.amendment)

    def _take_amend_refused(self, fact: AmendRefused) -> bool:
        return _join(self._amends.refused, fact.amendment)

    def _take_absence_proved(self, fact: AbsenceProved) -> bool:
        changed = not (self._never_sent if fact.never_sent else self._absent)
        self._never_sent |= fact.never_sent
        self._absent |= not fact.never_sent
        return changed

    def _take_dispute_raised(self, fact: DisputeRaised) -> bool:
        return _join(self._raised, fact.dispute)

    def _take_dispute_settled(self, fact: DisputeSettled) -> bool:
        if self._settled is None or (fact.disputes and self._settled.issuperset(fact.disputes)):
            return False
        self._settled = self._settled.union(fact.disputes) if fact.disputes else None
        return True


def _join(known: set[Any], one: object) -> bool:
    if one in known:
        return False
    known.add(one)
    return True


def _keep_least(known: dict[int, str], number: int, text: str) -> bool:
    if number in known and known[number] <= text:
        return False
    known[number] = text
    return True


_TAKE: dict[type[Fact], Callable[[KnownFacts, Any], bool]] = {
    Intended: KnownFacts._take_intended,
    Attempted: KnownFacts._take_attempted,
    Acked: KnownFacts._take_acked,
    Refused: KnownFacts._take_refused,
    Unclear: KnownFacts._take_unclear,
    Seen: KnownFacts._take_seen,
    Filled: KnownFacts._take_filled,
    Busted: KnownFacts._take_busted,
    CancelAsked: KnownFacts._take_cancel_asked,
    CancelRefused: KnownFacts._take_cancel_refused,
    AmendAsked: KnownFacts._take_amend_asked,
    AmendDone: KnownFacts._take_amend_done,
    AmendRefused: KnownFacts._take_amend_refused,
    AbsenceProved: KnownFacts._take_absence_proved,
    DisputeRaised: KnownFacts._take_dispute_raised,
    DisputeSettled: KnownFacts._take_dispute_settled,
}
