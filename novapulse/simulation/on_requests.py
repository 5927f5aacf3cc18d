"""Invariants of what leaves for the venue, and of what the venue then has."""

from typing import TYPE_CHECKING

from novapulse.core.instruments import InstrumentKey
from novapulse.core.messages import Amend, Cancel, Submit
from novapulse.core.orders import OrderRequest, OrderStatus, OrderType, Role, Terms
from novapulse.core.records import Mode
from novapulse.engine.desk import Desk
from novapulse.simulation.host import Host
from novapulse.simulation.on_commands import risks_since
from novapulse.venues.simulated.book import Slot

if TYPE_CHECKING:
    from novapulse.simulation.auditor import Auditor

SLACK = 1.02
MISSING_NS = 90 * 10**9
"""Behind the last close, when the next one did not come."""
"""Prices move between a decision and the look at it."""

_UNKNOWN = frozenset({OrderStatus.UNKNOWN, OrderStatus.DISPUTED})


def check(auditor: "Auditor", host: Host, effect: Submit | Cancel | Amend) -> None:
    """Look at a request that leaves."""
    ord_1_written_before(auditor, host, effect)
    if isinstance(effect, Submit) and effect.request.role is Role.ENTRY:
        ord_9_unknown_gates(auditor, host, effect.request)
        sys_5_limits(auditor, host, effect.request)
        sys_7_modes(auditor, host, effect.request)
    elif isinstance(effect, Submit):
        sys_7_halted(auditor, host, effect.request)
    if isinstance(effect, Submit | Amend):
        sys_7_price_is_fresh(auditor, host, effect)
    if isinstance(effect, Submit) and effect.request.kind is OrderType.BRACKET:
        sys_6_never_loosened(auditor, host, effect.request, effect.request.terms.stop_units)
    if isinstance(effect, Amend) and effect.terms.stop_units:
        assert host.trader is not None
        order = host.trader.desk.order(effect.client_order_id)
        if order is not None:
            if order.request.attached_to and effect.terms.qty_units < order.terms.qty_units:
                auditor.world.marks.reached("a stop was made smaller")
            sys_6_never_loosened(auditor, host, order.request, effect.terms.stop_units)


def check_taken(auditor: "Auditor", host: Host, effect: Submit) -> None:
    """Look at what the venue made of an order."""
    ord_2_one_order(auditor, host, effect.request)
    if effect.request.role is Role.ENTRY:
        ord_12_not_more_than_decided(auditor, host, effect.request)


def ord_1_written_before(auditor: "Auditor", host: Host, effect: Submit | Cancel | Amend) -> None:
    """What leaves was written."""
    durable = host.durable
    if isinstance(effect, Submit):
        name = effect.request.client_order_id
        known = (name, effect.attempt) in durable.attempts and name in durable.intents
    elif isinstance(effect, Cancel):
        name = effect.client_order_id or effect.venue_order_id
        known = (name, effect.attempt) in durable.cancels
    else:
        name = effect.client_order_id
        known = (name, effect.amendment) in durable.amends
    if not known:
        auditor.broke("ORD-1", host, f"{type(effect).__name__} of order {name} leaves, and the ledger knows nothing")


def ord_2_one_order(auditor: "Auditor", host: Host, request: OrderRequest) -> None:
    """The venue has one order under an id; and none without an intent."""
    orders = host.exchange.book.of_client(request.client_order_id)
    if len(orders) > 1:
        auditor.broke("ORD-2", host, f"{request.client_order_id} has {len(orders)} orders at the venue")
    if orders and request.client_order_id not in host.durable.intents and not auditor.is_ledger_old:
        auditor.broke("SYS-2", host, f"{request.client_order_id} is at the venue without an intent")
    closed = host.durable.closed.get(request.client_order_id)
    if closed is not None and orders and orders[0].is_live:
        auditor.broke("ORD-10", host, f"{request.client_order_id} was closed as {closed[0]} and is live now")


def ord_9_unknown_gates(auditor: "Auditor", host: Host, request: OrderRequest) -> None:
    """No entry beside an order that is not known."""
    assert host.trader is not None
    for order in host.trader.desk.orders.values():
        mine = order.client_order_id == request.client_order_id
        if order.request.instrument == request.instrument and order.status in _UNKNOWN and not mine:
            auditor.broke("ORD-9", host, f"an entry in {request.instrument} while {order.client_order_id} is unknown")


def ord_12_not_more_than_decided(auditor: "Auditor", host: Host, request: OrderRequest) -> None:
    """All orders of an entry together stay within what was decided, in quantity and in cash."""
    decision = host.durable.decisions.get(request.decision_id)
    if decision is None:
        if not auditor.is_ledger_old:
            auditor.broke("ORD-12", host, f"an entry of decision {request.decision_id}, which nobody took")
        return
    exchange = host.exchange
    total = 0
    for name, intent in _legs(host, request.decision_id):
        if intent["role"] != Role.ENTRY.value:
            continue
        for order in exchange.book.of_client(name):
            total += order.filled_units + (order.leaves_units if order.is_live else 0)
    if total > decision["units"]:
        auditor.broke("ORD-12", host, f"decision of {decision['units']} units has {total} at the venue")


def _legs(host: Host, decision: str) -> list[tuple[str, dict[str, object]]]:
    return [(name, dict(host.durable.intents[name])) for name in host.durable.legs.get(decision, ())]


def sys_5_limits(auditor: "Auditor", host: Host, request: OrderRequest) -> None:
    """Positions, entries and this one stay within the limits, by the venue's own prices and what it has told."""
    assert host.trader is not None
    if host.is_deceived(auditor.world.timeline.now_ns):
        return
    desk, exchange = host.trader.desk, host.exchange
    # An entry goes by the limits of its decision, those beside it by limits that came since.
    risks = list(risks_since(auditor, host, request.decision_id))
    worth: dict[InstrumentKey, float] = {}
    holdings = exchange.holdings
    equity = (holdings.cash_units - holdings.cash_of(host.untold_units(holdings.quote))) / 10**holdings.cash_scale
    for key, slot in exchange.slots.items():
        own = slot.held_units + slot.stray_units - int(desk.books.foreign_units[desk.rows[key]])
        own -= holdings.qty_of(slot, host.untold_units(slot.instrument.base))
        held = own / float(slot.record["qty_factor"]) * slot.last_price
        equity += held
        open_ = sum(
            _worth(slot, order.leaves_units, order.terms.limit_units)
            for order in slot.live
            if not order.reduces and order.client_order_id
        )
        if held or open_:
            worth[key] = abs(held) + open_
    slot = exchange.slots[request.instrument]
    mine = _worth(slot, request.terms.qty_units, request.terms.limit_units)
    worth[request.instrument] = worth.get(request.instrument, 0.0) + mine
    most = max(risk.limits.gross_exposure_max_fraction for risk in risks) * equity * SLACK
    if sum(worth.values()) > most:
        auditor.broke("SYS-5", host, f"an entry brings the gross exposure to {sum(worth.values()):.2f} of {most:.2f}")
    positions_max = max(risk.limits.positions_max for risk in risks)
    if len(worth) > positions_max:
        auditor.broke("SYS-5", host, f"an entry makes {len(worth)} positions of {positions_max}")
    sizing = risks[0].sizing
    cap = min(sizing.position_notional_max, sizing.position_fraction_max * equity) * SLACK
    if worth[request.instrument] > cap:
        auditor.broke(
            "SYS-5", host, f"{request.instrument} would be worth {worth[request.instrument]:.2f} of {cap:.2f}"
        )
    if request.notional_max_units <= 0:
        auditor.broke("SYS-5", host, f"an entry in {request.instrument} without a cap on what it may be worth")


def _worth(slot: Slot, units: int, limit_units: int) -> float:
    price = limit_units / float(slot.record["price_factor"]) if limit_units else slot.last_price
    return units / float(slot.record["qty_factor"]) * price


def sys_6_never_loosened(auditor: "Auditor", host: Host, request: OrderRequest, stop_units: int) -> None:
    """A stop only ever tightens, over all brackets of one position."""
    stops = auditor.tallies[host.key].stops
    key = (request.decision_id, request.instrument.symbol)
    before = stops.get(key)
    if before is not None and int(request.side) * (stop_units - before) > 0:
        auditor.broke("SYS-6", host, f"the stop of {request.instrument} is loosened from {before} to {stop_units}")
    stops[key] = stop_units


def sys_7_modes(auditor: "Auditor", host: Host, request: OrderRequest) -> None:
    """No entry unless the account may take risk."""
    assert host.trader is not None
    mode = host.trader.desk.books.mode
    if mode != Mode.NORMAL:
        auditor.broke("SYS-7", host, f"an entry in {request.instrument} leaves in mode {mode.name}")
    if not host.trader.desk.ready:
        auditor.broke("SYS-7", host, f"an entry in {request.instrument} leaves before the account was reconciled")


def sys_7_price_is_fresh(auditor: "Auditor", host: Host, effect: Submit | Amend) -> None:
    """No entry leaves, and none follows the price, behind a price that is too old; an exit is not held up by it."""
    assert host.trader is not None
    desk, now = host.trader.desk, auditor.world.timeline.now_ns
    request, before, after = _asked(desk, effect)
    if request is None:
        return
    age_ns = now - host.exchange.slots[request.instrument].last_close_ns
    if request.role is Role.EXIT and before not in (None, after) and age_ns > MISSING_NS:
        auditor.world.marks.reached("an exit moved on without a bar")
    if request.role is not Role.ENTRY:
        return
    if host.clock_ns or (before is not None and before.limit_units == after.limit_units):
        return
    priced_ns = max(host.exchange.slots[request.instrument].last_close_ns, host.quoted_ns.get(request.instrument, 0))
    if now - priced_ns > auditor.world.scene.settings.quote_age_s_max * 1e9:
        text = f"a price of {request.instrument} is followed that is {(now - priced_ns) / 1e9:.3f} s old"
        auditor.broke("SYS-7", host, text)


def _asked(desk: Desk, effect: Submit | Amend) -> tuple[OrderRequest | None, Terms | None, Terms]:
    if isinstance(effect, Submit):
        return effect.request, None, effect.request.terms
    order = desk.order(effect.client_order_id)
    return (order.request, order.terms, effect.terms) if order is not None else (None, None, effect.terms)


def sys_7_halted(auditor: "Auditor", host: Host, request: OrderRequest) -> None:
    """A halted account sends cancels, and stops for what it holds; exits for an operator who wants nothing held."""
    assert host.trader is not None
    desk = host.trader.desk
    is_exit = request.role is Role.EXIT and desk.flat_wanted
    if desk.books.mode == Mode.HALTED and request.role is not Role.PROTECT and not is_exit:
        auditor.broke("SYS-7", host, f"an order in {request.instrument} leaves a halted account")
