"""Amounts as they are counted: integers in units of 10^-scale of an asset, and the exact way from them."""

from decimal import Decimal


def from_units(units: int, scale: int) -> Decimal:
    """Return units of 10^-scale as an exact decimal with all digits of the scale, e.g. 150, 2 -> 1.50."""
    return Decimal((int(units < 0), tuple(map(int, str(abs(units)))), -scale))
