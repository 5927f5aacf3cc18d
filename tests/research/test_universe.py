"""Many instruments, each judged a second time: by the public backtest, by `explain`, and by a folded account."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from novapulse import backtest
from novapulse.backtest.settings import BacktestSettings
from novapulse.confluence.explain import explain
from novapulse.confluence.plan import prepare
from novapulse.core.bars import DAY_NS, MINUTE_NS, BarColumns, format_ns
from novapulse.core.instruments import InstrumentKey
from novapulse.core.records import Reason
from novapulse.market.lake import Lake
from novapulse.market.sample import sample_market
from novapulse.research.decision import decision_at
from novapulse.research.inputs import InputError, read_markets
from novapulse.research.universe import (
    Direction,
    Filter,
    Order,
    Scan,
    Scanned,
    gapless_bars,
    on_own_timeframe,
    scan,
    series_of,
    turnover_of,
)
from novapulse.strategies import STRATEGIES

HOUR_NS = 60 * MINUTE_NS
SYMBOLS = ("BTC/USD", "ETH/USD", "SOL/USD")
BARS = 1_900
SETTINGS = on_own_timeframe(
    BacktestSettings.model_validate(
        {
            "risk": {"entry_forecast_min": 3.0, "stops": {"target_cost_multiple_min": 1}},
            "confluence": {"calibration": {"days_min": 3}},
        }
    )
)


@pytest.fixture(scope="module")
def market() -> dict[str, BarColumns]:
    return sample_market(SYMBOLS, BARS, 11, HOUR_NS)


@pytest.fixture(scope="module")
def lake(market: dict[str, BarColumns], tmp_path_factory: pytest.TempPathFactory) -> Lake:
    made = Lake(tmp_path_factory.mktemp("universe"))
    for symbol, bars in market.items():
        made.append("kraken", symbol, "1h", bars, source="a test")
    made.append("coinbase", "BTC/USD", "1h", market["BTC/USD"][:700], source="a test")
    made.append("coinbase", "ETH/USD", "1h", market["ETH/USD"][:1], source="a test")
    gap = market["SOL/USD"]
    made.append("coinbase", "SOL/USD", "1h", gap[:1_500], source="a test")
    made.append("coinbase", "SOL/USD", "1h", gap[1_600:], source="a test")
    return made


def scanned(lake: Lake, now_ns: int, settings: BacktestSettings = SETTINGS) -> Scan:
    return scan(lake, series_of(lake), settings, STRATEGIES, now_ns=now_ns, told=lambda done, total: None)


def row_of(found: Scan, exchange: str, symbol: str) -> Scanned:
    (row,) = [one for one in found.rows if (one.exchange, one.symbol) == (exchange, symbol)]
    return row


def test_each_is_judged_as_the_backtest_and_its_explanation_judge_it(lake: Lake, market: dict[str, BarColumns]) -> None:
    plan = prepare(SETTINGS.confluence, STRATEGIES)
    reasons: set[str] = set()
    for back in range(0, 320, 8):
        now_ns = int(market["BTC/USD"].ts_close_ns[-1 - back])
        found = scanned(lake, now_ns + HOUR_NS // 2)
        for symbol in SYMBOLS:
            key, row = InstrumentKey("kraken", symbol), row_of(found, "kraken", symbol)
            markets = read_markets(lake, "kraken", [symbol], "1h", None, format_ns(now_ns), all_needed=True)
            bars = markets.bars[key]
            result = backtest.run({key: bars}, SETTINGS, instruments=markets.instruments)
            columns = result.signals[key]
            told = explain(bars, plan, result.calibrations, key=key)
            assert row.warm
            assert row.warm == told["warm"]
            assert (row.consensus, row.regime, row.confidence) == (
                float(columns.consensus[-1]),
                told["regime"],
                float(columns.confidence[-1]),
            )
            assert row.consensus == told["consensus"]
            assert row.lead == (told["lead"] or "")
            assert row.forecasts == {one["name"]: one["forecast"] for one in told["strategies"]}
            assert row.weights == {one["name"]: one["share_of_weight"] for one in told["strategies"]}
            # An account that was never told anything before this bar holds nothing at it.
            silent = replace(columns, consensus=np.append(np.zeros(len(bars) - 1), columns.consensus[-1]))
            decided = decision_at(key, markets, {key: silent}, SETTINGS)
            assert (row.would.reason, row.would.why) == (decided["reason"], decided["text"])
            if decided["verb"] == "ENTER":
                side = 1 if row.would.side == "buy" else -1
                assert row.would.qty == pytest.approx(decided["sizes"][decided["binding"]], rel=1e-3)
                assert row.price is not None
                assert row.would.stop_price == row.price - side * decided["stop_distance"]
                target = decided["target_distance"]
                assert row.would.target_price == (None if target is None else row.price + side * target)
            else:
                assert (row.would.side, row.would.qty, row.would.stop_price) == ("", 0.0, None)
            reasons.add(row.would.reason)
    assert reasons >= {Reason.ENTER_CONSENSUS.name, Reason.NO_SIGNAL.name, Reason.SHORT_NOT_ALLOWED.name}


def test_price_change_turnover_and_age_are_those_of_the_bars(lake: Lake, market: dict[str, BarColumns]) -> None:
    bars = market["ETH/USD"]
    now_ns = int(bars.ts_close_ns[-1]) + 90 * 10**9
    row = row_of(scanned(lake, now_ns), "kraken", "ETH/USD")
    assert (row.price, row.bars, row.ts_close_ns) == (float(bars.close[-1]), BARS, int(bars.ts_close_ns[-1]))
    assert row.change_fraction == bars.close[-1] / bars.close[-2] - 1
    assert row.age_s(now_ns) == 90.0
    by_day: dict[int, float] = {}
    for ts_ns, close, volume in zip(bars.ts_close_ns.tolist(), bars.close, bars.volume, strict=True):
        day = (ts_ns - 1) // DAY_NS
        by_day[day] = by_day.get(day, 0.0) + float(close * volume)
    assert row.turnover == pytest.approx(float(np.median(list(by_day.values())[-20:])))
    assert row.quote == "USD"


def test_what_closes_later_is_not_looked_at(lake: Lake, market: dict[str, BarColumns]) -> None:
    at = 1_700
    row = row_of(scanned(lake, int(market["BTC/USD"].ts_close_ns[at]) + 1), "kraken", "BTC/USD")
    assert row.ts_close_ns == int(market["BTC/USD"].ts_close_ns[at])
    before = row_of(scanned(lake, int(market["BTC/USD"].ts_close_ns[0]) - 1), "kraken", "BTC/USD")
    assert "no bar of it closes" in before.problem


def test_what_is_not_warm_says_how_many_bars_it_has_and_needs(lake: Lake, market: dict[str, BarColumns]) -> None:
    found = scanned(lake, int(market["BTC/USD"].ts_close_ns[-1]))
    needed = prepare(SETTINGS.confluence, STRATEGIES).warmup_base_bars + 1
    for symbol, gapless in (("BTC/USD", 700), ("ETH/USD", 1), ("SOL/USD", BARS - 1_600)):
        row = row_of(found, "coinbase", symbol)
        assert row.cold == f"not warm: {gapless:,} of {needed:,} bars without a gap"
        assert (row.consensus, row.regime, row.forecasts, row.weights) == (None, None, None, None)
        assert (row.would.side, row.would.reason) == ("", Reason.NOT_WARM.name)
    assert len(found.rows) == len(series_of(lake)) == 6
    assert row_of(found, "coinbase", "ETH/USD").change_fraction is None


def test_a_series_that_cannot_be_read_says_why_and_stays(
    lake: Lake, market: dict[str, BarColumns], tmp_path: Path
) -> None:
    broken = Lake(tmp_path)
    for symbol in SYMBOLS[:2]:
        broken.append("kraken", symbol, "1h", market[symbol], source="a test")
    next(tmp_path.glob("kraken/BTC-USD/1h/*.parquet")).write_bytes(b"no parquet")
    found = scanned(broken, int(market["BTC/USD"].ts_close_ns[-1]))
    assert row_of(found, "kraken", "BTC/USD").problem
    assert row_of(found, "kraken", "ETH/USD").warm
    strict = Filter(Direction.LONG, "trend-high", 19.9, 1e15)
    assert [one.symbol for one in found.chosen(strict)] == ["BTC/USD"]


def scan_of(*rows: Scanned) -> Scan:
    return Scan(rows, (), SETTINGS, 0)


def test_rows_are_filtered_and_sorted_by_what_is_known_of_them() -> None:
    def row(symbol: str, consensus: float | None, turnover: float = 1.0, regime: str = "range-low") -> Scanned:
        return Scanned(
            "us",
            symbol,
            "1d",
            consensus=consensus,
            turnover=turnover,
            regime=None if consensus is None else regime,
            change_fraction=turnover / 10,
            ts_close_ns=int(turnover * 100),
            warm=consensus is not None,
        )

    found = scan_of(row("A", 3.0, 5.0), row("B", None, 9.0), row("C", -8.0, 2.0, "trend-high"), row("D", 0.0, 7.0))

    def symbols(order: Order = Order.STRENGTH, **wanted: Any) -> str:
        return "".join(one.symbol for one in found.chosen(Filter(**wanted), order))

    assert symbols() == "CADB"
    assert symbols(Order.SCORE) == "ADCB"
    assert symbols(Order.TURNOVER) == symbols(Order.CHANGE) == symbols(Order.AGE) == "BDAC"
    assert symbols(Order.SYMBOL) == "ABCD"
    assert symbols(direction=Direction.LONG) == "A"
    assert symbols(direction=Direction.SHORT) == "C"
    assert symbols(score_min=3.0) == "CA"
    assert symbols(regime="trend-high") == "C"
    assert symbols(turnover_min=5.0) == "ADB"


def test_series_are_chosen_by_exchange_pattern_and_width(lake: Lake) -> None:
    names = [(one.exchange, one.symbol) for one in series_of(lake, None, ["btc/*", "SOL-USD"])]
    assert names == [(e, s) for e in ("coinbase", "kraken") for s in ("BTC/USD", "SOL/USD")]
    assert {one.exchange for one in series_of(lake, "kraken")} == {"kraken"}
    with pytest.raises(InputError, match=r"no series of us, \* in .*: there are 6 of coinbase, kraken, 1h wide") as _:
        series_of(lake, "us,")
    with pytest.raises(InputError, match="no series of \\* 1d"):
        series_of(lake, timeframe="1d")
    with pytest.raises(InputError, match="is empty: 'novapulse data import"):
        series_of(Lake(lake.path / "nowhere"))


def test_bars_without_a_gap_are_counted_from_the_last_one(market: dict[str, BarColumns]) -> None:
    bars = market["BTC/USD"]
    assert gapless_bars(bars) == BARS
    assert gapless_bars(bars[:1]) == 1
    holes = BarColumns.checked(
        *(np.delete(getattr(bars, name), 10) for name in ("ts_close_ns", "open", "high", "low", "close", "volume")),
        timeframe_ns=HOUR_NS,
    )
    assert gapless_bars(holes) == BARS - 11
    assert turnover_of(bars[:1]) == bars.close[0] * bars.volume[0]


def test_real_daily_bars_of_stocks_are_judged_on_their_own_timeframe(shared_data: Path, tmp_path: Path) -> None:
    from novapulse.market.importer import import_file

    lake = Lake(tmp_path)
    for symbol in ("SPY", "GOOG"):
        file = shared_data / f"us_{symbol}_1d.parquet"
        import_file(lake, file, "us", symbol, "1d", "open", calendar_name="XNYS")
    now_ns = 1_800_000_000 * 10**9
    shipped = scanned(lake, now_ns, BacktestSettings())
    assert {row.cold for row in shipped.rows} == {
        "not warm: 3,617 of 23,206 bars without a gap",
        "not warm: 5,283 of 23,206 bars without a gap",
    }
    own = on_own_timeframe(BacktestSettings())
    for row in scanned(lake, now_ns, own).rows:
        key = InstrumentKey("us", row.symbol)
        result = backtest.run({key: lake.bars("us", row.symbol, "1d")}, own)
        assert row.consensus == float(result.signals[key].consensus[-1])
        assert any((row.forecasts or {}).values())
