"""The widgets as marimo shows them: live, clickable, and gone when the page is gone."""

import os
import time
import tomllib
from pathlib import Path
from typing import Any

from tests.notebooks.served import PATIENCE_MS, opened, served
from tests.ui.widgets import page as beside

HERE = Path(beside.__file__).parent
GROUP = "marimo.kernel.lifespan"


def installed(folder: Path) -> dict[str, str]:
    """What installing the package tells marimo, for an environment that was made before pyproject.toml said so."""
    project = tomllib.loads((HERE.parents[2] / "pyproject.toml").read_text("utf-8"))["project"]
    told = folder / "told-1.dist-info"
    told.mkdir()
    (told / "METADATA").write_text("Metadata-Version: 2.1\nName: told\nVersion: 1\n")
    ((name, place),) = project["entry-points"][GROUP].items()
    (told / "entry_points.txt").write_text(f"[{GROUP}]\n{name} = {place}\n")
    path = os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {"PYTHONPATH": path}


def notes_say(home: Path, *wanted: str) -> bool:
    """Wait until the notebook has noted all of it."""
    end = time.monotonic() + PATIENCE_MS / 1000
    while time.monotonic() < end:
        notes = (home / "notes").read_text().splitlines() if (home / "notes").exists() else []
        if set(wanted) <= set(notes):
            return True
        time.sleep(0.1)
    return False


def test_live_in_marimo_and_ended_with_the_page(tmp_path: Path, chromium: Any):
    home = tmp_path / "home"
    home.mkdir()
    path = installed(tmp_path)
    notebook = HERE / "live_notebook.py"
    with served(home, tmp_path / "log", path, notebook, ["--session-ttl", "1"]) as url:
        with opened(chromium, url) as page:
            value = page.locator(".npw-tiles .value")
            value.wait_for()
            first = int(value.inner_text())
            while int(value.inner_text()) <= first:
                page.wait_for_timeout(50)
            chart = page.locator(".npw-candles .box canvas").first
            chart.wait_for()
            box = page.locator(".npw-candles .box").bounding_box()
            page.mouse.click(box["x"] + box["width"] / 2, box["y"] + 80)
            page.get_by_text("clicked: 17742").wait_for()
            assert not (home / "notes").exists()
        assert notes_say(home, "subscriber left", "tiles closed"), (tmp_path / "log").read_text()
