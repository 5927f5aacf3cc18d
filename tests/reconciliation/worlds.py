"""Accounts that agree with their venue, to plant differences in."""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal

from novapulse.core.instruments import AccountKey, Instrument, Kind
from novapulse.core.messages import Snapshot, VenueOrder, client_order_id
from novapulse.core.order_fold import AT_VENUE, Order
from novapulse.core.orders import (
    TERMINAL,
    Acked,
    Attempted,
    Fact,
    Filled,
    Intended,
    OrderRequest,
    OrderStatus,
    OrderType,
    Role,
    Seen,
    Side,
    Terms,
    Unclear,
    VenueState,
)
from novapulse.reconciliation.view import View, effects_of

SECOND = 1_000_000_000
NOW = 1_000_000 * SECOND
ACCOUNT = AccountKey("kraken", "main")
BTC = Instrument("kraken", "BTC/USD", "BTC", "USD", lot=Decimal("0.0001"), qty_min=Decimal("0.002"), cash_scale=4)
ETH = Instrument("kraken", "ETH/USD", "ETH", "USD", lot=Decimal("0.001"), cash_scale=4)
ACME = Instrument(
    "kraken", "ACME", "ACME", "USD", kind=Kind.STOCK, lot=Decimal(1), cash_scale=4, calendar="XNYS", shortable=True
)
INSTRUMENTS = {each.key: each for each in (BTC, ETH, ACME)}
SCALES = {"BTC": 6, "ETH": 6, "ACME": 2, "USD": 6}
MARKS = {BTC.key: 5_000_000, ETH.key: 200_000, ACME.key: 10_000}


@dataclass
class World:
    """What both sides know, while they agree."""

    orders: dict[str, Order] = field(default_factory=dict)
    facts: dict[str, list[Fact]] = field(default_factory=dict)
    fills: list[Filled] = field(default_factory=list)
    opening: Mapping[str, int] = field(
        default_factory=lambda: {"BTC": 3_000_000, "ETH": 0, "ACME": 12_300, "USD": 50_000_000_000}
    )

    def request(self, instrument: Instrument, qty: int, **changes: object) -> OrderRequest:
        name = client_order_id(ACCOUNT, "decision", "leg", len(self.orders))
        request = OrderRequest(
            client_order_id=name,
            account=ACCOUNT,
            instrument=instrument.key,
            decision_id="decision",
            role=Role.ENTRY,
            side=Side.BUY,
            kind=OrderType.LIMIT,
            terms=Terms(qty, MARKS[instrument.key]),
            decided_ns=len(self.orders),
        )
        return replace(request, **changes)

    def place(self, instrument: Instrument = BTC, qty: int = 100, *, is_sent: bool = True, **changes: object) -> Order:
        request = self.request(instrument, qty, **changes)
        order = self.orders[request.client_order_id] = Order(request.client_order_id)
        self.facts[request.client_order_id] = []
        self.tell(order, Intended(request.client_order_id, request))
        if is_sent:
            self.tell(order, Attempted(request.client_order_id, 1, NOW - 3_600 * SECOND))
        return order

    def tell(self, order: Order, fact: Fact) -> None:
        order.add(fact)
        self.facts[order.client_order_id].append(fact)

    def accept(self, order: Order) -> Order:
        name = order.client_order_id
        self.tell(order, Acked(name, f"V{name[:8]}"))
        self.tell(order, self.says(order, VenueState.LIVE))
        return order

    def says(self, order: Order, state: VenueState, filled: int | None = None) -> Seen:
        units = order.filled_units if filled is None else filled
        return Seen(order.client_order_id, f"V{order.client_order_id[:8]}", state, units, NOW - 60 * SECOND)

    def execution(self, order: Order, qty: int, name: str = "") -> Filled:
        request = order.request
        number = len(self.fills)
        price = MARKS[request.instrument]
        instrument = INSTRUMENTS[request.instrument]
        cash = price * qty * 10**4 // 10 ** (instrument.price_scale + instrument.qty_scale)
        return Filled(
            order.client_order_id,
            f"V{order.client_order_id[:8]}",
            name or f"T{number}",
            request.instrument,
            request.side,
            qty,
            price,
            cash,
            cash // 400,
            0,
            NOW - 3_000 * SECOND + number,
        )

    def fill(self, order: Order, qty: int) -> Order:
        fill = self.execution(order, qty)
        self.fills.append(fill)
        self.tell(order, fill)
        self.tell(order, self.says(order, VenueState.LIVE))
        return order

    def end(self, order: Order, state: VenueState) -> Order:
        self.tell(order, self.says(order, state))
        return order

    def balances(self) -> dict[str, int]:
        totals = dict(self.opening)
        for fill in self.fills:
            for asset, units in effects_of(fill, INSTRUMENTS[fill.instrument], SCALES).items():
                totals[asset] += units
        return totals

    def view(self, **changes: object) -> View:
        view = View(
            account=ACCOUNT,
            instruments=INSTRUMENTS,
            orders=self.orders,
            venue_ids={name: each.client_order_id for each in self.orders.values() for name in each.venue_order_ids},
            balances=self.balances(),
            scales=SCALES,
            quote="USD",
            equity_units=100_000_000_000,
            marks=MARKS,
        )
        return replace(view, **changes)

    def snapshot(self, **changes: object) -> Snapshot:
        listed = tuple(
            VenueOrder(
                self.says(order, VenueState.LIVE),
                order.request.instrument,
                order.request.side,
                order.request.terms.qty_units,
            )
            for order in self.orders.values()
            if order.undisputed_status in AT_VENUE - {OrderStatus.SETTLING}
        )
        snapshot = Snapshot(
            began_ns=NOW - 2 * SECOND,
            ended_ns=NOW - SECOND,
            orders=listed,
            fills=tuple(self.fills[-5:]),
            cursor="c",
            balances=self.balances(),
        )
        return replace(snapshot, **changes)


def random_world(rng: random.Random) -> World:
    """An account with orders in every state of which the venue's lists say nothing else."""
    world = World()
    for _ in range(rng.randrange(8)):
        order = world.place(rng.choice((BTC, ETH, ACME)), 100, side=rng.choice(list(Side)))
        how = rng.randrange(6)
        if how == 0:
            world.tell(order, Unclear(order.client_order_id, 1))
            continue
        world.accept(order)
        for _ in range(rng.randrange(3)):
            world.fill(order, rng.randint(1, 40))
        if how == 1:
            world.end(order, rng.choice((VenueState.CANCELED, VenueState.EXPIRED)))
        elif how == 2:
            world.fill(order, 100 - order.filled_units)
            world.end(order, VenueState.FILLED)
        assert (order.status in TERMINAL) == (how in (1, 2)) or order.filled_units == 100
    return world
