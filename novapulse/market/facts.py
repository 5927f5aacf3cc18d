"""Facts about an instrument beside its bars: what the venue said, on which day, or what the bars themselves show.

Invariants:
- steps, minimums and fees that came from a venue are kept as text and stay exact;
- what was read off the bars is marked `inferred`; no table of instruments lives in code.
"""

import dataclasses
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import numpy as np

from novapulse.core.bars import Floats
from novapulse.core.instruments import Instrument, Kind

_DIGITS_MAX = 8
_STOCK_CURRENCY = "USD"


def to_json(instrument: Instrument) -> dict[str, Any]:
    """Return an instrument as plain JSON values, decimals as text."""
    return {
        field.name: str(value) if isinstance(value, Decimal | Kind) else value
        for field in dataclasses.fields(instrument)
        for value in [getattr(instrument, field.name)]
    }


def from_json(values: dict[str, Any]) -> Instrument:
    """Return the instrument that `to_json` wrote.

    Raises:
        ValueError: A field is missing, unknown or impossible.
    """
    types = {field.name: field.type for field in dataclasses.fields(Instrument)}
    try:
        return Instrument(**{name: _typed(types[name], value) for name, value in values.items()})
    except (KeyError, TypeError, ArithmeticError) as wrong:
        raise ValueError(f"instrument facts do not fit: {wrong}") from wrong


def _typed(kind: object, value: Any) -> Any:
    if kind is Decimal:
        return Decimal(value)
    return Kind(value) if kind is Kind else value


def inferred(exchange: str, symbol: str, calendar: str, prices: Sequence[Floats], volume: Floats) -> Instrument:
    """Return an instrument whose steps are the smallest decimal grids that hold all of its recorded bars.

    Args:
        exchange: Lower-case id.
        symbol: Canonical symbol; `BASE/QUOTE:SETTLE` is a perpetual, one without `/` a stock.
        calendar: Name of its calendar.
        prices: Columns of prices, > 0.
        volume: float64[N], base units.

    Returns:
        An instrument with `inferred=True`; everything the bars cannot show has the defaults of `Instrument`.
    """
    tick_digits = max(decimal_digits(column) for column in prices)
    lot_digits = decimal_digits(volume)
    base, _, rest = symbol.partition("/")
    quote, _, settle = rest.partition(":")
    kind = Kind.PERPETUAL if settle else Kind.SPOT if quote else Kind.STOCK
    return Instrument(
        exchange=exchange,
        symbol=symbol,
        base=base,
        quote=quote or _STOCK_CURRENCY,
        kind=kind,
        tick=Decimal(1).scaleb(-tick_digits),
        lot=Decimal(1).scaleb(-lot_digits),
        calendar=calendar,
        shortable=kind is Kind.PERPETUAL,
        inferred=True,
    )


def decimal_digits(values: Floats) -> int:
    """Return the fewest decimal digits, 0..8, with which every value can be written to the precision of a float."""
    for digits in range(_DIGITS_MAX):
        # Sums of floats carry some last bits of dust: four units in the last place are still the same decimal.
        if bool(np.all(np.abs(np.round(values, digits) - values) <= 4.0 * np.spacing(np.abs(values)))):
            return digits
    return _DIGITS_MAX
