"""Who asks, and what that allows: one declaration on every route, denied by default.

Invariants:
- a route without a declaration is a fault that a test finds; what an action needs stands in `control.roles` alone;
- a browser's session changes something only from our own pages and with its token; a key needs neither;
- every refusal is a row of the audit, also of what never came to be an action: what is malformed, too large or not
  there; a flood of them is its first, second, fourth, eighth ... row;
- a command is recognised on threads of its own and never counted among what is read.
"""

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Header, Request
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection

from novapulse.control.acts import Wish
from novapulse.control.inbox import VERBS
from novapulse.control.limits import READS, address_key
from novapulse.control.roles import NOBODY, Denied, Principal, check
from novapulse.control.sessions import Session
from novapulse.control.storage import ControlError
from novapulse.server.gate import NOT_OUR_PAGE, Visitor, same_origin
from novapulse.server.lanes import COMMANDS
from novapulse.server.parts import Parts, address_of, parts_of

CSRF_HEADER = "x-csrf"
NO_ACTION = "request"
"""What the audit calls a request that is none of our actions."""

_BEARER = "bearer "
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing."""


class NotSignedInError(Denied):
    """Nobody was recognised."""


class TooOftenError(ControlError):
    """Somebody asks more often than they may.

    Attributes:
        wait_s: Seconds until the next one.
    """

    def __init__(self, wait_s: int) -> None:
        super().__init__(f"too many requests: try again in {wait_s} s")
        self.wait_s = wait_s


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks.

    Attributes:
        principal: Recognised.
        session: The session that came along; None with a key.
        token: Its id; empty with a key.
        address: Where from.
        parts: The server's.
    """

    principal: Principal
    session: Session | None
    token: str
    address: str
    parts: Parts

    def refused(self, action: str, refusal: ControlError, path: str) -> None:
        """Write down that the caller was refused; a flood of refusals in a few rows."""
        times = self.parts.flood.refused(f"{self.principal.actor} {address_key(self.address)}")
        if times:
            told = {"path": path, **({} if times == 1 else {"refused_in_a_row": times})}
            self.parts.plane.acts.turned_away(
                self.principal, Wish(action, arguments=told, source=self.address), refusal
            )


def recognise(connection: HTTPConnection, *, touch: bool = True) -> Caller:
    """Return who a request comes from; `roles.NOBODY` where nobody was recognised.

    Args:
        connection: The request.
        touch: Whether it is a sign of the person.

    Raises:
        ControlError: control.db cannot be used.
    """
    parts = parts_of(connection)
    address = address_of(connection, parts.proxies)
    said = connection.headers.get("authorization", "")
    if said[: len(_BEARER)].lower() == _BEARER:
        found = parts.plane.keys.find(said[len(_BEARER) :].strip(), address)
        return Caller(found or NOBODY, None, "", address, parts)
    token = connection.cookies.get(parts.cookie, "")
    session = parts.plane.sessions.find(token, touch=touch) if token else None
    return Caller(session.principal if session else NOBODY, session, token if session else "", address, parts)


def visitor_of(connection: HTTPConnection) -> Visitor | None:
    """Return who a request for an app comes from, as the gate wants to know it; keys open no pages."""
    caller = recognise(connection, touch=connection.scope["type"] == "http")
    session = caller.session
    if session is None:
        return None
    return Visitor(session.person, str(session.role), session.csrf, session.handle, session.owes_second_factor)


class Doors:
    """Knows who comes to the gate of the apps.

    Args:
        parts: The server's.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def who_asks(self, connection: HTTPConnection) -> Visitor | None:
        """Return who a request comes from."""
        return await run_in_threadpool(visitor_of, connection)

    async def is_there(self, visitor: Visitor) -> bool:
        """Return whether the session of an open page goes on; the page is a sign of its person."""
        session = await run_in_threadpool(self._parts.plane.sessions.alive, visitor.session, touch=True)
        return session is not None and not session.owes_second_factor

    async def refused(self, connection: HTTPConnection, why: str) -> None:
        """Write down that a request was refused."""
        await run_in_threadpool(self._refused, connection, why)

    def _refused(self, connection: HTTPConnection, why: str) -> None:
        recognise(connection, touch=False).refused("read", Denied(why), connection.scope["path"])


class Needs:
    """The declaration of a route: what its caller has to be allowed to do.

    Args:
        action: One of `control.roles.ACTIONS`.
    """

    def __init__(self, action: str) -> None:
        self.action = action

    async def __call__(self, request: Request) -> Caller:
        """Return the caller, or refuse."""
        return await run_in_threadpool(self._counted, request)

    def _counted(self, request: Request) -> Caller:
        caller = _allowed(request, self.action)
        principal = caller.principal
        ruling = caller.parts.allowances.take_cheaply(READS, f"{principal.actor} {principal.credential}")
        if not ruling.allowed:
            refusal = TooOftenError(ruling.wait_s)
            caller.refused(self.action, refusal, request.url.path)
            raise refusal
        return caller


class NeedsItsVerb:
    """The declaration of the route of commands: its caller has to be allowed what the verb in the path does."""

    action = "the verb"

    async def __call__(self, request: Request) -> Caller:
        """Return the caller, or refuse."""
        verb = str(request.path_params["verb"])
        # What is no verb is told so by the route, to those who may look.
        return await COMMANDS.run(_allowed, request, verb if verb in VERBS else "read")


def _allowed(request: Request, action: str) -> Caller:
    caller = recognise(request)
    try:
        if caller.principal is NOBODY:
            raise NotSignedInError("sign in first")
        _check_page(request, caller)
        check(caller.principal, action)
    except Denied as refusal:
        caller.refused(action, refusal, request.url.path)
        raise
    return caller


def _check_page(request: Request, caller: Caller) -> None:
    if request.method in SAFE or caller.session is None:
        return
    if not same_origin(request, caller.parts.origins):
        raise Denied(NOT_OUR_PAGE)
    if not caller.session.has_csrf(request.headers.get(CSRF_HEADER, "")):
        raise Denied("the page's token is missing or old: load the page anew")


def turned_away(request: Request, why: str) -> None:
    """Write down that a request was refused before it came to an action.

    Args:
        request: The request.
        why: What is wrong with it.

    Raises:
        ControlError: control.db cannot be used.
    """
    recognise(request, touch=False).refused(_action_of(request), ControlError(why), request.url.path)


def _action_of(request: Request) -> str:
    route = request.scope.get("route")
    if not isinstance(route, APIRoute) or request.method not in (route.methods or ()):
        return NO_ACTION
    declared = next(
        (one.call for one in route.dependant.dependencies if isinstance(one.call, Needs | NeedsItsVerb)), None
    )
    if isinstance(declared, Needs):
        return declared.action
    verb = str(request.path_params.get("verb"))
    return verb if verb in VERBS else NO_ACTION


def needs(action: str) -> Any:
    """Return the declaration of a route as FastAPI takes it."""
    return Depends(Needs(action))


Reader = Annotated[Caller, Depends(Needs("read"))]
"""A caller that may look."""

Once = Annotated[
    str,
    Header(
        alias="idempotency-key",
        min_length=8,
        max_length=200,
        description="Names this wish: sent again under it, it acts once, and the answer is the same row of the audit.",
    ),
]
"""What everything that changes something is named by, but for what begins, confirms and ends sessions."""
