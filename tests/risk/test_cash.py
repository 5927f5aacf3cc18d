"""Integers for money against exact fractions and decimals."""

import math
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from novapulse.core.records import Liquidity
from novapulse.execution.rules import instrument_records
from novapulse.risk.cash import fee_units, multiply_divide, notional_units, price_to_units, qty_to_units
from tests.backtest.builders import instrument

WIDE = st.integers(-(2**62), 2**62) | st.integers(-(10**6), 10**6)
STEPS = st.sampled_from(["1", "0.5", "0.25", "0.05", "0.01", "0.0005", "0.00001", "0.00000001", "5", "100"])


def half_away(value: Fraction) -> int:
    whole = math.floor(abs(value) + Fraction(1, 2))
    return whole if value >= 0 else -whole


@given(WIDE, WIDE, st.integers(1, 3 * 10**9) | st.sampled_from([1, 2, 10, 100, 10**8, 10**9]))
@example(5, 1, 10)
@example(-5, 1, 10)
@example(2**62, 1, 1)
@example(3 * 10**9 - 1, 3 * 10**9 - 1, 3 * 10**9)
@example(2**62, 10**9 - 1, 10**9)
def test_multiply_divide_is_exact_and_rounds_half_away_from_zero(a, b, divisor):
    exact = half_away(Fraction(a * b, divisor))
    assume(abs(exact) < 2**63)
    assert multiply_divide(a, b, divisor) == exact


@given(STEPS, STEPS, st.integers(0, 8), st.integers(1, 10**9), st.integers(-(10**9), 10**9))
def test_cash_of_price_times_quantity_is_the_rounded_decimal(tick, lot, scale, ticks, lots):
    try:
        fact = instrument(tick=Decimal(tick), lot=Decimal(lot), cash_scale=scale)
    except ValueError:
        assume(False)
    record = instrument_records([fact])[0]
    price, qty = ticks * fact.tick, lots * fact.lot
    exact = (price * qty * 10**scale).to_integral_value(ROUND_HALF_UP)
    assume(abs(exact) < 2**62)
    price_units = int(price * 10**fact.price_scale)
    assume(price_units * int(record.cash_multiplier) < 2**63)
    assert notional_units(record, price_units, int(qty * 10**fact.qty_scale)) == exact


@given(st.integers(0, 2**53), st.decimals("-100", "100", places=2), st.sampled_from(list(Liquidity)))
def test_fees_and_rebates_are_the_rounded_decimal(notional, bps, liquidity):
    fact = instrument(maker_fee_bps=bps, taker_fee_bps=bps + 1)
    rate = bps if liquidity == Liquidity.MAKER else bps + 1
    exact = (notional * rate / 10_000).to_integral_value(ROUND_HALF_UP)
    record = instrument_records([fact])[0]
    assert fee_units(record, notional, int(liquidity)) == fee_units(record, -notional, int(liquidity)) == exact


@given(STEPS, st.integers(1, 10**9), st.sampled_from([-1, 0, 1]))
def test_a_price_on_the_grid_stays_whatever_the_rounding(tick, ticks, direction):
    fact = instrument(tick=Decimal(tick), lot=Decimal(1))
    record = instrument_records([fact])[0]
    assert price_to_units(record, float(ticks * fact.tick), direction) == ticks * record.tick_units


@given(STEPS, st.floats(1e-6, 1e6))
def test_a_price_between_ticks_goes_where_it_is_told(tick, price):
    record = instrument_records([instrument(tick=Decimal(tick), lot=Decimal(1))])[0]
    exact = Fraction(price) * Fraction(record.price_factor) / int(record.tick_units)
    down, nearest, up = (price_to_units(record, price, d) // record.tick_units for d in (-1, 0, 1))
    noise = Fraction(1, 10**9) * max(1, exact)
    assert down <= max(exact + noise, 1)
    assert up >= exact - noise
    assert 0 <= up - down <= 1
    assert nearest in (down, up)
    assert abs(nearest - exact) <= Fraction(1, 2) + noise or nearest == 1


@given(STEPS, st.integers(1, 10**11))
def test_a_quantity_on_the_grid_stays(lot, lots):
    fact = instrument(lot=Decimal(lot), tick=Decimal(1))
    record = instrument_records([fact])[0]
    assert qty_to_units(record, float(lots * fact.lot)) == lots * record.lot_units


@given(STEPS, st.floats(allow_nan=True, allow_infinity=True))
def test_a_quantity_is_only_rounded_down_to_whole_lots(lot, qty):
    record = instrument_records([instrument(lot=Decimal(lot), tick=Decimal(1))])[0]
    units = qty_to_units(record, qty)
    assert units >= 0
    assert units % record.lot_units == 0
    if not qty > 0:
        assert units == 0
    elif qty < 1e9:
        exact = Fraction(qty) * Fraction(record.qty_factor)
        assert units <= exact * (1 + Fraction(1, 10**12))
        assert exact - units < record.lot_units * (1 + Fraction(1, 10**6))


def test_an_instrument_too_fine_for_its_cash_is_refused():
    with pytest.raises(ValueError, match="too fine for cash"):
        instrument(tick=Decimal("1e-8"), lot=Decimal("1e-8"), cash_scale=2)
