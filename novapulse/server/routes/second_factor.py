"""The second factor: set up, proven by its first code, and taken away."""

import base64
from typing import Annotated

from fastapi import APIRouter, Depends, Path
from pydantic import BaseModel, Field

from novapulse.control.second_factor import address_of, grouped, picture_of
from novapulse.server.access import Caller, Needs, Once
from novapulse.server.routes.people import Acted
from novapulse.server.routes.session import Code

router = APIRouter(tags=["session"])


class SecondFactor(BaseModel):
    """One's own second factor; `since_ns` is null where there is none."""

    since_ns: int | None
    recovery_codes_left: int


class Begun(Acted):
    """A secret for an app, which counts when a code proves it; null where it was told before, as it is told once."""

    secret: str | None = Field(description="To be typed into the app, in groups of four.")
    address: str | None = Field(description="The same as an `otpauth:` address, which an app on this machine opens.")
    picture: str | None = Field(description="The same as a QR code: an SVG, as a `data:` address.")


class Enrolled(Acted):
    """Recovery codes, each good once where the app is lost; null where they were told before, as they are told once."""

    recovery_codes: list[str] | None


@router.get("/session/second-factor")
def second_factor(caller: Annotated[Caller, Depends(Needs("who_am_i"))]) -> SecondFactor:
    """Tell whether one has a second factor, and how many recovery codes are left."""
    found = caller.parts.plane.second_factors.of(caller.principal.name)
    if found is None:
        return SecondFactor(since_ns=None, recovery_codes_left=0)
    return SecondFactor(since_ns=found.since_ns, recovery_codes_left=found.recovery_codes_left)


@router.post("/session/second-factor", status_code=201)
def begin(caller: Annotated[Caller, Depends(Needs("begin_second_factor"))], once: Once) -> Begun:
    """Make a secret for an app; `.../proof` takes its first code."""
    done = caller.parts.plane.second_factors.begin(caller.principal, key=once, source=caller.address)
    if done.result is None:
        return Begun(audit_id=done.audit_id, repeated=done.repeated, secret=None, address=None, picture=None)
    address = address_of(done.result, caller.principal.name)
    drawn = base64.b64encode(picture_of(address).encode()).decode()
    return Begun(
        audit_id=done.audit_id,
        repeated=done.repeated,
        secret=grouped(done.result),
        address=address,
        picture=f"data:image/svg+xml;base64,{drawn}",
    )


@router.post("/session/second-factor/proof")
def prove(said: Code, caller: Annotated[Caller, Depends(Needs("enrol_second_factor"))], once: Once) -> Enrolled:
    """Let the second factor count from now on, as a code proves it; one's other sessions end."""
    done = caller.parts.plane.entrance.enrol(caller.token, said.code, key=once, address=caller.address)
    return Enrolled(audit_id=done.audit_id, repeated=done.repeated, recovery_codes=done.result)


@router.delete("/session/second-factor")
def remove(caller: Annotated[Caller, Depends(Needs("remove_second_factor"))], once: Once) -> Acted:
    """Take one's second factor away; one's other sessions end."""
    done = caller.parts.plane.second_factors.remove(caller.principal, key=once, source=caller.address)
    return Acted(audit_id=done.audit_id, repeated=done.repeated)


@router.delete("/people/{name}/second-factor")
def reset(
    name: Annotated[str, Path(max_length=64)],
    caller: Annotated[Caller, Depends(Needs("reset_second_factor"))],
    once: Once,
) -> Acted:
    """Take away the second factor of somebody who has lost it; their sessions end."""
    done = caller.parts.plane.second_factors.reset(caller.principal, name, key=once, source=caller.address)
    return Acted(audit_id=done.audit_id, repeated=done.repeated)
