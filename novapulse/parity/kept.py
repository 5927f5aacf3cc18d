"""What a ledger holds of sessions and decisions, read beside the trader and never written.

A session is named by the number of its first record, `session_started`; it lasts to the next start of its account.
"""

import json
import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, and_, func, select

from novapulse.core.instruments import AccountKey, InstrumentKey
from novapulse.core.messages import HoldRun, Record
from novapulse.core.ports import JournalError
from novapulse.core.postings import Book, Posting
from novapulse.ledger.journal import Ledger
from novapulse.ledger.opening import reader
from novapulse.ledger.schema import asset, checkpoint, event, hold_run, ledger, posting

_CHUNK = 2_000
_NEVER = 2**62
LAST_SHOWN = 5


class KeptError(ValueError):
    """What was asked for is not in the ledger, in one sentence."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A record and its number."""

    seq: int
    record: Record


@dataclass(frozen=True, slots=True)
class Session:
    """One session of an account.

    Attributes:
        ledger_id: Name of the ledger.
        account: Whose.
        first_seq: Number of its `session_started`: its id.
        last_seq: Number of the account's last record before the next start.
        started_ns: When.
        ts_close_ns: Close of the last bar decided before it; 0 for none.
        until_ns: Close of the last bar decided in it.
        configuration: What it ran with, as `engine.configuration` spells it; empty where it was not kept.
    """

    ledger_id: str
    account: AccountKey
    first_seq: int
    last_seq: int
    started_ns: int
    ts_close_ns: int
    until_ns: int
    configuration: str


class Kept:
    """A ledger, read-only."""

    def __init__(self, where: str | Path) -> None:
        """Open it.

        Args:
            where: A path or a server's URL.

        Raises:
            KeptError: There is no such ledger.
        """
        self.place = str(where)
        try:
            self._engine = reader(where)
        except JournalError as wrong:
            raise KeptError(f"{wrong}; --ledger F names another one") from wrong
        with self._engine.connect() as connection:
            self.ledger_id = str(connection.execute(select(ledger.c.ledger_id)).scalar_one())
            self.scales: dict[str, int] = dict(map(tuple, connection.execute(select(asset.c.asset, asset.c.scale))))

    def sessions(self, account: AccountKey | None = None) -> list[Session]:
        """Return the sessions of an account, or of all, in the order of their starts."""
        with self._engine.connect() as connection:
            starts = [
                (AccountKey(row.exchange, row.account_id), row.seq, row.ts_ns, json.loads(row.body))
                for row in connection.execute(
                    select(event).where(event.c.kind == "session_started").order_by(event.c.seq)
                )
            ]
            return [
                self._session(connection, starts, number)
                for number, (key, *_) in enumerate(starts)
                if account in (None, key)
            ]

    def _session(self, connection: Connection, starts: list[tuple[AccountKey, int, int, Any]], number: int) -> Session:
        key, seq, ts_ns, body = starts[number]
        following = next(((s, b) for k, s, _, b in starts[number + 1 :] if k == key), None)
        here = and_(event.c.exchange == key.exchange, event.c.account_id == key.account_id)
        before = following[0] if following else _NEVER
        last = connection.execute(select(func.max(event.c.seq)).where(here, event.c.seq < before)).scalar_one()
        until = following[1]["ts_close_ns"] if following else self._checkpoint(connection, key)
        return Session(
            self.ledger_id,
            key,
            int(seq),
            int(last),
            int(ts_ns),
            int(body["ts_close_ns"]),
            int(until),
            str(body.get("configuration", "")),
        )

    def _checkpoint(self, connection: Connection, key: AccountKey) -> int:
        found = connection.execute(
            select(checkpoint.c.ts_close_ns).where(
                checkpoint.c.exchange == key.exchange, checkpoint.c.account_id == key.account_id
            )
        ).scalar()
        return 0 if found is None else int(found)

    def session(self, name: str) -> Session:
        """Return a session by its id; `last` is the one that was started last.

        Raises:
            KeptError: There is none of that id.
        """
        sessions = self.sessions()
        if sessions and name == "last":
            return sessions[-1]
        for one in sessions:
            if str(one.first_seq) == name:
                return one
        told = ", ".join(f"{one.first_seq} ({one.account.account_id} on {one.account.exchange})" for one in sessions)
        raise KeptError(f"no session {name} in {self.place}: there {'are ' + told if told else 'is none'}")

    def session_of(self, account: AccountKey, seq: int) -> Session:
        """Return the session in which a record was written.

        Raises:
            KeptError: The ledger has no start before it.
        """
        found = [one for one in self.sessions(account) if one.first_seq <= seq]
        if not found:
            raise KeptError(f"record {seq} of {account.account_id} on {account.exchange} belongs to no session")
        return found[-1]

    def records(
        self, account: AccountKey, until_seq: int = _NEVER, kinds: Collection[str] | None = None
    ) -> Iterator[Entry]:
        """Yield an account's records up to a number, postings included, a few thousand at a time in memory."""
        after = 0
        while True:
            conditions = [
                event.c.exchange == account.exchange,
                event.c.account_id == account.account_id,
                event.c.seq > after,
                event.c.seq <= until_seq,
            ]
            if kinds is not None:
                conditions.append(event.c.kind.in_(sorted(kinds)))
            with self._engine.connect() as connection:
                rows = connection.execute(select(event).where(*conditions).order_by(event.c.seq).limit(_CHUNK)).all()
                legs = self._legs(connection, rows[0].seq, rows[-1].seq) if rows else {}
            for row in rows:
                made = Record(row.kind, row.ts_ns, json.loads(row.body), tuple(legs.get(row.seq, ())))
                yield Entry(int(row.seq), made)
            if len(rows) < _CHUNK:
                return
            after = rows[-1].seq

    def _legs(self, connection: Connection, first: int, last: int) -> Mapping[int, list[Posting]]:
        legs: dict[int, list[Posting]] = {}
        query = (
            select(posting).where(posting.c.seq >= first, posting.c.seq <= last).order_by(posting.c.seq, posting.c.leg)
        )
        for row in connection.execute(query):
            legs.setdefault(row.seq, []).append(Posting(Book(row.book), row.asset, row.amount))
        return legs

    def decision(self, name: str) -> tuple[AccountKey, Entry]:
        """Return a decision by its id, or by the first digits of it; `last` is the one that was taken last.

        Raises:
            KeptError: There is none of that id, or several begin so.
        """
        wanted = name.strip().lower()
        if wanted == "last" and (newest := self.last_decisions(1)):
            return newest[0]
        found = [
            (key, entry)
            for key, entry in self._decisions()
            if len(wanted) >= 4 and str(entry.record.body["decision_id"]).startswith(wanted)
        ]
        if len(found) == 1:
            return found[0]
        if found:
            ids = ", ".join(str(entry.record.body["decision_id"]) for _, entry in found[:LAST_SHOWN])
            raise KeptError(f"several decisions begin with {wanted}: {ids}")
        raise KeptError(f"no decision {name!r} in {self.place}. {self._how_to_find()}")

    def _how_to_find(self) -> str:
        last = self.last_decisions(LAST_SHOWN)
        if not last:
            return "It holds no decisions yet: 'novapulse replay --ledger F' and 'novapulse live' make some"
        lines = [
            f"  {entry.record.body['decision_id']}  {entry.record.body['verb']} {entry.record.body['instrument'][1]}, "
            f"{key.account_id} on {key.exchange}"
            for key, entry in last
        ]
        more = f"and 'novapulse explain --last N --ledger {self.place}' lists more"
        return "\n".join(["The last ones are", *lines, more])

    def last_decisions(self, most: int) -> list[tuple[AccountKey, Entry]]:
        """Return the decisions that were taken last, in the order in which they were taken."""
        return list(self._decisions(most))[::-1]

    def _decisions(self, newest: int | None = None) -> Iterator[tuple[AccountKey, Entry]]:
        """Yield decisions in their order; only so many, the newest first, where that is asked for."""
        order = event.c.seq if newest is None else event.c.seq.desc()
        with self._engine.connect() as connection:
            query = select(event).where(event.c.kind == "decision_taken").order_by(order).limit(newest)
            for row in connection.execution_options(yield_per=_CHUNK).execute(query):
                record = Record(row.kind, row.ts_ns, json.loads(row.body))
                yield AccountKey(row.exchange, row.account_id), Entry(int(row.seq), record)

    def holds(self, account: AccountKey, symbol: str | None = None) -> list[HoldRun]:
        """Return the runs of bars on which an account did nothing, as far as they ended and are kept."""
        query = select(hold_run).where(
            hold_run.c.exchange == account.exchange, hold_run.c.account_id == account.account_id
        )
        if symbol is not None:
            query = query.where(hold_run.c.symbol == symbol)
        with self._engine.connect() as connection:
            return [
                HoldRun(InstrumentKey(row.exchange, row.symbol), row.reason, row.first_ns, row.last_ns, row.bars)
                for row in connection.execute(query.order_by(hold_run.c.first_ns, hold_run.c.symbol))
            ]

    def close(self) -> None:
        """Let the ledger go."""
        self._engine.dispose()

    def __enter__(self) -> "Kept":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def new_ledger(path: Path, account: AccountKey, scales: Mapping[str, int], now_ns: int) -> Ledger:
    """Create a ledger for one account that is played into it; it waits for no disk.

    Args:
        path: Where; nothing may be there.
        account: Whose lease is taken.
        scales: Asset -> decimal digits.
        now_ns: The moment at which virtual time begins.

    Raises:
        KeptError: Something is there already, or its folder is not.
        JournalError: The ledger could not be made.
    """
    if path.exists():
        raise KeptError(f"{path} exists already: name a new file, a replay keeps its own ledger")
    if not os.path.isdir(path.absolute().parent):
        raise KeptError(f"{path}: there is no folder {path.absolute().parent}")
    made = Ledger.open(path, durable=False, now_ns=now_ns)
    made.register_assets(scales)
    made.take_lease(account, "replay", now_ns, _NEVER - now_ns)
    return made
