"""Whoever follows the chapter about the server gets what it says: its examples run against one."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.request import Request, urlopen

import pytest
import yaml

from tests.docs.pages import blocks
from tests.monitor.conftest import left_home
from tests.server.conftest import copied
from tests.server.processes import Served, serving

__all__ = ["left_home"]

PAGE = "operator/02-the-server.md"


@pytest.fixture(scope="module")
def served(left_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server of a home whose trader has stopped."""
    with serving(copied(left_home, tmp_path_factory.mktemp("chapter") / "home")) as found:
        yield found


def run(served: Served, *command: str) -> str:
    own = {**os.environ, "NOVAPULSE_SERVER": f"http://{served.host}:{served.port}", "NOVAPULSE_KEY": served.key}
    done = subprocess.run(command, env=own, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_curl_is_asked_to_fetch_is_there(served: Served) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed here")
    lines = [line for block in blocks(PAGE, "sh") for line in block.text.splitlines() if line.startswith("curl ")]
    positions, fills, proof = (run(served, "sh", "-c", line) for line in lines)
    assert isinstance(json.loads(positions), list)
    assert fills.startswith('"exchange","account_id","seq"')
    assert json.loads(proof)["ok"] is True


def test_the_scripts_command_and_listen(served: Served) -> None:
    command, listen = (run(served, sys.executable, "-c", block.text) for block in blocks(PAGE, "python"))
    assert command.startswith("row of the audit: ")
    assert "no trader has taken it yet" in command
    assert [line.split()[:2] for line in listen.splitlines()] == [
        ["coinbase", "main"],
        ["kraken", "main"],
        ["kraken", "second"],
    ]


def test_prometheus_is_told_where_the_figures_are_and_how_to_get_them(served: Served) -> None:
    (block,) = blocks(PAGE, "yaml")
    (job,) = yaml.safe_load(block.text)["scrape_configs"]
    assert job["static_configs"] == [{"targets": ["127.0.0.1:8700"]}]
    headers = {"Authorization": f"{job['authorization']['type']} {served.key}"}
    with urlopen(Request(f"http://{served.host}:{served.port}{job['metrics_path']}", headers=headers)) as answer:
        text = answer.read().decode()
    page = Path(__file__).resolve().parents[2].joinpath("docs", PAGE).read_text()
    for name in ("novapulse_account_healthy", "novapulse_trader_up", "novapulse_ledger_readable"):
        assert name in text
        assert name in page
