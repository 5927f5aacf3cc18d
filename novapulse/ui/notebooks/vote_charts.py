"""Charts of a strategy's votes as a whole: how often it forecast what, and what the price did after."""

import altair as alt
import numpy as np

from novapulse.core.bars import Floats
from novapulse.ui.marks import Sheet, either, nothing
from novapulse.ui.notebooks.spoken_votes import COUNT_MIN, Spoken
from novapulse.ui.theme import palette

_HEIGHT = 240


def distribution(spoken: Spoken) -> alt.LayerChart:
    """Draw on how many bars the strategy forecast what."""
    if spoken.spoke == 0:
        return nothing("It has no opinion on any of these bars", _HEIGHT)
    return _bars(spoken.edges, spoken.counts.astype(np.float64), "forecast", "bars", ",.0f")


def after(spoken: Spoken) -> alt.LayerChart:
    """Draw the mean move after each forecast, with one standard error on either side."""
    if not np.isfinite(spoken.after).any():
        return nothing(f"No forecast was given on {COUNT_MIN} bars: nothing can be said of what came after", _HEIGHT)
    return _bars(spoken.edges, spoken.after, "forecast", "bps after", "+.2f", spoken.error)


def by_stretch(edges: Floats, means: Floats, errors: Floats, title: str, what: str) -> alt.LayerChart:
    """Draw means over stretches of something, with one standard error on either side; NaN is left out."""
    if not np.isfinite(means).any():
        return nothing("Too few of them for a mean", _HEIGHT)
    return _bars(edges, means, title, what, "+.3f", errors)


def _bars(
    edges: Floats, values: Floats, title: str, what: str, form: str, errors: Floats | None = None
) -> alt.LayerChart:
    colors, inset = palette(), 0.06 * (edges[1] - edges[0])
    known = np.isfinite(values)
    low, high = edges[:-1][known], edges[1:][known]
    spread = np.zeros(values.size) if errors is None else np.nan_to_num(errors)
    sheet = Sheet()
    drawn = sheet.chart(
        "stretches",
        left=low + inset,
        right=high - inset,
        start=low,
        end=high,
        value=values[known],
        middle=0.5 * (low + high),
        least=(values - spread)[known],
        most=(values + spread)[known],
    )
    # Blue is long and orange short, whichever way the price went then.
    colored = drawn.transform_calculate(color=either("datum.middle >= 0", colors["gain"], colors["loss"]))
    axis = alt.Axis(grid=False, tickCount=alt.ExprRef("max(3, min(8, floor(width / 60)))"))
    x = alt.X("left:Q", title=title, axis=axis, scale=_span(edges))
    bars = colored.mark_rect(cornerRadius=1).encode(
        x=x,
        x2=alt.X2("right"),
        y=alt.Y("value:Q", title=what, axis=alt.Axis(tickCount=5)),
        y2=alt.Y2Datum(0),
        color=alt.Color("color:N", scale=None),
        tooltip=[
            alt.Tooltip("start:Q", title="from", format="+.3~f"),
            alt.Tooltip("end:Q", title="to", format="+.3~f"),
            alt.Tooltip("value:Q", title=what, format=form),
        ],
    )
    if errors is None:
        return sheet.drawn(bars, height=_HEIGHT)
    whiskers = drawn.mark_rule(color=colors["text"], strokeWidth=1.2, opacity=0.7).encode(
        x=alt.X("middle:Q", scale=_span(edges)), y=alt.Y("least:Q"), y2=alt.Y2("most")
    )
    return sheet.drawn(bars, whiskers, height=_HEIGHT)


def _span(edges: Floats) -> alt.Scale:
    return alt.Scale(domain=[float(edges[0]), float(edges[-1])], nice=False)
