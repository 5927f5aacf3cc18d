"""Since when what is shown of accounts is not of now, and why."""

from collections.abc import Iterable
from datetime import UTC, datetime

from novapulse.monitor import AccountState, Overview
from novapulse.monitor.home import NOT_RUN
from novapulse.monitor.state import Life


def not_of_now(reading: Overview, accounts: Iterable[AccountState]) -> str:
    """Return since when and why what is shown of accounts is not of now; empty where all of it is.

    The time is that of the oldest of them, in the account's own time.
    """
    old = [(max(one.as_of_ns, one.last_close_ns or 0), why) for one in accounts if (why := _why_old(reading, one))]
    if not old:
        return ""
    at_ns, why = min(old)
    return f"as proven {datetime.fromtimestamp(at_ns // 1_000_000_000, UTC):%Y-%m-%d %H:%M:%S} UTC: {why}"


def _why_old(reading: Overview, account: AccountState) -> str:
    if not account.proven:
        return "the ledger cannot be read"
    if not reading.trader.running:
        return "the trader does not run" + (", or it hangs" if reading.trader.life is Life.SILENT else "")
    return f"the trader does not run {account.account_id} on {account.exchange}" if NOT_RUN in account.reasons else ""
