"""One look for every chart: colours that colour-blind people can tell apart, on no background of their own.

Invariants:
- a gain and a long position are blue, a loss and a short position are orange; nothing else is;
- this is the one source: desk.css and the widgets repeat these colours, and tests hold them to it;
- what stands side by side with a meaning is told apart without red, green or blue cones too, or by a sign and a word;
- drawn charts need no `eval` in the browser (`ast`), so they work under a strict content security policy;
- the mode belongs to the thread that set it: notebook sessions of one process may be light and dark side by side.
"""

import threading
from typing import Literal

import altair as alt

Mode = Literal["light", "dark"]

PALETTE: dict[Mode, dict[str, str]] = {
    "light": {
        "text": "#0f172a",
        "muted": "#5d6b82",
        "grid": "#e2e8f0",
        "panel": "#ffffff",
        "accent": "#2563eb",
        "gain": "#2563eb",
        "loss": "#cc4205",
        "neutral": "#94a3b8",
        "warn": "#7a3a0c",
        "blank": "#f1f5f9",
        "on_color": "#ffffff",
        "accent_soft": "rgba(37, 99, 235, 0.28)",
        "accent_clear": "rgba(37, 99, 235, 0.02)",
    },
    "dark": {
        "text": "#e2e8f0",
        "muted": "#94a3b8",
        "grid": "#263244",
        "panel": "#0f172a",
        "accent": "#60a5fa",
        "gain": "#60a5fa",
        "loss": "#fb923c",
        "neutral": "#64748b",
        "warn": "#fcd34d",
        "blank": "#1e293b",
        "on_color": "#0b1120",
        "accent_soft": "rgba(96, 165, 250, 0.32)",
        "accent_clear": "rgba(96, 165, 250, 0.02)",
    },
}
"""What each colour is for, by mode; contrast to panel and page is at least 4.5 for whatever text has, 3 for marks."""

REGIMES: dict[Mode, dict[str, str]] = {
    "light": {
        "range-low": "#35a58f",
        "range-normal": "#005a4f",
        "range-high": "#1c3617",
        "trend-low": "#9f7fe1",
        "trend-normal": "#9f51a4",
        "trend-high": "#57167a",
    },
    "dark": {
        "range-low": "#536d4c",
        "range-normal": "#489772",
        "range-high": "#a3f2bf",
        "trend-low": "#ae20d3",
        "trend-normal": "#a472ba",
        "trend-high": "#c2c1d8",
    },
}
"""Regimes, by `regimes.LABELS`: ranges green, trends violet, further from the panel the more it moves."""

COMPARED: dict[Mode, tuple[str, ...]] = {
    "light": ("#354797", "#09a67f", "#6a3e36", "#a24c6f"),
    "dark": ("#6c7fb3", "#6af7e6", "#d4e66d", "#ef4b63"),
}
"""Other runs beside one's own, and whatever else has a name and no colour of its own."""

FONT = "Inter, ui-sans-serif, system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif"

_NAME = "novapulse"
_DEFAULT: Mode = "light"
_of_thread = threading.local()


def set_mode(mode: str) -> None:
    """Choose "light" or "dark" for the charts that this thread makes from now on.

    Raises:
        ValueError: The mode is neither.
    """
    for known in PALETTE:
        if known == mode:
            _of_thread.mode = known
            return
    raise ValueError(f"mode {mode!r}: expected light or dark")


def mode() -> Mode:
    """Return the mode of this thread, light unless it was set."""
    chosen: Mode = getattr(_of_thread, "mode", _DEFAULT)
    return chosen


def palette() -> dict[str, str]:
    """Return the colours of this thread's mode."""
    return PALETTE[mode()]


def register() -> None:
    """Make the theme "novapulse" the one that Altair uses; calling it again changes nothing."""
    if alt.theme.active != _NAME:
        alt.theme.register(_NAME, enable=True)(_theme)


def _theme() -> alt.theme.ThemeConfig:
    colors = palette()
    axis: alt.theme.AxisConfigKwds = {
        "domain": False,
        "grid": True,
        "gridColor": colors["grid"],
        "gridOpacity": 0.7,
        "labelColor": colors["muted"],
        "labelFontSize": 11,
        "labelPadding": 6,
        "ticks": False,
        "titleColor": colors["muted"],
        "titleFontSize": 11,
        "titleFontWeight": "normal",
    }
    return {
        "usermeta": {"embedOptions": {"ast": True, "actions": False}},
        "config": {
            "background": "transparent",
            "font": FONT,
            "view": {"stroke": "transparent"},
            "axis": axis,
            "legend": {
                "labelColor": colors["muted"],
                "labelFontSize": 11,
                "orient": "top",
                "title": None,
                "symbolSize": 60,
                "padding": 0,
                "offset": 8,
            },
            "title": {
                "anchor": "start",
                "color": colors["text"],
                "fontSize": 13,
                "fontWeight": 600,
                "subtitleColor": colors["muted"],
                "subtitleFontSize": 11,
                "offset": 10,
            },
            "text": {"color": colors["text"], "fontSize": 11},
        },
    }
