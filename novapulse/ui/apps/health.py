"""How everything is: the trader, the ledger, each account, what differs, what tripped, what people were told."""

from datetime import UTC, datetime
from typing import Any

import marimo as mo

from novapulse.monitor import AccountState, Overview
from novapulse.monitor.state import Life
from novapulse.ui.apps.commands import alert_commands
from novapulse.ui.apps.frame import Page, columns, stack
from novapulse.ui.apps.overview import alerts_of
from novapulse.ui.apps.tables import BREAKERS, BREAKS, Columns, breakers_of, breaks_of, lasting, moment
from novapulse.ui.session import scope
from novapulse.ui.widgets import Rows, Tiles

_WHOSE: Columns = ({"key": "exchange", "label": "exchange"}, {"key": "account_id", "label": "account"})
_ACCOUNTS: Columns = (
    *_WHOSE,
    {"key": "health", "label": "health"},
    {"key": "mode", "label": "mode", "kind": "status"},
    {"key": "stream", "label": "stream of the venue"},
    {"key": "last_bar_age_s", "label": "last bar", "kind": "age"},
    {"key": "market_state", "label": "market", "kind": "status"},
    {"key": "unknown_orders", "label": "unknown orders", "kind": "figure", "digits": 0},
    {"key": "open_breaks", "label": "differences", "kind": "figure", "digits": 0},
    {"key": "compared_ns", "label": "compared", "kind": "time"},
    {"key": "books", "label": "books", "kind": "status"},
    {"key": "as_of_seq", "label": "entry"},
    {"key": "why", "label": "why", "wide": True},
)
_MEASURED: Columns = (
    *_WHOSE,
    {"key": "feed_silence", "label": "silence of the feed, heartbeats", "kind": "figure", "digits": 1},
    {"key": "clock_skew", "label": "clock's skew, ms", "kind": "figure", "digits": 1},
    {"key": "disk_free", "label": "free disk", "kind": "percent", "digits": 0},
)
_MARKETS: Columns = (
    {"key": "symbol", "label": "instrument"},
    *_WHOSE,
    {"key": "market_state", "label": "market", "kind": "status"},
    {"key": "price", "label": "last", "kind": "figure"},
    {"key": "price_ns", "label": "closed at", "kind": "time"},
)
_LIVES = {
    Life.RUNNING: "runs",
    Life.SILENT: "silent",
    Life.STOPPED: "stopped",
    Life.ABSENT: "never seen",
    Life.UNREADABLE: "unreadable",
}


def page() -> mo.Html:
    """Return the page."""
    shown = Page("health")
    if shown.problem:
        return shown.shown()
    # How trader and ledger are is of now whatever they say.
    tiles, own = scope().own(Tiles()), shown.own
    accounts = own(Rows(label="Accounts"))
    markets, alerts = own(Rows(label="Markets, by the exchange's calendar")), own(Rows(label="Alerts", height=420))
    breaks, breakers = own(Rows(label="Differences between books and venue")), own(Rows(label="Breakers"))
    shown.on_accounts(lambda now: tiles.show_state({"tiles": tiles_of(now, shown)}))
    shown.on_accounts(lambda now: accounts.show_state(accounts_of(now, shown)))
    shown.on_accounts(lambda now: breaks.show_state(breaks_of(now, shown, (*_WHOSE, *BREAKS))))
    shown.on_accounts(lambda now: breakers.show_state(breakers_of(now.accounts, shown, (*_WHOSE, *BREAKERS))))
    shown.on_accounts(lambda now: markets.show_state(markets_of(now, shown)))
    measured = own(Rows(label="Measured by the trader"))
    shown.on_accounts(lambda now: measured.show_state(measured_of(now)))
    shown.on_accounts(lambda now: alerts.show_state(alerts_of(now, shown)))
    beside = [alerts, *([alert_commands(shown)] if shown.who.may_act else [])]
    return shown.shown(
        shown.switch(with_all=True),
        tiles,
        accounts,
        columns(stack([breaks, breakers, measured, markets]), stack(beside)),
    )


def tiles_of(reading: Overview, page: Page) -> list[dict[str, Any]]:
    """Return how trader and ledger are."""
    trader, ledger = reading.trader, reading.ledger.value
    open_alerts = sum(alert.is_open for one in reading.accounts for alert in one.alerts)
    return [
        {
            "label": "trader",
            "value": _LIVES[trader.life],
            "note": "; ".join(trader.reasons) or f"version {trader.version}",
            "level": "ok" if trader.healthy else "over",
        },
        {
            "label": "last heartbeat",
            "value": lasting(trader.heartbeat_age_s),
            "note": f"{moment(trader.heartbeat_ns)} UTC",
            "level": "ok" if trader.running else "over",
        },
        {
            "label": "process",
            "value": None if trader.pid is None else str(trader.pid),
            "plain": True,
            "note": _since(trader.session),
        },
        {
            "label": "ledger",
            "value": "read well" if ledger == "ok" else ledger,
            "note": reading.ledger_problem or f"{reading.ledger_id[:8]}, entry {reading.head_seq}",
            "level": "ok" if ledger == "ok" else "over",
            "href": page.link("journal"),
        },
        {"label": "kept at", "value": _place(reading), "note": reading.ledger_place},
        {
            "label": "open alerts",
            "value": str(open_alerts),
            "digits": 0,
            "level": "over" if open_alerts else "ok",
            "note": "what they are about still holds" if open_alerts else "nothing to worry about",
            "href": page.behind("alerts"),
        },
    ]


def _since(session: str) -> str:
    """Return since when a session goes on, which its name begins with; a name of another kind as it is."""
    try:
        began = datetime.strptime(session.partition(".")[0], "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        return session
    return f"since {began:%Y-%m-%d %H:%M:%S} UTC"


def accounts_of(reading: Overview, page: Page) -> dict[str, Any]:
    """Return how each account is, and why it is not well where it is not."""
    rows = [
        {
            **one.json(),
            "key": f"{one.exchange} {one.account_id}",
            "health": "healthy" if one.healthy else "not healthy",
            "stream": {True: "stands", False: "down", None: "not known"}[one.connected],
            "books": "proven" if one.proven else "as proven last",
            "why": _why(one, reading),
            "href": page.behind("standing", one),
            "hrefs": {
                "unknown_orders": page.behind("unknown", one),
                "open_breaks": page.behind("breaks", one),
                "compared_ns": page.behind("breaks", one),
                "as_of_seq": page.entry(one.as_of_seq),
            },
            "level": "" if one.healthy else "over",
        }
        for one in reading.accounts
    ]
    return {"columns": _ACCOUNTS, "rows": rows, "none": "No account yet."}


def markets_of(reading: Overview, page: Page) -> dict[str, Any]:
    """Return whether the market of each instrument is open, at the account's own time."""
    rows = [
        {
            **each.json(),
            "exchange": one.exchange,
            "account_id": one.account_id,
            "key": f"{one.exchange} {one.account_id} {each.symbol}",
            "href": page.link("desk", one, symbol=each.symbol),
        }
        for one in reading.accounts
        for each in one.votes
    ]
    return {"columns": _MARKETS, "rows": rows, "none": "Nothing is traded."}


def measured_of(reading: Overview) -> dict[str, Any]:
    """Return what the trader measured last of each account; nothing while none runs."""
    rows = [
        {
            **dict.fromkeys(column["key"] for column in _MEASURED),
            **one.measured,
            "exchange": one.exchange,
            "account_id": one.account_id,
            "key": f"{one.exchange} {one.account_id}",
        }
        for one in reading.accounts
        if one.measured
    ]
    return {"columns": _MEASURED, "rows": rows, "none": "Not known: the trader says nothing."}


def _why(account: AccountState, reading: Overview) -> str:
    """Return why an account is not well; of the trader only that it does not run, as its tile says the rest."""
    trader = reading.trader
    own = [text for text in account.reasons if trader.running or text not in trader.reasons]
    return "; ".join([*([] if trader.running else ["the trader does not run"]), *own, *account.notes])


def _place(reading: Overview) -> str:
    return reading.ledger_place.rpartition("/")[2]
