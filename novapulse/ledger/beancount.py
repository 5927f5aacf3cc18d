"""A ledger in the syntax of beancount: what `bean-check` proves without knowing anything of us.

Invariants:
- one transaction for each record with postings, exact amounts, balanced in every commodity: the other side of a trade
  is an equity account of its own, so no price or cost stands in for a commodity;
- a day never goes back: a record that says so is dated with the day before it in the chain, its own time lies beside;
- what a venue showed is asserted at the day's end: its amount, and what was posted between it and then;
- names are made valid without two becoming one; what they stand for is written at their opening.
"""

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from sqlalchemy import Connection, select

from novapulse.core.amounts import from_units
from novapulse.core.bars import DAY_NS, format_ns
from novapulse.core.postings import Book
from novapulse.ledger.queries import CHUNK, scales
from novapulse.ledger.schema import balance, event, ledger, posting
from novapulse.ledger.walk import ASSERTED, VENUE_BOOKS, Account

_ROOTS = {
    Book.CASH: "Assets",
    Book.HOLD: "Assets",
    Book.INVENTORY: "Assets",
    Book.TRADING: "Equity",
    Book.FEES: "Expenses",
    Book.CAPITAL: "Equity",
    Book.INCOME: "Income",
    Book.SUSPENSE: "Equity",
    Book.DUST: "Equity",
}
_COMMODITY_MAX = 24


class Names:
    """Names that beancount takes, each for one thing only."""

    def __init__(self) -> None:
        self._given: dict[tuple[str, ...], str] = {}

    def component(self, scope: str, text: str) -> str:
        """Return a part of an account's name: it starts with a capital or a digit and has no signs but `-`."""
        plain = re.sub(r"[^A-Za-z0-9-]+", "-", text).strip("-") or "X"
        return self._unique(scope, text, plain[0].upper() + plain[1:], 255)

    def commodity(self, text: str) -> str:
        """Return a commodity: 2 to 24 capitals, digits and signs, a capital first, no sign last."""
        plain = re.sub(r"[^A-Z0-9'._-]+", "-", text.upper())
        plain = plain if plain[:1].isalpha() else f"X{plain}"
        plain = plain[:_COMMODITY_MAX].rstrip("'._-")
        return self._unique("commodity", text, plain if len(plain) > 1 else f"{plain}-X", _COMMODITY_MAX)

    def _unique(self, scope: str, text: str, wanted: str, length: int) -> str:
        key = (scope, text)
        if key not in self._given:
            taken = {name for (where, _), name in self._given.items() if where == scope}
            name, number = wanted, 2
            while name in taken:
                suffix = f"-{number}"
                name, number = wanted[: length - len(suffix)] + suffix, number + 1
            self._given[key] = name
        return self._given[key]


def journal_lines(connection: Connection) -> Iterator[tuple[bool, str]]:
    """Yield a journal piece by piece.

    Args:
        connection: From `queries.reading`.

    Yields:
        Whether the piece is a transaction or an assertion, and its lines.
    """
    writer = _Writer(connection)
    yield False, writer.head()
    yield from writer.entries()


class _Writer:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._scales = scales(connection)
        self._names = Names()
        self._day = 0
        self._asserted: dict[Account, dict[str, int]] = {}

    def head(self) -> str:
        """Options, commodities and accounts, opened on the first day."""
        first = self._connection.execute(select(event.c.ts_ns).order_by(event.c.seq).limit(1)).scalar()
        self._day = (first or 0) // DAY_NS
        opened = _date(self._day)
        name = self._connection.execute(select(ledger.c.ledger_id)).scalar()
        lines = [f'option "title" {_quoted(f"NovaPulse ledger {name}")}']
        for asset in sorted(self._scales):
            lines += ["", f"{opened} commodity {self._names.commodity(asset)}", f"  asset: {_quoted(asset)}"]
        seen: set[Account] = set()
        columns = (balance.c.exchange, balance.c.account_id, balance.c.book)
        for exchange, account_id, book in self._connection.execute(select(*columns).distinct().order_by(*columns)):
            account = (exchange, account_id)
            if account not in seen:
                seen.add(account)
                lines += ["", *_opening(opened, self._held(account), account)]
            lines += ["", *_opening(opened, self._account(account, Book(book)), account), f'  book: "{book}"']
        return "\n".join(lines) + "\n"

    def entries(self) -> Iterator[tuple[bool, str]]:
        """Transactions and assertions, in the order of the chain."""
        after = 0
        while True:
            page = select(event).where(event.c.seq > after).order_by(event.c.seq).limit(CHUNK)
            rows = self._connection.execute(page).all()
            if not rows:
                break
            legs: defaultdict[int, list[Any]] = defaultdict(list)
            within = posting.c.seq.between(rows[0].seq, rows[-1].seq)
            for leg in self._connection.execute(select(posting).where(within).order_by("seq", "leg")):
                legs[leg.seq].append(leg)
            for row in rows:
                day = row.ts_ns // DAY_NS
                if day > self._day:
                    yield from self._assertions()
                    self._day = day
                if row.kind == ASSERTED:
                    self._assert((row.exchange, row.account_id), _parsed(row.body).get("balances", {}))
                if row.seq in legs:
                    yield True, self._transaction(row, legs[row.seq])
            after = rows[-1].seq
        yield from self._assertions()

    def _transaction(self, row: Any, legs: Sequence[Any]) -> str:
        account = (row.exchange, row.account_id)
        body = _parsed(row.body)
        link = f" ^{name}" if re.fullmatch(r"[A-Za-z0-9_/.-]+", name := str(body.get("client_order_id", ""))) else ""
        lines = [
            "",
            f"{_date(self._day)} * {_quoted(row.kind)} {_quoted(_told(body))}{link}",
            f"  seq: {row.seq}",
            f'  time: "{format_ns(row.ts_ns)}"',
        ]
        for leg in legs:
            book = Book(leg.book)
            if book in VENUE_BOOKS:
                asserted = self._asserted.get(account, {})
                if leg.asset in asserted:
                    asserted[leg.asset] += leg.amount
            lines.append(f"  {self._account(account, book)}  {self._amount(leg.amount, leg.asset)}")
        return "\n".join(lines) + "\n"

    def _assert(self, account: Account, amounts: Mapping[str, int]) -> None:
        self._asserted[account] = {asset: units for asset, units in amounts.items() if asset in self._scales}

    def _assertions(self) -> Iterator[tuple[bool, str]]:
        # An assertion holds at the beginning of its date.
        for account, amounts in sorted(self._asserted.items()):
            for asset, units in sorted(amounts.items()):
                date = _date(self._day + 1)
                yield True, f"\n{date} balance {self._held(account)}  {self._amount(units, asset)}\n"
        self._asserted.clear()

    def _amount(self, units: int, asset: str) -> str:
        return f"{from_units(units, self._scales[asset]):f} {self._names.commodity(asset)}"

    def _held(self, account: Account) -> str:
        exchange = self._names.component("exchange", account[0])
        return f"Assets:{exchange}:{self._names.component(account[0], account[1])}"

    def _account(self, account: Account, book: Book) -> str:
        _, _, rest = self._held(account).partition(":")
        return f"{_ROOTS[book]}:{rest}:{book.value.capitalize()}"


def _opening(date: str, name: str, account: Account) -> list[str]:
    return [f"{date} open {name}", f"  exchange: {_quoted(account[0])}", f"  account-id: {_quoted(account[1])}"]


def _parsed(body: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(body)
    return content


def _told(body: Mapping[str, Any]) -> str:
    instrument = body.get("instrument")
    symbol = instrument[1] if isinstance(instrument, list) and len(instrument) > 1 else ""
    parts = (symbol, body.get("venue_trade_id", ""), body.get("flow_id", ""), body.get("status", ""))
    return " ".join(str(part) for part in parts if part)


def _quoted(text: str) -> str:
    plain = "".join(character if character.isprintable() else " " for character in text)
    return '"' + plain.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _date(day: int) -> str:
    return str(np.datetime64(day, "D"))
