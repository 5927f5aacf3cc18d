"""Commands for the trader: written once under a key, answered by every account, proven where that can be proven."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, ConfigDict, Field, model_validator
from starlette.concurrency import run_in_threadpool

from novapulse.control.inbox import CONFIGURED, InboxAnswer, limits_text
from novapulse.control.limits import COMMANDS as COMMANDS_LIMIT
from novapulse.control.limits import Limit
from novapulse.control.proof import Proof
from novapulse.control.router import Receipt, Result
from novapulse.core.instruments import AccountKey
from novapulse.server.access import Caller, NeedsItsVerb, Once, Reader, TooOftenError
from novapulse.server.lanes import COMMANDS, FLAT_PROOFS, BusyError
from novapulse.server.parts import API

router = APIRouter(tags=["control"])
T = TypeVar("T")

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
    "acknowledge",
    "limits",
]
WAIT_S_MAX = 10.0
WAITING_MAX = 32
"""How many may wait for an answer at once; who comes after them is answered at once."""

STOPS = frozenset({"pause", "reduce_only", "halt", "kill"})
_STOPS_LIMIT = Limit("stops", 120, 60 * 1_000_000_000)
_LOOK_EVERY_S = 0.05
_PROVE_EVERY_S = 0.25

Wait = Annotated[float, Query(ge=0, le=WAIT_S_MAX, description="How long to wait for it, s.")]


LimitName = Annotated[str, Field(pattern="^[a-z_]+$", max_length=64)]
LimitValue = Annotated[float, Field(allow_inf_nan=False)] | None


class Command(BaseModel):
    """For whom, and with what. Either `all`, or `exchange` and `account_id`."""

    model_config = ConfigDict(extra="forbid")

    exchange: str | None = Field(None, max_length=64)
    account_id: str | None = Field(None, max_length=64)
    all: bool = False
    symbol: str = Field("", max_length=64)
    order: str = Field("", max_length=200)
    alert: str = Field("", max_length=200)
    reason: str = Field("", max_length=500)
    set: dict[LimitName, LimitValue] = Field(
        {}, max_length=64, description="Limits by name, null for what the configuration says; `all` takes null alone."
    )

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


class Answer(BaseModel):
    """What one account answered; `unknown` is no answer, which is never the same as no."""

    exchange: str
    account_id: str
    outcome: Literal["done", "refused", "unknown"]
    text: str
    details: dict[str, Any]


class Told(BaseModel):
    """What became of a command so far: `done` when every account has answered, `ok` when every one did it."""

    accepted: Literal[True] = True
    command_id: str
    verb: str
    taken: bool
    done: bool
    ok: bool
    text: str
    results_url: str
    accounts: list[Answer]


class Submitted(Told):
    """The same, with the command's row in the audit, and whether it was there before."""

    audit_id: int
    repeated: bool


class FlatAccount(BaseModel):
    """Whether an account holds nothing and has no order at work, and why that is not proven."""

    exchange: str
    account_id: str
    flat: bool
    reasons: list[str]


class FlatProof(BaseModel):
    """Whether every account that obeyed is flat; false says that it is not proven, not that anything is held."""

    flat: bool
    as_of_ns: int
    ledger_id: str
    head_seq: int
    accounts: list[FlatAccount]


@dataclass
class _Waiting:
    count: int = 0


_waiting = _Waiting()


@router.post("/control/{verb}", status_code=202)
async def submit(
    verb: Verb,
    command: Command,
    caller: Annotated[Caller, Depends(NeedsItsVerb())],
    once: Once,
    wait: Wait = 0.0,
) -> Submitted:
    """Write a command and return its row in the audit, and what became of it so far.

    `done` says that every account has answered, `ok` that every one did it. The same `Idempotency-Key` again is the
    same command, and acts once.
    """
    receipt = await COMMANDS.run(_submitted, caller, verb, command, once)
    found = await _result_after(caller, receipt.command_id, wait)
    return Submitted(audit_id=receipt.audit_id, repeated=receipt.repeated, **_told(found))


@router.get("/control/commands/{command_id}")
async def result(command_id: str, caller: Reader, wait: Wait = 0.0) -> Told:
    """Tell what became of a command, account by account."""
    return Told(**_told(await _result_after(caller, command_id, wait)))


@router.get("/control/commands/{command_id}/proof")
async def proof(command_id: str, caller: Reader, wait: Wait = 0.0) -> FlatProof:
    """Tell whether every account that obeyed is flat, as ledger and trader agree on it; else why that is not proven."""
    router_ = caller.parts.plane.router

    def proven() -> Proof:
        with FLAT_PROOFS.taken():
            return router_.proof(command_id)

    found = await _until(lambda: run_in_threadpool(proven), lambda one: one.flat, wait, _PROVE_EVERY_S)
    return _proven(found)


def _submitted(caller: Caller, verb: str, command: Command, key: str) -> Receipt:
    principal = caller.principal
    # What stops has an allowance of its own for every verb: other commands never use up that of kill.
    limit, subject = (_STOPS_LIMIT, f"{principal.actor} {verb}") if verb in STOPS else (COMMANDS_LIMIT, principal.actor)
    ruling = caller.parts.allowances.take(limit, subject)
    if not ruling.allowed:
        refusal = TooOftenError(ruling.wait_s)
        caller.refused(verb, refusal, f"{API}/control/{verb}")
        raise refusal
    texts = ("symbol", "order", "alert", "reason")
    named = {name: getattr(command, name) for name in texts}
    arguments = {name: value for name, value in named.items() if value}
    if command.set:
        wish = {name: CONFIGURED if value is None else repr(value) for name, value in command.set.items()}
        arguments["set"] = limits_text(wish)
    return caller.parts.plane.router.submit(principal, verb, command.account, arguments, key, caller.address)


async def _result_after(caller: Caller, command_id: str, wait_s: float) -> Result:
    router_ = caller.parts.plane.router
    return await _until(
        lambda: COMMANDS.run(router_.result, command_id), lambda one: one.complete, wait_s, _LOOK_EVERY_S
    )


async def _until(ask: Callable[[], Awaitable[T]], is_over: Callable[[T], bool], wait_s: float, every_s: float) -> T:
    """Ask until it is over or the time is: who waits holds no thread."""
    until_s = time.monotonic() + (wait_s if _waiting.count < WAITING_MAX else 0.0)
    _waiting.count += 1
    try:
        found = await ask()
        while not is_over(found) and time.monotonic() < until_s:
            await asyncio.sleep(every_s)
            try:
                found = await ask()
            except BusyError:
                continue
        return found
    finally:
        _waiting.count -= 1


def _told(found: Result) -> dict[str, Any]:
    return {
        "command_id": found.command_id,
        "verb": found.verb,
        "taken": found.taken,
        "done": found.complete,
        "ok": found.done,
        "text": _sentence(found),
        "results_url": f"{API}/control/commands/{found.command_id}",
        "accounts": [_answer(one) for one in found.accounts],
    }


def _sentence(found: Result) -> str:
    if not found.taken:
        return "no trader has taken it yet: it waits in control.db"
    answered = sum(one.done is not None for one in found.accounts)
    if not found.complete:
        return f"{answered} of {len(found.accounts)} accounts have answered"
    did = sum(one.done is True for one in found.accounts)
    return f"{did} of {len(found.accounts)} accounts did it"


def _answer(one: InboxAnswer) -> Answer:
    outcomes: dict[bool | None, Literal["done", "refused", "unknown"]] = {
        None: "unknown",
        True: "done",
        False: "refused",
    }
    return Answer(
        exchange=one.account.exchange,
        account_id=one.account.account_id,
        outcome=outcomes[one.done],
        text=one.text,
        details=dict(one.details),
    )


def _proven(found: Proof) -> FlatProof:
    return FlatProof(
        flat=found.flat,
        as_of_ns=found.as_of_ns,
        ledger_id=found.ledger_id,
        head_seq=found.head_seq,
        accounts=[
            FlatAccount(
                exchange=one.account.exchange,
                account_id=one.account.account_id,
                flat=one.flat,
                reasons=list(one.reasons),
            )
            for one in found.accounts
        ],
    )
