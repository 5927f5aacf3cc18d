"""The audit: one row for everything that was done, denied or refused, for ever.

Invariants:
- a row is written in the transaction of what it tells about: there is no deed without its row and no row without it;
- rows are numbered without gaps and chained: `h_n = SHA256(tag + h_{n-1} + row as canonical JSON)`. Who changes,
  removes or swaps one has to make all later ones anew; a head that was noted elsewhere shows a cut at the end;
- no password, token or key is in it.
"""

import hashlib
import json
import sqlite3
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from novapulse.core.instruments import AccountKey
from novapulse.core.messages import JSON

DONE, DENIED, REFUSED = "done", "denied", "refused"

_TAG = b"npc1"
GENESIS = hashlib.sha256(_TAG).digest()
"""The head of an empty audit."""

_INSERT = """
INSERT INTO audit (audit_id, ts_ns, actor, credential, source, action, exchange, account_id, arguments, outcome, text,
    idempotency_key, command_id, hash)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_PAGE = """
SELECT audit_id, ts_ns, actor, credential, source, action, exchange, account_id, arguments, outcome, text,
    idempotency_key, command_id
FROM audit
WHERE (?1 IS NULL OR audit_id < ?1) AND (?2 = '' OR actor = ?2) ORDER BY audit_id DESC LIMIT ?3
"""
_DONE = """
SELECT audit_id, ts_ns, actor, credential, source, action, exchange, account_id, arguments, outcome, text,
    idempotency_key, command_id
FROM audit
WHERE actor = ? AND idempotency_key = ? AND outcome = 'done' AND idempotency_key <> ''
"""
_ALL = """
SELECT audit_id, ts_ns, actor, credential, source, action, exchange, account_id, arguments, outcome, text,
    idempotency_key, command_id, hash
FROM audit ORDER BY audit_id
"""


@dataclass(frozen=True, slots=True)
class Row:
    """What somebody did or was not let do.

    Attributes:
        audit_id: Its number, >= 1.
        ts_ns: When, ns UTC.
        actor: Who, such as `web:ann`; `web:(nobody signed in)` where nobody was recognised.
        credential: By which session or key.
        source: Where from: an address, a terminal.
        action: What.
        account: For which account; None for all, or for none.
        arguments: With what.
        outcome: `done`, `denied` (not allowed) or `refused` (allowed, and impossible).
        text: Why not; empty where it was done.
        idempotency_key: What the wish was called; empty for nothing.
        command_id: The command that was written; empty for none.
    """

    audit_id: int
    ts_ns: int
    actor: str
    credential: str
    source: str
    action: str
    account: AccountKey | None
    arguments: Mapping[str, JSON]
    outcome: str
    text: str
    idempotency_key: str
    command_id: str

    def json(self) -> dict[str, JSON]:
        """Return plain values."""
        values = asdict(self)
        del values["account"]
        exchange, account_id = (self.account.exchange, self.account.account_id) if self.account else (None, None)
        return values | {"exchange": exchange, "account_id": account_id, "arguments": dict(self.arguments)}


class TamperedError(ValueError):
    """The audit is not as it was written; the message names the first row that is wrong."""


def append(
    database: sqlite3.Connection,
    *,
    ts_ns: int,
    actor: str,
    action: str,
    outcome: str,
    credential: str = "",
    source: str = "",
    account: AccountKey | None = None,
    arguments: Mapping[str, JSON] | None = None,
    text: str = "",
    idempotency_key: str = "",
    command_id: str = "",
) -> int:
    """Add a row within a transaction that writes, and return its number."""
    last, head = _head(database)
    exchange, account_id = (account.exchange, account.account_id) if account else (None, None)
    written = json.dumps(dict(arguments or {}), sort_keys=True, allow_nan=False)
    row = (
        *(last + 1, ts_ns, actor, credential, source, action, exchange, account_id, written, outcome, text),
        *(idempotency_key, command_id),
    )
    database.execute(_INSERT, (*row, _link(head, row)))
    return last + 1


def done_before(database: sqlite3.Connection, actor: str, idempotency_key: str) -> Row | None:
    """Return the row of what an actor did under a key; None where nothing was done under it."""
    found = database.execute(_DONE, (actor, idempotency_key)).fetchone()
    return _row(found) if found else None


def page(database: sqlite3.Connection, *, before: int | None = None, limit: int = 100, actor: str = "") -> list[Row]:
    """Return rows, newest first.

    Args:
        database: Open.
        before: Only rows with a smaller number; None for the newest.
        limit: At most so many.
        actor: Only of this one; empty for all.
    """
    return [_row(found) for found in database.execute(_PAGE, (before, actor, limit))]


def verify(database: sqlite3.Connection, head: str = "") -> tuple[int, str]:
    """Prove every row, and return the number of the last one and the head.

    Args:
        database: Open.
        head: One that was noted earlier, hexadecimal: it has to be in the chain still.

    Raises:
        TamperedError: Something is not as it was written.
    """
    last, digest, wanted = 0, GENESIS, head in ("", GENESIS.hex())
    for *row, stored in database.execute(_ALL):
        if row[0] != last + 1:
            raise TamperedError(f"row {last + 1} of the audit is missing")
        last, digest = row[0], _link(digest, tuple(row))
        if digest != stored:
            raise TamperedError(f"row {last} of the audit is not as it was written")
        wanted = wanted or digest.hex() == head
    if not wanted:
        raise TamperedError(f"the head {head[:16]} is not in the audit any more: rows at its end are gone")
    return last, digest.hex()


def _head(database: sqlite3.Connection) -> tuple[int, bytes]:
    found = database.execute("SELECT audit_id, hash FROM audit ORDER BY audit_id DESC LIMIT 1").fetchone()
    return (0, GENESIS) if found is None else (int(found[0]), bytes(found[1]))


def _link(previous: bytes, row: tuple[Any, ...]) -> bytes:
    text = json.dumps(row, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(_TAG + previous + text.encode()).digest()


def _row(found: tuple[Any, ...]) -> Row:
    audit_id, ts_ns, actor, credential, source, action, exchange, account_id, arguments, *rest = found
    account = None if exchange is None else AccountKey(exchange, account_id)
    return Row(audit_id, ts_ns, actor, credential, source, action, account, json.loads(arguments), *rest)
