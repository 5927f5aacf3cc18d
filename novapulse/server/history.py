"""Lists that go as far back as the ledger: what an account executed, decided and closed, page by page.

Invariants:
- rows are those of the live reading, made by the same fold from the same entries;
- a page is asked for by the entry before which it ends, so that what is written meanwhile moves nothing;
- memory is bounded by the page; time grows with the ledger, so few are made at once.
"""

from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from novapulse.core.instruments import AccountKey
from novapulse.core.ports import JournalError
from novapulse.ledger.queries import check_account, reading, records, scales
from novapulse.monitor.fold import AccountFold, is_told
from novapulse.monitor.home import LEDGER_FILE
from novapulse.monitor.source import UNFIT

ROWS_MAX = 10_000
"""Of one answer."""


def _with_fills(fold: AccountFold, kept: "deque[Any]") -> None:
    fold.fills = kept


def _with_decisions(fold: AccountFold, kept: "deque[Any]") -> None:
    fold.decisions = kept


def _with_round_trips(fold: AccountFold, kept: "deque[Any]") -> None:
    fold.round_trips = kept


LISTS: dict[str, Callable[[AccountFold, "deque[Any]"], None]] = {
    "fills": _with_fills,
    "decisions": _with_decisions,
    "round-trips": _with_round_trips,
}
"""What can be asked for, and how a fold is told how much of it to keep."""


def rows(home: Path, account: AccountKey, name: str, limit: int, before: int | None) -> list[Any]:
    """Return rows of one account, newest first.

    Args:
        home: Folder of the trader's state.
        account: Whose.
        name: One of `LISTS`.
        limit: At most so many, >= 1.
        before: Only of entries before this one; None for the newest.

    Raises:
        UnknownAccountError: The ledger has no such account.
        JournalError: The ledger, or an entry in it, cannot be read.
    """
    kept: deque[Any] = deque(maxlen=limit)
    with reading(home / LEDGER_FILE) as connection:
        check_account(connection, account)
        fold = AccountFold(account, scales(connection))
        LISTS[name](fold, kept)
        for entry in records(connection, account):
            if before is not None and entry.seq >= before:
                break
            record = entry.record
            if not record.postings and not is_told(record.kind):
                continue
            try:
                fold.take(entry)
            except UNFIT as wrong:
                raise JournalError(f"entry {entry.seq} ({record.kind}) cannot be read: {wrong!r}") from wrong
    return list(reversed(kept))
