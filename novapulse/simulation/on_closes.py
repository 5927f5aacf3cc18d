"""Invariants of every close: what is held has its stop, what is to be left is left, and losses restrict.

Invariants:
- no word of a trader excuses anything: what excuses a position without a stop is an order of its own at work, or what
  the world itself knows to be wrong, and neither does for long.
"""

from typing import TYPE_CHECKING

from novapulse.core.bars import MINUTE_NS
from novapulse.core.instruments import InstrumentKey
from novapulse.core.orders import OrderStatus, OrderType, Role
from novapulse.core.records import Intent, Mode
from novapulse.engine.bare import BARE_S_MAX
from novapulse.engine.changes import RETRY_SECONDS
from novapulse.engine.desk import Desk
from novapulse.engine.standing import STANDS
from novapulse.engine.stop_size import PATIENCE_S
from novapulse.simulation.host import Host
from novapulse.venues.simulated import VenueMode
from novapulse.venues.simulated.book import Slot

if TYPE_CHECKING:
    from novapulse.simulation.auditor import Auditor

BARE_NS = MINUTE_NS
"""How long a position may have no stop for no reason that the world knows: from one close to the next."""

BARE_FOR_A_REASON_NS = BARE_S_MAX * 10**9
"""How long it may for one."""

TOO_LARGE_NS = 3 * MINUTE_NS
"""How long a stop may be larger than what its trader holds: an execution that was lost comes with a reading."""

TRY_LATE_NS = 5 * 10**9
"""How late a trader may be that said when it tries again."""

STOP_ASKED_NS = (PATIENCE_S + 5) * 10**9
"""When the venue has been asked for a stop that nothing was heard of."""

LEFT_TO_THE_VENUE_NS = 5 * MINUTE_NS
"""How long a position that is to be left may have no exit of its own: three bars for the stop that was touched, then
half a minute until somebody looks."""

TOLD_BY_NS = 8 * MINUTE_NS
"""When people know of a position that could not be left: an exit chased twice has three bars, then three more."""

BEYOND_NS = 10 * MINUTE_NS
"""How long what was executed beyond what was held may be held: a reading, an exit and what it meets."""

CLOSE_MEASURES = "equity_jump"
"""What a trader measures at closes that it takes, and at no other time."""

NEAR_ENOUGH = 1.1
"""Times the least that an order may be worth: a stop is worth less than the last price."""


def check_stops(auditor: "Auditor", host: Host) -> None:
    """SYS-6: a position has its stop at the venue, or a reason that is true of the world and not too old."""
    tally, now = auditor.tallies[host.key], auditor.world.timeline.now_ns
    if host.trader is None or host.exchange.mode is not VenueMode.ONLINE or not host.trader.desk.ready:
        tally.bare_since_ns.clear()
        tally.too_large_since_ns.clear()
        return
    desk = host.trader.desk
    for key, slot in host.exchange.slots.items():
        row = desk.rows[key]
        _check_size(auditor, host, slot, row, now)
        held = min(abs(slot.held_units), abs(desk.books.held_units(row)))
        if held == 0 or is_guarded(slot, held) or is_closed(host, key, now) or is_too_little(slot, held):
            tally.bare_since_ns.pop(key.symbol, None)
            continue
        since = tally.bare_since_ns.setdefault(key.symbol, now)
        if _is_try_overdue(host, desk, row, now):
            auditor.broke("SYS-6", host, f"{held} units of {key} have no stop, and the next try was due")
        if now - since >= (BARE_FOR_A_REASON_NS if _has_reason(host, desk, row, now) else BARE_NS):
            said = desk.slots[row].why_bare or "nothing"
            text = f"{held} units of {key} have had no stop for {(now - since) // 10**9} s, and the trader says: {said}"
            auditor.broke("SYS-6", host, text)


def _check_size(auditor: "Auditor", host: Host, slot: Slot, row: int, now_ns: int) -> None:
    assert host.trader is not None
    since_ns, desk, symbol = auditor.tallies[host.key].too_large_since_ns, host.trader.desk, slot.instrument.symbol
    held = abs(desk.books.held_units(row))
    if not is_too_large(slot, held) or now_ns < host.refuses_brackets_until_ns:
        since_ns.pop(symbol, None)
    elif now_ns - since_ns.setdefault(symbol, now_ns) >= TOO_LARGE_NS:
        auditor.broke("SYS-6", host, f"a stop of {symbol} is larger than the {held} units that are held")


def is_too_large(slot: Slot, held: int) -> bool:
    """Tell whether a stop at the venue is over more than so many units."""
    return any(order.request.kind is OrderType.BRACKET and order.leaves_units > held for order in slot.live)


def is_guarded(slot: Slot, held: int) -> bool:
    """Tell whether a stop over so many units is live at the venue."""
    return any(order.request.kind is OrderType.BRACKET and order.leaves_units >= held for order in slot.live)


def is_too_little(slot: Slot, held: int) -> bool:
    """Tell whether the venue takes no order over so many units, wherever between stop and price it counts them."""
    worth = held / float(slot.record["qty_factor"]) * slot.last_price
    return held < int(slot.record["qty_min_units"]) or worth < float(slot.record["notional_min"]) * NEAR_ENOUGH


def is_closed(host: Host, key: InstrumentKey, now_ns: int) -> bool:
    """Tell whether a market shows no price since it was split, or has only just shown one."""
    return host.closed_until_ns.get(key, 0) > now_ns - 2 * MINUTE_NS


def watch_stop(auditor: "Auditor", host: Host, client_order_id: str) -> None:
    """SYS-6: the venue is asked for the stop that it makes with an entry's first execution and says nothing of."""
    assert host.trader is not None
    desk, life, now = host.trader.desk, host.life, auditor.world.timeline.now_ns
    entry = desk.order(client_order_id)
    if entry is None or entry.request.role is not Role.ENTRY:
        return
    row = desk.row_of(entry)
    name = desk.slots[row].protect

    def look() -> None:
        if host.trader is not trader or host.life != life or host.clock_ns or not _is_unseen(desk, row, name):
            return
        auditor.world.marks.reached("a stop was late")
        if auditor.tallies[host.key].asked_ns.get(name, 0) < now:
            auditor.broke("SYS-6", host, f"nothing was heard of the stop {name}, and the venue is not asked")

    trader = host.trader
    if _is_unseen(desk, row, name):
        auditor.world.timeline.at(now + STOP_ASKED_NS, look)


def _is_unseen(desk: Desk, row: int, name: str) -> bool:
    stop = desk.orders.get(name)
    return stop is not None and stop.status is OrderStatus.INTENT and desk.books.held_units(row) != 0


def _is_try_overdue(host: Host, desk: Desk, row: int, now_ns: int) -> bool:
    slot = desk.slots[row]
    if host.clock_ns or not slot.why_bare or not 0 < slot.retry_ns < now_ns - TRY_LATE_NS:
        return False
    return not any(order.request.role in (Role.EXIT, Role.PROTECT) for order in desk.open_orders(row))


def _has_reason(host: Host, desk: Desk, row: int, now_ns: int) -> bool:
    if now_ns < host.refuses_brackets_until_ns + RETRY_SECONDS[-1] * 10**9:
        return True
    return any(
        order.request.role is Role.EXIT or (order.request.role is Role.PROTECT and order.status not in STANDS)
        for order in desk.open_orders(row)
    )


def check_exits(auditor: "Auditor", host: Host) -> None:
    """EXIT: a position that is to be left has an exit at work, or its stop has only just been touched."""
    assert host.trader is not None
    tally, now, desk = auditor.tallies[host.key], auditor.world.timeline.now_ns, host.trader.desk
    for row, key in enumerate(desk.keys):
        _check_told(auditor, host, row, now)
        if not _may_send_an_exit(host, desk, row, now):
            tally.exit_due_ns.pop(key.symbol, None)
            continue
        since = tally.exit_due_ns.setdefault(key.symbol, now)
        if now - since >= LEFT_TO_THE_VENUE_NS:
            auditor.broke("EXIT", host, f"{key} is to be left for {(now - since) // 10**9} s and no exit is at work")


def _check_told(auditor: "Auditor", host: Host, row: int, now_ns: int) -> None:
    assert host.trader is not None
    since_ns, desk = auditor.tallies[host.key].leaving_since_ns, host.trader.desk
    key, slot = desk.keys[row], desk.slots[row]
    held = min(abs(host.exchange.slots[key].held_units), abs(int(desk.books.positions[row].qty_units)))
    if not slot.leaving_ns or held == 0 or host.clock_ns:
        since_ns.pop(key.symbol, None)
        return
    # A clock that was ahead lets the wait begin later.
    since = max(since_ns.setdefault(key.symbol, now_ns), slot.leaving_ns)
    if now_ns - since >= TOLD_BY_NS and f"exit:{key.symbol}" not in host.durable.alerts:
        text = f"the position in {key} is to be left for {(now_ns - since) // 10**9} s, and nobody is told"
        auditor.broke("ALERTS", host, text)


def check_exit(auditor: "Auditor", host: Host, key: InstrumentKey) -> None:
    """EXIT: an exit that was just decided has left, whatever became of the entry that it takes back."""
    assert host.trader is not None
    desk, now = host.trader.desk, auditor.world.timeline.now_ns
    row = desk.rows[key]
    entries = [order.client_order_id for order in desk.open_orders(row) if order.request.role is Role.ENTRY]
    if not entries:
        return
    auditor.world.marks.reached("an exit was decided beside an entry")
    if desk.slots[row].decision and _may_send_an_exit(host, desk, row, now):
        auditor.broke("EXIT", host, f"the exit of {key} waits for {entries}")


def _may_send_an_exit(host: Host, desk: Desk, row: int, now_ns: int) -> bool:
    # Something can be sold, nothing is at work that sells it, and neither the mode nor a refusal is in the way.
    key, slot = desk.keys[row], desk.slots[row]
    if desk.books.intent(row) is not Intent.EXIT or not desk.may_leave or slot.retry_ns > host.told_ns(now_ns):
        return False
    theirs = host.exchange.slots[key]
    held = min(abs(theirs.held_units), abs(int(desk.books.positions[row].qty_units)))
    if is_too_little(theirs, held) or is_closed(host, key, now_ns):
        return False
    return not any(order.trigger for order in theirs.live) and not any(
        order.request.role is Role.EXIT for order in desk.open_orders(row)
    )


def check_excess(auditor: "Auditor", host: Host) -> None:
    """EXCESS: what a venue executed beyond what was held is closed again while its account may close anything."""
    now, trader = auditor.world.timeline.now_ns, host.trader
    for key, (side, since_ns) in list(host.beyond.items()):
        slot = host.exchange.slots[key]
        if side * slot.held_units <= 0:
            del host.beyond[key]
            auditor.world.marks.reached("what was executed beyond a position was closed")
        elif is_too_little(slot, slot.held_units):
            # No order alone could close it: it goes with the next exit.
            del host.beyond[key]
        elif trader is None or not trader.desk.ready or not trader.desk.may_leave or _is_shut(host, key, now):
            host.beyond[key] = (side, now)
        elif now - since_ns >= BEYOND_NS:
            what = f"{key} was executed beyond what was held, or given back, {(now - since_ns) // 10**9} s ago"
            auditor.broke("EXCESS", host, f"{what}, and it is still held")


def _is_shut(host: Host, key: InstrumentKey, now_ns: int) -> bool:
    return host.exchange.mode is not VenueMode.ONLINE or is_closed(host, key, now_ns)


def check_losses(auditor: "Auditor", host: Host) -> None:
    """SYS-7: what the day has lost is measured at each close, and restricts its account when it is too large."""
    assert host.trader is not None
    desk, settings = host.trader.desk, auditor.world.scene.breakers
    measured = desk.breakers.measured
    if CLOSE_MEASURES in measured and "daily_loss" not in measured:
        auditor.broke("SYS-7", host, "a close was taken, and what the day has lost was not measured")
    account, tally = desk.books.account[0], auditor.tallies[host.key]
    if account.day_opening_equity <= 0.0:
        return
    loss, mode = 1.0 - float(account.equity) / float(account.day_opening_equity), desk.books.mode
    is_for_a_halt = loss >= settings.daily_loss_halt_fraction
    tally.has_ended_a_loss = tally.has_ended_a_loss and is_for_a_halt
    if loss < settings.daily_loss_reduce_only_fraction:
        return
    auditor.world.marks.reached("a day's loss was too large")
    if mode < (Mode.HALTED if is_for_a_halt and not tally.has_ended_a_loss else Mode.REDUCE_ONLY):
        auditor.broke("SYS-7", host, f"the day has lost {loss:.2%} and the account is {mode.name}")
