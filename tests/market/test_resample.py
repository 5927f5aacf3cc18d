from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from novapulse.core.bars import MINUTE_NS, BarColumns
from novapulse.market.calendars import calendar
from novapulse.market.resample import fill_flat, resample, visible_rows
from novapulse.market.sample import sample_market

PRICES = ("open", "high", "low", "close", "volume")


def bars_numbered(numbers: list[int]) -> BarColumns:
    ordinals = np.array(numbers, np.int64)
    close = 100.0 + ordinals % 7
    return BarColumns.checked(
        ordinals * MINUTE_NS,
        close,
        close + 1,
        close - 1,
        close,
        0.1 * (ordinals % 5),
        timeframe_ns=MINUTE_NS,
        number=ordinals,
    )


numbered = st.lists(st.integers(1, 80), unique=True, max_size=60).map(sorted).map(bars_numbered)


@pytest.mark.parametrize("multiple", [5, 15])
def test_groups_equal_polars_on_recorded_minutes(shared_data: Path, multiple: int) -> None:
    frame = pl.read_parquet(shared_data / "binance_BTC-USDT_1m.parquet")
    opens = frame["ts"].dt.timestamp("ns").to_numpy()
    base = BarColumns.checked(opens + MINUTE_NS, *(frame[name] for name in PRICES), timeframe_ns=MINUTE_NS)
    oracle = (
        frame.group_by_dynamic("ts", every=f"{multiple}m")
        .agg(
            pl.col("open").first(),
            pl.col("high").max(),
            pl.col("low").min(),
            pl.col("close").last(),
            pl.col("volume").sum(),
            pl.len(),
        )
        .filter(pl.col("len") == multiple)
    )
    got = resample(base, multiple)
    closes = oracle["ts"].dt.timestamp("ns").to_numpy() + multiple * MINUTE_NS
    assert got.ts_close_ns.tolist() == closes.tolist()
    assert (got.number == closes // (multiple * MINUTE_NS)).all()
    for name in ("open", "high", "low", "close"):
        assert (getattr(got, name) == oracle[name].to_numpy()).all()
    np.testing.assert_allclose(got.volume, oracle["volume"].to_numpy(), rtol=1e-12)


def test_fifteen_minutes_are_three_groups_of_five(shared_data: Path) -> None:
    minutes = pl.read_parquet(shared_data / "binanceusdm_FIL-USDT-PERP_1m.parquet")
    base = BarColumns.checked(
        minutes["ts"].dt.timestamp("ns").to_numpy() + MINUTE_NS,
        *(minutes[name] for name in PRICES),
        timeframe_ns=MINUTE_NS,
    )
    twice = resample(resample(base, 5), 3)
    once = resample(base, 15)
    assert twice.ts_close_ns.tolist() == once.ts_close_ns.tolist()
    assert (twice.number == once.number).all()
    assert (twice.high == once.high).all()


@given(bars=numbered, multiple=st.integers(2, 6))
def test_groups_are_exactly_the_complete_ones(bars: BarColumns, multiple: int) -> None:
    held = set(bars.number.tolist())
    complete = [g for g in range(1, 81) if held >= set(range((g - 1) * multiple + 1, g * multiple + 1))]
    got = resample(bars, multiple)
    assert got.number.tolist() == complete
    assert (got.ts_close_ns == got.number * multiple * MINUTE_NS).all()


@given(bars=numbered, multiple=st.integers(1, 6), cut=st.integers(0, 60))
def test_what_is_visible_never_changes_when_bars_come(bars: BarColumns, multiple: int, cut: int) -> None:
    """N-5: a higher timeframe shows only what has closed, whatever follows."""
    past = bars[:cut]
    early, late = resample(past, multiple), resample(bars, multiple)
    rows = visible_rows(past, early)
    assert rows.tolist() == visible_rows(bars, late)[: len(past)].tolist()
    for name in (*PRICES, "ts_close_ns", "number"):
        assert (getattr(early, name) == getattr(late, name)[: len(early)]).all()
    for row, stamp in zip(rows.tolist(), past.ts_close_ns.tolist(), strict=True):
        assert (late.ts_close_ns[: row + 1] <= stamp).all()
        assert (late.ts_close_ns[row + 1 :] > stamp).all()


def test_short_quiet_runs_become_flat_bars_and_outages_stay_gaps() -> None:
    bars = bars_numbered([1, 2, 5, 6, 10])
    filled = fill_flat(bars, calendar("24/7"), 2)
    assert filled.number.tolist() == [1, 2, 3, 4, 5, 6, 10]
    assert filled.made.tolist() == [False, False, True, True, False, False, False]
    assert filled.ts_close_ns.tolist() == (filled.number * MINUTE_NS).tolist()
    assert filled.open[2] == filled.high[3] == filled.low[2] == filled.close[3] == bars.close[1]
    assert filled.volume[2:4].tolist() == [0.0, 0.0]
    assert [(s.start, s.stop) for s in filled.segments()] == [(0, 6), (6, 7)]


def test_stock_minutes_are_filled_across_the_night_at_closes_of_the_calendar() -> None:
    market = calendar("XNYS")
    evening, morning = (
        int(np.datetime64(text, "ns").astype(np.int64)) for text in ("2025-01-02T20:59", "2025-01-03T14:32")
    )
    stamps = np.array([evening, morning])
    ones = np.ones(2)
    bars = BarColumns.checked(
        stamps, ones, ones, ones, ones, ones, timeframe_ns=MINUTE_NS, number=market.numbers(stamps, MINUTE_NS)
    )
    filled = fill_flat(bars, market, 5)
    assert filled.ts_close_ns.tolist() == [evening, evening + MINUTE_NS, morning - MINUTE_NS, morning]


def test_groups_of_made_bars_only_are_made() -> None:
    bars = fill_flat(bars_numbered([1, 2, 9, 10]), calendar("24/7"), 10)
    assert resample(bars, 2).made.tolist() == [False, True, True, True, False]


def test_volume_is_summed_in_time_order() -> None:
    bars = sample_market(["A"], 60, 1)["A"]
    first = int(-(bars.number[0] - 1) % 5)
    total = 0.0
    for value in bars.volume[first : first + 5].tolist():
        total += value
    assert resample(bars, 5).volume[0] == total


def test_a_multiple_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="multiple must be 1 or more"):
        resample(bars_numbered([1]), 0)
