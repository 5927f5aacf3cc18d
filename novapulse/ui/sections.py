"""The sections of a backtest page, one of them at a time: round trips, where profit came from, stress, refusals, data.

Invariant: figures come from the view's analysis; nothing is computed here.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import marimo as mo
import numpy as np

from novapulse.backtest.columns import Records
from novapulse.core.records import REASON_TEXT, Reason
from novapulse.research.tearsheet import words
from novapulse.ui import charts, panels, theme
from novapulse.ui.backtest_page import Desk, View
from novapulse.ui.controls import spoken
from novapulse.ui.panels import card as _card

Html = mo.Html

SECTIONS = ("Round trips", "Where it came from", "Months", "Under stress", "What was refused", "Compare", "Data")

_MONTE_CARLO = (
    ("total_return", "Return", words.RESULT),
    ("cagr", "Return a year", words.RESULT),
    ("max_drawdown", "Deepest drawdown", words.SHARE),
)


def section_choice(desk: Desk) -> Any:
    """Return the widget that chooses a section, where there is something to show."""
    assert desk.problem is None
    return mo.ui.tabs({name: "" for name in SECTIONS})


def section(chosen: str, view: View, trips: Any, saved: Html, mode: theme.Mode) -> Any:
    """Return the chosen section."""
    theme.set_mode(mode)
    if view.outcome is None:
        return Html(panels.TALL)
    analysis = view.outcome.analysis
    data, made = analysis.as_data(), view.outcome.result.round_trips
    if chosen == "Round trips":
        return _trips_section(trips, made, data)
    if chosen == "Where it came from":
        return _attribution_section(data)
    if chosen == "Months":
        return _stack(_card("Return by month", charts.monthly(data["months"] or [])), _drawdowns(data))
    if chosen == "Under stress":
        return _stress_section(data)
    if chosen == "What was refused":
        return _refused_section(data)
    if chosen == "Data":
        return Html(f'<section class="np-card">{panels.facts(data)}</section>')
    return saved


def _trips_section(trips: Any, made: Records, data: Mapping[str, Any]) -> Any:
    if made.size == 0:
        return Html('<section class="np-card"><p>No round trip was closed, so there is none to list.</p></section>')
    r = np.ascontiguousarray(made["r_multiple"])
    against, along = np.ascontiguousarray(made["mae_r"]), np.ascontiguousarray(made["mfe_r"])
    return _stack(
        Html(
            '<section class="np-card"><div class="np-card-head"><h2>Round trips</h2>'
            '<span class="np-small">choose a row to see it on the chart</span></div>'
            f"{mo.as_html(trips).text}</section>"
        ),
        _pair(
            _card("What a round trip made", charts.r_distribution(r)),
            _card("How far it went before", charts.excursions(against, along, r)),
        ),
    )


def _attribution_section(data: Mapping[str, Any]) -> Any:
    table = data["attribution"] or {}
    names = {"strategy": "Strategy", "exit": "Exit", "regime": "Regime", "direction": "Side", "instrument": "Market"}
    names |= {"hour": "Hour of the entry, UTC"}
    shown = [
        _card(
            title,
            charts.attribution(_spoken_rows(key, table[key]), currency=panels.currency(data), by_profit=key != "hour"),
        )
        for key, title in names.items()
        if table.get(key)
    ]
    return _grid(shown) if shown else Html('<section class="np-card"><p>No round trip was closed.</p></section>')


def _spoken_rows(key: str, rows: Mapping[str, Any]) -> Mapping[str, Any]:
    if key == "exit":
        return {REASON_TEXT[Reason[name]]: row for name, row in rows.items()}
    return {spoken(name): row for name, row in rows.items()} if key == "strategy" else rows


def _stress_section(data: Mapping[str, Any]) -> Any:
    shown = [_card("The same run under worse luck", charts.stress(data["stress"] or {}))]
    chance = data["monte_carlo"]
    if chance:
        header = ("", "1 in 20 below", "in the middle", "1 in 20 above")
        rows = [
            [f"{title}, {way}", *(_percent(chance[way][key], part, kind) for part in ("low", "median", "high"))]
            for key, title, kind in _MONTE_CARLO
            for way in ("resampled", "permuted")
        ]
        shown.append(
            Html(
                '<section class="np-card"><div class="np-card-head"><h2>If days had come differently</h2>'
                f'<span class="np-small">{chance["paths"]:,} histories from blocks of days</span></div>'
                f"{panels.table(header, rows)}</section>"
            )
        )
    return _grid(shown)


def _percent(spread: Mapping[str, float] | None, part: str, kind: words.Kind) -> str:
    return words.figure(part, None if spread is None else spread[part], kind).text


def _refused_section(data: Mapping[str, Any]) -> Any:
    header = ("Rule", "Entries", "Won", "Each, R", "Together, R")
    rows = [
        [
            row["text"],
            f"{row['entries']:,}",
            *(words.figure(key, row[key], kind).text for key, kind in _REFUSED),
        ]
        for row in data["refused"] or []
    ]
    return _stack(
        _card("What the refused entries would have made, R after costs", charts.refused(data["refused"] or [])),
        Html(f'<section class="np-card">{panels.table(header, rows)}</section>'),
    )


_REFUSED = (
    ("win_rate", words.SHARE_ROUND),
    ("average_r", words.Kind(lambda value: words.plus(value, 2))),
    ("total_r", words.Kind(lambda value: words.plus(value, 1))),
)


def _drawdowns(data: Mapping[str, Any]) -> Html:
    rows = [
        [
            words.figure("depth", one["depth"], words.SHARE).text,
            words.minute(one["peak"]),
            words.minute(one["trough"]),
            words.minute(one["recovered"]) if one["recovered"] else "not yet",
            f"{one['days']:.1f}",
        ]
        for one in data["drawdowns"] or []
    ]
    told = panels.table(("Depth", "Peak", "Trough", "Recovered", "Days"), rows)
    return Html(f'<section class="np-card"><div class="np-card-head"><h2>Deepest drawdowns</h2></div>{told}</section>')


def _stack(*parts: Html) -> Html:
    return Html(f'<div class="np-stack">{"".join(part.text for part in parts)}</div>')


def _pair(*parts: Html) -> Html:
    return _grid(parts)


def _grid(parts: Sequence[Html]) -> Html:
    return Html(f'<div class="np-grid">{"".join(part.text for part in parts)}</div>')
