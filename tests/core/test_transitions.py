from itertools import pairwise

from novapulse.core.orders import (
    TERMINAL,
    AbsenceProved,
    AmendAsked,
    AmendDone,
    AmendRefused,
    CancelAsked,
    OrderStatus,
    Refused,
    Terms,
    Unclear,
    VenueState,
)
from novapulse.core.transitions import TRANSITIONS, is_allowed
from tests.core.order_stories import CID, DONE, LIVE, OPEN, SENT, fill, fold, seen
from tests.core.random_venue import walk

LIVES = 12_000
LARGER = Terms(14, 100)
LOST = (AmendAsked(CID, 1, LARGER), AmendRefused(CID, 1))

RARE = {
    "cancel asked, refused late, live after all": (
        *SENT,
        Unclear(CID, 1),
        CancelAsked(CID, 1),
        Refused(CID, 1, "funds"),
        seen(LIVE, 0),
    ),
    "cancel asked, proved absent, live after all": (
        *SENT,
        Unclear(CID, 1),
        CancelAsked(CID, 1),
        AbsenceProved(CID),
        seen(LIVE, 0),
    ),
    "filled, and larger after all": (*OPEN, *LOST, fill("a", 10), seen(LIVE, 10, 9, LARGER)),
    "filled, and larger after all, while a cancel is open": (
        *OPEN,
        *LOST,
        CancelAsked(CID, 1),
        fill("a", 10),
        seen(LIVE, 10, 9, LARGER),
    ),
    "settling, and larger after all": (*OPEN, *LOST, seen(LIVE, 10), seen(LIVE, 10, 9, LARGER)),
    "settling, and larger after all, while a cancel is open": (
        *OPEN,
        *LOST,
        CancelAsked(CID, 1),
        seen(LIVE, 10),
        seen(LIVE, 10, 9, LARGER),
    ),
    "filled, and smaller after all": (
        *OPEN,
        AmendAsked(CID, 1, LARGER),
        AmendRefused(CID, 1),
        fill("a", 10),
        AmendDone(CID, 1),
        seen(DONE, 14),
    ),
    "two words about one end": (*OPEN, fill("a", 1), seen(VenueState.REJECTED, 1), seen(VenueState.EXPIRED, 1)),
    "three words about one end": (
        *OPEN,
        seen(VenueState.EXPIRED, 0),
        seen(VenueState.CANCELED, 0),
        seen(VenueState.REPLACED, 0),
    ),
    "another order took its place": (*OPEN, seen(VenueState.EXPIRED, 0), seen(VenueState.REPLACED, 0)),
}


def test_every_change_of_a_random_life_is_in_the_table_and_every_row_is_reached():
    reached: set[tuple[OrderStatus, OrderStatus]] = set()
    for seed in range(LIVES):
        before = OrderStatus.INTENT
        for order, fact in walk(seed):
            assert is_allowed(before, order.status), f"seed {seed}: {before} -> {order.status} by {fact}"
            if before is not order.status:
                reached.add((before, order.status))
            before = order.status
    for name, facts in RARE.items():
        statuses = [fold(facts[:count]).status for count in range(1, len(facts) + 1)]
        for before, after in pairwise(statuses):
            assert is_allowed(before, after), f"{name}: {before} -> {after}"
            reached.add((before, after))
    rows = {(before, after) for before, following in TRANSITIONS.items() for after in following}
    assert rows - reached == set()


def test_the_table_speaks_of_every_status_and_of_no_staying():
    assert set(TRANSITIONS) == set(OrderStatus)
    assert not [status for status, following in TRANSITIONS.items() if status in following]


def test_what_ended_goes_back_to_work_only_by_evidence_of_the_venue():
    for status in TERMINAL:
        assert not TRANSITIONS[status] & {OrderStatus.INTENT, OrderStatus.SENDING, OrderStatus.UNKNOWN}


def test_what_is_not_in_the_table_is_not_allowed():
    assert not is_allowed(OrderStatus.FILLED, OrderStatus.ACCEPTED)
    assert not is_allowed(OrderStatus.SENDING, OrderStatus.NEVER_PLACED)
    assert is_allowed(OrderStatus.SENDING, OrderStatus.SENDING)
