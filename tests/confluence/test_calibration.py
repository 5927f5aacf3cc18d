"""Calibrations: what the estimators find on markets of known kind, that they forget, and that no day knows the next."""

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from novapulse.confluence import ConfluenceSettings
from novapulse.confluence.calibration import Calibration
from novapulse.confluence.estimates import level_quantile, quantile
from novapulse.confluence.pipeline import signals
from novapulse.core.bars import DAY_NS, BarColumns
from novapulse.core.instruments import InstrumentKey
from novapulse.signals import Indicators
from novapulse.signals.regimes import bars_per_year
from novapulse.strategies import Votes

TEN_MINUTES = 600_000_000_000
DAYS = 60
PER_DAY = 144
BEGIN_NS = 20_000 * DAY_NS

BASE = [0.3, 0.2, 0.5]
"""Weights of fool, mute and oracle: arrays hold strategies by name."""

SETTINGS = ConfluenceSettings(
    weights={"oracle": 0.5, "fool": 0.3, "mute": 0.2},
    forecast_scalars={"oracle": 2.0, "fool": 2.0, "mute": 2.0},
    timeframe_multiples=(1,),
    timeframe_weights=(1.0,),
    agreement_multipliers=(1.0,),
)


def market(sigma: NDArray[np.float64], seed: int = 0) -> BarColumns:
    """A random walk whose bars move by `sigma`, a fraction, each."""
    steps = np.random.default_rng(seed).normal(size=sigma.size) * sigma
    close = 100.0 * np.exp(np.cumsum(steps))
    stamps = BEGIN_NS + TEN_MINUTES * np.arange(1, sigma.size + 1)
    return BarColumns.checked(
        stamps, close, close * 1.001, close * 0.999, close, np.ones(sigma.size), timeframe_ns=TEN_MINUTES
    )


class Scripted:
    """A strategy that follows a rule about the next return, which it may know: a stand-in for skill."""

    class Params:
        """No settings."""

    def __init__(self, skill: float, forecast: float) -> None:
        self.skill, self.forecast = skill, forecast

    def warmup_bars(self, params: Any) -> int:
        return 1

    def votes(self, indicators: Indicators, params: Any) -> Votes:
        close = indicators.close
        ahead = np.sign(np.diff(close, append=close[-1]))
        noise = np.sin(indicators.bars.ts_close_ns / 7e10)
        side = np.sign(self.skill * ahead + (1 - abs(self.skill)) * noise)
        return Votes(self.forecast * side, np.full(close.size, 0.5))


def strategies() -> dict[str, Scripted]:
    return {"oracle": Scripted(0.6, 8.0), "fool": Scripted(-0.6, 4.0), "mute": Scripted(0.0, 0.0)}


@pytest.fixture(scope="module")
def rows() -> list[Calibration]:
    return signals(market(np.full(DAYS * PER_DAY, 0.002)), SETTINGS, strategies())[1]


def test_one_row_per_day_each_valid_from_midnight(rows: list[Calibration]) -> None:
    assert [row.valid_from_ns for row in rows] == [BEGIN_NS + day * DAY_NS for day in range(DAYS + 1)]
    assert len({row.id for row in rows}) == DAYS + 1


def test_constants_before_there_is_history(rows: list[Calibration]) -> None:
    assert rows[0].scalars.tolist() == [[2.0, 2.0, 2.0]]
    assert rows[0].weights.tolist() == pytest.approx(BASE)
    assert rows[0].diversification == SETTINGS.calibration.diversification_default
    assert np.isnan(rows[9].volatility).all()
    assert np.isfinite(rows[10].volatility).all()


def test_scalars_make_the_average_vote_ten(rows: list[Calibration]) -> None:
    fool, mute, oracle = rows[-1].scalars[0]
    assert oracle == pytest.approx(10.0 / 4.0, rel=0.1)
    assert fool == pytest.approx(10.0 / 2.0, rel=0.15)
    assert mute == 2.0


def test_skill_is_rewarded_and_silence_is_not_punished(rows: list[Calibration]) -> None:
    fool, mute, oracle = rows[-1].weights
    assert oracle > 0.6
    assert fool < 0.2
    assert mute == pytest.approx(0.2)
    assert rows[-1].weights.sum() == pytest.approx(1.0)


def test_the_tilt_can_be_switched_off() -> None:
    settings = SETTINGS.model_copy(update={"tilt": SETTINGS.tilt.model_copy(update={"fraction": 0.0})})
    _, known = signals(market(np.full(DAYS * PER_DAY, 0.002)), settings, strategies())
    assert known[-1].weights.tolist() == pytest.approx(BASE)


def test_annual_volatility_of_a_walk_of_known_volatility(rows: list[Calibration]) -> None:
    expected = 0.002 * math.sqrt(bars_per_year(TEN_MINUTES))
    assert rows[-1].volatility[0] == pytest.approx(expected, rel=0.05)


def test_volatility_follows_a_change_faster_than_its_long_mean() -> None:
    sigma = np.where(np.arange(DAYS * PER_DAY) < 40 * PER_DAY, 0.001, 0.004)
    _, known = signals(market(sigma), SETTINGS, strategies())
    per_bar = known[-1].volatility[0] / math.sqrt(bars_per_year(TEN_MINUTES))
    assert 0.0022 < per_bar < 0.004


def test_thresholds_are_the_percentiles_of_what_was_seen() -> None:
    rng = np.random.default_rng(4)
    sigma = np.repeat(rng.uniform(0.001, 0.004, DAYS), PER_DAY)
    bars = market(sigma)
    settings = SETTINGS.model_copy(
        update={"calibration": SETTINGS.calibration.model_copy(update={"half_life_days": 5000.0})}
    )
    row = signals(bars, settings, strategies())[1][-1]
    indicators = Indicators(bars)
    warm = slice(1464, None)
    level = indicators.realized_volatility(60, bars_per_year(TEN_MINUTES))[warm]
    efficiency = indicators.efficiency_ratio(60)[warm]
    expected = [*np.quantile(level, [0.20, 0.25, 0.75, 0.80]), np.quantile(efficiency, 0.60)]
    assert row.thresholds[0, 0].tolist() == pytest.approx(expected, rel=0.03)


def test_no_day_knows_the_next() -> None:
    sigma = np.full(DAYS * PER_DAY, 0.002)
    calm, wild = market(sigma), market(np.where(np.arange(sigma.size) < 30 * PER_DAY, sigma, 0.02))
    before, after = (signals(bars, SETTINGS, strategies())[1] for bars in (calm, wild))
    # The oracle of the 30th day's last bar has seen one bar ahead: that day's own row is the last one that must agree.
    assert [row.id for row in before[:30]] == [row.id for row in after[:30]]
    assert before[32].id != after[32].id


def test_instruments_are_pooled_and_each_keeps_its_own_volatility() -> None:
    calm, wild = InstrumentKey("a", "CALM"), InstrumentKey("a", "WILD")
    length = DAYS * PER_DAY
    bars = {wild: market(np.full(length, 0.004), 1), calm: market(np.full(length, 0.001), 2)}
    row = signals(bars, SETTINGS, strategies())[1][-1]
    assert row.instruments == (calm, wild)
    assert row.volatility[1] / row.volatility[0] == pytest.approx(4.0, rel=0.1)
    assert (row.thresholds[1, 0, :4] > 2 * row.thresholds[0, 0, :4]).all()
    assert row.scalars.shape == (1, 3)


def test_quantiles_of_histograms() -> None:
    assert quantile(np.array([0.0, 10.0, 0.0, 10.0]), 0.25) == pytest.approx(1.5)
    assert quantile(np.array([0.0, 10.0, 0.0, 10.0]), 0.75) == pytest.approx(3.5)
    assert math.isnan(quantile(np.zeros(4), 0.5))
    levels = np.zeros(240)
    levels[100] = 1.0
    assert 0.001 * math.exp(5.0) <= level_quantile(levels, 0.5) <= 0.001 * math.exp(5.05)
