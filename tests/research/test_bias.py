"""Bias proofs (N-5, R-11): strategies and indicators are clean on real and made bars; one that peeks is named."""

import json
from pathlib import Path

import numpy as np
import pytest

from novapulse.core.bars import BarColumns
from novapulse.market.sample import sample_market
from novapulse.research.bias import (
    BiasReport,
    Effort,
    Outcome,
    Proof,
    feature_subjects,
    prove,
    quick_check,
    regime_subject,
    slower_bars_subject,
    strategy_subject,
    strategy_subjects,
)
from novapulse.research.bias.futures import FUTURES, unknown, wild_until
from novapulse.research.bias.parameters import draws
from novapulse.signals import Indicators
from novapulse.strategies import STRATEGIES, StrategyError
from novapulse.strategies.loader import load
from tests.strategies.markets import recorded

FEW = Effort(random_cuts=8, turning_cuts=8, poisoned_cuts=4, open_bars=4, windows=10, variant_cuts=2)

HONEST = """
from pydantic import BaseModel, Field
from novapulse.strategies import Votes


class Params(BaseModel):
    span_bars: int = Field(10, ge=2, le=30)


def warmup_bars(params):
    return max(25 * params.span_bars, 50 * 14)


def votes(indicators, params):
    lead = (indicators.close - indicators.ema(params.span_bars)) / indicators.atr(14)
    return Votes.made({forecast}, 0.5, {warmup})
"""
PEEKS = {
    "the next close": "10 * lead * (np.roll(indicators.close, -1) > indicators.close)",
    "the mean of all bars": "10 * (indicators.close - indicators.close.mean()) / indicators.close.std()",
    "the last close of all": "np.where(indicators.close < indicators.close[-1], 5.0, -5.0)",
}


@pytest.fixture(scope="module")
def made_bars() -> BarColumns:
    """A generated market, so that something is proven where no recorded bars are."""
    return sample_market(("BIAS",), 4_000, seed=3)["BIAS"]


def user_strategy(folder: Path, forecast: str = "10 * lead", warmup: str = "warmup_bars(params)") -> object:
    """Write a user's strategy and load it as the command line does."""
    text = "import numpy as np\n" + HONEST.format(forecast=forecast, warmup=warmup)
    (folder / "mine.py").write_text(text)
    return load(folder)["mine"]


def complaints(report: BiasReport) -> list[str]:
    return [subject.complaint for subject in report.subjects if subject.complaint]


@pytest.mark.parametrize("file", ["binance_BTC-USDT_1m", "kraken_BTC-USD_1h"])
def test_strategies_are_clean_on_recorded_bars(shared_data: Path, file: str) -> None:
    """R-11: no lookahead, windows equal history to the bit, defaults and parameter sets that a search may choose."""
    report = prove(strategy_subjects(), recorded(shared_data, file)[-8_000:])
    assert complaints(report) == []
    assert report.ok
    assert [subject.name for subject in report.subjects] == list(STRATEGIES)
    for subject in report.subjects:
        shown = {finding.proof: finding for finding in subject.findings}
        assert shown[Proof.PREFIX].cuts >= 50
        assert all(shown[proof].outcome is Outcome.PASSED for proof in Proof if proof is not Proof.FILLS)
        assert shown[Proof.POISON].felt > 10, f"{subject.name}: other futures must change what it says in the future"
        assert subject.spoken_rows > 100


@pytest.mark.parametrize("file", ["binance_BTC-USDT_1m", "kraken_BTC-USD_1h"])
def test_indicators_and_regimes_are_clean_on_recorded_bars(shared_data: Path, file: str) -> None:
    bars = recorded(shared_data, file)[-6_000:]
    subjects = (*feature_subjects(timeframe_ns=bars.timeframe_ns), regime_subject(), slower_bars_subject())
    report = prove(subjects, bars, effort=FEW)
    assert complaints(report) == []
    for subject in report.subjects:
        assert subject.findings[1].felt > 0, subject.name


def test_strategies_and_features_are_clean_on_a_generated_market(made_bars: BarColumns) -> None:
    report = prove((*strategy_subjects(), *feature_subjects(), regime_subject()), made_bars, effort=FEW)
    assert complaints(report) == []


def test_features_are_those_in_use_and_every_indicator_of_the_view() -> None:
    names = [subject.name for subject in feature_subjects()]
    assert {"macd(12, 26, 9)", "rsi(14)", "atr(14)", "adx(14)", "efficiency_ratio(60)"} <= set(names)
    methods = {name.partition("(")[0] for name in names}
    not_indicators = {"once", "column", "regime", "session", "typical"}
    public = {name for name in vars(Indicators) if not name.startswith("_")}
    assert methods == public - not_indicators


@pytest.mark.parametrize("peek", PEEKS)
def test_a_user_strategy_that_looks_ahead_is_named_with_row_and_value(
    tmp_path: Path, made_bars: BarColumns, peek: str
) -> None:
    strategy = user_strategy(tmp_path, PEEKS[peek])
    for report in (
        prove([strategy_subject("mine", strategy)], made_bars, effort=FEW).subjects[0],
        quick_check("mine", strategy, made_bars),
    ):
        assert not report.ok
        assert Proof.PREFIX in report.failed or Proof.POISON in report.failed
        complaint = report.complaint or ""
        assert complaint.startswith("strategy mine looks ahead: ")
        assert "forecast of the bar closing 2024-01-0" in complaint


def test_an_honest_user_strategy_passes_in_few_cuts(tmp_path: Path, made_bars: BarColumns) -> None:
    strategy = user_strategy(tmp_path)
    report = quick_check("mine", strategy, made_bars)
    assert report.complaint is None
    assert sum(finding.cuts for finding in report.findings) < 20
    assert prove([strategy_subject("mine", strategy)], made_bars, effort=FEW).ok


def test_a_warm_up_declared_too_short_fails_the_window_proof_alone(tmp_path: Path, made_bars: BarColumns) -> None:
    strategy = user_strategy(tmp_path, warmup="0")
    strategy.warmup_bars = lambda params: 5 * params.span_bars
    report = prove([strategy_subject("mine", strategy)], made_bars, effort=FEW).subjects[0]
    assert report.failed == (Proof.WINDOW,)
    assert "depends on where its window begins" in (report.complaint or "")
    assert "declared warm-up 50" in (report.complaint or "")


def test_a_user_strategy_that_raises_or_returns_nonsense_fails_with_one_sentence(
    tmp_path: Path, made_bars: BarColumns
) -> None:
    for forecast, said in {"1 / 0": "ZeroDivisionError", "lead[:-1]": "expected float64[4000]"}.items():
        report = prove([strategy_subject("mine", user_strategy(tmp_path, forecast))], made_bars).subjects[0]
        assert not report.ok
        assert said in (report.complaint or "")
        assert "\n" not in (report.complaint or "")
    broken = user_strategy(tmp_path)
    broken.warmup_bars = lambda params: -1
    with pytest.raises(StrategyError, match="mine: warmup_bars"):
        quick_check("mine", broken, made_bars)


def test_what_cannot_be_shown_is_said_and_is_no_failure(made_bars: BarColumns) -> None:
    report = prove(strategy_subjects(), made_bars[:300], effort=FEW)
    assert report.ok
    for subject in report.subjects:
        window = subject.findings[-1]
        assert window.proof is Proof.WINDOW
        assert window.outcome is Outcome.NOT_SHOWN
        assert "there are 300" in window.note
    assert prove(strategy_subjects(), made_bars[:1], effort=FEW).ok
    with pytest.raises(ValueError, match="no bars"):
        prove(strategy_subjects(), made_bars[:0])


def test_the_report_is_json_and_the_same_every_time(tmp_path: Path, made_bars: BarColumns) -> None:
    subjects = [strategy_subject("mine", user_strategy(tmp_path, PEEKS["the next close"])), regime_subject()]
    done: list[tuple[int, int]] = []
    reports = [
        prove(subjects, made_bars, effort=FEW, progress=lambda *step: done.append(step)).to_json() for _ in range(2)
    ]
    assert reports[0] == reports[1]
    assert done[:3] == [(0, 2), (1, 2), (2, 2)]
    plain = json.loads(json.dumps(reports[0], allow_nan=False))
    assert plain["ok"] is False
    assert plain["data"] == {
        "bars": 4000,
        "start": "2024-01-01 00:01:00Z",
        "end": "2024-01-03 18:40:00Z",
        "timeframe": "1m",
    }
    peeking, regimes = plain["subjects"]
    assert (peeking["ok"], regimes["ok"]) == (False, True)
    assert list(peeking["proofs"]) == [proof.value for proof in Proof]
    failure = peeking["proofs"]["prefix"]["failure"]
    assert failure["column"] == "forecast"
    assert failure["row"] <= failure["cut_row"]
    assert failure["expected"] != failure["got"]


@pytest.mark.parametrize("words", FUTURES)
@pytest.mark.parametrize("row", [0, 7, 2_998, 2_999])
def test_other_futures_keep_the_past_and_are_possible_markets(made_bars: BarColumns, words: str, row: int) -> None:
    bars = made_bars[:3_000]
    other = FUTURES[words](bars, row, np.random.default_rng(1))
    for name in ("ts_close_ns", "open", "high", "low", "close", "volume", "number"):
        assert np.array_equal(getattr(other, name)[: row + 1], getattr(bars, name)[: row + 1])
    if FUTURES[words] is not unknown:
        columns = (other.ts_close_ns, other.open, other.high, other.low, other.close, other.volume)
        BarColumns.checked(*columns, timeframe_ns=other.timeframe_ns, number=other.number)
        assert row == 2_999 or not np.isin(other.close[row + 1 :], bars.close[row + 1 :]).any()


def test_the_rest_of_an_open_bar_is_replaced_and_nothing_else(made_bars: BarColumns) -> None:
    other = wild_until(made_bars, 100, 104, np.random.default_rng(1))
    assert np.flatnonzero(other.close != made_bars.close).tolist() == [101, 102, 103]


@pytest.mark.parametrize("name", STRATEGIES)
def test_drawn_parameters_reach_both_ends_and_are_the_same_every_time(name: str) -> None:
    params = STRATEGIES[name].Params
    drawn = list(draws(name, params, 8))
    assert [words for words, _ in drawn] == [words for words, _ in draws(name, params, 8)]
    assert len(drawn) >= 6
    assert len({words for words, _ in drawn}) == len(drawn)
    whole = [key for key, field in params.model_fields.items() if field.annotation is int]
    for key in whole:
        values = [getattr(each, key) for _, each in drawn]
        assert min(values) < params.model_fields[key].default < max(values)
