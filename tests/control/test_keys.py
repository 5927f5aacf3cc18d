"""API keys: fewer rights than their person, ends, and what a wrong one gets."""

import pytest

from novapulse.control.keys import PER_PERSON_MAX
from novapulse.control.plane import ControlPlane
from novapulse.control.roles import Denied, Principal, Role, Scope, StepUpNeeded, Via
from novapulse.control.storage import ControlError
from tests.control.conftest import Add, Clock, ComeIn, rows_of


@pytest.fixture
def key(plane: ControlPlane, come_in: ComeIn) -> str:
    ann = come_in("ann", Role.OPERATOR, stepped_up=True).session.principal
    return plane.keys.make(ann, "a script", {Scope.READ, Scope.CONTROL}, days=2).result or ""


def test_a_key_acts_for_its_person_with_the_scopes_it_was_given(plane: ControlPlane, key: str) -> None:
    principal = plane.keys.find(key)
    assert principal is not None
    assert (principal.name, principal.via, principal.actor) == ("ann", Via.KEY, "key:ann")
    assert principal.scopes == {Scope.READ, Scope.CONTROL}
    assert principal.credential == key.split("_")[1]
    plane.router.submit(principal, "pause", None, {}, "1", "")
    for verb in ("resume", "kill", "flatten"):
        with pytest.raises(Denied):
            plane.router.submit(principal, verb, None, {}, "2", "")


def test_a_key_is_recognised_while_somebody_else_writes(plane: ControlPlane, key: str) -> None:
    def last_used() -> list[int | None]:
        with plane.storage.reading() as database:
            return [row[0] for row in database.execute("SELECT used_ns FROM api_key")]

    with plane.storage.writing():
        assert plane.keys.find(key)
    assert last_used() == [None]
    assert plane.keys.find(key)
    assert last_used() != [None]


def test_a_key_that_may_loosen_needs_no_password_and_makes_no_keys(plane: ControlPlane, come_in: ComeIn) -> None:
    ann = come_in("ann", Role.ADMIN, stepped_up=True).session.principal
    made = plane.keys.make(ann, "a script", {Scope.READ, Scope.LOOSEN}).result or ""
    principal = plane.keys.find(made)
    assert principal is not None
    plane.router.submit(principal, "resume", None, {}, "1", "")
    for call in (
        lambda: plane.keys.make(principal, "another", {Scope.READ}),
        lambda: plane.keys.revoke(principal, principal.credential),
        lambda: plane.people.add(principal, "eve", Role.ADMIN),
    ):
        with pytest.raises(Denied):
            call()


def test_a_changed_or_strange_key_is_nobodys(plane: ControlPlane, key: str) -> None:
    mark, prefix, secret = key.split("_", 2)
    wrong = [
        f"{mark}_{prefix}_{secret[:-2]}xx",
        f"{mark}_{prefix}_",
        f"xx_{prefix}_{secret}",
        f"np_0000000000_{secret}",
    ]
    for text in (*wrong, "", "np", "np_", "_", "\ud800", f"np_\ud800_{secret}", key + " ", secret):
        assert plane.keys.find(text) is None


def test_it_ends_at_its_time(plane: ControlPlane, key: str, clock: Clock) -> None:
    clock.wait(2 * 86_400 - 1)
    assert plane.keys.find(key)
    clock.wait(1)
    assert plane.keys.find(key) is None


def test_it_ends_when_it_is_revoked(plane: ControlPlane, key: str, come_in: ComeIn) -> None:
    prefix = key.split("_")[1]
    bob, admin = come_in("bob", Role.OPERATOR), come_in("cleo", Role.ADMIN)
    with pytest.raises(Denied):
        plane.keys.revoke(bob.session.principal, prefix)
    assert plane.keys.find(key)
    plane.keys.revoke(admin.session.principal, prefix)
    assert plane.keys.find(key) is None
    with pytest.raises(ControlError, match="no such key"):
        plane.keys.revoke(admin.session.principal, "0000000000")


def test_its_scopes_shrink_with_the_role(plane: ControlPlane, key: str) -> None:
    with plane.storage.writing() as database:
        database.execute("UPDATE person SET role = 'viewer' WHERE name = 'ann'")
    principal = plane.keys.find(key)
    assert principal is not None
    assert principal.scopes == {Scope.READ}


def test_making_one_wants_the_password_once_more(plane: ControlPlane, come_in: ComeIn) -> None:
    with pytest.raises(StepUpNeeded):
        plane.keys.make(come_in("ann", Role.VIEWER).session.principal, "a script", {Scope.READ})


BAD: dict[str, tuple[set[Scope], str, int, str]] = {
    "power over people": ({Scope.READ, Scope.ADMIN}, "x", 1, "cannot have admin"),
    "more than the person": ({Scope.CONTROL}, "x", 1, "cannot have control"),
    "nothing": (set(), "x", 1, "no scope at all"),
    "no time": ({Scope.READ}, "x", 0, "from 1 to 366 days"),
    "for ever": ({Scope.READ}, "x", 367, "from 1 to 366 days"),
    "for no purpose": ({Scope.READ}, " ", 1, "what the key is for"),
}
PLACES = {
    "an address": ("192.0.2.7", True),
    "one of a network": ("10.1.2.3", True),
    "the same, as IPv6 says it": ("::ffff:10.1.2.3", True),
    "one of a network of IPv6": ("2001:db8::9", True),
    "a neighbour": ("192.0.2.8", False),
    "another of IPv6": ("2001:db9::9", False),
    "no address": ("unknown", False),
    "nowhere": ("", False),
}


@pytest.mark.parametrize(("address", "works"), PLACES.values(), ids=PLACES)
def test_a_key_of_some_networks_may_do_nothing_elsewhere(
    address: str, works: bool, plane: ControlPlane, shell: Principal, add: Add
) -> None:
    add("ann", Role.OPERATOR)
    networks = ["192.0.2.7", "10.0.0.0/8", "2001:db8::/32"]
    made = plane.keys.make(shell, "x", {Scope.READ, Scope.FLATTEN}, networks=networks, person="ann").result or ""
    assert plane.keys.of("ann")[0].networks == ("192.0.2.7/32", "10.0.0.0/8", "2001:db8::/32")
    principal = plane.keys.find(made, address)
    assert principal is not None
    assert principal.may(Scope.READ) is works
    if works:
        plane.router.submit(principal, "flatten", None, {}, "1", address)
    else:
        with pytest.raises(Denied, match="does not work from there"):
            plane.router.submit(principal, "flatten", None, {}, "1", address)
        row = rows_of(plane)[-1]
        assert (row.actor, row.credential, row.outcome) == ("key:ann", principal.credential, "denied")
    assert (plane.keys.of("ann")[0].used_ns is None) is not works


@pytest.mark.parametrize("network", ["here", "10.0.0.1/8", "192.0.2.0/33", "", "\ud800"])
def test_a_network_that_is_none_is_refused(network: str, plane: ControlPlane, shell: Principal, add: Add) -> None:
    add("ann", Role.OPERATOR)
    with pytest.raises(ControlError, match="such as 192"):
        plane.keys.make(shell, "x", {Scope.READ}, networks=[network], person="ann")
    with pytest.raises(ControlError, match="at most 16"):
        plane.keys.make(shell, "x", {Scope.READ}, networks=["192.0.2.7"] * 17, person="ann")
    assert plane.keys.of() == []


@pytest.mark.parametrize(("scopes", "label", "days", "said"), BAD.values(), ids=BAD)
def test_a_key_that_cannot_be_is_refused(
    scopes: set[Scope], label: str, days: int, said: str, plane: ControlPlane, come_in: ComeIn
) -> None:
    ann = come_in("ann", Role.VIEWER, stepped_up=True).session.principal
    with pytest.raises(ControlError, match=said):
        plane.keys.make(ann, label, scopes, days)
    assert plane.keys.of() == []
    assert rows_of(plane)[-1].outcome == "refused"


def test_only_the_shell_makes_keys_for_others(plane: ControlPlane, shell: Principal, add: Add, come_in: ComeIn) -> None:
    add("bob", Role.OPERATOR)
    admin = come_in("ann", Role.ADMIN, stepped_up=True).session.principal
    plane.keys.make(admin, "hers", {Scope.READ}, person="bob")
    plane.keys.make(shell, "his", {Scope.READ}, person="bob")
    assert {(one.person, one.label) for one in plane.keys.of()} == {("ann", "hers"), ("bob", "his")}
    assert [one.label for one in plane.keys.of("bob")] == ["his"]


def test_a_person_has_no_endless_number_of_keys(plane: ControlPlane, shell: Principal, add: Add) -> None:
    add("ann", Role.VIEWER)
    for _ in range(PER_PERSON_MAX):
        plane.keys.make(shell, "x", {Scope.READ}, person="ann")
    with pytest.raises(ControlError, match="revoke some first"):
        plane.keys.make(shell, "x", {Scope.READ}, person="ann")


def test_the_last_use_is_known_to_a_minute(plane: ControlPlane, key: str, clock: Clock) -> None:
    clock.wait(5)
    plane.keys.find(key)
    first = clock.now_ns
    clock.wait(30)
    plane.keys.find(key)
    assert plane.keys.of("ann")[0].used_ns == first
    clock.wait(30)
    plane.keys.find(key)
    assert plane.keys.of("ann")[0].used_ns == clock.now_ns
