"""The second half of the demo: a paper trader and the dashboards, as processes of their own, until somebody stops it.

Invariants:
- trader and server are the commands that everybody uses, with a home folder of the demo's own;
- the trader outlives the server and the other way round; the demo ends both, cleanly, whatever ends it;
- `--once` leaves nothing behind.
"""

import http.client
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from novapulse.cli.console import EXIT_DONE, EXIT_FAILED, error, say
from novapulse.cli.serve import serving
from novapulse.config import home_folder, lake_folder
from novapulse.config.places import CONFIG, DATA_DIR, HOME
from novapulse.control.plane import ControlPlane
from novapulse.ops import health

CONFIGURATION = Path(__file__).resolve().parents[2] / "config" / "paper.yaml"
FOLDER = "demo"
HOST = "127.0.0.1"
SPEED = "10"
"""Bars a second that the dashboards see, once there is some history."""

PRELUDE_S = 8.0
START_S = 180.0
STOP_S = 20.0
HELD_S = 60.0
"""How long the proof waits for a position that the kill switch then has to close."""

_LOOK_S = 0.2
_ASK_S = 1.0
_ADMIN = "demo"


class DemoError(RuntimeError):
    """Something of the demo did not come up or did not prove; the message says what."""


def running() -> str:
    """Return the address of a demo that runs already and answers; empty where none does."""
    address = serving(home_folder(os.environ) / FOLDER)
    return address if address and _answers(urlsplit(address).port or 0) else ""


def show_whole(*, once: bool, port: int) -> int:
    """Run trader and server until somebody stops them, or prove them and stop.

    Args:
        once: Whether to prove and stop.
        port: Where to serve; a free one where it is taken.
    """
    if not CONFIGURATION.is_file():
        say("the paper trader of the demo needs the checkout: config/paper.yaml is not there")
        return EXIT_DONE
    with ExitStack() as stack:
        home = _home(stack, once=once)
        say(f"\n--- paper trader and dashboards; their state lies in {home} ---")
        try:
            _prelude(home)
            trader = stack.enter_context(_process(home, "live", speed=SPEED))
            _until(lambda: health.read(home / health.FILE, time.time_ns()).healthy, "the trader is healthy", [trader])
            port = _free(port)
            visitor = _Visitor(port)
            if once:
                # The proof comes in as the admin it made: the server then prints no way in that nobody is to take.
                visitor.makes_itself_admin(home)
            server = stack.enter_context(_process(home, "serve", "--host", HOST, "--port", str(port)))
            _until(lambda: _answers(port), "the server answers", [trader, server])
            if once:
                _prove(visitor)
                return EXIT_DONE
            _stay(home, f"http://{HOST}:{port}", {"trader": trader, "server": server})
        except DemoError as wrong:
            error(str(wrong))
            return EXIT_FAILED
        except KeyboardInterrupt:
            say("stopping trader and server ...")
    return EXIT_DONE


def _home(stack: ExitStack, *, once: bool) -> Path:
    if once:
        return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="novapulse-demo-")))
    home = home_folder(os.environ) / FOLDER
    home.mkdir(parents=True, exist_ok=True)
    return home


def _environment(home: Path, speed: str) -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith("NOVAPULSE_")}
    lake = {DATA_DIR: os.environ[DATA_DIR]} if os.environ.get(DATA_DIR) else {DATA_DIR: str(lake_folder(os.environ))}
    return {**own, **lake, HOME: str(home), CONFIG: str(CONFIGURATION), "NOVAPULSE_FEED__SPEED": speed}


def _command(*words: str) -> list[str]:
    return [sys.executable, "-m", "novapulse.cli", *words]


def _prelude(home: Path) -> None:
    # Some days as fast as they can be played, so that the dashboards have something to show from the first look on.
    if (home / "ledger.db").exists():
        return
    say(f"trading some history for {PRELUDE_S:g} s, as fast as it can be played")
    words = _command("live", "--duration", str(PRELUDE_S))
    done = subprocess.run(words, env=_environment(home, "0"), stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise DemoError(f"the paper trader ended with {done.returncode}: see {home / 'logs'}")
    say(done.stdout.rstrip())


@contextmanager
def _process(home: Path, *words: str, speed: str = SPEED) -> Iterator["subprocess.Popen[bytes]"]:
    # In a group of their own: Ctrl-C comes to the demo, and the demo stops one after the other.
    process = subprocess.Popen(_command(*words), env=_environment(home, speed), start_new_session=True)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _until(is_so: Callable[[], bool], what: str, processes: list["subprocess.Popen[bytes]"]) -> None:
    until_s = time.monotonic() + START_S
    while not is_so():
        if any(one.poll() is not None for one in processes):
            raise DemoError(f"a process ended before {what}")
        if time.monotonic() > until_s:
            raise DemoError(f"{START_S:g} s went by, and it is still not so that {what}")
        time.sleep(_LOOK_S)


def _stay(home: Path, address: str, processes: "dict[str, subprocess.Popen[bytes]]") -> None:
    # The server made the one link that works and printed it: another would end it.
    way_in = "sign in there" if ControlPlane(home).people.has_admin() else "the link above makes you its admin, once"
    say(f"\nDashboards: {address}\n{way_in}\nCtrl-C stops trader and server.\n")
    running = dict(processes)
    while running:
        for name, process in list(running.items()):
            if process.poll() is not None:
                del running[name]
                say(f"the {name} has ended (exit {process.returncode})" + ("; the other goes on" if running else ""))
        time.sleep(_LOOK_S)


def _free(port: int) -> int:
    for wanted in (port, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, wanted))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise DemoError("there is no free port")


def _answers(port: int) -> bool:
    try:
        _Visitor(port).ask("GET", "/livez")
    except (DemoError, OSError):
        return False
    return True


# ---- The proof ----


class _Visitor:
    """Somebody with a browser's manners: a cookie, an origin, and the token of their session."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._own: dict[str, str] = {}
        self._password = secrets.token_urlsafe(24)

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None, **headers: str) -> Any:
        """Return an answer: what JSON says, or the text of a page.

        Raises:
            DemoError: It is no yes.
            OSError: Nobody answers.
        """
        connection = http.client.HTTPConnection(HOST, self._port, timeout=60)
        sent = {"Origin": f"http://{HOST}:{self._port}", "Content-Type": "application/json", **self._own, **headers}
        try:
            connection.request(method, path, None if body is None else json.dumps(body), sent)
            answer = connection.getresponse()
            text = answer.read().decode()
        finally:
            connection.close()
        if answer.status >= 300:
            raise DemoError(f"{method} {path} was answered with {answer.status}: {text[:300]}")
        if cookie := answer.getheader("set-cookie"):
            self._own["Cookie"] = cookie.partition(";")[0]
        return json.loads(text) if "json" in answer.getheader("content-type", "") else text

    def makes_itself_admin(self, home: Path) -> None:
        """Become the admin of a home folder that has none, before any server is asked.

        Raises:
            DemoError: There is one already.
        """
        plane = ControlPlane(home)
        token = plane.people.first_link("demo")
        if token is None:
            raise DemoError("the demo's home folder has an admin already")
        plane.entrance.use_link(token, self._password, name=_ADMIN, address="demo")

    def sign_in(self) -> None:
        """Sign in as the admin."""
        said = {"name": _ADMIN, "password": self._password}
        self._own["X-CSRF"] = self.ask("POST", "/api/v1/session", said)["csrf"]


def _prove(visitor: _Visitor) -> None:
    visitor.sign_in()
    accounts = visitor.ask("GET", "/api/v1/accounts")
    say("accounts: " + ", ".join(f"{one['account_id']} on {one['exchange']} ({one['equity']})" for one in accounts))
    for name in ("overview", "desk", "risk", "orders", "decisions", "scanner", "journal", "health"):
        if "<marimo-" not in visitor.ask("GET", f"/apps/{name}/", Accept="text/html"):
            raise DemoError(f"the app {name} is no page")
    first = accounts[0]
    bars = visitor.ask(
        "GET", f"/api/v1/accounts/{first['exchange']}/{first['account_id']}/chart/bars?symbol=BTC-USD&last=50"
    )
    say(f"apps: 8 pages; chart: {len(bars['close'])} bars of {bars['symbol']}")
    held = _held(visitor)
    receipt = visitor.ask(
        "POST", "/api/v1/control/kill?wait=10", {"all": True}, **{"Idempotency-Key": secrets.token_hex(8)}
    )
    proof = visitor.ask("GET", f"/api/v1/control/commands/{receipt['command_id']}/proof?wait=10")
    if not (receipt["ok"] and proof["flat"]):
        raise DemoError(f"the kill switch did not leave everything flat: {receipt} {proof}")
    closed = f"closed {', '.join(held)}" if held else f"had nothing to close, as nothing was held for {HELD_S:g} s"
    say(f"kill switch: {len(receipt['accounts'])} accounts {closed}, and halted, proven flat")
    audit = visitor.ask("GET", "/api/v1/ledger/proof")
    if not audit["ok"]:
        raise DemoError(f"the ledger did not prove: {audit}")
    say(f"ledger: {audit['entries']} entries, proven")


def _held(visitor: _Visitor) -> list[str]:
    """Return what is held as soon as anything is, in words; empty when that takes too long."""
    until_s = time.monotonic() + HELD_S
    while True:
        held = [
            f"{one['qty']} {one['symbol']} of {one['account_id']} on {one['exchange']}"
            for one in visitor.ask("GET", "/api/v1/all/positions")
            if one["is_ours"]
        ]
        if held or time.monotonic() > until_s:
            return held
        time.sleep(_ASK_S)
