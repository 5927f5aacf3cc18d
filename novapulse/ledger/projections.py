"""The tables that follow from the events, compared with them row by row, in the database.

Invariants:
- nothing of a table is believed: a row that no event gives is a fault, and so is one that an event gives and that is not
  there;
- what an order holds is at no moment below 0, and 0 once it is closed: an account without open orders holds nothing;
- a balance that a venue showed and that was asserted is what the postings before it come to.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, Table, and_, case, cast, exists, func, or_, select
from sqlalchemy.dialects.postgresql import JSONB

from novapulse.core.postings import Book
from novapulse.ledger.schema import (
    asset,
    balance,
    checkpoint,
    client_order,
    consumer,
    dead_letter,
    event,
    fill_key,
    order_fact,
    order_open,
    outbox,
    posting,
)
from novapulse.ledger.walk import VENUE_BOOKS, Account, BalanceKey, Fault, Stretch


class Claims:
    """What the events say of balances and scales, stretch after stretch."""

    def __init__(self) -> None:
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
        for key, amount in stretch.balances.items():
            self.balances[key] += amount

    def _assert(self, seq: int, account: Account, claims: Mapping[str, Any], totals: Mapping[str, int]) -> None:
        for name, claimed in claims.items():
            ours = totals.get(name, 0) + sum(self.balances.get((*account, book, name), 0) for book in VENUE_BOOKS)
            if ours != claimed:
                what = f"asserts {claimed} {name} of {account[1]} at {account[0]}, the postings give {ours}"
                self.faults.append(Fault(seq, "event.body", what))


def check_claims(connection: Connection, claims: Claims) -> Iterator[Fault]:
    """Yield balances that are not what the postings come to, and scales that are not those of the accounts."""
    yield from claims.faults
    wanted = {key: amount for key, amount in claims.balances.items() if amount}
    for exchange, account_id, book, name, amount in connection.execute(select(*balance.c)):
        due = wanted.pop((exchange, account_id, book, name), 0)
        if amount != due:
            what = f"{book} of {account_id} at {exchange} is {amount} {name}, the postings give {due}"
            yield Fault(None, "balance.amount", what)
    for (exchange, account_id, book, name), due in sorted(wanted.items()):
        what = f"{book} of {account_id} at {exchange} is missing, the postings give {due} {name}"
        yield Fault(None, "balance", what)
    there = {row.asset: row.scale for row in connection.execute(select(asset))}
    for name in sorted({key[3] for key in claims.balances} - there.keys()):
        yield Fault(None, "asset", f"{name} is missing, postings move it")
    for name, (scale, seq) in sorted(claims.scales.items()):
        if name in there and there[name] != scale:
            yield Fault(seq, "asset.scale", f"of {name} is {there[name]}, its account was opened with {scale}")


def check_behind_head(connection: Connection, head_seq: int) -> Iterator[Fault]:
    """Yield marks that point behind the last event, and states of accounts that no event speaks of."""
    for mark in (outbox.c.seq, dead_letter.c.seq, consumer.c.cursor, checkpoint.c.seq):
        last = connection.execute(select(func.max(mark))).scalar()
        if last is not None and last > head_seq:
            yield Fault(last, str(mark), f"is {last}, the events end at {head_seq}")
    known = exists().where(event.c.seq == checkpoint.c.seq, *_same_account(event, checkpoint))
    lost = select(checkpoint).where(checkpoint.c.seq > 0, checkpoint.c.seq <= head_seq, ~known)
    for row in connection.execute(lost):
        yield Fault(row.seq, "checkpoint.seq", f"of {row.account_id} at {row.exchange} is another account's event")


def _same_account(one: Table, other: Table) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return one.c.exchange == other.c.exchange, one.c.account_id == other.c.account_id


def in_body(connection: Connection, name: str) -> ColumnElement[Any]:
    """Return the text that the body of an event has under a name, for the database to read; NULL where there is none."""
    if connection.dialect.name == "postgresql":
        return cast(event.c.body, JSONB)[name].astext
    return case((func.json_valid(event.c.body) == 1, func.json_extract(event.c.body, f"$.{name}")))


def _check_keys(connection: Connection, table: Table, name: Column[str], kind: str) -> Iterator[Fault]:
    said = in_body(connection, name.name)
    fits = and_(event.c.kind == kind, *_same_account(event, table), said == name)
    joined = table.outerjoin(event, event.c.seq == table.c.seq)
    for row in connection.execute(select(table).select_from(joined).where(~func.coalesce(fits, False))):
        what = f"gives {row[2]} of {row.account_id} at {row.exchange} to an event that is no {kind} of it"
        yield Fault(row.seq, table.name, what)
    back = event.outerjoin(table, and_(*_same_account(event, table), said == name))
    missing = select(event.c.seq, said, table.c.seq).select_from(back)
    unlike = or_(table.c.seq.is_(None), table.c.seq != event.c.seq)
    for seq, value, other in connection.execute(missing.where(event.c.kind == kind, unlike)):
        yield Fault(seq, table.name, f"lacks {value}" if other is None else f"has {value} at event {other} instead")


def _check_client_orders(connection: Connection) -> Iterator[Fault]:
    yield from _check_keys(connection, client_order, client_order.c.client_order_id, "order_intended")


def _check_fill_keys(connection: Connection) -> Iterator[Fault]:
    yield from _check_keys(connection, fill_key, fill_key.c.venue_trade_id, "fill_booked")


def _check_order_facts(connection: Connection) -> Iterator[Fault]:
    order = client_order
    names = and_(*_same_account(event, order), in_body(connection, "client_order_id") == order.c.client_order_id)
    joined = order_fact.outerjoin(event, event.c.seq == order_fact.c.seq).outerjoin(
        order, order.c.seq == order_fact.c.order_seq
    )
    wrong = select(order_fact).select_from(joined).where(~func.coalesce(names, False))
    for row in connection.execute(wrong):
        yield Fault(row.seq, "order_fact", f"gives it to the order of event {row.order_seq}, which it does not name")
    here = and_(order_fact.c.order_seq == order.c.seq, order_fact.c.seq == event.c.seq)
    back = event.join(order, names).outerjoin(order_fact, here)
    # Facts in front of their intent are those of one transaction; the journal may have linked them or not.
    missing = select(event.c.seq, order.c.seq).select_from(back)
    for seq, order_seq in connection.execute(missing.where(order_fact.c.seq.is_(None), event.c.seq >= order.c.seq)):
        yield Fault(seq, "order_fact", f"does not give it to the order of event {order_seq}")


def _check_open_orders(connection: Connection) -> Iterator[Fault]:
    order = client_order
    facts = order_fact.join(event, event.c.seq == order_fact.c.seq)
    is_closed = (
        select(event.c.seq)
        .select_from(facts)
        .where(order_fact.c.order_seq == order.c.seq, event.c.kind == "order_closed")
        .correlate(order)
        .exists()
    )
    same = and_(*_same_account(order, order_open), order.c.client_order_id == order_open.c.client_order_id)
    joined = order_open.outerjoin(order, same)
    unlike = or_(order.c.seq.is_(None), order.c.seq != order_open.c.seq, is_closed)
    for row in connection.execute(select(order_open).select_from(joined).where(unlike)):
        yield Fault(row.seq, "order_open", f"has {row.client_order_id}, which is closed or was never intended")
    back = order.outerjoin(order_open, same)
    missing = select(order.c.seq, order.c.client_order_id).select_from(back)
    for seq, name in connection.execute(missing.where(order_open.c.seq.is_(None), ~is_closed)):
        yield Fault(seq, "order_open", f"lacks {name}, which is not closed")


def _check_holds(connection: Connection) -> Iterator[Fault]:
    order = client_order
    names = and_(*_same_account(event, order), in_body(connection, "client_order_id") == order.c.client_order_id)
    legs = posting.join(event, event.c.seq == posting.c.seq).outerjoin(order, names)
    moves = (
        select(posting.c.seq, event.c.exchange, event.c.account_id, order.c.client_order_id, posting.c.amount)
        .select_from(legs)
        .where(posting.c.book == Book.HOLD.value)
        .order_by(posting.c.seq, posting.c.leg)
    )
    held: dict[tuple[str, str, str | None], int] = {}
    last: dict[tuple[str, str, str | None], int] = {}
    for seq, exchange, account_id, name, amount in connection.execute(moves):
        key = (exchange, account_id, name)
        total = held.get(key, 0) + amount
        if total < 0:
            yield Fault(seq, "posting", f"releases {-total} more than {'order ' + name if name else 'no order'} held")
        if total:
            held[key], last[key] = total, seq
        else:
            held.pop(key, None)
    still_open = {tuple(row)[:3] for row in connection.execute(select(order_open))}
    for key, amount in held.items():
        if key not in still_open:
            owner = f"order {key[2]} of {key[1]} at {key[0]}" if key[2] else f"no order of {key[1]} at {key[0]}"
            yield Fault(last[key], "posting", f"{amount} is held for {owner}, which is not open")


PROJECTIONS: Mapping[str, Callable[[Connection], Iterator[Fault]]] = {
    "client_order": _check_client_orders,
    "fill_key": _check_fill_keys,
    "order_fact": _check_order_facts,
    "order_open": _check_open_orders,
    "hold": _check_holds,
}
"""Table, or what is checked -> what yields its faults."""
