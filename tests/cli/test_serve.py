"""`novapulse serve` where it must not start: one sentence and exit code 2; what it needs, it says."""

import os
import socket
from pathlib import Path
from typing import Any

import pytest

from novapulse.cli import serve as command
from novapulse.cli.parser import parse
from novapulse.control.plane import ControlPlane
from novapulse.control.roles import SCOPES, Principal, Role, Via
from tests.cli.conftest import Cli

SHELL = Principal("root", Role.ADMIN, SCOPES[Role.ADMIN], Via.CLI)


@pytest.fixture(autouse=True)
def _never_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(parts: Any) -> Any:
        raise AssertionError("it must not start")

    monkeypatch.setattr(command, "server_of", fails)


def refused(cli: Cli, *words: str) -> str:
    outcome = cli("serve", *words)
    assert (outcome.code, outcome.out) == (2, "")
    assert "Traceback" not in outcome.err
    assert outcome.err.startswith("novapulse: ")
    assert outcome.err.count("\n") == 1
    return outcome.err


def real_money(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home.mkdir(parents=True, exist_ok=True)
    (home / "live.yaml").write_text("schema_version: 1\nmode: live\n")
    monkeypatch.setenv("NOVAPULSE_CONFIG", str(home / "live.yaml"))
    monkeypatch.setenv("NOVAPULSE_REAL_MONEY", "yes")


def test_a_port_that_is_taken(cli: Cli) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"cannot listen at 127.0.0.1 port {port}" in refused(cli, "--port", str(port))


def test_a_home_that_is_served_already_is_refused_and_the_first_server_is_named(cli: Cli, home: Path) -> None:
    home.mkdir()
    with command.only_server(home, "http://127.0.0.1:8701"):
        said = refused(cli, "--port", "0")
        assert f"{home} is served already, by process {os.getpid()} at http://127.0.0.1:8701" in said
    # The lock ends with the server, whatever its file says.
    with command.only_server(home, "http://127.0.0.1:8702"):
        assert "at http://127.0.0.1:8702" in refused(cli, "--port", "0")


@pytest.mark.parametrize(("host", "port"), [("192.0.2.1", "0"), ("127.0.0.1", "99999")])
def test_an_address_that_is_not_of_this_machine(cli: Cli, host: str, port: str) -> None:
    assert "cannot listen at" in refused(cli, "--host", host, "--port", port)


def test_passwords_in_the_clear(cli: Cli) -> None:
    assert "passwords would travel in the clear to 0.0.0.0" in refused(cli, "--host", "0.0.0.0", "--port", "0")


def test_real_money_without_tls_or_without_an_admin(cli: Cli, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real_money(home, monkeypatch)
    assert "passwords would travel in the clear" in refused(cli, "--host", "0.0.0.0", "--port", "0")
    assert "there is no admin yet" in refused(cli, "--port", "0")


def test_real_money_that_the_environment_does_not_confirm(
    cli: Cli, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_money(home, monkeypatch)
    ControlPlane(home).people.add(SHELL, "ann", Role.ADMIN, password="violet kettle seven")
    os.chmod(home, 0o700)
    monkeypatch.delenv("NOVAPULSE_REAL_MONEY")
    assert "needs NOVAPULSE_REAL_MONEY=yes in the environment too" in refused(cli, "--port", "0")


def test_secrets_that_others_can_get_at(cli: Cli, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real_money(home, monkeypatch)
    ControlPlane(home).people.add(SHELL, "ann", Role.ADMIN, password="violet kettle seven")
    os.chmod(home, 0o777)
    assert "others can write into" in refused(cli, "--port", "0")


WRONG_ORIGINS = {
    "desk.example": "is no origin",
    "https://desk.example/apps": "is no origin",
    "ftp://desk.example": "is no origin",
}


@pytest.mark.parametrize(("origin", "text"), WRONG_ORIGINS.items())
def test_an_origin_that_is_none(cli: Cli, origin: str, text: str) -> None:
    assert text in refused(cli, "--port", "0", "--origin", origin)


def test_origins_with_and_without_tls(cli: Cli) -> None:
    words = ("--origin", "https://desk.example", "--origin", "http://desk.example")
    assert "with TLS or without, not both" in refused(cli, "--port", "0", *words)


def parts(*words: str, address: str = "http://127.0.0.1:8700") -> Any:
    return command.server_parts(parse(["serve", *words]), address)


def test_pages_come_from_where_it_listens_unless_it_is_told_otherwise(home: Path) -> None:
    assert parts().origins == {"http://127.0.0.1:8700", "http://localhost:8700"}
    assert parts(address="http://[::1]:8700").origins >= {"http://[::1]:8700", "http://localhost:8700"}
    found = parts("--origin", "https://desk.example:443/")
    assert (found.origins, found.https, found.cookie) == ({"https://desk.example"}, True, "__Host-np_session")


WANTED_OF = {
    "paper": ("mode: paper", set[Role]()),
    "real money": ("mode: live", {Role.OPERATOR, Role.ADMIN}),
    "paper, where it is wanted always": ("server: {second_factor: always}", {Role.OPERATOR, Role.ADMIN}),
}


@pytest.mark.parametrize(("text", "roles"), WANTED_OF.values(), ids=WANTED_OF)
def test_a_second_factor_is_owed_for_real_money_and_where_it_is_wanted(
    text: str, roles: set[Role], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_money(home, monkeypatch)
    (home / "live.yaml").write_text(f"schema_version: 1\n{text}\n")
    home.chmod(0o700)
    plane = ControlPlane(home)
    for role in Role:
        plane.people.add(SHELL, str(role), role, password="violet kettle seven")
    found = parts().plane
    owing = {
        role
        for role in Role
        if found.entrance.sign_in(str(role), "violet kettle seven", address="127.0.0.1").session.owes_second_factor
    }
    assert owing == roles


def test_the_first_link_names_the_address_that_browsers_use(home: Path) -> None:
    found = parts("--origin", "https://desk.example")
    link = command.first_link(found, min(found.origins))
    assert link is not None
    assert link.startswith("https://desk.example/welcome#")
    found.plane.people.add(SHELL, "ann", Role.ADMIN, password="violet kettle seven")
    assert command.first_link(found, min(found.origins)) is None
