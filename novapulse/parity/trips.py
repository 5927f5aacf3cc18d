"""Round trips of two runs side by side.

Invariants:
- round trips are paired by instrument and order of entry, so that one that is missing shifts no other;
- two are the same when every field is, to the bit; there is no tolerance that could hide a cause.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields

from novapulse.backtest.columns import Records
from novapulse.core.instruments import Instrument, InstrumentKey
from novapulse.core.messages import JSON, Record
from novapulse.core.records import Reason


@dataclass(frozen=True, slots=True)
class Trip:
    """A closed round trip, whoever made it.

    Attributes:
        instrument: Which.
        number: In order of the account's entries.
        direction: +1 long, -1 short.
        entry_ns: First fill.
        qty_units: Quantity entered, in units of the lot's scale.
        entry_price: Average, quote per base.
        exit_ns: Last fill.
        exit_price: Average.
        exit_reason: Why.
        bars_held: Closes it was marked at.
        fee_units: Cash units.
        pnl_units: Cash units, fees paid.
    """

    instrument: InstrumentKey
    number: int
    direction: int
    entry_ns: int
    qty_units: int
    entry_price: float
    exit_ns: int
    exit_price: float
    exit_reason: str
    bars_held: int
    fee_units: int
    pnl_units: int


LIFE = ("entry_ns", "direction", "qty_units", "entry_price", "exit_ns", "exit_reason", "exit_price", "fee_units")
"""Fields in the order in which a round trip comes about; what differs first explains what differs later."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One round trip that is not the same in both runs.

    Attributes:
        ours: As the run in question has it; None where it has none.
        reference: As the other has it; None where it has none.
        field: What differs first in its life; `missing` or `extra` where it is in one run only.
        price_ticks: By how many ticks the prices differ at most.
        qty_lots: By how many lots the quantities differ.
    """

    ours: Trip | None
    reference: Trip | None
    field: str
    price_ticks: float = 0.0
    qty_lots: float = 0.0

    @property
    def one(self) -> Trip:
        """Either of both: the reference where there is one."""
        known = self.reference or self.ours
        assert known is not None
        return known

    @property
    def began_ns(self) -> int:
        """The earlier of both entries."""
        return min(trip.entry_ns for trip in (self.ours, self.reference) if trip is not None)

    @property
    def ended_ns(self) -> int:
        """The later of both exits."""
        return max(trip.exit_ns for trip in (self.ours, self.reference) if trip is not None)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Round trips of two runs.

    Attributes:
        ours: How many the run in question has.
        reference: How many the other has.
        equal: How many are the same in both, to the bit.
        within_grid: How many are the same but for less than a tick of price and less than a lot of quantity.
        differences: The others, in time order.
    """

    ours: int
    reference: int
    equal: int
    within_grid: int
    differences: tuple[Difference, ...]

    @property
    def is_same(self) -> bool:
        """Whether every round trip is the same to the bit."""
        return not self.differences


def trips_of_kernel(trips: Records, instruments: Sequence[Instrument]) -> list[Trip]:
    """Return ROUND_TRIP records as round trips."""
    told = []
    for row in trips:
        fact = instruments[int(row["instrument"])]
        told.append(
            Trip(
                instrument=fact.key,
                number=int(row["number"]),
                direction=int(row["direction"]),
                entry_ns=int(row["entry_ts_ns"]),
                qty_units=round(float(row["qty"]) * 10**fact.qty_scale),
                entry_price=float(row["entry_price"]),
                exit_ns=int(row["exit_ts_ns"]),
                exit_price=float(row["exit_price"]),
                exit_reason=Reason(int(row["exit_reason"])).name,
                bars_held=int(row["bars_held"]),
                fee_units=round(float(row["fees"]) * 10**fact.cash_scale),
                pnl_units=int(row["pnl_units"]),
            )
        )
    return told


def trips_of_records(records: Iterable[Record]) -> list[Trip]:
    """Return the round trips that records of an account speak of."""
    return [_trip(record.body) for record in records if record.kind == "round_trip_closed"]


def _trip(body: Mapping[str, JSON]) -> Trip:
    values = {field.name: body[field.name] for field in fields(Trip)}
    values["instrument"] = InstrumentKey(*body["instrument"])
    values["entry_price"] = float.fromhex(body["entry_price"])
    values["exit_price"] = float.fromhex(body["exit_price"])
    return Trip(**values)


def compare(ours: Sequence[Trip], reference: Sequence[Trip], instruments: Sequence[Instrument]) -> Comparison:
    """Compare the round trips of two runs.

    Args:
        ours: Of the run in question.
        reference: Of the run that it should equal.
        instruments: Facts of all instruments.
    """
    facts = {fact.key: fact for fact in instruments}
    differences, equal = [], 0
    for one, other in _paired(ours, reference):
        found = _difference(one, other, facts)
        equal += found is None
        if found is not None:
            differences.append(found)
    differences.sort(key=lambda found: (found.began_ns, found.one.instrument))
    within = sum(
        found.ours is not None
        and found.reference is not None
        and found.field in ("qty_units", "entry_price", "exit_price")
        and found.price_ticks < 1
        and found.qty_lots < 1
        and found.ours.exit_ns == found.reference.exit_ns
        for found in differences
    )
    return Comparison(len(ours), len(reference), equal, within, tuple(differences))


def _paired(ours: Sequence[Trip], reference: Sequence[Trip]) -> list[tuple[Trip | None, Trip | None]]:
    """Pair what was entered at the same moment, then what overlaps in time."""
    pairs: list[tuple[Trip | None, Trip | None]] = []
    mine: defaultdict[InstrumentKey, list[Trip]] = defaultdict(list)
    theirs: defaultdict[InstrumentKey, list[Trip]] = defaultdict(list)
    for trip in ours:
        mine[trip.instrument].append(trip)
    for trip in reference:
        theirs[trip.instrument].append(trip)
    for key in sorted({*mine, *theirs}):
        pairs += _paired_in_time(mine[key], theirs[key])
    return pairs


def _paired_in_time(ours: list[Trip], reference: list[Trip]) -> list[tuple[Trip | None, Trip | None]]:
    pairs: list[tuple[Trip | None, Trip | None]] = []
    i = j = 0
    while i < len(ours) and j < len(reference):
        one, other = ours[i], reference[j]
        if one.entry_ns == other.entry_ns or _overlap(one, other):
            pairs.append((one, other))
            i, j = i + 1, j + 1
        elif one.entry_ns < other.entry_ns:
            pairs.append((one, None))
            i += 1
        else:
            pairs.append((None, other))
            j += 1
    return [*pairs, *((one, None) for one in ours[i:]), *((None, other) for other in reference[j:])]


def _overlap(one: Trip, other: Trip) -> bool:
    return one.entry_ns < other.exit_ns and other.entry_ns < one.exit_ns


def _difference(one: Trip | None, other: Trip | None, facts: Mapping[InstrumentKey, Instrument]) -> Difference | None:
    if one is None or other is None:
        return Difference(one, other, "missing" if one is None else "extra")
    fact = facts[one.instrument]
    field = next((name for name in LIFE if getattr(one, name) != getattr(other, name)), "")
    if not field and (one.bars_held, one.pnl_units) == (other.bars_held, other.pnl_units):
        return None
    apart = max(abs(one.entry_price - other.entry_price), abs(one.exit_price - other.exit_price))
    lots = abs(one.qty_units - other.qty_units) / (float(fact.lot) * 10**fact.qty_scale)
    return Difference(one, other, field or "pnl_units", apart / float(fact.tick), lots)
