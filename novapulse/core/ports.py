"""The doors to the outside world, and how it fails.

- VenueError
  - Rejected: it did not happen, and the venue said so
  - Unavailable: it did not happen; nothing left, or a read failed
  - Ambiguous: it may have happened; the only one of which that is true
- JournalError
  - Fenced: another process holds the account's lease; nothing was written, stop
  - Unwritable: the storage did not take it; nothing was written
"""

from collections.abc import Sequence
from typing import Protocol

from novapulse.core.instruments import AccountKey, Instrument, InstrumentKey
from novapulse.core.messages import Amend, Cancel, Commit, Event, Lookup, ReadSnapshot, Snapshot, Submit
from novapulse.core.orders import Filled


class VenueError(Exception):
    """A venue did not do what it was asked to."""


class Rejected(VenueError):
    """The venue refused for certain."""

    def __init__(self, code: str, text: str = "") -> None:
        super().__init__(f"{code}: {text}" if text else code)
        self.code = code
        self.text = text


class Unavailable(VenueError):
    """Nothing was done: the request did not leave, or a read failed."""


class Ambiguous(VenueError):
    """It may have happened."""


class JournalError(Exception):
    """The ledger did not take what it was given; nothing of it was written."""


class Fenced(JournalError):
    """A newer lease exists for the account."""


class Unwritable(JournalError):
    """Disk full, read-only, locked or damaged."""


class Clock(Protocol):
    """Where time comes from."""

    def now_ns(self) -> int:
        """Return ns UTC."""
        ...


class Journal(Protocol):
    """The durable record. One transaction per call, for one or several accounts."""

    def commit(self, commits: Sequence[tuple[AccountKey, Commit]]) -> None:
        """Write all of them, or none.

        Raises:
            Fenced: The lease of one of the accounts is not ours any more.
            Unwritable: The storage did not take it.
        """
        ...


class Venue(Protocol):
    """One account at one exchange. Every call may take long and may fail; only `Ambiguous` leaves doubt.

    Attributes:
        account: Whose.
        is_simulated: Whether nothing that happens there moves real money.
        models_spread: Whether it is simulated and fills by a spread that its configuration states: that spread is known
            where no quotes come. Of every other venue only quotes tell it.
        stream_silence_s: How long its stream may say nothing, not even a heartbeat, before it counts as broken; None
            where it has no heartbeat, and none that it could miss.
    """

    account: AccountKey
    is_simulated: bool
    models_spread: bool
    stream_silence_s: float | None

    async def instruments(self) -> dict[InstrumentKey, Instrument]:
        """Return what can be traded, with the venue's own rules and fees.

        Raises:
            Unavailable: The list could not be read.
        """
        ...

    async def submit(self, effect: Submit) -> str:
        """Send an order and return the venue's id of it.

        Raises:
            Rejected: The venue refused.
            Unavailable: The request did not leave.
            Ambiguous: It may have been placed.
        """
        ...

    async def cancel(self, effect: Cancel) -> None:
        """Ask for a cancel; that it returns means the request was taken.

        An empty `venue_order_id` means by our own client order id: it may have been placed, and no answer said where.

        Raises:
            Rejected: The venue does not know the order, or will not cancel it.
            Unavailable: The request did not leave.
            Ambiguous: It may have been taken.
        """
        ...

    async def amend(self, effect: Amend) -> None:
        """Change an order in place; errors as in `submit`."""
        ...

    async def lookup(self, effect: Lookup) -> Event:
        """Look for one order everywhere and return `LookupEnded`; a read that failed is FAILED in it, never ABSENT."""
        ...

    async def snapshot(self, effect: ReadSnapshot) -> Snapshot:
        """Read a consistent cut.

        Raises:
            Unavailable: It could not be read whole.
        """
        ...

    async def history(self) -> Sequence[Filled]:
        """Read every execution of the account that stands, from its first day on.

        Raises:
            Unavailable: It could not be read whole.
        """
        ...

    async def events(self) -> Sequence[Event]:
        """Wait for what the venue's stream says; nothing of it but a heartbeat is an empty answer.

        Raises:
            Unavailable: The stream broke; what was missed is read by a snapshot.
        """
        ...
