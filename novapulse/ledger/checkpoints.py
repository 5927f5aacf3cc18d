"""The traders' states, compared with the events and balances that they follow from.

Invariants:
- a state is sealed together with its row: one that is damaged, swapped, cut off from its entry or moved to another
  account is a fault, and so is an account that was traded and has none;
- what a state holds for its orders, has in cash, and counts of every asset is what the books came to at its entry;
- nothing but what is written beside the trader comes behind the entry of its state.
"""

from collections import defaultdict
from collections.abc import Iterator

from sqlalchemy import ColumnElement, Connection, Row, and_, func, select

from novapulse.core.instruments import AccountKey
from novapulse.core.kept_state import Kept, check_seal
from novapulse.core.postings import Book
from novapulse.ledger.queries import listings, scales
from novapulse.ledger.reads import STARTED, WITHOUT_STATE
from novapulse.ledger.schema import SCALE_MAX, balance, checkpoint, event, of_kind, posting
from novapulse.ledger.walk import Fault

_HELD = {Book.CASH, Book.HOLD, Book.INVENTORY}
_Amounts = dict[tuple[Book, str], int]


def check_checkpoints(connection: Connection) -> Iterator[Fault]:
    """Yield states that are not what was written, or not what the events came to."""
    states: set[AccountKey] = set()
    for row in connection.execute(select(checkpoint)).all():
        if row.state:
            states.add(AccountKey(row.exchange, row.account_id))
            yield from _check(connection, row)
    started = select(event.c.exchange, event.c.account_id, func.max(event.c.seq)).where(of_kind(STARTED))
    for exchange, account_id, seq in connection.execute(started.group_by(event.c.exchange, event.c.account_id)):
        if AccountKey(exchange, account_id) not in states:
            yield Fault(seq, "checkpoint", f"{account_id} at {exchange} was traded, and its state is missing")


def _check(connection: Connection, row: Row[tuple[str, str, int, int, bytes]]) -> Iterator[Fault]:
    account, state = AccountKey(row.exchange, row.account_id), bytes(row.state)
    whose = f"of {account.account_id} at {account.exchange}"
    try:
        check_seal(state, account, row.ts_close_ns, row.seq)
        kept = Kept.of(state)
    except ValueError as wrong:
        yield Fault(row.seq, "checkpoint.state", f"{whose}: {wrong}")
        return
    mine = and_(event.c.exchange == account.exchange, event.c.account_id == account.account_id)
    if connection.execute(select(event.c.seq).where(event.c.seq == row.seq, mine)).first() is None:
        yield Fault(row.seq, "checkpoint.seq", f"{whose} is no event of that account")
    behind = select(event.c.seq, event.c.kind).where(mine, event.c.seq > row.seq, event.c.kind.not_in(WITHOUT_STATE))
    if (later := connection.execute(behind.order_by(event.c.seq).limit(1)).first()) is not None:
        yield Fault(later.seq, "checkpoint.seq", f"{whose} is {row.seq}, before that {later.kind}")
    if kept.key != account:
        yield Fault(row.seq, "checkpoint.state", f"{whose} is of {kept.key.account_id} at {kept.key.exchange}")
        return
    try:
        counted = _counted(connection, kept)
    except (ValueError, LookupError, TypeError, AttributeError) as wrong:
        yield Fault(row.seq, "checkpoint.state", f"{whose} cannot be compared with the balances: {wrong!r}")
        return
    books = _books_at(connection, account, row.seq, mine)
    for (book, asset), ours in sorted(counted.items()):
        theirs = books.get((book, asset), 0)
        if ours != theirs:
            what = f"{whose} has {ours} {asset} in {book.value}, the books had {theirs} at event {row.seq}"
            yield Fault(None, "checkpoint.state", what)


def _counted(connection: Connection, kept: Kept) -> _Amounts:
    """Return what a state has in the books, ledger units; cash without what is held of it."""
    known, listed = scales(connection), listings(connection, kept.key)
    counted: defaultdict[tuple[Book, str], int] = defaultdict(int)
    for key, position, foreign in zip(kept.instruments, kept.positions, kept.foreign_units, strict=True):
        one = listed[key]
        finer = _finer(known[one.base], one.qty_scale)
        counted[Book.INVENTORY, one.base] += (int(position["qty_units"]) + int(foreign)) * finer
    first = listed[kept.instruments[0]]
    finer = _finer(known[first.quote], first.cash_scale)
    held = sum(now for _, now in kept.holds.values()) * finer
    counted[Book.HOLD, first.quote] = held
    counted[Book.CASH, first.quote] = int(kept.account["cash_units"]) * finer - held
    return dict(counted)


def _finer(scale: int, own_scale: int) -> int:
    # The scale may be what is damaged.
    if not 0 <= own_scale <= scale <= SCALE_MAX:
        raise ValueError(f"{own_scale} digits of {scale}")
    return int(10 ** (scale - own_scale))


def _books_at(connection: Connection, account: AccountKey, seq: int, mine: ColumnElement[bool]) -> _Amounts:
    # What lies there now without what was moved since: behind a state there is little or nothing.
    columns = balance.c.book, balance.c.asset
    here = balance.c.exchange == account.exchange, balance.c.account_id == account.account_id
    now = connection.execute(select(*columns, balance.c.amount).where(*here))
    books = {(book, asset): amount for book, asset, amount in now}
    joined = posting.join(event, event.c.seq == posting.c.seq)
    since = select(posting.c.book, posting.c.asset, func.sum(posting.c.amount)).select_from(joined)
    since = since.where(mine, posting.c.seq > seq).group_by(posting.c.book, posting.c.asset)
    for book, asset, amount in connection.execute(since):
        books[book, asset] = books.get((book, asset), 0) - int(amount)
    return {(Book(book), asset): amount for (book, asset), amount in books.items() if book in _HELD}
