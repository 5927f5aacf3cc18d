"""What is read through the writer's connection: the head, records, and what a trader starts from.

Invariants:
- reads take turns with writes, so they see whole transactions;
- records come in the order of their numbers, a thousand at a time in memory.
"""

import heapq
import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from novapulse.core.facts import KINDS
from novapulse.core.instruments import AccountKey
from novapulse.core.kept_state import check_seal
from novapulse.core.messages import Record
from novapulse.core.ports import Unwritable
from novapulse.core.postings import Book, Posting
from novapulse.ledger.lease import Lease, Leases
from novapulse.ledger.schema import STEPS
from novapulse.ledger.statements import Statements
from novapulse.ledger.storage import Storage

_CHUNK = 1000

STARTED = "session_started"
"""An account that has one was traded, and has a state since."""

RESTORED = "ledger_restored"
"""A backup was put in the place of a ledger that had gone on, or may have: what came after it is not here."""

WITHOUT_STATE = frozenset({"session_stopped", "account_ended", "calibration_learned", "instrument_listed", RESTORED})
"""Kinds of records that are written beside the trader: no state follows from them."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A record as the ledger has it: its number, and what was written."""

    seq: int
    record: Record


@dataclass(frozen=True, slots=True)
class RestoredAccount:
    """What a trader starts from.

    Attributes:
        account: Whose.
        ts_close_ns: Close of the last decided bar; 0 before the first.
        state: The trader's state, as it was handed over; empty before the first.
        seq: The state follows from the account's records up to here.
        entries: Records behind that.
        open_facts: Facts of all orders that were intended and not closed, in order.
        balances: (book, asset) -> units, without those of 0.
    """

    account: AccountKey
    ts_close_ns: int
    state: bytes
    seq: int
    entries: tuple[Entry, ...]
    open_facts: tuple[Entry, ...]
    balances: Mapping[tuple[Book, str], int]

    def check(self) -> None:
        """Refuse a state that is not the last one that was written here; what was traded must never start from nothing.

        Raises:
            ValueError: It is missing, damaged, of another account, or older than the records.
        """
        told = f"the ledger's state of account {self.account.account_id!r} on {self.account.exchange}"
        if self.state:
            try:
                check_seal(self.state, self.account, self.ts_close_ns, self.seq)
            except ValueError as wrong:
                raise ValueError(f"{told} cannot be relied on: {wrong}") from wrong
            behind = next((entry for entry in self.entries if entry.record.kind not in WITHOUT_STATE), None)
            if behind is not None:
                kind = behind.record.kind
                raise ValueError(f"{told} ends at entry {self.seq}, before entry {behind.seq} ({kind}) was written")
        elif (started := next((entry for entry in self.entries if entry.record.kind == STARTED), None)) is not None:
            raise ValueError(f"{told} is missing, and entry {started.seq} says that it was traded")


def _joined(events: Sequence[Any], legs: Sequence[Any], place: str) -> Iterator[Entry]:
    of: dict[int, list[Posting]] = {}
    for seq, book, asset, amount in legs:
        of.setdefault(seq, []).append(Posting(Book(book), asset, amount))
    for seq, ts_ns, kind, body in events:
        try:
            told = json.loads(body)
        except ValueError as wrong:
            damage = f"entry {seq} ({kind}) in it is damaged ({wrong})"
            raise Unwritable(f"{place}: not read, {damage}: 'novapulse ledger audit' says what else is") from wrong
        yield Entry(seq, Record(kind, ts_ns, told, tuple(of.get(seq, ()))))


class Reads:
    """What can be asked of an open ledger.

    Attributes:
        storage: Its connection.
        place: Where it lies, without passwords.
        ledger_id: Its name, made once.
        leases: Who may write.
    """

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self.place = storage.place
        self.leases = Leases(storage)
        self._sql = Statements.of(storage)
        self._lock = threading.RLock()
        self.ledger_id = str(storage.execute("SELECT ledger_id FROM ledger").fetchone()[0])
        self._scales: dict[str, int] = dict(storage.execute(self._sql.read_assets).fetchall())

    @contextmanager
    def reading(self) -> Iterator[Storage]:
        """Hold the storage for reads.

        Raises:
            Unwritable: The storage could not be read.
        """
        with self._lock:
            try:
                yield self.storage
            except self.storage.errors as error:
                raise self.storage.failure(error) from error

    @property
    def assets(self) -> Mapping[str, int]:
        """Registered assets and their scales."""
        return dict(self._scales)

    def lease(self, account: AccountKey) -> Lease | None:
        """Return an account's lease, ours or not; None where there was never one."""
        with self.reading():
            return self.leases.read(account)

    def head(self) -> tuple[int, bytes]:
        """Return number and hash of the last event; 0 and the hash of the ledger's name before the first."""
        with self.reading() as storage:
            seq, digest = storage.execute(self._sql.head.removesuffix(" FOR UPDATE")).fetchone()
        return int(seq), bytes(digest)

    def records(self, account: AccountKey, kinds: Sequence[str] | None = None, after_seq: int = 0) -> Iterator[Entry]:
        """Return an account's records up to the present head, in order, a thousand at a time in memory.

        Args:
            account: Whose.
            kinds: Only these; all by default.
            after_seq: Only those behind this number.
        """
        until, _ = self.head()
        if kinds is None:
            return self._entries((), (account.exchange, account.account_id), after_seq, until)
        here = (account.exchange, account.account_id)
        parts = [self._entries((kind,), here, after_seq, until) for kind in sorted(set(kinds))]
        return heapq.merge(*parts, key=lambda entry: entry.seq)

    def _entries(self, kind: tuple[str, ...], here: tuple[str, str], after: int, until: int) -> Iterator[Entry]:
        sql = self._sql
        read = sql.read_events, sql.read_legs
        if kind:
            is_step = kind[0] in STEPS
            read = (
                (sql.read_events_of_step, sql.read_legs_of_step)
                if is_step
                else (sql.read_events_of_kind, sql.read_legs_of_kind)
            )
        while True:
            with self.reading() as storage:
                events = storage.execute(read[0], (*kind, *here, after, until, _CHUNK)).fetchall()
                last = events[-1][0] if events else after
                legs = storage.execute(read[1], (*kind, *here, after, last)).fetchall() if events else []
            yield from _joined(events, legs, self.place)
            if len(events) < _CHUNK:
                return
            after = last

    def restore(self, account: AccountKey) -> RestoredAccount:
        """Return what a trader starts from.

        Raises:
            Unwritable: The storage could not be read.
        """
        here = (account.exchange, account.account_id)
        with self.reading() as storage:
            found = storage.execute(self._sql.read_checkpoint, here).fetchone()
            ts_close_ns, seq, state = (0, 0, b"") if found is None else found
            entries = tuple(self.records(account, after_seq=seq))
            events = storage.execute(self._sql.read_open_events, here + here).fetchall()
            legs = storage.execute(self._sql.read_open_legs, here + here).fetchall()
            balances = storage.execute(self._sql.read_balances, here).fetchall()
        return RestoredAccount(
            account,
            ts_close_ns,
            bytes(state),
            seq,
            entries,
            tuple(entry for entry in _joined(events, legs, self.place) if entry.record.kind in KINDS),
            {(Book(book), asset): amount for book, asset, amount in balances},
        )
