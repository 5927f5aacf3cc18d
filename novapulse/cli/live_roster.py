"""Compares what an account is to trade with what its ledger knows of it, before anything trades."""

from collections.abc import Callable, Iterable

from novapulse.cli.console import UsageError
from novapulse.cli.live_market import AccountPlan
from novapulse.core.facts import from_body
from novapulse.core.instruments import AccountKey, InstrumentKey
from novapulse.core.kept_state import Kept
from novapulse.core.order_fold import orders_of
from novapulse.core.orders import Fact
from novapulse.engine import roster
from novapulse.ledger import queries
from novapulse.ledger.journal import Ledger
from novapulse.ledger.reads import RestoredAccount


def check_cash(ledger: Ledger, plan: AccountPlan) -> None:
    """Refuse instruments that are not paid in the asset, and to the digit, that an account was opened in.

    Raises:
        UsageError: There is one.
    """
    opened = next(iter(ledger.records(plan.key, ("account_opened",))), None)
    if opened is None:
        return
    quote, digits = opened.record.body["quote"], opened.record.body["instruments"][0]["cash_scale"]
    wrong = [one for one in plan.instruments if (one.quote, one.cash_scale) != (quote, digits)]
    if wrong:
        raise UsageError(
            f"{ledger.place}: account {plan.key.account_id} on {plan.key.exchange} keeps its cash in {quote} with "
            f"{digits} digits, and {wrong[0].symbol} is paid in {wrong[0].quote} with {wrong[0].cash_scale}: let "
            "another account trade it"
        )


def check_dropped(
    ledger: Ledger, plan: AccountPlan, found: RestoredAccount, recent: Callable[[], Iterable[Fact]]
) -> None:
    """Refuse to go on without an instrument of which something is left; see `roster.check_dropped`.

    Args:
        ledger: Where the account's books are.
        plan: The account as it is to run.
        found: What it starts from.
        recent: Reads the facts of its last orders.

    Raises:
        UsageError: There is one.
    """
    keys = [one.key for one in plan.instruments]
    if traded_before(found) <= set(keys):
        return
    facts = [from_body(entry.record.kind, entry.record.body) for entry in found.open_facts]
    orders = {**orders_of(recent()), **orders_of(facts)}
    try:
        roster.check_dropped(found.state, plan.key, keys, orders.values())
    except roster.StillNeededError as wrong:
        raise UsageError(f"{ledger.place}: {wrong}") from wrong


def traded_before(found: RestoredAccount) -> set[InstrumentKey]:
    """Return what an account traded when its state was written; nothing where that cannot be read.

    A damaged state ends its own account, which says so: the others trade.
    """
    try:
        return set(Kept.of(found.state).instruments) if found.state else set()
    except ValueError:
        return set()


def symbols_listed(ledger: Ledger, key: AccountKey) -> set[str]:
    """Return the symbols of all instruments that an account's ledger knows."""
    bodies = [entry.record.body for entry in ledger.records(key, queries.LISTINGS)]
    return {one.symbol for body in bodies for one in queries.listed(key, body)}
