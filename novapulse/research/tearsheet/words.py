"""How figures are written: one spelling per kind, the sign always in the text, the unknown always in words."""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import NamedTuple

from novapulse.core.bars import DAY_NS
from novapulse.research.tearsheet.scales import HOUR_NS, MINUS, SECOND_NS, signed

UNKNOWN = "unknown"

NO_BREAK_SPACE = "\N{NO-BREAK SPACE}"
_HYPHEN_MINUS = re.compile(r"(?<![\w.])-(?=\.?\d)")
_BEFORE_UNIT = re.compile(r"(?<=\d) (?=%|(?:R|bps|ms|s|[A-Z]{2,6})\b)")

Value = float | int | None


@dataclass(frozen=True, slots=True)
class Figure:
    """A number as it stands on the page.

    Attributes:
        path: Where it stands in the data, e.g. `summary.sharpe`.
        value: In full precision; None where it is unknown.
        text: As people read it.
        tone: `gain`, `loss` or nothing.
    """

    path: str
    value: Value
    text: str
    tone: str = ""

    @property
    def exact(self) -> str:
        """The value as JSON would write it; empty where it is unknown."""
        return "" if self.value is None else repr(self.value)


class Kind(NamedTuple):
    """How numbers of one kind are written, and whether their sign is a gain or a loss."""

    write: Callable[[float], str]
    is_result: bool = False


def plus(value: float | Decimal, digits: int) -> str:
    """Return a number with its sign, also above zero."""
    text = signed(value, digits)
    return f"+{text}" if value > 0 and text.strip("0.,") else text


def with_minuses(sentence: str) -> str:
    """Return a sentence with its figures as pages write them: minus signs, no unit on a line of its own.

    Dates and names keep their dashes.
    """
    return unparted(_HYPHEN_MINUS.sub(MINUS, sentence))


def unparted(text: str) -> str:
    """Return a text whose figures no line parts from their unit: `0.38 %.` never ends as `%.` on the next one."""
    return _BEFORE_UNIT.sub(NO_BREAK_SPACE, text)


def plus_exact(amount: Decimal) -> str:
    """Return an amount with its sign, also above zero, and with every digit that it has."""
    text = f"{abs(amount):f}"
    return text if not amount else f"{'+' if amount > 0 else MINUS}{text}"


RESULT = Kind(lambda value: f"{plus(100 * value, 2)} %", is_result=True)
SHARE = Kind(lambda value: f"{signed(100 * value, 2)} %")
SHARE_ROUND = Kind(lambda value: f"{signed(100 * value, 0)} %")
SHARE_FINE = Kind(lambda value: f"{signed(100 * value, 1)} %")
COUNT = Kind(lambda value: signed(value, 0))
NUMBER = Kind(lambda value: signed(value, 2))
MONEY = Kind(lambda value: signed(value, 2))
MONEY_RESULT = Kind(lambda value: plus(value, 2), is_result=True)
R_PLAIN = Kind(lambda value: f"{plus(value, 2)} R")
R_RESULT = Kind(lambda value: f"{plus(value, 2)} R", is_result=True)
BARS = Kind(lambda value: f"{signed(value, 0 if value == round(value) else 1)} bars")
DAYS = Kind(lambda value: f"{signed(value, 0)} days" if value != 1 else "1 day")
HOURS = Kind(lambda value: duration(value * HOUR_NS))
BPS = Kind(lambda value: f"{signed(value, 1)} bps")
TURNS = Kind(lambda value: f"{signed(value, 1)} times")


def figure(path: str, value: Value, kind: Kind) -> Figure:
    """Return a number as it stands on the page; None, NaN and infinity are unknown."""
    if value is None or not math.isfinite(value):
        return Figure(path, None, UNKNOWN)
    text = kind.write(value)
    says_something = any(digit in "123456789" for digit in text)
    tone = ("gain" if value > 0 else "loss") if kind.is_result and says_something else ""
    return Figure(path, value, text, tone)


def day(text: str) -> str:
    """Return the day of a moment in ISO 8601: `23 Mar 2026`."""
    moment = datetime.fromisoformat(text)
    return f"{moment.day} {moment:%b %Y}"


def minute(text: str) -> str:
    """Return a moment in ISO 8601 to the minute: `23 Mar 2026 12:10`."""
    return f"{day(text)} {datetime.fromisoformat(text):%H:%M}"


def minute_of(moment_ns: int) -> str:
    """Return a moment in ns UTC to the minute: `23 Mar 2026 12:10`."""
    return minute(datetime.fromtimestamp(moment_ns // SECOND_NS, UTC).isoformat())


def duration(span_ns: float) -> str:
    """Return a span of time in its two largest units: `3 d 4 h`, `45 min`."""
    minutes = round(span_ns / (60 * SECOND_NS))
    if span_ns >= DAY_NS:
        days, hours = divmod(round(span_ns / HOUR_NS), 24)
        return f"{days:,} d {hours} h" if hours and days < 100 else f"{days:,} d"
    if minutes >= 60:
        hours, rest = divmod(minutes, 60)
        return f"{hours} h {rest} min" if rest else f"{hours} h"
    return f"{minutes} min" if minutes else f"{span_ns / SECOND_NS:.0f} s"


def plain(name: str) -> str:
    """Return a name of code as words: `one_bar_late` -> `One bar late`."""
    words = name.replace("_", " ").strip()
    return words[:1].upper() + words[1:]
