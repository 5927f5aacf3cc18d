"""A server over what a real session of the paper trader left behind, and people who come to it in every way.

The trader ran once; every test gets people, sessions and an audit of its own, and passwords that cost nothing to check.
"""

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from pyotp import TOTP
from starlette.testclient import TestClient

from novapulse.control import storage
from novapulse.control.keys import DAYS_MAX
from novapulse.control.limits import Allowances
from novapulse.control.plane import ControlPlane
from novapulse.control.roles import KEY_SCOPES, SCOPES, Principal, Role, Scope, Via
from novapulse.control.second_factor import STEP_S
from novapulse.core.instruments import AccountKey
from novapulse.monitor.hub import Hub
from novapulse.ops import health
from novapulse.server.app import apps_of, create_app
from novapulse.server.parts import Parts
from tests.control.conftest import PASSWORD, CountingHasher
from tests.monitor.conftest import beat, bodies, left_home, lived

__all__ = ["PASSWORD", "beat", "bodies", "left_home", "lived"]

OURS = "http://testserver"
SHELL = Principal("root", Role.ADMIN, SCOPES[Role.ADMIN], Via.CLI)
ACCOUNTS = [AccountKey("coinbase", "main"), AccountKey("kraken", "main"), AccountKey("kraken", "second")]


@dataclass
class Clock:
    """The time of this machine, and what a test adds to it."""

    ahead_ns: int = 0

    def __call__(self) -> int:
        return time.time_ns() + self.ahead_ns

    def wait(self, seconds: float) -> None:
        self.ahead_ns += round(seconds * 1e9)


@dataclass
class Visitor:
    """Somebody at the door, with what a browser or a script of theirs sends along."""

    client: TestClient
    headers: dict[str, str] = field(default_factory=dict)
    csrf: str = ""

    def ask(self, method: str, path: str, **more: Any) -> Any:
        headers = self.headers | ({"x-csrf": self.csrf} if self.csrf else {}) | more.pop("headers", {})
        return self.client.request(method, path, headers=headers, follow_redirects=False, **more)

    def get(self, path: str, **more: Any) -> Any:
        return self.ask("GET", path, **more)

    def post(self, path: str, **more: Any) -> Any:
        return self.ask("POST", path, **more)


class House:
    """The server of one home folder, and whoever comes to it."""

    def __init__(
        self, home: Path, apps: Any = None, second_factor_of: frozenset[Role] = frozenset(), **parts: Any
    ) -> None:
        self.home = home
        self.clock = Clock()
        self.plane = ControlPlane(home, hasher=CountingHasher(), clock=self.clock, second_factor_of=second_factor_of)
        self.hub = Hub(home)
        allowances = Allowances(self.plane.storage, self.clock)
        self.parts = Parts(home, self.plane, self.hub, allowances, **parts)
        self.app = create_app(self.parts, apps)
        # Answers of our own to errors of our own are looked at too.
        self.client = TestClient(self.app, raise_server_exceptions=False)

    def person(self, name: str, role: Role) -> None:
        if self.plane.people.get(name) is None:
            self.plane.people.add(SHELL, name, role, password=PASSWORD)

    def nobody(self) -> Visitor:
        return Visitor(self.client)

    def browser(self, role: Role, name: str = "", *, stepped_up: bool = False) -> Visitor:
        """Sign somebody in; their cookie goes along as a header, so that one client serves many."""
        name = name or str(role)
        self.person(name, role)
        started = self.plane.entrance.sign_in(name, PASSWORD, address="192.0.2.7")
        if stepped_up:
            started = self.plane.entrance.step_up(started.token, PASSWORD, address="192.0.2.7")
        headers = {"cookie": f"{self.parts.cookie}={started.token}", "origin": OURS}
        return Visitor(self.client, headers, started.session.csrf)

    def script(self, *scopes: Scope, name: str = "", days: int = DAYS_MAX) -> Visitor:
        """Make a key of an operator."""
        name = name or "scripts"
        self.person(name, Role.OPERATOR)
        made = self.plane.keys.make(SHELL, "a test", scopes or tuple(KEY_SCOPES), days, person=name)
        return Visitor(self.client, {"authorization": f"Bearer {made.result}"})

    def audit(self, **wanted: str) -> list[dict[str, Any]]:
        with self.plane.storage.reading() as database:
            from novapulse.control import audit

            rows = [dict(row.json()) for row in audit.page(database, limit=500)]
        return [row for row in rows if all(row[name] == value for name, value in wanted.items())]


class App:
    """An authenticator app of somebody."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.secret = ""

    def begin(self, visitor: Visitor) -> None:
        """Take a secret; the visitor has just given the password once more."""
        session = self.house.plane.sessions.find(self._token(visitor))
        self.secret = self.house.plane.second_factors.begin(session.principal).result or ""

    def enrol(self, visitor: Visitor) -> list[str]:
        """Prove a secret, and wait until the next code is good; recovery codes are returned."""
        self.begin(visitor)
        codes = self.house.plane.entrance.enrol(self._token(visitor), self.code(), address="192.0.2.7").result
        self.house.clock.wait(STEP_S)
        return codes

    def code(self) -> str:
        return TOTP(self.secret).generate_otp(self.house.clock() // 1_000_000_000 // STEP_S)

    def _token(self, visitor: Visitor) -> str:
        return visitor.headers["cookie"].partition("=")[2]


@contextmanager
def house_of_app(home: Path, folder: Path, code: str) -> Iterator[House]:
    """A server of one app, `x`, whose file is written into a folder that is made."""
    folder.mkdir()
    (folder / "x.py").write_text(code)
    made = House(home, apps_of(folder), config=home / "config.yaml")
    with made.client:
        yield made


@pytest.fixture(scope="module", autouse=True)
def _without_waiting_for_the_disk() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(storage, "_DURABLE", "PRAGMA synchronous = OFF")
        yield


def copied(left: Path, home: Path) -> Path:
    """Copy what a session left behind: its ledger, its last word and what it saw."""
    home.mkdir(parents=True)
    for name in ("ledger.db", health.FILE, "config.yaml"):
        shutil.copy(left / name, home / name)
    shutil.copytree(left / "sessions", home / "sessions")
    (home / "lake").symlink_to(left / "lake")
    return home


@pytest.fixture
def home(left_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    found = copied(left_home, tmp_path / "home")
    monkeypatch.setenv("NOVAPULSE_HOME", str(found))
    monkeypatch.delenv("NOVAPULSE_DATA_DIR", raising=False)
    return found


@pytest.fixture
def house(home: Path) -> Iterator[House]:
    """A server, running, with nobody in it yet."""
    made = House(home, config=home / "config.yaml")
    with made.client:
        yield made


@pytest.fixture
def of_all(house: House) -> Callable[[], dict[str, Visitor]]:
    """Make everybody there is: nobody, each role without and with the password given again, a key, and dead keys."""

    def made() -> dict[str, Visitor]:
        aged = house.script(Scope.READ, name="old", days=1)
        house.clock.wait(2 * 86_400)
        foreign = Visitor(house.client, {"authorization": "Bearer np_0123456789_" + "A" * 43})
        return {
            "nobody": house.nobody(),
            **{str(role): house.browser(role) for role in Role},
            **{f"sure {role}": house.browser(role, f"sure-{role}", stepped_up=True) for role in Role},
            "key": house.script(Scope.READ),
            "expired key": aged,
            "foreign key": foreign,
        }

    return made
