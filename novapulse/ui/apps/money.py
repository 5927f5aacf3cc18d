"""With what an account trades: what its trader says, and nothing else."""

from collections.abc import Iterator

from novapulse.monitor import AccountState

_UNKNOWN = "money not known"


def money_of(account: AccountState) -> str:
    """Return `paper` or `live`, or that it is not known."""
    return account.money or _UNKNOWN


def money_differs(account: AccountState, configured: str) -> Iterator[str]:
    """Yield a sentence where a server is configured for something else; it is empty where nobody said."""
    if configured and account.money and account.money != configured:
        yield f"the server is configured for {configured}, the trader of this account says {account.money}"
