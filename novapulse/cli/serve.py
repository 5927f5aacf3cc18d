"""`novapulse serve`: dashboards, REST and live stream of a home folder, behind a sign-in."""

import argparse
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from novapulse import locks
from novapulse.cli.console import UsageError, say
from novapulse.config import Settings, confirm_money, home_folder, load
from novapulse.control.limits import Allowances
from novapulse.control.people import link_address
from novapulse.control.plane import ControlPlane
from novapulse.control.readiness import REAL_MONEY, is_loopback, secrets_problem
from novapulse.control.roles import Role
from novapulse.control.shell import shell_principal, shell_source
from novapulse.monitor import hub_of
from novapulse.ops.logs import Logs

if TYPE_CHECKING:
    import uvicorn

    from novapulse.server.parts import Parts

APPS_FOLDER = Path(__file__).resolve().parents[2] / "apps"
LOCK_FILE = "serve.lock"
"""Held for as long as a server of the home folder runs, however it ends."""


_BACKLOG = 128
_PORT_MAX = 65_535


def serve(options: argparse.Namespace) -> int:
    """Serve until somebody stops it; the process ends with it."""
    from novapulse.server.stopping import leave

    with listening(options.host, options.port) as door, ExitStack() as stack:
        address = address_of(options.host, int(door.getsockname()[1]))
        parts = server_parts(options, address)
        stack.enter_context(only_server(parts.home, address))
        first = first_link(parts, min(parts.origins))
        server = server_of(parts)
        logs = Logs(None, level="WARNING")
        say(f"serving {parts.home} at {address}; stop with Ctrl-C")
        if first:
            say(f"there is no admin yet; this link makes one, once, within a day:\n  {first}")
        for asked in (signal.SIGINT, signal.SIGTERM):
            # The server raises once more what it was stopped by; to have been asked to stop is no failure.
            signal.signal(asked, server.handle_exit)
        try:
            server.run(sockets=[door])
        finally:
            logs.close()
    leave()


def listening(host: str, port: int) -> socket.socket:
    """Return a socket that listens.

    Raises:
        UsageError: It cannot: the port is taken, or the address is not one of this machine.
    """
    if not 0 <= port <= _PORT_MAX:
        raise UsageError(f"cannot listen at {host} port {port}: ports go from 0 (any that is free) to {_PORT_MAX}")
    try:
        family, _, _, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server(place[:2], family=family, backlog=_BACKLOG)
    except OSError as wrong:
        reason = wrong.strerror or str(wrong)
        raise UsageError(f"cannot listen at {host} port {port}: {reason}; --host and --port name another") from wrong


def serving(home: Path) -> str:
    """Return where a home folder is served now, as its server noted it; empty where no server runs."""
    return locks.holder_of(home / LOCK_FILE).partition(" at ")[2]


@contextmanager
def only_server(home: Path, address: str) -> Iterator[None]:
    """Be the one server of a home folder while the context lasts, and note where it is reached.

    Raises:
        UsageError: There is one already; the message names its process and its address.
        OSError: The note cannot be written.
    """
    try:
        handle = locks.take(home / LOCK_FILE, f" at {address}")
    except locks.HeldError as wrong:
        raise UsageError(f"{home} is served already, by {wrong.holder}: stop that one first, or use it") from wrong
    try:
        yield
    finally:
        os.close(handle)


def address_of(host: str, port: int) -> str:
    """Return where a browser of this machine reaches the server."""
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def server_parts(options: argparse.Namespace, address: str) -> "Parts":
    """Return what the server stands on.

    Args:
        options: Of the command line.
        address: Where it listens.

    Raises:
        UsageError: Its secrets are not good enough for how it would be reached, or an origin is none.
    """
    from novapulse.server.parts import Parts

    loaded = load(os.environ, options.config)
    home = home_folder(os.environ)
    plane = ControlPlane(home, second_factor_of=second_factor_of(loaded.settings))
    named = frozenset(_origin(one) for one in options.origin)
    https = bool(named) and all(one.startswith("https://") for one in named)
    if not https and any(one.startswith("https://") for one in named):
        raise UsageError("--origin: name addresses with TLS or without, not both: cookies are for one of them")
    confirm_money(loaded.settings)
    problem = secrets_problem(loaded.settings.mode, plane, host=options.host, https=https)
    if problem:
        raise UsageError(problem)
    return Parts(
        home=home,
        plane=plane,
        hub=hub_of(home),
        allowances=Allowances(plane.storage, time.time_ns),
        origins=named or _own_origins(address),
        https=https,
        proxies=frozenset(options.proxy),
        mode=loaded.settings.mode,
        config=loaded.file,
    )


def second_factor_of(settings: Settings) -> frozenset[Role]:
    """Return the roles that must have a second factor before they may do anything."""
    is_wanted = settings.mode == REAL_MONEY or settings.server.second_factor == "always"
    return frozenset({Role.OPERATOR, Role.ADMIN}) if is_wanted else frozenset()


def server_of(parts: "Parts") -> "uvicorn.Server":
    """Return the server with the apps of this checkout; it does not run yet."""
    import uvicorn

    from novapulse.server.app import apps_of, create_app
    from novapulse.server.lanes import SWITCH_S
    from novapulse.server.stopping import STOP_S, Server

    # Whatever computes here lets a command go first, soon.
    sys.setswitchinterval(SWITCH_S)
    apps = apps_of(APPS_FOLDER) if APPS_FOLDER.is_dir() else None
    config = uvicorn.Config(
        create_app(parts, apps),
        # What is logged goes where ours goes, masked as ours is.
        log_config=None,
        access_log=False,
        server_header=False,
        # Whose word about an address counts is decided by ourselves, see `--proxy`.
        proxy_headers=False,
        ws_max_size=1 << 20,
        timeout_graceful_shutdown=STOP_S,
    )
    return Server(config, apps)


def first_link(parts: "Parts", address: str) -> str | None:
    """Return the one-time link for the first admin; None where there is an admin."""
    token = parts.plane.people.first_link(shell_principal(parts.home).actor, shell_source(os.environ))
    return None if token is None else link_address(address, token)


def _own_origins(address: str) -> frozenset[str]:
    found = urlsplit(address)
    assert found.hostname is not None
    names = {found.hostname, *(("localhost", "127.0.0.1") if is_loopback(found.hostname) else ())}
    return frozenset(address_of(name, int(found.port or 80)) for name in names)


def _origin(text: str) -> str:
    found = urlsplit(text)
    if found.scheme not in ("http", "https") or not found.netloc or found.path not in ("", "/"):
        raise UsageError(f"{text!r} is no origin: expected https://HOST or http://HOST:PORT")
    # A browser leaves the usual port out.
    return f"{found.scheme}://{found.netloc.removesuffix({'http': ':80', 'https': ':443'}[found.scheme])}"
