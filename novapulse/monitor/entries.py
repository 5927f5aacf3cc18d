"""Pages of the journal: entries with their legs, newest first, and single ones by number."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, false, or_, select

from novapulse.core.amounts import from_units
from novapulse.core.instruments import AccountKey
from novapulse.ledger.queries import check_account, reading, scales
from novapulse.ledger.schema import event, of_kind, order_step, posting
from novapulse.monitor.home import LEDGER_FILE
from novapulse.monitor.values import Value

LIMIT_MAX = 500

KIND_TEXT = {
    "account_opened": "the account was opened",
    "instrument_listed": "an instrument was added",
    "session_started": "the trader began to run the account",
    "session_stopped": "the trader stopped",
    "account_ended": "the trader gave the account up",
    "calibration_learned": "how strong votes usually are was learned",
    "ledger_restored": "a backup took the place of the ledger",
    "decision_taken": "a decision was taken",
    "entry_unfilled": "an entry ended without a fill",
    "order_intended": "an order is to be sent",
    "order_attempted": "the order was sent",
    "order_acked": "the venue took the order",
    "order_refused": "the venue refused the order",
    "order_unclear": "whether the venue has the order is not known",
    "order_seen": "the venue showed the order",
    "order_closed": "the order is over",
    "order_reopened": "the order's end was taken back",
    "foreign_order_seen": "the venue showed an order that is not ours",
    "fill_booked": "an execution was booked",
    "fill_busted": "the venue took an execution back",
    "cancel_asked": "the venue was asked to cancel the order",
    "extra_cancel_asked": "the venue was asked to cancel what it has twice of the order",
    "cancel_refused": "the venue refused to cancel the order",
    "amend_asked": "the venue was asked to change the order",
    "amend_done": "the venue changed the order",
    "amend_refused": "the venue refused to change the order",
    "absence_proved": "the venue cannot have the order: proven",
    "dispute_raised": "the venue contradicts what is known of the order",
    "dispute_settled": "what is known of the order is agreed again",
    "protection_noted": "a position is without its stop at the venue",
    "round_trip_closed": "a trade was closed",
    "mode_changed": "what the account may do has changed",
    "limits_changed": "an operator changed limits",
    "breaker_tripped": "a breaker tripped",
    "breaker_cleared": "a breaker is over",
    "balance_asserted": "the books were compared with the venue",
    "break_found": "books and venue differ",
    "break_resolved": "a difference is resolved",
    "break_adopted": "a difference was booked as it is",
    "dust_swept": "a remainder too small to sell was written off",
    "dust_set_aside": "a remainder too small to sell was set aside",
    "flow_booked": "money or holdings came or went without a trade",
    "split_applied": "a split was booked",
    "alert_raised": "an alert was raised",
    "alert_acknowledged": "an alert was seen by somebody",
    "alert_cleared": "an alert is over",
    "command_taken": "a command was taken",
    "command_answered": "a command was answered",
}
"""Kind of an entry -> what it says, in plain words."""


class UnknownEntryError(ValueError):
    """The ledger has no entry of this number."""


@dataclass(frozen=True, slots=True)
class LegState(Value):
    """One leg of a movement.

    Attributes:
        book: Where.
        asset: Of what.
        amount: Signed.
    """

    book: str
    asset: str
    amount: Decimal


@dataclass(frozen=True, slots=True)
class EntryState(Value):
    """One entry of the journal.

    Attributes:
        seq: Its number.
        ts_ns: When, in its account's own time.
        exchange: Whose.
        account_id: Whose.
        kind: What happened, such as `fill_booked`.
        body: What was written.
        legs: Money and holdings that moved; per asset they sum to 0.
        hash: Of the chain up to here, hex.
    """

    seq: int
    ts_ns: int
    exchange: str
    account_id: str
    kind: str
    body: Mapping[str, Any]
    legs: tuple[LegState, ...]
    hash: str


@dataclass(frozen=True, slots=True)
class Part:
    """Some entries of an account: those that meet everything that is said here.

    Attributes:
        account: Whose.
        kinds: Of these kinds; of all where there are none.
        books: Those that moved something in one of these; all where there are none.
        assets: Of these assets; of all where there are none. Only beside `books`.
        seqs: Of these numbers; of all where it is None.
        first_seq: From this number on.
        since_ns: Written at this moment or later, in the account's own time.
        until_ns: Written before this moment; None for no end.
    """

    account: AccountKey
    kinds: tuple[str, ...] = ()
    books: tuple[str, ...] = ()
    assets: tuple[str, ...] = ()
    seqs: tuple[int, ...] | None = None
    first_seq: int = 1
    since_ns: int = 0
    until_ns: int | None = None

    def __post_init__(self) -> None:
        """Refuse assets without a book, which would say nothing."""
        assert self.books or not self.assets


def page(
    home: Path,
    account: AccountKey | None = None,
    kinds: Sequence[str] = (),
    before_seq: int | None = None,
    limit: int = 50,
    *,
    client_order_id: str = "",
    ledger: str | Path | None = None,
) -> tuple[EntryState, ...]:
    """Return entries, newest first.

    Args:
        home: Folder of the trader's state.
        account: Only this one's; None for all.
        kinds: Only these; all by default.
        before_seq: Only those before this number: the last one of the page before.
        limit: At most so many, and at most `LIMIT_MAX`.
        client_order_id: Only those that name this order.
        ledger: Where the ledger lies; None for the file in the folder.

    Raises:
        UnknownAccountError: The ledger has no such account.
        JournalError: The ledger cannot be read.
    """
    wanted: list[ColumnElement[bool]] = [of_kind(*kinds)] if kinds else []
    if before_seq is not None:
        wanted.append(event.c.seq < before_seq)
    if client_order_id:
        steps = select(order_step.c.seq).where(order_step.c.client_order_id == client_order_id)
        if account is not None:
            mine = order_step.c.exchange == account.exchange, order_step.c.account_id == account.account_id
            steps = steps.where(*mine)
        wanted.append(event.c.seq.in_(steps))
    with reading(_place(home, ledger)) as connection:
        if account is not None:
            check_account(connection, account)
            wanted += [event.c.exchange == account.exchange, event.c.account_id == account.account_id]
        return _entries(connection, wanted, max(1, min(limit, LIMIT_MAX)))


def one(home: Path, seq: int, ledger: str | Path | None = None) -> EntryState:
    """Return an entry by its number.

    Raises:
        UnknownEntryError: There is none.
        JournalError: The ledger cannot be read.
    """
    found = some(home, (seq,), ledger)
    if not found:
        raise UnknownEntryError(f"the ledger has no entry {seq}")
    return found[0]


def some(home: Path, seqs: Sequence[int], ledger: str | Path | None = None) -> tuple[EntryState, ...]:
    """Return entries by their numbers, newest first, without those that there are not; at most `LIMIT_MAX`.

    Raises:
        JournalError: The ledger cannot be read.
    """
    with reading(_place(home, ledger)) as connection:
        return _entries(connection, [event.c.seq.in_(tuple(seqs)[:LIMIT_MAX])], LIMIT_MAX)


def behind(home: Path, parts: Sequence[Part], before_seq: int | None = None, limit: int = 50) -> tuple[EntryState, ...]:
    """Return the entries that are in any of some parts, newest first.

    Args:
        home: Folder of the trader's state.
        parts: What is wanted.
        before_seq: Only those before this number: the last one of the page before.
        limit: At most so many, and at most `LIMIT_MAX`.

    Raises:
        JournalError: The ledger cannot be read.
    """
    wanted = [or_(false(), *map(_in_part, parts))]
    if before_seq is not None:
        wanted.append(event.c.seq < before_seq)
    with reading(home / LEDGER_FILE) as connection:
        return _entries(connection, wanted, max(1, min(limit, LIMIT_MAX)))


def _in_part(part: Part) -> ColumnElement[bool]:
    whose = part.account
    said = [event.c.exchange == whose.exchange, event.c.account_id == whose.account_id]
    said += [of_kind(*part.kinds)] if part.kinds else []
    said += [event.c.seq.in_(part.seqs)] if part.seqs is not None else []
    said += [event.c.seq >= part.first_seq] if part.first_seq > 1 else []
    said += [event.c.ts_ns >= part.since_ns] if part.since_ns else []
    said += [event.c.ts_ns < part.until_ns] if part.until_ns is not None else []
    if part.books:
        moved = [posting.c.seq == event.c.seq, posting.c.book.in_(part.books)]
        moved += [posting.c.asset.in_(part.assets)] if part.assets else []
        said.append(select(posting.c.seq).where(*moved).exists())
    return and_(*said)


def _place(home: Path, ledger: str | Path | None) -> str | Path:
    return home / LEDGER_FILE if ledger is None else ledger


def _entries(connection: Connection, wanted: Sequence[ColumnElement[bool]], limit: int) -> tuple[EntryState, ...]:
    return states(connection, select(event).where(*wanted).order_by(event.c.seq.desc()).limit(limit))


def states(connection: Connection, wanted: Select[Any]) -> tuple[EntryState, ...]:
    """Return the entries of a query of `event`, in its order, each with its legs."""
    rows = connection.execute(wanted).all()
    digits = scales(connection)
    legs: dict[int, list[LegState]] = {}
    named = select(posting).where(posting.c.seq.in_([row.seq for row in rows]))
    for row in connection.execute(named.order_by(posting.c.seq, posting.c.leg)):
        leg = LegState(row.book, row.asset, from_units(row.amount, digits[row.asset]))
        legs.setdefault(row.seq, []).append(leg)
    return tuple(
        EntryState(
            seq=row.seq,
            ts_ns=row.ts_ns,
            exchange=row.exchange,
            account_id=row.account_id,
            kind=row.kind,
            body=json.loads(row.body),
            legs=tuple(legs.get(row.seq, ())),
            hash=bytes(row.hash).hex(),
        )
        for row in rows
    )
