"""The simulated venue's state in a SQLite file of its own, so that it outlives the trader.

Invariants:
- one process at a time: the file is locked as long as it is open, and the lock ends with the process;
- one ledger for ever: the first that opens the account has it, and another, which does not know what was traded, is
  refused;
- a save is one transaction: after a crash at any instant the file holds the state after some save, whole;
- only rows that changed are written; what the stream has not said yet is not kept, as no venue keeps it.
"""

import hashlib
import json
import sqlite3
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from novapulse.core.instruments import InstrumentKey
from novapulse.core.orders import Filled
from novapulse.venues.simulated.book import Order, Slot, VenueMode
from novapulse.venues.simulated.codec import flow_of, flow_text, order_of, order_text, trade_of, trade_text
from novapulse.venues.simulated.exchange import SimulatedExchange

Synchronous = Literal["FULL", "NORMAL", "OFF"]

_VERSION = 2
_LOCK_WAIT_S = 2.0

_SCHEMA = """
CREATE TABLE account (
    id INTEGER PRIMARY KEY CHECK (id = 1), exchange TEXT NOT NULL, account_id TEXT NOT NULL,
    cash_units INTEGER NOT NULL, frozen_units INTEGER NOT NULL, others TEXT NOT NULL,
    orders INTEGER NOT NULL, trades INTEGER NOT NULL, mode TEXT NOT NULL, cancel_delay_ns INTEGER NOT NULL
) STRICT;
CREATE TABLE instrument (
    exchange TEXT NOT NULL, symbol TEXT NOT NULL, scales TEXT NOT NULL,
    last_close_ns INTEGER NOT NULL, last_price REAL NOT NULL, stray_units INTEGER NOT NULL, qty_units INTEGER NOT NULL,
    direction INTEGER NOT NULL, entry_price REAL NOT NULL, entered_units INTEGER NOT NULL, entry_units INTEGER NOT NULL,
    PRIMARY KEY (exchange, symbol)
) STRICT, WITHOUT ROWID;
CREATE TABLE venue_order (
    number INTEGER PRIMARY KEY, client_order_id TEXT NOT NULL, is_live INTEGER NOT NULL, body TEXT NOT NULL
) STRICT;
CREATE INDEX venue_order_by_client ON venue_order (client_order_id);
CREATE INDEX venue_order_live ON venue_order (number) WHERE is_live;
CREATE TABLE trade (
    number INTEGER PRIMARY KEY, order_number INTEGER NOT NULL, is_busted INTEGER NOT NULL, body TEXT NOT NULL
) STRICT;
CREATE INDEX trade_by_order ON trade (order_number);
CREATE TABLE flow (number INTEGER PRIMARY KEY, body TEXT NOT NULL) STRICT;
"""

_OWNER = "CREATE TABLE owner (id INTEGER PRIMARY KEY CHECK (id = 1), ledger_id TEXT NOT NULL) STRICT"

_POSITION_FIELDS = ("qty_units", "direction", "entry_price", "entered_units", "entry_units")


class PaperFileError(Exception):
    """The file of a paper account cannot be used: the message says which file and why."""


class PaperFile:
    """The file of one account."""

    def __init__(self, path: Path, *, synchronous: Synchronous = "FULL", ledger_id: str = "") -> None:
        """Open the file, or make it.

        Args:
            path: Where; its folder is made if need be.
            ledger_id: The ledger that keeps the account's books, which alone may open the file; empty for none.
            synchronous: `FULL` survives a power cut, `NORMAL` may lose the last saves to one, `OFF` is for tests.

        Raises:
            PaperFileError: It is in use, not a paper file, damaged, of another version, or another ledger's.
        """
        self.path = path
        self._saved_trades = 0
        self._saved_flows = 0
        self._saved_busted: set[str] = set()
        self._saved_account: tuple[object, ...] = ()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, timeout=_LOCK_WAIT_S, isolation_level=None)
        except (OSError, sqlite3.Error) as error:
            raise PaperFileError(f"{path}: {error}") from error
        try:
            self._set_up(synchronous, ledger_id)
        except (sqlite3.Error, PaperFileError) as error:
            self._db.close()
            raise PaperFileError(f"{path}: {error}") from error

    def _set_up(self, synchronous: Synchronous, ledger_id: str) -> None:
        db = self._db
        db.execute("PRAGMA locking_mode=EXCLUSIVE")
        db.execute("PRAGMA journal_mode=WAL")
        db.execute(f"PRAGMA synchronous={synchronous}")
        db.execute("BEGIN EXCLUSIVE")
        (version,) = db.execute("PRAGMA user_version").fetchone()
        if not 0 <= version <= _VERSION:
            raise PaperFileError(f"is of version {version}, this program reads {_VERSION}")
        if version == 0:
            for statement in _SCHEMA.split(";"):
                db.execute(statement)
        if version < _VERSION:
            db.execute(_OWNER)
            db.execute(f"PRAGMA user_version={_VERSION}")
        if ledger_id:
            self._claim(ledger_id)
        db.execute("COMMIT")

    def _claim(self, ledger_id: str) -> None:
        self._db.execute("INSERT OR IGNORE INTO owner VALUES (1, ?)", (ledger_id,))
        (owner,) = self._db.execute("SELECT ledger_id FROM owner").fetchone()
        if owner != ledger_id:
            raise PaperFileError(
                f"the books of this account are in ledger {owner}, not in {ledger_id}: bring that ledger back, or move "
                "the file away to open the account anew"
            )

    def load(self, exchange: SimulatedExchange) -> None:
        """Bring an exchange as it was opened to the state that was saved last; write it down if there was none.

        Raises:
            PaperFileError: The file is of another account, of an instrument counted in other units, or damaged.
        """
        exchange.is_recorded = True
        try:
            row = self._db.execute("SELECT * FROM account").fetchone()
            if row is None:
                self.save(exchange)
                return
            self._load_account(exchange, row)
            self._load_slots(exchange)
            self._load_orders(exchange)
        except (sqlite3.Error, ValueError, KeyError, TypeError) as error:
            raise PaperFileError(f"{self.path}: {error}") from error
        self._note_saved(exchange)

    def _load_account(self, exchange: SimulatedExchange, row: tuple[Any, ...]) -> None:
        _, name, account_id, cash, frozen, others, orders, trades, mode, delay = row
        key = exchange.account
        if (name, account_id) != (key.exchange, key.account_id):
            raise PaperFileError(
                f"{self.path}: is of account {account_id} on {name}, not {key.account_id} on {key.exchange}"
            )
        holdings = exchange.holdings
        holdings.move_cash(cash - holdings.cash_units)
        holdings.frozen_units = frozen
        holdings.others = json.loads(others)
        holdings.trades_made = trades
        exchange.book.made = orders
        exchange.mode = VenueMode(mode)
        exchange.cancel_delay_ns = delay

    def _load_slots(self, exchange: SimulatedExchange) -> None:
        rows = self._db.execute("SELECT * FROM instrument").fetchall()
        for name, symbol, scales, close_ns, price, stray, *position in rows:
            slot = exchange.slots.get(InstrumentKey(name, symbol))
            if slot is None:
                if stray or position[0]:
                    raise PaperFileError(f"{self.path}: holds {symbol} on {name}, which is not among the instruments")
                continue
            if scales != _scales_text(slot):
                raise PaperFileError(
                    f"{self.path}: counts {symbol} on {name} in digits {scales}, the instrument in {_scales_text(slot)}"
                )
            slot.last_close_ns, slot.last_price, slot.stray_units = close_ns, price, stray
            for field, value in zip(_POSITION_FIELDS, position, strict=True):
                slot.position[field] = value
            slot.position.qty = slot.position.qty_units / slot.record.qty_factor

    def _load_orders(self, exchange: SimulatedExchange) -> None:
        most = exchange.history_max
        rows = self._db.execute(
            "SELECT body FROM venue_order WHERE is_live UNION ALL "
            "SELECT body FROM (SELECT body FROM venue_order WHERE NOT is_live ORDER BY number DESC LIMIT ?)",
            (most,),
        )
        for order in sorted((order_of(body) for (body,) in rows), key=lambda order: order.number):
            exchange.index(order)
        holdings = exchange.holdings
        first = max(holdings.trades_made - most, 0)
        for number, owner, busted, body in self._db.execute(
            "SELECT * FROM trade WHERE number >= ? ORDER BY 1", (first,)
        ):
            holdings.trades[number] = trade_of(body)
            if busted:
                holdings.busted.add(holdings.trades[number].venue_trade_id)
            if owner in exchange.book.by_number:
                exchange.book.by_number[owner].executions.append(number)
        holdings.flows = [flow_of(body) for (body,) in self._db.execute("SELECT body FROM flow ORDER BY number")]

    def save(self, exchange: SimulatedExchange) -> None:
        """Write what changed since the last save, in one transaction; nothing when nothing did.

        Raises:
            PaperFileError: The storage did not take it: the file holds what it held before.
        """
        account = _account_row(exchange)
        slots = [slot for slot in exchange.slots.values() if slot.is_changed]
        if not (slots or exchange.changed or account != self._saved_account or self._has_news(exchange)):
            return
        try:
            self._db.execute("BEGIN IMMEDIATE")
            self._write(exchange, account, slots)
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            with suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")
            raise PaperFileError(f"{self.path}: {error}") from error
        self._note_saved(exchange)

    def _has_news(self, exchange: SimulatedExchange) -> bool:
        holdings = exchange.holdings
        return len(holdings.flows) != self._saved_flows or not holdings.busted <= self._saved_busted

    def _write(self, exchange: SimulatedExchange, account: tuple[object, ...], slots: list[Slot]) -> None:
        db, holdings = self._db, exchange.holdings
        db.execute("INSERT OR REPLACE INTO account VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?, ?)", account)
        db.executemany(
            "INSERT OR REPLACE INTO instrument VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", map(_slot_row, slots)
        )
        db.executemany(
            "INSERT OR REPLACE INTO venue_order VALUES (?, ?, ?, ?)", map(_order_row, exchange.changed.values())
        )
        owners = {number: order.number for order in exchange.changed.values() for number in order.executions}
        new = range(self._saved_trades, holdings.trades_made)
        trades = [(number, owners[number], 0, trade_text(holdings.trades[number])) for number in new]
        db.executemany("INSERT INTO trade VALUES (?, ?, ?, ?)", trades)
        taken_back = holdings.busted - self._saved_busted
        numbers = [
            (number,) for number, fill in holdings.trades.items() if taken_back and fill.venue_trade_id in taken_back
        ]
        db.executemany("UPDATE trade SET is_busted = 1 WHERE number = ?", numbers)
        flows = list(enumerate(holdings.flows))[self._saved_flows :]
        db.executemany("INSERT INTO flow VALUES (?, ?)", [(number, flow_text(flow)) for number, flow in flows])

    def _note_saved(self, exchange: SimulatedExchange) -> None:
        holdings = exchange.holdings
        self._saved_trades = holdings.trades_made
        self._saved_flows = len(holdings.flows)
        self._saved_busted = set(holdings.busted)
        self._saved_account = _account_row(exchange)
        exchange.changed.clear()
        for slot in exchange.slots.values():
            slot.is_changed = False

    def trades_from(self, first: int, before: int) -> list[Filled]:
        """Return the trades that stand, of numbers `first <= number < before`: those that memory has let go.

        Raises:
            PaperFileError: The file could not be read.
        """
        asked = "SELECT body FROM trade WHERE number >= ? AND number < ? AND NOT is_busted ORDER BY number"
        try:
            return [trade_of(body) for (body,) in self._db.execute(asked, (first, before))]
        except sqlite3.Error as error:
            raise PaperFileError(f"{self.path}: {error}") from error

    def find(self, client_order_id: str) -> tuple[Order, list[Filled]] | None:
        """Return the last order of a client order id, and its trades that stand; None where there is none.

        Raises:
            PaperFileError: The file could not be read.
        """
        try:
            asked = "SELECT body FROM venue_order WHERE client_order_id = ? ORDER BY is_live DESC, number DESC LIMIT 1"
            row = self._db.execute(asked, (client_order_id,)).fetchone()
            if row is None:
                return None
            order = order_of(row[0])
            trades = "SELECT body FROM trade WHERE order_number = ? AND NOT is_busted ORDER BY number"
            return order, [trade_of(body) for (body,) in self._db.execute(trades, (order.number,))]
        except sqlite3.Error as error:
            raise PaperFileError(f"{self.path}: {error}") from error

    def close(self) -> None:
        """Close the file and let go of its lock."""
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _account_row(exchange: SimulatedExchange) -> tuple[object, ...]:
    key, holdings = exchange.account, exchange.holdings
    return (
        key.exchange,
        key.account_id,
        holdings.cash_units,
        holdings.frozen_units,
        json.dumps(holdings.others, sort_keys=True),
        exchange.book.made,
        holdings.trades_made,
        str(exchange.mode),
        exchange.cancel_delay_ns,
    )


def _slot_row(slot: Slot) -> tuple[object, ...]:
    key, position = slot.instrument.key, slot.position
    fields = [position[name].item() for name in _POSITION_FIELDS]
    return key.exchange, key.symbol, _scales_text(slot), slot.last_close_ns, slot.last_price, slot.stray_units, *fields


def print_of(exchange: SimulatedExchange) -> str:
    """Return a fingerprint of all that the file keeps of an exchange and that can still have effect."""
    slots = [_slot_row(slot) for _, slot in sorted(exchange.slots.items())]
    live = [order_text(order) for _, slot in sorted(exchange.slots.items()) for order in slot.live]
    return hashlib.sha256(repr((_account_row(exchange), slots, sorted(live))).encode()).hexdigest()[:16]


def _order_row(order: Order) -> tuple[object, ...]:
    return order.number, order.client_order_id, int(order.is_live), order_text(order)


def _scales_text(slot: Slot) -> str:
    instrument = slot.instrument
    return f"{instrument.price_scale} {instrument.qty_scale} {instrument.cash_scale}"
