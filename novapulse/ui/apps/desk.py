"""The trading desk of one account: what it is worth, the chart of an instrument, what it holds, asks for and did."""

from typing import Any

import marimo as mo

from novapulse.core.bars import timeframe_text
from novapulse.core.orders import Role
from novapulse.monitor import AccountState, Overview
from novapulse.monitor.limits import Level, Meter, limits_of
from novapulse.monitor.order_book import IN_FORCE
from novapulse.research.tearsheet.words import plus
from novapulse.ui.apps.chart import BARS_SHOWN, Chart
from novapulse.ui.apps.chosen_bar import ChosenBar
from novapulse.ui.apps.commands import account_commands, alert_commands, break_commands, urgent_commands
from novapulse.ui.apps.frame import Page, chips, columns, note, stack
from novapulse.ui.apps.lanes import earlier_votes
from novapulse.ui.apps.oldness import not_of_now
from novapulse.ui.apps.overview import equity_of, positions_of, show_curve
from novapulse.ui.apps.tables import (
    SHORT_DECISIONS,
    alerts_of,
    breaks_of,
    decisions_of,
    fills_of,
    lasting,
    orders_of,
    percent,
)
from novapulse.ui.markup import escape
from novapulse.ui.widgets import Candles, Orders, Positions, Rows, Tiles


def page() -> mo.Html:
    """Return the page."""
    shown = Page("desk")
    account = shown.account
    if shown.problem or account is None:
        return shown.shown()
    symbol = symbol_of(account, shown.asked("symbol"))
    if symbol is None:
        there = ", ".join(one.symbol for one in account.votes) or "nothing"
        whose = f"{account.account_id} on {account.exchange}"
        shown.problem = f"{whose} does not trade {shown.asked('symbol')}: it trades {there}"
        return shown.shown()
    own = shown.own
    tiles, positions = own(Tiles()), own(Positions(label="Positions"))
    orders, fills = own(Orders(label="Working orders")), own(Rows(label="Fills", height=320))
    decisions, alerts = own(Rows(label="Decisions", height=320)), own(Rows(label="Alerts", height=240))
    instruments, breaks = own(Tiles(label="Instruments")), own(Rows(label="Books and venue", height=240))
    equity = own(equity_of(shown, account, "Equity", 170))
    shown.on_accounts(lambda now: tiles.show_state({"tiles": tiles_of(now, shown)}))
    chart = _chart(shown, account, symbol)
    shown.on_account(lambda one: positions.show_state({"positions": positions_of((one,), shown)}))
    shown.on_account(lambda one: orders.show(orders_of(one, shown)))
    shown.on_account(lambda one: fills.show_state(fills_of(one, shown)))
    shown.on_account(lambda one: decisions.show_state(decisions_of(one, shown, SHORT_DECISIONS)))
    shown.on_account(lambda one: alerts.show_state(alerts_of(one, shown)))
    shown.on_account(lambda one: instruments.show_state({"tiles": instrument_tiles(one, shown)}))
    shown.on_accounts(lambda now: breaks.show_state(breaks_of(now, shown)))
    shown.on_account(lambda one: show_curve(equity, one))
    acts = shown.who.may_act
    urgent = [urgent_commands(shown, symbol), alert_commands(shown)] if acts else []
    beside = [*urgent, instruments, equity, alerts, breaks]
    if acts:
        beside += [account_commands(shown), break_commands(shown)]
    # Where the columns stand below each other, what can be done comes before what was done.
    later = f'<div class="np-later">{stack([fills, decisions])}</div>'
    return shown.shown(
        f'<div class="np-switches">{shown.switch()}{_instrument_links(shown, account, symbol)}</div>',
        tiles,
        columns(stack([chart, positions, orders, later]), stack(beside), widths="np-two-one"),
    )


def symbol_of(account: AccountState, asked: str) -> str | None:
    """Return the instrument to show: the one asked for, else one that is held, else the first; None for a wrong one."""
    there = [one.symbol for one in account.votes]
    if asked:
        wanted = asked.replace("-", "/").upper()
        return next((symbol for symbol in there if symbol.upper() == wanted), None)
    held = [one.symbol for one in account.positions if one.symbol in there]
    return next(iter([*held, *there]), None)


def tiles_of(reading: Overview, page: Page) -> list[dict[str, Any]]:
    """Return the key figures of the account of a reading, each with the way to what stands behind it."""
    account, old = reading.accounts[0], not_of_now(reading, reading.accounts)
    meters = {one.name: one for one in limits_of(account)}
    drawdown, exposure = meters["drawdown_max_fraction"], meters["gross_exposure_max_fraction"]
    stops = sum(one.role == Role.PROTECT and one.status in IN_FORCE for one in account.orders)
    unknown = account.unknown_orders
    age, today = _level(meters["bar_age_bars_max"]), account.day_pnl_fraction
    return [
        {
            "label": "equity",
            "value": _text(account.equity),
            "unit": account.quote,
            "digits": 2,
            "note": _free(account),
            "href": page.behind("equity"),
        },
        {
            "label": "today",
            "value": _text(account.day_pnl),
            "unit": account.quote,
            "digits": 2,
            "signed": True,
            "note": "no close today" if today is None else f"{plus(today * 100, 2)} % since 0:00 UTC",
            "href": page.behind("today"),
        },
        _share("exposure", account.exposure_fraction, exposure, page, "entries are cut at"),
        _share("drawdown", account.drawdown_fraction, drawdown, page, "no entry from"),
        {
            "label": "open orders",
            "value": str(account.open_orders),
            "note": f"{unknown} with an unknown outcome"
            if unknown
            else f"{stops} protecting{', as proven last' if old else ''}",
            "level": "over" if unknown else "unknown" if old else "ok",
            "href": page.behind("unknown" if unknown else "orders"),
        },
        {
            "label": "last bar",
            "value": lasting(account.last_bar_age_s),
            "note": f"market {account.market_state}" if account.market_state else "market not known",
            "level": age,
            "href": page.link("health"),
        },
    ]


def instrument_tiles(account: AccountState, page: Page) -> list[dict[str, Any]]:
    """Return what the account trades: the last price, what is held, and what is thought of it; each shows its chart."""
    return [
        {
            "key": one.symbol,
            "label": one.symbol,
            "value": _text(one.price),
            "unit": account.quote,
            "note": f"{one.state}, consensus {'not known' if one.consensus is None else plus(one.consensus, 1)}",
            "href": page.here(account, symbol=one.symbol),
        }
        for one in account.votes
    ]


def _share(label: str, used: float | None, meter: Meter, page: Page, words: str) -> dict[str, Any]:
    limit = "no limit" if meter.limit is None else f"{words} {meter.limit * 100:g} %"
    return {
        "label": label,
        "value": percent(used),
        "unit": "%",
        "digits": 2,
        "note": limit,
        "level": _level(meter),
        "href": page.behind(label),
    }


def _level(meter: Meter) -> str:
    return "ok" if meter.level is Level.OFF else meter.level.value


def _free(account: AccountState) -> str:
    free = "free cash not known" if account.cash is None else f"free {account.cash:,.2f} {account.quote}"
    parts = [free]
    if account.hold:
        parts.append(f"reserved for entries {account.hold:,.2f} {account.quote}")
    return ", ".join(parts)


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _chart(page: Page, account: AccountState, symbol: str) -> Any:
    widget = page.own(Candles(label=f"{symbol} on {account.exchange}", height=430, folded=True))
    earlier = earlier_votes(page.home, account.key, symbol, BARS_SHOWN, page.who.config)
    chart = Chart(page.home, account, symbol, widget, page.hub.voted, earlier)
    if chart.problem:
        return f'<section class="np-card"><h2>{escape(symbol)}</h2>{note(chart.problem)}</section>'
    widget.label = f"{widget.label} · {timeframe_text(chart.timeframe_ns)} bars"
    page.on_account(chart.show)
    ChosenBar(page, account, symbol, widget)
    return widget


def _instrument_links(page: Page, account: AccountState, symbol: str) -> str:
    links = [(one.symbol, page.here(account, symbol=one.symbol), one.symbol == symbol) for one in account.votes]
    return chips("Instrument", links)
