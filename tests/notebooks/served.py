"""A notebook as people open it: served by marimo on this machine, looked at in Chromium, which is watched meanwhile."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

NOTEBOOK = Path(__file__).resolve().parents[2] / "notebooks" / "backtest.py"
PATIENCE_MS = 20_000

_UP_S = 60.0


@contextmanager
def served(
    home: Path,
    log: Path,
    settings: Mapping[str, str] | None = None,
    notebook: Path = NOTEBOOK,
    more_options: Sequence[str] = (),
) -> Iterator[str]:
    """Serve a notebook over an own home folder, and yield its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("NOVAPULSE_")}
    environment = {**kept, "NOVAPULSE_HOME": str(home), "XDG_CONFIG_HOME": str(home), "MARIMO_SKIP_UPDATE_CHECK": "1"}
    options = ["--headless", "--no-token", "--host", "127.0.0.1", "--port", str(port)]
    with log.open("w") as written:
        server = subprocess.Popen(
            [sys.executable, "-m", "marimo", "run", str(notebook), *options, *more_options],
            env={**environment, **(settings or {})},
            cwd=home,
            stdout=written,
            stderr=subprocess.STDOUT,
        )
    try:
        _wait_until_up(f"http://127.0.0.1:{port}/health", server, log)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(20)


@contextmanager
def opened(browser: Any, url: str, width: int = 1440, height: int = 900, mode: str = "light") -> Iterator[Any]:
    """Open a page that must not complain and must not ask for anything from another host."""
    complaints: list[str] = []
    page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=mode)
    page.set_default_timeout(PATIENCE_MS)
    page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda wrong: complaints.append(str(wrong)))
    page.on("request", lambda asked: None if is_here(asked.url, url) else complaints.append(f"asked for {asked.url}"))
    try:
        page.goto(url)
        yield page
    finally:
        page.close()
    assert complaints == []


def is_here(asked: str, url: str) -> bool:
    """Whether a request stays with the server of the page."""
    return asked.startswith((f"{url}/", "data:", "blob:"))


def figure(page: Any, path: str) -> str:
    """What the page shows of a figure."""
    text: str = page.locator(f'.np-tile [data-path="{path}"]').inner_text()
    return text


def _wait_until_up(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + _UP_S
    while time.monotonic() < end:
        assert server.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(url, timeout=1):
                return
        except OSError:
            time.sleep(0.1)
    raise TimeoutError(f"marimo did not come up: {log.read_text()}")
