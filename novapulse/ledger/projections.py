"""The tables that follow from the events, compared with them row by row, in the database.

Invariants:
- nothing of a table is believed: a row that no event gives is a fault, and so is one that an event gives and the table
  lacks. Where every row is what its event gives, and as many events were read that give one, none is left over on
  either side: no two rows are given by one event. Otherwise each that differs is looked for and named;
- what an order holds is at no moment below 0, and 0 once it is closed: an account without open orders holds nothing;
- a balance that a venue showed and that was asserted is what the postings before it come to.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, and_, case, cast, func, or_, select
from sqlalchemy.dialects.postgresql import JSONB

from novapulse.core.postings import Book
from novapulse.core.records import Reason
from novapulse.ledger.canonical import ORDER, spelled
from novapulse.ledger.kinds import CLOSES, FILLED, INTENDED
from novapulse.ledger.schema import (
    asset,
    balance,
    checkpoint,
    consumer,
    dead_letter,
    event,
    fill_key,
    hold_run,
    lease,
    order_open,
    order_step,
    posting,
)
from novapulse.ledger.walk import VENUE_BOOKS, Account, BalanceKey, Fault, OrderKey, Stretch

Check = Callable[[Connection], Iterator[Fault]]


class Claims:
    """What the events say of balances, scales, orders and holds, stretch after stretch."""

    def __init__(self) -> None:
        self.naming = 0
        self.booked = 0
        self.held: dict[OrderKey, int] = {}
        self.fell_below_zero = False
        self.balances: defaultdict[BalanceKey, int] = defaultdict(int)
        self.scales: dict[str, tuple[int, int]] = {}
        self.faults: list[Fault] = []

    def take(self, stretch: Stretch) -> None:
        """Add what the next stretch says."""
        for seq, account, claims, totals in stretch.asserted:
            self._assert(seq, account, claims, totals)
        for seq, scales in stretch.scales:
            for name, scale in scales.items():
                first, _ = self.scales.setdefault(name, (scale, seq))
                if first != scale:
                    self.faults.append(Fault(seq, "event.body", f"counts {name} in {scale} digits, before in {first}"))
        for account, moved in stretch.balances.items():
            for key, amount in moved.items():
                self.balances[*account, *key] += amount
        for order, (moved_since, least) in stretch.held.items():
            before = self.held.pop(order, 0)
            self.fell_below_zero |= before + least < 0
            if before + moved_since:
                self.held[order] = before + moved_since
        self.naming += stretch.naming
        self.booked += stretch.booked

    def _assert(self, seq: int, account: Account, claims: Mapping[str, Any], totals: Mapping[str, int]) -> None:
        for name, claimed in claims.items():
            ours = totals.get(name, 0) + sum(self.balances.get((*account, book, name), 0) for book in VENUE_BOOKS)
            if ours != claimed:
                what = f"asserts {claimed} {name} of {account[1]} at {account[0]}, the postings give {ours}"
                self.faults.append(Fault(seq, "event.body", what))


def check_claims(connection: Connection, claims: Claims) -> Iterator[Fault]:
    """Yield balances that are not what the postings come to, and scales that are not those of the accounts."""
    yield from claims.faults
    wanted = dict(claims.balances)
    for exchange, account_id, book, name, amount in connection.execute(select(*balance.c)):
        due = wanted.pop((exchange, account_id, book, name), None)
        if amount != due:
            what = f"{book} of {account_id} at {exchange} is {amount} {name}, the postings give {due or 'none'}"
            yield Fault(None, "balance.amount", what)
    for (exchange, account_id, book, name), due in sorted(wanted.items()):
        what = f"{book} of {account_id} at {exchange} is missing, the postings give {due} {name}"
        yield Fault(None, "balance", what)
    there = {row.asset: row.scale for row in connection.execute(select(asset))}
    for name in sorted({key[3] for key in claims.balances} - there.keys()):
        yield Fault(None, "asset", f"{name} is missing, postings move it")
    for name in sorted(claims.scales.keys() - there.keys() - {key[3] for key in claims.balances}):
        yield Fault(claims.scales[name][1], "asset", f"{name} is missing, its account counts it")
    for name, (scale, seq) in sorted(claims.scales.items()):
        if name in there and there[name] != scale:
            yield Fault(seq, "asset.scale", f"of {name} is {there[name]}, its account was opened with {scale}")


def check_beside(connection: Connection, head_seq: int) -> Iterator[Fault]:
    """Yield rows that no event gives and that cannot be: marks behind the last event, stretches that end at once."""
    for mark in (dead_letter.c.seq, consumer.c.cursor, checkpoint.c.seq):
        last = connection.execute(select(func.max(mark))).scalar()
        if last is not None and last > head_seq:
            yield Fault(last, str(mark), f"is {last}, the events end at {head_seq}")
    for table, cannot_be in _CANNOT_BE.items():
        columns = (column for column in table.c if column.key not in _LATER_COLUMNS)
        for row in connection.execute(select(*columns).where(cannot_be).limit(_TOLD_MAX)):
            yield Fault(None, table.name, f"cannot be what was written: {', '.join(map(str, row))}")


_TOLD_MAX = 20
_LATER_COLUMNS = frozenset({"host"})
"""Columns that a ledger of the first revision does not have."""
_CANNOT_BE: Mapping[Table, ColumnElement[bool]] = {
    hold_run: or_(
        hold_run.c.first_ns > hold_run.c.last_ns, hold_run.c.bars < 1, hold_run.c.reason.not_in([*map(int, Reason)])
    ),
    consumer: or_(consumer.c.cursor < 0, consumer.c.attempts < 0),
    dead_letter: or_(dead_letter.c.seq < 1, dead_letter.c.attempts < 1),
    lease: lease.c.epoch < 1,
}
"""Tables that are no facts and follow from none -> what none of their rows can say."""


def _same_account(one: Table, other: Table) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return one.c.exchange == other.c.exchange, one.c.account_id == other.c.account_id


def _in_body(connection: Connection, name: str) -> ColumnElement[Any]:
    """Return the text that an event's body has under a name, as the database reads it; NULL where there is none."""
    if connection.dialect.name == "postgresql":
        text: ColumnElement[Any] = cast(event.c.body, JSONB)[name].astext
        return text
    return case((func.json_valid(event.c.body) == 1, func.json_extract(event.c.body, f"$.{name}")))


def alike(connection: Connection) -> Mapping[str, int]:
    """Return how many rows of each table that is given by events there are; -1 where one is not what its event gives.

    Raises what the driver does for a body that is no JSON.
    """
    found = {}
    for table, (name, fits) in _GIVEN.items():
        if connection.dialect.name == "postgresql":
            said: ColumnElement[Any] = cast(event.c.body, JSONB)[name].astext
        else:
            said = func.json_extract(event.c.body, f"$.{name}")
        fitting = case((and_(*_same_account(event, table), said == table.c[name], fits), 1))
        joined = table.outerjoin(event, event.c.seq == table.c.seq)
        rows, right = connection.execute(select(func.count(), func.count(fitting)).select_from(joined)).one()
        found[table.name] = rows if rows == right else -1
    return found


def checks(claims: Claims, rows: Mapping[str, int]) -> Mapping[str, Check]:
    """Return what is left to be checked row by row, by table, or by what is checked.

    Args:
        claims: What the events say.
        rows: What `alike` returned; nothing where not every event could be read.
    """
    left: dict[str, Check] = {}
    if rows.get(fill_key.name) != claims.booked:
        left[fill_key.name] = _check_fill_keys
    if rows.get(order_step.name) != claims.naming:
        left[order_step.name] = _check_order_steps
    were_released = rows and not claims.fell_below_zero
    left["hold"] = partial(_check_holds_left, held=claims.held) if were_released else _check_holds
    return left


def _check_holds_left(connection: Connection, held: Mapping[OrderKey, int]) -> Iterator[Fault]:
    if held:
        still_open = {(*account, spelled(order)) for *account, order in _open_orders(connection)}
        if not held.keys() <= still_open:
            yield from _check_holds(connection)


def _open_orders(connection: Connection) -> set[tuple[str, str, str]]:
    return {(exchange, account_id, order) for exchange, account_id, order in connection.execute(select(*_ORDER))}


def _check_fill_keys(connection: Connection) -> Iterator[Fault]:
    said = _in_body(connection, "venue_trade_id")
    same = and_(*_same_account(event, fill_key), said == fill_key.c.venue_trade_id)
    booked = event.c.kind == FILLED
    back = event.outerjoin(fill_key, same)
    own = fill_key.c.seq == event.c.seq
    joined = fill_key.outerjoin(event, own)
    wrong = select(fill_key).select_from(joined).where(~func.coalesce(and_(booked, same), False))
    for row in connection.execute(wrong):
        yield Fault(row.seq, "fill_key", f"gives it execution {row.venue_trade_id}, which it does not book")
    missing = select(event.c.seq, said, fill_key.c.seq).select_from(back).where(booked, ~func.coalesce(own, False))
    for seq, trade, other in connection.execute(missing):
        yield Fault(seq, "fill_key", f"lacks execution {trade}" if other is None else f"has {trade} at event {other}")


def _check_order_steps(connection: Connection) -> Iterator[Fault]:
    said = _in_body(connection, ORDER)
    named = and_(said.is_not(None), said != "")
    same = and_(*_same_account(event, order_step), said == order_step.c.client_order_id, order_step.c.step == _STEP)
    fits = and_(order_step.c.seq == event.c.seq, order_step.c.closes == _CLOSES)
    back = event.outerjoin(order_step, same)
    joined = order_step.outerjoin(event, event.c.seq == order_step.c.seq)
    wrong = select(order_step).select_from(joined).where(~func.coalesce(and_(same, fits), False))
    for row in connection.execute(wrong):
        what = f"has step {row.step} of order {row.client_order_id} at it (closes {row.closes}), which it is not"
        yield Fault(row.seq, "order_step", what)
    missing = select(event.c.seq, said).select_from(back).where(named, ~func.coalesce(fits, False))
    for seq, name in connection.execute(missing):
        yield Fault(seq, "order_step", f"lacks it as a step of order {name}")


def _check_holds(connection: Connection) -> Iterator[Fault]:
    # Added up in the database: row by row here would take longer than all other checks together.
    order = func.coalesce(_in_body(connection, ORDER), "")
    of_order = (event.c.exchange, event.c.account_id, order)
    held = func.sum(posting.c.amount).over(partition_by=of_order, order_by=(posting.c.seq, posting.c.leg))
    moves = (
        select(*of_order[:2], order.label("order"), posting.c.seq, posting.c.amount, held.label("held"))
        .select_from(posting.join(event, event.c.seq == posting.c.seq))
        .where(posting.c.book == Book.HOLD.value)
        .subquery()
    )
    whose = (moves.c.exchange, moves.c.account_id, moves.c.order)
    total, least = func.sum(moves.c.amount), func.min(moves.c.held)
    ends = select(*whose, total, least, func.max(moves.c.seq)).group_by(*whose).having(or_(total != 0, least < 0))
    found = connection.execute(ends).all()
    if any(row[4] < 0 for row in found):
        below = select(moves.c.seq, moves.c.order, moves.c.held).where(moves.c.held < 0)
        for seq, name, after in connection.execute(below):
            yield Fault(seq, "posting", f"releases {-after} more than {'order ' + name if name else 'no order'} held")
    still_open = _open_orders(connection) if found else set()
    for exchange, account_id, name, amount, _, last in found:
        if amount and (exchange, account_id, name) not in still_open:
            owner = f"order {name} of {account_id} at {exchange}" if name else f"no order of {account_id} at {exchange}"
            yield Fault(last, "posting", f"{amount} is held for {owner}, which is not open")


_ORDER = (order_open.c.exchange, order_open.c.account_id, order_open.c.client_order_id)
_STEP = case((event.c.kind == INTENDED, 0), else_=event.c.seq)
_CLOSES = case(*((event.c.kind == kind, sign) for kind, sign in CLOSES.items()), else_=0)
_GIVEN: Mapping[Table, tuple[str, ColumnElement[bool]]] = {
    fill_key: ("venue_trade_id", event.c.kind == FILLED),
    order_step: (ORDER, and_(order_step.c.step == _STEP, order_step.c.closes == _CLOSES)),
}
"""Table -> what the body calls its key, and what else its event has to be."""
