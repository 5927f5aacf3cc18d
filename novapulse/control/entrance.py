"""The way in: name, password and code, a one-time link, and password and code once more before what is dangerous.

Invariants:
- an unknown name, a disabled person and a wrong password cost the same work and are answered with the same words, also
  while passwords are kept at more than one cost. Whether there is a second factor is told to who gave the right
  password alone, and then no session starts without its code;
- attempts are counted by name and by address, for all processes together: after five in a quarter of an hour one more
  every three minutes. It is a back-off and no lock: the name's own count does not touch an address from which that
  person came in within the last month, so that nobody shuts anybody else out. Wrong codes count with wrong passwords,
  and a right password without its code clears nothing;
- every attempt is in the audit; a flood of refused ones leaves the first, second, fourth, eighth ... of it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from sqlite3 import Connection

from novapulse.control import audit, challenges, limits, people, second_factor, sessions
from novapulse.control.acts import Acts, Done, Wish, plain
from novapulse.control.challenges import Challenge
from novapulse.control.limits import LINK_BY_ADDRESS, SIGN_IN_BY_ADDRESS, SIGN_IN_BY_NAME, Flood, Ruling
from novapulse.control.passwords import Hasher, check_strength
from novapulse.control.people import Person
from novapulse.control.roles import Denied, Via, actor_of
from novapulse.control.second_factor import Fit
from novapulse.control.sessions import Session, Started
from novapulse.control.storage import ControlError

_KNOWN_NS = 30 * 86_400 * 1_000_000_000
_WRONG = "name or password is wrong"
_WRONG_CODE = "the code is wrong, or was used before: wait for the next one"
_TOO_LATE = "that took too long: begin again with name and password"


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

    def sign_in(
        self, name: str, password: str, *, address: str, agent: str = "", previous: str = ""
    ) -> Started | Challenge:
        """Start a session, or ask for the code of who has a second factor.

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
                if second_factor.factor_of(database, name) is not None:
                    return _ask(database, name, address, now_ns)
                return self._let_in(database, name, address, agent, previous, now_ns)
            _note(database, now_ns, "sign_in", name if person else "", address, audit.DENIED, _WRONG)
        raise NotLetInError(_WRONG)

    def give_code(self, challenge: str, code: str, *, address: str, agent: str = "", previous: str = "") -> Started:
        """Start the session that waits for a code.

        Args:
            challenge: The id that the browser got for the right password.
            code: As it was typed: the app's, or a recovery code.
            address: Where from.
            agent: The browser, as it calls itself.
            previous: The id that the browser had before, if any; its session ends.

        Raises:
            NotLetInError: Not now, not with this code, or nothing waits for one any more.
            ControlError: control.db cannot be used.
        """
        with self._acts.storage.reading() as database:
            name = challenges.person_of(database, challenge, self._acts.clock())
        self._attempt("sign_in", name, address)
        now_ns = self._acts.clock()
        with self._acts.storage.writing() as database:
            name = challenges.person_of(database, challenge, now_ns)
            fit = second_factor.check(database, name, code, now_ns) if name else None
            if fit:
                _use(database, name, fit, address, now_ns)
                challenges.end(database, challenge)
                return self._let_in(database, name, address, agent, previous, now_ns)
            why = _WRONG_CODE if name else _TOO_LATE
            _note(database, now_ns, "sign_in", name, address, audit.DENIED, why)
        raise NotLetInError(why)

    def step_up(self, token: str, password: str, code: str = "", *, address: str) -> Started:
        """Take password and code once more: the session counts as stepped up for five minutes, under a new id.

        Args:
            token: The id of the session.
            password: As it was typed.
            code: As it was typed; of no account without a second factor.
            address: Where from.

        Raises:
            NotLetInError: Not now, or not with this password and this code.
            ControlError: The session has ended, or control.db cannot be used.
        """
        session = self._session(token)
        name = session.person
        _, hashed = self._attempt("step_up", name, address)
        right = self._hasher.matches(hashed, password)
        now_ns = self._acts.clock()
        with self._acts.storage.writing() as database:
            has_factor = second_factor.factor_of(database, name) is not None
            # Looked at with a wrong password too: neither the time nor the words tell which of them it was.
            fit = second_factor.check(database, name, code, now_ns)
            if right and _hash_of(database, name) == hashed and (fit or not has_factor):
                if fit:
                    _use(database, name, fit, address, now_ns, session.handle)
                _forgive(database, name, address)
                started = sessions.renew(database, token, now_ns, self._acts.second_factor_of)
                row = _note(database, now_ns, "step_up", name, address, audit.DONE, "", session.handle)
                return Started(started.token, started.session, row)
            why = "password or code is wrong" if has_factor else "the password is wrong"
            _note(database, now_ns, "step_up", name, address, audit.DENIED, why, session.handle)
        raise NotLetInError(why)

    def enrol(self, token: str, code: str, *, key: str = "", address: str) -> Done[list[str]]:
        """Let a second factor count, because a code proves it: the person's other sessions end.

        Args:
            token: The id of the session.
            code: As it was typed.
            key: Idempotency key.
            address: Where from.

        Returns:
            Recovery codes, which are told this once.

        Raises:
            NotLetInError: Not now, as wrong codes count with wrong passwords.
            ControlError: The code is wrong, nothing waits to be proven, the session has ended, or control.db cannot be
                used.
        """
        session = self._session(token)
        self._attempt("enrol_second_factor", session.person, address)

        def work(database: Connection) -> list[str]:
            codes = second_factor.enrol(database, session.person, code, self._acts.clock())
            _forgive(database, session.person, address)
            people.end_sessions(database, session.person, but=session.handle)
            return codes

        return self._acts.run(session.principal, Wish("enrol_second_factor", key=key, source=address), work)

    def change_password(
        self, token: str, old: str, new: str, code: str = "", *, address: str, agent: str = ""
    ) -> Started:
        """Change one's password: all sessions and keys of the person end, and a new session starts.

        Raises:
            NotLetInError: Not now, or the old password or the code is wrong.
            ControlError: The new one is weak, the session has ended, or control.db cannot be used.
        """
        session = self._session(token)
        with self._telling("change_password", session.person, address):
            check_strength(new, session.person)
        hashed = self._hasher.hash(new)
        renewed = self.step_up(token, old, code, address=address)

        def work(database: Connection) -> Started:
            now_ns = self._acts.clock()
            people.put_password(database, session.person, hashed, now_ns)
            return self._start(database, session.person, address, agent, now_ns)

        done = self._acts.run(renewed.session.principal, Wish("change_password", source=address), work)
        assert done.result is not None, "without a key it is done every time"
        return Started(done.result.token, done.result.session, done.audit_id)

    def use_link(
        self, token: str, password: str, *, name: str = "", address: str, agent: str = ""
    ) -> Started | Challenge:
        """Choose a password by a one-time link, and start a session, or ask for the code of who has a second factor.

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

    def _by_link(self, token: str, password: str, name: str, address: str, agent: str) -> Started | Challenge:
        check_strength(password, name)
        hashed = self._hasher.hash(password)
        now_ns = self._acts.clock()
        with self._acts.storage.writing() as database:
            person = people.use_link(database, token, name, hashed, now_ns)
            limits.give_back(database, LINK_BY_ADDRESS, limits.address_key(address))
            if person.has_second_factor:
                row = _note(database, now_ns, "use_link", person.name, address, audit.DONE, "the code is wanted still")
                return Challenge(*challenges.begin(database, person.name, now_ns), row)
            started = self._start(database, person.name, address, agent, now_ns)
            row = _note(database, now_ns, "use_link", person.name, address, audit.DONE, "", started.session.handle)
        return Started(started.token, started.session, row)

    def _let_in(self, database: Connection, name: str, address: str, agent: str, previous: str, now_ns: int) -> Started:
        database.execute("DELETE FROM session WHERE token_hash = ?", (people.hashed_token(previous),))
        _forgive(database, name, address)
        started = self._start(database, name, address, agent, now_ns)
        row = _note(database, now_ns, "sign_in", name, address, audit.DONE, "", started.session.handle)
        return Started(started.token, started.session, row)

    def _start(self, database: Connection, name: str, address: str, agent: str, now_ns: int) -> Started:
        wanted_of = self._acts.second_factor_of
        return sessions.start(database, name, address=address, agent=agent, now_ns=now_ns, second_factor_of=wanted_of)

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
            session = sessions.find(database, token, self._acts.clock(), self._acts.second_factor_of)
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
    by_address = limits.take(database, SIGN_IN_BY_ADDRESS, limits.address_key(address), now_ns)
    if not by_address.allowed or not name:
        return by_address
    return limits.take(database, SIGN_IN_BY_NAME, _whose(database, name, address, now_ns), now_ns)


def _whose(database: Connection, name: str, address: str, now_ns: int) -> str:
    """What attempts of a name count for: for all addresses, or for one from which that person came in before."""
    came_from_there = database.execute(
        "SELECT 1 FROM audit WHERE action IN ('sign_in', 'use_link') AND outcome = 'done' "
        "AND actor = ? AND source = ? AND ts_ns > ? LIMIT 1",
        (f"web:{name}", plain(address), now_ns - _KNOWN_NS),
    ).fetchone()
    return f"{name}\0{limits.address_key(address)}" if came_from_there else name


def _ask(database: Connection, name: str, address: str, now_ns: int) -> Challenge:
    """Ask for the code after a right password: that attempt does not count, and those before it still do."""
    limits.give_back(database, SIGN_IN_BY_ADDRESS, limits.address_key(address))
    limits.give_back(database, SIGN_IN_BY_NAME, _whose(database, name, address, now_ns))
    token, expires_ns = challenges.begin(database, name, now_ns)
    row = _note(database, now_ns, "give_password", name, address, audit.DONE, "the code is wanted still")
    return Challenge(token, expires_ns, row)


def _use(database: Connection, name: str, fit: Fit, address: str, now_ns: int, credential: str = "") -> None:
    second_factor.use(database, name, fit, now_ns)
    if fit.step is None:
        factor = second_factor.factor_of(database, name)
        left = factor.recovery_codes_left if factor else 0
        _note(database, now_ns, "use_recovery_code", name, address, audit.DONE, f"{left} left", credential)


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
        actor=actor_of(Via.WEB, name),
        action=action,
        outcome=outcome,
        credential=credential,
        source=plain(address),
        text=text,
    )
