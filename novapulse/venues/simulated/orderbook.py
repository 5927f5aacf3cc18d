"""The orders of one account under their ids: all that are live, and the last ones that ended."""

from collections import deque

from novapulse.venues.simulated.book import Order


class OrderBook:
    """Finds orders by number, by the venue's id and by their owner's; memory is bounded by `history_max` ended ones."""

    def __init__(self, history_max: int) -> None:
        """Open an empty book."""
        self.by_number: dict[int, Order] = {}
        self.made = 0
        self._history_max = history_max
        self._by_client: dict[str, list[Order]] = {}
        self._by_venue: dict[str, Order] = {}
        self._ended: deque[Order] = deque()

    def file(self, order: Order) -> None:
        """File an order under its ids."""
        self.by_number[order.number] = order
        self._by_venue[order.venue_order_id] = order
        if order.client_order_id:
            self._by_client.setdefault(order.client_order_id, []).append(order)
        if not order.is_live:
            self.retire(order)

    def retire(self, order: Order) -> None:
        """Hear that an order ended; the oldest that ended may be forgotten for it."""
        self._ended.append(order)
        if len(self._ended) > self._history_max:
            self._forget(self._ended.popleft())

    def find(self, order_id: str) -> Order | None:
        """Return an order by the venue's id or its owner's (of several, the last); None where there is none."""
        found = self._by_venue.get(order_id)
        if found is not None:
            return found
        orders = self._by_client.get(order_id)
        return orders[-1] if orders else None

    def of_client(self, client_order_id: str) -> tuple[Order, ...]:
        """Return every order that was made under a client order id, in order."""
        return tuple(self._by_client.get(client_order_id, ()))

    def _forget(self, order: Order) -> None:
        del self.by_number[order.number], self._by_venue[order.venue_order_id]
        if not order.client_order_id:
            return
        orders = self._by_client[order.client_order_id]
        orders.remove(order)
        if not orders:
            del self._by_client[order.client_order_id]
