"""What a ledger has that a backup of it does not, and the record that a restore leaves of it.

Invariants:
- two ledgers are the same up to the last entry whose hash both have: a chain that agrees there agrees before;
- what cannot be read is not known, and not known is never none;
- whoever restores over something newer says so; every account hears of it at its next start, and halts.
"""

import socket
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, select
from sqlalchemy.exc import NoResultFound

from novapulse.core.bars import format_ns
from novapulse.core.instruments import AccountKey
from novapulse.core.messages import Commit, Record
from novapulse.core.ports import JournalError
from novapulse.ledger import queries
from novapulse.ledger.audit import Audit
from novapulse.ledger.journal import Ledger
from novapulse.ledger.opening import reader
from novapulse.ledger.reads import RESTORED
from novapulse.ledger.schema import event, ledger
from novapulse.ledger.snapshots import UNREADABLE, snapshot

_LEASE_NS = 60_000_000_000


class NewerEntriesError(JournalError):
    """A restore would drop entries, and nobody said that it may."""


@dataclass(frozen=True, slots=True)
class Newer:
    """What a restore drops.

    Attributes:
        entries: How many; None where that is not known.
        from_ns: Time of the first of them, ns UTC; None where it is not known.
        until_ns: Of the last.
        is_there: Whether a ledger lies in the place at all; where none does, what came after a backup is not known.
        text: All of it in words.
    """

    entries: int | None
    from_ns: int | None
    until_ns: int | None
    is_there: bool
    text: str


NOTHING_THERE = Newer(None, None, None, False, "no ledger was there: what came after the backup is not known")


def newer(place: Path, backup: Path, found: Audit) -> Newer | None:
    """Return what a ledger file has that a backup does not; None where the backup has everything.

    Args:
        place: The ledger; need not exist.
        backup: Checked.
        found: What its audit said.
    """
    if not place.exists():
        return NOTHING_THERE
    ours, theirs = reader(place), reader(backup)
    try:
        with snapshot(ours) as here, snapshot(theirs) as there:
            row = here.execute(select(ledger.c.ledger_id, ledger.c.head_seq)).one()
            common = _common(here, there, min(int(row.head_seq), found.head_seq))
            if row.ledger_id != found.ledger_id:
                common = 0
            dropped = int(row.head_seq) - common
            if dropped == 0:
                return None
            from_ns, until_ns = (_moment(here, seq) for seq in (common + 1, int(row.head_seq)))
    except (*UNREADABLE, NoResultFound, JournalError) as wrong:
        told = f"the ledger that is there cannot be read ({wrong}): how many newer entries it has is not known"
        return Newer(None, None, None, True, " ".join(told.split()))
    finally:
        ours.dispose()
        theirs.dispose()
    many = "1 newer entry" if dropped == 1 else f"{dropped:,} newer entries"
    other = "" if row.ledger_id == found.ledger_id else f", of another ledger ({row.ledger_id})"
    text = f"{many}{other}, from {format_ns(from_ns)} to {format_ns(until_ns)}"
    return Newer(dropped, from_ns, until_ns, True, text)


def note(where: str | Path, backup: Path, lost: Newer, now_ns: int) -> tuple[AccountKey, ...]:
    """Write into a ledger that was just put back what it does not hold; return the accounts that will hear of it.

    Args:
        where: The ledger; nobody else writes it.
        backup: What it was put back from.
        lost: What was dropped.
        now_ns: Now, ns UTC.

    Raises:
        JournalError: It cannot be written.
    """
    with Ledger.open(where, now_ns=now_ns) as journal:
        head_seq, head_hash = journal.head()
        with queries.reading(where) as connection:
            accounts = queries.accounts(connection) if head_seq else ()
            end_ns = _moment(connection, head_seq) if head_seq else now_ns
        lost_text = lost.text if lost.entries is None else f"{lost.text}, were dropped"
        text = (
            f"the ledger was restored from a backup that ends with entry {head_seq:,} of {format_ns(end_ns)}: "
            f"{lost_text}. What was done and said since is not known here: compare with the venue before you resume"
        )
        body = {
            "backup": str(backup),
            "head_seq": head_seq,
            "head_hash": head_hash.hex(),
            "dropped": lost.entries,
            "dropped_from_ns": lost.from_ns,
            "dropped_until_ns": lost.until_ns,
            "restored_ns": now_ns,
            "text": text,
        }
        for account in accounts:
            journal.take_lease(account, "a restore", now_ns, _LEASE_NS, socket.gethostname())
        # In the time of the ledger: a recorded market is not of today.
        journal.commit([(account, Commit((Record(RESTORED, end_ns, body),))) for account in accounts])
        for account in accounts:
            journal.release_lease(account, now_ns)
    return accounts


def _common(here: Connection, there: Connection, last: int) -> int:
    first = 0
    while first < last:
        middle = (first + last + 1) // 2
        if _hash(here, middle) == _hash(there, middle):
            first = middle
        else:
            last = middle - 1
    return first


def _hash(connection: Connection, seq: int) -> bytes:
    return bytes(connection.execute(select(event.c.hash).where(event.c.seq == seq)).scalar_one())


def _moment(connection: Connection, seq: int) -> int:
    return int(connection.execute(select(event.c.ts_ns).where(event.c.seq == seq)).scalar_one())
