"""What a page computes with, and nothing of how it looks: bars, signals and results, each kept as long as it is valid.

Invariants:
- what did not change is not computed again: bars are kept by what was read, signals by the bars and the settings of the
  confluence, and a result from kept signals equals one that was computed whole;
- everything kept is read-only and shared by the sessions of one process.
"""

import os
import time
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from novapulse.backtest import BacktestSettings, Result, run
from novapulse.backtest.columns import signals_of
from novapulse.config import Loaded, load
from novapulse.confluence.calibration import Calibration
from novapulse.confluence.combine import SignalColumns
from novapulse.confluence.explain import explain
from novapulse.confluence.forecasts import forecasts_by_strategy
from novapulse.confluence.narrate import lines
from novapulse.confluence.plan import prepare
from novapulse.core.bars import Floats, timeframe_ns
from novapulse.core.instruments import InstrumentKey
from novapulse.market.lake import Lake, SeriesInfo
from novapulse.market.spelling import stamp_ns
from novapulse.research.analysis import Analysis, analyse
from novapulse.research.at_hand import SAMPLE_EXCHANGE, bars_at_hand
from novapulse.research.decision import decision_at
from novapulse.research.inputs import InputError, Markets, Told, checked_strategies, iso, open_lake, read_markets
from novapulse.research.running import backtest_markets
from novapulse.strategies import Strategy
from novapulse.ui.jobs import Reporter, Results

FOLLOWED_BARS = 100_000
"""Bars that a run may have and still follow every move of a slider."""


@dataclass(frozen=True)
class Request:
    """A backtest that somebody wants to see.

    Attributes:
        exchange: Lower-case id.
        timeframe: Width of a decision bar.
        symbols: Canonical, at least one.
        start: Bars close after it, ISO 8601; None for all.
        end: Bars close up to it; None for all.
        settings: What decides and fills.
    """

    exchange: str
    timeframe: str
    symbols: tuple[str, ...]
    start: str | None
    end: str | None
    settings: BacktestSettings


@dataclass(frozen=True)
class Outcome:
    """A backtest that was run.

    Attributes:
        request: What was asked.
        markets: The bars.
        result: The run, its signals with it.
        analysis: Every figure that is shown.
        seconds: How long it took.
        kept_signals: Whether signals of an earlier run were used.
    """

    request: Request
    markets: Markets
    result: Result
    analysis: Analysis
    seconds: float
    kept_signals: bool


@dataclass(frozen=True)
class _Said:
    columns: Mapping[InstrumentKey, SignalColumns]
    calibrations: tuple[Calibration, ...]
    names: tuple[str, ...]


class Workbench:
    """The configuration, the lake, and everything that was computed from them lately.

    Attributes:
        loaded: The configuration.
        lake: Where the bars are.
        strategies: The built-in ones and the user's own.
        exchange: Under which the configured bars are filed: the configured one, or the sample market's.
        remarks: What is worth saying about the bars and strategies, in sentences.
    """

    def __init__(self, loaded: Loaded, lake: Lake, told: Told) -> None:
        """Make sure that there are bars; errors as in `bars_at_hand` and `checked_strategies`."""
        self.loaded = loaded
        self.lake = lake
        self.remarks: list[str] = []
        self.strategies: dict[str, Strategy] = checked_strategies(loaded, self.remarks.append)
        self.exchange = bars_at_hand(lake, loaded.settings.data, self.remarks.append, told)
        self._markets, self._said, self._outcomes, self._forecasts = Results(), Results(), Results(24), Results()

    @property
    def is_sample(self) -> bool:
        """Return whether the bars are generated."""
        return self.exchange == SAMPLE_EXCHANGE

    def series(self) -> list[SeriesInfo]:
        """Return the series that can be backtested, those of the configuration first."""
        data = self.loaded.settings.data
        wanted = (self.exchange, data.timeframe)
        order = {symbol: place for place, symbol in enumerate(data.symbols)}
        return sorted(
            self.lake.series(),
            key=lambda one: (
                (one.exchange, one.timeframe) != wanted,
                one.exchange,
                one.timeframe,
                order.get(one.symbol, len(order)),
                one.symbol,
            ),
        )

    def outcome(self, request: Request, reporter: Reporter) -> Outcome:
        """Return the outcome of a request.

        Raises:
            CancelledError: The job was cancelled.
            ValueError: Bars, settings and strategies do not go together; the message is a sentence.
        """
        markets = self.markets(request, reporter)
        key = (markets.description["hash"], request.timeframe, request.exchange, request.symbols, request.settings.hash)
        return self._outcomes.get(key, lambda: self._computed(request, markets, reporter))

    def is_long(self, request: Request) -> bool:
        """Return whether a request is about so many bars that it must not follow a move of a slider by itself."""
        return self.bars_of(request) > FOLLOWED_BARS

    def bars_of(self, request: Request) -> int:
        """Return how many bars a request is about at most: those of its period that there are, or would fit into it."""
        wanted = (request.exchange, request.timeframe)
        chosen = (one for one in self.lake.series() if (one.exchange, one.timeframe) == wanted)
        return sum(_bars_in(one, request) for one in chosen if one.symbol in request.symbols)

    def markets(self, request: Request, reporter: Reporter) -> Markets:
        """Return the bars of a request; errors as in `read_markets`."""
        wanted = (request.exchange, request.timeframe, request.symbols, request.start, request.end)
        hashes = tuple(
            (one.symbol, one.timeframe, one.content_hash)
            for one in self.lake.series()
            if one.exchange == request.exchange and one.symbol in request.symbols
        )
        reporter.phase("reading bars")
        return self._markets.get(
            (wanted, hashes),
            lambda: read_markets(
                self.lake,
                request.exchange,
                request.symbols,
                request.timeframe,
                request.start,
                request.end,
                all_needed=True,
            ),
        )

    def forecasts(self, outcome: Outcome, key: InstrumentKey) -> tuple[tuple[str, ...], Floats]:
        """Return the strategies that were weighed and float64[S, N], what each said at each bar of an instrument."""
        plan = prepare(outcome.request.settings.confluence, self.strategies)
        bars, calibrations = outcome.markets.bars[key], outcome.result.calibrations
        return plan.names, self._forecasts.get(
            (self.signals_name(outcome), key), lambda: forecasts_by_strategy(bars, plan, calibrations, key)
        )

    def signals_name(self, outcome: Outcome) -> Hashable:
        """Return what is the same for all runs on the same signals."""
        return self._signal_key(outcome.request, outcome.markets)

    def explained(self, outcome: Outcome, key: InstrumentKey, at_ns: int) -> dict[str, Any]:
        """Return why the bar of an instrument that closes at a moment was traded, or why not.

        Args:
            outcome: The run in question.
            key: One of its instruments.
            at_ns: Close of one of its bars, ns UTC.

        Returns:
            The record of `confluence.explain.explain`, with `decision` and the whole as `lines` of text.

        Raises:
            ValueError: No bar closes then.
        """
        settings, bars = outcome.request.settings, outcome.markets.bars[key]
        row = int(np.searchsorted(bars.ts_close_ns, at_ns))
        if row >= len(bars) or int(bars.ts_close_ns[row]) != at_ns:
            raise InputError(f"no bar of {key} closes at {iso(at_ns)}")
        plan = prepare(settings.confluence, self.strategies)
        record = explain(
            bars,
            plan,
            outcome.result.calibrations,
            key=key,
            row=row,
            entry_forecast_min=settings.risk.entry_forecast_min,
        )
        markets = outcome.markets.up_to(at_ns)
        columns = {one: outcome.result.signals[one][: len(columns)] for one, columns in markets.bars.items()}
        return {**record, "decision": decision_at(key, markets, columns, settings), "lines": lines(record)}

    def _signal_key(self, request: Request, markets: Markets) -> Hashable:
        return (
            markets.description["hash"],
            tuple(markets.bars),
            request.timeframe,
            request.settings.confluence.model_dump_json(),
        )

    def _computed(self, request: Request, markets: Markets, reporter: Reporter) -> Outcome:
        started = time.perf_counter()
        key = self._signal_key(request, markets)
        is_kept = key in self._said
        result = self._run(request, markets, key, reporter)
        reporter.phase("judging the result")
        try:
            analysis = analyse(result, markets, self.strategies)
        except ValueError as wrong:
            raise InputError(str(wrong)) from wrong
        return Outcome(request, markets, result, analysis, time.perf_counter() - started, is_kept)

    def _run(self, request: Request, markets: Markets, key: Hashable, reporter: Reporter) -> Result:
        whole: list[Result] = []

        def say() -> _Said:
            told = reporter.phase("asking the strategies")
            result = backtest_markets(markets, request.settings, self.strategies, told=told)
            whole.append(result)
            return _Said(result.signals, result.calibrations, result.strategies)

        said = self._said.get(key, say)
        if whole:
            return whole[0]
        reporter.phase("trading")
        result = run(
            markets.bars,
            request.settings,
            instruments=markets.instruments,
            strategies={name: self.strategies[name] for name in said.names},
            signals={one: signals_of(**columns.to_kernel()) for one, columns in said.columns.items()},
            finer=markets.finer,
        )
        return replace(result, signals=said.columns, calibrations=said.calibrations)


def _bars_in(series: SeriesInfo, request: Request) -> int:
    first_ns, last_ns = series.first_ns, series.last_ns
    width_ns = timeframe_ns(series.timeframe)
    if (start_ns := stamp_ns(request.start)) is not None:
        first_ns = max(first_ns, start_ns + width_ns)
    if (end_ns := stamp_ns(request.end)) is not None:
        last_ns = min(last_ns, end_ns)
    return min(series.bars, max(0, (last_ns - first_ns) // width_ns + 1))


_SHARED: dict[Hashable, Workbench] = {}


def open_workbench(told: Told) -> Workbench:
    """Return the workbench of this machine's configuration and lake, the same one to every session.

    Args:
        told: Called with (files or symbols done, all of them) while bars are brought into the lake.

    Raises:
        ConfigError: The configuration cannot be used.
        ValueError: A strategy or the recordings cannot be used; the message is a sentence.
    """
    loaded, lake = load(os.environ), open_lake()
    if loaded.settings.data.strategies_folder is not None:
        # Strategies of one's own may have been edited since: what was kept of them is not valid any more.
        return Workbench(loaded, lake, told)
    key = (str(lake.path), loaded.settings.model_dump_json())
    if key not in _SHARED or not _SHARED[key].lake.series():
        _SHARED[key] = Workbench(loaded, lake, told)
    return _SHARED[key]
