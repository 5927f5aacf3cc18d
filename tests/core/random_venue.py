"""A venue that lives an order at random, and the facts that a trader may hear of it."""

import random
from collections.abc import Iterator

from novapulse.core.order_fold import Order
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
    Refused,
    Seen,
    Side,
    Terms,
    Unclear,
    VenueState,
)
from tests.core.order_stories import (
    CANCELED,
    CID,
    DONE,
    HELD,
    LIVE,
    MAY_BE_AMENDED,
    MAY_BE_CANCELED,
    fill,
    intended,
    seen,
    stand_in,
)


class RandomVenue:
    """Tells the life of one order the way a faulty venue and a busy trader would."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.told: list[tuple[float, Fact]] = []
        self.step = 0.0
        self.cum = 0
        self.filled: list[str] = []
        self.terms = Terms(10, 100)
        self.cancels = 0
        self.amendments = 0
        self.last_word: VenueState | None = None
        self.side = Side.BUY

    def chance(self, probability: float) -> bool:
        return self.rng.random() < probability

    def ours(self, fact: Fact) -> None:
        self.step += 1.0
        self.told.append((self.step, fact))

    def theirs(self, fact: Fact, lost: float = 0.1) -> None:
        self.step += 1.0
        if self.chance(lost):
            return
        self.told.append((self.step + self.rng.choice((0.0, 0.0, 2.5, 6.5, 30.5)), fact))
        if self.chance(0.2):
            self.told.append((self.step + self.rng.uniform(0, 20), fact))

    def facts(self) -> list[Fact]:
        return [fact for _, fact in sorted(self.told, key=lambda each: each[0])]

    def live(self) -> list[Fact]:
        is_bracket = self.chance(0.15)
        self.ours(HELD if is_bracket else intended())
        if self.chance(0.05):
            self.ours(AbsenceProved(CID, True))
            return self.facts()
        if not is_bracket:
            self.ours(Attempted(CID, 1, 1))
        placed = is_bracket or self.answer()
        if placed:
            self.side = Side.SELL if is_bracket else Side.BUY
            self.work()
        if self.chance(0.2):
            raised = self.rng.uniform(0, self.step + 1)
            self.told.append((raised, DisputeRaised(CID, "an operator doubts it")))
            self.told.append((raised + self.rng.uniform(0, 5), DisputeSettled(CID, ("an operator doubts it",))))
        elif self.chance(0.3):
            self.ours(DisputeSettled(CID))
        return self.facts()

    def answer(self) -> bool:
        how = self.rng.choice(("ack", "ack", "ack", "refused", "unclear", "unclear", "silence"))
        if how == "refused":
            self.ours(Refused(CID, 1, "funds"))
            return self.chance(0.2)
        placed = how == "ack" or self.chance(0.7)
        if how == "ack":
            self.theirs(Acked(CID, "V1"))
        if how == "unclear":
            self.ours(Unclear(CID, 1))
            if self.chance(0.2):
                self.ours(Attempted(CID, 2, 2))
                self.ours(self.rng.choice((Unclear(CID, 2), Refused(CID, 2, "duplicate"))))
            if not placed or self.chance(0.1):
                self.ours(AbsenceProved(CID))
                if self.chance(0.3):
                    self.theirs(Refused(CID, 1, "late"))
                    self.theirs(Refused(CID, 2, "late"))
        return placed

    def work(self) -> None:
        self.theirs(seen(LIVE, 0, self.ns(), self.maybe_terms()))
        for _ in range(self.rng.randrange(8)):
            if self.last_word is not None:
                break
            self.rng.choice((self.execute, self.execute, self.cancel, self.amend, self.doubt, self.report))()
        if self.chance(0.7):
            self.end()

    def ns(self) -> int:
        return int(self.step) + 10

    def maybe_terms(self) -> Terms | None:
        return self.terms if self.chance(0.5) else None

    def execute(self) -> None:
        left = self.terms.qty_units - self.cum
        if left <= 0:
            return
        qty = left if self.chance(0.3) else self.rng.randint(1, left)
        self.cum += qty
        self.filled.append(f"t{len(self.filled)}")
        self.theirs(fill(self.filled[-1], qty, side=self.side), lost=0.15)
        if self.chance(0.8):
            self.theirs(seen(LIVE, self.cum, self.ns()))

    def report(self) -> None:
        self.theirs(seen(LIVE, self.cum, self.ns(), self.maybe_terms()))
        if self.chance(0.2) and self.cum and self.side is Side.BUY:
            self.ours(stand_in(self.cum, self.cum))

    def cancel(self) -> None:
        self.cancels += 1
        self.ours(CancelAsked(CID, self.cancels))
        if self.chance(0.4):
            self.theirs(CancelRefused(CID, self.cancels))
        elif self.chance(0.5):
            self.end()

    def amend(self) -> None:
        self.amendments += 1
        wanted = Terms(self.rng.choice((6, 10, 14)), 100 + self.amendments)
        self.ours(AmendAsked(CID, self.amendments, wanted))
        if self.chance(0.3):
            self.theirs(AmendRefused(CID, self.amendments))
            if self.chance(0.9):
                return
        self.terms = wanted
        if self.chance(0.8):
            self.theirs(AmendDone(CID, self.amendments))
        self.theirs(seen(LIVE, self.cum, self.ns(), self.terms))

    def doubt(self) -> None:
        if self.filled and self.chance(0.3):
            self.theirs(Busted(CID, self.rng.choice(self.filled)))
        elif self.filled and self.chance(0.2):
            self.theirs(fill(self.filled[-1], 3, price=77, side=self.side))
        elif self.chance(0.1):
            self.theirs(Acked(CID, "V2"))
        elif self.chance(0.1):
            self.theirs(fill("extra", 20, side=self.side))

    def end(self) -> None:
        whole = self.cum >= self.terms.qty_units
        others = (CANCELED, VenueState.EXPIRED, VenueState.REPLACED, VenueState.REJECTED)
        if self.last_word is None or self.chance(0.1):
            self.last_word = DONE if whole else self.rng.choice(others)
        self.theirs(seen(self.last_word, self.cum, self.ns()))
        if self.chance(0.15):
            self.execute()


def walk(seed: int) -> Iterator[tuple[Order, Fact]]:
    """Yield an order after every fact of a random life whose trader asks nothing of what has ended."""
    order = Order(CID)
    unasked: set[object] = set()
    for fact in RandomVenue(random.Random(seed)).live():
        about = _question(fact)
        may_be = MAY_BE_CANCELED if isinstance(fact, CancelAsked) else MAY_BE_AMENDED
        if isinstance(fact, CancelAsked | AmendAsked) and order.undisputed_status not in may_be:
            unasked |= about
        if unasked.isdisjoint(about):
            order.add(fact)
            yield order, fact


def _question(fact: Fact) -> set[object]:
    if isinstance(fact, CancelAsked | CancelRefused):
        return {("cancel", fact.attempt)}
    if isinstance(fact, AmendAsked):
        return {("amend", fact.amendment), fact.terms}
    if isinstance(fact, AmendDone | AmendRefused):
        return {("amend", fact.amendment)}
    return {fact.terms} if isinstance(fact, Seen) and fact.terms is not None else set()
