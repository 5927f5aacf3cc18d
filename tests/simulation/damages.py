"""What damages to a world share: where something is held, what was entered, how records are made."""

from collections.abc import Callable
from dataclasses import replace

from novapulse.core.messages import Record, Submit
from novapulse.core.orders import OrderType
from novapulse.core.records import Intent
from novapulse.engine.desk import Desk
from novapulse.simulation.host import Host
from novapulse.simulation.storm import StormyWorld
from novapulse.venues.simulated.book import Slot

Damage = Callable[[StormyWorld], None]


def desk_of(host: Host) -> Desk:
    assert host.trader is not None
    return host.trader.desk


def holding(world: StormyWorld) -> tuple[Host, Slot]:
    """Return an account that holds something behind one stop, and where."""
    for host in world.hosts:
        for key, slot in host.exchange.slots.items():
            if slot.held_units and desk_of(host).books.held_units(desk_of(host).rows[key]):
                return host, slot
    raise AssertionError("nothing is held")


def let_stop_grow(held: Slot) -> None:
    """Let the venue have a stop of twice the quantity that is held."""
    (stop,) = [order for order in held.live if order.request.kind is OrderType.BRACKET]
    stop.terms = replace(stop.terms, qty_units=2 * stop.terms.qty_units)


def to_be_left(world: StormyWorld) -> Host:
    """Let the trader of a position that is held mean to leave it, with nothing at work."""
    host, held = holding(world)
    desk = desk_of(host)
    row = desk.rows[held.instrument.key]
    desk.books.orders[row].intent = Intent.EXIT
    desk.slots[row].leaving_ns = world.timeline.now_ns
    desk.slots[row].child = ""
    desk.slots[row].drains.clear()
    return host


def narrowed(host: Host, values: dict[str, str]) -> None:
    host.durable.add(Record("limits_changed", 1, {"limits": {name: {"value": each} for name, each in values.items()}}))


def cancel_of(order: str, *, text: str) -> Record:
    body = {"command_id": "c", "verb": "cancel", "arguments": {"order": order}, "done": True, "text": text}
    return Record("command_answered", 1, body)


def last_entry(world: StormyWorld) -> tuple[Host, Submit]:
    for host in world.hosts:
        for order in reversed(desk_of(host).closed.values()):
            if order.request.role.value == "entry" and order.filled_units:
                return host, Submit(order.request, 1)
    raise AssertionError("nothing was entered")
