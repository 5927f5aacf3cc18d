"""Tells people of disputes over orders: once each, and when one is settled."""

import zlib
from typing import TYPE_CHECKING

from novapulse.core.messages import Severity
from novapulse.core.order_fold import Order

if TYPE_CHECKING:
    from novapulse.engine.desk import Desk, Draft


def tell(desk: "Desk", draft: "Draft", order: Order, before: tuple[str, ...]) -> None:
    """Raise an alert for each dispute that an order did not have before, and end those that it has no more."""
    name = order.client_order_id
    for text in order.disputes:
        if text not in before:
            desk.alert(draft, Severity.CRITICAL, _key_of(name, text), f"{order.request.instrument}: {text}")
    for text in before:
        if text not in order.disputes:
            desk.alert_over(draft, _key_of(name, text), f"the dispute over order {name} is settled")


def _key_of(client_order_id: str, dispute: str) -> str:
    # A name that is the same after a restart.
    return f"disputed:{client_order_id}:{zlib.crc32(dispute.encode()):08x}"
