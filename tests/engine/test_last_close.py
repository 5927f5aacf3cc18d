import numpy as np
import pytest

from novapulse.core.bars import MINUTE_NS
from novapulse.core.messages import BarLate, BarsClosed
from novapulse.core.records import BAR, SIGNAL
from novapulse.engine.last_close import LastClose
from tests.engine.harness import facts_of

KEYS = tuple(fact.key for fact in facts_of()[:2])
FIRST, SECOND, THIRD = MINUTE_NS, 2 * MINUTE_NS, 3 * MINUTE_NS
NOW = THIRD + 1


def closed(ts_close_ns: int, *, present: tuple[int, ...] = (1, 1)) -> BarsClosed:
    shape = len(present)
    return BarsClosed(ts_close_ns, ts_close_ns, np.zeros(shape, BAR), np.zeros(shape, SIGNAL), present, "c0")


@pytest.fixture
def last() -> LastClose:
    last = LastClose()
    for ts_close_ns in (FIRST, SECOND):
        last.came(closed(ts_close_ns))
    return last


def told(last: LastClose, missed: BarsClosed, decided_ns: int, *, ready: bool = True) -> list[object]:
    return [
        (event.ts_close_ns, event.instrument) if isinstance(event, BarLate) else event.ts_close_ns
        for event in last.told(missed, decided_ns, ready, KEYS, NOW)
    ]


def test_what_was_decided_was_not_missed_and_before_the_first_close_nothing_was(last: LastClose) -> None:
    assert last.missed(SECOND) is None
    assert LastClose().missed(0) is None


def test_the_last_close_is_told_again_to_a_trader_that_has_been_compared(last: LastClose) -> None:
    missed = last.missed(FIRST)
    assert missed is last.close
    assert told(last, missed, FIRST, ready=False) == []
    (again,) = last.told(missed, FIRST, True, KEYS, NOW)
    assert isinstance(again, BarsClosed)
    assert (again.ts_ns, again.ts_close_ns) == (NOW, SECOND)


@pytest.mark.parametrize("how", ["more was missed", "another one came", "the trader broke behind it"])
def test_what_is_over_is_told_as_late_whoever_is_ready(last: LastClose, how: str) -> None:
    decided_ns = 0 if how == "more was missed" else FIRST
    missed = last.missed(decided_ns)
    assert missed is not None
    if how == "another one came":
        last.came(closed(THIRD))
    last.broke_behind = how == "the trader broke behind it"
    for ready in (False, True):
        assert told(last, missed, decided_ns, ready=ready) == [(SECOND, KEYS[0]), (SECOND, KEYS[1])]


def test_only_the_instruments_that_closed_are_late() -> None:
    last = LastClose()
    last.came(closed(FIRST, present=(0, 1)))
    last.broke_behind = True
    missed = last.missed(0)
    assert missed is not None
    assert told(last, missed, 0) == [(FIRST, KEYS[1])]


def test_a_close_that_comes_twice_is_one_and_a_new_one_is_told_again_whatever_broke_before(last: LastClose) -> None:
    last.came(closed(SECOND))
    assert (last.before_ns, last.missed(FIRST)) == (FIRST, last.close)
    last.broke_behind = True
    last.came(closed(THIRD))
    missed = last.missed(SECOND)
    assert missed is not None
    assert told(last, missed, SECOND) == [THIRD]
