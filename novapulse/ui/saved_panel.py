"""Saved runs on a page: keep this one, choose others to compare with, delete those."""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import marimo as mo
from pydantic import ValidationError

from novapulse.backtest import BacktestSettings
from novapulse.research.saved_runs import SavedRun, SavedRunError, delete, listed, run_of, runs_folder, save
from novapulse.ui import panels
from novapulse.ui.backtest_page import View
from novapulse.ui.controls import complaints

Html = mo.Html


@dataclass(frozen=True)
class Shelf:
    """What happened to the saved runs last.

    Attributes:
        changes: How often something did.
        word: What, in a sentence.
        is_wrong: Whether that is a complaint.
        chosen: Files of the runs that are compared with.
    """

    changes: int = 0
    word: str = ""
    is_wrong: bool = False
    chosen: tuple[str, ...] = ()


@dataclass(frozen=True)
class OnDisk:
    """The saved runs there are, and what is wrong with files that hold none."""

    runs: tuple[SavedRun, ...]
    complaints: tuple[str, ...]


def on_disk(shelf: Shelf) -> OnDisk:
    """Read the saved runs; to be asked again whenever the shelf changed."""
    runs, complaints = listed(runs_folder(os.environ))
    told = (shelf.word,) if shelf.is_wrong else ()
    return OnDisk(tuple(runs), (*told, *complaints))


def name_input(view: View) -> Any:
    """Return the widget for the name of this run, with a name to begin with."""
    proposed = ""
    if view.outcome is not None:
        request = view.outcome.request
        symbols = " ".join(request.symbols[:2])
        more = " and more" if len(request.symbols) > 2 else ""
        proposed = f"{symbols}{more} {request.timeframe} {request.settings.hash[:6]}"
    return mo.ui.text(proposed, label="Name", full_width=True)


def run_choice(there: OnDisk, shelf: Shelf) -> Any:
    """Return the widget that chooses saved runs to compare with."""
    options = {f"{run.name}, {run.saved_at[:16].replace('T', ' ')}": run for run in there.runs}
    chosen = [label for label, run in options.items() if run.file in shelf.chosen]
    return mo.ui.multiselect(options, chosen, label="Compare with", full_width=True)


def save_button(
    view: View, name: str, chosen: Sequence[SavedRun], shelf: Shelf, set_shelf: Callable[[Shelf], None]
) -> Any:
    """Return the button that keeps the run that is looked at."""

    def keep(_: Any) -> None:
        if view.outcome is None:
            return
        outcome, files = view.outcome, tuple(run.file for run in chosen)
        try:
            run = run_of(name, time.time_ns(), outcome.result, outcome.markets, outcome.analysis.as_data()["summary"])
            kept = save(runs_folder(os.environ), run)
        except SavedRunError as wrong:
            set_shelf(Shelf(shelf.changes + 1, str(wrong), True, files))
        else:
            set_shelf(Shelf(shelf.changes + 1, f"saved as {kept.name}", False, files))

    return mo.ui.button(on_click=keep, label="Save this run", kind="success", disabled=view.outcome is None)


def load_button(
    chosen: Sequence[SavedRun], shelf: Shelf, set_shelf: Callable[[Shelf], None], set_loaded: Callable[[Any], None]
) -> Any:
    """Return the button that takes the settings of the one chosen run into the form; bars stay as they are chosen."""

    def load(_: Any) -> None:
        (run,) = chosen
        try:
            settings = BacktestSettings.model_validate(run.settings)
        except ValidationError as wrong:
            told = "; ".join(complaints(wrong))
            set_shelf(Shelf(shelf.changes + 1, f"{run.name} was saved with other settings: {told}", True, (run.file,)))
        else:
            set_shelf(Shelf(shelf.changes + 1, f"the settings are those of {run.name}", False, (run.file,)))
            set_loaded(settings)

    return mo.ui.button(on_click=load, label="Load its settings", disabled=len(chosen) != 1)


def delete_button(chosen: Sequence[SavedRun], shelf: Shelf, set_shelf: Callable[[Shelf], None]) -> Any:
    """Return the button that deletes the runs that are compared with."""

    def remove(_: Any) -> None:
        try:
            for run in chosen:
                delete(runs_folder(os.environ), run.file)
        except SavedRunError as wrong:
            set_shelf(Shelf(shelf.changes + 1, str(wrong), True))
        else:
            set_shelf(Shelf(shelf.changes + 1, f"deleted {len(chosen)}"))

    return mo.ui.button(on_click=remove, label="Delete the chosen", kind="danger", disabled=not chosen)


def panel(view: View, shelf: Shelf, there: OnDisk, name: Any, choice: Any, keep: Any, load: Any, remove: Any) -> Html:
    """Return the section of saved runs."""
    inputs = "".join(f"<div>{mo.as_html(part).text}</div>" for part in (name, keep, choice, _beside(load, remove)))
    told = panels.remarks([shelf.word] if shelf.word and not shelf.is_wrong else [], "np-quiet")
    told += panels.remarks(there.complaints, "np-wrong")
    table = panels.comparison(view.outcome.analysis.as_data(), choice.value) if view.outcome else ""
    empty = (
        "" if there.runs else '<p class="np-small">No run was saved yet. Save this one, change a setting, compare.</p>'
    )
    return Html(f'<section class="np-card"><div class="np-saved">{inputs}</div>{told}{empty}{table}</section>')


def _beside(*parts: Any) -> Any:
    return mo.hstack(parts, justify="start", gap=0.5)
