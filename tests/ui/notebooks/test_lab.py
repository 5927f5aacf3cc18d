"""The strategy lab without a browser: votes are the strategy's, proofs catch who looks ahead and can be cancelled."""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from novapulse.research.bias import QUICK
from novapulse.signals.regimes import Thresholds
from novapulse.strategies import Votes, evaluate, trend
from novapulse.ui.jobs import Job, Reporter, Results
from novapulse.ui.notebooks import lab, lab_view
from novapulse.ui.notebooks.lab import Desk
from novapulse.ui.notebooks.layout import number


@pytest.fixture
def desk(lake: Path) -> Desk:
    return lab.open_desk()


def chosen_on(desk: Desk, name: str, **values: Any) -> lab.Chosen:
    return lab.choose(desk, lab.series_choice(desk).value, name, values, 15)


def test_votes_are_those_of_the_strategy_with_these_parameters(desk: Desk):
    came = lab.voted(desk, chosen_on(desk, "trend", fast_bars=8))
    assert came.result is not None
    bars = came.result.bars
    assert np.array_equal(
        came.result.votes.forecast, evaluate(trend, bars, trend.Params(fast_bars=8), Thresholds()).forecast
    )
    assert came.result.spoken.spoke > 0


def test_a_bar_that_is_clicked_is_answered_with_the_votes_on_it(desk: Desk):
    chosen = chosen_on(desk, "trend", fast_bars=8)
    came, chart = lab.voted(desk, chosen), lab_view.candles_of(desk, lab.series_choice(desk).value)
    assert came.result is not None
    lab_view.show_votes(chart, came)
    lab_view.answer_bars(chart, came)
    assert "answers" not in chart.state
    bars, votes = came.result.bars, came.result.votes
    spoke = int(np.flatnonzero(votes.forecast[:-15])[-1])

    def said(row: int) -> str:
        chart.clicked = {"time": int(bars.ts_close_ns[row]) / 1e9}
        return str(chart.state["answers"][0]["text"])

    way = "long" if votes.forecast[spoke] > 0 else "short"
    moved = (bars.close[spoke + 15] / bars.close[spoke] - 1) * 1e4
    sentence = (
        f"Z: {way}, forecast {number(votes.forecast[spoke], '+.1f')} of 20, confidence {votes.confidence[spoke]:.0%};"
        f" the price 15 bars on: {number(moved, '+,.1f')} bps"
    )
    assert said(spoke).endswith(sentence)
    assert "no opinion" in said(int(np.flatnonzero(votes.forecast == 0)[0]))
    assert said(len(bars) - 1).endswith("the price 15 bars on: not known")
    chart.clicked = {"time": 1.0}
    assert "no such bar" in chart.state["answers"][0]["text"]
    said(spoke)
    lab_view.answer_bars(chart, other := lab.voted(desk, chosen_on(desk, "trend", fast_bars=4)))
    assert other.result is not None
    forecast = other.result.votes.forecast[spoke]
    assert forecast != votes.forecast[spoke]
    assert f"forecast {number(forecast, '+.1f')} of 20" in chart.state["answers"][0]["text"], "those of now"


def test_alone_means_that_no_other_strategy_has_a_weight(desk: Desk):
    came: list[Any] = []
    lab.trade_alone(desk, chosen_on(desk, "trend", fast_bars=8), came.append)
    settings = came[0].result.request.settings.confluence
    assert settings.shares == {"trend": 1.0}
    assert settings.parameters["trend"] == {"fast_bars": 8}


def test_parameters_that_cannot_be_are_said(desk: Desk):
    chosen = chosen_on(desk, "trend", fast_bars=41)
    assert "fast_bars" in (lab.voted(desk, chosen).problem or "")


def seer() -> Any:
    def votes(indicators: Any, params: Any) -> Votes:
        return Votes.made(np.append(np.diff(indicators.close), 0.0), 0.5, 10)

    return SimpleNamespace(__name__="seer", Params=trend.Params, warmup_bars=lambda params: 10, votes=votes)


def test_who_looks_ahead_is_caught_and_who_does_not_passes(desk: Desk):
    bars = desk.bench.lake.bars("binance", "BTC/USDT", "1m")[-4_000:]
    honest = lab.proven("trend", trend, trend.Params(), bars, Reporter(), QUICK)
    assert honest.ok
    assert "looks ahead" in (lab.proven("seer", seer(), trend.Params(), bars, Reporter(), QUICK).complaint or "")


def test_proofs_can_be_cancelled(desk: Desk):
    bars = desk.bench.lake.bars("binance", "BTC/USDT", "1m")
    job = Job(lambda reporter: lab.proven("trend", trend, trend.Params(), bars, reporter))
    job.cancel()
    assert job.wait(60)
    assert job.was_cancelled
    assert job.result is None


def test_ones_own_strategies_are_there_and_read_again(lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    own = tmp_path / "own"
    own.mkdir()
    monkeypatch.setenv("NOVAPULSE_DATA__STRATEGIES_FOLDER", str(own))
    source = Path(trend.__file__).read_text()
    (own / "my_trend.py").write_text(source)
    desk = lab.open_desk()
    assert lab.strategy_choice(desk).value == "my_trend"
    assert lab.voted(desk, chosen_on(desk, "my_trend")).result is not None
    (own / "my_trend.py").write_text("import nonsense_that_is_not_there")
    assert "my_trend" in (lab.open_desk(1).problem or "")
    sys.modules.pop("novapulse_user_strategies.my_trend", None)


def test_a_strategy_is_proven_once_and_one_of_ones_own_every_time(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    monkeypatch.setattr(lab, "proven", lambda name, *_: (made.append(name), f"report {len(made)}")[1])
    monkeypatch.setattr(lab, "_proven", Results(4))
    came: list[Any] = []

    def prove(name: str, **values: Any) -> Any:
        lab.prove(desk, True, chosen_on(desk, name, **values), came.append)
        return came[-1].result

    assert [prove("trend") for _ in range(2)] == ["report 1"] * 2
    assert prove("trend", fast_bars=7) == "report 2"
    monkeypatch.setitem(desk.bench.strategies, "trend", seer())
    assert [prove("trend") for _ in range(2)] == ["report 3", "report 4"]
