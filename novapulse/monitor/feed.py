"""What happened, entry by entry: fills, orders, decisions and alerts, from a number on and in the ledger's own order.

Invariants:
- a reader that goes on behind the last number it had misses nothing and gets nothing twice: entries are added in order
  and never change;
- memory is bounded by the page.
"""

from collections.abc import Mapping
from pathlib import Path

from sqlalchemy import select

from novapulse.core.facts import KINDS
from novapulse.core.instruments import AccountKey
from novapulse.ledger.alerts import KINDS as ALERTS
from novapulse.ledger.queries import FILLS, reading
from novapulse.ledger.schema import event, of_kind
from novapulse.monitor.entries import EntryState, states
from novapulse.monitor.home import LEDGER_FILE
from novapulse.monitor.order_book import ENDS

TOPICS: Mapping[str, tuple[str, ...]] = {
    "fills": tuple(FILLS),
    "orders": tuple(sorted({*KINDS, *ENDS} - {*FILLS})),
    "decisions": ("decision_taken", "entry_unfilled"),
    "alerts": (*ALERTS, "breaker_tripped", "breaker_cleared"),
}
"""Kinds of entries, by what they are about."""

_TOPIC = {kind: topic for topic, kinds in TOPICS.items() for kind in kinds}


def topic_of(kind: str) -> str:
    """Return what an entry of a kind is about.

    Raises:
        KeyError: None of `TOPICS` has it.
    """
    return _TOPIC[kind]


def after(
    home: Path, seq: int, upto_seq: int, account: AccountKey | None = None, limit: int = 200
) -> tuple[EntryState, ...]:
    """Return the next entries, oldest first.

    Args:
        home: Folder of the trader's state.
        seq: Only behind this number.
        upto_seq: At most up to this number.
        account: Only this one's; None for all.
        limit: At most so many.

    Raises:
        JournalError: The ledger cannot be read.
    """
    wanted = [event.c.seq > seq, event.c.seq <= upto_seq, of_kind(*_TOPIC)]
    if account is not None:
        wanted += [event.c.exchange == account.exchange, event.c.account_id == account.account_id]
    with reading(home / LEDGER_FILE) as connection:
        return states(connection, select(event).where(*wanted).order_by(event.c.seq).limit(limit))
