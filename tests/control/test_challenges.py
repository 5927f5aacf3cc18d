"""A sign-in that waits for its code: it may do nothing else, tells nobody anything, and ends in time."""

from collections.abc import Callable

import pytest

from novapulse.control.challenges import CHALLENGE_NS, Challenge
from novapulse.control.entrance import NotLetInError
from novapulse.control.plane import ControlPlane
from novapulse.control.roles import Principal, Role
from tests.control.conftest import (
    HOME_ADDRESS,
    PASSWORD,
    SECOND_NS,
    Add,
    App,
    Clock,
    ComeIn,
    CountingHasher,
    ask,
    refused,
    rows_of,
)


def test_who_comes_too_late_is_kept_waiting_by_nobody_elsewhere(plane: ControlPlane) -> None:
    for number in range(9):
        assert refused(plane, "guessed", "1", f"198.51.100.{number}").wait_s == 0
    for _ in range(5):
        refused(plane, "guessed", "1", "203.0.113.1")
    assert refused(plane, "guessed", "1", "203.0.113.1").wait_s == 180


def test_who_gave_no_right_password_learns_nothing_of_a_second_factor(
    plane: ControlPlane, enrol: ComeIn, add: Add, hasher: CountingHasher
) -> None:
    enrol()
    add("bob", Role.ADMIN)
    heard, costs = set(), set()
    for number, name in enumerate(("ann", "bob", "nobody")):
        hasher.made.clear()
        with pytest.raises(NotLetInError) as wrong:
            plane.entrance.sign_in(name, "a wrong one", address=f"198.51.100.{number}")
        heard.add((str(wrong.value), wrong.value.wait_s))
        costs.add(tuple(hasher.made))
    assert heard == {("name or password is wrong", 0)}
    assert costs == {("verify",)}


def test_wrong_codes_count_with_wrong_passwords_and_a_right_password_clears_nothing(
    plane: ControlPlane, enrol: ComeIn, app: App, clock: Clock
) -> None:
    enrol()
    clock.wait(31 * 86_400)
    elsewhere = [f"198.51.100.{number}" for number in range(9)]
    with pytest.raises(NotLetInError, match="name or password is wrong"):
        plane.entrance.sign_in("ann", "a wrong one", address=elsewhere[0])
    for address in elsewhere[1:5]:
        assert refused(plane, ask(plane, address=address).token, app.wrong(), address).wait_s == 0
    with pytest.raises(NotLetInError) as later:
        plane.entrance.sign_in("ann", PASSWORD, address=elsewhere[5])
    assert later.value.wait_s == 180
    clock.wait(180)
    challenge = ask(plane, address=elsewhere[5]).token
    assert plane.entrance.give_code(challenge, app.code(), address=elsewhere[5])
    for address in elsewhere[6:]:
        assert refused(plane, ask(plane, address=address).token, app.wrong(), address).wait_s == 0
    denied = [row for row in rows_of(plane) if row.action == "sign_in" and row.outcome == "denied"]
    assert sum(row.text.startswith("the code is wrong") for row in denied) == 4 + 3


def test_a_right_password_alone_is_not_counted_however_often(
    plane: ControlPlane, enrol: ComeIn, app: App, clock: Clock
) -> None:
    enrol()
    challenges = [(clock.wait(1), ask(plane).token)[1] for _ in range(30)]
    assert "that took too long" in str(refused(plane, challenges[0], app.code())), "later ones put it out"
    assert plane.entrance.give_code(challenges[-1], app.code(), address=HOME_ADDRESS)
    with plane.storage.reading() as database:
        assert database.execute("SELECT count(*) FROM challenge").fetchone() == (19,)


def test_a_sign_in_that_waits_for_its_code_may_do_nothing_else(plane: ControlPlane, enrol: ComeIn, app: App) -> None:
    enrol()
    challenge = ask(plane)
    assert plane.sessions.find(challenge.token) is None
    assert plane.sessions.alive(challenge.token) is None
    assert challenge.token.encode() not in plane.storage.path.read_bytes()
    (row,) = [row for row in rows_of(plane) if row.audit_id == challenge.audit_id]
    assert (row.action, row.outcome, row.text) == ("give_password", "done", "the code is wanted still")


ENDINGS: dict[str, Callable[[ControlPlane, Principal, Clock], object]] = {
    "it took five minutes": lambda plane, shell, clock: clock.wait(CHALLENGE_NS / SECOND_NS),
    "disabled": lambda plane, shell, clock: plane.people.disable(shell, "ann"),
    "another role": lambda plane, shell, clock: plane.people.change_role(shell, "ann", Role.VIEWER),
    "another password": lambda plane, shell, clock: plane.people.set_password(shell, "ann", "quite another secret"),
    "no second factor any more": lambda plane, shell, clock: plane.second_factors.reset(shell, "ann"),
}


@pytest.mark.parametrize("ending", ENDINGS.values(), ids=ENDINGS)
def test_a_sign_in_waits_for_its_code_no_longer(
    ending: Callable[..., object], plane: ControlPlane, shell: Principal, enrol: ComeIn, app: App, clock: Clock
) -> None:
    enrol()
    challenge = ask(plane).token
    ending(plane, shell, clock)
    assert "that took too long" in str(refused(plane, challenge, app.code()))
    assert rows_of(plane)[-1].outcome == "denied"


def test_a_challenge_lets_one_in_once_and_ends_the_session_of_before(
    plane: ControlPlane, enrol: ComeIn, app: App
) -> None:
    before, challenge = enrol(), ask(plane).token
    started = plane.entrance.give_code(challenge, app.code(), address=HOME_ADDRESS, previous=before.token)
    assert plane.sessions.find(before.token) is None
    assert started.session.has_second_factor
    refused(plane, challenge, app.code(1))


def test_a_link_gives_another_password_and_not_the_second_factor(
    plane: ControlPlane, shell: Principal, enrol: ComeIn, app: App
) -> None:
    enrol()
    link = plane.people.make_link(shell, "ann").result or ""
    asked = plane.entrance.use_link(link, "quite another secret", address=HOME_ADDRESS)
    assert isinstance(asked, Challenge)
    assert plane.sessions.of("ann") == []
    assert plane.entrance.give_code(asked.token, app.code(), address=HOME_ADDRESS)
