"""The backtest's fold, with its orders sent to a simulated exchange too: both meet the same bars, trade by trade."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import numpy as np

from novapulse.backtest.columns import Signals
from novapulse.core.bars import BarColumns
from novapulse.core.instruments import AccountKey, Instrument
from novapulse.core.orders import OrderRequest, OrderType, Protection, Role, Side, Terms
from novapulse.core.records import Intent, OrderKind, Reason, Record
from novapulse.execution.tactics import last_moment_ns
from novapulse.parity.plain import PlainFold
from novapulse.venues.simulated import SimulatedExchange
from tests.backtest.builders import Book

STOPS = (Reason.EXIT_STOP, Reason.EXIT_BREAKEVEN, Reason.EXIT_TRAIL)
PROTECTIVE = (*STOPS, Reason.EXIT_TARGET)


@dataclass
class Sent:
    """An order of the fold as it was sent."""

    request: OrderRequest
    decided_ns: int
    rests: bool
    limit_price: float
    active_ns: int


class Mirror(PlainFold):
    """Asserts at every bar that the exchange traded what the fold traded, and stands where the fold stands."""

    def __init__(
        self,
        bars: Sequence[BarColumns],
        signals: Sequence[Signals],
        instruments: Sequence[Instrument],
        rules: Record,
        capital: float,
        *,
        keeps_exits: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(bars, signals, instruments, rules, capital, **options)
        # A venue refuses what is below its minimums; the fold leaves with what is held, and crosses with what is left.
        loose = [replace(fact, qty_min=Decimal(0), notional_min=Decimal(0)) for fact in instruments]
        account = AccountKey(instruments[0].exchange, "mirror")
        self.facts = instruments
        self.exchange = SimulatedExchange(account, loose, rules, int(self._account.cash_units))
        self.sent: list[Sent | None] = [None] * len(bars)
        self.cursor = self.count = 0
        self.keeps_exits = keeps_exits
        self.amended = 0

    def _trade(self, j: int, bar: Record) -> None:
        before, leaving = len(self._fills), self.is_leaving(j)
        self.exchange.on_bar(self.facts[j].key, bar, int(bar.ts_close_ns))
        super()._trade(j, bar)
        traded, self.cursor = self.exchange.fills_after(self.cursor)
        ours = [
            (f.ts_event_ns, int(f.side), f.qty_units, f.price_units, f.cash_units, f.fee_units, f.liquidity)
            for f in traded
        ]
        wanted = [tuple(int(x) for x in fields(fill[0])) for fill in self._fills[before:]]
        assert ours == wanted
        # While it leaves, the fold's stop goes on moving, which a triggered bracket's does not: the reason may change.
        if not self.keeps_exits and not leaving:
            reasons = [int(fill[0].reason) for fill in self._fills[before:]]
            told = [Reason.EXIT_STOP if reason in STOPS else reason for reason in reasons]
            assert [f.reason for f in traded] == [reason if reason in PROTECTIVE else 0 for reason in told]
        self.compare(j)
        if self._fine.starts.size:
            self.sync(j, int(bar.ts_close_ns))

    def is_leaving(self, j: int) -> bool:
        return any(order.trigger for order in self.exchange.slots[self.facts[j].key].live)

    def compare(self, j: int) -> None:
        position, slot = self._state.positions[j], self.exchange.slots[self.facts[j].key]
        assert self.exchange.holdings.cash_units == self._account.cash_units
        assert slot.held_units == position.qty_units
        assert slot.position.entry_price == position.entry_price
        guards = [order for order in slot.live if order.request.kind is OrderType.BRACKET]
        assert len(guards) == (position.qty_units != 0)
        for guard in guards:
            factor = float(slot.record.price_factor)
            assert guard.leaves_units == abs(position.qty_units)
            prices = guard.terms.stop_units / factor, guard.terms.target_units / factor
            assert guard.trigger or prices == (position.stop_price, position.target_price)

    def _decide(self, j: int, row: int) -> None:
        super()._decide(j, row)
        self.sync(j, int(self._bars[j][row].ts_close_ns))
        self.tighten(j, int(self._bars[j][row].ts_close_ns))

    def tighten(self, j: int, ts_ns: int) -> None:
        position, slot = self._state.positions[j], self.exchange.slots[self.facts[j].key]
        stop_units = round(position.stop_price * float(slot.record.price_factor))
        for guard in list(slot.live):
            if guard.request.kind is OrderType.BRACKET and not guard.trigger and guard.terms.stop_units != stop_units:
                terms = replace(guard.terms, qty_units=guard.terms.qty_units + 7, stop_units=stop_units)
                self.exchange.amend(guard.venue_order_id, terms, ts_ns + int(self._rules.latency_ns))
                self.amended += 1

    def sync(self, j: int, ts_ns: int) -> None:
        order, sent = self._state.orders[j], self.sent[j]
        protective = order.intent == Intent.EXIT and order.reason in PROTECTIVE
        if order.intent == Intent.NONE or protective:
            if sent is not None and not (protective and self.keeps_exits):
                self.withdraw(sent, ts_ns)
            self.sent[j] = None
            return
        if (
            sent is not None
            and sent.decided_ns == order.decision_ts_ns
            and sent.rests == (order.kind != OrderKind.MARKET)
        ):
            if sent.active_ns == order.active_ns:
                return
            if self.is_live(sent):
                self.chase(j, sent)
                return
        if sent is not None:
            self.withdraw(sent, ts_ns)
        self.send(j)

    def chase(self, j: int, sent: Sent) -> None:
        order = self._state.orders[j]
        factor = float(self._instruments[j].price_factor)
        live = self.exchange.book.find(sent.request.client_order_id)
        assert live is not None
        assert live.leaves_units == order.units or (live.reduces and live.leaves_units > order.units)
        terms = Terms(live.terms.qty_units, round(order.limit_price * factor))
        # The trader asks for no terms that stand already, so what rests at its price does not come anew.
        if terms != live.terms:
            self.exchange.amend(live.venue_order_id, terms, int(order.active_ns))
            self.amended += 1
        sent.limit_price, sent.active_ns = float(order.limit_price), int(order.active_ns)

    def send(self, j: int) -> None:
        order, record = self._state.orders[j], self._instruments[j]
        enters = order.intent == Intent.ENTRY
        cap = 0
        if enters and np.isfinite(order.notional_max):
            cap = max(int(order.notional_max * record.cash_factor), 1)
            # What is sent is whole cash units: the fold is held to the same.
            order.notional_max = cap / record.cash_factor
        guard = f"b-{j}-{order.decision_ts_ns}"
        self.count += 1
        request = OrderRequest(
            client_order_id=f"o-{self.count}",
            account=self.exchange.account,
            instrument=self.facts[j].key,
            decision_id="",
            role=Role.ENTRY if enters else Role.EXIT,
            side=Side(int(order.side)),
            kind=OrderType.MARKET if order.kind == OrderKind.MARKET else OrderType.LIMIT,
            terms=Terms(int(order.units), round(order.limit_price * float(record.price_factor))),
            decided_ns=int(order.decision_ts_ns),
            expires_ns=self.expiry(j),
            reduce_only=not enters,
            notional_max_units=cap,
            protection=Protection(guard, float(order.stop_distance), float(order.target_distance)) if enters else None,
        )
        self.exchange.submit(request, int(order.active_ns))
        rests = request.kind is OrderType.LIMIT
        self.sent[j] = Sent(request, int(order.decision_ts_ns), rests, float(order.limit_price), int(order.active_ns))

    def expiry(self, j: int) -> int:
        """The venue ends an entry at its last moment, and an exit never."""
        order = self._state.orders[j]
        return int(last_moment_ns(order, self._rules)) if order.intent == Intent.ENTRY else 0

    def withdraw(self, sent: Sent, ts_ns: int) -> None:
        if self.is_live(sent):
            self.exchange.cancel(sent.request.client_order_id, ts_ns)

    def is_live(self, sent: Sent) -> bool:
        order = self.exchange.book.find(sent.request.client_order_id)
        return order is not None and order.is_live

    def run(self) -> Book:
        book = super().run()
        trades, _ = self.exchange.fills_after(0)
        assert len(trades) == book.fills.size
        return book


def fields(fill: Record) -> tuple[Any, ...]:
    return (
        fill.ts_ns,
        fill.side,
        fill.qty_units,
        fill.price_units,
        fill.cash_units,
        fill.fee_units,
        fill.liquidity,
    )
