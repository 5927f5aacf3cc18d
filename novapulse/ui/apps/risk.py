"""The risk of one account: its limits and how near it is to each, what has tripped, what is at stake, day by day."""

from collections import defaultdict
from decimal import Decimal
from typing import Any

import marimo as mo

from novapulse.core.bars import DAY_NS
from novapulse.monitor import AccountState
from novapulse.monitor.history import days_of
from novapulse.monitor.limits import Level, Meter, limits_of
from novapulse.monitor.rows import PositionState
from novapulse.ui.apps.behind import group_of
from novapulse.ui.apps.commands import limit_commands
from novapulse.ui.apps.desk import tiles_of
from novapulse.ui.apps.frame import Page, columns, stack
from novapulse.ui.apps.overview import equity_of, show_curve
from novapulse.ui.apps.tables import Columns, breakers_of, in_currency, moment, percent
from novapulse.ui.widgets import Meters, Rows, Tiles

_HELD: Columns = (
    {"key": "symbol", "label": "instrument"},
    {"key": "base", "label": "asset"},
    {"key": "group", "label": "group"},
    {"key": "direction", "label": "side", "kind": "side"},
    {"key": "notional", "label": "worth", "kind": "figure", "digits": 2, "money": True},
    {"key": "share", "label": "of equity", "kind": "percent", "digits": 1},
    {"key": "at_stop", "label": "change at the stop", "kind": "signed", "digits": 2, "money": True},
    {"key": "stop_price", "label": "stop", "kind": "figure", "none": True},
    {"key": "stop_missing_reason", "label": "no stop because", "wide": True},
)
_GROUPED: Columns = (
    {"key": "what", "label": "group"},
    {"key": "symbols", "label": "instruments", "wide": True},
    {"key": "worth", "label": "worth", "kind": "figure", "digits": 2, "money": True},
    {"key": "share", "label": "of equity", "kind": "percent", "digits": 1},
)
_DAYS: Columns = (
    {"key": "day", "label": "day, UTC"},
    {"key": "trades", "label": "closed trades", "kind": "figure", "digits": 0},
    {"key": "wins", "label": "won", "kind": "figure", "digits": 0},
    {"key": "pnl", "label": "they brought", "kind": "signed", "digits": 2, "money": True},
    {"key": "fees", "label": "fees", "kind": "figure", "digits": 2, "money": True},
    {"key": "equity", "label": "last equity", "kind": "figure", "digits": 2, "money": True},
)
_OFF: Columns = (
    {"key": "title", "label": "limit"},
    {"key": "explanation", "label": "what it would do", "wide": True},
)


_CHANGED: Columns = (
    {"key": "name", "label": "limit"},
    {"key": "value", "label": "in force", "kind": "figure", "unit": "unit"},
    {"key": "configured", "label": "configured", "kind": "figure", "unit": "unit"},
    {"key": "actor", "label": "set by"},
    {"key": "ts_ns", "label": "when", "kind": "time"},
    {"key": "command_id", "label": "command"},
)
_IN_MONEY = ("position_notional_max",)


def page() -> mo.Html:
    """Return the page."""
    shown = Page("risk")
    if shown.problem or shown.account is None:
        return shown.shown()
    own = shown.own
    acts = [limit_commands(shown)] if shown.who.may_act else []
    changed = own(Rows(label="Limits that differ from the configuration"))
    tiles, meters = own(Tiles()), own(Meters(label="Limits and how near"))
    breakers, off = own(Rows(label="Breakers")), own(Rows(label="Limits that are off"))
    held, grouped = own(Rows(label="Exposure by asset")), own(Rows(label="Exposure by group"))
    days = own(Rows(label="Day by day", height=360))
    equity = own(equity_of(shown, shown.account, "Equity and how far it is under its peak", 210))
    shown.on_accounts(
        lambda now: tiles.show_state({"tiles": [*tiles_of(now, shown), stops_tile(now.accounts[0], shown)]})
    )
    shown.on_account(lambda one: meters.show_state({"meters": meters_of(one, shown)}))
    shown.on_account(lambda one: off.show_state(off_of(one)))
    shown.on_account(lambda one: changed.show_state(changed_of(one, shown)))
    shown.on_account(lambda one: breakers.show_state(breakers_of((one,), shown)))
    shown.on_account(lambda one: held.show_state(held_of(one, shown)))
    shown.on_account(lambda one: grouped.show_state(grouped_of(one, shown)))
    shown.on_account(lambda one: days.show_state(day_rows(one, shown)))
    shown.on_account(lambda one: show_curve(equity, one))
    return shown.shown(
        shown.switch(),
        tiles,
        columns(stack([meters, changed, *acts, off]), stack([breakers, held, grouped, equity, days])),
    )


def stops_tile(account: AccountState, page: Page) -> dict[str, Any]:
    """Return what the equity would change by if every stop were hit; unknown where one is not in force."""
    parts = [at_stop(one) for one in account.positions]
    bare = sum(bool(one.stop_missing_reason) for one in account.positions)
    known = [one for one in parts if one is not None]
    whole = sum(known, Decimal(0)) if account.proven and len(known) == len(parts) else None
    note = f"{bare} of {len(parts)} without a stop at the venue" if bare else "from the last close, costs apart"
    return {
        "label": "if every stop is hit",
        "value": None if whole is None else str(whole),
        "unit": account.quote,
        "digits": 2,
        "signed": True,
        "note": note if parts else "nothing is held",
        "level": "over" if bare else "unknown" if whole is None else "ok",
        "href": page.behind("stops"),
    }


def at_stop(held: PositionState) -> Decimal | None:
    """Return what the equity would change by if the stop were hit now, quote; None without a stop or a mark."""
    if held.stop_missing_reason or held.stop_price is None or held.mark_price is None:
        return None
    return (held.stop_price - held.mark_price) * held.qty


def meters_of(account: AccountState, page: Page) -> list[dict[str, Any]]:
    """Return the limits that are on, those that are reached first; each leads to what stands behind it."""
    order = [Level.OVER, Level.NEAR, Level.UNKNOWN, Level.OK]
    found = [one for one in limits_of(account) if one.level is not Level.OFF]
    return [
        {**_meter(one), "href": _behind(one, account, page)}
        for one in sorted(found, key=lambda one: order.index(one.level))
    ]


def _behind(meter: Meter, account: AccountState, page: Page) -> str:
    if meter.name == "bar_age_bars_max":
        return page.link("health")
    trips = [one.seq for one in account.recent_round_trips]
    if meter.name == "loss_streak_max":
        streak = account.loss_streak or 0
        return page.entries(trips[:streak], streak) if trips and streak else page.behind("trades")
    if meter.name.startswith("daily_loss"):
        return page.behind("today")
    return page.behind("drawdown" if meter.name.startswith("drawdown") else "exposure")


def off_of(account: AccountState) -> dict[str, Any]:
    """Return the limits that are off."""
    found = [{**one.json(), "key": one.name, "level": ""} for one in limits_of(account) if one.level is Level.OFF]
    return {"columns": _OFF, "rows": found, "none": "Every limit is on."}


def changed_of(account: AccountState, page: Page) -> dict[str, Any]:
    """Return the limits that an operator changed; each leads to the entry that says so."""
    rows = [
        {
            **one.json(),
            "key": one.name,
            "unit": account.quote if one.name in _IN_MONEY else "",
            "href": page.entry(one.seq),
        }
        for one in account.limit_changes
    ]
    return {"columns": _CHANGED, "rows": rows, "none": "Every limit is as configured."}


def held_of(account: AccountState, page: Page) -> dict[str, Any]:
    """Return what is held, with what the equity would change by if its stop were hit at its price."""
    rows = [
        {
            **one.json(),
            "key": f"{one.symbol} {one.is_ours}",
            "group": account.groups.get(one.symbol, ""),
            "direction": "long" if one.direction > 0 else "short",
            "share": _share(one.notional, account.equity),
            "at_stop": None if (lost := at_stop(one)) is None else str(lost),
            "href": page.behind("position", symbol=one.symbol),
            "level": "over" if one.stop_missing_reason else "",
        }
        for one in account.positions
    ]
    return {"columns": in_currency(_HELD, (account.quote,)), "rows": rows, "none": "Nothing is held."}


def grouped_of(account: AccountState, page: Page) -> dict[str, Any]:
    """Return what is held by group; an instrument in no group stands for itself."""
    worth: dict[str, list[Decimal | None]] = defaultdict(list)
    symbols: dict[str, list[str]] = defaultdict(list)
    for one in account.positions:
        group = group_of(account, one)
        worth[group].append(one.notional)
        symbols[group].append(one.symbol)
    rows = []
    for group, parts in sorted(worth.items()):
        known = [part for part in parts if part is not None]
        whole = sum(known, Decimal(0)) if len(known) == len(parts) else None
        text = None if whole is None else str(whole)
        row = {"what": group, "symbols": ", ".join(symbols[group]), "worth": text}
        href = page.behind("stops", group=group)
        rows.append({**row, "key": group, "share": _share(whole, account.equity), "href": href})
    return {"columns": in_currency(_GROUPED, (account.quote,)), "rows": rows, "none": "Nothing is held."}


def day_rows(account: AccountState, page: Page) -> dict[str, Any]:
    """Return the last days, newest first; each leads to what moved and what closed on it."""
    rows = [
        {**one.json(), "key": str(one.day_ns), "day": _day(one.day_ns), "href": _behind_day(one.day_ns, page)}
        for one in days_of(account)
    ]
    return {"columns": in_currency(_DAYS, (account.quote,)), "rows": rows, "none": "No day has passed yet."}


def _behind_day(day_ns: int, page: Page) -> str:
    return page.behind("day", from_ns=day_ns, until_ns=day_ns + DAY_NS)


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
        "explanation": f"{one.explanation}{_changed(one)}",
    }


def _changed(one: Meter) -> str:
    if not one.changed_by:
        return ""
    configured = "not known"
    if one.configured is not None:
        configured = f"{percent(one.configured)} %" if one.unit == "fraction" else f"{one.configured:g}"
    return f" Set by {one.changed_by} at {moment(one.changed_ns)}; configured is {configured}."


def _share(part: Decimal | None, whole: Decimal | None) -> float | None:
    return None if part is None or not whole else float(part / whole)


def _day(day_ns: int) -> str:
    return moment(day_ns)[:10]
