"""Charts draw few points and lose no extreme, whatever history they are given, and say so where there is nothing."""

import csv
import io
import json
from collections.abc import Iterator
from typing import Any

import altair as alt
import numpy as np
import pytest

from novapulse.confluence.combine import SignalColumns
from novapulse.core.bars import MINUTE_NS, BarColumns, Floats
from novapulse.core.records import ROUND_TRIP, Reason
from novapulse.ui import charts, theme
from novapulse.ui.aggregate import bucketed, display_bars, extremes

YEAR_BARS = 525_600
START_NS = 1_767_225_600_000_000_000
NAMES = ("keltner", "trend_following")


@pytest.fixture(autouse=True)
def themed() -> Iterator[None]:
    before = alt.theme.active
    theme.register()
    yield
    theme.set_mode("light")
    alt.theme.enable(before)


def walk(count: int, *, without: slice = slice(0, 0), seed: int = 1) -> BarColumns:
    rng = np.random.default_rng(seed)
    close = 100.0 * np.exp(np.cumsum(rng.normal(0.0, 1e-3, count)))
    opened = np.concatenate([close[:1], close[:-1]])
    wick = np.abs(rng.normal(0.0, 0.05, (2, count)))
    columns = (
        START_NS + MINUTE_NS * np.arange(1, count + 1),
        opened,
        np.maximum(opened, close) + wick[0],
        np.minimum(opened, close) - wick[1],
        close,
        rng.uniform(0.0, 5.0, count),
    )
    kept = np.delete(np.arange(count), without)
    return BarColumns.checked(*(column[kept] for column in columns), timeframe_ns=MINUTE_NS)


def trips_on(bars: BarColumns, count: int) -> Any:
    trips = np.zeros(count, ROUND_TRIP)
    entry = np.linspace(0, len(bars) - 40, count).astype(np.int64)
    trips["number"], trips["direction"], trips["lead"] = np.arange(count), np.where(np.arange(count) % 2, 1, -1), 1
    trips["entry_ts_ns"], trips["exit_ts_ns"] = bars.ts_close_ns[entry], bars.ts_close_ns[entry + 30]
    trips["entry_price"], trips["exit_price"] = bars.close[entry], bars.close[entry + 30]
    trips["qty"], trips["risk"] = 2.0, 3.0
    trips["pnl"] = trips["r_multiple"] = np.linspace(-1.0, 2.0, count)
    trips["exit_reason"] = Reason.EXIT_STOP
    return trips


def said(bars: BarColumns) -> tuple[SignalColumns, Floats]:
    signals = SignalColumns.empty(len(bars), NAMES)
    signals.warm[len(bars) // 3 :] = True
    signals.consensus[:] = np.where(signals.warm, 5.0, 0.0)
    return signals, np.vstack([np.full(len(bars), 10.0), np.full(len(bars), -20.0)])


def data_of(chart: Any) -> dict[str, list[dict[str, str]]]:
    spec = chart.to_dict()
    assert json.loads(json.dumps(spec, allow_nan=False)) == spec
    return {name: list(csv.DictReader(io.StringIO(text))) for name, text in spec["datasets"].items()}


def points(chart: Any) -> int:
    return sum(map(len, data_of(chart).values()))


def test_a_year_of_minutes_is_drawn_with_at_most_20_000_points() -> None:
    bars = walk(YEAR_BARS)
    signals, votes = said(bars)
    drawn = [
        charts.equity_and_drawdown(
            bars.ts_close_ns, bars.close, 100.0, compare={f"run {i}": (bars.ts_close_ns, bars.close) for i in range(20)}
        ),
        charts.forecast_heat(signals, votes, bars.ts_close_ns),
        charts.excursions(-bars.volume, bars.volume, bars.volume),
        charts.r_distribution(bars.volume),
    ]
    for chart in drawn:
        assert 10 < points(chart) <= charts.POINTS_MAX
        assert chart.to_dict()["width"] == "container"


@pytest.mark.parametrize("without", [slice(0, 0), slice(900, 1_700), slice(0, 1_999, 2)], ids=["whole", "gap", "holes"])
def test_display_bars_keep_first_highest_lowest_last_and_volume(without: slice) -> None:
    bars = walk(2_000, without=without)
    shown = display_bars(bars, 150)
    assert shown.multiple == 15
    assert 2 <= len(shown) <= 150
    first = 0
    for i, last in enumerate(shown.last.tolist()):
        inside = bars[first : last + 1]
        assert len(set(((inside.number - 1) // 15).tolist())) == 1
        assert (shown.open[i], shown.close[i]) == (inside.open[0], inside.close[-1])
        assert (shown.high[i], shown.low[i]) == (inside.high.max(), inside.low.min())
        assert shown.volume[i] == pytest.approx(inside.volume.sum())
        assert shown.ts_close_ns[i] == inside.ts_close_ns[-1]
        assert shown.start_ns[i] >= (shown.ts_close_ns[i - 1] if i else 0)
        first = last + 1
    assert first == len(bars)


def test_a_candle_keeps_its_edges_when_the_window_moves() -> None:
    bars = walk(3_000)
    whole, later = display_bars(bars, 200), display_bars(bars[700:], 150)
    assert whole.multiple == later.multiple
    assert set(later.ts_close_ns.tolist()) < set(whole.ts_close_ns.tolist())


def test_a_decimated_curve_keeps_every_peak_and_trough_in_its_place() -> None:
    values = np.random.default_rng(4).normal(size=100_003)
    values[77_777], values[33_333] = 50.0, -50.0
    rows = extremes(values, 500)
    assert rows.size <= 4 * 500
    assert {0, 33_333, 77_777, values.size - 1} <= set(rows.tolist())
    assert np.all(np.diff(rows) > 0)
    assert extremes(values[:7], 500).tolist() == list(range(7))


def test_buckets_average_what_is_known_and_tell_its_extremes() -> None:
    stamps = START_NS + MINUTE_NS * np.array([1, 2, 3, 11, 12])
    values = np.array([[1.0, 3.0, np.nan, -4.0, -6.0], [np.nan, np.nan, np.nan, 2.0, 2.0]])
    buckets = bucketed(values, stamps, MINUTE_NS, 3)
    assert (buckets.end_ns - buckets.start_ns == 10 * MINUTE_NS).all()
    assert buckets.start_ns.tolist() == [START_NS, START_NS + 10 * MINUTE_NS]
    assert buckets.means[0].tolist() == [2.0, -5.0]
    assert buckets.lows[0].tolist() == [1.0, -6.0]
    assert buckets.highs[0].tolist() == [3.0, -4.0]
    assert np.isnan(buckets.means[1, 0])
    assert buckets.means[1, 1] == 2.0


def test_drawdown_is_measured_from_the_opening_equity_and_others_begin_there() -> None:
    stamps = START_NS + MINUTE_NS * np.arange(1, 4)
    data = data_of(
        charts.equity_and_drawdown(
            stamps, np.array([90.0, 110.0, 99.0]), 100.0, compare={"b": (stamps, np.array([7.0, 14.0, 7.0]))}
        )
    )
    assert [float(row["drawdown"]) for row in data["drawdown"]] == pytest.approx([-0.1, 0.0, -0.1])
    assert [float(row["equity"]) for row in data["runs"] if row["run"] == "b"] == [100.0, 200.0, 100.0]


@pytest.mark.parametrize("count", [0, 1, 2])
def test_no_bar_or_one_is_no_trouble(count: int) -> None:
    bars = walk(100)[:count]
    signals, votes = said(bars)
    trips = trips_on(walk(100), count)
    for chart in (
        charts.equity_and_drawdown(bars.ts_close_ns, bars.close, 100.0),
        charts.forecast_heat(signals, votes, bars.ts_close_ns),
        charts.r_distribution(trips["r_multiple"]),
        charts.excursions(trips["mae_r"], trips["mfe_r"], trips["r_multiple"]),
        charts.monthly([{"year": 2026, "month": 1, "total_return": 0.0}] * min(count, 1)),
        charts.attribution({"a": {"trades": 1, "pnl": 0.0, "win_rate": None}} if count else {}),
        charts.refused([{"text": "x", "entries": 1, "total_r": None, "win_rate": None}] * count),
        charts.stress({"as_tested": {"total_return": None, "max_drawdown": None, "trades": 0}} if count else {}),
    ):
        assert points(chart) >= 1


def test_what_is_unknown_is_not_drawn_as_zero() -> None:
    months = [{"year": 2026, "month": 1, "total_return": None}, {"year": 2026, "month": 2, "total_return": 0.1}]
    assert [row["month"] for row in data_of(charts.monthly(months))["months"]] == ["Feb"]
    table = [
        {"text": "x", "entries": 3, "total_r": None, "win_rate": None},
        {"text": "y", "entries": 3, "total_r": 2.0, "win_rate": 0.5},
    ]
    assert [row["name"] for row in data_of(charts.refused(table))["rows"]] == ["y"]
    signals, votes = said(walk(3_000))
    assert int(data_of(charts.forecast_heat(signals, votes, walk(3_000).ts_close_ns))["cells"][0]["from"]) >= (
        START_NS // 1_000_000 + 60_000 * 1_000 - 60_000 * 10
    )


def test_times_reach_the_browser_in_utc_everywhere() -> None:
    bars = walk(300)
    signals, votes = said(bars)
    for chart in (
        charts.equity_and_drawdown(bars.ts_close_ns, bars.close, 100.0),
        charts.forecast_heat(signals, votes, bars.ts_close_ns),
    ):
        found = list(temporal(chart.to_dict()))
        assert found
        assert all(channel["scale"]["type"] == "utc" for channel in found)
        assert "timeFormat" not in json.dumps(chart.to_dict()["layer"])


def temporal(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        if node.get("type") == "temporal":
            yield node
        for value in node.values():
            yield from temporal(value)
    elif isinstance(node, list):
        for value in node:
            yield from temporal(value)


def test_the_theme_needs_no_eval_and_follows_the_mode() -> None:
    theme.register()
    theme.set_mode("dark")
    dark = charts.r_distribution(np.array([1.0, -1.0])).to_dict()
    assert dark["usermeta"]["embedOptions"] == {"ast": True, "actions": False}
    assert dark["config"]["background"] == "transparent"
    assert theme.PALETTE["dark"]["gain"] in json.dumps(dark["layer"])
    theme.set_mode("light")
    assert theme.PALETTE["dark"]["gain"] not in json.dumps(charts.r_distribution(np.array([1.0, -1.0])).to_dict())
    with pytest.raises(ValueError, match="'sepia': expected light or dark"):
        theme.set_mode("sepia")


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_colours_stand_out_from_the_panel(mode: theme.Mode) -> None:
    colors = theme.PALETTE[mode]
    page, sunk = {"light": ("#f6f8fb", "#f1f5f9"), "dark": ("#080d18", "#1e293b")}[mode]
    for back in (colors["panel"], page):
        for name, least in {"text": 7.0, "muted": 4.5, "gain": 4.5, "loss": 4.5, "accent": 4.5, "warn": 4.5}.items():
            assert contrast(colors[name], back) >= least, (name, back)
    assert contrast(colors["muted"], sunk) >= 4.5, "what is greyed is still read"
    for color in (*theme.REGIMES[mode].values(), *theme.COMPARED[mode]):
        assert contrast(color, colors["panel"]) >= 3.0, color
    assert contrast(colors["on_color"], colors["gain"]) >= 4.0
    assert contrast(colors["on_color"], colors["loss"]) >= 3.9


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(color: str) -> float:
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
