"""The live stream: one reading for all sockets, pushed when something happened and once a second.

Invariants:
- readings are made by the hub's one thread and spelled once, however many listen;
- a socket that is slow gets the newest reading next, never a queue of old ones;
- a socket ends with its session.
"""

import asyncio
import json
import queue
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from fastapi import APIRouter, WebSocket
from starlette.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection
from starlette.websockets import WebSocketDisconnect

from novapulse.control.roles import NOBODY, Denied, check
from novapulse.monitor import Hub, Overview
from novapulse.server.access import recognise
from novapulse.server.gate import CHECK_EVERY_S, CLOSED_BY_POLICY, same_origin

router = APIRouter(tags=["live"])
SOCKETS_MAX = 200


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
        self.sockets = 0

    @asynccontextmanager
    async def joined(self) -> AsyncIterator[None]:
        """Count as a socket; the first begins to listen, the last ends it."""
        self.sockets += 1
        if self._thread is None:
            self._ended = threading.Event()
            loop = asyncio.get_running_loop()
            self._thread = threading.Thread(target=self._listen, args=(loop, self._ended), daemon=True, name="live")
            self._thread.start()
        try:
            yield
        finally:
            self.sockets -= 1
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
    by_key = "authorization" in websocket.headers
    if not by_key and not same_origin(websocket, websocket.app.state.parts.origins):
        await websocket.close(CLOSED_BY_POLICY)
        return
    if not await run_in_threadpool(_may, websocket) or broadcast.sockets >= SOCKETS_MAX:
        await websocket.close(CLOSED_BY_POLICY)
        return
    await websocket.accept()
    async with broadcast.joined():
        tasks = [asyncio.ensure_future(work) for work in (_push(websocket, broadcast), _until_gone(websocket))]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
    with suppress(RuntimeError, WebSocketDisconnect):
        await websocket.close(CLOSED_BY_POLICY)


def _may(connection: HTTPConnection) -> bool:
    caller = recognise(connection, touch=False)
    if caller.principal is NOBODY:
        return False
    try:
        check(caller.principal, "read")
    except Denied:
        return False
    return True


async def _push(websocket: WebSocket, broadcast: Broadcast) -> None:
    seen, checked_s = 0, asyncio.get_running_loop().time()
    while True:
        seen, text = await broadcast.next(seen)
        now_s = asyncio.get_running_loop().time()
        if now_s - checked_s >= CHECK_EVERY_S:
            checked_s = now_s
            if not await run_in_threadpool(_may, websocket):
                return
        await websocket.send_text(text)


async def _until_gone(websocket: WebSocket) -> None:
    with suppress(WebSocketDisconnect):
        while True:
            await websocket.receive_text()
