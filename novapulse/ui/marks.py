"""What all charts are built with: rows for the browser, times in UTC, and a sentence where there is nothing to draw."""

from collections.abc import Sequence
from typing import Any

import altair as alt
import numpy as np
import polars as pl
from numpy.typing import NDArray

from novapulse.core.bars import MINUTE_NS, Integers
from novapulse.ui.theme import palette

POINTS_MAX = 20_000
"""Most rows of data that one chart hands to the browser."""

_TIME_LABEL = (
    "utchours(datum.value) + utcminutes(datum.value) + utcseconds(datum.value) > 0"
    " ? utcFormat(datum.value, utcseconds(datum.value) > 0 ? '%H:%M:%S' : '%H:%M')"
    " : utcFormat(datum.value, utcdate(datum.value) > 1 ? '%-d %b' : utcmonth(datum.value) > 0 ? '%b' : '%Y')"
)

UTC = alt.Scale(type="utc")


class Sheet:
    """The data of one chart: handed to the browser once and by name, as CSV, however many layers draw it."""

    def __init__(self) -> None:
        self._datasets: dict[str, str] = {}

    def chart(self, dataset: str, /, **columns: Sequence[Any] | NDArray[Any]) -> alt.Chart:
        """Return a chart of columns of one length; NaN becomes unknown."""
        frame = pl.DataFrame(columns).with_columns(pl.selectors.float().fill_nan(None))
        self._datasets[dataset] = frame.write_csv()
        # Left to guess, the browser takes texts of digits for numbers, and rounds them.
        types = {name: "number" if kind.is_numeric() else "string" for name, kind in frame.schema.items()}
        return alt.Chart(alt.NamedData(name=dataset, format=alt.CsvDataFormat(type="csv", parse=types)))

    def drawn(self, *layers: alt.Chart | alt.LayerChart, height: int, panels: bool = False) -> alt.LayerChart:
        """Return layers on top of one another, as wide as the page gives.

        Args:
            layers: From the back to the front.
            height: Pixels.
            panels: Whether each layer has a scale of its own from bottom to top.
        """
        chart = layered(*layers)
        chart.width, chart.height = "container", height
        if panels:
            chart.resolve = alt.Resolve(scale=alt.ScaleResolveMap(y="independent"))
        # Set last: Altair copies the data whenever a chart becomes part of another.
        chart.datasets = self._datasets
        return chart


def milliseconds(stamps_ns: Integers) -> Integers:
    """Return ns as the ms that browsers count in."""
    return stamps_ns // 1_000_000


def spoken(stamps_ns: Integers, timeframe_ns: int = MINUTE_NS) -> list[str]:
    """Return stamps as people read them, such as `2026-03-23 12:10Z`, with seconds for bars that need them."""
    whole_minutes = timeframe_ns % MINUTE_NS == 0
    moments: NDArray[np.datetime64] = stamps_ns.astype("datetime64[ns]")
    texts = np.datetime_as_string(moments, unit="m" if whole_minutes else "s")
    return [f"{text[:10]} {text[11:]}Z" for text in texts.tolist()]


def time_axis() -> alt.Axis:
    """Return the axis of time: labels in UTC, and fewer of them on a narrow page."""
    return alt.Axis(
        title=None, tickCount=alt.ExprRef("max(3, floor(width / 110))"), labelFlush=True, labelExpr=_TIME_LABEL
    )


def nothing(sentence: str, height: int) -> alt.LayerChart:
    """Return a chart that only says why it is empty."""
    sheet = Sheet()
    text = (
        sheet.chart("sentence", text=[sentence])
        .mark_text(color=palette()["muted"], fontSize=12, align="center")
        .encode(text="text:N", x=alt.value(alt.ExprRef("width / 2")), y=alt.value(height / 2))
    )
    return sheet.drawn(text, height=height)


def either(test: str, yes: str, no: str) -> str:
    """Return an expression of one text or another; a column of it costs far less than a condition of Altair."""
    return f"({test}) ? '{yes}' : '{no}'"


def layered(*layers: alt.Chart | alt.LayerChart) -> alt.LayerChart:
    """Return charts on top of one another."""
    chart = alt.layer(*layers)
    assert isinstance(chart, alt.LayerChart)
    return chart


def backdrop(chart: alt.Chart, x: alt.X, height: int) -> alt.Chart:
    """Return an invisible layer from bottom to top: put first, it lets the grid of time run behind all panels."""
    scale = alt.Scale(domain=[0, 1], range=[height, 0], nice=False)
    drawn: alt.Chart = chart.mark_rect(opacity=0).encode(x=x, y=alt.YDatum(0, scale=scale, axis=None))
    return drawn
