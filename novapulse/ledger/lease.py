"""Who may write for an account: one holder at a time, told apart by an epoch that only grows.

Invariants:
- the epoch is read inside every transaction that writes for the account: a holder that was overtaken writes nothing;
- an unexpired lease of somebody else is refused and names its holder. Where a lock proves that no other process writes
  the ledger (an SQLite file), a lease that nobody in this process took is of a dead one and does not stand in the way;
- a lease that was released or ran out keeps its row: the next holder gets a higher epoch.
"""

import datetime
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from novapulse.core.instruments import AccountKey
from novapulse.core.ports import Fenced
from novapulse.ledger.storage import Storage

_HEAD = {"sqlite": "SELECT head_seq FROM ledger", "postgresql": "SELECT head_seq FROM ledger FOR UPDATE"}
_READ = "SELECT epoch, holder, renewed_ns, expires_ns FROM lease WHERE exchange = ? AND account_id = ?"
_WRITE = (
    "INSERT INTO lease (exchange, account_id, epoch, holder, renewed_ns, expires_ns, host) VALUES (?, ?, ?, ?, ?, ?, ?)"
    " ON CONFLICT (exchange, account_id) DO UPDATE SET epoch = excluded.epoch, holder = excluded.holder,"
    " renewed_ns = excluded.renewed_ns, expires_ns = excluded.expires_ns, host = excluded.host"
)
_RENEW = (
    "UPDATE lease SET renewed_ns = ?, expires_ns = ? WHERE exchange = ? AND account_id = ? AND epoch = ?"
    " AND expires_ns <> 0"
)

RUNNING = "SELECT exchange, account_id, holder, expires_ns FROM lease WHERE expires_ns > ? ORDER BY 1, 2"
"""Leases that have not run out at a moment; of every revision."""


def held(rows: Iterable[Sequence[Any]], now_ns: int) -> list[str]:
    """Return who holds what until when, for the operator.

    Args:
        rows: What `RUNNING` gives.
        now_ns: Now, ns UTC.
    """
    sentences = []
    for exchange, account_id, holder, expires_ns in rows:
        seconds = -((now_ns - expires_ns) // 10**9)
        end = datetime.datetime.fromtimestamp(-(-expires_ns // 10**9), datetime.UTC)
        sentences.append(f"{account_id} at {exchange} by {holder}, for another {seconds} s, until {end:%F %T} UTC")
    return sentences


@dataclass(frozen=True, slots=True)
class Lease:
    """A lease as the ledger has it.

    Attributes:
        epoch: Which holder it is, counted from 1.
        holder: Name of the process.
        renewed_ns: When it was taken or renewed last.
        expires_ns: When it ends by itself; 0 when it was given back.
    """

    epoch: int
    holder: str
    renewed_ns: int
    expires_ns: int


class Leases:
    """The leases that one process takes on one storage; the caller holds the storage's lock."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._head = _HEAD[storage.dialect]
        self._read, self._write, self._renew = (storage.prepare(text) for text in (_READ, _WRITE, _RENEW))
        self.epochs: dict[AccountKey, int] = {}
        """Account -> the epoch that this process holds, as far as it knows."""

    def read(self, account: AccountKey) -> Lease | None:
        """Return an account's lease; None where there was never one."""
        row = self._storage.execute(self._read, (account.exchange, account.account_id)).fetchone()
        return None if row is None else Lease(*row)

    def take(self, account: AccountKey, holder: str, host: str, now_ns: int, ttl_ns: int) -> int:
        """Take an account inside a transaction and return the epoch, to be noted once it is durable.

        Raises:
            Fenced: Another holder's lease has not run out; the message names it.
        """
        self._storage.execute(self._head).fetchone()
        found = self.read(account)
        abandoned = self._storage.exclusive and account not in self.epochs
        if found is not None and found.expires_ns > now_ns and found.holder != holder and not abandoned:
            raise Fenced(
                f"{account.account_id} at {account.exchange} is traded by {found.holder} (epoch {found.epoch}), "
                f"whose lease runs for another {-((now_ns - found.expires_ns) // 10**9)} s"
            )
        epoch = 1 if found is None else found.epoch + 1
        arguments = (account.exchange, account.account_id, epoch, holder, now_ns, now_ns + ttl_ns, host)
        self._storage.execute(self._write, arguments)
        return epoch

    def renew(self, account: AccountKey, now_ns: int, expires_ns: int) -> None:
        """Move the end of our lease inside a transaction; `expires_ns` of 0 gives it back.

        Raises:
            Fenced: It is not ours any more.
        """
        epoch = self.epochs.get(account, 0)
        arguments = (now_ns, expires_ns, account.exchange, account.account_id, epoch)
        if self._storage.execute(self._renew, arguments).rowcount != 1:
            raise self.overtaken(account, self.read(account))

    def overtaken(self, account: AccountKey, found: Lease | None) -> Fenced:
        """Return the error that says who has an account instead of us."""
        named = f"{account.account_id} at {account.exchange}"
        ours = self.epochs.get(account)
        if ours is None or found is None:
            return Fenced(f"{named}: this process holds no lease")
        if found.epoch == ours:
            return Fenced(f"{named}: our lease of epoch {ours} was given back")
        return Fenced(f"{named}: our lease of epoch {ours} was overtaken by {found.holder} (epoch {found.epoch})")
