"""Accounts and what they hold, ask for, did and decided: of one account, and of all together.

An account is its exchange and its id, two parts of every path; one that is not known is an error, never another one.
"""

from collections.abc import Callable, Sequence
from dataclasses import make_dataclass
from typing import Annotated, Any, get_type_hints

from fastapi import APIRouter, Query
from pydantic import BaseModel, create_model
from starlette.responses import Response

from novapulse.core.instruments import AccountKey
from novapulse.monitor import limits, scan, strategies
from novapulse.monitor.rows import (
    AlertState,
    BreakerState,
    BreakState,
    DecisionState,
    FillState,
    OrderState,
    PositionState,
    RoundTripState,
)
from novapulse.monitor.state import AccountState, InstrumentState, LedgerHealth, TraderState
from novapulse.monitor.values import Value, plain
from novapulse.server import answers
from novapulse.server.access import Caller, Reader
from novapulse.server.answers import Format, many, one
from novapulse.server.errors import NotFoundError

router = APIRouter(tags=["accounts"])

_LISTS: dict[str, tuple[type[Value], Callable[[AccountState], Sequence[Value]], str]] = {
    "positions": (PositionState, lambda each: each.positions, "what is held"),
    "orders": (OrderState, lambda each: each.orders, "orders that have not ended"),
    "fills": (FillState, lambda each: each.recent_fills, "the last executions, newest first"),
    "decisions": (DecisionState, lambda each: each.recent_decisions, "the last decisions, newest first"),
    "round-trips": (RoundTripState, lambda each: each.recent_round_trips, "the last round trips, newest first"),
    "alerts": (AlertState, lambda each: each.alerts, "what it was told: all that is open, then the last"),
    "breakers": (BreakerState, lambda each: each.breakers, "circuit breakers that have tripped"),
    "breaks": (BreakState, lambda each: each.breaks, "open differences to the venue"),
    "limits": (limits.Meter, lambda each: limits.limits_of(each), "every limit, and how much of it is used"),
    "votes": (InstrumentState, lambda each: each.votes, "every instrument with its votes and its state"),
}
_SUMMARY = (
    "exchange account_id mode healthy proven reasons notes connected quote equity cash hold day_pnl day_pnl_fraction "
    "drawdown_fraction gross_exposure exposure_fraction realized_pnl unrealized_pnl fees last_close_ns last_bar_age_s "
    "open_orders unknown_orders open_breaks trades market_state as_of_seq as_of_ns settings_hash"
).split()
_HINTS: dict[str, Any] = get_type_hints(AccountState)
_FIELDS: dict[str, Any] = {name: (_HINTS[name], ...) for name in _SUMMARY}
AccountSummary = create_model("AccountSummary", **_FIELDS)


class OverviewSummary(BaseModel):
    """The ledger, the trader, and every account in a line."""

    as_of_ns: int
    ledger: LedgerHealth
    ledger_problem: str
    ledger_read_ns: int
    ledger_id: str
    ledger_place: str
    head_seq: int
    head_ns: int | None
    trader: TraderState
    accounts: list[AccountSummary]


class EquityPoint(BaseModel):
    """Equity at a close; an exact decimal as text, in the quote asset."""

    ts_ns: int
    equity: str
    quote: str


@router.get("/overview", responses=one(OverviewSummary))
def overview(caller: Reader) -> Response:
    """Tell how everything is: the ledger, the trader, and every account in a line."""
    found = caller.parts.hub.now()
    told = {name: each for name, each in found.json().items() if name != "accounts"}
    return answers.value(told | {"accounts": [_summary(each) for each in found.accounts]})


@router.get("/accounts", responses=many(AccountSummary))
def accounts(caller: Reader, format: Format = "json") -> Response:
    """List all accounts, a line each."""
    return answers.rows([_summary(each) for each in caller.parts.hub.now().accounts], "accounts", format)


@router.get("/accounts/{exchange}/{account_id}", responses=one(AccountState))
def account(exchange: str, account_id: str, caller: Reader) -> Response:
    """Tell everything that is known of one account."""
    return answers.value(known(caller, exchange, account_id))


@router.get("/accounts/{exchange}/{account_id}/equity", responses=many(EquityPoint))
def equity(exchange: str, account_id: str, caller: Reader, format: Format = "json") -> Response:
    """List the equity at closes."""
    found = known(caller, exchange, account_id)
    points = [{"ts_ns": ts_ns, "equity": plain(at), "quote": found.quote} for ts_ns, at in found.equity_points]
    return answers.rows(points, f"equity-{exchange}-{account_id}", format)


@router.get("/accounts/{exchange}/{account_id}/statistics", responses=many(strategies.StrategyRow))
def statistics(exchange: str, account_id: str, caller: Reader, format: Format = "json") -> Response:
    """List what each strategy's round trips came to, asked of the ledger now."""
    found = strategies.table(caller.parts.home, AccountKey(exchange, account_id))
    return answers.rows(found, f"statistics-{exchange}-{account_id}", format)


@router.get("/statistics", responses=many(strategies.StrategyRow))
def all_statistics(caller: Reader, format: Format = "json") -> Response:
    """List what each strategy came to, in every account."""
    return answers.rows(strategies.table(caller.parts.home), "statistics", format)


@router.get("/scan", responses=many(scan.ScanRow))
def scanned(
    caller: Reader,
    exchange: str = "",
    account_id: str = "",
    consensus_min: Annotated[float, Query(ge=0, le=20)] = 0.0,
    text: Annotated[str, Query(max_length=40)] = "",
    format: Format = "json",
) -> Response:
    """List every instrument of every account with its votes and its state, the strongest consensus first."""
    found = scan.rows(
        caller.parts.hub.now(), exchange=exchange, account_id=account_id, consensus_min=consensus_min, text=text
    )
    return answers.rows(found, "scan", format)


def known(caller: Caller, exchange: str, account_id: str) -> AccountState:
    """Return an account of the last reading.

    Raises:
        UnknownAccountError: There is none; the message names those there are.
    """
    return caller.parts.hub.now().account(exchange, account_id)


def traded(found: AccountState, symbol: str) -> str:
    """Return a symbol as the account spells it.

    Raises:
        NotFoundError: The account does not trade it.
    """
    wanted = symbol.replace("-", "/").upper()
    for each in found.votes:
        if each.symbol.upper() == wanted:
            return each.symbol
    there = ", ".join(each.symbol for each in found.votes)
    raise NotFoundError(f"{found.account_id} on {found.exchange} does not trade {symbol}: it trades {there}")


def _summary(found: AccountState) -> dict[str, Any]:
    values = found.json()
    return {name: values[name] for name in _SUMMARY}


def _add_list(name: str, model: type[Value], read: Callable[[AccountState], Sequence[Value]], text: str) -> None:
    """Make the two routes of a list: of one account, and of all, where every row names its account."""
    of_account = make_dataclass(
        f"{model.__name__}OfAccount",
        [("exchange", str), ("account_id", str)],
        bases=(model,),
        kw_only=True,
        frozen=True,
    )

    def of_one(exchange: str, account_id: str, caller: Reader, format: Format = "json") -> Response:
        return answers.rows(read(known(caller, exchange, account_id)), f"{name}-{exchange}-{account_id}", format)

    def of_all(caller: Reader, format: Format = "json") -> Response:
        found = [
            {"exchange": each.exchange, "account_id": each.account_id, **row.json()}
            for each in caller.parts.hub.now().accounts
            for row in read(each)
        ]
        return answers.rows(found, name, format)

    path, word = "/accounts/{exchange}/{account_id}/" + name, name.replace("-", "_")
    router.add_api_route(path, of_one, name=word, responses=many(model), summary=f"List {text}.")
    router.add_api_route(
        f"/all/{name}", of_all, name=f"all_{word}", responses=many(of_account), summary=f"List {text}, of all accounts."
    )


for _name, (_model, _read, _text) in _LISTS.items():
    _add_list(_name, _model, _read, _text)
