"""A closed round trip, as the ledger keeps it."""

from dataclasses import dataclass

from novapulse.core.records import Record


@dataclass(frozen=True, slots=True)
class RoundTrip:
    """A closed round trip.

    Attributes:
        number: In order of the account's entries.
        row: Which instrument.
        direction: +1 long, -1 short.
        lead: Index of the strategy that led the entry.
        regime: Label at the entry.
        entry_ns: First fill.
        exit_ns: Last fill.
        bars_held: Closes it was marked at.
        qty_units: Quantity entered.
        entry_price: Average, quote per base.
        exit_price: Average.
        pnl_units: Cash units, fees paid.
        fee_units: Cash units.
        r_multiple: Gain in units of the risk.
        exit_reason: Code of the last exit.
        entry_consensus: -20..20.
    """

    number: int
    row: int
    direction: int
    lead: int
    regime: int
    entry_ns: int
    exit_ns: int
    bars_held: int
    qty_units: int
    entry_price: float
    exit_price: float
    pnl_units: int
    fee_units: int
    r_multiple: float
    exit_reason: int
    entry_consensus: float


def round_trip_of(position: Record, row: int, exit_ns: int, reason: int) -> RoundTrip:
    """Return the round trip of a POSITION that was closed and not cleared yet.

    Args:
        position: POSITION.
        row: Which instrument.
        exit_ns: Last fill.
        reason: Code of the last exit.
    """
    return RoundTrip(
        number=int(position.round_trip),
        row=row,
        direction=int(position.direction),
        lead=int(position.lead),
        regime=int(position.regime),
        entry_ns=int(position.entry_ts_ns),
        exit_ns=exit_ns,
        bars_held=int(position.bars_held),
        qty_units=int(position.entered_units),
        entry_price=float(position.entry_price),
        exit_price=float(position.exit_price),
        pnl_units=int(position.pnl_units),
        fee_units=int(position.fee_units),
        r_multiple=float(position.r_multiple),
        exit_reason=reason,
        entry_consensus=float(position.entry_consensus),
    )
