"""A ledger as files that other tools read: tables as CSV and Parquet, and a journal for plain-text accounting.

Invariants:
- an export is one state of the ledger; its files have their names only when they are complete, and none is replaced;
- amounts are exact decimals, in text and in Parquet (38 digits, 18 of them behind the point); nothing is a float;
- rows are written as they are read: memory does not grow with the ledger (orders: with the facts of one order).
"""

import csv
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import polars as pl
from sqlalchemy import Connection, select

from novapulse.core.amounts import from_units
from novapulse.core.ports import Unwritable
from novapulse.core.records import Liquidity
from novapulse.ledger.beancount import journal_lines
from novapulse.ledger.queries import CHUNK, accounts, executions, listings, orders, reading
from novapulse.ledger.schema import asset, balance, event, posting

FORMS = ("csv", "parquet", "beancount")
JOURNAL = "journal.beancount"

_TEXT, _WHOLE, _FLAG, _EXACT = pl.String(), pl.Int64(), pl.Boolean(), pl.Decimal(38, 18)
_ACCOUNT = {"exchange": _TEXT, "account_id": _TEXT}

Cells = Sequence[str | int | bool | None]


@dataclass(frozen=True, slots=True)
class Table:
    """A table of an export.

    Attributes:
        columns: Name -> type in Parquet.
        rows: Yields its rows, decimals as text.
    """

    columns: dict[str, pl.DataType]
    rows: Callable[[Connection], Iterator[Cells]]


def export(where: str | Path, folder: Path, *, forms: Iterable[str] = FORMS) -> dict[str, int]:
    """Write a ledger into a folder.

    Args:
        where: A path, `sqlite:///PATH` or `postgresql://HOST/DATABASE`.
        folder: Where to; it is made where it is missing.
        forms: Which of `FORMS`.

    Returns:
        File name -> rows in it; for the journal its transactions and assertions.

    Raises:
        ValueError: A form is unknown.
        SchemaError: It is no ledger.
        Unwritable: It is not there, or the folder cannot be written, or has one of the files already.
    """
    wanted = tuple(forms)
    if unknown := sorted(set(wanted) - set(FORMS)):
        raise ValueError(f"form {', '.join(unknown)}: expected some of {', '.join(FORMS)}")
    names = [f"{name}.{form}" for form in wanted if form != "beancount" for name in TABLES]
    names += [JOURNAL] if "beancount" in wanted else []
    is_new = not folder.exists()
    try:
        return _export(where, folder, wanted, names)
    except BaseException:
        if is_new:
            with suppress(OSError):
                folder.rmdir()
        raise


def _export(where: str | Path, folder: Path, wanted: Sequence[str], names: Sequence[str]) -> dict[str, int]:
    with reading(where) as connection, ExitStack() as stack:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if there := [name for name in names if (folder / name).exists()]:
                raise Unwritable(f"{folder}: has {', '.join(there)} already")
            draft = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=".export-", dir=folder)))
            counts = _write(connection, draft, wanted)
            for name in names:
                (draft / name).replace(folder / name)
        except (OSError, pl.exceptions.PolarsError) as wrong:
            raise Unwritable(f"{folder}: cannot be written, nothing was left there ({wrong})") from wrong
    return {name: counts[name] for name in names}


def _write(connection: Connection, draft: Path, forms: Sequence[str]) -> dict[str, int]:
    counts: dict[str, int] = {}
    if {"csv", "parquet"} & set(forms):
        for name, table in TABLES.items():
            rows = _write_csv(draft / f"{name}.csv", table, connection)
            counts[f"{name}.csv"] = counts[f"{name}.parquet"] = rows
            if "parquet" in forms:
                _write_parquet(draft / f"{name}.csv", draft / f"{name}.parquet", table)
    if "beancount" in forms:
        counts[JOURNAL] = 0
        with (draft / JOURNAL).open("w", encoding="utf-8", newline="\n") as file:
            for is_entry, lines in journal_lines(connection):
                counts[JOURNAL] += is_entry
                file.write(lines)
    return counts


def _write_csv(path: Path, table: Table, connection: Connection) -> int:
    count = 0
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(table.columns)
        for row in table.rows(connection):
            writer.writerow([str(cell).lower() if isinstance(cell, bool) else cell for cell in row])
            count += 1
    return count


def _write_parquet(source: Path, path: Path, table: Table) -> None:
    # Decimals are read as text: a reader that guesses at numbers would pass through floats.
    as_read = {name: _TEXT if kind == _EXACT else kind for name, kind in table.columns.items()}
    frame = pl.scan_csv(source, schema=as_read, empty_string_is_null=False, glob=False)
    exact = [
        pl.when(pl.col(name) != "").then(pl.col(name)).cast(_EXACT).alias(name)
        for name, kind in table.columns.items()
        if kind == _EXACT
    ]
    frame.with_columns(exact).sink_parquet(path)


# ---- The tables ----


def _exact(units: int, scale: int) -> str:
    return f"{from_units(units, scale):f}"


def _events(connection: Connection) -> Iterator[Cells]:
    page = select(event).order_by(event.c.seq).execution_options(yield_per=CHUNK)
    for row in connection.execute(page):
        yield *row[:-1], row.hash.hex()


def _postings(connection: Connection) -> Iterator[Cells]:
    joined = posting.join(event, event.c.seq == posting.c.seq).join(asset, asset.c.asset == posting.c.asset)
    columns = (posting.c.seq, posting.c.leg, event.c.ts_ns, event.c.exchange, event.c.account_id, event.c.kind)
    page = select(*columns, posting.c.book, posting.c.asset, posting.c.amount, asset.c.scale).select_from(joined)
    ordered = page.order_by(posting.c.seq, posting.c.leg).execution_options(yield_per=CHUNK)
    for *cells, units, scale in connection.execute(ordered):
        yield *cells, units, _exact(units, scale)


def _balances(connection: Connection) -> Iterator[Cells]:
    joined = balance.join(asset, asset.c.asset == balance.c.asset)
    page = select(*balance.c, asset.c.scale).select_from(joined)
    for *cells, units, scale in connection.execute(page.order_by(*balance.primary_key.columns)):
        yield *cells, units, _exact(units, scale)


def _fills(connection: Connection) -> Iterator[Cells]:
    for account in accounts(connection):
        known = listings(connection, account)
        for one in executions(connection, account):
            fill = one.fill
            of_ours = (one.seq, one.ts_ns, account.exchange, account.account_id)
            names = (one.client_order_id, one.venue_trade_id)
            if fill is None:
                symbol = one.instrument.symbol if one.instrument else ""
                yield *of_ours, "busted", symbol, *names, "", "", None, None, None, None, "", None, False
                continue
            listing = known[fill.instrument]
            yield (
                *(*of_ours, "booked", fill.instrument.symbol, *names, fill.venue_order_id, fill.side.name),
                _exact(fill.qty_units, listing.qty_scale),
                _exact(fill.price_units, listing.price_scale),
                _exact(fill.cash_units, listing.cash_scale),
                _exact(fill.fee_units, listing.cash_scale),
                *(Liquidity(fill.liquidity).name, fill.ts_event_ns, fill.provisional),
            )


def _orders(connection: Connection) -> Iterator[Cells]:
    for account in accounts(connection):
        known = listings(connection, account)
        for row in orders(connection, account):
            order, request = row.order, row.order.request
            listing = known[request.instrument]
            yield (
                *(row.seq, row.ts_ns, account.exchange, account.account_id, request.instrument.symbol),
                *(order.client_order_id, order.venue_order_id, request.decision_id, request.parent),
                *(request.role.value, request.side.name, request.kind.value, order.status.value, row.is_open),
                _exact(order.terms.qty_units, listing.qty_scale),
                _exact(order.filled_units, listing.qty_scale),
                _exact(order.terms.limit_units, listing.price_scale) if order.terms.limit_units else None,
                order.evidence,
            )


TABLES = {
    "events": Table(
        {"seq": _WHOLE, "ts_ns": _WHOLE, **_ACCOUNT, "kind": _TEXT, "body": _TEXT, "hash": _TEXT},
        _events,
    ),
    "postings": Table(
        {"seq": _WHOLE, "leg": _WHOLE, "ts_ns": _WHOLE, **_ACCOUNT}
        | {"kind": _TEXT, "book": _TEXT, "asset": _TEXT, "units": _WHOLE, "amount": _EXACT},
        _postings,
    ),
    "fills": Table(
        {"seq": _WHOLE, "ts_ns": _WHOLE, **_ACCOUNT, "what": _TEXT, "symbol": _TEXT}
        | dict.fromkeys(("client_order_id", "venue_trade_id", "venue_order_id", "side"), _TEXT)
        | dict.fromkeys(("qty", "price", "cash", "fee"), _EXACT)
        | {"liquidity": _TEXT, "ts_event_ns": _WHOLE, "provisional": _FLAG},
        _fills,
    ),
    "orders": Table(
        {"seq": _WHOLE, "ts_ns": _WHOLE, **_ACCOUNT, "symbol": _TEXT}
        | dict.fromkeys(("client_order_id", "venue_order_id", "decision_id", "parent"), _TEXT)
        | {"role": _TEXT, "side": _TEXT, "type": _TEXT, "status": _TEXT, "open": _FLAG}
        | {"qty": _EXACT, "filled_qty": _EXACT, "limit_price": _EXACT, "evidence": _TEXT},
        _orders,
    ),
    "balances": Table({**_ACCOUNT, "book": _TEXT, "asset": _TEXT, "units": _WHOLE, "amount": _EXACT}, _balances),
}
"""Name -> what is in it."""
