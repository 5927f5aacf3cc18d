"""What the tests of the decision core are built from: instruments, rules, markets and a fold of them."""

import hashlib
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from novapulse.backtest.account import opening_state
from novapulse.backtest.columns import (
    FILLS_PER_BAR,
    N_DENIALS,
    N_EQUITY,
    N_FILLS,
    N_ROUND_TRIPS,
    NO_FINE,
    Fine,
    Output,
    Signals,
    State,
    joined_signals,
    market_of,
    new_output,
    new_scratch,
    signals_of,
)
from novapulse.backtest.kernel import OUTPUT_FULL, fold
from novapulse.backtest.warmth import note_warmth
from novapulse.core.bars import MINUTE_NS, BarColumns
from novapulse.core.instruments import Instrument
from novapulse.core.records import ACCOUNT, BAR, RULES, SIGNAL, Record
from novapulse.execution.rules import instrument_records, rules_record
from novapulse.execution.settings import ExecutionSettings
from novapulse.risk.settings import RiskSettings

START_NS = 1_704_067_200_000_000_000
"""2024-01-01 00:00 UTC."""

OFF = {
    "position_notional_max": 0.0,
    "position_fraction_max": 0.0,
    "volatility_target": 0.0,
    "drawdown_max": 0.0,
    "daily_loss_max": 0.0,
    "gross_fraction_max": 0.0,
    "group_fraction_max": 0.0,
    "positions_max": 0,
    "kelly_trades_min": 0,
    "ruin_trades_min": 0,
    "instrument_cooldown_ns": 0,
    "strategy_cooldown_ns": 0,
    "loss_cooldown_ns": 0,
    "loss_streak_max": 0,
    "breakeven_r": 0.0,
    "trail_r": 0.0,
    "target_cost_multiple_min": 0.0,
    "latency_ns": 0,
    "half_spread_fraction": 0.0,
    "slippage_fraction": 0.0,
    "participation_max": 0.0,
    "entry_kind": 0,
}
"""Every optional rule off and every friction zero: a test turns on what it is about."""

LIVELY = {
    "volatility_target": 0.0,
    "strategy_cooldown_ns": 0,
    "loss_cooldown_ns": 0,
    "ruin_trades_min": 0,
    "loss_streak_max": 0,
    "target_cost_multiple_min": 0.0,
}
"""The default rules without those that would keep a test's market quiet."""


def instrument(symbol: str = "BTC/USD", **changes: Any) -> Instrument:
    facts = {
        "exchange": "kraken",
        "symbol": symbol,
        "base": symbol.split("/")[0],
        "quote": "USD",
        "tick": Decimal("0.01"),
        "lot": Decimal("0.001"),
        "qty_min": Decimal("0"),
        "notional_min": Decimal("0"),
        "maker_fee_bps": Decimal("0"),
        "taker_fee_bps": Decimal("0"),
        "cash_scale": 8,
    }
    return Instrument(**(facts | changes))


def rules_of(**changes: Any) -> Record:
    """Return the default rules with some fields written over."""
    record = rules_record(RiskSettings(), ExecutionSettings(), MINUTE_NS)
    for name, value in changes.items():
        assert name in RULES.names, name
        record[name] = value
    return record


def bare_rules(**changes: Any) -> Record:
    """Return rules with every option off but those given: market orders, no friction, stop 2 and target 3 ATR away."""
    return rules_of(**(OFF | changes))


def busy_rules(seed: int) -> Record:
    """Return rules drawn at random, with limits loose enough that much happens."""
    rng = np.random.default_rng(seed)

    def maybe(value: float) -> float:
        return value if rng.random() < 0.5 else 0.0

    return rules_of(
        position_notional_max=maybe(900.0),
        position_fraction_max=maybe(0.3),
        volatility_target=maybe(0.5),
        drawdown_max=maybe(0.3),
        daily_loss_max=maybe(0.03),
        gross_fraction_max=maybe(0.8),
        group_fraction_max=maybe(0.5),
        positions_max=int(maybe(2)),
        kelly_trades_min=int(maybe(10)),
        ruin_trades_min=int(maybe(20)),
        ruin_probability_max=0.5,
        gate_probability_min=maybe(0.2),
        instrument_cooldown_ns=int(maybe(3)) * MINUTE_NS,
        strategy_cooldown_ns=int(maybe(5)) * MINUTE_NS,
        loss_cooldown_ns=int(maybe(7)) * MINUTE_NS,
        loss_streak_max=int(maybe(4)),
        loss_streak_pause_ns=20 * MINUTE_NS,
        breakeven_r=maybe(0.7),
        trail_r=maybe(1.0),
        trail_start_r=1.0,
        target_atr=maybe(2.0),
        target_cost_multiple_min=maybe(1.2),
        time_stop_bars=int(maybe(9)),
        entry_kind=rng.integers(0, 2),
        exit_kind=rng.integers(0, 2),
        target_kind=rng.integers(0, 2),
        limit_offset_fraction=maybe(0.0005),
        time_to_live_ns=int(rng.integers(1, 4)) * MINUTE_NS,
        chases_max=rng.integers(0, 3),
        exit_deadline_ns=int(rng.integers(1, 6)) * MINUTE_NS,
        exit_cross_ns=int(maybe(2)) * MINUTE_NS,
        fallback_market=rng.integers(0, 2),
        latency_ns=int(maybe(200_000_000)),
        half_spread_fraction=maybe(0.0001),
        slippage_fraction=maybe(0.0002),
        participation_max=maybe(0.1),
        touch_probability=rng.choice([0.0, 0.25, 1.0]),
        seed=rng.integers(0, 2**31),
    )


def bar_of(
    open_: float, high: float, low: float, close: float, volume: float = 1e6, ts_close_ns: int = START_NS
) -> Record:
    return np.array([(ts_close_ns, open_, high, low, close, volume)], BAR)[0]


def signal_of(consensus: float = 10.0, atr: float = 1.0, **changes: Any) -> Record:
    record = np.zeros(1, SIGNAL)[0]
    record.consensus, record.atr, record.confidence, record.warm = consensus, atr, 1.0, 1
    record.volatility = record.gate_probability = np.nan
    for name, value in changes.items():
        record[name] = value
    return record


def bars_of(rows: Sequence[tuple[float, ...]], first: int = 1, timeframe_ns: int = MINUTE_NS) -> BarColumns:
    """Return bars of (open, high, low, close[, volume]); the first one closes `first` widths after the start."""
    full = [(*row, 1e6)[:5] for row in rows]
    columns = np.array(full, np.float64).reshape(-1, 5).T
    stamps = START_NS + timeframe_ns * np.arange(first, first + len(full))
    return BarColumns.checked(stamps, *columns, timeframe_ns=timeframe_ns)


def random_bars(seed: int, count: int, *, tick: float = 0.01, noise: float = 0.004, gaps: float = 0.02) -> BarColumns:
    """Return a random walk on the tick grid with missing bars, bars without volume, and jumps at the open."""
    rng = np.random.default_rng(seed)
    closes = 100.0 * np.exp(np.cumsum(rng.normal(0.0, noise, count)))
    opens = np.concatenate(([closes[0]], closes[:-1])) * np.where(
        rng.random(count) < 0.1, 1 + rng.normal(0, 2 * noise, count), 1.0
    )
    highs = np.maximum(opens, closes) * (1 + np.abs(rng.normal(0, noise / 2, count)))
    lows = np.minimum(opens, closes) * (1 - np.abs(rng.normal(0, noise / 2, count)))
    prices = [np.maximum(np.round(p / tick), 1) * tick for p in (opens, highs, lows, closes)]
    prices[1] = np.maximum.reduce(prices)
    prices[2] = np.minimum.reduce(prices)
    volume = np.where(rng.random(count) < 0.1, 0.0, np.round(rng.lognormal(2.0, 1.5, count), 3))
    steps = np.where(rng.random(count) < gaps, rng.integers(2, 2000, count), 1)
    stamps = START_NS + MINUTE_NS * np.cumsum(steps)
    return BarColumns.checked(stamps, *prices, volume, timeframe_ns=MINUTE_NS)


def random_signals(seed: int, bars: BarColumns, *, often: float = 0.4) -> Signals:
    """Return opinions that come, stay and turn, with rows where the range or the gate is unknown."""
    rng = np.random.default_rng(seed + 1_000_003)
    count = len(bars)
    blocks = rng.integers(1, 12, count)
    levels = np.where(rng.random(count) < often, rng.uniform(-20.0, 20.0, count), 0.0)
    consensus = np.repeat(levels, blocks)[:count]
    atr = np.where(rng.random(count) < 0.03, np.nan, bars.close * rng.uniform(0.001, 0.01, count))
    return signals_of(
        consensus,
        atr,
        volatility=np.where(rng.random(count) < 0.03, np.nan, rng.uniform(0.1, 2.0, count)),
        gate_probability=np.where(rng.random(count) < 0.3, np.nan, rng.uniform(0.0, 1.0, count)),
        lead=rng.integers(0, 4, count).astype(np.int8),
        regime=rng.integers(0, 3, count).astype(np.int8),
        warm=rng.random(count) > 0.03,
    )


def real_bars(folder: Path, name: str, first: int, count: int) -> BarColumns:
    """Return recorded one-minute bars."""
    table = pl.read_parquet(folder / name).slice(first, count)
    stamps = table["ts"].dt.epoch("ns").to_numpy() + MINUTE_NS
    return BarColumns.checked(
        stamps, *(table[c].to_numpy() for c in ("open", "high", "low", "close", "volume")), timeframe_ns=MINUTE_NS
    )


def lively_signals(bars: BarColumns) -> Signals:
    """Return an opinion that follows two moving averages, and the bars' mean range as ATR: plain arithmetic only."""
    close = bars.close
    total = np.concatenate(([0.0], np.cumsum(close)))
    fast, slow = np.zeros(close.size), np.zeros(close.size)
    for n, out in ((10, fast), (40, slow)):
        out[n - 1 :] = (total[n:] - total[:-n]) / n
    spans = np.concatenate(([0.0], np.cumsum(bars.high - bars.low)))
    atr = np.full(close.size, np.nan)
    atr[39:] = (spans[40:] - spans[:-40]) / 40
    known = np.nan_to_num(atr, nan=1.0) + 1e-9
    consensus = np.where(slow > 0, np.clip(8.0 * (fast - slow) / known, -20.0, 20.0), 0.0)
    return signals_of(consensus, atr, warm=slow > 0)


def facts(count: int) -> list[Instrument]:
    """Return instruments that differ in grid, fees, minimum, group and whether they can be sold short."""
    grids = [("0.01", "0.001"), ("0.05", "0.01"), ("0.1", "0.5")]
    return [
        instrument(
            f"A{j}/USD",
            tick=Decimal(grids[j % 3][0]),
            lot=Decimal(grids[j % 3][1]),
            qty_min=Decimal("0.02"),
            notional_min=Decimal(5 * j),
            maker_fee_bps=Decimal("1.5") - j,
            taker_fee_bps=Decimal("2.5"),
            shortable=j != 1,
            group="majors" if j else "",
            cash_scale=2 + 2 * (count % 2),
        )
        for j in range(count)
    ]


def market(seed: int, count: int, rows: int) -> tuple[list[BarColumns], list[Signals]]:
    """Return random bars and opinions for each of `facts(count)`."""
    bars = [random_bars(seed + 7 * j, rows + 11 * j, tick=float(f.tick)) for j, f in enumerate(facts(count))]
    return bars, [random_signals(seed + 7 * j, b) for j, b in enumerate(bars)]


class Book(NamedTuple):
    """What a fold left behind."""

    fills: Any
    round_trips: Any
    denials: Any
    equity: Any
    equity_ts_ns: Any
    reasons: Any
    state: State

    @property
    def account(self) -> Record:
        return self.state.account[0]

    @property
    def tally(self) -> Record:
        return self.state.tally[0]

    @property
    def digest(self) -> str:
        """Return one hash of everything, field by field: equality to the bit."""
        total = hashlib.sha256()
        for name in self._fields[:-1]:
            total.update(raw(getattr(self, name)))
        for name in ("account", "positions", "orders"):
            total.update(raw(getattr(self.state, name)))
        # Warmth is noted around a fold, not by it.
        folded = [name for name in self.state.tally.dtype.names if not name.startswith(("warm_", "cold_"))]
        for name in folded:
            total.update(raw(self.state.tally[name]))
        return total.hexdigest()


def raw(records: Any) -> bytes:
    """Return the bytes of an array's fields, without the padding between them."""
    if records.dtype.names is None:
        return np.ascontiguousarray(records).tobytes()
    return b"".join(np.ascontiguousarray(records[name]).tobytes() for name in records.dtype.names)


def book_of(output: Output, state: State, stamps: NDArray[np.int64]) -> Book:
    """Cut the output to what was written; `stamps` are those of the curve of a single instrument, which keeps none."""
    counts = output.counts
    stamps = output.equity_ts_ns if output.equity_ts_ns.size else stamps
    return Book(
        output.fills[: counts[N_FILLS]].view(np.recarray),
        output.round_trips[: counts[N_ROUND_TRIPS]].view(np.recarray),
        output.denials[: counts[N_DENIALS]].view(np.recarray),
        output.equity[: counts[N_EQUITY]],
        stamps[: counts[N_EQUITY]],
        output.reasons,
        state,
    )


def folded(
    bars: Sequence[BarColumns],
    signals: Sequence[Signals],
    instruments: Sequence[Instrument],
    rules: Record,
    *,
    capital: float = 10_000.0,
    fine: Fine = NO_FINE,
    state: State | None = None,
    output: Output | None = None,
    room: int = 4096,
) -> Book:
    """Run the compiled fold; `room` is the first size of the event arrays (0: metrics only)."""
    columns = market_of(bars)
    records = instrument_records(instruments)
    state = opening_state(capital, instruments) if state is None else state
    rows = int(columns.starts[-1])
    output = new_output(rows, len(bars), curve=True, events=room) if output is None else output
    inner = int((fine.stops - fine.starts).max(initial=1))
    events = len(bars) * (FILLS_PER_BAR * max(inner, 1) + 2)
    cursor = np.array(columns.starts[:-1])
    args = (columns, joined_signals(signals), fine, records, rules, state, cursor, new_scratch())
    note_warmth(state.tally, columns, args[1].warm)
    while fold(*args, output, events) == OUTPUT_FULL:
        output = grown(output, output.fills.size + events)
    return book_of(output, state, columns.ts_close_ns)


def grown(output: Output, room: int) -> Output:
    longer = {}
    for name in ("fills", "round_trips", "denials"):
        old = getattr(output, name)
        longer[name] = np.zeros(room, old.dtype)
        longer[name][: old.size] = old
    return output._replace(**longer)


def one(
    rows: Sequence[tuple[float, ...]],
    consensus: Sequence[float],
    rules: Record,
    *,
    facts: Instrument | None = None,
    atr: float = 1.0,
    capital: float = 10_000.0,
    **columns: Any,
) -> Book:
    """Fold one instrument over hand-written bars; opinions not given are 0."""
    bars = bars_of(rows)
    opinions = np.zeros(len(rows))
    opinions[: len(consensus)] = consensus
    return folded(
        [bars],
        [signals_of(opinions, np.full(len(rows), atr), **columns)],
        [facts or instrument()],
        rules,
        capital=capital,
    )


def account_of(equity: float = 10_000.0, **changes: Any) -> Record:
    """Return an account that holds nothing but cash; changes are written over."""
    account = np.zeros(1, ACCOUNT)[0]
    account.cash_units, account.cash = round(equity * 1e8), equity
    account.equity = account.equity_peak = account.day_opening_equity = account.day_peak = equity
    for name, value in changes.items():
        account[name] = value
    return account


def record_of(dtype: Any, **fields: Any) -> Record:
    record = np.zeros(1, dtype)[0]
    for name, value in fields.items():
        record[name] = value
    return record
