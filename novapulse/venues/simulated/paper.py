"""Paper trading: the simulated exchange, its file, and the door that a trader knows it by.

Invariants:
- what an answer says is in the file before it is given; a request that the file did not take did not happen, and is
  told as `Unavailable`;
- nothing here sleeps: a request that is sent at `now_ns` arrives `latency_ns` later, and that is the moment from which
  bars may fill it;
- a bar is played once, whatever is sent again after a restart.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from novapulse.core.instruments import AccountKey, Instrument, InstrumentKey
from novapulse.core.messages import (
    Amend,
    Cancel,
    Event,
    Found,
    Lookup,
    LookupEnded,
    ReadSnapshot,
    Snapshot,
    Submit,
)
from novapulse.core.orders import Filled, OrderRequest, Terms
from novapulse.core.ports import Clock, Unavailable
from novapulse.core.records import Record
from novapulse.venues.simulated.book import VenueMode
from novapulse.venues.simulated.exchange import SimulatedExchange
from novapulse.venues.simulated.file import PaperFile, PaperFileError, Synchronous

OVERLAP = 16
"""Trades before the cursor that a snapshot tells again."""


class PaperVenue:
    """One paper account as a `core.ports.Venue`, and the same without waiting for replay and simulation.

    Attributes:
        account: Whose.
        is_simulated: True: there is no money.
        exchange: The venue's truth; levers act on it, and `keep` writes down what they did.
        latency_ns: From the sender to the venue.
        models_spread: True: its fill model has the spread of the configuration.
        stream_silence_s: None: what it says is in its memory until it is heard, so that silence means that nothing is.
    """

    is_simulated = True
    models_spread = True
    stream_silence_s: float | None = None

    def __init__(
        self,
        opening: Callable[[], SimulatedExchange],
        clock: Clock,
        *,
        path: Path | None = None,
        latency_ns: int = 0,
        synchronous: Synchronous = "FULL",
        ledger_id: str = "",
    ) -> None:
        """Open the account where it was left.

        Args:
            opening: Makes the exchange as it is before its first order.
            clock: What the waiting methods take the time from.
            path: File of the account; None keeps it in memory alone.
            latency_ns: From the sender to the venue, >= 0.
            synchronous: See `PaperFile`.
            ledger_id: See `PaperFile`.

        Raises:
            PaperFileError: The file cannot be used.
        """
        self._opening = opening
        self._clock = clock
        self._file = None if path is None else PaperFile(path, synchronous=synchronous, ledger_id=ledger_id)
        self._news = asyncio.Event()
        self._is_stale = False
        self._is_broken = False
        self.latency_ns = latency_ns
        try:
            self.exchange = self._opened()
        except PaperFileError:
            self.close()
            raise
        self.account: AccountKey = self.exchange.account

    def _opened(self) -> SimulatedExchange:
        exchange = self._opening()
        if self._file is not None:
            self._file.load(exchange)
        return exchange

    # ---- Without waiting ----

    def place(self, request: OrderRequest, now_ns: int) -> str:
        """Send an order at a moment and return the venue's id of it; errors as in `submit`."""
        exchange = self._fresh()
        try:
            return exchange.submit(request, now_ns + self.latency_ns)
        finally:
            self.keep()

    def withdraw(self, order_id: str, now_ns: int) -> None:
        """Ask for a cancel at a moment, by the venue's id or ours; errors as in `cancel`."""
        exchange = self._fresh()
        try:
            exchange.cancel(order_id, now_ns + self.latency_ns)
        finally:
            self.keep()

    def change(self, order_id: str, terms: Terms, now_ns: int) -> None:
        """Change an order at a moment, by the venue's id or ours; errors as in `amend`."""
        exchange = self._fresh()
        try:
            exchange.amend(order_id, terms, now_ns + self.latency_ns)
        finally:
            self.keep()

    def play(self, bars: Iterable[tuple[InstrumentKey, Record]], now_ns: int) -> int:
        """Play the bars of one close in the order given, as one step, and return how many were new.

        Raises:
            Unavailable: The file did not take it: none of them was played, and all may be played again.
        """
        exchange = self._fresh()
        exchange.advance(now_ns)
        played = sum([exchange.on_bar(key, bar, now_ns) for key, bar in bars])
        self.keep()
        return played

    def trade(self, key: InstrumentKey, print_: Record, now_ns: int) -> bool:
        """Play a public trade; see `SimulatedExchange.on_trade`.

        Raises:
            Unavailable: The file did not take it.
        """
        is_new = self._fresh().on_trade(key, print_, now_ns)
        self.keep()
        return is_new

    def find(self, client_order_id: str, now_ns: int) -> LookupEnded:
        """Look for one order in memory and in the file; a read that failed is FAILED."""
        try:
            exchange = self._read(now_ns)
            found = exchange.lookup(client_order_id)
            if found is None and self._file is not None:
                kept = self._file.find(client_order_id)
                found = None if kept is None else (kept[0].seen(), tuple(kept[1]))
        except (Unavailable, PaperFileError):
            return LookupEnded(now_ns, client_order_id, Found.FAILED)
        if found is None:
            return LookupEnded(now_ns, client_order_id, Found.ABSENT)
        return LookupEnded(now_ns, client_order_id, Found.FOUND, *found)

    def read(self, cursor: str, now_ns: int) -> Snapshot:
        """Read a consistent cut: nothing can come between, so one reading is enough.

        Args:
            cursor: As the last snapshot gave it; empty for the beginning.
            now_ns: Moment of the reading.

        Raises:
            Unavailable: The venue is in maintenance, or the file could not be read.
            ValueError: The cursor is not one of ours.
        """
        exchange = self._read(now_ns)
        trades, _, flows = (cursor or "0:0").partition(":")
        fills, next_trade = self._fills(exchange, max(int(trades) - OVERLAP, 0))
        movements, next_flow = exchange.flows_after(int(flows))
        return Snapshot(
            now_ns,
            now_ns,
            exchange.open_orders(),
            fills,
            f"{next_trade}:{next_flow}",
            exchange.balances(),
            movements,
            now_ns + exchange.clock_ahead_ns,
        )

    def keep(self) -> None:
        """Write down what has changed, and wake whoever waits for the stream.

        Raises:
            Unavailable: The file did not take it: the account is as the file has it.
        """
        if self._file is not None:
            try:
                self._file.save(self.exchange)
            except PaperFileError as error:
                self._is_stale = self._is_broken = True
                self._news.set()
                raise Unavailable(str(error)) from error
        self._news.set()

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()

    def _fresh(self) -> SimulatedExchange:
        if self._is_stale:
            try:
                self.exchange = self._opened()
            except PaperFileError as error:
                raise Unavailable(str(error)) from error
            self._is_stale = False
        return self.exchange

    def _read(self, now_ns: int) -> SimulatedExchange:
        exchange = self._fresh()
        if exchange.mode is VenueMode.MAINTENANCE:
            raise Unavailable("the venue is in maintenance")
        exchange.advance(now_ns)
        self.keep()
        return exchange

    def _fills(self, exchange: SimulatedExchange, first: int) -> tuple[tuple[Filled, ...], int]:
        kept = exchange.holdings.first_kept
        fills, cursor = exchange.fills_after(max(first, kept))
        if first >= kept:
            return fills, cursor
        if self._file is None:
            raise Unavailable(f"trades before number {kept} are not kept in memory, and there is no file")
        try:
            return (*self._file.trades_from(first, kept), *fills), cursor
        except PaperFileError as error:
            raise Unavailable(str(error)) from error

    # ---- As a `core.ports.Venue` ----

    async def instruments(self) -> dict[InstrumentKey, Instrument]:
        """Return what can be traded."""
        return {key: slot.instrument for key, slot in self.exchange.slots.items()}

    async def submit(self, effect: Submit) -> str:
        """Send an order and return the venue's id of it.

        Raises:
            Rejected: The venue refused.
            Unavailable: The venue is in maintenance, or the file did not take it.
        """
        return self.place(effect.request, self._clock.now_ns())

    async def cancel(self, effect: Cancel) -> None:
        """Ask for a cancel.

        Raises:
            Rejected: The order is not known, or has ended.
            Unavailable: The venue is in maintenance, or the file did not take it.
        """
        self.withdraw(effect.venue_order_id or effect.client_order_id, self._clock.now_ns())

    async def amend(self, effect: Amend) -> None:
        """Change an order in place.

        Raises:
            Rejected: The order is not known or has ended, or the terms cannot be.
            Unavailable: The venue is in maintenance, or the file did not take it.
        """
        self.change(effect.venue_order_id or effect.client_order_id, effect.terms, self._clock.now_ns())

    async def lookup(self, effect: Lookup) -> Event:
        """Look for one order and return `LookupEnded`."""
        return self.find(effect.client_order_id, self._clock.now_ns())

    async def snapshot(self, effect: ReadSnapshot) -> Snapshot:
        """Read a consistent cut.

        Raises:
            Unavailable: The venue is in maintenance, or the file could not be read.
        """
        return self.read(effect.cursor, self._clock.now_ns())

    async def history(self) -> Sequence[Filled]:
        """Read every execution that stands; no time passes by that.

        Raises:
            Unavailable: The venue is in maintenance, or the file could not be read.
        """
        exchange = self._fresh()
        if exchange.mode is VenueMode.MAINTENANCE:
            raise Unavailable("the venue is in maintenance")
        return self._fills(exchange, 0)[0]

    async def events(self) -> Sequence[Event]:
        """Wait for what the stream says, at least one event.

        Raises:
            Unavailable: The file did not take a step: what the stream said of it may not have happened.
        """
        while True:
            self._news.clear()
            if self._is_broken:
                self._is_broken = False
                self._fresh()
                raise Unavailable("the stream broke: the account is as its file has it")
            events = self.exchange.take_events()
            if events:
                return events
            await self._news.wait()
