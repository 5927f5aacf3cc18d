from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from novapulse.core.bars import DAY_NS, MINUTE_NS
from novapulse.market.importer import import_file, read_recorded, recorded_file, recorded_files
from novapulse.market.lake import Lake
from novapulse.market.spelling import stamp_ns
from novapulse.market.storage import DataError

HEAD = "ts,open,high,low,close,volume"
ROWS = [
    "2024-01-01T00:00:00Z,100,102,99,101,5",
    "2024-01-01T00:01:00Z,101,103,100,102,6",
    "2024-01-01T00:02:00Z,102,104,101,103,7",
    "2024-01-01T00:03:00Z,103,105,102,104,8",
]
FIRST_CLOSE = stamp_ns("2024-01-01T00:01Z")


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    def to_file(text: str, name: str = "bars.csv") -> Path:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return to_file


def csv(rows: list[str], head: str = HEAD) -> str:
    return "\n".join([head, *rows]) + "\n"


def changed(row: int, column: int, value: str) -> str:
    rows = [line.split(",") for line in ROWS]
    rows[row][column] = value
    return csv([",".join(line) for line in rows])


def with_stamps(*stamps: str, head: str = HEAD) -> str:
    return csv([f"{stamp},{row.partition(',')[2]}" for stamp, row in zip(stamps, ROWS, strict=False)], head)


LAYOUTS = {
    "iso with zone": csv(ROWS),
    "semicolons": csv(ROWS).replace(",", ";"),
    "tabs, other names": csv(ROWS, "Date\tOpen\tHigh\tLow\tClose\tVolume").replace(",", "\t"),
    "spaces": csv(ROWS).replace("T", " "),
    "offset": csv(ROWS).replace("Z,", "+00:00,"),
    "another zone": with_stamps(*(f"2024-01-01T05:3{m}:00+05:30" for m in range(4))),
    "seconds": with_stamps(*(str(1_704_067_200 + 60 * m) for m in range(4))),
    "float seconds": with_stamps(*(f"{1_704_067_200 + 60 * m}.0" for m in range(4))),
    "milliseconds": with_stamps(*(f"{1_704_067_200 + 60 * m}000" for m in range(4))),
    "microseconds": with_stamps(*(f"{1_704_067_200 + 60 * m}000000" for m in range(4))),
    "nanoseconds": with_stamps(*(f"{1_704_067_200 + 60 * m}000000000" for m in range(4))),
    "no header": "\n".join(f"{1_704_067_200 + 60 * m},{row.partition(',')[2]}" for m, row in enumerate(ROWS)),
    "no header, trade count": "\n".join(
        f"{1_704_067_200 + 60 * m},{row.partition(',')[2]},{m}" for m, row in enumerate(ROWS)
    ),
    "no header, twelve columns": "\n".join(
        f"{1_704_067_200 + 60 * m}000,{row.partition(',')[2]},{1_704_067_259 + 60 * m}999,1,2,3,4,0"
        for m, row in enumerate(ROWS)
    ),
    "byte order mark": "\ufeff" + csv(ROWS),
    "columns in another order": csv(
        [",".join(np.array(row.split(","))[[5, 4, 3, 2, 1, 0]]) for row in ROWS], "volume,close,low,high,open,time"
    ),
}


@pytest.mark.parametrize("text", LAYOUTS.values(), ids=LAYOUTS.keys())
def test_common_layouts_give_the_same_bars(lake: Lake, write: Callable[..., Path], text: str) -> None:
    done = import_file(lake, write(text), "demo", "BTC-USD", "1m", "open")
    bars = lake.bars("demo", "BTC/USD", "1m")
    assert (done.added, done.first_ns) == (4, FIRST_CLOSE)
    assert bars.ts_close_ns.tolist() == [FIRST_CLOSE + m * MINUTE_NS for m in range(4)]
    assert bars.open.tolist() == [100, 101, 102, 103]
    assert bars.high.tolist() == [102, 103, 104, 105]
    assert bars.low.tolist() == [99, 100, 101, 102]
    assert bars.close.tolist() == [101, 102, 103, 104]
    assert bars.volume.tolist() == [5, 6, 7, 8]


BAD = {
    "empty file": ("", "the file is empty"),
    "header only": (HEAD + "\n", "there are no rows"),
    "wrong columns": (csv(ROWS, "ts,a,b,c,d,e"), "column open is missing; found ts, a, b"),
    "no time": (csv(ROWS, "row,open,high,low,close,volume"), "a time .* is missing"),
    "a column twice": (csv(ROWS, "ts,open,high,low,close,close"), "a column name stands twice"),
    "two columns for one thing": (csv(ROWS, "ts,open,high,low,close,c"), "columns close and c both look like close"),
    "unsorted": (csv([ROWS[0], ROWS[2], ROWS[1]]), "column ts, row 3: 2024-01-01 00:01:00Z is earlier"),
    "duplicate": (csv([ROWS[0], ROWS[1], ROWS[1]]), "row 3: 2024-01-01 00:01:00Z is a duplicate of row 2"),
    "negative": (changed(1, 3, "-1"), "column low, row 2, stamped 2024-01-01 00:01:00Z: -1.0 is negative"),
    "zero price": (changed(1, 1, "0"), "column open, row 2, .* is zero"),
    "infinite": (changed(2, 2, "inf"), "column high, row 3, .* is infinite"),
    "NaN": (changed(3, 4, "NaN"), "column close, row 4, .* is not a number"),
    "hole": (changed(3, 4, ""), "column close, row 4: the value is missing"),
    "text": (changed(0, 5, "many"), "column volume, row 1: 'many' is no number"),
    "high below low": (changed(1, 2, "50"), "column high, row 2, .* 50.0 is below low"),
    "high below close": (changed(1, 2, "101.5"), "column high, row 2, .* 101.5 is below open or close"),
    "low above open": (changed(1, 3, "101.5"), "column low, row 2, .* 101.5 is above open or close"),
    "negative volume": (changed(1, 5, "-6"), "column volume, row 2, .* is negative"),
    "mixed zones": (
        with_stamps("2024-01-01T00:00:00Z", "2024-01-01T01:01:00+01:00"),
        r"column ts, row 2: .* has zone \+01:00 where row 1 has Z: mixed time zones",
    ),
    "zone and none": (with_stamps("2024-01-01T00:00:00Z", "2024-01-01T00:01:00"), "row 2: .* mixed time zones"),
    "naive": (with_stamps("2024-01-01 00:00:00", "2024-01-01 00:01:00"), "column ts, row 1: .* names no time zone"),
    "mixed units": (with_stamps("1704067200", "1704067260000"), "row 2: 1704067260000 is not in s as row 1 is"),
    "no time at all": (with_stamps("1704067200", "soon"), "row 2: 'soon' is no time"),
    "missing time": (with_stamps("1704067200", ""), "column ts, row 2: the time is missing"),
    "off the grid": (
        with_stamps("1704067200", "1704067261"),
        "column ts, row 2: 2024-01-01 00:01:01Z is not on the grid of 1m bars",
    ),
    "no such date": (with_stamps("2024-02-28T00:00:00Z", "2024-02-30T00:00:00Z"), "row 2: .* is no time such as"),
    "ragged": (csv([ROWS[0], ROWS[1] + ",9,9"]), "row 2: not 6 columns"),
    "eight columns without a header": ("1704067200,1,1,1,1,1,1,1\n", "8 columns without a header"),
    "V-13 several symbols": (
        csv([ROWS[0] + ",BTCUSD", ROWS[1] + ",ETHUSD"], HEAD + ",ticker"),
        "column ticker, row 2: 'ETHUSD' after 'BTCUSD': bars of several symbols",
    ),
    "V-13 another symbol": (csv([ROWS[0] + ",ETHUSD"], HEAD + ",ticker"), "bars of 'ETHUSD', not of BTC-USD"),
    "V-13 swapped volume and vwap": (
        csv([f"{row},{50 + n}" for n, row in enumerate(ROWS)], "ts,open,high,low,close,vwap,volume")
        .replace(",5,50", ",5,100")
        .replace(",6,51", ",6,101")
        .replace(",7,52", ",7,102")
        .replace(",8,53", ",8,103"),
        "columns volume and vwap look swapped",
    ),
}


@pytest.mark.parametrize(("text", "message"), BAD.values(), ids=BAD.keys())
def test_bad_files_are_refused_and_nothing_is_written(
    lake: Lake, write: Callable[..., Path], text: str, message: str
) -> None:
    path = write(text)
    with pytest.raises(DataError, match=message) as refused:
        import_file(lake, path, "demo", "BTC-USD", "1m", "open")
    assert path.name in str(refused.value)
    assert "\n" not in str(refused.value)
    assert not lake.path.exists()


def test_volume_and_vwap_are_told_apart_by_name(lake: Lake, write: Callable[..., Path]) -> None:
    """V-13: whichever column comes first."""
    rows = [row.rpartition(",") for row in ROWS]
    text = csv(
        [f"{head},{100 + n},{volume}" for n, (head, _, volume) in enumerate(rows)], "ts,open,high,low,close,vwap,volume"
    )
    import_file(lake, write(text), "demo", "BTC-USD", "1m", "open")
    assert lake.bars("demo", "BTC-USD", "1m").volume.tolist() == [5, 6, 7, 8]
    stored = pl.read_parquet(lake.path / "demo" / "BTC-USD" / "1m" / "2024.parquet")
    assert stored["vwap"].to_list() == [100, 101, 102, 103]


def test_what_stamps_mean_is_named_or_refused(lake: Lake, write: Callable[..., Path]) -> None:
    with pytest.raises(DataError, match="column ts does not say whether"):
        import_file(lake, write(csv(ROWS)), "demo", "A", "1m")
    text = csv(ROWS, HEAD.replace("ts", "open_time"))
    assert import_file(lake, write(text), "demo", "B", "1m").first_ns == FIRST_CLOSE
    with pytest.raises(DataError, match="holds open stamps, not close stamps"):
        import_file(lake, write(text), "demo", "B", "1m", "close")
    closes = csv(ROWS, HEAD.replace("ts", "close_time"))
    assert import_file(lake, write(closes), "demo", "C", "1m").first_ns == FIRST_CLOSE - MINUTE_NS
    just_before = with_stamps("1704067259999", "1704067319999", head=HEAD.replace("ts", "close_time"))
    assert import_file(lake, write(just_before), "demo", "D", "1m").first_ns == FIRST_CLOSE


def test_rows_are_sorted_only_when_told(lake: Lake, write: Callable[..., Path]) -> None:
    done = import_file(lake, write(csv(ROWS[::-1])), "demo", "A", "1m", "open", sort=True)
    assert done.sorted
    assert lake.bars("demo", "A", "1m").open.tolist() == [100, 101, 102, 103]


def test_local_times_need_a_zone_and_the_hour_that_happens_twice_is_refused(
    lake: Lake, write: Callable[..., Path]
) -> None:
    text = with_stamps("2024-07-01 09:30:00", "2024-07-01 09:31:00")
    done = import_file(lake, write(text), "us", "SPY", "1m", "open", zone="America/New_York", calendar_name="XNYS")
    assert done.first_ns == stamp_ns("2024-07-01T13:31Z")
    with pytest.raises(DataError, match="row 2: 2024-11-03 01:30:00 happens twice or never"):
        import_file(
            lake, write(with_stamps("2024-11-03 00:30:00", "2024-11-03 01:30:00")), "demo", "A", "1m", "open",
            zone="America/New_York",
        )  # fmt: skip
    with pytest.raises(DataError, match="'Mars/Base': expected an IANA name"):
        import_file(lake, write(text), "demo", "A", "1m", "open", zone="Mars/Base")


def test_daily_stock_dates_close_with_their_session(lake: Lake, write: Callable[..., Path]) -> None:
    text = with_stamps("2024-11-27", "2024-11-29", "2024-12-02", head=HEAD.replace("ts", "Date"))
    for meaning in ("open", "close"):
        import_file(lake, write(text), "us", "SPY", "1d", meaning, calendar_name="XNYS")
    closes = [stamp_ns(text) for text in ("2024-11-27T21:00", "2024-11-29T18:00", "2024-12-02T21:00")]
    bars = lake.bars("us", "SPY", "1d")
    assert bars.ts_close_ns.tolist() == closes
    assert np.diff(bars.number).tolist() == [1, 1]
    with pytest.raises(DataError, match="column Date, row 2: 2024-11-28 00:00:00Z is no session of XNYS"):
        import_file(
            lake,
            write(with_stamps("2024-11-27", "2024-11-28", head="Date,open,high,low,close,volume")),
            "us",
            "SPY",
            "1d",
            "open",
            calendar_name="XNYS",
        )
    import_file(lake, write(with_stamps("2024-11-28", "2024-11-29")), "demo", "A", "1d", "open")
    assert lake.bars("demo", "A", "1d").ts_close_ns[0] == stamp_ns("2024-11-29")


def test_crypto_bars_on_a_stock_calendar_are_refused(lake: Lake, write: Callable[..., Path]) -> None:
    with pytest.raises(DataError, match="row 1: 2024-01-01 00:00:00Z is no session of XNYS"):
        import_file(lake, write(csv(ROWS)), "us", "SPY", "1m", "open", calendar_name="XNYS")


def test_parquet_of_other_types_is_read_or_refused(lake: Lake, tmp_path: Path) -> None:
    frame = pl.DataFrame({"ts": [1_704_067_200, 1_704_067_260], **{name: [1, 2] for name in HEAD.split(",")[1:]}})
    path = tmp_path / "bars.parquet"
    frame.write_parquet(path)
    assert import_file(lake, path, "demo", "A", "1m", "open").first_ns == FIRST_CLOSE
    frame.with_columns(pl.from_epoch("ts")).write_parquet(path)
    with pytest.raises(DataError, match="names no time zone"):
        import_file(lake, path, "demo", "B", "1m", "open")
    assert import_file(lake, path, "demo", "B", "1m", "open", zone="UTC").first_ns == FIRST_CLOSE
    frame.with_columns(close=pl.lit(None, pl.Int64)).write_parquet(path)
    with pytest.raises(DataError, match="column close, row 1"):
        import_file(lake, path, "demo", "C", "1m", "open")
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(DataError, match="cannot be read as Parquet"):
        import_file(lake, path, "demo", "C", "1m", "open")
    with pytest.raises(DataError, match="no such file"):
        import_file(lake, tmp_path / "none.parquet", "demo", "C", "1m", "open")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("binance_BTC-USDT_1m", ("binance", "BTC/USDT", "1m", "24/7")),
        ("us_SPY_1d", ("us", "SPY", "1d", "XNYS")),
        ("us_SPY-2011_1m", ("us", "SPY", "1m", "XNYS")),
        ("binanceusdm_FIL-USDT-PERP_1m", ("binanceusdm", "FIL/USDT:USDT", "1m", "24/7")),
        ("binance_BTC-USDT_l2", None),
        ("us_IBM-20131007_trades", None),
        ("us_ETF-panel_1d", None),
        ("us_factors", None),
    ],
)
def test_names_of_recorded_files(name: str, said: tuple[str, ...] | None) -> None:
    found = recorded_file(f"{name}.parquet")
    assert (found and (found.exchange, found.symbol, found.timeframe, found.calendar)) == said


def test_recorded_files_go_into_the_lake_as_they_are(shared_data: Path, lake: Lake) -> None:
    assert len(recorded_files(shared_data)) > 40
    for name in ("coinbase_BTC-USDT_1m", "us_SPY_1m", "us_SPY-2011_1m", "us_GOOG_1d"):
        source = pl.read_parquet(shared_data / f"{name}.parquet")
        done = next(read_recorded(lake, shared_data / f"{name}.parquet"))
        assert done.added == source.height
        assert (done.last_ns - source["ts"].dt.timestamp("ns")[-1]) <= DAY_NS
    got = lake.read("coinbase", "BTC/USDT", "1m")
    assert (len(got.bars) - got.made, got.made) == (24_478, 5_479)
    assert np.diff(got.bars.number).max() == 283
    assert lake.read("us", "SPY", "1m").bars.ts_close_ns.size == 7800 + 2340
    with pytest.raises(DataError, match="no file named like"):
        next(read_recorded(lake, lake.path))
