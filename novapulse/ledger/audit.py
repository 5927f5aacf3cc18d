"""The proof of a ledger: every event, every hash, every leg, every table that only follows from them, and the states.

Invariants:
- an audit reads one state and writes nothing; a trader may go on writing beside it;
- it never stops at the first fault: the chain goes on from what is stored, so that one changed row is one fault;
- what it cannot see it says: a chain that was made anew from some event to the end agrees with itself. Only a head that
  was noted elsewhere (`head`) tells, so the head is part of every answer.
"""

import multiprocessing
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, Row, select

from novapulse.core.ports import Unwritable
from novapulse.ledger import chain
from novapulse.ledger.checkpoints import check_checkpoints
from novapulse.ledger.guards import check_guards, check_revision
from novapulse.ledger.opening import Place, SchemaError, reader
from novapulse.ledger.projections import Check, Claims, alike, check_beside, check_claims, checks
from novapulse.ledger.schema import REVISION, event, ledger
from novapulse.ledger.snapshots import UNREADABLE, said, snapshot, source_of, walk_server
from novapulse.ledger.twins import twin_checks
from novapulse.ledger.walk import FAULTS_KEPT, Fault, Stretch, walk, walk_file, without_collector

PARALLEL_EVENTS_MIN = 100_000
"""Shorter ledgers are walked by one process: starting more takes longer than the walk."""

PART_EVENTS = 5_000
"""As much as one process takes at a time of a long ledger."""

_MESSAGES_MAX = 20
_TRIES = 5
TOLD_EVENTS = 5_000
"""After as many entries somebody hears how far an audit is, and may end it."""


class HeadError(ValueError):
    """What was given as a noted head is no hash."""


@dataclass(frozen=True, slots=True)
class Audit:
    """What an audit found.

    Attributes:
        place: Where the ledger lies.
        ledger_id: Its name.
        entries: Events that were read.
        head_seq: The last one.
        head_hash: Its hash, hex: note it elsewhere.
        faults: What is wrong: with the events, the first one first, then with what follows from them; at most a hundred
            of each.
        faulty: How many faults there are.
    """

    place: str
    ledger_id: str
    entries: int
    head_seq: int
    head_hash: str
    faults: tuple[Fault, ...]
    faulty: int

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.faulty

    @property
    def first_bad(self) -> Fault | None:
        """The fault of the earliest event that is not as it was written; None when nothing is wrong."""
        return self.faults[0] if self.faults else None


Progress = Callable[[int, int], object]
"""Called with entries walked and entries in all."""


def audit(where: str | Path, *, head: str = "", processes: int = 1, told: Progress | None = None) -> Audit:
    """Check a whole ledger.

    Args:
        where: A path, `sqlite:///PATH` or `postgresql://HOST/DATABASE`.
        head: Hash, hex, that this ledger had at its head at some time; empty when none was noted.
        processes: How many walk a long ledger; more than one needs a program that may be started again by import.
        told: How far the walk is; what it raises ends the audit. Only for one process.

    Raises:
        HeadError: `head` is no hash.
        SchemaError: It is no ledger, or one of a newer schema than this code knows.
        Unwritable: It is not there, or so damaged that not even its name can be read.
    """
    assert told is None or processes == 1
    engine = reader(where)
    try:
        with _one_state(engine, where) as (connection, beside), without_collector():
            return _Auditor(connection, beside, where, processes, told).run(head)
    finally:
        engine.dispose()


@contextmanager
def _one_state(engine: Engine, where: str | Path) -> Iterator[tuple[Connection, Connection]]:
    """Give two connections that see one state, or twice the same one where somebody writes between any two."""
    for _ in range(_TRIES):
        with snapshot(engine) as one, snapshot(engine) as other:
            if _head(one, where) == _head(other, where):
                yield one, other
                return
    with snapshot(engine) as one:
        yield one, one


class _InTurn(Executor):
    """Does in its caller's thread and at once what a pool would do beside it."""

    def submit(self, does: Callable[..., Any], /, *args: Any, **named: Any) -> "Future[Any]":
        done: Future[Any] = Future()
        done.set_result(does(*args, **named))
        return done


def _head(connection: Connection, where: str | Path) -> Row[Any]:
    try:
        row = connection.execute(select(ledger).order_by(ledger.c.one)).first()
    except UNREADABLE as wrong:
        if any(word in said(wrong) for word in ("malformed", "decode", "disk I/O")):
            raise Unwritable(f"{where}: the file is damaged: {said(wrong)}") from wrong
        raise SchemaError(f"{where}: is not a ledger ({said(wrong)})") from wrong
    if row is None:
        raise SchemaError(f"{where}: is not a ledger, its name is gone")
    if row.revision >= row.oldest_revision > REVISION:
        raise SchemaError(f"{where}: schema {row.revision} is newer than {REVISION}, the newest that is known here")
    return row


class _Auditor:
    def __init__(
        self, connection: Connection, beside: Connection, where: str | Path, processes: int, told: Progress | None
    ) -> None:
        self.connection = connection
        self.beside = beside
        self.where = where
        self.processes = processes
        self.told = told
        self.found = Stretch()

    def run(self, head: str) -> Audit:
        noted = _noted_hash(head)
        row = _head(self.connection, self.where)
        genesis = chain.genesis(row.ledger_id)
        claims = Claims()
        with _InTurn() if self.beside is self.connection else ThreadPoolExecutor(1) as pool:
            # The database works outside of the interpreter's lock: what it can check goes on beside the walk.
            rows, tables = pool.submit(self._alike), pool.submit(self._check_tables, row.revision)
            try:
                for stretch in self._stretches(row.head_seq, genesis, tables):
                    self._take(stretch, genesis)
                    claims.take(stretch)
            except BaseException:
                tables.cancel()
                _interrupt(self.beside)
                raise
            self._check_head(row.head_seq, bytes(row.head_hash), genesis)
            follows = [
                *_guarded(self.connection, "head", partial(_check_noted, noted=noted, genesis=genesis)),
                *_guarded(self.connection, "balance", partial(check_claims, claims=claims)),
                *self._check_given(claims, {} if self.found.faulty else rows.result()),
                *_guarded(self.connection, "ledger", partial(check_beside, head_seq=self.found.last_seq)),
                *tables.result(),
            ]
        # What is wrong with the events comes first: whatever follows from them may be wrong because of it.
        faults = *sorted(self.found.faults, key=_place), *sorted(follows, key=_place)[:FAULTS_KEPT]
        return Audit(
            place=str(Place.of(self.where)),
            ledger_id=row.ledger_id,
            entries=self.found.entries,
            head_seq=self.found.last_seq,
            head_hash=self.found.last_hash.hex(),
            faults=faults,
            faulty=self.found.faulty + len(follows),
        )

    def _check_given(self, claims: Claims, rows: Mapping[str, int]) -> list[Fault]:
        left = checks(claims, rows)
        return [fault for name, check in left.items() for fault in _guarded(self.connection, name, check)]

    def _alike(self) -> Mapping[str, int]:
        try:
            if self.beside.dialect.name == "sqlite":
                return alike(self.beside)
            with self.beside.begin_nested():
                return alike(self.beside)
        except UNREADABLE:
            # A body that is no JSON, or a page that is none: the walk names it, and every row is compared by itself.
            return {}

    def _check_tables(self, revision: int) -> list[Fault]:
        checks: dict[str, Check] = {
            "checkpoint": check_checkpoints,
            "ledger.revision": check_revision,
            "schema": check_guards,
            "file": _damage,
            **twin_checks(revision),
        }
        return [fault for name, check in checks.items() for fault in _guarded(self.beside, name, check)]

    def _stretches(self, head_seq: int, genesis: bytes, beside: "Future[list[Fault]]") -> Iterator[Stretch]:
        source, path = source_of(self.connection), Place.of(self.where).path
        if self.told is not None:
            for first in range(0, head_seq, TOLD_EVENTS):
                self.told(first, head_seq)
                yield walk(source, first, min(first + TOLD_EVENTS, head_seq), genesis)
            self.told(head_seq, head_seq)
            yield walk(source, head_seq, None, genesis)
            return
        if self.processes < 2 or head_seq < PARALLEL_EVENTS_MIN:
            yield walk(source, 0, None, genesis)
            return
        cuts = [*range(0, head_seq, PART_EVENTS), head_seq]
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(self.processes - 1, mp_context=context) as pool:
            # The others begin at the end and this one at the beginning: who is slower leaves more of the middle. It
            # begins when what goes on beside it is done: not more go on at a time than were asked for.
            apart = partial(walk_server, self.where) if path is None else partial(walk_file, path)
            parts = [(pool.submit(apart, *part, genesis), part) for part in [*pairwise(cuts)][::-1]]
            wait([beside])
            for walked, part in reversed(parts):
                yield walk(source, part[0], part[1], genesis) if walked.cancel() else walked.result()
        # What the others may see behind the head came after this audit began; here it would be a fault.
        yield walk(source, head_seq, None, genesis)

    def _take(self, stretch: Stretch, genesis: bytes) -> None:
        found = self.found
        found.entries += stretch.entries
        found.faulty += stretch.faulty
        found.faults += stretch.faults[: FAULTS_KEPT - len(found.faults)]
        if stretch.entries or found.last_seq == 0:
            found.last_seq, found.last_hash = stretch.last_seq, stretch.last_hash or genesis

    def _check_head(self, head_seq: int, head_hash: bytes, genesis: bytes) -> None:
        found = self.found
        if head_seq != found.last_seq:
            missing = f"the events end at {found.last_seq}"
            found.add(Fault(min(head_seq, found.last_seq) + 1, "ledger.head_seq", f"is {head_seq}, {missing}"))
        elif head_hash != (found.last_hash or genesis):
            found.add(Fault(head_seq or None, "ledger.head_hash", "is not the hash of the last event"))


def _interrupt(connection: Connection) -> None:
    """End what a connection does for another thread, where the database lets a thread do that."""
    if connection.dialect.name == "sqlite":
        raw: Any = connection.connection.dbapi_connection
        raw.interrupt()


def _place(fault: Fault) -> tuple[bool, int]:
    return fault.seq is None, fault.seq or 0


def _noted_hash(head: str) -> bytes:
    try:
        noted = bytes.fromhex(head)
    except ValueError:
        noted = b"?"
    if noted and len(noted) != chain.HASH_BYTES:
        raise HeadError(f"head {head!r}: expected {2 * chain.HASH_BYTES} hex digits, as an audit prints them")
    return noted


def _check_noted(connection: Connection, noted: bytes, genesis: bytes) -> Iterator[Fault]:
    if noted in (b"", genesis):
        return
    if connection.execute(select(event.c.seq).where(event.c.hash == noted)).first() is None:
        yield Fault(None, "head", f"{noted.hex()[:16]}... was noted and no event has it: the past was rewritten")


def _guarded(connection: Connection, where: str, check: Callable[[Connection], Iterable[Fault]]) -> list[Fault]:
    try:
        if connection.dialect.name == "sqlite":
            return list(check(connection))
        with connection.begin_nested():
            return list(check(connection))
    except UNREADABLE as wrong:
        return [Fault(None, where, f"cannot be read: {said(wrong)}")]


def _damage(connection: Connection) -> Iterator[Fault]:
    if connection.dialect.name == "sqlite":
        said = connection.exec_driver_sql(f"PRAGMA integrity_check({_MESSAGES_MAX})").scalars().all()
        for message in said:
            if message != "ok":
                yield Fault(None, "file", str(message))
