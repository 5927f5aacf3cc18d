"""Rows of the tables that several apps show: what the reading says, with the address of what stands behind each.

Invariants:
- an amount names its currency, in the head of its column where all rows share it, else beside it; a quantity its asset;
- a price stands beside its instrument, which names both.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from novapulse.monitor import AccountState, Overview
from novapulse.monitor.rows import AlertState
from novapulse.ui.apps.frame import Page
from novapulse.ui.apps.oldness import not_of_now

Columns = tuple[Mapping[str, Any], ...]

FILLS: Columns = (
    {"key": "ts_ns", "label": "when", "kind": "time"},
    {"key": "symbol", "label": "instrument"},
    {"key": "side", "label": "side", "kind": "side"},
    {"key": "qty", "label": "qty", "kind": "figure", "unit": "base"},
    {"key": "price", "label": "price", "kind": "figure", "none": True},
    {"key": "fee", "label": "fee", "kind": "figure", "digits": 4, "money": True},
    {"key": "realized_pnl", "label": "brought", "kind": "signed", "digits": 2, "none": True, "money": True},
    {"key": "liquidity", "label": "as", "kind": "status"},
)
DECISIONS: Columns = (
    {"key": "ts_ns", "label": "bar", "kind": "time"},
    {"key": "symbol", "label": "instrument"},
    {"key": "action", "label": "did", "kind": "status"},
    {"key": "side", "label": "side", "kind": "side"},
    {"key": "consensus", "label": "consensus", "kind": "signed", "digits": 1},
    {"key": "confidence", "label": "confidence", "kind": "percent", "digits": 0},
    {"key": "lead", "label": "led by", "kind": "status"},
    {"key": "regime", "label": "regime"},
    {"key": "qty", "label": "qty", "kind": "figure", "unit": "base"},
    {"key": "why", "label": "why", "wide": True},
)
SHORT_DECISIONS = tuple(one for one in DECISIONS if one["key"] not in ("confidence", "regime", "qty"))
BREAKERS: Columns = (
    {"key": "ts_ns", "label": "since", "kind": "time"},
    {"key": "name", "label": "breaker", "kind": "status"},
    {"key": "symbol", "label": "instrument"},
    {"key": "effect", "label": "effect", "kind": "status"},
    {"key": "text", "label": "what happened", "wide": True},
)
BREAKS: Columns = (
    {"key": "ts_ns", "label": "since", "kind": "time"},
    {"key": "kind", "label": "kind"},
    {"key": "text", "label": "what differs", "wide": True},
    {"key": "ours", "label": "the ledger says"},
    {"key": "theirs", "label": "the venue shows"},
)
ALERTS: Columns = (
    {"key": "ts_ns", "label": "when", "kind": "time"},
    {"key": "severity", "label": "severity", "kind": "status"},
    {"key": "text", "label": "what", "wide": True},
    {"key": "state", "label": "state", "wide": True},
)
NO_ALERTS = "Nothing to worry about."


def in_currency(columns: Columns, quotes: Iterable[str]) -> Columns:
    """Return columns of which those that hold `money` say in what: in their heads, or beside each where it differs.

    Args:
        columns: Of a table.
        quotes: Currencies of its rows, which name theirs as `quote`.
    """
    different = set(quotes)
    if len(different) > 1:
        return tuple({**one, "unit": "quote"} if one.get("money") else one for one in columns)
    shared = "".join(f", {one}" for one in different if one)
    return tuple({**one, "label": f"{one['label']}{shared}"} if one.get("money") else one for one in columns)


def order_link(page: Page, account: AccountState, client_order_id: str) -> str:
    """Return the address of everything that the ledger has of an order."""
    return page.link("journal", account, order=client_order_id) if client_order_id else ""


def orders_of(account: AccountState, page: Page) -> list[dict[str, Any]]:
    """Return working orders, each with the address of its entries."""
    return [
        {
            **one.json(),
            "base": account.bases.get(one.symbol, ""),
            "href": order_link(page, account, one.client_order_id),
        }
        for one in account.orders
    ]


def fills_of(account: AccountState, page: Page) -> dict[str, Any]:
    """Return the last executions, newest first; one that was taken back is marked."""
    rows = [
        {
            **one.json(),
            "key": str(one.seq),
            "base": account.bases.get(one.symbol, ""),
            "href": page.entry(one.seq),
            "liquidity": "taken back" if one.is_bust else one.liquidity,
            "level": "over" if one.is_bust else "",
        }
        for one in account.recent_fills
    ]
    return {"columns": in_currency(FILLS, (account.quote,)), "rows": rows, "none": "Nothing was traded yet."}


def decisions_of(account: AccountState, page: Page, columns: Columns = DECISIONS) -> dict[str, Any]:
    """Return the last decisions, newest first; each leads to its explanation."""
    rows = [
        {
            **one.json(),
            "key": one.decision_id,
            "base": account.bases.get(one.symbol, ""),
            "href": decision_link(page, account, one.decision_id),
        }
        for one in account.recent_decisions
    ]
    return {"columns": columns, "rows": rows, "none": "Nothing was decided yet."}


def alerts_of(account: AccountState, page: Page) -> dict[str, Any]:
    """Return alerts, open ones first."""
    rows = [alert_row(one, page) for one in account.alerts]
    return {"columns": ALERTS, "rows": rows, "none": NO_ALERTS}


def alert_row(alert: AlertState, page: Page) -> dict[str, Any]:
    """Return an alert with its state in words: open, seen by somebody, or over and why."""
    seen = f"seen by {alert.acknowledged_by}" if alert.acknowledged_by else ""
    parts = ("open", seen) if alert.is_open else (f"over: {alert.over_text}" if alert.over_text else "over", seen)
    return {
        "key": str(alert.seq),
        "ts_ns": alert.ts_ns,
        "severity": alert.severity,
        "state": ", ".join(filter(None, parts)),
        "text": alert.text,
        "href": page.entry(alert.seq),
        "level": "over" if alert.is_open else "",
    }


def breakers_of(accounts: Iterable[AccountState], page: Page, columns: Columns = BREAKERS) -> dict[str, Any]:
    """Return the breakers that have tripped."""
    rows = [
        {**_whose(account), **one.json(), "key": str(one.seq), "href": page.entry(one.seq), "level": "over"}
        for account in accounts
        for one in account.breakers
    ]
    return {"columns": columns, "rows": rows, "none": "No breaker has tripped."}


def breaks_of(reading: Overview, page: Page, columns: Columns = BREAKS) -> dict[str, Any]:
    """Return the open differences between books and venue; that there are none is said only where it is known."""
    rows = [
        {**_whose(account), **one.json(), "key": str(one.seq), "href": page.entry(one.seq), "level": "over"}
        for account in reading.accounts
        for one in account.breaks
    ]
    why = unproven(reading)
    return {"columns": columns, "rows": rows, "none": f"Not known: {why}." if why else "Books and venue agree."}


def unproven(reading: Overview) -> str:
    """Return why it is not known now whether the books of all accounts and their venues agree; empty where it is."""
    never = [f"{one.account_id} on {one.exchange}" for one in reading.accounts if one.compared_ns is None]
    old = not_of_now(reading, reading.accounts)
    return old or (f"never compared: {', '.join(never)}" if never else "")


def percent(fraction: float | None, digits: int = 2) -> str | None:
    """Return a fraction as the figure before a percent sign; None where it is unknown."""
    return None if fraction is None else f"{fraction * 100:.{digits}f}"


def lasting(seconds: float | None) -> str | None:
    """Return a stretch of time in words; None where it is unknown."""
    if seconds is None:
        return None
    for size, name, until in ((1, "s", 120), (60, "min", 7_200), (3_600, "h", 172_800)):
        if seconds < until:
            return f"{int(seconds / size)} {name}"
    return f"{int(seconds / 86_400)} days"


def moment(ts_ns: int | None) -> str:
    """Return a moment in words, UTC."""
    if ts_ns is None:
        return "not known"
    return f"{datetime.fromtimestamp(ts_ns // 1_000_000_000, UTC):%Y-%m-%d %H:%M:%S}"


def decision_link(page: Page, account: AccountState, decision_id: str) -> str:
    """Return the address of the explanation of a decision."""
    if page.name == "decisions":
        return page.here(account, decision=decision_id)
    return page.link("decisions", account, decision=decision_id)


def _whose(account: AccountState) -> dict[str, str]:
    return {"exchange": account.exchange, "account_id": account.account_id}
