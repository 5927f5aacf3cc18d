"""Accounts and what they hold, ask for, did and decided: of one account, and of all together.

An account is its exchange and its id, two parts of every path; one that is not known is an error, never another one.
"""

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from starlette.responses import Response

from novapulse.core.instruments import AccountKey
from novapulse.monitor import limits, scan, strategies
from novapulse.monitor.state import AccountState, Overview
from novapulse.monitor.values import Value
from novapulse.server.access import Caller, Reader
from novapulse.server.csv import csv_of
from novapulse.server.errors import NotFoundError

router = APIRouter(tags=["accounts"])

Format = Annotated[Literal["json", "csv"], Query(description="`csv` for a spreadsheet.")]
Rows = list[dict[str, Any]]

_LISTS: dict[str, Callable[[AccountState], Sequence[Value]]] = {
    "positions": lambda one: one.positions,
    "orders": lambda one: one.orders,
    "fills": lambda one: one.recent_fills,
    "decisions": lambda one: one.recent_decisions,
    "round-trips": lambda one: one.recent_round_trips,
    "alerts": lambda one: one.alerts,
    "breakers": lambda one: one.breakers,
    "breaks": lambda one: one.breaks,
    "limits": lambda one: limits.limits_of(one),
    "votes": lambda one: one.votes,
}
ListName = Literal[
    "positions",
    "orders",
    "fills",
    "decisions",
    "round-trips",
    "alerts",
    "breakers",
    "breaks",
    "limits",
    "votes",
]
_SUMMARY = (
    "exchange account_id mode healthy proven reasons notes connected quote equity cash hold day_pnl day_pnl_fraction "
    "drawdown_fraction gross_exposure exposure_fraction realized_pnl unrealized_pnl fees last_close_ns last_bar_age_s "
    "open_orders unknown_orders open_breaks trades market_state as_of_seq as_of_ns settings_hash"
).split()


@router.get("/overview")
def overview(caller: Reader) -> dict[str, Any]:
    """Tell how everything is: the ledger, the trader, and every account in a line."""
    found = caller.parts.hub.now()
    return found.json() | {"accounts": [_summary(one) for one in found.accounts]}


@router.get("/accounts", response_model=None)
def accounts(caller: Reader, format: Format = "json") -> Rows | Response:
    """List all accounts, a line each."""
    return _answered([_summary(one) for one in caller.parts.hub.now().accounts], "accounts", format)


@router.get("/accounts/{exchange}/{account_id}")
def account(exchange: str, account_id: str, caller: Reader) -> dict[str, Any]:
    """Tell everything that is known of one account."""
    return caller.parts.hub.now().account(exchange, account_id).json()


@router.get("/accounts/{exchange}/{account_id}/equity", response_model=None)
def equity(exchange: str, account_id: str, caller: Reader, format: Format = "json") -> Rows | Response:
    """List the equity at closes, as exact decimals in the quote asset."""
    found = caller.parts.hub.now().account(exchange, account_id)
    rows = [{"ts_ns": ts_ns, "equity": str(value), "quote": found.quote} for ts_ns, value in found.equity_points]
    return _answered(rows, f"equity-{exchange}-{account_id}", format)


@router.get("/accounts/{exchange}/{account_id}/statistics", response_model=None)
def statistics(exchange: str, account_id: str, caller: Reader, format: Format = "json") -> Rows | Response:
    """List what each strategy's round trips came to, asked of the ledger now."""
    rows = [row.json() for row in strategies.table(caller.parts.home, AccountKey(exchange, account_id))]
    return _answered(rows, f"statistics-{exchange}-{account_id}", format)


@router.get("/accounts/{exchange}/{account_id}/{what}", response_model=None)
def one_list(
    exchange: str, account_id: str, what: ListName, caller: Reader, format: Format = "json"
) -> Rows | Response:
    """List what an account holds, asks for, did, decided or was told."""
    found = caller.parts.hub.now().account(exchange, account_id)
    return _answered([one.json() for one in _LISTS[what](found)], f"{what}-{exchange}-{account_id}", format)


@router.get("/statistics", response_model=None)
def all_statistics(caller: Reader, format: Format = "json") -> Rows | Response:
    """List what each strategy came to, in every account."""
    return _answered([row.json() for row in strategies.table(caller.parts.home)], "statistics", format)


@router.get("/scan", response_model=None)
def scanned(
    caller: Reader,
    exchange: str = "",
    account_id: str = "",
    consensus_min: Annotated[float, Query(ge=0, le=20)] = 0.0,
    text: Annotated[str, Query(max_length=40)] = "",
    format: Format = "json",
) -> Rows | Response:
    """List every instrument of every account with its votes and its state, the strongest consensus first."""
    found = scan.rows(
        caller.parts.hub.now(), exchange=exchange, account_id=account_id, consensus_min=consensus_min, text=text
    )
    return _answered([one.json() for one in found], "scan", format)


@router.get("/all/{what}", response_model=None)
def every_list(what: ListName, caller: Reader, format: Format = "json") -> Rows | Response:
    """List the same of all accounts together; every row names its account."""
    rows = [
        {"exchange": one.exchange, "account_id": one.account_id, **row.json()}
        for one in caller.parts.hub.now().accounts
        for row in _LISTS[what](one)
    ]
    return _answered(rows, what, format)


def _summary(one: AccountState) -> dict[str, Any]:
    values = one.json()
    return {name: values[name] for name in _SUMMARY}


def _answered(rows: Rows, name: str, wanted: str) -> Rows | Response:
    return csv_of(rows, name) if wanted == "csv" else rows


def known(caller: Caller, exchange: str, account_id: str) -> AccountState:
    """Return an account of the last reading.

    Raises:
        UnknownAccountError: There is none.
    """
    reading: Overview = caller.parts.hub.now()
    return reading.account(exchange, account_id)


def traded(found: AccountState, symbol: str) -> str:
    """Return a symbol as the account spells it.

    Raises:
        NotFoundError: The account does not trade it.
    """
    wanted = symbol.replace("-", "/").upper()
    for one in found.votes:
        if one.symbol.upper() == wanted:
            return one.symbol
    there = ", ".join(one.symbol for one in found.votes)
    raise NotFoundError(f"{found.account_id} on {found.exchange} does not trade {symbol}: it trades {there}")
