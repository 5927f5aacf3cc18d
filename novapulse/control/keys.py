"""API keys: for scripts, made by people, with fewer rights than they have.

Invariants:
- a key is `np_PREFIX_SECRET`; the prefix finds it, the 256-bit secret is kept as a hash and shown once;
- it has the scopes it was given, as far as its person has them now, and never `admin`;
- one that was made for some networks works from there alone, and elsewhere may do nothing;
- it ends at its expiry, when it is revoked, and when its person is disabled or gets another role or password.
"""

import hmac
import ipaddress
import secrets
from collections.abc import Collection
from dataclasses import asdict, dataclass
from sqlite3 import Connection
from typing import Any

from novapulse.control.acts import Acts, Done, Wish, plain
from novapulse.control.people import hashed_token
from novapulse.control.roles import KEY_SCOPES, SCOPES, Principal, Role, Scope, Via
from novapulse.control.storage import ControlError, note
from novapulse.core.messages import JSON

DAYS_USUAL, DAYS_MAX = 90, 366
PER_PERSON_MAX = 50
NETWORKS_MAX = 16

_DAY_NS = 86_400 * 1_000_000_000
_USED_EVERY_NS = 60 * 1_000_000_000
_ELSEWHERE = "this key does not work from there"
_FIND = """
SELECT api_key.prefix, api_key.person, api_key.label, api_key.scopes, api_key.created_ns, api_key.expires_ns,
    api_key.used_ns, api_key.revoked_ns, api_key.networks, api_key.secret_hash, person.role
FROM api_key JOIN person ON person.name = api_key.person
"""


@dataclass(frozen=True, slots=True)
class Key:
    """A key, without its secret.

    Attributes:
        prefix: Its name.
        person: Whose.
        label: What it is for.
        scopes: What it was given.
        created_ns: When it was made, ns UTC.
        expires_ns: When it ends, ns UTC.
        used_ns: When it was used last, ns UTC, to a minute; None for never.
        revoked_ns: When it was revoked, ns UTC; None for it was not.
        networks: Where it works from, such as `192.0.2.0/24`; none for anywhere.
    """

    prefix: str
    person: str
    label: str
    scopes: frozenset[Scope]
    created_ns: int
    expires_ns: int
    used_ns: int | None
    revoked_ns: int | None
    networks: tuple[str, ...]

    def json(self) -> dict[str, JSON]:
        """Return plain values."""
        return asdict(self) | {"scopes": sorted(self.scopes), "networks": list(self.networks)}


class Keys:
    """The API keys of one home folder."""

    def __init__(self, acts: Acts) -> None:
        self._acts = acts

    def make(
        self,
        by: Principal,
        label: str,
        scopes: Collection[Scope],
        days: int = DAYS_USUAL,
        *,
        networks: Collection[str] = (),
        person: str = "",
        key: str = "",
        source: str = "",
    ) -> Done[str]:
        """Make a key of one's own, and return it; it is shown this once.

        Args:
            by: Who makes it.
            label: What it is for.
            scopes: What it may; some of the person's own, without `admin`.
            days: How long it lives, 1..366.
            networks: Where it works from, addresses or networks such as `192.0.2.0/24`; none for anywhere.
            person: Whose it is, where the shell of the machine makes it; else one's own.
            key: Idempotency key.
            source: Where from.

        Raises:
            Denied: `by` may not do that.
            ControlError: A scope cannot be given, the days are out of range, a network is none, or there are too many
                keys.
        """
        whose = person if by.via is Via.CLI else by.name
        arguments = {"person": whose, "label": plain(label), "scopes": " ".join(sorted(scopes)), "days": days}
        if networks:
            arguments["networks"] = plain(" ".join(networks))

        def work(database: Connection) -> str:
            now_ns = self._acts.clock()
            row = database.execute(
                "SELECT role FROM person WHERE name = ? AND disabled_ns IS NULL", (whose,)
            ).fetchone()
            if row is None:
                raise ControlError("there is nobody of that name who may come in")
            _check(set(scopes), SCOPES[Role(row[0])], label, days)
            places = " ".join(_networks(networks))
            (alive,) = database.execute(
                "SELECT count(*) FROM api_key WHERE person = ? AND revoked_ns IS NULL AND expires_ns > ?",
                (whose, now_ns),
            ).fetchone()
            if alive >= PER_PERSON_MAX:
                raise ControlError(f"{whose} has {alive} keys: revoke some first")
            prefix, secret = secrets.token_hex(5), secrets.token_urlsafe(32)
            database.execute(
                "INSERT INTO api_key (prefix, secret_hash, person, label, scopes, created_ns, expires_ns, networks) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    *(prefix, hashed_token(secret), whose, plain(label), " ".join(sorted(scopes))),
                    *(now_ns, now_ns + days * _DAY_NS, places),
                ),
            )
            return f"np_{prefix}_{secret}"

        return self._acts.run(by, Wish("make_key", arguments=arguments, key=key, source=source), work)

    def revoke(self, by: Principal, prefix: str, *, key: str = "", source: str = "") -> Done[None]:
        """Let a key work no more: one's own, or as an admin anybody's.

        Raises:
            Denied: `by` may not do that.
            ControlError: There is no such key.
        """

        def work(database: Connection) -> None:
            found = database.execute(
                "UPDATE api_key SET revoked_ns = coalesce(revoked_ns, ?) WHERE prefix = ?",
                (self._acts.clock(), prefix),
            )
            if found.rowcount == 0:
                raise ControlError("there is no such key")

        with self._acts.storage.reading() as database:
            row = database.execute("SELECT person FROM api_key WHERE prefix = ?", (prefix,)).fetchone()
        own = row is not None and row[0] == by.name and by.via is Via.WEB
        wish = Wish(
            "revoke_key" if own else "revoke_key_of_other", arguments={"prefix": prefix}, key=key, source=source
        )
        return self._acts.run(by, wish, work)

    def of(self, name: str = "") -> list[Key]:
        """Return somebody's keys, or all, newest first; revoked and old ones too."""
        with self._acts.storage.reading() as database:
            rows = database.execute(
                _FIND + " WHERE ?1 = '' OR person.name = ?1 ORDER BY api_key.created_ns DESC, api_key.prefix", (name,)
            )
            return [_key(row) for row in rows]

    def find(self, text: str, address: str = "") -> Principal | None:
        """Return who acts when a request comes with a key; None when it is none, or none any more.

        Args:
            text: The key.
            address: Where the request comes from: with a key that works elsewhere alone it is barred from everything.

        Raises:
            ControlError: control.db cannot be used.
        """
        mark, _, rest = text.partition("_")
        prefix, _, secret = rest.partition("_")
        now_ns = self._acts.clock()
        with self._acts.storage.reading() as database:
            row = database.execute(
                _FIND + " WHERE api_key.prefix = ? AND api_key.revoked_ns IS NULL AND api_key.expires_ns > ? "
                "AND person.disabled_ns IS NULL",
                (prefix.encode("utf-8", "replace").decode(), now_ns),
            ).fetchone()
            if row is None or mark != "np" or not hmac.compare_digest(row[-2], hashed_token(secret)):
                return None
            found, role = _key(row), Role(row[-1])
            if found.networks and not _is_within(address, found.networks):
                return Principal(found.person, role, frozenset(), Via.KEY, prefix, barred=_ELSEWHERE)
            if found.used_ns is None or now_ns - found.used_ns >= _USED_EVERY_NS:
                note(database, "UPDATE api_key SET used_ns = ? WHERE prefix = ?", (now_ns, prefix))
        return Principal(found.person, role, found.scopes & SCOPES[role], Via.KEY, prefix)


def _check(scopes: set[Scope], mine: frozenset[Scope], label: str, days: int) -> None:
    strange = sorted(scopes - (KEY_SCOPES & mine))
    if not scopes or strange:
        raise ControlError(f"a key of this person cannot have {', '.join(strange) or 'no scope at all'}")
    if not 1 <= days <= DAYS_MAX:
        raise ControlError(f"a key lives from 1 to {DAYS_MAX} days")
    if not label.strip():
        raise ControlError("say what the key is for")


def _key(row: tuple[Any, ...]) -> Key:
    prefix, person, label, scopes, created_ns, expires_ns, used_ns, revoked_ns, networks = row[:-2]
    may, places = frozenset(map(Scope, scopes.split())), tuple(networks.split())
    return Key(prefix, person, label, may, created_ns, expires_ns, used_ns, revoked_ns, places)


def _networks(texts: Collection[str]) -> list[str]:
    if len(texts) > NETWORKS_MAX:
        raise ControlError(f"a key has at most {NETWORKS_MAX} networks")
    try:
        return [str(ipaddress.ip_network(text.strip())) for text in texts]
    except ValueError as wrong:
        raise ControlError(f"a network is one such as 192.0.2.0/24, or an address: {plain(str(wrong))}") from wrong


def _is_within(address: str, networks: Collection[str]) -> bool:
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return any((mapped or found) in ipaddress.ip_network(one) for one in networks)
