"""Invariants of what people are told: what they have to know of is an open alert once it is written."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from novapulse.core.messages import Commit, Record
from novapulse.core.orders import Filled, OrderStatus, Role
from novapulse.simulation.host import Host

if TYPE_CHECKING:
    from novapulse.simulation.auditor import Auditor

COMPARED = ("side", "instrument", "qty_units", "price_units", "cash_units", "fee_units")


def check(auditor: "Auditor", host: Host, commit: Commit) -> None:
    """ALERTS: restrictions, disputes, executions taken back and refused stops are told as they are written."""
    # What ended within the same commit was told, and ended.
    raised = {record.body["key"] for record in commit.records if record.kind == "alert_raised"}
    to_come = {record.body["venue_trade_id"] for record in commit.records if record.kind == "fill_booked"}
    for record in commit.records:
        for key in _keys_of(host, record):
            if not any(each.startswith(key) for each in (*raised, *host.durable.alerts)):
                auditor.broke("ALERTS", host, f"nobody is told {key} of {record.kind}: {dict(record.body)}")
            auditor.world.marks.reached(f"told of {record.kind}")
        if record.kind == "fill_booked":
            to_come.discard(record.body["venue_trade_id"])
            other = host.legs.get(record.body["venue_trade_id"])
            if other in host.durable.trades and other not in to_come:
                _check_excess(auditor, host, record, (*raised, *host.durable.alerts))


def check_over(auditor: "Auditor", host: Host) -> None:
    """ALERTS: nobody is told at rest that a position lacks a stop, or could not be closed, when nothing is held."""
    assert host.trader is not None
    desk = host.trader.desk
    for row, key in enumerate(desk.keys):
        told = {f"bare:{key.symbol}", f"exit:{key.symbol}"} & host.durable.alerts
        if told and desk.books.held_units(row) == 0:
            auditor.broke("ALERTS", host, f"nothing of {key} is held, and {sorted(told)} is open")


def _keys_of(host: Host, record: Record) -> Iterator[str]:
    body = record.body
    if record.kind == "breaker_tripped":
        instrument = body["instrument"]
        yield f"breaker:{body['name']}" + (f":{instrument[1]}" if instrument else "")
    elif record.kind == "dispute_raised":
        yield f"disputed:{body['client_order_id']}:"
    elif record.kind == "fill_busted" and record.postings:
        yield f"bust:{body['venue_trade_id']}"
    elif record.kind == "order_refused" and _leaves_bare(host, body["client_order_id"]):
        yield f"bare:{host.durable.intents[body['client_order_id']]['instrument'][1]}"


def _check_excess(auditor: "Auditor", host: Host, record: Record, told: Iterable[str]) -> None:
    # Whichever leg is heard last is one too many. Of what has no order here is known that it is nobody's, and no more.
    trade, name = record.body["venue_trade_id"], record.body["client_order_id"]
    if name and not any(key == f"excess:{trade}" or key.startswith(f"disputed:{name}:") for key in told):
        auditor.broke("ALERTS", host, f"nobody is told that execution {trade} of order {name} is one too many")
    auditor.world.marks.reached("told of an execution beyond what was held")


def _leaves_bare(host: Host, client_order_id: str) -> bool:
    assert host.trader is not None
    desk = host.trader.desk
    order = desk.order(client_order_id)
    if order is None or order.request.role is not Role.PROTECT or order.status is not OrderStatus.REJECTED:
        return False
    return desk.books.held_units(desk.row_of(order)) != 0


def told_twice(auditor: "Auditor", host: Host, fill: Filled) -> None:
    """SYS-3: an execution that was told in two versions is disputed, whichever of them is booked."""
    order = host.trader.desk.order(fill.client_order_id, fill.venue_order_id) if host.trader is not None else None
    known = order.fills.get(fill.venue_trade_id) if order is not None else None
    if order is None or known is None or order.is_busted(fill.venue_trade_id):
        return
    if all(getattr(known, name) == getattr(fill, name) for name in COMPARED):
        return
    auditor.world.marks.reached("an execution was told in two versions")
    if not order.disputes:
        auditor.broke(
            "SYS-3", host, f"execution {fill.venue_trade_id} was told in two versions, and nobody disputes it"
        )
