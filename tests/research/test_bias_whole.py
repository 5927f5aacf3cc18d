"""Bias proofs of the whole way (N-5): calibration, consensus, live window and decisions know nothing of later bars."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from novapulse.backtest import BacktestSettings
from novapulse.confluence import ConfluenceSettings, pipeline
from novapulse.confluence.plan import prepare
from novapulse.confluence.settings import CalibrationSettings
from novapulse.core.bars import DAY_NS, BarColumns
from novapulse.core.instruments import Instrument, InstrumentKey
from novapulse.market.facts import inferred
from novapulse.market.sample import sample_market
from novapulse.research.bias import (
    BiasReport,
    Effort,
    Outcome,
    Proof,
    Subject,
    confluence_subjects,
    decisions_subject,
    examine,
    prove,
)
from novapulse.strategies import STRATEGIES
from tests.strategies.markets import recorded

QUICK = ConfluenceSettings(timeframe_multiples=(1, 2, 3), calibration=CalibrationSettings(half_life_days=5, days_min=1))
EFFORT = Effort(random_cuts=8, turning_cuts=6, poisoned_cuts=4, open_bars=3, windows=10)
ONE, TWO = InstrumentKey("here", "ONE/USD"), InstrumentKey("here", "TWO/USD")


@pytest.fixture(scope="module")
def market() -> dict[InstrumentKey, BarColumns]:
    """Two correlated markets of six days; the second lacks an hour."""
    bars = sample_market(("ONE/USD", "TWO/USD"), 8_640, seed=4)
    gone = bars["TWO/USD"]
    kept = np.ones(len(gone), np.bool_)
    kept[3_000:3_060] = False
    columns = (gone.ts_close_ns, gone.open, gone.high, gone.low, gone.close, gone.volume)
    holed = BarColumns.checked(*(column[kept] for column in columns), timeframe_ns=gone.timeframe_ns)
    return {ONE: bars["ONE/USD"], TWO: holed}


def facts_of(key: InstrumentKey, bars: BarColumns) -> Instrument:
    return inferred(key.exchange, key.symbol, "24/7", (bars.open, bars.high, bars.low, bars.close), bars.volume)


def shown(report: BiasReport) -> dict[str, list[Proof]]:
    """Return the proofs that passed; nothing may have failed."""
    assert [subject.complaint for subject in report.subjects if subject.complaint] == []
    return {
        subject.name: [finding.proof for finding in subject.findings if finding.outcome is Outcome.PASSED]
        for subject in report.subjects
    }


NO_WINDOW = [Proof.PREFIX, Proof.POISON, Proof.TIMEFRAME]


def test_the_shipped_settings_are_clean_on_a_month_of_recorded_minutes(shared_data: Path) -> None:
    bars = recorded(shared_data, "binance_BTC-USDT_1m")
    settings = BacktestSettings()
    decisions = decisions_subject(settings, facts_of(InstrumentKey("binance", "BTC/USDT"), bars))
    report = prove((*confluence_subjects(settings.confluence, bars), decisions), bars, heavy_effort=EFFORT)
    assert shown(report) == {
        "consensus": NO_WINDOW,
        "calibrations": NO_WINDOW,
        "live window": [*NO_WINDOW, Proof.WINDOW],
        "decisions": [*NO_WINDOW, Proof.FILLS],
    }
    assert all(subject.findings[1].felt > 0 for subject in report.subjects)


def test_two_instruments_that_share_calibrations_and_cash_are_clean(market: dict[InstrumentKey, BarColumns]) -> None:
    settings = BacktestSettings(confluence=QUICK)
    own, other = market[ONE], {TWO: market[TWO]}
    subjects = (
        *confluence_subjects(QUICK, own, key=ONE, companions=other),
        decisions_subject(settings, facts_of(ONE, own), companions=other, facts=[facts_of(TWO, market[TWO])]),
    )
    report = prove(subjects, own, heavy_effort=EFFORT)
    assert shown(report) == {
        "consensus": NO_WINDOW,
        "calibrations": NO_WINDOW,
        "live window": [*NO_WINDOW, Proof.WINDOW],
        "decisions": [*NO_WINDOW, Proof.FILLS],
    }
    assert subjects[1].columns(own)["days[0]"][-1] >= 1, "calibrations must have learned something"


def test_a_live_window_suffices_wherever_it_cuts_slower_bars(market: dict[InstrumentKey, BarColumns]) -> None:
    """Every phase of the slowest bar at the window's beginning and end."""
    plan = prepare(QUICK, STRATEGIES)
    bars = market[ONE]
    full, rows = pipeline.signals(bars, QUICK)
    enough = plan.warmup_base_bars
    for end in range(len(bars) - 7, len(bars)):
        said = pipeline.run(bars[end - enough : end + 1], plan, rows)
        assert said.warm[-1]
        assert said.consensus[-1] == full.consensus[end]
        assert said.atr[-1] == full.atr[end]


def test_a_calibration_that_counts_a_day_too_early_is_caught(market: dict[InstrumentKey, BarColumns]) -> None:
    def early(bars: BarColumns) -> dict[str, np.ndarray]:
        _, rows = pipeline.signals(bars, QUICK)
        shifted = [replace(row, valid_from_ns=row.valid_from_ns - DAY_NS, memory=None) for row in rows[1:]]
        said = pipeline.run(bars, prepare(QUICK, STRATEGIES), shifted)
        return {"consensus": said.consensus, "volatility": said.volatility}

    report = examine(Subject("a day early", "pipeline", early, None, heavy=True), market[ONE], EFFORT)
    assert Proof.POISON in report.failed
    assert "looks ahead" in (report.complaint or "")


def test_facts_read_off_the_bars_are_caught(market: dict[InstrumentKey, BarColumns]) -> None:
    """An inferred tick knows the future: the reason why facts are given to the proofs."""

    def inferring(bars: BarColumns) -> dict[str, np.ndarray]:
        tick = float(facts_of(ONE, bars).tick)
        return {"tick": np.full(len(bars), tick)}

    report = examine(Subject("inferred tick", "feature", inferring, None), market[ONE], EFFORT)
    assert Proof.POISON in report.failed
