from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from novapulse.core.bars import MINUTE_NS
from novapulse.core.instruments import InstrumentKey
from novapulse.core.records import BAR
from novapulse.engine.gather import Arrival, Close, Gather, Problem, Rejection

BTC, ETH, SOL = (InstrumentKey("kraken", symbol) for symbol in ("BTC/USD", "ETH/USD", "SOL/USD"))
SECOND_NS = 1_000_000_000
ORIGIN_NS = 1_700_000_040_000_000_000 // MINUTE_NS * MINUTE_NS


def at(minute: int, seconds: float = 0.0) -> int:
    return ORIGIN_NS + minute * MINUTE_NS + round(seconds * SECOND_NS)


def arrival(key: InstrumentKey, minute: int, seconds: float = 0.1, close: float = 100.0, **prices: float) -> Arrival:
    bar = np.zeros(1, BAR)[0]
    values = {"open": 100.0, "high": max(close, 101.0), "low": 99.0, "close": close, "volume": 1.0, **prices}
    for name, value in values.items():
        bar[name] = value
    bar["ts_close_ns"] = at(minute)
    return Arrival(at(minute, seconds), key, bar, at(minute) // MINUTE_NS)


def gather(*keys: InstrumentKey, decided: int = 0) -> Gather:
    return Gather(keys or (BTC, ETH), 2 * SECOND_NS, decided)


def told(closes: Iterable[Close]) -> list[tuple[int, list[str]]]:
    return [
        ((close.ts_close_ns - ORIGIN_NS) // MINUTE_NS, sorted(key.symbol for key in close.bars)) for close in closes
    ]


def test_a_close_leaves_as_soon_as_its_last_bar_is_there() -> None:
    waiting = gather()
    assert waiting.take(arrival(BTC, 1)) is None
    assert waiting.leave(at(1, 0.1)) == []
    assert waiting.take(arrival(ETH, 1)) is None
    assert told(waiting.leave(at(1, 0.1))) == [(1, ["BTC/USD", "ETH/USD"])]
    assert waiting.leave(at(9)) == []


def test_a_close_goes_without_the_bar_that_did_not_come_in_time() -> None:
    waiting = gather()
    waiting.take(arrival(BTC, 1, seconds=0.5))
    assert waiting.deadline_ns == at(1, 2.5)
    assert waiting.leave(at(1, 2.4)) == []
    assert told(waiting.leave(at(1, 2.5))) == [(1, ["BTC/USD"])]
    assert waiting.deadline_ns is None


def test_a_close_that_has_been_overtaken_goes_first_as_it_is() -> None:
    waiting = gather()
    waiting.take(arrival(BTC, 1))
    waiting.take(arrival(BTC, 2))
    waiting.take(arrival(ETH, 2))
    assert told(waiting.leave(at(1, 0.2))) == [(1, ["BTC/USD"]), (2, ["BTC/USD", "ETH/USD"])]


def test_a_recording_says_who_closes() -> None:
    waiting = gather(BTC, ETH, SOL)
    waiting.take(arrival(BTC, 1, seconds=0))
    waiting.take(arrival(SOL, 1, seconds=0))
    assert told(waiting.leave(at(1), frozenset({BTC, SOL}))) == [(1, ["BTC/USD", "SOL/USD"])]


def problem_of(rejection: Rejection | None) -> Problem:
    assert rejection is not None
    assert "BTC/USD" in rejection.text or rejection.problem is Problem.UNKNOWN
    return rejection.problem


WRONG = {
    "after its close was decided": ([arrival(BTC, 1), arrival(ETH, 1)], arrival(BTC, 0, seconds=61), Problem.LATE),
    "twice": ([arrival(BTC, 1)], arrival(BTC, 1), Problem.DUPLICATE),
    "twice, after it was decided": ([arrival(BTC, 1), arrival(ETH, 1)], arrival(BTC, 1, seconds=5), Problem.DUPLICATE),
    "twice, and not the same": ([arrival(BTC, 1)], arrival(BTC, 1, close=100.5), Problem.CONFLICTING),
    "behind a newer one": ([arrival(BTC, 2)], arrival(BTC, 1, seconds=61), Problem.OUT_OF_ORDER),
    "with its high below its low": ([], arrival(BTC, 1, high=98.0), Problem.IMPOSSIBLE),
    "with its close above its high": ([], arrival(BTC, 1, high=101.0, close=102.0), Problem.IMPOSSIBLE),
    "without a price": ([], arrival(BTC, 1, open=float("nan")), Problem.IMPOSSIBLE),
    "at no price": ([], arrival(BTC, 1, low=0.0), Problem.IMPOSSIBLE),
    "with a negative volume": ([], arrival(BTC, 1, volume=-1.0), Problem.IMPOSSIBLE),
    "before it can have closed": ([], arrival(BTC, 2, seconds=-40), Problem.FUTURE),
    "of what nobody trades": ([], arrival(SOL, 1), Problem.UNKNOWN),
}


@pytest.mark.parametrize(("before", "wrong", "problem"), WRONG.values(), ids=WRONG)
def test_a_bar_that_decides_nothing_says_why(before: list[Arrival], wrong: Arrival, problem: Problem) -> None:
    waiting = gather()
    for one in before:
        assert waiting.take(one) is None
        waiting.leave(one.ts_ns)
    assert problem_of(waiting.take(wrong)) is problem


def test_what_was_decided_before_a_restart_is_late() -> None:
    waiting = gather(decided=at(5))
    assert problem_of(waiting.take(arrival(BTC, 5))) is Problem.LATE
    assert waiting.take(arrival(BTC, 6)) is None


steps = st.lists(
    st.tuples(
        st.sampled_from((BTC, ETH, SOL)),
        st.integers(0, 6),
        st.floats(0, 200),
        st.sampled_from((100.0, 100.5)),
        st.booleans(),
    ),
    max_size=40,
)


@given(steps)
def test_closes_leave_once_in_order_and_nothing_is_lost(
    arriving: list[tuple[InstrumentKey, int, float, float, bool]],
) -> None:
    waiting = gather()
    taken: list[Arrival] = []
    left: list[Close] = []
    now_ns = ORIGIN_NS
    for key, minute, seconds, close, crossed in arriving:
        now_ns = max(now_ns, at(minute, seconds))
        bar = arrival(key, minute, close=close, high=98.0) if crossed else arrival(key, minute, close=close)
        came = Arrival(now_ns, key, bar.bar, bar.number)
        if waiting.take(came) is None:
            taken.append(came)
        left += waiting.leave(now_ns)
    left += waiting.leave(now_ns + 3 * SECOND_NS)
    stamps = [close.ts_close_ns for close in left]
    assert stamps == sorted(set(stamps))
    told_bars = [one for close in left for one in close.bars.values()]
    assert sorted(map(id, told_bars)) == sorted(map(id, taken))
    assert all(int(one.bar["ts_close_ns"]) == close.ts_close_ns for close in left for one in close.bars.values())
    assert all(one.bar["low"] <= one.bar["high"] for one in taken)
