"""Which books and bars the notebooks read: the ledger of this machine's trader, read beside it and never written."""

import os
from collections.abc import Hashable
from pathlib import Path

import marimo as mo
from sqlalchemy import select

from novapulse.config import home_folder, load
from novapulse.core.instruments import AccountKey
from novapulse.core.ports import JournalError
from novapulse.ledger.queries import reading
from novapulse.ledger.schema import ledger
from novapulse.market.lake import Lake
from novapulse.market.storage import DataError
from novapulse.parity.kept import Kept, Session
from novapulse.parity.sessions import configuration_of
from novapulse.research.inputs import lake_with

FILE = "ledger.db"


def ledger_at_hand() -> Path:
    """Return the ledger that is looked at: `-- --ledger F` on the command line, else the one in the home folder."""
    named = mo.cli_args().get("ledger") if mo.running_in_notebook() else None
    return Path(str(named)) if named else home_folder(os.environ) / FILE


def problem_of(place: Path) -> str | None:
    """Return why there is nothing to look at, in one sentence; None where there is."""
    if not place.is_file():
        return f"there is no ledger at {place}: 'novapulse live' makes one, '-- --ledger F' names another"
    try:
        with reading(place):
            pass
    except JournalError as wrong:
        return str(wrong)
    with Kept(place) as kept:
        return None if kept.sessions() else f"{place} holds no session yet: 'novapulse live' starts one"


def accounts_of(place: Path) -> list[AccountKey]:
    """Return the accounts that had a session, sorted."""
    with Kept(place) as kept:
        return sorted({session.account for session in kept.sessions()})


def account_name(account: AccountKey) -> str:
    """Return an account as people say it."""
    return f"{account.account_id} on {account.exchange}"


def fingerprint(lake: Lake) -> Hashable:
    """Return what is the same as long as a lake holds the same bars."""
    try:
        return tuple((one.exchange, one.symbol, one.timeframe, one.content_hash) for one in lake.series())
    except DataError as wrong:
        return str(wrong)


def same(place: Path, lake: Lake, *more: Hashable) -> Hashable:
    """Return under which key work on a ledger and a lake is kept; one of its own where strategies may be edited.

    Args:
        place: The ledger.
        lake: The bars.
        more: What else it depends on.
    """
    if load(os.environ).settings.data.strategies_folder is not None:
        return object()
    with reading(place) as connection:
        head = connection.execute(select(ledger.c.ledger_id, ledger.c.head_seq, ledger.c.head_hash)).one()
    return (place, *head, fingerprint(lake), *more)


def lake_of(session: Session) -> Lake:
    """Return the lake that a session's bars came from: where there are none, they were generated.

    Raises:
        KeptError: What it ran with was not kept.
    """
    configuration = configuration_of(session)
    return lake_with((one.key for one in configuration.instruments), configuration.timeframe_ns)
