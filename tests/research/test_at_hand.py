"""Bars for several exchanges: the lake first, then recordings, and invented ones only apart from everything real."""

from pathlib import Path

import polars as pl
import pytest

from novapulse.core.bars import BarColumns
from novapulse.market.lake import Lake
from novapulse.market.sample import sample_market
from novapulse.research import at_hand
from novapulse.research.at_hand import provide
from novapulse.research.inputs import InputError

WANTED = {"kraken": ("BTC/USD", "ETH/USD"), "coinbase": ("BTC/USD",)}
ALL = {("kraken", "BTC/USD"), ("kraken", "ETH/USD"), ("coinbase", "BTC/USD")}


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(at_hand, "_SAMPLE_BARS", 50)


def bars() -> BarColumns:
    return sample_market(["X"], 60, seed=1)["X"]


def series(lake: Lake) -> set[tuple[str, str]]:
    return {(info.exchange, info.symbol) for info in lake.series()}


def nothing(done: int, total: int) -> None: ...


def told(tmp_path: Path, lake: Lake, *, sample: bool = False) -> tuple[at_hand.Provided, str]:
    said: list[str] = []
    environment = {"NOVAPULSE_HOME": str(tmp_path / "home"), "NOVAPULSE_DATA_DIR": str(tmp_path / "recordings")}
    provided = provide(lake, WANTED, "1m", said.append, nothing, environment, sample=sample)
    return provided, " ".join(said)


@pytest.fixture
def recordings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of recordings, and none beside this checkout."""
    folder = tmp_path / "recordings"
    folder.mkdir()
    monkeypatch.setattr(at_hand, "recordings_folder", lambda _: folder if any(folder.iterdir()) else None)
    return folder


def recorded(folder: Path, *names: str) -> None:
    columns = bars()
    for name in names:
        rows = zip(
            columns.ts_close_ns - columns.timeframe_ns,
            columns.open,
            columns.high,
            columns.low,
            columns.close,
            columns.volume,
            strict=True,
        )
        pl.DataFrame(list(rows), schema=["ts", "open", "high", "low", "close", "volume"], orient="row").with_columns(
            pl.col("ts").cast(pl.Datetime("ns", "UTC"))
        ).write_parquet(folder / f"{name}.parquet")


def test_a_lake_that_has_everything_is_used_as_it_is(tmp_path: Path, recordings: Path) -> None:
    lake = Lake(tmp_path / "lake")
    for exchange, symbol in ALL:
        lake.append(exchange, symbol, "1m", bars())
    provided, said = told(tmp_path, lake)
    assert (provided.lake, provided.is_sample) == (lake, False)
    assert "real bars" in said


def test_what_the_lake_lacks_is_imported_for_every_exchange(tmp_path: Path, recordings: Path) -> None:
    lake = Lake(tmp_path / "lake")
    lake.append("kraken", "ETH/USD", "1m", bars())
    recorded(recordings, "kraken_BTC-USD_1m", "coinbase_BTC-USD_1m", "kraken_SOL-USD_1m", "kraken_BTC-USD_5m")
    provided, said = told(tmp_path, lake)
    assert (provided.lake, provided.is_sample) == (lake, False)
    assert series(lake) == ALL
    assert "importing 2 recorded files" in said


def test_where_only_a_part_is_there_nothing_is_invented(tmp_path: Path, recordings: Path) -> None:
    lake = Lake(tmp_path / "lake")
    recorded(recordings, "kraken_BTC-USD_1m")
    with pytest.raises(InputError, match="coinbase BTC/USD, kraken ETH/USD"):
        told(tmp_path, lake)
    assert not (tmp_path / "home" / "sample-lake").exists()


@pytest.mark.parametrize("sample", [False, True])
def test_invented_bars_never_touch_the_lake_and_say_what_they_are(
    tmp_path: Path, recordings: Path, sample: bool
) -> None:
    lake = Lake(tmp_path / "lake")
    if sample:
        recorded(recordings, "kraken_BTC-USD_1m")
        lake.append("kraken", "BTC/USD", "1m", bars())
    before = series(lake)
    provided, said = told(tmp_path, lake, sample=sample)
    assert provided.is_sample
    assert series(lake) == before
    assert provided.lake.path == tmp_path / "home" / "sample-lake"
    assert series(provided.lake) == ALL
    assert "they never were prices of these exchanges: results on them say nothing about real markets" in said
    again, _ = told(tmp_path, lake, sample=sample)
    assert series(again.lake) == ALL
