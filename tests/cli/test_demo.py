"""`novapulse demo`: bars from wherever there are any, and it says where from."""

import http.server
import json
import threading
from pathlib import Path

import polars as pl
import pytest

from novapulse.cli.serve import only_server
from novapulse.market.lake import Lake
from novapulse.research import at_hand
from tests.cli.conftest import Cli, tree


@pytest.fixture(autouse=True)
def halves(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, object]]:
    """What the second half of the demo was asked for; it has tests of its own."""
    asked: list[dict[str, object]] = []
    monkeypatch.setattr("novapulse.cli.demo.show_whole", lambda **wanted: asked.append(wanted) or 0)
    return asked


@pytest.fixture
def recordings(tmp_path: Path, stocked: Path) -> Path:
    """A folder of files as recorders leave them: open stamps in `ts`."""
    folder = tmp_path / "recordings"
    folder.mkdir()
    bars = Lake(stocked).bars("binance", "BTC/USDT", "1m")
    prices = {name: getattr(bars, name) for name in ("open", "high", "low", "close", "volume")}
    opens = pl.Series((bars.ts_close_ns - bars.timeframe_ns) // 1_000_000).cast(pl.Datetime("ms", "UTC"))
    frame = pl.DataFrame({"ts": opens, **prices})
    frame.write_parquet(folder / "binance_BTC-USDT_1m.parquet")
    frame.write_parquet(folder / "kraken_BTC-USD_1m.parquet")
    return folder


def test_an_own_lake_comes_first(
    cli: Cli, lake: Path, monkeypatch: pytest.MonkeyPatch, halves: list[dict[str, object]]
) -> None:
    monkeypatch.setattr(at_hand, "recordings_folder", lambda _: pytest.fail("nobody should look for files"))
    before = tree(lake)
    outcome = cli("demo", "--once")
    assert outcome.code == 0, outcome.err
    assert f"real bars: the lake {lake} has 2 of 8 configured symbols" in outcome.err
    assert outcome.out.startswith(("Lost ", "Gained "))
    (explain,) = [line.split()[1:] for line in outcome.out.splitlines() if "novapulse explain" in line]
    assert cli(*explain).code == 0
    assert tree(lake) == before
    assert halves == [{"once": True, "port": 8700}]


def test_a_second_demo_says_where_the_first_one_is_and_nothing_else(
    cli: Cli, home: Path, halves: list[dict[str, object]]
) -> None:
    class Lives(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    (home / "demo").mkdir(parents=True)
    with http.server.HTTPServer(("127.0.0.1", 0), Lives) as server:
        address = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            with only_server(home / "demo", address):
                outcome = cli("demo")
        finally:
            server.shutdown()
            thread.join()
    assert (outcome.code, outcome.out, outcome.err) == (1, "", f"novapulse: a demo runs already at {address}\n")
    assert halves == []


def test_recorded_files_come_next_and_are_a_lake_the_second_time(
    cli: Cli, home: Path, recordings: Path, monkeypatch: pytest.MonkeyPatch, halves: list[dict[str, object]]
) -> None:
    monkeypatch.setenv("NOVAPULSE_DATA_DIR", str(recordings))
    before = tree(recordings)
    first = cli("demo", "--once", "--json")
    assert first.code == 0, first.err
    assert f"importing 1 recorded files of {recordings}" in first.err
    assert [info.symbol for info in Lake(home / "lake").series()] == ["BTC/USDT"]
    second = cli("demo", "--json")
    assert halves == []
    assert "real bars: the lake" in second.err
    assert json.loads(first.out) == json.loads(second.out)
    assert tree(recordings) == before


def test_a_sample_market_is_the_last_resort_and_is_called_one(
    cli: Cli, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(at_hand, "recordings_folder", lambda _: None)
    monkeypatch.setattr(at_hand, "_SAMPLE_BARS", 3000)
    outcome = cli("demo", "--once")
    assert outcome.code == 0, outcome.err
    assert "sample market: no recorded bars were found" in outcome.err
    assert {info.exchange for info in Lake(home / "lake").series()} == {"sample"}
    assert len(Lake(home / "lake").series()) == 8
    assert "sample BTC/USDT" in outcome.out or "sample ADA/USDT" in outcome.out
    again = cli("demo", "--once")
    assert again.out == outcome.out
