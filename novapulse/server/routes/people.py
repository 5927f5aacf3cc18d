"""People, their keys and the audit."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from novapulse.control import audit as audits
from novapulse.control.acts import Done
from novapulse.control.keys import NETWORKS_MAX
from novapulse.control.people import LINK_PATH
from novapulse.control.roles import Role, Scope
from novapulse.server import answers
from novapulse.server.access import Caller, Needs, Once
from novapulse.server.answers import Format, many

router = APIRouter(tags=["people"])


class _Said(BaseModel):
    model_config = ConfigDict(extra="forbid")


class NewPerson(_Said):
    """Somebody to be let in."""

    name: str = Field(max_length=64)
    role: Role


class NewRole(_Said):
    """Another role."""

    role: Role


class NewKey(_Said):
    """A key of one's own."""

    label: str = Field(min_length=1, max_length=100)
    scopes: list[Scope] = Field(min_length=1, max_length=8)
    days: int = Field(90, ge=1, le=366)
    networks: list[Annotated[str, Field(max_length=64)]] = Field(
        [], max_length=NETWORKS_MAX, description="Where it works from, such as `192.0.2.0/24`; none for anywhere."
    )


class Person(BaseModel):
    """Somebody who may sign in."""

    name: str
    role: Role
    has_password: bool
    can_sign_in: bool
    has_second_factor: bool
    created_ns: int
    changed_ns: int
    disabled_ns: int | None


class Key(BaseModel):
    """A key, without its secret."""

    prefix: str
    person: str
    label: str
    scopes: list[Scope]
    created_ns: int
    expires_ns: int
    used_ns: int | None
    revoked_ns: int | None
    networks: list[str]


class Acted(BaseModel):
    """The row of the audit; `repeated` where the same was done before under the same `Idempotency-Key`."""

    audit_id: int
    repeated: bool


class WithLink(Acted):
    """With a one-time link by which a password is chosen; null where it was told before, as it is told once."""

    link: str | None


class WithKey(Acted):
    """With the key; null where it was told before, as it is told once."""

    key: str | None


class AuditRow(BaseModel):
    """What somebody did or was not let do."""

    audit_id: int
    ts_ns: int
    actor: str
    credential: str
    source: str
    action: str
    exchange: str | None
    account_id: str | None
    arguments: dict[str, Any]
    outcome: str
    text: str
    idempotency_key: str
    command_id: str


class AuditProof(BaseModel):
    """Whether the audit is as it was written; note `head` elsewhere: it shows later that nothing was cut off."""

    ok: bool
    text: str
    rows: int
    head: str


def _only(action: str) -> Any:
    return Depends(Needs(action))


Name = Annotated[str, Path(max_length=64)]


def _acted(done: Done[Any]) -> Acted:
    return Acted(audit_id=done.audit_id, repeated=done.repeated)


def _with_link(done: Done[str]) -> WithLink:
    link = None if done.result is None else f"{LINK_PATH}#{done.result}"
    return WithLink(audit_id=done.audit_id, repeated=done.repeated, link=link)


@router.get("/people")
def people(caller: Annotated[Caller, _only("read_people")]) -> list[Person]:
    """List who may sign in."""
    return [Person.model_validate(one.json()) for one in caller.parts.plane.people.all()]


@router.post("/people", status_code=201)
def add(said: NewPerson, caller: Annotated[Caller, _only("add_person")], once: Once) -> WithLink:
    """Add somebody; the answer has a one-time link by which they choose a password."""
    people_ = caller.parts.plane.people
    return _with_link(people_.add(caller.principal, said.name, said.role, key=once, source=caller.address))


@router.post("/people/{name}/link", status_code=201)
def link(name: Name, caller: Annotated[Caller, _only("make_link")], once: Once) -> WithLink:
    """Make a new one-time link for somebody; earlier ones stop working."""
    return _with_link(caller.parts.plane.people.make_link(caller.principal, name, key=once, source=caller.address))


@router.put("/people/{name}/role")
def role(name: Name, said: NewRole, caller: Annotated[Caller, _only("change_role")], once: Once) -> Acted:
    """Give somebody another role; their sessions and keys end."""
    people_ = caller.parts.plane.people
    return _acted(people_.change_role(caller.principal, name, said.role, key=once, source=caller.address))


@router.post("/people/{name}/disable")
def disable(name: Name, caller: Annotated[Caller, _only("disable_person")], once: Once) -> Acted:
    """Let somebody in no more, from now on."""
    return _acted(caller.parts.plane.people.disable(caller.principal, name, key=once, source=caller.address))


@router.post("/people/{name}/enable")
def enable(name: Name, caller: Annotated[Caller, _only("enable_person")], once: Once) -> Acted:
    """Let somebody in again."""
    return _acted(caller.parts.plane.people.enable(caller.principal, name, key=once, source=caller.address))


@router.get("/keys")
def keys(caller: Annotated[Caller, _only("read")]) -> list[Key]:
    """List one's own keys, without their secrets."""
    return [Key.model_validate(one.json()) for one in caller.parts.plane.keys.of(caller.principal.name)]


@router.post("/keys", status_code=201)
def make_key(said: NewKey, caller: Annotated[Caller, _only("make_key")], once: Once) -> WithKey:
    """Make a key of one's own; it is told this once."""
    make = caller.parts.plane.keys.make
    more = {"key": once, "source": caller.address}
    done = make(caller.principal, said.label, said.scopes, said.days, networks=said.networks, **more)
    return WithKey(audit_id=done.audit_id, repeated=done.repeated, key=done.result)


@router.delete("/keys/{prefix}")
def revoke_key(prefix: Name, caller: Annotated[Caller, _only("revoke_key")], once: Once) -> Acted:
    """Let a key work no more: one's own, or as an admin anybody's."""
    return _acted(caller.parts.plane.keys.revoke(caller.principal, prefix, key=once, source=caller.address))


@router.get("/audit", responses=many(AuditRow))
def audit(
    caller: Annotated[Caller, _only("read_audit")],
    before: Annotated[int | None, Query(ge=1, le=2**62)] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
    actor: Annotated[str, Query(max_length=100)] = "",
    format: Format = "json",
) -> Response:
    """List what was done and what was refused, newest first."""
    with caller.parts.plane.storage.reading() as database:
        return answers.rows(audits.page(database, before=before, limit=limit, actor=actor), "audit", format)


@router.get("/audit/proof")
def audit_proof(caller: Annotated[Caller, _only("read_audit")]) -> AuditProof:
    """Prove that the audit is as it was written."""
    with caller.parts.plane.storage.reading() as database:
        try:
            rows, head = audits.verify(database)
        except audits.TamperedError as wrong:
            return AuditProof(ok=False, text=str(wrong), rows=0, head="")
    return AuditProof(ok=True, text="", rows=rows, head=head)
