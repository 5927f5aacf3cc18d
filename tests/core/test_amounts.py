"""Exact decimals of units."""

from decimal import localcontext

from hypothesis import given
from hypothesis import strategies as st

from novapulse.core.amounts import from_units
from novapulse.ledger.schema import INT64_MAX, SCALE_MAX


@given(st.integers(-INT64_MAX, INT64_MAX), st.integers(0, SCALE_MAX))
def test_units_become_a_decimal_with_all_its_digits(units: int, scale: int) -> None:
    exact = from_units(units, scale)
    with localcontext(prec=40):
        assert exact * 10**scale == units
    assert exact.as_tuple().exponent == -scale


def test_it_is_written_with_the_digits_of_its_scale() -> None:
    assert [str(from_units(units, 2)) for units in (150, -150, 0, 7)] == ["1.50", "-1.50", "0.00", "0.07"]
