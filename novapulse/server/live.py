"""The live stream: one reading for all sockets, pushed when something happened and once a second.

Invariants:
- readings are made by the hub's one thread and spelled once, however many listen;
- a socket that is slow gets the newest reading next, never a queue of old ones, and holds nobody up;
- a socket ends with its session, also while nothing is read or sent, and not when the session goes on under a new id;
- as long as it is open it is a sign of its person;
- who gets none is a row of the audit.
"""

import asyncio
import json
import queue
import threading
from collections import Counter
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager, suppress

from anyio import CancelScope, create_task_group
from fastapi import APIRouter, WebSocket
from starlette.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection
from starlette.websockets import WebSocketDisconnect

from novapulse.control.roles import NOBODY, Denied, Scope, check
from novapulse.control.storage import ControlError
from novapulse.monitor import Hub, Overview
from novapulse.server.access import Caller, NotSignedInError, recognise
from novapulse.server.gate import CHECK_EVERY_S, CLOSED_BY_POLICY, NOT_OUR_PAGE, same_origin

router = APIRouter(tags=["live"])
SOCKETS_MAX = 200
SOCKETS_OF_ONE_MAX = 20


class Broadcast:
    """The latest reading as text, and who waits for the next one.

    Args:
        hub: Makes the readings.
    """

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._text = ""
        self._number = 0
        self._changed = asyncio.Condition()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._sockets: Counter[str] = Counter()

    @property
    def sockets(self) -> int:
        """How many are open."""
        return self._sockets.total()

    def has_room(self, whose: str) -> bool:
        """Tell whether somebody may open one more."""
        return self.sockets < SOCKETS_MAX and self._sockets[whose] < SOCKETS_OF_ONE_MAX

    @asynccontextmanager
    async def joined(self, whose: str) -> AsyncIterator[int]:
        """Count as a socket of somebody and tell what it has seen; the first begins to listen, the last ends it."""
        self._sockets[whose] += 1
        seen = 0
        if self._thread is None:
            # What was read when the last socket was open is old by now.
            seen = self._number
            self._ended = threading.Event()
            loop = asyncio.get_running_loop()
            self._thread = threading.Thread(target=self._listen, args=(loop, self._ended), daemon=True, name="live")
            self._thread.start()
        try:
            yield seen
        finally:
            self._sockets[whose] -= 1
            if not self.sockets:
                self._ended.set()
                self._thread = None

    async def next(self, seen: int) -> tuple[int, str]:
        """Return the newest reading and its number, as soon as there is one that was not seen."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._number > seen)
            return self._number, self._text

    def _listen(self, loop: asyncio.AbstractEventLoop, ended: threading.Event) -> None:
        with self._hub.subscribed() as readings:
            while not ended.is_set():
                with suppress(queue.Empty):
                    text = _spelled(readings.get(timeout=1))
                    if loop.is_closed():
                        return
                    asyncio.run_coroutine_threadsafe(self._put(text), loop)

    async def _put(self, text: str) -> None:
        async with self._changed:
            self._text, self._number = text, self._number + 1
            self._changed.notify_all()


def _spelled(found: Overview) -> str:
    return json.dumps({"type": "overview", **found.json()}, ensure_ascii=False)


@router.websocket("/live")
async def live(websocket: WebSocket) -> None:
    """Push readings until the session ends."""
    broadcast: Broadcast = websocket.app.state.broadcast
    caller = await run_in_threadpool(_let_in, websocket, broadcast)
    if caller is None:
        await websocket.close(CLOSED_BY_POLICY)
        return
    async with broadcast.joined(caller.principal.name) as seen:
        await websocket.accept()
        async with create_task_group() as group:
            for work in (_push(websocket, broadcast, seen), _until_gone(websocket), _until_over(websocket, caller)):
                group.start_soon(_and_end, work, group.cancel_scope)
    with suppress(RuntimeError, WebSocketDisconnect):
        await websocket.close(CLOSED_BY_POLICY)


async def _and_end(work: Awaitable[None], scope: CancelScope) -> None:
    # The first that ends it ends it for all; without control.db nobody is known any more.
    with suppress(WebSocketDisconnect, ControlError):
        await work
    scope.cancel()


def _let_in(connection: HTTPConnection, broadcast: Broadcast) -> Caller | None:
    """Who may listen; None, and a row of the audit, for who may not."""
    caller = recognise(connection, touch=False)
    try:
        if caller.principal is NOBODY:
            raise NotSignedInError("sign in first")
        if caller.session is not None and not same_origin(connection, caller.parts.origins):
            raise Denied(NOT_OUR_PAGE)
        check(caller.principal, "read")
        if not broadcast.has_room(caller.principal.name):
            raise ControlError("as many listen as may")
    except ControlError as refusal:
        caller.refused("read", refusal, connection.scope["path"])
        return None
    return caller


def _goes_on(connection: HTTPConnection, caller: Caller) -> bool:
    """Whether what opened the socket still counts: the key, or the session under whatever id."""
    if caller.session is not None:
        return caller.parts.plane.sessions.alive(caller.session.handle, touch=True) is not None
    return recognise(connection, touch=False).principal.may(Scope.READ)


async def _push(websocket: WebSocket, broadcast: Broadcast, seen: int) -> None:
    while True:
        seen, text = await broadcast.next(seen)
        await websocket.send_text(text)


async def _until_gone(websocket: WebSocket) -> None:
    while (await websocket.receive())["type"] != "websocket.disconnect":
        # Nothing is asked of this side.
        continue


async def _until_over(websocket: WebSocket, caller: Caller) -> None:
    while await run_in_threadpool(_goes_on, websocket, caller):
        await asyncio.sleep(CHECK_EVERY_S)
