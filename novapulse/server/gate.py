"""The gate before marimo's apps: marimo knows no users, so this does.

Invariants:
- nothing behind it is reached without a session of ours, from another origin, or on another visitor's kernel;
- the kernel never sees our cookie; it is told who is there, the role, and a token for what the page may ask of us;
- a socket is closed when its session ends, whatever ended it.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from urllib.parse import quote

from starlette.authentication import SimpleUser
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

CLOSED_BY_POLICY = 4403
CHECK_EVERY_S = 2.0
KERNELS_MAX = 10_000
KERNEL_KEPT_S = 12 * 3600
_STREAMS_REFUSED = ("/sse", "/ws_sync")
_SAFE = frozenset({"GET", "HEAD"})


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who asks.

    Attributes:
        name: Of the person.
        role: What the person may do.
        csrf: What a page has to send back with everything that changes something.
    """

    name: str
    role: str
    csrf: str


WhoAsks = Callable[[HTTPConnection], Awaitable[Visitor | None]]


class Kernels:
    """Which visitor a marimo session belongs to: its id is made in the browser and bound here, at its first use."""

    def __init__(self, kernels_max: int = KERNELS_MAX, kept_s: float = KERNEL_KEPT_S) -> None:
        """Begin without any."""
        self._owners: OrderedDict[str, tuple[str, float]] = OrderedDict()
        self._max = kernels_max
        self._kept_s = kept_s

    def claim(self, session_id: str, name: str, now_s: float) -> bool:
        """Bind a session to a visitor; return False when it is somebody else's, or no more can be kept."""
        owner = self._owners.get(session_id)
        if owner is None and len(self._owners) >= self._max:
            oldest, (_, seen_s) = next(iter(self._owners.items()))
            if now_s - seen_s < self._kept_s:
                return False
            del self._owners[oldest]
        if owner is not None and owner[0] != name:
            return False
        self._owners[session_id] = (name, now_s)
        self._owners.move_to_end(session_id)
        return True


class Gate:
    """Lets visitors through to marimo's apps.

    Args:
        app: The apps.
        who_asks: Tells who a request comes from, asked anew each time; None for nobody.
        origins: Where our pages may come from, such as `http://127.0.0.1:8700`; empty for wherever the request's own
            host is.
        login_path: Where to sign in.
    """

    def __init__(self, app: ASGIApp, who_asks: WhoAsks, origins: Collection[str], login_path: str = "/login") -> None:
        self._app = app
        self._who_asks = who_asks
        self._origins = frozenset(origins)
        self._login_path = login_path
        self._kernels = Kernels()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        connection = HTTPConnection(scope)
        is_socket = scope["type"] == "websocket"
        path = scope["path"]
        changes = is_socket or scope["method"] not in _SAFE
        if changes and not same_origin(connection, self._origins):
            await _deny(scope, receive, send, 403)
            return
        if path.endswith("/manifest.json") and not changes:
            # Browsers fetch it without cookies.
            await JSONResponse({})(scope, receive, send)
            return
        visitor = await self._who_asks(connection)
        if visitor is None:
            await self._to_login(scope, receive, send)
        elif path.endswith(_STREAMS_REFUSED) or not self._owns(connection, visitor):
            await _deny(scope, receive, send, 403)
        elif not changes and (whole := _with_slash(scope)):
            await RedirectResponse(whole, 307)(scope, receive, send)
        else:
            await self._through(connection, visitor, receive, send)

    def _owns(self, connection: HTTPConnection, visitor: Visitor) -> bool:
        if "marimo-stable-session-id" in connection.headers:
            return False
        # All of them: who looked at one would be told another.
        named = {
            *connection.query_params.getlist("session_id"),
            *connection.headers.getlist("marimo-session-id"),
        }
        now_s = time.monotonic()
        return all(self._kernels.claim(one, visitor.name, now_s) for one in sorted(named))

    async def _through(self, connection: HTTPConnection, visitor: Visitor, receive: Receive, send: Send) -> None:
        scope = connection.scope
        inner = {
            **scope,
            "user": SimpleUser(visitor.name),
            "meta": {"role": visitor.role, "csrf": visitor.csrf},
            "headers": [header for header in scope["headers"] if header[0] != b"cookie"],
        }
        if scope["type"] == "http":
            await self._app(inner, receive, send)
            return
        served = asyncio.ensure_future(self._app(inner, receive, send))
        try:
            while not served.done():
                await asyncio.wait({served}, timeout=CHECK_EVERY_S)
                if not served.done() and await self._who_asks(connection) is None:
                    served.cancel()
                    await asyncio.wait({served})
                    await send({"type": "websocket.close", "code": CLOSED_BY_POLICY})
                    return
            await served
        finally:
            served.cancel()

    async def _to_login(self, scope: Scope, receive: Receive, send: Send) -> None:
        wants_page = scope["type"] == "http" and "text/html" in HTTPConnection(scope).headers.get("accept", "")
        if wants_page and scope["method"] in _SAFE:
            # With the account that is asked for: the page that opens after signing in shows it.
            where = quote(_address(scope), safe="/")
            await RedirectResponse(f"{self._login_path}?next={where}", 303)(scope, receive, send)
        else:
            await _deny(scope, receive, send, 401)


def same_origin(connection: HTTPConnection, origins: Collection[str]) -> bool:
    """Tell whether what a browser asks for comes from one of our own pages.

    Args:
        connection: The request.
        origins: Ours; empty for the request's own host.
    """
    if connection.headers.get("sec-fetch-site", "same-origin") != "same-origin":
        return False
    origin = connection.headers.get("origin")
    if origin is None:
        return False
    if origins:
        return origin in origins
    host = connection.headers.get("host", "")
    return origin in (f"http://{host}", f"https://{host}")


def _address(scope: Scope, behind: str = "") -> str:
    query = scope.get("query_string", b"").decode("latin-1")
    return f"{scope['path']}{behind}{'?' if query else ''}{query}"


def _with_slash(scope: Scope) -> str:
    # marimo would redirect too, and lose what stands behind the question mark: the account that is asked for.
    name = scope["path"].removeprefix(scope.get("root_path", ""))
    if name.count("/") != 1 or name.endswith("/") or "." in name:
        return ""
    return _address(scope, "/")


async def _deny(scope: Scope, receive: Receive, send: Send, status: int) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": CLOSED_BY_POLICY})
        return
    text = "sign in first" if status == 401 else "that is not allowed"
    answer: Response = PlainTextResponse(text, status)
    await answer(scope, receive, send)
