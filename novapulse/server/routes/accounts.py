"""Accounts and what they hold, ask for, did and decided: of one account, and of all together.

An account is its exchange and its id, two parts of every path; one that is not known is an error, never another one.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, make_dataclass
from typing import Annotated, Any, get_type_hints

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, create_model
from starlette.responses import Response

from novapulse.core.instruments import AccountKey
from novapulse.ledger import queries
from novapulse.monitor import history as ended
from novapulse.monitor import limits, scan, strategies
from novapulse.monitor.fold import RECENT
from novapulse.monitor.home import LEDGER_FILE
from novapulse.monitor.rows import (
    AlertState,
    BreakerState,
    BreakState,
    DayState,
    DecisionState,
    FillState,
    LimitChangeState,
    LockState,
    OrderState,
    PositionState,
    RoundTripState,
)
from novapulse.monitor.state import AccountState, InstrumentState, LedgerHealth, TraderState
from novapulse.monitor.values import Value, plain
from novapulse.parity.kept import Kept, KeptError
from novapulse.server import answers, history
from novapulse.server.access import Caller, Reader
from novapulse.server.answers import Format, many, one
from novapulse.server.errors import NotFoundError
from novapulse.server.lanes import HISTORIES

router = APIRouter(tags=["accounts"])

_LISTS: dict[str, tuple[type[Value], Callable[[AccountState], Sequence[Value]], str]] = {
    "positions": (PositionState, lambda each: each.positions, "what is held"),
    "orders": (OrderState, lambda each: each.orders, "orders that have not ended"),
    "fills": (FillState, lambda each: each.recent_fills, "executions, newest first"),
    "decisions": (DecisionState, lambda each: each.recent_decisions, "decisions, newest first"),
    "round-trips": (RoundTripState, lambda each: each.recent_round_trips, "round trips, newest first"),
    "alerts": (AlertState, lambda each: each.alerts, "what it was told: all that is open, then the last"),
    "breakers": (BreakerState, lambda each: each.breakers, "circuit breakers that have tripped"),
    "breaks": (BreakState, lambda each: each.breaks, "open differences to the venue"),
    "limits": (limits.Meter, lambda each: limits.limits_of(each), "every limit, and how much of it is used"),
    "limit-changes": (LimitChangeState, lambda each: each.limit_changes, "limits that are otherwise than configured"),
    "locks": (LockState, lambda each: each.locks, "what keeps entries away, and until when"),
    "votes": (InstrumentState, lambda each: each.votes, "every instrument with its votes and its state"),
}


@dataclass(frozen=True, slots=True)
class Paging:
    """Which page of a list is wanted, and how.

    Attributes:
        limit: At most so many rows.
        before: Only what stands before it.
        format: `json` or `csv`.
    """

    limit: Annotated[
        int | None,
        Query(
            ge=1,
            le=history.ROWS_MAX,
            description="At most so many rows; of a list as JSON 50, of a CSV all that may be.",
        ),
    ] = None
    before: Annotated[
        int | None,
        Query(ge=1, le=2**62, description="Only what stands before this: `x-next-before` of the page before."),
    ] = None
    format: Format = "json"

    @property
    def most(self) -> int:
        """How many rows a page has."""
        return self.limit or (history.ROWS_MAX if self.format == "csv" else RECENT)


Paged = Annotated[Paging, Depends()]
_SUMMARY = (
    "exchange account_id mode money healthy proven reasons notes connected quote equity cash hold day_pnl "
    "day_pnl_fraction drawdown_fraction gross_exposure exposure_fraction realized_pnl unrealized_pnl fees "
    "last_close_ns last_bar_age_s open_orders unknown_orders open_breaks trades market_state as_of_seq as_of_ns "
    "settings_hash"
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


class BookBalance(BaseModel):
    """What lies in a book of the ledger: an exact decimal as text, signed."""

    book: str
    asset: str
    amount: str


class Settings(BaseModel):
    """What the account's last session ran with; `configuration` is null where it was not kept."""

    exchange: str
    account_id: str
    settings_hash: str
    session_seq: int
    configuration: dict[str, Any] | None


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


@router.get("/accounts/{exchange}/{account_id}/days", responses=many(DayState))
def days(exchange: str, account_id: str, caller: Reader, format: Format = "json") -> Response:
    """List what each day of UTC brought, newest first."""
    found = ended.days_of(known(caller, exchange, account_id))
    return answers.rows(found, f"days-{exchange}-{account_id}", format)


@router.get("/accounts/{exchange}/{account_id}/ended-orders", responses=many(ended.EndedOrder))
def ended_orders(exchange: str, account_id: str, caller: Reader, paging: Paged) -> Response:
    """List the orders that have ended, newest first, as far back as the ledger goes."""
    key = known(caller, exchange, account_id).key
    found = ended.ended_orders(caller.parts.home, key, last=paging.most + 1, before=paging.before)
    return _page(found, f"ended-orders-{exchange}-{account_id}", paging)


@router.get("/accounts/{exchange}/{account_id}/holds", responses=many(ended.HoldState))
def holds(exchange: str, account_id: str, caller: Reader, paging: Paged) -> Response:
    """List the stretches of bars on which nothing was done, and why, newest first, as far as they are kept.

    A stretch has no entry of its own, and stands at its first bar. Those that began with the same bar are on one page.
    """
    home, key = caller.parts.home, known(caller, exchange, account_id).key
    found = ended.holds(home, key, last=paging.most + 1, before=paging.before)
    next_before = None
    if len(found) > paging.most:
        cut_ns = found[-1].first_ns
        found = tuple(each for each in found if each.first_ns > cut_ns) or tuple(
            each for each in ended.holds(home, key, last=history.ROWS_MAX, before=cut_ns + 1) if each.first_ns == cut_ns
        )
        next_before = found[-1].first_ns
    return answers.rows(found, f"holds-{exchange}-{account_id}", paging.format, next_before)


@router.get("/accounts/{exchange}/{account_id}/balances", responses=many(BookBalance))
def balances(exchange: str, account_id: str, caller: Reader, format: Format = "json") -> Response:
    """List what lies in each book of the ledger, asked of it now."""
    key = known(caller, exchange, account_id).key
    with queries.reading(caller.parts.home / LEDGER_FILE) as connection:
        found = queries.balances(connection, key)
    told = [{"book": one.book.value, "asset": one.asset, "amount": plain(one.amount)} for one in found]
    return answers.rows(told, f"balances-{exchange}-{account_id}", format)


@router.get("/accounts/{exchange}/{account_id}/settings", responses=one(Settings))
def settings(exchange: str, account_id: str, caller: Reader) -> Response:
    """Tell what the account's last session ran with, as the ledger has it."""
    found = known(caller, exchange, account_id)
    try:
        with Kept(caller.parts.home / LEDGER_FILE) as kept:
            sessions = kept.sessions(found.key)
    except KeptError as wrong:
        raise NotFoundError(str(wrong)) from wrong
    if not sessions:
        raise NotFoundError(f"{account_id} on {exchange} has not run yet")
    last = sessions[-1]
    return answers.value(
        {
            "exchange": exchange,
            "account_id": account_id,
            "settings_hash": found.settings_hash,
            "session_seq": last.first_seq,
            "configuration": json.loads(last.configuration) if last.configuration else None,
        }
    )


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


def _page(found: Sequence[Any], name: str, paging: Paging) -> Response:
    """Return a page of rows of which one more was asked for, and where the next one begins."""
    page = found[: paging.most]
    last = page[-1] if len(found) > paging.most else None
    next_before = None if last is None else int(last["seq"] if isinstance(last, dict) else last.seq)
    return answers.rows(page, name, paging.format, next_before)


def _named(found: Iterable[Value], key: AccountKey) -> list[dict[str, Any]]:
    return [{"exchange": key.exchange, "account_id": key.account_id, **row.json()} for row in found]


Read = Callable[[AccountState], Sequence[Value]]


def _add_list(name: str, model: type[Value], read: Read, text: str) -> None:
    """Make the two routes of a list of now: of one account, and of all, where every row names its account."""

    def of_one(exchange: str, account_id: str, caller: Reader, format: Format = "json") -> Response:
        return answers.rows(read(known(caller, exchange, account_id)), f"{name}-{exchange}-{account_id}", format)

    def of_all(caller: Reader, format: Format = "json") -> Response:
        found = [row for each in caller.parts.hub.now().accounts for row in _named(read(each), each.key)]
        return answers.rows(found, name, format)

    _add_routes(name, model, of_one, of_all, text)


def _add_history(name: str, model: type[Value], read: Read, text: str) -> None:
    """Make the two routes of a list that goes back as far as the ledger; its newest page is that of now."""

    def found_of(caller: Caller, each: AccountState, paging: Paging) -> Sequence[Value]:
        recent = read(each)
        if paging.before is None and (len(recent) > paging.most or len(recent) < RECENT):
            return recent
        with HISTORIES.taken():
            return history.rows(caller.parts.home, each.key, name, paging.most + 1, paging.before)

    def of_one(exchange: str, account_id: str, caller: Reader, paging: Paged) -> Response:
        found = found_of(caller, known(caller, exchange, account_id), paging)
        return _page(found, f"{name}-{exchange}-{account_id}", paging)

    def of_all(caller: Reader, paging: Paged) -> Response:
        found: list[dict[str, Any]] = []
        for each in caller.parts.hub.now().accounts:
            found += _named(found_of(caller, each, paging), each.key)
        found.sort(key=lambda row: -int(row["seq"]))
        return _page(found, name, paging)

    _add_routes(name, model, of_one, of_all, text)


def _add_routes(
    name: str, model: type[Value], of_one: Callable[..., Response], of_all: Callable[..., Response], text: str
) -> None:
    of_account = make_dataclass(
        f"{model.__name__}OfAccount",
        [("exchange", str), ("account_id", str)],
        bases=(model,),
        kw_only=True,
        frozen=True,
    )
    path, word = "/accounts/{exchange}/{account_id}/" + name, name.replace("-", "_")
    router.add_api_route(path, of_one, name=word, responses=many(model), summary=f"List {text}.")
    router.add_api_route(
        f"/all/{name}", of_all, name=f"all_{word}", responses=many(of_account), summary=f"List {text}, of all accounts."
    )


for _name, (_model, _read, _text) in _LISTS.items():
    (_add_history if _name in history.LISTS else _add_list)(_name, _model, _read, _text)
