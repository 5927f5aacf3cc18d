"""Small backtests that the tests of research look at."""

from dataclasses import replace
from decimal import Decimal
from functools import cache
from typing import NamedTuple

import numpy as np

from novapulse.backtest import BacktestSettings, Result, run
from novapulse.backtest.columns import signals_of
from novapulse.core.bars import DAY_NS, MINUTE_NS, BarColumns
from novapulse.core.instruments import Instrument, InstrumentKey
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
    return result, _markets(table, result)


def _markets(table: dict[InstrumentKey, BarColumns], result: Result) -> Markets:
    each = [{"exchange": key.exchange, "symbol": key.symbol, "bars": len(one)} for key, one in table.items()]
    instruments = {fact.key: fact for fact in result.instruments}
    return Markets(table, instruments, {}, (), {"hash": "0" * 64, "instruments": each})


class Case(NamedTuple):
    """A backtest, what it ran on, and when it could first decide anything, as its opinions have it."""

    result: Result
    markets: Markets
    warm_ts_ns: int


EVENTFUL = BacktestSettings.model_validate(
    {
        "capital": 20_000.0,
        "risk": {
            "sizing": {"risk_fraction": 0.01, "position_notional_max": 0.0},
            "limits": {
                "loss_streak_max": 4,
                "loss_streak_pause_s": 7_200,
                "loss_cooldown_s": 1_800,
                "strategy_cooldown_s": 0,
                "daily_loss_max_fraction": 0.04,
            },
        },
        "execution": {"participation_max_fraction": 0.05, "touch_probability": 0.5},
    }
)
_WIDTH_NS = 30 * MINUTE_NS
_BARS_A_DAY = DAY_NS // _WIDTH_NS
_FIRST_DAY = 19_689
"""2023-11-28: the cold days end in another month than they begin, and the record in another year."""

_COLD_DAYS, _DAYS = 4, 75


@cache
def eventful(*, is_cold: bool = True, edge: float = 0.35) -> Case:
    """Two markets in both directions, with every kind of exit, orders filled in parts, and a gain that rests on chance.

    The first has cold bars in front of it; the second begins when the first has long been warm.
    """
    cold = _COLD_DAYS * _BARS_A_DAY + 7 if is_cold else 0
    bars, opinions, facts = {}, {}, {}
    for number, (symbol, late) in enumerate((("A/USD", 0), ("B/USD", 9 * _BARS_A_DAY + 5))):
        key = InstrumentKey("kraken", symbol)
        rng = np.random.default_rng(20 + number)
        bars[key] = _walk(rng, _DAYS * _BARS_A_DAY - late, late)
        warm = np.arange(len(bars[key])) >= (0 if late else cold)
        opinions[key] = _opinions(rng, bars[key], warm, edge)
        facts[key] = _fact(symbol)
    result = run(bars, EVENTFUL, instruments=facts, signals=opinions, strategies=STRATEGIES)
    first = bars[InstrumentKey("kraken", "A/USD")].ts_close_ns[cold]
    return Case(result, _markets(bars, result), int(first))


@cache
def shaken(*, seed: int = 5) -> Case:
    """The eventful run with a curve that is written over: down from the first tick, with deep and shallow valleys."""
    case = eventful(is_cold=False)
    rng = np.random.default_rng(seed)
    moves = np.where(rng.random(case.result.equity.size) < 0.03, rng.normal(0.0, 0.02, case.result.equity.size), 0.0)
    curve = EVENTFUL.capital * 0.97 * np.exp(np.cumsum(moves))
    return case._replace(result=replace(case.result, equity=curve))


def _walk(rng: np.random.Generator, count: int, late: int) -> BarColumns:
    closes = np.round(100.0 * np.exp(np.cumsum(rng.normal(0.0, 0.004, count))), 2)
    opens = np.concatenate(([100.0], closes[:-1]))
    highs = np.round(np.maximum(opens, closes) * (1 + np.abs(rng.normal(0, 0.002, count))) + 0.01, 2)
    lows = np.round(np.minimum(opens, closes) * (1 - np.abs(rng.normal(0, 0.002, count))) - 0.01, 2)
    stamps = _FIRST_DAY * DAY_NS + _WIDTH_NS * np.arange(late + 1, late + count + 1)
    volume = np.round(rng.lognormal(7.0, 1.0, count), 3)
    return BarColumns.checked(stamps, opens, highs, lows, closes, volume, timeframe_ns=_WIDTH_NS)


def _opinions(rng: np.random.Generator, bars: BarColumns, warm: np.ndarray, edge: float):
    count = len(bars)
    ahead = np.zeros(count)
    ahead[:-8] = (bars.close[8:] / bars.close[:-8] - 1.0) / 0.011
    said = np.clip(8.0 * (edge * ahead + rng.normal(0.0, 1.0, count)), -20.0, 20.0)
    consensus = np.where(rng.random(count) < 0.5, said, 0.0)
    return signals_of(
        consensus,
        np.where(rng.random(count) < 0.03, np.nan, bars.close * 0.006),
        volatility=np.full(count, 0.5),
        lead=rng.integers(0, 6, count).astype(np.int8),
        regime=rng.integers(0, 6, count).astype(np.int8),
        warm=warm,
    )


def _fact(symbol: str) -> Instrument:
    return Instrument(
        exchange="kraken",
        symbol=symbol,
        base=symbol[0],
        quote="USD",
        lot=Decimal("0.001"),
        maker_fee_bps=Decimal(-1),
        taker_fee_bps=Decimal(4),
        cash_scale=4,
        shortable=True,
    )
