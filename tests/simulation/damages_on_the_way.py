"""Damage that is to be named as it happens: with a record, a request, a close, an alert, a command."""

from dataclasses import replace
from unittest.mock import patch

from novapulse.core.messages import Amend, Cancel, Commit, Record, Started
from novapulse.core.order_fold import Order
from novapulse.core.orders import (
    Attempted,
    Intended,
    OrderStatus,
    OrderType,
    Side,
    Terms,
    Unclear,
)
from novapulse.core.ports import JournalError
from novapulse.core.postings import Book, Posting, move
from novapulse.core.records import Mode
from novapulse.engine.trader import Trader
from novapulse.simulation import on_alerts, on_closes, on_commands, on_marks, on_records, on_requests
from novapulse.simulation.storm import StormyWorld
from tests.simulation.damages import (
    Damage,
    cancel_of,
    desk_of,
    holding,
    last_entry,
    let_stop_grow,
    narrowed,
    to_be_left,
)


def postings_that_do_not_balance(world: StormyWorld) -> None:
    record = Record("flow_booked", 1, {}, (Posting(Book.CASH, "USD", 1),))
    on_records.ord_8_sys_4_balanced(world.auditor, world.hosts[0], record)


def an_execution_at_another_price(world: StormyWorld) -> None:
    host = world.hosts[0]
    body = {**next(iter(host.durable.trades.values()))}
    body["price_units"] += 1
    on_records.sys_3_as_executed(world.auditor, host, Record("fill_booked", 1, body))


def an_execution_booked_again(world: StormyWorld) -> None:
    host = world.hosts[0]
    body = next(iter(host.durable.trades.values()))
    legs = (Posting(Book.CASH, "USD", 1), Posting(Book.TRADING, "USD", -1))
    on_records.ord_5_booked_once(world.auditor, host, Record("fill_booked", 1, body, legs))


def a_decision_of_tomorrow(world: StormyWorld) -> None:
    body = {"ts_close_ns": world.timeline.now_ns + 1}
    on_records.sys_12_no_future(world.auditor, world.hosts[0], Record("decision_taken", 1, body))


def a_cursor_beyond_what_is_booked(world: StormyWorld) -> None:
    host = world.hosts[0]
    world.auditor.tallies[host.key].cursor = 0
    host.durable.trades.pop(next(iter(host.durable.trades)))
    on_records.ord_11_cursor(world.auditor, host)


def a_cumulative_quantity_that_falls(world: StormyWorld) -> None:
    for host in world.hosts:
        for name, order in desk_of(host).orders.items():
            world.auditor.tallies[host.key].seen_units[name] = order.seen_units + 1
            on_records.ord_4_monotone(world.auditor, host)


def cash_held_for_nothing(world: StormyWorld) -> None:
    host = world.hosts[0]
    host.durable.balances["hold", "USD"] += 5
    on_records.ord_7_holds(world.auditor, host)


def an_entry_of_a_halted_account(world: StormyWorld) -> None:
    host, request = last_entry(world)
    desk_of(host).books.mode = Mode.HALTED
    on_requests.sys_7_modes(world.auditor, host, request.request)


def an_entry_larger_than_decided(world: StormyWorld) -> None:
    host, request = last_entry(world)
    decision = host.durable.decisions[request.request.decision_id]
    host.durable.decisions[request.request.decision_id] = {**decision, "units": 1}
    on_requests.ord_12_not_more_than_decided(world.auditor, host, request.request)


def two_orders_of_one_id(world: StormyWorld) -> None:
    host, request = last_entry(world)
    key, name = request.request.instrument, request.request.client_order_id
    host.levers.place(key, Side.BUY, OrderType.LIMIT, Terms(100, 100), 1, client_order_id=name)
    on_requests.ord_2_one_order(world.auditor, host, request.request)


def a_trader_that_was_overtaken_and_writes(world: StormyWorld) -> None:
    host = world.hosts[0]
    world.process.second_instance(host)
    assert host.ghost is not None
    with patch.object(world.disk, "is_fenced", lambda key, commit, epoch: False):
        world.process.haunt(host, Started(world.timeline.now_ns))


def a_decision_under_other_limits(world: StormyWorld) -> None:
    host = world.hosts[0]
    narrowed(host, {"positions_max": "1"})
    body = {"settings": host.configured.decides.hash}
    on_commands.told_decision(world.auditor, host, Record("decision_taken", 1, body))


def a_change_of_limits_that_is_another(world: StormyWorld) -> None:
    host = world.hosts[0]
    body = {"settings": host.configured.decides.hash, "limits": {"positions_max": {"value": "1"}}}
    on_commands.told_limits(world.auditor, host, Record("limits_changed", 1, body))


def a_start_that_forgets_the_limits(world: StormyWorld) -> None:
    host = world.hosts[0]
    narrowed(host, {"positions_max": "1"})
    world.process.start(host)


def an_entry_beyond_a_limit_that_was_narrowed(world: StormyWorld) -> None:
    host, request = last_entry(world)
    on_requests.sys_5_limits(world.auditor, host, request.request)
    narrowed(host, {"position_notional_max": "5"})
    host.durable.taken_under[request.request.decision_id] = 1
    on_requests.sys_5_limits(world.auditor, host, request.request)


def an_entry_for_money_that_was_taken_out(world: StormyWorld) -> None:
    host, request = last_entry(world)
    holdings = host.exchange.holdings
    scale = holdings.scales[holdings.quote] - holdings.cash_scale
    gone = host.levers.flow("withdrawal", holdings.quote, -(holdings.cash_units - 1) * 10**scale, 1)
    on_requests.sys_5_limits(world.auditor, host, request.request)
    desk_of(host).flows[gone.flow_id] = None
    on_requests.sys_5_limits(world.auditor, host, request.request)


def a_cancel_that_was_answered_and_did_nothing(world: StormyWorld) -> None:
    host = world.hosts[0]
    host.levers.place(host.part.instruments[0].key, Side.BUY, OrderType.LIMIT, Terms(100, 100), 1, client_order_id="x")
    host.durable.closed["x"] = ("CANCELED", 0)
    on_commands.told_answer(world.auditor, host, cancel_of("x", text="order x has ended: CANCELED"))


def a_cancel_that_was_answered_before_its_order_ended(world: StormyWorld) -> None:
    on_commands.told_answer(world.auditor, world.hosts[0], cancel_of("x", text="order x has ended: CANCELED"))


def a_cancel_that_is_answered_by_another_end(world: StormyWorld) -> None:
    host, request = last_entry(world)
    text = f"order {request.request.client_order_id} has ended: CANCELED"
    on_commands.told_answer(world.auditor, host, cancel_of(request.request.client_order_id, text=text))


def a_request_that_nobody_wrote(world: StormyWorld) -> None:
    host, submit = last_entry(world)
    on_requests.ord_1_written_before(world.auditor, host, submit)
    on_requests.ord_1_written_before(world.auditor, host, replace(submit, attempt=2))


def a_cancel_that_nobody_wrote(world: StormyWorld) -> None:
    host, submit = last_entry(world)
    request = submit.request
    on_requests.ord_1_written_before(
        world.auditor, host, Cancel(request.client_order_id, "", request.instrument, attempt=9)
    )


def an_amendment_that_nobody_wrote(world: StormyWorld) -> None:
    host, submit = last_entry(world)
    request = submit.request
    amend = Amend(request.client_order_id, "", request.instrument, 9, request.terms)
    on_requests.ord_1_written_before(world.auditor, host, amend)


def an_entry_beside_one_that_nobody_knows(world: StormyWorld) -> None:
    host, submit = last_entry(world)
    on_requests.ord_9_unknown_gates(world.auditor, host, submit.request)
    unknown = replace(submit.request, client_order_id="unknown")
    order = desk_of(host).orders["unknown"] = Order("unknown")
    for fact in (Intended("unknown", unknown), Attempted("unknown", 1, 1), Unclear("unknown", 1)):
        order.add(fact)
    on_requests.ord_9_unknown_gates(world.auditor, host, submit.request)


def an_order_that_was_filled_and_counts_as_never_placed(world: StormyWorld) -> None:
    host, submit = last_entry(world)
    body = {"client_order_id": submit.request.client_order_id, "status": OrderStatus.NEVER_PLACED.value}
    on_records.ord_10_evidence(world.auditor, host, Record("order_closed", 1, body))


def an_order_that_was_closed_and_lives(world: StormyWorld) -> None:
    host, submit = last_entry(world)
    request = replace(submit.request, client_order_id="x")
    host.durable.intents["x"] = {}
    host.levers.place(request.instrument, Side.BUY, OrderType.LIMIT, Terms(100, 100), 1, client_order_id="x")
    host.durable.closed["x"] = ("CANCELED", 0)
    on_requests.ord_2_one_order(world.auditor, host, request)


def a_split_that_the_venue_did_not_tell(world: StormyWorld) -> None:
    key = world.hosts[0].part.instruments[0].key
    body = {"flow_id": "x", "asset_units": 1, "new": 2, "old": 1, "instrument": [key.exchange, key.symbol]}
    on_records.sys_1_split_agrees(world.auditor, world.hosts[0], Record("split_applied", 1, body))


def an_order_without_an_intent(world: StormyWorld) -> None:
    host, submit = last_entry(world)
    on_requests.ord_2_one_order(world.auditor, host, submit.request)
    del host.durable.intents[submit.request.client_order_id]
    on_requests.ord_2_one_order(world.auditor, host, submit.request)


def a_stop_that_is_loosened(world: StormyWorld) -> None:
    host, submit = last_entry(world)
    guard = replace(submit.request, side=Side.SELL, decision_id="x")
    for stop_units in (100, 101, 100):
        on_requests.sys_6_never_loosened(world.auditor, host, guard, stop_units)


def a_position_without_a_stop(world: StormyWorld) -> None:
    host, held = holding(world)
    on_closes.check_stops(world.auditor, host)
    held.live.clear()
    on_closes.check_stops(world.auditor, host)
    world.timeline.now_ns += on_closes.BARE_NS
    on_closes.check_stops(world.auditor, host)


def a_stop_larger_than_what_is_held(world: StormyWorld) -> None:
    host, held = holding(world)
    on_closes.check_stops(world.auditor, host)
    let_stop_grow(held)
    on_closes.check_stops(world.auditor, host)
    world.timeline.now_ns += on_closes.TOO_LARGE_NS
    on_closes.check_stops(world.auditor, host)


def a_stop_that_nobody_asks_for(world: StormyWorld) -> None:
    host, held = holding(world)
    desk = desk_of(host)
    row = desk.rows[held.instrument.key]
    stop = desk.orders[desk.slots[row].protect]
    entry = stop.request.attached_to
    unborn = desk.orders[stop.client_order_id] = Order(stop.client_order_id)
    unborn.add(Intended(stop.client_order_id, stop.request))
    on_closes.watch_stop(world.auditor, host, entry)
    world.timeline.run(world.timeline.now_ns + on_closes.STOP_ASKED_NS)


def an_exit_that_is_not_at_work(world: StormyWorld) -> None:
    host = to_be_left(world)
    on_closes.check_exits(world.auditor, host)
    world.timeline.now_ns += on_closes.LEFT_TO_THE_VENUE_NS
    on_closes.check_exits(world.auditor, host)


def an_exit_that_waits_for_an_entry(world: StormyWorld) -> None:
    host = to_be_left(world)
    desk = desk_of(host)
    (row,) = [row for row, slot in enumerate(desk.slots) if slot.leaving_ns]
    _, submit = last_entry(world)
    request = replace(submit.request, client_order_id="rest", instrument=desk.keys[row])
    order = desk.orders["rest"] = Order("rest")
    order.add(Intended("rest", request))
    desk.slots[row].drains.append("rest")
    desk.slots[row].decision = "d"
    on_closes.check_exit(world.auditor, host, desk.keys[row])


def a_position_that_is_not_left_for_long(world: StormyWorld) -> None:
    host = to_be_left(world)
    on_closes.check_exits(world.auditor, host)
    world.auditor.tallies[host.key].exit_due_ns.clear()
    world.timeline.now_ns += on_closes.TOLD_BY_NS
    on_closes.check_exits(world.auditor, host)


def a_restriction_of_which_nobody_is_told(world: StormyWorld) -> None:
    tripped = Record("breaker_tripped", 1, {"name": "spread", "instrument": ["kraken", "BTC/USD"]})
    told = Record("alert_raised", 1, {"key": "breaker:spread:BTC/USD"})
    on_alerts.check(world.auditor, world.hosts[0], Commit((tripped, told)))
    on_alerts.check(world.auditor, world.hosts[0], Commit((tripped,)))


def a_dispute_of_which_nobody_is_told(world: StormyWorld) -> None:
    record = Record("dispute_raised", 1, {"client_order_id": "x"})
    on_alerts.check(world.auditor, world.hosts[0], Commit((record,)))


def a_bust_of_which_nobody_is_told(world: StormyWorld) -> None:
    legs = (Posting(Book.CASH, "USD", 1), Posting(Book.TRADING, "USD", -1))
    record = Record("fill_busted", 1, {"venue_trade_id": "x", "client_order_id": "y"}, legs)
    on_alerts.check(world.auditor, world.hosts[0], Commit((record,)))


def an_execution_too_many_of_which_nobody_is_told(world: StormyWorld) -> None:
    host = world.hosts[0]
    one, other = list(host.durable.trades)[:2]
    host.legs |= {one: other, other: one}
    booked = Record("fill_booked", 1, host.durable.trades[other])
    told = Record("alert_raised", 1, {"key": f"excess:{other}"})
    on_alerts.check(world.auditor, host, Commit((booked, told)))
    on_alerts.check(world.auditor, host, Commit((booked,)))


def nobodys_on_the_other_side(world: StormyWorld) -> None:
    host, held = holding(world)
    assert host.trader is not None
    books, row = host.trader.desk.books, host.trader.desk.rows[held.instrument.key]
    books.foreign_units[row] = books.held_units(row)
    on_records.ord_6_on_one_side(world.auditor, host)
    books.foreign_units[row] = -books.held_units(row)
    on_records.ord_6_on_one_side(world.auditor, host)


def a_position_that_is_given_up_as_dust(world: StormyWorld) -> None:
    host, held = holding(world)
    key = held.instrument.key
    least = float(held.record["notional_min"]) / held.last_price * float(held.record["qty_factor"])
    for units in (round(least), round(least * 2)):
        body = {"instrument": [key.exchange, key.symbol], "own_units": -units}
        on_records.dust_is_little(world.auditor, host, Record("dust_set_aside", 1, body))


def a_position_that_is_counted_twice(world: StormyWorld) -> None:
    host, _ = holding(world)
    on_records.count_is_true(world.auditor, host)
    desk_of(host).books.account["positions"] += 1
    on_records.count_is_true(world.auditor, host)


def an_excess_that_stays(world: StormyWorld) -> None:
    host, held = holding(world)
    host.beyond[held.instrument.key] = (-1, world.timeline.now_ns)
    on_closes.check_excess(world.auditor, host)
    assert not host.beyond, "what is held is not on that side"
    host.beyond[held.instrument.key] = (1 if held.held_units > 0 else -1, world.timeline.now_ns)
    on_closes.check_excess(world.auditor, host)
    world.timeline.now_ns += on_closes.BEYOND_NS
    on_closes.check_excess(world.auditor, host)


def a_loss_that_nobody_measures(world: StormyWorld) -> None:
    host = world.hosts[0]
    on_closes.check_losses(world.auditor, host)
    del desk_of(host).breakers.measured["daily_loss"]
    on_closes.check_losses(world.auditor, host)


def a_deposit_that_lifts_the_days_opening(world: StormyWorld) -> None:
    host = world.hosts[0]
    on_marks.check(world.auditor, host)
    desk_of(host).books.account["day_opening_equity"] += 100.0
    on_marks.check(world.auditor, host)


def a_withdrawal_that_leaves_the_peak(world: StormyWorld) -> None:
    host = world.hosts[0]
    quote = desk_of(host).quote
    legs = move(quote, -(10 ** desk_of(host).scales[quote]), Book.CAPITAL, Book.CASH)
    gone = Record("flow_booked", 1, {"kind": "withdrawal", "asset": quote}, legs)
    on_marks.note_moved(world.auditor, host, replace(gone, body={"kind": "cash_in_lieu"}))
    on_marks.check(world.auditor, host)
    on_marks.note_moved(world.auditor, host, gone)
    desk_of(host).books.account["equity"] -= 1.0
    desk_of(host).books.account["day_opening_equity"] -= 1.0
    on_marks.check(world.auditor, host)


def coins_of_a_position_that_are_a_loss(world: StormyWorld) -> None:
    host, held = holding(world)
    symbol = held.instrument.symbol
    body = {"instrument": [host.key.exchange, symbol], "own_units": -held.held_units, "price_units": 10_000}
    on_marks.check(world.auditor, host)
    on_marks.note_moved(world.auditor, host, Record("flow_booked", 1, {**body, "own_units": 0}))
    on_marks.check(world.auditor, host)
    on_marks.note_moved(world.auditor, host, Record("flow_booked", 1, body))
    on_marks.check(world.auditor, host)


def a_day_that_stays_higher_than_the_peak(world: StormyWorld) -> None:
    host = world.hosts[0]
    on_marks.check(world.auditor, host)
    account = desk_of(host).books.account[0]
    account.day_peaks[3] = float(account.equity_peak) + 1.0
    on_marks.check(world.auditor, host)


def a_trader_that_raises(world: StormyWorld) -> None:
    host = world.hosts[0]
    with patch.object(Trader, "handle", side_effect=KeyError("x")):
        world.deliver(host, Started(world.timeline.now_ns))


def a_ledger_that_refuses(world: StormyWorld) -> None:
    host = world.hosts[0]
    with patch.object(world.disk, "commit", side_effect=JournalError("it does not fit")):
        world.commit(host, Commit(()))


ON_THE_WAY: dict[str, tuple[str, Damage]] = {
    "an unbalanced entry": ("ORD-8", postings_that_do_not_balance),
    "a wrong price": ("SYS-3", an_execution_at_another_price),
    "a double booking": ("ORD-5", an_execution_booked_again),
    "a look ahead": ("SYS-12", a_decision_of_tomorrow),
    "a cursor ahead": ("ORD-11", a_cursor_beyond_what_is_booked),
    "a falling cumulative": ("ORD-4", a_cumulative_quantity_that_falls),
    "a hold for nothing": ("ORD-7", cash_held_for_nothing),
    "an entry in a halt": ("SYS-7", an_entry_of_a_halted_account),
    "too large an entry": ("ORD-12", an_entry_larger_than_decided),
    "a second order": ("ORD-2", two_orders_of_one_id),
    "other limits": ("TOLD", a_decision_under_other_limits),
    "another change": ("TOLD", a_change_of_limits_that_is_another),
    "forgotten limits": ("TOLD", a_start_that_forgets_the_limits),
    "a narrowed limit": ("SYS-5", an_entry_beyond_a_limit_that_was_narrowed),
    "money that is gone": ("SYS-5", an_entry_for_money_that_was_taken_out),
    "a cancel for nothing": ("TOLD", a_cancel_that_was_answered_and_did_nothing),
    "a hasty answer": ("TOLD", a_cancel_that_was_answered_before_its_order_ended),
    "a wrong answer": ("TOLD", a_cancel_that_is_answered_by_another_end),
    "a ghost": ("SYS-14", a_trader_that_was_overtaken_and_writes),
    "an unwritten attempt": ("ORD-1", a_request_that_nobody_wrote),
    "an unwritten cancel": ("ORD-1", a_cancel_that_nobody_wrote),
    "an unwritten amendment": ("ORD-1", an_amendment_that_nobody_wrote),
    "an entry in the dark": ("ORD-9", an_entry_beside_one_that_nobody_knows),
    "an end without proof": ("ORD-10", an_order_that_was_filled_and_counts_as_never_placed),
    "a life behind the end": ("ORD-10", an_order_that_was_closed_and_lives),
    "a split of nobody": ("SYS-1", a_split_that_the_venue_did_not_tell),
    "a lost intent": ("SYS-2", an_order_without_an_intent),
    "a loosened stop": ("SYS-6", a_stop_that_is_loosened),
    "no stop": ("SYS-6", a_position_without_a_stop),
    "a stop too large": ("SYS-6", a_stop_larger_than_what_is_held),
    "an unborn stop": ("SYS-6", a_stop_that_nobody_asks_for),
    "no exit": ("EXIT", an_exit_that_is_not_at_work),
    "a patient exit": ("EXIT", an_exit_that_waits_for_an_entry),
    "an exit in silence": ("ALERTS", a_position_that_is_not_left_for_long),
    "a restriction in silence": ("ALERTS", a_restriction_of_which_nobody_is_told),
    "a dispute in silence": ("ALERTS", a_dispute_of_which_nobody_is_told),
    "a bust in silence": ("ALERTS", a_bust_of_which_nobody_is_told),
    "an excess in silence": ("ALERTS", an_execution_too_many_of_which_nobody_is_told),
    "two sides": ("ORD-6", nobodys_on_the_other_side),
    "an excess": ("EXCESS", an_excess_that_stays),
    "a miscount": ("COUNT", a_position_that_is_counted_twice),
    "no dust": ("DUST", a_position_that_is_given_up_as_dust),
    "a loss unmeasured": ("SYS-7", a_loss_that_nobody_measures),
    "a lifted opening": ("MARKS", a_deposit_that_lifts_the_days_opening),
    "a peak left behind": ("MARKS", a_withdrawal_that_leaves_the_peak),
    "coins lost": ("MARKS", coins_of_a_position_that_are_a_loss),
    "a day left behind": ("MARKS", a_day_that_stays_higher_than_the_peak),
    "an error of ours": ("TRADER", a_trader_that_raises),
    "a refusing ledger": ("LEDGER", a_ledger_that_refuses),
}
