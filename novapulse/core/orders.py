"""Orders as facts: what was asked, what the venue said, and the fold that turns both into a state.

Invariants:
- an order's state is a pure function of the set of facts known about it: neither their order of arrival nor their
  repetition changes it (facts join by union and maximum);
- quantities, prices and cash are integers (`*_units` of the instrument's scales); nothing here is rounded;
- silence is never a fact: UNKNOWN ends by evidence from the venue, by proof of absence, or by an operator;
- fills are booked in every state, terminal ones included.
"""

import enum
from dataclasses import dataclass

from novapulse.core.instruments import AccountKey, InstrumentKey


class Side(enum.IntEnum):
    """Side of an order."""

    BUY = 1
    SELL = -1


class Role(enum.StrEnum):
    """What an order is for."""

    ENTRY = "entry"
    EXIT = "exit"
    PROTECT = "protect"


class OrderType(enum.StrEnum):
    """How an order asks for its price."""

    MARKET = "market"
    LIMIT = "limit"
    BRACKET = "bracket"
    """A stop that becomes a market order when it is touched, and, where it has one, a resting target; reduce-only."""


class OrderStatus(enum.StrEnum):
    """Where an order stands; see `TRANSITIONS` for what may follow what."""

    INTENT = "INTENT"
    SENDING = "SENDING"
    UNKNOWN = "UNKNOWN"
    ACCEPTED = "ACCEPTED"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    CANCEL_PENDING = "CANCEL_PENDING"
    REPLACE_PENDING = "REPLACE_PENDING"
    SETTLING = "SETTLING"
    FILLED = "FILLED"
    CANCELED = "CANCELED"
    EXPIRED = "EXPIRED"
    REJECTED = "REJECTED"
    REPLACED = "REPLACED"
    NEVER_PLACED = "NEVER_PLACED"
    DISPUTED = "DISPUTED"


TERMINAL = frozenset(
    {
        OrderStatus.FILLED,
        OrderStatus.CANCELED,
        OrderStatus.EXPIRED,
        OrderStatus.REJECTED,
        OrderStatus.REPLACED,
        OrderStatus.NEVER_PLACED,
    }
)


class VenueState(enum.StrEnum):
    """What a venue says of an order it has."""

    LIVE = "live"
    FILLED = "filled"
    CANCELED = "canceled"
    EXPIRED = "expired"
    REJECTED = "rejected"
    REPLACED = "replaced"


@dataclass(frozen=True, slots=True)
class Terms:
    """What an amendment can change.

    Attributes:
        qty_units: Quantity of the whole order, filled part included, > 0.
        limit_units: Limit price in price units; 0 for none.
        stop_units: Trigger of a bracket; 0 for none.
        target_units: Take-profit price of a bracket; 0 for none.
    """

    qty_units: int
    limit_units: int = 0
    stop_units: int = 0
    target_units: int = 0


@dataclass(frozen=True, slots=True)
class Protection:
    """The bracket that a venue creates at an order's first fill and lets grow with the next ones.

    Attributes:
        client_order_id: Id of the bracket, known before it exists.
        stop_distance: From the average entry price, quote per base; the same number that `place_stops` reads.
        target_distance: The same for the target; 0 for none.
    """

    client_order_id: str
    stop_distance: float
    target_distance: float


@dataclass(frozen=True, slots=True)
class OrderRequest:
    """One logical order as we ask for it. Its client order id is minted once, never per attempt.

    Attributes:
        client_order_id: UUID made from the decision, the leg and a counter.
        account: Where.
        instrument: What.
        decision_id: The decision that wants it.
        role: Entry, exit or protection.
        side: Buy or sell.
        kind: Market, limit or bracket.
        terms: Quantity and prices.
        decided_ns: Close of the bar that decided.
        expires_ns: The venue ends the order after this; 0 for never.
        reduce_only: Never more than what is held.
        post_only: Refused where it would cross.
        notional_max_units: Cash units that the position may be worth at its fills; 0 for no cap.
        reason: Code of `records.Reason`.
        parent: Client order id of the order that this one continues (chase, fallback); empty for none.
        protection: The bracket that its fills are to have; None for none.
        attached_to: Client order id of the entry whose fills create this bracket; empty when it is sent by itself.
    """

    client_order_id: str
    account: AccountKey
    instrument: InstrumentKey
    decision_id: str
    role: Role
    side: Side
    kind: OrderType
    terms: Terms
    decided_ns: int
    expires_ns: int = 0
    reduce_only: bool = False
    post_only: bool = False
    notional_max_units: int = 0
    reason: int = 0
    parent: str = ""
    protection: Protection | None = None
    attached_to: str = ""


@dataclass(frozen=True, slots=True)
class Intended:
    """W1: the order is durable, nothing was sent."""

    client_order_id: str
    request: OrderRequest


@dataclass(frozen=True, slots=True)
class Attempted:
    """W2: a request may leave from now on. Attempt 1 is the first."""

    client_order_id: str
    attempt: int
    ts_ns: int


@dataclass(frozen=True, slots=True)
class Acked:
    """The venue answered a submission with its id."""

    client_order_id: str
    venue_order_id: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The venue refused an attempt for certain: a listed reason, not a guess."""

    client_order_id: str
    attempt: int
    code: str
    text: str = ""


@dataclass(frozen=True, slots=True)
class Unclear:
    """An attempt ended without an answer that says what happened."""

    client_order_id: str
    attempt: int
    text: str = ""


@dataclass(frozen=True, slots=True)
class Seen:
    """What the venue says of an order, from a stream, a list or a query.

    Attributes:
        client_order_id: Ours; empty for an order that is not.
        venue_order_id: The venue's.
        state: What it says.
        filled_units: Cumulative filled quantity.
        ts_event_ns: The venue's time of this state.
        terms: Terms as the venue has them; None where the message does not say.
    """

    client_order_id: str
    venue_order_id: str
    state: VenueState
    filled_units: int
    ts_event_ns: int
    terms: Terms | None = None


@dataclass(frozen=True, slots=True)
class Filled:
    """One execution (FIX ExecID). Unique per account by `venue_trade_id`.

    Attributes:
        client_order_id: Ours; empty when the venue does not say or the order is not ours.
        venue_order_id: The venue's order.
        venue_trade_id: The venue's execution.
        instrument: What traded.
        side: Of the order.
        qty_units: This execution's quantity, > 0.
        price_units: Its price.
        cash_units: Its notional, fee apart.
        fee_units: Paid in the quote asset; negative is a rebate.
        liquidity: `records.Liquidity`.
        ts_event_ns: The venue's time.
        provisional: Inferred from a cumulative quantity, to be reversed when the real execution arrives.
        reason: `records.Reason` of the exit where the venue's bracket filled; 0 for the order's own.
    """

    client_order_id: str
    venue_order_id: str
    venue_trade_id: str
    instrument: InstrumentKey
    side: Side
    qty_units: int
    price_units: int
    cash_units: int
    fee_units: int
    liquidity: int
    ts_event_ns: int
    provisional: bool = False
    reason: int = 0


@dataclass(frozen=True, slots=True)
class Busted:
    """The venue took an execution back."""

    client_order_id: str
    venue_trade_id: str


@dataclass(frozen=True, slots=True)
class CancelAsked:
    """A cancel request may leave from now on."""

    client_order_id: str
    attempt: int


@dataclass(frozen=True, slots=True)
class CancelRefused:
    """The venue said no to a cancel request: the order may be live or gone, only a query tells."""

    client_order_id: str
    attempt: int


@dataclass(frozen=True, slots=True)
class AmendAsked:
    """An amendment may leave from now on. Amendment 1 is the first."""

    client_order_id: str
    amendment: int
    terms: Terms


@dataclass(frozen=True, slots=True)
class AmendDone:
    """The venue took an amendment."""

    client_order_id: str
    amendment: int


@dataclass(frozen=True, slots=True)
class AmendRefused:
    """The venue refused an amendment: the terms before it stand."""

    client_order_id: str
    amendment: int


@dataclass(frozen=True, slots=True)
class AbsenceProved:
    """The venue cannot have the order: shown by the recipe of its adapter, twice.

    `never_sent` marks an intent without an attempt, which needs no venue to prove it.
    """

    client_order_id: str
    never_sent: bool = False


@dataclass(frozen=True, slots=True)
class DisputeRaised:
    """Reconciliation found what the facts of the order alone do not show."""

    client_order_id: str
    dispute: str


@dataclass(frozen=True, slots=True)
class DisputeSettled:
    """An operator, or a proven repair, ended disputes in favour of what the venue says.

    `disputes` are the sentences that were settled; empty settles those that the order has and those it will have.
    """

    client_order_id: str
    disputes: tuple[str, ...] = ()


Fact = (
    Intended
    | Attempted
    | Acked
    | Refused
    | Unclear
    | Seen
    | Filled
    | Busted
    | CancelAsked
    | CancelRefused
    | AmendAsked
    | AmendDone
    | AmendRefused
    | AbsenceProved
    | DisputeRaised
    | DisputeSettled
)
