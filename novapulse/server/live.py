"""The live stream: one reading for all sockets, pushed when something happened, and a sign of life once a second.

Invariants:
- whoever has not had the newest state gets all of it; who has, a short word that it still stands, with its moment and
  the age of the trader's own word: silence is never news that all is well;
- readings are made by the hub's one thread and spelled once, however many listen;
- a socket that is slow gets the newest reading next, never a queue of old ones, and holds nobody up;
- a socket ends with its session, also while nothing is read or sent, and not when the session goes on under a new id;
- as long as it is open it is a sign of its person;
- who gets none is a row of the audit;
- who asks for events gets every entry of the feed behind the number it names, once and in order, at its own pace; a
  number of another ledger is refused, never taken for one of this.
"""

import asyncio
import json
import queue
import threading
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Collection
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anyio import CancelScope, create_task_group
from fastapi import APIRouter, WebSocket
from starlette.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection
from starlette.websockets import WebSocketDisconnect

from novapulse.control.roles import NOBODY, Denied, Scope, check
from novapulse.control.storage import ControlError
from novapulse.core.instruments import AccountKey
from novapulse.core.ports import JournalError
from novapulse.monitor import Hub, feed
from novapulse.server.access import Caller, NotSignedInError, recognise
from novapulse.server.gate import CHECK_EVERY_S, CLOSED_BY_POLICY, NOT_OUR_PAGE, same_origin

router = APIRouter(tags=["live"])
SOCKETS_MAX = 200
SOCKETS_OF_ONE_MAX = 20
_MOMENTS, _WORD, _AGE = ("as_of_ns", "ledger_read_ns"), ("heartbeat_ns", "heartbeat_age_s"), "last_bar_age_s"


@dataclass(frozen=True, slots=True)
class Head:
    """Which ledger a reading is of, and how far it went."""

    ledger_id: str
    seq: int


NO_HEAD = Head("", 0)


class Broadcast:
    """The latest reading as text, and who waits for the next one.

    Attributes:
        head: What that reading is of.
    """

    def __init__(self, hub: Hub) -> None:
        """Begin without a reading.

        Args:
            hub: Makes the readings.
        """
        self._hub = hub
        self._whole = self._alive = ""
        self.head = NO_HEAD
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
                    head = Head(found["ledger_id"], found["head_seq"])
                    put = self._put(_spelled(found), _sign(found), head, says_more=now != before)
                    before = now
                    if loop.is_closed():
                        put.close()
                        return
                    asyncio.run_coroutine_threadsafe(put, loop)

    async def _put(self, whole: str, alive: str, head: Head = NO_HEAD, *, says_more: bool) -> None:
        async with self._changed:
            self._whole, self._alive, self.head, self._number = whole, alive, head, self._number + 1
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


@dataclass(slots=True)
class Feed:
    """What one socket wants of the ledger's entries, and how far it has them.

    Attributes:
        home: Folder of the trader's state.
        ledger_id: The ledger that `seq` is a number of; empty for the one that is read first.
        seq: The last entry that it has had.
        account: Only this one's; None for all.
    """

    home: Path
    ledger_id: str
    seq: int
    account: AccountKey | None

    def next(self, head: Head) -> list[str]:
        """Return the next entries up to a head, as texts; none where it has them all.

        Raises:
            OtherLedgerError: The number is not one of this ledger.
            JournalError: The ledger cannot be read.
        """
        if not head.ledger_id:
            return []
        self.ledger_id = self.ledger_id or head.ledger_id
        if self.ledger_id != head.ledger_id or self.seq > head.seq:
            raise OtherLedgerError(f"entry {self.seq} is not one of ledger {head.ledger_id}, which ends at {head.seq}")
        found = feed.after(self.home, self.seq, head.seq, self.account) if self.seq < head.seq else ()
        self.seq = found[-1].seq if found else head.seq
        told = ({"type": "event", "topic": feed.topic_of(one.kind), **one.json()} for one in found)
        return [json.dumps({**one, "ledger_id": head.ledger_id}, ensure_ascii=False) for one in told]


class OtherLedgerError(ValueError):
    """A number of an entry that the ledger of now does not have, or has of something else."""


def _feed_of(websocket: WebSocket, home: Path, accounts: Collection[AccountKey]) -> Feed | None:
    """Return what events are wanted; None for none.

    Raises:
        ControlError: What is asked for cannot be had.
    """
    asked = websocket.query_params
    if "after" not in asked:
        return None
    after, exchange, account_id = asked["after"], asked.get("exchange", ""), asked.get("account_id", "")
    if not after.isdecimal() or len(after) > 18:
        raise ControlError("after is the number of the last entry that was had; 0 for none")
    account = AccountKey(exchange, account_id) if exchange or account_id else None
    if account is not None and account not in accounts:
        raise ControlError("there is no such account")
    return Feed(home, asked.get("ledger_id", ""), int(after), account)


@router.websocket("/live")
async def live(websocket: WebSocket) -> None:
    """Push readings until the session ends; with `after`, every fill, order, decision and alert behind it too."""
    broadcast: Broadcast = websocket.app.state.broadcast
    caller, wanted = await run_in_threadpool(_let_in, websocket, broadcast)
    if caller is None:
        await websocket.close(CLOSED_BY_POLICY)
        return
    async with broadcast.joined(caller.principal.name) as seen:
        await websocket.accept()
        async with create_task_group() as group:
            for work in (
                _push(websocket, broadcast, seen, wanted),
                _until_gone(websocket),
                _until_over(websocket, caller),
            ):
                group.start_soon(_and_end, work, group.cancel_scope)
    with suppress(RuntimeError, WebSocketDisconnect):
        await websocket.close(CLOSED_BY_POLICY)


async def _and_end(work: Awaitable[None], scope: CancelScope) -> None:
    # The first that ends it ends it for all; without control.db nobody is known any more.
    with suppress(WebSocketDisconnect, ControlError):
        await work
    scope.cancel()


def _let_in(connection: WebSocket, broadcast: Broadcast) -> tuple[Caller | None, Feed | None]:
    """Who may listen, and to which events; None, and a row of the audit, for who may not."""
    caller = recognise(connection, touch=False)
    try:
        if caller.principal is NOBODY:
            raise NotSignedInError("sign in first")
        if caller.session is not None and not same_origin(connection, caller.parts.origins):
            raise Denied(NOT_OUR_PAGE)
        check(caller.principal, "read")
        if not broadcast.has_room(caller.principal.name):
            raise ControlError("as many listen as may")
        wanted = _feed_of(connection, caller.parts.home, [one.key for one in caller.parts.hub.now().accounts])
    except ControlError as refusal:
        caller.refused("read", refusal, connection.scope["path"])
        return None, None
    return caller, wanted


def _goes_on(connection: HTTPConnection, caller: Caller) -> bool:
    """Whether what opened the socket still counts: the key, or the session under whatever id."""
    if caller.session is not None:
        session = caller.parts.plane.sessions.alive(caller.session.handle, touch=True)
        return session is not None and not session.owes_second_factor
    return recognise(connection, touch=False).principal.may(Scope.READ)


async def _push(websocket: WebSocket, broadcast: Broadcast, seen: int, wanted: Feed | None) -> None:
    while True:
        seen, text = await broadcast.next(seen)
        await websocket.send_text(text)
        if wanted is not None:
            await _push_events(websocket, broadcast.head, wanted)


async def _push_events(websocket: WebSocket, head: Head, wanted: Feed) -> None:
    try:
        while told := await run_in_threadpool(wanted.next, head):
            for text in told:
                await websocket.send_text(text)
    except JournalError:
        # The reading says how the ledger is; the next one asks again from the same number.
        return
    except OtherLedgerError as wrong:
        told_last = {"type": "other_ledger", "text": str(wrong), "ledger_id": head.ledger_id, "head_seq": head.seq}
        await websocket.send_text(json.dumps(told_last))
        raise WebSocketDisconnect from wrong


async def _until_gone(websocket: WebSocket) -> None:
    while (await websocket.receive())["type"] != "websocket.disconnect":
        # Nothing is asked of this side.
        continue


async def _until_over(websocket: WebSocket, caller: Caller) -> None:
    while await run_in_threadpool(_goes_on, websocket, caller):
        await asyncio.sleep(CHECK_EVERY_S)
