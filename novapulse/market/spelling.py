"""Times and symbols as people write them."""

from datetime import UTC, datetime

from novapulse.core.instruments import canonical_symbol
from novapulse.market.storage import DataError


def stamp_ns(text: int | str | None) -> int | None:
    """Return a time as ns UTC: a number as it is, ISO 8601 text in its zone, else UTC.

    Raises:
        DataError: The text is no time.
    """
    if text is None or isinstance(text, int):
        return text
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as wrong:
        raise DataError(f"time {text!r}: expected ISO 8601 such as 2024-01-31 or 2024-01-31T12:00Z") from wrong
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    since = aware - datetime(1970, 1, 1, tzinfo=UTC)
    return ((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds) * 1_000


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
