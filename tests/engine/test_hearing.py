"""What counts as heard: by the clock, and only what was taken."""

import numpy as np
import pytest

from novapulse.core.instruments import InstrumentKey
from novapulse.core.records import BAR
from novapulse.engine.gather import Arrival, Problem, Rejection
from novapulse.engine.hearing import Hearing

BEAT = 60
WEEKEND = 3000 * BEAT


def bad(problem: Problem) -> Rejection:
    bar = np.zeros(1, BAR)[0]
    return Rejection(Arrival(0, InstrumentKey("kraken", "BTC/USD"), bar, 0), problem, "")


def heard(now: int) -> Hearing:
    hearing = Hearing(BEAT)
    hearing.took(now)
    return hearing


def test_silence_counts_from_the_last_bar_that_was_taken() -> None:
    hearing = heard(600)
    for now in (660, 720, 780):
        hearing.turned_down(now, now, [bad(Problem.IMPOSSIBLE)])
        assert hearing.silence(now, now + BEAT) == (now - 600) / BEAT
    hearing.took(800)
    assert hearing.silence(830, 860) == 0.5


def test_bars_ahead_of_our_clock_are_silence_from_when_it_was_set_back() -> None:
    hearing = heard(6000)
    hearing.turned_down(5460, 6060, [bad(Problem.FUTURE)])
    assert hearing.silence(5580, 6180) == 2.0
    assert heard(6000).silence(5460, 5400) == 0.0
    assert heard(6000).silence(5460 + BEAT, None) == 0.0


def test_a_clock_that_was_set_back_hides_no_silence() -> None:
    hearing = heard(6000)
    assert hearing.silence(5000, 4900) == 0.0
    assert hearing.silence(5120, 4900) == 2.0


@pytest.mark.parametrize("due", [600, 600 + WEEKEND])
def test_a_market_that_closed_behind_a_bar_that_was_turned_down_is_not_silent(due: int) -> None:
    hearing = heard(590)
    hearing.turned_down(600, due, [bad(Problem.DUPLICATE)])
    assert hearing.silence(600 + WEEKEND // 2, 600 + WEEKEND) == 0.0
    assert hearing.silence(600 + WEEKEND, 600 + WEEKEND) == 1.0


def test_nothing_is_silent_before_it_began() -> None:
    hearing = Hearing(BEAT)
    hearing.begin(1000)
    hearing.begin(2000)
    assert hearing.silence(1120, 1000) == 2.0
