"""What the benchmark of the dashboards counts: commits until they were shown, and processor time of a whole server."""

import os
import subprocess
import sys
import time

import pytest

from tests.benchmarks.dashboards import delays, processor_s

BURN = "import time, sys\nwhile time.process_time() < 0.5: pass\nprint(flush=True)\nsys.stdin.read()"


def test_a_commit_counts_until_it_or_a_later_one_is_shown_and_not_where_it_never_was() -> None:
    entries = [(1, 0.0), (2, 1.0), (3, 2.0), (4, 3.0)]
    assert delays(entries, [(1, 0.5), (3, 2.25)]) == [1.25, 0.25]


def test_what_a_process_started_computes_on_its_account() -> None:
    before_s, own_s = processor_s(os.getpid()), time.process_time()
    child = subprocess.Popen([sys.executable, "-c", BURN], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert child.stdout is not None
        child.stdout.readline()
        theirs_s = processor_s(os.getpid()) - before_s - (time.process_time() - own_s)
    finally:
        child.communicate()
    assert theirs_s == pytest.approx(0.5, abs=0.25)
