"""marimo's own routes behind our gate: whoever is signed in looks at apps, and edits, runs and reads no code."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.websockets import WebSocketDisconnect

from novapulse.cli.serve import APPS_FOLDER
from novapulse.control.roles import Role
from novapulse.server.app import apps_of
from novapulse.server.gate import CLOSED_BY_POLICY
from novapulse.ui.apps.frame import PAGES
from tests.server.conftest import House, Visitor

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
RUNS_CODE = {"cellIds": ["a"], "codes": ["open('/tmp/planted', 'w')"]}
POSTS: dict[str, dict[str, Any]] = {
    "/api/kernel/run": RUNS_CODE,
    "/api/kernel/scratchpad/run": {"code": "1"},
    "/api/kernel/instantiate": {"objectIds": [], "values": []},
    "/api/kernel/save": {"cellIds": ["a"], "filename": "x.py", "codes": ["1"], "names": ["_"], "configs": [{}]},
    "/api/kernel/rename": {"filename": "y.py"},
    "/api/kernel/copy": {"source": "x.py", "destination": "y.py"},
    "/api/kernel/delete": {"cellId": "a"},
    "/api/kernel/format": {"codes": {"a": "1"}, "lineLength": 80},
    "/api/kernel/interrupt": {},
    "/api/kernel/restart_session": {},
    "/api/kernel/shutdown": {},
    "/api/kernel/takeover": {},
    "/api/kernel/stdin": {"text": "x"},
    "/api/kernel/install_missing_packages": {"manager": "pip", "versions": {}},
    "/api/kernel/save_app_config": {"config": {}},
    "/api/kernel/save_user_config": {"config": {}},
    "/api/kernel/set_cell_config": {"configs": {}},
    "/api/files/list_files": {"path": "/"},
    "/api/files/file_details": {"path": "/etc/passwd"},
    "/api/files/create": {"path": "/tmp", "type": "file", "name": "planted"},
    "/api/files/update": {"path": "x.py", "contents": ""},
    "/api/files/delete": {"path": "x.py"},
    "/api/files/move": {"path": "x.py", "newPath": "y.py"},
    "/api/files/search": {"query": "x"},
    "/api/export/script": {"download": False},
    "/api/export/ipynb": {"download": False},
    "/api/packages/add": {"package": "x"},
    "/api/packages/remove": {"package": "x"},
    "/api/secrets/keys": {},
    "/api/secrets/create": {"key": "a", "value": "b", "provider": "dotenv", "name": "x"},
    "/api/home/running_notebooks": {},
    "/api/home/shutdown_session": {"sessionId": "s_1"},
    "/api/ai/chat": {"messages": []},
    "/api/documentation/snippets": {},
}
GETS = ("/api/status", "/api/environment", "/api/kernel/status", "/auth/token", "/api/packages/list")
ROLES = (Role.VIEWER, Role.OPERATOR, Role.ADMIN)


@pytest.fixture
def apps_house(home: Path, tmp_path: Path) -> Iterator[House]:
    folder = tmp_path / "apps"
    folder.mkdir()
    (folder / "x.py").write_text(CODE)
    made = House(home, apps_of(folder), config=home / "config.yaml")
    with made.client:
        yield made
    assert (folder / "x.py").read_text() == CODE
    assert [one.name for one in folder.iterdir() if one.suffix == ".py"] == ["x.py"]


def test_no_kernel_imports_what_another_may_import_at_once() -> None:
    """A bug: of two pages that were opened at once after a start, both ended in a deadlock of their imports."""
    told = f"import pathlib, sys; from novapulse.server.app import apps_of; apps_of(pathlib.Path({str(APPS_FOLDER)!r}))"
    command = [sys.executable, "-c", f"{told}; print(*sys.modules)"]
    loaded = set(subprocess.run(command, capture_output=True, check=True, text=True).stdout.split())
    assert {"IPython.display", "anywidget", *(f"novapulse.ui.apps.{name}" for name, _ in PAGES)} <= loaded


@pytest.mark.parametrize("role", ROLES)
def test_nobody_edits_runs_or_reads_code_by_requests_of_their_own(apps_house: House, role: Role) -> None:
    who = apps_house.browser(role, stepped_up=True)
    page = who.get(f"{PLACE}/", headers={"accept": "text/html"})
    assert page.status_code == 200
    assert "secret_of_the_cell" not in page.text
    served = {}
    for path, body in POSTS.items():
        answer = who.post(PLACE + path, json=body, headers={"marimo-session-id": "s_1"})
        served[path] = answer.status_code
    for path in GETS:
        served[path] = who.get(PLACE + path).status_code
    assert {path: status for path, status in served.items() if status not in (401, 403, 404, 405)} == {}
    # Most of them are there, and refused for what they are.
    assert sum(status in (401, 403) for status in served.values()) > len(served) // 2


def test_the_code_of_a_page_is_nobodys(apps_house: House) -> None:
    who = apps_house.browser(Role.ADMIN)
    answer = who.post(f"{PLACE}/api/kernel/read_code", json={}, headers={"marimo-session-id": "s_1"})
    assert "secret_of_the_cell" not in answer.text


@pytest.mark.parametrize("path", ["/terminal/ws", "/ws_sync?session_id=s_1&file=x", "/lsp/pylsp"])
def test_terminals_and_streams_are_closed(apps_house: House, path: str) -> None:
    who = apps_house.browser(Role.ADMIN, stepped_up=True)
    with pytest.raises(WebSocketDisconnect) as closed:
        heard(apps_house, PLACE + path, who)
    assert closed.value.code in (1000, 1003, 1008, CLOSED_BY_POLICY)


def heard(house: House, path: str, who: Visitor) -> str:
    with house.client.websocket_connect(path, headers=who.headers) as wire:
        wire.send_text("id\n")
        return wire.receive_text()
