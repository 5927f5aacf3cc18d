"""Exact ways between decimals and units."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from novapulse.core.instruments import Instrument
from novapulse.ledger.amounts import asset_scales, from_units, rescale, to_units
from novapulse.ledger.schema import INT64_MAX

UNITS = st.integers(-INT64_MAX, INT64_MAX)
SCALES = st.integers(0, 9)


@given(UNITS, SCALES)
def test_units_become_a_decimal_and_the_same_units_again(units: int, scale: int) -> None:
    assert to_units(from_units(units, scale), scale) == units
    assert from_units(units, scale) == Decimal(units).scaleb(-scale) or abs(units) > 10**27


@given(UNITS, SCALES, SCALES)
def test_a_scale_is_changed_exactly_or_not_at_all(units: int, scale: int, other: int) -> None:
    try:
        there = rescale(units, scale, other)
    except ValueError:
        assert other > scale or units % 10 ** (scale - other)
        return
    assert from_units(there, other) == from_units(units, scale)
    assert rescale(there, other, scale) == units


REFUSED = {
    "a digit too many": ("0.001", 2, "more than 2 decimal digits"),
    "an endless number": ("NaN", 2, "not an amount"),
    "infinity": ("-Infinity", 2, "not an amount"),
    "more than 64 bits": ("92233720368547758.08", 2, "does not fit 64 bits"),
    "far more": ("1e999999", 2, "does not fit 64 bits"),
}


@pytest.mark.parametrize(("value", "scale", "expected"), REFUSED.values(), ids=REFUSED)
def test_what_does_not_fit_is_refused(value: str, scale: int, expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        to_units(value, scale)


def test_plain_spellings_are_exact() -> None:
    assert to_units("1.50", 2) == 150
    assert to_units("-0.1", 8) == -10_000_000
    assert to_units("1E+3", 2) == 100_000
    assert to_units("0e99", 9) == 0
    assert str(from_units(-150, 2)) == "-1.50"


def test_an_asset_gets_the_finest_scale_that_any_instrument_needs() -> None:
    one = Instrument("kraken", "BTC/USD", "BTC", "USD", lot=Decimal("0.0001"), cash_scale=4)
    other = Instrument("coinbase", "BTC/EUR", "BTC", "EUR", lot=Decimal("0.00000001"), cash_scale=2)
    stock = Instrument("alpaca", "AAPL", "AAPL", "USD", lot=Decimal(1), cash_scale=2)
    assert asset_scales([one, other, stock]) == {"BTC": 8, "USD": 4, "EUR": 2, "AAPL": 0}
    fine = Instrument("kraken", "X/USD", "X", "USD", tick=Decimal(1), lot=Decimal("1e-10"))
    with pytest.raises(ValueError, match="X/USD on kraken: X has 10 decimal digits, the ledger counts at most 9"):
        asset_scales([one, fine])
