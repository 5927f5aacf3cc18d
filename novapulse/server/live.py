"""The live stream: one reading for all sockets, pushed when something happened, and a sign of life once a second.

Invariants:
- whoever has not had the newest state gets all of it; who has, a short word that it still stands, with its moment and
  the age of the trader's own word: silence is never news that all is well;
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
from typing import Any

from anyio import CancelScope, create_task_group
from fastapi import APIRouter, WebSocket
from starlette.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection
from starlette.websockets import WebSocketDisconnect

from novapulse.control.roles import NOBODY, Denied, Scope, check
from novapulse.control.storage import ControlError
from novapulse.monitor import Hub
from novapulse.server.access import Caller, NotSignedInError, recognise
from novapulse.server.gate import CHECK_EVERY_S, CLOSED_BY_POLICY, NOT_OUR_PAGE, same_origin

router = APIRouter(tags=["live"])
SOCKETS_MAX = 200
SOCKETS_OF_ONE_MAX = 20
_MOMENTS, _WORD, _AGE = ("as_of_ns", "ledger_read_ns"), ("heartbeat_ns", "heartbeat_age_s"), "last_bar_age_s"


class Broadcast:
    """The latest reading as text, and who waits for the next one.

    Args:
        hub: Makes the readings.
    """

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._whole = self._alive = ""
        # Of the last reading, and of the last that said something else than the one before.
        self._number = self._told = 0
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
            seen, self._told = self._number, self._number + 1
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
        """Return the newest reading and its number, as soon as there is one that was not seen.

        All of it where what was seen says something else, or nothing was seen since somebody began to listen.
        """
        async with self._changed:
            await self._changed.wait_for(lambda: self._number > seen)
            return self._number, self._alive if seen >= self._told else self._whole

    def _listen(self, loop: asyncio.AbstractEventLoop, ended: threading.Event) -> None:
        before: dict[str, Any] = {}
        with self._hub.subscribed() as readings:
            while not ended.is_set():
                with suppress(queue.Empty):
                    found = readings.get(timeout=1).json()
                    now = _lasting(found)
                    put = self._put(_spelled(found), _sign(found), says_more=now != before)
                    before = now
                    if loop.is_closed():
                        put.close()
                        return
                    asyncio.run_coroutine_threadsafe(put, loop)

    async def _put(self, whole: str, alive: str, *, says_more: bool) -> None:
        async with self._changed:
            self._whole, self._alive, self._number = whole, alive, self._number + 1
            if says_more:
                self._told = self._number
            self._changed.notify_all()


def _spelled(found: dict[str, Any]) -> str:
    return json.dumps({"type": "overview", **found}, ensure_ascii=False)


def _sign(found: dict[str, Any]) -> str:
    told = {name: found[name] for name in (*_MOMENTS, "ledger_id", "head_seq")}
    trader = {name: found["trader"][name] for name in _WORD}
    ages = [{name: one[name] for name in ("exchange", "account_id", _AGE)} for one in found["accounts"]]
    return json.dumps({"type": "alive", **told, "trader": trader, "accounts": ages}, ensure_ascii=False)


def _lasting(found: dict[str, Any]) -> dict[str, Any]:
    """What a reading says without moments and ages, which are another every time."""
    accounts = [{name: value for name, value in one.items() if name != _AGE} for one in found["accounts"]]
    trader = {name: value for name, value in found["trader"].items() if name not in _WORD}
    return {
        **{name: value for name, value in found.items() if name not in _MOMENTS},
        "trader": trader,
        "accounts": accounts,
    }


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
