"""Lots: what is left of the executions that opened a position, and what its parts bring when they are closed.

Invariants:
- lots are closed first in, first out, fees included in what they cost and bring; nothing is rounded: a part of a lot
  costs its share as a fraction;
- a split changes how many units a lot has, never what it cost;
- an execution that was taken back takes its lot away with what it cost, where nothing of it was sold yet.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction

from novapulse.core.instruments import InstrumentKey
from novapulse.ledger.movements import Execution


@dataclass(slots=True)
class Lot:
    """What is left of an execution that opened a position.

    Attributes:
        units: Signed, ledger units of the base asset.
        money: What it brought, fees paid, ledger units of the quote asset: negative for what was bought.
        execution: The execution.
        worth: What it was traded for at its price, fees apart: ledger units times price units, >= 0.
    """

    units: int
    money: Fraction
    execution: Execution
    worth: Fraction = Fraction(0)


@dataclass(frozen=True, slots=True)
class Realised:
    """What a part of a position brought when it was closed.

    Attributes:
        instrument: What was traded.
        opened: The execution that opened it; None for a correction of cash.
        closed: The execution that closed it, or the split that left nothing of it.
        units: Ledger units of the base asset, > 0; 0 for a correction.
        pnl: Ledger units of the quote asset, fees paid.
    """

    instrument: InstrumentKey
    opened: Execution | None
    closed: Execution
    units: int
    pnl: Fraction


@dataclass(slots=True)
class Inventory:
    """Lots of one instrument, first in, first out."""

    instrument: InstrumentKey
    lots: deque[Lot] = field(default_factory=deque)

    @property
    def units(self) -> int:
        """Signed quantity held."""
        return sum(lot.units for lot in self.lots)

    def take(self, one: Execution) -> Iterator[Realised]:
        """Take an execution in and yield what it realised."""
        units, money = one.base_units, Fraction(one.cash_units - one.fee_units)
        if one.fill is None and not one.is_flow and units and (lot := self._whole_lot_of(one.venue_trade_id, -units)):
            self.lots.remove(lot)
            if rest := lot.money + money:
                yield Realised(self.instrument, lot.execution, one, 0, rest)
            return
        if units == 0:
            # The cash of an execution that stood in for others is put right.
            if self.lots:
                self.lots[-1].money += money
            elif money:
                yield Realised(self.instrument, None, one, 0, money)
            return
        per_unit = money / abs(units)
        while units and self.lots and (self.lots[0].units > 0) != (units > 0):
            lot = self.lots[0]
            part = min(abs(units), abs(lot.units))
            brought = lot.money * Fraction(part, abs(lot.units))
            yield Realised(self.instrument, lot.execution, one, part, brought + per_unit * part)
            sign = 1 if units > 0 else -1
            units -= sign * part
            lot.units += sign * part
            lot.money -= brought
            lot.worth -= lot.worth * Fraction(part, part + abs(lot.units))
            if lot.units == 0:
                self.lots.popleft()
        if units:
            price = one.price_units if one.fill is None else one.fill.price_units
            self.lots.append(Lot(units, per_unit * abs(units), one, Fraction(abs(units) * price)))

    def split(self, ratio: Fraction) -> None:
        """Restate the lots by a ratio; what they cost stays, and together they are rounded once."""
        held = done = 0
        kept, money, worth = deque[Lot](), Fraction(0), Fraction(0)
        for lot in self.lots:
            held += lot.units
            lot.units = round(held * ratio) - done
            done += lot.units
            money, worth = money + lot.money, worth + lot.worth
            if lot.units:
                lot.money, lot.worth = money, worth
                money = worth = Fraction(0)
                kept.append(lot)
        if kept:
            kept[-1].money += money
            kept[-1].worth += worth
        self.lots = kept

    def _whole_lot_of(self, trade: str, units: int) -> Lot | None:
        return next((lot for lot in self.lots if lot.execution.venue_trade_id == trade and lot.units == units), None)
