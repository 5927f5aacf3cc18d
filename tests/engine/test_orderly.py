import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from structlog.testing import capture_logs

from novapulse.core.instruments import AccountKey
from novapulse.core.messages import Answer, Commit, Event, Started
from novapulse.core.orders import Role
from novapulse.core.ports import Fenced, JournalError
from novapulse.core.records import Mode
from novapulse.engine.life import Life
from novapulse.engine.orderly import Orderly
from tests.engine.harness import ACCOUNT, ORIGIN_NS, SECOND_NS, noisy_ticks
from tests.engine.shell import House, failing, in_virtual_time, mode_of

OTHER = AccountKey("kraken", "second")
MINUTE_NS = 60 * SECOND_NS
TICKS = noisy_ticks(bars=200)


@dataclass
class Wish:
    """A command in an inbox."""

    command_id: str
    verb: str
    account: AccountKey | None = None
    expires_ns: int | None = None
    actor: str = "somebody"
    arguments: dict[str, str] = field(default_factory=dict)


class Box:
    """An inbox in memory."""

    def __init__(self, *wishes: Wish) -> None:
        self.wishes = list(wishes)
        self.taken: dict[str, list[AccountKey]] = {}
        self.said: list[tuple[str, str, bool, str]] = []

    def pending(self, after: int = 0) -> list[Wish]:
        return self.wishes

    def mark_taken(self, command_id: str, accounts: Sequence[AccountKey], now_ns: int) -> None:
        self.taken[command_id] = list(accounts)

    def answered(
        self, command_id: str, account: AccountKey, done: bool, text: str, now_ns: int, details: Any = None
    ) -> None:
        self.said.append((command_id, account.account_id, done, text))


def test_a_command_is_obeyed_once_by_each_account_and_answered() -> None:
    async def work() -> Box:
        house = House(TICKS.after(0, ORIGIN_NS + 3 * MINUTE_NS), [ACCOUNT, OTHER])
        box = Box(
            Wish("c1", "pause"),
            Wish("c2", "resume", OTHER, expires_ns=5),
            Wish("c3", "pause", AccountKey("kraken", "nobody")),
            Wish("c4", "halt", ACCOUNT),
        )
        before = {ACCOUNT: {"c4": Answer("c4", True, "halted")}}
        orderly = Orderly(box, house.runners, lambda key: before.get(key, {}), lambda: 10)
        house.told.answered = orderly.answered
        for runner in house.runners.values():
            await runner.start()
        for _ in range(3):
            for runner, command in orderly.look():
                orderly.give(runner, command)
            for runner in house.runners.values():
                await runner.idle()
        assert [len(house.journal.of(account, "command_answered")) for account in (ACCOUNT, OTHER)] == [1, 1]
        assert mode_of(house, ACCOUNT) is mode_of(house, OTHER) is Mode.PAUSED
        return box

    with capture_logs() as logged:
        box = in_virtual_time(work)
    assert box.taken["c1"] == [ACCOUNT, OTHER]
    assert sorted((name, account, done) for name, account, done, _ in box.said) == [
        ("c1", "main", True),
        ("c1", "second", True),
        ("c2", "second", False),
        ("c3", "nobody", False),
        ("c4", "main", True),
    ]
    texts = {name: text for name, _, _, text in box.said}
    assert "came too late" in texts["c2"]
    assert "does not run account nobody" in texts["c3"]
    told = [one for one in logged if one["event"] == "a command for an account that is not here"]
    assert [(one["verb"], one["exchange"], one["account_id"]) for one in told] == [("pause", "kraken", "nobody")]
    obeyed = {(one["exchange"], one["account_id"]) for one in logged if one["event"] == "a command"}
    assert obeyed == {(one.exchange, one.account_id) for one in (ACCOUNT, OTHER)}


# ---- What goes wrong on a command's way ----


def answered(house: House, account: AccountKey) -> Mapping[str, Answer]:
    """Read the answers that the journal has, as the ledger is read."""
    bodies = [one.body for one in house.journal.of(account, "command_answered")]
    return {body["command_id"]: Answer(body["command_id"], body["done"], body["text"]) for body in bodies}


def attended(house: House, *wishes: Wish) -> tuple[Box, Orderly]:
    box = Box(*wishes)
    orderly = Orderly(box, house.runners, lambda key: answered(house, key), lambda: 10)
    house.told.answered = orderly.answered
    return box, orderly


def has(commit: Commit, *kinds: str) -> bool:
    return any(record.kind in kinds for record in commit.records)


def refuse_first(house: House, *kinds: str, times: int = 1) -> None:
    """Let the first commits of OTHER that hold such a record fail."""
    house.journal.refuse = failing(times, lambda account, commit: account == OTHER and has(commit, *kinds))


Between = Callable[[], Awaitable[None]]


async def asked(house: House, orderly: Orderly, between: Between | None, minutes: int = 12) -> None:
    """Look into the inbox every ten seconds for a while, beside running accounts."""
    for _ in range(minutes * 6):
        due = orderly.look()
        if due and between is not None:
            await between()
        for runner, command in due:
            orderly.give(runner, command)
        await house.timeline.until(house.timeline.now_ns() + 10 * SECOND_NS)


async def supervised(house: House, orderly: Orderly, between: Between | None = None, minutes: int = 12) -> None:
    """Run the accounts for a while, and look into the inbox meanwhile."""
    supervisor = house.supervisor()
    house.timeline.at(ORIGIN_NS + (minutes + 1) * MINUTE_NS, lambda: supervisor.ask_stop("enough"))
    task = asyncio.get_running_loop().create_task(asked(house, orderly, between, minutes))
    await supervisor.run()
    await task


@pytest.mark.parametrize("verb", ["halt", "kill"])
@pytest.mark.parametrize(
    ("kinds", "times"),
    [
        (("command_answered",), 1),
        (("command_answered",), 3),
        (("session_started",), 2),
        (("command_answered", "session_started"), 4),
    ],
    ids=["its commit fails", "three times", "the account starts twice", "its commit and the starts behind it fail"],
)
def test_a_halt_whose_commit_failed_is_given_again_until_it_is_obeyed(
    verb: str, kinds: tuple[str, ...], times: int
) -> None:
    async def work() -> tuple[House, Box]:
        house = House(TICKS, [ACCOUNT, OTHER])
        box, orderly = attended(house, Wish("c1", verb))
        refuse_first(house, *kinds, times=times)
        await supervised(house, orderly)
        return house, box

    house, box = in_virtual_time(work)
    assert mode_of(house, ACCOUNT) is mode_of(house, OTHER) is Mode.HALTED
    for account in (ACCOUNT, OTHER):
        assert [one.body["command_id"] for one in house.journal.of(account, "command_answered")] == ["c1"]
    assert sorted(one[:3] for one in box.said) == [("c1", "main", True), ("c1", "second", True)]


@pytest.mark.parametrize("wait_s", [0, 30], ids=["it is down", "it is back"])
def test_a_command_for_an_account_that_went_down_behind_the_look_is_given_to_its_next_life(wait_s: int) -> None:
    async def work() -> tuple[House, Box]:
        house = House(TICKS, [ACCOUNT, OTHER])
        box, orderly = attended(house, Wish("c1", "halt", OTHER))
        runner = house.runners[OTHER]
        first = iter([True])

        async def between() -> None:
            if next(first, False):
                runner._go_down("something broke between the two")
                await house.timeline.until(house.timeline.now_ns() + wait_s * SECOND_NS)

        await supervised(house, orderly, between)
        return house, box

    house, box = in_virtual_time(work)
    assert mode_of(house, OTHER) is Mode.HALTED
    assert house.runners[OTHER].lives == 2
    assert [one.body["command_id"] for one in house.journal.of(OTHER, "command_answered")] == ["c1"]
    assert [one[:3] for one in box.said] == [("c1", "second", True)]


def test_an_answer_that_is_durable_is_mirrored_although_its_life_ended_and_is_not_obeyed_twice() -> None:
    async def work() -> tuple[House, Box]:
        house = House(TICKS, [ACCOUNT, OTHER])
        box, orderly = attended(house, Wish("c1", "reduce_only", OTHER))
        runner = house.runners[OTHER]
        written = house.journal.commit

        def commit(commits: Sequence[tuple[AccountKey, Commit]]) -> None:
            written(commits)
            if any(account == OTHER and has(one, "command_answered") for account, one in commits):
                runner._go_down("it went down while the ledger wrote")

        house.journal.commit = commit
        await supervised(house, orderly)
        return house, box

    house, box = in_virtual_time(work)
    assert mode_of(house, OTHER) is Mode.REDUCE_ONLY
    assert house.runners[OTHER].lives == 2
    assert [one.body["command_id"] for one in house.journal.of(OTHER, "command_answered")] == ["c1"]
    assert [one[:3] for one in box.said] == [("c1", "second", True)]


def test_a_command_that_was_given_to_an_account_which_ended_is_answered() -> None:
    async def work() -> Box:
        house = House(TICKS, [ACCOUNT, OTHER])
        box, orderly = attended(house, Wish("c1", "halt", OTHER))

        def refuse(account: AccountKey, commit: Commit) -> Exception | None:
            return Fenced("overtaken by them") if account == OTHER and has(commit, "command_answered") else None

        house.journal.refuse = refuse
        await supervised(house, orderly)
        return box

    (said,) = in_virtual_time(work).said
    assert said[:3] == ("c1", "second", False)
    assert "overtaken by them" in said[3]


def test_an_account_whose_answers_cannot_be_read_keeps_no_other_waiting() -> None:
    async def work() -> tuple[House, Box]:
        house = House(TICKS, [ACCOUNT, OTHER])
        box = Box(Wish("c1", "halt"))
        broken = iter(range(20))

        def read(account: AccountKey) -> Mapping[str, Answer]:
            if account == OTHER and next(broken, None) is not None:
                assert ("c1", "second", True) not in [one[:3] for one in box.said]
                raise JournalError("the ledger cannot be read")
            return answered(house, account)

        orderly = Orderly(box, house.runners, read, lambda: 10)
        house.told.answered = orderly.answered
        await supervised(house, orderly)
        return house, box

    house, box = in_virtual_time(work)
    assert [one[:3] for one in box.said] == [("c1", "main", True), ("c1", "second", True)]
    assert mode_of(house, OTHER) is Mode.HALTED


# ---- The restriction behind an error of our own ----


class BrokenError(Exception):
    """A bug of ours."""


@pytest.mark.parametrize("kinds", [("session_started",), ("command_answered",)], ids=["start", "restriction"])
def test_an_error_of_our_own_restricts_the_account_however_often_its_commits_fail(kinds: tuple[str, ...]) -> None:
    async def work() -> House:
        house = House(TICKS, [ACCOUNT, OTHER])
        make, bug = house.reborn, iter([True])

        def reborn(key: AccountKey) -> Any:
            trader = make(key)
            handle = trader.handle

            def handled(event: Event) -> Any:
                is_due = key == OTHER and house.timeline.now_ns() > ORIGIN_NS + 120 * MINUTE_NS
                if is_due and not isinstance(event, Started) and next(bug, False):
                    refuse_first(house, *kinds, times=2)
                    raise BrokenError("a planted bug")
                return handle(event)

            trader.handle = handled
            return trader

        house.reborn = reborn
        await house.supervisor().run()
        return house

    house = in_virtual_time(work)
    assert house.runners[OTHER].life is Life.STOPPED
    assert mode_of(house, OTHER) is Mode.REDUCE_ONLY
    assert [one.body["verb"] for one in house.journal.of(OTHER, "command_answered")] == ["reduce_only"]


def test_an_answer_to_a_command_of_the_process_before_is_mirrored_and_the_command_not_given_again() -> None:
    """A cancel waits for its order in the trader's state: its answer may come before this inbox gives it again."""

    async def work() -> None:
        house = House(TICKS.after(0, ORIGIN_NS + 3 * MINUTE_NS), [ACCOUNT])
        box, orderly = attended(house, Wish("c1", "pause"))
        await house.runners[ACCOUNT].start()
        ((runner, command),) = orderly.look()
        orderly.answered(ACCOUNT, Answer("c1", True, "order O-1 has ended"))
        orderly.give(runner, command)
        await runner.idle()
        assert orderly.look() == []
        assert box.said == [("c1", "main", True, "order O-1 has ended")]
        assert house.journal.of(ACCOUNT, "command_answered") == []

    in_virtual_time(work)


@pytest.mark.parametrize("kind", ["command_taken", "cancel_asked", "order_closed", "nothing"])
def test_a_cancel_of_one_order_is_taken_and_answered_once_whichever_commit_fails(kind: str) -> None:
    async def work() -> tuple[House, Box, str]:
        house = House(TICKS, [ACCOUNT, OTHER])
        box, orderly = attended(house)
        look = orderly.look

        def looked() -> Any:
            name = resting(house) if not box.wishes else ""
            if name:
                box.wishes.append(Wish("c1", "cancel", OTHER, arguments={"order": name}))
                refuse_first(house, kind)
            return look()

        orderly.look = looked
        await supervised(house, orderly, minutes=30)
        return house, box, box.wishes[0].arguments["order"]

    house, box, name = in_virtual_time(work)
    taken, answered_ = (house.journal.of(OTHER, each) for each in ("command_taken", "command_answered"))
    assert [one.body["command_id"] for one in answered_] == ["c1"]
    assert house.runners[OTHER].lives == (1 if kind == "nothing" else 2)
    (closed,) = [one.body for one in house.journal.of(OTHER, "order_closed") if one.body["client_order_id"] == name]
    # Where the order ended before the account was back, there was nothing to be taken any more.
    assert len(taken) == 1 or kind in ("command_taken", "cancel_asked")
    assert [one[:3] for one in box.said] == [("c1", "second", bool(taken) and closed["status"] != "FILLED")]
    assert f"order {name} has ended: {closed['status']}" in box.said[0][3]


def resting(house: House) -> str:
    trader = house.runners[OTHER].trader
    orders = trader.desk.orders.items() if trader is not None else ()
    return next((name for name, one in orders if one.request.role is Role.ENTRY and one.is_live), "")
