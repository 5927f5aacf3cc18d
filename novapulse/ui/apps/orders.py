"""Orders of one account: those at work, those that ended, and what was filled; each leads to its ledger entries."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import marimo as mo

from novapulse.core.ports import JournalError
from novapulse.monitor import AccountState, Overview, UnknownAccountError
from novapulse.monitor.history import ended_orders
from novapulse.research.tearsheet.words import plus
from novapulse.ui.apps.commands import order_commands
from novapulse.ui.apps.frame import Page, stack
from novapulse.ui.apps.oldness import not_of_now
from novapulse.ui.apps.tables import Columns, fills_of, in_currency, order_link
from novapulse.ui.widgets import Rows, Tiles
from novapulse.ui.widgets.boards import ORDER_COLUMNS

_WORKING: Columns = (
    *ORDER_COLUMNS[:-1],
    {"key": "venue_order_id", "label": "at the venue"},
    {"key": "facts", "label": "facts", "kind": "figure", "digits": 0},
    ORDER_COLUMNS[-1],
)
_ENDED: Columns = (
    {"key": "ts_ns", "label": "ended", "kind": "time"},
    {"key": "symbol", "label": "instrument"},
    {"key": "side", "label": "side", "kind": "side"},
    {"key": "role", "label": "role", "kind": "status"},
    {"key": "kind", "label": "kind", "kind": "status"},
    {"key": "status", "label": "how", "kind": "status"},
    {"key": "qty", "label": "qty", "kind": "figure", "unit": "base"},
    {"key": "filled_qty", "label": "filled", "kind": "figure", "unit": "base"},
)
_TRIPS: Columns = (
    {"key": "exit_ns", "label": "closed", "kind": "time"},
    {"key": "symbol", "label": "instrument"},
    {"key": "side", "label": "side", "kind": "side"},
    {"key": "lead", "label": "led by", "kind": "status"},
    {"key": "entry_price", "label": "in", "kind": "figure"},
    {"key": "exit_price", "label": "out", "kind": "figure"},
    {"key": "pnl", "label": "brought", "kind": "signed", "digits": 2, "money": True},
    {"key": "r_multiple", "label": "R", "kind": "signed", "digits": 2},
    {"key": "bars_held", "label": "bars", "kind": "figure", "digits": 0},
    {"key": "why", "label": "why it was closed", "wide": True},
)


_AT_WORK = {"entry": ("entry", "entries"), "exit": ("exit", "exits"), "protect": ("protecting", "protecting")}


def page() -> mo.Html:
    """Return the page."""
    shown = Page("orders")
    if shown.problem or shown.account is None:
        return shown.shown()
    own = shown.own
    tiles, working = own(Tiles()), own(Rows(label="Working orders"))
    ended, fills = own(Rows(label="Ended orders", height=420)), own(Rows(label="Fills", height=420))
    trips = own(Rows(label="Round trips", height=420))
    shown.on_accounts(lambda now: tiles.show_state({"tiles": tiles_of(now, shown)}))
    shown.on_account(lambda one: working.show_state(working_of(one, shown)))
    shown.on_account(lambda one: fills.show_state(fills_of(one, shown)))
    shown.on_account(lambda one: trips.show_state(trips_of(one, shown)))
    shown.on_account(when_changed(lambda one: ended.show_state(ended_of(one, shown, shown.home)), ended.word))
    acts = [order_commands(shown)] if shown.who.may_act else []
    return shown.shown(shown.switch(), tiles, stack([working, *acts, fills, ended, trips]))


def tiles_of(reading: Overview, page: Page) -> list[dict[str, Any]]:
    """Return how the orders of the account of a reading stand."""
    account, old = reading.accounts[0], not_of_now(reading, reading.accounts)
    known = "not known now" if old else "every outcome is known"
    unknown, working = account.unknown_orders, [one for one in account.orders if not one.waits]
    waiting = len(account.orders) - len(working)
    roles = {role: sum(one.role == role for one in working) for role in ("entry", "exit", "protect")}
    return [
        {
            "label": "working",
            "value": str(len(working)),
            "note": ", ".join(
                [
                    *(f"{count} {_AT_WORK[role][count != 1]}" for role, count in roles.items()),
                    *([f"{waiting} for what an entry fills"] if waiting else []),
                ]
            ),
            "href": page.behind("orders"),
        },
        {
            "label": "unknown outcome",
            "value": str(unknown),
            "note": "look at the venue before anything else" if unknown else known,
            "level": "over" if unknown else "unknown" if old else "ok",
            "href": page.behind("unknown"),
        },
        {
            "label": "closed trades",
            "value": str(account.trades),
            "note": f"{plus(account.realized_pnl, 2)} {account.quote} realized"
            if account.realized_pnl is not None
            else "",
            "href": page.behind("realized"),
        },
        {
            "label": "fees paid",
            "value": None if account.fees is None else str(account.fees),
            "unit": account.quote,
            "digits": 2,
            "note": "less rebates, since the account was opened",
            "href": page.behind("fees"),
        },
    ]


def working_of(account: AccountState, page: Page) -> dict[str, Any]:
    """Return working orders; one whose outcome is not known is marked."""
    rows = [
        {
            **one.json(),
            "base": account.bases.get(one.symbol, ""),
            "facts": len(one.facts),
            "href": order_link(page, account, one.client_order_id),
            "level": "over" if one.status == "UNKNOWN" else "",
        }
        for one in account.orders
    ]
    return {"columns": _WORKING, "rows": rows, "key_field": "client_order_id", "none": "No working order."}


def ended_of(account: AccountState, page: Page, home: Path) -> dict[str, Any]:
    """Return the orders that ended last; what cannot be read is said in place of them."""
    try:
        found = ended_orders(home, account.key)
    except (JournalError, UnknownAccountError) as wrong:
        return {"columns": _ENDED, "rows": [], "none": str(wrong)}
    rows = [
        {
            **one.json(),
            "base": account.bases.get(one.symbol, ""),
            "href": order_link(page, account, one.client_order_id),
        }
        for one in found
    ]
    return {"columns": _ENDED, "rows": rows, "key_field": "client_order_id", "none": "No order has ended yet."}


def trips_of(account: AccountState, page: Page) -> dict[str, Any]:
    """Return the last round trips, newest first."""
    rows = [
        {
            **one.json(),
            "key": str(one.seq),
            "side": "long" if one.direction > 0 else "short",
            "href": page.entry(one.seq),
        }
        for one in account.recent_round_trips
    ]
    return {"columns": in_currency(_TRIPS, (account.quote,)), "rows": rows, "none": "No trade has been closed yet."}


def when_changed(
    deliver: Callable[[AccountState], object], otherwise: Callable[[], object]
) -> Callable[[AccountState], object]:
    """Return what asks the ledger only when the account has new entries, and else says that all still holds.

    Args:
        deliver: Asks the ledger.
        otherwise: Says that what is shown still holds.
    """
    known: list[int] = []

    def maybe(account: AccountState) -> None:
        if not account.proven:
            return
        if known == [account.as_of_seq]:
            otherwise()
            return
        known[:] = [account.as_of_seq]
        deliver(account)

    return maybe
