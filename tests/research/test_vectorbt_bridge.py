"""Our fills in vectorbt's books: the account comes out the same."""

import numpy as np
import pytest

from novapulse.backtest import run
from novapulse.core.instruments import InstrumentKey
from tests.research.runs import SETTINGS, sample_run

pytest.importorskip("vectorbt", reason="vectorbt belongs to the research extra")


@pytest.fixture(scope="module", params=[1, 2], ids=["one", "shared cash"])
def ran(request):
    result, markets = sample_run()
    if request.param == len(markets.bars):
        return result, markets.bars
    bars = dict(list(markets.bars.items())[:1])
    return run(bars, SETTINGS), bars


def test_the_final_value_is_ours_v_8(ran):
    """V-8: the same fills give the same money in another's books."""
    from novapulse.research.vectorbt_bridge import portfolio

    result, bars = ran
    assert result.fills.size > 20
    value = np.asarray(portfolio(result, bars).value()).reshape(-1)
    assert value[-1] == pytest.approx(float(result.equity[-1]), rel=1e-9)
    assert value.min() == pytest.approx(float(result.equity.min()), rel=1e-3)


def test_one_instrument_alone_makes_what_its_round_trips_made(ran):
    from novapulse.research.vectorbt_bridge import portfolio

    result, bars = ran
    number, key = len(bars) - 1, list(bars)[-1]
    alone = portfolio(result, bars, key)
    trips = result.round_trips[result.round_trips["instrument"] == number]
    closed = np.asarray(alone.trades.closed.pnl.values).sum()
    assert closed == pytest.approx(float(trips["pnl"].sum()), abs=1e-6)


def test_what_cannot_be_shown_is_told_in_a_sentence(ran):
    from novapulse.research.vectorbt_bridge import portfolio

    result, bars = ran
    with pytest.raises(ValueError, match="is not an instrument of this run"):
        portfolio(result, bars, InstrumentKey("sample", "DOGE/USDT"))
    with pytest.raises(ValueError, match="run it without metrics_only"):
        portfolio(sample_run(metrics_only=True)[0], bars)
