"""Invariants of what is written, record by record, and of a trader that has written."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from novapulse.core.instruments import InstrumentKey
from novapulse.core.messages import Commit, Record
from novapulse.core.orders import OrderStatus, Role, VenueState
from novapulse.core.postings import Book, imbalance
from novapulse.core.records import Reason
from novapulse.engine.ticks import decoded
from novapulse.simulation import on_alerts, on_closes, on_commands, on_marks
from novapulse.simulation.host import Host
from novapulse.venues.simulated.book import Order

if TYPE_CHECKING:
    from novapulse.simulation.auditor import Auditor

_ENDED = {
    OrderStatus.FILLED.value: {VenueState.FILLED},
    OrderStatus.CANCELED.value: {VenueState.CANCELED, VenueState.EXPIRED, VenueState.REPLACED},
    OrderStatus.EXPIRED.value: {VenueState.EXPIRED, VenueState.CANCELED},
}

DUST_MOST = 1.5
"""Times the least worth of an order that dust may have: prices move between a trader's last one and the true one."""

_RESTATED = frozenset({"open", "high", "low", "close", "volume", "atr"})
"""What a split changes of a market's bars and signals."""

_MARKED = {
    "breaker_tripped": "name",
    "break_found": "class",
    "order_refused": "code",
    "break_adopted": "",
    "absence_proved": "",
    "order_reopened": "",
    "split_applied": "",
    "dust_set_aside": "",
}

_TOLD = {
    "limits_changed": on_commands.told_limits,
    "session_started": on_commands.told_start,
    "command_answered": on_commands.told_answer,
}


def check(auditor: "Auditor", host: Host, commit: Commit) -> None:
    """Look at records that were written."""
    for record in commit.records:
        ord_8_sys_4_balanced(auditor, host, record)
        if record.kind == "fill_booked":
            ord_5_booked_once(auditor, host, record)
            sys_3_as_executed(auditor, host, record)
        elif record.kind == "order_closed" and not _is_denied(host, record):
            ord_10_evidence(auditor, host, record)
        elif record.kind == "decision_taken":
            sys_12_no_future(auditor, host, record)
            sys_7_spread_known(auditor, host, record)
            on_commands.told_decision(auditor, host, record)
        elif record.kind in _TOLD:
            _TOLD[record.kind](auditor, host, record)
        elif record.kind == "breaker_cleared" and record.body["by_operator"]:
            auditor.tallies[host.key].has_ended_a_loss |= record.body["name"] == "daily_loss_halt"
        elif record.kind == "split_applied":
            sys_1_split_agrees(auditor, host, record)
        elif record.kind == "dust_set_aside":
            dust_is_little(auditor, host, record)
        elif record.kind in ("flow_booked", "break_adopted"):
            on_marks.note_moved(auditor, host, record)
        mark_partial_fill(auditor, host, record)
        if record.kind in _MARKED:
            named = record.body.get(_MARKED[record.kind], "")
            auditor.world.marks.reached(f"{record.kind} {named}".strip())
        host.durable.add(record)
        if record.kind == "order_closed" and not _is_denied(host, record):
            ord_3_fills_are_cum(auditor, host, record)
        if record.kind == "fill_busted" and record.postings:
            excess_given_back(auditor, host, record)
        if record.kind == "fill_booked":
            on_closes.watch_stop(auditor, host, record.body["client_order_id"])
        if record.kind == "decision_taken" and record.body["verb"] == "EXIT":
            on_closes.check_exit(auditor, host, InstrumentKey(*record.body["instrument"]))
    on_alerts.check(auditor, host, commit)
    ord_4_monotone(auditor, host)
    if commit.state:
        ord_6_on_one_side(auditor, host)
        count_is_true(auditor, host)
        ord_11_cursor(auditor, host)
        ord_7_holds(auditor, host)


def mark_partial_fill(auditor: "Auditor", host: Host, record: Record) -> None:
    """Note what became of an entry that ended filled in part."""
    body, unfilled = record.body, host.durable.unfilled
    if record.kind == "entry_unfilled":
        if body["decision_id"] in unfilled:
            auditor.world.marks.reached("the rest of an entry was not completed")
    elif record.kind == "order_intended" and body["request"]["role"] == Role.ENTRY.value:
        if body["request"]["decision_id"] in unfilled:
            auditor.world.marks.reached("the rest of an entry was completed")
    elif record.kind == "decision_taken" and body["reason"] == Reason.EXIT_UNWIND.name:
        auditor.world.marks.reached("an entry was unwound")


def _is_denied(host: Host, record: Record) -> bool:
    # The venue refused it and took it all the same: nobody can know that yet.
    return record.body["status"] == OrderStatus.REJECTED.value and record.body["client_order_id"] in host.denied


def ord_8_sys_4_balanced(auditor: "Auditor", host: Host, record: Record) -> None:
    """Postings sum to nought per asset."""
    if record.postings and (off := imbalance(record.postings)):
        auditor.broke("ORD-8", host, f"{record.kind} is off by {off}: {record.body}")


def ord_5_booked_once(auditor: "Auditor", host: Host, record: Record) -> None:
    """An execution is booked once."""
    name = record.body["venue_trade_id"]
    if record.body.get("provisional"):
        return
    known = host.durable.trades.get(name)
    if known is not None and record.postings:
        auditor.broke("ORD-5", host, f"execution {name} was booked twice")


def sys_3_as_executed(auditor: "Auditor", host: Host, record: Record) -> None:
    """What is booked is what the venue executed."""
    body = record.body
    if body.get("provisional"):
        return
    name = body["venue_trade_id"]
    number = int(name.rpartition("-")[2]) - 1
    fill = host.exchange.holdings.trades.get(number)
    if fill is None or fill.venue_trade_id != name:
        auditor.broke("SYS-3", host, f"execution {name} was booked, and the venue has it not")
        return
    for field in ("qty_units", "price_units", "cash_units", "fee_units"):
        if body[field] != getattr(fill, field) and not _is_disputed(host, body["client_order_id"]):
            auditor.broke("SYS-3", host, f"{field} of execution {name} is {getattr(fill, field)}, booked {body[field]}")


def _is_disputed(host: Host, client_order_id: str) -> bool:
    desk = host.trader.desk if host.trader is not None else None
    order = desk.order(client_order_id) if desk is not None else None
    return order is not None and bool(order.disputes)


def ord_10_evidence(auditor: "Auditor", host: Host, record: Record) -> None:
    """An order is closed as the venue has it."""
    name, status = record.body["client_order_id"], record.body["status"]
    orders = host.exchange.book.of_client(name)
    if any(order.is_live for order in orders):
        auditor.broke("ORD-10", host, f"order {name} was closed as {status} and is live at the venue")
    if status in (OrderStatus.NEVER_PLACED.value, OrderStatus.REJECTED.value):
        if orders:
            auditor.broke("ORD-10", host, f"order {name} was closed as {status}, the venue has {orders[0].state}")
        if name in host.in_flight:
            auditor.broke("ORD-10", host, f"order {name} was closed as {status} while a request for it is on its way")
        return
    if not orders:
        auditor.broke("ORD-10", host, f"order {name} was closed as {status}, and the venue never had it")
    allowed = _ENDED.get(status)
    if allowed is not None and orders and orders[0].state not in allowed:
        full = orders[0].filled_units >= orders[0].terms.qty_units
        if not (status == OrderStatus.FILLED.value and full):
            auditor.broke("ORD-10", host, f"order {name} was closed as {status}, the venue has {orders[0].state}")


def ord_3_fills_are_cum(auditor: "Auditor", host: Host, record: Record) -> None:
    """A closed order has the executions that the venue says it has."""
    name = record.body["client_order_id"]
    orders, holdings = host.exchange.book.of_client(name), host.exchange.holdings
    said = sum(order.filled_units for order in orders)
    booked, durable = record.body["filled_units"], host.durable.filled[name]
    busted = sum(
        fill.qty_units
        for order in orders
        for number in order.executions
        if (fill := holdings.trades[number]).venue_trade_id in holdings.busted
    )
    if not said - busted - (_second_legs(host, orders) if host.legs else 0) <= booked <= said:
        auditor.broke("ORD-3", host, f"order {name} was closed with {booked} units, the venue filled {said}")
    if not booked - busted <= durable <= booked + busted and not host.durable.provisional:
        auditor.broke("ORD-3", host, f"order {name} was closed with {booked} units, the ledger has {durable}")


def _second_legs(host: Host, orders: Iterable[Order]) -> int:
    # What goes beyond an order's quantity comes behind its end, as late as it is told.
    fills = (host.exchange.holdings.trades[number] for order in orders for number in order.executions)
    untold = host.legs.keys() - host.durable.trades.keys()
    return sum(fill.qty_units for fill in fills if fill.venue_trade_id in untold)


def sys_1_split_agrees(auditor: "Auditor", host: Host, record: Record) -> None:
    """A split gives the ledger what the venue gave; stops are counted anew in its prices."""
    body = record.body
    flow = next((flow for flow in host.exchange.holdings.flows if flow.flow_id == body["flow_id"]), None)
    if flow is None or (flow.asset_units, flow.new, flow.old) != (body["asset_units"], body["new"], body["old"]):
        auditor.broke("SYS-1", host, f"a split was booked that the venue tells otherwise: {flow} {dict(body)}")
    symbol, stops = body["instrument"][1], auditor.tallies[host.key].stops
    for key in [key for key in stops if key[1] == symbol]:
        del stops[key]


def sys_12_no_future(auditor: "Auditor", host: Host, record: Record) -> None:
    """A decision is of a close that has happened, and of the bar and the signals that the feed has of that close."""
    body, ticks = record.body, host.part.ticks
    now, ts_close_ns = auditor.world.timeline.now_ns, body["ts_close_ns"]
    if ts_close_ns > now:
        auditor.broke("SYS-12", host, f"a decision of close {ts_close_ns} at {now}")
    if body["inputs"] is None:
        return
    at, key = int(np.searchsorted(ticks.ts_close_ns, ts_close_ns)), InstrumentKey(*body["instrument"])
    if at == len(ticks) or int(ticks.ts_close_ns[at]) != ts_close_ns:
        auditor.broke("SYS-12", host, f"a decision in {key} of close {ts_close_ns}, which there was not")
    column = ticks.keys.index(key)
    for name, there in (("bar", ticks.bars[at, column]), ("signal", ticks.signals[at, column])):
        knew = decoded(body["inputs"][name], there.dtype)
        restated = _RESTATED if host.splits.get(key, 1.0) != 1.0 else ()
        other = [each for each in there.dtype.names if each not in restated and not _is_alike(knew[each], there[each])]
        if other:
            auditor.broke("SYS-12", host, f"a decision in {key} of close {ts_close_ns} knew another {name}: {other}")


def _is_alike(one: np.generic, other: np.generic) -> bool:
    return bool(one == other) or one.tobytes() == other.tobytes()


def sys_7_spread_known(auditor: "Auditor", host: Host, record: Record) -> None:
    """Nothing is entered whose last good quote is too old for an order to follow."""
    if record.body["verb"] != "ENTER":
        return
    key = InstrumentKey(*record.body["instrument"])
    age_ns = auditor.world.timeline.now_ns - host.quoted_ns.get(key, 0)
    if age_ns > auditor.world.scene.settings.quote_age_s_max * 1e9:
        auditor.broke("SYS-7", host, f"an entry in {key} is decided {age_ns / 1e9:.3f} s behind the last quote")


def excess_given_back(auditor: "Auditor", host: Host, record: Record) -> None:
    """A position that is there because one of our executions was taken back is closed again."""
    name = record.body["venue_trade_id"]
    fill = next(fill for fill in host.exchange.holdings.trades.values() if fill.venue_trade_id == name)
    side, held = -int(fill.side), host.exchange.slots[fill.instrument].held_units
    if 0 < side * held <= fill.qty_units:
        auditor.world.marks.reached("what was given back is held")
        host.beyond[fill.instrument] = (side, auditor.world.timeline.now_ns)


def dust_is_little(auditor: "Auditor", host: Host, record: Record) -> None:
    """What is set aside is less than an order's least quantity, or worth hardly more than its least by true prices."""
    assert host.trader is not None
    desk, key = host.trader.desk, InstrumentKey(*record.body["instrument"])
    units, rules = abs(int(record.body["own_units"])), desk.books.records[desk.rows[key]]
    worth = units / float(rules.qty_factor) * host.exchange.slots[key].last_price
    is_too_small = units < max(int(rules.lot_units), int(rules.qty_min_units))
    if not is_too_small and worth > float(rules.notional_min) * DUST_MOST:
        auditor.broke("DUST", host, f"{units} units of {key}, worth {worth:.2f}, were given up as dust")


def ord_6_on_one_side(auditor: "Auditor", host: Host) -> None:
    """What is ours and what is nobody's never lie on two sides: a venue has one holding."""
    assert host.trader is not None
    desk = host.trader.desk
    for row, key in enumerate(desk.keys):
        ours, nobodys = desk.books.held_units(row), desk.books.foreign_units.item(row)
        if ours * nobodys < 0:
            auditor.broke("ORD-6", host, f"{key}: the trader has {ours} units beside {nobodys} of nobody, on two sides")


def count_is_true(auditor: "Auditor", host: Host) -> None:
    """An account counts each instrument once of which it holds something, or wants to: the limit goes by that."""
    assert host.trader is not None
    books = host.trader.desk.books
    counted, there_are = int(books.account[0].positions), books.held_or_worked_for()
    if counted != there_are:
        auditor.broke("COUNT", host, f"the account counts {counted} positions and entries, and there are {there_are}")


def ord_11_cursor(auditor: "Auditor", host: Host) -> None:
    """Executions that the cursor passed are booked."""
    assert host.trader is not None
    desk, tally = host.trader.desk, auditor.tallies[host.key]
    if not desk.cursor:
        return
    passed = int(desk.cursor.split("/")[0])
    holdings = host.exchange.holdings
    for number in range(tally.cursor, passed):
        fill = holdings.trades[number]
        name = fill.venue_trade_id
        if name in host.durable.trades or name in holdings.busted or fill.instrument not in desk.rows:
            continue
        auditor.broke("ORD-11", host, f"the cursor {desk.cursor} passed execution {name}, which is not booked")
    tally.cursor = max(tally.cursor, passed)


def ord_7_holds(auditor: "Auditor", host: Host) -> None:
    """The ledger holds what open orders reserve."""
    assert host.trader is not None
    desk = host.trader.desk
    held = sum(now for _, now in desk.holds.values())
    booked = host.durable.balances[Book.HOLD.value, desk.quote]
    if desk.cash_amount(held) != booked:
        auditor.broke("ORD-7", host, f"open orders reserve {held} cash units, the ledger holds {booked}")
    for name, order in desk.orders.items():
        if order.request.role is Role.ENTRY and order.leaves_units > 0 and name not in desk.holds:
            auditor.broke("ORD-7", host, f"order {name} may still buy {order.leaves_units} units and reserves nothing")
    lost = desk.holds.keys() - desk.orders.keys()
    if lost:
        auditor.broke("ORD-7", host, f"cash is held for orders that have ended: {sorted(lost)}")


def ord_4_monotone(auditor: "Auditor", host: Host) -> None:
    """A cumulative quantity never falls."""
    assert host.trader is not None
    seen = auditor.tallies[host.key].seen_units
    for name, order in host.trader.desk.orders.items():
        if order.seen_units < seen.get(name, 0):
            auditor.broke("ORD-4", host, f"order {name} had {seen[name]} units filled, now {order.seen_units}")
        seen[name] = order.seen_units
