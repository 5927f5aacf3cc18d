"""Amounts as the ledger counts them: integers in units of 10^-scale of an asset, and exact ways to and from them.

Invariants:
- nothing is rounded here: what does not fit a scale is refused;
- an asset has one scale in a ledger, at least as fine as every instrument that trades it and at most `SCALE_MAX`;
- an amount fits 64 bits.
"""

from collections.abc import Iterable
from decimal import Decimal

from novapulse.core.instruments import Instrument
from novapulse.ledger.schema import INT64_MAX, SCALE_MAX


def to_units(value: Decimal | str | int, scale: int) -> int:
    """Return an exact decimal as units of 10^-scale.

    Raises:
        ValueError: It is not a finite number, has more digits than the scale, or does not fit 64 bits.
    """
    exact = Decimal(value)
    if not exact.is_finite():
        raise ValueError(f"{value} is not an amount")
    sign, digits, exponent = exact.as_tuple()
    assert isinstance(exponent, int)
    if scale + exponent > len(str(INT64_MAX)) and any(digits):
        raise ValueError(f"{value} does not fit 64 bits at {scale} digits")
    number = int("".join(map(str, digits)) or "0")
    shift = exponent + scale
    units, rest = (number * 10**shift, 0) if shift >= 0 else divmod(number, 10**-shift)
    if rest:
        raise ValueError(f"{value} has more than {scale} decimal digits")
    return checked(-units if sign else units)


def from_units(units: int, scale: int) -> Decimal:
    """Return units of 10^-scale as an exact decimal with all digits of the scale, e.g. 150, 2 -> 1.50."""
    return Decimal((int(units < 0), tuple(map(int, str(abs(units)))), -scale))


def rescale(units: int, scale: int, to_scale: int) -> int:
    """Return units of one scale in units of another.

    Raises:
        ValueError: The coarser scale cannot hold the amount, or it does not fit 64 bits.
    """
    if to_scale >= scale:
        return checked(units * int(10 ** (to_scale - scale)))
    coarse, rest = divmod(units, int(10 ** (scale - to_scale)))
    if rest:
        raise ValueError(f"{from_units(units, scale)} has more than {to_scale} decimal digits")
    return coarse


def checked(units: int) -> int:
    """Return an amount that fits 64 bits, with room for its negative.

    Raises:
        ValueError: It does not.
    """
    if not -INT64_MAX <= units <= INT64_MAX:
        raise ValueError(f"{units} does not fit 64 bits")
    return units


def asset_scales(instruments: Iterable[Instrument]) -> dict[str, int]:
    """Return the ledger scale of every asset that some instruments trade or pay in.

    Raises:
        ValueError: An asset needs more than `SCALE_MAX` digits; the message names the instrument.
    """
    scales: dict[str, int] = {}
    for one in instruments:
        for asset, scale in ((one.base, one.qty_scale), (one.quote, one.cash_scale)):
            if scale > SCALE_MAX:
                raise ValueError(
                    f"{one.key}: {asset} has {scale} decimal digits, the ledger counts at most {SCALE_MAX}"
                )
            scales[asset] = max(scale, scales.get(asset, 0))
    return scales
