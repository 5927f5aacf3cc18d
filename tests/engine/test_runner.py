from collections.abc import Sequence

import pytest

from novapulse.core.instruments import AccountKey
from novapulse.core.messages import CommandReceived, Commit, ConditionSeen, Event
from novapulse.core.ports import Fenced, Unavailable
from novapulse.core.records import Mode
from novapulse.engine.life import Life
from novapulse.simulation.world import Timeline
from tests.engine.harness import ACCOUNT, ORIGIN_NS, SECOND_NS, noisy_ticks, trader_of, world_of
from tests.engine.shell import PATIENT, House, SharedJournal, in_virtual_time, trips

OTHER = AccountKey("kraken", "second")
MINUTE_NS = 60 * SECOND_NS
TICKS = noisy_ticks(bars=400)


async def played(house: House, **settings: object) -> House:
    ended = await house.supervisor(**settings).run()
    assert (ended.clean, ended.left) == (True, [])
    return house


def test_the_runner_makes_the_round_trips_of_the_heap_loop() -> None:
    trader = trader_of(trader=PATIENT)
    world, node, journal = world_of(trader)
    world.start(node)
    world.play(node, TICKS)
    assert isinstance(world.timeline, Timeline)
    world.timeline.run(int(TICKS.ts_close_ns[-1]) + SECOND_NS)

    async def work() -> House:
        return await played(House(TICKS, [ACCOUNT]))

    house = in_virtual_time(work)
    wanted = trips(journal.records())
    assert len(wanted) > 20
    assert trips(house.journal.of(ACCOUNT)) == wanted
    cash = node.exchange.holdings.cash_units
    assert house.venues[ACCOUNT].exchange.holdings.cash_units == cash


def kinds(journal: SharedJournal, account: AccountKey) -> list[tuple[str, object]]:
    records = journal.of(account)
    return [(one.kind, one.body.get("ts_close_ns", one.body.get("instrument"))) for one in records]


def test_an_account_does_the_same_alone_and_beside_others() -> None:
    async def alone() -> House:
        return await played(House(TICKS, [ACCOUNT]))

    async def beside() -> House:
        return await played(House(TICKS, [ACCOUNT, OTHER, AccountKey("kraken", "third")]))

    first, second = in_virtual_time(alone), in_virtual_time(beside)
    assert first.journal.of(ACCOUNT) == second.journal.of(ACCOUNT)
    assert kinds(second.journal, OTHER) == kinds(first.journal, ACCOUNT)
    assert max(second.journal.sizes) == 3


def test_the_same_run_twice_writes_the_same() -> None:
    async def work() -> list[tuple[str, int]]:
        house = await played(House(TICKS, [ACCOUNT, OTHER]))
        return [(one.kind, one.ts_ns) for key in (ACCOUNT, OTHER) for one in house.journal.of(key)]

    assert in_virtual_time(work) == in_virtual_time(work)


def test_a_trader_that_is_started_anew_in_the_middle_makes_the_same_round_trips() -> None:
    async def whole() -> House:
        return await played(House(TICKS, [ACCOUNT]))

    wanted = trips(in_virtual_time(whole).journal.of(ACCOUNT))

    async def in_two_lives() -> House:
        first = await played(House(TICKS.after(0, int(TICKS.ts_close_ns[166])), [ACCOUNT]))
        return await played(House(TICKS, [ACCOUNT], journal=first.journal, venues=first.venues))

    again = in_virtual_time(in_two_lives)
    assert len(again.journal.of(ACCOUNT, "session_started")) == 2
    assert trips(again.journal.of(ACCOUNT)) == wanted


def test_nothing_leaves_before_it_is_durable() -> None:
    async def work() -> list[str]:
        journal = SharedJournal()
        house = House(TICKS, [ACCOUNT], journal=journal)
        venue = house.venues[ACCOUNT]
        sent: list[str] = []
        place = venue.submit

        async def submit(effect: object) -> str:
            name = effect.request.client_order_id
            assert [one for one in journal.of(ACCOUNT, "order_attempted") if one.body["client_order_id"] == name]
            sent.append(name)
            return await place(effect)

        venue.submit = submit
        await played(house)
        return sent

    assert len(in_virtual_time(work)) > 20


def test_an_account_that_somebody_else_took_stops_and_sends_nothing_more() -> None:
    async def work() -> House:
        journal = SharedJournal()
        house = House(TICKS, [ACCOUNT, OTHER], journal=journal)
        limit = ORIGIN_NS + 90 * MINUTE_NS

        def refuse(account: AccountKey, commit: Commit) -> Exception | None:
            is_lost = account == OTHER and house.timeline.now_ns() >= limit
            return Fenced("second at kraken: overtaken by them (epoch 2)") if is_lost else None

        journal.refuse = refuse
        ended = await house.supervisor().run()
        assert ended.left == ["second on kraken: second at kraken: overtaken by them (epoch 2)"]
        return house

    house = in_virtual_time(work)
    assert house.runners[OTHER].life is Life.ENDED
    orders = house.venues[OTHER].exchange.book.by_number.values()
    assert max(order.active_ns for order in orders) <= ORIGIN_NS + 90 * MINUTE_NS
    assert trips(house.journal.of(ACCOUNT))


def test_a_venue_that_does_not_answer_leaves_the_order_unknown_not_refused() -> None:
    async def work() -> list[str]:
        house = House(TICKS.after(0, ORIGIN_NS + 60 * MINUTE_NS), [ACCOUNT])
        venue = house.venues[ACCOUNT]
        place, silent = venue.submit, iter([True])

        async def submit(effect: object) -> str:
            answer = await place(effect)
            if next(silent, False):
                await house.timeline.until(house.timeline.now_ns() + 3600 * SECOND_NS)
            return answer

        venue.submit = submit
        await house.supervisor().run()
        first = house.journal.of(ACCOUNT, "order_attempted")[0].body["client_order_id"]
        return [one.kind for one in house.journal.of(ACCOUNT) if one.body.get("client_order_id") == first]

    story = in_virtual_time(work)
    assert "order_unclear" in story or "order_seen" in story
    assert "order_refused" not in story


def test_a_stream_that_breaks_is_heard_again_and_nothing_is_missed() -> None:
    async def work() -> House:
        house = House(TICKS, [ACCOUNT])
        venue = house.venues[ACCOUNT]
        hear, count = venue.events, iter(range(10**6))

        async def events() -> Sequence[Event]:
            said = await hear()
            if next(count) == 40:
                raise Unavailable("the stream broke")
            return said

        venue.events = events
        return await played(house)

    house = in_virtual_time(work)
    runner = house.runners[ACCOUNT]
    assert runner.trader is not None
    desk = runner.trader.desk
    held = {key: slot.held_units for key, slot in house.venues[ACCOUNT].exchange.slots.items()}
    assert {
        one.key: int(units) for one, units in zip(desk.instruments, desk.books.positions["qty_units"], strict=True)
    } == held
    assert int(desk.books.account[0].cash_units) == house.venues[ACCOUNT].exchange.holdings.cash_units


def test_commands_and_conditions_reach_the_trader_in_their_order() -> None:
    async def work() -> tuple[Mode, list[str]]:
        house = House(TICKS.after(0, ORIGIN_NS + 5 * MINUTE_NS), [ACCOUNT])
        runner = house.runners[ACCOUNT]
        await runner.start()
        runner.command("c1", "pause", {}, "somebody")
        runner.condition("disk_free", None)
        await runner.idle()
        assert runner.trader is not None
        return runner.trader.desk.books.mode, [answer.command_id for _, answer in house.told.answers]

    assert in_virtual_time(work) == (Mode.PAUSED, ["c1"])
    assert CommandReceived.__slots__[0] == ConditionSeen.__slots__[0] == "ts_ns"


def test_what_comes_while_an_account_is_down_is_not_heard() -> None:
    async def work() -> int:
        house = House(TICKS.after(0, ORIGIN_NS + 5 * MINUTE_NS), [ACCOUNT])
        runner = house.runners[ACCOUNT]
        runner.condition("disk_free", 0.5)
        return runner.waiting

    assert in_virtual_time(work) == 0


def test_a_ledger_of_another_configuration_is_refused_at_the_start() -> None:
    async def first() -> House:
        return await played(House(TICKS.after(0, ORIGIN_NS + 30 * MINUTE_NS), [ACCOUNT]))

    house = in_virtual_time(first)

    async def second() -> None:
        other = House(noisy_ticks(("BTC/USD",), bars=10), [ACCOUNT], journal=house.journal, symbols=("BTC/USD",))
        await other.runners[ACCOUNT].start()

    with pytest.raises(ValueError, match="cannot go on without SOL/USD"):
        in_virtual_time(second)
