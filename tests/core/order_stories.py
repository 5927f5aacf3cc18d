"""Lives of orders as lists of facts: named ones with a known end, and random ones as a faulty venue would tell them."""

from dataclasses import dataclass

from novapulse.core.executions import provisional_id
from novapulse.core.instruments import AccountKey, InstrumentKey
from novapulse.core.order_fold import AT_VENUE, Order
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
    Role,
    Seen,
    Side,
    Terms,
    Unclear,
    VenueState,
)

CID = "11111111-1111-8111-a111-111111111111"
ENTRY = "22222222-2222-8222-a222-222222222222"
BTC = InstrumentKey("kraken", "BTC/USD")
ACCOUNT = AccountKey("kraken", "main")
LIVE, DONE, CANCELED = VenueState.LIVE, VenueState.FILLED, VenueState.CANCELED


def request(qty: int = 10, kind: OrderType = OrderType.LIMIT, attached_to: str = "") -> OrderRequest:
    is_bracket = kind is OrderType.BRACKET
    terms = Terms(qty, 0 if is_bracket else 100, 90 if is_bracket else 0, 120 if is_bracket else 0)
    return OrderRequest(
        client_order_id=CID,
        account=ACCOUNT,
        instrument=BTC,
        decision_id="decision",
        role=Role.PROTECT if is_bracket else Role.ENTRY,
        side=Side.SELL if is_bracket else Side.BUY,
        kind=kind,
        terms=terms,
        decided_ns=1,
        reduce_only=is_bracket,
        attached_to=attached_to,
    )


def intended(qty: int = 10) -> Intended:
    return Intended(CID, request(qty))


def seen(state: VenueState, filled: int, ts_ns: int = 1, terms: Terms | None = None, venue_id: str = "V1") -> Seen:
    return Seen(CID, venue_id, state, filled, ts_ns, terms)


def fill(
    name: str, qty: int, *, price: int = 100, side: Side = Side.BUY, venue_id: str = "V1", ts_ns: int = 5
) -> Filled:
    return Filled(CID, venue_id, name, BTC, side, qty, price, qty * price, qty, 0, ts_ns)


def stand_in(cumulative: int, qty: int) -> Filled:
    return Filled(
        CID, "V1", provisional_id(CID, cumulative), BTC, Side.BUY, qty, 100, qty * 100, qty, 0, 5, provisional=True
    )


FIRST_TERMS = Terms(10, 100)


@dataclass(frozen=True)
class Story:
    facts: tuple[Fact, ...]
    status: OrderStatus
    filled: int
    terms: Terms = FIRST_TERMS


MAY_BE_AMENDED = AT_VENUE - {OrderStatus.SETTLING}
MAY_BE_CANCELED = MAY_BE_AMENDED | {OrderStatus.UNKNOWN}
SENT = (intended(), Attempted(CID, 1, 1))
OPEN = (*SENT, Acked(CID, "V1"), seen(LIVE, 0))
HELD = Intended(CID, request(10, OrderType.BRACKET, ENTRY))
SMALLER, DEARER = Terms(6, 100), Terms(10, 101)

STORIES = {
    "nothing was sent": Story((intended(),), OrderStatus.INTENT, 0),
    "an intent that was never sent": Story((intended(), AbsenceProved(CID, True)), OrderStatus.NEVER_PLACED, 0),
    "a request on its way": Story(SENT, OrderStatus.SENDING, 0),
    "a proof that nothing was sent is void where something was": Story(
        (*SENT, AbsenceProved(CID, True)), OrderStatus.SENDING, 0
    ),
    "a timeout": Story((*SENT, Unclear(CID, 1)), OrderStatus.UNKNOWN, 0),
    "a timeout, then its execution": Story(
        (*SENT, Unclear(CID, 1), fill("a", 4), seen(LIVE, 4)), OrderStatus.PARTIALLY_FILLED, 4
    ),
    "an unclear first attempt outlives the refusal of the second": Story(
        (*SENT, Unclear(CID, 1), Attempted(CID, 2, 2), Refused(CID, 2, "duplicate")), OrderStatus.UNKNOWN, 0
    ),
    "a second attempt on its way": Story((*SENT, Unclear(CID, 1), Attempted(CID, 2, 2)), OrderStatus.SENDING, 0),
    "a late refusal ends a timeout": Story((*SENT, Unclear(CID, 1), Refused(CID, 1, "funds")), OrderStatus.REJECTED, 0),
    "a partial execution, then a cancel": Story(
        (*OPEN, fill("a", 4), CancelAsked(CID, 1), seen(CANCELED, 4)), OrderStatus.CANCELED, 4
    ),
    "a late execution after the cancel": Story(
        (*OPEN, CancelAsked(CID, 1), seen(CANCELED, 0), fill("a", 3)), OrderStatus.CANCELED, 3
    ),
    "a cancel that lost the race": Story(
        (*OPEN, CancelAsked(CID, 1), fill("a", 10), seen(DONE, 10), CancelRefused(CID, 1)), OrderStatus.FILLED, 10
    ),
    "a cancel asked is no cancel done": Story((*OPEN, CancelAsked(CID, 1)), OrderStatus.CANCEL_PENDING, 0),
    "a refused cancel leaves the order": Story(
        (*OPEN, fill("a", 1), CancelAsked(CID, 1), CancelRefused(CID, 1), seen(LIVE, 1, 9)),
        OrderStatus.PARTIALLY_FILLED,
        1,
    ),
    "a second cancel is pending after the first was refused": Story(
        (*OPEN, CancelAsked(CID, 1), CancelRefused(CID, 1), CancelAsked(CID, 2)), OrderStatus.CANCEL_PENDING, 0
    ),
    "a cancel does not end what is unknown": Story(
        (*SENT, Unclear(CID, 1), CancelAsked(CID, 1)), OrderStatus.UNKNOWN, 0
    ),
    "a proof of absence": Story((*SENT, Unclear(CID, 1), AbsenceProved(CID)), OrderStatus.NEVER_PLACED, 0),
    "a wrong proof of absence": Story(
        (*SENT, Unclear(CID, 1), AbsenceProved(CID), seen(LIVE, 0)), OrderStatus.ACCEPTED, 0
    ),
    "a wrong proof of absence, filled": Story(
        (*SENT, Unclear(CID, 1), AbsenceProved(CID), fill("a", 10)), OrderStatus.FILLED, 10
    ),
    "a refusal that evidence belies": Story(
        (*SENT, Refused(CID, 1, "funds"), fill("a", 2), seen(LIVE, 2)), OrderStatus.PARTIALLY_FILLED, 2
    ),
    "a refusal": Story((*SENT, Refused(CID, 1, "funds")), OrderStatus.REJECTED, 0),
    "more executed than asked": Story((*OPEN, fill("a", 7), fill("b", 4)), OrderStatus.DISPUTED, 11),
    "more reported than asked": Story((*OPEN, seen(LIVE, 12)), OrderStatus.DISPUTED, 0),
    "a settled excess": Story(
        (*OPEN, fill("a", 7), fill("b", 4), DisputeSettled(CID, ("executed 11 of 10 units",))), OrderStatus.FILLED, 11
    ),
    "settling one dispute leaves the other": Story(
        (*OPEN, Acked(CID, "V2"), fill("a", 11), DisputeSettled(CID, ("executed 11 of 10 units",))),
        OrderStatus.DISPUTED,
        11,
    ),
    "one execution in two versions": Story((*OPEN, fill("a", 4), fill("a", 5)), OrderStatus.DISPUTED, 5),
    "one price in two versions": Story((*OPEN, fill("a", 4), fill("a", 4, price=99)), OrderStatus.DISPUTED, 4),
    "one id, two orders at the venue": Story((*OPEN, Acked(CID, "V2")), OrderStatus.DISPUTED, 0),
    "an execution of the other side": Story((*OPEN, fill("a", 4, side=Side.SELL)), OrderStatus.DISPUTED, 4),
    "more shown than asked": Story((*OPEN, seen(LIVE, 0, 3, Terms(11, 100))), OrderStatus.DISPUTED, 0, Terms(11, 100)),
    "a dispute from outside": Story((*OPEN, DisputeRaised(CID, "twice")), OrderStatus.DISPUTED, 0),
    "the venue's word waits for executions": Story((*OPEN, fill("a", 3), seen(CANCELED, 5)), OrderStatus.SETTLING, 3),
    "all is filled and not all is booked": Story((*OPEN, fill("a", 3), seen(LIVE, 10)), OrderStatus.SETTLING, 3),
    "filled without a quantity waits for all of it": Story(
        (*OPEN, fill("a", 3), seen(DONE, 0)), OrderStatus.SETTLING, 3
    ),
    "a stale list after the end": Story(
        (*OPEN, fill("a", 10), seen(DONE, 10, 5), seen(LIVE, 0, 9)), OrderStatus.FILLED, 10
    ),
    "a rejection after executions": Story((*OPEN, fill("a", 3), seen(VenueState.REJECTED, 3)), OrderStatus.CANCELED, 3),
    "expired": Story((*OPEN, seen(VenueState.EXPIRED, 0)), OrderStatus.EXPIRED, 0),
    "replaced by another order": Story((*OPEN, fill("a", 3), seen(VenueState.REPLACED, 3)), OrderStatus.REPLACED, 3),
    "replaced, executions to come": Story((*OPEN, seen(VenueState.REPLACED, 3)), OrderStatus.SETTLING, 0),
    "an execution taken back": Story((*OPEN, fill("a", 10), seen(DONE, 10), Busted(CID, "a")), OrderStatus.FILLED, 0),
    "an execution corrected": Story(
        (*OPEN, fill("a", 10), Busted(CID, "a"), fill("a2", 10, price=99)), OrderStatus.FILLED, 10
    ),
    "a stand-in for executions": Story((*OPEN, stand_in(5, 5), seen(CANCELED, 5)), OrderStatus.CANCELED, 5),
    "a stand-in gives way bit by bit": Story(
        (*OPEN, stand_in(5, 5), seen(CANCELED, 5), fill("a", 2)), OrderStatus.CANCELED, 5
    ),
    "a stand-in gives way": Story(
        (*OPEN, stand_in(5, 5), seen(CANCELED, 5), fill("a", 2), fill("b", 3)), OrderStatus.CANCELED, 5
    ),
    "two stand-ins, one covered": Story(
        (*OPEN, stand_in(5, 5), stand_in(8, 3), fill("a", 6), seen(LIVE, 8)), OrderStatus.PARTIALLY_FILLED, 8
    ),
    "an amendment on its way": Story((*OPEN, AmendAsked(CID, 1, DEARER)), OrderStatus.REPLACE_PENDING, 0),
    "an amendment that was taken": Story(
        (*OPEN, AmendAsked(CID, 1, DEARER), AmendDone(CID, 1)), OrderStatus.ACCEPTED, 0, DEARER
    ),
    "an amendment that was refused": Story(
        (*OPEN, AmendAsked(CID, 1, DEARER), AmendRefused(CID, 1)), OrderStatus.ACCEPTED, 0
    ),
    "an unclear amendment, shown": Story(
        (*OPEN, AmendAsked(CID, 1, DEARER), seen(LIVE, 0, 9, DEARER)), OrderStatus.ACCEPTED, 0, DEARER
    ),
    "an unclear amendment, the old terms shown": Story(
        (*OPEN, AmendAsked(CID, 1, DEARER), seen(LIVE, 0, 9, Terms(10, 100))), OrderStatus.REPLACE_PENDING, 0
    ),
    "there and back: old terms prove nothing": Story(
        (
            *OPEN,
            seen(LIVE, 0, 2, Terms(10, 100)),
            AmendAsked(CID, 1, DEARER),
            AmendDone(CID, 1),
            AmendAsked(CID, 2, Terms(10, 100)),
        ),
        OrderStatus.REPLACE_PENDING,
        0,
        DEARER,
    ),
    "there and back, shown": Story(
        (
            *OPEN,
            AmendAsked(CID, 1, DEARER),
            seen(LIVE, 0, 3, DEARER),
            AmendAsked(CID, 2, Terms(10, 100)),
            seen(LIVE, 0, 4, Terms(10, 100)),
        ),
        OrderStatus.ACCEPTED,
        0,
    ),
    "amended below what is filled": Story(
        (*OPEN, fill("a", 8), AmendAsked(CID, 1, SMALLER), AmendDone(CID, 1)), OrderStatus.SETTLING, 8, SMALLER
    ),
    "amended below what is filled, and ended": Story(
        (*OPEN, fill("a", 8), AmendAsked(CID, 1, SMALLER), AmendDone(CID, 1), seen(CANCELED, 8)),
        OrderStatus.CANCELED,
        8,
        SMALLER,
    ),
    "amended down and filled": Story(
        (*OPEN, AmendAsked(CID, 1, SMALLER), AmendDone(CID, 1), fill("a", 6), seen(DONE, 6)),
        OrderStatus.FILLED,
        6,
        SMALLER,
    ),
    "amended up and filled": Story(
        (*OPEN, AmendAsked(CID, 1, Terms(14, 100)), AmendDone(CID, 1), fill("a", 14)),
        OrderStatus.FILLED,
        14,
        Terms(14, 100),
    ),
    "filled to the old quantity while a larger one is asked for": Story(
        (*OPEN, AmendAsked(CID, 1, Terms(14, 100)), fill("a", 10)), OrderStatus.REPLACE_PENDING, 10
    ),
    "a bracket that waits for its entry": Story((HELD,), OrderStatus.INTENT, 0, HELD.request.terms),
    "a bracket that the venue made and moved": Story(
        (HELD, seen(LIVE, 0, 2, Terms(4, 0, 89, 121)), seen(LIVE, 0, 3, Terms(7, 0, 91, 121))),
        OrderStatus.ACCEPTED,
        0,
        Terms(7, 0, 91, 121),
    ),
    "a bracket whose stop was moved while it grew": Story(
        (
            HELD,
            seen(LIVE, 0, 2, Terms(4, 0, 89, 121)),
            AmendAsked(CID, 1, Terms(4, 0, 95, 121)),
            AmendDone(CID, 1),
            seen(LIVE, 0, 3, Terms(7, 0, 89, 121)),
        ),
        OrderStatus.ACCEPTED,
        0,
        Terms(7, 0, 95, 121),
    ),
    "a bracket that was touched": Story(
        (HELD, seen(LIVE, 0, 2, Terms(7, 0, 89, 121)), fill("a", 7, side=Side.SELL), seen(DONE, 7, 9)),
        OrderStatus.FILLED,
        7,
        Terms(7, 0, 89, 121),
    ),
    "a bracket of an entry that never filled": Story(
        (HELD, AbsenceProved(CID)), OrderStatus.NEVER_PLACED, 0, HELD.request.terms
    ),
}


def fold(facts: tuple[Fact, ...] | list[Fact]) -> Order:
    order = Order(CID)
    for fact in facts:
        order.add(fact)
    return order


def state_of(order: Order) -> tuple[object, ...]:
    """Everything that an order says of itself."""
    always = (order.status, order.undisputed_status, order.disputes, order.filled_units, order.seen_units, order.fills)
    more = (order.venue_order_ids, order.venue_order_id, order.missing_units, order.provisional_units, order.attempts)
    flags = (order.is_live, order.is_risk, order.is_terminal, order.cancels, order.amendments, order.evidence)
    if not order.is_intended:
        return (*always, *more, *flags)
    return (*always, *more, *flags, order.terms, order.worst_units, order.leaves_units, order.risk_units)
