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
import re
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

from novapulse.core.postings import Book
from novapulse.ledger import chain
from novapulse.ledger.canonical import NotCanonicalError, Shapes, parse
from novapulse.ledger.files import read_only
from novapulse.ledger.kinds import FILLED

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

_SEQ = itemgetter(0)

Row = Sequence[Any]
Account = tuple[str, str]
BalanceKey = tuple[str, str, str, str]
"""Exchange, account, book, asset."""
OrderKey = tuple[str, str, str]
"""Exchange, account, and the order as the body spells it; empty where it names none."""
Moved = tuple[str, Sequence[int], Mapping[str, int]]

_UNMOVED: Moved = ("", (), {})


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


@dataclass(frozen=True, slots=True)
class Source:
    """Where a walk reads: a driver's connection, inside a transaction that sees one state.

    Attributes:
        execute: Runs a statement with its arguments and returns a cursor.
        mark: What stands for an argument.
        errors: What the driver raises for what is damaged.
    """

    execute: Callable[[str, Sequence[int]], Any]
    mark: str = "?"
    errors: tuple[type[Exception], ...] = (sqlite3.Error, UnicodeDecodeError)

    def rows(self, statement: str, *arguments: int) -> Sequence[Row]:
        """Return what a statement with `?` for its arguments gives."""
        rows: Sequence[Row] = self.execute(statement.replace("?", self.mark), arguments).fetchall()
        return rows


def walk(source: Source, after_seq: int, until_seq: int | None, genesis: bytes) -> Stretch:
    """Check the events behind `after_seq`, up to `until_seq` where that is given.

    Args:
        source: Where the events are.
        after_seq: Last event of the stretch before; 0 for the beginning.
        until_seq: Last event of this stretch; None for all there are.
        genesis: Hash before the first event.
    """
    found = Stretch(last_seq=after_seq, last_hash=genesis)
    try:
        if after_seq:
            # Where that event is gone, the stretch before says so, and the next one has nothing to be checked against.
            before = source.rows(_HASH, after_seq)
            found.last_hash = before[0][0] if before else b""
        checker = _Checker(found)
        for rows, legs in _batches(source, found, until_seq):
            checker.check(rows, legs)
    except source.errors as wrong:
        found.add(Fault(found.last_seq + 1, "event", f"cannot be read, nor what follows: {wrong}"))
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


def walk_file(path: Path, after_seq: int, until_seq: int, genesis: bytes) -> Stretch:
    """Check a stretch of a file in a process of its own, which loads little for it: see `walk`."""
    with closing(read_only(path)) as connection, without_collector():
        connection.execute("BEGIN")
        return walk(Source(connection.execute), after_seq, until_seq, genesis)


class _Checker:
    def __init__(self, found: Stretch) -> None:
        self.found = found
        self.shapes = Shapes()
        # What every event says anew is put into words once: few accounts, books and assets are in a ledger.
        self.accounts: dict[Account, str] = {}
        self.texts: dict[tuple[str, str], str] = {}

    def check(self, rows: Sequence[Row], legs: dict[int, list[Row]]) -> None:
        found, accounts, own_legs = self.found, self.accounts, legs.pop
        previous, expected, naming, booked = found.last_hash, found.last_seq + 1, 0, 0
        link, canonical_text, named, move = chain.link, chain.canonical_text, self.shapes.order, self._move
        for seq, ts_ns, exchange, account_id, kind, body, stored in rows:
            if seq != expected:
                found.add(_gap(expected, seq))
                expected, previous = seq, b""
            own = own_legs(seq, None)
            account = exchange, account_id
            try:
                whose = accounts.get(account) or self._account_text(account)
                moved, held, off = _UNMOVED if own is None else move(seq, account, own)
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
                if off:
                    found.add(Fault(seq, "posting.amount", f"the legs do not sum to 0 but to {off}"))
                for amount in held:
                    _hold(found.held, (*account, order), amount)
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

    def _move(self, seq: int, account: Account, legs: Sequence[Row]) -> Moved:
        """Add an event's legs to the balances; return their text, what of them is held, and sums that are not 0."""
        found, texts = self.found, self.texts
        balances = found.balances.get(account)
        if balances is None:
            balances = found.balances[account] = defaultdict(int)
        parts: list[str] = []
        held: tuple[int, ...] = ()
        sums: dict[str, int] = {}
        for _, leg, book, asset, amount in legs:
            if leg != len(parts):
                found.add(Fault(seq, "posting.leg", f"is {leg} where {len(parts)} was expected"))
            key = book, asset
            parts.append(f"{texts.get(key) or self._leg_text(key)}{amount}")
            balances[key] += amount
            sums[asset] = sums.get(asset, 0) + amount
            if book == _HOLD:
                held = (*held, amount)
        return "".join(parts), held, sums if any(sums.values()) else {}

    def _leg_text(self, key: tuple[str, str]) -> str:
        text = chain.leg_text(*key)
        if len(self.texts) < _TEXTS_MAX:
            self.texts[key] = text
        return text


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


def _batches(
    source: Source, found: Stretch, until_seq: int | None
) -> Iterator[tuple[Sequence[Row], dict[int, list[Row]]]]:
    end = _MAX if until_seq is None else until_seq
    start, count = _MIN if found.last_seq == 0 else found.last_seq + 1, BATCH_EVENTS
    while start <= end:
        try:
            rows = _rows(source, _EVENTS, start, end, count)
            last = rows[-1][0] if len(rows) == count else end
            postings = _rows(source, _POSTINGS, start, last)
        except source.errors:
            if count == 1:
                raise
            # A damaged page: go on event by event, up to the one that cannot be read.
            count = 1
            continue
        yield rows, {seq: list(own) for seq, own in groupby(postings, key=_SEQ)}
        start = last + 1


_HASH = "SELECT hash FROM event WHERE seq = ?"
_EVENTS = """SELECT seq, ts_ns, exchange, account_id, kind, body, hash FROM event
WHERE seq BETWEEN ? AND ? ORDER BY seq LIMIT ?"""
_POSTINGS = "SELECT seq, leg, book, asset, amount FROM posting WHERE seq BETWEEN ? AND ? ORDER BY seq, leg"
_TEXTS = re.compile(r"\b(exchange|account_id|kind|body|book|asset)\b(?=.* FROM )")
"""Columns of text, where they are selected."""
_HASH_AT = 6


def _rows(source: Source, statement: str, *bounds: int) -> Sequence[Row]:
    try:
        return source.rows(statement, *bounds)
    except source.errors as wrong:
        if "UTF-8" not in str(wrong):
            raise
    # Whatever cannot be decoded gets a mark that no hash was ever made of.
    as_bytes = source.rows(_TEXTS.sub(r"CAST(\1 AS BLOB)", statement), *bounds)
    return [
        tuple(
            value.decode("utf-8", "replace") if isinstance(value, bytes) and at != _HASH_AT else value
            for at, value in enumerate(row)
        )
        for row in as_bytes
    ]
