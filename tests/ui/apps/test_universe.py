"""The look over the lake on the scanner: what it shows is what the scan found, and nothing waits for it."""

import shutil
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from novapulse.backtest.settings import BacktestSettings
from novapulse.config import load
from novapulse.market.lake import Lake
from novapulse.monitor import read_home
from novapulse.research.universe import Filter, Order, Scan, on_own_timeframe, scan, series_of
from novapulse.strategies import STRATEGIES
from novapulse.ui.apps import universe
from tests.ui.apps.conftest import Drawn, Look


@pytest.fixture(autouse=True)
def forgotten() -> None:
    """Nothing is known of the looks of another test."""
    for known in (universe._jobs, universe._kept):
        known.clear()


@pytest.fixture
def home(left_home: Path, tmp_path: Path) -> Path:
    """A home of the test's own, with the lake; its configuration lets strategies vote on the bars alone."""
    made = tmp_path / "home"
    shutil.copytree(left_home, made)
    return made


def over(drawn: Drawn, home: Path) -> Drawn:
    """The page once its look has ended."""
    reading = read_home(home)
    until_s = time.monotonic() + 120
    while drawn.tiles("Looked over").get("working"):
        assert time.monotonic() < until_s, "the look never ended"
        time.sleep(0.02)
        drawn.deliver(reading)
    return drawn


def wanted(home: Path, settings: BacktestSettings | None = None, exchange: str | None = None) -> Scan:
    lake = Lake(home / "lake")
    own = settings or load({"NOVAPULSE_CONFIG": str(home / "config.yaml")}).settings.backtest
    return scan(lake, series_of(lake, exchange), own, STRATEGIES, now_ns=time.time_ns(), told=lambda *_: None)


def test_nothing_is_looked_over_before_it_is_asked_for(home: Path, look: Look) -> None:
    drawn = look("scanner", home, "viewer")
    assert "Judges the last bar of every series" in drawn.html
    assert not universe._jobs
    assert any("universe=kraken" in one for one in drawn.links)
    assert not any(one.label == "Universe" for one in drawn.widgets)


def test_rows_are_those_of_the_scan(home: Path, look: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOVAPULSE_CONFIG", str(home / "config.yaml"))
    drawn = over(look("scanner", home, "viewer", universe="all"), home)
    found = wanted(home)
    rows = {row["key"]: row for row in drawn.rows("Universe")}
    assert list(rows) == [one.name for one in found.chosen()]
    for one in found.rows:
        row = rows[one.name]
        assert one.warm
        assert one.forecasts is not None
        assert {name: row[f"vote {name}"] for name in one.forecasts} == one.forecasts
        assert (row["consensus"], row["regime"], row["price"]) == (one.consensus, one.regime, one.price)
        assert (row["turnover"], row["ts_close_ns"]) == (one.turnover, one.ts_close_ns)
        assert row["why"] == one.would.why
        assert row["age_s"] == pytest.approx(one.age_s(time.time_ns()), abs=60)
        assert row["would"].startswith(one.would.side or "nothing")
    tiles = drawn.tiles("Looked over")
    assert tiles["series"]["value"] == str(len(found.rows))
    assert tiles["would enter"]["value"] == str(sum(bool(one.would.side) for one in found.rows))


def test_choices_filter_and_sort_and_are_kept_by_every_link(
    home: Path, look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOVAPULSE_CONFIG", str(home / "config.yaml"))
    asked = {"universe": "kraken", "score": "5", "by": "symbol", "state": "flat"}
    drawn = over(look("scanner", home, "viewer", **asked), home)
    found = wanted(home, exchange="kraken").chosen(Filter(score_min=5.0), Order.SYMBOL)
    assert [row["key"] for row in drawn.rows("Universe")] == [one.name for one in found]
    chips = [one for one in drawn.links if "way=long" in one]
    assert chips
    assert all(f"{name}={value}" in one for one in chips for name, value in asked.items())
    states = [one for one in drawn.links if "state=held" in one]
    assert states
    assert all("universe=kraken" in one and "score=5" in one for one in states)


def test_what_is_not_warm_is_shown_with_its_bars_and_never_as_a_vote(home: Path, look: Look) -> None:
    settings = on_own_timeframe(BacktestSettings())
    assert settings.confluence.timeframe_multiples == (1,)
    drawn = over(look("scanner", home, "viewer", universe="all", own="0"), home)
    rows = drawn.rows("Universe")
    assert len(rows) == 4
    for row in rows:
        assert row["why"].startswith("not warm: 1,860 of 23,206 bars")
        assert (row["consensus"], row["regime"], row["level"]) == (None, None, "unknown")
        assert {row[f"vote {name}"] for name in STRATEGIES} == {None}
    assert drawn.tiles("Looked over")["not warm"]["value"] == "4"
    own = over(look("scanner", home, "viewer", universe="all", own="1"), home)
    assert own.tiles("Looked over")["not warm"]["value"] == "0"


def test_a_page_does_not_wait_for_a_look_and_tells_how_far_it_is(
    home: Path, look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on, begun = threading.Event(), threading.Event()

    def slow(*given: Any, told: Any, **more: Any) -> Scan:
        told(1, 4)
        begun.set()
        assert go_on.wait(60)
        return scan(*given, told=told, **more)

    monkeypatch.setattr(universe, "scan", slow)
    drawn = look("scanner", home, "viewer", universe="all", own="1")
    assert begun.wait(60)
    drawn.deliver(read_home(home))
    assert drawn.tiles("Looked over")["working"]["note"] == "looking over the lake … 25%"
    assert drawn.state("Universe")["rows"] == []
    # Another page, and another reader of the same, are drawn meanwhile; the look is made once.
    assert look("scanner", home, "viewer", universe="all", own="1").tiles("Looked over")["working"]
    assert look("health", home, "viewer").html
    assert len(universe._jobs) == 1
    go_on.set()
    assert len(over(drawn, home).rows("Universe")) == 4


def test_a_look_is_kept_as_long_as_bars_and_settings_are_the_same(
    home: Path, look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[int] = []

    def counted(*given: Any, **more: Any) -> Scan:
        looks.append(1)
        return scan(*given, **more)

    monkeypatch.setattr(universe, "scan", counted)
    asked = {"universe": "kraken", "own": "1"}
    first = over(look("scanner", home, "viewer", **asked), home).tiles("Looked over")["looked at"]["value"]
    assert over(look("scanner", home, "viewer", **asked), home).tiles("Looked over")["looked at"]["value"] == first
    assert len(looks) == 1
    lake = Lake(home / "lake")
    bars = lake.bars("coinbase", "BTC/USD", "15m")
    lake.append("kraken", "NEW/USD", "15m", bars[:10], source="a test")
    rows = over(look("scanner", home, "viewer", **asked), home).rows("Universe")
    assert len(looks) == 2
    assert [row["symbol"] for row in rows if row["why"].startswith("not warm: 10 of")] == ["NEW/USD"]


def test_a_series_that_cannot_be_read_needs_somebody(home: Path, look: Look) -> None:
    next((home / "lake").glob("kraken/BTC-USD/15m/*.parquet")).write_bytes(b"no parquet")
    drawn = over(look("scanner", home, "viewer", universe="kraken", own="1"), home)
    (broken,) = [row for row in drawn.rows("Universe") if row["level"] == "over"]
    assert broken["symbol"] == "BTC/USD"
    assert broken["why"]
    assert drawn.tiles("Looked over")["not read"]["value"] == "1"


@pytest.mark.parametrize(
    ("asked", "problem"),
    [
        ({"way": "up"}, "no way up: it is one of long, short"),
        ({"market": "calm"}, "no market calm: it is one of range-low"),
        ({"score": "-1"}, "no score -1: it is one of 0, 5"),
        ({"turnover": "1e400"}, "no turnover 1e400: it is one of 1000000"),
        ({"by": "luck"}, "no by luck: it is one of strength"),
        ({"own": "2"}, "no own 2: it is one of 1, 0"),
    ],
)
def test_what_cannot_be_asked_is_named(home: Path, look: Look, asked: dict[str, str], problem: str) -> None:
    assert look("scanner", home, "viewer", universe="all", **asked).problem.startswith(problem)
    assert not universe._jobs


def test_a_lake_that_is_empty_or_lacks_the_exchange_says_so(home: Path, look: Look) -> None:
    assert "has no bars of us: it has coinbase, kraken." in look("scanner", home, "viewer", universe="us").html
    shutil.rmtree(home / "lake")
    assert "is empty: &#x27;novapulse data import FILE" in look("scanner", home, "viewer", universe="all").html
    assert not universe._jobs


def test_a_look_that_is_not_possible_says_why(home: Path, look: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "own.yaml").write_text("scan: {timeframe: 1d}\n")
    monkeypatch.setenv("NOVAPULSE_CONFIG", str(home / "own.yaml"))
    drawn = over(look("scanner", home, "viewer", universe="all"), home)
    assert "no series of * 1d" in drawn.tiles("Looked over")["look"]["note"]
    assert drawn.state("Universe")["rows"] == []
