"""People: added, changed, let in no more, and what of theirs ends with it."""

from collections.abc import Callable

import pytest

from novapulse.control.plane import ControlPlane
from novapulse.control.roles import Denied, Principal, Role, Scope, StepUpNeeded
from novapulse.control.storage import ControlError
from tests.control.conftest import HOME_ADDRESS, PASSWORD, Add, Clock, ComeIn, rows_of

ENDINGS: dict[str, Callable[[ControlPlane, Principal, str], object]] = {
    "disabled": lambda plane, by, _: plane.people.disable(by, "ann"),
    "another role": lambda plane, by, _: plane.people.change_role(by, "ann", Role.VIEWER),
    "a password from the shell": lambda plane, by, _: plane.people.set_password(by, "ann", "quite another secret"),
    "a password of her own": lambda plane, _, token: plane.entrance.change_password(
        token, PASSWORD, "quite another secret", address=HOME_ADDRESS
    ),
    "a password by a link": lambda plane, by, _: plane.entrance.use_link(
        plane.people.make_link(by, "ann").result or "", "quite another secret", address=HOME_ADDRESS
    ),
}


@pytest.mark.parametrize("ending", ENDINGS.values(), ids=ENDINGS)
def test_sessions_and_keys_end_at_once(
    ending: Callable[[ControlPlane, Principal, str], object], plane: ControlPlane, shell: Principal, come_in: ComeIn
) -> None:
    one, other = come_in("ann", Role.OPERATOR), come_in("ann", Role.OPERATOR)
    bob = come_in("bob", Role.OPERATOR)
    key = plane.keys.make(shell, "a script", {Scope.READ}, person="ann").result or ""
    ending(plane, shell, one.token)
    assert [plane.sessions.find(started.token) for started in (one, other)] == [None, None]
    assert plane.keys.find(key) is None
    assert plane.sessions.find(bob.token) is not None, "nobody else's"


def test_who_is_disabled_comes_in_by_nothing(plane: ControlPlane, shell: Principal, come_in: ComeIn) -> None:
    come_in("ann", Role.OPERATOR)
    link = plane.people.make_link(shell, "ann").result or ""
    plane.people.disable(shell, "ann")
    with pytest.raises(Denied, match="name or password is wrong"):
        plane.entrance.sign_in("ann", PASSWORD, address=HOME_ADDRESS)
    later = plane.people.make_link(shell, "ann").result or ""
    for token in (link, later):
        with pytest.raises(ControlError):
            plane.entrance.use_link(token, "quite another secret", address=HOME_ADDRESS)
    plane.people.enable(shell, "ann")
    assert plane.entrance.sign_in("ann", PASSWORD, address=HOME_ADDRESS)


def test_an_admin_adds_people_after_giving_the_password_once_more(plane: ControlPlane, come_in: ComeIn) -> None:
    with pytest.raises(StepUpNeeded):
        plane.people.add(come_in("ann", Role.ADMIN).session.principal, "bob", Role.VIEWER)
    ann = come_in("ann", Role.ADMIN, stepped_up=True).session.principal
    done = plane.people.add(ann, "bob", Role.VIEWER, key="k")
    again = plane.people.add(ann, "bob", Role.VIEWER, key="k")
    assert (again.audit_id, again.result) == (done.audit_id, None), "the link is shown once"
    bob = plane.people.get("bob")
    assert bob is not None
    assert (bob.role, bob.has_password, bob.can_sign_in) == (Role.VIEWER, False, False)
    assert plane.entrance.use_link(done.result or "", PASSWORD, address=HOME_ADDRESS).session.person == "bob"


@pytest.mark.parametrize("role", [Role.VIEWER, Role.OPERATOR])
def test_nobody_else_changes_people(role: Role, plane: ControlPlane, come_in: ComeIn) -> None:
    ann = come_in("ann", role, stepped_up=True).session.principal
    for call in (
        lambda: plane.people.add(ann, "eve", Role.ADMIN),
        lambda: plane.people.change_role(ann, "ann", Role.ADMIN),
        lambda: plane.people.make_link(ann, "ann"),
        lambda: plane.people.disable(ann, "ann"),
        lambda: plane.people.enable(ann, "ann"),
        lambda: plane.people.set_password(ann, "ann", "quite another secret"),
    ):
        with pytest.raises(Denied):
            call()
        assert rows_of(plane)[-1].outcome == "denied"


def test_the_last_admin_stays_unless_the_shell_says_otherwise(
    plane: ControlPlane, shell: Principal, come_in: ComeIn
) -> None:
    ann = come_in("ann", Role.ADMIN, stepped_up=True).session.principal
    plane.people.add(shell, "bob", Role.ADMIN)
    for call in (
        lambda: plane.people.disable(ann, "ann"),
        lambda: plane.people.change_role(ann, "ann", Role.OPERATOR),
    ):
        with pytest.raises(ControlError, match="somebody has to remain"):
            call()
    assert plane.sessions.of("ann"), "nothing of it was done"
    plane.people.disable(shell, "ann")
    assert plane.people.first_link() is not None


@pytest.mark.parametrize("name", ["", "a", "Ann", "9lives", "a b", "../x", "a" * 33, "\u0430nn", "ann\n", "a\x00b"])
def test_a_name_is_plain(name: str, plane: ControlPlane, shell: Principal) -> None:
    with pytest.raises(ControlError, match="a name has 2 to 32"):
        plane.people.add(shell, name, Role.VIEWER)
    assert plane.people.all() == []


def test_a_name_is_taken_once(plane: ControlPlane, shell: Principal, add: Add) -> None:
    add("ann", Role.VIEWER)
    with pytest.raises(ControlError, match="is taken"):
        plane.people.add(shell, "ann", Role.ADMIN)
    with pytest.raises(ControlError, match="nobody of that name"):
        plane.people.change_role(shell, "bob", Role.ADMIN)


def test_a_new_link_ends_the_one_of_before(plane: ControlPlane, shell: Principal, clock: Clock) -> None:
    first = plane.people.add(shell, "ann", Role.VIEWER).result or ""
    second = plane.people.make_link(shell, "ann").result or ""
    assert plane.people.link(first) is None
    assert plane.people.link(second) is not None
    clock.wait(24 * 3600)
    assert plane.people.link(second) is None


def test_no_secret_is_in_the_file_and_none_in_the_audit(plane: ControlPlane, shell: Principal, clock: Clock) -> None:
    link = plane.people.add(shell, "ann", Role.VIEWER).result or ""
    started = plane.entrance.use_link(link, PASSWORD, address=HOME_ADDRESS)
    key = plane.keys.make(shell, "a script", {Scope.READ}, person="ann").result or ""
    kept = plane.storage.path.read_bytes()
    for secret in (link, started.token, key, key.split("_", 2)[2]):
        assert secret.encode() not in kept
    assert PASSWORD not in repr(rows_of(plane))
