"""A stretch of the chain, read in batches and checked row by row; several processes can walk several stretches at once.

Invariants:
- an event is checked against the stored hash of the one before it, so that one changed row is one fault, and stretches
  can be walked apart from each other;
- nothing is taken for granted about a row: text that is no UTF-8, a body that is no JSON or a time that is text is a
  fault with a name, never an exception;
- memory is bounded by the batch; what grows is one row for each balance and one for each balance assertion.
"""

import json
import secrets
import sqlite3
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

from sqlalchemy import Connection, CursorResult, Engine, LargeBinary, bindparam, cast, column, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql import Select
from sqlalchemy.sql.elements import ColumnElement

from novapulse.core.postings import Book
from novapulse.ledger import chain
from novapulse.ledger.chain import Leg
from novapulse.ledger.schema import event, posting

UNREADABLE = (DBAPIError, sqlite3.Error, UnicodeDecodeError)
"""What a driver raises for a damaged file."""

BATCH_EVENTS = 500
FAULTS_KEPT = 100

VENUE_BOOKS = frozenset({Book.CASH, Book.HOLD, Book.INVENTORY})
"""What a venue counts as held."""

_MIN, _MAX = -(2**63), 2**63 - 1

ASSERTED, OPENED = "balance_asserted", "account_opened"
_NOTED = frozenset({ASSERTED, OPENED})

Row = Sequence[Any]
Account = tuple[str, str]
BalanceKey = tuple[str, str, str, str]
"""Exchange, account, book, asset."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that is not as it was written.

    Attributes:
        seq: The event it concerns; None where it concerns no single one.
        where: Table and column, such as `event.body`.
        what: What is wrong with it.
    """

    seq: int | None
    where: str
    what: str


@dataclass(slots=True)
class Stretch:
    """What a walk over part of the chain found."""

    entries: int = 0
    last_seq: int = 0
    last_hash: bytes = b""
    faults: list[Fault] = field(default_factory=list)
    faulty: int = 0
    balances: defaultdict[BalanceKey, int] = field(default_factory=lambda: defaultdict(int))
    asserted: list[tuple[int, Account, Mapping[str, Any], Mapping[str, int]]] = field(default_factory=list)
    scales: list[tuple[int, Mapping[str, int]]] = field(default_factory=list)

    def add(self, fault: Fault) -> None:
        """Count a fault, and keep it while there is room."""
        self.faulty += 1
        if len(self.faults) < FAULTS_KEPT:
            self.faults.append(fault)


def snapshot(engine: Engine) -> Connection:
    """Return a connection whose reads all see one state, until it is closed."""
    if engine.dialect.name == "postgresql":
        return engine.connect().execution_options(isolation_level="REPEATABLE READ")
    connection = engine.connect()
    connection.exec_driver_sql("BEGIN")
    return connection


def said(wrong: Exception) -> str:
    """Return what a driver said, without the statement."""
    return str(wrong.orig if isinstance(wrong, DBAPIError) else wrong)


def walk(connection: Connection, after_seq: int, until_seq: int | None, genesis: bytes) -> Stretch:
    """Check the events behind `after_seq`, up to `until_seq` where that is given.

    Args:
        connection: Inside a transaction that sees one state.
        after_seq: Last event of the stretch before; 0 for the beginning.
        until_seq: Last event of this stretch; None for all there are.
        genesis: Hash before the first event.
    """
    found = Stretch(last_seq=after_seq, last_hash=genesis)
    try:
        if after_seq:
            # Where that event is gone, the stretch before says so, and the next one has nothing to be checked against.
            before = connection.execute(select(event.c.hash).where(event.c.seq == after_seq)).scalar()
            found.last_hash = before or b""
        for rows, legs in _batches(connection, found, until_seq):
            _check(found, rows, legs)
    except UNREADABLE as wrong:
        found.add(Fault(found.last_seq + 1, "event", f"cannot be read, nor what follows: {said(wrong)}"))
    else:
        if until_seq is not None and found.last_seq < until_seq:
            found.add(_gap(found.last_seq + 1, until_seq + 1))
    return found


def _refuse(text: str) -> NoReturn:
    raise ValueError(f"{text} is a float")


_parse = json.JSONDecoder(parse_float=_refuse, parse_constant=_refuse).decode
_encode = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False, check_circular=False
).encode


def _check(found: Stretch, rows: Sequence[Row], legs: dict[int, list[Leg]]) -> None:
    previous, expected = found.last_hash, found.last_seq + 1
    link, canonical_bytes, own_legs = chain.link, chain.canonical_bytes, legs.pop
    is_canonical = _all_canonical(rows)
    for seq, ts_ns, exchange, account_id, kind, body, stored in rows:
        if seq != expected:
            found.add(_gap(expected, seq))
            expected, previous = seq, b""
        own = own_legs(seq, ())
        try:
            computed = link(previous, seq, canonical_bytes(ts_ns, exchange, account_id, kind, body, own))
            if computed != stored and previous:
                found.add(Fault(seq, "event.hash", _mismatch(stored, computed)))
            elif not is_canonical and (problem := _not_canonical(body)):
                found.add(Fault(seq, "event.body", problem))
            if own:
                _move(found, seq, exchange, account_id, own)
            if kind in _NOTED:
                _note(found, seq, (exchange, account_id), kind, body)
        except (ValueError, TypeError, AttributeError, OverflowError, RecursionError) as wrong:
            found.add(Fault(seq, "event", f"cannot be read as an event: {wrong}"))
        previous, expected = stored, expected + 1
    found.entries += len(rows)
    found.last_seq, found.last_hash = expected - 1, previous
    for seq in sorted(legs):
        found.add(Fault(seq, "posting", "belongs to an event that is not there"))


def _move(found: Stretch, seq: int, exchange: str, account_id: str, legs: Sequence[Leg]) -> None:
    balances, sums = found.balances, dict[str, int]()
    for book, asset, amount in legs:
        sums[asset] = sums.get(asset, 0) + amount
        balances[exchange, account_id, book, asset] += amount
    if any(sums.values()):
        found.add(Fault(seq, "posting.amount", f"the legs do not sum to 0 but to {sums}"))


def _all_canonical(rows: Sequence[Row]) -> bool:
    # All bodies at once: one call is three times as fast as thousands. The mark between them, which nobody can know
    # beforehand, keeps halves of two bodies from passing as one.
    mark = secrets.token_hex(8)
    try:
        text = "[" + f',"{mark}",'.join([row[5] for row in rows]) + "]"
        content = _parse(text)
        return _encode(content) == text and {dict}.issuperset(map(type, content[::2]))
    except (ValueError, TypeError, RecursionError):
        return False


def _not_canonical(body: str) -> str:
    try:
        content = _parse(body)
    except (ValueError, TypeError, RecursionError) as wrong:
        return f"is not canonical JSON: {wrong}"
    if not isinstance(content, dict):
        return f"is a {type(content).__name__}, not a mapping"
    return "" if _encode(content) == body else "is not canonical JSON: keys are not in order, or there are blanks"


def _gap(expected: int, seq: int) -> Fault:
    if seq < expected:
        return Fault(seq, "event.seq", f"stands where {expected} was expected")
    missing = seq - expected
    return Fault(expected, "event.seq", "is missing" if missing == 1 else f"is missing, and so are all up to {seq - 1}")


def _mismatch(stored: object, computed: bytes) -> str:
    told = stored.hex()[:16] if isinstance(stored, bytes) else repr(stored)
    return f"is {told}..., its content and the hash before it give {computed.hex()[:16]}..."


def _note(found: Stretch, seq: int, account: Account, kind: str, body: str) -> None:
    content = _parse(body)
    if kind == ASSERTED:
        _note_assertion(found, seq, account, content)
    else:
        found.scales.append((seq, content.get("scales", {})))


def _note_assertion(found: Stretch, seq: int, account: Account, content: Mapping[str, Any]) -> None:
    # What was moved within this stretch up to here; what lies before it is added by whoever has the stretches in order.
    totals: dict[str, int] = defaultdict(int)
    for (exchange, account_id, book, asset), amount in found.balances.items():
        if (exchange, account_id) == account and book in VENUE_BOOKS:
            totals[asset] += amount
    differences = content.get("differences", {})
    claims = {asset: units - differences.get(asset, 0) for asset, units in content.get("balances", {}).items()}
    found.asserted.append((seq, account, claims, dict(totals)))


def _by_event(found: Stretch, rows: Sequence[Row]) -> dict[int, list[Leg]]:
    legs: dict[int, list[Leg]] = {}
    for seq, leg, book, asset, amount in rows:
        own = legs.get(seq)
        if own is None:
            legs[seq] = own = []
        if leg != len(own):
            found.add(Fault(seq, "posting.leg", f"is {leg} where {len(own)} was expected"))
        own.append((book, asset, amount))
    return legs


def _batches(
    connection: Connection, found: Stretch, until_seq: int | None
) -> Iterator[tuple[Sequence[Row], dict[int, list[Leg]]]]:
    end = _MAX if until_seq is None else until_seq
    start, count = _MIN if found.last_seq == 0 else found.last_seq + 1, BATCH_EVENTS
    while start <= end:
        try:
            rows = _rows(connection, _EVENTS, {"start": start, "end": end, "count": count})
            last = rows[-1][0] if len(rows) == count else end
            legs = _by_event(found, _rows(connection, _POSTINGS, {"start": start, "end": last}))
        except UNREADABLE:
            if count == 1:
                raise
            # A damaged page: go on event by event, up to the one that cannot be read.
            count = 1
            continue
        yield rows, legs
        start = last + 1


def _events(columns: Sequence[ColumnElement[Any]]) -> Select[Any]:
    within = event.c.seq.between(bindparam("start"), bindparam("end"))
    return select(*columns).where(within).order_by(event.c.seq).limit(bindparam("count"))


def _postings(columns: Sequence[ColumnElement[Any]]) -> Select[Any]:
    within = posting.c.seq.between(bindparam("start"), bindparam("end"))
    return select(*columns).where(within).order_by(posting.c.seq, posting.c.leg)


_EVENTS = _events(list(event.c))
_POSTINGS = _postings(list(posting.c))


def _rows(connection: Connection, statement: Select[Any], bounds: Mapping[str, int]) -> Sequence[Row]:
    try:
        return _plain(connection.execute(statement, bounds))
    except (DBAPIError, sqlite3.Error) as wrong:
        if "UTF-8" not in str(wrong):
            raise
        raw = _events if statement is _EVENTS else _postings
        table = event if statement is _EVENTS else posting
        readable = [
            cast(each, LargeBinary).label(each.name) if each.type.python_type is str else column(each.name)
            for each in table.c
        ]
        rows = _plain(connection.execute(raw(readable).select_from(table), bounds))
        return [tuple(_text(value, each.name) for value, each in zip(row, table.c, strict=True)) for row in rows]


def _plain(found: CursorResult[Any]) -> Sequence[Row]:
    # Rows as the driver made them: SQLAlchemy's own cost more than everything that is done with them here.
    assert found.cursor is not None
    rows: Sequence[Row] = found.cursor.fetchall()
    found.close()
    return rows


def _text(value: object, name: str) -> object:
    # Whatever cannot be decoded gets a mark that no hash was ever made of.
    return value.decode("utf-8", "replace") if isinstance(value, bytes) and name != "hash" else value
