"""Equity, drawdown, and trades on price.

Invariants:
- a drawing holds a bounded number of points however long the run was, and what was left out is said below it;
- what is missing is a sentence in place of a drawing, never a line at zero.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from novapulse.backtest.result import Result
from novapulse.core.bars import BarColumns, Floats, Integers
from novapulse.core.instruments import Instrument
from novapulse.core.records import REASON_TEXT, Reason
from novapulse.core.words import counted
from novapulse.research.tearsheet.scales import Scale, buckets, number_ticks, scale_of, signed, thinned, time_ticks
from novapulse.research.tearsheet.svg import Markup, Plot
from novapulse.research.tearsheet.words import R_RESULT, RESULT, figure, minute_of
from novapulse.stats.drawdowns import drawdown_curve, episodes

Trips = Any
"""ROUND_TRIP[R]."""

_LINE_BUCKETS = 240
_PRICE_BUCKETS = 220
_TRIPS_DRAWN = 150
_TIME_TICKS = 9
_CLOSED_WIDTHS = 4
"""A line is interrupted where a market is closed for this many of its points: on a week's nights, not on a year's."""


@dataclass(frozen=True, slots=True)
class Chart:
    """A drawing with what is said below it; without a drawing the words say why there is none."""

    title: str
    words: str
    drawing: Markup | None = None


def equity_charts(result: Result, quote: str) -> list[Chart]:
    """Return the equity curve and the drawdown below it."""
    ts_ns, equity, capital = result.equity_ts_ns, result.equity, result.settings.capital
    if equity.size == 0:
        return [Chart("Equity", "No curve was kept in this metrics-only run: only the figures below are known.")]
    if equity.size == 1:
        only = f"one bar, closed {minute_of(int(ts_ns[0]))} UTC, with {signed(float(equity[0]), 2)} {quote}"
        return [Chart("Equity", f"There is no curve to draw: the run has {only}.")]
    deepest = episodes(ts_ns, equity, capital, 1)
    return [_equity(ts_ns, equity, capital, quote, deepest), _drawdown(ts_ns, equity, capital, deepest)]


def _equity(ts_ns: Integers, equity: Floats, capital: float, quote: str, deepest: Sequence[Any]) -> Chart:
    points = _points(ts_ns, equity)
    scale = scale_of([capital, *(value for _, value in points)], room=0.06)
    plot = _over_time(ts_ns, scale).y_axis(number_ticks(scale, 8))
    for one in deepest:
        plot.span(one.peak_ts_ns, one.recovered_ts_ns or int(ts_ns[-1]))
    plot.rule(capital, "opening capital").line([points], "equity-line")
    level = [(points[0][0], capital), (points[-1][0], capital)]
    plot.area([([(at, max(value, capital)) for at, value in points], level)], "equity-above")
    plot.area([(level, [(at, min(value, capital)) for at, value in points])], "equity-below")
    last = float(equity[-1])
    description = (
        f"From {signed(capital, 2)} to {signed(last, 2)} {quote}, lowest {signed(float(equity.min()), 2)}, "
        f"highest {signed(float(equity.max()), 2)}, {minute_of(int(ts_ns[0]))} to {minute_of(int(ts_ns[-1]))} UTC."
    )
    shaded = " Shaded: the deepest drawdown, from its peak until it was recovered or the data end." if deepest else ""
    return Chart(
        f"Equity, {quote}", description + shaded, plot.drawn("equity", "Equity over time", description, "tall")
    )


def _drawdown(ts_ns: Integers, equity: Floats, capital: float, deepest: Sequence[Any]) -> Chart:
    if not deepest:
        return Chart("Drawdown", "Equity never fell below an earlier peak.")
    points = [(at, -value) for at, value in _points(ts_ns, drawdown_curve(equity, capital))]
    scale = Scale(min(value for _, value in points) * 1.08, 0.0)
    plot = _over_time(ts_ns, scale).y_axis(number_ticks(scale, 5, " %", 100.0), strong=0.0)
    top = [(points[0][0], 0.0), (points[-1][0], 0.0)]
    plot.area([(top, points)], "drawdown-area").line([points], "drawdown-line")
    description = (
        f"Deepest {signed(100 * deepest[0].depth, 2)} % below the peak, at {minute_of(deepest[0].trough_ts_ns)}."
    )
    return Chart(
        "Drawdown from the highest equity so far",
        description,
        plot.drawn("drawdown", "Drawdown over time", description, "low"),
    )


def _over_time(ts_ns: Integers, scale: Scale) -> Plot:
    start, end = int(ts_ns[0]), int(ts_ns[-1])
    return Plot(scale_of([start, end]), scale).x_axis(time_ticks(start, end, _TIME_TICKS))


def _points(ts_ns: Integers, values: Floats) -> list[tuple[float, float]]:
    rows = thinned(ts_ns, values, _LINE_BUCKETS)
    return list(zip(ts_ns[rows].tolist(), values[rows].tolist(), strict=True))


def price_chart(
    number: int, instrument: Instrument, bars: BarColumns, trips: Trips, strategies: Sequence[str]
) -> Chart:
    """Return the price of one instrument with its round trips.

    Args:
        number: Of the instrument, for the names on the page.
        instrument: Named in the title.
        bars: Its decision bars.
        trips: ROUND_TRIP[R] of this instrument.
        strategies: Names that `lead` indexes.
    """
    if len(bars) < 2:
        return Chart(instrument.symbol, "One bar is no price line.")
    shown = _most_telling(trips)
    prices = [float(price) for name in ("entry_price", "exit_price") for price in shown[name]]
    scale = scale_of([float(bars.low.min()), float(bars.high.max()), *prices], room=0.05)
    plot = _over_time(bars.ts_close_ns, scale).y_axis(number_ticks(scale, 8))
    pieces = list(_pieces(bars))
    plot.area([(upper, lower) for upper, lower, _ in pieces], "price-range")
    plot.line([close for *_, close in pieces], "price-line")
    for trip in shown:
        _draw_trip(plot, trip, strategies)
    wins = int((trips["pnl"] > 0).sum())
    words = f"{counted(int(trips.size), 'round trip')}, {wins:,} with a gain. " if trips.size else "No round trips. "
    if shown.size < trips.size:
        words += f"Drawn are the {shown.size:,} with the largest gain or loss. "
    moved = RESULT.write(float(bars.close[-1] / bars.open[0]) - 1.0)
    words += f"The price itself moved {moved} from the first open to the last close."
    drawing = plot.drawn(f"price-{number}", f"Price of {instrument.symbol} with round trips", words, "tall")
    return Chart(f"{instrument.symbol} on {instrument.exchange}", words, drawing)


def _most_telling(trips: Trips) -> Trips:
    if trips.size <= _TRIPS_DRAWN:
        return trips
    return trips[np.sort(np.argsort(-np.abs(trips["pnl"]), kind="stable")[:_TRIPS_DRAWN])]


_Line = list[tuple[float, float]]


def _pieces(bars: BarColumns) -> Iterator[tuple[_Line, _Line, _Line]]:
    span = int(bars.ts_close_ns[-1]) - int(bars.ts_close_ns[0])
    open_share = min(len(bars) * bars.timeframe_ns / span, 1.0)
    parts = buckets(bars.ts_close_ns, min(round(_PRICE_BUCKETS / open_share), len(bars)))
    width = span / len(parts)
    rows = [
        (
            int(bars.ts_close_ns[p.stop - 1]),
            float(bars.high[p].max()),
            float(bars.low[p].min()),
            float(bars.close[p][-1]),
        )
        for p in parts
    ]
    breaks = [
        index
        for index, (before, after) in enumerate(pairwise(parts), 1)
        if bars.ts_close_ns[after.start] - bars.ts_close_ns[before.stop - 1]
        > width * (2 if bars.number[after.start] - bars.number[before.stop - 1] > 1 else _CLOSED_WIDTHS)
    ]
    for start, stop in pairwise([0, *breaks, len(rows)]):
        piece = rows[start:stop]
        yield (
            [(at, high) for at, high, _, _ in piece],
            [(at, low) for at, _, low, _ in piece],
            [(at, close) for at, *_, close in piece],
        )


def _draw_trip(plot: Plot, trip: Any, strategies: Sequence[str]) -> None:
    entry = float(trip["entry_ts_ns"]), float(trip["entry_price"])
    leave = float(trip["exit_ts_ns"]), float(trip["exit_price"])
    is_long, tone = int(trip["direction"]) > 0, "gain" if trip["pnl"] > 0 else "loss"
    lead = int(trip["lead"])
    led = strategies[lead] if 0 <= lead < len(strategies) else "no strategy"
    made = figure("r_multiple", float(trip["r_multiple"]), R_RESULT)
    remark = (
        f"{'long' if is_long else 'short'}, led by {led}: in {minute_of(int(trip['entry_ts_ns']))} at "
        f"{entry[1]:,.8g}, out {minute_of(int(trip['exit_ts_ns']))} at {leave[1]:,.8g}, "
        f"{made.text} ({REASON_TEXT[Reason(int(trip['exit_reason']))]})"
    )
    plot.stroke(entry, leave, f"trip {tone}")
    plot.mark(*entry, "up" if is_long else "down", tone, remark)
    plot.mark(*leave, "dot" if tone == "gain" else "ring", tone, remark)
