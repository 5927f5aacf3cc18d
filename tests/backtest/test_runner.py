"""`backtest.run`: what it takes, what it refuses, and that blocks are the whole."""

import numpy as np
import pytest

from novapulse import backtest
from novapulse.backtest.columns import fine_of, laid_out, market_of, signals_of
from novapulse.backtest.settings import BacktestSettings
from novapulse.backtest.sweep import sweep
from novapulse.core.bars import MINUTE_NS
from novapulse.core.instruments import InstrumentKey
from novapulse.market.sample import sample_market
from novapulse.signals import indicators
from tests.backtest.builders import bars_of

KEY = InstrumentKey("sample", "AAA/USD")
SETTINGS = BacktestSettings.model_validate(
    {"risk": {"stops": {"target_cost_multiple_min": 0}, "sizing": {"volatility_target": None}}}
)


def opinions(bars):
    fast, slow = indicators.ema(bars.close, 12), indicators.ema(bars.close, 26)
    lead = np.nan_to_num((fast - slow) / slow * 10_000, nan=0.0)
    return signals_of(np.clip(lead, -20, 20), indicators.atr(bars.high, bars.low, bars.close, 14))


@pytest.fixture(scope="module")
def bars():
    return sample_market(["AAA/USD"], 140_000, seed=5)["AAA/USD"]


def test_a_signal_rule_asked_block_by_block_is_the_whole_to_the_bit(bars):
    whole = backtest.run({KEY: bars}, SETTINGS, signals=opinions(bars))
    ruled = backtest.run({KEY: bars}, SETTINGS, signals=backtest.SignalRule(50 * 14 + 1, opinions))
    assert whole.fills.size > 20
    for name in ("fills", "round_trips", "denials", "equity", "equity_ts_ns", "reasons"):
        assert getattr(ruled, name).tobytes() == getattr(whole, name).tobytes(), name


def test_a_sweep_folds_what_a_run_folds(bars):
    (tally,) = sweep({KEY: bars}, [opinions(bars)], SETTINGS)
    assert tally == backtest.run({KEY: bars}, SETTINGS, signals=opinions(bars)).tally


def test_bars_that_lie_together_are_not_copied(bars):
    table = laid_out({KEY: bars[:5_000], InstrumentKey("sample", "BBB/USD"): bars[5_000:9_000]})
    market = market_of(list(table.values()))
    assert market.close.base is table[KEY].close.base or market.close is table[KEY].close.base
    assert np.array_equal(market.close, bars.close[:9_000])
    assert market.starts.tolist() == [0, 5_000, 9_000]
    apart = market_of([table[KEY][1:], next(reversed(table.values()))])
    assert np.array_equal(apart.close, np.delete(bars.close[:9_000], 0))


def test_finer_bars_stand_for_a_bar_only_if_they_are_all_of_it():
    steps = [100.0, 101.0, 80.0, 90.0, 95.0]
    fine = bars_of([(a, max(a, b), min(a, b), b) for a, b in zip([100.0, *steps[:-1]], steps, strict=True)])
    coarse = bars_of([(100.0, 101.0, 80.0, 95.0)], timeframe_ns=5 * MINUTE_NS)
    assert (fine_of([coarse], [fine]).stops - fine_of([coarse], [fine]).starts).tolist() == [5]
    partly = fine_of([coarse], [fine[3:]])
    assert (partly.stops - partly.starts).tolist() == [0]


def test_fees_of_the_settings_take_the_place_of_the_instruments(bars):
    free = SETTINGS.model_copy(
        update={"execution": SETTINGS.execution.model_copy(update={"maker_fee_bps": 0.0, "taker_fee_bps": 0.0})}
    )
    result = backtest.run({KEY: bars}, free, signals=opinions(bars))
    assert result.fills.size
    assert not result.fills["fee_units"].any()


@pytest.mark.parametrize(
    ("table", "complaint"),
    [({}, "no bars"), ({"AAA/USD": None}, "named by InstrumentKey"), ({("sample", "AAA/USD"): None}, "InstrumentKey")],
    ids=["nothing", "a text for a key", "a pair for a key"],
)
def test_what_cannot_be_run_is_named(bars, table, complaint):
    with pytest.raises(ValueError, match=complaint):
        backtest.run({key: bars for key in table}, SETTINGS)


def test_signals_that_do_not_fit_are_named(bars):
    with pytest.raises(ValueError, match="AAA/USD on sample: there are 9 rows of signals for 140000 bars"):
        backtest.run({KEY: bars}, SETTINGS, signals=signals_of(np.zeros(9), np.ones(9)))
    strange = signals_of(np.zeros(len(bars)), np.ones(len(bars)), lead=np.full(len(bars), 40, np.int8))
    with pytest.raises(ValueError, match="lead names a strategy outside"):
        backtest.run({KEY: bars}, SETTINGS, signals=strange)
