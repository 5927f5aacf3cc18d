"""What the auditor remembers of one account between two looks."""

from collections import defaultdict


class OrderTally:
    """Memory of one account.

    Attributes:
        seen_units: Client order id -> largest cumulative quantity that its trader knew.
        booked: Venue trade ids that were booked.
        cursor: Executions up to this number were found booked when the cursor passed them.
        stops: (decision of the entry, symbol) -> tightest stop asked for, price units.
        spent: Decision -> cash units that its entries took at the venue.
        bare_since_ns: Symbol -> since when a position has no stop at the venue.
        too_large_since_ns: Symbol -> since when a stop at the venue is larger than what is held.
        asked_ns: Client order id -> when the venue was last asked for it.
        exit_due_ns: Symbol -> since when a position is to be left and no exit of its own is at work.
        leaving_since_ns: Symbol -> since when a position is to be left and is not closed.
        has_ended_a_loss: Whether an operator has ended the halt of a loss that lasts.
        moved: What came (> 0) or went without a trade, in the quote currency, coins as far as they were a position's.
        marks: End of the day, then equity, the day's opening and the peak, what was moved taken off.
    """

    def __init__(self) -> None:
        self.seen_units: dict[str, int] = {}
        self.booked: set[str] = set()
        self.cursor = 0
        self.stops: dict[tuple[str, str], int] = {}
        self.spent: defaultdict[str, int] = defaultdict(int)
        self.bare_since_ns: dict[str, int] = {}
        self.too_large_since_ns: dict[str, int] = {}
        self.asked_ns: dict[str, int] = {}
        self.exit_due_ns: dict[str, int] = {}
        self.leaving_since_ns: dict[str, int] = {}
        self.has_ended_a_loss = False
        self.moved = 0.0
        self.marks: tuple[int, float, float, float] | None = None
