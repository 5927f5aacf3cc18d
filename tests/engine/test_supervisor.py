from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest

from novapulse.core.instruments import AccountKey, InstrumentKey
from novapulse.core.messages import ReadSnapshot, Snapshot
from novapulse.core.ports import Fenced, Unavailable, Unwritable
from novapulse.core.records import Mode
from novapulse.engine.backoff import Backoff
from novapulse.engine.feed import Feed, FeedEndedError, Listener, RecordedSignals
from novapulse.engine.gather import Arrival, Gather
from novapulse.engine.lease_keeper import LeaseKeeper
from novapulse.engine.life import Life
from novapulse.engine.report import health_of, summary_of
from novapulse.engine.supervisor import Chore, Supervisor
from novapulse.ops.health import AccountHealth
from tests.engine.harness import ACCOUNT, ORIGIN_NS, SECOND_NS, noisy_ticks
from tests.engine.shell import PATIENT, House, Leases, in_virtual_time, mode_of, trips

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


def test_waits_grow_to_their_most_and_differ_by_name() -> None:
    waits = Backoff(1.0, 60.0, "a feed")
    said = [waits.next_s() for _ in range(12)]
    assert all(most / 2 <= wait <= most for wait, most in zip(said, [1, 2, 4, 8, 16, 32, *[60] * 6], strict=True))
    assert [Backoff(1.0, 60.0, "a feed").next_s(), Backoff(1.0, 60.0, "another").next_s()] != [said[0]] * 2
    waits.succeeded()
    assert waits.next_s() == said[0]


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


def test_bars_that_a_paper_venue_could_not_play_are_played_later_in_their_order() -> None:
    async def work() -> House:
        house = House(TICKS, [ACCOUNT, OTHER])
        venue, play = house.venues[OTHER], house.venues[OTHER].play
        first, last = ORIGIN_NS + 50 * MINUTE_NS, ORIGIN_NS + 55 * MINUTE_NS

        def played(bars: Any, now_ns: int) -> int:
            if first <= now_ns <= last:
                raise Unavailable("paper.db: disk is full")
            return play(bars, now_ns)

        venue.play = played
        await house.supervisor().run()
        return house

    house = in_virtual_time(work)
    slots = house.venues[OTHER].exchange.slots.values()
    assert {slot.last_close_ns for slot in slots} == {int(TICKS.ts_close_ns[-1])}
    decided = [one.body["ts_close_ns"] for one in house.journal.of(OTHER, "decision_taken")]
    assert not [one for one in decided if ORIGIN_NS + 50 * MINUTE_NS <= one <= ORIGIN_NS + 55 * MINUTE_NS]
    assert decided


# ---- Bars that decide nothing ----


@dataclass
class Script:
    """A source that says what it is told to, moment by moment."""

    house: House
    arrivals: list[Arrival]
    heartbeat_ns: int = MINUTE_NS
    has_quotes: bool = False

    @property
    def due_ns(self) -> int | None:
        return self.arrivals[0].ts_ns if self.arrivals else None

    async def next(self, until_ns: int | None) -> Sequence[Arrival]:
        if not self.arrivals:
            raise FeedEndedError
        first = self.arrivals[0]
        if until_ns is not None and until_ns < first.ts_ns:
            await self.house.timeline.until(until_ns)
            return ()
        await self.house.timeline.until(first.ts_ns)
        return [self.arrivals.pop(0)]

    def expected(self, ts_close_ns: int) -> frozenset[InstrumentKey] | None:
        return None


def script(ticks: Any, upset: bool) -> list[Arrival]:
    """Every bar a little after its close; where it is upset, some come twice, late, crossed or out of order as well."""
    arrivals: list[Arrival] = []
    for row in range(len(ticks)):
        stamp = int(ticks.ts_close_ns[row])
        for column, key in enumerate(ticks.keys):
            arrivals.append(Arrival(stamp + SECOND_NS // 10, key, ticks.bars[row, column], stamp // MINUTE_NS))
        if upset and row % 10 == 5:
            same = arrivals[-1]
            crossed = ticks.bars[row, 0].copy()
            crossed["high"], crossed["ts_close_ns"] = crossed["low"] / 2, stamp + MINUTE_NS
            old = Arrival(stamp + SECOND_NS, ticks.keys[0], ticks.bars[row - 3, 0], 0)
            arrivals += [
                Arrival(stamp + SECOND_NS // 2, same.instrument, same.bar, same.number),
                old,
                Arrival(stamp + 59 * SECOND_NS, ticks.keys[0], crossed, 0),
            ]
    return arrivals


def test_a_feed_with_bad_bars_decides_what_a_clean_one_decides_and_names_each_of_them() -> None:
    async def work(upset: bool) -> House:
        house = House(TICKS, [ACCOUNT])
        supervisor = house.supervisor()
        (feed,) = supervisor.feeds
        source = Script(house, script(TICKS, upset))
        gather = Gather(TICKS.keys, 2 * SECOND_NS)
        own = Feed("kraken", source, gather, feed.listeners, house.timeline)
        supervisor.feeds = (own,)
        await supervisor.run()
        return house

    clean, upset = in_virtual_time(lambda: work(False)), in_virtual_time(lambda: work(True))
    assert trips(upset.journal.of(ACCOUNT)) == trips(clean.journal.of(ACCOUNT)) != []
    late = upset.journal.of(ACCOUNT, "bar_late")
    names = [one.body["problem"].partition(":")[0] for one in late]
    assert names == ["duplicate", "duplicate", "impossible"] * 20
    assert not clean.journal.of(ACCOUNT, "bar_late")


def test_a_bar_that_does_not_come_leaves_its_instrument_undecided_and_the_others_not() -> None:
    async def work() -> House:
        house = House(TICKS, [ACCOUNT])
        supervisor = house.supervisor()
        missing = ORIGIN_NS + 60 * MINUTE_NS
        arrivals = [
            one
            for one in script(TICKS, False)
            if not (int(one.bar["ts_close_ns"]) == missing and one.instrument.symbol == "BTC/USD")
        ]
        (feed,) = supervisor.feeds
        own = Feed("kraken", Script(house, arrivals), Gather(TICKS.keys, 2 * SECOND_NS), feed.listeners, house.timeline)
        supervisor.feeds = (own,)
        await supervisor.run()
        assert own.closes == len(TICKS)
        return house

    house = in_virtual_time(work)
    at_it = [one for one in house.journal.of(ACCOUNT) if one.body.get("ts_close_ns") == ORIGIN_NS + 60 * MINUTE_NS]
    assert all(one.body["instrument"][1] != "BTC/USD" for one in at_it)


# ---- A feed that says nothing ----


class Mute(Script):
    """A source that should speak every minute and does not for ten of them: it waits, hangs up, or never answers."""

    how: str = "waits"

    @property
    def due_ns(self) -> int | None:
        return int(self.arrivals[0].bar["ts_close_ns"]) if self.arrivals else None

    async def next(self, until_ns: int | None) -> Sequence[Arrival]:
        first_ns, now_ns = ORIGIN_NS + 50 * MINUTE_NS, self.house.timeline.now_ns()
        if first_ns <= now_ns < first_ns + 10 * MINUTE_NS:
            if self.how == "hangs up":
                raise Unavailable("nobody there")
            end_ns = first_ns + 10 * MINUTE_NS
            await self.house.timeline.until(end_ns if until_ns is None or self.how == "hangs" else until_ns)
            return ()
        return await super().next(until_ns)


@pytest.mark.parametrize("how", ["waits", "hangs up", "hangs"])
def test_a_feed_that_falls_silent_pauses_its_accounts_until_it_speaks_again(how: str) -> None:
    async def work(is_mute: bool) -> House:
        house = House(TICKS, [ACCOUNT, OTHER])
        supervisor = house.supervisor()
        (feed,) = supervisor.feeds
        source: Script = Mute(house, script(TICKS, False)) if is_mute else Script(house, script(TICKS, False))
        if isinstance(source, Mute):
            source.how = how
        one, other = feed.listeners
        of_other = Feed("elsewhere", source, Gather(TICKS.keys, 2 * SECOND_NS), [other], house.timeline)
        feed.listeners = (one,)
        supervisor.feeds = (feed, of_other)
        house.timeline.at(ORIGIN_NS + 55 * MINUTE_NS, lambda: seen.append(health_of(house.runners[OTHER], 0)))
        await supervisor.run()
        return house

    seen: list[AccountHealth] = []
    house, wanted = in_virtual_time(lambda: work(True)), in_virtual_time(lambda: work(False))
    assert seen[0].reasons[0].startswith("the silence of the feed is ")
    assert (seen[0].mode, seen[1].healthy) == (Mode.PAUSED, True)
    trips_of = house.journal.of(OTHER, "breaker_tripped", "breaker_cleared")
    told = [(one.kind, (one.ts_ns - ORIGIN_NS) // MINUTE_NS) for one in trips_of if one.body["name"] == "feed_silent"]
    assert [kind for kind, _ in told] == ["breaker_tripped", "breaker_cleared"]
    assert told[0][1] == 52
    assert 60 <= told[1][1] <= 61
    assert house.journal.of(ACCOUNT) == wanted.journal.of(ACCOUNT)


def test_a_closed_market_and_the_end_of_a_recording_are_no_silence() -> None:
    stamps, bars = TICKS.ts_close_ns.copy(), TICKS.bars.copy()
    stamps[100:] += 3 * 24 * 60 * MINUTE_NS
    bars["ts_close_ns"] = stamps[:, None]

    async def work() -> House:
        house = House(replace(TICKS, ts_close_ns=stamps, bars=bars), [ACCOUNT])
        supervisor = house.supervisor()
        (feed,) = supervisor.feeds
        house.timeline.at(int(stamps[99]) + 24 * 60 * MINUTE_NS, lambda: quiet.append(feed.silence))
        await supervisor.run()
        await house.timeline.until(int(stamps[-1]) + 60 * MINUTE_NS)
        quiet.append(feed.silence)
        return house

    quiet: list[float] = []
    house = in_virtual_time(work)
    assert quiet == [0.0, 0.0]
    assert "feed_silent" not in [one.body["name"] for one in house.journal.of(ACCOUNT, "breaker_tripped")]


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


# ---- Leases ----


def test_an_account_that_another_process_has_is_not_taken_and_the_others_are_given_back() -> None:
    book = Leases()
    book.held[OTHER] = "process 7 on pi"
    keeper = LeaseKeeper(book, "we", "here", 30 * SECOND_NS, lambda: 0)
    with pytest.raises(Fenced, match="second at kraken is traded by process 7 on pi"):
        keeper.take([ACCOUNT, OTHER])
    assert book.held == {OTHER: "process 7 on pi"}
    assert keeper.every_s == 10


def test_an_account_that_was_overtaken_is_named_and_the_rest_are_renewed() -> None:
    book = Leases()
    keeper = LeaseKeeper(book, "we", "here", 30 * SECOND_NS, lambda: 0)
    keeper.take([ACCOUNT, OTHER])
    del book.held[OTHER]
    assert keeper.renew() == {OTHER: "second at kraken was overtaken"}
    assert keeper.renew() == {}
    assert keeper.release()
    assert book.held == {}


# ---- What it says of itself ----


def test_the_report_says_where_an_account_stands() -> None:
    async def work() -> dict[str, Any]:
        house = House(TICKS, [ACCOUNT])
        before = health_of(house.runners[ACCOUNT], house.timeline.now_ns())
        assert (before.healthy, before.reasons) == (False, ("it has not started yet",))
        await house.supervisor().run()
        return summary_of(house.runners[ACCOUNT], house.timeline.now_ns())

    said = in_virtual_time(work)
    assert (said["exchange"], said["account_id"], said["mode"], said["healthy"]) == ("kraken", "main", "normal", True)
    assert said["round_trips"] == said["round_trips_ever"] > 5
    assert float(said["equity"]) == pytest.approx(10_000, rel=0.1)
    assert said["fills"] >= 2 * said["round_trips"]


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


@pytest.mark.parametrize("part", ["play", "signals", "note"])
def test_an_account_that_cannot_be_told_a_close_keeps_no_other_from_it(part: str) -> None:
    async def work(*accounts: AccountKey) -> House:
        house = House(TICKS, list(accounts))
        supervisor = house.supervisor()
        (feed,) = supervisor.feeds
        for listener in feed.listeners:
            if listener.runner.key == OTHER:
                break_part(house, listener, part)
        await supervisor.run()
        assert not [name for name in supervisor._tasks if "feed" in name and not supervisor._tasks[name].done()]
        return house

    house, wanted = in_virtual_time(lambda: work(OTHER, ACCOUNT)), in_virtual_time(lambda: work(ACCOUNT))
    assert house.journal.of(ACCOUNT) == wanted.journal.of(ACCOUNT)
    alerts = [one.body for one in house.journal.of(OTHER, "alert_raised") if one.body["key"].startswith("task:")]
    assert [one["key"] for one in alerts] == ["task:the paper venue" if part == "play" else "task:the feed"]
    assert "a planted bug" in alerts[0]["text"]
    missed = [one.body["ts_close_ns"] for one in house.journal.of(OTHER, "decision_taken")]
    assert [one for one in missed if one > BAD_NS[1]]


def break_part(house: House, listener: Listener, part: str) -> None:
    """Let something of one account raise what nobody expects, for five minutes."""

    def broken(whole: Any) -> Any:
        def call(*given: Any) -> Any:
            if BAD_NS[0] <= house.timeline.now_ns() <= BAD_NS[1]:
                raise RuntimeError("a planted bug")
            return whole(*given)

        return call

    if part == "play":
        listener.play = broken(listener.play)
    elif part == "note":
        listener.note = broken(lambda row: None)
    else:
        own = RecordedSignals(TICKS, ())
        own.at = broken(own.at)
        listener.signals = own
