"""Decisions of one account: what was done and why, why nothing was done, and one of them explained to the last byte."""

from typing import Any

import marimo as mo

from novapulse.confluence.steps import FACTOR_DIGITS, FORECAST_DIGITS
from novapulse.core.ports import JournalError
from novapulse.monitor import AccountState, Overview, UnknownAccountError
from novapulse.monitor.history import holds
from novapulse.parity.rederive import Rederived
from novapulse.ui.apps import explained
from novapulse.ui.apps.frame import Page, columns, stack
from novapulse.ui.apps.orders import when_changed
from novapulse.ui.apps.tables import Columns, decisions_of, moment
from novapulse.ui.jobs import Job, words_of
from novapulse.ui.session import scope
from novapulse.ui.widgets import Meters, Press, Rows, Tiles

_NOW: Columns = (
    {"key": "symbol", "label": "instrument"},
    {"key": "state", "label": "state", "kind": "side"},
    {"key": "consensus", "label": "consensus", "kind": "signed", "digits": 1},
    {"key": "confidence", "label": "confidence", "kind": "percent", "digits": 0},
    {"key": "lead", "label": "led by", "kind": "status"},
    {"key": "regime", "label": "regime"},
    {"key": "votes_ns", "label": "voted at", "kind": "time"},
    {"key": "why_not_bars", "label": "idle bars", "kind": "figure", "digits": 0},
    {"key": "why_not", "label": "why nothing is done now", "wide": True},
)
_HOLDS: Columns = (
    {"key": "first_ns", "label": "from", "kind": "time"},
    {"key": "last_ns", "label": "to", "kind": "time"},
    {"key": "symbol", "label": "instrument"},
    {"key": "bars", "label": "bars", "kind": "figure", "digits": 0},
    {"key": "why", "label": "why nothing was done", "wide": True},
)
_WEIGHTS: Columns = (
    {"key": "key", "label": "strategy", "kind": "status"},
    {"key": "forecast", "label": "forecast", "kind": "signed", "digits": FORECAST_DIGITS},
    {"key": "weight", "label": "weight", "kind": "figure", "digits": FACTOR_DIGITS},
    {"key": "regime", "label": "regime tilt", "kind": "figure", "digits": 2},
    {"key": "share", "label": "share of the weight", "kind": "figure", "digits": FACTOR_DIGITS},
    {"key": "adds", "label": "adds", "kind": "signed", "digits": FORECAST_DIGITS},
)
_VOTES: Columns = (
    {"key": "strategy", "label": "strategy", "kind": "status"},
    {"key": "timeframe", "label": "on"},
    {"key": "said", "label": "said", "kind": "signed", "digits": FORECAST_DIGITS},
    {"key": "confidence", "label": "confidence", "kind": "figure", "digits": FORECAST_DIGITS},
    {"key": "scalar", "label": "scalar", "kind": "figure", "digits": FORECAST_DIGITS},
    {"key": "scaled", "label": "scaled", "kind": "signed", "digits": FORECAST_DIGITS},
    {"key": "share", "label": "share", "kind": "figure", "digits": FACTOR_DIGITS},
    {"key": "adds", "label": "adds", "kind": "signed", "digits": FORECAST_DIGITS},
)
_STEPS: Columns = (
    {"key": "name", "label": "step"},
    {"key": "figure", "label": "figure"},
    {"key": "how", "label": "how", "wide": True},
)
_CHECKS: Columns = (
    {"key": "key", "label": "check"},
    {"key": "same", "label": "made again"},
    {"key": "how", "label": "how", "wide": True},
)
_FOLLOWED: Columns = (
    {"key": "ts_ns", "label": "when", "kind": "time"},
    {"key": "what", "label": "what followed", "wide": True},
)


def page() -> mo.Html:
    """Return the page."""
    shown = Page("decisions")
    if shown.problem or shown.account is None:
        return shown.shown()
    own = shown.own
    now, done = own(Rows(label="Now")), own(Rows(label="Decisions", height=460))
    runs = own(Rows(label="Bars on which nothing was done", height=460))
    shown.on_account(lambda one: now.show_state(now_of(one, shown)))
    shown.on_account(lambda one: done.show_state(decisions_of(one, shown)))
    shown.on_account(when_changed(lambda one: runs.show_state(holds_of(one, shown)), runs.word))
    asked = shown.asked("decision")
    above = [Explanation(shown, shown.account, asked).shown()] if asked else []
    return shown.shown(shown.switch(), *above, stack([now, done, runs]))


def now_of(account: AccountState, page: Page) -> dict[str, Any]:
    """Return what was voted last of each instrument, and why nothing is done about it."""
    rows = [
        {**one.json(), "key": one.symbol, "href": page.link("desk", account, symbol=one.symbol)}
        for one in account.votes
    ]
    return {"columns": _NOW, "rows": rows, "none": "The account trades nothing."}


def holds_of(account: AccountState, page: Page) -> dict[str, Any]:
    """Return the stretches of bars that are over and on which nothing was done; or why they cannot be read."""
    try:
        found = holds(page.home, account.key)
    except (JournalError, UnknownAccountError) as wrong:
        return {"columns": _HOLDS, "rows": [], "none": str(wrong)}
    rows = [
        {
            **one.json(),
            "key": f"{one.symbol} {one.first_ns}",
            "href": page.behind("stretch", account, from_ns=one.first_ns, until_ns=one.last_ns),
        }
        for one in found
    ]
    return {"columns": _HOLDS, "rows": rows, "none": "Something was decided on every bar."}


class Explanation:
    """One decision, made again beside the page; the widgets tell how far that is, then what came of it."""

    def __init__(self, page: Page, account: AccountState, decision_id: str) -> None:
        """Begin.

        Args:
            page: Which shows it.
            account: Whose decision it is.
            decision_id: Its name.
        """
        own = scope().own
        self._page = page
        self._wanted = explained.explanation(page.home, account.key, decision_id, page.who.config)
        self._job: Job[Rederived] = self._wanted.job
        # It stops the work on this page, and no order: it is gone as soon as there is nothing to stop.
        self._stop = own(Press(self._wanted.cancel))
        self._is_told = False
        # What was decided once does not grow old.
        self._tiles = own(Tiles(label=f"Decision {decision_id[:12]}", stale_s=0))
        self._limits = own(Meters(label="Limits as it saw them", stale_s=0))
        self._boards = {
            "weights": own(Rows(label="Votes", stale_s=0)),
            "steps": own(Rows(label="From votes to consensus", stale_s=0)),
            "votes": own(Rows(label="Each vote, by timeframe", height=300, stale_s=0)),
            "sizes": own(Rows(label="Sizes", stale_s=0)),
            "checks": own(Rows(label="Proof", stale_s=0)),
            "followed": own(Rows(label="What followed", height=300, stale_s=0)),
        }
        page.on_reading(self._tell)

    def shown(self) -> str:
        """Return it as a part of a page."""
        one = self._boards
        return stack(
            [
                self._tiles,
                self._stop,
                columns(
                    stack([one["weights"], one["steps"], one["votes"]]),
                    stack([one["sizes"], self._limits, one["checks"], one["followed"]]),
                ),
            ]
        )

    def _tell(self, _: Overview) -> None:
        if self._is_told:
            return
        self._stop.show("" if self._job.is_over or self._wanted.is_left else "Stop explaining")
        if self._wanted.is_left:
            self._is_told = True
            self._refuse("it was cancelled")
            return
        if not self._job.is_over:
            words = words_of(self._job.progress)
            self._tiles.show_state({"tiles": [{"label": "working", "value": "a moment", "note": words}]})
            for board in self._boards.values():
                board.show_state({"columns": [], "rows": [], "none": words})
            return
        self._is_told = True
        found = self._job.result
        if found is None:
            self._refuse(self._job.problem or "it was cancelled")
        else:
            self._show(found)

    def _refuse(self, why: str) -> None:
        tile = {"label": "decision", "value": "cannot be explained", "note": why, "level": "over"}
        self._tiles.show_state({"tiles": [tile]})
        for board in self._boards.values():
            board.show_state({"columns": [], "rows": [], "none": why})

    def _show(self, found: Rederived) -> None:
        entry = self._page.entry(found.seq)
        tiles = [{**tile, "href": entry} for tile in explained.verdict_tiles(found)]
        about = f"bar {moment(found.record.body['ts_close_ns'])} UTC"
        tiles.append({"label": "entry", "value": str(found.seq), "plain": True, "note": about, "href": entry})
        self._tiles.show_state({"tiles": tiles})
        self._limits.show_state({"meters": [{**one, "href": entry} for one in explained.limit_meters(found)]})
        none = "No bar decided this, so nothing was voted."
        if found.votes is not None:
            none = "Nothing was voted: not every timeframe was warm."
        for name, named, rows, without in (
            ("weights", _WEIGHTS, explained.weight_rows_of(found), none),
            ("steps", _STEPS, explained.step_rows(found), none),
            ("votes", _VOTES, explained.vote_rows_of(found), none),
            ("sizes", _sizes_in(explained.base_of(found)), explained.size_rows(found), "No size was worked out."),
        ):
            self._put(name, named, [{**row, "href": entry} for row in rows], without)
        self._put("checks", _CHECKS, explained.check_rows(found), "Nothing was made again.")
        followed = [{**row, "href": self._page.entry(row["seq"])} for row in explained.followed_rows(found)]
        self._put("followed", _FOLLOWED, followed, "Nothing is recorded.")

    def _put(self, name: str, named: Columns, rows: list[dict[str, Any]], none: str) -> None:
        self._boards[name].show_state({"columns": named, "rows": rows, "none": none})


def _sizes_in(base: str) -> Columns:
    return (
        {"key": "cap", "label": "allowed by", "wide": True},
        {"key": "size", "label": f"size, {base}", "kind": "figure", "digits": 8},
        {"key": "binds", "label": " "},
    )
