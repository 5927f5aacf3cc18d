"""Exports hold what the ledger holds; the journal is read here by a parser that knows beancount's rules and not us."""

import csv
import datetime
import re
import sqlite3
from collections import defaultdict
from contextlib import closing
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from novapulse.core.instruments import AccountKey
from novapulse.core.messages import Commit, Record
from novapulse.core.ports import Unwritable
from novapulse.core.postings import Book, move
from novapulse.ledger import queries
from novapulse.ledger.beancount import Names
from novapulse.ledger.export import FORMS, TABLES, export
from novapulse.ledger.journal import Ledger
from novapulse.ledger.opening import SchemaError
from tests.ledger.written import ACCOUNTS, DAY_NS, LEASE_NS, SCALES, START_NS, Life, write_life

ACCOUNT = re.compile(r"(Assets|Equity|Expenses|Income|Liabilities)(:[A-Z0-9][A-Za-z0-9-]*)+")
COMMODITY = re.compile(r"[A-Z][A-Z0-9'._-]{0,22}[A-Z0-9]")
LEG = re.compile(r"  (\S+)  (-?\d+(?:\.\d+)?) (\S+)")


@dataclass
class Journal:
    """A parsed journal: the rules of beancount's reference, as far as an export needs them."""

    opened: dict[str, datetime.date] = field(default_factory=dict)
    meta: dict[str, dict[str, str]] = field(default_factory=dict)
    commodities: dict[str, str] = field(default_factory=dict)
    transactions: list[tuple[datetime.date, dict[str, str], list[tuple[str, Decimal, str]]]] = field(
        default_factory=list
    )
    asserted: list[tuple[datetime.date, str, Decimal, str]] = field(default_factory=list)

    @classmethod
    def parsed(cls, text: str) -> "Journal":
        journal, last, where = cls(), "", ""
        for line in text.splitlines():
            if match := LEG.fullmatch(line):
                journal.transactions[-1][2].append((match[1], Decimal(match[2]), match[3]))
            elif line.startswith("  "):
                key, _, value = line.strip().partition(": ")
                assert re.fullmatch(r"[a-z][a-zA-Z0-9_-]+", key), line
                target = journal.transactions[-1][1] if last == "*" else journal.meta[where]
                target[key] = value.strip('"')
            elif line.startswith("option "):
                assert re.fullmatch(r'option "title" "(?:[^"\\]|\\.)*"', line), line
            elif line:
                date, last, where = (line.split(maxsplit=2)[part] for part in range(3))
                day = datetime.date.fromisoformat(date)
                journal._directive(day, last, where.strip(), line)
        return journal

    def _directive(self, day: datetime.date, what: str, where: str, line: str) -> None:
        if what == "open":
            assert where not in self.opened, f"{where} is opened twice"
            assert ACCOUNT.fullmatch(where), where
            self.opened[where], self.meta[where] = day, {}
        elif what == "commodity":
            assert COMMODITY.fullmatch(where), where
            self.meta[where] = {}
            self.commodities[where] = ""
        elif what == "*":
            assert re.fullmatch(r'\S+ \* "[^"]*" "(?:[^"\\]|\\.)*"( \^[A-Za-z0-9_/.-]+)?', line), line
            self.transactions.append((day, {}, []))
        elif what == "balance":
            name, amount, commodity = where.split()
            self.asserted.append((day, name, Decimal(amount), commodity))
        else:
            raise AssertionError(f"no directive: {line}")

    def check(self) -> dict[tuple[str, str], Decimal]:
        """Check all that `bean-check` would, and return the final balances of accounts without their children."""
        sums: defaultdict[tuple[str, str], Decimal] = defaultdict(Decimal)
        waiting = sorted(self.asserted)
        for day, meta, legs in sorted(self.transactions, key=lambda one: one[0]):
            while waiting and waiting[0][0] <= day:
                self._assert(sums, *waiting.pop(0))
            left: defaultdict[str, Decimal] = defaultdict(Decimal)
            assert legs, f"transaction {meta['seq']} has no legs"
            for name, amount, commodity in legs:
                assert self.opened[name] <= day, f"{name} is used before it is opened"
                assert commodity in self.commodities, commodity
                sums[name, commodity] += amount
                left[commodity] += amount
            assert not any(left.values()), f"transaction {meta['seq']} does not balance: {dict(left)}"
        for one in waiting:
            self._assert(sums, *one)
        return sums

    def _assert(
        self, sums: dict[tuple[str, str], Decimal], day: datetime.date, name: str, amount: Decimal, commodity: str
    ) -> None:
        assert name in self.opened
        held = sum(
            (
                units
                for (where, what), units in sums.items()
                if what == commodity and f"{where}:".startswith(f"{name}:")
            ),
            Decimal(0),
        )
        assert held == amount, f"{day} balance {name}: {amount} {commodity} asserted, {held} there"


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, dict[AccountKey, Life], dict[str, int]]:
    folder = tmp_path_factory.mktemp("export")
    path = folder / "ledger.db"
    lives = write_life(path, seed=6, rounds=40)
    return path, folder / "out", lives, export(path, folder / "out")


Exported = tuple[Path, Path, dict[AccountKey, Life], dict[str, int]]


def test_every_transaction_of_the_journal_balances_and_every_assertion_holds(exported: Exported) -> None:
    path, out, _, counts = exported
    journal = Journal.parsed((out / "journal.beancount").read_text())
    journal.check()
    with closing(sqlite3.connect(path)) as connection:
        moved = [row[0] for row in connection.execute("SELECT DISTINCT seq FROM posting ORDER BY seq")]
        asserted = connection.execute("SELECT count(*) FROM event WHERE kind = 'balance_asserted'").fetchone()[0]
    assert [int(meta["seq"]) for _, meta, _ in journal.transactions] == moved
    assert journal.asserted
    assert asserted
    assert counts["journal.beancount"] == len(journal.transactions) + len(journal.asserted)


def test_the_balances_of_the_journal_are_the_ledgers(exported: Exported) -> None:
    path, out, _, _ = exported
    journal = Journal.parsed((out / "journal.beancount").read_text())
    found = {
        (
            *(journal.meta[name][key] for key in ("exchange", "account-id", "book")),
            journal.meta[commodity]["asset"],
        ): sum
        for (name, commodity), sum in journal.check().items()
        if sum
    }
    with queries.reading(path) as connection:
        wanted = {
            (account.exchange, account.account_id, one.book.value, one.asset): one.amount
            for account in ACCOUNTS
            for one in queries.balances(connection, account)
        }
    assert found == wanted


def test_the_parser_refuses_what_bean_check_would(exported: Exported) -> None:
    text = (exported[1] / "journal.beancount").read_text()
    number = re.search(r"Cash  (-?\d+)\.", text)
    assert number is not None
    at = number.start(1)
    digit = "1" if text[at + 1] != "1" else "2"
    with pytest.raises(AssertionError, match="does not balance"):
        Journal.parsed(text[: at + 1] + digit + text[at + 2 :]).check()
    wrong = re.sub(r"( balance \S+  )(-?\d)", r"\g<1>9\2", text, count=1)
    with pytest.raises(AssertionError, match="asserted"):
        Journal.parsed(wrong).check()


@pytest.mark.parametrize("name", TABLES)
def test_csv_and_parquet_hold_the_same_rows(exported: Exported, name: str) -> None:
    _, out, _, counts = exported
    with (out / f"{name}.csv").open(newline="") as file:
        header, *rows = list(csv.reader(file))
    frame = pl.read_parquet(out / f"{name}.parquet")
    assert header == frame.columns == list(TABLES[name].columns)
    assert frame.dtypes == list(TABLES[name].columns.values())
    assert len(rows) == frame.height == counts[f"{name}.csv"] == counts[f"{name}.parquet"] > 0
    for row, cells in zip(rows, frame.iter_rows(), strict=True):
        for text, cell in zip(row, cells, strict=True):
            if isinstance(cell, Decimal):
                assert Decimal(text) == cell
            elif isinstance(cell, bool):
                assert text == str(cell).lower()
            else:
                assert text == ("" if cell is None else str(cell))


def test_exported_rows_are_those_of_the_ledger(exported: Exported) -> None:
    path, out, lives, counts = exported
    with closing(sqlite3.connect(path)) as connection:
        events = connection.execute("SELECT seq, body, lower(hex(hash)) FROM event ORDER BY seq").fetchall()
        legs = connection.execute("SELECT seq, leg, asset, amount FROM posting ORDER BY seq, leg").fetchall()
    assert pl.read_parquet(out / "events.parquet").select("seq", "body", "hash").rows() == events
    postings = pl.read_parquet(out / "postings.parquet")
    assert postings.select("seq", "leg", "asset", "units").rows() == legs
    assert [Decimal(units).scaleb(-SCALES[asset]) for _, _, asset, units in legs] == postings["amount"].to_list()
    fills = pl.read_parquet(out / "fills.parquet").filter(pl.col("what") == "booked")
    assert fills.height == sum(len(life.fills) for life in lives.values())
    with queries.reading(path) as connection:
        moved = {
            (one.seq, abs(one.base_units), abs(one.cash_units), one.fee_units)
            for account in ACCOUNTS
            for one in queries.executions(connection, account)
            if one.fill is not None
        }
    told = set()
    for seq, symbol, qty, cash, fee in fills.select("seq", "symbol", "qty", "cash", "fee").rows():
        base, quote = symbol.split("/")
        told.add(
            (seq, *(int(amount.scaleb(SCALES[asset])) for amount, asset in ((qty, base), (cash, quote), (fee, quote))))
        )
    assert told == moved
    still_open = pl.read_parquet(out / "orders.parquet").filter("open")
    assert set(still_open["client_order_id"]) == {name for life in lives.values() for name in life.open_orders}
    assert set(still_open["status"]) == {"UNKNOWN"}
    assert set(counts) == {f"{name}.{form}" for name in TABLES for form in ("csv", "parquet")} | {"journal.beancount"}


@pytest.mark.parametrize("form", FORMS)
def test_only_what_was_asked_for_is_written_and_nothing_is_replaced(
    exported: Exported, tmp_path: Path, form: str
) -> None:
    counts = export(exported[0], tmp_path / "out", forms=[form])
    assert sorted(counts) == sorted(file.name for file in (tmp_path / "out").iterdir())
    assert all(name.endswith(f".{form}") for name in counts)
    before = {file: file.stat().st_mtime_ns for file in (tmp_path / "out").iterdir()}
    with pytest.raises(Unwritable, match="already"):
        export(exported[0], tmp_path / "out", forms=[form])
    assert before == {file: file.stat().st_mtime_ns for file in (tmp_path / "out").iterdir()}


def test_a_clock_that_steps_back_a_day_breaks_no_assertion_of_the_journal(tmp_path: Path) -> None:
    path, key = tmp_path / "steps.db", AccountKey("kraken", "main")
    with Ledger.open(path, durable=False, now_ns=START_NS) as journal:
        journal.register_assets(SCALES)
        journal.take_lease(key, "test", START_NS, LEASE_NS)
        brought = 0
        for number, days in enumerate((5, 6, 4, 6, 3, 9, 9, 8)):
            brought += number + 1
            records = (
                Record("flow_booked", START_NS + days * DAY_NS, {}, move("USD", number + 1, Book.CAPITAL, Book.CASH)),
                Record("balance_asserted", START_NS + days * DAY_NS, {"balances": {"USD": brought}}),
                Record("flow_booked", START_NS + days * DAY_NS, {}, move("USD", 100, Book.CASH, Book.HOLD)),
            )
            journal.commit([(key, Commit(records))])
    export(path, tmp_path / "out", forms=["beancount"])
    parsed = Journal.parsed((tmp_path / "out" / "journal.beancount").read_text())
    parsed.check()
    assert len(parsed.asserted) == 3
    assert [day for day, *_ in parsed.transactions] == sorted(day for day, *_ in parsed.transactions)


@given(st.lists(st.text(max_size=40), unique=True, max_size=12))
def test_any_asset_becomes_a_valid_commodity_and_no_two_become_one(assets: list[str]) -> None:
    names = Names()
    made = [names.commodity(asset) for asset in assets]
    assert all(COMMODITY.fullmatch(name) for name in made)
    assert len(set(made)) == len(made)
    assert made == [names.commodity(asset) for asset in assets], "a name changed"


@given(st.lists(st.text(max_size=40), unique=True, max_size=12))
def test_any_account_id_becomes_a_valid_name_and_no_two_become_one(ids: list[str]) -> None:
    names = Names()
    made = [names.component("kraken", one) for one in ids]
    assert all(ACCOUNT.fullmatch(f"Assets:{name}") for name in made)
    assert len(set(made)) == len(made)


def test_usual_names_stay_readable() -> None:
    names = Names()
    assert [names.commodity(one) for one in ("BTC", "USD", "1INCH", "F", "brk.b")] == [
        "BTC",
        "USD",
        "X1INCH",
        "F-X",
        "BRK.B",
    ]
    assert [names.component("e", one) for one in ("main", "Main", "a_b", "a-b")] == ["Main", "Main-2", "A-b", "A-b-2"]


def test_an_empty_ledger_is_exported_too(tmp_path: Path) -> None:
    Ledger.open(tmp_path / "new.db", durable=False, now_ns=START_NS).close()
    counts = export(tmp_path / "new.db", tmp_path / "out")
    assert set(counts.values()) == {0}
    assert pl.read_parquet(tmp_path / "out" / "fills.parquet").is_empty()


@pytest.mark.parametrize("is_there", [False, True])
def test_an_export_that_finds_no_room_leaves_nothing(
    is_there: bool, exported: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    folder = tmp_path / "books"
    if is_there:
        folder.mkdir()
    monkeypatch.setattr("novapulse.ledger.export._write_parquet", full)
    with pytest.raises(Unwritable, match=r"books: cannot be written, nothing was left there .*No space left"):
        export(exported[0], folder)
    assert folder.exists() == is_there
    assert not list(tmp_path.rglob("*.csv"))


def test_what_cannot_be_exported_is_said(exported: Exported, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="form xml: expected some of csv, parquet, beancount"):
        export(exported[0], tmp_path / "out", forms=["xml", "csv"])
    with pytest.raises(Unwritable, match="no such ledger"):
        export(tmp_path / "none.db", tmp_path / "out")
    with closing(sqlite3.connect(tmp_path / "other.db")) as connection:
        connection.execute("CREATE TABLE bars (a)")
    with pytest.raises(SchemaError, match="is not a ledger"):
        export(tmp_path / "other.db", tmp_path / "out")
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(Unwritable, match="cannot be written"):
        export(exported[0], tmp_path / "file" / "out")


def test_a_server_is_exported_as_a_file_is(postgresql: str, exported: Exported, tmp_path: Path) -> None:
    write_life(postgresql, seed=6, rounds=40)
    assert export(postgresql, tmp_path / "out") == exported[3]
    for name in exported[3]:
        if not name.endswith(".parquet"):
            assert (tmp_path / "out" / name).read_bytes() == (exported[1] / name).read_bytes(), name
