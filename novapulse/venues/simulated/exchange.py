"""The simulated venue's truth about one account: orders, trades, balances, and what its stream would say.

Invariants:
- nothing here reads a clock, a file or chance: the same calls in the same order leave the same state, ids included;
- a request that is refused changes nothing;
- a bar is played once: one that does not close after the last of its instrument does nothing;
- a bracket exists from the first fill of the entry that carries it, covers what that entry filled as far as it is still
  held, and ends with the position; its stop follows the entry's average until an amendment moved it, and is never
  loosened but by an amendment.
"""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace

from novapulse.core.instruments import AccountKey, Instrument, InstrumentKey
from novapulse.core.messages import FillBusted, FillReported, Flow, OrderReported, VenueOrder
from novapulse.core.orders import Filled, OrderRequest, OrderType, Seen, Side, Terms, VenueState
from novapulse.core.ports import Rejected, Unavailable
from novapulse.core.records import Record
from novapulse.venues.simulated.account import Holdings, hold, shift
from novapulse.venues.simulated.book import (
    ClientIds,
    Funds,
    Order,
    Refusal,
    Slot,
    VenueMode,
    check_request,
    check_terms,
    new_slot,
)
from novapulse.venues.simulated.brackets import bound_in, bound_units, bracket_request, bracket_terms, may_grow
from novapulse.venues.simulated.matching import Matcher
from novapulse.venues.simulated.orderbook import OrderBook

StreamEvent = OrderReported | FillReported | FillBusted

_NEVER = 2**63 - 1


class SimulatedExchange:
    """One account at a simulated exchange: synchronous, deterministic, time by argument.

    Attributes:
        account: Whose.
        slots: Instrument -> its rules and what is held and live in it.
        holdings: Cash, trades and flows.
        book: Orders by their ids: all that are live and the last `history_max` that ended.
        mode: What the venue does at present.
        cancel_delay_ns: A cancel has its effect this much later than it is taken.
        clock_ahead_ns: How far its own clock, which its answers show, is ahead of the time it is given.
        changed: Orders changed since a file last took them, by number; kept only while `is_recorded`.
        is_recorded: Whether a file follows.
        follows_others: Whether brackets follow trades of others at once, and not with the account's next own trade.
    """

    def __init__(
        self,
        account: AccountKey,
        instruments: Sequence[Instrument],
        rules: Record,
        capital_units: int,
        *,
        scales: Mapping[str, int] | None = None,
        client_ids: ClientIds = ClientIds.OPEN,
        funds: Funds = Funds.AT_FILL,
        history_max: int = 20_000,
    ) -> None:
        """Open the account.

        Args:
            account: Whose.
            instruments: What can be traded, in one quote asset.
            rules: RULES; of it only what the fill model reads.
            capital_units: Opening cash, cash units.
            scales: Asset -> decimal digits of balances and flows; None means the digits of the instruments.
            client_ids: What a client order id that was used before does.
            funds: When a buy has to be covered.
            history_max: Ended orders, and trades, that are kept in memory.

        Raises:
            ValueError: The instruments do not fit one account, or a scale does not fit them.
        """
        self.account = account
        self.slots = {instrument.key: new_slot(instrument) for instrument in instruments}
        self.holdings = Holdings(self.slots, capital_units, scales or {})
        self.book = OrderBook(history_max)
        self.mode = VenueMode.ONLINE
        self.cancel_delay_ns = 0
        self.clock_ahead_ns = 0
        self.changed: dict[int, Order] = {}
        self.is_recorded = False
        self.follows_others = True
        self.client_ids = client_ids
        self.funds = funds
        self.history_max = history_max
        self._crc = zlib.crc32(f"{account.exchange} {account.account_id}".encode())
        self._events: list[StreamEvent] = []
        self._matcher = Matcher(rules, self.holdings.record, self)
        self._due_ns = _NEVER
        self._now_ns = 0
        self._bar_ns = 0

    # ---- Requests ----

    def submit(self, request: OrderRequest, now_ns: int) -> str:
        """Take an order and return the venue's id of it; it may fill on bars that close after `now_ns`.

        Raises:
            Rejected: The venue refuses; the code is a `Refusal`.
            Unavailable: The venue is in maintenance.
        """
        self._answer(now_ns)
        if request.account != self.account:
            raise Rejected(Refusal.WRONG_ACCOUNT, f"{request.account} at the door of {self.account}")
        used = self.book.of_client(request.client_order_id)
        if used and self.client_ids is ClientIds.FIRST:
            return used[0].venue_order_id
        if any(order.is_live or self.client_ids is ClientIds.ONCE for order in used):
            raise Rejected(Refusal.DUPLICATE_ID, f"client order id {request.client_order_id}")
        slot = self.slots.get(request.instrument)
        if slot is None:
            raise Rejected(Refusal.UNKNOWN_INSTRUMENT, str(request.instrument))
        check_request(request, slot, now_ns, self.mode)
        if not (request.reduce_only or request.kind is OrderType.BRACKET):
            self._check_funds(request, slot)
        order_id = self.add(slot, request, now_ns).venue_order_id
        if request.kind is OrderType.BRACKET:
            self.follow(slot, now_ns)
        return order_id

    def cancel(self, order_id: str, now_ns: int) -> None:
        """Take a cancel, by the venue's id or ours; it is done at once, or `cancel_delay_ns` later.

        Raises:
            Rejected: No order of that id, or it has ended.
            Unavailable: The venue is in maintenance.
        """
        self._answer(now_ns)
        order = self._live(order_id)
        if self.cancel_delay_ns == 0:
            self.end(order, VenueState.CANCELED, now_ns)
            return
        # Asked once more, it is done when it was to be done.
        order.cancel_ns = order.cancel_ns or now_ns + self.cancel_delay_ns
        self._due_ns = min(self._due_ns, order.cancel_ns)
        self.note(order)

    def amend(self, order_id: str, terms: Terms, now_ns: int) -> None:
        """Change an order in place: same ids, fills kept, active for bars that close after `now_ns`.

        A quantity that is filled already cancels the rest. A bracket whose entry may still fill keeps its quantity,
        which follows what is held; any other has what it is told, up to that. It guards on while its prices move.

        Raises:
            Rejected: No live order of that id, a bracket that was triggered, or terms that cannot be.
            Unavailable: The venue is in maintenance.
        """
        self._answer(now_ns)
        order = self._live(order_id)
        slot, request = self.slots[order.request.instrument], order.request
        if self.mode is VenueMode.CANCEL_ONLY:
            raise Rejected(Refusal.CANCEL_ONLY, "the venue takes cancels only")
        if order.trigger:
            raise Rejected(Refusal.TRIGGERED, f"{order.venue_order_id} was triggered and is at the market")
        if request.kind is OrderType.BRACKET:
            most = order.filled_units + slot.reducible_units(request.side)
            units = order.terms.qty_units if may_grow(slot, request) else min(terms.qty_units, most)
            terms = replace(terms, qty_units=units)
        check_terms(request, terms, slot)
        if request.kind is OrderType.BRACKET:
            order.target_fixed = order.target_fixed or terms.target_units != order.terms.target_units
        else:
            order.active_ns = now_ns
        if terms.qty_units <= order.filled_units:
            order.terms = replace(terms, qty_units=order.filled_units)
            self.end(order, VenueState.CANCELED, now_ns)
            return
        order.terms = terms
        self._report(order, now_ns)

    # ---- What it says ----

    def lookup(self, client_order_id: str) -> tuple[Seen, tuple[Filled, ...]] | None:
        """Return what there is of a client order id: of several orders the live one, else the last; None for none."""
        orders = self.book.of_client(client_order_id)
        if not orders:
            return None
        order = next((order for order in orders if order.is_live), orders[-1])
        return order.seen(), self.fills_of(order)

    def fills_of(self, order: Order) -> tuple[Filled, ...]:
        """Return the trades of an order that stand, as far as they are kept."""
        return tuple(fill for number in order.executions if (fill := self._standing(number)) is not None)

    def open_orders(self) -> tuple[VenueOrder, ...]:
        """Return all live orders, in order of arrival."""
        live = sorted((order for slot in self.slots.values() for order in slot.live), key=lambda order: order.number)
        return tuple(
            VenueOrder(order.seen(), order.request.instrument, order.request.side, order.terms.qty_units)
            for order in live
        )

    def fills_after(self, cursor: int, overlap: int = 0) -> tuple[tuple[Filled, ...], int]:
        """Return the trades that stand from number `cursor - overlap` on, and the cursor for the next read.

        Raises:
            LookupError: Trades from there on are not kept any more.
        """
        first = max(cursor - overlap, 0)
        if first < self.holdings.first_kept:
            raise LookupError(f"trades are kept from {self.holdings.first_kept} on, asked for {first}")
        numbers = range(first, self.holdings.trades_made)
        fills = tuple(fill for number in numbers if (fill := self._standing(number)) is not None)
        return fills, self.holdings.trades_made

    def flows_after(self, cursor: int) -> tuple[tuple[Flow, ...], int]:
        """Return the movements without a trade from number `cursor` on, and the cursor for the next read."""
        flows = self.holdings.flows
        return tuple(flows[cursor:]), len(flows)

    def balances(self) -> dict[str, int]:
        """Return asset -> total, free and held, in units of its scale."""
        return self.holdings.balances()

    def take_events(self) -> list[StreamEvent]:
        """Return what the stream says since this was last asked, in order."""
        events, self._events = self._events, []
        return events

    # ---- Time and market ----

    def advance(self, now_ns: int) -> None:
        """Let time pass: orders whose time is over expire, cancels that were taken have their effect."""
        self._now_ns = max(self._now_ns, now_ns)
        if now_ns <= self._due_ns:
            return
        for slot in self.slots.values():
            self._pass_time(slot, now_ns)
        live = [order for slot in self.slots.values() for order in slot.live]
        dues = [due for order in live for due in (order.request.expires_ns, order.cancel_ns) if due > 0]
        self._due_ns = min(dues, default=_NEVER)

    def on_bar(self, key: InstrumentKey, bar: Record, now_ns: int) -> bool:
        """Play a closed bar.

        Args:
            key: Instrument.
            bar: BAR.
            now_ns: When the venue's stream says what came of it.

        Returns:
            False for a bar that was played before, or that is older than the last one.

        Raises:
            KeyError: The account does not trade the instrument.
        """
        slot = self.slots[key]
        ts_close_ns = int(bar["ts_close_ns"])
        if ts_close_ns <= slot.last_close_ns:
            return False
        if slot.live:
            self._play(slot, bar, ts_close_ns, now_ns)
        slot.last_close_ns = ts_close_ns
        slot.last_price = float(bar["close"])
        slot.is_changed = True
        return True

    def on_trade(self, key: InstrumentKey, print_: Record, now_ns: int) -> bool:
        """Play a public trade: a BAR of one price, its close the trade's time.

        Trades of one time are all played; one that is older than the last bar or trade is not, and False comes back.
        A bar that holds trades which were played is not to be played as well.

        Raises:
            KeyError: The account does not trade the instrument.
        """
        slot = self.slots[key]
        if slot.last_close_ns == int(print_["ts_close_ns"]):
            slot.last_close_ns -= 1
        return self.on_bar(key, print_, now_ns)

    def _play(self, slot: Slot, bar: Record, ts_close_ns: int, now_ns: int) -> None:
        self._now_ns = max(self._now_ns, now_ns)
        self._pass_time(slot, ts_close_ns)
        if self.mode in (VenueMode.ONLINE, VenueMode.POST_ONLY):
            self._bar_ns = ts_close_ns
            self._matcher.play(slot, bar)

    def _pass_time(self, slot: Slot, now_ns: int) -> None:
        for order in list(slot.live):
            if 0 < order.cancel_ns < now_ns:
                self.end(order, VenueState.CANCELED, order.cancel_ns)
            elif 0 < order.request.expires_ns < now_ns:
                self.end(order, VenueState.EXPIRED, order.request.expires_ns)

    # ---- Books: called by the matcher, the levers and the file ----

    def add(self, slot: Slot, request: OrderRequest, now_ns: int) -> Order:
        """Make an order live without a check."""
        active_ns = now_ns if not request.attached_to else 0
        number = self.book.made
        order = Order(number, self._id("O", number), request, request.terms, active_ns, now_ns)
        self.book.made += 1
        self.index(order)
        self._report(order, now_ns)
        return order

    def index(self, order: Order) -> None:
        """File an order under its ids; a live one in its instrument as well."""
        self.book.file(order)
        if order.is_live:
            self.slots[order.request.instrument].live.append(order)
            self._due_ns = min(self._due_ns, *(due or _NEVER for due in (order.request.expires_ns, order.cancel_ns)))

    def end(self, order: Order, state: VenueState, now_ns: int) -> None:
        """End a live order."""
        order.state = state
        self.slots[order.request.instrument].live.remove(order)
        self._report(order, now_ns)
        self.book.retire(order)

    def execute(self, slot: Slot, order: Order, fill: Record, reason: int) -> None:
        """Book a FILL of an order."""
        units, price = int(fill["qty_units"]), int(fill["price_units"])
        cash, fee, liquidity = int(fill["cash_units"]), int(fill["fee_units"]), int(fill["liquidity"])
        self.trade(slot, order, units, price, cash, fee, liquidity, int(fill["ts_ns"]), reason)

    def trade(
        self,
        slot: Slot,
        order: Order,
        units: int,
        price_units: int,
        cash_units: int,
        fee_units: int,
        liquidity: int,
        ts_ns: int,
        reason: int = 0,
    ) -> Filled:
        """Book a trade of an order: cash, position, the order, and the brackets that follow from it."""
        side = order.request.side
        fill = Filled(
            order.client_order_id,
            order.venue_order_id,
            self._id("T", self.holdings.trades_made),
            order.request.instrument,
            side,
            units,
            price_units,
            cash_units,
            fee_units,
            int(liquidity),
            ts_ns,
            reason=reason,
        )
        order.executions.append(self.holdings.keep(fill, self.history_max))
        self.holdings.move_cash(-int(side) * cash_units - fee_units)
        self._events.append(FillReported(self._now_ns, fill))
        if order.client_order_id:
            hold(slot, int(side), units, price_units, cash_units)
        else:
            shift(slot, int(side) * units)
        order.filled_units += units
        if order.leaves_units == 0:
            self.end(order, VenueState.FILLED, ts_ns)
        else:
            self._report(order, ts_ns)
        if order.request.protection is not None:
            self._protect(slot, order, units, ts_ns)
        if order.client_order_id or self.follows_others:
            self.follow(slot, ts_ns)
        return fill

    def follow(self, slot: Slot, ts_ns: int) -> None:
        """Let brackets and other reducing orders follow what is held: none is larger, none outlives it."""
        for order in [order for order in slot.live if order.reduces]:
            most = slot.reducible_units(order.request.side)
            if most == 0:
                self.end(order, VenueState.CANCELED, ts_ns)
            elif order.request.kind is OrderType.BRACKET and order.leaves_units > most:
                order.terms = replace(order.terms, qty_units=order.filled_units + most)
                self._report(order, ts_ns)

    def cancel_rest(self, slot: Slot, order: Order) -> None:
        """End an order at the close of the bar that is played."""
        self.end(order, VenueState.CANCELED, self._bar_ns)

    def note(self, order: Order) -> None:
        """Hear that an order changed, so that a file may."""
        if self.is_recorded:
            self.changed[order.number] = order

    def say(self, event: StreamEvent) -> None:
        """Let the stream say something."""
        self._events.append(event)

    def _protect(self, slot: Slot, entry: Order, units: int, ts_ns: int) -> None:
        protection = entry.request.protection
        assert protection is not None
        bracket = self.book.find(protection.client_order_id)
        if bracket is not None and not bracket.is_live:
            return
        terms = bracket_terms(slot, protection, bracket, units)
        if bracket is None:
            self.add(slot, bracket_request(entry.request, protection, terms), ts_ns)
        else:
            bracket.terms = terms
            self._report(bracket, ts_ns)

    def _check_funds(self, request: OrderRequest, slot: Slot) -> None:
        holdings, units = self.holdings, request.terms.qty_units
        if request.side is Side.SELL:
            held = slot.held_units + slot.stray_units
            if not slot.instrument.shortable and units > held:
                raise Rejected(Refusal.INSUFFICIENT_FUNDS, f"sells {units} units of {request.instrument}, holds {held}")
            return
        free, needed = holdings.cash_units - holdings.frozen_units, 1
        if self.funds is Funds.AT_SUBMIT:
            free -= bound_in(self.slots.values())
            needed = bound_units(slot, request, units)
        if free < needed:
            raise Rejected(Refusal.INSUFFICIENT_FUNDS, f"needs {needed} cash units, {free} are free")

    def _answer(self, now_ns: int) -> None:
        if self.mode is VenueMode.MAINTENANCE:
            raise Unavailable("the venue is in maintenance")
        self.advance(now_ns)

    def _live(self, order_id: str) -> Order:
        order = self.book.find(order_id)
        if order is None:
            raise Rejected(Refusal.UNKNOWN_ORDER, order_id)
        if not order.is_live:
            raise Rejected(Refusal.NOT_LIVE, f"{order.venue_order_id} is {order.state}")
        return order

    def _standing(self, number: int) -> Filled | None:
        fill = self.holdings.trades.get(number)
        return None if fill is None or fill.venue_trade_id in self.holdings.busted else fill

    def _report(self, order: Order, ts_ns: int) -> None:
        order.updated_ns = ts_ns
        self.note(order)
        self._events.append(OrderReported(self._now_ns, order.seen()))

    def _id(self, letter: str, number: int) -> str:
        return f"{letter}{self._crc:08X}-{number + 1:07d}"
