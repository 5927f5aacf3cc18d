"""Signing in and out, the password, one-time links, and one's own sessions."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from novapulse.control.entrance import NotLetInError
from novapulse.control.roles import Denied
from novapulse.control.sessions import Started
from novapulse.server.access import Caller, Needs, Once, recognise
from novapulse.server.gate import NOT_OUR_PAGE, same_origin
from novapulse.server.lanes import SIGN_INS
from novapulse.server.parts import Parts
from novapulse.server.routes.people import Acted

router = APIRouter(tags=["session"])


class _Said(BaseModel):
    model_config = ConfigDict(extra="forbid")


class SignIn(_Said):
    """Name and password."""

    name: str = Field(max_length=64)
    password: str = Field(max_length=1024)


class Password(_Said):
    """The password once more."""

    password: str = Field(max_length=1024)


class NewPassword(_Said):
    """The old password and the new one."""

    old: str = Field(max_length=1024)
    new: str = Field(max_length=1024)


class Welcome(_Said):
    """A one-time link's token and the password that is wished for; the first admin chooses a name too."""

    token: str = Field(max_length=200)
    password: str = Field(max_length=1024)
    name: str = Field("", max_length=64)


class Me(BaseModel):
    """Who is signed in. `csrf` goes back in the header `X-CSRF` with everything that changes something."""

    name: str
    role: str
    scopes: list[str]
    via: str
    csrf: str | None
    step_up_until_ns: int
    expires_ns: int | None


class Began(Me):
    """A session that has just begun, or goes on under a new id; `audit_id` is the row that tells of it."""

    audit_id: int


class OwnSession(BaseModel):
    """Where one is signed in."""

    handle: str
    person: str
    role: str
    address: str
    agent: str
    created_ns: int
    seen_ns: int
    expires_ns: int
    step_up_until_ns: int
    is_this: bool


class SignedOut(BaseModel):
    """The row of the audit that tells of it; null where the session had ended by itself at that very moment."""

    audit_id: int | None


def _from_our_page(request: Request) -> Caller:
    # Nobody is signed in yet, but no other site may sign anybody in.
    caller = recognise(request)
    if not same_origin(request, caller.parts.origins):
        refusal = Denied(NOT_OUR_PAGE)
        caller.refused("use_link" if request.url.path.endswith("/welcome") else "sign_in", refusal, request.url.path)
        raise refusal
    return caller


Stranger = Annotated[Caller, Depends(_from_our_page)]


@router.post("/session")
def sign_in(said: SignIn, request: Request, response: Response, caller: Stranger) -> Began:
    """Start a session; its id comes as a cookie.

    Takes no `Idempotency-Key`: every sign-in is an attempt of its own with an id of its own, which is told once.
    """
    agent = request.headers.get("user-agent", "")
    with SIGN_INS.taken():
        started = caller.parts.plane.entrance.sign_in(
            said.name, said.password, address=caller.address, agent=agent, previous=caller.token
        )
    return _began(response, caller.parts, started)


@router.post("/session/welcome")
def use_link(said: Welcome, request: Request, response: Response, caller: Stranger) -> Began:
    """Choose a password by a one-time link, and start a session. Takes no `Idempotency-Key`: a link works once."""
    agent = request.headers.get("user-agent", "")
    with SIGN_INS.taken():
        started = caller.parts.plane.entrance.use_link(
            said.token, said.password, name=said.name, address=caller.address, agent=agent
        )
    return _began(response, caller.parts, started)


@router.get("/session")
def me(caller: Annotated[Caller, Depends(Needs("read"))]) -> Me:
    """Tell who is signed in."""
    return _told(caller)


@router.delete("/session")
def sign_out(response: Response, caller: Annotated[Caller, Depends(Needs("sign_out"))]) -> SignedOut:
    """End the session. Takes no `Idempotency-Key`: who comes again is nobody by then."""
    done = caller.parts.plane.sessions.sign_out(caller.token, source=caller.address)
    response.delete_cookie(caller.parts.cookie, path="/", secure=caller.parts.https, httponly=True, samesite="strict")
    return SignedOut(audit_id=None if done is None else done.audit_id)


@router.post("/session/step-up")
def step_up(said: Password, response: Response, caller: Annotated[Caller, Depends(Needs("step_up"))]) -> Began:
    """Take the password once more, before what is dangerous; it counts for five minutes.

    Takes no `Idempotency-Key`: every time is an attempt of its own, and the session goes on under a new id.
    """
    if not caller.token:
        raise NotLetInError("a key has no password to give")
    with SIGN_INS.taken():
        started = caller.parts.plane.entrance.step_up(caller.token, said.password, address=caller.address)
    return _began(response, caller.parts, started)


@router.post("/session/password")
def change_password(
    said: NewPassword,
    request: Request,
    response: Response,
    caller: Annotated[Caller, Depends(Needs("change_password"))],
) -> Began:
    """Change the password; all other sessions and all keys of the person end.

    Takes no `Idempotency-Key`: the old password is wrong when it comes again.
    """
    agent = request.headers.get("user-agent", "")
    with SIGN_INS.taken():
        started = caller.parts.plane.entrance.change_password(
            caller.token, said.old, said.new, address=caller.address, agent=agent
        )
    return _began(response, caller.parts, started)


@router.get("/sessions")
def sessions(caller: Annotated[Caller, Depends(Needs("read"))]) -> list[OwnSession]:
    """List one's own sessions."""
    own = caller.session.handle if caller.session else ""
    found = caller.parts.plane.sessions.of(caller.principal.name)
    return [OwnSession.model_validate(one.json() | {"is_this": one.handle == own}) for one in found]


@router.delete("/sessions/{handle}")
def end_session(
    handle: Annotated[str, Path(max_length=64)],
    caller: Annotated[Caller, Depends(Needs("end_session"))],
    once: Once,
) -> Acted:
    """End a session: one's own, or as an admin anybody's."""
    done = caller.parts.plane.sessions.end(caller.principal, handle, key=once, source=caller.address)
    return Acted(audit_id=done.audit_id, repeated=done.repeated)


def _began(response: Response, parts: Parts, started: Started) -> Began:
    response.set_cookie(
        parts.cookie, started.token, path="/", secure=parts.https, httponly=True, samesite="strict", max_age=12 * 3600
    )
    me = _told(Caller(started.session.principal, started.session, started.token, "", parts))
    return Began(**me.model_dump(), audit_id=started.audit_id)


def _told(caller: Caller) -> Me:
    principal, session = caller.principal, caller.session
    return Me(
        name=principal.name,
        role=str(principal.role),
        scopes=sorted(str(scope) for scope in principal.scopes),
        via=str(principal.via),
        csrf=session.csrf if session else None,
        step_up_until_ns=principal.step_up_until_ns,
        expires_ns=session.expires_ns if session else None,
    )
