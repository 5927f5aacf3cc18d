"""The way out: every event reaches every consumer at least once, in order, across crashes of either.

Invariants:
- an event is its own outbox row, so both are written in one transaction: nothing is published that did not happen,
  and nothing that happened goes unpublished;
- a consumer's cursor moves only when it says so; it is durable. Killed before that, it gets the same events again:
  with an effect that knows the event's number (`ledger_id`, `seq`) nothing is missed and nothing is done twice;
- an event that a consumer cannot take waits, longer each time, and holds the later ones back; after the last attempt
  it lies in `dead_letter`, where it can be seen, and the rest goes on. It is never dropped;
- an event leaves the outbox when every consumer is past it; it stays in the ledger, so a new consumer may begin
  anywhere.

The relay belongs to the process that writes the ledger. Other processes keep their own cursor beside their own effects
and read with `events_after`.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from novapulse.core.instruments import AccountKey
from novapulse.core.messages import JSON
from novapulse.ledger.journal import Ledger
from novapulse.ledger.schema import event

BACKOFF_NS = 1_000_000_000
BACKOFF_MAX_NS = 300_000_000_000
ATTEMPTS_MAX = 20

_STATEMENTS = {
    "add": "INSERT INTO consumer (name, cursor, attempts, next_ns) VALUES (?, ?, 0, 0) ON CONFLICT DO NOTHING",
    "remove": "DELETE FROM consumer WHERE name = ?",
    "state": "SELECT cursor, attempts, next_ns FROM consumer WHERE name = ?",
    "names": "SELECT name FROM consumer ORDER BY name",
    "fetch": "SELECT seq, ts_ns, exchange, account_id, kind, body FROM event WHERE seq > ? ORDER BY seq LIMIT ?",
    "move": "UPDATE consumer SET cursor = ?, attempts = 0, next_ns = 0 WHERE name = ? AND cursor < ?",
    "wait": "UPDATE consumer SET attempts = ?, next_ns = ? WHERE name = ?",
    "bury": "INSERT INTO dead_letter (consumer, seq, ts_ns, attempts, error) VALUES (?, ?, ?, ?, ?)",
    "buried": "SELECT seq, ts_ns, attempts, error FROM dead_letter WHERE consumer = ? ORDER BY seq",
    "dig": "DELETE FROM dead_letter WHERE consumer = ? AND seq = ?",
}


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event on its way to a consumer. `seq` in a ledger names it for ever."""

    seq: int
    ts_ns: int
    account: AccountKey
    kind: str
    body: JSON


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An event that a consumer could not take, with its last error."""

    seq: int
    ts_ns: int
    attempts: int
    error: str


class Outbox:
    """The relay's side of an open ledger."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._sql = {name: ledger.storage.prepare(text) for name, text in _STATEMENTS.items()}

    def register(self, consumer: str, after_seq: int | None = None) -> int:
        """Make a consumer known and return its cursor; a known one keeps its own.

        Args:
            consumer: Its name.
            after_seq: It gets the events behind this number; only those to come by default.

        Raises:
            ValueError: There is no event `after_seq` yet.
            Unwritable: The storage did not take it.
        """
        with self._ledger.transaction() as storage:
            head, _ = self._ledger.head()
            found = storage.execute(self._sql["state"], (consumer,)).fetchone()
            if found is not None:
                return int(found[0])
            cursor = head if after_seq is None else after_seq
            if not 0 <= cursor <= head:
                raise ValueError(f"consumer {consumer}: cannot begin behind event {cursor}, the last is {head}")
            storage.execute(self._sql["add"], (consumer, cursor))
        return cursor

    def remove(self, consumer: str) -> None:
        """Forget a consumer; its dead letters stay."""
        with self._ledger.transaction() as storage:
            storage.execute(self._sql["remove"], (consumer,))

    def consumers(self) -> list[str]:
        """Return the names of all consumers."""
        with self._ledger.reading() as storage:
            return [row[0] for row in storage.execute(self._sql["names"]).fetchall()]

    def fetch(self, consumer: str, now_ns: int, limit: int = 100) -> list[Delivery]:
        """Return the next events of a consumer, in order; none while it waits after a failure.

        Raises:
            KeyError: There is no such consumer.
        """
        with self._ledger.reading() as storage:
            cursor, _, next_ns = self._state(consumer)
            if next_ns > now_ns:
                return []
            rows = storage.execute(self._sql["fetch"], (cursor, limit)).fetchall()
        return [_delivery(row) for row in rows]

    def delivered(self, consumer: str, seq: int) -> None:
        """Note that a consumer has every event up to `seq`; one it had already changes nothing.

        Raises:
            KeyError: There is no such consumer.
            ValueError: There is no such event yet.
        """
        with self._ledger.transaction() as storage:
            self._state(consumer)
            head, _ = self._ledger.head()
            if seq > head:
                raise ValueError(f"consumer {consumer}: event {seq} is not there yet, the last is {head}")
            storage.execute(self._sql["move"], (seq, consumer, seq))

    def failed(
        self, consumer: str, now_ns: int, error: str, *, jitter_permille: int = 0, for_good: bool = False
    ) -> bool:
        """Note that a consumer did not take the event behind its cursor.

        Args:
            consumer: Its name.
            now_ns: Now, ns UTC.
            error: What it said.
            jitter_permille: 0..1000, how much of the wait to take away; drawn by the caller.
            for_good: No later attempt can succeed.

        Returns:
            Whether the event went to the dead letters, and the next one is due.

        Raises:
            KeyError: There is no such consumer.
        """
        with self._ledger.transaction() as storage:
            cursor, attempts, _ = self._state(consumer)
            seq = cursor + 1
            if seq > self._ledger.head()[0]:
                return False
            attempts += 1
            if for_good or attempts >= ATTEMPTS_MAX:
                storage.execute(self._sql["bury"], (consumer, seq, now_ns, attempts, error))
                storage.execute(self._sql["move"], (seq, consumer, seq))
                return True
            wait_ns = min(BACKOFF_NS << (attempts - 1), BACKOFF_MAX_NS)
            wait_ns -= wait_ns * jitter_permille // 1000
            storage.execute(self._sql["wait"], (attempts, now_ns + wait_ns, consumer))
        return False

    def dead_letters(self, consumer: str) -> list[DeadLetter]:
        """Return what a consumer could not take."""
        with self._ledger.reading() as storage:
            return [DeadLetter(*row) for row in storage.execute(self._sql["buried"], (consumer,)).fetchall()]

    def bury_no_more(self, consumer: str, seq: int) -> None:
        """Take an event out of the dead letters, after it was delivered by hand."""
        with self._ledger.transaction() as storage:
            storage.execute(self._sql["dig"], (consumer, seq))

    def pending(self, consumer: str) -> int:
        """Return how many events a consumer has not taken yet.

        Raises:
            KeyError: There is no such consumer.
        """
        with self._ledger.reading():
            cursor, _, _ = self._state(consumer)
        return self._ledger.head()[0] - cursor

    def _state(self, consumer: str) -> tuple[int, int, int]:
        row = self._ledger.storage.execute(self._sql["state"], (consumer,)).fetchone()
        if row is None:
            raise KeyError(f"there is no consumer {consumer!r}")
        return int(row[0]), int(row[1]), int(row[2])


def _delivery(row: Any) -> Delivery:
    seq, ts_ns, exchange, account_id, kind, body = row
    return Delivery(seq, ts_ns, AccountKey(exchange, account_id), kind, json.loads(body))


def events_after(
    connection: Connection, seq: int, limit: int = 1000, kinds: Sequence[str] | None = None
) -> list[Delivery]:
    """Return the events behind a number, for a reader in another process that keeps its own cursor.

    Args:
        connection: Of `opening.reader`.
        seq: The last event it has.
        limit: At most so many.
        kinds: Only these; all by default.
    """
    columns = (event.c.seq, event.c.ts_ns, event.c.exchange, event.c.account_id, event.c.kind, event.c.body)
    query = select(*columns).where(event.c.seq > seq).order_by(event.c.seq).limit(limit)
    if kinds is not None:
        query = query.where(event.c.kind.in_(kinds))
    return [_delivery(row) for row in connection.execute(query)]
