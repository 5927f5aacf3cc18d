"""What is compared with a snapshot: what the trader believes of one account."""

import re
from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from fractions import Fraction

from novapulse.core.amounts import from_units
from novapulse.core.executions import provisional_id
from novapulse.core.instruments import AccountKey, Instrument, InstrumentKey
from novapulse.core.order_fold import Order
from novapulse.core.orders import Filled
from novapulse.core.records import Liquidity
from novapulse.reconciliation.breaks import Reading

_OUR_ID = re.compile(r"^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-a[0-9a-f]{3}-[0-9a-f]{12}$")


@dataclass(frozen=True, slots=True)
class View:
    """What the trader believes of one account.

    Attributes:
        account: Which.
        instruments: Its instruments.
        orders: Client order id -> order: all that have not ended, and those that ended lately.
        venue_ids: Venue order id -> client order id, of these orders.
        balances: Asset -> expected total, free and held: opening + executions - fees + flows, in units of the asset's
            ledger scale.
        scales: Asset -> decimal digits of its ledger scale.
        quote: The account's quote asset.
        equity_units: Equity in units of the quote's ledger scale.
        marks: Instrument -> last price in price units; missing when it is not known.
        positions: Instrument -> quantity held in quantity units, signed.
        to_protect: Instruments whose position must have a protective order: nothing excuses that it lacks one.
        orders_active_ns: Client order id -> when something last happened to it here.
        instruments_active_ns: Instrument -> when something last happened to its orders, executions or cash here.
        known_trades: Ids of executions that are booked, whoever ordered them.
        known_flows: Ids of movements that are booked.
        known_foreign: Venue ids of orders that are recorded as not ours.
        is_exclusive: Whether nobody else trades on this account: then what is not ours is cancelled.
        fills_since_clean: Executions behind `balances` since they last agreed with the venue: each may be off by one
            smallest unit of cash.
        readings: `readings_of` the breaks of the last comparison.
        race_guard_ns: What was active this shortly before a reading began is not compared with it.
    """

    account: AccountKey
    instruments: Mapping[InstrumentKey, Instrument]
    orders: Mapping[str, Order]
    venue_ids: Mapping[str, str]
    balances: Mapping[str, int]
    scales: Mapping[str, int]
    quote: str
    equity_units: int
    marks: Mapping[InstrumentKey, int] = field(default_factory=dict)
    positions: Mapping[InstrumentKey, int] = field(default_factory=dict)
    to_protect: frozenset[InstrumentKey] = frozenset()
    orders_active_ns: Mapping[str, int] = field(default_factory=dict)
    instruments_active_ns: Mapping[InstrumentKey, int] = field(default_factory=dict)
    known_trades: Container[str] = frozenset()
    known_flows: Container[str] = frozenset()
    known_foreign: Container[str] = frozenset()
    is_exclusive: bool = False
    fills_since_clean: int = 0
    readings: Mapping[str, Reading] = field(default_factory=dict)
    race_guard_ns: int = 5_000_000_000

    def owner_of(self, client_order_id: str, venue_order_id: str) -> Order | None:
        """Return our order by our id, else by the venue's; None when it is not ours."""
        return self.orders.get(client_order_id or self.venue_ids.get(venue_order_id, ""))

    def is_booked(self, fill: Filled) -> bool:
        """Tell whether an execution is booked."""
        owner = self.owner_of(fill.client_order_id, fill.venue_order_id)
        booked = owner is not None and fill.venue_trade_id in owner.fills
        return booked or fill.venue_trade_id in self.known_trades

    def traded_as(self, asset: str) -> tuple[InstrumentKey, ...]:
        """Return the instruments whose base is an asset, sorted."""
        return tuple(sorted(key for key, each in self.instruments.items() if each.base == asset))

    def whole(self, asset: str) -> int:
        """Return how many units of its ledger scale one whole of an asset has."""
        return int(10 ** self.scales[asset])

    def amount(self, units: int, asset: str) -> str:
        """Return units of an asset's ledger scale as people read them, `0.25 BTC`; as units where it has no scale."""
        return _told(units, self.scales[asset], asset) if asset in self.scales else f"{units} units of {asset}"

    def quantity(self, units: int, instrument: InstrumentKey) -> str:
        """Return quantity units of an instrument as people read them: `0.25 BTC`."""
        of = self.instruments.get(instrument)
        return f"{units} units of {instrument}" if of is None else _told(units, of.qty_scale, of.base)

    def worth(self, asset: str) -> Fraction | None:
        """Return what one unit of an asset is worth in units of the quote asset; None when no price is known."""
        if asset == self.quote:
            return Fraction(1)
        for key in self.traded_as(asset):
            instrument = self.instruments[key]
            if instrument.quote == self.quote and self.marks.get(key, 0) > 0:
                scale = self.scales[self.quote] - self.scales[asset] - instrument.price_scale
                return self.marks[key] * Fraction(10) ** scale
        return None


def _told(units: int, scale: int, asset: str) -> str:
    exact = f"{from_units(units, scale):f}"
    return f"{exact.rstrip('0').rstrip('.') if scale else exact} {asset}"


def looks_ours(client_order_id: str) -> bool:
    """Tell whether a client order id has the form of those that `messages.client_order_id` makes."""
    return bool(_OUR_ID.match(client_order_id))


def rounded(value: Fraction) -> int:
    """Return a fraction as an integer, half away from zero."""
    whole = (2 * abs(value) + 1) // 2
    return int(whole) if value >= 0 else -int(whole)


def effects_of(fill: Filled, instrument: Instrument, scales: Mapping[str, int]) -> dict[str, int]:
    """Return what an execution does to the balances, asset -> units of the asset's ledger scale."""
    base = int(fill.side) * fill.qty_units * 10 ** (scales[instrument.base] - instrument.qty_scale)
    cash = -int(fill.side) * fill.cash_units - fill.fee_units
    return {instrument.base: base, instrument.quote: cash * 10 ** (scales[instrument.quote] - instrument.cash_scale)}


def stand_in(view: View, order: Order, ts_ns: int) -> Filled | None:
    """Return the provisional execution that covers what the venue filled and nobody booked.

    Its price is the order's limit, else the last price: it is never invented.

    Args:
        view: What the trader believes.
        order: The order, with `missing_units` above 0.
        ts_ns: Time that the execution is to have.

    Returns:
        The execution, or None when no price is known.
    """
    request = order.request
    instrument = view.instruments.get(request.instrument)
    price = order.terms.limit_units or view.marks.get(request.instrument, 0)
    if instrument is None or price <= 0 or order.missing_units <= 0:
        return None
    units = order.missing_units
    scale = instrument.cash_scale - instrument.price_scale - instrument.qty_scale
    cash = rounded(price * units * Fraction(10) ** scale)
    return Filled(
        client_order_id=order.client_order_id,
        venue_order_id=order.venue_order_id,
        venue_trade_id=provisional_id(order.client_order_id, order.seen_units),
        instrument=request.instrument,
        side=request.side,
        qty_units=units,
        price_units=price,
        cash_units=cash,
        fee_units=rounded(cash * Fraction(instrument.taker_fee_bps) / 10_000),
        liquidity=int(Liquidity.TAKER),
        ts_event_ns=ts_ns,
        provisional=True,
        reason=0,
    )
