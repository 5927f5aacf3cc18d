"""Bars of what an account trades, and a backtest with its settings: both name the account by its two parts."""

import os
import threading
from typing import Annotated, Any

import structlog
from fastapi import APIRouter, Query

from novapulse import backtest
from novapulse.config import load, settings_of
from novapulse.core.bars import BarColumns
from novapulse.core.instruments import InstrumentKey
from novapulse.monitor.bars import bars_of
from novapulse.research.inputs import checked_strategies
from novapulse.server.access import Reader
from novapulse.server.errors import NotFoundError
from novapulse.server.routes.accounts import known, traded

router = APIRouter(tags=["market"])

BARS_MAX = 20_000
_log = structlog.get_logger("novapulse.server")
_one_backtest = threading.Lock()


@router.get("/accounts/{exchange}/{account_id}/chart/bars")
def bars(
    exchange: str,
    account_id: str,
    symbol: str,
    caller: Reader,
    last: Annotated[int, Query(ge=1, le=BARS_MAX)] = 500,
    end_ns: Annotated[int | None, Query(ge=0, le=2**63 - 1)] = None,
) -> dict[str, Any]:
    """Return the last bars of an instrument that the account trades, in columns; a bar is known by its close."""
    found = known(caller, exchange, account_id)
    spelled = traded(found, symbol)
    columns = bars_of(caller.parts.home, exchange, spelled, last=last, end_ns=end_ns)
    return {"exchange": exchange, "account_id": account_id, "symbol": spelled, **_columns(columns)}


@router.get("/accounts/{exchange}/{account_id}/chart/backtest")
def replayed(
    exchange: str,
    account_id: str,
    caller: Reader,
    last: Annotated[int, Query(ge=1000, le=BARS_MAX)] = 10_000,
) -> dict[str, Any]:
    """Run the account's own settings over the last bars of what it trades; one at a time."""
    found = known(caller, exchange, account_id)
    loaded = load(os.environ, caller.parts.config)
    named = {one.key: one for one in loaded.settings.accounts}
    if found.key not in named:
        raise NotFoundError(f"the settings of this server name no account {account_id} on {exchange}")
    own = settings_of(loaded.settings, named[found.key])
    markets = {
        InstrumentKey(exchange, one.symbol): bars_of(caller.parts.home, exchange, one.symbol, last=last)
        for one in found.votes
    }
    with _one_backtest:
        result = backtest.run(markets, own.backtest, strategies=checked_strategies(loaded, _log.info))
    return {
        "exchange": exchange,
        "account_id": account_id,
        "settings_hash": result.settings.hash,
        "summary": result.summary(),
        "by_strategy": result.by_strategy,
    }


def _columns(found: BarColumns) -> dict[str, Any]:
    names = ("ts_close_ns", "open", "high", "low", "close", "volume")
    return {name: getattr(found, name).tolist() for name in names} | {"timeframe_ns": found.timeframe_ns}
