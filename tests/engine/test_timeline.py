import asyncio
import time

import pytest

from novapulse.engine.timeline import DeadlockError, RealTimeline, VirtualLoop, VirtualTimeline, run

START_NS = 1_700_000_000_000_000_007
SECOND_NS = 1_000_000_000


def test_virtual_time_jumps_to_the_nanosecond() -> None:
    loop = VirtualLoop(START_NS)
    timeline = VirtualTimeline(loop)

    async def work() -> list[int]:
        seen = [timeline.now_ns()]
        await timeline.until(START_NS + 3 * 365 * 86_400 * SECOND_NS + 1)
        seen.append(timeline.now_ns())
        await timeline.until(START_NS)
        return [*seen, timeline.now_ns()]

    began_s = time.monotonic()
    later_ns = START_NS + 3 * 365 * 86_400 * SECOND_NS + 1
    assert run(loop, work()) == [START_NS, later_ns, later_ns]
    assert time.monotonic() - began_s < 5


def test_what_is_due_together_happens_in_the_order_it_was_asked_for() -> None:
    loop = VirtualLoop(START_NS)
    seen: list[str] = []

    async def work() -> None:
        for name in "abcdefghij":
            loop.at_ns(START_NS + 5, lambda name=name: seen.append(name))
        loop.at_ns(START_NS + 4, lambda: loop.at_ns(START_NS + 5, lambda: seen.append("late")))
        await asyncio.sleep(1)

    run(loop, work())
    assert seen == [*"abcdefghij", "late"]


def test_what_was_called_off_does_not_happen_and_moves_no_time() -> None:
    loop = VirtualLoop(START_NS)

    async def work() -> int:
        loop.at_ns(START_NS + 10**15, lambda: 1 / 0).cancel()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(2):
                await asyncio.sleep(100)
        await VirtualTimeline(loop).real(0.01)
        return loop.now_ns

    assert run(loop, work()) == START_NS + 2 * SECOND_NS


def test_an_executor_runs_at_once_and_its_error_comes_back() -> None:
    async def work() -> tuple[int, int]:
        loop = asyncio.get_running_loop()
        before = loop.time()
        value = await loop.run_in_executor(None, int, "12")
        with pytest.raises(ValueError, match="invalid literal"):
            await loop.run_in_executor(None, int, "x")
        return value, round((loop.time() - before) * SECOND_NS)

    assert run(VirtualLoop(START_NS), work()) == (12, 0)


def test_a_wait_without_an_end_is_told_as_a_deadlock() -> None:
    async def work() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(DeadlockError, match="something waits for ever"):
        run(VirtualLoop(START_NS), work())


def test_a_faster_timeline_waits_a_fraction_of_its_time_once_it_has_begun() -> None:
    async def work() -> tuple[float, bool]:
        loop = asyncio.get_running_loop()
        timeline = RealTimeline(START_NS, 600.0, loop)
        until_ns = timeline.now_ns() + 60 * SECOND_NS
        heard: list[int] = []
        timeline.at(until_ns - 30 * SECOND_NS, lambda: heard.append(timeline.now_ns()))
        timeline.at(until_ns - 20 * SECOND_NS, lambda: 1 / 0).cancel()
        await asyncio.sleep(0.01)
        assert timeline.now_ns() < START_NS + 10 * SECOND_NS
        timeline.begin()
        began_s = time.monotonic()
        await timeline.until(until_ns)
        return time.monotonic() - began_s, timeline.now_ns() >= until_ns and bool(heard)

    waited_s, is_later = run(asyncio.new_event_loop(), work())
    assert is_later
    assert 0.08 <= waited_s < 5


def test_what_failed_is_tried_again_by_the_machines_clock_however_fast_the_market_is_played() -> None:
    async def waited() -> float:
        timeline = RealTimeline(START_NS, 100_000.0, asyncio.get_running_loop())
        timeline.begin()
        began_s = time.monotonic()
        await timeline.retry(0.2)
        return time.monotonic() - began_s

    assert asyncio.run(waited()) >= 0.19
    loop = VirtualLoop(START_NS)

    async def virtual() -> int:
        await VirtualTimeline(loop).retry(60.0)
        return loop.now_ns

    assert run(loop, virtual()) == START_NS + 60 * SECOND_NS
