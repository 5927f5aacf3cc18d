from pathlib import Path

import numpy as np
import polars as pl
import pytest

from novapulse.core.bars import DAY_NS, MINUTE_NS, BarColumns, timeframe_ns
from novapulse.market.calendars import calendar
from novapulse.market.quality import GapKind, SpikeColumn, report
from novapulse.market.sample import sample_market


def recorded(folder: Path, name: str, calendar_name: str) -> BarColumns:
    frame = pl.read_parquet(folder / f"{name}.parquet")
    width = timeframe_ns(name.rpartition("_")[2])
    closes = calendar(calendar_name).closes_of_opens(frame["ts"].dt.timestamp("ns").to_numpy(), width)
    prices = [frame[column].to_numpy() for column in ("open", "high", "low", "close", "volume")]
    return BarColumns.checked(closes, *prices, timeframe_ns=width, number=np.arange(closes.size))


def unchecked(bars: BarColumns, rows: np.ndarray | None = None, **columns: np.ndarray) -> BarColumns:
    at = np.arange(len(bars)) if rows is None else rows
    names = ("ts_close_ns", "open", "high", "low", "close", "volume", "number", "made")
    return BarColumns(*(columns.get(name, getattr(bars, name)[at].copy()) for name in names), bars.timeframe_ns)


@pytest.mark.parametrize(
    ("name", "calendar_name", "day", "wanted"),
    [
        ("us_GOOG_1d", "XNYS", "2008-09-30", {(SpikeColumn.LOW, 0.01), (SpikeColumn.CLOSE, 294.57)}),
        ("coinbase_BTC-USD_1d", "24/7", "2017-04-16", {(SpikeColumn.LOW, 0.06)}),
    ],
)
def test_famous_bad_prints_are_found(
    shared_data: Path, name: str, calendar_name: str, day: str, wanted: set[tuple[SpikeColumn, float]]
) -> None:
    """V-14."""
    found = report(recorded(shared_data, name, calendar_name), calendar(calendar_name)).spikes
    that_day = found["ts_close_ns"] // DAY_NS == np.datetime64(day, "D").astype(np.int64)
    assert wanted <= set(zip(found["column"][that_day].tolist(), found["price"][that_day].tolist(), strict=True))


def test_a_split_is_a_shift_and_a_missing_ticker_is_missing_sessions(shared_data: Path) -> None:
    apple = recorded(shared_data, "us_AAPL_1d", "XNYS")
    found = report(apple, calendar("XNYS"))
    shifts = apple.ts_close_ns[found.shifts].astype("datetime64[ns]").astype("datetime64[D]")
    assert not set(found.spikes["row"].tolist()) & {row - back for row in found.shifts.tolist() for back in (0, 1, 2)}
    assert {"2000-06-23", "2005-03-02", "2014-06-11"} <= set(shifts.astype(str).tolist())
    gaps = report(recorded(shared_data, "us_QQQ_1d", "XNYS"), calendar("XNYS")).gaps
    assert gaps[["bars", "kind"]].tolist() == [(1588, GapKind.MISSING_SESSIONS)]


@pytest.mark.parametrize(
    ("name", "quiet_runs", "quiet_bars", "outage"),
    [("coinbase_BTC-USD_1m", 10, 13, [277]), ("kraken_BTC-USDC_1m", 26_746, 72_883, [])],
)
def test_quiet_minutes_and_outages_are_told_apart(
    shared_data: Path, name: str, quiet_runs: int, quiet_bars: int, outage: list[int]
) -> None:
    found = report(recorded(shared_data, name, "24/7"), calendar("24/7"))
    assert found.counts()["gaps_no_trades"] == quiet_runs
    assert found.missing(GapKind.NO_TRADES) == quiet_bars
    assert found.gaps["bars"][found.gaps["kind"] == GapKind.OUTAGE].tolist() == outage


def test_bars_before_and_after_the_market_are_counted_and_nights_are_no_gaps(shared_data: Path) -> None:
    found = report(recorded(shared_data, "us_SPY_1m", "XNYS"), calendar("XNYS"))
    assert found.bars - found.outside_sessions.size == 2340
    assert found.session_breaks == 5
    assert found.gaps.size == 0


def test_every_planted_fault_is_named_with_its_row_and_nothing_is_changed() -> None:
    clean = sample_market(["A"], 3_000, 2)["A"]
    rows = np.concatenate([np.arange(1_000), [999], np.arange(1_010, 2_000), np.arange(2_300, 3_000)])
    rows[[50, 51]] = rows[[51, 50]]
    bars = unchecked(clean, rows)
    bars.close[100], bars.volume[200], bars.open[300], bars.low[400] = np.nan, -1.0, np.inf, 0.0
    bars.high[500] = bars.low[500] / 2
    bars.ts_close_ns[600] += 1
    for column in (bars.open, bars.high, bars.low, bars.close):
        column[700:740] = 42.0
    before = [getattr(bars, name).copy() for name in ("ts_close_ns", "open", "close")]
    found = report(bars, calendar("24/7"))
    assert found.unsorted.tolist() == [51]
    assert found.duplicates.tolist() == [1_000]
    assert found.off_grid.tolist() == [600]
    assert (700, 40) in [tuple(run) for run in found.flat_runs.tolist()]
    reasons = {(reason.column, reason.what): reason.rows.tolist() for reason in found.impossible}
    assert reasons["close", "not finite"] == [100]
    assert reasons["volume", "negative"] == [200]
    assert reasons["open", "not finite"] == [300]
    assert reasons["low", "not above zero"] == [400]
    assert reasons["high", "below low"] == [500]
    gaps = found.gaps[["bars", "kind"]].tolist()
    assert (10, GapKind.NO_TRADES) in gaps
    assert (300, GapKind.OUTAGE) in gaps
    for kept, column in zip(before, (bars.ts_close_ns, bars.open, bars.close), strict=True):
        np.testing.assert_array_equal(kept, column)


def test_no_bars_and_one_bar_have_nothing_wrong() -> None:
    bars = sample_market(["A"], 1, 2)["A"]
    assert sum(report(bars, calendar("24/7")).counts().values()) == 1
    assert sum(report(bars[:0], calendar("24/7")).counts().values()) == 0


def test_a_session_is_missing_only_when_all_of_it_is() -> None:
    market = calendar("XNYS")
    closes = market.closes(
        *(int(np.datetime64(d, "ns").astype(np.int64)) for d in ("2025-01-02", "2025-01-08")), MINUTE_NS
    )
    ones = np.ones(closes.size)
    for cut, kind in (
        (slice(100, 300), GapKind.OUTAGE),
        (slice(200, 500), GapKind.OUTAGE),
        (slice(390, 780), GapKind.MISSING_SESSIONS),
        (slice(200, 900), GapKind.MISSING_SESSIONS),
    ):
        kept = np.delete(np.arange(closes.size), cut)
        bars = BarColumns.checked(closes[kept], *[ones[kept]] * 5, timeframe_ns=MINUTE_NS, number=np.arange(kept.size))
        assert report(bars, market).gaps["kind"].tolist() == [kind]
