"""The second half of the demo: trader and dashboards as processes, proven and ended."""

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

from novapulse.control.plane import ControlPlane
from tests.killing import ROOT, environment

WORDS = "import sys; from novapulse.cli.demo_whole import show_whole; sys.exit(show_whole(once={once}, port=0))"
LINK = re.compile(r"/welcome#(\S+)")
PATIENCE_S = 240


def test_once_proves_trader_dashboards_kill_switch_and_ledger_and_leaves_nothing(tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    surroundings = {**environment(tmp_path / "home"), "TMPDIR": str(scratch)}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", WORDS.format(once=True)],
        cwd=ROOT,
        env=surroundings,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    for sign in ("accounts: main on coinbase", "apps: 8 pages; chart: 50 bars", "proven flat", "entries, proven"):
        assert sign in done.stderr
    assert re.search(r"3 accounts closed \S+ \S+ of \S+ on \S+", done.stderr), "the kill closed nothing"
    assert LINK.search(done.stderr + done.stdout) is None, "nobody is to come into what is gone a moment later"
    assert list(scratch.iterdir()) == []


def test_one_link_is_printed_and_it_works(tmp_path: Path) -> None:
    said, home = tmp_path / "said.txt", tmp_path / "home"
    command = [sys.executable, "-W", "error", "-c", WORDS.format(once=False)]
    with said.open("w") as out:
        demo = subprocess.Popen(command, cwd=ROOT, env=environment(home), stdout=out, stderr=subprocess.STDOUT)
        try:
            over_s = time.monotonic() + PATIENCE_S
            while "Dashboards:" not in said.read_text():
                assert demo.poll() is None, said.read_text()
                assert time.monotonic() < over_s, said.read_text()
                time.sleep(0.1)
            links = LINK.findall(said.read_text())
            assert len(links) == 1, said.read_text()
            assert ControlPlane(home / "demo").people.link(links[0]) is not None
            assert "the link above makes you its admin" in said.read_text()
        finally:
            demo.send_signal(signal.SIGINT)
            demo.wait(PATIENCE_S)
