"""One bar against the orders of one instrument, in the order of the backtest's `trade_bar`.

Market orders and exits across the spread trade at the open, and entries rest in the bar; then the bracket, on what is
held by then; resting exits come last, so that a bar which holds both a stop and a better exit fills the stop. All of
them share what the bar's volume can fill. A bracket that was touched and found no volume is a market order from then
on, and whatever touches a bracket ends the entry that it protects.
"""

from typing import Protocol

import numpy as np

from novapulse.core.orders import OrderType
from novapulse.core.records import FILL, Liquidity, OrderKind, Record
from novapulse.execution.fills import Protection as Hit
from novapulse.execution.fills import fill_order, fill_protection, fillable_units, touches_protection
from novapulse.execution.room import entry_room
from novapulse.venues.simulated.book import Order, Slot


class Desk(Protocol):
    """Who keeps the books while a bar is played."""

    def execute(self, slot: Slot, order: Order, fill: Record, reason: int) -> None:
        """Book a FILL of an order; `reason` is what the trade carries."""
        ...

    def cancel_rest(self, slot: Slot, order: Order) -> None:
        """End an order at the bar's close."""
        ...

    def note(self, order: Order) -> None:
        """Hear that an order changed without a trade."""
        ...


class Matcher:
    """The fill model of one account."""

    def __init__(self, rules: Record, cash: Record, desk: Desk) -> None:
        """Take what an account brings.

        Args:
            rules: RULES.
            cash: ACCOUNT of the venue's cash, kept up by the desk.
            desk: Told what fills and what ends, in order.
        """
        self.rules = rules
        self._cash = cash
        self._desk = desk
        self._fill = np.zeros(1, FILL)[0]

    def play(self, slot: Slot, bar: Record) -> None:
        """Let one bar act on the live orders of an instrument."""
        ts_close_ns, _, high, low, _, volume = bar.item()
        room = fillable_units(slot.record, volume, self.rules)
        held_at_open = slot.held_units != 0
        entered_inside = False
        across = [order for order in slot.live if order.comes_across(slot)]
        for order in [order for order in slot.live if order.trades_first or order in across]:
            filled = self._try(slot, order, bar, ts_close_ns, room, across=order in across)
            if filled:
                room -= filled
                rested = order.request.kind is OrderType.LIMIT and not order.reduces
                entered_inside = entered_inside or rested
                held_at_open = held_at_open or not rested
        for order in [order for order in slot.live if order.request.kind is OrderType.BRACKET]:
            if slot.held_units == 0:
                break
            if order.is_live and ts_close_ns > order.active_ns and slot.reducible_units(order.request.side) > 0:
                _show(slot, order)
                if touches_protection(slot.position, low, high):
                    room -= self._protect(slot, order, bar, room, held_at_open, entered_inside)
        for order in [order for order in slot.live if order.reduces and order.request.kind is OrderType.LIMIT]:
            room -= self._try(slot, order, bar, ts_close_ns, room)

    def _try(self, slot: Slot, order: Order, bar: Record, ts_close_ns: int, room: int, *, across: bool = False) -> int:
        if not order.is_live or ts_close_ns <= order.active_ns:
            return 0
        record = order.record(slot.record)
        if across:
            record["kind"] = OrderKind.ACROSS
        if order.reduces:
            room = min(room, slot.reducible_units(order.request.side))
        else:
            room = entry_room(self._cash, slot.position, record, room, bar, slot.record, self.rules)
            if order.request.side < 0 and not slot.instrument.shortable:
                room = min(room, slot.held_units + slot.stray_units)
        if not fill_order(record, slot.record, bar, self.rules, room, self._fill):
            return 0
        units = int(self._fill["qty_units"])
        self._desk.execute(slot, order, self._fill, order.trigger)
        return units

    def _protect(
        self, slot: Slot, order: Order, bar: Record, room: int, held_at_open: bool, entered_inside: bool
    ) -> int:
        most = min(room, order.leaves_units)
        fill = self._fill
        hit = fill_protection(slot.position, slot.record, bar, self.rules, most, held_at_open, entered_inside, fill)
        if hit == Hit.NOT_REACHED:
            return 0
        opening = -order.request.side
        for entry in [entry for entry in slot.live if entry.request.protection and entry.request.side == opening]:
            self._desk.cancel_rest(slot, entry)
        reason, units, liquidity = int(fill["reason"]), int(fill["qty_units"]), int(fill["liquidity"])
        ts_close_ns = int(fill["ts_ns"])
        if hit == Hit.FILLED:
            self._desk.execute(slot, order, fill, reason)
        if order.is_live and liquidity == Liquidity.TAKER:
            order.trigger = reason
            order.active_ns = ts_close_ns
            self._desk.note(order)
        return units if hit == Hit.FILLED else 0


def _show(slot: Slot, order: Order) -> None:
    factor = float(slot.record["price_factor"])
    slot.position["stop_price"] = order.terms.stop_units / factor
    slot.position["target_price"] = order.terms.target_units / factor
