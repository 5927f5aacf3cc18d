"""W1, W2 and W5 of the rivals' harness through our public calls, and the clock that times them.

W1: one backtest of 525,600 one-minute bars: EMA 12/26 cross up seen at the close, long 60 units at the next open, stop
2 ATR, target 3 ATR, 26 bps fee and 5 bps slippage a fill. W2: the same over 1,000 pairs of EMAs on 100,000 bars,
metrics only. W5: eight instruments over shared cash, 2 % of the free cash per entry.
"""

import resource
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from statistics import median
from types import ModuleType
from typing import Any

import numpy as np

from novapulse import backtest
from novapulse.backtest.columns import Signals, signals_of
from novapulse.backtest.result import Result, summarise
from novapulse.backtest.settings import BacktestSettings
from novapulse.backtest.sweep import sweep
from novapulse.compiled import kernel
from novapulse.core.bars import MINUTE_NS, BarColumns, Floats
from novapulse.core.instruments import Instrument, InstrumentKey
from novapulse.signals import indicators
from novapulse.strategies.votes import EMA_WARMUP, WILDER_WARMUP

_GRID = Decimal("0.0001")
_OPINION = 10.0


def settings(common: ModuleType, *, fixed_qty: float = 0.0, cash_fraction: float = 1.0) -> BacktestSettings:
    """Return the rulebook of the workloads: every rule stays in place, those that W1 does not know are opened wide."""
    return BacktestSettings.model_validate(
        {
            "capital": common.CASH,
            "risk": {
                "exit_forecast_min": 20,
                "sizing": {
                    "fixed_qty": fixed_qty,
                    "cash_fraction_max": cash_fraction,
                    "risk_fraction": 0.1,
                    "position_notional_max": 0,
                    "position_fraction_max": 0,
                    "volatility_target": None,
                    "kelly_trades_min": 0,
                },
                "limits": {
                    "daily_loss_max_fraction": 0,
                    "drawdown_max_fraction": 0,
                    "gross_exposure_max_fraction": 0,
                    "group_exposure_max_fraction": 0,
                    "positions_max": 0,
                    "ruin_trades_min": 0,
                    "instrument_cooldown_s": 0,
                    "strategy_cooldown_s": 0,
                    "loss_cooldown_s": 0,
                    "loss_streak_max": 0,
                },
                "stops": {
                    "stop_atr": common.SL_K,
                    "target_atr": common.TP_K,
                    "target_cost_multiple_min": 0,
                    "breakeven_r": 0,
                    "trail_r": 0,
                },
            },
            "execution": {
                "entry_order": "market",
                "exit_order": "market",
                "target_order": "market",
                "half_spread_bps": 0,
                "slippage_bps": common.SLIP * 1e4,
                "participation_max_fraction": 0,
                "latency_ms": 0,
            },
        }
    )


def columns(made: dict[str, Any]) -> BarColumns:
    """Return a workload's bars, named by their closes."""
    prices = (made[name] for name in ("open", "high", "low", "close", "volume"))
    return BarColumns.checked(made["ts"] + MINUTE_NS, *prices, timeframe_ns=MINUTE_NS)


def instrument(common: ModuleType, number: int = 0) -> Instrument:
    """Return a market with the workloads' fee and the four decimals of their prices."""
    fee = Decimal(str(common.FEE * 1e4))
    return Instrument(
        "bench", f"M{number}/USD", f"M{number}", "USD", tick=_GRID, lot=_GRID, maker_fee_bps=fee, taker_fee_bps=fee
    )


@kernel
def crossings(fast: Floats, slow: Floats, warm: int) -> Floats:
    """Return an opinion at each close where `fast` has crossed above `slow`, else 0."""
    opinion = np.empty(fast.size)
    was_above = True
    for i in range(fast.size):
        above = fast[i] > slow[i]
        opinion[i] = _OPINION if above and not was_above and i >= warm else 0.0
        was_above = above
    return opinion


def w1(common: ModuleType, bars: BarColumns, rulebook: BacktestSettings, market: Instrument) -> Result:
    """Run W1: indicators, signals, decisions, trades and equity curve."""

    def signals(part: BarColumns) -> Signals:
        fast, slow = indicators.ema(part.close, common.FAST), indicators.ema(part.close, common.SLOW)
        atr = indicators.atr(part.high, part.low, part.close, common.ATR_N)
        return signals_of(crossings(fast, slow, common.WARM), atr)

    warmup = max(EMA_WARMUP * common.SLOW, WILDER_WARMUP * common.ATR_N) + 1
    rule = backtest.SignalRule(warmup, signals)
    return backtest.run(bars, rulebook, instruments={market.key: market}, signals=rule)


def w2(
    common: ModuleType, bars: BarColumns, rulebook: BacktestSettings, market: Instrument, pairs: list[tuple[int, int]]
) -> list[dict[str, Any]]:
    """Run W2: a summary per pair of EMA lengths."""
    atr = indicators.atr(bars.high, bars.low, bars.close, common.ATR_N)
    averages = {n: indicators.ema(bars.close, n) for n in sorted({n for pair in pairs for n in pair})}

    def trials() -> Iterator[Signals]:
        for fast, slow in pairs:
            yield signals_of(crossings(averages[fast], averages[slow], slow), atr)

    tallies = sweep(bars, trials(), rulebook, instruments={market.key: market})
    return [summarise(tally, rulebook.capital, 365.25) for tally in tallies]


def w5(
    common: ModuleType,
    bars: dict[InstrumentKey, BarColumns],
    rulebook: BacktestSettings,
    markets: dict[InstrumentKey, Instrument],
) -> Result:
    """Run W5: many instruments over shared cash."""
    signals = {}
    for key, one in bars.items():
        fast, slow = indicators.ema(one.close, common.FAST), indicators.ema(one.close, common.SLOW)
        atr = indicators.atr(one.high, one.low, one.close, common.ATR_N)
        signals[key] = signals_of(crossings(fast, slow, common.WARM), atr)
    return backtest.run(bars, rulebook, instruments=markets, signals=signals)


def seconds(call: Callable[[], object], repetitions: int = 9) -> float:
    """Return the median wall time of a warm call."""
    call()
    times = []
    for _ in range(repetitions):
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return median(times)


def peak_memory_mb() -> float:
    """Return the largest resident size of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
