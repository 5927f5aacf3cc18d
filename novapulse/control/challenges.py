"""Sign-ins that wait for a code: a right password is remembered for minutes, for the browser that gave it.

Invariants:
- control.db holds the hash of a challenge's id alone, and nobody can do anything with one but give the code;
- it ends when it is used, five minutes after it began, and at once when the person is disabled, gets another role or
  password, or loses the second factor.
"""

import secrets
from dataclasses import dataclass
from sqlite3 import Connection

from novapulse.control.people import hashed_token

CHALLENGE_NS = 5 * 60 * 1_000_000_000
PER_PERSON_MAX = 20


@dataclass(frozen=True, slots=True)
class Challenge:
    """A sign-in that lacks its code.

    Attributes:
        token: The id that the browser is to keep; it is nowhere else.
        expires_ns: Until when the code is taken, ns UTC.
        audit_id: The row that tells of the password.
    """

    token: str
    expires_ns: int
    audit_id: int


def begin(database: Connection, name: str, now_ns: int) -> tuple[str, int]:
    """Remember a right password within a transaction that writes; return the id, and until when it counts, ns UTC."""
    token, expires_ns = secrets.token_urlsafe(32), now_ns + CHALLENGE_NS
    database.execute(
        "DELETE FROM challenge WHERE expires_ns <= ? OR token_hash IN "
        "(SELECT token_hash FROM challenge WHERE person = ? ORDER BY created_ns DESC LIMIT -1 OFFSET ?)",
        (now_ns, name, PER_PERSON_MAX - 1),
    )
    database.execute(
        "INSERT INTO challenge (token_hash, person, created_ns, expires_ns) VALUES (?, ?, ?, ?)",
        (hashed_token(token), name, now_ns, expires_ns),
    )
    return token, expires_ns


def person_of(database: Connection, token: str, now_ns: int) -> str:
    """Return who gave the password; empty where the id is none, or none any more."""
    row = database.execute(
        "SELECT person FROM challenge WHERE token_hash = ? AND expires_ns > ?", (hashed_token(token), now_ns)
    ).fetchone()
    return str(row[0]) if row else ""


def end(database: Connection, token: str) -> None:
    """Forget one, because it was used, within a transaction that writes."""
    database.execute("DELETE FROM challenge WHERE token_hash = ?", (hashed_token(token),))
