import subprocess
import sys
import threading
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from novapulse.core.bars import DAY_NS, MINUTE_NS, BarColumns
from novapulse.core.instruments import Instrument, Kind
from novapulse.market import lake as lake_module
from novapulse.market.calendars import calendar
from novapulse.market.lake import Lake, content_hash
from novapulse.market.locks import writing
from novapulse.market.sample import START_NS, sample_market
from novapulse.market.spelling import stamp_ns
from novapulse.market.storage import DataError

COLUMNS = ("ts_close_ns", "open", "high", "low", "close", "volume", "number", "made")


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


def pick(bars: BarColumns, rows: np.ndarray) -> BarColumns:
    return BarColumns(*(getattr(bars, name)[rows] for name in COLUMNS), bars.timeframe_ns)


def same(left: BarColumns, right: BarColumns) -> bool:
    return all((getattr(left, name) == getattr(right, name)).all() for name in COLUMNS)


def tree(lake: Lake) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(lake.path.rglob("*")) if path.is_file()}


def test_what_was_written_is_read_bit_for_bit_over_years(lake: Lake) -> None:
    bars = sample_market(["BTC/USD"], 3_000, 1, timeframe_ns=360 * MINUTE_NS)["BTC/USD"]
    done = lake.append("demo", "btc-usd", "6h", bars, source="sample")
    assert (done.added, done.already_there) == (3_000, 0)
    assert sorted(path.name for path in (lake.path / "demo" / "BTC-USD" / "6h").iterdir()) == [
        ".lock",
        "2024.parquet",
        "2025.parquet",
        "2026.parquet",
        "series.json",
    ]
    assert same(lake.bars("demo", "BTC/USD", "6h"), bars)
    info = lake.series()[0]
    assert (info.bars, info.first_ns, info.last_ns) == (3_000, bars.ts_close_ns[0], bars.ts_close_ns[-1])
    assert lake.verify("demo", "BTC-USD", "6h") == 3_000


def test_the_year_of_a_bar_is_the_year_of_its_close(lake: Lake) -> None:
    """A bar that closes at midnight of 1 January belongs to the new year; its range is half-open."""
    bars = sample_market(["A"], 366 * 24 + 1, 1, timeframe_ns=60 * MINUTE_NS)["A"]
    lake.append("demo", "A", "1h", bars)
    folder = lake.path / "demo" / "A" / "1h"
    assert pl.read_parquet(folder / "2025.parquet")["ts_close_ns"][0] == stamp_ns("2025-01-01")
    assert len(lake.bars("demo", "A", "1h", "2024-01-01", "2024-01-02")) == 24
    assert lake.bars("demo", "A", "1h", "2024-12-31T23:00+00:00", "2025-01-01").ts_close_ns.tolist() == [
        stamp_ns("2025-01-01")
    ]


@given(data=st.data())
def test_reading_a_range_equals_reading_all_and_cutting(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Also where quiet runs straddle the ends of the range: a live window is the full history."""
    bars = sample_market(["A"], 60, 1)["A"]
    kept = sorted(data.draw(st.sets(st.integers(0, 59), min_size=1)))
    lake = Lake(tmp_path_factory.mktemp("lake"))
    lake.append("demo", "A", "1m", pick(bars, np.array(kept)))
    low, high = (START_NS + data.draw(st.integers(-5, 65)) * MINUTE_NS for _ in range(2))
    quiet = data.draw(st.integers(0, 8))
    everything = lake.bars("demo", "A", "1m", flat_fill_max_bars=quiet)
    assert same(lake.bars("demo", "A", "1m", low, high, quiet), everything.between(low, high))


@given(order=st.permutations(range(4)), cuts=st.lists(st.integers(1, 199), min_size=3, max_size=3, unique=True))
def test_hashes_know_bars_and_not_chunks(
    tmp_path_factory: pytest.TempPathFactory, order: list[int], cuts: list[int]
) -> None:
    bars = sample_market(["A"], 200, 1)["A"]
    whole, parts = (Lake(tmp_path_factory.mktemp("lake")) for _ in range(2))
    whole.append("demo", "A", "1m", bars)
    edges = [0, *sorted(cuts), 200]
    for part in order:
        parts.append("demo", "A", "1m", bars[max(0, edges[part] - 7) : edges[part + 1]])
    assert whole.series()[0].content_hash == parts.series()[0].content_hash
    assert (
        whole.read("demo", "A", "1m").content_hash == parts.read("demo", "A", "1m").content_hash == content_hash(bars)
    )
    assert content_hash(bars) != content_hash(bars[1:])


def test_an_overlap_that_differs_is_refused_and_nothing_is_written(lake: Lake) -> None:
    bars = sample_market(["A"], 400, 1, timeframe_ns=DAY_NS)["A"]
    lake.append("demo", "A", "1d", bars[:390])
    before = tree(lake)
    close = bars.close.copy()
    close[380] = bars.low[380]
    assert close[380] != bars.close[380]
    with pytest.raises(DataError, match=r"2025\.parquet: bar closing 2025-01-16 00:00:00Z is stored with close"):
        lake.append("demo", "A", "1d", replace(bars, close=close))
    assert tree(lake) == before
    assert lake.append("demo", "A", "1d", bars).added == 10


def test_a_write_that_fails_changes_nothing(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    bars = sample_market(["A"], 400, 1, timeframe_ns=DAY_NS)["A"]
    lake.append("demo", "A", "1d", bars[:300])
    before = tree(lake)
    written = []
    write = pl.DataFrame.write_parquet

    def full_disk(frame: pl.DataFrame, path: Path, **options: object) -> None:
        written.append(path)
        if len(written) == 2:
            raise OSError(28, "No space left on device")
        write(frame, path, **options)

    monkeypatch.setattr(pl.DataFrame, "write_parquet", full_disk)
    with pytest.raises(DataError, match="No space left"):
        lake.append("demo", "A", "1d", bars)
    assert len(written) == 2
    assert tree(lake) == before


def test_two_appends_at_once_lose_nothing(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second one begins while the first has read and not yet written."""
    bars = sample_market(["A"], 300, 1)["A"]
    lake.append("demo", "A", "1m", bars[:100])
    second = threading.Thread(target=lambda: lake.append("demo", "A", "1m", bars[200:], source="second"))
    replace_all, waited = lake_module.replace_all, []

    def slow(*arguments: object) -> None:
        if second.ident is None:
            second.start()
            second.join(0.3)
            waited.append(second.is_alive())
        replace_all(*arguments)

    monkeypatch.setattr(lake_module, "replace_all", slow)
    lake.append("demo", "A", "1m", bars[100:200], source="first")
    second.join(10.0)
    assert waited == [True]
    assert same(lake.bars("demo", "A", "1m"), bars)
    assert (lake.series()[0].bars, lake.verify("demo", "A", "1m"), lake.series()[0].source) == (300, 300, "second")


def test_a_process_waits_for_the_writer_of_another(lake: Lake) -> None:
    program = (
        "import sys; from novapulse.market.lake import Lake; from novapulse.market.sample import sample_market\n"
        "bars, lake = sample_market(['A'], 60, 1)['A'], Lake(sys.argv[1])\n"
        "print('ready', flush=True); print(lake.append('demo', 'A', '1m', bars[30:]).added)"
    )
    bars = sample_market(["A"], 60, 1)["A"]
    with writing(lake.path / "demo" / "A" / "1m"):
        command = [sys.executable, "-c", program, str(lake.path)]
        other = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert other.stdout is not None
        assert other.stdout.readline() == "ready\n"
        with pytest.raises(subprocess.TimeoutExpired):
            other.wait(0.5)
        assert not (lake.path / "demo" / "A" / "1m" / "series.json").exists()
    assert other.communicate(timeout=60) == ("30\n", None)
    assert lake.append("demo", "A", "1m", bars).added == 30


def test_a_platform_without_locks_is_named(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fcntl", None)
    with pytest.raises(DataError, match=r"A/1m: cannot be written, this platform has no file locks"):
        lake.append("demo", "A", "1m", sample_market(["A"], 5, 1)["A"])


def test_a_range_is_given_as_any_kind_of_time(lake: Lake) -> None:
    bars = sample_market(["A"], 4_000, 1)["A"]
    lake.append("demo", "A", "1m", bars)
    day = bars.between(stamp_ns("2024-01-02"), stamp_ns("2024-01-02T06:30Z"))
    assert len(day) == 390
    east = timezone(timedelta(hours=2))
    for start, end in (
        (date(2024, 1, 2), datetime(2024, 1, 2, 8, 30, tzinfo=east)),
        (np.datetime64("2024-01-02"), np.datetime64("2024-01-02T06:30:00.000")),
        (bars.ts_close_ns[0] + 1_439 * MINUTE_NS, datetime(2024, 1, 2, 6, 30, tzinfo=UTC)),
    ):
        assert same(lake.bars("demo", "A", "1m", start, end), day)
    for wrong, why in (
        (datetime(2024, 1, 2), "a datetime needs a time zone"),
        (np.datetime64("NaT"), "NaT"),
        (np.datetime64("3000-01-01"), "between the years"),
        (1.5, "expected ns UTC"),
    ):
        with pytest.raises(DataError, match=why):
            lake.bars("demo", "A", "1m", wrong)


@pytest.mark.parametrize("damage", ["cut", "noise", "empty", "text", "other"])
def test_a_damaged_file_is_named(lake: Lake, damage: str) -> None:
    lake.append("demo", "A", "1m", sample_market(["A"], 5_000, 1)["A"])
    path = lake.path / "demo" / "A" / "1m" / "2024.parquet"
    content = path.read_bytes()
    if damage == "other":
        pl.DataFrame({"x": [1]}).write_parquet(path)
    else:
        middle = len(content) // 2
        noise = content[:100] + bytes(x ^ 0xFF for x in content[100:middle]) + content[middle:]
        path.write_bytes({"cut": content[:middle], "noise": noise, "empty": b"", "text": b"hello"}[damage])
    with pytest.raises(DataError, match=r"2024\.parquet"):
        lake.bars("demo", "A", "1m")
    with pytest.raises(DataError, match=r"2024\.parquet"):
        lake.verify("demo", "A", "1m")


def test_verify_finds_a_bar_that_was_changed_behind_the_lake(lake: Lake) -> None:
    lake.append("demo", "A", "1m", sample_market(["A"], 50, 1)["A"])
    path = lake.path / "demo" / "A" / "1m" / "2024.parquet"
    frame = pl.read_parquet(path)
    frame.with_columns(volume=pl.col("volume") + 1.0).write_parquet(path)
    with pytest.raises(DataError, match=r"2024\.parquet: content differs"):
        lake.verify("demo", "A", "1m")


def test_unknown_series_name_their_neighbours(lake: Lake) -> None:
    with pytest.raises(DataError, match="is empty"):
        lake.bars("kraken", "BTC/USD", "1m")
    lake.append("kraken", "BTC/USD", "1m", sample_market(["A"], 5, 1)["A"])
    for exchange, symbol, timeframe in (
        ("kraken", "BTC-USDT", "1m"),
        ("kraken", "BTC/USD", "5m"),
        ("krakn", "BTC/USD", "1m"),
    ):
        with pytest.raises(DataError, match="nearest: kraken BTC-USD 1m"):
            lake.bars(exchange, symbol, timeframe)
    with pytest.raises(DataError, match="nearest: kraken BTC-USD 1m"):
        lake.instrument("kraken", "ETH/USD")
    with pytest.raises(DataError, match=r"exchange '\.\./kraken'"):
        lake.bars("../kraken", "BTC/USD", "1m")
    with pytest.raises(DataError, match="expected ISO 8601"):
        lake.bars("kraken", "BTC/USD", "1m", "yesterday")


def test_made_bars_are_never_stored(lake: Lake) -> None:
    bars = sample_market(["A"], 50, 1)["A"]
    lake.append("demo", "A", "1m", pick(bars, np.array([0, 1, 4, 5])))
    filled = lake.read("demo", "A", "1m")
    assert (filled.made, len(filled.bars)) == (2, 6)
    lake.append("demo", "A", "1m", filled.bars)
    assert lake.series()[0].bars == 4


def test_stock_bars_outside_sessions_are_left_out_and_counted(lake: Lake) -> None:
    market, base = calendar("XNYS"), stamp_ns("2025-01-02T14:00")
    assert isinstance(base, int)
    closes = base + np.arange(1, 451) * MINUTE_NS
    ones = np.ones(closes.size)
    bars = BarColumns.checked(closes, ones, ones, ones, ones, ones, timeframe_ns=MINUTE_NS, number=np.arange(450))
    lake.append("us", "SPY", "1m", bars, calendar_name="XNYS")
    got = lake.read("us", "SPY", "1m")
    assert (len(got.bars), got.outside_sessions) == (390, 60)
    assert (got.bars.number == market.numbers(got.bars.ts_close_ns, MINUTE_NS)).all()
    assert lake.read("us", "SPY", "1m", "2025-01-02T21:00").outside_sessions == 30
    with pytest.raises(DataError, match="has calendar XNYS, not 24/7"):
        lake.append("us", "SPY", "1m", bars)


@pytest.mark.parametrize("name", ["XNYS", "XHKG"])
def test_sessions_kept_in_the_lake_are_the_calendars_own(lake: Lake, name: str) -> None:
    day = calendar(name).closes(stamp_ns("2024-01-01"), stamp_ns("2024-07-01"), DAY_NS)
    ones = np.ones(day.size)
    bars = BarColumns.checked(day, ones, ones, ones, ones, ones, timeframe_ns=DAY_NS)
    lake.append("local", "A", "1d", bars, calendar_name=name)
    assert len(list((lake.path / "calendars").iterdir())) == 1
    kept, own = lake.calendar(name), calendar(name)
    for width in (MINUTE_NS, 60 * MINUTE_NS, DAY_NS):
        closes = kept.closes(stamp_ns("1999-01-01"), stamp_ns("2026-01-01"), width)
        assert (closes == own.closes(stamp_ns("1999-01-01"), stamp_ns("2026-01-01"), width)).all()
        assert (kept.numbers(closes, width) == own.numbers(closes, width)).all()
    next((lake.path / "calendars").iterdir()).write_bytes(b"hello")
    with pytest.raises(DataError, match="cannot be read as sessions"):
        lake.bars("local", "A", "1d")


def test_instruments_are_the_venues_or_inferred(lake: Lake) -> None:
    bars = sample_market(["A"], 500, 1)["A"]
    grid = [np.round(column * 20) / 20 for column in (bars.open, bars.high, bars.low, bars.close)]
    lake.append("demo", "FIL-USDT-PERP", "1m", replace(bars, open=grid[0], high=grid[1], low=grid[2], close=grid[3]))
    guess = lake.instrument("demo", "FIL/USDT:USDT")
    assert (guess.tick, guess.lot, guess.kind, guess.inferred) == (
        Decimal("0.01"),
        Decimal("0.0001"),
        Kind.PERPETUAL,
        True,
    )
    given_facts = Instrument("demo", "FIL/USDT:USDT", "FIL", "USDT", Kind.PERPETUAL, tick=Decimal("0.05"), group="alts")
    lake.set_instrument(given_facts, "2026-03-01", "venue")
    assert lake.instrument("demo", "FIL-USDT-PERP") == given_facts
    with pytest.raises(DataError, match="no facts of the venue"):
        lake.set_instrument(guess, "2026-03-01", "bars")


def test_extra_columns_are_kept(lake: Lake) -> None:
    bars = sample_market(["A"], 10, 1)["A"]
    lake.append("demo", "A", "1m", bars[:5], extras={"trades": np.arange(5)})
    lake.append("demo", "A", "1m", bars[3:])
    stored = pl.read_parquet(lake.path / "demo" / "A" / "1m" / "2024.parquet")
    assert stored["trades"].to_list() == [0.0, 1.0, 2.0, 3.0, 4.0, None, None, None, None, None]
    assert lake.verify("demo", "A", "1m") == 10
    before = tree(lake)
    with pytest.raises(DataError, match=r"00:01:00Z is stored with trades 0\.0 and comes with 7\.0"):
        lake.append("demo", "A", "1m", bars, extras={"trades": np.full(10, 7.0), "vwap": bars.close})
    assert tree(lake) == before
    done = lake.append("demo", "A", "1m", bars[3:], extras={"trades": np.arange(3, 10), "vwap": bars.close[3:]})
    assert (done.added, done.already_there) == (0, 7)
    stored = pl.read_parquet(lake.path / "demo" / "A" / "1m" / "2024.parquet")
    assert stored["trades"].to_list() == list(range(10))
    assert stored["vwap"].to_list() == [None, None, None, *bars.close[3:].tolist()]
    assert lake.verify("demo", "A", "1m") == 10
    before = tree(lake)
    lake.append("demo", "A", "1m", bars, extras={"vwap": np.full(10, np.nan)})
    assert tree(lake) == before
    with pytest.raises(DataError, match="extra column close"):
        lake.append("demo", "A", "1m", bars, extras={"close": bars.close})
