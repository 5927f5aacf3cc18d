"""The classes of differences between our books and the venue's, as data, and one difference that was found."""

import enum
from collections.abc import Iterable
from dataclasses import dataclass

from novapulse.core.instruments import InstrumentKey
from novapulse.core.messages import Flow, Severity, VenueOrder
from novapulse.core.orders import Filled


class Scope(enum.IntEnum):
    """How far a break reaches."""

    ORDER = 0
    INSTRUMENT = 1
    ACCOUNT = 2


class BreakClass(enum.StrEnum):
    """What kind of difference it is; the value is its number in every record and message."""

    ENDED_AT_VENUE = "D1"
    NOT_LISTED = "D2"
    LIVE_AT_VENUE = "D3"
    LOST_RECORD = "D4"
    FOREIGN_ORDER = "D5"
    FILLS_MISSING = "D6"
    FILLS_BEYOND_VENUE = "D7"
    FILL_OF_UNKNOWN_ORDER = "D8"
    DUST = "D9"
    UNRECORDED_FLOW = "D10"
    UNSEEN_TRADE = "D11"
    CORPORATE_ACTION = "D12"
    UNEXPLAINED = "D13"
    UNPROTECTED = "D14"
    TWO_LIVE_ORDERS = "D15"
    VENUE_UNREACHABLE = "D16"


@dataclass(frozen=True, slots=True)
class Rule:
    """What holds for all breaks of one class.

    Attributes:
        meaning: In one sentence.
        scope: The narrowest scope that it touches.
        severity: How loud.
        is_blocking: Whether its scope takes no new risk while it is open.
    """

    meaning: str
    scope: Scope
    severity: Severity
    is_blocking: bool


_INFO, _WARNING, _CRITICAL = Severity.INFO, Severity.WARNING, Severity.CRITICAL

RULES: dict[BreakClass, Rule] = {
    BreakClass.ENDED_AT_VENUE: Rule("the venue ended an order that we believe live", Scope.ORDER, _INFO, False),
    BreakClass.NOT_LISTED: Rule(
        "an order that we believe live is not in the venue's list", Scope.ORDER, _WARNING, True
    ),
    BreakClass.LIVE_AT_VENUE: Rule("an order that we believe ended is live", Scope.INSTRUMENT, _CRITICAL, True),
    BreakClass.LOST_RECORD: Rule(
        "the venue has an order of ours that we have no record of", Scope.ACCOUNT, _CRITICAL, True
    ),
    BreakClass.FOREIGN_ORDER: Rule("the venue has an order that is not ours", Scope.ORDER, _WARNING, False),
    BreakClass.FILLS_MISSING: Rule("the venue filled more than we booked", Scope.INSTRUMENT, _WARNING, True),
    BreakClass.FILLS_BEYOND_VENUE: Rule("we booked more than the venue filled", Scope.INSTRUMENT, _WARNING, True),
    BreakClass.FILL_OF_UNKNOWN_ORDER: Rule(
        "an execution belongs to no order of ours", Scope.INSTRUMENT, _WARNING, True
    ),
    BreakClass.DUST: Rule("a balance differs by less than can be traded", Scope.INSTRUMENT, _INFO, False),
    BreakClass.UNRECORDED_FLOW: Rule("money came or went without a trade", Scope.ACCOUNT, _INFO, False),
    BreakClass.UNSEEN_TRADE: Rule(
        "balances differ as if by a trade that we have not seen", Scope.INSTRUMENT, _WARNING, True
    ),
    BreakClass.CORPORATE_ACTION: Rule("a holding changed by a whole ratio", Scope.INSTRUMENT, _CRITICAL, True),
    BreakClass.UNEXPLAINED: Rule("a balance differs and nothing explains it", Scope.INSTRUMENT, _CRITICAL, True),
    BreakClass.UNPROTECTED: Rule("a position has no protective order", Scope.INSTRUMENT, _CRITICAL, True),
    BreakClass.TWO_LIVE_ORDERS: Rule("two live orders do the work of one", Scope.INSTRUMENT, _CRITICAL, True),
    BreakClass.VENUE_UNREACHABLE: Rule("the venue could not be read", Scope.ACCOUNT, _WARNING, True),
}


@dataclass(frozen=True, slots=True)
class Break:
    """One difference.

    Attributes:
        kind: Its class.
        subject: What it is about, unique within its class: an order, an execution, an asset.
        text: What differs, in words.
        ours: What we believe; with `theirs` it tells whether two readings are identical.
        theirs: What the venue shows.
        instruments: The instruments that it touches.
        client_order_id: The order of ours that it is about; empty for none.
        venue_order_id: The venue's order that it is about; empty for none.
        listed: The order as the venue lists it.
        fills: Executions to book.
        stand_in: The provisional execution that would cover what is missing; None where no price is known.
        is_in_balances: Whether the venue's balances have what it would cover; None when they cannot be compared now.
        flow: The movement to import.
        asset: The asset whose balance differs.
        diff_units: Theirs less ours, in units of the asset's ledger scale.
        worth_units: What that is worth in units of the quote asset, >= 0; None when no price is known.
        equity_units: Equity of the account in the same units.
        readings: How often in a row it was read identically, >= 1.
        first_ns: Since when it is there.
        ts_ns: Moment of this reading.
    """

    kind: BreakClass
    subject: str
    text: str
    ours: str = ""
    theirs: str = ""
    instruments: tuple[InstrumentKey, ...] = ()
    client_order_id: str = ""
    venue_order_id: str = ""
    listed: VenueOrder | None = None
    fills: tuple[Filled, ...] = ()
    stand_in: Filled | None = None
    is_in_balances: bool | None = None
    flow: Flow | None = None
    asset: str = ""
    diff_units: int = 0
    worth_units: int | None = None
    equity_units: int = 0
    readings: int = 1
    first_ns: int = 0
    ts_ns: int = 0

    @property
    def key(self) -> str:
        """Name under which it is opened and cleared: the same break has the same key in every reading."""
        return f"{self.kind.value}:{self.subject}"

    @property
    def rule(self) -> Rule:
        """What holds for its class."""
        return RULES[self.kind]

    @property
    def is_blocking(self) -> bool:
        """Whether its scope takes no new risk while it is open."""
        return self.rule.is_blocking


@dataclass(frozen=True, slots=True)
class Reading:
    """What is kept of a break until the next reading.

    Attributes:
        ours: What we believed.
        theirs: What the venue showed.
        count: How often in a row, identically.
        first_ns: Since when the break is there, identical or not.
    """

    ours: str
    theirs: str
    count: int
    first_ns: int


def readings_of(breaks: Iterable[Break]) -> dict[str, Reading]:
    """Return what the next reading is to be compared with; breaks that are gone are forgotten."""
    return {each.key: Reading(each.ours, each.theirs, each.readings, each.first_ns) for each in breaks}
