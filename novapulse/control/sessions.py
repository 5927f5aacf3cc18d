"""Who is signed in: sessions on the server's side, known to a browser by 256 random bits.

Invariants:
- control.db holds the hash of an id alone, and every sign-in and step-up makes a new one;
- a session ends after 30 minutes without a sign of its person, 12 hours after its start whatever happens, and at once
  when the person is disabled or gets another role or password; a page that is open and answers is a sign, and never
  stands for the password;
- the role is read with every request, never kept in the session.
"""

import hmac
import secrets
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass
from sqlite3 import Connection
from typing import Any

from novapulse.control import audit
from novapulse.control.acts import Acts, Done, Wish, plain
from novapulse.control.people import hashed_token
from novapulse.control.roles import SCOPES, Principal, Role, Via
from novapulse.control.storage import ControlError, note
from novapulse.core.messages import JSON

_MINUTE_NS = 60 * 1_000_000_000
IDLE_NS = 30 * _MINUTE_NS
ABSOLUTE_NS = 12 * 60 * _MINUTE_NS
STEP_UP_NS = 5 * _MINUTE_NS
PER_PERSON_MAX = 20

_SEEN_EVERY_NS = _MINUTE_NS // 2

_FIND = """
SELECT session.handle, session.person, person.role, session.csrf, session.address, session.agent, session.created_ns,
    session.seen_ns, session.expires_ns, session.step_up_until_ns, EXISTS (SELECT 1 FROM second_factor
    WHERE second_factor.person = session.person AND proven_ns IS NOT NULL)
FROM session JOIN person ON person.name = session.person
WHERE person.disabled_ns IS NULL AND session.expires_ns > ?1 AND session.seen_ns > ?1 - ?2
"""


@dataclass(frozen=True, slots=True)
class Session:
    """A session that is alive.

    Attributes:
        handle: Its name for people, no secret.
        person: Whose.
        role: What the person is now.
        csrf: What a page has to send with everything that changes something.
        address: Where it was started from.
        agent: The browser, as it called itself.
        created_ns: Start, ns UTC.
        seen_ns: Last sign of the person, ns UTC, to half a minute.
        expires_ns: When it ends at the latest, ns UTC.
        step_up_until_ns: Until when the password counts as just given, ns UTC.
        has_second_factor: Whether a code is asked for beside the person's password.
        owes_second_factor: Whether the role wants one that the person has yet to set up.
    """

    handle: str
    person: str
    role: Role
    csrf: str
    address: str
    agent: str
    created_ns: int
    seen_ns: int
    expires_ns: int
    step_up_until_ns: int
    has_second_factor: bool
    owes_second_factor: bool

    def json(self) -> dict[str, JSON]:
        """Return plain values, without the CSRF token."""
        values = asdict(self) | {"role": str(self.role)}
        del values["csrf"]
        return values

    @property
    def principal(self) -> Principal:
        """Who acts when a request comes with this session."""
        return Principal(
            *(self.person, self.role, SCOPES[self.role], Via.WEB, self.handle, self.step_up_until_ns),
            owes_second_factor=self.owes_second_factor,
        )

    def has_csrf(self, sent: str) -> bool:
        """Return whether a request brought the session's token along, in constant time."""
        return hmac.compare_digest(self.csrf.encode(), sent.encode("utf-8", "replace"))


@dataclass(frozen=True, slots=True)
class Started:
    """A session with the id that its browser is to keep; the id is nowhere else.

    Attributes:
        token: The id: value of the cookie.
        session: The session.
        audit_id: The row that tells of it.
    """

    token: str
    session: Session
    audit_id: int = 0


class Sessions:
    """The sessions of one home folder."""

    def __init__(self, acts: Acts) -> None:
        self._acts = acts

    def find(self, token: str, *, touch: bool = True) -> Session | None:
        """Return the session of an id; None when there is none, or none any more.

        Args:
            token: From the cookie.
            touch: Whether this is a sign of the person; False for what only looks who it is.

        Raises:
            ControlError: control.db cannot be used.
        """
        now_ns = self._acts.clock()
        with self._acts.storage.reading() as database:
            session = find(database, token, now_ns, self._acts.second_factor_of)
            if touch:
                _touch(database, session, now_ns)
        return session

    def alive(self, handle: str, *, touch: bool = False) -> Session | None:
        """Return the session of a handle, under whatever id it goes on; None when it is over.

        Args:
            handle: Of a session that was found.
            touch: Whether this is a sign of the person, as a page is that is open and answers.

        Raises:
            ControlError: control.db cannot be used.
        """
        now_ns = self._acts.clock()
        with self._acts.storage.reading() as database:
            row = database.execute(_FIND + " AND session.handle = ?3", (now_ns, IDLE_NS, handle)).fetchone()
            session = _session(row, self._acts.second_factor_of) if row else None
            if touch:
                _touch(database, session, now_ns)
        return session

    def of(self, name: str) -> list[Session]:
        """Return somebody's sessions that are alive, newest first."""
        with self._acts.storage.reading() as database:
            rows = database.execute(
                _FIND + " AND session.person = ?3 ORDER BY session.created_ns DESC", (self._acts.clock(), IDLE_NS, name)
            )
            return [_session(row, self._acts.second_factor_of) for row in rows]

    def sign_out(self, token: str, *, source: str = "") -> Done[None] | None:
        """End the session of an id; None, and nothing happens, when there is none."""
        session = self.find(token, touch=False)
        if session is None:
            return None
        return self._acts.run(session.principal, Wish("sign_out", source=source), _ending(session.handle))

    def end(self, by: Principal, handle: str, *, key: str = "", source: str = "") -> Done[None]:
        """End a session by its handle: one's own, or as an admin anybody's.

        Raises:
            Denied: `by` may not do that.
            ControlError: There is no such session.
        """
        with self._acts.storage.reading() as database:
            row = database.execute("SELECT person FROM session WHERE handle = ?", (handle,)).fetchone()
            earlier = None if row or not key else audit.done_before(database, by.actor, key)
        # One's own that was ended under this key before is one's own still.
        was_own = row[0] == by.name if row else earlier is not None and earlier.action == "end_session"
        own = was_own and by.via is Via.WEB
        wish = Wish(
            "end_session" if own else "end_session_of_other", arguments={"handle": handle}, key=key, source=source
        )
        return self._acts.run(by, wish, _ending(handle))


def start(
    database: Connection,
    name: str,
    *,
    address: str,
    agent: str,
    now_ns: int,
    second_factor_of: Collection[Role],
    step_up_until_ns: int = 0,
) -> Started:
    """Start a session within a transaction that writes: a new id, whatever the browser had before."""
    token, handle, csrf = secrets.token_urlsafe(32), secrets.token_hex(6), secrets.token_urlsafe(32)
    database.execute(
        "DELETE FROM session WHERE expires_ns <= ? OR seen_ns <= ? OR handle IN "
        "(SELECT handle FROM session WHERE person = ? ORDER BY created_ns DESC LIMIT -1 OFFSET ?)",
        (now_ns, now_ns - IDLE_NS, name, PER_PERSON_MAX - 1),
    )
    database.execute(
        "INSERT INTO session (token_hash, handle, person, csrf, address, agent, created_ns, seen_ns, expires_ns, "
        "step_up_until_ns) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            *(hashed_token(token), handle, name, csrf, plain(address), plain(agent)),
            *(now_ns, now_ns, now_ns + ABSOLUTE_NS, step_up_until_ns),
        ),
    )
    session = find(database, token, now_ns, second_factor_of)
    assert session is not None, "a session that was just started is alive"
    return Started(token, session)


def renew(database: Connection, token: str, now_ns: int, second_factor_of: Collection[Role]) -> Started:
    """Mark a session as stepped up, under a new id, within a transaction that writes.

    Raises:
        ControlError: It has ended.
    """
    fresh = secrets.token_urlsafe(32)
    if find(database, token, now_ns, second_factor_of) is not None:
        database.execute(
            "UPDATE session SET token_hash = ?, step_up_until_ns = ?, seen_ns = ? WHERE token_hash = ?",
            (hashed_token(fresh), now_ns + STEP_UP_NS, now_ns, hashed_token(token)),
        )
    session = find(database, fresh, now_ns, second_factor_of)
    if session is None:
        raise ControlError("the session has ended: sign in again")
    return Started(fresh, session)


def find(database: Connection, token: str, now_ns: int, second_factor_of: Collection[Role]) -> Session | None:
    """Return the session of an id; None when there is none, or none any more.

    Args:
        database: Open.
        token: The id.
        now_ns: ns UTC.
        second_factor_of: Roles that have to have a second factor.
    """
    row = database.execute(_FIND + " AND session.token_hash = ?3", (now_ns, IDLE_NS, hashed_token(token))).fetchone()
    return _session(row, second_factor_of) if row else None


def _touch(database: Connection, session: Session | None, now_ns: int) -> None:
    if session and now_ns - session.seen_ns >= _SEEN_EVERY_NS:
        note(database, "UPDATE session SET seen_ns = ? WHERE handle = ?", (now_ns, session.handle))


def _session(row: tuple[Any, ...], second_factor_of: Collection[Role]) -> Session:
    handle, person, role, *rest, has_second_factor = row
    owes = Role(role) in second_factor_of and not has_second_factor
    return Session(handle, person, Role(role), *(*rest, bool(has_second_factor), owes))


def _ending(handle: str) -> Callable[[Connection], None]:
    def work(database: Connection) -> None:
        if database.execute("DELETE FROM session WHERE handle = ?", (handle,)).rowcount == 0:
            raise ControlError("there is no such session")

    return work
