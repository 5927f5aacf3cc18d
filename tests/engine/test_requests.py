import asyncio
import time

import pytest

from novapulse.core.instruments import InstrumentKey
from novapulse.core.messages import Cancel, CancelEnded, Outcome
from novapulse.core.ports import Ambiguous, Rejected, Unavailable
from novapulse.engine.requests import ask, heard
from novapulse.engine.timeline import RealTimeline, VirtualLoop, VirtualTimeline, run
from tests.engine.harness import ORIGIN_NS, SECOND_NS

REQUEST = Cancel("c1", "v1", InstrumentKey("kraken", "BTC/USD"), 1)


class Slow:
    """A venue whose answer to a cancel comes after a while of the loop's own time, or is an error."""

    def __init__(self, seconds: float, wrong: Exception | None = None) -> None:
        self.seconds = seconds
        self.wrong = wrong

    async def cancel(self, effect: Cancel) -> None:
        await asyncio.sleep(self.seconds)
        if self.wrong is not None:
            raise self.wrong


def outcome(event: object) -> tuple[Outcome, str]:
    assert isinstance(event, CancelEnded)
    return event.outcome, event.text


def test_a_paced_session_waits_by_the_time_that_the_trader_counts_in() -> None:
    loop = asyncio.new_event_loop()
    timeline = RealTimeline(ORIGIN_NS, 1000.0, loop)
    timeline.begin()

    async def work(seconds: float, deadline_s: float) -> tuple[Outcome, str]:
        return outcome(await ask(Slow(seconds), REQUEST, deadline_s, timeline))

    async def both() -> tuple[tuple[Outcome, str], tuple[Outcome, str]]:
        return await work(60.0, 300.0), await work(0.01, 60_000.0)

    began_s = time.monotonic()
    late, in_time = run(loop, both())
    assert late == (Outcome.AMBIGUOUS, "no answer within 300 s")
    assert in_time == (Outcome.ACCEPTED, "")
    assert time.monotonic() - began_s < 30


@pytest.mark.parametrize("deadline_s", [0.0, 5.0])
def test_virtual_time_goes_to_the_deadline_and_not_beyond(deadline_s: float) -> None:
    loop = VirtualLoop(ORIGIN_NS)

    async def work() -> tuple[Outcome, str]:
        return outcome(await ask(Slow(60.0), REQUEST, deadline_s, VirtualTimeline(loop)))

    assert run(loop, work()) == (Outcome.AMBIGUOUS, f"no answer within {deadline_s:g} s")
    assert loop.now_ns == ORIGIN_NS + round(deadline_s * SECOND_NS)


@pytest.mark.parametrize(
    ("wrong", "wanted"),
    [
        (Rejected("EOrder:Unknown"), Outcome.REJECTED),
        (Unavailable("nothing left"), Outcome.REJECTED),
        (Ambiguous("reset by peer"), Outcome.AMBIGUOUS),
        (TimeoutError("the socket"), Outcome.AMBIGUOUS),
        (KeyError("status"), Outcome.AMBIGUOUS),
    ],
    ids=lambda one: type(one).__name__ if isinstance(one, Exception) else "",
)
def test_only_a_refusal_is_told_as_one(wrong: Exception, wanted: Outcome) -> None:
    loop = VirtualLoop(ORIGIN_NS)

    async def work() -> tuple[Outcome, str]:
        return outcome(await ask(Slow(1.0, wrong), REQUEST, 10.0, VirtualTimeline(loop)))

    assert run(loop, work())[0] is wanted


@pytest.mark.parametrize("silence_s", [None, 5.0])
def test_a_stream_that_misses_its_heartbeats_has_broken_whatever_its_socket_says(silence_s: float | None) -> None:
    loop = VirtualLoop(ORIGIN_NS)

    class Silent:
        stream_silence_s = silence_s

        async def events(self) -> list[object]:
            await asyncio.sleep(60.0)
            return ["late"]

    async def work() -> object:
        return await heard(Silent(), VirtualTimeline(loop))

    if silence_s is None:
        assert run(loop, work()) == ["late"]
        return
    with pytest.raises(Unavailable, match="the stream has said nothing for 5 s"):
        run(loop, work())
    assert loop.now_ns == ORIGIN_NS + 5 * SECOND_NS
