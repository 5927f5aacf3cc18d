"""With what an account trades: what its trader says, and nothing else."""

from novapulse.monitor import AccountState

_UNKNOWN = "money not known"


def money_of(account: AccountState) -> str:
    """Return `paper` or `live`, or that it is not known."""
    return account.money or _UNKNOWN


def money_differs(account: AccountState, configured: str) -> list[str]:
    """Return a sentence where a server is configured for something else, empty where nobody said; or nothing."""
    if not configured or account.money in (None, configured):
        return []
    return [f"the server is configured for {configured}, the trader of this account says {account.money}"]
