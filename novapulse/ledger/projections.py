"""The tables that follow from the events, made again and compared.

Invariants:
- nothing of a table is believed: balances, keys, orders and holds come out of the walk over the events;
- memory grows with the number of orders and fills (some 200 bytes for each), not with the length of the ledger.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from sqlalchemy import Connection, Table, func, select

from novapulse.ledger.schema import (
    asset,
    balance,
    checkpoint,
    client_order,
    consumer,
    dead_letter,
    fill_key,
    order_fact,
    order_open,
    outbox,
)
from novapulse.ledger.walk import VENUE_BOOKS, Account, BalanceKey, Fault, Stretch

OrderKey = tuple[str, str, str]
"""Exchange, account, client order id."""


class Expected:
    """What the tables have to hold, as far as the events were read."""

    def __init__(self) -> None:
        self.balances: defaultdict[BalanceKey, int] = defaultdict(int)
        self.orders: dict[OrderKey, int] = {}
        self.open: dict[OrderKey, int] = {}
        self.trades: dict[OrderKey, int] = {}
        self.facts: list[tuple[int, int]] = []
        self.held: defaultdict[OrderKey, int] = defaultdict(int)
        self.holds: defaultdict[Account, int] = defaultdict(int)
        self.scales: dict[str, tuple[int, int]] = {}
        self.accounts: set[Account] = set()
        self.assets: set[str] = set()
        self.faults: list[Fault] = []

    def take(self, stretch: Stretch) -> None:
        """Add what the next stretch of events says."""
        for mention in stretch.mentions:
            self._mention(*mention)
        for seq, account, claims, totals in stretch.asserted:
            self._assert(seq, account, claims, totals)
        for seq, scales in stretch.scales:
            for name, scale in scales.items():
                first, _ = self.scales.setdefault(name, (scale, seq))
                if first != scale:
                    self.faults.append(Fault(seq, "event.body", f"counts {name} in {scale} digits, before in {first}"))
        for key, amount in stretch.balances.items():
            self.balances[key] += amount
        self.accounts |= stretch.accounts
        self.assets |= stretch.assets

    def _mention(self, seq: int, account: Account, kind: str, name: str, trade: str, hold: int) -> None:
        key = (*account, name)
        if kind == "order_intended":
            if key in self.orders:
                self.faults.append(Fault(seq, "event.body", f"intends {name}, which event {self.orders[key]} did"))
            self.orders.setdefault(key, seq)
            self.open[key] = seq
        elif kind == "order_closed":
            self.open.pop(key, None)
        elif trade:
            if (*account, trade) in self.trades:
                first = self.trades[*account, trade]
                self.faults.append(Fault(seq, "event.body", f"books execution {trade}, which event {first} did"))
            self.trades.setdefault((*account, trade), seq)
        if key in self.orders:
            self.facts.append((seq, self.orders[key]))
        if hold:
            self._hold(seq, account, key, hold)
        if kind == "order_closed" and self.held.get(key):
            self.faults.append(Fault(seq, "posting", f"{name} is closed and still holds {self.held[key]}"))

    def _hold(self, seq: int, account: Account, key: OrderKey, amount: int) -> None:
        self.holds[account] += amount
        self.held[key] += amount
        if self.held[key] < 0:
            owner = f"order {key[2]}" if key[2] else "no order"
            self.faults.append(Fault(seq, "posting", f"releases {-self.held[key]} more than {owner} held"))
        if self.held[key] == 0:
            del self.held[key]

    def _assert(self, seq: int, account: Account, claims: Mapping[str, Any], totals: Mapping[str, int]) -> None:
        for name, claimed in claims.items():
            ours = totals.get(name, 0) + sum(self.balances.get((*account, book, name), 0) for book in VENUE_BOOKS)
            if ours != claimed:
                what = f"asserts {claimed} {name} of {account[1]} at {account[0]}, the postings give {ours}"
                self.faults.append(Fault(seq, "event.body", what))


def check_projections(connection: Connection, expected: Expected, head_seq: int) -> Iterator[Fault]:
    """Yield what the tables hold and should not, or lack.

    Args:
        connection: Inside the transaction in which the events were read.
        expected: What the events say.
        head_seq: The last event.
    """
    yield from expected.faults
    yield from _balances(connection, expected)
    yield from _holds(expected)
    yield from _order_facts(connection, expected.facts)
    for table, keys in ((client_order, expected.orders), (order_open, expected.open), (fill_key, expected.trades)):
        yield from _keys(connection, table, keys)
    yield from _assets(connection, expected)
    yield from _behind_head(connection, head_seq)
    for row in connection.execute(select(checkpoint.c.exchange, checkpoint.c.account_id)):
        if tuple(row) not in expected.accounts and head_seq:
            yield Fault(None, "checkpoint", f"is of {row.account_id} at {row.exchange}, of which no event speaks")


def _balances(connection: Connection, expected: Expected) -> Iterator[Fault]:
    wanted = {key: amount for key, amount in expected.balances.items() if amount}
    for exchange, account_id, book, name, amount in connection.execute(select(*balance.c)):
        due = wanted.pop((exchange, account_id, book, name), 0)
        if amount != due:
            what = f"{book} of {account_id} at {exchange} is {amount} {name}, the postings give {due}"
            yield Fault(None, "balance.amount", what)
    for (exchange, account_id, book, name), due in sorted(wanted.items()):
        what = f"{book} of {account_id} at {exchange} is missing, the postings give {due} {name}"
        yield Fault(None, "balance", what)


def _holds(expected: Expected) -> Iterator[Fault]:
    of_open: defaultdict[Account, int] = defaultdict(int)
    for key, amount in expected.held.items():
        if key in expected.open:
            of_open[key[0], key[1]] += amount
    for account, amount in sorted(expected.holds.items()):
        if amount != of_open[account]:
            what = f"hold of {account[1]} at {account[0]} is {amount}, its open orders hold {of_open[account]}"
            yield Fault(None, "posting", what)


def _keys(connection: Connection, table: Table, keys: Mapping[OrderKey, int]) -> Iterator[Fault]:
    left = dict(keys)
    for exchange, account_id, name, seq in connection.execute(select(*table.c)):
        due = left.pop((exchange, account_id, name), None)
        if due is None:
            yield Fault(seq, table.name, f"holds {name} of {account_id} at {exchange}, which no event gives")
        elif due != seq:
            yield Fault(min(due, seq), f"{table.name}.seq", f"of {name} is {seq}, its event is {due}")
    for (exchange, account_id, name), seq in left.items():
        yield Fault(seq, table.name, f"lacks {name} of {account_id} at {exchange}")


def _order_facts(connection: Connection, facts: Iterable[tuple[int, int]]) -> Iterator[Fault]:
    rows = connection.execute(select(order_fact.c.seq, order_fact.c.order_seq).order_by("seq", "order_seq"))
    there, due = map(tuple, rows), iter(facts)
    row, fact = next(there, None), next(due, None)
    while row is not None or fact is not None:
        if row == fact:
            row, fact = next(there, None), next(due, None)
        elif fact is None or (row is not None and row < fact):
            assert row is not None
            yield Fault(
                row[0], "order_fact", f"gives event {row[0]} to the order of event {row[1]}, which it does not name"
            )
            row = next(there, None)
        else:
            yield Fault(fact[0], "order_fact", f"lacks event {fact[0]} of the order of event {fact[1]}")
            fact = next(due, None)


def _assets(connection: Connection, expected: Expected) -> Iterator[Fault]:
    scales = dict(map(tuple, connection.execute(select(asset.c.asset, asset.c.scale))))
    for name in sorted(expected.assets - scales.keys()):
        yield Fault(None, "asset", f"lacks {name}, which postings move")
    for name, (scale, seq) in sorted(expected.scales.items()):
        if name in scales and scales[name] != scale:
            yield Fault(seq, "asset.scale", f"of {name} is {scales[name]}, its account was opened with {scale}")


def _behind_head(connection: Connection, head_seq: int) -> Iterator[Fault]:
    marks = (outbox.c.seq, dead_letter.c.seq, consumer.c.cursor, checkpoint.c.seq, order_fact.c.seq)
    for mark in marks:
        last = connection.execute(select(func.max(mark))).scalar()
        if last is not None and last > head_seq:
            yield Fault(last, str(mark), f"is {last}, the events end at {head_seq}")
