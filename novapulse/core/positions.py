"""A position as a fold over executions: lots in the order in which they came, and what closing them brought.

Invariants:
- quantities and cash are integers; a lot that is closed in parts gives its cash and fees away to the last unit;
- cash paid and received = realised result + what the open lots cost, to the unit, after every execution;
- the oldest lot is closed first; an execution that is larger than the position opens a new one with the rest;
- an average is an exact fraction, never a float.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from fractions import Fraction

from novapulse.core.orders import Filled


@dataclass(frozen=True, slots=True)
class Lot:
    """What is left of one execution that opened or enlarged a position.

    Attributes:
        venue_trade_id: The execution.
        side: +1 long, -1 short.
        qty_units: Quantity left, > 0.
        cash_units: Notional of that quantity, fee apart.
        fee_units: Its share of the fee.
        price_units: Price of the execution.
        ts_event_ns: Its time.
    """

    venue_trade_id: str
    side: int
    qty_units: int
    cash_units: int
    fee_units: int
    price_units: int
    ts_event_ns: int


@dataclass(frozen=True, slots=True)
class Closing:
    """A quantity of one lot, closed by one execution.

    Attributes:
        opened_by: Execution of the lot.
        closed_by: Execution that closed it.
        side: +1 a long lot, -1 a short one.
        qty_units: Quantity, > 0.
        entry_cash_units: Its notional when it was opened.
        exit_cash_units: Its notional now.
        fee_units: Its share of both fees.
        opened_ns: When it was opened.
        closed_ns: When it was closed.
    """

    opened_by: str
    closed_by: str
    side: int
    qty_units: int
    entry_cash_units: int
    exit_cash_units: int
    fee_units: int
    opened_ns: int
    closed_ns: int

    @property
    def pnl_units(self) -> int:
        """Result in cash units, both fees paid."""
        return self.side * (self.exit_cash_units - self.entry_cash_units) - self.fee_units


@dataclass(frozen=True, slots=True)
class Position:
    """What is held of one instrument.

    Attributes:
        lots: Open lots, oldest first, all of one side.
        realised_units: Result of what was closed, fees paid, cash units.
    """

    lots: tuple[Lot, ...] = ()
    realised_units: int = 0

    @property
    def qty_units(self) -> int:
        """Quantity held; negative when short."""
        return sum(lot.side * lot.qty_units for lot in self.lots)

    @property
    def cost_units(self) -> int:
        """Cash paid for what is held, fees apart; negative is cash received for what is owed."""
        return sum(lot.side * lot.cash_units for lot in self.lots)

    @property
    def open_fee_units(self) -> int:
        """Fees paid for what is held."""
        return sum(lot.fee_units for lot in self.lots)

    @property
    def average_price(self) -> Fraction:
        """Average price of what is held, in price units; 0 when flat."""
        held = sum(lot.qty_units for lot in self.lots)
        return Fraction(sum(lot.qty_units * lot.price_units for lot in self.lots), held) if held else Fraction(0)

    def after(self, fill: Filled) -> tuple["Position", tuple[Closing, ...]]:
        """Return the position after one more execution, and what it closed.

        Args:
            fill: The execution; its quantity is above 0.
        """
        assert fill.qty_units > 0, f"an execution of {fill.qty_units} units: {fill.venue_trade_id}"
        rest = Lot(
            fill.venue_trade_id,
            int(fill.side),
            fill.qty_units,
            fill.cash_units,
            fill.fee_units,
            fill.price_units,
            fill.ts_event_ns,
        )
        lots, closings = list(self.lots), []
        while rest.qty_units and lots and lots[0].side != rest.side:
            units = min(rest.qty_units, lots[0].qty_units)
            opened, kept = _split(lots[0], units)
            closed, rest = _split(rest, units)
            closings.append(_closing(opened, closed))
            lots[:1] = [kept] if kept.qty_units else []
        if rest.qty_units:
            lots.append(rest)
        realised = self.realised_units + sum(closing.pnl_units for closing in closings)
        return Position(tuple(lots), realised), tuple(closings)


def position_of(fills: Iterable[Filled]) -> tuple[Position, tuple[Closing, ...]]:
    """Fold executions, in the order given, into a position and everything that was closed.

    An execution that the venue took back is left out by the caller: the fold starts again without it.
    """
    position = Position()
    closings: list[Closing] = []
    for fill in fills:
        position, closed = position.after(fill)
        closings += closed
    return position, tuple(closings)


def _split(lot: Lot, units: int) -> tuple[Lot, Lot]:
    # The part is rounded down and the rest is what is left: both together are the lot.
    cash, fee = lot.cash_units * units // lot.qty_units, lot.fee_units * units // lot.qty_units
    part = replace(lot, qty_units=units, cash_units=cash, fee_units=fee)
    rest = replace(
        lot,
        qty_units=lot.qty_units - units,
        cash_units=lot.cash_units - cash,
        fee_units=lot.fee_units - fee,
    )
    return part, rest


def _closing(opened: Lot, closed: Lot) -> Closing:
    return Closing(
        opened_by=opened.venue_trade_id,
        closed_by=closed.venue_trade_id,
        side=opened.side,
        qty_units=opened.qty_units,
        entry_cash_units=opened.cash_units,
        exit_cash_units=closed.cash_units,
        fee_units=opened.fee_units + closed.fee_units,
        opened_ns=opened.ts_event_ns,
        closed_ns=closed.ts_event_ns,
    )
