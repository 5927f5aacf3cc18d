"""What the tests of the simulated venue are built from: an account, requests, bars."""

from collections.abc import Sequence
from typing import Any

from novapulse.core.instruments import AccountKey, Instrument, InstrumentKey
from novapulse.core.orders import OrderRequest, OrderType, Protection, Role, Side, Terms
from novapulse.core.records import Record
from novapulse.venues.simulated import SimulatedExchange
from tests.backtest.builders import MINUTE_NS, START_NS, bar_of, bare_rules, instrument

ACCOUNT = AccountKey("kraken", "main")
BTC = InstrumentKey("kraken", "BTC/USD")
CAPITAL_UNITS = 10_000 * 10**8
UNIT = 1000
"""One coin: lots are a thousandth."""


def exchange_of(
    rules: Record | None = None, instruments: Sequence[Instrument] | None = None, **options: Any
) -> SimulatedExchange:
    """Return an account of 10,000 with market orders at the open and no friction, unless told otherwise."""
    rules = bare_rules() if rules is None else rules
    return SimulatedExchange(ACCOUNT, instruments or [instrument()], rules, CAPITAL_UNITS, **options)


def entry(
    cid: str = "e1", price: float = 0.0, units: int = UNIT, side: Side = Side.BUY, **changes: Any
) -> OrderRequest:
    """Return an order that opens: at the market, or at a limit around 100."""
    kind = OrderType.LIMIT if price else OrderType.MARKET
    fields: dict[str, Any] = {
        "client_order_id": cid,
        "account": ACCOUNT,
        "instrument": BTC,
        "decision_id": "d1",
        "role": Role.ENTRY,
        "side": side,
        "kind": kind,
        "terms": Terms(units, round(price * 100)),
        "decided_ns": START_NS,
    }
    return OrderRequest(**(fields | changes))


def leave(
    cid: str = "x1", price: float = 0.0, units: int = UNIT, side: Side = Side.SELL, **changes: Any
) -> OrderRequest:
    """Return an order that only reduces."""
    return entry(cid, price, units, side, role=Role.EXIT, reduce_only=True, **changes)


def guarded(
    cid: str = "e1", price: float = 0.0, units: int = UNIT, stop: float = 2.0, target: float = 3.0, **changes: Any
) -> OrderRequest:
    """Return an entry that carries a bracket `b-<cid>`."""
    return entry(cid, price, units, protection=Protection(f"b-{cid}", stop, target), **changes)


def bracket(
    cid: str = "b1", stop: float = 98.0, target: float = 0.0, units: int = UNIT, side: Side = Side.SELL, **changes: Any
) -> OrderRequest:
    """Return a bracket that is sent by itself."""
    terms = Terms(units, stop_units=round(stop * 100), target_units=round(target * 100))
    return entry(cid, 0.0, units, side, kind=OrderType.BRACKET, role=Role.PROTECT, terms=terms, **changes)


def at(minute: float) -> int:
    """Return the moment so many minutes after the start."""
    return START_NS + round(minute * MINUTE_NS)


def play(
    exchange: SimulatedExchange, minute: float, *prices: float, volume: float = 1e6, key: InstrumentKey = BTC
) -> None:
    """Play one bar that closes at a minute: open, high, low, close, or one price for all."""
    four = prices if len(prices) == 4 else prices * 4
    exchange.on_bar(key, bar_of(*four, volume, at(minute)), at(minute))


def story(exchange: SimulatedExchange) -> list[tuple[str, int, float]]:
    """Return the trades so far: whose, signed quantity units, price."""
    fills, _ = exchange.fills_after(0)
    return [(f.client_order_id, int(f.side) * f.qty_units, f.price_units / 100) for f in fills]


def print_of(price: float, ts_ns: int, qty: float = 1e6) -> Record:
    """Return a public trade as the exchange takes it."""
    return bar_of(price, price, price, price, qty, ts_ns)


def facts(exchange):
    """Everything that an outsider can read, and what is inside."""
    slot = exchange.slots[BTC]
    return (
        exchange.open_orders(),
        exchange.fills_after(0),
        exchange.flows_after(0),
        exchange.balances(),
        slot.position.tobytes(),
        slot.stray_units,
        [order.seen() for order in exchange.book.by_number.values()],
    )


def held(exchange, units=UNIT, minute=1.0):
    """Buy at 100 without a bracket."""
    exchange.submit(entry("held", units=units), at(minute - 0.5))
    play(exchange, minute, 100)
    return exchange
