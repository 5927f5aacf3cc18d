"""Orders as the simulated venue has them, and the checks a request has to pass.

Invariants:
- a refusal changes nothing: every check comes before any change;
- the minimums bind an order that only reduces as well: less than that cannot be left alone. A bracket that came with
  its entry is spared them: it was taken with it.
"""

import enum
from dataclasses import dataclass, field

import numpy as np

from novapulse.core.instruments import Instrument
from novapulse.core.orders import OrderRequest, OrderType, Seen, Side, Terms, VenueState
from novapulse.core.ports import Rejected
from novapulse.core.records import ORDER, POSITION, Intent, OrderKind, Record
from novapulse.execution.rules import instrument_records


class Refusal(enum.StrEnum):
    """Why the venue says no: the code of `ports.Rejected`."""

    WRONG_ACCOUNT = "wrong_account"
    UNKNOWN_INSTRUMENT = "unknown_instrument"
    UNKNOWN_ORDER = "unknown_order"
    NOT_LIVE = "not_live"
    DUPLICATE_ID = "duplicate_id"
    BAD_QTY = "bad_qty"
    BAD_PRICE = "bad_price"
    BELOW_MINIMUM = "below_minimum"
    INSUFFICIENT_FUNDS = "insufficient_funds"
    NOTHING_TO_REDUCE = "nothing_to_reduce"
    WOULD_CROSS = "would_cross"
    EXPIRED = "expired"
    CANCEL_ONLY = "cancel_only"
    POST_ONLY = "post_only"
    TRIGGERED = "triggered"


class VenueMode(enum.StrEnum):
    """What the venue does at present. Nothing trades while it is CANCEL_ONLY or in MAINTENANCE."""

    ONLINE = "online"
    POST_ONLY = "post_only"
    CANCEL_ONLY = "cancel_only"
    MAINTENANCE = "maintenance"


class ClientIds(enum.StrEnum):
    """What happens to a request whose client order id was used before."""

    OPEN = "open"
    """Refused while an order of that id is open, a second order afterwards (as Kraken does)."""
    FIRST = "first"
    """Never a second order: the id of the first one comes back (as Coinbase does)."""
    ONCE = "once"
    """Never a second order: refused (as Alpaca does)."""


class Funds(enum.StrEnum):
    """When a buy has to be covered by cash."""

    AT_FILL = "at_fill"
    """As in the backtest: accepted while there is any cash, filled as far as it reaches."""
    AT_SUBMIT = "at_submit"
    """Refused unless free cash, open buys taken off, covers all of it."""


@dataclass(slots=True, eq=False)
class Order:
    """An order as the venue has it.

    Attributes:
        number: In order of arrival at this account.
        venue_order_id: The venue's id.
        request: What was asked for; `terms` is what became of its terms.
        terms: Terms as they stand.
        active_ns: Bars that close after this may fill it.
        updated_ns: Time of the last change.
        state: Live, or how it ended.
        filled_units: Cumulative filled quantity; a trade that was taken back stays in it.
        trigger: Reason of the trigger that made a market order of a bracket; 0 before.
        target_fixed: An amendment set the target: later fills of the entry leave it where it is.
        cancel_ns: A cancel that was taken has its effect from here on; 0 for none.
        executions: Numbers of its trades.
    """

    number: int
    venue_order_id: str
    request: OrderRequest
    terms: Terms
    active_ns: int
    updated_ns: int
    state: VenueState = VenueState.LIVE
    filled_units: int = 0
    trigger: int = 0
    target_fixed: bool = False
    cancel_ns: int = 0
    executions: list[int] = field(default_factory=list)
    _record: Record | None = None

    @property
    def is_live(self) -> bool:
        """Whether it can still fill."""
        return self.state is VenueState.LIVE

    @property
    def leaves_units(self) -> int:
        """Quantity units still to fill."""
        return self.terms.qty_units - self.filled_units

    @property
    def reduces(self) -> bool:
        """Whether it never fills more than what is held."""
        return self.request.reduce_only or self.request.kind is OrderType.BRACKET

    @property
    def trades_first(self) -> bool:
        """Whether it meets a bar before the brackets do: at the market, or resting to enter."""
        kind = self.request.kind
        if kind is OrderType.LIMIT:
            return not self.reduces
        return kind is OrderType.MARKET or self.trigger != 0

    def comes_across(self, slot: "Slot") -> bool:
        """Whether it is an exit that came, since the last bar, with a limit worse than the last price."""
        if not (self.reduces and self.request.kind is OrderType.LIMIT and self.active_ns >= slot.last_close_ns):
            return False
        limit = self.terms.limit_units / float(slot.record["price_factor"])
        # Within half a tick it is the last price itself, with the noise of its float.
        beyond = int(self.request.side) * (limit - slot.last_price)
        return slot.last_price > 0.0 and beyond > 0.5 * float(slot.record["tick"])

    @property
    def client_order_id(self) -> str:
        """The id that its owner gave it; empty for an order of nobody we know."""
        return self.request.client_order_id

    def seen(self) -> Seen:
        """Return what the venue says of it now."""
        return Seen(
            self.client_order_id, self.venue_order_id, self.state, self.filled_units, self.updated_ns, self.terms
        )

    def record(self, instrument: Record) -> Record:
        """Return it as an ORDER record, its quantity that of what is left."""
        if self._record is None:
            self._record = np.zeros(1, ORDER)[0]
            self._record.intent = Intent.EXIT if self.reduces else Intent.ENTRY
            self._record.side = int(self.request.side)
            most = self.request.notional_max_units
            self._record.notional_max = most / instrument.cash_factor if most else np.inf
        record = self._record
        resting = self.request.kind is OrderType.LIMIT
        record["kind"] = OrderKind.LIMIT if resting else OrderKind.MARKET
        record["reason"] = self.trigger
        record["units"] = self.leaves_units
        record["limit_price"] = self.terms.limit_units / float(instrument["price_factor"]) if resting else 0.0
        return record


@dataclass(slots=True, eq=False)
class Slot:
    """One instrument of the account: its rules, what is held of it, and what is live in it.

    Attributes:
        instrument: The venue's rules.
        record: The same, INSTRUMENT.
        position: POSITION: what the account's own orders opened.
        live: Live orders, in order of arrival.
        stray_units: Held besides the position: deposits, trades of others.
        last_close_ns: Close of the last bar that was played; 0 before the first.
        last_price: Last known price; 0.0 before the first.
        is_changed: Whether a file has yet to hear of it.
    """

    instrument: Instrument
    record: Record
    position: Record
    live: list[Order] = field(default_factory=list)
    stray_units: int = 0
    last_close_ns: int = 0
    last_price: float = 0.0
    is_changed: bool = False

    @property
    def held_units(self) -> int:
        """Signed quantity of the position."""
        return int(self.position["qty_units"])

    def reducible_units(self, side: Side) -> int:
        """Return how much of the position an order of a side can take off."""
        return max(-int(side) * self.held_units, 0)


def new_slot(instrument: Instrument) -> Slot:
    """Return an instrument in which nothing happened yet."""
    return Slot(instrument, instrument_records([instrument])[0], np.zeros(1, POSITION)[0])


def check_request(request: OrderRequest, slot: Slot, now_ns: int, mode: VenueMode) -> None:
    """Check everything about a new order that does not depend on money or other orders.

    Raises:
        Rejected: A price or quantity is off the grid or below a minimum, the order would cross, is past its time, has
            nothing to reduce, or the venue's mode does not admit it.
    """
    if mode is VenueMode.CANCEL_ONLY:
        raise Rejected(Refusal.CANCEL_ONLY, "the venue takes cancels only")
    if mode is VenueMode.POST_ONLY and not request.post_only:
        raise Rejected(Refusal.POST_ONLY, "the venue takes post-only orders only")
    if 0 < request.expires_ns <= now_ns:
        raise Rejected(Refusal.EXPIRED, f"expires at {request.expires_ns}, arrived at {now_ns}")
    check_terms(request, request.terms, slot)
    reduces = request.reduce_only or request.kind is OrderType.BRACKET
    if reduces and slot.reducible_units(request.side) == 0:
        raise Rejected(Refusal.NOTHING_TO_REDUCE, f"{slot.instrument.key}: holds {slot.held_units} units")
    _check_minimums(request, slot)


def check_terms(request: OrderRequest, terms: Terms, slot: Slot) -> None:
    """Check quantity and prices against the grid, and a post-only limit against the last price.

    Raises:
        Rejected: One of them cannot be.
    """
    lot, tick = int(slot.record["lot_units"]), int(slot.record["tick_units"])
    if terms.qty_units <= 0 or terms.qty_units % lot:
        raise Rejected(Refusal.BAD_QTY, f"{terms.qty_units} units: expected a positive multiple of {lot}")
    needed = {
        OrderType.MARKET: (),
        OrderType.LIMIT: (("limit", terms.limit_units),),
        OrderType.BRACKET: (("stop", terms.stop_units),),
    }[request.kind]
    for name, units in needed:
        if units <= 0:
            raise Rejected(Refusal.BAD_PRICE, f"a {request.kind} order needs a {name} price")
    for units in (terms.limit_units, terms.stop_units, terms.target_units):
        if units < 0 or units % tick:
            raise Rejected(Refusal.BAD_PRICE, f"price of {units} units: expected a multiple of {tick}")
    if request.post_only and request.kind is OrderType.LIMIT and slot.last_price > 0.0:
        limit = terms.limit_units / float(slot.record["price_factor"])
        if int(request.side) * (limit - slot.last_price) > 0.0:
            raise Rejected(Refusal.WOULD_CROSS, f"limit {limit:g}, last price {slot.last_price:g}")


def _check_minimums(request: OrderRequest, slot: Slot) -> None:
    units, record = request.terms.qty_units, slot.record
    own_units = {OrderType.LIMIT: request.terms.limit_units, OrderType.BRACKET: request.terms.stop_units}
    own = own_units.get(request.kind, 0) / float(record["price_factor"])
    price = own or slot.last_price
    least = int(record["qty_min_units"])
    if units < least:
        raise Rejected(Refusal.BELOW_MINIMUM, f"{units} units: the least is {least}")
    worth = units / float(record["qty_factor"]) * price
    if price > 0.0 and worth < float(record["notional_min"]):
        raise Rejected(Refusal.BELOW_MINIMUM, f"worth {worth:g}: the least is {slot.instrument.notional_min}")
