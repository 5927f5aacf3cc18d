"""The ledger's proof, made when somebody asks for it: every entry, chain, legs and balances, beside the page."""

import time
from pathlib import Path
from typing import Any

import marimo as mo

from novapulse.ledger.audit import Audit, audit
from novapulse.monitor import Overview
from novapulse.monitor.home import LEDGER_FILE
from novapulse.ui.apps.frame import Page, html
from novapulse.ui.jobs import Job, Reporter
from novapulse.ui.session import scope
from novapulse.ui.widgets import Tiles


class Proof:
    """A button that proves the ledger, and what came of it."""

    def __init__(self, page: Page) -> None:
        """Begin without a proof.

        Args:
            page: Which shows it.
        """
        self._home = page.home
        self._job: Job[tuple[Audit, float]] | None = None
        self._tiles = scope().own(Tiles(stale_s=0))
        self._button = mo.ui.button(label="Prove every entry now", on_click=lambda _: self._ask())
        page.on_reading(self._tell)

    def shown(self) -> str:
        """Return it as a part of a page."""
        return f'<section class="np-card np-proof"><h2>Proof</h2>{html(self._button)}{html(self._tiles)}</section>'

    def _ask(self) -> None:
        if self._job is None or self._job.is_over:
            home = self._home
            self._job = Job(lambda told: _proven(home, told))
            self._tiles.show_state({"tiles": [{"label": "proof", "value": "working", "note": "reading every entry"}]})

    def _tell(self, _: Overview) -> None:
        job = self._job
        if job is None:
            self._tiles.show_state({"tiles": [{"label": "proof", "value": "not asked", "note": "nothing is assumed"}]})
        elif job.is_over:
            self._tiles.show_state({"tiles": proof_tiles(job.result, job.problem)})


def proof_tiles(result: tuple[Audit, float] | None, problem: str | None) -> list[dict[str, Any]]:
    """Return what came of a proof in figures."""
    if result is None:
        return [{"label": "proof", "value": "not made", "note": problem or "it was cancelled", "level": "unknown"}]
    found, seconds = result
    bad = found.first_bad
    wrong = "" if bad is None else f"entry {bad.seq}, {bad.where}: {bad.what}"
    return [
        {
            "label": "proof",
            "value": "every entry holds" if found.ok else "NOT as it was written",
            "note": wrong or f"up to entry {found.head_seq}, in {seconds:.1f} s",
            "level": "ok" if found.ok else "over",
        },
        {"label": "entries proven", "value": str(found.entries), "digits": 0},
        {
            "label": "head",
            "value": found.head_hash[:12],
            "plain": True,
            "note": "write it down to find a cut at the end",
        },
    ]


def _proven(home: Path, told: Reporter) -> tuple[Audit, float]:
    told.phase("reading every entry")
    began_s = time.monotonic()
    return audit(home / LEDGER_FILE), time.monotonic() - began_s
