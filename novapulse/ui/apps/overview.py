"""All accounts on one page: what they are worth, what they do, what worries them."""

from collections import defaultdict
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import marimo as mo

from novapulse.monitor import AccountState, Overview
from novapulse.ui.apps.frame import Page, actions, columns, stack
from novapulse.ui.session import scope
from novapulse.ui.widgets import Equity, Positions, Rows, Tiles

CURVES_MAX = 6

_ACCOUNTS: tuple[dict[str, Any], ...] = (
    {"key": "exchange", "label": "exchange"},
    {"key": "account_id", "label": "account"},
    {"key": "mode", "label": "mode", "kind": "status"},
    {"key": "equity", "label": "equity", "kind": "figure", "digits": 2},
    {"key": "day_pnl", "label": "today", "kind": "signed", "digits": 2},
    {"key": "drawdown_fraction", "label": "drawdown", "kind": "percent", "digits": 2},
    {"key": "exposure_fraction", "label": "exposure", "kind": "percent", "digits": 1},
    {"key": "open_orders", "label": "orders", "kind": "figure", "digits": 0},
    {"key": "trades", "label": "trades", "kind": "figure", "digits": 0},
    {"key": "market_state", "label": "market", "kind": "status"},
)
_ALERTS: tuple[dict[str, Any], ...] = (
    {"key": "ts_ns", "label": "when", "kind": "time"},
    {"key": "account", "label": "account"},
    {"key": "severity", "label": "severity", "kind": "status"},
    {"key": "text", "label": "what", "wide": True},
    {"key": "acknowledged_by", "label": "seen by"},
)


def page() -> mo.Html:
    """Return the page."""
    shown = Page("overview")
    if shown.problem:
        return shown.shown()
    own = scope().own
    tiles, accounts = own(Tiles()), own(Rows(label="Accounts"))
    positions, alerts = own(Positions(label="Open positions")), own(Rows(label="Alerts", height=300))
    curves = {
        (one.exchange, one.account_id): own(
            Equity(label=f"Equity · {one.account_id} on {one.exchange}", quote=one.quote, height=190)
        )
        for one in shown.first.accounts[:CURVES_MAX]
    }
    shown.on_reading(lambda reading: tiles.show_state({"tiles": tiles_of(reading, shown)}))
    shown.on_reading(lambda reading: accounts.show_state(accounts_of(reading, shown)))
    shown.on_reading(lambda reading: positions.show_state({"positions": positions_of(reading.accounts, shown)}))
    shown.on_reading(lambda reading: alerts.show_state(alerts_of(reading, shown)))
    shown.on_reading(lambda reading: _show_curves(reading, curves))
    beside: list[object] = [alerts]
    if shown.who.may_act:
        buttons = (
            shown.button("pause", "Hold to pause all", "no new risk; exits go on", calm=True),
            shown.button("kill", "Hold to kill all", "close every position, then halt"),
        )
        beside.insert(0, actions("Every account", buttons))
    return shown.shown(
        tiles,
        columns(stack([accounts, positions]), stack(beside), widths="np-two-one"),
        columns(*curves.values()),
    )


def tiles_of(reading: Overview, shown: Page) -> list[dict[str, Any]]:
    """Return the key figures of all accounts; different quote assets are never added up."""
    by_quote: dict[str, list[AccountState]] = defaultdict(list)
    for one in reading.accounts:
        by_quote[one.quote].append(one)
    tiles: list[dict[str, Any]] = []
    for quote, accounts in sorted(by_quote.items()):
        note = f"{len(accounts)} account{'s' if len(accounts) > 1 else ''}"
        equity = total(one.equity for one in accounts)
        tiles.append({"label": "equity", "value": _text(equity), "unit": quote, "digits": 2, "note": note})
        today = total(one.day_pnl for one in accounts)
        tiles.append({"label": "today", "value": _text(today), "unit": quote, "digits": 2, "signed": True})
        held = total(one.gross_exposure for one in accounts)
        share = None if held is None or not equity else f"{float(held / equity) * 100:.1f} % of equity"
        tiles.append({"label": "exposure", "value": _text(held), "unit": quote, "digits": 2, "note": share})
    unknown = sum(one.unknown_orders for one in reading.accounts)
    orders = sum(one.open_orders for one in reading.accounts)
    tiles.append(
        {
            "label": "open orders",
            "value": str(orders),
            "digits": 0,
            "note": f"{unknown} with an unknown outcome" if unknown else "every outcome known",
            "level": "over" if unknown else "ok",
            "href": shown.link("orders", reading.accounts[0]),
        }
    )
    breaks = sum(one.open_breaks for one in reading.accounts)
    tiles.append(
        {
            "label": "books and venue",
            "value": "agree" if breaks == 0 else f"{breaks} open",
            "note": f"entry {reading.head_seq} of ledger {reading.ledger_id[:8]}",
            "level": "over" if breaks else "ok",
            "href": shown.link("health"),
        }
    )
    return tiles


def accounts_of(reading: Overview, shown: Page) -> dict[str, Any]:
    """Return the accounts as rows of a table."""
    rows = []
    for one in reading.accounts:
        values = one.json()
        row = {column["key"]: values[column["key"]] for column in _ACCOUNTS}
        href = shown.link("desk", one)
        level = "" if one.healthy else "over"
        rows.append({**row, "key": f"{one.exchange} {one.account_id}", "href": href, "level": level})
    return {"columns": _ACCOUNTS, "rows": rows, "none": "No account yet."}


def positions_of(accounts: Iterable[AccountState], shown: Page) -> list[dict[str, Any]]:
    """Return the open positions of accounts as the widget wants them."""
    return [
        {
            **position.json(),
            "exchange": one.exchange,
            "account_id": one.account_id,
            "quote": one.quote,
            "lead_strategy": position.lead,
            "href": shown.entry(position.opened_seq),
        }
        for one in accounts
        for position in one.positions
    ]


def alerts_of(reading: Overview, shown: Page) -> dict[str, Any]:
    """Return alerts as rows, open ones first."""
    found = [(alert, one) for one in reading.accounts for alert in one.alerts]
    found.sort(key=lambda pair: (not pair[0].is_open, -pair[0].ts_ns))
    rows = [
        {
            "key": str(alert.seq),
            "ts_ns": alert.ts_ns,
            "account": f"{one.account_id} on {one.exchange}",
            "severity": alert.severity,
            "text": alert.text,
            "acknowledged_by": alert.acknowledged_by,
            "href": shown.entry(alert.seq),
            "level": "over" if alert.is_open else "",
        }
        for alert, one in found[:100]
    ]
    return {"columns": _ALERTS, "rows": rows, "none": "Nothing to worry about."}


def total(values: Any) -> Decimal | None:
    """Return a sum; None where any part is unknown."""
    found = list(values)
    return None if any(value is None for value in found) else sum(found, Decimal(0))


def _text(value: Decimal | None) -> str | None:
    return None if value is None else str(value)


def _show_curves(reading: Overview, curves: dict[tuple[str, str], Equity]) -> None:
    for one in reading.accounts:
        curve = curves.get((one.exchange, one.account_id))
        if curve is not None:
            curve.show(one.equity_points)
