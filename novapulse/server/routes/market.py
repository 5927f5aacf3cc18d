"""Bars of what an account trades, and a backtest with its settings: both name the account by its two parts."""

import os
from typing import Annotated, Any

import structlog
from fastapi import APIRouter, Query
from pydantic import BaseModel
from starlette.responses import Response

from novapulse import backtest
from novapulse.config import load
from novapulse.core.bars import BarColumns
from novapulse.core.instruments import AccountKey, InstrumentKey
from novapulse.engine.configuration import Configuration
from novapulse.monitor.bars import bars_of
from novapulse.monitor.home import LEDGER_FILE
from novapulse.parity.kept import Kept, KeptError
from novapulse.parity.sessions import configuration_of
from novapulse.research.inputs import checked_strategies
from novapulse.server import answers
from novapulse.server.access import Caller, Reader
from novapulse.server.answers import one
from novapulse.server.errors import NotFoundError
from novapulse.server.lanes import BACKTESTS
from novapulse.server.routes.accounts import known, traded

router = APIRouter(tags=["market"])

BARS_MAX = 20_000
_COLUMNS = ("ts_close_ns", "open", "high", "low", "close", "volume")
_log = structlog.get_logger("novapulse.server")


class Bars(BaseModel):
    """Bars in columns of one length, ascending; a bar is known by its close."""

    exchange: str
    account_id: str
    symbol: str
    timeframe_ns: int
    ts_close_ns: list[int]
    open: list[float]
    high: list[float]
    low: list[float]
    close: list[float]
    volume: list[float]


class Replayed(BaseModel):
    """A backtest with an account's settings. Figures that too little is known for are null."""

    exchange: str
    account_id: str
    settings_hash: str
    summary: dict[str, float | int | None]
    by_strategy: dict[str, dict[str, float | int | None]]


@router.get("/accounts/{exchange}/{account_id}/chart/bars", responses=one(Bars))
def bars(
    exchange: str,
    account_id: str,
    symbol: Annotated[str, Query(max_length=64)],
    caller: Reader,
    last: Annotated[int, Query(ge=1, le=BARS_MAX)] = 500,
    end_ns: Annotated[int | None, Query(ge=0, le=2**62)] = None,
) -> Response:
    """Return the last bars of an instrument that the account trades."""
    found = known(caller, exchange, account_id)
    spelled = traded(found, symbol)
    columns = bars_of(caller.parts.home, exchange, spelled, last=last, end_ns=end_ns)
    return answers.value({"exchange": exchange, "account_id": account_id, "symbol": spelled, **_columns(columns)})


@router.get("/accounts/{exchange}/{account_id}/chart/backtest", responses=one(Replayed))
def replayed(
    exchange: str,
    account_id: str,
    caller: Reader,
    last: Annotated[int, Query(ge=1000, le=BARS_MAX)] = 10_000,
) -> Response:
    """Run the settings of the account's last session over the last bars of what it trades; one backtest at a time."""
    key = known(caller, exchange, account_id).key
    with BACKTESTS.taken():
        ran_with = _configuration(caller, key)
        facts = {fact.key: fact for fact in ran_with.instruments}
        markets: dict[InstrumentKey, BarColumns] = {
            each: bars_of(caller.parts.home, each.exchange, each.symbol, last=last) for each in facts
        }
        strategies = checked_strategies(load(os.environ, caller.parts.config), _log.info)
        result = backtest.run(markets, ran_with.decides, instruments=facts, strategies=strategies)
    told = {"settings_hash": result.settings.hash, "summary": result.summary(), "by_strategy": result.by_strategy}
    return answers.value({"exchange": exchange, "account_id": account_id, **told})


def _configuration(caller: Caller, key: AccountKey) -> Configuration:
    try:
        with Kept(caller.parts.home / LEDGER_FILE) as kept:
            sessions = kept.sessions(key)
            if not sessions:
                raise NotFoundError(f"{key.account_id} on {key.exchange} has not run yet")
            return configuration_of(sessions[-1])
    except KeptError as wrong:
        raise NotFoundError(str(wrong)) from wrong


def _columns(found: BarColumns) -> dict[str, Any]:
    return {name: getattr(found, name).tolist() for name in _COLUMNS} | {"timeframe_ns": found.timeframe_ns}
