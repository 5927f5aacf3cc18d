"""What all apps share: who looks at which account, the frame around a page, and how readings get to its widgets."""

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

import marimo as mo

from novapulse.brand import WORDMARK
from novapulse.config import home_folder
from novapulse.control.roles import ACTIONS
from novapulse.monitor import AccountState, Hub, Overview, UnknownAccountError, hub_of
from novapulse.ui.apps.money import money_differs, money_of
from novapulse.ui.apps.offers import DOES, pausing
from novapulse.ui.apps.oldness import not_of_now
from novapulse.ui.markup import escape
from novapulse.ui.session import scope
from novapulse.ui.widgets import Hold, Live, Skips, StatusStrip
from novapulse.ui.widgets.live import STALE_S

CONTROL = "/api/v1/control"
SESSION = "/api/v1/session"
CONFIRM = "/confirm"
CLOSING = frozenset({"flatten", "kill"})
"""Verbs after which accounts are to be flat; the button waits for the proof."""
PROVE_S = 120.0
SEQS_MAX = 100
"""Entries that one address names."""
OPERATORS = frozenset({"operator", "admin"})

PAGES = (
    ("overview", "Overview"),
    ("desk", "Desk"),
    ("risk", "Risk"),
    ("orders", "Orders"),
    ("decisions", "Decisions"),
    ("scanner", "Scanner"),
    ("journal", "Journal"),
    ("health", "Health"),
)
OF_ONE_ACCOUNT = frozenset({"desk", "risk", "orders", "decisions"})
OF_ALL_ACCOUNTS = frozenset({"overview"})
WITH_COMMANDS = frozenset({"desk", "overview"})
"""Pages with a card of what cannot wait; elsewhere the bar that a phone keeps in reach is what leads to it."""
COMMANDS = "np-commands"
"""Where that card is, for who comes by keyboard; where the bar is, and where the page begins."""
REACH, PLACE = "np-reach", "np-page"
BARS = {"recorded": "recorded bars", "sample": "generated bars"}
"""Where a trader's bars are from, in words: nothing of a recording happens now."""
BARS_UNKNOWN = "bars live or recorded?"


_Figures = TypeVar("_Figures", bound=Live)


@dataclass(frozen=True, slots=True)
class Guest:
    """Who looks at a page.

    Attributes:
        name: Of the person; empty under plain `marimo run`.
        role: What they are; empty under plain `marimo run`, which only shows.
        csrf: What goes back with everything that changes something.
        mode: `paper` or `live`, as the server was configured, which accounts may be otherwise; empty without a server.
        config: File of the settings that the server was started with; None for the usual place.
    """

    name: str = ""
    role: str = ""
    csrf: str = ""
    mode: str = ""
    config: Path | None = None

    @property
    def is_served(self) -> bool:
        """Whether the page is behind our own server."""
        return bool(self.role)

    @property
    def may_act(self) -> bool:
        """Whether buttons are shown; the server decides when one is pressed."""
        return self.role in OPERATORS


def guest() -> Guest:
    """Return who looks at the page that is being made."""
    request = mo.app_meta().request
    if request is None:
        return Guest()
    meta: Mapping[str, Any] = request.meta or {}
    user: Any = request.user
    # Whoever is told to us by anything but our own gate has no role here.
    name = str(user.get("display_name", "")) if isinstance(user, dict) and "role" in meta else ""
    said, mode = meta.get("config"), str(meta.get("mode", ""))
    return Guest(name, str(meta.get("role", "")), str(meta.get("csrf", "")), mode, Path(said) if said else None)


class Page:
    """One page of one person.

    Attributes:
        name: Of the app.
        who: Who looks.
        home: Folder of the trader's state.
        hub: Makes the readings.
        first: The reading the page was made from.
        account: Which account it is about; None for all.
        problem: Why it cannot be shown, in words; empty where it can.
    """

    def __init__(self, name: str) -> None:
        """Find out what is to be shown to whom."""
        self.name = name
        self.who = guest()
        self.home = home_folder(os.environ)
        self.hub: Hub = hub_of(self.home)
        self.first: Overview = self.hub.now()
        self.account: AccountState | None = None
        self.problem = ""
        session_url = SESSION if self.who.is_served else ""
        self._strip = scope().own(StatusStrip(label="Trader and accounts", session_url=session_url))
        self._figures: list[Live] = []
        self._deliver: list[Callable[[Overview], object]] = [self._show_strip]
        exchange, account_id = self.asked("exchange"), self.asked("account_id")
        if exchange or account_id:
            try:
                self.account = self.first.account(exchange, account_id)
            except UnknownAccountError as wrong:
                self.problem = str(wrong)
            if name in OF_ALL_ACCOUNTS:
                # Its figures and its buttons are about all of them, wherever somebody comes from.
                self.account = None
        elif name in OF_ONE_ACCOUNT and self.first.accounts:
            self.account = self.first.accounts[0]
        if not self.problem and not self.first.accounts:
            self.problem = self.first.ledger_problem or "no trader has opened an account here yet"

    def own(self, widget: _Figures) -> _Figures:
        """Own a widget that shows figures of accounts: while they are not of now, it says since when and why."""
        self._figures.append(widget)
        widget.mark_old(self._not_of_now(self.first))
        return scope().own(widget)

    def _not_of_now(self, reading: Overview) -> str:
        return not_of_now(reading, self.accounts(reading))

    def asked(self, name: str) -> str:
        """Return what the address asks for under a name; empty where it does not."""
        return _word(mo.query_params().get(name))

    def current(self, reading: Overview) -> AccountState | None:
        """Return the page's account in a later reading; None where it is not in it any more."""
        if self.account is None:
            return None
        try:
            return reading.account(self.account.exchange, self.account.account_id)
        except UnknownAccountError:
            return None

    def accounts(self, reading: Overview) -> tuple[AccountState, ...]:
        """Return the accounts of a reading that the page is about."""
        account = self.current(reading)
        return reading.accounts if self.account is None else () if account is None else (account,)

    def link(self, page: str, account: AccountState | None = None, **more: object) -> str:
        """Return the address of another page, about the same account unless another is named.

        Under plain `marimo run` there are no other pages: empty.
        """
        return f"/apps/{page}/{self._query(account, more)}" if self.who.is_served else ""

    def here(self, account: AccountState | None = None, **more: object) -> str:
        """Return the address of this page with other questions, about the same account unless another is named."""
        query = self._query(account, more)
        return f"/apps/{self.name}/{query}" if self.who.is_served else query or "?"

    def alone(self, **more: object) -> str:
        """Return the address of this page with other questions, about no account."""
        query = urlencode(more)
        asked = f"?{query}" if query else ""
        return f"/apps/{self.name}/{asked}" if self.who.is_served else asked or "?"

    def _query(self, account: AccountState | None, more: Mapping[str, object]) -> str:
        about = account or self.account
        named = {"exchange": about.exchange, "account_id": about.account_id} if about else {}
        query = urlencode({**named, **{name: value for name, value in more.items() if value not in ("", None)}})
        return f"?{query}" if query else ""

    def entry(self, seq: int | None) -> str:
        """Return the address of a ledger entry; empty where there is none, or nowhere to go."""
        return f"/apps/journal/?seq={seq}" if seq and self.who.is_served else ""

    def entries(self, seqs: Iterable[int | None], count: int = 0) -> str:
        """Return the address of the entries behind a figure; empty where there are none, or nowhere to go.

        Args:
            seqs: Their numbers.
            count: How many there are where not all are named; what is left out is said there.
        """
        found = list(dict.fromkeys(seq for seq in seqs if seq))
        count, named = max(count, len(found)), found[:SEQS_MAX]
        if count < 2 or not named:
            return self.entry(next(iter(named), None))
        more = f"&of={count}" if count > len(named) else ""
        return f"/apps/journal/?seqs={','.join(map(str, named))}{more}" if self.who.is_served else ""

    def behind(self, figure: str, account: AccountState | None = None, **more: object) -> str:
        """Return the address of what a figure is made of, a name of `behind.FIGURES`; empty where nowhere to go.

        Args:
            figure: Its name.
            account: Whose; the page's account, or all of them, unless one is named.
            more: What the figure is about: `symbol`, `group`, `quote`, `from_ns`, `until_ns`.
        """
        return self.link("journal", account, figure=figure, **more)

    def on_reading(self, deliver: Callable[[Overview], object]) -> None:
        """Hand every reading to a widget, the first one now."""
        deliver(self.first)
        self._deliver.append(deliver)

    def on_account(self, deliver: Callable[[AccountState], object]) -> None:
        """Hand the page's account to a widget, now and with every reading that has it."""
        self.on_accounts(lambda reading: deliver(reading.accounts[0]))

    def on_accounts(self, deliver: Callable[[Overview], object]) -> None:
        """Hand every reading to a widget, of the page's account alone where it has one.

        Once that account is not in a reading any more, nothing is handed over: what is shown of it turns grey.
        """

        def of(reading: Overview) -> None:
            account = self.current(reading)
            if account is not None:
                deliver(replace(reading, accounts=(account,)))

        self.on_reading(deliver if self.account is None else of)

    def button(
        self,
        verb: str,
        label: str,
        detail: str,
        *,
        calm: bool = False,
        of: AccountState | None = None,
        compact: bool = False,
        **more: Any,
    ) -> Hold:
        """Return a button that must be held; for the page's account, or for all where it has none.

        Args:
            verb: Of the command.
            label: On it.
            detail: What it does.
            calm: Whether it does no harm.
            of: Another account that is to obey.
            compact: Whether it stands in the bar that is always in reach.
            more: What the command needs: `symbol`, `order`, `alert` or `set`.
        """
        about = of or self.account
        whom = {"exchange": about.exchange, "account_id": about.account_id} if about else {"all": True}
        body = {**whom, **more}
        prove_s = PROVE_S if verb in CLOSING else 0.0
        named = [str(more[name]) for name in ("symbol", "order", "alert") if name in more]
        wanted = {"session_url": SESSION, "confirm_url": CONFIRM} if ACTIONS[verb].step_up else {}
        return scope().own(
            Hold(
                label=label,
                detail=detail,
                url=f"{CONTROL}/{verb}",
                body=body,
                csrf=self.who.csrf,
                calm=calm,
                compact=compact,
                stale_s=STALE_S,
                prove_s=prove_s,
                anchor=quote("-".join(["hold", verb, *named])),
                **wanted,
            )
        )

    def _reach(self) -> str:
        if not self.who.may_act or self.problem:
            return ""
        about = f"{self.account.exchange} · {self.account.account_id}" if self.account else "every account"
        which = "" if self.account else " all"
        pause = self.button("pause", f"Hold to pause{which}", DOES["pause"], calm=True, compact=True)
        kill = self.button("kill", f"Hold to kill{which}", DOES["kill"], compact=True)

        def offer(reading: Overview) -> None:
            pause.show_state(pausing(reading.accounts, not_of_now(reading, reading.accounts)))
            kill.show_state({"mode": pause.state["mode"]})

        self.on_accounts(offer)
        return (
            f'<aside class="np-reach" id="{REACH}" tabindex="-1" aria-label="{escape(about)}: pause or kill">'
            f'<p>{escape(about)}</p><div class="np-reach-buttons">{html(pause)}{html(kill)}</div></aside>'
        )

    def shown(self, *parts: mo.Html | str) -> mo.Html:
        """Return the whole page, and begin to hand over readings."""
        self._show_strip(self.first)
        top = self._skips() + self._header() + html(self._strip) + self._reach()
        delivers = tuple(self._deliver)

        def deliver(reading: Overview) -> None:
            old = self._not_of_now(reading)
            for figure in self._figures:
                figure.mark_old(old)
            for one in delivers:
                one(reading)

        body = [_problem(self.problem), self._accounts_there()] if self.problem else list(parts)
        scope().pump(self.hub, deliver)
        main = f'<main id="{PLACE}" class="np-main" tabindex="-1">{"".join(html(part) for part in body)}</main>'
        return mo.Html(f'<div class="np-app">{top}{main}</div>')

    def _skips(self) -> str:
        """Return links for the keyboard, past what stands before the page and what stands before its commands."""
        links = {"To the page": PLACE}
        if self.who.may_act and not self.problem:
            links["To the commands"] = COMMANDS if self.name in WITH_COMMANDS else REACH
        return f'<div class="np-skip">{html(scope().own(Skips(label="Skip", links=links)))}</div>'

    def switch(self, *, with_all: bool = False) -> str:
        """Return links to the same page about each account, and about all where it has such a view."""
        if len(self.first.accounts) + with_all < 2:
            return ""
        mine = self.account and self.account.key
        links = [(f"{one.exchange} · {one.account_id}", self.here(one), one.key == mine) for one in self.first.accounts]
        if with_all:
            links.insert(0, ("all accounts", f"/apps/{self.name}/" if self.who.is_served else "?", mine is None))
        return chips("Account", links)

    def _accounts_there(self) -> str:
        links = [(f"{one.exchange} · {one.account_id}", self.here(one), False) for one in self.first.accounts]
        return chips("Go to", links) if links else ""

    def _header(self) -> str:
        links = "".join(
            f'<a href="{escape(self.link(page))}"{" aria-current=page" if page == self.name else ""}>{title}</a>'
            for page, title in PAGES
        )
        nav = f'<nav class="np-nav" aria-label="Pages">{links}</nav>' if self.who.is_served else ""
        title = dict(PAGES)[self.name]
        one = f"{self.account.account_id} on {self.account.exchange}" if self.account else "all accounts"
        about = "cannot be shown" if self.problem else one
        person = f'<a class="np-chip" href="/account">{escape(self.who.name)} · {escape(self.who.role)}</a>'
        who = person if self.who.is_served else '<span class="np-chip">read-only</span>'
        ledger = (
            f'<span class="np-chip" title="{escape(self.first.ledger_id)}&#10;{escape(self.first.ledger_place)}">'
            f"ledger <code>{escape(self.first.ledger_id[:8])}</code></span>"
            if self.first.ledger_id
            else ""
        )
        return (
            f'<header class="np-head np-app-head"><h1>{WORDMARK}</h1>'
            f'<span class="np-title">{escape(title)} · {escape(about)}</span>{ledger}{who}</header>{nav}'
        )

    def _show_strip(self, reading: Overview) -> None:
        trader = reading.trader
        accounts = [
            {
                **{
                    name: getattr(one, name) for name in ("exchange", "account_id", "mode", "healthy", "last_bar_age_s")
                },
                # What is said of the trader is not said again of each account.
                "reasons": money_differs(one, self.who.mode)
                + [text for text in one.reasons if text not in trader.reasons],
                "money": money_of(one),
                "href": self.link("desk", one),
            }
            for one in reading.accounts
        ]
        self._strip.show_state(
            {
                "trader": {
                    "running": trader.running,
                    "healthy": trader.healthy,
                    "reasons": list(trader.reasons),
                    "heartbeat_age_s": trader.heartbeat_age_s,
                    "bars": BARS.get(trader.bars, BARS_UNKNOWN),
                },
                "accounts": accounts,
                "ledger_id": reading.ledger_id,
                "ledger_named": self.first.ledger_id,
                "ledger_place": reading.ledger_place,
            }
        )


def chips(label: str, links: Iterable[tuple[str, str, bool]]) -> str:
    """Return links in a row: text, address, and whether it is the one that is shown."""
    inside = "".join(
        f'<a href="{escape(address)}"{" aria-current=true" if is_shown else ""}>{escape(text)}</a>'
        for text, address, is_shown in links
    )
    return f'<nav class="np-switch" aria-label="{escape(label)}"><span>{escape(label)}</span>{inside}</nav>'


def note(text: str) -> str:
    """Return a sentence beside what it is about."""
    return f'<p class="np-note np-quiet">{escape(text)}</p>'


def html(part: Any) -> str:
    """Return a widget or a piece of a page as text of HTML."""
    return part if isinstance(part, str) else mo.as_html(part).text


def columns(*parts: Any, widths: str = "") -> str:
    """Return parts beside each other; below each other on a phone.

    Args:
        parts: Widgets or pieces.
        widths: Class of the grid, such as `np-two-one`; even columns without.
    """
    cells = "".join(f"<div>{html(part)}</div>" for part in parts)
    return f'<div class="np-columns {widths}">{cells}</div>'


def stack(parts: Iterable[Any]) -> str:
    """Return parts below each other."""
    return f'<div class="np-stack">{"".join(html(part) for part in parts)}</div>'


def actions(title: str, buttons: Iterable[Hold]) -> str:
    """Return the buttons of what cannot wait in a card, to which the keyboard can skip."""
    inside = "".join(html(one) for one in buttons)
    return (
        f'<section class="np-card np-actions" id="{COMMANDS}" tabindex="-1" aria-label="{escape(title)}">'
        f"<h2>{escape(title)}</h2>{inside}</section>"
    )


def _problem(text: str) -> str:
    return f'<div class="np-note np-wrong" role="alert"><p>{escape(text)}</p></div>'


def _word(value: Any) -> str:
    return str(value[0] if isinstance(value, list) and value else value or "")
