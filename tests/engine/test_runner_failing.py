"""An account that fails: its ledger, an error of our own, a start that breaks, events that pile up."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from novapulse.core.instruments import AccountKey
from novapulse.core.messages import BarsClosed, Commit, ConditionSeen, Event, Severity
from novapulse.core.ports import JournalError, Unwritable
from novapulse.core.records import Mode
from novapulse.engine.life import Life
from tests.engine.harness import ACCOUNT, ORIGIN_NS, SECOND_NS
from tests.engine.shell import House, SharedJournal, failing, in_virtual_time, mode_of, trips
from tests.engine.test_runner import MINUTE_NS, OTHER, TICKS, played


def test_an_account_whose_ledger_fails_starts_anew_from_it_and_no_other_notices() -> None:
    bad_from, bad_until = ORIGIN_NS + 100 * MINUTE_NS, ORIGIN_NS + 103 * MINUTE_NS

    async def work() -> House:
        journal = SharedJournal()
        house = House(TICKS, [ACCOUNT, OTHER], journal=journal)

        def refuse(account: AccountKey, commit: Commit) -> Exception | None:
            is_bad = account == OTHER and bad_from <= house.timeline.now_ns() < bad_until
            return Unwritable("disk is full") if is_bad else None

        journal.refuse = refuse
        return await played(house)

    async def healthy() -> House:
        return await played(House(TICKS, [ACCOUNT, OTHER]))

    house, wanted = in_virtual_time(work), in_virtual_time(healthy)
    assert house.journal.of(ACCOUNT) == wanted.journal.of(ACCOUNT)
    assert len(house.journal.of(ACCOUNT, "session_started")) == 1
    assert len(house.journal.of(OTHER, "session_started")) == 2
    names = [one.body["name"] for one in house.journal.of(OTHER, "breaker_tripped")]
    assert names == ["ledger"]
    assert [one.body["name"] for one in house.journal.of(OTHER, "breaker_cleared")] == ["ledger"]
    assert any("disk is full" in alert.text for account, alert in house.told.alerts if account == OTHER)
    assert house.runners[OTHER].told.ledger_failed is False
    late = [(one.body["ts_close_ns"], one.body["problem"]) for one in house.journal.of(OTHER, "bar_late")]
    assert set(late) == {(bad_until, "the account was down")}, "a close was missed in silence"


@pytest.mark.parametrize(
    ("failed", "told"),
    [
        (False, [(0.0, "nothing has failed yet")]),
        (True, [(1.0, "a write failed"), (0.0, "the ledger takes writes again")]),
    ],
)
def test_every_start_says_whether_the_last_write_failed(failed: bool, told: list[tuple[float, str]]) -> None:
    async def work() -> list[tuple[float | None, str]]:
        house = House(TICKS.after(0, ORIGIN_NS + 5 * MINUTE_NS), [ACCOUNT])
        runner, make = house.runners[ACCOUNT], house.reborn
        heard: list[tuple[float | None, str]] = []

        def reborn(key: AccountKey) -> object:
            trader = make(key)
            handle = trader.handle

            def handled(event: Event) -> object:
                if isinstance(event, ConditionSeen) and event.condition == "ledger_unwritable":
                    heard.append((event.value, event.text))
                return handle(event)

            trader.handle = handled
            return trader

        house.reborn = reborn
        runner.told.ledger_failed = failed
        await runner.start()
        await runner.idle()
        return heard

    assert in_virtual_time(work) == told


def test_a_restriction_by_the_ledger_ends_in_the_next_process_although_the_last_one_could_not_say_so() -> None:
    half_ns = ORIGIN_NS + 30 * MINUTE_NS

    async def in_two_processes() -> tuple[Mode, House]:
        first = House(TICKS.after(0, half_ns), [ACCOUNT])
        first.timeline.at(half_ns, lambda: first.runners[ACCOUNT].condition("ledger_unwritable", 1.0, "a write failed"))
        await played(first)
        rest = TICKS.after(half_ns, half_ns + 30 * MINUTE_NS)
        then = await played(House(rest, [ACCOUNT], journal=first.journal, venues=first.venues))
        return mode_of(first, ACCOUNT), then

    mode, then = in_virtual_time(in_two_processes)
    assert mode is Mode.REDUCE_ONLY
    assert mode_of(then, ACCOUNT) is Mode.NORMAL
    assert [one.body["name"] for one in then.journal.of(ACCOUNT, "breaker_cleared")] == ["ledger"]


def exits(house: House, account: AccountKey) -> list[tuple[int, str]]:
    taken = [one.body for one in house.journal.of(account, "decision_taken")]
    return [(body["ts_close_ns"], body["instrument"][1]) for body in taken if body["verb"] == "EXIT"]


def test_a_close_whose_decision_could_not_be_written_is_decided_when_the_account_is_back() -> None:
    async def healthy() -> House:
        return await played(House(TICKS, [ACCOUNT, OTHER]))

    wanted = exits(in_virtual_time(healthy), OTHER)
    lost = wanted[len(wanted) // 2]

    async def work() -> House:
        house = House(TICKS, [ACCOUNT, OTHER])

        def decides_it(account: AccountKey, commit: Commit) -> bool:
            taken = [one.body for one in commit.records if one.kind == "decision_taken"]
            return account == OTHER and lost in [(body["ts_close_ns"], body["instrument"][1]) for body in taken]

        house.journal.refuse = failing(1, decides_it)
        return await played(house)

    house = in_virtual_time(work)
    assert house.runners[OTHER].lives == 2
    assert exits(house, OTHER).count(lost) == 1
    assert not house.journal.of(OTHER, "bar_late")
    assert venue_agrees(house, OTHER)


class BrokenError(Exception):
    """A bug of ours."""


def break_on(house: House, account: AccountKey, minutes: Sequence[int]) -> None:
    make = house.reborn

    def reborn(key: AccountKey) -> object:
        trader = make(key)
        if key == account:
            handle = trader.handle

            def handled(event: Event) -> object:
                if isinstance(event, BarsClosed) and (event.ts_close_ns - ORIGIN_NS) // MINUTE_NS in minutes:
                    raise BrokenError("a planted bug")
                return handle(event)

            trader.handle = handled
        return trader

    house.reborn = reborn


def test_an_error_of_our_own_lets_the_account_only_reduce_and_no_other_notices() -> None:
    async def work() -> House:
        house = House(TICKS, [ACCOUNT, OTHER])
        break_on(house, OTHER, [120])
        return await played(house)

    async def healthy() -> House:
        return await played(House(TICKS, [ACCOUNT, OTHER]))

    house, wanted = in_virtual_time(work), in_virtual_time(healthy)
    assert house.journal.of(ACCOUNT) == wanted.journal.of(ACCOUNT)
    trader = house.runners[OTHER].trader
    assert trader is not None
    assert trader.desk.books.mode is Mode.REDUCE_ONLY
    after = ORIGIN_NS + 121 * MINUTE_NS
    entries = [one for one in house.journal.of(OTHER, "decision_taken") if one.body["verb"] == "ENTER"]
    assert entries
    assert max(one.body["ts_close_ns"] for one in entries) < after
    assert not trader.desk.books.positions["qty_units"].any()
    told, again = [one.body for one in house.journal.of(OTHER, "alert_raised") if one.body["key"] == "bug"]
    assert (told["severity"], again["times"]) == ("critical", 2), "nobody acknowledged it"
    heard = [alert.text for account, alert in house.told.alerts if alert.key == "bug"]
    assert heard.count(told["text"]) == 1


def test_the_second_error_halts_and_the_third_ends_the_account() -> None:
    async def work(minutes: Sequence[int]) -> tuple[Life, Mode, str]:
        house = House(TICKS, [ACCOUNT, OTHER])
        break_on(house, OTHER, minutes)
        ended = await house.supervisor().run()
        runner = house.runners[OTHER]
        assert runner.trader is not None
        assert house.runners[ACCOUNT].life is Life.STOPPED
        assert ended.clean is (len(minutes) < 3)
        return runner.life, runner.trader.desk.books.mode, runner.told.why_down

    assert in_virtual_time(lambda: work([120, 130]))[:2] == (Life.STOPPED, Mode.HALTED)
    life, _, why = in_virtual_time(lambda: work([120, 130, 140]))
    assert life is Life.ENDED
    assert "a planted bug" in why


# ---- What an account falls behind, or cannot begin with ----


def venue_agrees(house: House, account: AccountKey) -> bool:
    trader, exchange = house.runners[account].trader, house.venues[account].exchange
    assert trader is not None
    books = trader.desk.books
    held = {one.key: int(units) for one, units in zip(books.instruments, books.positions["qty_units"], strict=True)}
    wanted = {key: slot.held_units for key, slot in exchange.slots.items()}
    return held == wanted and int(books.account[0].cash_units) == exchange.holdings.cash_units


def test_an_account_that_falls_behind_starts_anew_behind_its_last_commit_and_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("novapulse.engine.runner.QUEUE_MAX", 50)
    slow_from, slow_s = ORIGIN_NS + 100 * MINUTE_NS, 200

    async def work() -> tuple[House, int]:
        house = House(TICKS, [ACCOUNT, OTHER])
        submit, loop = house.committer.submit, asyncio.get_running_loop()
        snapshots: list[int] = []

        def slowly(account: AccountKey, commit: Commit, done: Callable[[JournalError | None], None]) -> None:
            is_slow = account == OTHER and slow_from <= house.timeline.now_ns() < slow_from + slow_s * SECOND_NS
            if is_slow:
                loop.call_later(slow_s, submit, account, commit, done)
            else:
                submit(account, commit, done)

        def burst() -> None:
            assert house.runners[OTHER].is_writing
            for _ in range(51):
                house.runners[OTHER].condition("disk_free", 0.5)

        read = house.venues[OTHER].snapshot

        async def snapshot(effect: Any) -> Any:
            snapshots.append(house.timeline.now_ns())
            return await read(effect)

        house.venues[OTHER].snapshot = snapshot
        house.committer.submit = slowly
        house.timeline.at(slow_from + 90 * SECOND_NS, burst)
        await played(house)
        return house, sum(one > slow_from + 600 * SECOND_NS for one in snapshots)

    house, compared_later = in_virtual_time(work)
    runner = house.runners[OTHER]
    assert (runner.lives, house.runners[ACCOUNT].lives) == (2, 1)
    assert runner.told.dropped == 51
    assert [alert.text for account, alert in house.told.alerts if alert.key == "fell_behind"] == [
        "it fell behind: 50 events waited, and the account starts anew to compare"
    ]
    assert venue_agrees(house, OTHER)
    assert compared_later > 10
    closes = [one.body["ts_close_ns"] for one in house.journal.of(OTHER, "session_started")]
    assert closes == [0, slow_from], "the second life does not know what the first one's last commit said"


@pytest.mark.parametrize("times", [1, 2])
def test_an_account_whose_start_breaks_is_tried_again_and_restricted(times: int) -> None:
    async def work() -> House:
        house = House(TICKS, [ACCOUNT, OTHER])
        make, calls = house.reborn, iter(range(1000))

        def reborn(key: AccountKey) -> object:
            if key == OTHER and 1 <= next(calls) <= times:
                raise BrokenError("the state cannot be unpacked")
            return make(key)

        house.reborn = reborn
        bad_ns = ORIGIN_NS + 100 * MINUTE_NS
        house.journal.refuse = failing(1, lambda account, _: account == OTHER and house.timeline.now_ns() > bad_ns)
        return await played(house)

    house = in_virtual_time(work)
    runner = house.runners[OTHER]
    assert runner.trader is not None
    assert runner.trader.desk.books.mode is (Mode.REDUCE_ONLY if times == 1 else Mode.HALTED)
    assert (runner.lives, runner.told.bugs) == (2, times)
    (alert,) = [one.text for account, one in house.told.alerts if one.key == "bug"][:1]
    assert "the state cannot be unpacked" in alert
    assert trips(house.journal.of(ACCOUNT))


def test_an_account_that_our_errors_end_leaves_a_record_and_an_alert() -> None:
    async def work() -> House:
        house = House(TICKS, [ACCOUNT, OTHER])
        break_on(house, OTHER, [120, 130, 140])
        await house.supervisor().run()
        return house

    house = in_virtual_time(work)
    assert house.runners[OTHER].life is Life.ENDED
    last = house.journal.of(OTHER)[-1]
    assert (last.kind, last.body["bugs"]) == ("account_ended", 3)
    assert "a planted bug" in last.body["why"]
    told = [alert for account, alert in house.told.alerts if alert.key == "account_ended"]
    assert [(one.severity, one.text) for one in told] == [(Severity.CRITICAL, last.body["why"])]
    assert house.journal.of(ACCOUNT, "account_ended") == []


def test_an_account_that_ends_while_it_starts_stays_ended() -> None:
    async def work() -> tuple[Life, int]:
        house = House(TICKS, [ACCOUNT])
        runner, make = house.runners[ACCOUNT], house.reborn

        def reborn(key: AccountKey) -> object:
            runner.end("somebody else has it")
            return make(key)

        house.reborn = reborn
        assert await runner.begin() is None
        return runner.life, len(house.journal.of(ACCOUNT, "session_started"))

    assert in_virtual_time(work) == (Life.ENDED, 0)
