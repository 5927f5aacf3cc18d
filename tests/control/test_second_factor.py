"""The second factor: the codes of the standard, each good once, and nothing that counts before it was proven."""

import io
import re
import threading
import urllib.parse
from pathlib import Path
from xml.etree import ElementTree

import pytest
import structlog

from novapulse.control import second_factor
from novapulse.control.challenges import Challenge
from novapulse.control.entrance import NotLetInError
from novapulse.control.plane import ControlPlane
from novapulse.control.roles import Denied, Principal, Role, Scope, SecondFactorNeeded, StepUpNeeded, Via
from novapulse.control.second_factor import RECOVERY_CODES, STEP_S, address_of, grouped, picture_of
from novapulse.control.sessions import Started
from novapulse.control.storage import ControlError
from novapulse.ops.logs import Logs
from novapulse.ops.masking import MASK, Secrets
from tests.control.conftest import (
    HOME_ADDRESS,
    MINUTE_NS,
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

RFC_SECRET = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
"""`12345678901234567890` in base32: the secret of RFC 6238, appendix B."""

RFC_CODES = {
    59: "94287082",
    1111111109: "07081804",
    1111111111: "14050471",
    1234567890: "89005924",
    2000000000: "69279037",
    20000000000: "65353130",
}
"""Seconds of UTC -> code of eight digits (SHA-1), of which ours are the last six."""


def keep(plane: ControlPlane, secret: str) -> None:
    with plane.storage.writing() as database:
        database.execute("UPDATE second_factor SET secret = ?, last_step = -1", (secret,))


@pytest.mark.parametrize(("at_s", "code"), RFC_CODES.items())
def test_codes_are_those_of_the_standard(at_s: int, code: str, plane: ControlPlane, enrol: ComeIn) -> None:
    enrol()
    keep(plane, RFC_SECRET)
    with plane.storage.reading() as database:
        found = second_factor.check(database, "ann", code[-6:], at_s * SECOND_NS)
        assert found == second_factor.Fit(at_s // STEP_S)
        assert second_factor.check(database, "ann", code, at_s * SECOND_NS) is None, "ours have six digits"
        assert second_factor.check(database, "bob", code[-6:], at_s * SECOND_NS) is None


def test_a_secret_counts_for_nothing_until_a_code_proves_it(
    plane: ControlPlane, come_in: ComeIn, app: App, clock: Clock
) -> None:
    ann = come_in("ann", Role.VIEWER, stepped_up=True)
    app.secret = plane.second_factors.begin(ann.session.principal).result or ""
    assert isinstance(plane.entrance.sign_in("ann", PASSWORD, address=HOME_ADDRESS), Started)
    assert plane.second_factors.of("ann") is None
    with pytest.raises(ControlError, match="the code is wrong"):
        plane.entrance.enrol(ann.token, app.wrong(), address=HOME_ADDRESS)
    assert (rows_of(plane)[-1].action, rows_of(plane)[-1].outcome) == ("enrol_second_factor", "refused")
    codes = plane.entrance.enrol(ann.token, app.code(), address=HOME_ADDRESS).result or []
    factor = plane.second_factors.of("ann")
    assert factor is not None
    assert (factor.since_ns, factor.recovery_codes_left, len(set(codes))) == (clock(), RECOVERY_CODES, RECOVERY_CODES)
    with pytest.raises(ControlError, match="no second factor waits"):
        plane.entrance.enrol(ann.token, app.code(1), address=HOME_ADDRESS)
    with pytest.raises(ControlError, match="remove it before"):
        plane.second_factors.begin(ann.session.principal)
    assert isinstance(plane.entrance.sign_in("ann", PASSWORD, address=HOME_ADDRESS), Challenge)


def test_a_secret_that_nobody_proves_is_forgotten(plane: ControlPlane, come_in: ComeIn, app: App, clock: Clock) -> None:
    ann = come_in("ann", Role.VIEWER, stepped_up=True)
    app.secret = plane.second_factors.begin(ann.session.principal).result or ""
    clock.wait(15 * 60)
    with pytest.raises(ControlError, match="no second factor waits"):
        plane.entrance.enrol(ann.token, app.code(), address=HOME_ADDRESS)


def test_beginning_wants_the_password_once_more_and_ends_the_secret_of_before(
    plane: ControlPlane, come_in: ComeIn, app: App
) -> None:
    with pytest.raises(StepUpNeeded):
        plane.second_factors.begin(come_in("ann", Role.VIEWER).session.principal)
    ann = come_in("ann", Role.VIEWER, stepped_up=True)
    app.secret = plane.second_factors.begin(ann.session.principal, key="k").result or ""
    again = plane.second_factors.begin(ann.session.principal, key="k")
    assert (again.repeated, again.result) == (True, None), "a secret is told once"
    second = plane.second_factors.begin(ann.session.principal).result or ""
    with pytest.raises(ControlError, match="the code is wrong"):
        plane.entrance.enrol(ann.token, app.code(), address=HOME_ADDRESS)
    app.secret = second
    assert plane.entrance.enrol(ann.token, app.code(), key="p", address=HOME_ADDRESS).result
    assert plane.entrance.enrol(ann.token, app.code(), key="p", address=HOME_ADDRESS).result is None


def test_nobody_begins_without_end(plane: ControlPlane, come_in: ComeIn, clock: Clock) -> None:
    ann = come_in("ann", Role.VIEWER, stepped_up=True).session.principal
    for _ in range(10):
        plane.second_factors.begin(ann)
    with pytest.raises(ControlError, match="too often: try again in 90 s"):
        plane.second_factors.begin(ann)
    plane.second_factors.begin(come_in("bob", Role.VIEWER, stepped_up=True).session.principal)
    clock.wait(90)
    plane.second_factors.begin(ann)


def test_guesses_of_the_first_code_count_like_wrong_passwords(plane: ControlPlane, come_in: ComeIn, app: App) -> None:
    ann = come_in("ann", Role.VIEWER, stepped_up=True)
    app.secret = plane.second_factors.begin(ann.session.principal).result or ""
    for _ in range(5):
        with pytest.raises(ControlError, match="the code is wrong"):
            plane.entrance.enrol(ann.token, app.wrong(), address=HOME_ADDRESS)
    with pytest.raises(NotLetInError, match="try again in 180 s"):
        plane.entrance.enrol(ann.token, app.code(), address=HOME_ADDRESS)


def test_a_code_is_taken_once_and_none_before_it(plane: ControlPlane, enrol: ComeIn, app: App, clock: Clock) -> None:
    enrol()
    challenge, another = ask(plane), ask(plane)
    early, code = app.code(-1), app.code()
    assert plane.entrance.give_code(challenge.token, code, address=HOME_ADDRESS)
    for used in (code, early):
        assert str(refused(plane, another.token, used)).startswith("the code is wrong, or was used before")
    assert plane.entrance.give_code(another.token, app.code(1), address=HOME_ADDRESS)


def test_the_code_that_proved_it_is_used(plane: ControlPlane, enrol: ComeIn, app: App, clock: Clock) -> None:
    enrol()
    clock.wait(-STEP_S)
    refused(plane, ask(plane).token, app.code())


@pytest.mark.parametrize(("steps", "taken"), [(-2, False), (-1, True), (0, True), (1, True), (2, False)])
def test_a_clock_may_be_one_step_off_either_way(
    steps: int, taken: bool, plane: ControlPlane, enrol: ComeIn, app: App, clock: Clock
) -> None:
    enrol()
    clock.wait(5 * STEP_S)
    challenge = ask(plane).token
    if taken:
        assert plane.entrance.give_code(challenge, app.code(steps), address=HOME_ADDRESS)
    else:
        refused(plane, challenge, app.code(steps))


def test_of_two_servers_that_are_sent_one_code_at_once_one_takes_it(
    plane: ControlPlane, enrol: ComeIn, app: App, clock: Clock
) -> None:
    enrol()
    planes = [ControlPlane(plane.home, hasher=CountingHasher(), clock=clock) for _ in range(4)]
    code, asked = app.code(), [ask(plane).token for _ in planes]
    together, let_in = threading.Barrier(len(planes), timeout=30), list[Started]()

    def give(one: ControlPlane, challenge: str, number: int) -> None:
        together.wait()
        try:
            let_in.append(one.entrance.give_code(challenge, code, address=f"192.0.2.{100 + number}"))
        except NotLetInError:
            return

    threads = [
        threading.Thread(target=give, args=(one, challenge, number))
        for number, (one, challenge) in enumerate(zip(planes, asked, strict=True))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(let_in) == 1
    assert [row.outcome for row in rows_of(plane) if row.action == "sign_in"].count("denied") == len(planes) - 1


def test_a_recovery_code_is_good_once_however_it_is_typed(plane: ControlPlane, enrol: ComeIn, app: App) -> None:
    enrol()
    assert all(re.fullmatch("([A-Z2-7]{4}-){3}[A-Z2-7]{4}", code) for code in app.recovery)
    typed = f" {app.recovery[0].lower().replace('-', ' ')} "
    assert plane.entrance.give_code(ask(plane).token, typed, address=HOME_ADDRESS)
    used, came_in = rows_of(plane)[-2:]
    assert (used.action, used.outcome, used.text, used.actor) == ("use_recovery_code", "done", "9 left", "web:ann")
    assert (came_in.action, came_in.outcome) == ("sign_in", "done")
    challenge = ask(plane).token
    refused(plane, challenge, app.recovery[0])
    assert plane.entrance.give_code(challenge, app.recovery[1], address=HOME_ADDRESS)
    factor = plane.second_factors.of("ann")
    assert factor is not None
    assert factor.recovery_codes_left == RECOVERY_CODES - 2


@pytest.mark.parametrize("code", ["", " ", "-", "\ud800", "0" * 500, "१२३४५६", "12345", "1234567"])
def test_what_is_no_code_lets_nobody_in(code: str, plane: ControlPlane, enrol: ComeIn) -> None:
    enrol()
    assert refused(plane, ask(plane).token, code).wait_s == 0


def test_stepping_up_wants_both_and_never_says_which_was_wrong(
    plane: ControlPlane, enrol: ComeIn, app: App, clock: Clock
) -> None:
    started = enrol()
    clock.wait(5 * 60)
    words = set()
    for password, code in (("a wrong one", app.code()), (PASSWORD, app.wrong()), (PASSWORD, ""), ("a wrong one", "")):
        with pytest.raises(NotLetInError) as wrong:
            plane.entrance.step_up(started.token, password, code, address=HOME_ADDRESS)
        words.add(str(wrong.value))
    assert words == {"password or code is wrong"}
    again = plane.entrance.step_up(started.token, PASSWORD, app.code(), address=HOME_ADDRESS)
    assert again.session.step_up_until_ns == clock() + 5 * MINUTE_NS, "a wrong password uses no code up"
    with pytest.raises(NotLetInError):
        plane.entrance.step_up(again.token, PASSWORD, app.code(), address=HOME_ADDRESS)
    clock.wait(180)
    assert plane.entrance.step_up(again.token, PASSWORD, app.recovery[3], address=HOME_ADDRESS)
    assert [row.action for row in rows_of(plane)[-2:]] == ["use_recovery_code", "step_up"]


def test_another_password_wants_the_code_too(plane: ControlPlane, enrol: ComeIn, app: App) -> None:
    started = enrol()
    with pytest.raises(NotLetInError, match="password or code is wrong"):
        plane.entrance.change_password(started.token, PASSWORD, "quite another secret", address=HOME_ADDRESS)
    changed = plane.entrance.change_password(
        started.token, PASSWORD, "quite another secret", app.code(), address=HOME_ADDRESS
    )
    assert changed.session.has_second_factor
    assert isinstance(ask(plane, "quite another secret"), Challenge)


def test_enrolling_ends_the_other_sessions_and_no_key(
    plane: ControlPlane, shell: Principal, come_in: ComeIn, enrol: ComeIn
) -> None:
    other = come_in("ann", Role.ADMIN)
    key = plane.keys.make(shell, "a script", {Scope.READ}, person="ann").result or ""
    started = enrol()
    assert plane.sessions.find(other.token) is None
    found = plane.sessions.find(started.token)
    assert found is not None
    assert found.has_second_factor
    assert plane.keys.find(key)


def test_removing_wants_password_and_code_and_ends_the_other_sessions(
    plane: ControlPlane, enrol: ComeIn, app: App, clock: Clock
) -> None:
    started = enrol()
    other = plane.entrance.give_code(ask(plane).token, app.code(), address=HOME_ADDRESS)
    clock.wait(5 * 60)
    with pytest.raises(StepUpNeeded):
        plane.second_factors.remove(started.session.principal)
    sure = plane.entrance.step_up(started.token, PASSWORD, app.recovery[0], address=HOME_ADDRESS)
    plane.second_factors.remove(sure.session.principal)
    assert plane.sessions.find(other.token) is None
    assert plane.sessions.find(sure.token) is not None
    assert isinstance(plane.entrance.sign_in("ann", PASSWORD, address=HOME_ADDRESS), Started)
    with pytest.raises(ControlError, match="you have no second factor"):
        plane.second_factors.remove(sure.session.principal)
    actions = [(row.action, row.outcome) for row in rows_of(plane) if "remove" in row.action]
    assert actions == [("remove_second_factor", outcome) for outcome in ("denied", "done", "refused")]


def test_an_admin_takes_away_what_somebody_has_lost(
    plane: ControlPlane, come_in: ComeIn, enrol: ComeIn, app: App
) -> None:
    lost = enrol("bob", Role.OPERATOR)
    for role in (Role.VIEWER, Role.OPERATOR):
        with pytest.raises(Denied):
            plane.second_factors.reset(come_in(str(role), role, stepped_up=True).session.principal, "bob")
    with pytest.raises(StepUpNeeded):
        plane.second_factors.reset(come_in("eve", Role.ADMIN).session.principal, "bob")
    eve = come_in("eve", Role.ADMIN, stepped_up=True).session.principal
    plane.second_factors.reset(eve, "bob")
    assert (rows_of(plane)[-1].actor, dict(rows_of(plane)[-1].arguments)) == ("web:eve", {"name": "bob"})
    assert plane.sessions.find(lost.token) is None
    assert isinstance(plane.entrance.sign_in("bob", PASSWORD, address=HOME_ADDRESS), Started)
    for name, said in (("bob", "bob has no second factor"), ("nobody", "nobody of that name")):
        with pytest.raises(ControlError, match=said):
            plane.second_factors.reset(eve, name)
    with plane.storage.reading() as database:
        assert database.execute("SELECT count(*) FROM recovery_code").fetchone() == (0,)


def test_people_say_who_has_one(plane: ControlPlane, enrol: ComeIn, add: Add) -> None:
    enrol()
    add("bob", Role.VIEWER)
    assert [(one.name, one.has_second_factor) for one in plane.people.all()] == [("ann", True), ("bob", False)]


def test_a_role_that_owes_one_may_do_nothing_before(
    tmp_path: Path, shell: Principal, clock: Clock, hasher: CountingHasher, app: App
) -> None:
    wanted_of = frozenset({Role.OPERATOR, Role.ADMIN})
    plane = ControlPlane(tmp_path / "home", hasher=hasher, clock=clock, second_factor_of=wanted_of)
    plane.people.add(shell, "ann", Role.ADMIN, password=PASSWORD)
    plane.people.add(shell, "bob", Role.VIEWER, password=PASSWORD)
    started = plane.entrance.sign_in("ann", PASSWORD, address=HOME_ADDRESS)
    viewer = plane.entrance.sign_in("bob", PASSWORD, address=HOME_ADDRESS)
    assert isinstance(started, Started)
    assert isinstance(viewer, Started)
    assert (started.session.owes_second_factor, viewer.session.owes_second_factor) == (True, False)
    with pytest.raises(SecondFactorNeeded):
        plane.people.disable(started.session.principal, "bob")
    started = plane.entrance.step_up(started.token, PASSWORD, address=HOME_ADDRESS)
    with pytest.raises(SecondFactorNeeded):
        plane.people.add(started.session.principal, "eve", Role.ADMIN)
    app.secret = plane.second_factors.begin(started.session.principal).result or ""
    plane.entrance.enrol(started.token, app.code(), address=HOME_ADDRESS)
    found = plane.sessions.find(started.token)
    assert found is not None
    assert not found.owes_second_factor
    plane.people.disable(found.principal, "bob")
    plane.second_factors.remove(found.principal)
    (left,) = plane.sessions.of("ann")
    assert left.owes_second_factor, "who takes it away owes another"
    assert Principal("ann", Role.ADMIN, frozenset(Scope), Via.CLI).owes_second_factor is False


def test_secrets_and_recovery_codes_are_seen_nowhere_but_where_they_are_told(
    plane: ControlPlane, enrol: ComeIn, app: App, secrets: Secrets, tmp_path: Path
) -> None:
    enrol()
    kept = plane.storage.path.read_bytes()
    console = io.StringIO()
    logs = Logs(tmp_path / "logs", console=console, secrets=secrets)
    try:
        log = structlog.get_logger("a test")
        for told in (app.secret, grouped(app.secret), *app.recovery, app.recovery[0].replace("-", "")):
            log.warning(f"somebody wrote {told} down", told=told, address=address_of(app.secret, "ann"))
            if told.replace(" ", "") != app.secret:
                assert told.replace("-", "").encode() not in kept
                assert told.encode() not in kept
    finally:
        logs.close()
    written = console.getvalue() + (tmp_path / "logs" / "trader.log").read_text()
    assert "somebody wrote" in written
    for told in (app.secret, grouped(app.secret), *app.recovery, app.recovery[0].replace("-", "")):
        assert told not in written
    with plane.storage.reading() as database:
        told_by_audit = str(database.execute("SELECT * FROM audit").fetchall())
    assert not any(told in told_by_audit for told in (app.secret, *app.recovery))


def test_a_secret_from_the_file_is_masked_before_it_is_used(
    plane: ControlPlane, enrol: ComeIn, app: App, secrets: Secrets
) -> None:
    enrol()
    app.secret = "KRSXG5CTMVRXEZLUKRSXG5CTMVRXEZLU"
    assert secrets.masked(app.secret) == app.secret
    keep(plane, app.secret)
    plane.entrance.give_code(ask(plane).token, app.code(), address=HOME_ADDRESS)
    assert secrets.masked(f"{app.secret}, {grouped(app.secret)}") == f"{MASK}, {MASK}"


def test_an_app_takes_the_secret_by_address_picture_or_hand(clock: Clock) -> None:
    address = address_of(RFC_SECRET, "ann")
    found = urllib.parse.urlsplit(address)
    named = urllib.parse.parse_qs(found.query)
    assert (found.scheme, found.netloc, urllib.parse.unquote(found.path)) == ("otpauth", "totp", "/NovaPulse:ann")
    assert (named["secret"], named["issuer"]) == ([RFC_SECRET], ["NovaPulse"])
    assert named.keys() <= {"secret", "issuer", "algorithm", "digits", "period"}
    assert grouped(RFC_SECRET) == "GEZD GNBV GY3T QOJQ GEZD GNBV GY3T QOJQ"
    drawn = ElementTree.fromstring(picture_of(address))
    assert drawn.tag == "{http://www.w3.org/2000/svg}svg"
    assert drawn.get("viewBox")
    assert {one.tag.rpartition("}")[2] for one in drawn.iter()} == {"svg", "path"}
