"""Compiles every kernel that a backtest or a trader may call, by doing on a small generated market what they do.

Invariants:
- machine code is kept per combination of argument types, so kernels are called as the program calls them, through the
  same doors;
- nothing but the cache of kernels is left behind.
"""

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from novapulse.backtest import BacktestSettings, run
from novapulse.backtest.account import Plan, checked
from novapulse.backtest.columns import Signals, market_of
from novapulse.backtest.refused import imagine, taken
from novapulse.confluence import pipeline
from novapulse.confluence.explain import explain
from novapulse.confluence.plan import prepare
from novapulse.core.bars import MINUTE_NS, BarColumns
from novapulse.core.instruments import InstrumentKey
from novapulse.core.messages import CommandReceived
from novapulse.core.records import (
    ACCOUNT,
    ACTION,
    BAR,
    DENIAL,
    FILL,
    INSTRUMENT,
    ORDER,
    POSITION,
    ROUND_TRIP,
    RULES,
    SIGNAL,
)
from novapulse.engine.step import end_plan, place_exit_now, reprice_now
from novapulse.execution.fills import stop_reason
from novapulse.execution.settings import ExecutionSettings
from novapulse.execution.tactics import cross, next_step, reach, reprice
from novapulse.market.book import BookColumns, Builder, features, problems
from novapulse.market.book.build import sides_of
from novapulse.market.calendars import calendar
from novapulse.market.lake import Lake
from novapulse.market.quality import report
from novapulse.market.sample import sample_market
from novapulse.parity.ladder import fold_rung, kernel_of, stretch_of
from novapulse.parity.memory import MemoryJournal
from novapulse.parity.playing import Script, play
from novapulse.risk.decide import cash_per_notional, decide
from novapulse.risk.limits import daily_loss
from novapulse.risk.sizing import drawdown
from novapulse.strategies import STRATEGIES, Votes

_EXCHANGE = "sample"
_SYMBOLS = ("BTC/USDT", "ETH/USDT")
_SEED = 11
_BARS = 24 * 1440
_COARSE_BARS = 4_000
_REPLAY_BARS = 4 * 1440


def steps() -> Iterator[tuple[str, Callable[[], object]]]:
    """Yield what there is to compile, by name, each with the call that compiles it."""
    bars = _through_the_lake()
    key = min(bars)
    one, settings = {key: bars[key]}, BacktestSettings()
    plan = prepare(settings.confluence, STRATEGIES)
    yield "backtest", lambda: run(bars, settings)
    yield "backtest of one instrument, metrics only", lambda: run(one, settings, metrics_only=True)
    yield "backtest on one timeframe", lambda: run(one, _on_one_timeframe(), metrics_only=True)
    yield "backtest with finer bars", lambda: run(_coarse(key), settings, finer=one)
    yield "refused entries", lambda: _imagine_one(bars)
    yield "explanation", lambda: explain(bars[key], plan, pipeline.signals(one)[1], key=key)
    yield "quality report", lambda: report(bars[key], calendar("24/7"))
    yield "votes of a user's strategy", lambda: Votes.made(bars[key].close, 1.0, 0)
    yield "one decision", _decide_once
    yield "indicators", lambda: _indicators(bars[key])
    yield "order books", _measure_books
    yield "replay and parity", lambda: _replay(bars)


def warm_up(said: Callable[[str], None]) -> None:
    """Compile everything.

    Args:
        said: Called with the name of each step before it begins.
    """
    for name, call in steps():
        said(name)
        call()


def _through_the_lake() -> dict[InstrumentKey, BarColumns]:
    with tempfile.TemporaryDirectory(prefix="novapulse-warmup-") as folder:
        lake = Lake(folder)
        for symbol, bars in sample_market(_SYMBOLS, _BARS, _SEED).items():
            lake.append(_EXCHANGE, symbol, "1m", bars)
        return {InstrumentKey(_EXCHANGE, symbol): lake.bars(_EXCHANGE, symbol, "1m") for symbol in _SYMBOLS}


def _coarse(key: InstrumentKey) -> dict[InstrumentKey, BarColumns]:
    width = 5 * MINUTE_NS
    return {key: sample_market([key.symbol], _COARSE_BARS, _SEED, width)[key.symbol]}


def _on_one_timeframe() -> BacktestSettings:
    # Columns of one timeframe alone lie differently in memory.
    alone = {"timeframe_multiples": [1], "timeframe_weights": [1.0], "agreement_multipliers": [1.0]}
    return BacktestSettings.model_validate({"confluence": alone})


def _imagine_one(bars: dict[InstrumentKey, BarColumns]) -> None:
    settings = BacktestSettings()
    table, facts = checked(bars, {}, settings)
    plan = Plan.of(settings, facts, table)
    imagine(np.zeros(1, DENIAL), market_of(list(table.values())), plan.records, plan.rules)
    taken(np.zeros(1, FILL), np.zeros(0, ROUND_TRIP), plan.records, plan.rules)


def _decide_once() -> None:
    account, position, instrument, bar, signal, rules, action = (
        np.zeros(1, record)[0] for record in (ACCOUNT, POSITION, INSTRUMENT, BAR, SIGNAL, RULES, ACTION)
    )
    decide(account, position, instrument, bar, signal, 0.0, rules, action)


def _replay(bars: dict[InstrumentKey, BarColumns]) -> None:
    # Short runs of every kind of order: resting, amended, chased, crossed, given up and closed by hand.
    stretch = stretch_of(_EXCHANGE, bars, {}, BacktestSettings(), STRATEGIES)
    cut = replace(
        stretch,
        bars={key: columns[-_REPLAY_BARS:] for key, columns in bars.items()},
        ticks=stretch.ticks.after(int(stretch.ticks.ts_close_ns[-_REPLAY_BARS - 1])),
        signals={key: _last(signals) for key, signals in stretch.signals.items()},
    )
    stamps = cut.ticks.ts_close_ns
    commands = tuple(
        CommandReceived(int(stamps[row]) + 1, f"{verb}-{row}", verb, {}, "warm-up")
        for row in range(500, _REPLAY_BARS, 500)
        for verb in ("flatten", "resume")
    )
    fold_rung(cut, kernel_of(cut))
    for script in (Script(), Script(commands=commands)):
        play(cut.key, cut.configuration, cut.ticks, MemoryJournal(), script)
    for exit_order in ("limit", "market"):
        execution = ExecutionSettings(exit_order=exit_order, participation_max_fraction=0.001)
        decides = cut.configuration.decides.model_copy(update={"execution": execution})
        play(cut.key, replace(cut.configuration, decides=decides), cut.ticks, MemoryJournal())
    _by_hand()


def _measure_books() -> None:
    builder = Builder()
    prices, qtys = np.array([99.0, 98.0, 97.0, 100.0, 101.0, 102.0]), np.ones(6)
    builder.snapshot(1, sides_of(["bid"] * 3 + ["ask"] * 3), prices, qtys)
    top = [np.stack([column, column]) for column in builder.top(3)]
    problem = problems(top[0], top[1], top[2], top[3])
    features(BookColumns(np.arange(2), top[0], top[1], top[2], top[3], problem))


def _last(signals: Signals) -> Signals:
    last: dict[str, Any] = {name: column[-_REPLAY_BARS:] for name, column in signals._asdict().items()}
    return signals._replace(**last)


def _by_hand() -> None:
    """Call what a quiet market never asks for."""
    account, position, instrument, bar, rules, action = (
        np.zeros(1, record)[0] for record in (ACCOUNT, POSITION, INSTRUMENT, BAR, RULES, ACTION)
    )
    order, denial = np.zeros(1, ORDER)[0], np.zeros(1, DENIAL)[0]
    end_plan(0, bar, account, position, order, denial)
    place_exit_now(order, position, action, bar, rules)
    instrument.price_factor = instrument.tick_units = 1
    reprice_now(order, bar, 0, instrument, rules)
    next_step(order, 1.0, 0, instrument, rules)
    order.limit_price = 1.0
    reprice(order, 1.0, 0, instrument, rules)
    reach(order, 1.0, 0, instrument, rules)
    cross(order, 0, rules)
    cash_per_notional(instrument, rules)
    daily_loss(account)
    drawdown(account)
    stop_reason(position)


def _indicators(bars: BarColumns) -> None:
    from novapulse.research.bias import feature_subjects

    for subject in feature_subjects():
        subject.compute(bars)
