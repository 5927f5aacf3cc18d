"""The inbox: commands of people, read by the trader, answered per account.

Invariants:
- a command is written once, whatever is repeated: the same idempotency key is the same command, and a key that comes
  with other content is refused;
- the trader's ledger is the truth about what was done; the answers here mirror it for those who wait;
- transactions are short and a write that is not durable is an error; readers and writers are processes that know
  nothing of each other.
"""

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from novapulse.control.storage import FILE, ControlError, Storage
from novapulse.core.instruments import AccountKey
from novapulse.core.messages import JSON

__all__ = [
    "ALL",
    "CONFIGURED",
    "FILE",
    "POLL_S",
    "TIGHTENING",
    "VERBS",
    "Inbox",
    "InboxAnswer",
    "InboxCommand",
    "InboxError",
    "insert",
    "limits_text",
]

POLL_S = 0.1
"""How often the trader looks."""

_ARGUMENT_BYTES_MAX = 4096

CONFIGURED = "configured"
"""In a wish for limits, instead of a number: what the configuration says."""

ALL = "all"
"""In a wish for limits, instead of a name: every limit that was changed."""

# Verb -> arguments it needs beside `reason`, which every verb may have.
VERBS: dict[str, tuple[str, ...]] = {
    "pause": (),
    "resume": (),
    "reduce_only": (),
    "halt": (),
    "resume_from_halt": (),
    "flatten": (),
    "close": ("symbol",),
    "cancel": (),
    "kill": (),
    "adopt": ("order",),
    "ignore": ("order",),
    "settle": ("order",),
    "reconcile": (),
    "acknowledge": ("alert",),
    "limits": ("set",),
}
MAY_HAVE: dict[str, tuple[str, ...]] = {"cancel": ("order",)}
"""Verb -> arguments that it may have besides."""

TIGHTENING = frozenset({"pause", "reduce_only", "halt", "flatten", "cancel", "kill", "reconcile"})
"""Verbs that are obeyed however late they arrive; the others are only meant for now."""

LOOSENING_VALID_NS = 10 * 60 * 1_000_000_000

_PENDING = """
SELECT seq, command_id, verb, exchange, account_id, arguments, actor, submitted_ns, expires_ns
FROM command
WHERE seq > ? AND (taken_ns IS NULL OR EXISTS (
    SELECT 1 FROM answer WHERE answer.command_id = command.command_id AND answered_ns IS NULL))
ORDER BY seq
"""


InboxError = ControlError
"""A command that cannot be written or read: the message is for people."""


@dataclass(frozen=True, slots=True)
class InboxCommand:
    """One command.

    Attributes:
        seq: Its place in the order of arrival, >= 1.
        command_id: Its name.
        verb: What to do.
        account: Who is to do it; None for all.
        arguments: What it needs.
        actor: Who asked.
        submitted_ns: When, ns UTC.
        expires_ns: From when on it must not be obeyed any more; None for never.
    """

    seq: int
    command_id: str
    verb: str
    account: AccountKey | None
    arguments: Mapping[str, JSON]
    actor: str
    submitted_ns: int
    expires_ns: int | None


@dataclass(frozen=True, slots=True)
class InboxAnswer:
    """What became of a command at one account. `done` and `answered_ns` are None while it is not answered."""

    account: AccountKey
    done: bool | None
    text: str
    details: Mapping[str, JSON]
    answered_ns: int | None = None


class Inbox:
    """The commands of one home folder.

    Args:
        path: The database; made where it is not there yet.
        busy_s: How long a call waits while another process writes; the trader, which asks often, gives less.

    Raises:
        InboxError: It cannot be opened, or is no inbox.
    """

    def __init__(self, path: Path, busy_s: float = 5.0) -> None:
        self.path = path
        self._storage = Storage(path, busy_s)

    def submit(
        self,
        verb: str,
        account: AccountKey | None,
        arguments: Mapping[str, JSON],
        actor: str,
        idempotency_key: str,
        now_ns: int,
    ) -> str:
        """Write a command and return its id; the same key again returns the id of the first.

        Args:
            verb: One of `VERBS`.
            account: Who is to obey; None for all.
            arguments: What the verb needs, and perhaps `reason`.
            actor: Who asks.
            idempotency_key: Names this wish of this actor.
            now_ns: ns UTC.

        Raises:
            InboxError: The verb or an argument is unknown, one is missing, the key names another command, or the inbox
                cannot be written.
        """
        with self._storage.writing() as database:
            return insert(database, verb, account, arguments, actor, idempotency_key, now_ns)

    def pending(self, after: int = 0) -> list[InboxCommand]:
        """Return the commands behind a place that are not taken, or not answered by every account, in order.

        Raises:
            InboxError: The inbox cannot be read.
        """
        with self._storage.reading() as database:
            rows = database.execute(_PENDING, (after,)).fetchall()
        return [
            InboxCommand(
                seq,
                command_id,
                verb,
                None if exchange is None else AccountKey(exchange, account_id),
                json.loads(arguments),
                actor,
                submitted_ns,
                expires_ns,
            )
            for seq, command_id, verb, exchange, account_id, arguments, actor, submitted_ns, expires_ns in rows
        ]

    def mark_taken(self, command_id: str, accounts: Iterable[AccountKey], now_ns: int) -> None:
        """Note that a command was seen, and which accounts will answer it.

        Raises:
            InboxError: There is no such command, or the inbox cannot be written.
        """
        with self._storage.writing() as database:
            found = database.execute(
                "UPDATE command SET taken_ns = coalesce(taken_ns, ?) WHERE command_id = ?", (now_ns, command_id)
            )
            if found.rowcount == 0:
                raise InboxError(f"there is no command {command_id}")
            database.executemany(
                "INSERT INTO answer (command_id, exchange, account_id) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
                [(command_id, account.exchange, account.account_id) for account in accounts],
            )

    def answered(
        self,
        command_id: str,
        account: AccountKey,
        done: bool,
        text: str,
        now_ns: int,
        details: Mapping[str, JSON] | None = None,
    ) -> None:
        """Mirror the answer of an account; the first one stays.

        Raises:
            InboxError: There is no such command, or the inbox cannot be written.
        """
        self.mark_taken(command_id, [account], now_ns)
        with self._storage.writing() as database:
            database.execute(
                "UPDATE answer SET answered_ns = ?, done = ?, text = ?, details = ? "
                "WHERE command_id = ? AND exchange = ? AND account_id = ? AND answered_ns IS NULL",
                (now_ns, int(done), text, _json(details or {}), command_id, account.exchange, account.account_id),
            )

    def verb(self, command_id: str) -> str | None:
        """Return what a command was to do; None where there is no such command.

        Raises:
            InboxError: The inbox cannot be read.
        """
        with self._storage.reading() as database:
            found = database.execute("SELECT verb FROM command WHERE command_id = ?", (command_id,)).fetchone()
        return str(found[0]) if found else None

    def expires_ns(self, command_id: str) -> int | None:
        """Return from when on a command must not be obeyed any more; None for never, or where there is no such command.

        Raises:
            InboxError: The inbox cannot be read.
        """
        with self._storage.reading() as database:
            found = database.execute("SELECT expires_ns FROM command WHERE command_id = ?", (command_id,)).fetchone()
        return found[0] if found else None

    def answers(self, command_id: str) -> tuple[InboxAnswer, ...] | None:
        """Return what each account answered so far, by exchange and id; None while nobody took the command.

        Raises:
            InboxError: The inbox cannot be read.
        """
        with self._storage.reading() as database:
            taken = database.execute("SELECT taken_ns FROM command WHERE command_id = ?", (command_id,)).fetchone()
            rows = database.execute(
                "SELECT exchange, account_id, done, text, details, answered_ns FROM answer WHERE command_id = ? "
                "ORDER BY exchange, account_id",
                (command_id,),
            ).fetchall()
        if taken is None or taken[0] is None:
            return None
        return tuple(
            InboxAnswer(
                AccountKey(exchange, account_id),
                None if done is None else bool(done),
                text or "",
                json.loads(details or "{}"),
                answered_ns,
            )
            for exchange, account_id, done, text, details, answered_ns in rows
        )


def insert(
    database: sqlite3.Connection,
    verb: str,
    account: AccountKey | None,
    arguments: Mapping[str, JSON],
    actor: str,
    idempotency_key: str,
    now_ns: int,
) -> str:
    """Write a command within a transaction that is open, as `Inbox.submit` does in one of its own.

    Raises:
        InboxError: As there.
    """
    written = _checked(verb, arguments)
    if not actor or not idempotency_key:
        raise InboxError("a command needs an actor and an idempotency key")
    command_id = command_id_of(actor, idempotency_key)
    whose = (account.exchange, account.account_id) if account else (None, None)
    expires_ns = None if verb in TIGHTENING else now_ns + LOOSENING_VALID_NS
    there = database.execute(
        "SELECT verb, exchange, account_id, arguments FROM command WHERE command_id = ?", (command_id,)
    ).fetchone()
    if there is None:
        database.execute(
            "INSERT INTO command (command_id, verb, exchange, account_id, arguments, actor, submitted_ns, "
            "expires_ns) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (command_id, verb, *whose, written, actor, now_ns, expires_ns),
        )
    elif there != (verb, *whose, written):
        raise InboxError(f"the key {idempotency_key!r} already names another command of {actor}: {there[0]}")
    return command_id


def limits_text(wish: Mapping[str, str]) -> str:
    """Return a wish for limits as its command says it: name -> number or `CONFIGURED`."""
    return ", ".join(f"{name}={wish[name]}" for name in sorted(wish))


def command_id_of(actor: str, idempotency_key: str) -> str:
    """Return the id of the command that an actor names by a key."""
    return hashlib.sha256("\0".join(("command", actor, idempotency_key)).encode("utf-8", "surrogatepass")).hexdigest()[
        :32
    ]


def _checked(verb: str, arguments: Mapping[str, JSON]) -> str:
    if verb not in VERBS:
        raise InboxError(f"there is no command {verb!r}: expected one of {', '.join(VERBS)}")
    needed = VERBS[verb]
    missing = next((name for name in needed if not arguments.get(name)), None)
    if missing:
        raise InboxError(f"{verb} needs {missing}")
    known = (*needed, *MAY_HAVE.get(verb, ()), "reason")
    strange = next((name for name in arguments if name not in known), None)
    if strange:
        raise InboxError(f"{verb} knows no {strange}")
    wrong = next((name for name, value in arguments.items() if not isinstance(value, str)), None)
    if wrong:
        raise InboxError(f"{wrong} has to be text")
    return _json(arguments)


def _json(values: Mapping[str, JSON]) -> str:
    try:
        text = json.dumps(dict(values), sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        size = len(text.encode())
    except UnicodeEncodeError as wrong:
        raise InboxError("that is not a text: it holds half a character") from wrong
    if size > _ARGUMENT_BYTES_MAX:
        raise InboxError(f"that is too long: {size} bytes, expected at most {_ARGUMENT_BYTES_MAX}")
    return text
