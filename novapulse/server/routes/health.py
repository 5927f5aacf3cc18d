"""How the trader and its accounts are: for people, for scripts, and for Prometheus."""

from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Gauge, generate_latest
from pydantic import BaseModel
from starlette.responses import JSONResponse, Response

from novapulse import __version__
from novapulse.core.records import Mode
from novapulse.monitor.state import LedgerHealth, Overview, TraderState
from novapulse.server.access import Reader
from novapulse.server.answers import Documented

router = APIRouter(tags=["health"])


class LedgerStanding(BaseModel):
    """Which ledger, where, and how it could be read."""

    id: str
    place: str
    state: LedgerHealth


class AccountHealth(BaseModel):
    """How one account is, and why."""

    exchange: str
    account_id: str
    healthy: bool
    mode: str | None
    money: str | None
    reasons: list[str]
    notes: list[str]


class Health(BaseModel):
    """How everything is."""

    healthy: bool
    reasons: list[str]
    trader: TraderState
    ledger: LedgerStanding
    accounts: list[AccountHealth]
    version: str


_EITHER: Documented = {
    200: {"model": Health, "description": "Everything is well."},
    503: {"model": Health, "description": "An account is not well, or the trader is not heard."},
}
_FIGURES: Documented = {200: {"content": {CONTENT_TYPE_LATEST: {"schema": {"type": "string"}}}}}


@router.get("/health", responses=_EITHER)
def health(caller: Reader) -> Response:
    """List every account and how it is; status 503 when any is not well, or the trader is not heard."""
    found = caller.parts.hub.now()
    reasons = [*found.trader.reasons, *([found.ledger_problem] if found.ledger_problem else [])]
    told = {
        "healthy": found.healthy,
        "reasons": reasons,
        "trader": found.trader.json(),
        "ledger": {"id": found.ledger_id, "place": found.ledger_place, "state": str(found.ledger)},
        "accounts": [
            {
                "exchange": one.exchange,
                "account_id": one.account_id,
                "healthy": one.healthy,
                "mode": one.mode,
                "money": one.money,
                "reasons": list(one.reasons),
                "notes": list(one.notes),
            }
            for one in found.accounts
        ],
        "version": __version__,
    }
    return JSONResponse(told, 200 if found.healthy else 503)


@router.get("/metrics", response_class=Response, responses=_FIGURES)
def metrics(caller: Reader) -> Response:
    """Tell the same as figures in the format of Prometheus; a scraper comes with a key of scope `read`."""
    return Response(exposition(caller.parts.hub.now()), media_type=CONTENT_TYPE_LATEST)


_ACCOUNT_GAUGES = (
    ("healthy", "1 where the account is well", lambda one: float(one.healthy)),
    ("mode", "0 normal, 1 paused, 2 reduce-only, 3 halted", lambda one: _mode(one.mode)),
    ("equity", "equity, quote asset", lambda one: one.equity),
    ("cash", "free cash, quote asset", lambda one: one.cash),
    ("day_pnl", "result of the UTC day, quote asset", lambda one: one.day_pnl),
    ("drawdown_fraction", "drawdown from the peak", lambda one: one.drawdown_fraction),
    ("exposure_fraction", "holdings over equity", lambda one: one.exposure_fraction),
    ("last_bar_age_seconds", "age of the last decided bar", lambda one: one.last_bar_age_s),
    ("open_orders", "orders that may still fill", lambda one: float(one.open_orders)),
    ("unknown_orders", "orders whose outcome is not known", lambda one: float(one.unknown_orders)),
    ("open_breaks", "differences to the venue", lambda one: float(one.open_breaks)),
    ("positions", "instruments held", lambda one: float(len(one.positions))),
    ("breakers_tripped", "circuit breakers that have tripped", lambda one: float(len(one.breakers))),
)


def exposition(found: Overview) -> bytes:
    """Return a reading as Prometheus wants it; what is unknown is left out, never 0."""
    registry = CollectorRegistry()
    for name, text, value in (
        ("trader_up", "1 while the trader is heard", float(found.trader.running)),
        ("healthy", "1 while everything is well", float(found.healthy)),
        ("heartbeat_age_seconds", "age of the trader's last sign of life", found.trader.heartbeat_age_s),
        ("ledger_readable", "1 while the ledger can be read", float(found.ledger == "ok")),
        ("ledger_head", "number of the last entry", float(found.head_seq)),
    ):
        if value is not None:
            Gauge(f"novapulse_{name}", text, registry=registry).set(value)
    labels = ("exchange", "account_id")
    for name, text, read in _ACCOUNT_GAUGES:
        gauge = Gauge(f"novapulse_account_{name}", text, labels, registry=registry)
        for one in found.accounts:
            figure = read(one)
            if figure is not None:
                gauge.labels(one.exchange, one.account_id).set(float(figure))
    return generate_latest(registry)


def _mode(name: str | None) -> float | None:
    return None if name is None else float(Mode[name.upper()])
