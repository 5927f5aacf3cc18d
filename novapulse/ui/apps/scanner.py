"""Every instrument of every account, the strongest consensus first, its votes, and what each strategy has earned."""

from collections.abc import Mapping
from typing import Any

import marimo as mo

from novapulse.core.ports import JournalError
from novapulse.core.words import counted
from novapulse.monitor import Overview, UnknownAccountError, scan, strategies
from novapulse.monitor.state import InstrumentState
from novapulse.monitor.strategies import StrategyRow
from novapulse.ui.apps.frame import Page, chips, stack
from novapulse.ui.apps.tables import Columns, in_currency, percent
from novapulse.ui.apps.universe import Universe
from novapulse.ui.widgets import Rows, Tiles

_STATES = {"held": ("long", "short"), "working": ("working",), "flat": ("flat",)}
_BEHIND = {"held": "stops", "working": "orders", "flat": "traded"}
_STRENGTHS = (0, 5, 10, 15)
_SCAN: Columns = (
    {"key": "symbol", "label": "instrument"},
    {"key": "exchange", "label": "exchange"},
    {"key": "account_id", "label": "account"},
    {"key": "state", "label": "state", "kind": "side"},
    {"key": "consensus", "label": "consensus", "kind": "signed", "digits": 1},
    {"key": "confidence", "label": "confidence", "kind": "percent", "digits": 0},
    {"key": "lead", "label": "led by", "kind": "status"},
    {"key": "regime", "label": "regime"},
    {"key": "price", "label": "last", "kind": "figure"},
    {"key": "market_state", "label": "market", "kind": "status"},
    {"key": "votes_ns", "label": "voted at", "kind": "time"},
    {"key": "why_not", "label": "why nothing is done now", "wide": True},
)
_VOTED: Columns = (
    {"key": "symbol", "label": "instrument"},
    {"key": "exchange", "label": "exchange"},
    {"key": "account_id", "label": "account"},
    {"key": "votes_ns", "label": "voted at", "kind": "time"},
    {"key": "regime", "label": "regime"},
    {"key": "consensus", "label": "consensus", "kind": "signed", "digits": 1},
)
_MOST = {"key": "most", "label": "weigh most now", "wide": True}
_NONE = "No instrument is like that now."
_UNSAID = "No trader has said what each strategy votes: it does while it runs, once its indicators are warm."
_STRATEGIES: Columns = (
    {"key": "strategy", "label": "strategy", "kind": "status"},
    {"key": "exchange", "label": "exchange"},
    {"key": "account_id", "label": "account"},
    {"key": "trades", "label": "trades", "kind": "figure", "digits": 0},
    {"key": "win_rate", "label": "won", "kind": "percent", "digits": 0},
    {"key": "average_pnl", "label": "average", "kind": "signed", "digits": 2, "money": True},
    {"key": "profit_factor", "label": "profit factor", "kind": "figure", "digits": 2, "none": True},
    {"key": "average_r", "label": "average R", "kind": "signed", "digits": 2},
    {"key": "pnl", "label": "brought", "kind": "signed", "digits": 2, "money": True},
    {"key": "fees", "label": "fees", "kind": "figure", "digits": 2, "money": True},
)


def page() -> mo.Html:
    """Return the page."""
    shown = Page("scanner")
    if shown.problem:
        return shown.shown()
    state, least = shown.asked("state"), _strength(shown.asked("consensus"))
    if state not in ("", *_STATES):
        shown.problem = f"no state {state}: an instrument is {', '.join(_STATES)}"
        return shown.shown()
    universe = Universe(shown, {"state": state, "consensus": f"{least:g}" if least else ""})
    if universe.problem:
        shown.problem = universe.problem
        return shown.shown()
    own = shown.own
    tiles, scanned = own(Tiles()), own(Rows(label="Instruments"))
    voted = own(Rows(label="Votes of the strategies"))
    earned = own(Rows(label="Strategies, round trips closed so far"))
    shown.on_accounts(lambda now: tiles.show_state({"tiles": tiles_of(now, shown)}))
    shown.on_accounts(lambda now: scanned.show_state(scan_of(now, shown, state, least)))
    shown.on_accounts(lambda now: voted.show_state(votes_of(now, shown, state, least)))
    monitor = StrategyMonitor(shown, earned)
    shown.on_accounts(monitor.show)
    return shown.shown(
        f'<div class="np-switches">{shown.switch(with_all=True)}{_filters(shown, state, least, universe.asked)}</div>',
        tiles,
        stack([scanned, voted, earned, universe.shown()]),
    )


def scan_of(reading: Overview, page: Page, state: str = "", consensus_min: float = 0.0) -> dict[str, Any]:
    """Return the instruments that fit, the strongest consensus first."""
    rows = [_row(one, reading, page) for one in _found(reading, state, consensus_min)]
    return {"columns": _SCAN, "rows": rows, "none": _NONE}


def votes_of(reading: Overview, page: Page, state: str = "", consensus_min: float = 0.0) -> dict[str, Any]:
    """Return what each strategy says of the instruments that fit, and how much that counts, a column for each."""
    found = _found(reading, state, consensus_min)
    names = sorted({name for one in found for name in one.instrument.forecasts or ()})
    votes: Columns = tuple(
        {"key": f"vote {name}", "label": name.replace("_", " "), "kind": "signed", "digits": 1} for name in names
    )
    rows = [
        {
            **_row(one, reading, page),
            **{f"vote {name}": (one.instrument.forecasts or {}).get(name) for name in names},
            "most": _most(one.instrument),
        }
        for one in found
    ]
    if not names and rows:
        return {"columns": _VOTED, "rows": [], "none": _UNSAID}
    return {"columns": (*_VOTED, *votes, _MOST), "rows": rows, "none": _NONE}


def _found(reading: Overview, state: str, consensus_min: float) -> tuple[scan.ScanRow, ...]:
    return scan.rows(reading, states=_STATES.get(state, ()), consensus_min=consensus_min)


def _row(one: scan.ScanRow, reading: Overview, page: Page) -> dict[str, Any]:
    return {
        **one.instrument.json(),
        "exchange": one.exchange,
        "account_id": one.account_id,
        "key": f"{one.exchange} {one.account_id} {one.instrument.symbol}",
        "href": page.link("desk", reading.account(one.exchange, one.account_id), symbol=one.instrument.symbol),
        "level": "" if one.proven else "over",
    }


def _most(one: InstrumentState) -> str | None:
    """Return which strategies count most at that bar, and how much of the whole weight they have."""
    if one.weights is None:
        return None
    heaviest = sorted(one.weights.items(), key=lambda pair: (-pair[1], pair[0]))[:3]
    return ", ".join(f"{name.replace('_', ' ')} {percent(weight, 0)}\N{NO-BREAK SPACE}%" for name, weight in heaviest)


def tiles_of(reading: Overview, page: Page) -> list[dict[str, Any]]:
    """Return how many instruments are in which state, and the strongest opinion."""
    found = [(one, each) for one in reading.accounts for each in one.votes]
    known = [(one, each) for one, each in found if each.consensus is not None]
    tiles: list[dict[str, Any]] = [
        {
            "label": name,
            "value": str(sum(each.state in states for _, each in found)),
            "digits": 0,
            "note": f"of {counted(len(found), 'instrument')}",
            "href": page.behind(_BEHIND[name]),
        }
        for name, states in _STATES.items()
    ]
    if known:
        account, strongest = max(known, key=lambda pair: abs(pair[1].consensus or 0.0))
        tile = {
            "label": "strongest",
            "value": f"{strongest.consensus:.2f}",
            "signed": True,
            "digits": 1,
            "note": f"consensus of {strongest.symbol}, {account.account_id} on {account.exchange}",
            "href": page.link("desk", account, symbol=strongest.symbol),
        }
        tiles.append(tile)
    closed = sum(each.market_state == "closed" for _, each in found)
    tile = {
        "label": "markets closed",
        "value": str(closed),
        "digits": 0,
        "note": f"of {counted(len(found), 'instrument')}",
    }
    return [*tiles, {**tile, "href": page.behind("calendars")}]


def strategies_of(rows: tuple[StrategyRow, ...], page: Page) -> dict[str, Any]:
    """Return what each strategy has earned, the best first; each leads to its last round trips."""
    shown = [
        {
            **one.json(),
            "key": f"{one.exchange} {one.account_id} {one.strategy}",
            "href": page.entries(one.seqs, one.trades),
        }
        for one in sorted(rows, key=lambda one: -one.pnl)
    ]
    columns = in_currency(_STRATEGIES, (one.quote for one in rows))
    return {"columns": columns, "rows": shown, "none": "No round trip has been closed yet."}


class StrategyMonitor:
    """Asks the ledger what strategies earned whenever a round trip was closed, and not more often."""

    def __init__(self, page: Page, widget: Rows) -> None:
        """Begin.

        Args:
            page: Which shows it.
            widget: To show it on.
        """
        self._page, self._widget = page, widget
        self._known: tuple[Any, ...] = ()

    def show(self, reading: Overview) -> None:
        """Show what holds as of a reading."""
        if not all(one.proven for one in reading.accounts):
            return
        closed = (reading.ledger_id, *(one.trades for one in reading.accounts))
        if closed == self._known:
            self._widget.word()
            return
        about = self._page.account
        try:
            rows = strategies.table(self._page.home, about.key if about else None)
        except (JournalError, UnknownAccountError) as wrong:
            self._widget.show_state({"columns": _STRATEGIES, "rows": [], "none": str(wrong)})
            return
        self._known = closed
        self._widget.show_state(strategies_of(rows, self._page))


def _filters(page: Page, state: str, least: float, asked: Mapping[str, object]) -> str:
    def here(state: str, consensus: float) -> str:
        return page.here(None, **{**asked, "state": state, "consensus": f"{consensus:g}" if consensus else ""})

    states = [(name or "any state", here(name, least), name == state) for name in ("", *_STATES)]
    strengths = [(f"{one} and more" if one else "any", here(state, one), one == least) for one in _STRENGTHS]
    return chips("State", states) + chips("Consensus", strengths)


def _strength(text: str) -> float:
    return float(text) if text.isdecimal() and int(text) in _STRENGTHS else 0.0
