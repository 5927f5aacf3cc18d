"""Asks a venue, and tells what came of it as an event; hears its stream.

Invariants:
- a request that got no answer in time, or an answer that nobody expected, is told as ambiguous, never as refused;
- a read that failed is no data;
- nothing is raised: whatever happens is an event;
- a deadline is one of the timeline on which the trader waits for the answer, however fast that goes.
"""

import asyncio
from collections.abc import Awaitable, Sequence
from functools import partial
from typing import TypeVar

import structlog

from novapulse.core.messages import (
    Amend,
    AmendEnded,
    Cancel,
    CancelEnded,
    Effect,
    Event,
    Found,
    Lookup,
    LookupEnded,
    Outcome,
    ReadSnapshot,
    SnapshotFailed,
    SnapshotRead,
    Submit,
    SubmitEnded,
)
from novapulse.core.orders import OrderStatus
from novapulse.core.ports import Ambiguous, Rejected, Unavailable, Venue
from novapulse.engine.timeline import SECOND_NS, Timeline

_log = structlog.get_logger("novapulse.requests")

T = TypeVar("T")

Request = Submit | Cancel | Amend | Lookup | ReadSnapshot

UNANSWERED = frozenset(
    {
        OrderStatus.INTENT,
        OrderStatus.SENDING,
        OrderStatus.UNKNOWN,
        OrderStatus.CANCEL_PENDING,
        OrderStatus.REPLACE_PENDING,
        OrderStatus.SETTLING,
    }
)
"""An order of which something was asked whose outcome is open."""


def arrived(event: Event, now_ns: int) -> Event:
    """Return an event with the moment at which it arrived."""
    values = [getattr(event, name) for name in event.__slots__[1:]]
    made: Event = type(event)(now_ns, *values)
    return made


async def ask(venue: Venue, request: Request, deadline_s: float, timeline: Timeline) -> Event:
    """Send a request and return the event that tells its outcome; its `ts_ns` is 0, to be filled in at its arrival.

    Args:
        venue: Whom to ask.
        request: What for.
        deadline_s: After which the outcome is not known, seconds of the timeline.
        timeline: Time.
    """
    try:
        return await _in_time(_asked(venue, request), deadline_s, timeline)
    except TimeoutError:
        return _unclear(request, f"no answer within {deadline_s:g} s")
    except (Rejected, Unavailable) as wrong:
        return _refused(request, wrong)
    except Ambiguous as wrong:
        return _unclear(request, str(wrong))
    except Exception as wrong:
        _log.error("a request failed", request=what(request), exc_info=wrong)
        return _unclear(request, f"{type(wrong).__name__}: {wrong}")


async def heard(venue: Venue, timeline: Timeline) -> Sequence[Event]:
    """Wait for the next word of a venue's stream: one that misses its heartbeats has broken, whatever its socket says.

    Raises:
        Unavailable: It broke, or said nothing for longer than it may.
    """
    if venue.stream_silence_s is None:
        return await venue.events()
    try:
        return await _in_time(venue.events(), venue.stream_silence_s, timeline)
    except TimeoutError as wrong:
        raise Unavailable(f"the stream has said nothing for {venue.stream_silence_s:g} s") from wrong


async def _in_time(awaited: Awaitable[T], deadline_s: float, timeline: Timeline) -> T:
    async with asyncio.timeout(None) as limit:
        # A moment that is over ends the wait at once.
        late = timeline.at(timeline.now_ns() + round(deadline_s * SECOND_NS), partial(limit.reschedule, -1.0))
        try:
            return await awaited
        finally:
            late.cancel()


def what(effect: Effect) -> str:
    """Return the name of an effect in lower case."""
    return type(effect).__name__.lower()


async def _asked(venue: Venue, request: Request) -> Event:
    if isinstance(request, Submit):
        venue_id = await venue.submit(request)
        return SubmitEnded(0, request.request.client_order_id, request.attempt, Outcome.ACCEPTED, venue_id)
    if isinstance(request, Cancel):
        await venue.cancel(request)
        return CancelEnded(0, request.client_order_id, request.attempt, Outcome.ACCEPTED)
    if isinstance(request, Amend):
        await venue.amend(request)
        return AmendEnded(0, request.client_order_id, request.amendment, Outcome.ACCEPTED)
    if isinstance(request, Lookup):
        return await venue.lookup(request)
    return SnapshotRead(0, await venue.snapshot(request))


def _unclear(request: Request, text: str) -> Event:
    if isinstance(request, Submit):
        return SubmitEnded(0, request.request.client_order_id, request.attempt, Outcome.AMBIGUOUS, text=text)
    if isinstance(request, Cancel):
        return CancelEnded(0, request.client_order_id, request.attempt, Outcome.AMBIGUOUS, text)
    if isinstance(request, Amend):
        return AmendEnded(0, request.client_order_id, request.amendment, Outcome.AMBIGUOUS, text)
    if isinstance(request, Lookup):
        return LookupEnded(0, request.client_order_id, Found.FAILED)
    return SnapshotFailed(0, text)


def _refused(request: Request, wrong: Rejected | Unavailable) -> Event:
    text = str(wrong)
    if isinstance(request, Submit):
        code, why = (str(wrong.code), wrong.text) if isinstance(wrong, Rejected) else ("unavailable", text)
        return SubmitEnded(0, request.request.client_order_id, request.attempt, Outcome.REJECTED, "", code, why)
    if isinstance(request, Cancel):
        return CancelEnded(0, request.client_order_id, request.attempt, Outcome.REJECTED, text)
    if isinstance(request, Amend):
        return AmendEnded(0, request.client_order_id, request.amendment, Outcome.REJECTED, text)
    return _unclear(request, text)
