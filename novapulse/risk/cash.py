"""The one helper that turns price and quantity into cash.

Every cash movement, in the kernel and in the engine, is an integer of the quote's smallest unit, rounded half away from
zero. The arithmetic is exact: products are split so that no intermediate leaves 63 bits while the result does not.
"""

import math

from novapulse.compiled import kernel
from novapulse.core.records import Liquidity, Record

FEE_ONE = 100_000_000
"""A fee rate of 100 %, in the units of `maker_fee_e8` and `taker_fee_e8`."""


_PRODUCT_MAX = 4_000_000_000_000_000_000.0


@kernel(inline=True, allocates=False)
def multiply_divide(a: int, b: int, divisor: int) -> int:
    """Return `a * b / divisor` for integers, rounded half away from zero, exact.

    Args:
        a: int64, any sign.
        b: int64, any sign.
        divisor: int64 in 1..3e9.

    Returns:
        int64; the caller keeps the result below 2^63.
    """
    sign = 1
    if a < 0:
        a = -a
        sign = -sign
    if b < 0:
        b = -b
        sign = -sign
    if float(a) * float(b) < _PRODUCT_MAX:
        product = a * b
        if divisor == 1:
            return sign * product
        whole = product // divisor
        return sign * (whole + (2 * (product - whole * divisor) >= divisor))
    a_whole = a // divisor
    a_rest = a - a_whole * divisor
    b_whole = b // divisor
    b_rest = b - b_whole * divisor
    rest = a_rest * b_rest
    rest_whole = rest // divisor
    rest_left = rest - rest_whole * divisor
    result = a_whole * b + a_rest * b_whole + rest_whole
    if 2 * rest_left >= divisor:
        result += 1
    return sign * result


@kernel(inline=True, allocates=False)
def notional_units(instrument: Record, price_units: int, qty_units: int) -> int:
    """Return the cash units of a price times a quantity (signed like the quantity)."""
    return multiply_divide(price_units * instrument.cash_multiplier, qty_units, instrument.cash_divisor)


@kernel(inline=True, allocates=False)
def fee_units(instrument: Record, notional: int, liquidity: int) -> int:
    """Return the fee of a notional in cash units; positive is paid, negative is a rebate."""
    rate = instrument.maker_fee_e8 if liquidity == Liquidity.MAKER else instrument.taker_fee_e8
    return multiply_divide(abs(notional), rate, FEE_ONE)


@kernel(inline=True, allocates=False)
def price_to_units(instrument: Record, price: float, direction: int) -> int:
    """Return a price on the tick grid in price units.

    Args:
        instrument: INSTRUMENT record.
        price: Quote per base, > 0.
        direction: +1 rounds up, -1 rounds down, 0 to the nearest tick.

    Returns:
        int64, at least one tick.
    """
    ticks = price * instrument.price_factor / instrument.tick_units
    nearest = math.floor(ticks + 0.5)
    # A price that already lies on the grid is not moved by the noise of its own float.
    if direction == 0 or abs(ticks - nearest) <= 1e-9 * max(1.0, nearest):
        whole = nearest
    elif direction > 0:
        whole = math.ceil(ticks)
    else:
        whole = math.floor(ticks)
    return max(int(whole), 1) * instrument.tick_units


@kernel(inline=True, allocates=False)
def qty_to_units(instrument: Record, qty: float) -> int:
    """Return a quantity in units, rounded down to whole lots; 0 when it is less than one lot or not a number."""
    lots = qty * instrument.qty_factor / instrument.lot_units
    if not lots > 0.0:
        return 0
    lots = min(lots, _PRODUCT_MAX / instrument.lot_units)
    nearest = math.floor(lots + 0.5)
    whole = nearest if abs(lots - nearest) <= 1e-12 * max(1.0, nearest) else math.floor(lots)
    return int(whole) * instrument.lot_units
