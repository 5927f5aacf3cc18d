"""Forecasts of all bars at once are those that the explanation of one bar shows."""

from pathlib import Path

import numpy as np
import pytest

from novapulse.confluence import ConfluenceError, ConfluenceSettings
from novapulse.confluence.explain import explain
from novapulse.confluence.forecasts import forecasts_by_strategy
from novapulse.confluence.pipeline import NAMELESS, signals
from novapulse.confluence.plan import prepare
from novapulse.core.bars import BarColumns
from novapulse.core.instruments import InstrumentKey
from novapulse.strategies import STRATEGIES
from tests.strategies.markets import recorded

PLAN = prepare(ConfluenceSettings(), STRATEGIES)


@pytest.fixture(scope="module")
def bars(shared_data: Path) -> BarColumns:
    return recorded(shared_data, "binance_SOL-USDT_1m")


def test_every_forecast_is_the_explained_one_to_the_bit(bars: BarColumns) -> None:
    _, rows = signals(bars)
    forecasts = forecasts_by_strategy(bars, PLAN, rows, NAMELESS)
    assert forecasts.shape == (len(PLAN.names), len(bars))
    # 50 is cold on every timeframe, 7 400 on the slower ones only.
    for row in (50, 7_400, *map(int, np.random.default_rng(3).integers(23_300, len(bars), 30))):
        told = [strategy["forecast"] for strategy in explain(bars, PLAN, rows, key=NAMELESS, row=row)["strategies"]]
        assert forecasts[:, row].tolist() == told
    assert np.abs(forecasts[:, 23_300:]).max(axis=1).min() > 5.0


def test_a_gap_silences_the_timeframes_until_they_are_warm_again(bars: BarColumns) -> None:
    cut = np.delete(np.arange(len(bars)), np.arange(30_000, 30_010))
    gapped = BarColumns.checked(
        *(column[cut] for column in (bars.ts_close_ns, bars.open, bars.high, bars.low, bars.close, bars.volume)),
        timeframe_ns=bars.timeframe_ns,
    )
    _, rows = signals(gapped)
    forecasts = forecasts_by_strategy(gapped, PLAN, rows, NAMELESS)
    assert not forecasts[:, 30_015 : 30_000 + PLAN.warmup_bars].any()
    for row in (29_999, 30_000, 30_003, 30_002 + PLAN.warmup_bars):
        told = [strategy["forecast"] for strategy in explain(gapped, PLAN, rows, key=NAMELESS, row=row)["strategies"]]
        assert forecasts[:, row].tolist() == told


def test_the_last_bars_alone_have_the_forecasts_of_the_whole_history(bars: BarColumns) -> None:
    _, rows = signals(bars)
    whole = forecasts_by_strategy(bars, PLAN, rows, NAMELESS)
    window = bars[len(bars) - PLAN.warmup_base_bars - 500 :]
    assert np.array_equal(forecasts_by_strategy(window, PLAN, rows, NAMELESS, last=500), whole[:, -500:])


def test_an_instrument_that_is_not_calibrated_is_refused(bars: BarColumns) -> None:
    _, rows = signals(bars[:3_000])
    with pytest.raises(ConfluenceError, match="the calibrations do not know BTC/USD on kraken"):
        forecasts_by_strategy(bars[:3_000], PLAN, rows, InstrumentKey("kraken", "BTC/USD"))
    with pytest.raises(ConfluenceError, match="do not know"):
        forecasts_by_strategy(bars[:3_000], PLAN, [], NAMELESS)
