"""Who may sign in: people with a role, and one-time links by which they choose their password.

Invariants:
- there is no default person and no default password: the first admin comes in by a link that was printed where the
  home folder lies;
- a link works once and for a day; control.db holds its hash;
- disabling somebody, changing a role or a password ends every session and key of that person in the same transaction;
- there is always an admin who can sign in, once there was one, unless the shell of the machine says otherwise.
"""

import hashlib
import re
import secrets
from collections.abc import Callable
from dataclasses import asdict, dataclass
from sqlite3 import Connection
from typing import Any, TypeVar

from novapulse.control import audit
from novapulse.control.acts import Acts, Done, Wish
from novapulse.control.passwords import Hasher, check_strength
from novapulse.control.roles import Denied, Principal, Role, Via
from novapulse.control.storage import ControlError
from novapulse.core.messages import JSON

T = TypeVar("T")

LINK_VALID_NS = 24 * 3600 * 1_000_000_000
LINK_PATH = "/welcome"
"""The page of the server that takes a link."""

_TYPED_CHARACTERS_MAX = 64
_NAME = re.compile(r"[a-z][a-z0-9._-]{1,31}")
_READ = (
    "SELECT name, role, password_hash IS NOT NULL, created_ns, changed_ns, disabled_ns, EXISTS (SELECT 1 FROM "
    "second_factor WHERE second_factor.person = person.name AND proven_ns IS NOT NULL) FROM person"
)


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who may sign in.

    Attributes:
        name: Lower case.
        role: What they are.
        has_password: Whether they have chosen one yet.
        created_ns: When they were added, ns UTC.
        changed_ns: When role or password changed last, ns UTC.
        disabled_ns: Since when they may not come in, ns UTC; None for they may.
        has_second_factor: Whether a code is asked for beside the password.
    """

    name: str
    role: Role
    has_password: bool
    created_ns: int
    changed_ns: int
    disabled_ns: int | None
    has_second_factor: bool

    @property
    def can_sign_in(self) -> bool:
        """Whether they can."""
        return self.has_password and self.disabled_ns is None

    def json(self) -> dict[str, JSON]:
        """Return plain values."""
        return asdict(self) | {"role": str(self.role), "can_sign_in": self.can_sign_in}


@dataclass(frozen=True, slots=True)
class Link:
    """A link that can still be used. `person` is None for the first admin, who chooses a name too."""

    person: str | None
    expires_ns: int


class People:
    """The people of one home folder."""

    def __init__(self, acts: Acts, hasher: Hasher) -> None:
        self._acts = acts
        self._hasher = hasher

    def all(self) -> list[Person]:
        """Return everybody, by name."""
        with self._acts.storage.reading() as database:
            return [_person(row) for row in database.execute(_READ + " ORDER BY name")]

    def get(self, name: str) -> Person | None:
        """Return one; None where there is nobody of that name."""
        with self._acts.storage.reading() as database:
            return find(database, name)

    def add(
        self,
        by: Principal,
        name: str,
        role: Role,
        *,
        password: str | None = None,
        key: str = "",
        source: str = "",
    ) -> Done[str]:
        """Add somebody, and return the token of a link by which they choose a password; empty with a password.

        Args:
            by: Who adds.
            name: 2 to 32 lower-case letters, digits, `.`, `_` or `-`, beginning with a letter.
            role: What they are.
            password: A first password, which only the shell of the machine may give.
            key: Idempotency key.
            source: Where from.

        Raises:
            Denied: `by` may not do that.
            ControlError: The name is none, or taken, or the password is weak.
        """
        hashed = None if password is None else self._hashed(by, "add_person", name, password, source)

        def work(database: Connection) -> str:
            now_ns = self._acts.clock()
            _insert(database, name, role, now_ns)
            if hashed is None:
                return _new_link(database, name, now_ns)
            put_password(database, name, hashed, now_ns)
            return ""

        return self._run(by, "add_person", {"name": name, "role": str(role)}, work, key, source)

    def make_link(self, by: Principal, name: str, *, key: str = "", source: str = "") -> Done[str]:
        """Return the token of a new link for somebody who has lost a password; earlier ones stop working.

        Raises:
            Denied: `by` may not do that.
            ControlError: There is nobody of that name.
        """

        def work(database: Connection) -> str:
            _needed(database, name)
            return _new_link(database, name, self._acts.clock())

        return self._run(by, "make_link", {"name": name}, work, key, source)

    def change_role(self, by: Principal, name: str, role: Role, *, key: str = "", source: str = "") -> Done[None]:
        """Give somebody another role; their sessions and keys end.

        Raises:
            Denied: `by` may not do that.
            ControlError: There is nobody of that name, or it is the last admin.
        """

        def work(database: Connection) -> None:
            _needed(database, name)
            now_ns = self._acts.clock()
            database.execute("UPDATE person SET role = ?, changed_ns = ? WHERE name = ?", (role, now_ns, name))
            end_everything(database, name, now_ns)
            _keep_an_admin(database, by)

        return self._run(by, "change_role", {"name": name, "role": str(role)}, work, key, source)

    def disable(self, by: Principal, name: str, *, key: str = "", source: str = "") -> Done[None]:
        """Let somebody in no more, from this moment on; their sessions, keys and links end.

        Raises:
            Denied: `by` may not do that.
            ControlError: There is nobody of that name, or it is the last admin.
        """

        def work(database: Connection) -> None:
            _needed(database, name)
            now_ns = self._acts.clock()
            database.execute("UPDATE person SET disabled_ns = coalesce(disabled_ns, ?) WHERE name = ?", (now_ns, name))
            end_everything(database, name, now_ns)
            database.execute("DELETE FROM link WHERE person = ? AND used_ns IS NULL", (name,))
            _keep_an_admin(database, by)

        return self._run(by, "disable_person", {"name": name}, work, key, source)

    def enable(self, by: Principal, name: str, *, key: str = "", source: str = "") -> Done[None]:
        """Let somebody in again.

        Raises:
            Denied: `by` may not do that.
            ControlError: There is nobody of that name.
        """

        def work(database: Connection) -> None:
            _needed(database, name)
            database.execute("UPDATE person SET disabled_ns = NULL WHERE name = ?", (name,))

        return self._run(by, "enable_person", {"name": name}, work, key, source)

    def set_password(self, by: Principal, name: str, password: str, *, source: str = "") -> Done[None]:
        """Give somebody a password from the shell of the machine; their sessions and keys end.

        Raises:
            Denied: `by` did not come by the shell, or may not do that.
            ControlError: The password is weak, or there is nobody of that name.
        """
        hashed = self._hashed(by, "set_password", name, password, source)

        def work(database: Connection) -> None:
            _needed(database, name)
            put_password(database, name, hashed, self._acts.clock())

        return self._run(by, "set_password", {"name": name}, work, "", source)

    def first_link(self, actor: str = "server", source: str = "this machine") -> str | None:
        """Return the token of a link by which the first admin comes in; None when there is an admin already.

        Earlier ones that were not used stop working. Only to be printed where the home folder lies.

        Args:
            actor: Who makes it, for the audit.
            source: Where from.
        """
        now_ns = self._acts.clock()
        with self._acts.storage.writing() as database:
            if count_admins(database):
                return None
            audit.append(
                database, ts_ns=now_ns, actor=actor, action="make_first_link", outcome=audit.DONE, source=source
            )
            return _new_link(database, None, now_ns)

    def has_admin(self) -> bool:
        """Return whether there is an admin who can sign in."""
        with self._acts.storage.reading() as database:
            return count_admins(database) > 0

    def link(self, token: str) -> Link | None:
        """Return what a link is for; None when it is none, was used, or is too old."""
        with self._acts.storage.reading() as database:
            return open_link(database, token, self._acts.clock())

    def _hashed(self, by: Principal, action: str, name: str, password: str, source: str) -> str:
        try:
            if by.via is not Via.CLI:
                raise Denied("only the shell of the machine gives passwords to others: make a link")
            check_strength(password, name)
        except ControlError as wrong:
            self._acts.turned_away(by, Wish(action, arguments={"name": name}, source=source), wrong)
            raise
        return self._hasher.hash(password)

    def _run(
        self,
        by: Principal,
        action: str,
        arguments: dict[str, str],
        work: Callable[[Connection], T],
        key: str,
        source: str,
    ) -> Done[T]:
        return self._acts.run(by, Wish(action, arguments=arguments, key=key, source=source), work)


def find(database: Connection, name: str) -> Person | None:
    """Return somebody; None where there is nobody of that name."""
    row = database.execute(_READ + " WHERE name = ?", (name,)).fetchone()
    return _person(row) if row else None


def link_address(server: str, token: str) -> str:
    """Return what somebody opens to use a link; browsers send nothing behind a `#`, so that it gets into no log."""
    return f"{server.rstrip('/')}{LINK_PATH}#{token}"


def spelled(name: str) -> str:
    """Return a name as it is kept: without blanks around it, in lower case; too long ones are cut, and are no names."""
    return name.strip().lower()[:_TYPED_CHARACTERS_MAX].encode("utf-8", "replace").decode()


def open_link(database: Connection, token: str, now_ns: int) -> Link | None:
    """Return what a link is for; None when it is none, was used, or is too old."""
    row = database.execute(
        "SELECT person, expires_ns FROM link WHERE token_hash = ? AND used_ns IS NULL AND expires_ns > ?",
        (hashed_token(token), now_ns),
    ).fetchone()
    return Link(*row) if row else None


def use_link(database: Connection, token: str, name: str, hashed: str, now_ns: int) -> Person:
    """Use a link up within a transaction that writes: the person gets a password and is returned.

    Args:
        database: In a transaction that writes.
        token: The link's.
        name: What the first admin wants to be called; otherwise the link knows.
        hashed: Hash of the password.
        now_ns: ns UTC.

    Raises:
        ControlError: The link cannot be used (any more), or the name cannot be taken.
    """
    link = open_link(database, token, now_ns)
    if link is None:
        raise ControlError("this link was used already, or is too old: ask for another")
    if link.person is None:
        if count_admins(database):
            raise ControlError("there is an admin already: ask for a link of your own")
        _insert(database, name, Role.ADMIN, now_ns)
    who = link.person or name
    if _needed(database, who).disabled_ns is not None:
        raise ControlError("this person may not come in")
    put_password(database, who, hashed, now_ns)
    database.execute("UPDATE link SET used_ns = ? WHERE token_hash = ?", (now_ns, hashed_token(token)))
    return _needed(database, who)


def put_password(database: Connection, name: str, hashed: str, now_ns: int) -> None:
    """Give somebody a password, within a transaction that writes; sessions, keys and open links end."""
    database.execute("UPDATE person SET password_hash = ?, changed_ns = ? WHERE name = ?", (hashed, now_ns, name))
    end_everything(database, name, now_ns)
    database.execute("DELETE FROM link WHERE person = ? AND used_ns IS NULL", (name,))


def end_everything(database: Connection, name: str, now_ns: int) -> None:
    """End all sessions and keys of somebody, within a transaction that writes."""
    end_sessions(database, name)
    database.execute("UPDATE api_key SET revoked_ns = ? WHERE person = ? AND revoked_ns IS NULL", (now_ns, name))


def end_sessions(database: Connection, name: str, but: str = "") -> None:
    """End the sessions of somebody, and those that wait for a code, within a transaction that writes.

    Args:
        database: In a transaction that writes.
        name: Whose.
        but: Handle of the one that goes on; empty for none.
    """
    database.execute("DELETE FROM session WHERE person = ? AND handle <> ?", (name, but))
    database.execute("DELETE FROM challenge WHERE person = ?", (name,))


def count_admins(database: Connection) -> int:
    """Return how many admins can sign in."""
    (count,) = database.execute(
        "SELECT count(*) FROM person WHERE role = 'admin' AND password_hash IS NOT NULL AND disabled_ns IS NULL"
    ).fetchone()
    return int(count)


def hashed_token(token: str) -> bytes:
    """Return how a token of 256 random bits is kept."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def _person(row: tuple[Any, ...]) -> Person:
    name, role, has_password, created_ns, changed_ns, disabled_ns, has_second_factor = row
    return Person(
        *(name, Role(role), bool(has_password), created_ns, changed_ns, disabled_ns, bool(has_second_factor)),
    )


def _needed(database: Connection, name: str) -> Person:
    person = find(database, name)
    if person is None:
        raise ControlError("there is nobody of that name")
    return person


def _insert(database: Connection, name: str, role: Role, now_ns: int) -> None:
    if not _NAME.fullmatch(name):
        raise ControlError("a name has 2 to 32 lower-case letters, digits, '.', '_' or '-', and begins with a letter")
    if find(database, name):
        raise ControlError("that name is taken")
    database.execute(
        "INSERT INTO person (name, role, created_ns, changed_ns) VALUES (?, ?, ?, ?)", (name, role, now_ns, now_ns)
    )


def _new_link(database: Connection, name: str | None, now_ns: int) -> str:
    token = secrets.token_urlsafe(32)
    database.execute("DELETE FROM link WHERE expires_ns <= ? OR (person IS ? AND used_ns IS NULL)", (now_ns, name))
    database.execute(
        "INSERT INTO link (token_hash, person, created_ns, expires_ns) VALUES (?, ?, ?, ?)",
        (hashed_token(token), name, now_ns, now_ns + LINK_VALID_NS),
    )
    return token


def _keep_an_admin(database: Connection, by: Principal) -> None:
    if by.via is not Via.CLI and not count_admins(database):
        raise ControlError("somebody has to remain who is admin and can sign in")
