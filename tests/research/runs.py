"""Small backtests that the tests of research look at."""

from functools import cache

from novapulse.backtest import BacktestSettings, Result, run
from novapulse.core.instruments import InstrumentKey
from novapulse.market.sample import sample_market
from novapulse.research.inputs import Markets
from novapulse.strategies import STRATEGIES

SYMBOLS = ("BTC/USDT", "ETH/USDT")
SETTINGS = BacktestSettings.model_validate(
    {
        "confluence": {
            "timeframe_multiples": [1, 5],
            "timeframe_weights": [0.6, 0.4],
            "agreement_multipliers": [0.8, 1.0],
        },
        "risk": {"limits": {"loss_streak_pause_s": 600, "loss_cooldown_s": 60}},
    }
)


@cache
def sample_run(*, bars: int = 20_000, metrics_only: bool = False) -> tuple[Result, Markets]:
    """A backtest of generated minutes on two timeframes, and what it ran on."""
    table = {InstrumentKey("sample", name): one for name, one in sample_market(SYMBOLS, bars, seed=7).items()}
    result = run(table, SETTINGS, strategies=STRATEGIES, metrics_only=metrics_only)
    each = [{"exchange": key.exchange, "symbol": key.symbol, "bars": len(one)} for key, one in table.items()]
    instruments = {fact.key: fact for fact in result.instruments}
    return result, Markets(table, instruments, {}, (), {"hash": "0" * 64, "instruments": each})
