"""marimo's own routes behind our gate: whoever is signed in looks at apps, and edits, runs and reads no code."""

import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest
from marimo import create_asgi_app
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.websockets import WebSocketDisconnect

from novapulse.cli.serve import APPS_FOLDER
from novapulse.control.roles import Role
from novapulse.server.gate import ASKED_BY_PAGES, CLOSED, CLOSED_BY_POLICY
from novapulse.ui.apps.frame import PAGES
from tests.server.conftest import House, Visitor, house_of_app

CODE = """import marimo

app = marimo.App()


@app.cell
def _():
    secret_of_the_cell = 1
    return


if __name__ == "__main__":
    app.run()
"""
PLACE = "/apps/x"
BODY = {
    **{"cellIds": ["a"], "codes": ["open('/tmp/planted', 'w')"], "code": "1", "cellId": "a", "filename": "y.py"},
    **{"path": "/etc/passwd", "contents": "", "newPath": "y.py", "source": "x.py", "destination": "y.py"},
    **{"names": ["_"], "configs": [{}], "config": {}, "package": "x", "query": "x", "sessionId": "s_1"},
}
"""What one or another of marimo's routes would act upon."""

OPEN = {
    "/",
    "/health",
    "/@file/{filename_and_length:path}",
    "/public-files-sw.js",
    "/{path:path}",
    *ASKED_BY_PAGES,
    "/ws",
}
"""Routes of marimo's that a page of an app asks for; its catch-all is open for the files of its frontend alone."""

ROLES = (Role.VIEWER, Role.OPERATOR, Role.ADMIN)


@pytest.fixture
def apps_house(home: Path, tmp_path: Path) -> Iterator[House]:
    folder = tmp_path / "apps"
    with house_of_app(home, folder, CODE) as made:
        yield made
    assert (folder / "x.py").read_text() == CODE
    assert [one.name for one in folder.iterdir() if one.suffix == ".py"] == ["x.py"]


def test_no_kernel_imports_what_another_may_import_at_once() -> None:
    """A bug: of two pages that were opened at once after a start, both ended in a deadlock of their imports."""
    told = f"import pathlib, sys; from novapulse.server.app import apps_of; apps_of(pathlib.Path({str(APPS_FOLDER)!r}))"
    command = [sys.executable, "-c", f"{told}; print(*sys.modules)"]
    loaded = set(subprocess.run(command, capture_output=True, check=True, text=True).stdout.split())
    assert {"IPython.display", "anywidget", *(f"novapulse.ui.apps.{name}" for name, _ in PAGES)} <= loaded


@dataclass(frozen=True)
class Asked:
    """A route of marimo's: a method, or a socket."""

    method: str
    path: str


def routes_of(app: Any, below: str = "") -> Iterator[Asked]:
    """Every route that marimo has as it is installed."""
    for route in getattr(app, "routes", ()):
        path = below + route.path
        if isinstance(route, Mount):
            yield from routes_of(route.app, path)
        elif isinstance(route, WebSocketRoute):
            yield Asked("socket", path)
        else:
            assert isinstance(route, Route), route
            yield from (Asked(method, path) for method in sorted(route.methods or ()))


def marimos() -> list[Asked]:
    """What marimo answers below an app, whatever the app is."""
    served = create_asgi_app(quiet=True).with_app(path="/x", root=str(APPS_FOLDER / "overview.py")).build()
    (mounted,) = [one for one in cast(Any, served).routes if isinstance(one, Mount)]
    return sorted(routes_of(mounted.app), key=str)


CLOSED_ROUTES = [one for one in marimos() if one.path not in OPEN]


def test_the_routes_are_marimos_own() -> None:
    found = {one.path for one in marimos()}
    assert found >= OPEN
    for path in (
        "/api/kernel/run",
        "/api/kernel/read_code",
        "/api/files/file_details",
        "/api/secrets/keys",
        "/ws_sync",
    ):
        assert path in found
    assert len(CLOSED_ROUTES) > 80
    assert {one.path for one in marimos() if one.method not in ("GET", "HEAD", "POST", "socket")} == set()


@pytest.mark.parametrize("role", ROLES)
def test_nobody_edits_runs_or_reads_code_by_requests_of_their_own(apps_house: House, role: Role) -> None:
    who = apps_house.browser(role, stepped_up=True)
    page = who.get(f"{PLACE}/", headers={"accept": "text/html"})
    assert page.status_code == 200
    assert "secret_of_the_cell" not in page.text
    for one in CLOSED_ROUTES:
        # Each is the first refusal of its time, and written down.
        apps_house.parts.flood.over(f"web:{role} testclient")
        path = PLACE + re.sub(r"{\w+(:path)?}", "x", one.path)
        before = len(apps_house.audit())
        if one.method == "socket":
            with pytest.raises(WebSocketDisconnect) as closed:
                heard(apps_house, path, who)
            assert closed.value.code == CLOSED_BY_POLICY
        else:
            body = {"json": BODY} if one.method == "POST" else {}
            answer = who.ask(one.method, path, headers={"marimo-session-id": "s_1"}, **body)
            assert answer.status_code == 403, one
        row, *older = apps_house.audit()
        assert len(older) == before, one
        assert (row["outcome"], row["actor"], row["text"]) == ("denied", f"web:{role}", CLOSED), one
        assert row["arguments"] == {"path": path}


def heard(house: House, path: str, who: Visitor) -> str:
    with house.client.websocket_connect(path, headers=who.headers) as wire:
        wire.send_text("id\n")
        return wire.receive_text()
