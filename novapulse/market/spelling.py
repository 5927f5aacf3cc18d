"""Times and symbols as people write them."""

from datetime import UTC, date, datetime
from typing import Any

import numpy as np

from novapulse.core.instruments import canonical_symbol
from novapulse.market.storage import DataError

When = int | np.integer[Any] | str | date | np.datetime64 | None
"""A time: ns UTC, ISO 8601 text, a datetime with a time zone, a date (its 00:00 UTC) or a numpy time (UTC)."""


def stamp_ns(when: When) -> int | None:
    """Return a time as ns UTC: a number as it is, text in the zone it names, else UTC.

    Raises:
        DataError: It is no time, or a datetime without a time zone.
    """
    match when:
        case None:
            return None
        case int() | np.integer():
            return int(when)
        case str():
            return _text_ns(when)
        case np.datetime64():
            return _numpy_ns(when)
        case datetime():
            if when.utcoffset() is None:
                raise DataError(f"time {when}: a datetime needs a time zone, such as tzinfo=datetime.UTC")
            return _moment_ns(when)
        case date():
            return _moment_ns(datetime(when.year, when.month, when.day, tzinfo=UTC))
    raise DataError(f"time {when!r}: expected ns UTC, ISO 8601 text, a datetime with a time zone or a date")


def _text_ns(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as wrong:
        raise DataError(f"time {text!r}: expected ISO 8601 such as 2024-01-31 or 2024-01-31T12:00Z") from wrong
    return _moment_ns(moment if moment.tzinfo else moment.replace(tzinfo=UTC))


def _moment_ns(moment: datetime) -> int:
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return ((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds) * 1_000


def _numpy_ns(when: np.datetime64) -> int:
    precise = when.astype("datetime64[ns]")
    if np.isnat(when) or precise.astype(when.dtype) != when:
        raise DataError(f"time {when}: not a time between the years 1678 and 2262")
    return int(precise.astype(np.int64))


def symbol_of(text: str) -> str:
    """Return the canonical symbol of a name as typed or as in paths: `btc-usd`, `FIL-USDT-PERP`, `FIL-USDT_USDT`.

    Raises:
        DataError: The text is no symbol.
    """
    name = text.strip().upper()
    pair = name.removesuffix("-PERP")
    try:
        if pair != name:
            symbol = canonical_symbol(pair)
            return f"{symbol}:{symbol.partition('/')[2]}"
        return canonical_symbol(name.replace("_", ":") if "-" in name and ":" not in name else name)
    except ValueError as wrong:
        raise DataError(f"symbol {text!r}: expected a form such as BTC/USD, BTC-USD or AAPL") from wrong
