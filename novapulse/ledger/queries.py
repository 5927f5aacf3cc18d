"""What can be asked of a ledger: balances, orders, fills, decisions, modes, breakers, of one account each.

Invariants:
- an account is asked for by exchange and account id; one that the ledger does not know is an error that names those it
  knows, never an empty answer;
- amounts are integers in units of the asset's ledger scale, and exact decimals where people read them;
- the same statements run on SQLite and PostgreSQL; long answers come a thousand records at a time.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from itertools import groupby
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, func, select, union
from sqlalchemy.exc import DBAPIError

from novapulse.core.amounts import from_units
from novapulse.core.facts import KINDS, from_body
from novapulse.core.instruments import AccountKey, InstrumentKey, digits
from novapulse.core.messages import HoldRun, Record
from novapulse.core.order_fold import Order
from novapulse.core.postings import Book, Posting
from novapulse.ledger.movements import FLOWS, Execution, Movements
from novapulse.ledger.opening import Place, SchemaError, reader
from novapulse.ledger.reads import Entry
from novapulse.ledger.schema import (
    asset,
    balance,
    checkpoint,
    event,
    hold_run,
    lease,
    of_kind,
    order_open,
    order_step,
    posting,
)
from novapulse.ledger.snapshots import said, snapshot

CHUNK = 1_000

DECISIONS, MODES = ("decision_taken",), ("mode_changed",)
BREAKERS = ("breaker_tripped", "breaker_cleared")
BREAKS = ("break_found", "break_resolved", "break_adopted")
COMMANDS = ("command_answered",)
LISTINGS = ("account_opened", "instrument_listed")
FILLS = ("fill_booked", "fill_busted")
SPLITS = ("split_applied",)


class UnknownAccountError(ValueError):
    """The ledger has no such account; the message names those it has."""


@dataclass(frozen=True, slots=True)
class Balance:
    """What lies in one book of an account.

    Attributes:
        book: Where.
        asset: Of what.
        units: Signed, units of 10^-scale.
        scale: Decimal digits of the asset in this ledger.
    """

    book: Book
    asset: str
    units: int
    scale: int

    @property
    def amount(self) -> Decimal:
        """The exact decimal."""
        return from_units(self.units, self.scale)


@dataclass(frozen=True, slots=True)
class Listing:
    """An instrument as an account was told it.

    Attributes:
        key: Exchange and symbol.
        base: Asset that is traded.
        quote: Asset that is paid in.
        qty_scale: Decimal digits of its quantity units.
        price_scale: Decimal digits of its price units.
        cash_scale: Decimal digits of its cash units.
    """

    key: InstrumentKey
    base: str
    quote: str
    qty_scale: int
    price_scale: int
    cash_scale: int


@dataclass(frozen=True, slots=True)
class Split:
    """A split, with the quantities before and behind it in ledger units of the base asset.

    Attributes:
        seq: Its event.
        ts_ns: When it was booked.
        instrument: What was split.
        own: What our orders held.
        foreign: What belonged to nobody.
        price_units: At which what was ours was worth `worth`, where nothing is left of it.
        worth: That worth, ledger units of the quote asset; 0 where no record says it.
    """

    seq: int
    ts_ns: int
    instrument: InstrumentKey
    own: tuple[int, int]
    foreign: tuple[int, int]
    price_units: int = 0
    worth: int = 0

    @property
    def parts(self) -> tuple[tuple[bool, int, int], ...]:
        """Whether it is ours, and the quantities before and behind, of what there was."""
        both = ((True, *self.own), (False, *self.foreign))
        return tuple(part for part in both if part[1])

    def end(self, *, is_ours: bool) -> Execution:
        """Return what became of a part of which nothing is left: it went without a trade."""
        units, worth = (self.own[0], self.worth) if is_ours else (self.foreign[0], 0)
        cash = worth if units > 0 else -worth
        moved = (-units, cash, 0, 0 if is_ours else -units, self.price_units)
        return Execution(self.seq, self.ts_ns, None, self.instrument, "", "", *moved, is_flow=True)


@dataclass(frozen=True, slots=True)
class OrderRow:
    """An order with its state.

    Attributes:
        seq: The event of its intent.
        ts_ns: When it was intended.
        order: Folded from its facts; `order.status` says how it stands.
        is_open: Whether it has not been closed yet.
    """

    seq: int
    ts_ns: int
    order: Order
    is_open: bool


@contextmanager
def reading(where: str | Path) -> Iterator[Connection]:
    """Open one state of a ledger for queries.

    Args:
        where: A path, `sqlite:///PATH` or `postgresql://HOST/DATABASE`.

    Raises:
        SchemaError: It is no ledger.
        Unwritable: It is not there.
    """
    engine = reader(where)
    try:
        with snapshot(engine) as connection:
            try:
                connection.execute(select(func.count()).select_from(lease)).scalar()
            except DBAPIError as wrong:
                raise SchemaError(f"{Place.of(where)}: is not a ledger ({said(wrong)})") from wrong
            yield connection
    finally:
        engine.dispose()


def accounts(connection: Connection) -> tuple[AccountKey, ...]:
    """Return the accounts of a ledger, sorted."""
    parts = [select(table.c.exchange, table.c.account_id) for table in (balance, checkpoint, lease)]
    parts.append(select(event.c.exchange, event.c.account_id).where(of_kind(*LISTINGS)))
    return tuple(sorted(AccountKey(*row) for row in connection.execute(union(*parts))))


def check_account(connection: Connection, account: AccountKey) -> None:
    """Refuse an account that the ledger does not know.

    Raises:
        UnknownAccountError: The message names the accounts there are.
    """
    known = accounts(connection)
    if account not in known:
        there = ", ".join(f"{one.account_id} at {one.exchange}" for one in known) or "none"
        raise UnknownAccountError(
            f"no account {account.account_id} at {account.exchange} in this ledger: it has {there}"
        )


def scales(connection: Connection) -> dict[str, int]:
    """Return asset -> decimal digits of its amounts in this ledger."""
    return {row.asset: row.scale for row in connection.execute(select(asset))}


def records(
    connection: Connection,
    account: AccountKey,
    kinds: Sequence[str] = (),
    *,
    after_seq: int = 0,
    last: int = 0,
) -> Iterator[Entry]:
    """Yield an account's records with their postings, in order.

    Args:
        connection: From `reading`.
        account: Whose.
        kinds: Only these; all by default.
        after_seq: Only those behind this number.
        last: Only so many, the newest; 0 for all.

    Raises:
        UnknownAccountError: The ledger has no such account.
    """
    check_account(connection, account)
    mine = and_(event.c.exchange == account.exchange, event.c.account_id == account.account_id)
    wanted = and_(mine, of_kind(*kinds)) if kinds else mine
    if last:
        newest = select(event.c.seq).where(wanted, event.c.seq > after_seq).order_by(event.c.seq.desc())
        first = connection.execute(newest.limit(1).offset(last - 1)).scalar()
        after_seq = after_seq if first is None else first - 1
    while True:
        page = select(event).where(wanted, event.c.seq > after_seq).order_by(event.c.seq).limit(CHUNK)
        rows = connection.execute(page).all()
        if rows:
            legs = _legs(connection, wanted, rows[0].seq, rows[-1].seq)
            for row in rows:
                record = Record(row.kind, row.ts_ns, json.loads(row.body), tuple(legs.get(row.seq, ())))
                yield Entry(row.seq, record)
        if len(rows) < CHUNK:
            return
        after_seq = rows[-1].seq


def _legs(connection: Connection, wanted: ColumnElement[bool], first: int, last: int) -> dict[int, list[Posting]]:
    of: dict[int, list[Posting]] = {}
    joined = posting.join(event, event.c.seq == posting.c.seq)
    page = select(posting).select_from(joined).where(posting.c.seq.between(first, last), wanted)
    for row in connection.execute(page.order_by(posting.c.seq, posting.c.leg)):
        of.setdefault(row.seq, []).append(Posting(Book(row.book), row.asset, row.amount))
    return of


def balances(connection: Connection, account: AccountKey) -> tuple[Balance, ...]:
    """Return what lies in the books of an account, without what is 0.

    Raises:
        UnknownAccountError: The ledger has no such account.
    """
    check_account(connection, account)
    joined = balance.join(asset, asset.c.asset == balance.c.asset)
    rows = connection.execute(
        select(balance.c.book, balance.c.asset, balance.c.amount, asset.c.scale)
        .select_from(joined)
        .where(balance.c.exchange == account.exchange, balance.c.account_id == account.account_id)
        .where(balance.c.amount != 0)
        .order_by(balance.c.book, balance.c.asset)
    )
    return tuple(Balance(Book(row.book), row.asset, row.amount, row.scale) for row in rows)


def listings(connection: Connection, account: AccountKey) -> dict[InstrumentKey, Listing]:
    """Return the instruments of an account, as it was told them last.

    Raises:
        UnknownAccountError: The ledger has no such account.
    """
    found: dict[InstrumentKey, Listing] = {}
    for entry in records(connection, account, LISTINGS):
        found |= listed(account, entry.record.body)
    return found


def listed(account: AccountKey, body: Mapping[str, Any]) -> dict[InstrumentKey, Listing]:
    """Return the instruments that the record of an opening or a listing names."""
    found: dict[InstrumentKey, Listing] = {}
    for one in body.get("instruments", [body]):
        key = InstrumentKey(account.exchange, one["symbol"])
        lot, tick = digits(Decimal(one["lot"])), digits(Decimal(one["tick"]))
        found[key] = Listing(key, one["base"], one["quote"], lot, tick, one["cash_scale"])
    return found


def movements(connection: Connection, account: AccountKey) -> Iterator[Execution]:
    """Yield what an account traded and what came or went without a trade, in the order in which it was booked.

    Raises:
        UnknownAccountError: The ledger has no such account.
    """
    known, listed = scales(connection), listings(connection, account)
    made = Movements()

    def finer(key: InstrumentKey) -> int:
        return int(10 ** (known[listed[key].quote] - listed[key].cash_scale))

    for entry in records(connection, account, (*FILLS, *FLOWS)):
        if (one := made.of(entry, finer)) is not None:
            yield one


def executions(connection: Connection, account: AccountKey) -> Iterator[Execution]:
    """Yield what an account traded, in the order in which it was booked; what was taken back again is an own row.

    Raises:
        UnknownAccountError: The ledger has no such account.
    """
    made = Movements()
    for entry in records(connection, account, FILLS):
        one = made.of(entry, lambda _: 1)
        assert one is not None
        yield one


def split_of(entry: Entry, listing: Listing, digits: Mapping[str, int]) -> Split:
    """Return the split that a record is of.

    Args:
        entry: The record.
        listing: Its instrument.
        digits: Asset -> its scale in the ledger.
    """
    body = entry.record.body
    finer, cash = 10 ** (digits[listing.base] - listing.qty_scale), 10 ** (digits[listing.quote] - listing.cash_scale)
    own, foreign = ((before * finer, after * finer) for before, after in (body["units"], body["foreign_units"]))
    worth = body.get("worth_units", 0) * cash
    return Split(entry.seq, entry.record.ts_ns, listing.key, own, foreign, body.get("price_units", 0), worth)


def splits(connection: Connection, account: AccountKey) -> tuple[Split, ...]:
    """Return the splits of an account's instruments, in order.

    Raises:
        UnknownAccountError: The ledger has no such account.
    """
    known, listed = scales(connection), listings(connection, account)
    found = []
    for entry in records(connection, account, SPLITS):
        listing = listed[InstrumentKey(*entry.record.body["instrument"])]
        found.append(split_of(entry, listing, known))
    return tuple(found)


def orders(connection: Connection, account: AccountKey, *, only_open: bool = False) -> Iterator[OrderRow]:
    """Yield an account's orders with the state that follows from their facts, in the order of their intents.

    Raises:
        UnknownAccountError: The ledger has no such account.
        ValueError: A record does not hold the fact that its kind says.
    """
    check_account(connection, account)
    intent, step = order_step.alias("intent"), order_step.alias("step")
    same = and_(*(intent.c[name] == step.c[name] for name in ("exchange", "account_id", "client_order_id")))
    mine = and_(intent.c.exchange == account.exchange, intent.c.account_id == account.account_id, intent.c.step == 0)
    if only_open:
        still = select(order_open.c.client_order_id).where(
            order_open.c.exchange == account.exchange, order_open.c.account_id == account.account_id
        )
        mine = and_(mine, intent.c.client_order_id.in_(still))
    joined = intent.join(step, same).join(event, event.c.seq == step.c.seq)
    rows = connection.execute(
        select(intent.c.seq, intent.c.client_order_id, step.c.closes, event.c.kind, event.c.body, event.c.ts_ns)
        .select_from(joined)
        .where(mine)
        .order_by(intent.c.seq, event.c.seq)
        .execution_options(yield_per=CHUNK)
    )
    for (seq, name), facts in groupby(rows, key=lambda row: (row[0], row[1])):
        order, is_open, intended_ns = Order(name), True, 0
        for _, _, closes, kind, body, ts_ns in facts:
            is_open = closes < 0 if closes else is_open
            if kind in KINDS:
                order.add(from_body(kind, json.loads(body)))
            if kind == "order_intended":
                intended_ns = ts_ns
        yield OrderRow(seq, intended_ns, order, is_open)


def hold_runs(
    connection: Connection, account: AccountKey, *, symbol: str = "", last: int = CHUNK, before: int | None = None
) -> tuple[HoldRun, ...]:
    """Return the newest stretches of bars on which nothing was done, oldest first.

    Args:
        connection: Of the ledger.
        account: Whose.
        symbol: Only those of this instrument; empty for all.
        last: At most so many.
        before: Only those whose first bar closed before this, ns UTC; None for the newest of all.

    Raises:
        UnknownAccountError: The ledger has no such account.
    """
    check_account(connection, account)
    mine = and_(hold_run.c.exchange == account.exchange, hold_run.c.account_id == account.account_id)
    if before is not None:
        mine = and_(mine, hold_run.c.first_ns < before)
    if symbol:
        mine = and_(mine, hold_run.c.symbol == symbol)
    page = select(hold_run).where(mine).order_by(hold_run.c.first_ns.desc(), hold_run.c.symbol).limit(last)
    return tuple(
        HoldRun(InstrumentKey(account.exchange, row.symbol), row.reason, row.first_ns, row.last_ns, row.bars)
        for row in reversed(connection.execute(page).all())
    )


def mode(connection: Connection, account: AccountKey) -> str:
    """Return what an account may do, by the last change of it; NORMAL where there was none.

    Raises:
        UnknownAccountError: The ledger has no such account.
    """
    return next((str(entry.record.body["to"]) for entry in records(connection, account, MODES, last=1)), "NORMAL")


def tripped(connection: Connection, account: AccountKey) -> tuple[Entry, ...]:
    """Return the breakers that tripped and were not cleared, by the records of their trips.

    Raises:
        UnknownAccountError: The ledger has no such account.
    """
    state: dict[tuple[object, ...], Entry] = {}
    for entry in records(connection, account, BREAKERS):
        body: Mapping[str, object] = entry.record.body
        instrument = body.get("instrument")
        key = (body["name"], *(instrument if isinstance(instrument, list) else ()))
        if entry.record.kind == "breaker_tripped":
            state[key] = entry
        else:
            state.pop(key, None)
    return tuple(sorted(state.values(), key=lambda entry: entry.seq))
