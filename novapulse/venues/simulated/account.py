"""What the simulated venue holds for one account: cash, positions, trades, and movements without a trade.

Invariants:
- cash moves by the notional and the fee of each trade and by flows, in whole units, and by nothing else;
- a trade has one number and one id for ever; one that is taken back stays in the list of numbers;
- memory is bounded: of trades, the last `history_max` are kept.
"""

from collections.abc import Mapping

import numpy as np

from novapulse.core.instruments import InstrumentKey
from novapulse.core.messages import Flow
from novapulse.core.orders import Filled
from novapulse.core.records import ACCOUNT
from novapulse.risk.cash import notional_units
from novapulse.risk.settle import blended_price, clear_position
from novapulse.venues.simulated.book import Slot


class Holdings:
    """Cash, what is held, and how it came to be so."""

    def __init__(self, slots: Mapping[InstrumentKey, Slot], capital_units: int, scales: Mapping[str, int]) -> None:
        """Open an account.

        Args:
            slots: Its instruments, all in one quote asset of one cash scale.
            capital_units: Opening cash, cash units.
            scales: Asset -> decimal digits in which balances and flows are told; those missing have the digits of the
                account's own instruments.

        Raises:
            ValueError: Quote assets or cash scales differ, or a scale is too coarse for an instrument.
        """
        quotes = {(slot.instrument.quote, slot.instrument.cash_scale) for slot in slots.values()}
        if len(quotes) != 1:
            listed = ", ".join(f"{quote} of {scale} digits" for quote, scale in sorted(quotes))
            raise ValueError(f"an account of the simulated venue has one quote asset, got {listed or 'no instrument'}")
        ((self.quote, self.cash_scale),) = quotes
        self.slots = slots
        self.scales = self._scales(scales)
        self.record = np.zeros(1, ACCOUNT)[0]
        self.cash_units = 0
        self.frozen_units = 0
        self.others: dict[str, int] = {}
        self.trades: dict[int, Filled] = {}
        self.trades_made = 0
        self.busted: set[str] = set()
        self.flows: list[Flow] = []
        self.move_cash(capital_units)

    def _scales(self, given: Mapping[str, int]) -> dict[str, int]:
        scales = {self.quote: self.cash_scale}
        for slot in self.slots.values():
            base = slot.instrument.base
            scales[base] = max(scales.get(base, 0), slot.instrument.qty_scale)
        for asset, least in scales.items():
            if given.get(asset, least) < least:
                raise ValueError(f"scale of {asset} is {given[asset]}: its instruments need {least} digits")
        return scales | dict(given)

    def move_cash(self, units: int) -> None:
        """Add to the cash, or take from it."""
        self.cash_units += units
        self.record.cash_units = self.cash_units
        self.record.cash = self.cash_units / 10.0**self.cash_scale

    def keep(self, trade: Filled, history_max: int) -> int:
        """Write down a trade and return its number."""
        number = self.trades_made
        self.trades[number] = trade
        self.trades_made += 1
        if len(self.trades) > history_max:
            oldest = next(iter(self.trades))
            self.busted.discard(self.trades.pop(oldest).venue_trade_id)
        return number

    @property
    def first_kept(self) -> int:
        """Number of the oldest trade still in memory."""
        return self.trades_made - len(self.trades)

    def book_flow(self, kind: str, asset: str, asset_units: int, ts_ns: int, ratio: tuple[int, int] = (0, 0)) -> Flow:
        """Write down a movement without a trade; what is held has changed already.

        Args:
            kind: What it was.
            asset: Of what.
            asset_units: How much, signed, in units of its scale.
            ts_ns: When.
            ratio: New and old shares of a split; zeros for anything else.
        """
        flow = Flow(f"F{len(self.flows) + 1:07d}", kind, asset, asset_units, ts_ns, *ratio)
        self.flows.append(flow)
        return flow

    def balances(self) -> dict[str, int]:
        """Return the total of each asset, free and held, in units of its scale."""
        totals = dict.fromkeys(self.scales, 0)
        totals[self.quote] = self.cash_units * 10 ** (self.scales[self.quote] - self.cash_scale)
        for slot in self.slots.values():
            base = slot.instrument.base
            units = slot.held_units + slot.stray_units
            totals[base] += units * 10 ** (self.scales[base] - slot.instrument.qty_scale)
        for asset, units in self.others.items():
            totals[asset] = totals.get(asset, 0) + units
        return totals

    def cash_of(self, asset_units: int) -> int:
        """Return cash units for an amount of the quote asset in its scale.

        Raises:
            ValueError: The amount is finer than a cash unit.
        """
        return _coarser(self.quote, asset_units, self.scales[self.quote], self.cash_scale)

    def slot_of(self, asset: str) -> Slot | None:
        """Return the first instrument that an asset is the base of."""
        return next((slot for slot in self.slots.values() if slot.instrument.base == asset), None)

    def qty_of(self, slot: Slot, asset_units: int) -> int:
        """Return quantity units of an instrument for an amount of its base asset in the asset's scale.

        Raises:
            ValueError: The amount is finer than a quantity unit.
        """
        base = slot.instrument.base
        return _coarser(base, asset_units, self.scales[base], slot.instrument.qty_scale)


def _coarser(asset: str, units: int, scale: int, coarser: int) -> int:
    step: int = 10 ** (scale - coarser)
    whole, rest = divmod(units, step)
    if rest:
        raise ValueError(f"{units} units of {asset} at {scale} digits do not fit {coarser} digits")
    return whole


def hold(slot: Slot, side: int, units: int, price_units: int, cash_units: int) -> None:
    """Let a trade change what is held: averages as `risk.settle` makes them.

    It closes what the position has on the other side, then takes what lies beside it there; the rest opens: a venue has
    one holding, which is never long and short at a time.

    Args:
        slot: Instrument; its position is changed.
        side: +1 bought, -1 sold.
        units: Quantity units, > 0.
        price_units: Price.
        cash_units: Notional of the whole trade.
    """
    position, held = slot.position, slot.held_units
    beside = _take_from_beside(slot, side, units)
    added = max(units - max(-side * held, 0) - beside, 0)
    spent = cash_units if added == units else int(notional_units(slot.record, price_units, added))
    units -= beside
    slot.is_changed = True
    if added > 0:
        if held * side <= 0:
            clear_position(position)
            position.direction = side
        price = price_units / slot.record.price_factor
        position.entry_price = blended_price(position.entry_price, position.entered_units, price, added)
        position.entered_units += added
        position.entry_units += spent
    position.qty_units = held + side * units
    position.qty = position.qty_units / slot.record.qty_factor
    if position.qty_units == 0:
        clear_position(position)


def _take_from_beside(slot: Slot, side: int, units: int) -> int:
    # What is beyond the position on the other side comes from what lies beside it there, as far as that reaches.
    beyond = max(units - max(-side * slot.held_units, 0), 0)
    beside = min(beyond, max(-side * slot.stray_units, 0))
    slot.stray_units += side * beside
    return beside


def take_back(slot: Slot, side: int, units: int) -> None:
    """Let a trade of the account's own not have happened: its quantity goes the other way, as a trade's would.

    Args:
        slot: Instrument.
        side: Of the trade, +1 bought, -1 sold.
        units: Quantity units, > 0.
    """
    beside = _take_from_beside(slot, -side, units)
    shift_position(slot, -side * (units - beside))


def shift(slot: Slot, units: int) -> None:
    """Change what is held by a signed quantity without a trade of the account's own.

    What comes in covers a short position first, and lies beside one otherwise; what goes out is taken from there first:
    a venue has one holding, which is never long and short at a time.
    """
    slot.is_changed = True
    beside = max(units + min(slot.held_units, 0), 0) if units > 0 else max(units, -max(slot.stray_units, 0))
    slot.stray_units += beside
    if units != beside:
        shift_position(slot, units - beside)


def shift_position(slot: Slot, units: int) -> None:
    """Change a position by a signed quantity that no trade explains; its averages stay."""
    position = slot.position
    slot.is_changed = True
    position.qty_units += units
    position.qty = position.qty_units / slot.record.qty_factor
    if position.qty_units == 0:
        clear_position(position)
    else:
        position.direction = 1 if position.qty_units > 0 else -1
