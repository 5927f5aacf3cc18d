import pytest

from novapulse.market.spelling import stamp_ns, symbol_of
from novapulse.market.storage import DataError


@pytest.mark.parametrize(
    ("text", "symbol"),
    [
        ("btc-usd", "BTC/USD"),
        ("BTC/USD", "BTC/USD"),
        ("FIL-USDT-PERP", "FIL/USDT:USDT"),
        ("FIL-USDT_USDT", "FIL/USDT:USDT"),
        ("SPY", "SPY"),
        ("BRK.B", "BRK.B"),
    ],
)
def test_symbols_have_one_form(text: str, symbol: str) -> None:
    assert symbol_of(text) == symbol


@pytest.mark.parametrize(
    ("text", "stamp"),
    [
        ("2024-01-01", 1_704_067_200_000_000_000),
        ("2024-01-01T01:00+01:00", 1_704_067_200_000_000_000),
        ("2024-01-01 00:00:00.000001", 1_704_067_200_000_001_000),
        (1_704_067_200_000_000_001, 1_704_067_200_000_000_001),
        (None, None),
    ],
)
def test_times_are_utc_to_the_microsecond(text: str | int | None, stamp: int | None) -> None:
    """V-3."""
    assert stamp_ns(text) == stamp


def test_what_is_no_time_or_symbol_is_refused() -> None:
    with pytest.raises(DataError, match="time 'soon'"):
        stamp_ns("soon")
    with pytest.raises(DataError, match="symbol 'a b'"):
        symbol_of("a b")
