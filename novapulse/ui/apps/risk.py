"""The risk of one account: its limits and how near it is to each, what has tripped, what is at stake, day by day."""

from collections import defaultdict
from decimal import Decimal
from typing import Any

import marimo as mo

from novapulse.monitor import AccountState
from novapulse.monitor.history import days_of
from novapulse.monitor.limits import Level, Meter, limits_of
from novapulse.ui.apps.desk import tiles_of
from novapulse.ui.apps.frame import Page, columns, stack
from novapulse.ui.apps.tables import Columns, breakers_of, moment, percent
from novapulse.ui.session import scope
from novapulse.ui.widgets import Equity, Meters, Rows, Tiles

_HELD: Columns = (
    {"key": "symbol", "label": "instrument"},
    {"key": "base", "label": "asset"},
    {"key": "group", "label": "group"},
    {"key": "direction", "label": "side", "kind": "side"},
    {"key": "notional", "label": "worth", "kind": "figure", "digits": 2},
    {"key": "share", "label": "of equity", "kind": "percent", "digits": 1},
    {"key": "at_stop", "label": "lost at the stop", "kind": "signed", "digits": 2},
    {"key": "stop_price", "label": "stop", "kind": "figure"},
)
_GROUPED: Columns = (
    {"key": "what", "label": "group"},
    {"key": "symbols", "label": "instruments", "wide": True},
    {"key": "worth", "label": "worth", "kind": "figure", "digits": 2},
    {"key": "share", "label": "of equity", "kind": "percent", "digits": 1},
)
_DAYS: Columns = (
    {"key": "day", "label": "day, UTC"},
    {"key": "trades", "label": "closed trades", "kind": "figure", "digits": 0},
    {"key": "wins", "label": "won", "kind": "figure", "digits": 0},
    {"key": "pnl", "label": "they brought", "kind": "signed", "digits": 2},
    {"key": "fees", "label": "fees", "kind": "figure", "digits": 2},
    {"key": "equity", "label": "last equity", "kind": "figure", "digits": 2},
)
_OFF: Columns = (
    {"key": "title", "label": "limit"},
    {"key": "explanation", "label": "what it would do", "wide": True},
)


def page() -> mo.Html:
    """Return the page."""
    shown = Page("risk")
    if shown.problem or shown.account is None:
        return shown.shown()
    own = scope().own
    tiles, meters = own(Tiles()), own(Meters(label="Limits and how near"))
    breakers, off = own(Rows(label="Breakers")), own(Rows(label="Limits that are off"))
    held, grouped = own(Rows(label="Exposure by asset")), own(Rows(label="Exposure by group"))
    days = own(Rows(label="Day by day", height=360))
    equity = own(Equity(label="Equity and how far it is under its peak", quote=shown.account.quote, height=210))
    shown.on_account(lambda one: tiles.show_state({"tiles": tiles_of(one, shown)}))
    shown.on_account(lambda one: meters.show_state({"meters": meters_of(one)}))
    shown.on_account(lambda one: off.show_state(off_of(one)))
    shown.on_account(lambda one: breakers.show_state(breakers_of((one,), shown)))
    shown.on_account(lambda one: held.show_state(held_of(one, shown)))
    shown.on_account(lambda one: grouped.show_state(grouped_of(one)))
    shown.on_account(lambda one: days.show_state(day_rows(one, shown)))
    shown.on_account(lambda one: equity.show(one.equity_points))
    return shown.shown(
        shown.switch(),
        tiles,
        columns(stack([meters, off]), stack([breakers, held, grouped, equity, days])),
    )


def meters_of(account: AccountState) -> list[dict[str, Any]]:
    """Return the limits that are on, those that are reached first."""
    order = [Level.OVER, Level.NEAR, Level.UNKNOWN, Level.OK]
    found = [one for one in limits_of(account) if one.level is not Level.OFF]
    return [_meter(one) for one in sorted(found, key=lambda one: order.index(one.level))]


def off_of(account: AccountState) -> dict[str, Any]:
    """Return the limits that are off."""
    found = [{**one.json(), "key": one.name} for one in limits_of(account) if one.level is Level.OFF]
    return {"columns": _OFF, "rows": found, "none": "Every limit is on."}


def held_of(account: AccountState, page: Page) -> dict[str, Any]:
    """Return what is held, with what it would lose if its stop were hit at its price."""
    rows = [
        {
            **one.json(),
            "key": one.symbol,
            "group": account.groups.get(one.symbol, ""),
            "direction": "long" if one.direction > 0 else "short",
            "share": _share(one.notional, account.equity),
            "at_stop": None if one.stop_price is None else str((one.stop_price - one.entry_price) * one.qty),
            "href": page.entry(one.opened_seq),
            "level": "over" if one.stop_missing_reason else "",
        }
        for one in account.positions
    ]
    return {"columns": _HELD, "rows": rows, "none": "Nothing is held."}


def grouped_of(account: AccountState) -> dict[str, Any]:
    """Return what is held by group; an instrument in no group stands for itself."""
    worth: dict[str, list[Decimal | None]] = defaultdict(list)
    symbols: dict[str, list[str]] = defaultdict(list)
    for one in account.positions:
        group = account.groups.get(one.symbol, one.base)
        worth[group].append(one.notional)
        symbols[group].append(one.symbol)
    rows = []
    for group, parts in sorted(worth.items()):
        known = [part for part in parts if part is not None]
        whole = sum(known, Decimal(0)) if len(known) == len(parts) else None
        text = None if whole is None else str(whole)
        row = {"what": group, "symbols": ", ".join(symbols[group]), "worth": text}
        rows.append({**row, "key": group, "share": _share(whole, account.equity)})
    return {"columns": _GROUPED, "rows": rows, "none": "Nothing is held."}


def day_rows(account: AccountState, page: Page) -> dict[str, Any]:
    """Return the days that the reading knows whole, newest first; each leads to its last closed trade."""
    rows = [
        {**one.json(), "key": str(one.day_ns), "day": _day(one.day_ns), "href": page.entry(next(iter(one.seqs), None))}
        for one in days_of(account)
    ]
    return {"columns": _DAYS, "rows": rows, "none": "No day has passed yet."}


def _meter(one: Meter) -> dict[str, Any]:
    share = one.unit == "fraction"
    used, limit = (percent(one.used), percent(one.limit)) if share else (one.used, one.limit)
    return {
        "key": f"{one.name} {one.title}",
        "name": one.title,
        "used": used,
        "limit": limit,
        "unit": "%" if share else one.unit,
        "digits": 2 if share else 1 if one.unit == "bars" else 0,
        "level": one.level.value,
        "explanation": one.explanation,
    }


def _share(part: Decimal | None, whole: Decimal | None) -> float | None:
    return None if part is None or not whole else float(part / whole)


def _day(day_ns: int) -> str:
    return moment(day_ns)[:10]
