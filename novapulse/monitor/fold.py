"""One account as a fold over its ledger entries: taken in one by one, never read again.

Invariants:
- the fold of all entries is the fold of any first part with the rest behind it;
- memory is bounded: what is open, and the last of everything else;
- amounts are the ledger's integers; lots are those of `ledger.statistics`, first in, first out, fees included.
"""

import json
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from typing import Any

from novapulse.core.amounts import from_units
from novapulse.core.facts import KINDS
from novapulse.core.instruments import AccountKey, InstrumentKey
from novapulse.core.messages import Record
from novapulse.core.postings import Book
from novapulse.core.records import Liquidity
from novapulse.ledger.alerts import KINDS as ALERTS
from novapulse.ledger.lots import Inventory, Realised
from novapulse.ledger.movements import FLOWS, Execution, Movements, shares
from novapulse.ledger.queries import FILLS, SPLITS, Listing, listed, split_of
from novapulse.ledger.reads import Entry
from novapulse.monitor.alert_book import AlertBook
from novapulse.monitor.days import Days
from novapulse.monitor.decisions import Inputs, decision_state, inputs_of, round_trip_state, strategies_of
from novapulse.monitor.order_book import ENDS, OrderBook
from novapulse.monitor.rows import (
    BreakerState,
    BreakState,
    DecisionState,
    FillState,
    LimitChangeState,
    RoundTripState,
)
from novapulse.monitor.values import exact

RECENT = 50
POINTS_KEPT = 500
ENTRIES_KEPT = 256
"""Decisions that are remembered for the positions that they open."""

InventoryKey = tuple[str, bool]
"""Symbol, and whether orders of ours made it."""


class AccountFold:
    """What the entries of one account come to.

    Attributes:
        key: Whose.
        seq: Last entry that was taken in; 0 before the first.
        ts_ns: When that was written.
        balances: (book, asset) -> ledger units.
        listings: Symbol -> instrument.
        inventories: Lots of what is held, by symbol and by whether it is ours.
        orders: Of this account.
        entries: (symbol, decision id) -> strategy that led it, and the distance of its stop in today's prices.
        alerts: Of this account.
        mode: A name of `core.records.Mode`.
        start: The first moment at which the equity was known, and that equity; None before it.
        days: What each brought.
        compared_ns: When books and venue were compared last, as far as it was written down; None for never.
        seqs: Name of a value -> last entry that changed it.
    """

    def __init__(self, key: AccountKey, scales: Mapping[str, int]) -> None:
        """Begin with nothing.

        Args:
            key: Whose entries come.
            scales: Asset -> decimal digits in the ledger; assets may be added to it later.
        """
        self.key, self.scales = key, scales
        self.seq = self.ts_ns = 0
        self.quote = self.settings_hash = ""
        self.configuration: Mapping[str, Any] = {}
        self.strategies: tuple[str, ...] = ()
        self.balances: dict[tuple[Book, str], int] = defaultdict(int)
        self.listings: dict[str, Listing] = {}
        self.inventories: dict[InventoryKey, Inventory] = {}
        self.realized = Fraction(0)
        self.trades = 0
        self.orders = OrderBook()
        self.mode = "NORMAL"
        self.why_bare: dict[str, str] = {}
        self.fills: deque[FillState] = deque(maxlen=RECENT)
        self.decisions: deque[DecisionState] = deque(maxlen=RECENT)
        self.last_decision: dict[str, DecisionState] = {}
        self.entries: OrderedDict[tuple[str, str], tuple[str, float]] = OrderedDict()
        self.round_trips: deque[RoundTripState] = deque(maxlen=RECENT)
        self.alerts = AlertBook(RECENT)
        self.breakers: dict[tuple[str, str], BreakerState] = {}
        self.breaks: dict[str, BreakState] = {}
        self.points: deque[tuple[int, Decimal]] = deque(maxlen=POINTS_KEPT)
        self.start: tuple[int, Decimal] | None = None
        self.days = Days()
        self.compared_ns: int | None = None
        self.seqs: dict[str, int] = {}
        self._limits: dict[str, LimitChangeState] = {}
        self._movements = Movements()

    def take(self, entry: Entry) -> None:
        """Take the next entry in.

        Raises:
            ValueError: Its content is not what its kind says.
            KeyError: It lacks something.
            TypeError: Something in it is of another type.
        """
        record = entry.record
        for leg in record.postings:
            self.balances[leg.book, leg.asset] += leg.amount
            self.seqs[leg.book.value] = entry.seq
        self.orders.take(entry.seq, record.kind, record.body)
        handler = _TAKE.get(record.kind)
        if handler is not None:
            handler(self, entry.seq, record)
        self.pass_over(entry.seq, record.ts_ns)
        if record.postings:
            self._note_equity(record.ts_ns)

    def pass_over(self, seq: int, ts_ns: int) -> None:
        """Note an entry that changes nothing here."""
        self.seq, self.ts_ns = seq, ts_ns

    def amount(self, book: Book) -> Decimal:
        """Return what lies in a book of the quote asset."""
        return from_units(self.balances.get((book, self.quote), 0), self.scales[self.quote])

    def held(self) -> dict[str, int]:
        """Return base asset -> ledger units, without what is 0."""
        return {asset: units for (book, asset), units in self.balances.items() if book is Book.INVENTORY and units}

    def _note_equity(self, ts_ns: int) -> None:
        # Flat, and nothing on its way: what lies in the books is the equity, to the unit.
        if not self.held():
            self._point(ts_ns, self.amount(Book.CASH) + self.amount(Book.HOLD))

    def _point(self, ts_ns: int, equity: Decimal) -> None:
        if self.points and self.points[-1][0] >= ts_ns:
            ts_ns, _ = self.points.pop()
        self.points.append((ts_ns, equity))
        self.start = self.start or (ts_ns, equity)
        self.days.take_equity(ts_ns, equity)

    # ---- one method for each kind ----

    def _opened(self, seq: int, record: Record) -> None:
        body = record.body
        self.quote, self.settings_hash = body["quote"], body["settings"]
        self._listed(seq, record)

    def _listed(self, _: int, record: Record) -> None:
        self.listings |= {key.symbol: one for key, one in listed(self.key, record.body).items()}

    def _started(self, seq: int, record: Record) -> None:
        self.settings_hash = record.body["settings"]
        self.seqs["session"] = seq
        self.configuration = json.loads(record.body.get("configuration") or "{}")
        self._named(seq, record)

    @property
    def risk(self) -> Mapping[str, Any]:
        """Limits that are in force: the last session's, as operators changed them, and the width of a bar."""
        risk = self._configured
        for one in self._limits.values() if risk else ():
            risk[one.section] = {**risk.get(one.section, {}), one.name: one.value}
        return risk

    @property
    def _configured(self) -> dict[str, Any]:
        if not self.configuration:
            return {}
        more = {name: self.configuration[name] for name in ("breakers", "timeframe_ns") if name in self.configuration}
        return {**self.configuration.get("decides", {}).get("risk", {}), **more}

    @property
    def limit_changes(self) -> tuple[LimitChangeState, ...]:
        """Limits that are otherwise than configured, by name."""
        configured = self._configured
        return tuple(
            replace(one, configured=configured.get(one.section, {}).get(name))
            for name, one in sorted(self._limits.items())
        )

    def _limited(self, seq: int, record: Record) -> None:
        body, before = record.body, self._limits
        self.settings_hash = body["settings"]
        self.seqs["limits"] = seq
        self._limits = {}
        for name, said in body["limits"].items():
            values = name, said["section"], float(said["value"]), None, said["command_id"], said["actor"]
            known = before.get(name)
            if known is None or known.command_id != said["command_id"]:
                known = LimitChangeState(seq, record.ts_ns, *values)
            self._limits[name] = known

    @property
    def calendars(self) -> dict[str, str]:
        """Symbol -> name of the calendar, as the last session's configuration has them."""
        return {one["symbol"]: one["calendar"] for one in self.configuration.get("instruments", ())}

    @property
    def groups(self) -> dict[str, str]:
        """Symbol -> correlated group, without those that are in none."""
        return {one["symbol"]: one["group"] for one in self.configuration.get("instruments", ()) if one.get("group")}

    def _named(self, _: int, record: Record) -> None:
        self.strategies = strategies_of(record.kind, record.body) or self.strategies

    def _decided(self, seq: int, record: Record) -> None:
        body = record.body
        inputs = inputs_of(body)
        one = decision_state(seq, body, inputs, self.listings[body["instrument"][1]], self.strategies)
        self.decisions.append(one)
        self.last_decision[one.symbol] = one
        if one.action == "ENTER":
            self._remember_entry(one, inputs)
        if one.equity is not None:
            self._point(one.ts_ns, self._rounded(one.equity))

    def _rounded(self, amount: Decimal) -> Decimal:
        return round(amount, self.scales[self.quote])

    def _remember_entry(self, one: DecisionState, inputs: Inputs | None) -> None:
        distance = 0.0 if inputs is None else float(inputs.action.stop_distance)
        self.entries[one.symbol, one.decision_id] = one.lead, distance
        while len(self.entries) > ENTRIES_KEPT:
            self.entries.popitem(last=False)

    def _filled(self, seq: int, record: Record) -> None:
        one = self._movements.of(Entry(seq, record), self._finer)
        if one is None:
            return
        realized = None if one.instrument is None else self._realize(one.instrument, one)
        if record.kind in FILLS:
            self.fills.append(self._fill_state(one, realized))

    def _finer(self, key: InstrumentKey) -> int:
        listing = self.listings[key.symbol]
        return int(10 ** (self.scales[listing.quote] - listing.cash_scale))

    def _realize(self, instrument: InstrumentKey, one: Execution) -> Fraction | None:
        parts: list[Realised] = []
        for is_ours, share in shares(one):
            inventory = self.inventories.setdefault((instrument.symbol, is_ours), Inventory(instrument))
            parts += inventory.take(share)
            self._drop_if_empty(instrument.symbol, is_ours)
        return self._take_realized(one.seq, parts) if parts else None

    def _take_realized(self, seq: int, parts: list[Realised]) -> Fraction:
        realized = sum((part.pnl for part in parts), Fraction(0))
        self.realized += realized
        self.seqs["realized_pnl"] = seq
        return realized

    def _split(self, seq: int, record: Record) -> None:
        body = record.body
        symbol = body["instrument"][1]
        split = split_of(Entry(seq, record), self.listings[symbol], self.scales)
        for is_ours, before, after in split.parts:
            if (inventory := self.inventories.get((symbol, is_ours))) is None:
                continue
            if after:
                inventory.split(Fraction(after, before))
            else:
                self._take_realized(seq, list(inventory.take(split.end(is_ours=is_ours))))
                self._drop_if_empty(symbol, is_ours)
        for key, (lead, distance) in self.entries.items():
            if key[0] == symbol:
                self.entries[key] = lead, distance * body["old"] / body["new"]

    def _drop_if_empty(self, symbol: str, is_ours: bool) -> None:
        if not self.inventories[symbol, is_ours].lots:
            del self.inventories[symbol, is_ours]
            self.why_bare.pop(symbol, None)

    def _fill_state(self, one: Execution, realized: Fraction | None) -> FillState:
        fill, quote = one.fill, self.scales[self.quote]
        listing = None if one.instrument is None else self.listings[one.instrument.symbol]
        base = quote if listing is None else self.scales[listing.base]
        return FillState(
            seq=one.seq,
            ts_ns=one.ts_ns,
            ts_event_ns=None if fill is None else fill.ts_event_ns,
            symbol="" if one.instrument is None else one.instrument.symbol,
            side="" if fill is None else fill.side.name.lower(),
            qty=from_units(one.base_units if fill is None else abs(one.base_units), base),
            price=None if fill is None or listing is None else from_units(fill.price_units, listing.price_scale),
            cash=from_units(int(one.cash_units), quote),
            fee=from_units(int(one.fee_units), quote),
            liquidity="" if fill is None else Liquidity(fill.liquidity).name.lower(),
            client_order_id=one.client_order_id,
            venue_trade_id=one.venue_trade_id,
            realized_pnl=None if realized is None else exact(realized / 10**quote, quote),
            is_bust=fill is None,
        )

    def _closed_trip(self, seq: int, record: Record) -> None:
        listing = self.listings[record.body["instrument"][1]]
        trip = round_trip_state(seq, record.body, listing, self.strategies)
        self.round_trips.append(trip)
        self.days.take_trip(trip)
        self.trades += 1
        self.seqs["trades"] = seq

    def _bare(self, _: int, record: Record) -> None:
        self.why_bare[record.body["instrument"][1]] = record.body["why"]

    def _alerted(self, seq: int, record: Record) -> None:
        self.alerts.take(seq, record.kind, record.ts_ns, record.body)

    def _mode(self, seq: int, record: Record) -> None:
        self.mode = record.body["to"]
        self.seqs["mode"] = seq

    def _breaker(self, seq: int, record: Record) -> None:
        body = record.body
        instrument = body.get("instrument")
        symbol = instrument[1] if isinstance(instrument, list) else ""
        key = body["name"], symbol
        if record.kind == "breaker_cleared":
            self.breakers.pop(key, None)
            return
        effect = str(body.get("effect", ""))
        self.breakers[key] = BreakerState(seq, record.ts_ns, body["name"], symbol, effect, body.get("text", ""))

    def _adopted(self, seq: int, record: Record) -> None:
        self._break(seq, record)
        self._filled(seq, record)

    def _compared(self, seq: int, record: Record) -> None:
        self.compared_ns = record.ts_ns
        self.seqs["compared"] = seq

    def _break(self, seq: int, record: Record) -> None:
        body = record.body
        self._compared(seq, record)
        if record.kind != "break_found":
            self.breaks.pop(body["key"], None)
            return
        self.breaks[body["key"]] = BreakState(
            seq=seq,
            ts_ns=record.ts_ns,
            key=body["key"],
            kind=body.get("class", ""),
            meaning=body.get("meaning", ""),
            text=body.get("text", ""),
            ours=body.get("ours", ""),
            theirs=body.get("theirs", ""),
            symbols=tuple(symbol for _, symbol in body.get("instruments", ())),
            client_order_id=body.get("client_order_id", ""),
        )


_TAKE: dict[str, Callable[[AccountFold, int, Record], None]] = {
    "account_opened": AccountFold._opened,
    "instrument_listed": AccountFold._listed,
    "session_started": AccountFold._started,
    "calibration_learned": AccountFold._named,
    "decision_taken": AccountFold._decided,
    **dict.fromkeys(FILLS, AccountFold._filled),
    **dict.fromkeys(FLOWS, AccountFold._filled),
    **dict.fromkeys(SPLITS, AccountFold._split),
    "round_trip_closed": AccountFold._closed_trip,
    "protection_noted": AccountFold._bare,
    **dict.fromkeys(ALERTS, AccountFold._alerted),
    "mode_changed": AccountFold._mode,
    "limits_changed": AccountFold._limited,
    "breaker_tripped": AccountFold._breaker,
    "breaker_cleared": AccountFold._breaker,
    "balance_asserted": AccountFold._compared,
    "break_found": AccountFold._break,
    "break_resolved": AccountFold._break,
    "break_adopted": AccountFold._adopted,
}


def is_told(kind: str) -> bool:
    """Tell whether the content of an entry changes anything that is shown, its legs apart."""
    return kind in _TAKE or kind in KINDS or kind in ENDS
