from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from novapulse.core.instruments import Instrument, Kind
from novapulse.market.facts import decimal_digits, from_json, inferred, to_json


@given(digits=st.integers(0, 8), units=st.lists(st.integers(1, 10**9), min_size=1, max_size=50))
def test_the_smallest_grid_that_holds_all_values(digits: int, units: list[int]) -> None:
    exact = [Decimal(unit).scaleb(-digits).normalize() for unit in units]
    wanted = max(0, *(-int(value.as_tuple().exponent) for value in exact))
    assert decimal_digits(np.array([float(value) for value in exact])) == wanted


def test_sums_of_floats_keep_their_grid() -> None:
    assert decimal_digits(np.array([0.1 + 0.2, 1.1 * 3])) == 1
    assert decimal_digits(np.array([1 / 3])) == 8


def test_facts_survive_json_and_unknown_ones_are_refused() -> None:
    given_facts = Instrument("kraken", "BTC/USD", "BTC", "USD", Kind.SPOT, Decimal("0.1"), qty_min=Decimal("0.0001"))
    assert from_json(to_json(given_facts)) == given_facts
    for wrong in ({"colour": "red"}, {"tick": "much"}, {"kind": "future"}, {"tick": "-1"}):
        with pytest.raises(ValueError, match=r".+"):
            from_json(to_json(given_facts) | wrong)


def test_bars_on_no_grid_get_the_finest_steps() -> None:
    prices = [np.array([1 / 3])] * 4
    found = inferred("demo", "A/USD", "24/7", prices, np.array([1 / 7]))
    assert (found.tick, found.lot) == (Decimal("1E-8"), Decimal("1E-8"))
