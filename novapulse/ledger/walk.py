"""A stretch of the chain, read in batches and checked row by row; several processes can walk several stretches at once.

Invariants:
- an event is checked against the stored hash of the one before it, so that one changed row is one fault, and stretches
  can be walked apart from each other;
- nothing is taken for granted about a row: text that is no UTF-8, a body that is no JSON or a time that is text is a
  fault with a name, never an exception;
- memory is bounded by the batch; what grows is one row for each balance, for each balance assertion and for each order
  that holds something where the stretch ends.
"""

import gc
import sqlite3
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, CursorResult, Engine, LargeBinary, bindparam, cast, column, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql import Select
from sqlalchemy.sql.elements import ColumnElement

from novapulse.core.postings import Book
from novapulse.ledger import chain
from novapulse.ledger.canonical import NotCanonicalError, Shapes, parse
from novapulse.ledger.drafts import FILLED
from novapulse.ledger.opening import reader
from novapulse.ledger.schema import event, posting

UNREADABLE = (DBAPIError, sqlite3.Error, UnicodeDecodeError)
"""What a driver raises for a damaged file."""

BATCH_EVENTS = 256
"""As many as stay near the processor; more at once are read no faster and checked slower."""
FAULTS_KEPT = 100

VENUE_BOOKS = frozenset({Book.CASH, Book.HOLD, Book.INVENTORY})
"""What a venue counts as held."""

_MIN, _MAX = -(2**63), 2**63 - 1

ASSERTED, OPENED = "balance_asserted", "account_opened"
_NOTED = frozenset({ASSERTED, OPENED})
_HOLD = Book.HOLD.value
_TEXTS_MAX = 10_000

Row = Sequence[Any]
Account = tuple[str, str]
Amount = tuple[tuple[str, str], int]
"""Book and asset, and what of it was moved."""
BalanceKey = tuple[str, str, str, str]
"""Exchange, account, book, asset."""
OrderKey = tuple[str, str, str]
"""Exchange, account, and the order as the body spells it; empty where it names none."""


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
    """What a walk over part of the chain found.

    Attributes:
        entries: Events that were read.
        last_seq: The last one.
        last_hash: Its hash as stored.
        faults: The first of what is wrong.
        faulty: How much is wrong.
        naming: How many events name an order.
        booked: How many book an execution.
        balances: Account -> (book, asset) -> what was moved.
        held: What orders hold since the stretch began, and the least it was in between: those of (0, 0) are left out.
        asserted: Balances that a venue showed, and what was moved within the stretch until then.
        scales: Scales that accounts were opened with.
    """

    entries: int = 0
    last_seq: int = 0
    last_hash: bytes = b""
    faults: list[Fault] = field(default_factory=list)
    faulty: int = 0
    naming: int = 0
    booked: int = 0
    balances: dict[Account, defaultdict[tuple[str, str], int]] = field(default_factory=dict)
    held: dict[OrderKey, tuple[int, int]] = field(default_factory=dict)
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
        checker = _Checker(found)
        for rows, legs in _batches(connection, found, until_seq):
            checker.check(rows, legs)
    except UNREADABLE as wrong:
        found.add(Fault(found.last_seq + 1, "event", f"cannot be read, nor what follows: {said(wrong)}"))
    else:
        if until_seq is not None and found.last_seq < until_seq:
            found.add(_gap(found.last_seq + 1, until_seq + 1))
    return found


@contextmanager
def without_collector() -> Iterator[None]:
    """Spare the interpreter's search for cycles: among millions of tuples without one it costs a tenth of the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def walk_apart(where: str | Path, after_seq: int, until_seq: int, genesis: bytes) -> Stretch:
    """Check a stretch in a process of its own, which loads little for it: see `walk`."""
    engine = reader(where)
    try:
        with snapshot(engine) as connection, without_collector():
            return walk(connection, after_seq, until_seq, genesis)
    finally:
        engine.dispose()


class _Checker:
    def __init__(self, found: Stretch) -> None:
        self.found = found
        self.shapes = Shapes()
        # What every event says anew is put into words once: few accounts, books and assets are in a ledger.
        self.accounts: dict[Account, str] = {}
        self.texts: dict[tuple[str, str], str] = {}

    def check(self, rows: Sequence[Row], legs: dict[int, list[Amount]]) -> None:
        found, accounts, own_legs = self.found, self.accounts, legs.pop
        previous, expected, naming, booked = found.last_hash, found.last_seq + 1, 0, 0
        link, canonical_text, named = chain.link, chain.canonical_text, self.shapes.order
        for seq, ts_ns, exchange, account_id, kind, body, stored in rows:
            if seq != expected:
                found.add(_gap(expected, seq))
                expected, previous = seq, b""
            own = own_legs(seq, ())
            account = exchange, account_id
            try:
                whose = accounts.get(account) or self._account_text(account)
                moved = self._legs_text(own) if own else ""
                computed = link(previous, seq, canonical_text(ts_ns, whose, kind, body, moved).encode())
                order = ""
                if computed != stored and previous:
                    found.add(Fault(seq, "event.hash", _mismatch(stored, computed)))
                else:
                    try:
                        order = named(kind, body)
                    except NotCanonicalError as wrong:
                        found.add(Fault(seq, "event.body", str(wrong)))
                    if order:
                        naming += 1
                if kind == FILLED:
                    booked += 1
                if own:
                    self._move(seq, account, order, own)
                if kind in _NOTED:
                    _note(found, seq, account, kind, body)
            except (ValueError, TypeError, AttributeError, OverflowError, RecursionError) as wrong:
                found.add(Fault(seq, "event", f"cannot be read as an event: {wrong}"))
            previous, expected = stored, expected + 1
        found.entries += len(rows)
        found.naming += naming
        found.booked += booked
        found.last_seq, found.last_hash = expected - 1, previous
        for seq in sorted(legs):
            found.add(Fault(seq, "posting", "belongs to an event that is not there"))

    def _account_text(self, account: Account) -> str:
        text = chain.account_text(*account)
        if len(self.accounts) < _TEXTS_MAX:
            self.accounts[account] = text
        return text

    def _legs_text(self, legs: Sequence[Amount]) -> str:
        texts = self.texts
        try:
            return "".join([f"{texts[key]}{amount}" for key, amount in legs])
        except KeyError:
            for key, _ in legs:
                if len(texts) < _TEXTS_MAX:
                    texts[key] = chain.leg_text(*key)
            return "".join([f"{texts.get(key) or chain.leg_text(*key)}{amount}" for key, amount in legs])

    def _move(self, seq: int, account: Account, order: str, legs: Sequence[Amount]) -> None:
        found = self.found
        balances = found.balances.get(account)
        if balances is None:
            balances = found.balances[account] = defaultdict(int)
        sums: dict[str, int] = {}
        for key, amount in legs:
            balances[key] += amount
            book, asset = key
            sums[asset] = sums.get(asset, 0) + amount
            if book == _HOLD:
                _hold(found.held, (*account, order), amount)
        if any(sums.values()):
            found.add(Fault(seq, "posting.amount", f"the legs do not sum to 0 but to {sums}"))


def _hold(held: dict[OrderKey, tuple[int, int]], order: OrderKey, amount: int) -> None:
    before, least = held.get(order, (0, 0))
    after = before + amount
    if after or least < 0:
        held[order] = after, min(least, after)
    else:
        held.pop(order, None)


def _gap(expected: int, seq: int) -> Fault:
    if seq < expected:
        return Fault(seq, "event.seq", f"stands where {expected} was expected")
    missing = seq - expected
    return Fault(expected, "event.seq", "is missing" if missing == 1 else f"is missing, and so are all up to {seq - 1}")


def _mismatch(stored: object, computed: bytes) -> str:
    told = stored.hex()[:16] if isinstance(stored, bytes) else repr(stored)
    return f"is {told}..., its content and the hash before it give {computed.hex()[:16]}..."


def _note(found: Stretch, seq: int, account: Account, kind: str, body: str) -> None:
    content = parse(body)
    if kind == ASSERTED:
        _note_assertion(found, seq, account, content)
    else:
        found.scales.append((seq, content.get("scales", {})))


def _note_assertion(found: Stretch, seq: int, account: Account, content: Mapping[str, Any]) -> None:
    # What was moved within this stretch up to here; what lies before it is added by whoever has the stretches in order.
    totals: dict[str, int] = defaultdict(int)
    for (book, asset), amount in found.balances.get(account, {}).items():
        if book in VENUE_BOOKS:
            totals[asset] += amount
    differences = content.get("differences", {})
    claims = {asset: units - differences.get(asset, 0) for asset, units in content.get("balances", {}).items()}
    found.asserted.append((seq, account, claims, dict(totals)))


def _by_event(found: Stretch, rows: Sequence[Row]) -> dict[int, list[Amount]]:
    legs: dict[int, list[Amount]] = {}
    for seq, leg, book, asset, amount in rows:
        own = legs.get(seq)
        if own is None:
            legs[seq] = own = []
        if leg != len(own):
            found.add(Fault(seq, "posting.leg", f"is {leg} where {len(own)} was expected"))
        own.append(((book, asset), amount))
    return legs


def _batches(
    connection: Connection, found: Stretch, until_seq: int | None
) -> Iterator[tuple[Sequence[Row], dict[int, list[Amount]]]]:
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
_SPELLED = {
    _EVENTS: "SELECT seq, ts_ns, exchange, account_id, kind, body, hash FROM event "
    "WHERE seq BETWEEN ? AND ? ORDER BY seq LIMIT ?",
    _POSTINGS: "SELECT seq, leg, book, asset, amount FROM posting WHERE seq BETWEEN ? AND ? ORDER BY seq, leg",
}


def _rows(connection: Connection, statement: Select[Any], bounds: Mapping[str, int]) -> Sequence[Row]:
    try:
        if connection.dialect.name == "sqlite":
            # Past SQLAlchemy, which costs as much as the check of thirty events.
            raw: Any = connection.connection.driver_connection
            rows: Sequence[Row] = raw.execute(_SPELLED[statement], tuple(bounds.values())).fetchall()
            return rows
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
