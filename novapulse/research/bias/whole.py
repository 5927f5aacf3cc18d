"""The whole way from bars to decisions as subjects: calibration rows, consensus, a live window, fills and equity.

Facts about the instrument are given, never read off the bars: a tick that was inferred from all bars would itself know
the future.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields

import numpy as np

from novapulse.backtest import BacktestSettings, Result, run
from novapulse.confluence import pipeline
from novapulse.confluence.calibration import Calibration
from novapulse.confluence.combine import SignalColumns
from novapulse.confluence.plan import Plan, prepare
from novapulse.confluence.settings import ConfluenceSettings
from novapulse.confluence.voices import rows_at
from novapulse.core.bars import BarColumns
from novapulse.core.instruments import Instrument
from novapulse.core.records import Reason
from novapulse.research.bias.subjects import Column, Columns, Subject
from novapulse.strategies import STRATEGIES, Strategy


def confluence_subjects(
    settings: ConfluenceSettings, bars: BarColumns, strategies: Mapping[str, Strategy] = STRATEGIES
) -> tuple[Subject, ...]:
    """Return the consensus, the calibrations behind it, and the window that a live trader computes it on.

    Args:
        settings: What is weighed.
        bars: Bars from which the live window's calibrations are learned once, as a stored table would hold them.
        strategies: Those the settings name.

    Raises:
        ConfluenceError: Settings and strategies do not belong together.
        StrategyError: A strategy raised, or returned something that is not votes.
    """
    plan = prepare(settings, strategies)
    slower = tuple(multiple for multiple in plan.multiples if multiple > 1)
    warm = plan.warmup_base_bars

    def consensus(bars: BarColumns) -> Columns:
        said, _ = pipeline.signals(bars, settings, strategies)
        return _columns(said)

    def calibrations(bars: BarColumns) -> Columns:
        _, rows = pipeline.signals(bars, settings, strategies)
        return _in_force(rows, bars)

    stored = pipeline.signals(bars, settings, strategies)[1]
    return (
        Subject("consensus", "pipeline", consensus, None, slower, heavy=True, cuts_from=warm),
        Subject("calibrations", "calibration", calibrations, None, slower, heavy=True, cuts_from=warm),
        Subject(
            "live window",
            "pipeline",
            _live(plan, stored),
            warm,
            slower,
            whole_windows=True,
            heavy=True,
        ),
    )


def decisions_subject(
    settings: BacktestSettings, instrument: Instrument, strategies: Mapping[str, Strategy] = STRATEGIES
) -> Subject:
    """Return what the decision core does with the consensus: equity, fills and refusals at each bar.

    Args:
        settings: What is decided and how it is carried out.
        instrument: Facts about the instrument, the same whatever the bars.
        strategies: Those the settings name.

    Raises:
        ConfluenceError: Settings and strategies do not belong together.
        StrategyError: A strategy does not say how many bars it needs.
    """

    def folded(bars: BarColumns) -> Result:
        return run({instrument.key: bars}, settings, instruments={instrument.key: instrument}, strategies=strategies)

    def decisions(bars: BarColumns) -> Columns:
        return _events(folded(bars), bars)

    def fills(bars: BarColumns) -> Column:
        return folded(bars).fills

    plan = prepare(settings.confluence, strategies)
    return Subject(
        "decisions",
        "decisions",
        decisions,
        None,
        tuple(multiple for multiple in plan.multiples if multiple > 1),
        fills=fills,
        accepts_unknown=False,
        heavy=True,
        cuts_from=plan.warmup_base_bars,
    )


def _columns(said: SignalColumns) -> Columns:
    columns = {field.name: getattr(said, field.name) for field in fields(said)}
    return {name: column for name, column in columns.items() if isinstance(column, np.ndarray)}


def _live(plan: Plan, stored: Sequence[Calibration]) -> Callable[[BarColumns], Columns]:
    def compute(bars: BarColumns) -> Columns:
        return _columns(pipeline.run(bars, plan, stored))

    return compute


def _in_force(rows: Sequence[Calibration], bars: BarColumns) -> Columns:
    at = rows_at(np.array([row.valid_from_ns for row in rows]), bars.ts_close_ns)
    tables = {
        name: np.array([np.ravel(getattr(row, name)) for row in rows], np.float64)
        for name in ("thresholds", "volatility", "scalars", "weights", "learned", "diversification", "days")
    }
    columns = {"valid_from_ns": np.array([row.valid_from_ns for row in rows])[at]}
    for name, table in tables.items():
        columns |= {f"{name}[{place}]": table[at, place] for place in range(table.shape[1])}
    return columns


def _events(result: Result, bars: BarColumns) -> Columns:
    columns: dict[str, Column] = {"equity": result.equity}
    fills, denials = result.fills, result.denials
    rows = np.searchsorted(bars.ts_close_ns, fills["ts_ns"])
    for name in ("price_units", "qty_units", "cash_units", "fee_units", "reason", "decision_ts_ns"):
        column = np.zeros(len(bars), np.int64)
        np.add.at(column, rows, fills["side"] * fills[name])
        columns[f"fills.{name}"] = column
    refused = denials[denials["reason"] <= Reason.BELOW_MINIMUM]
    column = np.zeros(len(bars), np.int64)
    np.add.at(column, np.searchsorted(bars.ts_close_ns, refused["first_ts_ns"]), refused["reason"])
    columns["refused"] = column
    return columns
