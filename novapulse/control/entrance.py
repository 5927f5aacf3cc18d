"""The way in: name and password, a one-time link, and the password once more before what is dangerous.

Invariants:
- an unknown name, a disabled person and a wrong password cost the same work and are answered with the same words, also
  while passwords are kept at more than one cost;
- attempts are counted by name and by address, for all processes together: after five in a quarter of an hour one more
  every three minutes. It is a back-off and no lock: the name's own count does not touch an address from which that
  person came in within the last month, so that nobody shuts anybody else out;
- every attempt is in the audit; a flood of refused ones leaves the first, second, fourth, eighth ... of it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from sqlite3 import Connection

from novapulse.control import audit, limits, people, sessions
from novapulse.control.acts import Acts, Wish, plain
from novapulse.control.limits import LINK_BY_ADDRESS, SIGN_IN_BY_ADDRESS, SIGN_IN_BY_NAME, Flood, Ruling
from novapulse.control.passwords import Hasher, check_strength
from novapulse.control.people import Person
from novapulse.control.roles import Denied
from novapulse.control.sessions import Session, Started
from novapulse.control.storage import ControlError

_KNOWN_NS = 30 * 86_400 * 1_000_000_000
_WRONG = "name or password is wrong"


class NotLetInError(Denied):
    """A sign-in that failed.

    Attributes:
        wait_s: Seconds until the next attempt is looked at; 0 for now.
    """

    def __init__(self, text: str, wait_s: int = 0) -> None:
        super().__init__(text)
        self.wait_s = wait_s


class Entrance:
    """The way in to one home folder."""

    def __init__(self, acts: Acts, hasher: Hasher) -> None:
        self._acts = acts
        self._hasher = hasher
        self._flood = Flood()

    def sign_in(self, name: str, password: str, *, address: str, agent: str = "", previous: str = "") -> Started:
        """Start a session.

        Args:
            name: As it was typed.
            password: As it was typed.
            address: Where from.
            agent: The browser, as it calls itself.
            previous: The id that the browser had before, if any; its session ends.

        Raises:
            NotLetInError: Not now, or not with these.
            ControlError: control.db cannot be used.
        """
        name = people.spelled(name)
        person, hashed = self._attempt("sign_in", name, address)
        right = self._hasher.matches(hashed, password, self._kept())
        fresh = self._hasher.hash(password) if right and hashed and self._hasher.is_outdated(hashed) else hashed
        now_ns = self._acts.clock()
        with self._acts.storage.writing() as database:
            if right and person and hashed and _hash_of(database, name) == hashed:
                database.execute("UPDATE person SET password_hash = ? WHERE name = ?", (fresh, name))
                database.execute("DELETE FROM session WHERE token_hash = ?", (people.hashed_token(previous),))
                _forgive(database, name, address)
                started = sessions.start(database, name, address=address, agent=agent, now_ns=now_ns)
                row = _note(database, now_ns, "sign_in", name, address, audit.DONE, "", started.session.handle)
                return Started(started.token, started.session, row)
            _note(database, now_ns, "sign_in", name if person else "", address, audit.DENIED, _WRONG)
        raise NotLetInError(_WRONG)

    def step_up(self, token: str, password: str, *, address: str) -> Started:
        """Take the password once more: the session counts as stepped up for five minutes, under a new id.

        Raises:
            NotLetInError: Not now, or not with this password.
            ControlError: The session has ended, or control.db cannot be used.
        """
        session = self._session(token)
        _, hashed = self._attempt("step_up", session.person, address)
        right = self._hasher.matches(hashed, password)
        now_ns = self._acts.clock()
        with self._acts.storage.writing() as database:
            if right and _hash_of(database, session.person) == hashed:
                _forgive(database, session.person, address)
                started = sessions.renew(database, token, now_ns)
                row = _note(database, now_ns, "step_up", session.person, address, audit.DONE, "", session.handle)
                return Started(started.token, started.session, row)
            _note(database, now_ns, "step_up", session.person, address, audit.DENIED, _WRONG, session.handle)
        raise NotLetInError("the password is wrong")

    def change_password(self, token: str, old: str, new: str, *, address: str, agent: str = "") -> Started:
        """Change one's password: all sessions and keys of the person end, and a new session starts.

        Raises:
            NotLetInError: Not now, or the old password is wrong.
            ControlError: The new one is weak, the session has ended, or control.db cannot be used.
        """
        session = self._session(token)
        with self._telling("change_password", session.person, address):
            check_strength(new, session.person)
        hashed = self._hasher.hash(new)
        renewed = self.step_up(token, old, address=address)

        def work(database: Connection) -> Started:
            now_ns = self._acts.clock()
            people.put_password(database, session.person, hashed, now_ns)
            return sessions.start(database, session.person, address=address, agent=agent, now_ns=now_ns)

        done = self._acts.run(renewed.session.principal, Wish("change_password", source=address), work)
        assert done.result is not None, "without a key it is done every time"
        return Started(done.result.token, done.result.session, done.audit_id)

    def use_link(self, token: str, password: str, *, name: str = "", address: str, agent: str = "") -> Started:
        """Choose a password by a one-time link, and start a session.

        Args:
            token: The link's.
            password: The wish.
            name: What the first admin wants to be called; other links know.
            address: Where from.
            agent: The browser, as it calls itself.

        Raises:
            NotLetInError: Too many links were tried from there.
            ControlError: The link cannot be used (any more), the password is weak, or the name cannot be taken; a link
                that could be used can still be.
        """
        name = people.spelled(name)
        now_ns = self._acts.clock()
        with self._acts.storage.writing() as database:
            ruling = limits.take(database, LINK_BY_ADDRESS, limits.address_key(address), now_ns)
            link = people.open_link(database, token, now_ns)
            self._tell_flood(database, ruling, "use_link", "", address)
            if ruling.allowed and link is None:
                _note(database, now_ns, "use_link", "", address, audit.DENIED, "no link that can be used")
        if not ruling.allowed:
            raise NotLetInError(f"too many links were tried: try again in {ruling.wait_s} s", ruling.wait_s)
        if link is None:
            raise ControlError("this link was used already, or is too old: ask for another")
        with self._telling("use_link", link.person or "", address):
            return self._by_link(token, password, link.person or name, address, agent)

    def _by_link(self, token: str, password: str, name: str, address: str, agent: str) -> Started:
        check_strength(password, name)
        hashed = self._hasher.hash(password)
        now_ns = self._acts.clock()
        with self._acts.storage.writing() as database:
            person = people.use_link(database, token, name, hashed, now_ns)
            limits.give_back(database, LINK_BY_ADDRESS, limits.address_key(address))
            started = sessions.start(database, person.name, address=address, agent=agent, now_ns=now_ns)
            row = _note(database, now_ns, "use_link", person.name, address, audit.DONE, "", started.session.handle)
        return Started(started.token, started.session, row)

    def _tell_flood(self, database: Connection, ruling: Ruling, action: str, name: str, address: str) -> None:
        place = limits.address_key(address)
        if ruling.allowed:
            self._flood.over(place)
        elif count := self._flood.refused(place):
            text = f"too many attempts, {count} refused in a row"
            _note(database, self._acts.clock(), action, name, address, audit.DENIED, text)

    @contextmanager
    def _telling(self, action: str, name: str, address: str) -> Iterator[None]:
        """Write down that something was refused."""
        try:
            yield
        except ControlError as wrong:
            with self._acts.storage.writing() as database:
                _note(database, self._acts.clock(), action, name, address, audit.REFUSED, str(wrong))
            raise

    def _session(self, token: str) -> Session:
        with self._acts.storage.reading() as database:
            session = sessions.find(database, token, self._acts.clock())
        if session is None:
            raise NotLetInError("the session has ended: sign in again")
        return session

    def _kept(self) -> list[str]:
        """Every hash that somebody could come in with."""
        with self._acts.storage.reading() as database:
            rows = database.execute(
                "SELECT password_hash FROM person WHERE password_hash IS NOT NULL AND disabled_ns IS NULL"
            )
            return [row[0] for row in rows]

    def _attempt(self, action: str, name: str, address: str) -> tuple[Person | None, str | None]:
        """Count an attempt; the person and the hash to compare with, both None where nobody can come in so."""
        now_ns = self._acts.clock()
        with self._acts.storage.writing() as database:
            person = people.find(database, name)
            ruling = _take(database, name, address, now_ns)
            self._tell_flood(database, ruling, action, name if person else "", address)
            hashed = _hash_of(database, name)
        if not ruling.allowed:
            raise NotLetInError(f"too many attempts: try again in {ruling.wait_s} s", ruling.wait_s)
        return person, hashed


def _take(database: Connection, name: str, address: str, now_ns: int) -> Ruling:
    """Count an attempt; the address comes first, so that one address cannot use up a name's allowance."""
    place = limits.address_key(address)
    came_from_there = database.execute(
        "SELECT 1 FROM audit WHERE action IN ('sign_in', 'use_link') AND outcome = 'done' "
        "AND actor = ? AND source = ? AND ts_ns > ? LIMIT 1",
        (f"web:{name}", plain(address), now_ns - _KNOWN_NS),
    ).fetchone()
    whose = f"{name}\0{place}" if came_from_there else name
    by_address = limits.take(database, SIGN_IN_BY_ADDRESS, place, now_ns)
    return limits.take(database, SIGN_IN_BY_NAME, whose, now_ns) if by_address.allowed else by_address


def _forgive(database: Connection, name: str, address: str) -> None:
    place = limits.address_key(address)
    limits.give_back(database, SIGN_IN_BY_ADDRESS, place)
    for subject in (name, f"{name}\0{place}"):
        limits.forget(database, SIGN_IN_BY_NAME, subject)


def _hash_of(database: Connection, name: str) -> str | None:
    row = database.execute(
        "SELECT password_hash FROM person WHERE name = ? AND disabled_ns IS NULL", (name,)
    ).fetchone()
    return row[0] if row else None


def _note(
    database: Connection,
    now_ns: int,
    action: str,
    name: str,
    address: str,
    outcome: str,
    text: str,
    credential: str = "",
) -> int:
    return audit.append(
        database,
        ts_ns=now_ns,
        actor=f"web:{name}",
        action=action,
        outcome=outcome,
        credential=credential,
        source=plain(address),
        text=text,
    )
