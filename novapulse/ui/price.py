"""Price as candles, with what was traded on it.

Invariants:
- candles are those of `display_bars`; a click on one, wherever in its column, selects the close of its last bar;
- positions are blue where long and orange where short; what they made is blue or orange by gain or loss;
- every stamp reaches the browser in UTC, and `ts_close_ns` as text: JavaScript has no 64-bit integers.
"""

from collections.abc import Mapping, Sequence

import altair as alt
import numpy as np
from numpy.typing import NDArray

from novapulse.backtest.columns import Records
from novapulse.core.bars import BarColumns, timeframe_text
from novapulse.signals.regimes import LABELS
from novapulse.ui.aggregate import DisplayBars, display_bars
from novapulse.ui.ground import Ground, as_told
from novapulse.ui.marks import Sheet, either, milliseconds, nothing
from novapulse.ui.positions import draw_levels, draw_trips, level_columns, visible_trips
from novapulse.ui.theme import REGIMES, mode, palette

LEVELS_MAX = 25
"""Stops and targets of all round trips are drawn up to so many; of more, only those of the selected one."""

_SELECTED_MARGIN_BARS = 90
_FAINT = np.array([0.0, 0.0, 0.08, 0.05, 0.08, 0.15])


def price(
    bars: BarColumns,
    trips: Records,
    strategies: Sequence[str] = (),
    *,
    regime: NDArray[np.int8] | None = None,
    window: tuple[int, int] | None = None,
    selected_trip: int | None = None,
    targets: Mapping[int, float] | None = None,
    bars_shown_max: int = 600,
    height: int = 440,
) -> alt.LayerChart:
    """Draw candles, volume, regimes, and the round trips on them.

    Args:
        bars: Bars of one instrument.
        trips: ROUND_TRIP[R] of the same instrument.
        strategies: Names that `trips.lead` counts in.
        regime: int8[N], regime of each bar, index into `regimes.LABELS`; None leaves regimes out.
        window: Closes (start, end] to show, ns UTC; None for all bars, or those around the selected round trip.
        selected_trip: `number` of the round trip whose stop and target are shown.
        targets: Take-profit price by `number`, where known; reached ones need not be in it.
        bars_shown_max: Most candles, >= 2.
        height: Pixels.

    Returns:
        A chart with the point selection `bar`: field `ts_close_ns`, the last close inside the candle, as text.
    """
    chosen = trips[trips["number"] == selected_trip] if selected_trip is not None else trips[:0]
    start, end = window or _around(bars, chosen)
    first, last = np.searchsorted(bars.ts_close_ns, [start, end], side="right") if len(bars) else (0, 0)
    shown = display_bars(bars[first:last], bars_shown_max)
    if len(shown) == 0:
        return nothing("No bars in this period", height)
    seen = visible_trips(trips, int(shown.start_ns[0]), int(shown.ts_close_ns[-1]))
    leveled = chosen if selected_trip is not None else seen if seen.size <= LEVELS_MAX else seen[:0]
    levels = level_columns(leveled, targets or {})
    ground = Ground.under(shown, levels["level"] if selected_trip is not None else np.zeros(0), height)
    codes = None if regime is None else regime[first:last][shown.last]
    sheet = Sheet()
    candles = _candle_data(sheet, shown, codes)
    return sheet.drawn(
        *_regime_bands(sheet, shown, codes, ground),
        _volume(candles, float(shown.volume.max()), ground),
        *draw_levels(sheet, levels, ground, boxed=selected_trip is not None),
        *_candles(candles, ground, len(shown)),
        _columns(candles, ground, _bar_tooltip(timeframe_text(bars.timeframe_ns * shown.multiple), codes is not None)),
        *draw_trips(sheet, seen, strategies, shown, ground, selected_trip),
        _caption(sheet, ground, timeframe_text(bars.timeframe_ns * shown.multiple), codes is not None),
        height=height,
    )


def _around(bars: BarColumns, chosen: Records) -> tuple[int, int]:
    if len(bars) == 0:
        return 0, 0
    if chosen.size == 0:
        return int(bars.ts_close_ns[0]) - 1, int(bars.ts_close_ns[-1])
    begin, finish = int(chosen["entry_ts_ns"][0]), int(chosen["exit_ts_ns"][0])
    margin = max(finish - begin, _SELECTED_MARGIN_BARS * bars.timeframe_ns)
    return begin - margin, finish + margin


def _candle_data(sheet: Sheet, shown: DisplayBars, codes: NDArray[np.int8] | None) -> alt.Chart:
    regimes = {} if codes is None else {"regime": [LABELS[code] for code in codes]}
    return sheet.chart(
        "bars",
        **{"from": milliseconds(shown.start_ns), "to": milliseconds(shown.ts_close_ns)},
        open=shown.open,
        high=shown.high,
        low=shown.low,
        close=shown.close,
        volume=shown.volume,
        ts_close_ns=[str(stamp) for stamp in shown.ts_close_ns.tolist()],
        **regimes,
    )


def _candles(data: alt.Chart, ground: Ground, count: int) -> list[alt.Chart]:
    colors = palette()
    color = either("datum.close >= datum.open", colors["gain"], colors["loss"])
    # Candles thinner than a pixel and a half are a smear: a narrow page gets the line of closes instead.
    fits = f"width >= {1.5 * count:.0f}"
    wicks = (
        data.transform_calculate(middle="(datum.from + datum.to) / 2", color=color)
        .mark_rule(strokeWidth=1, opacity=alt.ExprRef(f"{fits} ? 0.75 : 0"))
        .encode(x=ground.x("middle"), y=ground.y("low"), y2=alt.Y2("high"), color=as_told("color"))
    )
    bodies = (
        data.transform_calculate(
            left="datum.from + 0.14 * (datum.to - datum.from)",
            right="datum.to - 0.14 * (datum.to - datum.from)",
            color=color,
        )
        .mark_bar(opacity=alt.ExprRef(f"{fits} ? 1 : 0"))
        .encode(x=ground.x("left"), x2=alt.X2("right"), y=ground.y("open"), y2=alt.Y2("close"), color=as_told("color"))
    )
    line = data.mark_line(strokeWidth=1.25, color=colors["muted"], opacity=alt.ExprRef(f"{fits} ? 0 : 1")).encode(
        x=ground.x("to"), y=ground.y("close")
    )
    return [wicks, bodies, line]


def _columns(data: alt.Chart, ground: Ground, tooltip: list[alt.Tooltip]) -> alt.Chart:
    picked = alt.selection_point(name="bar", fields=["ts_close_ns"], on="click", clear="dblclick", empty=False)
    columns: alt.Chart = (
        data.transform_calculate(closes="utcFormat(datum.to, '%Y-%m-%d %H:%MZ')", change="datum.close / datum.open - 1")
        .mark_rect(color=palette()["accent"])
        .encode(
            x=ground.x(), x2=alt.X2("to"), opacity=alt.condition(picked, alt.value(0.25), alt.value(0)), tooltip=tooltip
        )
        .add_params(picked)
    )
    return columns


def _bar_tooltip(width: str, with_regime: bool) -> list[alt.Tooltip]:
    fields = [alt.Tooltip("closes:N", title=f"{width} to")]
    fields += [alt.Tooltip(f"{name}:Q", format=",.8~g") for name in ("open", "high", "low", "close")]
    fields += [alt.Tooltip("change:Q", format="+.2%"), alt.Tooltip("volume:Q", format=",.4~g")]
    return [*fields, alt.Tooltip("regime:N")] if with_regime else fields


def _volume(data: alt.Chart, most: float, ground: Ground) -> alt.Chart:
    unit = 0.9 * (ground.candles - ground.volume) / (most or 1.0)
    drawn: alt.Chart = (
        data.transform_calculate(top=f"{ground.volume!r} + {unit!r} * datum.volume")
        .mark_rect(color=palette()["neutral"], opacity=0.35)
        .encode(x=ground.x(), x2=alt.X2("to"), y=ground.y("top"), y2=alt.Y2Datum(ground.volume))
    )
    return drawn


def _regime_bands(sheet: Sheet, shown: DisplayBars, codes: NDArray[np.int8] | None, ground: Ground) -> list[alt.Chart]:
    if codes is None:
        return []
    colors = REGIMES[mode()]
    begins = np.flatnonzero(np.diff(codes, prepend=codes[0] - 1))
    ends = np.append(begins[1:], codes.size) - 1
    states = codes[begins]
    base = sheet.chart(
        "regimes",
        **{"from": milliseconds(shown.start_ns[begins]), "to": milliseconds(shown.ts_close_ns[ends])},
        color=[colors[LABELS[state]] for state in states],
        faint=_FAINT[states],
    )
    bands = base.mark_rect().encode(
        x=ground.x(), x2=alt.X2("to"), color=as_told("color"), opacity=alt.Opacity("faint:Q", scale=None)
    )
    strip = base.mark_rect().encode(
        x=ground.x(),
        x2=alt.X2("to"),
        y=alt.YDatum(ground.bottom, scale=ground.scale),
        y2=alt.Y2Datum(ground.volume),
        color=as_told("color"),
    )
    return [bands, strip]


def _caption(sheet: Sheet, ground: Ground, width: str, with_regime: bool) -> alt.Chart:
    text = f"{width} bars" + (", shaded while trending, deeper when wilder" if with_regime else "")
    data = sheet.chart("caption", text=[text], at=[ground.start_ns // 1_000_000], price=[ground.top])
    caption: alt.Chart = data.mark_text(align="left", baseline="top", dx=4, dy=4, color=palette()["muted"]).encode(
        x=ground.x("at"), y=ground.y("price"), text=alt.Text("text:N")
    )
    return caption
