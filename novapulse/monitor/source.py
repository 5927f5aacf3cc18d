"""A ledger as the monitor reads it: only what is new, in one state, through one connection that cannot write.

Invariants:
- entries, their legs and the traders' states are read in one transaction: they belong together;
- what was taken in stays: a ledger that cannot be read leaves what was proven last, and says why;
- before anything new is taken in, the last entry that was taken in must still be there with its hash: otherwise it is
  another ledger, or an older copy of this one, and everything is read anew.
"""

import json
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import Connection, Engine, select
from sqlalchemy.exc import DBAPIError

from novapulse.core.instruments import AccountKey
from novapulse.core.kept_state import Kept, check_seal
from novapulse.core.messages import Record
from novapulse.core.ports import JournalError
from novapulse.core.postings import Book, Posting
from novapulse.ledger.opening import Place, reader
from novapulse.ledger.reads import Entry
from novapulse.ledger.schema import asset, checkpoint, event, ledger, posting
from novapulse.ledger.snapshots import said
from novapulse.monitor.fold import AccountFold, is_told
from novapulse.monitor.state import LedgerHealth

CHUNK = 1_000
BUSY_MS = 250
"""How long a reading waits for a foreign lock: the next one comes soon enough."""

_LOCKED = ("locked", "busy")
_DAMAGED = ("malformed", "not a database", "corrupt", "disk image", "no such table", "no such column")
UNFIT = (ValueError, KeyError, TypeError, AttributeError, IndexError, AssertionError)
"""What an entry raises that does not hold what its kind says."""


@dataclass(slots=True)
class Known:
    """One account as far as its ledger was read.

    Attributes:
        fold: Of its entries.
        state: The trader's state as the ledger keeps it.
        kept: The same, decoded; None before the first close, or where it cannot be read.
        problem: Why it cannot; empty otherwise.
        broken: Which entry could not be taken in, and why; nothing behind it was. Empty where all were.
    """

    fold: AccountFold
    state: bytes = b""
    kept: Kept | None = None
    problem: str = ""
    broken: str = ""

    def take(self, seq: int, kind: str, ts_ns: int, body: str, legs: Sequence[Posting]) -> None:
        """Take an entry in, as long as all before it could be."""
        if self.broken:
            return
        if not legs and not is_told(kind):
            # Nothing of it is shown: it is not even read.
            self.fold.pass_over(seq, ts_ns)
            return
        try:
            self.fold.take(Entry(seq, Record(kind, ts_ns, json.loads(body), tuple(legs))))
        except UNFIT as wrong:
            self.broken = f"entry {seq} ({kind}) cannot be read: {wrong!r}"


@dataclass(slots=True)
class Taken:
    """Everything that was taken in of one ledger."""

    ledger_id: str = ""
    seq: int = 0
    hash: bytes = b""
    head_ns: int | None = None
    scales: dict[str, int] = field(default_factory=dict)
    accounts: dict[AccountKey, Known] = field(default_factory=dict)


class Source:
    """The ledger of a home folder.

    Attributes:
        place: Where it lies.
        taken: What was read of it so far.
        health: How it could be read the last time.
        problem: What was wrong with it, in words.
        is_read: Whether it could be read the last time, single entries apart.
    """

    def __init__(self, where: str | Path) -> None:
        """Name the ledger; nothing is opened yet.

        Raises:
            ValueError: It is an URL of another kind of database.
        """
        self._where = where
        self.place = Place.of(where)
        self.taken = Taken()
        self.health = LedgerHealth.MISSING
        self.problem = ""
        self.is_read = False
        self._engine: Engine | None = None
        self._connection: Connection | None = None
        self._file: tuple[int, int] | None = None
        self._mark: object = None
        self._replaced = ""

    def look(self) -> bool:
        """Take in what is new.

        Returns:
            Whether the ledger could be read; `health` and `problem` say how.
        """
        try:
            changed = self._changed()
            if changed is not None:
                self._read()
                self._mark = changed
        except DBAPIError as wrong:
            self._failed(_kind_of(said(wrong)), said(wrong))
        except JournalError as wrong:
            self._failed(LedgerHealth.MISSING, str(wrong))
        except OSError as wrong:
            self._failed(LedgerHealth.UNREACHABLE, wrong.strerror or str(wrong))
        except UNFIT as wrong:
            self._failed(LedgerHealth.DAMAGED, f"{self.place}: {type(wrong).__name__}: {wrong}")
        else:
            self.is_read = True
            self._judge()
            return True
        return False

    def _judge(self) -> None:
        broken = [
            f"{key.account_id} at {key.exchange}: {known.broken}"
            for key, known in sorted(self.taken.accounts.items())
            if known.broken
        ]
        self.problem = "; ".join([*([self._replaced] if self._replaced else []), *broken])
        self.health = LedgerHealth.REPLACED if self._replaced else LedgerHealth.OK
        if broken:
            self.health = LedgerHealth.DAMAGED

    def accept(self) -> None:
        """Take the ledger that lies there now for the right one: the trader that runs says that it writes it."""
        if self._replaced:
            self._replaced = ""
            self._judge()

    def close(self) -> None:
        """Give the connection back."""
        connection, engine, self._connection, self._engine = self._connection, self._engine, None, None
        self._mark = self._file = None
        if connection is not None:
            with suppress(DBAPIError):
                connection.close()
        if engine is not None:
            engine.dispose()

    def _failed(self, health: LedgerHealth, problem: str) -> None:
        self.health, self.problem, self.is_read = health, problem, False
        self.close()

    # ---- whether anything happened ----

    def _changed(self) -> object:
        """Return a mark of the present state; None where it is the one that was read."""
        path = self.place.path
        if path is not None:
            if not path.is_file():
                raise JournalError(f"{path}: there is no such ledger")
            found = os.stat(path)
            if (found.st_dev, found.st_ino) != self._file:
                self.close()
                self._file = found.st_dev, found.st_ino
        if self._connection is None:
            self._engine = reader(self._where)
            self._connection = self._engine.connect()
            if path is None:
                self._connection = self._connection.execution_options(isolation_level="REPEATABLE READ")
            else:
                self._connection.exec_driver_sql(f"PRAGMA busy_timeout = {BUSY_MS}")
        mark = self._version(self._connection)
        return None if mark == self._mark else mark

    def _version(self, connection: Connection) -> object:
        if self.place.path is not None:
            # It changes with every commit of another connection, whatever it wrote; nothing is read for it.
            return connection.exec_driver_sql("PRAGMA data_version").scalar()
        states = select(checkpoint.c.exchange, checkpoint.c.account_id, checkpoint.c.ts_close_ns, checkpoint.c.seq)
        head = connection.execute(select(ledger.c.ledger_id, ledger.c.head_seq)).one()
        found = tuple(head), tuple(map(tuple, connection.execute(states.order_by(*states.selected_columns))))
        connection.rollback()
        return found

    # ---- taking in ----

    def _read(self) -> None:
        connection = self._connection
        assert connection is not None
        if self.place.path is not None:
            connection.exec_driver_sql("BEGIN")
        try:
            name, head_seq = connection.execute(select(ledger.c.ledger_id, ledger.c.head_seq)).one()
            if not self._continues(connection, name):
                self._start_anew(name)
            self.taken.ledger_id = name
            self._take_assets(connection)
            while self._take_entries(connection, head_seq):
                pass
            self._take_states(connection)
        finally:
            connection.rollback()

    def _continues(self, connection: Connection, name: str) -> bool:
        taken = self.taken
        if not taken.ledger_id:
            return True
        if name != taken.ledger_id:
            return False
        found = connection.execute(select(event.c.hash).where(event.c.seq == taken.seq)).scalar() if taken.seq else b""
        return found is not None and bytes(found) == taken.hash

    def _start_anew(self, name: str) -> None:
        was = self.taken
        if name != was.ledger_id:
            self._replaced = f"another ledger lies at {self.place}: {name}, it was {was.ledger_id}"
        else:
            self._replaced = (
                f"the ledger at {self.place} was put back to an older state: entry {was.seq} is not the same"
            )
        self.taken = Taken()

    def _take_assets(self, connection: Connection) -> None:
        for row in connection.execute(select(asset)):
            self.taken.scales[row.asset] = row.scale

    def _take_entries(self, connection: Connection, head_seq: int) -> bool:
        taken = self.taken
        page = select(event).where(event.c.seq > taken.seq).order_by(event.c.seq).limit(CHUNK)
        rows = connection.execute(page).all() if taken.seq < head_seq else []
        if not rows:
            return False
        legs = _legs(connection, rows[0].seq, rows[-1].seq)
        for row in rows:
            known = self._known(AccountKey(row.exchange, row.account_id))
            known.take(row.seq, row.kind, row.ts_ns, row.body, legs.get(row.seq, ()))
        taken.seq, taken.hash, taken.head_ns = rows[-1].seq, bytes(rows[-1].hash), rows[-1].ts_ns
        return len(rows) == CHUNK

    def _known(self, key: AccountKey) -> Known:
        found = self.taken.accounts.get(key)
        if found is None:
            found = self.taken.accounts[key] = Known(AccountFold(key, self.taken.scales))
        return found

    def _take_states(self, connection: Connection) -> None:
        for row in connection.execute(select(checkpoint)):
            known = self._known(AccountKey(row.exchange, row.account_id))
            state = bytes(row.state)
            if state == known.state:
                continue
            known.state, known.kept, known.problem = state, None, ""
            try:
                if state:
                    check_seal(state, AccountKey(row.exchange, row.account_id), row.ts_close_ns, row.seq)
                    known.kept = Kept.of(state)
            except ValueError as wrong:
                known.problem = f"the trader's state in the ledger cannot be read: {wrong}"


def _legs(connection: Connection, first: int, last: int) -> dict[int, list[Posting]]:
    found: dict[int, list[Posting]] = {}
    page = select(posting).where(posting.c.seq.between(first, last)).order_by(posting.c.seq, posting.c.leg)
    for row in connection.execute(page):
        found.setdefault(row.seq, []).append(Posting(Book(row.book), row.asset, row.amount))
    return found


def _kind_of(problem: str) -> LedgerHealth:
    text = problem.lower()
    if any(word in text for word in _LOCKED):
        return LedgerHealth.LOCKED
    return LedgerHealth.DAMAGED if any(word in text for word in _DAMAGED) else LedgerHealth.UNREACHABLE
