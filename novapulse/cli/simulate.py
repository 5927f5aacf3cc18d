"""`novapulse simulate`: whole traders in virtual time, with faults, and an auditor that never looks away."""

import argparse
import os
from typing import Any

from novapulse.cli.console import EXIT_DONE, EXIT_FAILED, UsageError, say, show_json
from novapulse.simulation.campaign import Campaign, Size, run_campaign, table_of_faults
from novapulse.simulation.faults import chosen
from novapulse.simulation.seeds import SeedReport

PROCESSES_MAX = 64


def simulate(options: argparse.Namespace) -> int:
    """Live the seeds that were asked for; exit 1 when one broke an invariant."""
    if options.list:
        return _list(as_json=options.json)
    try:
        faults = chosen(options.faults)
        size = Size(options.days, options.pairs, options.accounts)
        seeds = _seeds(options.seeds)
    except ValueError as wrong:
        raise UsageError(str(wrong)) from wrong
    if options.processes is not None and not 1 <= options.processes <= PROCESSES_MAX:
        raise UsageError(f"--processes {options.processes}: expected 1 to {PROCESSES_MAX}")
    processes = options.processes or min(len(seeds), os.cpu_count() or 1, PROCESSES_MAX)
    say(f"seeds {seeds.start}:{seeds.stop}, {size.days:g} virtual days each, faults: {options.faults}")
    try:
        campaign = run_campaign(
            seeds,
            faults,
            options.faults,
            size=size,
            processes=processes,
            told=_tell,
        )
    except ValueError as wrong:
        raise UsageError(str(wrong)) from wrong
    _show(campaign, as_json=options.json)
    return EXIT_FAILED if campaign.failed else EXIT_DONE


def _seeds(text: str) -> range:
    first, colon, last = text.partition(":")
    try:
        begin = int(first)
        end = int(last) if colon else begin + 1
    except ValueError:
        begin, end = 0, -1
    if not 0 <= begin < end:
        raise ValueError(f"--seeds {text}: expected A:B with 0 <= A < B, or one number")
    return range(begin, end)


def _tell(report: SeedReport) -> None:
    if report.violation is not None:
        broken = report.violation
        say(f"seed {report.seed} broke {broken.invariant} of {' '.join(broken.account)}: {broken.text}")


def _show(campaign: Campaign, *, as_json: bool) -> None:
    if as_json:
        show_json(_spelled(campaign))
        return
    for report in campaign.failed:
        assert report.violation is not None
        broken = report.violation
        print(f"seed {report.seed}: {broken.invariant} of {' '.join(broken.account)} at {broken.ts_ns}: {broken.text}")
        print(f"  {campaign.replay_of(report.seed)}")
    if len(campaign.reports) == 1:
        print(f"event log: sha256 {campaign.reports[0].digest}")
    done, failed = len(campaign.reports), len(campaign.failed)
    print(
        f"{done} seeds, {failed} failed, {campaign.seconds:.1f} s: {campaign.seeds_per_hour:.0f} seeds per hour; "
        f"{sum(report.trips for report in campaign.reports)} round trips, "
        f"{sum(report.records for report in campaign.reports)} ledger events"
    )
    missing = campaign.never_reached()
    if missing and campaign.names == "all":
        print(f"never reached by these seeds: {', '.join(missing)}")


def _spelled(campaign: Campaign) -> dict[str, Any]:
    return {
        "seeds": len(campaign.reports),
        "days": campaign.size.days,
        "failed": [report.seed for report in campaign.failed],
        "violations": [
            {
                "seed": report.seed,
                "invariant": report.violation.invariant,
                "exchange": report.violation.account[0],
                "account_id": report.violation.account[1],
                "ts_ns": report.violation.ts_ns,
                "text": report.violation.text,
                "replay": campaign.replay_of(report.seed),
            }
            for report in campaign.failed
            if report.violation is not None
        ],
        "faults_seen": {
            mark.removeprefix("fault "): count
            for mark, count in sorted(campaign.marks.items())
            if mark.startswith("fault ")
        },
        "marks": {mark: count for mark, count in sorted(campaign.marks.items()) if not mark.startswith("fault ")},
        "never_reached": campaign.never_reached(),
        "round_trips": sum(report.trips for report in campaign.reports),
        "ledger_events": sum(report.records for report in campaign.reports),
        "digests": {str(report.seed): report.digest for report in campaign.reports[:20]},
        "seconds": round(campaign.seconds, 3),
        "seeds_per_hour": round(campaign.seeds_per_hour, 1),
    }


def _list(*, as_json: bool) -> int:
    rows = table_of_faults()
    if as_json:
        show_json({"faults": rows})
        return EXIT_DONE
    for row in rows:
        print(f"{row['number']:>2}  {row['name']:<20} {row['does']}")
        for why in (row["wire"], row["never"]):
            if why:
                print(f"    {'':<20} ({why})")
    return EXIT_DONE
