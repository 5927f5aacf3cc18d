"""Whole histories: what a venue lists behind the cursor is found, booked and told."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from novapulse.core.bars import MINUTE_NS
from novapulse.core.instruments import AccountKey
from novapulse.core.orders import Filled, Side
from novapulse.core.ports import Unavailable
from novapulse.engine.history import HistoryReader
from tests.engine.harness import ACCOUNT, ORIGIN_NS, noisy_ticks
from tests.engine.shell import House, in_virtual_time

TICKS = noisy_ticks(bars=200)


class Watched(House):
    """An account whose history is read."""

    def reader(self) -> HistoryReader:
        def unbooked(account: AccountKey, found: Sequence[Filled]) -> list[Filled]:
            booked = {one.body["venue_trade_id"] for one in self.journal.of(account, "fill_booked")}
            return [one for one in found if one.venue_trade_id not in booked]

        return HistoryReader(self.runners[ACCOUNT], unbooked, self.timeline, None, every_s=0.002)


def lived(change: Callable[[Watched], None] = lambda house: None) -> tuple[Watched, HistoryReader]:
    """Let an account live its market, a midnight in it, with its history read, and return what is left."""

    async def work() -> tuple[Watched, HistoryReader]:
        house = Watched(TICKS, [ACCOUNT])
        change(house)
        supervisor, reader = house.supervisor(), house.reader()
        supervisor.histories = [reader]
        await supervisor.run()
        return house, reader

    return in_virtual_time(work)


def test_an_account_that_knows_everything_hears_of_nothing() -> None:
    async def alone() -> House:
        house = House(TICKS, [ACCOUNT])
        await house.supervisor().run()
        return house

    house, reader = lived()
    assert len(house.journal.of(ACCOUNT, "fill_booked")) > 10
    assert reader.read == 2
    assert house.journal.of(ACCOUNT) == in_virtual_time(alone).journal.of(ACCOUNT)


def test_an_execution_that_the_venue_lists_behind_the_cursor_is_booked_once_and_told() -> None:
    def late(house: Watched) -> None:
        venue = house.venues[ACCOUNT]
        read = venue.history

        async def history() -> Sequence[Filled]:
            found = list(await read())
            if not found:
                return found
            one = replace(
                found[0],
                client_order_id="",
                venue_order_id="V-late",
                venue_trade_id="T-late",
                side=Side.BUY,
                ts_event_ns=ORIGIN_NS + MINUTE_NS,
            )
            return [one, *found]

        venue.history = history

    house, _ = lived(late)
    booked = [one.body for one in house.journal.of(ACCOUNT, "fill_booked")]
    assert [body["venue_trade_id"] for body in booked].count("T-late") == 1
    told = [one.body for one in house.journal.of(ACCOUNT, "alert_raised") if one.body["key"] == "executions_missing"]
    assert "executions that the ledger lacks: T-late" in told[0]["text"]


def test_a_list_that_cannot_be_read_is_read_again() -> None:
    def failing(house: Watched) -> None:
        venue = house.venues[ACCOUNT]
        read, calls = venue.history, iter(range(10**6))

        async def history() -> Sequence[Filled]:
            if next(calls) < 2:
                raise Unavailable("the second page did not come")
            return await read()

        venue.history = history

    house, reader = lived(failing)
    assert reader.read >= 1
    alerts = {one.body["key"] for one in house.journal.of(ACCOUNT, "alert_raised")}
    assert "task:history main on kraken" in alerts
    assert "executions_missing" not in alerts
