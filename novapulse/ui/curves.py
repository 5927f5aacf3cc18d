"""What changes over time beside the price: equity and drawdown, and what each strategy thought."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import numpy as np

from novapulse.confluence.combine import SignalColumns
from novapulse.core.bars import MINUTE_NS, Floats, Integers
from novapulse.strategies.votes import FORECAST_MAX
from novapulse.ui.aggregate import bucketed, extremes
from novapulse.ui.marks import UTC, Sheet, backdrop, either, layered, milliseconds, nothing, spoken, time_axis
from novapulse.ui.theme import COMPARED, mode, palette

_CURVE_COLUMNS = 600
_CURVE_POINTS_MAX = 15_000
_HEAT_COLUMNS = 400
_READOUT_COLUMNS = 300
_ROW_PX, _NAME_PX = 34, 15
_EQUITY_SHARE = 0.64


def equity_and_drawdown(
    ts_ns: Integers,
    equity: Floats,
    opening: float,
    *,
    compare: Mapping[str, tuple[Integers, Floats]] | None = None,
    height: int = 340,
) -> alt.LayerChart:
    """Draw equity above its drawdown, on one axis of time.

    Args:
        ts_ns: int64[T], close of each tick, ns UTC, ascending.
        equity: float64[T], quote, > 0.
        opening: Equity before the first tick, quote, > 0.
        compare: Other runs' stamps and equity by name; each is scaled to begin at `opening`.
        height: Pixels of both panels.

    Returns:
        A chart with the interval selection `period`: field `t`, ms UTC.
    """
    if ts_ns.size == 0:
        return nothing("No equity was recorded", height)
    others = compare or {}
    columns = max(min(_CURVE_COLUMNS, _CURVE_POINTS_MAX // (8 + 4 * len(others))), 1)
    floor = _EQUITY_SHARE * height
    sheet = Sheet()
    told = _readout(sheet, ts_ns, equity, opening)
    return sheet.drawn(
        backdrop(told, _x("from"), height),
        _equity(sheet, ts_ns, equity, opening, others, columns, floor),
        _drawdown(sheet, ts_ns, equity, opening, columns, (floor + 24, height)),
        told,
        height=height,
        panels=True,
    )


def _equity(
    sheet: Sheet,
    ts_ns: Integers,
    equity: Floats,
    opening: float,
    others: Mapping[str, tuple[Integers, Floats]],
    columns: int,
    floor: float,
) -> alt.LayerChart:
    colors = palette()
    kept = {"this run": _kept(ts_ns, equity, columns)}
    for name, (stamps, values) in others.items():
        if values.size:
            kept[name] = _kept(stamps, values * (opening / values[0]), columns)
    low = min(opening, *(float(values.min()) for _, values in kept.values()))
    high = max(opening, *(float(values.max()) for _, values in kept.values()))
    margin = 0.06 * (high - low) or 0.01 * high
    scale = alt.Scale(domain=[low - margin, high + margin], range=[floor, 0], nice=False, zero=False)
    y = alt.Y("equity:Q", scale=scale, axis=alt.Axis(orient="left", title=None, tickCount=5, format=",~r"))
    stamps, values = kept["this run"]
    own = sheet.chart("equity", t=milliseconds(stamps), equity=values)
    brush = alt.selection_interval(
        name="period",
        encodings=["x"],
        mark=alt.BrushConfig(fill=colors["accent"], fillOpacity=0.12, stroke=colors["accent"], strokeOpacity=0.6),
    )
    area = (
        own.mark_area(
            interpolate="step-after",
            color=_fading(colors["accent_soft"], colors["accent_clear"]),
        )
        .encode(x=_x(), y=y, y2=alt.Y2Datum(low - margin))
        .add_params(brush)
    )
    level = sheet.chart("opening", equity=[opening]).mark_rule(color=colors["muted"], strokeDash=[3, 3], opacity=0.7)
    line = own.mark_line(interpolate="step-after", color=colors["accent"], strokeWidth=1.6).encode(x=_x(), y=y)
    parts = [area, level.encode(y=y), line]
    if len(kept) > 1:
        parts.insert(2, _compared(sheet, kept, y))
    return layered(*parts)


def _compared(sheet: Sheet, kept: Mapping[str, tuple[Integers, Floats]], y: alt.Y) -> alt.Chart:
    names = list(kept)
    data = sheet.chart(
        "runs",
        t=milliseconds(np.concatenate([stamps for stamps, _ in kept.values()])),
        equity=np.concatenate([values for _, values in kept.values()]),
        run=np.repeat(names, [stamps.size for stamps, _ in kept.values()]),
    )
    shades = [palette()["accent"], *COMPARED[mode()]]
    hue = alt.Scale(domain=names, range=[shades[min(i, len(shades) - 1)] for i in range(len(names))])
    color = alt.Color("run:N", scale=hue, legend=alt.Legend(title=None, symbolType="stroke", labelLimit=220))
    # A saved curve has a point a day: held until the next one it would look better than it was.
    lines: alt.Chart = data.mark_line(interpolate="linear", strokeWidth=1.5).encode(
        x=_x(), y=y, color=color, tooltip=alt.Tooltip("run:N")
    )
    return lines


def _fading(top: str, bottom: str) -> dict[str, Any]:
    stops = [{"offset": 0, "color": bottom}, {"offset": 1, "color": top}]
    return {"gradient": "linear", "x1": 1, "x2": 1, "y1": 1, "y2": 0, "stops": stops}


def _drawdown(
    sheet: Sheet, ts_ns: Integers, equity: Floats, opening: float, columns: int, span: tuple[float, float]
) -> alt.Chart:
    drawdown = equity / np.maximum(np.maximum.accumulate(equity), opening) - 1.0
    stamps, values = _kept(ts_ns, drawdown, columns)
    lowest = min(float(values.min()), -0.001)
    scale = alt.Scale(domain=[1.08 * lowest, 0], range=[span[1], span[0]], nice=False)
    loss = palette()["loss"]
    y = alt.Y("drawdown:Q", scale=scale, axis=alt.Axis(orient="left", title=None, tickCount=3, format=".2~%"))
    area: alt.Chart = (
        sheet.chart("drawdown", t=milliseconds(stamps), drawdown=values)
        .mark_area(interpolate="step-after", color=loss, fillOpacity=0.22, line={"color": loss, "strokeWidth": 1.1})
        .encode(x=_x(), y=y, y2=alt.Y2Datum(0))
    )
    return area


def _readout(sheet: Sheet, ts_ns: Integers, equity: Floats, opening: float) -> alt.Chart:
    edges = np.unique(np.linspace(0, equity.size - 1, _READOUT_COLUMNS + 1).astype(np.int64))
    ends = edges[1:] if edges.size > 1 else edges
    peaks = np.maximum(np.maximum.accumulate(equity), opening)[ends]
    data = sheet.chart(
        "readout",
        **{"from": milliseconds(ts_ns[edges[: ends.size]]), "to": milliseconds(ts_ns[ends])},
        closes=spoken(ts_ns[ends]),
        equity=equity[ends],
        made=equity[ends] / opening - 1.0,
        drawdown=1.0 - equity[ends] / peaks,
    )
    columns: alt.Chart = data.mark_rect(opacity=0).encode(
        x=_x("from"),
        x2=alt.X2("to"),
        tooltip=[
            alt.Tooltip("closes:N", title="at"),
            alt.Tooltip("equity:Q", format=",.2f"),
            alt.Tooltip("made:Q", title="return", format="+.2%"),
            alt.Tooltip("drawdown:Q", format=".2%"),
        ],
    )
    return columns


def _kept(ts_ns: Integers, values: Floats, columns: int) -> tuple[Integers, Floats]:
    chosen = extremes(values, columns)
    return ts_ns[chosen], values[chosen]


def _x(field: str = "t") -> alt.X:
    return alt.X(f"{field}:T", scale=UTC, axis=time_axis())


def forecast_heat(
    signals: SignalColumns, votes: Floats, ts_close_ns: Integers, names: Sequence[str] = ()
) -> alt.LayerChart:
    """Draw what each strategy forecast over time, and the consensus above them.

    Args:
        signals: Consensus of N bars.
        votes: float64[S, N], -20..20, from `forecasts_by_strategy`.
        ts_close_ns: int64[N], ns UTC, ascending.
        names: Names of the S strategies; those of the signals unless given.

    Returns:
        Cells of mean forecasts, blank where the market was not warm; their tooltips tell the extremes.
    """
    labels = [name.replace("_", " ") for name in (names or signals.strategies)]
    every = ["consensus", *labels]
    height = _ROW_PX * len(every)
    if ts_close_ns.size == 0 or not signals.warm.any():
        return nothing("No bar is warm yet: strategies say nothing before they have seen enough", height)
    # What is not warm yet, before the first opinion, would only be a blank half of the picture.
    begin = int(np.argmax(signals.warm))
    values = np.where(signals.warm, np.vstack([signals.consensus, votes]), np.nan)[:, begin:]
    stamps = ts_close_ns[begin:]
    buckets = bucketed(values, stamps, int(np.diff(stamps).min(initial=MINUTE_NS)), _HEAT_COLUMNS)
    producer, column = np.nonzero(~np.isnan(buckets.means))
    sheet = Sheet()
    cells = sheet.chart(
        "cells",
        **{"from": milliseconds(buckets.start_ns[column]), "to": milliseconds(buckets.end_ns[column])},
        row=producer,
        forecast=np.round(buckets.means[producer, column], 2),
        lowest=np.round(buckets.lows[producer, column], 1),
        highest=np.round(buckets.highs[producer, column], 1),
    )
    names_shown = sheet.chart("names", name=every, row=np.arange(len(every)))
    return sheet.drawn(_cells(cells, every, height), _row_names(names_shown, height), height=height)


def _cells(data: alt.Chart, names: Sequence[str], height: int) -> alt.Chart:
    colors = palette()
    hue = alt.Scale(
        domain=[-FORECAST_MAX, 0, FORECAST_MAX],
        range=[colors["loss"], colors["blank"], colors["gain"]],
        interpolate="rgb",
        clamp=True,
    )
    legend = alt.Legend(
        title=None,
        gradientLength=180,
        gradientThickness=8,
        values=[-20, -10, 0, 10, 20],
        labelExpr="datum.value == -20 ? 'short \N{MINUS SIGN}20' : datum.value == 20 ? '+20 long' : datum.label",
    )
    cells: alt.Chart = (
        data.transform_calculate(
            top=f"{_ROW_PX} * datum.row + {_NAME_PX}",
            bottom=f"{_ROW_PX} * (datum.row + 1) - 3",
            strategy=f"{json.dumps(list(names))}[datum.row]",
            until="utcFormat(datum.to, '%Y-%m-%d %H:%MZ')",
        )
        .mark_rect()
        .encode(
            x=_x("from"),
            x2=alt.X2("to"),
            y=_pixels("top", height),
            y2=alt.Y2("bottom"),
            color=alt.Color("forecast:Q", scale=hue, legend=legend),
            tooltip=[
                alt.Tooltip("strategy:N"),
                alt.Tooltip("until:N", title="up to"),
                alt.Tooltip("forecast:Q", title="mean forecast", format="+.1f"),
                alt.Tooltip("lowest:Q", format="+.1f"),
                alt.Tooltip("highest:Q", format="+.1f"),
            ],
        )
    )
    return cells


def _row_names(data: alt.Chart, height: int) -> alt.Chart:
    colors = palette()
    texts: alt.Chart = (
        data.transform_calculate(
            top=f"{_ROW_PX} * datum.row + {_NAME_PX} - 2",
            color=either("datum.row == 0", colors["text"], colors["muted"]),
        )
        .mark_text(align="left", baseline="bottom", fontSize=11)
        .encode(
            x=alt.value(0),
            y=_pixels("top", height),
            text=alt.Text("name:N"),
            fill=alt.Fill("color:N", scale=None),
        )
    )
    return texts


def _pixels(field: str, height: int) -> alt.Y:
    return alt.Y(f"{field}:Q", scale=alt.Scale(domain=[0, height], range=[0, height], nice=False), axis=None)
