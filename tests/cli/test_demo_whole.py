"""The second half of the demo: trader and dashboards as processes, proven and ended."""

import subprocess
import sys
from pathlib import Path

from tests.killing import ROOT, environment

WORDS = "import sys; from novapulse.cli.demo_whole import show_whole; sys.exit(show_whole(once=True, port=0))"


def test_once_proves_trader_dashboards_kill_switch_and_ledger_and_leaves_nothing(tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    surroundings = {**environment(tmp_path / "home"), "TMPDIR": str(scratch)}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", WORDS], cwd=ROOT, env=surroundings, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    for sign in ("accounts: main on coinbase", "apps: 8 pages; chart: 50 bars", "proven flat", "entries, proven"):
        assert sign in done.stderr
    assert list(scratch.iterdir()) == []
