"""All accounts on one page: what they are worth, what they do, what worries them."""

from collections import defaultdict
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import marimo as mo

from novapulse.core.instruments import AccountKey
from novapulse.core.words import counted
from novapulse.monitor import AccountState, Overview
from novapulse.ui.apps.frame import Page, actions, columns, note, stack
from novapulse.ui.apps.offers import DOES, pausing
from novapulse.ui.apps.oldness import not_of_now
from novapulse.ui.apps.tables import ALERTS, NO_ALERTS, Columns, alert_row, in_currency, unproven
from novapulse.ui.widgets import Equity, Positions, Rows, Tiles

CURVES_MAX = 6
ALERTS_MAX = 100

_ACCOUNTS: Columns = (
    {"key": "exchange", "label": "exchange"},
    {"key": "account_id", "label": "account"},
    {"key": "health", "label": "health", "kind": "status"},
    {"key": "mode", "label": "mode", "kind": "status"},
    {"key": "equity", "label": "equity", "kind": "figure", "digits": 2, "money": True},
    {"key": "day_pnl", "label": "today", "kind": "signed", "digits": 2, "money": True},
    {"key": "drawdown_fraction", "label": "drawdown", "kind": "percent", "digits": 2},
    {"key": "exposure_fraction", "label": "exposure", "kind": "percent", "digits": 1},
    {"key": "open_orders", "label": "orders", "kind": "figure", "digits": 0},
    {"key": "trades", "label": "trades", "kind": "figure", "digits": 0},
    {"key": "market_state", "label": "market", "kind": "status"},
)
_BEHIND = {
    "equity": "equity",
    "day_pnl": "today",
    "drawdown_fraction": "drawdown",
    "exposure_fraction": "exposure",
    "open_orders": "orders",
    "trades": "trades",
}
_SHOWN = tuple(column["key"] for column in _ACCOUNTS)
_ALERTS: Columns = (
    {"key": "ts_ns", "label": "when", "kind": "time"},
    {"key": "account", "label": "account"},
    *ALERTS[1:],
)


def page() -> mo.Html:
    """Return the page."""
    shown = Page("overview")
    if shown.problem:
        return shown.shown()
    own = shown.own
    tiles, accounts = own(Tiles()), own(Rows(label="Accounts"))
    positions, alerts = own(Positions(label="Open positions")), own(Rows(label="Alerts", height=300))
    curves = {
        one.key: own(equity_of(shown, one, f"Equity · {one.account_id} on {one.exchange}", 190))
        for one in shown.first.accounts[:CURVES_MAX]
    }
    shown.on_reading(lambda reading: tiles.show_state({"tiles": tiles_of(reading, shown)}))
    shown.on_reading(lambda reading: accounts.show_state(accounts_of(reading, shown)))
    shown.on_reading(lambda reading: positions.show_state({"positions": positions_of(reading.accounts, shown)}))
    shown.on_reading(lambda reading: alerts.show_state(alerts_of(reading, shown)))
    shown.on_reading(lambda reading: _show_curves(reading, curves))
    beside: list[object] = [alerts]
    if shown.who.may_act:
        pause = shown.button("pause", "Hold to pause all", DOES["pause"], calm=True)
        kill = shown.button("kill", "Hold to kill all", DOES["kill"])
        shown.on_reading(lambda now: pause.show_state(pausing(now.accounts, not_of_now(now, now.accounts))))
        shown.on_reading(lambda _: kill.show_state({"mode": pause.state["mode"]}))
        beside.insert(0, actions("Every account", (pause, kill)))
    # On a phone what can be done, and what is wrong, comes before the curves.
    later = f'<div class="np-later">{columns(*curves.values())}</div>'
    return shown.shown(
        tiles,
        columns(stack([accounts, positions, later]), stack(beside), widths="np-two-one"),
        *([note(_hidden(len(shown.first.accounts)))] if len(shown.first.accounts) > CURVES_MAX else []),
    )


def tiles_of(reading: Overview, shown: Page) -> list[dict[str, Any]]:
    """Return the key figures of all accounts; different quote assets are never added up."""
    by_quote: dict[str, list[AccountState]] = defaultdict(list)
    for one in reading.accounts:
        by_quote[one.quote].append(one)
    tiles = [tile for quote, accounts in sorted(by_quote.items()) for tile in _worth(quote, accounts, shown)]
    return [*tiles, _orders(reading, shown), _books(reading, shown)]


def _worth(quote: str, accounts: list[AccountState], shown: Page) -> list[dict[str, Any]]:
    equity, today = total(one.equity for one in accounts), total(one.day_pnl for one in accounts)
    held = total(one.gross_exposure for one in accounts)
    share = None if held is None or not equity else f"{float(held / equity) * 100:.1f} % of equity"
    common = {"unit": quote, "digits": 2}
    return [
        {
            **common,
            "key": f"equity {quote}",
            "label": "equity",
            "value": _text(equity),
            "note": counted(len(accounts), "account"),
            "href": shown.behind("equity", quote=quote),
        },
        {
            **common,
            "key": f"today {quote}",
            "label": "today",
            "value": _text(today),
            "signed": True,
            "note": "since 0:00 UTC" if today is not None else "no close today of every account",
            "href": shown.behind("today", quote=quote),
        },
        {
            **common,
            "key": f"exposure {quote}",
            "label": "exposure",
            "value": _text(held),
            "note": share,
            "href": shown.behind("exposure", quote=quote),
        },
    ]


def _orders(reading: Overview, shown: Page) -> dict[str, Any]:
    unknown = sum(one.unknown_orders for one in reading.accounts)
    old = not_of_now(reading, reading.accounts)
    known = "not known now" if old else "every outcome known"
    return {
        "label": "open orders",
        "value": str(sum(one.open_orders for one in reading.accounts)),
        "digits": 0,
        "note": f"{unknown} with an unknown outcome" if unknown else known,
        "level": "over" if unknown else "unknown" if old else "ok",
        "href": shown.behind("unknown" if unknown else "orders"),
    }


def _books(reading: Overview, shown: Page) -> dict[str, Any]:
    breaks = sum(one.open_breaks for one in reading.accounts)
    why = unproven(reading)
    return {
        "label": "books and venue",
        "value": f"{breaks} open" if breaks else "not known" if why else "agree",
        "note": why or f"entry {reading.head_seq} of ledger {reading.ledger_id[:8]}",
        "level": "over" if breaks else "unknown" if why else "ok",
        "href": shown.behind("breaks"),
    }


def accounts_of(reading: Overview, shown: Page) -> dict[str, Any]:
    """Return the accounts as rows of a table."""
    rows = []
    for one in reading.accounts:
        row = {
            **one.json(),
            "key": f"{one.exchange} {one.account_id}",
            "health": "healthy" if one.healthy else "not healthy",
            "href": shown.behind("account", one),
            "hrefs": {key: shown.behind(figure, one) for key, figure in _BEHIND.items()},
            "level": "" if one.healthy else "over",
        }
        rows.append({name: row[name] for name in (*_SHOWN, "quote", "key", "href", "hrefs", "level")})
    columns = in_currency(_ACCOUNTS, (one.quote for one in reading.accounts))
    return {"columns": columns, "rows": rows, "none": "No account yet."}


def positions_of(accounts: Iterable[AccountState], shown: Page) -> list[dict[str, Any]]:
    """Return the open positions of accounts as the widget wants them."""
    return [
        {
            **position.json(),
            "exchange": one.exchange,
            "account_id": one.account_id,
            "quote": one.quote,
            "lead_strategy": position.lead,
            "href": shown.behind("position", one, symbol=position.symbol),
        }
        for one in accounts
        for position in one.positions
    ]


def alerts_of(reading: Overview, shown: Page) -> dict[str, Any]:
    """Return alerts as rows, open ones first."""
    found = [(alert, one) for one in reading.accounts for alert in one.alerts]
    found.sort(key=lambda pair: (not pair[0].is_open, -pair[0].ts_ns))
    rows = [
        {**alert_row(alert, shown), "account": f"{one.account_id} on {one.exchange}"}
        for alert, one in found[:ALERTS_MAX]
    ]
    return {"columns": _ALERTS, "rows": rows, "none": NO_ALERTS}


def total(values: Any) -> Decimal | None:
    """Return a sum; None where any part is unknown."""
    found = list(values)
    return None if any(value is None for value in found) else sum(found, Decimal(0))


def _text(value: Decimal | None) -> str | None:
    return None if value is None else str(value)


def equity_of(shown: Page, account: AccountState, label: str, height: int) -> Equity:
    """Return the curve of an account, whose figures lead to the entries that they are made of."""
    return Equity(
        label=label,
        quote=account.quote,
        height=height,
        equity_href=shown.behind("equity", account),
        drawdown_href=shown.behind("drawdown", account),
    )


def show_curve(curve: Equity, account: AccountState) -> None:
    """Show an account's equity, under the peak and since the start that the account itself has."""
    curve.show(account.equity_points, account.start, account.equity_peak)


def _hidden(count: int) -> str:
    return f"The curves of {count - CURVES_MAX} more accounts are not drawn here: each stands on its account's desk."


def _show_curves(reading: Overview, curves: dict[AccountKey, Equity]) -> None:
    for one in reading.accounts:
        curve = curves.get(one.key)
        if curve is not None:
            show_curve(curve, one)
