"""Which books and bars the notebooks read: the ledger of this machine's trader, read beside it and never written."""

import os
from pathlib import Path

import marimo as mo

from novapulse.config import home_folder
from novapulse.core.instruments import AccountKey
from novapulse.core.ports import JournalError
from novapulse.ledger.queries import reading
from novapulse.market.lake import Lake
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


def lake_of(session: Session) -> Lake:
    """Return the lake that a session's bars came from: where there are none, they were generated.

    Raises:
        KeptError: What it ran with was not kept.
    """
    configuration = configuration_of(session)
    return lake_with((one.key for one in configuration.instruments), configuration.timeframe_ns)
