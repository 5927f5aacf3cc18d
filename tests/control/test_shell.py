"""At the shell, whoever owns the home folder is admin, and nobody else is anything."""

import os
from pathlib import Path

import pytest

from novapulse.control.plane import ControlPlane
from novapulse.control.roles import Denied, Role, Scope, Via
from novapulse.control.shell import shell_principal, shell_source
from tests.control.conftest import rows_of


def test_the_owner_is_admin(tmp_path: Path) -> None:
    found = shell_principal(tmp_path)
    assert (found.role, found.via, found.scopes) == (Role.ADMIN, Via.CLI, frozenset(Scope))
    assert found.actor.startswith("cli:")


def test_another_user_may_do_nothing_and_that_is_written_down(
    plane: ControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: plane.home.stat().st_uid + 4711)
    stranger = shell_principal(plane.home)
    assert stranger.scopes == frozenset()
    with pytest.raises(Denied):
        plane.router.submit(stranger, "pause", None, {}, "k", "")
    assert rows_of(plane)[-1].outcome == "denied"


def test_a_user_without_a_name_has_a_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nameless() -> str:
        raise KeyError("getpwuid(): uid not found")

    monkeypatch.setattr("getpass.getuser", nameless)
    assert shell_principal(tmp_path).actor == f"cli:{os.geteuid()}"


def test_a_remote_login_is_told_with_its_far_end() -> None:
    assert shell_source({"SSH_CONNECTION": "198.51.100.4 50022 192.0.2.7 22"}) == "198.51.100.4"
    assert shell_source({}) == "this machine"
