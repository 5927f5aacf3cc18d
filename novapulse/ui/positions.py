"""Round trips on the price chart: where they began and ended, what they made, their stops and targets."""

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import numpy as np
from numpy.typing import NDArray

from novapulse.backtest.columns import Records
from novapulse.core.bars import Floats
from novapulse.core.records import REASON_TEXT, Reason
from novapulse.ui.aggregate import DisplayBars
from novapulse.ui.ground import Ground, as_told
from novapulse.ui.marks import Sheet, either, milliseconds, spoken
from novapulse.ui.theme import palette

TRIPS_MAX = 1_000
"""Most round trips that are marked; of more, those that made or lost most."""


def visible_trips(trips: Records, start_ns: int, end_ns: int) -> Records:
    """Return the round trips that were open within (start, end], at most `TRIPS_MAX`."""
    seen = trips[(trips["exit_ts_ns"] > start_ns) & (trips["entry_ts_ns"] <= end_ns)]
    if seen.size > TRIPS_MAX:
        seen = seen[np.sort(np.argsort(-np.abs(seen["pnl"]), kind="stable")[:TRIPS_MAX])]
    return seen


def level_columns(trips: Records, targets: Mapping[int, float]) -> dict[str, NDArray[Any]]:
    """Return the stop and the target of each round trip, NaN where unknown, from its entry to its exit."""
    entries, directions = trips["entry_price"], trips["direction"]
    stops = entries - directions * _over(trips["risk"], trips["qty"])
    reached = np.where(trips["exit_reason"] == Reason.EXIT_TARGET, trips["exit_price"], np.nan)
    numbers = trips["number"].tolist()
    aims = np.array([targets.get(number, aim) for number, aim in zip(numbers, reached.tolist(), strict=True)])
    return {
        "from": np.tile(trips["entry_ts_ns"], 2),
        "to": np.tile(trips["exit_ts_ns"], 2),
        "entry": np.tile(entries, 2),
        "level": np.concatenate([stops, aims]),
        "kind": np.repeat(["stop", "target"], trips.size),
    }


def draw_levels(sheet: Sheet, levels: Mapping[str, NDArray[Any]], ground: Ground, *, boxed: bool) -> list[alt.Chart]:
    """Return stops and targets as steps; boxed, with what was at risk and what could be made in colour."""
    if levels["level"].size == 0:
        return []
    colors = palette()
    inside = {side: np.clip(levels[side], ground.start_ns, ground.end_ns) // 1_000_000 for side in ("from", "to")}
    data = sheet.chart("levels", **{**levels, **inside})
    known = data.transform_filter("isValid(datum.level)").transform_calculate(
        color=either("datum.kind == 'stop'", colors["loss"], colors["gain"])
    )
    lines = known.mark_rule(strokeDash=[4, 3], strokeWidth=1.25, clip=True).encode(
        x=ground.x(),
        x2=alt.X2("to"),
        y=ground.y("level"),
        color=as_told("color"),
        tooltip=[alt.Tooltip("kind:N"), alt.Tooltip("level:Q", format=",.8~g")],
    )
    boxes = known.mark_rect(opacity=0.12, clip=True).encode(
        x=ground.x(), x2=alt.X2("to"), y=ground.y("entry"), y2=alt.Y2("level"), color=as_told("color")
    )
    return [boxes, lines] if boxed else [lines]


def _over(numerator: Floats, denominator: Floats) -> Floats:
    quotient = np.full(numerator.shape, np.nan)
    np.divide(numerator, denominator, out=quotient, where=denominator > 0)
    return quotient


def draw_trips(
    sheet: Sheet,
    seen: Records,
    strategies: Sequence[str],
    shown: DisplayBars,
    ground: Ground,
    selected: int | None,
) -> list[alt.Chart]:
    """Return the round trips: a line from entry to exit, and a mark at both; all but the selected one faded."""
    if seen.size == 0:
        return []
    colors = palette()
    base = sheet.chart("trips", **_trip_columns(seen, strategies, shown), **_path_columns(seen, ground))
    base = base.transform_calculate(
        made=either("datum.r >= 0", colors["gain"], colors["loss"]),
        color=either("datum.side == 'long'", colors["gain"], colors["loss"]),
        shape=either("datum.side == 'long'", "triangle-up", "triangle-down"),
        opacity="1" if selected is None else f"datum.number == {selected} ? 1 : 0.35",
    )
    faded = alt.Opacity("opacity:Q", scale=None)
    tooltip = [
        alt.Tooltip("side:N", title="position"),
        alt.Tooltip("strategy:N", title="led by"),
        alt.Tooltip("r:Q", title="R", format="+.2f"),
        alt.Tooltip("pnl:Q", title="profit", format="+,.2f"),
        alt.Tooltip("entered:N"),
        alt.Tooltip("exited:N"),
        alt.Tooltip("reason:N", title="left because"),
    ]
    links = base.mark_rule(strokeWidth=1.25, strokeDash=[2, 2], clip=True).encode(
        x=ground.x(),
        x2=alt.X2("to"),
        y=ground.y("from_price"),
        y2=alt.Y2("to_price"),
        color=as_told("made"),
        opacity=faded,
    )
    entries = base.mark_point(filled=True, clip=True, size=80, stroke=colors["panel"], strokeWidth=1).encode(
        x=ground.x("entry_t"),
        y=ground.y("entry"),
        shape=alt.Shape("shape:N", scale=None),
        fill=alt.Fill("color:N", scale=None),
        opacity=faded,
        tooltip=tooltip,
    )
    exits = base.mark_point(
        filled=True, clip=True, size=38, shape="circle", stroke=colors["panel"], strokeWidth=1
    ).encode(
        x=ground.x("exit_t"), y=ground.y("exit"), fill=alt.Fill("made:N", scale=None), opacity=faded, tooltip=tooltip
    )
    return [links, entries, exits]


def _trip_columns(seen: Records, strategies: Sequence[str], shown: DisplayBars) -> dict[str, Any]:
    entered, exited = np.ascontiguousarray(seen["entry_ts_ns"]), np.ascontiguousarray(seen["exit_ts_ns"])
    candle = np.minimum(np.searchsorted(shown.ts_close_ns, entered), len(shown) - 1)
    names = [strategies[lead] if 0 <= lead < len(strategies) else "unknown" for lead in seen["lead"].tolist()]
    return {
        "number": seen["number"],
        "entry": seen["entry_price"],
        "exit": seen["exit_price"],
        "side": np.where(seen["direction"] > 0, "long", "short"),
        "strategy": names,
        "r": seen["r_multiple"],
        "pnl": seen["pnl"],
        "entered": spoken(entered),
        "exited": spoken(exited),
        "reason": [REASON_TEXT[Reason(code)] for code in seen["exit_reason"].tolist()],
        "ts_close_ns": [str(stamp) for stamp in shown.ts_close_ns[candle].tolist()],
    }


def _path_columns(seen: Records, ground: Ground) -> dict[str, Any]:
    begin, finish = seen["entry_ts_ns"], seen["exit_ts_ns"]
    first, last = np.maximum(begin, ground.start_ns), np.minimum(finish, ground.end_ns)
    slope = (seen["exit_price"] - seen["entry_price"]) / np.maximum(finish - begin, 1)
    return {
        "from": milliseconds(first),
        "to": milliseconds(last),
        "from_price": seen["entry_price"] + slope * (first - begin),
        "to_price": seen["exit_price"] - slope * (finish - last),
        "entry_t": np.where(begin == first, begin // 1_000_000, np.nan),
        "exit_t": np.where(finish == last, finish // 1_000_000, np.nan),
    }
