"""The way from bars to the consensus, on real bars: nothing ahead, nothing that depends on where one begins to look."""

import hashlib
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from novapulse.confluence import ConfluenceError, ConfluenceSettings
from novapulse.confluence.combine import SignalColumns
from novapulse.confluence.pipeline import NAMELESS, blocks, run, signals
from novapulse.confluence.plan import prepare
from novapulse.core.bars import DAY_NS, MINUTE_NS, BarColumns
from novapulse.core.instruments import InstrumentKey
from novapulse.strategies import STRATEGIES, StrategyError, Votes
from tests.strategies.markets import recorded

BTC, ETH = InstrumentKey("binance", "BTC/USDT"), InstrumentKey("binance", "ETH/USDT")
SHIPPED = ConfluenceSettings()
PLAN = prepare(SHIPPED, STRATEGIES)

Market = dict[InstrumentKey, BarColumns]


@pytest.fixture(scope="module")
def market(shared_data: Path) -> Market:
    """A month of minutes of two instruments, the second with a hole of a few minutes."""
    btc = recorded(shared_data, "binance_BTC-USDT_1m")
    eth = recorded(shared_data, "binance_ETH-USDT_1m")
    holed = np.r_[0:40_000, 40_007 : len(eth)]
    names = ("ts_close_ns", "open", "high", "low", "close", "volume")
    return {ETH: BarColumns.checked(*(getattr(eth, n)[holed] for n in names), timeframe_ns=MINUTE_NS), BTC: btc}


@pytest.fixture(scope="module")
def whole(market: Market) -> dict[InstrumentKey, SignalColumns]:
    return signals(market)[0]


def assert_same(some: SignalColumns, others: SignalColumns, but: tuple[str, ...] = ("strategies",)) -> None:
    for field in fields(some):
        if field.name not in but:
            assert np.array_equal(getattr(some, field.name), getattr(others, field.name), equal_nan=True), field.name


def head(columns: SignalColumns, count: int) -> SignalColumns:
    values = (getattr(columns, field.name) for field in fields(columns))
    return SignalColumns(*(v[:count] if isinstance(v, np.ndarray) else v for v in values))


def until(market: Market, stamp_ns: int) -> Market:
    return {key: bars.between(None, stamp_ns) for key, bars in market.items()}


def test_it_speaks_once_every_timeframe_is_warm_and_begins_anew_behind_a_gap(
    market: Market, whole: dict[InstrumentKey, SignalColumns]
) -> None:
    btc, eth = whole[BTC], whole[ETH]
    first = int(np.argmax(btc.warm))
    assert PLAN.warmup_bars * 15 <= first <= PLAN.warmup_base_bars
    assert btc.warm[first:].all()
    assert (np.abs(btc.consensus[first:]) > 5).mean() > 0.05
    assert not btc.consensus[:first].any()
    assert np.isfinite(btc.atr[first:]).all()
    assert np.isfinite(btc.volatility[first:]).all()
    assert eth.warm[39_999]
    assert not eth.warm[40_000:].any()
    assert not eth.consensus[40_000:].any()
    assert np.isnan(eth.atr[40_015:]).all(), "only the slow bar that was the latest at the gap may still be seen"


@pytest.mark.parametrize("size", [1_000, 9_000])
def test_blocks_give_the_whole_to_the_bit(market: Market, whole: dict[InstrumentKey, SignalColumns], size: int) -> None:
    joined = {key: SignalColumns.empty(len(bars), PLAN.names) for key, bars in market.items()}
    count = 0
    for block in blocks(market, block_bars=size):
        count += 1
        for key, part in block.signals.items():
            joined[key].put(block.rows[key], part)
    assert count >= 4
    for key in market:
        assert_same(joined[key], whole[key])


@pytest.mark.parametrize("last", [23_700, 30_001, 39_993])
def test_a_prefix_gives_the_same_rows(market: Market, whole: dict[InstrumentKey, SignalColumns], last: int) -> None:
    stretch = until(market, int(market[BTC].ts_close_ns[last]))
    for key, columns in signals(stretch)[0].items():
        assert_same(columns, head(whole[key], len(columns)))


def test_what_comes_later_changes_nothing(market: Market, whole: dict[InstrumentKey, SignalColumns]) -> None:
    row = 33_333
    stamp = int(market[BTC].ts_close_ns[row])
    poisoned = {}
    for key, bars in market.items():
        later = bars.ts_close_ns > stamp
        factor = np.where(later, 3.0 + np.sin(np.arange(len(bars))), 1.0)
        prices = (getattr(bars, name) * factor for name in ("open", "high", "low", "close"))
        open_, high, low, close = prices
        poisoned[key] = BarColumns.checked(
            bars.ts_close_ns, open_, high, low, close, bars.volume, timeframe_ns=MINUTE_NS
        )
    for key, columns in signals(poisoned)[0].items():
        same = int(np.searchsorted(market[key].ts_close_ns, stamp, side="right"))
        assert_same(head(columns, same), head(whole[key], same))
        assert not np.array_equal(columns.consensus, whole[key].consensus)


@pytest.mark.parametrize("row", [24_000, 30_011, 43_000])
def test_a_live_window_gives_what_the_history_gives(
    market: Market, whole: dict[InstrumentKey, SignalColumns], row: int
) -> None:
    window = market[BTC][row - PLAN.warmup_base_bars - 1 : row + 1]
    known = signals(until(market, int(window.ts_close_ns[-1])))[1]
    said = run(window, PLAN, known, key=BTC, last=2)
    for name in ("consensus", "confidence", "atr", "volatility", "lead", "regime", "warm", "sure_fire", "calibration"):
        assert np.array_equal(getattr(said, name), getattr(whole[BTC], name)[row - 1 : row + 1]), name


def test_going_on_from_stored_calibrations_gives_the_same(
    market: Market, whole: dict[InstrumentKey, SignalColumns]
) -> None:
    midnight = (int(market[BTC].ts_close_ns[25_000]) // DAY_NS) * DAY_NS
    _, known = signals(until(market, midnight))
    columns, rows = signals(market, calibrations=known)
    for key, bars in market.items():
        done = int(np.searchsorted(bars.ts_close_ns, midnight, side="right"))
        for name in ("consensus", "calibration", "sure_fire"):
            assert np.array_equal(getattr(columns[key], name)[done:], getattr(whole[key], name)[done:]), name
    assert [row.id for row in rows] == [row.id for row in signals(market)[1]]


class Loud:
    """A strategy of one's own that says the same thing of every bar of some width, and nothing of others."""

    class Params:
        """No settings."""

    def __init__(self, width_ns: int, forecast: float) -> None:
        self.width_ns, self.forecast = width_ns, forecast

    def warmup_bars(self, params: Any) -> int:
        return 3

    def votes(self, indicators: Any, params: Any) -> Votes:
        speaks = indicators.bars.timeframe_ns == self.width_ns
        return Votes(np.full(len(indicators), self.forecast * speaks), np.ones(len(indicators)))


def quiet_minutes(count: int) -> BarColumns:
    close = 100.0 + np.cumsum(np.random.default_rng(1).normal(size=count)) * 0.01
    stamps = 1_700_006_400_000_000_000 + MINUTE_NS * np.arange(1, count + 1)
    return BarColumns.checked(stamps, close, close + 0.05, close - 0.05, close, close, timeframe_ns=MINUTE_NS)


FIVE = ConfluenceSettings(
    weights={"loud": 1.0},
    forecast_scalars={"loud": 1.0},
    timeframe_multiples=(1, 5),
    timeframe_weights=(0.5, 0.5),
    agreement_multipliers=(1.0, 1.0),
    calibration={"diversification_default": 1.0, "days_min": 1000},
)


def test_a_slower_bar_speaks_from_its_close_on_and_not_before() -> None:
    bars = quiet_minutes(9_000)
    said, _ = signals(bars, FIVE, {"loud": Loud(5 * MINUTE_NS, 8.0)})
    first = int(np.argmax(said.consensus != 0))
    assert bars.number[first] % 5 == 0, "the first word falls on the close of a slower bar"
    assert (said.consensus[first:] == 4.0).all()
    until_first, _ = signals(bars[:first], FIVE, {"loud": Loud(5 * MINUTE_NS, 8.0)})
    assert not until_first.warm.any()


def test_all_abstain_gives_zero() -> None:
    said, rows = signals(quiet_minutes(9_000), FIVE, {"loud": Loud(5 * MINUTE_NS, 0.0)})
    assert said.warm.any()
    assert not said.consensus.any()
    assert (said.lead == -1).all()
    assert rows[-1].weights.tolist() == [1.0]


def test_the_order_book_votes_only_where_there_is_one() -> None:
    bars, loud = quiet_minutes(9_000), {"loud": Loud(5 * MINUTE_NS, 8.0)}
    settings = FIVE.model_copy(update={"book_weight": 0.25})
    without, _ = signals(bars, settings, loud)
    book = np.where(np.arange(9_000) % 2 == 0, np.nan, -20.0)
    said, _ = signals(bars, settings, loud, books=book)
    even = np.arange(9_000) % 2 == 0
    assert np.array_equal(said.consensus[even], without.consensus[even])
    warm = without.warm & ~even
    assert said.consensus[warm] == pytest.approx((4.0 - 0.25 * 20.0) / 1.25)
    with pytest.raises(ConfluenceError, match=r"says 21.0 at .*, expected -20..20 or NaN"):
        signals(bars, settings, loud, books=np.full(9_000, 21.0))


def test_errors_of_a_strategy_name_it() -> None:
    class Broken(Loud):
        def votes(self, indicators: Any, params: Any) -> Votes:
            return Votes(np.zeros(3), np.zeros(3))

    with pytest.raises(StrategyError, match="strategy loud"):
        signals(quiet_minutes(9_000), FIVE, {"loud": Broken(MINUTE_NS, 1.0)})


def test_calibrations_of_others_are_refused(market: Market) -> None:
    day = {key: bars[:1_500] for key, bars in market.items()}
    known = signals(day)[1]
    with pytest.raises(ConfluenceError, match="calibrations are of BTC/USDT on binance, ETH/USDT on binance"):
        signals({BTC: market[BTC]}, calibrations=known)
    with pytest.raises(ConfluenceError, match=r"weighs breakout, keltner, .*, the settings trend"):
        signals(day, ConfluenceSettings(weights={"trend": 1.0}), calibrations=known)


def test_progress_reaches_the_end_and_nothing_is_something() -> None:
    seen: list[tuple[int, int]] = []
    bars = quiet_minutes(9_000)
    loud = {"loud": Loud(MINUTE_NS, 8.0)}
    for _ in blocks({NAMELESS: bars}, FIVE, loud, progress=lambda *done: seen.append(done), block_bars=2_000):
        pass
    assert seen[-1] == (9_000, 9_000)
    assert len(seen) >= 4
    said, rows = signals(bars[:0], FIVE, loud)
    assert (len(said), len(rows)) == (0, 0)


def test_kernel_columns_carry_the_names_of_the_backtest() -> None:
    from novapulse.backtest.columns import Signals

    said = SignalColumns.empty(3, ("a",))
    columns: dict[str, NDArray[Any]] = said.to_kernel()
    assert set(columns) == set(Signals._fields) - {"gate_probability"}
    assert columns["lead"].dtype == columns["regime"].dtype == np.int8


def test_the_order_in_which_the_weights_are_written_down_moves_no_bit(market: Market) -> None:
    some = {key: bars[:9_000] for key, bars in market.items()}
    turned = dict(sorted(SHIPPED.weights.items(), key=lambda item: hash_of(item[0])))
    other = SHIPPED.model_copy(update={"weights": turned})
    assert list(other.weights) not in (list(SHIPPED.weights), sorted(SHIPPED.weights))
    said, learned = signals(some, SHIPPED)
    again, learned_again = signals(some, other)
    assert [row.id for row in learned] == [row.id for row in learned_again]
    for key in some:
        assert_same(said[key], again[key])


def hash_of(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()
