"""Damage that a look at a world at rest is to name: books, venue, ledger, outbox and states."""

import json
from unittest.mock import patch

from novapulse.core import kept_state
from novapulse.core.messages import Record
from novapulse.core.orders import (
    OrderType,
    Side,
    Terms,
)
from novapulse.ledger import chain, outbox, statistics
from novapulse.simulation import at_rest, on_alerts
from novapulse.simulation.relay import LOOKS_EVERY
from novapulse.simulation.storm import StormyWorld
from tests.simulation.damages import Damage, desk_of, holding, last_entry, let_stop_grow, narrowed


def cash_at_the_venue(world: StormyWorld) -> None:
    world.hosts[0].exchange.holdings.move_cash(1)
    at_rest.check(world.auditor, world.hosts[0])


def an_order_that_nobody_knows(world: StormyWorld) -> None:
    host = world.hosts[0]
    host.levers.place(host.part.instruments[0].key, Side.BUY, OrderType.LIMIT, Terms(100, 100), 1, client_order_id="x")
    at_rest.check(world.auditor, host)


def an_execution_that_is_not_booked(world: StormyWorld) -> None:
    host = world.hosts[0]
    at_rest.ord_3_all_booked(world.auditor, host)
    host.durable.trades.popitem()
    at_rest.ord_3_all_booked(world.auditor, host)


def a_position_that_the_venue_has_not(world: StormyWorld) -> None:
    desk = desk_of(world.hosts[0])
    desk.books.positions[0].qty_units += 7
    at_rest.check(world.auditor, world.hosts[0])


def a_trader_that_stays_down(world: StormyWorld) -> None:
    world.hosts[0].trader = None
    at_rest.check(world.auditor, world.hosts[0])


def a_chain_that_does_not_fit(world: StormyWorld) -> None:
    with patch.object(chain, "link", lambda previous, seq, canonical: b"x" * 32):
        at_rest.check_ledger(world.auditor)


def an_outbox_that_passes_over_an_event(world: StormyWorld) -> None:
    at_rest.check_ledger(world.auditor)
    world.disk.ledger.storage.execute("UPDATE consumer SET cursor = 5")
    world.auditor.relay.ledger_is_old()
    skips = {**outbox._STATEMENTS, "fetch": outbox._STATEMENTS["fetch"].replace("seq > ?", "seq > 1 + ?")}
    with patch.object(outbox, "_STATEMENTS", skips):
        for _ in range(LOOKS_EVERY):
            world.auditor.closed(world.hosts[0])


def an_outbox_that_ends_too_early(world: StormyWorld) -> None:
    world.disk.ledger.storage.execute("UPDATE consumer SET cursor = cursor - 5")
    world.auditor.relay.ledger_is_old()
    ends = {**outbox._STATEMENTS, "fetch": outbox._STATEMENTS["fetch"].replace("ORDER", "AND 0 ORDER")}
    with patch.object(outbox, "_STATEMENTS", ends):
        at_rest.check_ledger(world.auditor)


def a_state_of_other_holdings(world: StormyWorld) -> None:
    execute = world.disk.ledger.storage.execute
    key = world.hosts[0].key
    row = execute("SELECT state, ts_close_ns, seq FROM checkpoint WHERE account_id = ?", (key.account_id,)).fetchone()
    told, runs, books = kept_state.parts(row[0])
    told["holds"]["nothing"] = [7, 7]
    spelled = kept_state.UNSEALED + json.dumps({name: told[name] for name in told if name != "seal"}).encode()[1:]
    head = kept_state.HEAD.pack(kept_state.MAGIC, len(spelled), len(runs), len(books))
    state = kept_state.sealed(head + spelled + runs + books, key, *row[1:])
    execute("UPDATE checkpoint SET state = ? WHERE account_id = ?", (state, key.account_id))
    at_rest.check_ledger(world.auditor)


def a_query_that_takes_what_nobody_did_for_ours(world: StormyWorld) -> None:
    with patch.object(statistics, "shares", lambda one: iter([(False, one)])):
        at_rest.check_ledger(world.auditor)


def an_entry_that_ended_without_a_reason(world: StormyWorld) -> None:
    host, submit = last_entry(world)
    at_rest.unfilled_says_why(world.auditor, host)
    name = submit.request.decision_id
    host.durable.decisions[name] = {**host.durable.decisions[name], "units": submit.request.terms.qty_units + 1}
    at_rest.unfilled_says_why(world.auditor, host)


def a_position_behind_a_flatten(world: StormyWorld) -> None:
    host = world.hosts[0]
    host.flat_asked = "flatten"
    desk_of(host).books.positions[0].qty_units = 10**9
    at_rest.flat_as_asked(world.auditor, host)


def an_entry_behind_a_flatten(world: StormyWorld) -> None:
    host = world.hosts[0]
    host.flat_asked = "flatten"
    desk_of(host).books.positions["qty_units"] = 0
    host.levers.place(host.part.instruments[0].key, Side.BUY, OrderType.LIMIT, Terms(100, 100), 1, client_order_id="x")
    at_rest.flat_as_asked(world.auditor, host)


def a_killed_account_that_goes_on(world: StormyWorld) -> None:
    host = world.hosts[0]
    host.flat_asked = "kill"
    desk_of(host).books.positions["qty_units"] = 0
    for slot in host.exchange.slots.values():
        slot.live.clear()
    at_rest.flat_as_asked(world.auditor, host)


def a_trader_that_goes_by_other_limits(world: StormyWorld) -> None:
    host = world.hosts[0]
    at_rest.check(world.auditor, host)
    narrowed(host, {"positions_max": "1"})
    at_rest.check(world.auditor, host)


def a_cancel_that_is_never_answered(world: StormyWorld) -> None:
    host, request = last_entry(world)
    at_rest.check(world.auditor, host)
    body = {"command_id": "c", "client_order_id": request.request.client_order_id}
    host.durable.add(Record("command_taken", 1, body))
    at_rest.check(world.auditor, host)


def an_inventory_of_more(world: StormyWorld) -> None:
    host = world.hosts[0]
    at_rest.sys_8_balances(world.auditor, host)
    host.durable.balances["inventory", host.part.instruments[0].base] += 1
    at_rest.sys_8_balances(world.auditor, host)


def a_position_without_a_stop_in_a_calm(world: StormyWorld) -> None:
    host, held = holding(world)
    at_rest.sys_6_guarded(world.auditor, host)
    held.live.clear()
    at_rest.sys_6_guarded(world.auditor, host)


def a_stop_larger_than_what_is_held_in_a_calm(world: StormyWorld) -> None:
    host, held = holding(world)
    at_rest.sys_6_guarded(world.auditor, host)
    let_stop_grow(held)
    at_rest.sys_6_guarded(world.auditor, host)


def an_alert_of_a_position_that_is_gone(world: StormyWorld) -> None:
    host, held = holding(world)
    host.durable.alerts.add(f"bare:{held.instrument.symbol}")
    on_alerts.check_over(world.auditor, host)
    row = desk_of(host).rows[held.instrument.key]
    desk_of(host).books.positions[row].qty_units = 0
    on_alerts.check_over(world.auditor, host)


AT_REST: dict[str, tuple[str, Damage]] = {
    "a unit of cash": ("SYS-8", cash_at_the_venue),
    "an orphan order": ("ORD-14", an_order_that_nobody_knows),
    "a lost execution": ("ORD-3", an_execution_that_is_not_booked),
    "a phantom position": ("ORD-6", a_position_that_the_venue_has_not),
    "a dead trader": ("SYS-11", a_trader_that_stays_down),
    "a broken chain": ("SYS-9", a_chain_that_does_not_fit),
    "a gap in the outbox": ("SYS-10", an_outbox_that_passes_over_an_event),
    "an outbox that ends": ("SYS-10", an_outbox_that_ends_too_early),
    "somebody else's position": ("ORD-6", a_query_that_takes_what_nobody_did_for_ours),
    "another state": ("SYS-13", a_state_of_other_holdings),
    "a position left": ("FLAT", a_position_behind_a_flatten),
    "an entry left": ("FLAT", an_entry_behind_a_flatten),
    "a kill without a halt": ("FLAT", a_killed_account_that_goes_on),
    "limits not obeyed": ("TOLD", a_trader_that_goes_by_other_limits),
    "no answer": ("TOLD", a_cancel_that_is_never_answered),
    "too much inventory": ("SYS-1", an_inventory_of_more),
    "a stop too large in a calm": ("SYS-6", a_stop_larger_than_what_is_held_in_a_calm),
    "an alert left": ("ALERTS", an_alert_of_a_position_that_is_gone),
    "an end without a reason": ("UNFILLED", an_entry_that_ended_without_a_reason),
    "no stop in a calm": ("SYS-6", a_position_without_a_stop_in_a_calm),
}
