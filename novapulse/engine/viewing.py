"""What reconciliation is told that we believe.

Invariants:
- expected totals follow from the books: cash, positions of strategies, and what belongs to nobody;
- a quick look finds a snapshot that agrees in everything; only another one is compared piece by piece.
"""

from collections.abc import Mapping

from novapulse.core.instruments import InstrumentKey
from novapulse.core.messages import Snapshot
from novapulse.core.orders import Filled, OrderStatus, Role, Seen, VenueState
from novapulse.engine.bare import is_guarded, needs_stop
from novapulse.engine.changes import SECOND_NS
from novapulse.engine.desk import Desk
from novapulse.reconciliation.view import View, looks_ours

_UNSENT = frozenset({OrderStatus.INTENT})


def balances_of(desk: Desk) -> dict[str, int]:
    """Return the totals that the venue should show, units of each asset's ledger scale."""
    books = desk.books
    expected = {desk.quote: desk.cash_amount(int(books.account[0].cash_units))}
    for row, instrument in enumerate(desk.instruments):
        units = books.held_units(row) + books.foreign_units.item(row)
        expected[instrument.base] = expected.get(instrument.base, 0) + desk.base_amount(row, units)
    return expected


def is_same(desk: Desk, snapshot: Snapshot, now_ns: int, *, are_booked: bool = False) -> bool:
    """Tell whether a snapshot agrees with what we believe in everything, its executions being booked.

    Args:
        desk: What we believe.
        snapshot: What the venue says.
        now_ns: Now, ns UTC.
        are_booked: Each of its executions was found to be booked already.
    """
    if not is_same_money(desk, snapshot, are_booked=are_booked):
        return False
    if any(_is_doubled(desk, row) for row in range(len(desk.slots))):
        return False
    listed = {
        shown.seen.client_order_id or shown.seen.venue_order_id
        for shown in snapshot.orders
        if _is_compared(desk, shown.seen)
    }
    live = {name for name, order in desk.orders.items() if order.status not in _UNSENT}
    if listed != live:
        return False
    if any(needs_stop(desk, row, now_ns) and not is_guarded(desk, row) for row in range(len(desk.slots))):
        return False
    return all(order.missing_units == 0 for order in desk.orders.values())


def is_same_money(desk: Desk, snapshot: Snapshot, *, are_booked: bool = False) -> bool:
    """Tell whether a snapshot's executions and movements are booked and its balances are what we expect.

    Args:
        desk: What we believe.
        snapshot: What the venue says.
        are_booked: Each of its executions was found to be booked already.
    """
    if snapshot.flows and any(flow.flow_id not in desk.flows for flow in snapshot.flows):
        return False
    expected = balances_of(desk)
    if any(snapshot.balances.get(asset, 0) != units for asset, units in expected.items()):
        return False
    if any(units and asset in desk.scales and asset not in expected for asset, units in snapshot.balances.items()):
        return False
    if are_booked:
        return True
    return all(fill.venue_trade_id in desk.foreign_trades or _is_booked(desk, fill) for fill in snapshot.fills)


def _is_compared(desk: Desk, seen: Seen) -> bool:
    if seen.venue_order_id not in desk.foreign or looks_ours(seen.client_order_id):
        return True
    # It is known and not ours; where nobody else trades it is to go.
    return desk.settings.reconciliation.account_is_exclusive and seen.state is VenueState.LIVE


def still_differs(desk: Desk, snapshot: Snapshot, asset: str) -> bool:
    """Tell whether a balance is not what we expect: a comparison passes over it while something happens to it."""
    expected = balances_of(desk)
    return asset in expected and snapshot.balances.get(asset, 0) != expected[asset]


def _is_doubled(desk: Desk, row: int) -> bool:
    return sum(order.request.role is Role.PROTECT and order.is_live for order in desk.open_orders(row)) > 1


def _is_booked(desk: Desk, fill: Filled) -> bool:
    order = desk.order(fill.client_order_id, fill.venue_order_id)
    return order is not None and fill.venue_trade_id in order.fills


def view_of(desk: Desk, now_ns: int) -> View:
    """Return everything that a snapshot is compared with at a moment, ns UTC."""
    books = desk.books
    account = books.account[0]
    orders = {**desk.closed, **desk.orders}
    positions = {key: int(units) for key, units in zip(desk.keys, books.positions["qty_units"].tolist(), strict=True)}
    return View(
        account=desk.key,
        instruments=dict(zip(desk.keys, desk.instruments, strict=True)),
        orders=orders,
        venue_ids=desk.venue_ids,
        balances=balances_of(desk),
        scales=desk.scales,
        quote=desk.quote,
        equity_units=desk.cash_amount(round(float(account.equity) * float(books.records[0].cash_factor))),
        marks=_marks(desk),
        positions=positions,
        to_protect=frozenset(key for row, key in enumerate(desk.keys) if needs_stop(desk, row, now_ns)),
        orders_active_ns=desk.active_ns,
        instruments_active_ns={key: ts_ns for key, ts_ns in zip(desk.keys, desk.rows_active_ns, strict=True) if ts_ns},
        known_trades=desk.foreign_trades,
        known_flows=desk.flows,
        known_foreign=desk.foreign,
        is_exclusive=desk.settings.reconciliation.account_is_exclusive,
        fills_since_clean=desk.fills_since_clean,
        readings=desk.readings,
        race_guard_ns=round(desk.settings.reconciliation.race_guard_s * SECOND_NS),
    )


def _marks(desk: Desk) -> Mapping[InstrumentKey, int]:
    return {
        key: units
        for row, key in enumerate(desk.keys)
        if (units := desk.price_units(row, float(desk.books.last_bars[row].close))) > 0
    }
