"""Invariants of a world at rest: two minutes of a calm are over, half a minute after a close."""

import json
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sqlalchemy import Connection, StaticPool, create_engine

from novapulse.core.facts import from_body
from novapulse.core.instruments import InstrumentKey
from novapulse.core.messages import Commit, Snapshot, SnapshotRead
from novapulse.core.order_fold import Order
from novapulse.core.orders import Fact, OrderStatus, OrderType, Role
from novapulse.core.postings import Book
from novapulse.core.records import Intent, Mode
from novapulse.engine.trader import Trader
from novapulse.ledger import chain
from novapulse.ledger.checkpoints import check_checkpoints
from novapulse.ledger.reads import RestoredAccount
from novapulse.ledger.statistics import positions
from novapulse.ledger.storage import SqliteStorage
from novapulse.reconciliation.breaks import BreakClass
from novapulse.simulation import on_alerts, on_closes, on_commands
from novapulse.simulation.durable import FILLS_KNOWN
from novapulse.simulation.host import Host, trader_of
from novapulse.venues.simulated import SimulatedExchange

if TYPE_CHECKING:
    from novapulse.simulation.auditor import Auditor

_SETTLED = frozenset({OrderStatus.INTENT, OrderStatus.ACCEPTED, OrderStatus.PARTIALLY_FILLED})


def check(auditor: "Auditor", host: Host) -> None:
    """Look at an account at rest."""
    sys_11_healthy(auditor, host)
    if host.trader is None or host.is_halted_for_good:
        return
    ord_6_positions(auditor, host)
    flat_as_asked(auditor, host)
    sys_8_balances(auditor, host)
    ord_3_all_booked(auditor, host)
    ord_14_no_orphan(auditor, host)
    ord_7_nothing_held_for_nothing(auditor, host)
    unfilled_says_why(auditor, host)
    sys_6_guarded(auditor, host)
    on_commands.told_at_rest(auditor, host)
    on_alerts.check_over(auditor, host)


def sys_11_healthy(auditor: "Auditor", host: Host) -> None:
    """Everything is up, compared, and nothing is unknown."""
    if host.trader is None:
        auditor.broke("SYS-11", host, "the trader is down")
        return
    desk = host.trader.desk
    if host.is_halted_for_good:
        if desk.books.mode != Mode.HALTED:
            auditor.broke("SYS-11", host, f"the ledger lost data and the account is {desk.books.mode.name}")
        return
    if not desk.ready:
        auditor.broke("SYS-11", host, "the account has not been compared with the venue since its start")
    taken_back = [order for order in desk.orders.values() if _was_taken_back(host, order)]
    for order in desk.orders.values():
        if not (order.status in _SETTLED or order in taken_back or _waits_for_a_person(order)):
            auditor.broke("SYS-11", host, f"order {order.client_order_id} is {order.status}: {order.evidence}")
    now = auditor.world.timeline.now_ns
    closed = [f" a bar of {key} " for key in host.exchange.slots if on_closes.is_closed(host, key, now)]
    lasting = [why for why in desk.breakers.reasons() if not (_may_last(why) or any(one in why for one in closed))]
    if lasting and not host.flat_asked:
        auditor.broke("SYS-11", host, f"the account is {desk.books.mode.name}: {'; '.join(lasting)}")
    slots, told = zip(desk.instruments, desk.slots, strict=True), [_missing(order) for order in taken_back]
    excused = {"", *(found.text for key, found in desk.breaks.items() if key in told)}
    gates = [f"{one.symbol}: {slot.gate}" for one, slot in slots if slot.gate not in excused]
    if gates:
        auditor.broke("SYS-11", host, f"instruments are gated: {'; '.join(gates)}")


def _waits_for_a_person(order: Order) -> bool:
    # Two versions of one execution are for somebody to look at.
    return bool(order.disputes) and all("two versions" in each for each in order.disputes)


def _missing(order: Order) -> str:
    return f"{BreakClass.FILLS_MISSING.value}:{order.client_order_id}"


def _was_taken_back(host: Host, order: Order) -> bool:
    # The venue counts an execution that it took back before anybody heard of it: what it says of the order is not so.
    if order.status is not OrderStatus.SETTLING or _missing(order) not in host.durable.breaks:
        return False
    holdings, book = host.exchange.holdings, host.exchange.book
    gone = sum(
        fill.qty_units
        for known in book.of_client(order.client_order_id)
        for number in known.executions
        if (fill := holdings.trades[number]).venue_trade_id in holdings.busted
        and fill.venue_trade_id not in order.fills
    )
    return order.missing_units == gone


def _may_last(why: str) -> bool:
    # Losses are no fault, and what only alerts restricts nothing; windows of minutes run on behind their cause.
    lasting = ("loss", "drawdown", "equity", "refused orders", "orders sent", "slippage", "failures of a task")
    return any(word in why for word in lasting)


def flat_as_asked(auditor: "Auditor", host: Host) -> None:
    """Who wanted nothing held has nothing, nor an entry at the venue; and a halt where that was asked."""
    assert host.trader is not None
    if not host.flat_asked:
        return
    desk = host.trader.desk
    for key, slot in host.exchange.slots.items():
        row = desk.rows[key]
        held, lot = desk.books.held_units(row), int(desk.books.records[row].lot_units)
        if abs(held) >= lot and not on_closes.is_closed(host, key, auditor.world.timeline.now_ns):
            auditor.broke("FLAT", host, f"{held} units of {key} are held behind a {host.flat_asked}")
        opening = [order.client_order_id for order in slot.live if order.client_order_id and not order.reduces]
        if opening:
            auditor.broke("FLAT", host, f"entries are live behind a {host.flat_asked}: {opening}")
    if host.flat_asked == "kill" and desk.books.mode != Mode.HALTED:
        auditor.broke("FLAT", host, f"the account was killed and is {desk.books.mode.name}")
    auditor.world.marks.reached(f"flat in a calm behind a {host.flat_asked}")


def ord_6_positions(auditor: "Auditor", host: Host) -> None:
    """Trader, ledger and venue have the same positions."""
    assert host.trader is not None
    desk = host.trader.desk
    for row, instrument in enumerate(desk.instruments):
        slot = host.exchange.slots[instrument.key]
        believed, nobodys = int(desk.books.positions[row].qty_units), int(desk.books.foreign_units[row])
        if believed * nobodys < 0:
            text = f"the trader has {believed} units beside {nobodys} of nobody, which cannot both be"
            auditor.broke("ORD-6", host, f"{instrument.symbol}: {text}")
        theirs = slot.held_units + slot.stray_units
        if believed + nobodys != theirs:
            auditor.broke(
                "ORD-6",
                host,
                f"{instrument.symbol}: the trader has {believed} units and {nobodys} of nobody, "
                f"the venue {slot.held_units} and {slot.stray_units}",
            )


def sys_8_balances(auditor: "Auditor", host: Host) -> None:
    """The ledger's balances are the venue's, to the unit; the trader's cash is as well."""
    assert host.trader is not None
    desk, exchange, balances = host.trader.desk, host.exchange, host.durable.balances
    for asset, theirs in exchange.balances().items():
        books = (Book.CASH, Book.HOLD, Book.INVENTORY)
        ours = sum(balances[book.value, asset] for book in books)
        if ours != theirs:
            name = "SYS-8" if asset == desk.quote else "SYS-1"
            auditor.broke(name, host, f"the ledger has {ours} units of {asset}, the venue {theirs}")
    cash = int(desk.books.account[0].cash_units)
    if cash != exchange.holdings.cash_units:
        auditor.broke("SYS-8", host, f"the trader counts {cash} cash units, the venue {exchange.holdings.cash_units}")


def ord_3_all_booked(auditor: "Auditor", host: Host) -> None:
    """Every execution that stands is booked, and nothing else is."""
    holdings, durable = host.exchange.holdings, host.durable
    standing = {fill.venue_trade_id for fill in holdings.trades.values()} - holdings.busted
    booked = durable.trades.keys() - durable.busted
    if standing - booked:
        auditor.broke("ORD-3", host, f"executions were not booked: {sorted(standing - booked)[:5]}")
    if booked - standing and not durable.kinds["break_adopted"]:
        # A bust that nobody told of is a difference that an operator adopts.
        auditor.broke("ORD-3", host, f"executions are booked that do not stand: {sorted(booked - standing)[:5]}")


def ord_14_no_orphan(auditor: "Auditor", host: Host) -> None:
    """Orders live at the venue are known, and the other way round."""
    assert host.trader is not None
    desk = host.trader.desk
    live = {order.seen.client_order_id or order.seen.venue_order_id for order in host.exchange.open_orders()}
    known = desk.orders.keys() | desk.foreign.keys()
    if live - known:
        auditor.broke("ORD-14", host, f"orders at the venue that the trader does not know: {sorted(live - known)}")
    for name, order in desk.orders.items():
        is_nowhere = order.status in (OrderStatus.INTENT, OrderStatus.DISPUTED) or _was_taken_back(host, order)
        if name not in live and not is_nowhere:
            auditor.broke("ORD-14", host, f"order {name} is {order.status} here, and not live at the venue")


def ord_7_nothing_held_for_nothing(auditor: "Auditor", host: Host) -> None:
    """Without an open order nothing is held."""
    assert host.trader is not None
    held = host.durable.balances[Book.HOLD.value, host.trader.desk.quote]
    if held and not host.trader.desk.orders:
        auditor.broke("ORD-7", host, f"{held} units are held and no order is open")


def unfilled_says_why(auditor: "Auditor", host: Host) -> None:
    """Every entry that was decided is filled, at work, or ended with a reason."""
    assert host.trader is not None
    desk, durable = host.trader.desk, host.durable
    # What was taken back had been filled.
    filled = Counter[str]()
    for fill in (*durable.trades.values(), *durable.provisional.values()):
        filled[fill["client_order_id"]] += fill["qty_units"]
    at_work = {slot.decision for row, slot in enumerate(desk.slots) if desk.books.intent(row) is Intent.ENTRY}
    for name, decided in durable.decisions.items():
        if name in durable.unfilled or name in at_work or InstrumentKey(*decided["instrument"]) in host.splits:
            continue
        legs = [leg for leg in durable.legs[name] if durable.intents[leg]["role"] == Role.ENTRY.value]
        units = sum(filled[leg] for leg in legs)
        if units < decided["units"]:
            text = f"entry {name} of {decided['instrument'][1]} ended with {units} of {decided['units']} units"
            auditor.broke("UNFILLED", host, f"{text}, and no record says why")


def sys_6_guarded(auditor: "Auditor", host: Host) -> None:
    """Every position has one live stop that covers it, where the trader believes it to be."""
    assert host.trader is not None
    desk = host.trader.desk
    for key, slot in host.exchange.slots.items():
        # What belongs to nobody, such as what came back with a bust that was kept quiet, is left to an operator.
        held = min(abs(slot.held_units), abs(int(desk.books.positions[desk.rows[key]].qty_units)))
        if held == 0:
            continue
        trader_slot = desk.slots[desk.rows[key]]
        guards = [order for order in slot.live if order.request.kind is OrderType.BRACKET]
        is_closed = on_closes.is_closed(host, key, auditor.world.timeline.now_ns)
        if not guards and not is_closed and not on_closes.is_too_little(slot, held):
            said = trader_slot.why_bare or "nothing"
            auditor.broke("SYS-6", host, f"{held} units of {key} have no stop in a calm, and the trader says: {said}")
        if len(guards) > 1:
            names = [order.client_order_id for order in guards]
            auditor.broke("SYS-6", host, f"the position in {key} has {len(guards)} stops: {names}")
        for guard in guards:
            if guard.leaves_units < held and not trader_slot.leaving_ns:
                auditor.broke("SYS-6", host, f"the stop of {key} covers {guard.leaves_units} of {held}")
        ours = abs(desk.books.held_units(desk.rows[key]))
        if on_closes.is_too_large(slot, ours) and not trader_slot.leaving_ns:
            auditor.broke("SYS-6", host, f"a stop of {key} is larger than the {ours} units that are held, in a calm")


def check_restored(
    auditor: "Auditor", host: Host, trader: Trader, restored: RestoredAccount, recent: Sequence[Fact]
) -> None:
    """A trader that was rebuilt has the state that was written, and rebuilding it again changes nothing."""
    if restored.entries and restored.state:
        auditor.broke("SYS-13", host, f"{len(restored.entries)} records were written without the state behind them")
    if not restored.state:
        return
    again = trader_of(auditor.world.scene, host.part)
    facts = [from_body(entry.record.kind, entry.record.body) for entry in restored.open_facts]
    again.restore(restored.ts_close_ns, restored.state, facts, recent)
    books = trader.desk.books.packed()
    if books != again.desk.books.packed() or books not in restored.state:
        auditor.broke("SYS-13", host, "a trader that was restarted twice is not the one that was restarted once")
    statuses = [{name: order.status for name, order in each.desk.orders.items()} for each in (trader, again)]
    if statuses[0] != statuses[1]:
        auditor.broke("SYS-13", host, f"orders are {statuses[0]} after one restart and {statuses[1]} after two")


def check_replayed(auditor: "Auditor", host: Host) -> None:
    """All executions that a venue may tell again, read once more, change nothing."""
    if host.trader is None or host.is_halted_for_good:
        return
    exchange: SimulatedExchange = host.exchange
    fills, _ = exchange.fills_after(exchange.holdings.trades_made, overlap=FILLS_KNOWN // 2)
    desk, now = host.trader.desk, auditor.world.now(host)
    snapshot = Snapshot(now, now, exchange.open_orders(), fills, desk.cursor, exchange.balances(), (), now)
    before = desk.books.packed()
    effects = host.trader.handle(SnapshotRead(now, snapshot))
    written = [record for effect in effects if isinstance(effect, Commit) for record in effect.records]
    booked = [record.kind for record in written if record.postings]
    if booked or desk.books.packed() != before:
        auditor.broke("ORD-5", host, f"reading all of history again changed the books: {booked}")


def check_ledger(auditor: "Auditor") -> None:
    """Events are numbered and chained, who is given them has them all, and the states are what the books came to."""
    host = auditor.world.hosts[0]
    storage = auditor.world.disk.ledger.storage
    events = storage.execute("SELECT seq, ts_ns, exchange, account_id, kind, body, hash FROM event ORDER BY seq")
    legs: dict[int, list[tuple[str, str, int]]] = {}
    for seq, book, asset, amount in storage.execute(
        "SELECT seq, book, asset, amount FROM posting ORDER BY seq, leg"
    ).fetchall():
        legs.setdefault(seq, []).append((book, asset, amount))
    previous = chain.genesis(auditor.world.disk.ledger.ledger_id)
    for expected, (seq, ts_ns, exchange, account_id, kind, body, digest) in enumerate(events.fetchall(), 1):
        canonical = chain.canonical_bytes(ts_ns, exchange, account_id, kind, body, tuple(legs.get(seq, ())))
        previous = chain.link(previous, seq, canonical)
        if seq != expected or previous != bytes(digest):
            auditor.broke("SYS-9", host, f"event {seq}, expected {expected}: the chain is broken at {json.dumps(kind)}")
    if wrong := auditor.relay.drain():
        auditor.broke("SYS-10", host, wrong)
    assert isinstance(storage, SqliteStorage)
    engine = create_engine("sqlite://", creator=lambda: storage.connection, poolclass=StaticPool)
    with engine.connect() as connection:
        for fault in check_checkpoints(connection):
            auditor.broke("SYS-13", host, f"{fault.where} {fault.what}")
        for host in auditor.world.hosts:
            if host.trader is not None and not host.is_halted_for_good:
                ord_6_asked_of_the_ledger(auditor, host, connection)


def ord_6_asked_of_the_ledger(auditor: "Auditor", host: Host, connection: Connection) -> None:
    """Whoever asks the ledger what is held is told what the trader believes: what is ours and what is nobody's."""
    assert host.trader is not None
    desk = host.trader.desk
    told = {(one.instrument, one.is_ours): one.units for one in positions(connection, host.key)}
    for row, instrument in enumerate(desk.instruments):
        finer = 10 ** (desk.scales[instrument.base] - instrument.qty_scale)
        own, nobodys = int(desk.books.positions[row].qty_units) * finer, int(desk.books.foreign_units[row]) * finer
        found = told.get((instrument.key, True), 0), told.get((instrument.key, False), 0)
        if found != (own, nobodys):
            auditor.broke("ORD-6", host, f"{instrument.symbol}: the ledger says {found}, the trader {(own, nobodys)}")
