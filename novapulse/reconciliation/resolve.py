"""What to do about a break, as data. Who carries it out decides nothing any more.

Invariants:
- facts that are booked are the venue's own words, or what its counts, lists and balances leave together; none of them
  ends an order that the venue did not call ended;
- a cancel at the venue, and a halt for a difference of amounts, wait for two identical readings;
- of the stops that are possible the narrowest is taken.
"""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

from novapulse.core.instruments import InstrumentKey
from novapulse.core.messages import Flow, VenueOrder
from novapulse.core.orders import Busted, DisputeRaised, Fact, Filled
from novapulse.reconciliation.breaks import Break, BreakClass


@dataclass(frozen=True, slots=True)
class BookFacts:
    """Book what the venue said of an order of ours."""

    facts: tuple[Fact, ...]


@dataclass(frozen=True, slots=True)
class BookProvisional:
    """Book an execution that stands in for those which the venue counted and does not show."""

    fill: Filled


@dataclass(frozen=True, slots=True)
class LookUp:
    """Ask the venue for one order, by its own recipe."""

    client_order_id: str
    venue_order_id: str
    instrument: InstrumentKey


@dataclass(frozen=True, slots=True)
class CancelAtVenue:
    """Cancel an order at the venue. `client_order_id` is empty for one that is not ours."""

    client_order_id: str
    venue_order_id: str
    instrument: InstrumentKey


@dataclass(frozen=True, slots=True)
class AdoptExternal:
    """Record an order or executions as not ours: out of every strategy, in the books."""

    listed: VenueOrder | None
    fills: tuple[Filled, ...]


@dataclass(frozen=True, slots=True)
class ImportFlow:
    """Book a movement without a trade."""

    flow: Flow


@dataclass(frozen=True, slots=True)
class ApplySplit:
    """Restate what is held by the ratio that the venue told, and give it new stops."""

    flow: Flow


@dataclass(frozen=True, slots=True)
class WidenFills:
    """Read executions again, from the last cut that agreed."""

    text: str


@dataclass(frozen=True, slots=True)
class SweepDust:
    """Move what is too small to trade to the DUST book, once a day."""

    asset: str
    asset_units: int


@dataclass(frozen=True, slots=True)
class HaltInstrument:
    """Take no new risk in an instrument until the break is cleared."""

    instrument: InstrumentKey
    text: str


@dataclass(frozen=True, slots=True)
class HaltAccount:
    """Halt the account: an operator is needed."""

    text: str


@dataclass(frozen=True, slots=True)
class FreezeEntries:
    """Take no new risk on the account until the break is gone."""

    text: str


@dataclass(frozen=True, slots=True)
class AlertOnly:
    """Tell people."""

    text: str


Resolution = (
    BookFacts
    | BookProvisional
    | LookUp
    | CancelAtVenue
    | AdoptExternal
    | ImportFlow
    | ApplySplit
    | WidenFills
    | SweepDust
    | HaltInstrument
    | HaltAccount
    | FreezeEntries
    | AlertOnly
)


@dataclass(frozen=True, slots=True)
class Policy:
    """How patient reconciliation is.

    Attributes:
        is_exclusive: Whether nobody else trades on the account: then an order that is not ours is cancelled.
        readings_min: Identical readings in a row before something that cannot be undone.
        stale_readings_max: Identical readings in a row after which too small a quantity is not an old reading.
        provisional_after_ns: How long executions may be missing before a provisional one is booked.
        halt_share: Share of the equity from which an unexplained difference halts the account.
    """

    is_exclusive: bool = False
    readings_min: int = 2
    stale_readings_max: int = 3
    provisional_after_ns: int = 600_000_000_000
    halt_share: Fraction = Fraction(1, 100)


def resolve(found: Break, policy: Policy) -> tuple[Resolution, ...]:
    """Return what to do about a break now, in this order.

    Args:
        found: The break, with its readings so far.
        policy: How patient to be.
    """
    return _RESOLVE[found.kind](found, policy)


def _seen(found: Break) -> tuple[Resolution, ...]:
    return (BookFacts((found.listed.seen,)),) if found.listed is not None else ()


def _look_up(found: Break) -> LookUp:
    return LookUp(found.client_order_id, found.venue_order_id, found.instruments[0])


def _cancel(found: Break, client_order_id: str) -> CancelAtVenue:
    return CancelAtVenue(client_order_id, found.venue_order_id, found.instruments[0])


def _halts(found: Break) -> tuple[Resolution, ...]:
    return tuple(HaltInstrument(instrument, found.text) for instrument in found.instruments)


def _ended_at_venue(found: Break, policy: Policy) -> tuple[Resolution, ...]:
    return (*_seen(found), _look_up(found))


def _not_listed(found: Break, policy: Policy) -> tuple[Resolution, ...]:
    return (_look_up(found),)


def _live_at_venue(found: Break, policy: Policy) -> tuple[Resolution, ...]:
    # What the venue shows reopens an order that ended without its word; a list may also lag behind the end.
    if found.readings < policy.readings_min:
        return (*_seen(found), _look_up(found))
    return (*_halts(found), AlertOnly(found.text), _cancel(found, found.client_order_id))


def _lost_record(found: Break, policy: Policy) -> tuple[Resolution, ...]:
    return (HaltAccount(found.text), AdoptExternal(found.listed, found.fills), AlertOnly(found.text))


def _foreign_order(found: Break, policy: Policy) -> tuple[Resolution, ...]:
    adopted = (AdoptExternal(found.listed, ()), AlertOnly(found.text))
    if policy.is_exclusive and found.readings >= policy.readings_min:
        return (*adopted, _cancel(found, ""))
    return adopted


def _fills_missing(found: Break, policy: Policy) -> tuple[Resolution, ...]:
    if found.fills:
        return (BookFacts(found.fills),)
    waited = found.ts_ns - found.first_ns
    if waited <= policy.provisional_after_ns:
        return (_look_up(found),)
    if found.stand_in is None:
        return (_look_up(found), *_halts(found), AlertOnly(f"{found.text}; no price is known to book them at"))
    if found.is_in_balances:
        return (BookProvisional(found.stand_in), _look_up(found))
    if found.is_in_balances is None or found.readings < policy.readings_min:
        return (_look_up(found),)
    # Counted, in no list and in no balance: it was taken back, and nobody was told. Books that had it would be wrong.
    gone = Busted(found.client_order_id, found.stand_in.venue_trade_id)
    return (BookFacts((gone, found.stand_in)),)


def _fills_beyond_venue(found: Break, policy: Policy) -> tuple[Resolution, ...]:
    if found.readings < policy.stale_readings_max:
        return (_look_up(found),)
    return (BookFacts((DisputeRaised(found.client_order_id, found.text),)), *_halts(found), AlertOnly(found.text))


def _fill_of_unknown_order(found: Break, policy: Policy) -> tuple[Resolution, ...]:
    return (AdoptExternal(found.listed, found.fills), AlertOnly(found.text))


def _dust(found: Break, policy: Policy) -> tuple[Resolution, ...]:
    return (SweepDust(found.asset, found.diff_units),)


def _unrecorded_flow(found: Break, policy: Policy) -> tuple[Resolution, ...]:
    return (ImportFlow(found.flow),) if found.flow is not None else (AlertOnly(found.text),)


def _unseen_trade(found: Break, policy: Policy) -> tuple[Resolution, ...]:
    if found.readings < policy.readings_min:
        return (WidenFills(found.text),)
    return _unexplained(found, policy)


def _corporate_action(found: Break, policy: Policy) -> tuple[Resolution, ...]:
    # A ratio that follows from balances alone is a guess: that is for a person.
    if found.flow is not None and found.flow.new > 0 and found.flow.old > 0:
        return (*_halts(found), AlertOnly(found.text), ApplySplit(found.flow))
    return (*_halts(found), AlertOnly(found.text))


def _unexplained(found: Break, policy: Policy) -> tuple[Resolution, ...]:
    if found.readings < policy.readings_min:
        return (WidenFills(found.text), FreezeEntries(found.text))
    if found.worth_units is not None and found.worth_units > policy.halt_share * found.equity_units:
        return (HaltAccount(found.text), AlertOnly(found.text))
    # Cash belongs to no instrument: the account is the narrowest scope that it has.
    return (*(_halts(found) or (FreezeEntries(found.text),)), AlertOnly(found.text))


def _unprotected(found: Break, policy: Policy) -> tuple[Resolution, ...]:
    # Its stop is armed by who looks after every position at every event; here it is told.
    return (AlertOnly(found.text),)


def _two_live_orders(found: Break, policy: Policy) -> tuple[Resolution, ...]:
    first = (*_halts(found), AlertOnly(found.text))
    if found.readings < policy.readings_min:
        return (*first, _look_up(found))
    disputed = BookFacts((DisputeRaised(found.client_order_id, found.text),))
    return (*first, disputed, _cancel(found, found.client_order_id))


def _venue_unreachable(found: Break, policy: Policy) -> tuple[Resolution, ...]:
    return (FreezeEntries(found.text),)


_RESOLVE: dict[BreakClass, Callable[[Break, Policy], tuple[Resolution, ...]]] = {
    BreakClass.ENDED_AT_VENUE: _ended_at_venue,
    BreakClass.NOT_LISTED: _not_listed,
    BreakClass.LIVE_AT_VENUE: _live_at_venue,
    BreakClass.LOST_RECORD: _lost_record,
    BreakClass.FOREIGN_ORDER: _foreign_order,
    BreakClass.FILLS_MISSING: _fills_missing,
    BreakClass.FILLS_BEYOND_VENUE: _fills_beyond_venue,
    BreakClass.FILL_OF_UNKNOWN_ORDER: _fill_of_unknown_order,
    BreakClass.DUST: _dust,
    BreakClass.UNRECORDED_FLOW: _unrecorded_flow,
    BreakClass.UNSEEN_TRADE: _unseen_trade,
    BreakClass.CORPORATE_ACTION: _corporate_action,
    BreakClass.UNEXPLAINED: _unexplained,
    BreakClass.UNPROTECTED: _unprotected,
    BreakClass.TWO_LIVE_ORDERS: _two_live_orders,
    BreakClass.VENUE_UNREACHABLE: _venue_unreachable,
}
