import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from novapulse.core.bars import MINUTE_NS, BarColumns, BarError
from novapulse.market.ring import BarRing
from novapulse.market.sample import sample_market

Bar = tuple[int, float, float, float, float, float, int, bool]


def bar(number: int, close: float = 100.0) -> Bar:
    return (number * MINUTE_NS, close, close + 1, close - 1, close, 2.0, number, False)


def rows(bars: BarColumns) -> list[Bar]:
    columns = (bars.ts_close_ns, bars.open, bars.high, bars.low, bars.close, bars.volume, bars.number, bars.made)
    return list(zip(*(column.tolist() for column in columns), strict=True))


steps = st.one_of(
    st.tuples(st.just("append"), st.floats(2, 1e6)),
    st.tuples(st.just("replace"), st.floats(2, 1e6)),
    st.tuples(st.just("extend"), st.integers(0, 12)),
)


@given(capacity=st.integers(1, 7), plan=st.lists(steps, max_size=40))
def test_the_ring_holds_what_a_list_would(capacity: int, plan: list[tuple[str, float]]) -> None:
    """V-17: bounded, and equal to the plain list cut to its end."""
    ring, model, number = BarRing(capacity, MINUTE_NS), [], 0
    for step, value in plan:
        if step == "append":
            number += 1
            model.append(bar(number, value))
            ring.append(*model[-1])
        elif step == "extend":
            fresh = [bar(number + 1 + k) for k in range(int(value))]
            number += len(fresh)
            model += fresh
            columns = list(zip(*fresh, strict=True)) if fresh else [()] * 8
            ring.extend(BarColumns.checked(*columns[:6], number=columns[6], timeframe_ns=MINUTE_NS))
        elif model:
            stamp, *_, ordinal, made = model[-1]
            model[-1] = (stamp, value, value + 1, value - 1, value, 3.0, ordinal, made)
            ring.replace_last(*model[-1][1:6])
        assert len(ring) == min(len(model), capacity)
        assert rows(ring.columns()) == model[-capacity:]


def test_columns_are_contiguous_read_only_views_of_memory_that_never_grows() -> None:
    ring = BarRing(5, MINUTE_NS)
    ring.append(*bar(1))
    memory = ring.columns().close.base
    for number in range(2, 50):
        ring.append(*bar(number))
        close = ring.columns().close
        assert close.base is memory
        assert close.flags.c_contiguous
        assert not close.flags.writeable
    with pytest.raises(ValueError, match="read-only"):
        close[0] = 1.0


@pytest.mark.parametrize(
    "wrong",
    [
        bar(3),
        bar(2),
        (4 * MINUTE_NS, 100, 101, 99, math.nan, 1.0, 4, False),
        (4 * MINUTE_NS, 100, math.inf, 99, 100, 1.0, 4, False),
        (4 * MINUTE_NS, 100, 101, 100.5, 100, 1.0, 4, False),
        (4 * MINUTE_NS, 100, 101, -1, 100, 1.0, 4, False),
        (4 * MINUTE_NS, 100, 101, 99, 100, -1.0, 4, False),
        (4 * MINUTE_NS, 100, 101, 99, 100, math.nan, 4, False),
    ],
)
def test_impossible_bars_are_refused_and_leave_the_ring_alone(wrong: Bar) -> None:
    ring = BarRing(4, MINUTE_NS)
    for number in (1, 2, 3):
        ring.append(*bar(number))
    before = rows(ring.columns())
    with pytest.raises(BarError):
        ring.append(*wrong)
    assert rows(ring.columns()) == before


def test_history_of_another_width_and_an_empty_replacement_are_refused() -> None:
    ring = BarRing(4, 5 * MINUTE_NS)
    with pytest.raises(BarError, match="in a ring of"):
        ring.extend(sample_market(["A"], 3, 1)["A"])
    with pytest.raises(BarError, match="empty"):
        ring.replace_last(1, 1, 1, 1, 1)
    with pytest.raises(ValueError, match="above 0"):
        BarRing(0, MINUTE_NS)
