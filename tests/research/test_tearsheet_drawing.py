"""Drawings lose no extreme, ticks are round, and colours can be read by everyone."""

import re
from importlib.resources import files
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from novapulse.core.bars import DAY_NS, MINUTE_NS
from novapulse.research.tearsheet.scales import Scale, buckets, number_ticks, scale_of, signed, thinned, time_ticks
from novapulse.research.tearsheet.svg import Plot, element
from novapulse.research.tearsheet.words import RESULT, duration, figure


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=400), st.integers(1, 50))
def test_thinning_keeps_the_ends_and_both_extremes(values, count):
    ts_ns = np.cumsum(np.arange(1, len(values) + 1, dtype=np.int64) % 7 + 1) * MINUTE_NS
    column = np.array(values)
    rows = thinned(ts_ns, column, count)
    assert rows[0] == 0
    assert rows[-1] == len(values) - 1
    assert rows.size <= max(2 * count + 2, 1)
    assert (np.diff(rows) > 0).all()
    assert column[rows].min() == column.min()
    assert column[rows].max() == column.max()


@given(st.lists(st.integers(1, 10_000), min_size=1, max_size=300), st.integers(1, 40))
def test_buckets_cover_every_row_once(steps, count):
    ts_ns = np.cumsum(np.array(steps, np.int64))
    parts = buckets(ts_ns, count)
    assert [row for part in parts for row in range(part.start, part.stop)] == list(range(len(steps)))
    assert len(parts) <= max(count, 1)


@given(st.floats(-1e9, 1e9), st.floats(1e-6, 1e9), st.integers(2, 10))
def test_number_ticks_lie_inside_and_are_few(low, width, count):
    scale = Scale(low, low + width)
    ticks = number_ticks(scale, count)
    assert len(ticks) <= count + 1
    slack = 1e-6 * max(abs(low), width)
    assert all(scale.low - slack <= tick.value <= scale.high + slack for tick in ticks)


@pytest.mark.parametrize(
    ("days", "label"), [(0.02, "00:05"), (1, "06:00"), (30, "6 Jan"), (400, "Jul"), (4000, "2026")]
)
def test_time_ticks_are_few_and_named_by_what_changes(days, label):
    start = 1_704_067_200_000_000_000
    ticks = time_ticks(start, start + int(days * DAY_NS), 9)
    assert 3 <= len(ticks) <= 10
    assert label in [tick.label for tick in ticks]


@pytest.mark.parametrize("values", [[], [0.0], [5.0], [5.0, 5.0], [-1e-30, 1e-30]])
def test_a_scale_always_has_a_width(values):
    scale = scale_of(values)
    assert scale.high > scale.low
    assert all(0.0 <= scale.at(value) <= 1.0 for value in values)
    assert number_ticks(scale, 5)


def test_highest_value_is_drawn_at_the_top():
    drawn = Plot(Scale(0.0, 1.0), Scale(10.0, 20.0)).line([[(0.0, 10.0), (1.0, 20.0)]], "x").drawn("n", "t", "d", "low")
    assert 'd="M0.0 1000.0L1000.0 0.0"' in drawn


def test_a_line_is_interrupted_between_pieces():
    drawn = (
        Plot(Scale(0.0, 3.0), Scale(0.0, 1.0))
        .line([[(0, 0), (1, 1)], [(2, 1), (3, 0)]], "x")
        .drawn("n", "t", "d", "low")
    )
    assert drawn.count("M") == 2


def test_text_and_attributes_are_escaped():
    assert element("text", "<&>", title='"<') == '<text title="&quot;&lt;">&lt;&amp;&gt;</text>'


@pytest.mark.parametrize(
    ("value", "text", "tone"),
    [
        (0.0123, "+1.23 %", "gain"),
        (-0.0123, "\N{MINUS SIGN}1.23 %", "loss"),
        (-1e-9, "0.00 %", ""),
        (None, "unknown", ""),
    ],
)
def test_a_sign_stands_in_the_text_and_dust_has_none(value, text, tone):
    one = figure("x", value, RESULT)
    assert (one.text, one.tone) == (text, tone)
    assert signed(-1234.5, 1) == "\N{MINUS SIGN}1,234.5"


def test_durations_are_told_in_their_two_largest_units():
    told = [duration(minutes * MINUTE_NS) for minutes in (0.5, 1, 59.6, 61, 1440, 1500)]
    assert told == ["30 s", "1 min", "1 h", "1 h 1 min", "1 d", "1 d 1 h"]


def luminance(colour: tuple[float, ...]) -> float:
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def schemes() -> dict[str, dict[str, tuple[float, ...]]]:
    style = files("novapulse.research.tearsheet").joinpath("style.css").read_text("utf-8")
    found = {}
    for name, block in zip(("light", "dark"), re.findall(r":root \{(.*?)\}", style, re.DOTALL), strict=True):
        colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6}|\d+ \d+ \d+)", block))
        found[name] = {
            key: tuple(int(value[n : n + 2], 16) / 255 for n in (1, 3, 5))
            if value.startswith("#")
            else tuple(int(part) / 255 for part in value.split())
            for key, value in colours.items()
        }
    return found


@pytest.mark.parametrize("name", ["light", "dark"])
def test_text_can_be_read_on_every_ground(name):
    """WCAG AA: 4.5 to 1 for text, also on the strongest shade of the monthly table."""
    colours = schemes()[name]
    for text, ground in product(("ink", "dim", "gain", "loss", "brand"), ("ground", "card")):
        assert contrast(colours[text], colours[ground]) >= 4.5, (text, ground)
    for shade in ("gain-rgb", "loss-rgb"):
        mixed = tuple(0.4 * a + 0.6 * b for a, b in zip(colours[shade], colours["card"], strict=True))
        assert contrast(colours["ink"], mixed) >= 4.5, shade
