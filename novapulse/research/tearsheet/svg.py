"""Small drawings as inline SVG that fit any width.

Invariants:
- positions are shares of the drawing, sizes of text, dots and strokes are pixels: a drawing may be stretched to any
  width and height, and nothing in it is distorted;
- colours are classes of the style sheet, never values, so that light, dark and print need no second drawing;
- every text and every attribute is escaped here.
"""

import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Self

from novapulse.research.tearsheet.scales import Scale, Tick

_UNITS = 1000.0
"""Side of the square in which lines and areas are drawn before they are stretched."""


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()

    def __html__(self) -> str:
        """Return itself: what a template asks before it would escape."""
        return self


def element(name: str, *children: str, **attributes: object) -> Markup:
    """Return an element.

    Args:
        name: Tag.
        children: Texts, which are escaped, and markup, which is not.
        attributes: By name, `_` for `-` and a `_` at the end left off (`class_`); None leaves one out.
    """
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    inside = "".join(child if isinstance(child, Markup) else html.escape(child) for child in children)
    return Markup(f"<{name}{written}>{inside}</{name}>")


def share(position: float) -> str:
    """Return a position 0..1 as a percentage with two decimals at most."""
    return f"{100 * position:.2f}".rstrip("0").rstrip(".") + "%"


Points = Sequence[tuple[float, float]]


@dataclass
class Plot:
    """A drawing with two axes: layers are added, the last one lies on top.

    Attributes:
        x: What the horizontal axis covers.
        y: What the vertical axis covers, upwards.
    """

    x: Scale
    y: Scale
    _axes: list[Markup] = field(default_factory=list)
    _layers: list[Markup] = field(default_factory=list)

    def x_axis(self, ticks: Sequence[Tick], *, lines: bool = True) -> Self:
        """Add ticks below; every second one is left out on a narrow screen."""
        for number, tick in enumerate(ticks):
            at = share(self.x.at(tick.value))
            thin = " wide-only" if number % 2 else ""
            if lines:
                self._axes.append(element("line", x1=at, x2=at, y1="0", y2="100%", class_=f"grid{thin}"))
            self._axes.append(element("text", tick.label, x=at, y="100%", dy="18", class_=f"tick middle{thin}"))
        return self

    def y_axis(self, ticks: Sequence[Tick], strong: float | None = None) -> Self:
        """Add ticks at the left; the line at `strong` is drawn as a base line."""
        for tick in ticks:
            at = self._down(tick.value)
            class_ = "grid base" if strong is not None and tick.value == strong else "grid"
            self._axes.append(element("line", x1="0", x2="100%", y1=at, y2=at, class_=class_))
            self._axes.append(element("text", tick.label, x="0", y=at, dx="-8", dy="4", class_="tick end"))
        return self

    def rule(self, value: float, label: str) -> Self:
        """Add a dashed level with a label."""
        at = self._down(value)
        self._axes.append(element("line", x1="0", x2="100%", y1=at, y2=at, class_="rule"))
        self._axes.append(element("text", label, x="100%", y=at, dy="-5", class_="tick end rule-label"))
        return self

    def span(self, start: float, end: float) -> Self:
        """Add a shaded stretch of the horizontal axis."""
        left, right = self.x.at(start), self.x.at(end)
        self._axes.append(
            element("rect", x=share(left), width=share(right - left), y="0", height="100%", class_="span")
        )
        return self

    def line(self, pieces: Iterable[Points], class_: str) -> Self:
        """Add a line; it is interrupted between pieces."""
        return self._path("".join("M" + "L".join(self._inner(points)) for points in pieces if points), class_)

    def area(self, pieces: Iterable[tuple[Points, Points]], class_: str) -> Self:
        """Add areas, each between an upper and a lower line."""
        drawn = ("M" + "L".join(self._inner([*upper, *reversed(lower)])) + "Z" for upper, lower in pieces if upper)
        return self._path("".join(drawn), class_)

    def bar(self, left: float, right: float, low: float, high: float, class_: str, title: str) -> Self:
        """Add an upright bar with a remark."""
        start, end, top, bottom = self.x.at(left), self.x.at(right), self.y.at(high), self.y.at(low)
        self._layers.append(
            element(
                "rect",
                element("title", title),
                x=share(start),
                width=share(end - start),
                y=share(1 - top),
                height=share(top - bottom),
                class_=f"bar {class_}",
            )
        )
        return self

    def mark(self, x: float, y: float, shape: str, class_: str, title: str = "") -> Self:
        """Add a sign of the page's own set (`up`, `down`, `dot`, `ring`, `cross`), with a remark."""
        at = {"x": share(self.x.at(x)), "y": self._down(y)}
        remark = [element("title", title)] if title else []
        self._layers.append(element("use", *remark, href=f"#sign-{shape}", class_=f"sign {class_}", **at))
        return self

    def stroke(self, start: tuple[float, float], end: tuple[float, float], class_: str) -> Self:
        """Add a straight line."""
        (x1, y1), (x2, y2) = ((share(self.x.at(x)), self._down(y)) for x, y in (start, end))
        self._layers.append(element("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_))
        return self

    def drawn(self, name: str, title: str, description: str, height: str) -> Markup:
        """Return the drawing.

        Args:
            name: Unique on the page.
            title: What is shown, for those who cannot see it.
            description: What can be read off it, in words.
            height: Class of the style sheet.
        """
        return element(
            "svg",
            element("title", title, id=f"{name}-title"),
            element("desc", description, id=f"{name}-desc"),
            *self._axes,
            *self._layers,
            class_=f"plot {height}",
            role="img",
            aria_labelledby=f"{name}-title {name}-desc",
        )

    def _down(self, value: float) -> str:
        return share(1 - self.y.at(value))

    def _inner(self, points: Points) -> list[str]:
        return [f"{_UNITS * self.x.at(x):.1f} {_UNITS * (1 - self.y.at(y)):.1f}" for x, y in points]

    def _path(self, drawn: str, class_: str) -> Self:
        if drawn:
            self._layers.append(
                element(
                    "svg",
                    element("path", d=drawn, class_=class_),
                    viewBox="0 0 1000 1000",
                    preserveAspectRatio="none",
                    width="100%",
                    height="100%",
                )
            )
        return self


def lying_bar(value: float, scale: Scale, *, description: str) -> Markup:
    """Return a lying bar from zero to a value for a table's cell: to the right of zero a gain, to the left a loss."""
    zero, end = scale.at(0.0), scale.at(value)
    class_ = "bar gain" if value >= 0 else "bar loss"
    return _strip(
        element("rect", x=share(min(zero, end)), width=share(abs(end - zero)), y="20%", height="60%", class_=class_),
        element("line", x1=share(zero), x2=share(zero), y1="0", y2="100%", class_="zero"),
        description=description,
    )


def lying_range(low: float, middle: float, high: float, scale: Scale, *, description: str) -> Markup:
    """Return a range with its middle for a table's cell, with a line at zero where the scale covers it."""
    start, end, zero = scale.at(low), scale.at(high), share(scale.at(0.0))
    covers_zero = scale.low <= 0 <= scale.high
    return _strip(
        element("rect", x=share(start), width=share(end - start), y="35%", height="30%", class_="range"),
        *([element("line", x1=zero, x2=zero, y1="0", y2="100%", class_="zero")] if covers_zero else []),
        element("circle", cx=share(scale.at(middle)), cy="50%", r="4", class_="middle-dot"),
        description=description,
    )


def _strip(*children: Markup, description: str) -> Markup:
    return element("svg", *children, class_="strip", role="img", aria_label=description)
