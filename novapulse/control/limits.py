"""How often something may be tried, counted for all processes of a home folder together (GCRA in control.db).

Invariants:
- a key has one row: the moment at which its allowance is full again. A row whose moment has passed means the same as
  no row, and goes;
- there are never more than `ROWS_MAX` rows: when too many keys are at work, those nearest to full are forgotten;
- a clock that was set back makes nobody wait longer than an empty allowance does.
"""

import hashlib
import ipaddress
import sqlite3
from dataclasses import dataclass

ROWS_MAX = 20_000
_SWEPT_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class Limit:
    """So many at once, and then one after another.

    Attributes:
        name: Keeps the keys of different limits apart.
        burst: How many at once, >= 1.
        period_ns: In which an empty allowance fills up, ns.
    """

    name: str
    burst: int
    period_ns: int

    @property
    def every_ns(self) -> int:
        """Between two when the allowance is used up, ns."""
        return self.period_ns // self.burst


_MINUTE_NS = 60 * 1_000_000_000
SIGN_IN_BY_NAME = Limit("sign in by name", 5, 15 * _MINUTE_NS)
SIGN_IN_BY_ADDRESS = Limit("sign in by address", 5, 15 * _MINUTE_NS)
LINK_BY_ADDRESS = Limit("link by address", 10, 15 * _MINUTE_NS)
COMMANDS = Limit("commands", 60, _MINUTE_NS)
READS = Limit("reads", 600, _MINUTE_NS)


@dataclass(frozen=True, slots=True)
class Ruling:
    """Whether something may be tried.

    Attributes:
        wait_ns: For how long not, ns; 0 for now.
        refused: How often it was refused since it was last allowed.
    """

    wait_ns: int
    refused: int

    @property
    def allowed(self) -> bool:
        """Whether it may."""
        return self.wait_ns == 0

    @property
    def wait_s(self) -> int:
        """How long to wait, whole seconds, rounded up."""
        return -(-self.wait_ns // 1_000_000_000)

    @property
    def worth_a_row(self) -> bool:
        """Whether this refusal is written down: the first, second, fourth, eighth in a row, a flood stays small."""
        return self.refused > 0 and self.refused & (self.refused - 1) == 0


def take(database: sqlite3.Connection, limit: Limit, subject: str, now_ns: int) -> Ruling:
    """Use one of an allowance, if there is one, within a transaction that writes.

    Args:
        database: In a transaction that writes.
        limit: Which.
        subject: Whose, such as `address_key(...)`.
        now_ns: ns UTC.
    """
    key = _key(limit, subject)
    found = database.execute("SELECT full_ns, refused FROM allowance WHERE key = ?", (key,)).fetchone()
    full_ns, refused = found or (0, 0)
    full_ns = min(max(full_ns, now_ns), now_ns + limit.burst * limit.every_ns)
    next_ns = full_ns + limit.every_ns
    wait_ns = max(0, next_ns - now_ns - limit.burst * limit.every_ns)
    ruling = Ruling(wait_ns, refused + 1 if wait_ns else 0)
    _put(database, key, full_ns if wait_ns else next_ns, ruling.refused)
    _sweep(database, now_ns)
    return ruling


def give_back(database: sqlite3.Connection, limit: Limit, subject: str) -> None:
    """Give back what was taken last, because it was used well, within a transaction that writes."""
    database.execute(
        "UPDATE allowance SET full_ns = full_ns - ?, refused = 0 WHERE key = ?", (limit.every_ns, _key(limit, subject))
    )


def forget(database: sqlite3.Connection, limit: Limit, subject: str) -> None:
    """Fill an allowance up, within a transaction that writes."""
    database.execute("DELETE FROM allowance WHERE key = ?", (_key(limit, subject),))


def address_key(address: str) -> str:
    """Return what counts as one address: an IPv4 address, or the /64 that one IPv6 line has; other text as it is."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv6Address):
        mapped = found.ipv4_mapped
        return str(mapped) if mapped else str(ipaddress.ip_network((int(found), 64), strict=False))
    return str(found)


def _key(limit: Limit, subject: str) -> bytes:
    return hashlib.sha256(f"{limit.name}\0{subject}".encode("utf-8", "surrogatepass")).digest()


def _put(database: sqlite3.Connection, key: bytes, full_ns: int, refused: int) -> None:
    database.execute(
        "INSERT INTO allowance (key, full_ns, refused) VALUES (?, ?, ?) "
        "ON CONFLICT (key) DO UPDATE SET full_ns = excluded.full_ns, refused = excluded.refused",
        (key, full_ns, refused),
    )


def _sweep(database: sqlite3.Connection, now_ns: int) -> None:
    database.execute(
        "DELETE FROM allowance WHERE key IN (SELECT key FROM allowance WHERE full_ns <= ? ORDER BY full_ns LIMIT ?)",
        (now_ns, _SWEPT_AT_ONCE),
    )
    (count,) = database.execute("SELECT count(*) FROM allowance").fetchone()
    if count > ROWS_MAX:
        database.execute(
            "DELETE FROM allowance WHERE key IN (SELECT key FROM allowance ORDER BY full_ns LIMIT ?)",
            (count - ROWS_MAX,),
        )
