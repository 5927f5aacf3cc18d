"""Running a strategy: what comes back is checked, gaps start a new warm-up, and errors name the strategy."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from novapulse.core.bars import BarColumns
from novapulse.signals.regimes import Thresholds
from novapulse.strategies.votes import StrategyError, Votes, evaluate, ramp
from tests.strategies.markets import market, quiet


def strategy(votes: Any, warmup: Any = 3) -> Any:
    """Return a strategy that answers with `votes(indicators)`."""
    return SimpleNamespace(
        __name__="folder.mine", Params=dict, warmup_bars=lambda _: warmup, votes=lambda indicators, _: votes(indicators)
    )


def run(votes: Any, warmup: Any = 3, bars: BarColumns | None = None) -> Votes:
    """Evaluate such a strategy on ten bars."""
    return evaluate(strategy(votes, warmup), market(quiet(10)) if bars is None else bars, {}, Thresholds())


def test_each_stretch_behind_a_gap_warms_up_anew() -> None:
    bars = market(quiet(12))
    number = bars.number.copy()
    number[7:] += 2
    votes = run(lambda ind: Votes(np.full(len(ind.bars), 5.0), np.ones(len(ind.bars))), 3, replace(bars, number=number))
    assert votes.forecast.tolist() == [0, 0, 0, 5, 5, 5, 5, 0, 0, 0, 5, 5]
    assert votes.confidence.tolist() == [0, 0, 0, 1, 1, 1, 1, 0, 0, 0, 1, 1]


def test_thresholds_follow_their_bars_across_a_gap() -> None:
    bars = market(quiet(12))
    number = bars.number.copy()
    number[7:] += 2
    efficiency = np.linspace(0.1, 0.2, 12)
    seen: list[Any] = []

    def votes(indicators: Any) -> Votes:
        seen.append(indicators.regime)
        return Votes(np.zeros(len(indicators.bars)), np.zeros(len(indicators.bars)))

    gapped = replace(bars, number=number)
    evaluate(strategy(votes), gapped, {}, Thresholds(efficiency_trend=efficiency))
    assert [regime.trend.size for regime in seen] == [7, 5]
    with pytest.raises(ValueError, match=r"efficiency_trend has shape \(13,\), expected \(12,\)"):
        evaluate(strategy(votes), gapped, {}, Thresholds(efficiency_trend=np.linspace(0.1, 0.2, 13)))


def test_direction_and_strength_are_views_of_the_forecast() -> None:
    votes = Votes(np.array([-20.0, 0.0, 5.0]), np.ones(3))
    assert votes.direction.tolist() == [-1, 0, 1]
    assert votes.strength.tolist() == [1.0, 0.0, 0.25]


@given(
    hnp.arrays(np.float64, 6, elements=st.floats(allow_nan=True, allow_infinity=True)),
    hnp.arrays(np.float64, 6, elements=st.floats(allow_nan=True, allow_infinity=True)),
    st.integers(0, 8),
)
def test_made_votes_are_always_in_range(forecast: Any, confidence: Any, warmup: int) -> None:
    votes = Votes.made(forecast, confidence, warmup)
    assert np.all(np.abs(votes.forecast) <= 20)
    assert np.all((votes.confidence >= 0) & (votes.confidence <= 1))
    assert not votes.forecast[:warmup].any()
    known = ~np.isnan(forecast) & ~np.isnan(confidence) & (np.arange(6) >= warmup)
    assert np.array_equal(votes.forecast[known], np.clip(forecast[known], -20, 20))
    assert not votes.forecast[~known].any()


def made(forecast: Any = None, confidence: Any = None) -> Any:
    """Return votes on ten bars with one column replaced."""
    return lambda _: Votes(
        np.zeros(10) if forecast is None else forecast, np.zeros(10) if confidence is None else confidence
    )


NAN_AT_5 = np.where(np.arange(10) == 5, np.nan, 0.0)


@pytest.mark.parametrize(
    ("votes", "warmup", "message"),
    [
        pytest.param(lambda _: {}["no"], 3, r"votes raised KeyError: 'no' \(line \d+ of .*10 bars up to", id="raises"),
        pytest.param(lambda _: np.zeros(10), 3, "returned ndarray, expected Votes", id="not votes"),
        pytest.param(made(np.zeros(9)), 3, r"forecast is float64\[9\], expected float64\[10\]", id="short"),
        pytest.param(made(None, np.zeros((10, 1))), 3, r"confidence is float64\[10, 1\]", id="two-dimensional"),
        pytest.param(made(np.zeros(10, np.float32)), 3, r"forecast is float32\[10\]", id="float32"),
        pytest.param(made([0.0] * 10), 3, "forecast is list", id="list"),
        pytest.param(made(NAN_AT_5), 3, "closing 2023-11-15 00:06:00Z has forecast nan", id="NaN"),
        pytest.param(made(np.full(10, 20.5)), 3, "has forecast 20.5", id="too large"),
        pytest.param(made(None, np.full(10, 1.5)), 3, "confidence 1.5", id="too sure"),
        pytest.param(made(), -1, "warmup_bars returned -1", id="negative warm-up"),
        pytest.param(made(), 2.5, "warmup_bars returned 2.5", id="fractional warm-up"),
    ],
)
def test_what_is_not_votes_is_refused_by_name(votes: Any, warmup: Any, message: str) -> None:
    with pytest.raises(StrategyError, match=message) as refused:
        run(votes, warmup)
    assert str(refused.value).startswith("strategy mine: ")


def test_the_original_error_is_chained() -> None:
    with pytest.raises(StrategyError) as refused:
        run(lambda _: {}["no"])
    assert isinstance(refused.value.__cause__, KeyError)


def test_ramp_rises_from_zero_to_one_and_knows_nothing_of_nan() -> None:
    assert [ramp(x, 1.0, 3.0) for x in (0.0, 1.0, 2.0, 3.0, 9.0)] == [0.0, 0.0, 0.5, 1.0, 1.0]
    assert ramp(2.0, 2.0, 2.0) == 0.0
    assert ramp(float("nan"), 0.0, 1.0) == 0.0
