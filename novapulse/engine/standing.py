"""Where an order stands, as far as is known: every answer to "does the venue have it?" by its name.

Invariants:
- what stands or is live may be filled at any moment: nothing else is sent for the same purpose beside it;
- what nobody has heard of may stand: the venue is asked before anything is believed;
- a status is asked for without its disputes (`Order.undisputed_status`) where only the venue's side counts.
"""

from novapulse.core.orders import TERMINAL, OrderStatus

STANDS = frozenset({OrderStatus.ACCEPTED, OrderStatus.PARTIALLY_FILLED})
"""The venue has it, under terms that are known, and no request about it is open: it may be amended."""

AT_WORK = STANDS | {OrderStatus.REPLACE_PENDING}
"""The venue has it and nobody has asked for its end: it does what it was sent for, whichever terms are in force."""

UNHEARD_OF = frozenset({OrderStatus.INTENT, OrderStatus.SENDING, OrderStatus.UNKNOWN})
"""Whether the venue has it nobody here knows."""

GONE = TERMINAL | {OrderStatus.INTENT}
"""It has ended, or was never asked for: the venue ends nothing of it any more."""
