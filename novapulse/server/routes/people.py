"""People, their keys and the audit."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from novapulse.control import audit as audits
from novapulse.control.people import LINK_PATH
from novapulse.control.roles import Role, Scope
from novapulse.server.access import Caller, Needs
from novapulse.server.csv import csv_of
from novapulse.server.routes.accounts import Format

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


def _only(action: str) -> Any:
    return Depends(Needs(action))


@router.get("/people")
def people(caller: Annotated[Caller, _only("read_people")]) -> list[dict[str, Any]]:
    """List who may sign in."""
    return [dict(one.json()) for one in caller.parts.plane.people.all()]


@router.post("/people", status_code=201)
def add(said: NewPerson, caller: Annotated[Caller, _only("add_person")]) -> dict[str, Any]:
    """Add somebody; the answer has a one-time link by which they choose a password."""
    done = caller.parts.plane.people.add(caller.principal, said.name, said.role, source=caller.address)
    return {"audit_id": done.audit_id, "link": f"{LINK_PATH}#{done.result}"}


@router.post("/people/{name}/link", status_code=201)
def link(name: str, caller: Annotated[Caller, _only("make_link")]) -> dict[str, Any]:
    """Make a new one-time link for somebody; earlier ones stop working."""
    done = caller.parts.plane.people.make_link(caller.principal, name, source=caller.address)
    return {"audit_id": done.audit_id, "link": f"{LINK_PATH}#{done.result}"}


@router.put("/people/{name}/role")
def role(name: str, said: NewRole, caller: Annotated[Caller, _only("change_role")]) -> dict[str, Any]:
    """Give somebody another role; their sessions and keys end."""
    done = caller.parts.plane.people.change_role(caller.principal, name, said.role, source=caller.address)
    return {"audit_id": done.audit_id}


@router.post("/people/{name}/disable")
def disable(name: str, caller: Annotated[Caller, _only("disable_person")]) -> dict[str, Any]:
    """Let somebody in no more, from now on."""
    done = caller.parts.plane.people.disable(caller.principal, name, source=caller.address)
    return {"audit_id": done.audit_id}


@router.post("/people/{name}/enable")
def enable(name: str, caller: Annotated[Caller, _only("enable_person")]) -> dict[str, Any]:
    """Let somebody in again."""
    done = caller.parts.plane.people.enable(caller.principal, name, source=caller.address)
    return {"audit_id": done.audit_id}


@router.get("/keys")
def keys(caller: Annotated[Caller, _only("read")]) -> list[dict[str, Any]]:
    """List one's own keys, without their secrets."""
    return [dict(one.json()) for one in caller.parts.plane.keys.of(caller.principal.name)]


@router.post("/keys", status_code=201)
def make_key(said: NewKey, caller: Annotated[Caller, _only("make_key")]) -> dict[str, Any]:
    """Make a key of one's own; it is told this once."""
    done = caller.parts.plane.keys.make(caller.principal, said.label, said.scopes, said.days, source=caller.address)
    return {"audit_id": done.audit_id, "key": done.result}


@router.delete("/keys/{prefix}")
def revoke_key(prefix: str, caller: Annotated[Caller, _only("revoke_key")]) -> dict[str, Any]:
    """Let a key work no more: one's own, or as an admin anybody's."""
    done = caller.parts.plane.keys.revoke(caller.principal, prefix, source=caller.address)
    return {"audit_id": done.audit_id}


@router.get("/audit", response_model=None)
def audit(
    caller: Annotated[Caller, _only("read_audit")],
    before: Annotated[int | None, Query(ge=1, le=2**62)] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
    actor: Annotated[str, Query(max_length=100)] = "",
    format: Format = "json",
) -> list[dict[str, Any]] | Response:
    """List what was done and what was refused, newest first."""
    with caller.parts.plane.storage.reading() as database:
        rows = [dict(row.json()) for row in audits.page(database, before=before, limit=limit, actor=actor)]
    return csv_of(rows, "audit") if format == "csv" else rows


@router.get("/audit/proof")
def audit_proof(caller: Annotated[Caller, _only("read_audit")]) -> dict[str, Any]:
    """Prove that the audit is as it was written."""
    with caller.parts.plane.storage.reading() as database:
        try:
            rows, head = audits.verify(database)
        except audits.TamperedError as wrong:
            return {"ok": False, "text": str(wrong), "rows": 0, "head": ""}
    return {"ok": True, "text": "", "rows": rows, "head": head}
