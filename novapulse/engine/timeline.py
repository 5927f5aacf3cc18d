"""Where the runner's time comes from: the machine's clock, a faster one, or a virtual one that waits for nobody.

Invariants:
- moments are whole ns UTC; what is due at the same moment happens in the order in which it was asked for;
- virtual time goes on only when nothing is left to do, and then exactly to the next moment that was asked for;
- `real` waits by the machine's clock on every timeline: a virtual one sleeps only when nothing else is left; `retry`
  does so where the machine's clock runs at all.
"""

import asyncio
import heapq
import itertools
import time
from asyncio.base_events import BaseEventLoop
from collections import deque
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from contextvars import Context
from typing import Any, Protocol, TypeVar, TypeVarTuple, Unpack

from novapulse.ops.clock import ScaledClock

Call = Callable[[], object]
T = TypeVar("T")
Ts = TypeVarTuple("Ts")

SECOND_NS = 1_000_000_000


class Appointment(Protocol):
    """Something that is to happen, and can be called off."""

    def cancel(self) -> None:
        """Call it off; one that has happened stays."""
        ...


class Timeline(Protocol):
    """Time as the runner knows it."""

    def now_ns(self) -> int:
        """Return ns UTC."""
        ...

    def at(self, ts_ns: int, call: Call) -> Appointment:
        """Let something happen at a moment, or as soon as possible when that is over."""
        ...

    async def until(self, ts_ns: int) -> None:
        """Wait for a moment; return at once when it is over."""
        ...

    async def real(self, seconds: float) -> None:
        """Wait by the machine's clock."""
        ...

    async def retry(self, seconds: float) -> None:
        """Wait before what failed is tried again: a market that is played fast makes no disk recover faster."""
        ...

    def begin(self) -> None:
        """Let the market's time run at its own speed from now on; before, it goes as the machine's does."""
        ...


class DeadlockError(RuntimeError):
    """Nothing is left to do, nothing is due, and somebody waits."""


class VirtualLoop(BaseEventLoop):
    """An event loop whose time is a number: it jumps to the next moment that was asked for.

    There is no network, no thread and no signal in it: `run_in_executor` runs at once, in the loop's own thread.
    """

    _ready: deque[asyncio.Handle]

    def __init__(self, start_ns: int) -> None:
        """Begin at a moment, ns UTC."""
        super().__init__()
        self.now_ns = start_ns
        self._start_ns = start_ns
        self._numbers = itertools.count()
        self._due: list[tuple[int, int, asyncio.Handle]] = []
        self._really_due: list[tuple[float, int, asyncio.Handle]] = []
        self._turns = 0

    def time(self) -> float:
        """Return seconds since the loop's first moment."""
        return (self.now_ns - self._start_ns) / SECOND_NS

    def at_ns(self, ts_ns: int, call: Call) -> asyncio.Handle:
        """Let something happen at a moment of virtual time."""
        handle = asyncio.Handle(call, (), self)
        heapq.heappush(self._due, (max(ts_ns, self.now_ns), next(self._numbers), handle))
        return handle

    def really_later(self, seconds: float, call: Call) -> asyncio.Handle:
        """Let something happen after a while of the machine's time."""
        handle = asyncio.Handle(call, (), self)
        heapq.heappush(self._really_due, (time.monotonic() + seconds, next(self._numbers), handle))
        return handle

    def call_at(
        self, when: float, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Let something happen when `time` has come; asyncio's own waits come here."""
        handle = asyncio.TimerHandle(when, callback, list(args), self, context)
        moment = self._start_ns + round(when * SECOND_NS)
        heapq.heappush(self._due, (max(moment, self.now_ns), next(self._numbers), handle))
        return handle

    def call_later(
        self, delay: float, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Let something happen after some virtual seconds."""
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[Unpack[Ts]], T], *args: *Ts
    ) -> asyncio.Future[T]:
        """Run a function now, and return its outcome as a future that is done."""
        future: asyncio.Future[T] = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as wrong:
            future.set_exception(wrong)
        return future

    def _run_once(self) -> None:
        ready = self._ready
        self._turns += 1
        if self._really_due and (not ready or self._turns % 64 == 0):
            self._take_really_due(ready)
        if not ready:
            self._go_on(ready)
        for _ in range(len(ready)):
            handle = ready.popleft()
            if not handle._cancelled:
                handle._run()

    def _go_on(self, ready: deque[asyncio.Handle]) -> None:
        due = self._due
        while due and due[0][2]._cancelled:
            heapq.heappop(due)
        if not due:
            self._wait_really(ready)
            return
        self.now_ns = due[0][0]
        while due and due[0][0] <= self.now_ns:
            ready.append(heapq.heappop(due)[2])

    def _take_really_due(self, ready: deque[asyncio.Handle]) -> None:
        waiting, now = self._really_due, time.monotonic()
        while waiting and (waiting[0][0] <= now or waiting[0][2]._cancelled):
            ready.append(heapq.heappop(waiting)[2])

    def _wait_really(self, ready: deque[asyncio.Handle]) -> None:
        if not self._really_due:
            raise DeadlockError(f"nothing is left to do at {self.now_ns} ns, and something waits for ever")
        left_s = self._really_due[0][0] - time.monotonic()
        if left_s > 0:
            # In short naps, so that a signal is heard.
            time.sleep(min(left_s, 0.05))
        self._take_really_due(ready)

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        # What was called off is dropped when its moment comes.
        return

    def _process_events(self, event_list: Any) -> None:
        return

    def _write_to_self(self) -> None:
        return


class VirtualTimeline:
    """The time of a `VirtualLoop`."""

    def __init__(self, loop: VirtualLoop) -> None:
        """Take the loop whose time it is."""
        self._loop = loop

    def now_ns(self) -> int:
        """Return ns UTC."""
        return self._loop.now_ns

    def at(self, ts_ns: int, call: Call) -> Appointment:
        """Let something happen at a moment."""
        return self._loop.at_ns(ts_ns, call)

    async def until(self, ts_ns: int) -> None:
        """Wait for a moment."""
        if ts_ns > self._loop.now_ns:
            await _woken(self._loop, lambda wake: self._loop.at_ns(ts_ns, wake))

    async def real(self, seconds: float) -> None:
        """Wait by the machine's clock, while virtual time runs."""
        await _woken(self._loop, lambda wake: self._loop.really_later(seconds, wake))

    async def retry(self, seconds: float) -> None:
        """Wait by virtual time, which nothing outlasts: the same run waits the same."""
        await self.until(self._loop.now_ns + round(seconds * SECOND_NS))

    def begin(self) -> None:
        """Do nothing: virtual time has no speed."""
        return


class _Booking:
    """An appointment on a loop that really waits; it is made anew when time changes its speed."""

    def __init__(self, ts_ns: int, call: Call, bookings: set["_Booking"]) -> None:
        self.ts_ns = ts_ns
        self.call = call
        self.handle: asyncio.TimerHandle | None = None
        self._bookings = bookings
        bookings.add(self)

    def fire(self) -> None:
        self._bookings.discard(self)
        self.call()

    def cancel(self) -> None:
        self._bookings.discard(self)
        if self.handle is not None:
            self.handle.cancel()


class RealTimeline:
    """Time on an event loop that really waits: from a moment on at the machine's pace, and faster once it has begun."""

    def __init__(self, start_ns: int, speed: float, loop: asyncio.AbstractEventLoop) -> None:
        """Begin at a moment.

        Args:
            start_ns: What the clock shows first, ns UTC.
            speed: Its seconds per second from `begin` on, > 0.
            loop: What waits.

        Raises:
            ValueError: The speed is not above 0.
        """
        self._clock = ScaledClock(start_ns, min(speed, 1.0))
        self._speed = speed
        self._loop = loop
        self._bookings: set[_Booking] = set()

    def now_ns(self) -> int:
        """Return ns UTC."""
        return self._clock.now_ns()

    def at(self, ts_ns: int, call: Call) -> Appointment:
        """Let something happen at a moment."""
        booking = _Booking(ts_ns, call, self._bookings)
        booking.handle = self._loop.call_later(self._clock.real_s(ts_ns), booking.fire)
        return booking

    async def until(self, ts_ns: int) -> None:
        """Wait for a moment; return at once when it is over."""
        while self._clock.real_s(ts_ns) > 0:
            # Whatever wakes a moment too early waits again.
            await _woken(self._loop, lambda wake: self.at(ts_ns, wake))

    async def real(self, seconds: float) -> None:
        """Wait by the machine's clock."""
        await asyncio.sleep(seconds)

    async def retry(self, seconds: float) -> None:
        """Wait by the machine's clock, however fast the market is played."""
        await asyncio.sleep(seconds)

    def begin(self) -> None:
        """Let the market's time run at its own speed from now on."""
        self._clock = ScaledClock(self._clock.now_ns(), self._speed)
        for booking in self._bookings:
            if booking.handle is not None:
                booking.handle.cancel()
            booking.handle = self._loop.call_later(self._clock.real_s(booking.ts_ns), booking.fire)


async def _woken(loop: asyncio.AbstractEventLoop, ask: Callable[[Call], Appointment]) -> None:
    future = loop.create_future()

    def wake() -> None:
        if not future.done():
            future.set_result(None)

    handle = ask(wake)
    try:
        await future
    finally:
        handle.cancel()


def run(loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, T]) -> T:
    """Run something to its end on a loop, then end whatever is left on it, and close the loop."""
    asyncio.set_event_loop(loop)
    try:
        return loop.run_until_complete(work)
    finally:
        try:
            left = asyncio.all_tasks(loop)
            for task in left:
                task.cancel()
            loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        finally:
            asyncio.set_event_loop(None)
            loop.close()
