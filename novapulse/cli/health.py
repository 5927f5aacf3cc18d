"""`novapulse health`: how every account is, from what the trader wrote last."""

import argparse
import os
import time
from typing import Any

from novapulse.cli.console import EXIT_DONE, EXIT_FAILED, error, show_json
from novapulse.cli.render import table
from novapulse.config import home_folder
from novapulse.ops.health import FILE, Verdict, age_text, read


def health(options: argparse.Namespace) -> int:
    """List every account; the exit code says whether all of them are healthy."""
    verdict = read(home_folder(os.environ) / FILE, time.time_ns())
    if options.json:
        show_json(verdict.json())
    else:
        _show(verdict)
    return EXIT_DONE if verdict.healthy else EXIT_FAILED


def _show(verdict: Verdict) -> None:
    document = verdict.document
    if document:
        ledger = document.get("ledger", {})
        beat, age_s = document.get("heartbeat", "?"), verdict.age_s or 0.0
        said = "stopped" if verdict.stopped else "last sign of life"
        place = f"ledger {ledger.get('id', '?')} in {ledger.get('place', '?')}"
        print(f"{place}, {said} {age_text(age_s)} ago, at {beat}")
        rows = [_row(account, verdict) for account in verdict.accounts]
        head = ("exchange", "account", "state", "mode", "last bar", "positions", "orders", "UNKNOWN", "equity")
        print("\n".join(table(head, rows)))
        for account in verdict.accounts:
            for reason in (*account.get("reasons", ()), *account.get("notes", ())):
                print(f"{account['account_id']} on {account['exchange']}: {reason}")
            for alert in account.get("more", {}).get("alerts", ()):
                seen = f", seen by {alert['acknowledged_by']}" if alert["acknowledged_by"] else ""
                whose = f"{account['account_id']} on {account['exchange']}"
                print(f"{whose}: alert {alert['key']} ({alert['severity']}{seen}): {alert['text']}")
    for reason in verdict.reasons:
        error(reason)


def _row(account: dict[str, Any], verdict: Verdict) -> tuple[str, ...]:
    age, since_s = account.get("last_bar_age_s"), verdict.age_s or 0.0
    state = "stopped" if verdict.stopped else "not heard of"
    if verdict.alive:
        state = "healthy" if account["healthy"] else "NOT HEALTHY"
    return (
        account["exchange"],
        account["account_id"],
        state,
        str(account.get("mode", "?")).replace("_", " "),
        f"{age_text(age + since_s)} ago" if isinstance(age, int | float) else "none",
        *(str(account.get(name, "?")) for name in ("positions", "open_orders", "unknown_orders")),
        str(account.get("equity") or "?"),
    )
