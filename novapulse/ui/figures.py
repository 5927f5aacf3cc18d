"""Figures without an axis of time: how round trips came out, and what the total is made of."""

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import numpy as np

from novapulse.core.bars import Floats
from novapulse.research.stress import LUCK
from novapulse.research.tearsheet import words
from novapulse.ui.marks import Sheet, either, nothing
from novapulse.ui.theme import palette

_SCATTER_MAX = 4_000
_BIN_WIDTHS_R = (0.05, 0.1, 0.2, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0)
_BINS_MAX = 40
_ROW_PX = 30
_NARROW = "width < 520"
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def r_distribution(r_multiples: Floats, *, height: int = 240) -> alt.LayerChart:
    """Draw how many round trips made how many R.

    Args:
        r_multiples: float64[R], profit of each round trip over what its first stop would have lost.
        height: Pixels.
    """
    known = r_multiples[np.isfinite(r_multiples)]
    if known.size == 0:
        return nothing("No round trips", height)
    # A few far outliers would squeeze everything else into one bin: they are counted in the outermost ones.
    low, high = np.percentile(known, [0.5, 99.5]) if known.size > 200 else (known.min(), known.max())
    width = next((width for width in _BIN_WIDTHS_R if (high - low) / width <= _BINS_MAX), (high - low) / _BINS_MAX)
    first, last = int(np.floor(low / width)), int(np.floor(high / width))
    bins = np.clip(np.floor(known / width).astype(np.int64), first, last) - first
    counts = np.bincount(bins, minlength=last - first + 1)
    starts = (np.arange(counts.size) + first) * width
    inset = 0.06 * width
    # The mean is told above the highest bar, not over it.
    headroom = alt.Scale(domain=[0, 1.15 * float(counts.max())], nice=False)
    colors = palette()
    sheet = Sheet()
    drawn = sheet.chart(
        "bins",
        left=starts + inset,
        right=starts + width - inset,
        start=starts,
        end=starts + width,
        trips=counts,
    )
    colored = drawn.transform_calculate(color=either("datum.start >= 0", colors["gain"], colors["loss"]))
    bars = colored.mark_rect(cornerRadius=1).encode(
        x=alt.X("left:Q", title="R made by a round trip", axis=alt.Axis(grid=False, tickCount=8)),
        x2=alt.X2("right"),
        y2=alt.Y2Datum(0),
        y=alt.Y("trips:Q", title=None, axis=alt.Axis(tickCount=4, tickMinStep=1), scale=headroom),
        color=alt.Color("color:N", scale=None),
        tooltip=[
            alt.Tooltip("start:Q", title="from R", format="+.2f"),
            alt.Tooltip("end:Q", title="to R", format="+.2f"),
            alt.Tooltip("trips:Q", title="round trips"),
        ],
    )
    mean = float(known.mean())
    marks = sheet.chart("mean", r=[mean], label=[f"mean {words.plus(mean, 2)} R"])
    rule = marks.mark_rule(color=colors["text"], strokeDash=[4, 3]).encode(x="r:Q")
    text = marks.mark_text(color=colors["text"], align="left", dx=5, baseline="top").encode(
        x="r:Q", y=alt.value(0), text=alt.Text("label:N")
    )
    return sheet.drawn(bars, rule, text, height=height)


def excursions(mae_r: Floats, mfe_r: Floats, r: Floats, *, height: int = 300) -> alt.LayerChart:
    """Draw how far each round trip went against and with its position before it ended.

    Args:
        mae_r: float64[R], furthest move against the position, R, negative.
        mfe_r: float64[R], furthest move with it, R.
        r: float64[R], what the round trip made.
        height: Pixels.

    Returns:
        At most 4 000 points; of more round trips, evenly many from all R.
    """
    rows_known = np.flatnonzero(np.isfinite(mae_r) & np.isfinite(mfe_r) & np.isfinite(r))
    if rows_known.size == 0:
        return nothing("No round trips", height)
    if rows_known.size > _SCATTER_MAX:
        order = rows_known[np.argsort(r[rows_known], kind="stable")]
        rows_known = order[np.linspace(0, order.size - 1, _SCATTER_MAX).round().astype(np.int64)]
    colors = palette()
    sheet = Sheet()
    data = sheet.chart(
        "trips",
        against=np.maximum(-mae_r[rows_known], 0.0),
        along=np.maximum(mfe_r[rows_known], 0.0),
        r=r[rows_known],
        made=np.where(r[rows_known] >= 0, "gain", "loss"),
    )
    points = data.mark_point(filled=True, size=32, opacity=0.65).encode(
        x=alt.X("against:Q", title="furthest against, R", axis=alt.Axis(tickCount=6)),
        y=alt.Y("along:Q", title="furthest along, R", axis=alt.Axis(tickCount=6)),
        color=alt.Color("made:N", scale=alt.Scale(domain=["gain", "loss"], range=[colors["gain"], colors["loss"]])),
        shape=alt.Shape("made:N", scale=alt.Scale(domain=["gain", "loss"], range=["circle", "triangle-down"])),
        tooltip=[
            alt.Tooltip("r:Q", title="made, R", format="+.2f"),
            alt.Tooltip("against:Q", format=".2f"),
            alt.Tooltip("along:Q", format=".2f"),
        ],
    )
    stop = sheet.chart("stop", stop=[1.0]).mark_rule(color=colors["muted"], strokeDash=[4, 3]).encode(x="stop:Q")
    return sheet.drawn(stop, points, height=height)


def monthly(months: Sequence[Mapping[str, Any]]) -> alt.LayerChart:
    """Draw a table of monthly returns.

    Args:
        months: Rows of year, month 1..12 and total_return, a fraction; a return that is None is left blank.
    """
    known = [row for row in months if row["total_return"] is not None]
    if not known:
        return nothing("No month to show", 80)
    colors = palette()
    returns = np.array([float(row["total_return"]) for row in known])
    most = float(np.abs(returns).max()) or 0.01
    years = sorted({int(row["year"]) for row in known})
    sheet = Sheet()
    data = sheet.chart(
        "months",
        year=[str(row["year"]) for row in known],
        month=[_MONTHS[int(row["month"]) - 1] for row in known],
        total_return=returns,
        strength=np.abs(returns) / most,
    )
    hue = alt.Scale(domain=[-most, 0, most], range=[colors["loss"], colors["blank"], colors["gain"]], interpolate="rgb")
    base = data.encode(
        x=alt.X(
            "month:N",
            scale=alt.Scale(domain=list(_MONTHS), paddingInner=0.04),
            axis=alt.Axis(
                orient="top",
                title=None,
                labelAngle=0,
                grid=False,
                labelExpr=f"{_NARROW} ? slice(datum.label, 0, 1) : datum.label",
            ),
        ),
        y=alt.Y("year:N", scale=alt.Scale(paddingInner=0.08), axis=alt.Axis(title=None, grid=False)),
    )
    cells = base.mark_rect(cornerRadius=3).encode(
        color=alt.Color("total_return:Q", scale=hue, legend=None),
        tooltip=["year:N", "month:N", alt.Tooltip("total_return:Q", title="return", format="+.2%")],
    )
    told = base.transform_calculate(
        color=either("datum.strength > 0.6", colors["on_color"], colors["text"]),
        label=f"format(100 * datum.total_return, {_NARROW} ? '+.0f' : '+.1f') + ({_NARROW} ? '' : '%')",
    )
    texts = told.mark_text(fontSize=alt.ExprRef(f"{_NARROW} ? 10 : 11")).encode(
        text=alt.Text("label:N"),
        fill=alt.Fill("color:N", scale=None),
    )
    return sheet.drawn(cells, texts, height=34 * len(years))


def attribution(
    table: Mapping[str, Mapping[str, Any]], *, currency: str = "", by_profit: bool = True
) -> alt.LayerChart:
    """Draw where profit came from.

    Args:
        table: By name, rows of trades, pnl in quote, win_rate and average_r (None where unknown).
        currency: That quote asset; empty where nobody says.
        by_profit: The largest profit first; else in the order given, as hours have one of their own.
    """
    names = [name for name in table if table[name]["trades"]]
    if by_profit:
        names.sort(key=lambda name: -float(table[name]["pnl"]))
    details = [f"{table[name]['trades']:,} round trips, {_percent(table[name]['win_rate'])} won" for name in names]
    return _bars(
        [name.replace("_", " ") for name in names],
        [float(table[name]["pnl"]) for name in names],
        details,
        "+,.2f",
        "No round trips",
        unit=f" {currency}" if currency else "",
    )


def refused(table: Sequence[Mapping[str, Any]]) -> alt.LayerChart:
    """Draw what refused entries would have made, R after costs, by the rule that refused them.

    Args:
        table: Rows of reason, text, entries and total_r (None where unknown), win_rate and average_r.
    """
    known = [row for row in table if row["total_r"] is not None]
    known = sorted(known, key=lambda row: -float(row["total_r"]))
    details = [f"{row['entries']:,} entries, {_percent(row['win_rate'])} would have won" for row in known]
    return _bars(
        [str(row["text"]) for row in known],
        [float(row["total_r"]) for row in known],
        details,
        "+,.1f",
        "No entry was refused",
        unit=" R",
    )


def stress(table: Mapping[str, Mapping[str, Any]]) -> alt.LayerChart:
    """Draw the return as tested and under harder assumptions.

    Args:
        table: By assumption, rows of total_return, max_drawdown (fractions, None where unknown) and trades.
    """
    known = [name for name in table if table[name]["total_return"] is not None]
    details = [
        f"drawdown {_percent(table[name]['max_drawdown'], 1)}, {table[name]['trades']:,} round trips" for name in known
    ]
    return _bars(
        [LUCK[name] for name in known],
        [float(table[name]["total_return"]) for name in known],
        details,
        "+.2%",
        "Nothing was tried",
    )


def _bars(
    names: Sequence[str], values: Sequence[float], details: Sequence[str], form: str, empty: str, unit: str = ""
) -> alt.LayerChart:
    if not names:
        return nothing(empty, 80)
    colors = palette()
    height = _ROW_PX * len(names) + 4
    tops = _ROW_PX * np.arange(len(names))
    low, high = min(*values, 0.0), max(*values, 0.0)
    margin = 0.02 * (high - low) or 1.0
    sheet = Sheet()
    base = sheet.chart(
        "rows",
        name=list(names),
        value=list(values),
        detail=list(details),
        label_y=tops + 14,
        top=tops + 17,
        bottom=tops + 25,
    )
    scale = alt.Scale(domain=[low - margin, high + margin], nice=False)
    tooltip = [alt.Tooltip("name:N", title=" "), alt.Tooltip("value:Q", title="total", format=form), "detail:N"]
    colored = base.transform_calculate(color=either("datum.value >= 0", colors["gain"], colors["loss"]))
    bars = colored.mark_rect(cornerRadius=2).encode(
        x=alt.X("value:Q", scale=scale, axis=None),
        x2=alt.X2Datum(0),
        y=_pixels("top", height),
        y2=alt.Y2("bottom"),
        color=alt.Color("color:N", scale=None),
        tooltip=tooltip,
    )
    name = base.mark_text(
        align="left", baseline="bottom", color=colors["muted"], limit=alt.ExprRef("width - 80")
    ).encode(x=alt.value(0), y=_pixels("label_y", height), text=alt.Text("name:N"), tooltip=tooltip)
    value = (
        base.transform_calculate(label=f"format(datum.value, '{form}') + '{unit}'")
        .mark_text(align="right", baseline="bottom", color=colors["text"], fontWeight=600)
        .encode(x=alt.value("width"), y=_pixels("label_y", height), text=alt.Text("label:N"))
    )
    zero = (
        base.transform_calculate(over="datum.top - 2", under="datum.bottom + 2")
        .mark_rule(color=colors["muted"])
        .encode(x=alt.XDatum(0, scale=scale, axis=None), y=_pixels("over", height), y2=alt.Y2("under"))
    )
    return sheet.drawn(zero, bars, name, value, height=height)


def _pixels(field: str, height: int) -> alt.Y:
    return alt.Y(f"{field}:Q", scale=alt.Scale(domain=[0, height], range=[0, height], nice=False), axis=None)


def _percent(value: float | None, digits: int = 0) -> str:
    return "unknown" if value is None else f"{value:.{digits}%}"
