"""The page of time travel: choose a recorded decision, see all that made it, change something, decide again.

Invariants:
- the ledger is only read, and a decision is made again by `parity.rederive`, never by this page;
- what is decided with a change stands beside what was recorded; nothing of it is kept.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import marimo as mo
import numpy as np
import polars as pl
from pydantic import ValidationError

from novapulse.backtest.settings import BacktestSettings
from novapulse.config import load
from novapulse.core.bars import BarColumns, timeframe_text
from novapulse.core.instruments import AccountKey, InstrumentKey
from novapulse.core.records import REASON_TEXT, SIGNAL, Mode, Reason
from novapulse.engine.ticks import decoded
from novapulse.parity.kept import Kept
from novapulse.parity.rederive import Rederived, rederive
from novapulse.parity.what_if import Change, inputs_of
from novapulse.research.inputs import checked_strategies
from novapulse.ui import controls
from novapulse.ui.jobs import Reporter, Results
from novapulse.ui.marks import spoken as moments
from novapulse.ui.notebooks import layout, ledgers
from novapulse.ui.notebooks.work import Came, Work
from novapulse.ui.widgets import Candles

Html = mo.Html

SHOWN_MAX = 5_000
"""Newest decisions of an account that are listed."""

AROUND_BARS = (240, 120)
"""Bars that are drawn before and after the one that decided."""

SETTINGS = {
    "Rules of entry": ("risk.entry_forecast_min", "risk.exit_forecast_min"),
    "Size": (
        "risk.sizing.risk_fraction",
        "risk.sizing.position_notional_max",
        "risk.sizing.position_fraction_max",
        "risk.limits.gross_exposure_max_fraction",
        "risk.limits.group_exposure_max_fraction",
        "risk.limits.positions_max",
        "risk.limits.daily_loss_max_fraction",
        "risk.limits.drawdown_max_fraction",
    ),
    "Stops and costs": (
        "risk.stops.stop_atr",
        "risk.stops.target_atr",
        "execution.entry_order",
        "execution.half_spread_bps",
        "execution.slippage_bps",
    ),
}
"""Settings that can be changed, by group."""

_MODES = {"as it was": None, **{mode.name.lower().replace("_", " "): mode for mode in Mode}}


@dataclass(frozen=True)
class Scene:
    """A decision that was made again, with the bars around it.

    Attributes:
        found: The decision.
        key: Its instrument.
        bars: Around it; none where the lake has none.
    """

    found: Rederived
    key: InstrumentKey
    bars: BarColumns


_scenes = Results(16)
"""What was made again lately, as long as ledger and bars are the same."""


class Desk:
    """One session.

    Attributes:
        place: The ledger.
        problem: Why there is nothing to look at, in one sentence.
        work: Makes decisions again.
    """

    def __init__(self, place: Path) -> None:
        """Look whether there is a ledger."""
        self.place = place
        self.problem = ledgers.problem_of(place)
        self.work: Work[Scene] = Work("Making the decision again")


def open_desk() -> Desk:
    """Open the ledger at hand."""
    return Desk(ledgers.ledger_at_hand())


def account_choice(desk: Desk) -> Any:
    """Return the widget that chooses an account."""
    named = {ledgers.account_name(one): one for one in ledgers.accounts_of(desk.place)}
    return mo.ui.dropdown(named, next(iter(named)), label="Account", full_width=True, allow_select_none=False)


def verb_choice(desk: Desk) -> Any:
    """Return the widget that chooses which decisions are listed."""
    assert desk.problem is None
    kinds = {"Entries": ("ENTER",), "Exits": ("EXIT",), "All": ()}
    return mo.ui.dropdown(kinds, "All", label="Decisions", full_width=True, allow_select_none=False)


def decisions_table(desk: Desk, account: AccountKey, verbs: tuple[str, ...], asked: str | None = None) -> Any:
    """Return the table of an account's decisions, the newest first.

    Args:
        desk: The session.
        account: Whose.
        verbs: Only these; all when empty.
        asked: The decision to choose; the first one where it is not listed.
    """
    rows = decisions_of(desk.place, account, verbs)
    if not rows:
        return mo.ui.table([], selection=None, label="")
    chosen_row = next((number for number, row in enumerate(rows) if row["Decision"] == asked), 0)
    return mo.ui.table(
        pl.DataFrame(rows),
        selection="single",
        initial_selection=[chosen_row],
        page_size=6,
        show_column_summaries=False,
        show_data_types=False,
        show_download=False,
        format_mapping={"Consensus": lambda value: layout.number(value, "+.2f")},
    )


def decisions_of(place: Path, account: AccountKey, verbs: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    """Return an account's decisions as rows for people, the newest first."""
    with Kept(place) as kept:
        entries = [
            entry
            for entry in kept.records(account, kinds={"decision_taken"})
            if not verbs or entry.record.body["verb"] in verbs
        ]
    return [_row(entry.seq, entry.record.body) for entry in reversed(entries[-SHOWN_MAX:])]


def nearest(place: Path, account: AccountKey, verbs: tuple[str, ...], key: InstrumentKey, ts_ns: int) -> str | None:
    """Return the listed decision on the bar of an instrument that is nearest to a close; the later of two as near.

    Args:
        place: The ledger.
        account: Whose.
        verbs: Only these; all when empty.
        key: The instrument.
        ts_ns: The close, ns UTC.

    Returns:
        Its name; None where no listed decision was taken on a bar of the instrument.
    """
    with Kept(place) as kept:
        bodies = [entry.record.body for entry in kept.records(account, kinds={"decision_taken"})]
    listed = [body for body in bodies if not verbs or body["verb"] in verbs][-SHOWN_MAX:]
    about = [body for body in listed if body["ts_close_ns"] and InstrumentKey(*body["instrument"]) == key]
    found = min(reversed(about), key=lambda body: abs(int(body["ts_close_ns"]) - ts_ns), default=None)
    return None if found is None else str(found["decision_id"])


def travel_by_bar(
    desk: Desk, came: Came[Scene], verbs: tuple[str, ...], candles: Any, set_asked: Callable[[str], None]
) -> None:
    """Let a bar that is chosen on the chart lead to the listed decision nearest to it.

    Args:
        desk: The session.
        came: What the chart is about.
        verbs: Which decisions are listed; all when empty.
        candles: The chart, or what stands there where there is none.
        set_asked: Takes the decision to go to.
    """
    scene = came.result
    if scene is None or not isinstance(candles, Candles):
        return
    found = scene.found

    def go(ts_ns: int) -> None:
        there = nearest(desk.place, found.account, verbs, scene.key, ts_ns)
        if there is None:
            candles.show_answer([{"text": f"No listed decision is about a bar of {scene.key.symbol}."}])
        elif there == found.record.body["decision_id"]:
            candles.show_answer([{"text": f"{moments_of(ts_ns)}: this decision is the nearest one."}])
        else:
            candles.show_answer([{"text": f"{moments_of(ts_ns)}: going to the nearest decision, {there[:12]}."}])
            set_asked(there)

    candles.on_choice(go)


def _row(seq: int, body: Mapping[str, Any]) -> dict[str, Any]:
    inputs = body["inputs"]
    when = "" if not body["ts_close_ns"] else moments_of(int(body["ts_close_ns"]))
    return {
        "Bar closing": when,
        "Market": body["instrument"][1],
        "Did": {"ENTER": "enter", "EXIT": "exit", "WITHDRAW": "withdraw"}.get(body["verb"], body["verb"].lower()),
        "Side": {1: "buy", -1: "sell"}.get(body["side"], ""),
        "Because": REASON_TEXT[Reason[body["reason"]]],
        "Consensus": None if inputs is None else float(decoded(inputs["signal"], SIGNAL).consensus),
        "Entry": seq,
        "Decision": body["decision_id"],
    }


def moments_of(stamp_ns: int) -> str:
    """Return a moment as people read it."""
    return moments(np.array([stamp_ns], np.int64), 1_000_000_000)[0]


def chosen(table: Any) -> str | None:
    """Return the decision that is chosen in the table."""
    value = table.value
    ids = value["Decision"].to_list() if isinstance(value, pl.DataFrame) else []
    return ids[0] if ids else None


def start(desk: Desk, decision: str | None, set_came: Callable[[Came[Scene]], None]) -> Html:
    """Make a decision again, and return what is to be seen of that."""
    if decision is None:
        return desk.work.run(None, set_came)
    place = desk.place

    def task(reporter: Reporter) -> Scene:
        reporter.phase("looking whether it was made again before")
        with Kept(place) as kept:
            account, entry = kept.decision(decision)
            key = ledgers.same(place, ledgers.lake_of(kept.session_of(account, entry.seq)), decision)
        return _scenes.get(key, lambda: scene_of(place, decision, reporter))

    return desk.work.run(task, set_came)


def scene_of(place: Path, decision: str, reporter: Reporter) -> Scene:
    """Make a decision again.

    Raises:
        ValueError: It cannot be; the message is a sentence.
    """
    reporter.phase("reading the ledger")
    strategies = checked_strategies(load(os.environ), lambda remark: None)
    with Kept(place) as kept:
        account, entry = kept.decision(decision)
        lake = ledgers.lake_of(kept.session_of(account, entry.seq))
        found = rederive(kept, decision, lake, strategies, reporter.phase("asking the strategies again"))
    reporter.phase("reading bars")
    key, close_ns = InstrumentKey(*entry.record.body["instrument"]), int(entry.record.body["ts_close_ns"])
    width = found.configuration.timeframe_ns
    bars = lake.bars(key.exchange, key.symbol, timeframe_text(width))
    before, after = AROUND_BARS
    return Scene(found, key, bars.between(close_ns - before * width, close_ns + after * width))


def came_of(desk: Desk, came: Came[Scene]) -> Came[Scene]:
    """Return what a session looks at; there is nothing to look at on a desk without a ledger."""
    assert desk.problem is None
    return came


def what_if_form(came: Came[Scene]) -> Any:
    """Return the widgets of what can be changed, as it was."""
    scene = came.result
    inputs = None if scene is None else inputs_of(scene.found)
    if scene is None or inputs is None:
        return mo.ui.dictionary({})
    decides = scene.found.configuration.decides
    consensus = round(float(inputs.signal.consensus), 2)
    return mo.ui.dictionary(
        {
            "consensus": mo.ui.slider(-20, 20, 0.01, consensus, label="Consensus", show_value=True, full_width=True),
            "close": mo.ui.slider(-5, 5, 0.05, 0.0, label="Close of the bar, % off", show_value=True, full_width=True),
            "atr": mo.ui.slider(-80, 300, 5, 0, label="Average range, % off", show_value=True, full_width=True),
            "equity": mo.ui.slider(-60, 100, 1, 0, label="Equity, % gained or lost", show_value=True, full_width=True),
            "mode": mo.ui.dropdown(_MODES, "as it was", label="Mode", full_width=True, allow_select_none=False),
            **{
                key: controls.widget(controls.CONTROLS[key], controls.value_at(decides, key))
                for keys in SETTINGS.values()
                for key in keys
            },
        }
    )


def change_of(came: Came[Scene], values: Mapping[str, Any]) -> tuple[Change | None, list[str]]:
    """Return what the form changes, or what is wrong with it; a form that nobody touched changes nothing."""
    scene = came.result
    inputs = None if scene is None else inputs_of(scene.found)
    if scene is None or inputs is None or not values:
        return None, []
    decides = scene.found.configuration.decides
    tree, asked = decides.model_dump(), [controls.CONTROLS[key] for keys in SETTINGS.values() for key in keys]
    problems = list(controls.put(tree, values, decides, asked))
    if problems:
        return None, problems
    try:
        settings = BacktestSettings.model_validate(tree)
    except ValidationError as wrong:
        return None, controls.complaints(wrong)

    def off(name: str, was: float) -> float | None:
        return was * (1.0 + values[name] / 100.0) if values[name] else None

    consensus = float(inputs.signal.consensus)
    return (
        Change(
            consensus=None if values["consensus"] == round(consensus, 2) else float(values["consensus"]),
            close=off("close", float(inputs.bar.close)),
            atr=off("atr", float(inputs.signal.atr)),
            equity=off("equity", float(inputs.account.equity)),
            mode=values["mode"],
            settings=None if settings == decides else settings,
        ),
        [],
    )


def reset_button(count: int, set_count: Callable[[int], None]) -> Any:
    """Return the button that puts everything back to what was recorded."""
    return mo.ui.button(on_click=lambda _: set_count(count + 1), label="As it was", full_width=True)


def settings_panel(desk: Desk, account: Any, verb: Any, form: Any, reset: Any, wrong: list[str]) -> Html:
    """Return the column of choices and changes."""
    assert desk.problem is None
    groups = [layout.group("Ledger", [account, verb])]
    if form.value:
        names = ("consensus", "close", "atr", "equity", "mode")
        groups.append(layout.group("What if", [form[name] for name in names]))
        groups += [
            layout.group(name, [form[key] for key in keys], is_open=name == "Size") for name, keys in SETTINGS.items()
        ]
        groups.append(f'<div class="np-field">{layout.html(reset)}</div>')
    return layout.side(*groups, wrong=wrong)
