"""The price of a run: few points whatever its history, choices to the nanosecond, and a new run is its round trips."""

from typing import Any

import numpy as np
import pytest

from novapulse.core.bars import DAY_NS, BarColumns
from novapulse.core.instruments import InstrumentKey
from novapulse.core.records import REASON_TEXT, Reason
from novapulse.ui.price import BARS_MAX, TRIPS_MAX, Price, columns
from novapulse.ui.widgets import Trips
from tests.ui.test_charts import NAMES, YEAR_BARS, trips_on, walk

KEY = InstrumentKey("binance", "BTC/USDT")


def shown(price: Price, bars: BarColumns, trips: Any, **more: Any) -> None:
    regime = more.pop("regime", np.zeros(len(bars), np.int8))
    price.show(KEY, bars, regime, trips, NAMES, **{"of": "a run", **more})


def table(packed: bytes) -> Any:
    width, *rest = np.frombuffer(packed, "<f8")
    return np.array(rest).reshape(-1, int(width))


def trips_of(price: Price) -> Any:
    return table(price.chart.trips["rows"])


def column(rows: Any, name: str) -> Any:
    return rows[:, Trips.COLUMNS.index(name)]


def test_a_year_of_minutes_is_few_candles_and_of_many_round_trips_the_largest():
    price, bars = Price(lambda ts_ns: None), walk(YEAR_BARS)
    trips = trips_on(bars, 30_000)
    shown(price, bars, trips)
    assert BARS_MAX / 3 < len(table(price.chart.rows)) <= BARS_MAX
    assert len(trips_of(price)) == TRIPS_MAX
    most = np.sort(np.abs(trips["pnl"]))[-TRIPS_MAX:]
    assert np.sort(np.abs(column(trips_of(price), "pnl"))) == pytest.approx(most)


def test_the_bar_that_is_chosen_is_named_by_its_last_close_to_the_nanosecond():
    chosen: list[int] = []
    price, bars = Price(chosen.append), walk(5_000)
    shown(price, bars, trips_on(bars, 3))
    times = table(price.chart.rows)[:, 0]
    price.chart.clicked = {"time": times[7], "count": 1}
    price.chart.clicked = {"time": times[-1], "count": 2}
    price.chart.clicked = {"time": times[-1], "count": 3}
    assert set(chosen) < set(bars.ts_close_ns.tolist())
    assert chosen[1:] == [bars.ts_close_ns[-1]] * 2, "chosen again, it is told again"


def test_another_run_on_the_same_bars_sends_its_round_trips_only():
    price, bars = Price(lambda ts_ns: None), walk(2_000)
    shown(price, bars, trips_on(bars, 3))
    sent: list[str] = []
    price.chart.observe(lambda change: sent.append(change["name"]))
    before = price.chart.state
    shown(price, bars, trips_on(bars, 4), of="another run")
    assert sent == ["trips"]
    assert price.chart.state == before
    assert (price.chart.trips["of"], len(trips_of(price))) == ("another run", 4)
    assert price.chart.trips["currency"] == KEY.symbol.partition("/")[2] != ""
    regime = np.full(len(bars), 4, np.int8)
    shown(price, bars, trips_on(bars, 4), regime=regime)
    assert [one["name"] for one in price.chart.state["regimes"]] == ["trend-normal"], "others are sent"


def test_a_selected_round_trip_is_framed_with_its_stop_and_a_reached_target():
    price, bars = Price(lambda ts_ns: None), walk(20_000)
    trips = trips_on(bars, 200)
    trips["exit_reason"][101] = Reason.EXIT_TARGET
    shown(price, bars, trips, selected_trip=101)
    rows = trips_of(price)
    (at,) = np.flatnonzero(column(rows, "number") == 101)
    assert price.chart.trips["selected"] == 101
    assert column(rows, "stop")[at] == pytest.approx(trips["entry_price"][101] - 1.5)
    assert column(rows, "target")[at] == trips["exit_price"][101]
    first, last = table(price.chart.rows)[[0, -1], 0] * 1e9
    assert first < trips["entry_ts_ns"][101] < trips["exit_ts_ns"][101] < last < first + DAY_NS
    shown(price, bars, trips, selected_trip=9_999)
    assert price.chart.trips["selected"] is None, "it is none of this run's"


def test_what_is_not_known_is_no_number():
    trips = trips_on(walk(200), 2)
    trips["qty"][0], trips["r_multiple"][0], trips["lead"] = 0.0, np.nan, (-1, 99)
    told = columns(trips, NAMES)
    assert np.isnan(column(told.rows, "stop")).tolist() == [True, False]
    assert np.isnan(column(told.rows, "target")).all(), "no target was reached"
    assert np.isnan(column(told.rows, "r")).tolist() == [True, False]
    assert column(told.rows, "lead").tolist() == [-1, -1], "nobody, and nobody known"
    assert [told.reasons[int(reason)] for reason in column(told.rows, "reason")] == [REASON_TEXT[Reason.EXIT_STOP]] * 2


@pytest.mark.parametrize("count", [0, 1, 2])
def test_no_bar_or_one_is_no_trouble(count: int):
    price, bars = Price(lambda ts_ns: None), walk(100)[:count]
    for more in ({}, {"selected_trip": 0}, {"window": (0, 1)}):
        shown(price, bars, trips_on(walk(100), count), **more)
        assert len(table(price.chart.rows)) <= count
