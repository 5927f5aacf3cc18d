"""What every venue adapter owes the engine, as tests: a subclass gives the `world` fixture.

The world is one account that holds only cash, at a venue where one instrument trades and whose market the test moves.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import pytest

from novapulse.core.instruments import Instrument
from novapulse.core.messages import (
    Amend,
    Cancel,
    FillReported,
    Found,
    Lookup,
    OrderReported,
    ReadSnapshot,
    Snapshot,
    Submit,
    client_order_id,
)
from novapulse.core.orders import Filled, OrderRequest, OrderType, Protection, Role, Side, Terms, VenueState
from novapulse.core.ports import Rejected, Venue

T = TypeVar("T")
WAIT_S = 5.0


@dataclass
class World:
    """One account at a venue, and the market there.

    Attributes:
        venue: The adapter.
        instrument: What trades; at least 100 lots can be paid for.
        price_units: Where it trades now.
        trade: Lets the market trade any quantity at a price (price units), and time pass for it.
        now_ns: Says the time.
        has_brackets: Whether an entry's protection becomes an order at the venue.
    """

    venue: Venue
    instrument: Instrument
    price_units: int
    trade: Callable[[int], Awaitable[None]]
    now_ns: Callable[[], int]
    has_brackets: bool = True
    minted: int = field(default=0)

    @property
    def tick(self) -> int:
        return int(self.instrument.tick * 10**self.instrument.price_scale)

    @property
    def lot(self) -> int:
        return int(self.instrument.lot * 10**self.instrument.qty_scale)

    def request(self, lots: int = 50, away: int = 1000, **changes: Any) -> OrderRequest:
        """Return a buy that rests so many ticks below the market; 0 ticks is an order at the market."""
        self.minted += 1
        limit = self.price_units - away * self.tick if away else 0
        asked = OrderRequest(
            client_order_id=client_order_id(self.venue.account, "contract", "entry", self.minted),
            account=self.venue.account,
            instrument=self.instrument.key,
            decision_id="contract",
            role=Role.ENTRY,
            side=Side.BUY,
            kind=OrderType.LIMIT if away else OrderType.MARKET,
            terms=Terms(lots * self.lot, limit),
            decided_ns=self.now_ns(),
        )
        return replace(asked, **changes)

    async def place(self, lots: int = 50, away: int = 1000, **changes: Any) -> tuple[OrderRequest, str]:
        request = self.request(lots, away, **changes)
        return request, await self.venue.submit(Submit(request, 1))

    async def look(self, request: OrderRequest, venue_order_id: str = "") -> Any:
        asked = Lookup(request.client_order_id, venue_order_id, request.instrument, self.now_ns())
        return await self.venue.lookup(asked)

    async def snapshot(self, cursor: str = "") -> Snapshot:
        return await self.venue.snapshot(ReadSnapshot(cursor, "contract"))

    async def cancel(self, request: OrderRequest, venue_order_id: str) -> None:
        await self.venue.cancel(Cancel(request.client_order_id, venue_order_id, request.instrument, 1))

    async def until(self, told: Callable[[Any], T | None]) -> T:
        """Listen to the stream until it says what is waited for."""
        async with asyncio.timeout(WAIT_S):
            while True:
                for event in await self.venue.events():
                    found = told(event)
                    if found is not None:
                        return found


def filled(client_id: str) -> Callable[[Any], Filled | None]:
    return lambda event: (
        event.fill if isinstance(event, FillReported) and event.fill.client_order_id == client_id else None
    )


def reported(client_id: str, state: VenueState) -> Callable[[Any], bool | None]:
    def told(event: Any) -> bool | None:
        if isinstance(event, OrderReported) and event.seen.client_order_id == client_id:
            return True if event.seen.state is state else None
        return None

    return told


class VenueContract:
    """Every adapter, the simulated one included."""

    @pytest.fixture
    def world(self) -> World:
        raise NotImplementedError("a subclass gives the world")

    def test_what_can_be_traded_comes_with_its_rules(self, world: World) -> None:
        assert asyncio.run(world.venue.instruments())[world.instrument.key] == world.instrument

    def test_an_accepted_order_is_found_and_listed(self, world: World) -> None:
        async def story() -> None:
            request, order_id = await world.place()
            found = await world.look(request)
            assert found.found is Found.FOUND
            assert (found.seen.venue_order_id, found.seen.state, found.seen.filled_units) == (
                order_id,
                VenueState.LIVE,
                0,
            )
            assert found.seen.terms == request.terms
            assert found.fills == ()
            (listed,) = (await world.snapshot()).orders
            assert (listed.seen.client_order_id, listed.seen.venue_order_id) == (request.client_order_id, order_id)
            assert (listed.instrument, listed.side, listed.qty_units) == (
                request.instrument,
                Side.BUY,
                request.terms.qty_units,
            )

        asyncio.run(story())

    def test_an_order_that_never_was_is_absent(self, world: World) -> None:
        found = asyncio.run(world.look(world.request()))
        assert (found.found, found.seen, found.fills) == (Found.ABSENT, None, ())

    def test_a_refused_order_leaves_nothing(self, world: World) -> None:
        async def story() -> None:
            request = world.request(terms=Terms(0, world.price_units))
            with pytest.raises(Rejected):
                await world.venue.submit(Submit(request, 1))
            assert (await world.look(request)).found is Found.ABSENT
            assert (await world.snapshot()).orders == ()

        asyncio.run(story())

    def test_an_attempt_that_is_repeated_makes_no_second_order(self, world: World) -> None:
        async def story() -> None:
            request, order_id = await world.place()
            with suppress(Rejected):
                assert await world.venue.submit(Submit(request, 2)) == order_id
            assert [order.seen.venue_order_id for order in (await world.snapshot()).orders] == [order_id]

        asyncio.run(story())

    def test_a_cancel_ends_an_order_and_the_stream_says_so(self, world: World) -> None:
        async def story() -> None:
            request, order_id = await world.place()
            await world.cancel(request, order_id)
            await world.until(reported(request.client_order_id, VenueState.CANCELED))
            assert (await world.look(request, order_id)).seen.state is VenueState.CANCELED
            assert (await world.snapshot()).orders == ()

        asyncio.run(story())

    def test_a_cancel_of_nothing_is_refused(self, world: World) -> None:
        async def story() -> None:
            with pytest.raises(Rejected):
                await world.cancel(world.request(), "nobody")

        asyncio.run(story())

    def test_an_amendment_keeps_the_ids(self, world: World) -> None:
        async def story() -> None:
            request, order_id = await world.place()
            terms = Terms(40 * world.lot, world.price_units - 900 * world.tick)
            await world.venue.amend(Amend(request.client_order_id, order_id, request.instrument, 1, terms))
            seen = (await world.look(request, order_id)).seen
            assert (seen.client_order_id, seen.venue_order_id, seen.terms) == (
                request.client_order_id,
                order_id,
                terms,
            )
            assert len((await world.snapshot()).orders) == 1

        asyncio.run(story())

    def test_a_fill_is_told_alike_by_stream_query_and_snapshot(self, world: World) -> None:
        async def story() -> None:
            request, order_id = await world.place(away=100)
            await world.trade(world.price_units - 200 * world.tick)
            fill = await world.until(filled(request.client_order_id))
            assert (fill.venue_order_id, fill.instrument, fill.side) == (order_id, request.instrument, Side.BUY)
            assert (fill.qty_units, fill.price_units) == (request.terms.qty_units, request.terms.limit_units)
            found = await world.look(request, order_id)
            assert (found.seen.state, found.seen.filled_units) == (VenueState.FILLED, fill.qty_units)
            assert found.fills == (fill,)
            assert (await world.snapshot()).fills == (fill,)

        asyncio.run(story())

    def test_balances_move_by_what_the_fills_say(self, world: World) -> None:
        async def story() -> None:
            before = (await world.snapshot()).balances
            request, _ = await world.place(away=0)
            await world.trade(world.price_units)
            fill = await world.until(filled(request.client_order_id))
            after = (await world.snapshot()).balances
            base, quote = world.instrument.base, world.instrument.quote
            assert after[base] - before[base] == fill.qty_units
            assert before[quote] - after[quote] == fill.cash_units + fill.fee_units

        asyncio.run(story())

    def test_reads_from_a_cursor_miss_nothing_and_repeat_only_the_same(self, world: World) -> None:
        async def story() -> None:
            seen: dict[str, Filled] = {}
            cursor = ""
            for _ in range(30):
                await world.place(lots=1, away=0)
                await world.trade(world.price_units)
                snapshot = await world.snapshot(cursor)
                cursor = snapshot.cursor
                for fill in snapshot.fills:
                    assert seen.setdefault(fill.venue_trade_id, fill) == fill
            everything = (await world.snapshot()).fills
            assert tuple(seen.values()) == everything
            assert len(everything) == 30
            assert {fill.venue_trade_id for fill in (await world.snapshot(cursor)).fills} <= seen.keys()

        asyncio.run(story())

    def test_a_reading_says_what_time_it_is_at_the_venue(self, world: World) -> None:
        snapshot = asyncio.run(world.snapshot())
        assert snapshot.venue_ns is not None
        assert snapshot.began_ns <= snapshot.venue_ns <= snapshot.ended_ns

    def test_reading_changes_nothing(self, world: World) -> None:
        async def story() -> None:
            await world.place()
            first, second = await world.snapshot(), await world.snapshot()
            bare = [replace(one, began_ns=0, ended_ns=0, venue_ns=0) for one in (first, second)]
            assert bare[0] == bare[1]

        asyncio.run(story())

    def test_the_stream_waits_until_there_is_something_to_say(self, world: World) -> None:
        async def story() -> None:
            listening = asyncio.ensure_future(world.venue.events())
            await asyncio.sleep(0.01)
            assert not listening.done()
            await world.place()
            async with asyncio.timeout(WAIT_S):
                assert len(await listening) > 0

        asyncio.run(story())

    def test_the_first_fill_of_a_guarded_entry_brings_its_bracket(self, world: World) -> None:
        if not world.has_brackets:
            pytest.skip("this venue holds no brackets")

        async def story() -> None:
            tick = float(world.instrument.tick)
            guard = client_order_id(world.venue.account, "contract", "protect", 0)
            request, _ = await world.place(away=100, protection=Protection(guard, 50 * tick, 80 * tick))
            protecting = replace(request, client_order_id=guard)
            assert (await world.look(protecting)).found is Found.ABSENT
            await world.trade(world.price_units - 150 * world.tick + 10 * world.tick)
            seen = (await world.look(protecting)).seen
            limit = request.terms.limit_units
            assert seen.state is VenueState.LIVE
            assert seen.terms == Terms(
                request.terms.qty_units,
                stop_units=limit - 50 * world.tick,
                target_units=limit + 80 * world.tick,
            )
            await world.trade(world.price_units - 300 * world.tick)
            fill = await world.until(filled(guard))
            assert (fill.side, fill.qty_units) == (Side.SELL, request.terms.qty_units)
            assert (await world.look(protecting)).seen.state is VenueState.FILLED

        asyncio.run(story())
