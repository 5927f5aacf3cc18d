"""Clocks: scaled time, and the wall clock being set under a running process."""

import math

import pytest

from novapulse.ops.clock import JUMP_NS, ScaledClock, SystemClock, WallWatch

SECOND = 1_000_000_000


class Hands:
    """A wall clock and a monotonic one that a test moves."""

    def __init__(self) -> None:
        self.wall, self.monotonic = 1_700_000_000 * SECOND, 55 * SECOND

    def pass_time(self, ns: int) -> None:
        self.wall += ns
        self.monotonic += ns


def test_scaled_time_runs_at_its_speed_from_its_start() -> None:
    hands = Hands()
    clock = ScaledClock(10 * SECOND, 600.0, lambda: hands.monotonic)
    assert clock.now_ns() == 10 * SECOND
    hands.pass_time(SECOND // 10)
    assert clock.now_ns() == 70 * SECOND
    assert clock.real_s(130 * SECOND) == pytest.approx(0.1)
    assert clock.real_s(0) == 0


def test_setting_the_wall_clock_does_not_move_scaled_time() -> None:
    hands = Hands()
    clock = ScaledClock(0, 2.0, lambda: hands.monotonic)
    hands.wall -= 3600 * SECOND
    assert clock.now_ns() == 0


@pytest.mark.parametrize("speed", [0.0, -1.0, math.inf, math.nan])
def test_a_clock_that_stands_or_runs_backwards_is_refused(speed: float) -> None:
    with pytest.raises(ValueError, match="above 0"):
        ScaledClock(0, speed)


@pytest.mark.parametrize("step", [JUMP_NS + 1, -JUMP_NS - 1, 300 * SECOND, -300 * SECOND])
def test_a_step_of_the_wall_clock_is_a_jump_and_is_told_once(step: int) -> None:
    hands = Hands()
    watch = WallWatch(lambda: hands.wall, lambda: hands.monotonic)
    hands.pass_time(5 * SECOND)
    assert watch.jump_ns() is None
    hands.wall += step
    hands.pass_time(SECOND)
    assert watch.jump_ns() == step
    hands.pass_time(SECOND)
    assert watch.jump_ns() is None


def test_two_seconds_exactly_and_slow_drift_are_no_jump() -> None:
    hands = Hands()
    watch = WallWatch(lambda: hands.wall, lambda: hands.monotonic)
    hands.wall += JUMP_NS
    assert watch.jump_ns() is None
    for _ in range(100):
        hands.wall += SECOND
        assert watch.jump_ns() is None


def test_the_machines_clock_says_ns_of_utc() -> None:
    clock = SystemClock()
    assert clock.now_ns() > 1_700_000_000 * SECOND
    first = clock.monotonic_ns()
    assert clock.monotonic_ns() >= first
    assert WallWatch().jump_ns() is None
