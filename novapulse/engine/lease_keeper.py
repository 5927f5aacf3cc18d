"""Keeps the accounts of this process its own.

Invariants:
- all accounts are taken before any of them trades, or none;
- a lease is renewed well before it runs out; an account that somebody else has taken ends here at once.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

import structlog

from novapulse.core.instruments import AccountKey
from novapulse.core.ports import Fenced, JournalError

_log = structlog.get_logger("novapulse.lease")


class LeaseBook(Protocol):
    """Where leases are written."""

    def take_lease(self, account: AccountKey, holder: str, now_ns: int, ttl_ns: int, host: str = "") -> int:
        """Take an account and return the epoch; raises `Fenced` naming who has it."""
        ...

    def renew_lease(self, account: AccountKey, now_ns: int, ttl_ns: int) -> None:
        """Let our lease last longer; raises `Fenced` when it is not ours any more."""
        ...

    def release_lease(self, account: AccountKey, now_ns: int) -> None:
        """Give our lease back; raises `Fenced` when it is not ours any more."""
        ...


class LeaseKeeper:
    """The leases of one process; every call blocks."""

    def __init__(self, book: LeaseBook, holder: str, host: str, ttl_ns: int, now_ns: Callable[[], int]) -> None:
        """Begin without a lease.

        Args:
            book: Where leases are written.
            holder: Name of this process, unique to it.
            host: The machine it runs on.
            ttl_ns: How long a lease lasts without a sign of life.
            now_ns: The machine's own clock, whatever time the traders live in.
        """
        self._book = book
        self._holder = holder
        self._host = host
        self._ttl_ns = ttl_ns
        self._now_ns = now_ns
        self.held: dict[AccountKey, int] = {}

    @property
    def every_s(self) -> float:
        """How often `renew` wants to be called."""
        return self._ttl_ns / 3e9

    def take(self, accounts: Sequence[AccountKey]) -> None:
        """Take all accounts.

        Raises:
            Fenced: Another process has one of them; none is held then.
            Unwritable: The ledger did not take it.
        """
        try:
            for account in accounts:
                epoch = self._book.take_lease(account, self._holder, self._now_ns(), self._ttl_ns, self._host)
                self.held[account] = epoch
        except JournalError:
            self.release()
            raise

    def renew(self) -> dict[AccountKey, str]:
        """Let every lease last longer, and return the accounts that are not ours any more, with the reason.

        Raises:
            JournalError: The ledger did not take it; the leases stand until they run out.
        """
        lost: dict[AccountKey, str] = {}
        for account in list(self.held):
            try:
                self._book.renew_lease(account, self._now_ns(), self._ttl_ns)
            except Fenced as wrong:
                lost[account] = str(wrong)
                del self.held[account]
        return lost

    def release(self) -> bool:
        """Give every lease back; return whether all of them could be."""
        whole = True
        for account in list(self.held):
            del self.held[account]
            try:
                self._book.release_lease(account, self._now_ns())
            except JournalError as wrong:
                whole = False
                _log.warning("a lease was not given back", account=account.account_id, error=str(wrong))
        return whole
