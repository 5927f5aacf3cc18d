"""How the trader and its accounts are: for people, for scripts, and for Prometheus."""

from typing import Any

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Gauge, generate_latest

from novapulse import __version__
from novapulse.core.records import Mode
from novapulse.monitor.state import Overview
from novapulse.server.access import Reader

router = APIRouter(tags=["health"])


@router.get("/health")
def health(caller: Reader, response: Response) -> dict[str, Any]:
    """List every account and how it is; status 503 when any is not well, or the trader is not heard."""
    found = caller.parts.hub.now()
    if not found.healthy:
        response.status_code = 503
    reasons = [*found.trader.reasons, *([found.ledger_problem] if found.ledger_problem else [])]
    return {
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
                "reasons": list(one.reasons),
                "notes": list(one.notes),
            }
            for one in found.accounts
        ],
        "version": __version__,
    }


@router.get("/metrics", response_class=Response)
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
