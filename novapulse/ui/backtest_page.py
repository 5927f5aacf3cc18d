"""The backtest page, piece by piece: its notebook calls these functions and lays out what they return.

Invariants:
- what a session looks at is a `View`; a new one is set when a run has ended, and only then is anything drawn anew;
- figures and price follow every step of a slider, everything else the step at which it rests;
- a run that takes longer than a blink goes on beside the page, which stays usable meanwhile;
- nothing that a person can type or click raises.
"""

import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import marimo as mo

from novapulse.backtest import BacktestSettings
from novapulse.config import ConfigError, Settings
from novapulse.core.instruments import InstrumentKey
from novapulse.ui import controls, panels
from novapulse.ui.jobs import Job, Results
from novapulse.ui.resting import Resting
from novapulse.ui.workbench import FOLLOWED_BARS, Outcome, Request, Workbench, open_workbench

Html = mo.Html
Set = Callable[[Any], None]

QUICK_S = 0.4
"""What is done within it is answered at once; what is not goes on in the background."""

CANCELLED = "cancelled; the figures are those from before"

_REDRAWN_S = 0.2


@dataclass(frozen=True)
class View:
    """What a session looks at.

    Attributes:
        outcome: The newest run that came to an end; None before the first.
        problem: Why the one after it did not, in one sentence.
    """

    outcome: Outcome | None = None
    problem: str | None = None


@dataclass(frozen=True)
class Asked:
    """What the widgets of a session say.

    Attributes:
        request: The backtest they describe; None where they describe none.
        problems: Why not, one sentence each.
    """

    request: Request | None
    problems: tuple[str, ...]


class Desk:
    """One session: the workbench it shares, and the run that is under way.

    Attributes:
        bench: What it computes with; None where it could not be opened.
        problem: Why not, in one sentence.
        view: The newest one that was set.
        job: The run that is under way, if there is one.
        cancel: The button that cancels it.
        go: The button that begins a run that follows no slider.
        has_begun: Whether any run was begun in this session.
        drawn: What was drawn of things that did not change since.
        resting: Views that wait until a slider rests.
        heard: The signals that were drawn last.
        keys: The instruments that can be drawn.
        wrong: What is wrong with the settings, in sentences.
    """

    def __init__(self, bench: Workbench | None, problem: str | None) -> None:
        """Begin a session."""
        self._bench = bench
        self.problem = problem
        self.view = View()
        self.job: Job[Outcome] | None = None
        self.cancel: Any = None
        self.go: Any = None
        self.has_begun = False
        self.drawn = Results()
        self.resting: Resting[View] = Resting()
        self.heard: Hashable = None
        self.keys: tuple[InstrumentKey, ...] = ()
        self.wrong: tuple[str, ...] = ()

    @property
    def bench(self) -> Workbench:
        """Return the workbench, which is there unless there is a problem."""
        assert self._bench is not None, self.problem
        return self._bench

    def leave(self) -> None:
        """Ask the run that is under way to stop, if there is one, and forget it."""
        if self.job is not None:
            self.job.cancel()
        self.job = None

    def ended(self, job: Job[Outcome]) -> View:
        """Take over what the run that was under way came to."""
        self.job = None
        self.view = View(job.result) if job.result is not None else View(self.view.outcome, job.problem)
        return self.view

    def cancelled(self) -> View:
        """Leave the run that is under way, as its owner wished."""
        self.leave()
        self.view = View(self.view.outcome, CANCELLED)
        return self.view


def open_desk() -> Desk:
    """Open the configuration and the bars at hand; what is wrong with them is the desk's problem."""
    try:
        return Desk(open_workbench(lambda done, total: None), None)
    except (ConfigError, ValueError) as wrong:
        return Desk(None, " ".join(str(wrong).split()))


def view_of(desk: Desk, newest: View, set_keys: Set) -> View:
    """Return what a session looks at; there is nothing to look at on a desk that could not be opened.

    Args:
        desk: The session.
        newest: What came last.
        set_keys: Called with the instruments that can be drawn where they have become others.
    """
    assert desk.problem is None
    keys = tuple(newest.outcome.markets.bars) if newest.outcome else ()
    if keys != desk.keys:
        desk.keys = keys
        set_keys(keys)
    return newest


def rest(desk: Desk, view: View, set_rested: Set, set_heard: Set) -> None:
    """Hand a view on to what follows a slider only where it rests; the first one at once.

    Args:
        desk: The session.
        view: What the slider came to.
        set_rested: Called with it.
        set_heard: Called with it where its signals are others than those before.
    """
    outcome = view.outcome
    if outcome is None:
        return

    def handed(rested: View) -> None:
        set_rested(rested)
        name = desk.bench.signals_name(outcome)
        if name != desk.heard:
            desk.heard = name
            set_heard(rested)

    desk.resting.hand_on(view, handed, at_once=desk.heard is None)


def say_wrong(desk: Desk, asked: Asked, view: View, set_wrong: Set) -> None:
    """Call with what is wrong with the settings where that has changed: what says so is not drawn at every step."""
    wrong = asked.problems or ((view.problem,) if view.problem else ())
    if wrong != desk.wrong:
        desk.wrong = wrong
        set_wrong(wrong)


def series_choice(desk: Desk) -> Any:
    """Return the widget that chooses exchange and timeframe, the configured ones first."""
    groups: dict[str, tuple[str, str]] = {}
    for one in desk.bench.series():
        groups[f"{one.exchange}, {one.timeframe} bars"] = (one.exchange, one.timeframe)
    first = next(iter(groups), None)
    return mo.ui.dropdown(groups, first, label="Bars", full_width=True, allow_select_none=False)


def data_form(desk: Desk, chosen: tuple[str, str] | None) -> Any:
    """Return the widgets that choose symbols and period among the series of an exchange and timeframe."""
    series = [one for one in desk.bench.series() if (one.exchange, one.timeframe) == chosen]
    symbols = {one.symbol: one.symbol for one in series}
    first, last = _days([one.first_ns for one in series], [one.last_ns for one in series])
    return mo.ui.dictionary(
        {
            "symbols": mo.ui.multiselect(symbols, list(symbols)[:1], label="Symbols", full_width=True),
            "period": mo.ui.date_range(first, last, (first, last), label="Days, UTC", full_width=True),
        }
    )


def base_of(desk: Desk, loaded: BacktestSettings | None) -> Settings:
    """Return the settings that the form begins with: those of a saved run that was loaded, else the configured ones."""
    settings = desk.bench.loaded.settings
    if loaded is None:
        return settings
    return settings.model_copy(update={name: getattr(loaded, name) for name in BacktestSettings.model_fields})


def settings_form(desk: Desk, base: Settings) -> Any:
    """Return a widget for every setting, as the base has it."""
    return controls.elements(base, desk.bench.strategies)


def ask(
    desk: Desk, base: Settings, chosen: tuple[str, str] | None, data: Mapping[str, Any], values: Mapping[str, Any]
) -> Asked:
    """Return what the widgets describe: a request, or what is wrong with it."""
    bench = desk.bench
    symbols = tuple(data["symbols"])
    if chosen is None or not symbols:
        return Asked(None, ("data.symbols is empty: choose at least one symbol",))
    exchange, timeframe = chosen
    quotes = {symbol.partition("/")[2].partition(":")[0] for symbol in symbols}
    if len(quotes) > 1:
        return Asked(None, (f"data.symbols are counted in {', '.join(sorted(quotes))}: one account has one currency",))
    settings, problems = controls.read(
        values,
        base,
        bench.strategies,
        {"exchange": exchange, "timeframe": timeframe, "symbols": symbols},
    )
    if settings is None:
        return Asked(None, tuple(problems))
    start, end = _period(desk, chosen, symbols, data["period"])
    return Asked(Request(exchange, timeframe, symbols, start, end, settings.backtest), ())


def start(desk: Desk, asked: Asked, set_view: Set, pressed: Request | None, set_pressed: Set) -> Html:
    """Run what is asked for, and return what is to be seen of that: nothing if it is done at once.

    What is about more bars than may follow a slider waits for a button, but for what a page opens with.

    Args:
        desk: The session.
        asked: What its widgets say; without a request what was shown stays.
        set_view: Called with the view once the run has ended, also from another thread.
        pressed: The request that the button was pressed for last; None before that.
        set_pressed: Called with the request that the button is pressed for.
    """
    desk.leave()
    if asked.request is None:
        return Html("")
    request, bench = asked.request, desk.bench
    if desk.has_begun and pressed != request and bench.is_long(request):
        return _on_a_button(desk, request, set_pressed)
    desk.has_begun = True
    job = desk.job = Job(lambda reporter: bench.outcome(request, reporter))
    if job.wait(QUICK_S if mo.running_in_notebook() else None):
        set_view(desk.ended(job))
        return Html("")
    began = time.monotonic() - QUICK_S
    # It hangs on the desk and on no cell: a cell that named it would run again, and start the run again, at its click.
    cancel = desk.cancel = mo.ui.button(on_click=lambda _: set_view(desk.cancelled()), label="Cancel", kind="danger")
    mo.Thread(target=_watch, args=(desk, job, began, cancel, set_view), daemon=True).start()
    return _under_way(job, began, cancel)


def _on_a_button(desk: Desk, request: Request, set_pressed: Set) -> Html:
    bars = desk.bench.bars_of(request)
    words = f"{bars:,} bars: more than {FOLLOWED_BARS:,} follow no slider. What is shown is of the settings before."
    # Like the button that cancels, it hangs on the desk and on no cell.
    desk.go = mo.ui.button(on_click=lambda _: set_pressed(request), label=f"Compute {bars:,} bars", kind="success")
    return mo.hstack([Html(panels.remarks([words], "np-quiet")), desk.go], widths=[1, 0])


def _watch(desk: Desk, job: Job[Outcome], began: float, cancel: Any, set_view: Set) -> None:
    while job is desk.job and not job.wait(_REDRAWN_S):
        if job is desk.job:
            mo.output.replace(_under_way(job, began, cancel))
    if desk.job in (job, None):
        mo.output.replace(Html(""))
    if job is desk.job:
        set_view(desk.ended(job))


def _under_way(job: Job[Outcome], began: float, cancel: Any) -> Html:
    return mo.hstack([Html(panels.waiting(job.progress, time.monotonic() - began)), cancel], widths=[1, 0])


def reset_button(count: int, set_count: Set, set_loaded: Set) -> Any:
    """Return the button that puts every setting back to the configured one."""

    def put_back(_: Any) -> None:
        set_loaded(None)
        set_count(count + 1)

    return mo.ui.button(on_click=put_back, label="Reset settings", full_width=True)


def fields_of(desk: Desk, form: Any, reset: Any) -> Html:
    """Return the settings by group, as they are drawn: what shows them need not follow their values."""
    groups = [
        _group("Strategies and weights", _weights(desk, form), is_open=True),
        *(
            _group(name, [form[control.key] for control in group], is_open=False)
            for name, group in controls.GROUPS.items()
        ),
    ]
    return Html("".join([*(group.text for group in groups), f'<div class="np-field">{mo.as_html(reset).text}</div>']))


def settings_panel(wrong: Sequence[str], series: Any, data: Any, fields: Html) -> Html:
    """Return the column of settings, with what is wrong with them on top."""
    bars = _group("Bars", [series, data["symbols"], data["period"]], is_open=True)
    # The place for remarks is always there: were it to come and go, the groups behind it would lose who opened them.
    told = f'<div class="np-told">{panels.remarks(wrong, "np-wrong")}</div>'
    inside = f"{told}{bars.text}{fields.text}"
    return Html(f'<details class="np-settings"><summary>Settings</summary><div>{inside}</div></details>')


def _weights(desk: Desk, form: Any) -> list[Any]:
    rows = []
    for name in desk.bench.strategies:
        parts = "".join(f"<div>{mo.as_html(form[key]).text}</div>" for key in controls.names_of(name))
        rows.append(Html(f'<div class="np-strategy" title="{controls.family_of(name)}">{parts}</div>'))
    return rows


def _group(name: str, widgets: Sequence[Any], *, is_open: bool) -> Html:
    inside = "".join(f'<div class="np-field">{mo.as_html(widget).text}</div>' for widget in widgets)
    return Html(f'<details class="np-group" {"open" if is_open else ""}><summary>{name}</summary>{inside}</details>')


def _days(first_ns: Sequence[int], last_ns: Sequence[int]) -> tuple[date, date]:
    if not first_ns:
        return _day(0), _day(0)
    # A bar belongs to the day in which it lies, which is that of the moment before its close.
    first, last = min(first_ns), max(last_ns)
    return _day(first - 1), _day(last - 1)


def _day(moment_ns: int) -> date:
    return datetime.fromtimestamp(moment_ns // 1_000_000_000, UTC).date()


def _period(
    desk: Desk, chosen: tuple[str, str], symbols: Sequence[str], days: tuple[date, date]
) -> tuple[str | None, str | None]:
    series = [one for one in desk.bench.series() if (one.exchange, one.timeframe) == chosen and one.symbol in symbols]
    first, last = _days([one.first_ns for one in series], [one.last_ns for one in series])
    start = None if days[0] <= first else f"{days[0].isoformat()}T00:00:00Z"
    end = None if days[1] >= last else f"{(days[1] + timedelta(days=1)).isoformat()}T00:00:00Z"
    return start, end
