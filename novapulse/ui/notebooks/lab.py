"""The strategy lab: one strategy, its parameters, its votes on some bars, what it earns alone, and its bias proofs.

Invariants:
- votes are made at once, of at most `VOTED_BARS` bars; the backtest and the proofs go on beside the page;
- figures and votes follow every step of a slider, everything else the step at which it rests;
- nothing is written: parameters that should last are put into the configuration by hand.
"""

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any

import marimo as mo

from novapulse.core.bars import BarColumns
from novapulse.core.instruments import InstrumentKey
from novapulse.research.bias import FULL, Effort, Subject, SubjectReport, examine, strategy_subject
from novapulse.research.inputs import iso
from novapulse.signals.regimes import Thresholds
from novapulse.strategies import STRATEGIES, Strategy, StrategyError, Votes, evaluate
from novapulse.ui import backtest_page, controls
from novapulse.ui.jobs import Reporter, Results
from novapulse.ui.notebooks import parameters
from novapulse.ui.notebooks.ledgers import fingerprint
from novapulse.ui.notebooks.spoken_votes import Spoken, spoken
from novapulse.ui.notebooks.work import Came, Work
from novapulse.ui.resting import Resting
from novapulse.ui.workbench import Outcome, Request, Workbench

Html = mo.Html
SetCame = Callable[[Came[Any]], None]

VOTED_BARS = 100_000
"""Newest bars that votes are made of."""

PROVEN_BARS = 20_000
"""Newest bars that proofs are made on, besides the warm-up."""


@dataclass(frozen=True)
class Chosen:
    """What is looked at.

    Attributes:
        exchange: Lower-case id.
        symbol: Canonical.
        timeframe: Width of a bar.
        name: The strategy's.
        params: Its parameters; None where they cannot be.
        changed: Those that configuration or page name.
        horizon: Bars after which is looked at what became of the price.
        problems: What is wrong, in sentences.
    """

    exchange: str
    symbol: str
    timeframe: str
    name: str
    params: Any
    changed: dict[str, Any]
    horizon: int
    problems: tuple[str, ...]

    @property
    def series(self) -> tuple[str, str, str]:
        """Return exchange, symbol and timeframe."""
        return self.exchange, self.symbol, self.timeframe


@dataclass(frozen=True)
class Voted:
    """Votes on bars.

    Attributes:
        key: The instrument.
        bars: The newest ones.
        votes: On these.
        spoken: Their sum.
        of: The strategy and its parameters.
    """

    key: InstrumentKey
    bars: BarColumns
    votes: Votes
    spoken: Spoken
    of: str


@dataclass(frozen=True)
class Said:
    """What a slider came to.

    Attributes:
        chosen: What is looked at; None before anything was.
        votes: On it.
    """

    chosen: Chosen | None = None
    votes: Came[Voted] = field(default_factory=Came)


class Desk:
    """One session.

    Attributes:
        problem: Why nothing can be shown, in one sentence.
        alone: Backtests the strategy alone.
        proofs: Proves it.
        said: What its sliders came to last.
        resting: What of it waits until they rest.
        wrong: What is wrong with the parameters, in sentences.
    """

    def __init__(self) -> None:
        """Open the configuration and the bars at hand."""
        opened = backtest_page.open_desk()
        self._bench = None if opened.problem else opened.bench
        self.problem = opened.problem
        self.alone: Work[Outcome] = Work("Trading it alone")
        self.proofs: Work[SubjectReport] = Work("Proving")
        self.said = Said()
        self.resting: Resting[Said] = Resting()
        self.wrong: tuple[str, ...] = ()

    @property
    def bench(self) -> Workbench:
        """Return the workbench, which is there unless there is a problem."""
        assert self._bench is not None, self.problem
        return self._bench

    def strategy(self, name: str) -> Strategy:
        """Return a strategy by its name."""
        return self.bench.strategies[name]

    def configured(self, name: str) -> Mapping[str, Any]:
        """Return what the configuration says of a strategy's parameters."""
        return self.bench.loaded.settings.confluence.parameters.get(name, {})


def open_desk(_reloads: int = 0) -> Desk:
    """Open a session; strategies of one's own are read anew."""
    return Desk()


def reload_button(count: int, set_count: Callable[[int], None]) -> Any:
    """Return the button that reads strategies of one's own again."""
    return mo.ui.button(on_click=lambda _: set_count(count + 1), label="Read my strategies again", full_width=True)


def series_choice(desk: Desk) -> Any:
    """Return the widget that chooses the bars."""
    options = {
        f"{one.symbol}, {one.timeframe}, {one.exchange}": (one.exchange, one.symbol, one.timeframe)
        for one in desk.bench.series()
    }
    return mo.ui.dropdown(options, next(iter(options), None), label="Bars", full_width=True, allow_select_none=False)


def strategy_choice(desk: Desk) -> Any:
    """Return the widget that chooses a strategy, the user's own first."""
    names = sorted(desk.bench.strategies, key=lambda name: name in STRATEGIES)
    options = {controls.spoken(name) + ("" if name in STRATEGIES else " (own)"): name for name in names}
    return mo.ui.dropdown(options, next(iter(options)), label="Strategy", full_width=True, allow_select_none=False)


def horizon_choice(desk: Desk) -> Any:
    """Return the widget that chooses after how many bars is looked at what became of the price."""
    assert desk.problem is None
    return mo.ui.slider(
        steps=[1, 2, 3, 5, 10, 15, 30, 60, 120, 240],
        value=15,
        label="What became of it after, bars",
        show_value=True,
        full_width=True,
    )


def parameter_form(desk: Desk, name: str) -> Any:
    """Return the widgets of a strategy's parameters, as configured."""
    return parameters.form_of(desk.strategy(name).Params, desk.configured(name))


def choose(desk: Desk, series: tuple[str, str, str], name: str, values: Mapping[str, Any], horizon: int) -> Chosen:
    """Return what the widgets say."""
    params, changed, problems = parameters.read(desk.strategy(name).Params, desk.configured(name), values)
    return Chosen(*series, name, params, changed, horizon, tuple(problems))


def came_of(desk: Desk, came: Came[Any]) -> Came[Any]:
    """Return what came of a task; there is nothing to look at on a desk that could not be opened."""
    assert desk.problem is None
    return came


def voted(desk: Desk, chosen: Chosen) -> Came[Voted]:
    """Return the votes on the newest bars, or why there are none."""
    if chosen.params is None:
        return Came(None, "; ".join(chosen.problems))
    key = InstrumentKey(chosen.exchange, chosen.symbol)
    bars = desk.bench.lake.bars(chosen.exchange, chosen.symbol, chosen.timeframe)[-VOTED_BARS:]
    try:
        votes = evaluate(desk.strategy(chosen.name), bars, chosen.params, Thresholds())
    except StrategyError as wrong:
        return Came(None, " ".join(str(wrong).split()))
    return Came(Voted(key, bars, votes, spoken(bars, votes, chosen.horizon), f"{chosen.name} {chosen.params!r}"))


def rest(desk: Desk, chosen: Chosen, votes: Came[Voted], set_said: Callable[[Said], None]) -> None:
    """Hand votes on to what follows a slider only where it rests; the first ones, and those on other bars, at once."""
    said, before = Said(chosen, votes), desk.said
    desk.said = said
    is_same = before.chosen is not None and (before.chosen.name, before.chosen.series) == (chosen.name, chosen.series)
    desk.resting.hand_on(said, set_said, at_once=not is_same)


def say_wrong(desk: Desk, chosen: Chosen, set_wrong: Callable[[tuple[str, ...]], None]) -> None:
    """Call with what is wrong with the parameters where that has changed: what says so is not drawn at every step."""
    if chosen.problems != desk.wrong:
        desk.wrong = chosen.problems
        set_wrong(chosen.problems)


def trade_alone(desk: Desk, chosen: Chosen, set_came: SetCame) -> Html:
    """Backtest the strategy with no other beside it, and return what is to be seen of that."""
    if chosen.params is None:
        return desk.alone.run(None, set_came)
    bench = desk.bench
    settings = bench.loaded.settings.backtest
    confluence = settings.confluence.model_copy(
        update={
            "weights": {chosen.name: 1.0},
            "parameters": {**settings.confluence.parameters, chosen.name: chosen.changed},
        }
    )
    request = Request(
        chosen.exchange,
        chosen.timeframe,
        (chosen.symbol,),
        _start_of_last(bench, chosen),
        None,
        settings.model_copy(update={"confluence": confluence}),
    )

    return desk.alone.run(lambda reporter: bench.outcome(request, reporter), set_came, wait_s=0.0)


def _start_of_last(bench: Workbench, chosen: Chosen) -> str | None:
    """Return behind which moment the bars lie that a slider is followed on; None for all."""
    closes_ns = bench.lake.bars(chosen.exchange, chosen.symbol, chosen.timeframe).ts_close_ns
    return iso(int(closes_ns[-VOTED_BARS - 1])) if closes_ns.size > VOTED_BARS else None


_proven = Results(16)
"""What was proven lately, as long as parameters and bars are the same."""


def prove_button(desk: Desk) -> Any:
    """Return the button that begins the proofs."""
    assert desk.problem is None
    return mo.ui.run_button(label="Prove that it knows no future", kind="success")


def prove(desk: Desk, is_asked: bool, chosen: Chosen, set_came: SetCame) -> Html:
    """Put the strategy to every proof, and return what is to be seen of that."""
    if not is_asked or chosen.params is None:
        # What was proven was proven of other parameters.
        set_came(Came())
        return desk.proofs.run(None, set_came)
    strategy = desk.strategy(chosen.name)
    bars = desk.bench.lake.bars(chosen.exchange, chosen.symbol, chosen.timeframe)

    key: Hashable = object()
    if STRATEGIES.get(chosen.name) is strategy:
        # One of one's own may have been edited since.
        key = chosen.name, chosen.params.model_dump_json(), chosen.series, fingerprint(desk.bench.lake)

    def task(reporter: Reporter) -> SubjectReport:
        return _proven.get(key, lambda: proven(chosen.name, strategy, chosen.params, bars, reporter))

    return desk.proofs.run(task, set_came)


def proven(
    name: str, strategy: Strategy, params: Any, bars: BarColumns, reporter: Reporter, effort: Effort = FULL
) -> SubjectReport:
    """Prove a strategy on the newest bars.

    Raises:
        CancelledError: The job was cancelled.
        StrategyError: The strategy does not say how many bars it needs.
    """
    subject = strategy_subject(name, strategy, params)
    told = reporter.phase("running it with the future cut off, replaced and hidden")
    runs, expected = 0, _runs(subject, effort)

    def counted(one: Subject) -> Subject:
        def compute(given: BarColumns) -> dict[str, Any]:
            nonlocal runs
            runs += 1
            # Told of every run, so that a proof that is not wanted any more ends with the next one.
            told(min(runs, expected - 1), expected)
            return dict(one.compute(given))

        variants = tuple(counted(variant) for variant in one.variants)
        return Subject(one.name, one.kind, compute, one.warmup_bars, one.multiples, variants)

    last = (subject.warmup_bars or 0) + PROVEN_BARS
    report = examine(counted(subject), bars[max(0, len(bars) - last) :], effort)
    told(expected, expected)
    return report


def _runs(subject: Subject, effort: Effort) -> int:
    own = effort.random_cuts + effort.turning_cuts + effort.poisoned_cuts + effort.windows
    own += effort.open_bars * len(subject.multiples)
    return max(2, own + len(subject.variants) * (4 * effort.variant_cuts + 2))
