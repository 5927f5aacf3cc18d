"""What a venue, its owner or the market does without being asked by the trader: the faults that a simulation plants.

Each lever changes the venue's truth at once and lets the stream speak of it; to lose, delay or repeat what the stream
says is the business of whoever carries it.
"""

from dataclasses import replace

from novapulse.core.instruments import Instrument, InstrumentKey
from novapulse.core.messages import FillBusted, Flow
from novapulse.core.orders import Filled, OrderRequest, OrderType, Role, Side, Terms, VenueState
from novapulse.core.records import Liquidity, Reason
from novapulse.execution.rules import instrument_records
from novapulse.risk.cash import fee_units, notional_units
from novapulse.risk.settle import clear_position
from novapulse.venues.simulated.account import shift, take_back
from novapulse.venues.simulated.book import Order, Slot, VenueMode
from novapulse.venues.simulated.exchange import SimulatedExchange


class Levers:
    """Acts on a `SimulatedExchange` from behind its counter."""

    def __init__(self, exchange: SimulatedExchange) -> None:
        """Take hold of an exchange."""
        self._exchange = exchange

    def set_mode(self, mode: VenueMode) -> None:
        """Put the venue into a mode."""
        self._exchange.mode = mode

    def delay_cancels(self, delay_ns: int) -> None:
        """Let cancels that are taken from now on have their effect this much later; 0 for at once."""
        self._exchange.cancel_delay_ns = delay_ns

    def set_clock(self, ahead_ns: int) -> None:
        """Let the clock that the venue's answers show be ahead of the true time, or behind it (< 0)."""
        self._exchange.clock_ahead_ns = ahead_ns

    def freeze(self, cash_units: int) -> None:
        """Set how much cash is held back for no order that anybody sees."""
        self._exchange.holdings.frozen_units = cash_units

    def cancel(self, order_id: str, now_ns: int, state: VenueState = VenueState.CANCELED) -> None:
        """End a live order, by the venue's id or its owner's; nobody asked for it.

        Raises:
            ValueError: There is no live order of that id.
        """
        self._exchange.end(self._live(order_id), state, now_ns)

    def cancel_all(self, now_ns: int) -> int:
        """End every live order, as a dead-man switch does, protective ones too; return how many."""
        live = [order for slot in self._exchange.slots.values() for order in slot.live]
        for order in live:
            self._exchange.end(order, VenueState.CANCELED, now_ns)
        return len(live)

    def fill(
        self,
        order_id: str,
        qty_units: int,
        price_units: int,
        now_ns: int,
        *,
        liquidity: Liquidity = Liquidity.MAKER,
        reason: int = 0,
    ) -> Filled:
        """Trade part of a live order, or all of it, outside of any bar.

        Raises:
            ValueError: There is no such live order, or less than that is left of it or can be sold.
        """
        order = self._live(order_id)
        slot = self._exchange.slots[order.request.instrument]
        most = (
            min(order.leaves_units, slot.reducible_units(order.request.side)) if order.reduces else order.leaves_units
        )
        if not 0 < qty_units <= most:
            raise ValueError(f"{order.venue_order_id}: trades {qty_units} units, can trade {most}")
        cash, fee = _amounts(slot, qty_units, price_units, liquidity)
        return self._exchange.trade(slot, order, qty_units, price_units, cash, fee, liquidity, now_ns, reason)

    def fill_both_legs(self, order_id: str, now_ns: int) -> tuple[Filled, Filled | None]:
        """Let target and stop of a live bracket both fill, as in a market that is faster than its venue.

        The second leg trades once more what the first one did: what is left of the position, what lies beside it, and
        further only where the instrument may be sold short. Whatever the bracket's entry had left is cancelled.

        Returns:
            The first leg and the second; None for one that the venue refused.

        Raises:
            ValueError: There is no such live bracket, or it has nothing to close.
        """
        order, exchange = self._live(order_id), self._exchange
        slot, side = exchange.slots[order.request.instrument], order.request.side
        for entry in [one for one in slot.live if one.request.protection and one.request.side == -side]:
            exchange.end(entry, VenueState.CANCELED, now_ns)
        terms, last = order.terms, round(slot.last_price * float(slot.record["price_factor"]))
        units = min(order.leaves_units, slot.reducible_units(side))
        reason = int(Reason.EXIT_TARGET)
        first = self.fill(order_id, units, terms.target_units or last, now_ns, reason=reason)
        there = slot.reducible_units(side) + max(-int(side) * slot.stray_units, 0)
        if side is Side.SELL and not slot.instrument.shortable:
            units = min(units, there)
        if units == 0:
            return first, None
        cash, fee = _amounts(slot, units, terms.stop_units, Liquidity.TAKER)
        reason, price = int(Reason.EXIT_STOP), terms.stop_units
        return first, exchange.trade(slot, order, units, price, cash, fee, Liquidity.TAKER, now_ns, reason)

    def place(
        self, key: InstrumentKey, side: Side, kind: OrderType, terms: Terms, now_ns: int, *, client_order_id: str = ""
    ) -> str:
        """Put an order live that the trader did not send, and return the venue's id of it."""
        return self._exchange.add(
            self._exchange.slots[key], self._foreign(key, side, kind, terms, client_order_id), now_ns
        ).venue_order_id

    def trade(
        self,
        key: InstrumentKey,
        side: Side,
        qty_units: int,
        price_units: int,
        now_ns: int,
        liquidity: Liquidity = Liquidity.TAKER,
    ) -> Filled:
        """Trade by hand: what is bought lies beside the position, what is sold is taken from there first.

        Raises:
            ValueError: More is sold than is held of an instrument that cannot be sold short.
        """
        exchange, slot = self._exchange, self._exchange.slots[key]
        held = slot.held_units + slot.stray_units
        if side is Side.SELL and qty_units > held and not slot.instrument.shortable:
            raise ValueError(f"{key}: sells {qty_units} units, holds {held}")
        cash, fee = _amounts(slot, qty_units, price_units, liquidity)
        request = self._foreign(key, side, OrderType.MARKET, Terms(qty_units), "")
        order = exchange.add(slot, request, now_ns)
        return exchange.trade(slot, order, qty_units, price_units, cash, fee, liquidity, now_ns)

    def bust(self, venue_trade_id: str, now_ns: int) -> None:
        """Take a trade back: cash and holdings are as if it had not been; the order's filled quantity stays.

        Raises:
            ValueError: There is no such trade, or it was taken back already.
        """
        exchange, holdings = self._exchange, self._exchange.holdings
        fill = next((fill for fill in holdings.trades.values() if fill.venue_trade_id == venue_trade_id), None)
        if fill is None or venue_trade_id in holdings.busted:
            raise ValueError(f"there is no trade {venue_trade_id} to take back")
        slot = exchange.slots[fill.instrument]
        holdings.busted.add(venue_trade_id)
        holdings.move_cash(int(fill.side) * fill.cash_units + fill.fee_units)
        if fill.client_order_id:
            take_back(slot, int(fill.side), fill.qty_units)
        else:
            shift(slot, -int(fill.side) * fill.qty_units)
        exchange.say(
            FillBusted(now_ns, fill.instrument, fill.client_order_id, fill.venue_order_id, fill.venue_trade_id)
        )
        exchange.follow(slot, now_ns)

    def flow(self, kind: str, asset: str, asset_units: int, now_ns: int) -> Flow:
        """Let money or an asset come (> 0) or go (< 0) without a trade.

        Raises:
            ValueError: The amount is finer than what the account counts in.
        """
        exchange, holdings = self._exchange, self._exchange.holdings
        slot = holdings.slot_of(asset)
        if asset == holdings.quote:
            holdings.move_cash(holdings.cash_of(asset_units))
        elif slot is not None:
            shift(slot, holdings.qty_of(slot, asset_units))
            exchange.follow(slot, now_ns)
        else:
            holdings.others[asset] = holdings.others.get(asset, 0) + asset_units
        return holdings.book_flow(kind, asset, asset_units, now_ns)

    def change_rules(self, instrument: Instrument) -> None:
        """Trade an instrument by other rules from now on: step, minimums, fees.

        Raises:
            ValueError: The new steps count in other units than the old ones.
        """
        slot = self._exchange.slots[instrument.key]
        before = slot.instrument
        scales = [(i.price_scale, i.qty_scale, i.cash_scale, i.quote, i.base) for i in (before, instrument)]
        if scales[0] != scales[1]:
            raise ValueError(f"{instrument.key}: new rules count in {scales[1]}, the account in {scales[0]}")
        slot.instrument = instrument
        slot.record = instrument_records([instrument])[0]

    def split(self, key: InstrumentKey, new: int, old: int, now_ns: int) -> None:
        """Give `new` for every `old` that is held; the rest of a lot is paid out in cash at the last price.

        Brackets take the new quantity and keep their old prices, other orders end: what a broker is known to do.
        """
        exchange, slot = self._exchange, self._exchange.slots[key]
        for order in list(slot.live):
            if order.request.kind is OrderType.BRACKET:
                left = self._split_units(slot, order.leaves_units, new, old)
                order.terms = replace(order.terms, qty_units=order.filled_units + left)
            else:
                exchange.end(order, VenueState.CANCELED, now_ns)
        before = slot.held_units + slot.stray_units
        position = slot.position
        position.qty_units = self._split_units(slot, slot.held_units, new, old)
        position.qty = position.qty_units / slot.record.qty_factor
        position.entered_units = self._split_units(slot, int(position.entered_units), new, old)
        position.entry_price *= old / new
        if position.qty_units == 0:
            clear_position(position)
        slot.stray_units = self._split_units(slot, slot.stray_units, new, old)
        slot.is_changed = True
        scale = exchange.holdings.scales[slot.instrument.base] - slot.instrument.qty_scale
        gained = slot.held_units + slot.stray_units - before
        exchange.holdings.book_flow("split", slot.instrument.base, gained * 10**scale, now_ns, (new, old))
        exchange.follow(slot, now_ns)
        self._pay_out(slot, before * new - (before + gained) * old, new, now_ns)

    def _pay_out(self, slot: Slot, parts: int, of: int, now_ns: int) -> None:
        # `parts / of` old units at the last price before the split, which is what the rest is worth.
        holdings = self._exchange.holdings
        worth = parts / of / float(slot.record["qty_factor"]) * slot.last_price
        cash_units = int(worth * 10**holdings.cash_scale)
        if cash_units:
            holdings.move_cash(cash_units)
            scale = holdings.scales[holdings.quote] - holdings.cash_scale
            holdings.book_flow("cash_in_lieu", holdings.quote, cash_units * 10**scale, now_ns)

    def _split_units(self, slot: Slot, units: int, new: int, old: int) -> int:
        lot = int(slot.record["lot_units"])
        whole = abs(units) * new // old // lot * lot
        return whole if units >= 0 else -whole

    def _live(self, order_id: str) -> Order:
        order = self._exchange.book.find(order_id)
        if order is None or not order.is_live:
            raise ValueError(f"there is no live order {order_id}")
        return order

    def _foreign(
        self, key: InstrumentKey, side: Side, kind: OrderType, terms: Terms, client_order_id: str
    ) -> OrderRequest:
        return OrderRequest(client_order_id, self._exchange.account, key, "", Role.ENTRY, side, kind, terms, 0)


def _amounts(slot: Slot, units: int, price_units: int, liquidity: int) -> tuple[int, int]:
    cash = int(notional_units(slot.record, price_units, units))
    return cash, int(fee_units(slot.record, cash, liquidity))
