"""Which status may follow which, as one table; the surprising rows say why they exist.

A status follows from facts, and facts arrive in any order: the table does not steer the fold, it is what an auditor
holds against what the fold did. It presumes a trader that asks nothing of an order that has ended.
"""

from novapulse.core.orders import OrderStatus

INTENT = OrderStatus.INTENT
SENDING = OrderStatus.SENDING
UNKNOWN = OrderStatus.UNKNOWN
ACCEPTED = OrderStatus.ACCEPTED
PARTIALLY_FILLED = OrderStatus.PARTIALLY_FILLED
CANCEL_PENDING = OrderStatus.CANCEL_PENDING
REPLACE_PENDING = OrderStatus.REPLACE_PENDING
SETTLING = OrderStatus.SETTLING
FILLED = OrderStatus.FILLED
CANCELED = OrderStatus.CANCELED
EXPIRED = OrderStatus.EXPIRED
REJECTED = OrderStatus.REJECTED
REPLACED = OrderStatus.REPLACED
NEVER_PLACED = OrderStatus.NEVER_PLACED
DISPUTED = OrderStatus.DISPUTED

_ENDED_BY_VENUE = frozenset({FILLED, CANCELED, EXPIRED, REJECTED, REPLACED})
_FIRST_SIGNS = frozenset({ACCEPTED, PARTIALLY_FILLED, SETTLING}) | _ENDED_BY_VENUE

TRANSITIONS: dict[OrderStatus, frozenset[OrderStatus]] = {
    INTENT: _FIRST_SIGNS
    | {
        SENDING,
        NEVER_PLACED,  # a crash after the intent alone; or an entry that ended before its bracket came into being
        # The first signs above: a bracket that the venue makes by itself has no attempt of ours, and its first sign may
        # be any, its execution included.
        DISPUTED,
    },
    SENDING: _FIRST_SIGNS  # an execution may overtake the answer to the submission
    | {UNKNOWN, DISPUTED},
    UNKNOWN: _FIRST_SIGNS
    | {
        SENDING,  # another attempt under the same id, where the venue promises that this is one order
        CANCEL_PENDING,  # a cancel was asked for by our id; what is unknown stays so until the venue shows it
        NEVER_PLACED,
        DISPUTED,
    },
    ACCEPTED: _ENDED_BY_VENUE  # REJECTED: venues reject after they accepted
    | {PARTIALLY_FILLED, CANCEL_PENDING, REPLACE_PENDING, SETTLING, DISPUTED},
    PARTIALLY_FILLED: (_ENDED_BY_VENUE - {REJECTED})  # what was executed and then rejected counts as CANCELED
    | {CANCEL_PENDING, REPLACE_PENDING, SETTLING, DISPUTED},
    CANCEL_PENDING: _ENDED_BY_VENUE
    | {
        ACCEPTED,  # the cancel was refused: the order is as it was
        PARTIALLY_FILLED,
        REPLACE_PENDING,  # the cancel was refused while an amendment is open
        SETTLING,
        DISPUTED,
    },
    REPLACE_PENDING: _ENDED_BY_VENUE | {ACCEPTED, PARTIALLY_FILLED, CANCEL_PENDING, SETTLING, DISPUTED},
    SETTLING: (_ENDED_BY_VENUE - {REJECTED})
    | {
        PARTIALLY_FILLED,  # an amendment to a larger quantity turns out to have been taken: there is more to fill
        CANCEL_PENDING,  # the same, while a cancel is open
        DISPUTED,
    },
    # ---- Ended: a late fact is booked all the same ----
    FILLED: frozenset(
        {
            SETTLING,  # an amendment believed refused was taken, or the venue filled more: its last word is needed
            PARTIALLY_FILLED,  # an amendment believed refused was taken, to a larger quantity
            CANCEL_PENDING,  # the same, while a cancel is open
            DISPUTED,
        }
    ),
    CANCELED: frozenset(
        {
            SETTLING,  # an execution that raced the cancel is reported and not yet booked
            FILLED,  # such executions make it whole
            REPLACED,  # one list says canceled, the other that another order took its place
            EXPIRED,  # one list says rejected (which counts as canceled after executions), the other why
            DISPUTED,
        }
    ),
    EXPIRED: frozenset(
        {
            SETTLING,  # as for CANCELED
            FILLED,
            CANCELED,  # one list says expired, the other that it was us
            REPLACED,
            DISPUTED,
        }
    ),
    REJECTED: _FIRST_SIGNS - {REJECTED}  # the refusal was wrong: what the venue shows outweighs what it answered
    | {
        CANCEL_PENDING,  # the same, and a cancel was asked for before the refusal came
        DISPUTED,
    },
    REPLACED: frozenset({SETTLING, FILLED, DISPUTED}),  # late executions, as for CANCELED
    NEVER_PLACED: _FIRST_SIGNS  # the proof of absence was wrong; REJECTED: the answer came after the proof
    | {
        CANCEL_PENDING,  # the proof was wrong, and a cancel had been asked for
        DISPUTED,
    },
    # A dispute hides where the order stands; once it is settled, that shows, whatever it is.
    DISPUTED: frozenset(OrderStatus) - {DISPUTED},
}
"""Status -> the statuses that may follow it; staying is always allowed."""


def is_allowed(before: OrderStatus, after: OrderStatus) -> bool:
    """Tell whether a status may follow another."""
    return before is after or after in TRANSITIONS[before]
