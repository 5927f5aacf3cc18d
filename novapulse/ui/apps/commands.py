"""What an operator can tell an account: buttons to hold, of which the server decides again when one is held.

Invariants:
- what a reading of now proves to be pointless is greyed, with the reason; what is old or in doubt greys nothing, and
  killing is never greyed;
- a button says one thing for as long as the page is open: nothing changes under a finger.
"""

from collections.abc import Callable, Collection, Iterable
from functools import partial

from novapulse.core.instruments import AccountKey
from novapulse.monitor import AccountState, Overview
from novapulse.monitor.rows import AlertState, OrderState
from novapulse.monitor.values import plain
from novapulse.ui.apps.frame import COMMANDS, Page, html, note
from novapulse.ui.apps.offers import DOES, always, closing, flattening, loosening, pausing
from novapulse.ui.apps.oldness import not_of_now
from novapulse.ui.markup import escape
from novapulse.ui.session import scope
from novapulse.ui.widgets import Hold, Tiles

_BREAKS_MAX = 4
_ORDERS_MAX = 8
_ALERTS_MAX = 8


def urgent_commands(page: Page, symbol: str) -> str:
    """Return what cannot wait: no new risk, out of one instrument, out of everything."""
    pause = page.button("pause", "Hold to pause", DOES["pause"], calm=True)
    close = page.button("close", f"Hold to close {symbol}", DOES["close"], symbol=symbol)
    kill = page.button("kill", "Hold to kill", DOES["kill"])
    page.on_accounts(lambda now: pause.show_state(pausing(now.accounts, not_of_now(now, now.accounts))))
    page.on_accounts(lambda now: close.show_state(closing(now.accounts[0], symbol, not_of_now(now, now.accounts))))
    page.on_account(lambda one: kill.show_state(always(one)))
    return _card(f"{page_account(page)}: act now", (pause, close, kill), is_urgent=True)


def account_commands(page: Page) -> str:
    """Return the other commands of an account."""
    resume = page.button("resume", "Hold to resume", DOES["resume"], calm=True)
    wake = page.button("resume_from_halt", "Hold to end the halt", DOES["resume_from_halt"], calm=True)
    plain_ones = (
        page.button("reconcile", "Hold to compare", DOES["reconcile"], calm=True),
        page.button("cancel", "Hold to cancel entries", DOES["cancel"], calm=True),
        page.button("halt", "Hold to halt", DOES["halt"]),
    )
    flatten = page.button("flatten", "Hold to flatten", DOES["flatten"])
    for button in plain_ones:
        page.on_account(partial(_show_always, button))
    page.on_accounts(lambda now: flatten.show_state(flattening(now.accounts[0], not_of_now(now, now.accounts))))
    page.on_account(lambda one: resume.show_state(loosening(one, ("paused", "reduce_only"), "It is not paused.")))
    page.on_account(lambda one: wake.show_state(loosening(one, ("halted",), "It is not halted.")))
    compare, cancel, halt = plain_ones
    buttons = (compare, cancel, flatten, halt, resume, wake)
    return _card(f"{page_account(page)}: more commands", buttons)


def break_commands(page: Page) -> str:
    """Return what can be done about the differences that are open as the page is drawn, and say how many came since."""
    account = page.account
    if account is None:
        return ""
    known = {one.key for one in account.breaks}
    since = _since(
        page, "differences since", lambda reading: {key for _, key in _open_breaks(page.accounts(reading))} - known
    )
    if not account.breaks:
        return since
    buttons = []
    for one in account.breaks[:_BREAKS_MAX]:
        for verb in ("adopt", "ignore"):
            button = page.button(verb, f"Hold to {verb} {one.kind}", f"{DOES[verb]} {one.text}", order=one.key)
            page.on_account(partial(_show_break, button, one.key))
            buttons.append(button)
    more = len(account.breaks) - _BREAKS_MAX
    rest = [note(f"{more} more are open: load the page again after these.")] if more > 0 else []
    return _card(f"{page_account(page)}: open differences", buttons, [*rest, since])


def order_commands(page: Page) -> str:
    """Return a button to cancel each entry that works as the page is drawn, and say how many came since.

    What protects a position or leaves one is not cancelled by hand.
    """
    account = page.account
    if account is None:
        return ""
    entries = _entries(account)
    since = _since(
        page,
        "entries since",
        lambda reading: {name for one in page.accounts(reading) for name in _entries(one)} - entries.keys(),
    )
    if not entries:
        return since
    buttons = []
    for one in list(entries.values())[:_ORDERS_MAX]:
        price = "" if one.limit_price is None else f" at {plain(one.limit_price)} {account.quote}"
        qty = f"{plain(one.leaves_qty)} {account.bases.get(one.symbol, one.symbol)}"
        what = f"{one.side} {qty}{price}, order {one.client_order_id[:8]}"
        detail = f"{what}. {DOES['cancel']}"
        button = page.button("cancel", f"Hold to cancel {one.symbol}", detail, calm=True, order=one.client_order_id)
        page.on_account(partial(_show_order, button, one.client_order_id))
        buttons.append(button)
    more = len(entries) - _ORDERS_MAX
    rest = [note(f"{more} more work: load the page again after these.")] if more > 0 else []
    return _card(f"{page_account(page)}: entries at work", buttons, [*rest, since])


def limit_commands(page: Page) -> str:
    """Return the button that takes changed limits back, where some were changed as the page is drawn."""
    account = page.account
    if account is None or not account.limit_changes:
        return ""
    reset = page.button("limits", "Hold to reset limits", DOES["limits"], set={"all": None})
    page.on_account(lambda one: reset.show_state(_resettable(one)))
    return _card(f"{page_account(page)}: changed limits", (reset,))


def _resettable(account: AccountState) -> dict[str, object]:
    pointless = account.proven and not account.limit_changes
    return {"allowed": not pointless, "why": "Every limit is as configured." if pointless else ""}


def _entries(account: AccountState) -> dict[str, OrderState]:
    return {one.client_order_id: one for one in account.orders if one.role == "entry"}


def _show_break(button: Hold, key: str, account: AccountState) -> None:
    is_over = account.proven and key not in {one.key for one in account.breaks}
    button.show_state({"allowed": not is_over, "why": "It is resolved." if is_over else ""})


def _show_order(button: Hold, name: str, account: AccountState) -> None:
    now = _entries(account).get(name)
    why = "It is being cancelled." if now is not None and now.status == "CANCEL_PENDING" else ""
    if now is None and account.proven:
        why = "It has ended."
    button.show_state({"allowed": not why, "why": why})


def alert_commands(page: Page) -> str:
    """Return a button for every critical alert that is open, and that nobody has seen, as the page is drawn.

    What came since is counted: its button is there when the page is loaded again.
    """
    unseen = [(one, alert) for one in page.accounts(page.first) for alert in one.alerts if _is_unseen(alert)]
    known = {(one.key, alert.key) for one, alert in unseen}
    since = _since(
        page,
        "alerts since",
        lambda reading: (
            {(one.key, alert.key) for one in page.accounts(reading) for alert in one.alerts if _is_unseen(alert)}
            - known
        ),
    )
    if not unseen:
        return since
    buttons = []
    for one, alert in unseen[:_ALERTS_MAX]:
        detail = f"{one.exchange} · {one.account_id}: {alert.text}"
        button = page.button("acknowledge", "Hold to acknowledge", detail, calm=True, of=one, alert=alert.key)
        page.on_reading(partial(_show_seen, button, one, alert))
        buttons.append(button)
    more = len(unseen) - _ALERTS_MAX
    rest = [note(f"{more} more are open: load the page again after these.")] if more > 0 else []
    return _card(f"{page_account(page)}: nobody has seen these", buttons, [*rest, since])


def _since(page: Page, label: str, came: Callable[[Overview], Collection[object]]) -> str:
    """Return a place that counts what came after the page was drawn and so has no button on it."""
    tiles = scope().own(Tiles())

    def tell(reading: Overview) -> None:
        count = len(came(reading))
        tile = {
            "label": label,
            "value": str(count),
            "digits": 0,
            "note": "load the page again for their buttons",
            "level": "over",
            "href": page.here(),
        }
        tiles.show_state({"tiles": [tile] if count else []})

    page.on_reading(tell)
    return f'<div class="np-since">{html(tiles)}</div>'


def _open_breaks(accounts: Iterable[AccountState]) -> set[tuple[AccountKey, str]]:
    return {(one.key, each.key) for one in accounts for each in one.breaks}


def _is_unseen(alert: AlertState) -> bool:
    return alert.is_open and alert.severity == "critical" and not alert.acknowledged_by


def _show_seen(button: Hold, account: AccountState, alert: AlertState, reading: Overview) -> None:
    now = next((one.alerts for one in reading.accounts if one.key == account.key), None)
    if now is None:
        return
    by = next((each.acknowledged_by for each in now if each.key == alert.key and each.is_open), None)
    why = "It is over." if by is None else f"Seen by {by}." if by else ""
    button.show_state({"allowed": not why, "why": why})


def _show_always(button: Hold, account: AccountState) -> None:
    button.show_state(always(account))


def page_account(page: Page) -> str:
    """Return the page's account in words."""
    return f"{page.account.exchange} · {page.account.account_id}" if page.account else "every account"


def _card(title: str, buttons: Iterable[Hold], more: Iterable[str] = (), *, is_urgent: bool = False) -> str:
    inside = "".join(html(one) for one in buttons)
    skip = f' id="{COMMANDS}" tabindex="-1"' if is_urgent else ""
    return (
        f'<section class="np-card np-actions"{skip} aria-label="{escape(title)}"><h2>{escape(title)}</h2>'
        f'<div class="{"np-stack" if is_urgent else "np-buttons"}">{inside}</div>{"".join(more)}</section>'
    )
