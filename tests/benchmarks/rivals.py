"""The rivals' harness that lies beside the checkout (`../shared/bench`): its workloads, and its scripts run one by one.

Every figure here is a ratio of two measurements of the same run: this machine's speed drifts, ratios do not.
"""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

HARNESS = Path(__file__).resolve().parents[3] / "shared" / "bench"


class NoHarnessError(RuntimeError):
    """There is nothing to be measured against."""


def workloads() -> ModuleType:
    """Return the module that makes the workloads.

    Raises:
        NoHarnessError: The harness does not lie beside this checkout.
    """
    path = HARNESS / "common.py"
    if not path.is_file():
        raise NoHarnessError("the rivals' harness is not beside this checkout (../shared/bench)")
    spec = importlib.util.spec_from_file_location("common", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def measure(script: str, *arguments: str, repetitions: int = 5, **environment: str) -> list[dict[str, Any]]:
    """Run one script of the harness in a process of its own and return its measurements, one dict per line.

    Raises:
        NoHarnessError: The script failed or is not there, for example because the rival has no wheel here.
    """
    surroundings = {**os.environ, "BENCH_THREADS": "1", "BENCH_REPS": str(repetitions), "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(
        [sys.executable, script, *arguments],
        cwd=HARNESS,
        env={**surroundings, **environment},
        capture_output=True,
        text=True,
        timeout=1800,
        check=False,
    )
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise NoHarnessError(f"{script} {' '.join(arguments)} failed: {last}")
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
