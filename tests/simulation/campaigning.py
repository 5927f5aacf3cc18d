"""The campaign: `just campaign`. What `novapulse simulate` says; `--write` keeps it in docs/simulation.md."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from novapulse.simulation.faults import Fault
from tests.benchmarks.page import Rows, keep

PAGE = Path(__file__).resolve().parents[2] / "docs" / "simulation.md"


def told(result: dict[str, Any]) -> Rows:
    """Return what came of a campaign as the rows of a table."""
    unseen = [fault.value for fault in Fault if fault.value not in result["faults_seen"]]
    not_seen = f"; not: {', '.join(unseen)}" if unseen else ""
    return [
        ("seeds, virtual days each", f"{result['seeds']:,} x {result['days']:g}"),
        ("seconds, all together", f"{result['seconds']:.1f}"),
        ("seeds per hour", f"{result['seeds_per_hour']:,.0f}"),
        ("faults seen", f"{len(Fault) - len(unseen)} of {len(Fault)}{not_seen}"),
        ("faults that happened", f"{sum(result['faults_seen'].values()):,}"),
        ("crashes, restarts of a trader", f"{result['faults_seen'].get('crash', 0):,}, {result['marks']['restart']:,}"),
        ("round trips, ledger events", f"{result['round_trips']:,}, {result['ledger_events']:,}"),
        ("violations", f"{len(result['violations'])}"),
    ]


def main(arguments: list[str]) -> int:
    command = [sys.executable, "-m", "novapulse.cli", "simulate", *(word for word in arguments if word != "--write")]
    if "--write" not in arguments:
        return subprocess.run(command, check=False).returncode
    ran = subprocess.run([*command, "--json"], check=False, stdout=subprocess.PIPE, text=True)
    rows = told(json.loads(ran.stdout))
    keep("campaign", ("what", "figure:"), rows, PAGE)
    for what, figure in rows:
        print(f"{what:32} {figure}")
    return ran.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
