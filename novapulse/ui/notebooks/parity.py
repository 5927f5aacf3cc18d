"""The parity page: a recorded session against its replay and against its own backtest, and why they differ.

Invariants:
- the ledger is only read; what is run again is run by `novapulse.parity`, never by this page;
- every difference has one cause, and one that only follows from an earlier difference says so.
"""

import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import marimo as mo
import numpy as np

from novapulse.backtest import Result
from novapulse.config import load
from novapulse.core.bars import Floats, Integers, format_ns, timeframe_text
from novapulse.monitor.entries import KIND_TEXT
from novapulse.parity.causes import Cause, Explained, ExplainedRecord
from novapulse.parity.kept import Kept, Session
from novapulse.parity.ladder import (
    Rung,
    fold_rung,
    kernel_of,
    replay_rung,
    session_kernel_rung,
    session_rung,
    stretch_of_session,
)
from novapulse.parity.memory import MemoryJournal
from novapulse.parity.playing import Script, play
from novapulse.parity.sessions import SessionRun, replay_session
from novapulse.parity.words import FIELD_TEXT
from novapulse.research.inputs import checked_strategies
from novapulse.ui import charts, panels, theme
from novapulse.ui.jobs import Reporter, Results
from novapulse.ui.markup import escape
from novapulse.ui.notebooks import layout, ledgers
from novapulse.ui.notebooks.replay import moments_of
from novapulse.ui.notebooks.work import Came, Work

Html = mo.Html

DIFFERENCES_SHOWN = 200

CAUSES = {
    Cause.DATA: "the bars were not the same",
    Cause.PRICE: "the same fill at another price",
    Cause.FILL: "filled at another time, in another quantity, or not at all",
    Cause.FEE: "the same fill at another fee",
    Cause.DELAY: "a bar or an answer came late",
    Cause.GATE: "an entry was blocked by what only the running trader knows",
    Cause.LIMITS: "it was decided under limits that an operator had changed",
    Cause.RESTART: "the trader was started anew",
    Cause.UNKNOWN: "what it is about is not known",
}


@dataclass(frozen=True)
class Compared:
    """A session that was compared.

    Attributes:
        run: The session and its replay.
        rungs: Of the ladder, in order.
        backtest: Its own backtest.
        replay_ns: Close of each tick of the replay.
        replay_equity: Equity there.
    """

    run: SessionRun
    rungs: tuple[Rung, ...]
    backtest: Result
    replay_ns: Integers
    replay_equity: Floats


_compared = Results(4)
"""What was compared lately, as long as ledger and bars are the same."""


class Desk:
    """One session of the page.

    Attributes:
        place: The ledger.
        problem: Why there is nothing to look at, in one sentence.
        work: Runs sessions again.
    """

    def __init__(self, place: Path) -> None:
        """Look whether there is a ledger."""
        self.place = place
        self.problem = ledgers.problem_of(place)
        self.work: Work[Compared] = Work("Running the session again")


def open_desk() -> Desk:
    """Open the ledger at hand."""
    return Desk(ledgers.ledger_at_hand())


def session_choice(desk: Desk) -> Any:
    """Return the widget that chooses a session, the newest first."""
    with Kept(desk.place) as kept:
        sessions = kept.sessions()
    named = {
        f"{one.first_seq}: {ledgers.account_name(one.account)}, {moments_of(one.started_ns)}": one
        for one in reversed(sessions)
    }
    return mo.ui.dropdown(named, next(iter(named)), label="Session", full_width=True, allow_select_none=False)


def compare_button(desk: Desk) -> Any:
    """Return the button that begins the comparison."""
    assert desk.problem is None
    return mo.ui.run_button(label="Run it again and compare", kind="success", full_width=True)


def start(desk: Desk, is_asked: bool, session: Session, set_came: Callable[[Came[Compared]], None]) -> Html:
    """Run a session again and compare, and return what is to be seen of that."""
    if not is_asked:
        set_came(Came())
        return desk.work.run(None, set_came)
    place = desk.place

    def task(reporter: Reporter) -> Compared:
        reporter.phase("looking whether it was compared before")
        key = ledgers.same(place, ledgers.lake_of(session), session.account, session.first_seq)
        return _compared.get(key, lambda: compared(place, session, reporter))

    return desk.work.run(task, set_came)


def compared(place: Path, session: Session, reporter: Reporter) -> Compared:
    """Run a session again, and its own backtest, and compare.

    Raises:
        CancelledError: The job was cancelled.
        ValueError: It cannot be run again; the message is a sentence.
    """
    reporter.phase("asking the strategies about every bar again")
    strategies = checked_strategies(load(os.environ), lambda remark: None)
    with Kept(place) as kept:
        lake = ledgers.lake_of(session)
        found = replay_session(kept, session, lake, strategies, reporter.phase("replaying the session"))
    stretch = stretch_of_session(found)
    reporter.phase("backtesting the same bars")
    kernel = kernel_of(stretch)
    reporter.phase("every bar a second time, in plain Python")
    rungs = [fold_rung(stretch, kernel)]
    told = reporter.phase("the whole engine over the same bars")
    played = play(stretch.key, stretch.configuration, stretch.ticks, MemoryJournal(), Script(), told)
    rungs += [replay_rung(stretch, kernel, played), session_rung(found), session_kernel_rung(found, stretch, kernel)]
    numbered = tuple(replace(rung, number=place + 1) for place, rung in enumerate(rungs))
    return Compared(found, numbered, kernel, stretch.ticks.ts_close_ns, np.asarray(played.equity))


def cannot_open(desk: Desk) -> Html:
    """Return the page of a desk with nothing to look at."""
    return Html(panels.head("Parity", []) + panels.remarks([desk.problem or ""], "np-wrong"))


def header(desk: Desk, session: Session, came: Came[Compared]) -> Html:
    """Return the top of the page."""
    assert desk.problem is None
    chips = [(ledgers.account_name(session.account), ""), (f"session {session.first_seq}", "")]
    if came.result is not None:
        chips.append(verdict(came.result.rungs))
    return Html(panels.head("Parity", chips) + panels.remarks([came.problem] if came.problem else [], "np-wrong"))


def verdict(rungs: Sequence[Rung]) -> tuple[str, str]:
    """Return what all rungs together say, and how it looks: which of them are the same in their deeds alone is said."""
    if all(rung.holds for rung in rungs):
        return "live = backtest, to the bit", "np-real"
    if not all(rung.holds or rung.is_same_in_deed for rung in rungs):
        return "they differ", "np-warn"
    alone = ", ".join(str(rung.number) for rung in rungs if not rung.holds)
    return f"live = backtest in every deed; {alone} not to the bit in what was noticed when", "np-real"


def settings_panel(session: Any, button: Any) -> Html:
    """Return the column of choices."""
    note = "Settings, starts, commands and late bars come from the ledger, bars from the lake, and nothing else."
    return layout.side(layout.group("Session", [session, button], note=note), name="Choose")


def figures(session: Session, came: Came[Compared]) -> Html:
    """Return what the session is, and what was compared, as tiles."""
    shown = [
        ("Started", *_day_and_time(session.started_ns), ""),
        ("Last bar decided", *_day_and_time(session.until_ns), ""),
    ]
    if came.result is not None:
        found, last = came.result.run.compared, came.result.rungs[-1]
        trips = last.counts["round trips"]
        same = "to the bit" if last.holds else "in deed" if last.is_same_in_deed else "and the rest differs"
        shown += [
            ("Records", f"{found.session:,}", f"{found.moments_equal:,} of them at the same nanosecond", ""),
            ("Round trips", f"{trips[0]:,} of {trips[1]:,}", f"the same as in its backtest, {same}", ""),
        ]
    return layout.tiles(shown)


def _day_and_time(stamp_ns: int) -> tuple[str, str]:
    day, _, time = moments_of(stamp_ns).partition(" ") if stamp_ns else ("none", "", "")
    return day, time


def ladder(came: Came[Compared]) -> Html:
    """Return the rungs with their verdicts."""
    if came.result is None:
        told = "Choose a session and run it again: what it did stands beside its replay and its own backtest."
        return layout.card("The ladder", panels.remarks([told], "np-quiet"))
    return layout.card("The ladder", f'<div class="np-checks">{"".join(map(_rung, came.result.rungs))}</div>')


def _rung(rung: Rung) -> str:
    words = {True: ("gain", "✓ to the bit"), False: ("loss", "✗ differs"), None: ("", "? not run")}
    tone, verdict = words[rung.holds]
    if rung.holds is False and rung.is_same_in_deed:
        tone, verdict = "", "≈ differs in what was noticed when"
    counts = ", ".join(f"{equal:,} of {whole:,}: {_counted(what)}" for what, (equal, whole) in rung.counts.items())
    return (
        f'<div class="np-check"><span class="np-chip {tone}">{verdict}</span><div>'
        f"<b>{rung.number}. {escape(rung.name)}</b> <span>{escape(rung.text)}. {escape(counts)}</span></div></div>"
    )


def _counted(what: str) -> str:
    return KIND_TEXT.get(what, what.replace("_", " "))


def equity(came: Came[Compared], mode: theme.Mode) -> Any:
    """Return the equity of the backtest and of the replay of the engine."""
    theme.set_mode(mode)
    if came.result is None:
        return Html("")
    backtest = came.result.backtest
    engine = {"the whole engine": (came.result.replay_ns, came.result.replay_equity)}
    chart = charts.equity_and_drawdown(
        backtest.equity_ts_ns, backtest.equity, backtest.settings.capital, compare=engine, height=300
    )
    note = f"in {backtest.instruments[0].quote}; where they are the same there is one line"
    return panels.card("Equity of the backtest and of the engine", chart, note)


def differences(came: Came[Compared]) -> Html:
    """Return what differs, by cause and one by one."""
    if came.result is None:
        return Html("")
    told = [(rung, one) for rung in came.result.rungs for one in rung.differences]
    if not told:
        return layout.card("Differences", panels.remarks(["There is none: nothing had to be explained."]))
    rows = [_difference(rung, one) for rung, one in told[:DIFFERENCES_SHOWN]]
    more = len(told) - len(rows)
    header_ = ("When", "Rung", "Market", "What", "Cause", "Why")
    return layout.stack(
        layout.card("By cause", _causes([one for _, one in told])),
        layout.card(
            "Differences",
            f'<div class="np-tall-table">{layout.told(panels.table(header_, rows))}</div>',
            note=f"and {more:,} more" if more > 0 else "in time order, by rung",
        ),
    )


def _causes(told: Sequence[Explained | ExplainedRecord]) -> str:
    own = Counter(one.cause for one in told if not one.follows)
    following = Counter(one.cause for one in told if one.follows)
    most = max((own + following).values())
    lines = []
    for cause, count in (own + following).most_common():
        width = 100.0 * count / most
        follow = f", {following[cause]:,} of them only follow" if following[cause] else ""
        lines.append(
            f'<div class="np-cause"><b>{escape(cause.value)}</b><span class="np-track"><i class="loss" '
            f'style="left:0;width:{width:.1f}%"></i></span><span>{count:,}</span>'
            f"<small>{escape(CAUSES[cause])}{follow}</small></div>"
        )
    return "".join(lines)


def _difference(rung: Rung, one: Explained | ExplainedRecord) -> list[str]:
    cause = f"{one.cause.value}, follows" if one.follows else one.cause.value
    if isinstance(one, ExplainedRecord):
        symbol = one.instrument.symbol if one.instrument else "-"
        return [format_ns(one.ts_ns), str(rung.number), symbol, _counted(one.kind), cause, one.why]
    trip = one.difference.one
    what = f"round trip {trip.number}, {FIELD_TEXT[one.difference.field]}"
    return [format_ns(trip.entry_ns), str(rung.number), trip.instrument.symbol, what, cause, one.why]


def came_of(desk: Desk, came: Came[Compared]) -> Came[Compared]:
    """Return what came of a comparison; there is nothing to look at on a desk without a ledger."""
    assert desk.problem is None
    return came


def described(came: Came[Compared]) -> Html:
    """Return what the session ran with."""
    if came.result is None:
        return Html("")
    facts, script, ticks = came.result.run.heard.facts, came.result.run.script, came.result.run.heard.ticks
    return layout.card(
        "What was run again",
        layout.pairs(
            {
                "Markets": ", ".join(one.symbol for one in facts.instruments),
                "Bars": f"{int(ticks.present.sum()):,} of {timeframe_text(facts.timeframe_ns)}",
                "Settings": facts.decides.hash,
                "Starts": str(1 + len(script.starts_ns)),
                "Commands": str(len(script.commands)),
                "Late bars": str(len(script.late)),
            }
        ),
    )
