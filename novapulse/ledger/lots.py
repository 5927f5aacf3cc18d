"""What an account holds, bought when and at which price: executions matched first in, first out.

Invariants:
- quantities are integers of the ledger's units and are matched to the last of them: the open lots of an instrument sum
  to what its executions brought;
- an execution that was taken back takes its quantity out of the matching as if it had never been.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace

from novapulse.core.instruments import InstrumentKey
from novapulse.ledger.queries import Execution


@dataclass(frozen=True, slots=True)
class Lot:
    """A part of a position.

    Attributes:
        instrument: Which.
        seq: The execution that opened it.
        ts_ns: When.
        units: What is left of it, ledger units of the base asset; negative for sold short.
        opened_units: What it was.
        cash_units: What the rest cost, ledger units of the quote asset, fee apart; negative for what it brought.
    """

    instrument: InstrumentKey
    seq: int
    ts_ns: int
    units: int
    opened_units: int
    cash_units: int


def open_lots(executions: Iterable[Execution]) -> tuple[Lot, ...]:
    """Return the lots that are open, the oldest first.

    Args:
        executions: Of one account, in the order of the ledger.
    """
    made: dict[str, Execution] = {}
    for one in executions:
        if one.fill is None:
            made.pop(one.venue_trade_id, None)
        else:
            made[one.venue_trade_id] = one
    open_: dict[InstrumentKey, deque[Lot]] = {}
    for one in made.values():
        if one.instrument is not None and one.base_units:
            lots = open_.setdefault(one.instrument, deque())
            _match(lots, Lot(one.instrument, one.seq, one.ts_ns, one.base_units, one.base_units, -one.cash_units))
    return tuple(sorted((lot for lots in open_.values() for lot in lots), key=lambda lot: lot.seq))


def _match(lots: deque[Lot], come: Lot) -> None:
    while come.units and lots and (lots[0].units > 0) != (come.units > 0):
        first = lots.popleft()
        matched = min(abs(first.units), abs(come.units))
        rest = _less(first, matched)
        if rest.units:
            lots.appendleft(rest)
        come = _less(come, matched)
    if come.units:
        lots.append(come)


def _less(lot: Lot, matched: int) -> Lot:
    sign = 1 if lot.units > 0 else -1
    left = lot.units - sign * matched
    # The cost of the rest is rounded toward what is left; no unit of quantity is ever rounded.
    return replace(lot, units=left, cash_units=lot.cash_units * left // lot.units)
