"""Commands for the trader: written once under a key, answered by every account, proven where that can be proven."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Query
from pydantic import BaseModel, ConfigDict, Field, model_validator

from novapulse.control.inbox import InboxAnswer
from novapulse.control.limits import COMMANDS
from novapulse.control.proof import Proof
from novapulse.control.roles import ACTIONS
from novapulse.control.router import Result
from novapulse.core.instruments import AccountKey
from novapulse.server.access import Caller, Reader, TooOftenError
from novapulse.server.parts import API

router = APIRouter(tags=["control"])

Verb = Literal[
    "pause",
    "resume",
    "reduce_only",
    "halt",
    "resume_from_halt",
    "flatten",
    "close",
    "cancel",
    "kill",
    "adopt",
    "ignore",
    "settle",
    "reconcile",
]
WAIT_S_MAX = 10.0
Wait = Annotated[float, Query(ge=0, le=WAIT_S_MAX, description="How long to wait for the answers, s.")]


class Command(BaseModel):
    """For whom, and with what. Either `all`, or `exchange` and `account_id`."""

    model_config = ConfigDict(extra="forbid")

    exchange: str | None = Field(None, max_length=64)
    account_id: str | None = Field(None, max_length=64)
    all: bool = False
    symbol: str = Field("", max_length=64)
    order: str = Field("", max_length=200)
    reason: str = Field("", max_length=500)

    @model_validator(mode="after")
    def _names_one_or_all(self) -> "Command":
        named = (self.exchange is not None, self.account_id is not None)
        if self.all and any(named):
            raise ValueError("give either all, or one account")
        if not self.all and not all(named):
            raise ValueError("give exchange and account_id, or all")
        return self

    @property
    def account(self) -> AccountKey | None:
        """Who is to obey; None for all."""
        return None if self.exchange is None or self.account_id is None else AccountKey(self.exchange, self.account_id)


@router.post("/control/{verb}", status_code=202)
def submit(
    verb: Verb,
    command: Command,
    caller: Reader,
    idempotency_key: Annotated[str, Header(min_length=8, max_length=200)],
    wait: Wait = 0.0,
) -> dict[str, Any]:
    """Write a command and return its row in the audit, and what became of it so far.

    `done` says that every account has answered, `ok` that every one did it. The same `Idempotency-Key` again is the
    same command, and acts once.
    """
    router_, principal = caller.parts.plane.router, caller.principal
    _take(caller, verb)
    named = {"symbol": command.symbol, "order": command.order, "reason": command.reason}
    arguments = {name: value for name, value in named.items() if value}
    receipt = router_.submit(principal, verb, command.account, arguments, idempotency_key, caller.address)
    told = {"audit_id": receipt.audit_id, "command_id": receipt.command_id, "repeated": receipt.repeated}
    return told | _result(router_.wait(receipt.command_id, wait))


@router.get("/control/commands/{command_id}")
def result(command_id: str, caller: Reader, wait: Wait = 0.0) -> dict[str, Any]:
    """Tell what became of a command, account by account."""
    return _result(caller.parts.plane.router.wait(command_id, wait))


@router.get("/control/commands/{command_id}/proof")
def proof(command_id: str, caller: Reader, wait: Wait = 0.0) -> dict[str, Any]:
    """Tell whether every account that obeyed is flat, as ledger and trader agree on it; else why that is not proven."""
    return _proof(caller.parts.plane.router.wait_for_proof(command_id, wait))


def _take(caller: Caller, verb: str) -> None:
    # What stops everything is never held up by having asked too often.
    if ACTIONS[verb].step_up or verb in ("adopt", "ignore", "settle", "close", "cancel", "reconcile"):
        ruling = caller.parts.allowances.take(COMMANDS, caller.principal.actor)
        if not ruling.allowed:
            raise TooOftenError(ruling.wait_s)


def _result(found: Result) -> dict[str, Any]:
    return {
        "accepted": True,
        "command_id": found.command_id,
        "verb": found.verb,
        "taken": found.taken,
        "done": found.complete,
        "ok": found.done,
        "results_url": f"{API}/control/commands/{found.command_id}",
        "accounts": [_answer(one) for one in found.accounts],
    }


def _answer(one: InboxAnswer) -> dict[str, Any]:
    return {
        "exchange": one.account.exchange,
        "account_id": one.account.account_id,
        "outcome": {None: "unknown", True: "done", False: "refused"}[one.done],
        "text": one.text,
        "details": dict(one.details),
    }


def _proof(found: Proof) -> dict[str, Any]:
    return {
        "flat": found.flat,
        "as_of_ns": found.as_of_ns,
        "ledger_id": found.ledger_id,
        "head_seq": found.head_seq,
        "accounts": [
            {
                "exchange": one.account.exchange,
                "account_id": one.account.account_id,
                "flat": one.flat,
                "reasons": list(one.reasons),
            }
            for one in found.accounts
        ],
    }
