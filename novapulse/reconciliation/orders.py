"""Orders and executions against the venue's lists.

Invariants:
- an order that the list lacks is a question, not an answer;
- an order is compared only when nothing happened to it here since shortly before the list was read.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace

from novapulse.core.instruments import InstrumentKey
from novapulse.core.messages import Snapshot, VenueOrder
from novapulse.core.order_fold import AT_VENUE, Order
from novapulse.core.orders import TERMINAL, Filled, OrderStatus, Role, Seen, VenueState
from novapulse.reconciliation.breaks import Break, BreakClass
from novapulse.reconciliation.view import View, looks_ours, stand_in

_DOUBLED = "are live for the same purpose"
_LISTED_WHILE_LIVE = AT_VENUE - {OrderStatus.SETTLING}


def is_racing(view: View, active_ns: int, snapshot: Snapshot) -> bool:
    """Tell whether something happened too shortly before a snapshot to be compared with it: both may be right."""
    return active_ns > snapshot.began_ns - view.race_guard_ns


def news(view: View, snapshot: Snapshot) -> list[Seen | Filled]:
    """Return the facts about our orders that a snapshot holds: they are booked before anything is compared.

    Args:
        view: What the trader believes.
        snapshot: What the venue shows.

    Returns:
        Executions that are not booked yet, then what the venue says of our orders; each with our client order id.
    """
    facts: list[Seen | Filled] = []
    for fill in snapshot.fills:
        order = view.owner_of(fill.client_order_id, fill.venue_order_id)
        if order is not None and not view.is_booked(fill):
            facts.append(replace(fill, client_order_id=order.client_order_id))
    for listed in snapshot.orders:
        order = view.owner_of(listed.seen.client_order_id, listed.seen.venue_order_id)
        if order is not None:
            facts.append(replace(listed.seen, client_order_id=order.client_order_id))
    return facts


def order_breaks(view: View, snapshot: Snapshot) -> Iterator[Break]:
    """Yield how orders and executions differ from the venue's lists."""
    listed: set[str] = set()
    for each in snapshot.orders:
        order = view.owner_of(each.seen.client_order_id, each.seen.venue_order_id)
        if order is None:
            yield from _not_ours(view, each)
            continue
        listed.add(order.client_order_id)
        if not _is_racing(view, order, snapshot):
            yield from _compared(view, snapshot, order, each)
    unended = [order for order in view.orders.values() if order.is_intended and not order.is_terminal]
    for order in unended:
        if order.client_order_id not in listed and not _is_racing(view, order, snapshot):
            yield from _unlisted(view, snapshot, order)
    yield from _unknown_fills(view, snapshot)
    yield from _doubled(view, snapshot, unended)
    yield from _unprotected(view, snapshot, unended)


def _is_racing(view: View, order: Order, snapshot: Snapshot) -> bool:
    return is_racing(view, view.orders_active_ns.get(order.client_order_id, 0), snapshot)


def _not_ours(view: View, listed: VenueOrder) -> Iterator[Break]:
    seen = listed.seen
    name = seen.client_order_id or seen.venue_order_id
    if looks_ours(seen.client_order_id):
        kind, text = BreakClass.LOST_RECORD, f"order {name} at the venue bears our id and is in no record"
    elif seen.venue_order_id in view.known_foreign and not (view.is_exclusive and seen.state is VenueState.LIVE):
        return
    else:
        kind, text = BreakClass.FOREIGN_ORDER, f"order {seen.venue_order_id} of {listed.instrument} is not ours"
    yield Break(
        kind,
        seen.venue_order_id or name,
        text,
        theirs=seen.state.value,
        instruments=(listed.instrument,),
        client_order_id=seen.client_order_id,
        venue_order_id=seen.venue_order_id,
        listed=listed,
    )


def _compared(view: View, snapshot: Snapshot, order: Order, listed: VenueOrder) -> Iterator[Break]:
    seen, name = listed.seen, order.client_order_id
    status = order.undisputed_status
    is_live = seen.state is VenueState.LIVE
    about = Break(
        BreakClass.ENDED_AT_VENUE,
        name,
        f"order {name} is {seen.state.value} at the venue and {status.value} here",
        ours=status.value,
        theirs=seen.state.value,
        instruments=(listed.instrument,),
        client_order_id=name,
        venue_order_id=seen.venue_order_id,
        listed=replace(listed, seen=replace(seen, client_order_id=name)),
    )
    if is_live and status in TERMINAL:
        yield replace(about, kind=BreakClass.LIVE_AT_VENUE)
    elif not is_live and status not in TERMINAL and status is not OrderStatus.SETTLING:
        yield about
    if seen.filled_units < order.filled_units and status not in TERMINAL:
        booked, filled = (view.quantity(units, listed.instrument) for units in (order.filled_units, seen.filled_units))
        text = f"order {name}: {booked} are booked and the venue filled {filled}"
        yield replace(about, kind=BreakClass.FILLS_BEYOND_VENUE, text=text, ours=booked, theirs=filled)
    due = max(
        order.missing_units, seen.filled_units - order.filled_units if order.seen_units < seen.filled_units else 0
    )
    if due > 0:
        yield _missing(view, snapshot, order, due, seen.venue_order_id)


def _missing(view: View, snapshot: Snapshot, order: Order, due: int, venue_order_id: str) -> Break:
    name = order.client_order_id
    fills = tuple(
        replace(fill, client_order_id=name)
        for fill in sorted(snapshot.fills, key=lambda each: (each.ts_event_ns, each.venue_trade_id))
        if view.owner_of(fill.client_order_id, fill.venue_order_id) is order and not view.is_booked(fill)
    )
    more, booked, filled = (
        view.quantity(units, order.request.instrument) for units in (due, order.filled_units, order.filled_units + due)
    )
    return Break(
        BreakClass.FILLS_MISSING,
        name,
        f"order {name}: the venue filled {more} more than the {booked} that are booked",
        ours=booked,
        theirs=filled,
        instruments=(order.request.instrument,),
        client_order_id=name,
        venue_order_id=venue_order_id,
        fills=fills,
        stand_in=stand_in(view, order, snapshot.began_ns),
    )


def _unlisted(view: View, snapshot: Snapshot, order: Order) -> Iterator[Break]:
    name, status, request = order.client_order_id, order.undisputed_status, order.request
    if status is OrderStatus.SETTLING and order.missing_units > 0:
        yield _missing(view, snapshot, order, order.missing_units, order.venue_order_id)
        return
    entry = view.orders.get(request.attached_to)
    is_due = (
        status is OrderStatus.INTENT
        and entry is not None
        and entry.filled_units > 0
        and not _is_racing(view, entry, snapshot)
    )
    if status in AT_VENUE or is_due:
        yield Break(
            BreakClass.NOT_LISTED,
            name,
            f"order {name} is {status.value} here and not in the venue's list",
            ours=status.value,
            instruments=(request.instrument,),
            client_order_id=name,
            venue_order_id=order.venue_order_id,
        )


def _unknown_fills(view: View, snapshot: Snapshot) -> Iterator[Break]:
    by_order: defaultdict[tuple[str, str, InstrumentKey], list[Filled]] = defaultdict(list)
    for fill in snapshot.fills:
        if view.owner_of(fill.client_order_id, fill.venue_order_id) is None and not view.is_booked(fill):
            by_order[fill.client_order_id, fill.venue_order_id, fill.instrument].append(fill)
    for (ours, theirs, instrument), fills in by_order.items():
        fills.sort(key=lambda each: (each.ts_event_ns, each.venue_trade_id))
        kind = BreakClass.LOST_RECORD if looks_ours(ours) else BreakClass.FILL_OF_UNKNOWN_ORDER
        yield Break(
            kind,
            f"fill:{fills[0].venue_trade_id}",
            f"{len(fills)} executions of {instrument} belong to order {ours or theirs or '?'}, which is in no record",
            theirs=",".join(fill.venue_trade_id for fill in fills),
            instruments=(instrument,),
            client_order_id=ours,
            venue_order_id=theirs,
            fills=tuple(fills),
        )


def _doubled(view: View, snapshot: Snapshot, unended: Iterable[Order]) -> Iterator[Break]:
    together: defaultdict[tuple[str, InstrumentKey | None], list[Order]] = defaultdict(list)
    for order in unended:
        if order.undisputed_status not in _LISTED_WHILE_LIVE:
            continue
        is_protection = order.request.role is Role.PROTECT
        group = ("", order.request.instrument) if is_protection else (_root(view, order), None)
        together[group].append(order)
    for orders in together.values():
        if len(orders) < 2 or any(_is_racing(view, order, snapshot) for order in orders):
            continue
        orders.sort(key=age)
        first, last = orders[0], orders[-1]
        yield Break(
            BreakClass.TWO_LIVE_ORDERS,
            last.client_order_id,
            doubled_text(first, last),
            ours=",".join(order.client_order_id for order in orders),
            instruments=(last.request.instrument,),
            client_order_id=last.client_order_id,
            venue_order_id=last.venue_order_id,
        )


def age(order: Order) -> tuple[int, int, str]:
    """Return what sorts orders from the oldest to the newest."""
    return order.request.decided_ns, order.first_attempt_ns, order.client_order_id


def doubled_text(first: Order, last: Order) -> str:
    """Return the dispute about the newest of two orders that do the work of one."""
    return f"orders {first.client_order_id} and {last.client_order_id} {_DOUBLED}"


def is_doubling(dispute: str) -> bool:
    """Tell whether a dispute is of that kind: it is settled once the venue has ended the newest."""
    return dispute.endswith(_DOUBLED)


def _root(view: View, order: Order) -> str:
    name, passed = order.client_order_id, {order.client_order_id}
    parent = order.request.parent
    while parent and parent not in passed:
        passed.add(parent)
        name = parent
        known = view.orders.get(parent)
        parent = known.request.parent if known is not None and known.is_intended else ""
    return name


def _unprotected(view: View, snapshot: Snapshot, unended: Iterable[Order]) -> Iterator[Break]:
    # One that may stand, and of which nothing is heard, is a reason: for its time, and by then it is no stop any more.
    guarded = {order.request.instrument for order in unended if order.request.role is Role.PROTECT and order.is_live}
    for instrument, units in view.positions.items():
        if not units or instrument not in view.to_protect or instrument in guarded:
            continue
        bare = Break(
            BreakClass.UNPROTECTED,
            str(instrument),
            f"{view.quantity(units, instrument)} of {instrument.symbol} have no protective order",
            ours=view.quantity(units, instrument),
            instruments=(instrument,),
        )
        # Each try in vain touches the instrument: what was found is not over by that.
        if bare.key in view.readings or not is_racing(view, view.instruments_active_ns.get(instrument, 0), snapshot):
            yield bare
