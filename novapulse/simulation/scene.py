"""What all seeds of a campaign share: instruments, settings that trade often, and a generated market with its signals.

Invariants:
- a scene is made once per process and only read: seeds differ by faults, latencies and schedules alone;
- two accounts of one exchange share a pair, every limit of the risk settings is on, and money is scarce enough for the
  limits to bind.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache

import numpy as np

from novapulse.backtest.settings import BacktestSettings
from novapulse.confluence import pipeline
from novapulse.confluence.settings import ConfluenceSettings
from novapulse.core.bars import MINUTE_NS, BarColumns
from novapulse.core.instruments import AccountKey, Instrument, InstrumentKey
from novapulse.engine.opening import scales_of
from novapulse.engine.rows import Ticks, ticks_of
from novapulse.engine.settings import BreakerSettings, TraderSettings
from novapulse.execution.settings import ExecutionSettings
from novapulse.market.sample import sample_market
from novapulse.risk.settings import LimitSettings, RiskSettings, SizingSettings, StopSettings

DAY_BARS = 1440
MARKET_SEED = 4
SETTLING_BARS = 10
"""Bars behind the last day: the time in which everything has to come to rest."""
REST_NS = 40_000_000_000

_COINS = ("BTC", "ETH", "SOL", "XRP", "ADA", "DOT", "LTC", "LINK")
_EXCHANGES = ("coinbase", "kraken")


@dataclass(frozen=True, slots=True)
class Part:
    """One account of a scene: its key, what it trades, and the closes that it hears."""

    key: AccountKey
    instruments: tuple[Instrument, ...]
    ticks: Ticks


@dataclass(frozen=True, slots=True)
class Scene:
    """A market, and who trades it.

    Attributes:
        parts: Accounts.
        decides: What is decided and how it is carried out.
        settings: How traders go about their work.
        breakers: Limits of the circuit breakers.
        scales: Asset -> decimal digits in the ledger.
        begin_ns: Just before the first close.
        days: Virtual days with faults.
    """

    parts: tuple[Part, ...]
    decides: BacktestSettings
    settings: TraderSettings
    breakers: BreakerSettings
    scales: Mapping[str, int]
    begin_ns: int
    days: float

    @property
    def stormy_until_ns(self) -> int:
        """When faults stop."""
        return self.begin_ns + round(self.days * DAY_BARS) * MINUTE_NS

    @property
    def end_ns(self) -> int:
        """Long enough behind the last close for everything to have come to rest."""
        return self.stormy_until_ns + SETTLING_BARS * MINUTE_NS + REST_NS


def trading_settings() -> BacktestSettings:
    """Return settings that trade often, with every limit on."""
    return BacktestSettings(
        capital=2_000.0,
        confluence=ConfluenceSettings(timeframe_multiples=(1,), timeframe_weights=(1.0,), agreement_multipliers=(1.0,)),
        risk=RiskSettings(
            entry_forecast_min=3.0,
            exit_forecast_min=1.5,
            sizing=SizingSettings(
                risk_fraction=0.02,
                position_notional_max=600.0,
                position_fraction_max=0.35,
                volatility_target=None,
                kelly_trades_min=20,
            ),
            limits=LimitSettings(
                daily_loss_max_fraction=0.05,
                drawdown_max_fraction=0.3,
                gross_exposure_max_fraction=0.5,
                group_exposure_max_fraction=0.4,
                positions_max=3,
                ruin_probability_max=0.5,
                instrument_cooldown_s=60,
                strategy_cooldown_s=60,
                loss_cooldown_s=120,
                loss_streak_max=6,
                loss_streak_pause_s=900,
            ),
            stops=StopSettings(
                stop_atr=2.0,
                target_atr=4.0,
                target_cost_multiple_min=1.0,
                target_stretch_max=10.0,
                time_stop_bars=45,
            ),
        ),
        execution=ExecutionSettings(
            chases_max=2,
            participation_max_fraction=0.02,
            half_spread_bps=0.5,
            slippage_bps=0.5,
            exit_order="limit",
        ),
    )


def instrument_of(exchange: str, coin: str, price: float) -> Instrument:
    """Return a market whose steps suit its price."""
    lot = Decimal(1).scaleb(-min(max(len(str(int(max(price, 1.0)))) + 1, 2), 6))
    tick = Decimal("0.01") if price >= 50 else Decimal("0.0001")
    return Instrument(
        exchange=exchange,
        symbol=f"{coin}/USD",
        base=coin,
        quote="USD",
        tick=tick,
        lot=lot,
        qty_min=lot * 2,
        notional_min=Decimal(5),
        maker_fee_bps=Decimal(1),
        taker_fee_bps=Decimal(3),
        group="majors" if coin in ("BTC", "ETH", "SOL") else "",
        shortable=exchange == "coinbase" and coin != "BTC",
    )


def scene_of(days: float = 1.0, pairs: int = 4, accounts: int = 3) -> Scene:
    """Return the scene of a size; made once per process.

    Args:
        days: Virtual days with faults; settling time comes on top.
        pairs: Instruments over both exchanges, 2..16.
        accounts: 1..3; the third shares a pair with the second.

    Raises:
        ValueError: A size that there is not.
    """
    if not (0 < days <= 366 and 2 <= pairs <= 2 * len(_COINS) and 1 <= accounts <= 3):
        raise ValueError(f"a scene of {days:g} days, {pairs} pairs and {accounts} accounts: there is none")
    return _scene(float(days), pairs, accounts)


@lru_cache(maxsize=4)
def _scene(days: float, pairs: int, accounts: int) -> Scene:
    decides = trading_settings()
    warm = 2 * DAY_BARS
    bars_wanted = warm + round(days * DAY_BARS) + SETTLING_BARS
    traded = [(_EXCHANGES[number % 2], _COINS[number // 2]) for number in range(pairs)]
    market = sample_market([f"{exchange} {coin}" for exchange, coin in traded], bars_wanted, MARKET_SEED)
    facts = {}
    bars: dict[InstrumentKey, BarColumns] = {}
    for exchange, coin in traded:
        columns = market[f"{exchange} {coin}"]
        one = instrument_of(exchange, coin, float(columns.close[warm]))
        facts[one.key] = one
        bars[one.key] = _on_grid(columns, float(one.tick))
    columns_of, calibrations = pipeline.signals(bars, decides.confluence)
    ids = [calibration.id for calibration in calibrations]
    begin_ns = int(next(iter(bars.values())).ts_close_ns[warm - 1])
    parts = []
    for key, chosen in _accounts(sorted(facts), accounts):
        mine = {one: bars[one] for one in chosen}
        ticks = ticks_of(mine, {one: columns_of[one] for one in chosen}, ids).after(begin_ns)
        parts.append(Part(key, tuple(facts[one] for one in chosen), ticks))
    return Scene(
        tuple(parts),
        decides,
        TraderSettings(),
        BreakerSettings(orders_max=200),
        scales_of(facts.values()),
        begin_ns,
        days,
    )


def _accounts(keys: Sequence[InstrumentKey], count: int) -> list[tuple[AccountKey, tuple[InstrumentKey, ...]]]:
    of = {exchange: tuple(key for key in keys if key.exchange == exchange) for exchange in _EXCHANGES}
    shared = of["kraken"][: max(1, len(of["kraken"]) // 2)]
    every = [
        (AccountKey("kraken", "main"), of["kraken"]),
        (AccountKey("coinbase", "main"), of["coinbase"]),
        (AccountKey("kraken", "second"), shared),
    ]
    return every[:count]


def _on_grid(bars: BarColumns, tick: float) -> BarColumns:
    def snapped(prices: np.ndarray) -> np.ndarray:
        return np.maximum(np.round(prices / tick), 1.0) * tick

    return BarColumns.checked(
        bars.ts_close_ns,
        snapped(bars.open),
        snapped(bars.high),
        snapped(bars.low),
        snapped(bars.close),
        bars.volume,
        timeframe_ns=MINUTE_NS,
    )
