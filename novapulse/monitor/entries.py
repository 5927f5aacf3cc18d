"""Pages of the journal: entries with their legs, newest first, and single ones by number."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, Connection, select

from novapulse.core.instruments import AccountKey
from novapulse.ledger.amounts import from_units
from novapulse.ledger.queries import check_account, reading, scales
from novapulse.ledger.schema import event, of_kind, order_step, posting
from novapulse.monitor.home import LEDGER_FILE
from novapulse.monitor.values import Value

LIMIT_MAX = 500


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


def _place(home: Path, ledger: str | Path | None) -> str | Path:
    return home / LEDGER_FILE if ledger is None else ledger


def _entries(connection: Connection, wanted: Sequence[ColumnElement[bool]], limit: int) -> tuple[EntryState, ...]:
    rows = connection.execute(select(event).where(*wanted).order_by(event.c.seq.desc()).limit(limit)).all()
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
