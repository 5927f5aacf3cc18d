"""What a button offers as of a reading: that it may be held, or why that would change nothing.

Invariants:
- only what a reading of now proves forbids anything: what is old, unread or in doubt forbids nothing;
- killing is never forbidden: an emergency does not depend on what a page believes.
"""

from collections.abc import Collection, Mapping
from typing import Any

from novapulse.monitor import AccountState

DOES = {
    "pause": "No new risk; exits go on.",
    "resume": "Entries are allowed again.",
    "halt": "Nothing is sent but cancels; stops stay.",
    "resume_from_halt": "The account trades again.",
    "close": "Close what is held of it, at the market; the mode stays.",
    "cancel": "Stops and exits stay.",
    "flatten": "Close every position; then the account only reduces until it is resumed.",
    "kill": "Close every position, then halt.",
    "reconcile": "Ask the venue and compare it with the ledger.",
    "adopt": "Book it as it is:",
    "ignore": "Live with it:",
    "acknowledge": "Say that it was seen.",
    "limits": "Go by the configuration's limits again, from the next decision on.",
}
"""What a command does, in the words of its button."""


def pausing(accounts: Collection[AccountState], old: str) -> Mapping[str, Any]:
    """Return whether pausing would change anything for any of some accounts.

    Args:
        accounts: As they were read.
        old: Why that is not of now; empty where it is.
    """
    pointless = bool(accounts) and not old and all(_is_paused(one) for one in accounts)
    modes = sorted({one.mode or "" for one in accounts})
    why = f"{'It is' if len(accounts) == 1 else 'All are'} {' or '.join(modes)} already."
    return _told(pointless, why if pointless else "", accounts)


def closing(account: AccountState, symbol: str, old: str) -> Mapping[str, Any]:
    """Return whether there may be anything of an instrument to close; `old` as of `pausing`."""
    held = any(one.symbol == symbol for one in account.positions) or any(one.symbol == symbol for one in account.orders)
    pointless = not (old or held or _is_in_doubt(account))
    return _told(pointless, f"Nothing of {symbol} is held." if pointless else "", (account,))


def flattening(account: AccountState, old: str) -> Mapping[str, Any]:
    """Return whether there may be anything to close; `old` as of `pausing`."""
    pointless = not (old or account.positions or account.orders or account.open_orders or _is_in_doubt(account))
    return _told(pointless, "Nothing is held, and nothing works." if pointless else "", (account,))


def loosening(account: AccountState, modes: Collection[str], why: str) -> Mapping[str, Any]:
    """Return whether an account is in one of the modes that a command ends; `why` says that it is in none."""
    pointless = account.proven and account.mode is not None and account.mode not in modes
    return _told(pointless, why, (account,))


def always(account: AccountState) -> Mapping[str, Any]:
    """Return that a command is offered whatever holds."""
    return _told(False, "", (account,))


def _told(pointless: bool, why: str, accounts: Collection[AccountState]) -> Mapping[str, Any]:
    return {"allowed": not pointless, "why": why, "mode": " ".join(one.mode or "" for one in accounts)}


def _is_paused(account: AccountState) -> bool:
    # What a breaker paused ends by itself: an operator's pause would outlast it.
    return account.proven and (account.mode == "halted" or (account.mode == "paused" and not account.breakers))


def _is_in_doubt(account: AccountState) -> bool:
    return not account.proven or account.mode is None or bool(account.unknown_orders or account.open_breaks)
