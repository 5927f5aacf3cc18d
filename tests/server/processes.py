"""A real trader and a real server on one home folder, as processes of their own."""

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin

from novapulse.control.plane import ControlPlane
from novapulse.control.roles import KEY_SCOPES, SCOPES, Principal, Role, Via
from novapulse.ops import health
from tests.killing import ROOT, configuration, environment, make_home, start

PATIENCE_S = 240
PASSWORD = "violet kettle seven"
_SERVING = re.compile(r"serving .* at http://([\d.]+):(\d+);")
_SHELL = Principal("root", Role.ADMIN, SCOPES[Role.ADMIN], Via.CLI)


def until(is_so: Callable[[], bool], what: str) -> None:
    """Wait for something that another process does."""
    over_s = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < over_s, f"never: {what}"
        time.sleep(0.02)


@contextmanager
def trading(home: Path, bars: int, speed: float) -> Iterator["subprocess.Popen[str]"]:
    """Run a trader of three accounts until the end; it is healthy at the beginning."""
    make_home(home, bars, {"feed": {**configuration(bars)["feed"], "speed": speed}})
    process = start(home)
    try:
        until(lambda: health.read(home / health.FILE, time.time_ns()).healthy, "the trader is healthy")
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
        process.communicate(timeout=PATIENCE_S)


@dataclass
class Served:
    """A server that runs, and a key for it."""

    process: "subprocess.Popen[str]"
    host: str
    port: int
    key: str

    @property
    def bearer(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.key}"}

    @property
    def live(self) -> str:
        return f"ws://{self.host}:{self.port}/api/v1/live"

    @contextmanager
    def page(self, app: str, kernel: str) -> Iterator[ClientConnection]:
        """Open an app's page as a browser would: sign in, and let marimo start a kernel."""
        origin = f"http://{self.host}:{self.port}"
        connection = HTTPConnection(self.host, self.port, timeout=60)
        words = {"name": "scripts", "password": PASSWORD}
        sent = {"content-type": "application/json", "origin": origin, "sec-fetch-site": "same-origin"}
        connection.request("POST", "/api/v1/session", json.dumps(words), sent)
        answer = connection.getresponse()
        assert answer.status == 200, answer.read()
        cookie = (answer.getheader("set-cookie") or "").partition(";")[0]
        connection.close()
        place = f"ws://{self.host}:{self.port}/apps/{app}/ws?session_id={kernel}"
        with connect(place, origin=Origin(origin), additional_headers={"cookie": cookie}) as wire:
            yield wire

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        connection = HTTPConnection(self.host, self.port, timeout=60)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        sent = {"content-type": "application/json", **self.bearer, **named}
        try:
            connection.request(method, path, None if body is None else json.dumps(body), sent)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()


@contextmanager
def serving(home: Path) -> Iterator[Served]:
    """Run a server at a free port; what it says is kept in the home folder."""
    plane = ControlPlane(home)
    if plane.people.get("scripts") is None:
        plane.people.add(_SHELL, "scripts", Role.OPERATOR, password=PASSWORD)
    key = plane.keys.make(_SHELL, "a test", tuple(KEY_SCOPES), 1, person="scripts").result
    said = home / "server.txt"
    words = ["serve", "--config", str(home / "config.yaml"), "--port", "0"]
    with said.open("w") as errors:
        command = [sys.executable, "-m", "novapulse.cli", *words]
        process = subprocess.Popen(command, cwd=ROOT, env=environment(home), stderr=errors, text=True)
    try:
        until(lambda: _SERVING.search(said.read_text()) is not None or process.poll() is not None, "the server serves")
        found = _SERVING.search(said.read_text())
        assert found is not None, said.read_text()
        assert key is not None
        yield Served(process, found[1], int(found[2]), key)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
