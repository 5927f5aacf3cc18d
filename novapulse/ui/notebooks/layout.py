"""How the parts of a notebook's page stand together; every text is escaped on its way into it."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import marimo as mo

from novapulse.ui import panels
from novapulse.ui.markup import escape

Html = mo.Html

UNKNOWN = "unknown"


def html(part: Any) -> str:
    """Return a widget or a piece of a page as text of HTML."""
    return part if isinstance(part, str) else mo.as_html(part).text


def card(title: str, *parts: Any, note: Any = "") -> Html:
    """Return parts under a title.

    Args:
        title: Of the card.
        parts: Widgets, pieces, or HTML text.
        note: A text, or a widget, beside the title.
    """
    beside = f'<span class="np-small">{escape(note)}</span>' if isinstance(note, str) else html(note)
    inside = "".join(html(part) for part in parts)
    return Html(
        f'<section class="np-card"><div class="np-card-head"><h2>{escape(title)}</h2>{beside}</div>{inside}</section>'
    )


def grid(*parts: Any, widths: str = "") -> Html:
    """Return parts beside each other, below each other on a narrow page; `np-two-one` makes the first one wide."""
    cells = "".join(f"<div>{html(part)}</div>" for part in parts)
    return Html(f'<div class="np-columns {widths}">{cells}</div>')


def stack(*parts: Any) -> Html:
    """Return parts below each other."""
    return Html(f'<div class="np-stack">{"".join(html(part) for part in parts)}</div>')


def group(name: str, widgets: Iterable[Any], *, is_open: bool = True, note: str = "") -> str:
    """Return widgets under a name that folds them away."""
    inside = "".join(f'<div class="np-field">{html(widget)}</div>' for widget in widgets)
    said = f'<p class="np-small">{escape(note)}</p>' if note else ""
    opened = "open" if is_open else ""
    return f'<details class="np-group" {opened}><summary>{escape(name)}</summary>{said}{inside}</details>'


def side(*groups: str, wrong: Sequence[str] = (), name: str = "Settings") -> Html:
    """Return the column of settings, with what is wrong with them on top."""
    told = f'<div class="np-told">{panels.remarks(wrong, "np-wrong")}</div>'
    return Html(
        f'<details class="np-settings"><summary>{escape(name)}</summary><div>{told}{"".join(groups)}</div></details>'
    )


def tiles(shown: Iterable[tuple[str, str, str, str]]) -> Html:
    """Return tiles of (label, value, what is smaller below it, tone)."""
    return Html(
        '<section class="np-tiles">'
        + "".join(
            f'<div class="np-tile"><span class="np-label">{escape(label)}</span>'
            f'<span class="np-value {escape(tone)}">{escape(value)}</span>'
            f'<span class="np-below">{escape(below)}</span></div>'
            for label, value, below, tone in shown
        )
        + "</section>"
    )


def pairs(rows: Mapping[str, str]) -> str:
    """Return names and what they are, one below the other."""
    told = "".join(
        f'<div class="np-size"><span>{escape(name)}</span><span>{escape(text)}</span></div>'
        for name, text in rows.items()
    )
    return f'<div class="np-pairs">{told}</div>'


def number(value: float | None, form: str = ",.8g") -> str:
    """Return a number as people read it; what is not known reads so."""
    if value is None or value != value:
        return UNKNOWN
    text = format(value, form)
    return f"\N{MINUS SIGN}{text[1:]}" if text.startswith("-") else text


def told(table: str) -> str:
    """Return a table of texts whose columns begin on the left."""
    return f'<div class="np-told-table">{table}</div>'
