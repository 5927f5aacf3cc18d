"""The gate before marimo's apps: marimo knows no users, so this does.

Invariants:
- nothing behind it is reached without a session of ours, from another origin, or on another visitor's kernel;
- of marimo's routes those alone are open that a page of an app asks for: whatever reads, runs or edits code or looks at
  files is refused here, for every role, and so is what a later marimo brings;
- the kernel never sees our cookie; it is told who is there, the role, and a token for what the page may ask of us;
- a socket is closed when its session ends, whatever ended it, and not when the session goes on under a new id;
- nobody has more than `PAGES_OF_ONE_MAX` pages open, or `KERNELS_OF_ONE_MAX` kernels: so nobody keeps others out;
- whoever is refused is reported to the porter, by the gate and by what is behind it alike.
"""

import asyncio
import re
import time
from collections import OrderedDict
from collections.abc import Awaitable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import quote

from starlette.authentication import SimpleUser
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from novapulse.server.problems import told, wants_page

CLOSED_BY_POLICY = 4403
CHECK_EVERY_S = 2.0
KERNELS_MAX = 10_000
KERNEL_KEPT_S = 12 * 3600
PAGES_OF_ONE_MAX = 12
KERNELS_OF_ONE_MAX = 40
"""With those of pages that were closed within the last minute: who goes from page to page leaves some behind."""

PAGE_LINGERS_S = 60
"""How long marimo keeps the kernel of a page that was closed, s."""

NOT_OUR_PAGE = "that did not come from a page of this server: --origin tells it how browsers reach it"
_TOO_MANY = (
    f"{PAGES_OF_ONE_MAX} pages of yours are open, or many more were within the last minute, as many as one person may "
    "have: close one, or wait a minute, and load this one anew"
)
ASKED_BY_PAGES = frozenset(
    {"/api/kernel/set_ui_element_value", "/api/kernel/set_model_value", "/api/kernel/function_call"}
)
"""What a page of an app sends to its own kernel: a control that was moved, what a widget says, a page of a table."""

# The page, whether its server answers, what its cells drew, marimo's own files; and the socket. All else is closed.
_LOOKED_AT = re.compile(r"/|/health|/@file/.+|/assets/.+|/[^/]+\.[^/]+")
_SOCKET = "/ws"
CLOSED = "apps are looked at here: code is neither read, run nor changed, and no files are"
_SAFE = frozenset({"GET", "HEAD"})
_REFUSALS = frozenset({401, 403, 413})


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who asks.

    Attributes:
        name: Of the person.
        role: What the person may do.
        csrf: What a page has to send back with everything that changes something.
        session: Handle of the session, the same under whatever id it goes on.
        owes_second_factor: Whether nothing is shown before a second factor is set up.
    """

    name: str
    role: str
    csrf: str
    session: str
    owes_second_factor: bool


class Porter(Protocol):
    """Knows the people that come to the gate."""

    async def who_asks(self, connection: HTTPConnection) -> Visitor | None:
        """Return who a request comes from, asked anew each time; None for nobody."""
        ...

    async def is_there(self, visitor: Visitor) -> bool:
        """Return whether the session of a page that is open goes on; a page that is looked at keeps it alive."""
        ...

    async def refused(self, connection: HTTPConnection, why: str) -> None:
        """Take note that a request was refused."""
        ...


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


class Pages:
    """How many pages each person has: those that are open, and those whose kernel lingers."""

    def __init__(
        self,
        pages_max: int = PAGES_OF_ONE_MAX,
        kernels_max: int = KERNELS_OF_ONE_MAX,
        lingers_s: float = PAGE_LINGERS_S,
    ) -> None:
        """Begin without any."""
        # Name -> kernel -> sockets that are open, and since when there is none, s.
        self._of: dict[str, dict[str, tuple[int, float]]] = {}
        self._pages_max, self._kernels_max = pages_max, kernels_max
        self._lingers_s = lingers_s

    def has_room(self, name: str, now_s: float, kernel: str = "") -> bool:
        """Return whether somebody may open one more page; a kernel that is there already needs no room."""
        mine = self._of.get(name, {})
        for one, (sockets, since_s) in list(mine.items()):
            if not sockets and now_s - since_s >= self._lingers_s:
                del mine[one]
        if not mine:
            self._of.pop(name, None)
        are_open = sum(sockets > 0 for sockets, _ in mine.values())
        return kernel in mine or (are_open < self._pages_max and len(mine) < self._kernels_max)

    @contextmanager
    def opened(self, name: str, kernel: str) -> Iterator[None]:
        """Count a page while its socket is open, and for as long as its kernel lingers."""
        mine = self._of.setdefault(name, {})
        mine[kernel] = mine.get(kernel, (0, 0.0))[0] + 1, 0.0
        try:
            yield
        finally:
            mine[kernel] = mine[kernel][0] - 1, time.monotonic()


class Gate:
    """Lets visitors through to marimo's apps.

    Args:
        app: The apps.
        porter: Knows the people.
        origins: Where our pages may come from, such as `http://127.0.0.1:8700`; empty for wherever the request's own
            host is.
        told: What every page is told beside who looks at it.
        login_path: Where to sign in.
        account_path: Where a second factor is set up.
    """

    def __init__(
        self,
        app: ASGIApp,
        porter: Porter,
        origins: Collection[str],
        told: Mapping[str, Any] | None = None,
        login_path: str = "/login",
        account_path: str = "/account",
    ) -> None:
        self._app = app
        self._porter = porter
        self._origins = frozenset(origins)
        self._told = dict(told or {})
        self._login_path = login_path
        self._account_path = account_path
        self._kernels = Kernels()
        self._pages = Pages()

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
            await self._refuse(connection, receive, send, NOT_OUR_PAGE)
            return
        if path.endswith("/manifest.json") and not changes:
            # Browsers fetch it without cookies.
            await JSONResponse({})(scope, receive, send)
            return
        visitor = await self._porter.who_asks(connection)
        if visitor is None:
            await self._elsewhere(connection, receive, send, self._login_path, "sign in first", 401)
        elif visitor.owes_second_factor:
            why = "set up a second factor first"
            await self._elsewhere(connection, receive, send, self._account_path, why, 403)
        elif not _is_open(scope):
            await self._refuse(connection, receive, send, CLOSED)
        elif not self._owns(connection, visitor):
            await self._refuse(connection, receive, send, "that is another visitor's page")
        elif not changes and (whole := _with_slash(scope)):
            await RedirectResponse(whole, 307)(scope, receive, send)
        elif not self._has_room(connection, visitor):
            await self._refuse(connection, receive, send, _TOO_MANY, told(connection, 429, "too_many_pages", _TOO_MANY))
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

    def _has_room(self, connection: HTTPConnection, visitor: Visitor) -> bool:
        is_socket = connection.scope["type"] == "websocket"
        opens = is_socket or (connection.scope["method"] in _SAFE and wants_page(connection))
        return not opens or self._pages.has_room(visitor.name, time.monotonic(), _kernel(connection))

    async def _through(self, connection: HTTPConnection, visitor: Visitor, receive: Receive, send: Send) -> None:
        scope = connection.scope
        inner = {
            **scope,
            "user": SimpleUser(visitor.name),
            "meta": {**self._told, "role": visitor.role, "csrf": visitor.csrf},
            "headers": [header for header in scope["headers"] if header[0] != b"cookie"],
        }
        heard = self._reporting(connection, send)
        if scope["type"] == "http":
            await self._app(inner, receive, _or_ours(connection, heard))
            return
        with self._pages.opened(visitor.name, _kernel(connection)):
            await self._while_there(visitor, self._app(inner, receive, heard), send)

    def _reporting(self, connection: HTTPConnection, send: Send) -> Send:
        accepted = False

        async def heard(message: Message) -> None:
            nonlocal accepted
            accepted = accepted or message["type"] == "websocket.accept"
            refused = message["type"] == "http.response.start" and message["status"] in _REFUSALS
            if refused or (message["type"] == "websocket.close" and not accepted):
                await self._porter.refused(connection, "the app itself refused that")
            await send(message)

        return heard

    async def _while_there(self, visitor: Visitor, serving: Awaitable[None], send: Send) -> None:
        served = asyncio.ensure_future(serving)
        try:
            while not served.done():
                await asyncio.wait({served}, timeout=CHECK_EVERY_S)
                if not served.done() and not await self._porter.is_there(visitor):
                    served.cancel()
                    await asyncio.wait({served})
                    await send({"type": "websocket.close", "code": CLOSED_BY_POLICY})
                    return
            await served
        finally:
            served.cancel()

    async def _elsewhere(
        self, connection: HTTPConnection, receive: Receive, send: Send, path: str, why: str, status: int
    ) -> None:
        scope = connection.scope
        if scope["type"] == "http" and scope["method"] in _SAFE and wants_page(connection):
            # With the account that is asked for: the page that opens afterwards shows it.
            where = quote(_address(scope), safe="/")
            await RedirectResponse(f"{path}?next={where}", 303)(scope, receive, send)
        else:
            code = "not_signed_in" if status == 401 else "second_factor_needed"
            await self._refuse(connection, receive, send, why, told(connection, status, code, why))

    async def _refuse(
        self, connection: HTTPConnection, receive: Receive, send: Send, why: str, answer: Response | None = None
    ) -> None:
        await self._porter.refused(connection, why)
        if connection.scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": CLOSED_BY_POLICY})
            return
        said = answer or told(connection, 403, "denied", "that is not allowed")
        await said(connection.scope, receive, send)


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


def _inner(scope: Scope) -> str:
    """The path as the apps see it: `/name` of one, and what is asked of it."""
    return str(scope["path"]).removeprefix(scope.get("root_path", ""))


def _asked(scope: Scope) -> str:
    """What is asked of an app; empty for its page."""
    return _inner(scope).removeprefix("/").partition("/")[2]


def _is_open(scope: Scope) -> bool:
    asked = f"/{_asked(scope)}"
    if scope["type"] == "websocket":
        return asked == _SOCKET
    if scope["method"] in _SAFE:
        return _LOOKED_AT.fullmatch(asked) is not None
    return asked in ASKED_BY_PAGES


def _with_slash(scope: Scope) -> str:
    # marimo would redirect too, and lose what stands behind the question mark: the account that is asked for.
    name = _inner(scope)
    if name.count("/") != 1 or name.endswith("/") or "." in name:
        return ""
    return _address(scope, "/")


def _or_ours(connection: HTTPConnection, send: Send) -> Send:
    """Tell as everywhere else what the apps have no page for: marimo has two bare words for it."""
    is_page = wants_page(connection) or not _asked(connection.scope)
    is_ours = False

    async def sent(message: Message) -> None:
        nonlocal is_ours
        if is_page and message["type"] == "http.response.start" and message["status"] >= 400:
            is_ours = True
            await _unanswered(connection, message["status"])(connection.scope, _nothing, send)
        elif not is_ours:
            await send(message)

    return sent


def _unanswered(connection: HTTPConnection, status: int) -> Response:
    if status == 404:
        return told(connection, status, "not_found", "there is no such page")
    return told(connection, status, "refused" if status < 500 else "bug", "the app has no answer to that")


async def _nothing() -> Message:
    return {"type": "http.disconnect"}


def _kernel(connection: HTTPConnection) -> str:
    return connection.query_params.get("session_id", "")
