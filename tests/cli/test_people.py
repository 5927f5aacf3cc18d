"""`novapulse people`: who may sign in, said at the shell."""

import io
import json
from pathlib import Path

import pytest
from pyotp import TOTP

from novapulse.control.inbox import Inbox
from novapulse.control.plane import ControlPlane
from novapulse.control.roles import Role, Scope
from novapulse.control.shell import shell_principal
from novapulse.control.storage import FILE
from novapulse.core.instruments import AccountKey
from novapulse.core.messages import JSON
from tests.cli.conftest import Cli

PASSWORD = "violet kettle seven"


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{PASSWORD}\nand a second line\n"))


def token_of(out: str) -> str:
    address, _, token = out.strip().partition("#")
    assert address == "http://127.0.0.1:8700/welcome"
    return token


def test_the_first_admin_comes_in_by_a_printed_link(cli: Cli, home: Path) -> None:
    outcome = cli("people", "link")
    assert outcome.code == 0
    plane = ControlPlane(home)
    started = plane.entrance.use_link(token_of(outcome.out), PASSWORD, name="ann", address="127.0.0.1")
    assert started.session.role is Role.ADMIN
    again = cli("people", "link")
    assert (again.code, again.out) == (2, "")
    assert "there is an admin already" in again.err


def test_somebody_is_added_with_a_link(cli: Cli, home: Path) -> None:
    outcome = cli("people", "add", "Bob", "--role", "viewer")
    ControlPlane(home).entrance.use_link(token_of(outcome.out), PASSWORD, address="127.0.0.1")
    (bob,) = json.loads(cli("people", "list", "--json").out)["people"]
    assert (bob["name"], bob["role"], bob["can_sign_in"]) == ("bob", "viewer", True)
    assert "bob   viewer  may sign in             no" in cli("people", "list").out


def test_a_lost_second_factor_is_taken_away_at_the_shell(cli: Cli, home: Path) -> None:
    cli("people", "add", "ann", "--role", "admin")
    plane = ControlPlane(home)
    started = plane.entrance.use_link(
        plane.people.make_link(shell_principal(home), "ann").result, PASSWORD, address="127.0.0.1"
    )
    started = plane.entrance.step_up(started.token, PASSWORD, address="127.0.0.1")
    secret = plane.second_factors.begin(started.session.principal).result
    plane.entrance.enrol(started.token, TOTP(secret).now(), address="127.0.0.1")
    (ann,) = json.loads(cli("people", "list", "--json").out)["people"]
    assert ann["has_second_factor"]
    assert "ann   admin  may sign in            yes" in cli("people", "list").out
    outcome = cli("people", "reset-second-factor", "Ann")
    assert (outcome.code, outcome.out) == (0, "ann signs in by password alone now; sessions have ended\n")
    assert plane.second_factors.of("ann") is None
    assert plane.sessions.find(started.token) is None
    assert "reset_second_factor name=ann  done" in cli("people", "audit").out


@pytest.mark.usefixtures("typed")
def test_a_password_comes_from_stdin_and_shows_nowhere(cli: Cli, home: Path) -> None:
    outcome = cli("people", "add", "ann", "--role", "admin", "--password")
    assert outcome.code == 0
    assert PASSWORD not in outcome.out + outcome.err
    assert PASSWORD.encode() not in (home / FILE).read_bytes()
    assert ControlPlane(home).entrance.sign_in("ann", PASSWORD, address="127.0.0.1")


def test_no_password_is_taken_from_the_command_line(cli: Cli, home: Path) -> None:
    outcome = cli("people", "add", "ann", "--role", "admin", "--password", PASSWORD)
    assert outcome.code == 2
    assert not (home / FILE).exists()


def test_roles_change_and_people_go_and_come_back(cli: Cli, home: Path) -> None:
    cli("people", "add", "ann", "--role", "viewer")
    assert cli("people", "role", "ann", "operator").code == 0
    assert cli("people", "disable", "ann").code == 0
    (ann,) = ControlPlane(home).people.all()
    assert (ann.role, ann.disabled_ns is None) == (Role.OPERATOR, False)
    assert "disabled" in cli("people", "list").out
    assert cli("people", "enable", "ann").code == 0
    (ann,) = ControlPlane(home).people.all()
    assert ann.disabled_ns is None


def test_a_key_is_made_shown_once_and_revoked(cli: Cli, home: Path) -> None:
    cli("people", "add", "ann", "--role", "operator")
    key = cli("people", "key", "add", "ann", "--label", "a bot", "--scope", "read", "control").out.strip()
    plane = ControlPlane(home)
    assert plane.keys.find(key)
    _, prefix, secret = key.split("_", 2)
    listed = cli("people", "key", "list", "ann").out
    assert prefix in listed
    assert secret not in listed
    assert cli("people", "key", "revoke", prefix).code == 0
    assert plane.keys.find(key) is None
    assert json.loads(cli("people", "key", "list", "--json").out)["keys"][0]["revoked_ns"] is not None


def test_the_audit_is_proven_and_printed(cli: Cli, home: Path) -> None:
    cli("people", "add", "ann", "--role", "viewer")
    cli("control", "pause", "--exchange", "kraken", "--account", "main", "--reason", "election", "--wait", "0")
    outcome = cli("people", "audit")
    assert outcome.code == 0
    assert "add_person name=ann role=viewer  done" in outcome.out
    assert "pause main on kraken reason=election  waiting" in outcome.out
    told = json.loads(cli("people", "audit", "--json", "--last", "1").out)
    assert (told["ok"], told["rows"], len(told["newest"])) == (True, 2, 1)
    assert cli("people", "audit", "--head", told["head"]).code == 0
    with ControlPlane(home).storage.writing() as database:
        database.execute("DROP TRIGGER audit_is_not_changed")
        database.execute("UPDATE audit SET actor = 'cli:eve' WHERE audit_id = 2")
    outcome = cli("people", "audit")
    assert outcome.code == 1
    assert "row 2 of the audit is not as it was written" in outcome.err


def test_a_key_works_from_where_it_was_made_for(cli: Cli, home: Path) -> None:
    cli("people", "add", "ann", "--role", "operator")
    made = ("people", "key", "add", "ann", "--label", "a bot", "--scope", "flatten")
    key = cli(*made, "--from", "192.0.2.7", "10.0.0.0/8").out.strip()
    listed = cli("people", "key", "list", "ann").out
    assert "192.0.2.7/32 10.0.0.0/8" in listed
    found = [ControlPlane(home).keys.find(key, address) for address in ("10.9.8.7", "192.0.2.8")]
    assert [one is not None and one.may(Scope.FLATTEN) for one in found] == [True, False]
    wrong = cli(*made, "--from", "here")
    assert (wrong.code, "such as 192.0.2.0/24" in wrong.err) == (2, True)
    cli(*made)
    assert "anywhere" in cli("people", "key", "list", "ann").out


def test_the_audit_says_what_the_accounts_answered(cli: Cli, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inbox, accounts = Inbox(home / FILE), [AccountKey("kraken", "main"), AccountKey("kraken", "second")]
    answers: dict[str, list[tuple[bool, str, dict[str, JSON]]]] = {
        "reduce-only": [(True, "reduce only", {}), (True, "reduce only", {})],
        "resume": [(False, "it came too late", {"expired": True})] * 2,
        "halt": [(True, "halted", {}), (False, "the account has ended: of a bug", {})],
    }
    for verb, given in answers.items():
        sent = cli("control", verb, "--all", "--wait", "0", "--json")
        command_id = json.loads(sent.out)["command_id"]
        inbox.mark_taken(command_id, accounts, 1)
        for account, (done, text, details) in zip(accounts, given, strict=True):
            inbox.answered(command_id, account, done, text, 2, details)
    cli("control", "resume", "--all", "--wait", "0")
    monkeypatch.setattr("novapulse.cli.people.time.time_ns", lambda: 2**62)
    lines = cli("people", "audit").out.splitlines()
    assert lines[0].endswith("reduce_only all accounts  accepted")
    assert lines[1].endswith(
        "resume all accounts  expired: main on kraken: it came too late; second on kraken: it came too late"
    )
    assert lines[2].endswith(
        "halt all accounts  1 accepted, 1 refused: second on kraken: the account has ended: of a bug"
    )
    assert lines[3].endswith("resume all accounts  expired")
    told = json.loads(cli("people", "audit", "--json").out)["newest"]
    assert [one["became"] for one in reversed(told)] == ["accepted", "expired", "1 accepted, 1 refused", "expired"]


BAD = {
    "no role": (["add", "ann"], "--role"),
    "a role that is none": (["add", "ann", "--role", "king"], "invalid choice: 'king'"),
    "a name that is none": (["add", "a b", "--role", "viewer"], "a name has 2 to 32"),
    "nobody": (["disable", "nobody"], "there is nobody of that name"),
    "a second factor of nobody": (["reset-second-factor", "nobody"], "there is nobody of that name"),
    "a link for nobody": (["link", "nobody"], "there is nobody of that name"),
    "a key for nobody": (["key", "add", "nobody", "--label", "x", "--scope", "read"], "nobody of that name"),
    "power over people for a key": (["key", "add", "ann", "--label", "x", "--scope", "admin"], "invalid choice"),
    "a key that is none": (["key", "revoke", "0000000000"], "there is no such key"),
}


def test_a_word_that_is_not_known_points_to_the_help_that_has_the_others(cli: Cli) -> None:
    outcome = cli("people", "add", "bob", "--role", "viewer", "--link")
    assert outcome.code == 2
    assert outcome.err == "novapulse people add: unrecognized arguments: --link; see novapulse people add --help\n"


@pytest.mark.parametrize(("words", "said"), BAD.values(), ids=BAD)
def test_what_cannot_be_is_one_sentence(words: list[str], said: str, cli: Cli, home: Path) -> None:
    outcome = cli("people", *words)
    assert (outcome.code, outcome.out) == (2, "")
    assert said in outcome.err


def test_a_weak_password_is_refused(cli: Cli, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cli("people", "add", "ann", "--role", "viewer")
    monkeypatch.setattr("sys.stdin", io.StringIO("short\n"))
    outcome = cli("people", "password", "ann")
    assert outcome.code == 2
    assert "at least 12 characters" in outcome.err
