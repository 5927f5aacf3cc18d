"""The way in: the same work and words for whoever is wrong, a back-off that locks nobody out, links that work once."""

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest
from argon2.exceptions import VerifyMismatchError

from novapulse.control import passwords
from novapulse.control.entrance import NotLetInError
from novapulse.control.passwords import Cost, Hasher
from novapulse.control.plane import ControlPlane
from novapulse.control.roles import Principal, Role
from novapulse.control.sessions import Started
from novapulse.control.storage import ControlError
from tests.control.conftest import HOME_ADDRESS, PASSWORD, Add, Clock, CountingHasher, rows_of


def refusal(plane: ControlPlane, name: str, password: str = "wrong", address: str = HOME_ADDRESS) -> NotLetInError:
    with pytest.raises(NotLetInError) as refused:
        plane.entrance.sign_in(name, password, address=address)
    return refused.value


def test_a_name_may_be_typed_in_any_case(plane: ControlPlane, add: Add) -> None:
    add("ann", Role.VIEWER)
    started = plane.entrance.sign_in(" Ann ", PASSWORD, address=HOME_ADDRESS, agent="a browser")
    assert (started.session.person, started.session.agent) == ("ann", "a browser")
    (row,) = [row for row in rows_of(plane) if row.audit_id == started.audit_id]
    assert (row.actor, row.action, row.outcome, row.source) == ("web:ann", "sign_in", "done", HOME_ADDRESS)


def test_whoever_is_wrong_costs_the_same_and_hears_the_same(
    plane: ControlPlane, shell: Principal, add: Add, hasher: CountingHasher
) -> None:
    add("ann", Role.ADMIN)
    add("gone", Role.ADMIN)
    plane.people.disable(shell, "gone")
    plane.people.add(shell, "invited", Role.VIEWER)
    costs, words = set(), set()
    for number, (name, password) in enumerate(
        [("ann", "wrong"), ("nobody", PASSWORD), ("gone", PASSWORD), ("invited", ""), ("", ""), ("\ud800", "\ud800")]
    ):
        hasher.made.clear()
        words.add(str(refusal(plane, name, password, address=f"192.0.2.{number}")))
        costs.add(tuple(hasher.made))
    assert costs == {("verify",)}
    assert words == {"name or password is wrong"}


@dataclass
class Argon2:
    """Stands in for the library under the real `Hasher`: it keeps passwords as they are, and what a real one costs."""

    parameters: str
    made: list[tuple[str, str]]

    def hash(self, password: str) -> str:
        self.made.append(("hash", self.parameters))
        return f"$argon2id$v=19${self.parameters}${password}"

    def verify(self, hashed: str, password: str) -> bool:
        _, _, _, parameters, *kept = hashed.split("$")
        self.made.append(("verify", parameters))
        if kept != [password]:
            raise VerifyMismatchError
        return True

    def check_needs_rehash(self, hashed: str) -> bool:
        return f"${self.parameters}$" not in hashed


OLD, NEW = Cost(65_536, 3, 4), Cost()


def test_neither_a_name_that_nobody_has_nor_an_older_hash_is_told_by_the_work(
    tmp_path: Path, clock: Clock, shell: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bug: after a change of cost, names that nobody has were answered at once, and others three times as late."""
    made: list[tuple[str, str]] = []
    monkeypatch.setattr(passwords, "_library", lambda cost: Argon2(cost.parameters, made))
    older = ControlPlane(tmp_path / "home", hasher=Hasher(OLD), clock=clock)
    older.people.add(shell, "ann", Role.ADMIN, password=PASSWORD)
    plane = ControlPlane(tmp_path / "home", hasher=Hasher(NEW), clock=clock)
    plane.people.add(shell, "bob", Role.ADMIN, password=PASSWORD)
    plane.people.add(shell, "gone", Role.ADMIN, password=PASSWORD)
    plane.people.disable(shell, "gone")
    plane.people.add(shell, "invited", Role.VIEWER)
    names = ("ann", "bob", "gone", "invited", "nobody", "", "\ud800")
    addresses = (f"192.0.2.{number}" for number in range(250))

    def work_of(name: str, password: str = "a wrong one") -> tuple[tuple[str, str], ...]:
        made.clear()
        refusal(plane, name, password, address=next(addresses))
        return tuple(made)

    both = tuple(("verify", cost.parameters) for cost in (NEW, OLD))
    assert {work_of(name) for name in names} == {both}
    assert work_of("ann", "") == work_of("gone", PASSWORD) == both
    made.clear()
    plane.entrance.sign_in("ann", PASSWORD, address=HOME_ADDRESS)
    assert made == [*both, ("hash", NEW.parameters)]
    assert {work_of(name) for name in names} == {(("verify", NEW.parameters),)}, "the older one is gone"


def test_a_name_that_nobody_has_is_not_written_down(plane: ControlPlane, add: Add) -> None:
    add("ann", Role.ADMIN)
    refusal(plane, "my password typed into the wrong field")
    refusal(plane, "ann")
    assert [row.actor for row in rows_of(plane)[-2:]] == ["web:(nobody signed in)", "web:ann"]
    assert all(row.outcome == "denied" for row in rows_of(plane)[-2:])


def test_after_five_there_is_one_every_three_minutes(
    plane: ControlPlane, add: Add, clock: Clock, hasher: CountingHasher
) -> None:
    add("ann", Role.ADMIN)
    for _ in range(5):
        assert refusal(plane, "ann").wait_s == 0
    hasher.made.clear()
    assert refusal(plane, "ann", PASSWORD).wait_s == 180
    assert hasher.made == [], "what is refused costs no hash"
    clock.wait(180)
    assert plane.entrance.sign_in("ann", PASSWORD, address=HOME_ADDRESS)
    clock.wait(180)
    assert refusal(plane, "ann").wait_s == 0


def test_guesses_from_everywhere_count_against_the_name(plane: ControlPlane, add: Add) -> None:
    add("ann", Role.ADMIN)
    for number in range(5):
        assert refusal(plane, "ann", address=f"198.51.100.{number}").wait_s == 0
    assert refusal(plane, "ann", PASSWORD, address="198.51.100.9").wait_s == 180
    assert refusal(plane, "bob", address="198.51.100.9").wait_s == 0


def test_nobody_shuts_a_person_out_of_where_she_was_before(plane: ControlPlane, add: Add, clock: Clock) -> None:
    add("ann", Role.ADMIN)
    plane.entrance.sign_in("ann", PASSWORD, address=HOME_ADDRESS)
    for number in range(9):
        refusal(plane, "ann", address=f"198.51.100.{number}")
    assert plane.entrance.sign_in("ann", PASSWORD, address=HOME_ADDRESS)
    clock.wait(31 * 86_400)
    for number in range(9):
        refusal(plane, "ann", address=f"198.51.100.{number}")
    assert refusal(plane, "ann", PASSWORD).wait_s == 180, "a month later it is an address like any other"


def test_guesses_from_one_address_count_whatever_the_names(plane: ControlPlane) -> None:
    for number in range(5):
        assert refusal(plane, f"name{number}", address="2001:db8::1").wait_s == 0
    assert refusal(plane, "another", address="2001:db8::2").wait_s == 180, "the same line"


def test_who_knows_the_password_is_not_counted(plane: ControlPlane, add: Add) -> None:
    add("ann", Role.ADMIN)
    for _ in range(12):
        plane.entrance.sign_in("ann", PASSWORD, address=HOME_ADDRESS)


def test_a_flood_leaves_a_few_rows(plane: ControlPlane, add: Add) -> None:
    add("ann", Role.ADMIN)
    before = len(rows_of(plane))
    for _ in range(5 + 100):
        refusal(plane, "ann")
    rows = rows_of(plane)[before:]
    assert len(rows) == 5 + 7
    assert rows[-1].text == "too many attempts, 64 refused in a row"


def test_a_step_up_is_counted_like_a_sign_in(plane: ControlPlane, add: Add) -> None:
    add("ann", Role.ADMIN)
    started = plane.entrance.sign_in("ann", PASSWORD, address=HOME_ADDRESS)
    for _ in range(5):
        with pytest.raises(NotLetInError, match="the password is wrong"):
            plane.entrance.step_up(started.token, "wrong", address=HOME_ADDRESS)
    with pytest.raises(NotLetInError, match="try again in 180 s"):
        plane.entrance.step_up(started.token, PASSWORD, address=HOME_ADDRESS)


def test_a_hash_of_another_cost_is_made_anew_at_the_next_sign_in(
    plane: ControlPlane, add: Add, hasher: CountingHasher
) -> None:
    add("ann", Role.ADMIN)
    hasher.version = "newer"
    kept = plane.entrance.sign_in("ann", PASSWORD, address=HOME_ADDRESS)
    with plane.storage.reading() as database:
        assert database.execute("SELECT password_hash FROM person").fetchone() == (f"newer:{PASSWORD}",)
    assert plane.sessions.find(kept.token)


def test_a_password_that_changes_while_it_is_checked_does_not_let_in(
    plane: ControlPlane, shell: Principal, add: Add, hasher: CountingHasher, monkeypatch: pytest.MonkeyPatch
) -> None:
    add("ann", Role.ADMIN)

    def slow(hashed: str | None, password: str, kept: Iterable[str] = ()) -> bool:
        plane.people.set_password(shell, "ann", "quite another secret")
        return CountingHasher.matches(hasher, hashed, password)

    monkeypatch.setattr(hasher, "matches", slow)
    refusal(plane, "ann", PASSWORD)
    assert plane.sessions.of("ann") == []


def test_the_first_admin_comes_in_by_a_link_and_chooses_a_name(plane: ControlPlane) -> None:
    assert plane.people.all() == [], "there is nobody by default"
    token = plane.people.first_link()
    assert token is not None
    started = plane.entrance.use_link(token, PASSWORD, name="Ann", address=HOME_ADDRESS)
    assert (started.session.person, started.session.role) == ("ann", Role.ADMIN)
    assert plane.people.first_link() is None
    assert [row.action for row in rows_of(plane)] == ["make_first_link", "use_link"]


def test_a_link_works_once(plane: ControlPlane) -> None:
    token = plane.people.first_link() or ""
    plane.entrance.use_link(token, PASSWORD, name="ann", address=HOME_ADDRESS)
    for name in ("ann", "eve"):
        with pytest.raises(ControlError, match="was used already"):
            plane.entrance.use_link(token, "quite another secret", name=name, address=HOME_ADDRESS)
    assert [person.name for person in plane.people.all()] == ["ann"]
    assert plane.entrance.sign_in("ann", PASSWORD, address=HOME_ADDRESS)


def test_a_link_that_two_use_at_once_lets_one_in(plane: ControlPlane, hasher: CountingHasher) -> None:
    token, both = plane.people.first_link() or "", threading.Barrier(2, timeout=30)
    let_in: list[Started] = []

    def together(password: str) -> str:
        both.wait()
        return f"new:{password}"

    hasher.__dict__["hash"] = together

    def use(name: str) -> None:
        try:
            let_in.append(plane.entrance.use_link(token, PASSWORD, name=name, address=HOME_ADDRESS))
        except ControlError:
            return

    threads = [threading.Thread(target=use, args=(name,)) for name in ("ann", "eve")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(let_in) == len(plane.people.all()) == 1
    assert rows_of(plane)[-1].outcome in ("done", "refused")


def test_a_weak_password_does_not_use_a_link_up(plane: ControlPlane) -> None:
    token = plane.people.first_link() or ""
    for password, name in (("short", "ann"), (PASSWORD, "not a name"), ("password1234", "ann")):
        with pytest.raises(ControlError):
            plane.entrance.use_link(token, password, name=name, address=HOME_ADDRESS)
        assert rows_of(plane)[-1].outcome == "refused"
    assert plane.people.all() == []
    assert plane.entrance.use_link(token, PASSWORD, name="ann", address=HOME_ADDRESS)


def test_a_link_is_too_old_after_a_day_and_printed_ones_replace_each_other(plane: ControlPlane, clock: Clock) -> None:
    older, newer = plane.people.first_link() or "", plane.people.first_link() or ""
    clock.wait(86_400)
    for token in (older, newer, "guessed"):
        with pytest.raises(ControlError, match="too old"):
            plane.entrance.use_link(token, PASSWORD, name="ann", address=HOME_ADDRESS)


def test_links_are_not_guessed_without_end(plane: ControlPlane) -> None:
    token = plane.people.first_link() or ""
    for _ in range(10):
        with pytest.raises(ControlError, match="was used already"):
            plane.entrance.use_link("guessed", PASSWORD, name="eve", address="198.51.100.1")
    with pytest.raises(NotLetInError, match="too many links"):
        plane.entrance.use_link("guessed", PASSWORD, name="eve", address="198.51.100.1")
    assert plane.entrance.use_link(token, PASSWORD, name="ann", address=HOME_ADDRESS)


def test_changing_a_password_wants_the_old_one_and_a_good_new_one(plane: ControlPlane, add: Add) -> None:
    add("ann", Role.VIEWER)
    token = plane.entrance.sign_in("ann", PASSWORD, address=HOME_ADDRESS).token
    with pytest.raises(NotLetInError):
        plane.entrance.change_password(token, "wrong", "quite another secret", address=HOME_ADDRESS)
    with pytest.raises(ControlError, match="at least 12"):
        plane.entrance.change_password(token, PASSWORD, "short", address=HOME_ADDRESS)
    started = plane.entrance.change_password(token, PASSWORD, "quite another secret", address=HOME_ADDRESS)
    assert [session.handle for session in plane.sessions.of("ann")] == [started.session.handle]
    refusal(plane, "ann", PASSWORD)
    assert plane.entrance.sign_in("ann", "quite another secret", address=HOME_ADDRESS)
    assert "change_password" in [row.action for row in rows_of(plane) if row.outcome == "done"]


def test_a_real_hash_lets_the_right_one_in(plane: ControlPlane, shell: Principal, clock: Clock) -> None:
    real = ControlPlane(plane.home, hasher=Hasher(), clock=clock)
    real.people.add(shell, "ann", Role.ADMIN, password=PASSWORD)
    assert real.entrance.sign_in("ann", PASSWORD, address=HOME_ADDRESS)
    refusal(real, "ann", PASSWORD + "x")
    refusal(real, "nobody", PASSWORD)
