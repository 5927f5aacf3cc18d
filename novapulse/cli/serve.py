"""`novapulse serve`: dashboards, REST and live stream of a home folder, behind a sign-in."""

import argparse
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from novapulse.cli.console import EXIT_DONE, UsageError, say
from novapulse.config import home_folder, load
from novapulse.control.limits import Allowances
from novapulse.control.people import link_address
from novapulse.control.plane import ControlPlane
from novapulse.control.readiness import secrets_problem
from novapulse.control.shell import shell_principal, shell_source
from novapulse.monitor import hub_of

if TYPE_CHECKING:
    from novapulse.server.parts import Parts

APPS_FOLDER = Path(__file__).resolve().parents[2] / "apps"


def serve(options: argparse.Namespace) -> int:
    """Serve until somebody stops it."""
    import uvicorn

    from novapulse.server.app import apps_of, create_app

    parts = server_parts(options)
    address = f"{'https' if parts.https else 'http'}://{_host(options.host)}:{options.port}"
    first = first_link(parts, next(iter(sorted(parts.origins)), address))
    say(f"serving {parts.home} at {address}; stop with Ctrl-C")
    if first:
        say(f"there is no admin yet; this link makes one, once, within a day:\n  {first}")
    apps = apps_of(APPS_FOLDER) if APPS_FOLDER.is_dir() else None
    config = uvicorn.Config(
        create_app(parts, apps),
        host=options.host,
        port=options.port,
        log_level="warning",
        access_log=False,
        server_header=False,
        ws_max_size=1 << 20,
        timeout_graceful_shutdown=5,
    )
    uvicorn.Server(config).run()
    return EXIT_DONE


def server_parts(options: argparse.Namespace) -> "Parts":
    """Return what the server stands on.

    Raises:
        UsageError: Its secrets are not good enough for how it would be reached, or an origin is none.
    """
    from novapulse.server.parts import Parts

    loaded = load(os.environ, options.config)
    home = home_folder(os.environ)
    plane = ControlPlane(home)
    origins = frozenset(_origin(one) for one in options.origin)
    https = any(one.startswith("https://") for one in origins)
    problem = secrets_problem(loaded.settings.mode, plane, host=options.host, https=https)
    if problem:
        raise UsageError(problem)
    return Parts(
        home=home,
        plane=plane,
        hub=hub_of(home),
        allowances=Allowances(plane.storage, time.time_ns),
        origins=origins,
        https=https,
        proxies=frozenset(options.proxy),
        mode=loaded.settings.mode,
        config=loaded.file,
    )


def first_link(parts: "Parts", address: str) -> str | None:
    """Return the one-time link for the first admin; None where there is an admin."""
    token = parts.plane.people.first_link(shell_principal(parts.home).actor, shell_source(os.environ))
    return None if token is None else link_address(address, token)


def _host(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _origin(text: str) -> str:
    parts: Any = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.netloc or parts.path not in ("", "/"):
        raise UsageError(f"{text!r} is no origin: expected https://HOST or http://HOST:PORT")
    return f"{parts.scheme}://{parts.netloc}"
