"""Frozen values and how they are told as JSON: exact decimals as text, times as integers, unknown as null."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from typing import Any

from novapulse.core.amounts import from_units

AVERAGE_DIGITS = 10
"""Decimal digits of a number that need not end, such as an average price."""


_PLAIN = frozenset({bool, str, int, float})


class Value:
    """A frozen dataclass that can be told as JSON."""

    __slots__ = ()

    def json(self) -> dict[str, Any]:
        """Return plain values: text, integers, floats, truth values, None, lists and mappings of them."""
        found: dict[str, Any] = plain(self)
        return found


def plain(value: Any) -> Any:
    """Return a value as JSON has it: decimals as exact text without an exponent, tuples as lists."""
    if value is None or type(value) in _PLAIN:
        return value
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, Enum):
        return value.value
    if names := _names(type(value)):
        return {name: plain(getattr(value, name)) for name in names}
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    return [plain(one) for one in value]


def _names(kind: type) -> tuple[str, ...]:
    if kind not in _fields:
        _fields[kind] = tuple(field.name for field in fields(kind)) if is_dataclass(kind) else ()
    return _fields[kind]


_fields: dict[type, tuple[str, ...]] = {}


def exact(value: Fraction, digits: int) -> Decimal:
    """Return a fraction as a decimal of so many digits, rounded half to even where it does not end before."""
    return from_units(round(value * 10**digits), digits)


def filled(value: Decimal, digits: int) -> Decimal:
    """Return a price with at least so many digits, those of its tick; one between two ticks keeps all that it has."""
    exponent = value.as_tuple().exponent
    return value.quantize(Decimal(1).scaleb(-digits)) if isinstance(exponent, int) and -exponent < digits else value


def average(value: Fraction, digits: int = AVERAGE_DIGITS) -> Decimal:
    """Return a fraction as a decimal without zeros at its end, rounded to so many digits where it does not end."""
    found = exact(value, digits).normalize()
    exponent = found.as_tuple().exponent
    return found.quantize(Decimal(1)) if isinstance(exponent, int) and exponent > 0 else found
