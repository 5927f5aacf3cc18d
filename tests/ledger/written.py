"""A ledger with a life of its own: accounts that open, hold, fill partly, are stopped out, paid and corrected.

Everything is drawn from a seed and counted here a second time, in plain integers, so that queries have an oracle.
"""

import json
import random
import struct
import zlib
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from novapulse.core import kept_state
from novapulse.core.facts import kind_of, to_body
from novapulse.core.instruments import AccountKey, InstrumentKey
from novapulse.core.messages import Commit, Record, client_order_id, decision_id
from novapulse.core.orders import (
    Acked,
    Attempted,
    Busted,
    Fact,
    Filled,
    Intended,
    OrderRequest,
    OrderType,
    Refused,
    Role,
    Seen,
    Side,
    Terms,
    Unclear,
    VenueState,
)
from novapulse.core.postings import Book, Posting, move, trade
from novapulse.core.records import ACCOUNT, BAR, ORDER, POSITION
from novapulse.ledger.journal import Ledger

DAY_NS = 86_400_000_000_000
START_NS = 1_788_000_000_000_000_000
LEASE_NS = 60_000_000_000

MAIN, SECOND, OTHER = AccountKey("kraken", "main"), AccountKey("kraken", "second"), AccountKey("coinbase", "main")
ACCOUNTS = (MAIN, SECOND, OTHER)
SCALES = {"BTC": 8, "ETH": 6, "EUR": 4, "1INCH": 3, "USD": 6}
QUOTES = {MAIN: "USD", SECOND: "USD", OTHER: "EUR"}
QTY_SCALES = {"BTC": 6, "ETH": 4, "1INCH": 3}
CASH_SCALES = {"USD": 4, "EUR": 2}
STRATEGIES = ("trend", "breakout", "reversal")


@dataclass
class Life:
    """One account as it goes on, and what it must come to."""

    account: AccountKey
    rng: random.Random
    ts_ns: int = START_NS
    number: int = 0
    trades: int = 0
    round_trips: list[tuple[str, int, int]] = field(default_factory=list)  # symbol, lead, pnl in ledger units
    held: dict[str, int] = field(default_factory=lambda: defaultdict(int))  # asset -> ledger units
    reserved: int = 0  # of the quote asset, ledger units
    open_orders: dict[str, str] = field(default_factory=dict)  # client order id -> status
    fills: list[tuple[str, int, int]] = field(default_factory=list)  # trade id, signed base, cash: ledger units

    @property
    def quote(self) -> str:
        return QUOTES[self.account]

    def record(self, kind: str, body: dict[str, object], postings: tuple[Posting, ...] = ()) -> Record:
        self.ts_ns += self.rng.choice((0, 1, 60_000_000_000, 60_000_000_000, -5_000_000_000))
        for posting in postings:
            if posting.book in (Book.CASH, Book.HOLD, Book.INVENTORY):
                self.held[posting.asset] += posting.amount
            if posting.book is Book.HOLD:
                self.reserved += posting.amount
        return Record(kind, self.ts_ns, body, postings)

    @property
    def finer(self) -> int:
        """Ledger units of a cash unit."""
        return 10 ** (SCALES[self.quote] - CASH_SCALES[self.quote])

    @property
    def bases(self) -> list[str]:
        return [base for base in QTY_SCALES if self.account != OTHER or base != "1INCH"]

    def state(self) -> bytes:
        """What a trader of this account would keep, as far as an audit looks at it."""
        count, reserved = len(self.bases), self.reserved // self.finer
        told = {
            "version": kept_state.VERSION,
            "account": [self.account.exchange, self.account.account_id],
            "instruments": [[self.account.exchange, f"{base}/{self.quote}"] for base in self.bases],
            "holds": {"an order": [reserved, reserved]} if reserved else {},
        }
        account, positions, orders = np.zeros(1, ACCOUNT), np.zeros(count, POSITION), np.zeros(count, ORDER)
        account["cash_units"] = self.held[self.quote] // self.finer
        positions["qty_units"] = [self.held[base] // 10 ** (SCALES[base] - QTY_SCALES[base]) for base in self.bases]
        rest = np.zeros(2 * count, np.int64), np.zeros(count, BAR), np.zeros(5)
        books = b"".join(part.tobytes() for part in (account, positions, orders, *rest))
        runs = struct.pack(f">{4 * count}q", *[-1, 0, 0, 0] * count)
        spelled = kept_state.UNSEALED + json.dumps(told, separators=(",", ":")).encode()[1:]
        head = kept_state.HEAD.pack(kept_state.MAGIC, len(spelled), len(runs), len(books) + 4)
        return head + spelled + runs + zlib.crc32(books).to_bytes(4) + books

    def fact(self, fact: Fact, postings: tuple[Posting, ...] = ()) -> Record:
        return self.record(kind_of(fact), to_body(fact), postings)

    def opened(self, capital: int) -> Record:
        body: dict[str, object] = {
            "quote": self.quote,
            "settings": "0" * 16,
            "scales": SCALES,
            "instruments": [
                {
                    "symbol": f"{base}/{self.quote}",
                    "base": base,
                    "quote": self.quote,
                    "tick": "0.01",
                    "lot": str(10 ** -QTY_SCALES[base]) if QTY_SCALES[base] == 0 else f"1e-{QTY_SCALES[base]}",
                    "cash_scale": CASH_SCALES[self.quote],
                }
                for base in self.bases
            ],
        }
        return self.record("account_opened", body, move(self.quote, capital, Book.CAPITAL, Book.CASH))

    def round_trip(self) -> list[Record]:
        """Decide, hold, enter in parts, sometimes lose an execution again, leave at a stop, release."""
        rng, records = self.rng, list[Record]()
        base = rng.choice(self.bases)
        key = InstrumentKey(self.account.exchange, f"{base}/{self.quote}")
        lead, side = rng.randrange(3), rng.choice((1, 1, -1))
        self.number += 1
        decision = decision_id(self.account, key, self.ts_ns, str(self.number))
        body: dict[str, object] = {
            "decision_id": decision,
            "instrument": [key.exchange, key.symbol],
            "ts_close_ns": self.ts_ns,
            "verb": "ENTER",
            "reason": "ENTER_CONSENSUS",
            "side": side,
            "inputs": None,
        }
        records.append(self.record("decision_taken", body))
        units = rng.randint(2, 5000)
        entry = self._request(key, decision, "entry", Role.ENTRY, side, OrderType.LIMIT, units)
        hold = rng.randint(1, 10**4) * self.finer
        records.append(self.fact(Intended(entry.client_order_id, entry), move(self.quote, hold, Book.CASH, Book.HOLD)))
        records.append(self.fact(Attempted(entry.client_order_id, 1, self.ts_ns)))
        if rng.random() < 0.15:
            records.append(self.fact(Refused(entry.client_order_id, 1, "funds")))
            records.append(self._closed(entry, "REJECTED", hold))
            return records
        records.append(self.fact(Acked(entry.client_order_id, f"V{self.number}")))
        records.append(self._seen(entry, VenueState.LIVE, 0))
        pnl = 0
        left, parts = units, []
        while left:
            part = left if rng.random() < 0.5 else rng.randint(1, left)
            parts.append(part)
            left -= part
        for number, part in enumerate(parts):
            release = hold if number == len(parts) - 1 else hold * part // units // self.finer * self.finer
            hold -= release
            made, cash = self._filled(entry, part, move(self.quote, release, Book.HOLD, Book.CASH))
            records.append(made)
            pnl += cash
        if rng.random() < 0.2:
            lost, cash = self._filled(entry, 1, ())
            fill_body = dict(lost.body)
            records.append(lost)
            busted = Busted(entry.client_order_id, str(fill_body["venue_trade_id"]))
            back = tuple(Posting(leg.book, leg.asset, -leg.amount) for leg in lost.postings)
            records.append(self.fact(busted, back))
        records.append(self._seen(entry, VenueState.FILLED, units))
        records.append(self._closed(entry, "FILLED", 0))
        is_all = self.held[base] == side * units * 10 ** (SCALES[base] - QTY_SCALES[base])
        if rng.random() < 0.3 and is_all:
            records.append(self._split(key, base, side * units))
            units *= 3
        leave = self._request(key, decision, "exit", Role.EXIT, -side, OrderType.MARKET, units)
        records += [
            self.fact(Intended(leave.client_order_id, leave)),
            self.fact(Attempted(leave.client_order_id, 1, self.ts_ns)),
            self.fact(Unclear(leave.client_order_id, 1, "timeout, ümlaut")),
        ]
        if rng.random() < 0.1:
            self.open_orders[leave.client_order_id] = "UNKNOWN"
            return records
        made, cash = self._filled(leave, units, ())
        records += [made, self._closed(leave, "FILLED", 0)]
        pnl += cash
        self.round_trips.append((key.symbol, lead, pnl))
        trip: dict[str, object] = {
            "instrument": [key.exchange, key.symbol],
            "number": self.number,
            "direction": side,
            "lead": lead,
            "entry_ns": self.ts_ns - 1,
            "exit_ns": self.ts_ns,
            "qty_units": units,
            "pnl_units": pnl // 10 ** (SCALES[self.quote] - CASH_SCALES[self.quote]),
            "fee_units": 0,
            "r_multiple": (0.5).hex(),
            "exit_reason": "EXIT_STOP",
        }
        records.append(self.record("round_trip_closed", trip))
        return records

    def aside(self) -> list[Record]:
        """Things that happen between trades."""
        rng = self.rng
        amount = rng.randint(1, 10**5) * self.finer
        asserted: dict[str, object] = {"balances": {asset: units for asset, units in sorted(self.held.items())}}
        makes = (
            lambda: self.record("balance_asserted", asserted),
            lambda: self.record("alert_raised", {"severity": "warning", "key": "feed", "text": 'late "bar"\n'}),
            lambda: self.record("mode_changed", {"from": "NORMAL", "to": "PAUSED", "why": ["feed"]}),
            lambda: self.record("breaker_tripped", {"name": "feed", "text": "stale"}),
            lambda: self.record(
                "flow_booked",
                {"flow_id": f"F{amount}", "kind": "deposit"},
                move(self.quote, amount, Book.CAPITAL, Book.CASH),
            ),
        )
        return [rng.choice(makes)()]

    def _request(
        self, key: InstrumentKey, decision: str, leg: str, role: Role, side: int, kind: OrderType, units: int
    ) -> OrderRequest:
        return OrderRequest(
            client_order_id=client_order_id(self.account, decision, leg, 1),
            account=self.account,
            instrument=key,
            decision_id=decision,
            role=role,
            side=Side(side),
            kind=kind,
            terms=Terms(units, 12345 if kind is OrderType.LIMIT else 0),
            decided_ns=self.ts_ns,
        )

    def _seen(self, request: OrderRequest, state: VenueState, filled: int) -> Record:
        return self.fact(Seen(request.client_order_id, f"V{self.number}", state, filled, self.ts_ns))

    def _closed(self, request: OrderRequest, status: str, hold: int) -> Record:
        body: dict[str, object] = {"client_order_id": request.client_order_id, "status": status, "filled_units": 0}
        return self.record("order_closed", body, move(self.quote, hold, Book.HOLD, Book.CASH))

    def _split(self, key: InstrumentKey, base: str, units: int) -> Record:
        gained = 2 * units * 10 ** (SCALES[base] - QTY_SCALES[base])
        body: dict[str, object] = {
            "flow_id": f"S{self.number}",
            "instrument": [key.exchange, key.symbol],
            "asset": base,
            "asset_units": gained,
            "new": 3,
            "old": 1,
            "units": [units, 3 * units],
            "foreign_units": [0, 0],
        }
        return self.record("split_applied", body, move(base, gained, Book.TRADING, Book.INVENTORY))

    def _filled(self, request: OrderRequest, units: int, more: tuple[Posting, ...]) -> tuple[Record, int]:
        self.trades += 1
        base, side = request.instrument.symbol.split("/")[0], int(request.side)
        cash, fee = units * self.rng.randint(90, 110), self.rng.randint(-3, 20)
        fill = Filled(
            client_order_id=request.client_order_id,
            venue_order_id=f"V{self.number}",
            venue_trade_id=f"T{self.trades}",
            instrument=request.instrument,
            side=request.side,
            qty_units=units,
            price_units=cash // units,
            cash_units=cash,
            fee_units=fee,
            liquidity=0,
            ts_event_ns=self.ts_ns,
        )
        finer = self.finer
        base_units = units * 10 ** (SCALES[base] - QTY_SCALES[base])
        legs = trade(base, self.quote, side, base_units, cash * finer, fee * finer)
        self.fills.append((fill.venue_trade_id, side * base_units, cash * finer))
        return self.fact(fill, (*legs, *more)), -side * cash * finer - fee * finer


def write_life(
    path: Path | str,
    seed: int = 1,
    rounds: int = 12,
    accounts: tuple[AccountKey, ...] = ACCOUNTS,
    *,
    started: bool = False,
) -> dict[AccountKey, Life]:
    """Write a ledger of some accounts, give the leases back, and return what must have come of each."""
    with Ledger.open(path, durable=False, now_ns=START_NS, ledger_id=f"seed-{seed}") as journal:
        journal.register_assets(SCALES)
        lives = open_accounts(journal, seed, accounts)
        for life in lives.values() if started else ():
            begun = life.record("session_started", {"settings": "0" * 16, "ts_close_ns": 0})
            journal.commit([(life.account, Commit((begun,), 0, life.state()))])
        for _ in range(rounds):
            for life in lives.values():
                live_on(journal, life)
        for account in accounts:
            journal.release_lease(account, START_NS + 1)
        return lives


def open_accounts(
    journal: Ledger, seed: int, accounts: tuple[AccountKey, ...] = ACCOUNTS, *, kept: bool = True
) -> dict[AccountKey, Life]:
    """Take the leases, open the accounts and return them; with a state that every later commit has to move on."""
    rng = random.Random(seed)
    lives = {account: Life(account, random.Random(rng.random())) for account in accounts}
    for account, life in lives.items():
        journal.take_lease(account, "test", START_NS, LEASE_NS)
        opened = life.opened(10**12)
        journal.commit([(account, Commit((opened,), 0, life.state() if kept else b""))])
    return lives


def live_on(journal: Ledger, life: Life) -> None:
    """Let an account trade once, and something else happen."""
    for make in (life.round_trip, life.aside):
        records = make()
        journal.commit([(life.account, Commit(tuple(records), life.ts_ns, life.state()))])
