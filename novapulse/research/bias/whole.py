"""The whole way from bars to decisions as subjects: calibration rows, consensus, a live window, fills and equity.

Other instruments can take part: they are cut where the subject's bars end, and keep their own future when those are
replaced. What is said of them then must not change either, although calibrations and cash are shared.

Facts about instruments are given, never read off the bars: a tick inferred from all bars would itself know the future.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from types import MappingProxyType

import numpy as np

from novapulse.backtest import BacktestSettings, Result, run
from novapulse.confluence import pipeline
from novapulse.confluence.calibration import Calibration
from novapulse.confluence.combine import SignalColumns
from novapulse.confluence.pipeline import NAMELESS
from novapulse.confluence.plan import Plan, prepare
from novapulse.confluence.settings import ConfluenceSettings
from novapulse.confluence.voices import rows_at
from novapulse.core.bars import BarColumns
from novapulse.core.instruments import Instrument, InstrumentKey
from novapulse.core.records import Reason
from novapulse.research.bias.subjects import Column, Columns, Subject
from novapulse.strategies import STRATEGIES, Strategy

Bars = Mapping[InstrumentKey, BarColumns]

_ALONE: Bars = MappingProxyType({})
_CALIBRATED = ("thresholds", "volatility", "scalars", "weights", "learned", "diversification", "days")
_FILLED = ("price_units", "qty_units", "cash_units", "fee_units", "reason", "decision_ts_ns")


def confluence_subjects(
    settings: ConfluenceSettings,
    bars: BarColumns,
    strategies: Mapping[str, Strategy] = STRATEGIES,
    *,
    key: InstrumentKey = NAMELESS,
    companions: Bars = _ALONE,
) -> tuple[Subject, ...]:
    """Return the consensus, the calibrations behind it, and the window that a live trader computes it on.

    Args:
        settings: What is weighed.
        bars: Bars from which the live window's calibrations are learned once, as a stored table would hold them.
        strategies: Those the settings name.
        key: The instrument of the bars.
        companions: Bars of other instruments that share the calibrations.

    Raises:
        ConfluenceError: Settings and strategies do not belong together.
        StrategyError: A strategy raised, or returned something that is not votes.
    """
    plan = prepare(settings, strategies)
    warm = plan.warmup_base_bars

    def consensus(bars: BarColumns) -> Columns:
        market = _market(key, bars, companions)
        said, _ = pipeline.signals(market, settings, strategies)
        return _said_of_all(said, market, key)

    def calibrations(bars: BarColumns) -> Columns:
        _, rows = pipeline.signals(_market(key, bars, companions), settings, strategies)
        return _in_force(rows, bars)

    _, stored = pipeline.signals(_market(key, bars, companions), settings, strategies)
    slower = _slower(plan)
    return (
        Subject("consensus", "pipeline", consensus, None, slower, heavy=True, cuts_from=warm),
        Subject("calibrations", "calibration", calibrations, None, slower, heavy=True, cuts_from=warm),
        Subject("live window", "pipeline", _live(plan, stored, key), warm, slower, whole_windows=True, heavy=True),
    )


def decisions_subject(
    settings: BacktestSettings,
    instrument: Instrument,
    strategies: Mapping[str, Strategy] = STRATEGIES,
    *,
    companions: Bars = _ALONE,
    facts: Sequence[Instrument] = (),
) -> Subject:
    """Return what the decision core does with the consensus: equity, fills and refusals at each bar.

    Args:
        settings: What is decided and how it is carried out.
        instrument: Facts about the instrument of the bars, the same whatever the bars.
        strategies: Those the settings name.
        companions: Bars of other instruments that share the cash.
        facts: Facts about each of them.

    Raises:
        ConfluenceError: Settings and strategies do not belong together.
        StrategyError: A strategy does not say how many bars it needs.
    """
    plan = prepare(settings.confluence, strategies)
    instruments = {each.key: each for each in (instrument, *facts)}

    def folded(bars: BarColumns) -> Result:
        market = _market(instrument.key, bars, companions)
        return run(market, settings, instruments=instruments, strategies=strategies)

    def decisions(bars: BarColumns) -> Columns:
        return _events(folded(bars), bars)

    def fills(bars: BarColumns) -> Column:
        result = folded(bars)
        own = [each.key for each in result.instruments].index(instrument.key)
        filled: Column = result.fills[result.fills["instrument"] == own]
        return filled

    return Subject(
        "decisions",
        "decisions",
        decisions,
        None,
        _slower(plan),
        fills=fills,
        accepts_unknown=False,
        heavy=True,
        cuts_from=plan.warmup_base_bars,
    )


def _slower(plan: Plan) -> tuple[int, ...]:
    return tuple(multiple for multiple in plan.multiples if multiple > 1)


def _market(key: InstrumentKey, bars: BarColumns, companions: Bars) -> Bars:
    end_ns = int(bars.ts_close_ns[-1])
    return {key: bars} | {name: others.between(None, end_ns) for name, others in companions.items()}


def _said_of_all(said: Mapping[InstrumentKey, SignalColumns], market: Bars, key: InstrumentKey) -> Columns:
    columns = dict(_columns(said[key]))
    closes = market[key].ts_close_ns
    for name in sorted(market.keys() - {key}):
        rows = np.searchsorted(market[name].ts_close_ns, closes, side="right") - 1
        for column, values in _columns(said[name]).items():
            columns[f"{name}.{column}"] = np.append(values, values.dtype.type(0))[rows]
    return columns


def _columns(said: SignalColumns) -> Columns:
    columns = {field.name: getattr(said, field.name) for field in fields(said)}
    return {name: column for name, column in columns.items() if isinstance(column, np.ndarray)}


def _live(plan: Plan, stored: Sequence[Calibration], key: InstrumentKey) -> Callable[[BarColumns], Columns]:
    def compute(bars: BarColumns) -> Columns:
        return _columns(pipeline.run(bars, plan, stored, key=key))

    return compute


def _in_force(rows: Sequence[Calibration], bars: BarColumns) -> Columns:
    since = np.array([row.valid_from_ns for row in rows])
    at = rows_at(since, bars.ts_close_ns)
    columns: dict[str, Column] = {"valid_from_ns": since[at]}
    for name in _CALIBRATED:
        table = np.array([np.ravel(getattr(row, name)) for row in rows], np.float64)
        columns |= {f"{name}[{place}]": table[at, place] for place in range(table.shape[1])}
    return columns


def _events(result: Result, bars: BarColumns) -> Columns:
    # Ticks of other instruments lie between those of these bars: a row takes what happened up to its close.
    last = np.searchsorted(result.equity_ts_ns, bars.ts_close_ns, side="right") - 1
    columns: dict[str, Column] = {"equity": result.equity[last]}
    fills = result.fills
    for name in _FILLED:
        columns[f"fills.{name}"] = _summed(
            fills["ts_ns"], (fills["instrument"] + 1) * fills["side"] * fills[name], bars
        )
    refused = result.denials[result.denials["reason"] <= Reason.BELOW_MINIMUM]
    columns["refused"] = _summed(refused["first_ts_ns"], (refused["instrument"] + 1) * refused["reason"], bars)
    return columns


def _summed(stamps: Column, values: Column, bars: BarColumns) -> Column:
    sums = np.zeros(len(bars) + 1, np.int64)
    np.add.at(sums, np.searchsorted(bars.ts_close_ns, stamps), values)
    return sums[:-1]
