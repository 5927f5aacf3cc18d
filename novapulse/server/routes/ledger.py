"""The ledger: its head, its entries, its proof, and decisions made again from it."""

import os
import threading
import time
from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.responses import Response

from novapulse.config import load
from novapulse.core.instruments import AccountKey
from novapulse.ledger.audit import audit
from novapulse.monitor import entries
from novapulse.monitor.home import LEDGER_FILE
from novapulse.parity.kept import Kept, KeptError
from novapulse.parity.rederive import rederive
from novapulse.research.inputs import checked_strategies, open_lake
from novapulse.server.access import Reader
from novapulse.server.csv import csv_of
from novapulse.server.errors import NotFoundError
from novapulse.server.routes.accounts import Format, known

router = APIRouter(tags=["ledger"])

Seq = Annotated[int, Query(ge=1, le=2**62)]
_one_proof = threading.Lock()


@router.get("/ledger")
def head(caller: Reader) -> dict[str, Any]:
    """Tell which ledger this is, where it lies, and how far it goes."""
    found = caller.parts.hub.now().json()
    return {name: value for name, value in found.items() if name.startswith(("ledger", "head", "as_of"))}


@router.get("/ledger/entries", response_model=None)
def page(
    caller: Reader,
    exchange: str = "",
    account_id: str = "",
    kind: Annotated[list[str] | None, Query(max_length=40)] = None,
    before: Seq | None = None,
    client_order_id: str = "",
    limit: Annotated[int, Query(ge=1, le=entries.LIMIT_MAX)] = 50,
    format: Format = "json",
) -> list[dict[str, Any]] | Response:
    """List entries with the legs of what they moved, newest first."""
    if bool(exchange) != bool(account_id):
        raise NotFoundError("an account is an exchange and an account id: give both, or neither")
    key = AccountKey(exchange, account_id) if exchange else None
    found = entries.page(caller.parts.home, key, tuple(kind or ()), before, limit, client_order_id=client_order_id)
    rows = [one.json() for one in found]
    return csv_of(rows, "entries") if format == "csv" else rows


@router.get("/ledger/entries/{seq}")
def entry(seq: int, caller: Reader) -> dict[str, Any]:
    """Tell one entry."""
    return entries.one(caller.parts.home, seq).json()


@router.get("/ledger/proof")
def proof(caller: Reader) -> dict[str, Any]:
    """Prove every entry now: chain, legs, holds, balances and all that is derived; one proof at a time."""
    began_s = time.monotonic()
    with _one_proof:
        found = audit(caller.parts.home / LEDGER_FILE)
    bad = found.first_bad
    return {
        "ok": found.ok,
        "entries": found.entries,
        "first_bad": None if bad is None else {"seq": bad.seq, "where": bad.where, "what": bad.what},
        "faulty": found.faulty,
        "head_seq": found.head_seq,
        "head_hash": found.head_hash,
        "seconds": round(time.monotonic() - began_s, 3),
    }


@router.get("/accounts/{exchange}/{account_id}/decision/{decision_id}")
def explained(exchange: str, account_id: str, decision_id: str, caller: Reader) -> dict[str, Any]:
    """Make a recorded decision again, from ledger and bars, and tell whether it comes out the same."""
    known(caller, exchange, account_id)
    strategies = checked_strategies(load(os.environ, caller.parts.config), lambda _: None)
    with Kept(caller.parts.home / LEDGER_FILE) as kept:
        try:
            whose, record = kept.decision(decision_id)
        except KeptError as wrong:
            raise NotFoundError(str(wrong)) from wrong
        if whose != AccountKey(exchange, account_id):
            raise NotFoundError(f"{account_id} on {exchange} made no decision {decision_id}")
        found = rederive(kept, decision_id, open_lake(), strategies)
    return {
        "decision_id": decision_id,
        "exchange": exchange,
        "account_id": account_id,
        "seq": record.seq,
        "same": found.is_shown,
        "checks": [{"what": one.what, "same": one.same, "how": one.text} for one in found.checks],
        "votes": found.votes,
        "state": found.state,
        "sizes": found.sizes,
    }
