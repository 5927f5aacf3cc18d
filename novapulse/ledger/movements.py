"""What an execution or a flow moved, and whose quantity it was: the one reading of those records.

Invariants:
- what is ours and what is nobody's is what the record says; records of before that was written are taken as a whole;
- shares of one execution sum to it, exactly.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

from novapulse.core.facts import from_body
from novapulse.core.instruments import InstrumentKey
from novapulse.core.orders import Filled
from novapulse.core.postings import Book, Posting
from novapulse.ledger.reads import Entry

FLOWS = ("flow_booked", "break_adopted", "dust_swept", "dust_set_aside")
"""What may bring or take a quantity without a trade."""
TRADES_KEPT = 4096
"""Executions that are remembered for a bust."""


@dataclass(frozen=True, slots=True)
class Execution:
    """An execution, or one that was taken back, with what it moved.

    Attributes:
        seq: Its event.
        ts_ns: When it was booked.
        fill: As the venue reported it; None where the event takes one back.
        instrument: What traded; None for a bust of an execution that this account never booked.
        client_order_id: Our order; empty when it is not ours.
        venue_trade_id: The venue's execution.
        base_units: What came in of the base asset, ledger units; negative for what went out.
        cash_units: What came in of the quote asset, fee apart, ledger units; of a part of one, its exact share.
        fee_units: What was paid, ledger units of the quote asset; negative for a rebate.
        foreign_units: Of what came in or went out of the base asset, what belongs to nobody; the rest is ours.
        price_units: At which price, where no fill says it: that of what was taken back, or what a flow was valued at.
        is_flow: Whether it came or went without a trade; then its cash is what it was worth, and none moved.
    """

    seq: int
    ts_ns: int
    fill: Filled | None
    instrument: InstrumentKey | None
    client_order_id: str
    venue_trade_id: str
    base_units: int
    cash_units: int | Fraction
    fee_units: int | Fraction
    foreign_units: int = 0
    price_units: int = 0
    is_flow: bool = False


class Movements:
    """Makes executions of records, one by one in their order: those of the venue, and quantities that came or went."""

    def __init__(self) -> None:
        """Know no execution yet."""
        self._fills: OrderedDict[str, Filled] = OrderedDict()

    def of(self, entry: Entry, finer: Callable[[InstrumentKey], int]) -> Execution | None:
        """Return what a record of `FILLS` or `FLOWS` moved of an instrument; None for a flow that moved none.

        Args:
            entry: The record.
            finer: Instrument -> ledger units of its quote asset in a cash unit.
        """
        body, kind = entry.record.body, entry.record.kind
        if kind in FLOWS:
            return self._flow(entry, finer) if body.get("own_units") or body.get("foreign_units") else None
        trade, fill = body["venue_trade_id"], None
        if kind == "fill_booked":
            fact = from_body(kind, body)
            assert isinstance(fact, Filled)
            fill = fact
            self._fills[trade] = fill
            if len(self._fills) > TRADES_KEPT:
                self._fills.popitem(last=False)
        brought = moved(entry.record.postings)
        name = body["client_order_id"]
        foreign = _foreign(body, brought[0], is_ours=bool(name))
        known = self._fills.get(trade)
        key, price = (None, 0) if known is None else (known.instrument, known.price_units)
        return Execution(entry.seq, entry.record.ts_ns, fill, key, name, trade, *brought, foreign, price)

    def _flow(self, entry: Entry, finer: Callable[[InstrumentKey], int]) -> Execution:
        body = entry.record.body
        key = InstrumentKey(*body["instrument"])
        base = sum(leg.amount for leg in entry.record.postings if leg.book is Book.INVENTORY)
        cash = (-1 if base > 0 else 1) * body["worth_units"] * finer(key)
        foreign = _foreign(body, base, is_ours=False)
        price = int(body["price_units"])
        return Execution(entry.seq, entry.record.ts_ns, None, key, "", "", base, cash, 0, foreign, price, is_flow=True)


def _foreign(body: Mapping[str, Any], base: int, *, is_ours: bool) -> int:
    # Records of before it was written are taken as whole: what an order of ours did was ours, the rest nobody's.
    own, foreign = body.get("own_units"), body.get("foreign_units")
    if own is None or foreign is None:
        return 0 if is_ours else base
    return int(base * foreign // (own + foreign)) if own + foreign else 0


def shares(one: Execution) -> Iterator[tuple[bool, Execution]]:
    """Yield what of an execution is ours (True) and what is nobody's, cash and fee shared out by quantity, exactly."""
    if one.base_units == 0:
        yield bool(one.client_order_id), one
        return
    for is_ours, units in ((False, one.foreign_units), (True, one.base_units - one.foreign_units)):
        if units == one.base_units:
            yield is_ours, one
        elif units:
            share = Fraction(units, one.base_units)
            cash, fee = one.cash_units * share, one.fee_units * share
            yield is_ours, replace(one, base_units=units, cash_units=cash, fee_units=fee)


def moved(postings: Sequence[Posting]) -> tuple[int, int, int]:
    """Return what an execution brought of the base asset and of the quote asset, and its fee: ledger units."""
    traded = {leg.asset for leg in postings if leg.book is Book.INVENTORY}
    base = -sum(leg.amount for leg in postings if leg.book is Book.TRADING and leg.asset in traded)
    cash = -sum(leg.amount for leg in postings if leg.book is Book.TRADING and leg.asset not in traded)
    return base, cash, sum(leg.amount for leg in postings if leg.book is Book.FEES)
