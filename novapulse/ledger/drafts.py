"""What a commit becomes before the storage sees it: every check that needs no storage, then rows.

Invariants:
- `drafted` refuses before anything is written: text that is no name, bodies with floats, postings that do not sum to
  0, unknown assets, amounts beyond 64 bits, facts without the id they are kept by;
- `Rows` are in the order in which the storage takes them: postings before the event that seals them.
"""

import functools
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from novapulse.core.instruments import AccountKey
from novapulse.core.messages import Commit, Record
from novapulse.core.ports import JournalError
from novapulse.core.postings import imbalance
from novapulse.ledger.chain import Leg, canonical_bytes, canonical_json, link
from novapulse.ledger.kinds import CLOSES, FILLED, INTENDED
from novapulse.ledger.schema import INT64_MAX


@functools.lru_cache(maxsize=256)
def _is_name(kind: str) -> bool:
    return re.fullmatch(r"[a-z][a-z0-9_]*", kind) is not None


class Draft(NamedTuple):
    """A record that may be written."""

    kind: str
    ts_ns: int
    body: str
    legs: tuple[Leg, ...]
    client_order_id: str
    venue_trade_id: str


@dataclass(slots=True)
class Rows:
    """Rows of one transaction, by table, and what follows from them.

    Attributes:
        seq: Of the last event.
        hash: Of the last event.
        deltas: (exchange, account_id, book, asset) -> what its balance moves by.
        last_seq: Account -> seq of its last event in this transaction.
    """

    seq: int
    hash: bytes
    posting: list[tuple[int, int, str, str, int]] = field(default_factory=list)
    event: list[tuple[int, int, str, str, str, str, bytes]] = field(default_factory=list)
    order_step: list[tuple[str, str, str, int, int, int]] = field(default_factory=list)
    fill_key: list[tuple[str, str, str, int]] = field(default_factory=list)
    deltas: dict[tuple[str, str, str, str], int] = field(default_factory=lambda: defaultdict(int))
    last_seq: dict[AccountKey, int] = field(default_factory=dict)

    def add(self, account: AccountKey, draft: Draft) -> None:
        """Give a draft the next number and its place in the chain."""
        exchange, account_id = account.exchange, account.account_id
        self.seq = seq = self.seq + 1
        canonical = canonical_bytes(draft.ts_ns, exchange, account_id, draft.kind, draft.body, draft.legs)
        self.hash = link(self.hash, seq, canonical)
        self.event.append((seq, draft.ts_ns, exchange, account_id, draft.kind, draft.body, self.hash))
        self.last_seq[account] = seq
        for number, (book, asset, amount) in enumerate(draft.legs):
            self.posting.append((seq, number, book, asset, amount))
            self.deltas[exchange, account_id, book, asset] += amount
        order = draft.client_order_id
        if order:
            step = 0 if draft.kind == INTENDED else seq
            self.order_step.append((exchange, account_id, order, step, seq, CLOSES.get(draft.kind, 0)))
        if draft.venue_trade_id:
            self.fill_key.append((exchange, account_id, draft.venue_trade_id, seq))


def named(account: AccountKey) -> str:
    """Return an account as messages name it."""
    return f"{account.account_id} at {account.exchange}"


def _text(body: Mapping[str, Any], key: str, record: Record, account: AccountKey, needed: bool) -> str:
    found = body.get(key, "")
    if isinstance(found, str) and (found or not needed):
        return found
    raise JournalError(f"{record.kind} of {named(account)}: body.{key} is {found!r}, expected text")


def _legs(account: AccountKey, record: Record, scales: Mapping[str, int]) -> tuple[Leg, ...]:
    legs = []
    sums: dict[str, int] = {}
    for posting in record.postings:
        amount, asset = posting.amount, posting.asset
        if type(amount) is not int:
            problem = f"is {type(amount).__name__}, expected an integer"
        elif amount == 0:
            problem = "moves nothing"
        elif not -INT64_MAX <= amount <= INT64_MAX:
            problem = "does not fit 64 bits"
        elif asset not in scales:
            problem = "is of an asset that is not registered"
        else:
            legs.append((posting.book.value, asset, amount))
            sums[asset] = sums.get(asset, 0) + amount
            continue
        raise JournalError(
            f"{record.kind} of {named(account)}: posting of {amount!r} {asset} to {posting.book} {problem}"
        )
    if any(sums.values()):
        parts = ", ".join(f"{amount} {asset}" for asset, amount in sorted(imbalance(record.postings).items()))
        raise JournalError(f"{record.kind} of {named(account)}: postings do not sum to 0, they are off by {parts}")
    return tuple(legs)


def drafted(account: AccountKey, record: Record, scales: Mapping[str, int]) -> Draft:
    """Return a record ready to be written.

    Args:
        account: Whose it is.
        record: What happened.
        scales: Registered assets.

    Raises:
        JournalError: It may not be written; the message says why and where.
    """
    kind, body, ts_ns = record.kind, record.body, record.ts_ns
    if not _is_name(kind):
        raise JournalError(f"kind {kind!r} of {named(account)}: expected a snake-case name")
    if type(ts_ns) is not int or not -INT64_MAX <= ts_ns <= INT64_MAX:
        raise JournalError(f"{kind} of {named(account)}: ts_ns {ts_ns!r} is no time in ns")
    try:
        text = canonical_json(body)
        if not text.isascii():
            text.encode()
    except ValueError as wrong:
        raise JournalError(f"{kind} of {named(account)}: {wrong}") from wrong
    order = _text(body, "client_order_id", record, account, kind == INTENDED or kind in CLOSES)
    trade = _text(body, "venue_trade_id", record, account, True) if kind == FILLED else ""
    return Draft(kind, ts_ns, text, _legs(account, record, scales) if record.postings else (), order, trade)


Drafts = list[tuple[AccountKey, Commit, list[Draft]]]


def drafts_of(commits: Sequence[tuple[AccountKey, Commit]], scales: Mapping[str, int]) -> Drafts:
    """Return every record of some commits ready to be written.

    Raises:
        JournalError: One of them may not be.
    """
    return [(account, commit, [drafted(account, one, scales) for one in commit.records]) for account, commit in commits]


def rows_of(drafts: Drafts, head_seq: int, head_hash: bytes) -> Rows:
    """Return the rows of some drafts behind a head."""
    rows = Rows(head_seq, head_hash)
    for account, _, made in drafts:
        for draft in made:
            rows.add(account, draft)
    return rows
