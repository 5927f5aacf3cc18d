"""The median of the last numbers is that of the last numbers."""

from statistics import median_high

import pytest
from hypothesis import given
from hypothesis import strategies as st

from novapulse.engine.medians import LastMedian


@given(st.lists(st.floats(0.0, 9.0) | st.sampled_from([0.0, -0.0, 1.0]), min_size=1), st.integers(1, 9))
def test_it_is_the_upper_median_of_the_last(numbers: list[float], kept: int) -> None:
    last = LastMedian(kept)
    for count, number in enumerate(numbers, 1):
        last.add(number)
        assert last.value == median_high(numbers[:count][-kept:])
        assert len(last) == min(count, kept)


def test_of_nothing_there_is_none() -> None:
    with pytest.raises(IndexError):
        _ = LastMedian(3).value
