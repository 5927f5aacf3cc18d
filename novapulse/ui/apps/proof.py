"""The ledger's proof, made when somebody asks for it: every entry, chain, legs and balances, beside the page."""

import time
from pathlib import Path
from typing import Any

import marimo as mo

from novapulse.ledger.audit import Audit, audit
from novapulse.monitor import Overview
from novapulse.monitor.home import LEDGER_FILE
from novapulse.ui.apps.frame import Page, html
from novapulse.ui.jobs import Job, Reporter, words_of
from novapulse.ui.session import scope
from novapulse.ui.widgets import Press, Tiles


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
        self._stop = scope().own(Press(self._leave))
        page.on_reading(self._tell)

    def shown(self) -> str:
        """Return it as a part of a page."""
        inside = "".join(map(html, (self._button, self._stop, self._tiles)))
        return f'<section class="np-card np-proof"><h2>Proof</h2>{inside}</section>'

    def _ask(self) -> None:
        if self._job is None or self._job.is_over:
            home = self._home
            self._job = Job(lambda told: _proven(home, told))
            self._show_progress(self._job)

    def _leave(self) -> None:
        if self._job is not None:
            self._job.cancel()

    def _show_progress(self, job: Job[tuple[Audit, float]]) -> None:
        self._stop.show("" if job.is_leaving else "Stop proving")
        self._tiles.show_state({"tiles": [{"label": "proof", "value": "working", "note": words_of(job.progress)}]})

    def _tell(self, _: Overview) -> None:
        job = self._job
        if job is None or job.is_over:
            self._stop.show("")
        if job is None:
            self._tiles.show_state({"tiles": [{"label": "proof", "value": "not asked", "note": "nothing is assumed"}]})
        elif job.is_over:
            self._tiles.show_state({"tiles": proof_tiles(job.result, job.problem)})
        else:
            self._show_progress(job)


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
    began_s = time.monotonic()
    # What is proven is the ledger as it lies there now: no proof of before stands for it.
    found = audit(home / LEDGER_FILE, told=told.phase("reading every entry"))
    return found, time.monotonic() - began_s
