"""Sessions: new ids, ends, step-up, and what a page asks on its own."""

import pytest

from novapulse.control.plane import ControlPlane
from novapulse.control.roles import Denied, Principal, Role, Scope
from novapulse.control.sessions import PER_PERSON_MAX
from novapulse.control.storage import ControlError
from tests.control.conftest import HOME_ADDRESS, PASSWORD, Clock, ComeIn, rows_of, token_hashes


def test_a_sign_in_gives_a_new_id_and_ends_the_one_the_browser_had(plane: ControlPlane, come_in: ComeIn) -> None:
    planted = come_in("eve", Role.VIEWER).token
    come_in("ann", Role.ADMIN)
    started = plane.entrance.sign_in("ann", PASSWORD, address=HOME_ADDRESS, previous=planted)
    assert started.token != planted
    assert plane.sessions.find(planted) is None
    assert plane.sessions.find("chosen by somebody") is None


def test_an_id_is_256_random_bits_kept_as_a_hash(plane: ControlPlane, come_in: ComeIn) -> None:
    tokens = {come_in("ann", Role.VIEWER).token for _ in range(3)}
    assert len(tokens) == 3
    assert all(len(token) == 43 for token in tokens)
    assert not {token.encode() for token in tokens} & token_hashes(plane)


def test_half_an_hour_of_silence_ends_it(plane: ControlPlane, come_in: ComeIn, clock: Clock) -> None:
    token = come_in("ann", Role.VIEWER).token
    for _ in range(4):
        clock.wait(29 * 60)
        assert plane.sessions.find(token)
    clock.wait(30 * 60)
    assert plane.sessions.find(token) is None


def test_what_a_page_asks_on_its_own_is_no_sign_of_life(plane: ControlPlane, come_in: ComeIn, clock: Clock) -> None:
    token = come_in("ann", Role.VIEWER).token
    for _ in range(29):
        clock.wait(60)
        assert plane.sessions.find(token, touch=False)
    clock.wait(60)
    assert plane.sessions.find(token, touch=False) is None


def test_a_sign_of_life_that_cannot_be_written_turns_nobody_away(
    plane: ControlPlane, come_in: ComeIn, clock: Clock
) -> None:
    token = come_in("ann", Role.VIEWER).token
    clock.wait(20 * 60)
    with plane.storage.writing():
        assert plane.sessions.find(token)
    clock.wait(9 * 60)
    assert plane.sessions.find(token)
    clock.wait(29 * 60)
    assert plane.sessions.find(token), "the second sign was written"


def test_twelve_hours_end_it_whatever_happens(plane: ControlPlane, come_in: ComeIn, clock: Clock) -> None:
    token = come_in("ann", Role.VIEWER).token
    for _ in range(47):
        clock.wait(15 * 60)
        assert plane.sessions.find(token)
    clock.wait(15 * 60)
    assert plane.sessions.find(token) is None


def test_a_step_up_holds_for_five_minutes_under_a_new_id(plane: ControlPlane, come_in: ComeIn, clock: Clock) -> None:
    started = come_in("ann", Role.OPERATOR)
    renewed = plane.entrance.step_up(started.token, PASSWORD, address=HOME_ADDRESS)
    assert plane.sessions.find(started.token) is None
    session = plane.sessions.find(renewed.token)
    assert session is not None
    assert (session.handle, session.csrf) == (started.session.handle, started.session.csrf)
    assert session.principal.step_up_until_ns == clock.now_ns + 300 * 1_000_000_000
    plane.router.submit(session.principal, "resume", None, {}, "1", HOME_ADDRESS)
    clock.wait(300)
    with pytest.raises(Denied, match="once more"):
        plane.router.submit(session.principal, "resume", None, {}, "2", HOME_ADDRESS)


def test_a_step_up_does_not_lengthen_a_session(plane: ControlPlane, come_in: ComeIn, clock: Clock) -> None:
    started = come_in("ann", Role.OPERATOR)
    clock.wait(20 * 60)
    renewed = plane.entrance.step_up(started.token, PASSWORD, address=HOME_ADDRESS)
    assert renewed.session.expires_ns == started.session.expires_ns


def test_a_session_that_ended_cannot_step_up(plane: ControlPlane, come_in: ComeIn, clock: Clock) -> None:
    started = come_in("ann", Role.OPERATOR)
    clock.wait(31 * 60)
    with pytest.raises(Denied, match="has ended"):
        plane.entrance.step_up(started.token, PASSWORD, address=HOME_ADDRESS)


def test_the_role_is_that_of_now(plane: ControlPlane, come_in: ComeIn) -> None:
    token = come_in("ann", Role.VIEWER).token
    with plane.storage.writing() as database:
        database.execute("UPDATE person SET role = 'operator' WHERE name = 'ann'")
    session = plane.sessions.find(token)
    assert session is not None
    assert session.principal.role is Role.OPERATOR


def test_who_is_disabled_has_no_session_however_that_came_about(
    plane: ControlPlane, shell: Principal, come_in: ComeIn
) -> None:
    """Disabling ends sessions and keys; this is the second bolt."""
    token = come_in("ann", Role.VIEWER).token
    key = plane.keys.make(shell, "a script", {Scope.READ}, person="ann").result or ""
    with plane.storage.writing() as database:
        database.execute("UPDATE person SET disabled_ns = 1 WHERE name = 'ann'")
    assert plane.sessions.find(token) is None
    assert plane.sessions.of("ann") == []
    assert plane.keys.find(key) is None


def test_a_token_against_forged_requests_belongs_to_one_session(come_in: ComeIn) -> None:
    one, other = come_in("ann", Role.VIEWER).session, come_in("ann", Role.VIEWER).session
    assert one.has_csrf(one.csrf)
    assert not any(one.has_csrf(sent) for sent in (other.csrf, "", "\ud800", "\u00e9"))
    assert one.csrf not in repr(one.json())


def test_signing_out_ends_one_session(plane: ControlPlane, come_in: ComeIn) -> None:
    one, other = come_in("ann", Role.VIEWER), come_in("ann", Role.VIEWER)
    plane.sessions.sign_out(one.token, source=HOME_ADDRESS)
    plane.sessions.sign_out(one.token, source=HOME_ADDRESS)
    assert plane.sessions.find(one.token) is None
    assert [session.handle for session in plane.sessions.of("ann")] == [other.session.handle]
    assert [row.action for row in rows_of(plane)].count("sign_out") == 1


def test_one_ends_ones_own_sessions_and_an_admin_anybodys(
    plane: ControlPlane, come_in: ComeIn, shell: Principal
) -> None:
    ann, bob = come_in("ann", Role.VIEWER), come_in("bob", Role.VIEWER)
    admin = come_in("cleo", Role.ADMIN)
    with pytest.raises(Denied):
        plane.sessions.end(bob.session.principal, ann.session.handle)
    plane.sessions.end(ann.session.principal, ann.session.handle)
    plane.sessions.end(admin.session.principal, bob.session.handle)
    assert [plane.sessions.find(started.token) for started in (ann, bob)] == [None, None]
    with pytest.raises(ControlError, match="no such session"):
        plane.sessions.end(shell, ann.session.handle)


def test_a_person_has_no_endless_number_of_sessions(plane: ControlPlane, come_in: ComeIn, clock: Clock) -> None:
    first = come_in("ann", Role.VIEWER)
    for _ in range(PER_PERSON_MAX):
        clock.wait(1)
        last = come_in("ann", Role.VIEWER)
    assert len(plane.sessions.of("ann")) == PER_PERSON_MAX
    assert plane.sessions.find(first.token) is None
    assert plane.sessions.find(last.token)
