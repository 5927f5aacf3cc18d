"""A home folder with its server, and the people who look at it in Chromium, each in a browser of their own."""

import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from novapulse.control import audit
from novapulse.control.plane import ControlPlane
from novapulse.control.roles import Role
from novapulse.control.shell import shell_principal
from novapulse.monitor import read_home
from novapulse.ops import health
from tests.apps.page import PATIENCE_S
from tests.killing import ROOT, environment, start

HOST = "127.0.0.1"
PASSWORD = "seven slow herons over the weir"
PEOPLE = {"vera": Role.VIEWER, "otto": Role.OPERATOR}

_LINK = re.compile(r"http://\S+#\S+")
_UP_S = 240.0
_STOP_S = 20.0


@dataclass
class House:
    """A server that runs.

    Attributes:
        home: Folder of the trader's state that it serves.
        address: Where.
        process: It.
        log: What it says.
    """

    home: Path
    address: str
    process: "subprocess.Popen[bytes]"
    log: Path

    def first_link(self) -> str:
        """The one-time link that the server printed as it started."""
        until = time.monotonic() + _UP_S
        while not (found := _LINK.search(self.log.read_text())):
            # The door is open before anything is said: whoever comes early waits there.
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < until, "it never printed a link"
            time.sleep(0.05)
        return found[0]

    def add_people(self, people: Mapping[str, Role] = PEOPLE) -> None:
        """Let people in, as somebody at the shell of the machine would: a viewer and an operator."""
        plane = ControlPlane(self.home)
        for name, role in people.items():
            plane.people.add(shell_principal(self.home), name, role, password=PASSWORD)

    def refusals(self) -> list[str]:
        """Why the server refused something, newest first, in its own words."""
        with ControlPlane(self.home).storage.reading() as database:
            return [one.text for one in audit.page(database) if one.outcome != "done"]


@contextmanager
def serving(home: Path) -> Iterator[House]:
    """Serve a home folder with the command that everybody uses."""
    with socket.socket() as free:
        free.bind((HOST, 0))
        port = free.getsockname()[1]
    log = home / "server.log"
    command = [sys.executable, "-m", "novapulse.cli", "serve", "--host", HOST, "--port", str(port)]
    more = {"MARIMO_SKIP_UPDATE_CHECK": "1", "XDG_CONFIG_HOME": str(home)}
    with log.open("w") as written:
        process = subprocess.Popen(
            command, cwd=ROOT, env={**environment(home), **more}, stdout=written, stderr=subprocess.STDOUT
        )
    try:
        wait_until(lambda: _answers(port), "the server answers", process)
        yield House(home, f"http://{HOST}:{port}", process, log)
    finally:
        _end(process)


def pace(home: Path, speed: float) -> None:
    """Let the trader of a home folder see so many bars a second; as many as it can with 0."""
    path = home / "config.yaml"
    settings = yaml.safe_load(path.read_text())
    settings["feed"]["speed"] = speed
    path.write_text(yaml.safe_dump(settings))


@contextmanager
def trader(home: Path) -> Iterator["subprocess.Popen[str]"]:
    """Start the trader of a home folder and wait until it is healthy."""
    process = start(home)
    try:
        wait_until(lambda: health.read(home / health.FILE, time.time_ns()).healthy, "the trader is healthy", process)
        yield process
    finally:
        process.kill()
        process.communicate()


def head_of(home: Path) -> int:
    """The number of the last entry of a home folder's ledger."""
    return read_home(home).head_seq


def wait_until(
    is_so: Callable[[], bool], what: str, process: "subprocess.Popen[Any]", patience_s: float = _UP_S
) -> None:
    """Wait for something that a process is to bring about."""
    until_s = time.monotonic() + patience_s
    while not is_so():
        assert process.poll() is None, f"it ended with {process.returncode} before {what}"
        assert time.monotonic() < until_s, f"{patience_s:g} s went by, and it is still not so that {what}"
        time.sleep(0.05)


def welcomed(browser: Any, house: House) -> Any:
    """Become the first admin by the link, in the browser; return that browser's own state."""
    context = browser.new_context()
    context.set_default_timeout(PATIENCE_S * 1000)
    page = context.new_page()
    page.goto(house.first_link())
    page.fill("#name", "ana")
    page.fill("#password", PASSWORD)
    page.fill("#again", PASSWORD)
    page.click("button[type=submit]")
    page.wait_for_url("**/apps/overview/")
    page.close()
    return context


def signed_in(browser: Any, house: House, name: str) -> Any:
    """Sign somebody in, in the browser; return that browser's own state."""
    context = browser.new_context()
    context.set_default_timeout(PATIENCE_S * 1000)
    page = context.new_page()
    page.goto(f"{house.address}/login?next=/account")
    page.fill("#name", name)
    page.fill("#password", PASSWORD)
    page.click("button[type=submit]")
    page.wait_for_url(f"{house.address}/account")
    page.close()
    return context


def _answers(port: int) -> bool:
    try:
        socket.create_connection((HOST, port), 1).close()
    except OSError:
        return False
    return True


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(_STOP_S)
    finally:
        process.kill()
        process.wait()
