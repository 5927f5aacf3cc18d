"""A consumer of the outbox that dies between taking events and saying so, again and again."""

from novapulse.ledger.outbox import Outbox
from novapulse.simulation.disk import Disk

NAME = "the audience"
ROOM = 256
DIES_EVERY = 3
LOOKS_EVERY = 20


class Relay:
    """What one consumer was given: every event at least once, and in order.

    Attributes:
        last: The last event that was taken.
        again: Events that were given once more after it had died.
    """

    def __init__(self, disk: Disk) -> None:
        """Be known before the first event."""
        self._disk = disk
        self._asked = 0
        self._taken = 0
        self.again = 0
        self.last = Outbox(disk.ledger).register(NAME, 0)

    def look(self) -> str:
        """Take what is there, and say what is wrong with it; every third time, die before it is noted.

        Most times that it is asked it is busy with something else: events pile up meanwhile.
        """
        self._asked += 1
        if self._asked % LOOKS_EVERY:
            return ""
        return self._take(dies=self._taken % DIES_EVERY == DIES_EVERY - 1)

    def drain(self) -> str:
        """Take all that is left, and say what is wrong with it."""
        box, head = Outbox(self._disk.ledger), self._disk.ledger.head()[0]
        while box.pending(NAME):
            before = box.pending(NAME)
            if wrong := self._take(dies=False):
                return wrong
            if box.pending(NAME) == before:
                break
        return "" if self.last == head else f"{head} events were written, and the consumer was given {self.last}"

    def ledger_is_old(self) -> None:
        """An old copy was put back, and with it how far this consumer was."""
        box = Outbox(self._disk.ledger)
        self.last = self._disk.ledger.head()[0] - box.pending(NAME)

    def _take(self, *, dies: bool) -> str:
        box = Outbox(self._disk.ledger)
        found = box.fetch(NAME, self._disk.now_ns, ROOM)
        self._taken += bool(found)
        for one in found:
            if one.seq > self.last + 1:
                return f"the consumer was given {one.kind} {one.seq} behind {self.last}"
            self.again += one.seq <= self.last
            self.last = max(self.last, one.seq)
        if found and not dies:
            box.delivered(NAME, found[-1].seq)
        return ""
