"""What an operator is told of a command: one record and one answer for each.

Invariants:
- a command is answered when what it asked for is done or refused. Where only the venue can say so, that it was taken is
  recorded, and it waits, over restarts too: a reply that is lost is no success;
- what was answered in this life is not answered again, however often the command is given.
"""

from collections.abc import Mapping

from novapulse.core.messages import JSON, Answer, CommandReceived
from novapulse.core.order_fold import Order
from novapulse.core.orders import OrderStatus
from novapulse.engine.desk import Desk, Draft

_GONE = frozenset({OrderStatus.CANCELED, OrderStatus.EXPIRED, OrderStatus.REJECTED, OrderStatus.NEVER_PLACED})
"""Ends of an order behind which nothing of it rests at the venue."""


def answer(draft: Draft, event: CommandReceived, done: bool, text: str) -> None:
    """Write a command and its answer, and send the answer."""
    draft.write("command_answered", {**_body(event), "done": done, "text": text})
    draft.then(Answer(event.command_id, done, text))


def wait_for_end(desk: Desk, draft: Draft, event: CommandReceived, client_order_id: str) -> None:
    """Write that a command was taken, and answer it when an order has ended."""
    desk.waiting.setdefault(client_order_id, []).append(event)
    draft.write("command_taken", {**_body(event), "client_order_id": client_order_id})


def is_known(desk: Desk, event: CommandReceived) -> bool:
    """Tell whether a command waits already, or was answered after it had."""
    waiting = (one.command_id for each in desk.waiting.values() for one in each)
    return event.command_id in desk.answered or event.command_id in waiting


def tell_end(desk: Desk, draft: Draft, order: Order) -> None:
    """Answer the commands that waited for the end of an order."""
    for event in desk.waiting.pop(order.client_order_id, ()):
        desk.answered.append(event.command_id)
        answer(draft, event, order.status in _GONE, end_text(desk, order))


def end_text(desk: Desk, order: Order) -> str:
    """Return in words how an order ended."""
    factor = 10 ** desk.instrument(desk.row_of(order)).qty_scale
    filled, whole = order.filled_units / factor, order.request.terms.qty_units / factor
    return f"order {order.client_order_id} has ended: {order.status.value}, {filled:g} of {whole:g} filled"


def _body(event: CommandReceived) -> Mapping[str, JSON]:
    return {
        "command_id": event.command_id,
        "verb": event.verb,
        "arguments": dict(event.arguments),
        "actor": event.actor,
    }
