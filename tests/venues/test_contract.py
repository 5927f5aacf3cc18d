"""The paper venue against the contract of venues: in memory, in a file, and opened anew before every call."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from novapulse.venues.simulated import PaperVenue
from tests.backtest.builders import bar_of, instrument
from tests.venues.builders import BTC, at, exchange_of
from tests.venues.contract import VenueContract, World


class Clock:
    """A clock that goes on by a second whenever it is asked."""

    def __init__(self) -> None:
        self.ns = at(0)

    def now_ns(self) -> int:
        self.ns += 10**9
        return self.ns


def world_of(venue: PaperVenue, clock: Clock) -> World:
    async def trade(price_units: int) -> None:
        price, now = price_units / 100, clock.now_ns()
        venue.play([(BTC, bar_of(price, price, price, price, 1e6, now))], now)

    return World(venue, instrument(), 10_000, trade, clock.now_ns)


class Forgetful(PaperVenue):
    """Lives in its file alone: the process ends before every request, and the stream's backlog is all that is left."""

    def place(self, *args: Any) -> str:
        self.restart()
        return super().place(*args)

    def withdraw(self, *args: Any) -> None:
        self.restart()
        super().withdraw(*args)

    def change(self, *args: Any) -> None:
        self.restart()
        super().change(*args)

    def find(self, *args: Any) -> Any:
        self.restart()
        return super().find(*args)

    def read(self, *args: Any) -> Any:
        self.restart()
        return super().read(*args)

    def restart(self) -> None:
        backlog = self.exchange.take_events()
        self.exchange = self._opened()
        for event in backlog:
            self.exchange.say(event)


class TestInMemory(VenueContract):
    @pytest.fixture
    def world(self) -> World:
        clock = Clock()
        return world_of(PaperVenue(exchange_of, clock), clock)


class TestInAFile(VenueContract):
    @pytest.fixture
    def world(self, tmp_path: Path) -> Iterator[World]:
        clock = Clock()
        venue = PaperVenue(exchange_of, clock, path=tmp_path / "paper.db", synchronous="OFF")
        yield world_of(venue, clock)
        venue.close()


class TestOpenedAnewBeforeEveryCall(VenueContract):
    @pytest.fixture
    def world(self, tmp_path: Path) -> Iterator[World]:
        clock = Clock()
        venue = Forgetful(exchange_of, clock, path=tmp_path / "paper.db", synchronous="OFF")
        yield world_of(venue, clock)
        venue.close()


class TestFarAway(VenueContract):
    @pytest.fixture
    def world(self) -> World:
        clock = Clock()
        return world_of(PaperVenue(exchange_of, clock, latency_ns=200_000_000), clock)
