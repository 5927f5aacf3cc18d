"""A control plane whose clock stands still until it is moved, and whose hashes are counted instead of paid for."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from pyotp import TOTP

from novapulse.control import audit, second_factor, storage
from novapulse.control.audit import Row
from novapulse.control.challenges import Challenge
from novapulse.control.entrance import NotLetInError
from novapulse.control.passwords import Hasher
from novapulse.control.plane import ControlPlane
from novapulse.control.roles import SCOPES, Principal, Role, Via
from novapulse.control.second_factor import STEP_S
from novapulse.control.sessions import Started
from novapulse.ops.masking import Secrets

ComeIn = Callable[..., Started]
Add = Callable[[str, Role], None]

NOW = 1_700_000_000_000_000_000
SECOND_NS = 1_000_000_000
MINUTE_NS = 60 * SECOND_NS
PASSWORD = "violet kettle seven"
HOME_ADDRESS = "192.0.2.7"


class Clock:
    """Tells the time it was set to, ns UTC."""

    def __init__(self) -> None:
        self.now_ns = NOW

    def __call__(self) -> int:
        return self.now_ns

    def wait(self, seconds: float) -> None:
        self.now_ns += round(seconds * SECOND_NS)


class App:
    """An authenticator app of somebody, and recovery codes on paper."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.secret = ""
        self.recovery: list[str] = []

    def code(self, steps: int = 0) -> str:
        return TOTP(self.secret).generate_otp(self.clock() // (STEP_S * SECOND_NS) + steps)

    def wrong(self) -> str:
        near = {self.code(steps) for steps in range(-3, 4)}
        return next(text for text in (f"{number:06}" for number in range(10)) if text not in near)


@dataclass
class CountingHasher(Hasher):
    """Keeps passwords as they are and counts the hashes that a real one would have made."""

    version: str = "new"
    made: list[str] = field(default_factory=list)

    def hash(self, password: str) -> str:
        self.made.append("hash")
        return f"{self.version}:{password}"

    def matches(self, hashed: str | None, password: str, kept: Iterable[str] = ()) -> bool:
        self.made.append("verify")
        return hashed is not None and hashed.partition(":")[2] == password

    def is_outdated(self, hashed: str) -> bool:
        return not hashed.startswith(self.version)


@pytest.fixture(autouse=True)
def _without_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "_DURABLE", "PRAGMA synchronous = OFF")


@pytest.fixture(autouse=True)
def secrets(monkeypatch: pytest.MonkeyPatch) -> Secrets:
    """What is never logged: that of one test, as a process that lived through all of them would mask thousands."""
    fresh = Secrets()
    monkeypatch.setattr(second_factor, "SECRETS", fresh)
    return fresh


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def hasher() -> CountingHasher:
    return CountingHasher()


@pytest.fixture
def plane(tmp_path: Path, clock: Clock, hasher: CountingHasher) -> ControlPlane:
    return ControlPlane(tmp_path / "home", hasher=hasher, clock=clock)


@pytest.fixture
def shell() -> Principal:
    return Principal("root", Role.ADMIN, SCOPES[Role.ADMIN], Via.CLI)


@pytest.fixture
def add(plane: ControlPlane, shell: Principal) -> Callable[[str, Role], None]:
    """Add somebody with `PASSWORD`."""

    def added(name: str, role: Role) -> None:
        plane.people.add(shell, name, role, password=PASSWORD)

    return added


@pytest.fixture
def come_in(plane: ControlPlane, add: Callable[[str, Role], None]) -> Callable[..., Started]:
    """Add somebody where there is nobody of that name, sign in, and step up where that is wanted."""

    def signed_in(name: str, role: Role, *, stepped_up: bool = False) -> Started:
        if plane.people.get(name) is None:
            add(name, role)
        started = plane.entrance.sign_in(name, PASSWORD, address=HOME_ADDRESS)
        return plane.entrance.step_up(started.token, PASSWORD, address=HOME_ADDRESS) if stepped_up else started

    return signed_in


@pytest.fixture
def app(clock: Clock) -> App:
    return App(clock)


@pytest.fixture
def enrol(plane: ControlPlane, come_in: Callable[..., Started], app: App) -> Callable[..., Started]:
    """Give somebody a second factor; the session goes on. The next code is good again."""

    def enrolled(name: str = "ann", role: Role = Role.ADMIN) -> Started:
        started = come_in(name, role, stepped_up=True)
        app.secret = plane.second_factors.begin(started.session.principal).result or ""
        app.recovery = plane.entrance.enrol(started.token, app.code(), address=HOME_ADDRESS).result or []
        app.clock.wait(STEP_S)
        return started

    return enrolled


def ask(plane: ControlPlane, password: str = PASSWORD, address: str = HOME_ADDRESS) -> Challenge:
    """What a right password of ann is answered with: her code is wanted."""
    asked = plane.entrance.sign_in("ann", password, address=address)
    assert isinstance(asked, Challenge)
    return asked


def refused(plane: ControlPlane, challenge: str, code: str, address: str = HOME_ADDRESS) -> NotLetInError:
    """How a code is refused."""
    with pytest.raises(NotLetInError) as wrong:
        plane.entrance.give_code(challenge, code, address=address)
    return wrong.value


def rows_of(plane: ControlPlane) -> list[Row]:
    """Every row of the audit, oldest first, after proving them."""
    with plane.storage.reading() as database:
        audit.verify(database)
        return list(reversed(audit.page(database, limit=10_000)))


def token_hashes(plane: ControlPlane) -> set[bytes]:
    with plane.storage.reading() as database:
        return {row[0] for row in database.execute("SELECT token_hash FROM session")}
