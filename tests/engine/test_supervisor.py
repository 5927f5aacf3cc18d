import asyncio
from typing import Any

import pytest
from structlog.testing import capture_logs

from novapulse.core.instruments import AccountKey
from novapulse.core.messages import ReadSnapshot, Snapshot
from novapulse.core.ports import Unavailable, Unwritable
from novapulse.core.records import Mode
from novapulse.engine.life import Life
from novapulse.engine.report import health_of
from novapulse.engine.supervisor import Chore, Supervisor
from novapulse.ops.health import AccountHealth
from tests.engine.harness import ACCOUNT, ORIGIN_NS, SECOND_NS, noisy_ticks
from tests.engine.shell import PATIENT, House, in_virtual_time, mode_of, trips

OTHER = AccountKey("kraken", "second")
MINUTE_NS = 60 * SECOND_NS
TICKS = noisy_ticks(bars=200)


# ---- Tasks ----


def test_a_task_that_fails_again_and_again_pauses_its_account_and_no_other() -> None:
    async def work() -> House:
        house = House(TICKS, [ACCOUNT, OTHER])
        venue, hear = house.venues[OTHER], house.venues[OTHER].events
        calls = iter(range(10**6))

        async def events() -> Any:
            if 1 <= next(calls) <= 4:
                raise Unavailable("the venue hung up")
            return await hear()

        venue.events = events
        await house.supervisor().run()
        return house

    async def healthy() -> House:
        house = House(TICKS, [ACCOUNT, OTHER])
        await house.supervisor().run()
        return house

    house, wanted = in_virtual_time(work), in_virtual_time(healthy)
    assert house.journal.of(ACCOUNT) == wanted.journal.of(ACCOUNT)
    tripped = house.journal.of(OTHER, "breaker_tripped")
    assert [(one.body["name"], one.body["effect"]) for one in tripped] == [("task_failures", "paused")]
    assert [one.body["name"] for one in house.journal.of(OTHER, "breaker_cleared")] == ["task_failures"]


def test_a_stream_that_falls_silent_is_read_around_and_pauses_its_account_when_it_stays_so() -> None:
    """Fault 9: heartbeats stop, or come without data, on a socket that seems well."""

    async def work(silent: range) -> tuple[House, int]:
        house = House(TICKS, [ACCOUNT, OTHER])
        venue, hear, calls, read = house.venues[OTHER], house.venues[OTHER].events, iter(range(10**6)), []
        snapshot = venue.snapshot

        async def events() -> Any:
            if next(calls) in silent:
                await house.timeline.until(house.timeline.now_ns() + 3600 * SECOND_NS)
            heard = asyncio.ensure_future(hear())
            await asyncio.wait([heard], timeout=1.0)
            if heard.done():
                return heard.result()
            heard.cancel()
            return []

        async def counted(effect: ReadSnapshot) -> Snapshot:
            read.append(effect.why)
            return await snapshot(effect)

        venue.events, venue.snapshot, venue.stream_silence_s = events, counted, 5.0
        await house.supervisor().run()
        return house, read.count("stream_gap")

    well, gaps = in_virtual_time(lambda: work(range(0)))
    assert (gaps, well.journal.of(OTHER, "breaker_tripped")) == (0, [])
    house, gaps = in_virtual_time(lambda: work(range(30, 34)))
    assert gaps >= 1
    assert [one.body["name"] for one in house.journal.of(OTHER, "breaker_tripped")] == ["task_failures"]
    told = [one.body["text"] for one in house.journal.of(OTHER, "alert_raised")]
    assert any("the stream has said nothing for 5 s" in text for text in told)
    assert house.journal.of(ACCOUNT) == well.journal.of(ACCOUNT)


def test_a_task_that_fails_a_hundred_times_is_told_whole_once() -> None:
    async def work() -> None:
        house = House(TICKS, [ACCOUNT])
        hear, calls = house.venues[ACCOUNT].events, iter(range(10**6))

        async def events() -> Any:
            if next(calls) < 100:
                raise Unavailable("paper.db: the disk is full")
            return await hear()

        house.venues[ACCOUNT].events = events
        await house.supervisor().run()

    with capture_logs() as logged:
        in_virtual_time(work)
    told = [one for one in logged if one["event"] == "a task failed"]
    assert 1 <= len(told) <= 3
    assert ["exc_info" in one for one in told] == [True, *[False] * (len(told) - 1)]


def test_a_chore_that_fails_disturbs_nobody() -> None:
    async def work() -> tuple[int, bool, int]:
        house = House(TICKS, [ACCOUNT])
        supervisor = house.supervisor()
        tries: list[int] = []

        def fail() -> None:
            tries.append(1)
            raise OSError("no space left on device")

        supervisor.chores = (Chore("health", 0.001, fail),)
        ended = await supervisor.run()
        return len(tries), ended.clean, len(house.journal.of(ACCOUNT, "breaker_tripped"))

    tries, is_clean, tripped = in_virtual_time(work)
    assert tries >= 1
    assert (is_clean, tripped) == (True, 0)


def test_a_venue_that_cannot_be_read_holds_the_feed_back_for_a_while_only() -> None:
    async def work() -> tuple[Mode, int, bool, int]:
        house = House(TICKS, [ACCOUNT, OTHER])

        async def snapshot(effect: object) -> Any:
            raise Unavailable("maintenance")

        house.venues[OTHER].snapshot = snapshot
        await house.supervisor().run()
        health = health_of(house.runners[OTHER], house.timeline.now_ns())
        entries = [one for one in house.journal.of(OTHER, "decision_taken") if one.body["verb"] == "ENTER"]
        return mode_of(house, ACCOUNT), len(entries), health.healthy, len(trips(house.journal.of(ACCOUNT)))

    mode, entries, healthy, round_trips = in_virtual_time(work)
    assert (mode, entries, healthy) == (Mode.NORMAL, 0, False)
    assert round_trips > 5


# ---- Stop ----


def stop_at(house: House, supervisor: Supervisor, minutes: float) -> None:
    house.timeline.at(ORIGIN_NS + round(minutes * MINUTE_NS), lambda: supervisor.ask_stop("it was asked to"))


def test_a_stop_leaves_nothing_half_done_and_says_so_in_the_ledger() -> None:
    async def work() -> tuple[House, bool]:
        house = House(TICKS, [ACCOUNT, OTHER])
        supervisor = house.supervisor(stop_entries="cancel")
        # In the middle of a request's way.
        stop_at(house, supervisor, 120.002)
        ended = await supervisor.run()
        assert (ended.why, ended.left) == ("it was asked to", [])
        return house, ended.clean

    house, is_clean = in_virtual_time(work)
    assert is_clean
    for account in (ACCOUNT, OTHER):
        last = house.journal.of(account)[-1]
        assert (last.kind, last.body["why"]) == ("session_stopped", "it was asked to")
        runner = house.runners[account]
        assert runner.life is Life.STOPPED
        assert runner.trader is not None
        live = [order for slot in house.venues[account].exchange.slots.values() for order in slot.live]
        assert {order.request.role.value for order in live} <= {"protect"}
        ids = {order.client_order_id for order in live}
        assert ids == {name for name, order in runner.trader.desk.orders.items() if order.is_live}
    assert house.leases.held == {}


def test_a_reading_on_its_way_holds_no_stop_up(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> list[str]:
        house = House(TICKS, [ACCOUNT], trader=PATIENT.model_copy(update={"submit_deadline_s": 1e6}))
        supervisor = house.supervisor()
        snapshot = house.venues[ACCOUNT].snapshot

        async def endless(wanted: ReadSnapshot) -> Snapshot:
            if house.timeline.now_ns() > ORIGIN_NS + 10 * MINUTE_NS:
                await house.timeline.until(2**62)
            return await snapshot(wanted)

        monkeypatch.setattr(house.venues[ACCOUNT], "snapshot", endless)
        stop_at(house, supervisor, 50.5)
        return (await supervisor.run()).left

    assert in_virtual_time(work) == []


def test_entries_stay_where_that_is_configured() -> None:
    counts = [
        in_virtual_time(lambda at=at, policy=policy: resting(at, policy))
        for policy in ("keep", "cancel")
        for at in range(104, 112)
    ]
    assert sum(counts[:8]) > 0
    assert sum(counts[8:]) == 0


async def resting(minutes: int, policy: str) -> int:
    house = House(TICKS.after(0, ORIGIN_NS + 125 * MINUTE_NS), [ACCOUNT])
    supervisor = house.supervisor(stop_entries=policy)
    stop_at(house, supervisor, minutes + 0.5)
    await supervisor.run()
    live = [order for slot in house.venues[ACCOUNT].exchange.slots.values() for order in slot.live]
    return sum(order.request.role.value == "entry" for order in live)


def test_a_ledger_that_fails_at_the_stop_is_not_a_clean_one() -> None:
    async def work() -> list[str]:
        house = House(TICKS, [ACCOUNT])
        supervisor = house.supervisor()
        stop_at(house, supervisor, 50.5)
        limit = ORIGIN_NS + 50 * MINUTE_NS + 30 * SECOND_NS
        house.journal.refuse = lambda *_: Unwritable("disk is full") if house.timeline.now_ns() >= limit else None
        ended = await supervisor.run()
        assert not ended.clean
        return ended.left

    (left,) = in_virtual_time(work)
    assert "disk is full" in left


# ---- One sick account ----


@pytest.mark.parametrize("wrong", [ValueError("the state is damaged"), KeyError("slots"), Unwritable("the disk fails")])
def test_an_account_that_cannot_start_is_down_with_a_reason_and_the_others_trade(wrong: Exception) -> None:
    async def work() -> House:
        house = House(TICKS, [OTHER, ACCOUNT])
        make = house.reborn

        def reborn(key: AccountKey) -> Any:
            if key == OTHER:
                raise wrong
            return make(key)

        house.reborn = reborn
        house.timeline.at(
            ORIGIN_NS + 50 * MINUTE_NS,
            lambda: seen.extend(health_of(runner, 0) for runner in house.runners.values()),
        )
        ended = await house.supervisor().run()
        assert not ended.clean
        assert [str(wrong) in left for left in ended.left] == [True]
        return house

    async def alone() -> House:
        house = House(TICKS, [ACCOUNT])
        await house.supervisor().run()
        return house

    seen: list[AccountHealth] = []
    house, wanted = in_virtual_time(work), in_virtual_time(alone)
    assert [one.healthy for one in seen] == [False, True]
    assert str(wrong) in seen[0].reasons[0]
    assert trips(house.journal.of(ACCOUNT)) == trips(wanted.journal.of(ACCOUNT)) != []


def test_when_no_account_can_start_nothing_does() -> None:
    async def work() -> None:
        house = House(TICKS, [OTHER, ACCOUNT])

        def reborn(key: AccountKey) -> Any:
            raise ValueError(f"the state of {key.account_id} is damaged")

        house.reborn = reborn
        await house.supervisor().run()

    with pytest.raises(ValueError, match="the state of second is damaged"):
        in_virtual_time(work)


BAD_NS = (ORIGIN_NS + 50 * MINUTE_NS, ORIGIN_NS + 55 * MINUTE_NS)
