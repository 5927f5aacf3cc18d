"""The same folds in interpreters that compile in another way: not at all, and with every index checked."""

import os
import subprocess
import sys
from pathlib import Path

from tests.backtest.fingerprint import of_random_markets, of_real_bars

ROOT = Path(__file__).resolve().parents[2]


def elsewhere(argument, **environment):
    command = [sys.executable, "-W", "error", "-m", "tests.backtest.fingerprint", str(argument)]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.split()


def test_uncompiled_gives_the_same_bits_on_real_bars(shared_data):
    assert elsewhere(shared_data, NUMBA_DISABLE_JIT="1") == of_real_bars(shared_data)


def test_uncompiled_gives_the_same_bits_on_random_markets():
    assert elsewhere("random", NUMBA_DISABLE_JIT="1") == of_random_markets()


def test_no_index_leaves_its_array():
    assert elsewhere("random", NUMBA_BOUNDSCHECK="1") == of_random_markets()
