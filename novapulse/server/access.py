"""Who asks, and what that allows: one declaration on every route, denied by default.

Invariants:
- a route without a declaration is a fault that a test finds; what an action needs stands in `control.roles` alone;
- a browser's session changes something only from our own pages and with its token; a key needs neither;
- every refusal is a row of the audit, a flood of them its first, second, fourth, eighth ... row.
"""

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Request
from starlette.requests import HTTPConnection

from novapulse.control.acts import Wish
from novapulse.control.limits import READS, Flood, address_key
from novapulse.control.roles import NOBODY, Denied, Principal, check
from novapulse.control.sessions import Session
from novapulse.server.gate import Visitor, same_origin
from novapulse.server.parts import Parts, address_of, parts_of

CSRF_HEADER = "x-csrf"
_BEARER = "bearer "
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_flood = Flood()


class NotSignedInError(Denied):
    """Nobody was recognised."""


class TooOftenError(Exception):
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
        found = parts.plane.keys.find(said[len(_BEARER) :].strip())
        return Caller(found or NOBODY, None, "", address, parts)
    token = connection.cookies.get(parts.cookie, "")
    session = parts.plane.sessions.find(token, touch=touch) if token else None
    return Caller(session.principal if session else NOBODY, session, token if session else "", address, parts)


def visitor_of(connection: HTTPConnection) -> Visitor | None:
    """Return who a request for an app comes from, as the gate wants to know it; keys open no pages."""
    caller = recognise(connection, touch=connection.scope["type"] == "http")
    session = caller.session
    return Visitor(session.person, str(session.role), session.csrf) if session else None


class Needs:
    """The declaration of a route: what its caller has to be allowed to do.

    Args:
        action: One of `control.roles.ACTIONS`.
    """

    def __init__(self, action: str) -> None:
        self.action = action

    def __call__(self, request: Request) -> Caller:
        """Return the caller, or refuse."""
        caller = recognise(request)
        try:
            if caller.principal is NOBODY:
                raise NotSignedInError("sign in first")
            _check_page(request, caller)
            check(caller.principal, self.action)
        except Denied as refusal:
            self._note(caller, request, refusal)
            raise
        ruling = caller.parts.allowances.take_cheaply(READS, f"{caller.principal.actor} {caller.principal.credential}")
        if not ruling.allowed:
            raise TooOftenError(ruling.wait_s)
        return caller

    def _note(self, caller: Caller, request: Request, refusal: Denied) -> None:
        subject = f"{caller.principal.actor} {address_key(caller.address)}"
        times = _flood.refused(subject)
        if times:
            told = {"path": request.url.path, **({} if times == 1 else {"refused_in_a_row": times})}
            wish = Wish(self.action, arguments=told, source=caller.address)
            caller.parts.plane.acts.turned_away(caller.principal, wish, refusal)


def _check_page(request: Request, caller: Caller) -> None:
    if request.method in _SAFE or caller.session is None:
        return
    if not same_origin(request, caller.parts.origins):
        raise Denied("that did not come from a page of this server")
    if not caller.session.has_csrf(request.headers.get(CSRF_HEADER, "")):
        raise Denied("the page's token is missing or old: load the page anew")


def needs(action: str) -> Any:
    """Return the declaration of a route as FastAPI takes it."""
    return Depends(Needs(action))


Reader = Annotated[Caller, Depends(Needs("read"))]
"""A caller that may look."""
