"""What goes into the trader and what comes out of it: events (past), effects (imperative), and ids.

Invariants:
- every event carries `ts_ns`, the moment at which it reached the trader; nothing else tells the trader the time;
- effects are carried out in their order; if a `Commit` fails, those behind it are dropped and `CommitFailed` comes
  back;
- ids are made from what they name, never drawn: the same decision has the same ids after a crash.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from novapulse.core.instruments import AccountKey, InstrumentKey
from novapulse.core.orders import Filled, OrderRequest, Seen, Side, Terms
from novapulse.core.postings import Posting

JSON = Any
"""Text, integers, truth values, None, lists and mappings of them: no float."""


def decision_id(account: AccountKey, instrument: InstrumentKey, ts_close_ns: int, settings_hash: str) -> str:
    """Return the name of the decision of an account on an instrument at a close (32 hex digits)."""
    parts = ("decision", account.exchange, account.account_id, instrument.symbol, str(ts_close_ns), settings_hash)
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def client_order_id(account: AccountKey, decision: str, leg: str, number: int) -> str:
    """Return the client order id (a UUID) of a leg of a decision: the same after a crash, never per attempt."""
    parts = ("order", account.exchange, account.account_id, decision, leg, str(number))
    digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()
    # Version 8 of a UUID is the one whose content its maker chooses; its variant is the usual one.
    return f"{digest[:8]}-{digest[8:12]}-8{digest[13:16]}-a{digest[17:20]}-{digest[20:32]}"


class Outcome(StrEnum):
    """How a request to a venue ended."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    AMBIGUOUS = "ambiguous"


class Found(StrEnum):
    """How a query for one order ended."""

    FOUND = "found"
    ABSENT = "absent"
    FAILED = "failed"


# ---- Events ----


@dataclass(frozen=True, slots=True)
class Started:
    """The trader's process is up and the ledger has been read."""

    ts_ns: int


@dataclass(frozen=True, slots=True)
class BarsClosed:
    """All bars of one close that arrived in time, in the order of the account's instruments.

    Attributes:
        ts_ns: Arrival.
        ts_close_ns: The close.
        bars: BAR[P].
        signals: SIGNAL[P].
        present: bool[P], which of them closed.
        calibration: Id of the calibration that the signals were made with.
    """

    ts_ns: int
    ts_close_ns: int
    bars: Any
    signals: Any
    present: Any
    calibration: str


@dataclass(frozen=True, slots=True)
class BarLate:
    """A bar that came after its close was decided, out of order, twice, or that cannot be: it decides nothing."""

    ts_ns: int
    instrument: InstrumentKey
    ts_close_ns: int
    problem: str


@dataclass(frozen=True, slots=True)
class QuoteSeen:
    """Best bid and ask of an instrument."""

    ts_ns: int
    instrument: InstrumentKey
    bid: float
    ask: float


@dataclass(frozen=True, slots=True)
class SubmitEnded:
    """An attempt to submit came back. `venue_order_id` is empty unless it was accepted."""

    ts_ns: int
    client_order_id: str
    attempt: int
    outcome: Outcome
    venue_order_id: str = ""
    code: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True)
class CancelEnded:
    """A cancel request came back; ACCEPTED means taken, not done."""

    ts_ns: int
    client_order_id: str
    attempt: int
    outcome: Outcome
    text: str = ""


@dataclass(frozen=True, slots=True)
class AmendEnded:
    """An amendment came back."""

    ts_ns: int
    client_order_id: str
    amendment: int
    outcome: Outcome
    text: str = ""


@dataclass(frozen=True, slots=True)
class OrderReported:
    """The venue's stream spoke of an order."""

    ts_ns: int
    seen: Seen


@dataclass(frozen=True, slots=True)
class FillReported:
    """An execution became known, from wherever."""

    ts_ns: int
    fill: Filled


@dataclass(frozen=True, slots=True)
class FillBusted:
    """The venue took an execution back."""

    ts_ns: int
    instrument: InstrumentKey
    client_order_id: str
    venue_order_id: str
    venue_trade_id: str


@dataclass(frozen=True, slots=True)
class LookupEnded:
    """A query for one order came back.

    ABSENT says that every list of the adapter's recipe was read whole and does not hold it; FAILED says nothing.
    """

    ts_ns: int
    client_order_id: str
    found: Found
    seen: Seen | None = None
    fills: tuple[Filled, ...] = ()


@dataclass(frozen=True, slots=True)
class VenueOrder:
    """An order as a venue lists it."""

    seen: Seen
    instrument: InstrumentKey
    side: Side
    qty_units: int


@dataclass(frozen=True, slots=True)
class Flow:
    """What came or went without a trade: deposit, withdrawal, staking, interest, fee, split, cash in lieu of its rest.

    `asset_units` is signed, in units of the asset's ledger scale. A split gave `new` for every `old` held; both
    are 0 where the venue does not say, and for every other kind.
    """

    flow_id: str
    kind: str
    asset: str
    asset_units: int
    ts_event_ns: int
    new: int = 0
    old: int = 0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A consistent cut of an account: fills, open orders, balances, fills again without news.

    Attributes:
        began_ns: Before the first read.
        ended_ns: After the last.
        orders: Open orders, all of them.
        fills: Executions after the cursor that was asked for, overlap included.
        cursor: Where the next read of executions goes on.
        balances: Asset -> total (free and held), units of the asset's ledger scale.
        flows: Movements without a trade since the cursor.
        venue_ns: What the venue's own clock showed at some moment of the reading; None where it does not say.
    """

    began_ns: int
    ended_ns: int
    orders: tuple[VenueOrder, ...]
    fills: tuple[Filled, ...]
    cursor: str
    balances: Mapping[str, int]
    flows: tuple[Flow, ...] = ()
    venue_ns: int | None = None


@dataclass(frozen=True, slots=True)
class SnapshotRead:
    """A snapshot was read whole."""

    ts_ns: int
    snapshot: Snapshot


@dataclass(frozen=True, slots=True)
class SnapshotFailed:
    """A snapshot could not be read, or not whole: no data."""

    ts_ns: int
    text: str


@dataclass(frozen=True, slots=True)
class TimerFired:
    """A timer that the trader set has come."""

    ts_ns: int
    name: str


@dataclass(frozen=True, slots=True)
class CommitFailed:
    """The effects behind a commit were not carried out, because the ledger did not take it."""

    ts_ns: int
    text: str
    fenced: bool = False


@dataclass(frozen=True, slots=True)
class ConditionSeen:
    """A measured condition of the world around: clock skew, disk, feed, stream, venue.

    `value` is None when it could not be measured: unknown is never zero. `subject` says which of several it is of.
    """

    ts_ns: int
    condition: str
    value: float | None
    text: str = ""
    subject: str = ""


@dataclass(frozen=True, slots=True)
class CommandReceived:
    """A command of an operator, from the inbox."""

    ts_ns: int
    command_id: str
    verb: str
    arguments: Mapping[str, JSON]
    actor: str


Event = (
    Started
    | BarsClosed
    | BarLate
    | QuoteSeen
    | SubmitEnded
    | CancelEnded
    | AmendEnded
    | OrderReported
    | FillReported
    | FillBusted
    | LookupEnded
    | SnapshotRead
    | SnapshotFailed
    | TimerFired
    | CommitFailed
    | ConditionSeen
    | CommandReceived
)


# ---- Effects ----


@dataclass(frozen=True, slots=True)
class Record:
    """One thing that happened, as the ledger keeps it.

    Attributes:
        kind: Snake-case name in the past tense, such as `order_intended`.
        ts_ns: When, ns UTC.
        body: Canonical content.
        postings: Balanced legs; empty where no money moved.
    """

    kind: str
    ts_ns: int
    body: Mapping[str, JSON]
    postings: tuple[Posting, ...] = ()


@dataclass(frozen=True, slots=True)
class HoldRun:
    """A stretch of bars on which nothing was done, for one reason."""

    instrument: InstrumentKey
    reason: int
    first_ns: int
    last_ns: int
    bars: int


@dataclass(frozen=True, slots=True)
class Commit:
    """Write records, and the state that follows from them, in one transaction, before anything behind it is done.

    Attributes:
        records: In order.
        ts_close_ns: Close of the last decided bar; 0 before the first.
        state: The trader's state after them, opaque to the ledger; empty where it has not changed.
        holds: Runs of bars on which nothing was done, as far as they ended.
    """

    records: tuple[Record, ...]
    ts_close_ns: int = 0
    state: bytes = b""
    holds: tuple[HoldRun, ...] = ()


@dataclass(frozen=True, slots=True)
class Submit:
    """Send an order. Its intent and this attempt are durable."""

    request: OrderRequest
    attempt: int


@dataclass(frozen=True, slots=True)
class Cancel:
    """Ask the venue to cancel; an empty `venue_order_id` means by our own client order id.

    An empty `client_order_id` is of an order of somebody else, or of one too many under an id of ours.
    """

    client_order_id: str
    venue_order_id: str
    instrument: InstrumentKey
    attempt: int


@dataclass(frozen=True, slots=True)
class Amend:
    """Ask the venue to change an order in place."""

    client_order_id: str
    venue_order_id: str
    instrument: InstrumentKey
    amendment: int
    terms: Terms


@dataclass(frozen=True, slots=True)
class Lookup:
    """Ask the venue for one order and its fills, by the adapter's recipe."""

    client_order_id: str
    venue_order_id: str
    instrument: InstrumentKey
    sent_ns: int


@dataclass(frozen=True, slots=True)
class ReadSnapshot:
    """Read a consistent cut of the account."""

    cursor: str
    why: str


@dataclass(frozen=True, slots=True)
class SetTimer:
    """Let `TimerFired` come at a moment; a timer of the same name is replaced.

    Attributes:
        name: Which timer.
        at_ns: When, ns UTC; 0 takes the timer of that name back.
    """

    name: str
    at_ns: int


class Severity(StrEnum):
    """How loud an alert is."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


@dataclass(frozen=True, slots=True)
class Alert:
    """Tell people. The same `key` while it lasts is one alert."""

    severity: Severity
    key: str
    text: str


@dataclass(frozen=True, slots=True)
class Answer:
    """The result of a command; its record is durable."""

    command_id: str
    done: bool
    text: str
    details: Mapping[str, JSON] = field(default_factory=dict)


Effect = Commit | Submit | Cancel | Amend | Lookup | ReadSnapshot | SetTimer | Alert | Answer
