"""Signing in and out, the code of a second factor, the password, one-time links, and one's own sessions."""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Path, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import JSONResponse

from novapulse.control.challenges import CHALLENGE_NS, Challenge
from novapulse.control.entrance import NotLetInError
from novapulse.control.roles import Denied
from novapulse.control.sessions import Started
from novapulse.server.access import Caller, Needs, Once, recognise
from novapulse.server.answers import Documented
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


class Code(_Said):
    """What the app of a second factor shows, or a recovery code."""

    code: str = Field(max_length=64)


class Password(_Said):
    """The password once more, and the code of who has a second factor."""

    password: str = Field(max_length=1024)
    code: str = Field("", max_length=64)


class NewPassword(_Said):
    """The old password and the new one, and the code of who has a second factor."""

    old: str = Field(max_length=1024)
    new: str = Field(max_length=1024)
    code: str = Field("", max_length=64)


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
    has_second_factor: bool = Field(description="Whether a code is wanted beside the password.")
    owes_second_factor: bool = Field(description="Whether nothing else is allowed before one is set up.")


class CodeWanted(BaseModel):
    """The password is right, and no session has begun: its code goes to `POST /session/code`, by the same browser."""

    code_wanted: Literal[True] = True
    expires_ns: int
    audit_id: int


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


_ASKS: Documented = {202: {"model": CodeWanted, "description": "The code of a second factor is wanted still."}}


@router.post("/session", response_model=Began, responses=_ASKS)
def sign_in(said: SignIn, request: Request, response: Response, caller: Stranger) -> Began | Response:
    """Start a session; its id comes as a cookie. Of who has a second factor the code is wanted first: status 202.

    Takes no `Idempotency-Key`: every sign-in is an attempt of its own with an id of its own, which is told once.
    """
    agent = request.headers.get("user-agent", "")
    with SIGN_INS.taken():
        came = caller.parts.plane.entrance.sign_in(
            said.name, said.password, address=caller.address, agent=agent, previous=caller.token
        )
    return _came(response, caller.parts, came)


@router.post("/session/code")
def give_code(said: Code, request: Request, response: Response, caller: Stranger) -> Began:
    """Start the session that waits for a code; it is known by a cookie that came with the right password.

    Takes no `Idempotency-Key`: a code is good once.
    """
    parts, agent = caller.parts, request.headers.get("user-agent", "")
    challenge = request.cookies.get(parts.challenge_cookie, "")
    started = parts.plane.entrance.give_code(
        challenge, said.code, address=caller.address, agent=agent, previous=caller.token
    )
    began = _began(response, parts, started)
    response.delete_cookie(parts.challenge_cookie, path="/", secure=parts.https, httponly=True, samesite="strict")
    return began


@router.post("/session/welcome", response_model=Began, responses=_ASKS)
def use_link(said: Welcome, request: Request, response: Response, caller: Stranger) -> Began | Response:
    """Choose a password by a one-time link, and start a session. Takes no `Idempotency-Key`: a link works once.

    Of who has a second factor the code is wanted first: status 202.
    """
    agent = request.headers.get("user-agent", "")
    with SIGN_INS.taken():
        came = caller.parts.plane.entrance.use_link(
            said.token, said.password, name=said.name, address=caller.address, agent=agent
        )
    return _came(response, caller.parts, came)


@router.get("/session")
def me(caller: Annotated[Caller, Depends(Needs("who_am_i"))]) -> Me:
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
    """Take password and code once more, before what is dangerous; they count for five minutes.

    Takes no `Idempotency-Key`: every time is an attempt of its own, and the session goes on under a new id.
    """
    if not caller.token:
        raise NotLetInError("a key has no password to give")
    with SIGN_INS.taken():
        started = caller.parts.plane.entrance.step_up(caller.token, said.password, said.code, address=caller.address)
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
            caller.token, said.old, said.new, said.code, address=caller.address, agent=agent
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


def _came(response: Response, parts: Parts, came: Started | Challenge) -> Began | Response:
    if isinstance(came, Started):
        return _began(response, parts, came)
    asked = JSONResponse(CodeWanted(expires_ns=came.expires_ns, audit_id=came.audit_id).model_dump(), 202)
    asked.set_cookie(
        *(parts.challenge_cookie, came.token, CHALLENGE_NS // 1_000_000_000),
        path="/",
        secure=parts.https,
        httponly=True,
        samesite="strict",
    )
    return asked


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
        has_second_factor=session is not None and session.has_second_factor,
        owes_second_factor=principal.owes_second_factor,
    )
