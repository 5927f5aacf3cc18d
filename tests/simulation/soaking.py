"""The long soak: `just soak`. Prints one line for every six virtual hours, and fails when something grows.

`--write` keeps the first day beside the last one in docs/simulation.md.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from novapulse.simulation.faults import chosen
from novapulse.simulation.scene import scene_of
from novapulse.simulation.soak import Sample, soak
from tests.benchmarks.page import Rows, keep
from tests.simulation.campaigning import PAGE

GROWTH_BYTES_PER_DAY = 8 * 2**20
"""Venues and auditor remember all that ever happened, to hold it against the traders: so much a virtual day."""
TRADER_BYTES_PER_DAY = 100_000
"""What may be rounding in sizes of lists and dictionaries; a hundredth of a megabyte an hour is a leak."""
LOG_BYTES = 16 * 2**20
LINES_PER_DAY = 20_000
STATE_BYTES = 256 * 2**10


def grown(samples: Sequence[Sample]) -> list[str]:
    """Return what grew that should not, in sentences."""
    late = samples[len(samples) // 3 :]
    days = (late[-1].hours - late[0].hours) / 24
    found = []
    rate = (late[-1].resident_bytes - late[0].resident_bytes) / days
    if rate > GROWTH_BYTES_PER_DAY:
        found.append(f"memory grows by {rate / 2**20:.1f} MiB a day")
    quarter = max(len(late) // 4, 1)
    least, most = (max(each.trader_bytes for each in part) for part in (late[:quarter], late[-quarter:]))
    if (most - least) / days > TRADER_BYTES_PER_DAY:
        found.append(f"the traders grew from {least} to {most} bytes in {days:.1f} days")
    for name in ("files", "timers", "appointments", "orders"):
        first, last = (max(getattr(each, name) for each in part) for part in (late[:quarter], late[-quarter:]))
        if last > 1.5 * first + 20:
            found.append(f"{name} grew from {first} to {last}")
    if (late[-1].lines - late[0].lines) / days > LINES_PER_DAY:
        found.append(f"the log grows by {(late[-1].lines - late[0].lines) / days:.0f} lines a day")
    if max(each.log_bytes for each in samples) > LOG_BYTES:
        found.append(f"the write-ahead log reached {max(each.log_bytes for each in samples)} bytes")
    if max(each.state_bytes for each in samples) > STATE_BYTES:
        found.append(f"a trader's state reached {max(each.state_bytes for each in samples)} bytes")
    return found


def told(samples: Sequence[Sample]) -> Rows:
    """Return the largest figures of the first day beside those of the last one, as the rows of a table."""
    first = [each for each in samples if each.hours <= 24]
    last = [each for each in samples if each.hours > samples[-1].hours - 24]
    rows: Rows = []
    for what, name, unit in (
        ("memory of the traders, KiB", "trader_bytes", 2**10),
        ("memory of all, MiB: venues and auditor forget nothing", "resident_bytes", 2**20),
        ("open files", "files", 1),
        ("appointments of the world", "appointments", 1),
        ("timers of the traders", "timers", 1),
        ("orders remembered", "orders", 1),
        ("state of a trader, KiB", "state_bytes", 2**10),
        ("write-ahead log, MiB", "log_bytes", 2**20),
    ):
        days = (max(getattr(each, name) for each in day) / unit for day in (first, last))
        rows.append((what, *(f"{figure:.6g}" for figure in days)))
    for what, name in (("lines of log a day", "lines"), ("ledger events a day", "events")):
        of_last = getattr(last[-1], name) - max(getattr(each, name) for each in samples if each not in last)
        rows.append((what, f"{getattr(first[-1], name):,}", f"{of_last:,}"))
    return rows


def line(sample: Sample) -> str:
    """Return a measurement as one line."""
    return (
        f"{sample.hours:6.1f} h  {sample.resident_bytes / 2**20:7.1f} MiB  "
        f"{sample.trader_bytes / 2**10:7.1f} KiB of traders  {sample.files:3} files  "
        f"{sample.appointments:5} waiting  {sample.timers:3} timers  {sample.orders:5} orders  "
        f"{sample.state_bytes:7} B state  {sample.events:7} events  {sample.ledger_bytes / 2**20:7.1f} MiB ledger  "
        f"{sample.log_bytes / 2**20:5.1f} MiB log  {sample.lines:6} lines"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=float, default=7.0)
    parser.add_argument("--pairs", type=int, default=8)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--write", action="store_true", help="keep the figures in docs/simulation.md")
    options = parser.parse_args()
    print(f"seed {options.seed}: {options.days:g} virtual days, {options.pairs} pairs, 3 accounts, all faults")
    scene = scene_of(options.days, options.pairs, 3)
    with tempfile.TemporaryDirectory() as folder:
        samples, violation = soak(
            scene, options.seed, chosen("all"), Path(folder), told=lambda each: print(line(each), flush=True)
        )
    if options.write:
        days = f"{options.days:g} days, {options.pairs} pairs, 3 accounts: largest of a day"
        keep("soak", (days, "first day:", "last day:"), told(samples), PAGE)
    problems = grown(samples) + ([str(violation)] if violation is not None else [])
    print("\n".join(problems) or "nothing grew that should not")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
