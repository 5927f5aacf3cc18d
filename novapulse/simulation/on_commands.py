"""Invariants of what an operator said: limits count from their moment on, and a cancel by hand ends its order."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from novapulse.core.messages import Record
from novapulse.engine.configuration import Configuration
from novapulse.engine.limits import in_force
from novapulse.risk.settings import RiskSettings
from novapulse.simulation.host import Host

if TYPE_CHECKING:
    from novapulse.simulation.auditor import Auditor


def configuration_of(auditor: "Auditor", host: Host, values: Mapping[str, str]) -> Configuration:
    """Return what counts for an account under limits that were changed: made anew, whatever its trader says."""
    known, key = auditor.in_force, tuple(sorted(values.items()))
    if (host.key, key) not in known:
        known[host.key, key] = in_force(host.configured, values)
    return known[host.key, key]


def risks_since(auditor: "Auditor", host: Host, decision_id: str) -> Iterator[RiskSettings]:
    """Yield the limits that were in force since a decision, those that it was taken under first."""
    for values in host.durable.limits[host.durable.taken_under.get(decision_id, 0) :]:
        yield configuration_of(auditor, host, values).decides.risk


def told_limits(auditor: "Auditor", host: Host, record: Record) -> None:
    """What is in force is what is configured with the changed limits in it."""
    values = {name: one["value"] for name, one in record.body["limits"].items()}
    _same_settings(auditor, host, record.body, values)
    auditor.world.marks.reached("limits were changed" if values else "all limits went back")


def told_decision(auditor: "Auditor", host: Host, record: Record) -> None:
    """A decision names the limits of its moment."""
    _same_settings(auditor, host, record.body, host.durable.limits_now)


def told_start(auditor: "Auditor", host: Host, record: Record) -> None:
    """A trader that starts goes on under the limits that were last said."""
    _same_settings(auditor, host, record.body, host.durable.limits_now)


def _same_settings(auditor: "Auditor", host: Host, body: Mapping[str, Any], values: Mapping[str, str]) -> None:
    wanted = configuration_of(auditor, host, values).decides.hash
    if body["settings"] != wanted:
        auditor.broke("TOLD", host, f"settings {body['settings']} are named, in force is {wanted}: {dict(values)}")


def told_answer(auditor: "Auditor", host: Host, record: Record) -> None:
    """A cancel by hand that was answered has ended its order, as it says."""
    body = record.body
    wanted = body["arguments"].get("order")
    if body["verb"] != "cancel" or not wanted:
        return
    order = host.exchange.book.find(wanted)
    name = order.client_order_id if order is not None else wanted
    if name not in host.durable.closed:
        if body["done"]:
            auditor.broke("TOLD", host, f"the cancel of {wanted} is answered as done, and its order has not ended")
        return
    if order is not None and order.is_live and name not in host.denied:
        auditor.broke("TOLD", host, f"the cancel of {wanted} is answered by {body['text']!r}, and it is live")
    if host.durable.closed[name][0] not in body["text"]:
        auditor.broke("TOLD", host, f"order {name} ended as {host.durable.closed[name]}: {body['text']!r}")
    auditor.world.marks.reached("an order was cancelled by hand" if body["done"] else "a cancel by hand came too late")


def told_at_rest(auditor: "Auditor", host: Host) -> None:
    """A trader goes by the limits that were last said, and who waits for an answer waits for an order that is open."""
    assert host.trader is not None
    desk, said = host.trader.desk, host.durable.limits_now
    held = {name: one.value for name, one in desk.limits.items()}
    if held != said or desk.in_force != configuration_of(auditor, host, said):
        auditor.broke("TOLD", host, f"limits are {held}, and {dict(said)} were said last")
    for command_id, name in host.durable.waiting.items():
        if name not in desk.orders:
            auditor.broke("TOLD", host, f"command {command_id} was taken and not answered, order {name} has ended")
