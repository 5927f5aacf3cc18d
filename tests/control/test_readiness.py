"""Real money does not start with secrets that are none."""

import pytest

from novapulse.control.plane import ControlPlane
from novapulse.control.readiness import REAL_MONEY, secrets_problem
from novapulse.control.roles import Principal, Role
from tests.control.conftest import Add

DEAR = "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$aGFzaA"


@pytest.fixture
def ready(plane: ControlPlane, add: Add) -> ControlPlane:
    add("ann", Role.ADMIN)
    keep(plane, DEAR)
    return plane


def keep(plane: ControlPlane, hashed: str) -> None:
    with plane.storage.writing() as database:
        database.execute("UPDATE person SET password_hash = ?", (hashed,))


def test_what_is_ready_may_start(ready: ControlPlane) -> None:
    for mode in ("paper", REAL_MONEY):
        for host, https in (("127.0.0.1", False), ("::1", False), ("localhost", False), ("0.0.0.0", True)):
            assert secrets_problem(mode, ready, host=host, https=https) is None


def test_paper_may_start_before_its_first_admin(plane: ControlPlane) -> None:
    assert secrets_problem("paper", plane, host="127.0.0.1", https=False) is None
    assert "no admin yet" in (secrets_problem(REAL_MONEY, plane, host="127.0.0.1", https=False) or "")


def test_an_admin_who_cannot_come_in_is_none(ready: ControlPlane, shell: Principal) -> None:
    ready.people.disable(shell, "ann")
    assert "no admin yet" in (secrets_problem(REAL_MONEY, ready, host="127.0.0.1", https=False) or "")


@pytest.mark.parametrize("mode", ["paper", REAL_MONEY])
def test_a_file_that_others_can_read_is_refused_in_every_mode(mode: str, ready: ControlPlane) -> None:
    ready.storage.path.chmod(0o640)
    assert "can be read by others" in (secrets_problem(mode, ready, host="127.0.0.1", https=False) or "")


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.7", "::", "trader.example", ""])
def test_passwords_do_not_travel_in_the_clear(host: str, ready: ControlPlane) -> None:
    assert "in the clear" in (secrets_problem("paper", ready, host=host, https=False) or "")


@pytest.mark.parametrize("mode", [0o777, 0o775, 0o757])
def test_a_folder_that_others_write_into_is_refused(mode: int, ready: ControlPlane) -> None:
    ready.home.chmod(mode)
    assert "others can write" in (secrets_problem(REAL_MONEY, ready, host="127.0.0.1", https=False) or "")


@pytest.mark.parametrize(
    "hashed",
    [
        "plain text",
        "",
        DEAR.replace("m=19456", "m=1024"),
        DEAR.replace("t=2", "t=1"),
        DEAR.replace("argon2id", "argon2i"),
        "$2b$12$saltsaltsalt",
    ],
)
def test_a_password_that_is_kept_too_cheaply_is_named(hashed: str, ready: ControlPlane) -> None:
    keep(ready, hashed)
    assert secrets_problem(REAL_MONEY, ready, host="127.0.0.1", https=False) == (
        "the password of ann is kept too cheaply: make a new one"
    )
