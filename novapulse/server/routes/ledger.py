"""The ledger: its head, its entries, its proof, and decisions made again from it."""

import os
import time
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel
from starlette.responses import Response

from novapulse.config import load
from novapulse.core.instruments import AccountKey
from novapulse.ledger.audit import audit
from novapulse.monitor import entries
from novapulse.monitor.home import LEDGER_FILE
from novapulse.monitor.state import LedgerHealth
from novapulse.parity.kept import Kept, KeptError
from novapulse.parity.rederive import rederive
from novapulse.parity.sessions import configuration_of
from novapulse.research.inputs import checked_strategies, lake_with
from novapulse.server import answers
from novapulse.server.access import Reader
from novapulse.server.answers import Format, many, one
from novapulse.server.errors import NotFoundError
from novapulse.server.lanes import EXPLANATIONS, LEDGER_PROOFS
from novapulse.server.routes.accounts import known

router = APIRouter(tags=["ledger"])

SEQ_MAX = 2**62
Seq = Annotated[int, Query(ge=1, le=SEQ_MAX)]


class LedgerHead(BaseModel):
    """Which ledger this is, where it lies, and how far it goes."""

    as_of_ns: int
    ledger: LedgerHealth
    ledger_problem: str
    ledger_read_ns: int
    ledger_id: str
    ledger_place: str
    head_seq: int
    head_ns: int | None


class BadEntry(BaseModel):
    """The first entry that is not as it has to be."""

    seq: int
    where: str
    what: str


class LedgerProof(BaseModel):
    """What a walk over every entry found. Note `head_hash` elsewhere: it shows later that nothing was cut off."""

    ok: bool
    entries: int
    first_bad: BadEntry | None
    faulty: int
    head_seq: int
    head_hash: str
    seconds: float


class MadeAgain(BaseModel):
    """One thing that was made again; `same` is null where that could not be done."""

    what: str
    same: bool | None
    how: str


class Explanation(BaseModel):
    """A decision, made again from ledger and bars, and compared bit by bit with what was recorded."""

    decision_id: str
    exchange: str
    account_id: str
    seq: int
    same: bool
    checks: list[MadeAgain]
    votes: dict[str, Any] | None
    state: dict[str, Any] | None
    sizes: dict[str, Any] | None


@router.get("/ledger", responses=one(LedgerHead))
def head(caller: Reader) -> Response:
    """Tell which ledger this is, where it lies, and how far it goes."""
    found = caller.parts.hub.now().json()
    return answers.value({name: found[name] for name in LedgerHead.model_fields})


@router.get("/ledger/entries", responses=many(entries.EntryState))
def page(
    caller: Reader,
    exchange: str = "",
    account_id: str = "",
    kind: Annotated[list[str] | None, Query(max_length=40)] = None,
    before: Seq | None = None,
    client_order_id: Annotated[str, Query(max_length=200)] = "",
    limit: Annotated[int, Query(ge=1, le=entries.LIMIT_MAX)] = 50,
    format: Format = "json",
) -> Response:
    """List entries with the legs of what they moved, newest first; the page after it begins `before` its last one."""
    if bool(exchange) != bool(account_id):
        raise NotFoundError("an account is an exchange and an account id: give both, or neither")
    key = AccountKey(exchange, account_id) if exchange else None
    found = entries.page(caller.parts.home, key, tuple(kind or ()), before, limit, client_order_id=client_order_id)
    return answers.rows(found, "entries", format)


@router.get("/ledger/entries/{seq}", responses=one(entries.EntryState))
def entry(seq: Annotated[int, Path(ge=1, le=SEQ_MAX)], caller: Reader) -> Response:
    """Tell one entry."""
    return answers.value(entries.one(caller.parts.home, seq))


@router.get("/ledger/proof", responses=one(LedgerProof))
def proof(caller: Reader) -> Response:
    """Prove every entry now: chain, legs, holds, balances and all that is derived; one proof at a time."""
    began_s = time.monotonic()
    with LEDGER_PROOFS.taken():
        found = audit(caller.parts.home / LEDGER_FILE)
    bad = found.first_bad
    return answers.value(
        {
            "ok": found.ok,
            "entries": found.entries,
            "first_bad": None if bad is None else {"seq": bad.seq, "where": bad.where, "what": bad.what},
            "faulty": found.faulty,
            "head_seq": found.head_seq,
            "head_hash": found.head_hash,
            "seconds": round(time.monotonic() - began_s, 3),
        }
    )


@router.get("/accounts/{exchange}/{account_id}/decision/{decision_id}", responses=one(Explanation))
def explained(exchange: str, account_id: str, decision_id: str, caller: Reader) -> Response:
    """Make a recorded decision again, from ledger and bars, and tell whether it comes out the same."""
    key = known(caller, exchange, account_id).key
    with EXPLANATIONS.taken():
        strategies = checked_strategies(load(os.environ, caller.parts.config), lambda _: None)
        try:
            with Kept(caller.parts.home / LEDGER_FILE) as kept:
                whose, record = kept.decision(decision_id)
                if whose != key:
                    raise NotFoundError(f"{account_id} on {exchange} made no decision {decision_id}")
                ran_with = configuration_of(kept.session_of(key, record.seq))
                lake = lake_with((one.key for one in ran_with.instruments), ran_with.timeframe_ns)
                found = rederive(kept, decision_id, lake, strategies)
        except KeptError as wrong:
            raise NotFoundError(str(wrong)) from wrong
    return answers.value(
        {
            "decision_id": record.record.body["decision_id"],
            "exchange": exchange,
            "account_id": account_id,
            "seq": record.seq,
            "same": found.is_shown,
            "checks": [{"what": one.what, "same": one.same, "how": one.text} for one in found.checks],
            "votes": found.votes,
            "state": found.state,
            "sizes": found.sizes,
        }
    )
