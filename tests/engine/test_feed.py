from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest

from novapulse.core.instruments import AccountKey, InstrumentKey
from novapulse.core.ports import Unavailable
from novapulse.core.records import Mode
from novapulse.engine.feed import Feed, FeedEndedError, Listener, RecordedSignals
from novapulse.engine.gather import Arrival, Gather
from novapulse.engine.report import health_of
from novapulse.ops.health import AccountHealth
from tests.engine.harness import ACCOUNT, ORIGIN_NS, SECOND_NS, noisy_ticks
from tests.engine.shell import House, in_virtual_time, trips

OTHER = AccountKey("kraken", "second")
MINUTE_NS = 60 * SECOND_NS
TICKS = noisy_ticks(bars=200)
BAD_NS = (ORIGIN_NS + 50 * MINUTE_NS, ORIGIN_NS + 55 * MINUTE_NS)


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


@pytest.mark.parametrize("how", ["crossed", "ahead"])
def test_a_feed_all_of_whose_bars_are_turned_down_is_silent(how: str) -> None:
    """A bug: whatever came counted as heard, and an account went on with its last close for hours, healthy."""
    first_ns, seen = ORIGIN_NS + 50 * MINUTE_NS, []

    def upset(one: Arrival) -> Arrival:
        if int(one.bar["ts_close_ns"]) < first_ns or one.ts_ns > first_ns + 30 * MINUTE_NS:
            return one
        bar = one.bar.copy()
        if how == "crossed":
            bar["high"] = bar["low"] / 2
        else:
            bar["ts_close_ns"] += 10 * MINUTE_NS
        return replace(one, bar=bar)

    async def work() -> House:
        house = House(TICKS, [ACCOUNT])
        supervisor = house.supervisor()
        (feed,) = supervisor.feeds
        source = Script(house, [upset(one) for one in script(TICKS, False)])
        own = Feed("kraken", source, Gather(TICKS.keys, 2 * SECOND_NS), feed.listeners, house.timeline)
        supervisor.feeds = (own,)
        for minute in (49, 60, 120):
            at_ns = ORIGIN_NS + minute * MINUTE_NS + 30 * SECOND_NS
            house.timeline.at(at_ns, lambda: seen.append(health_of(house.runners[ACCOUNT], house.timeline.now_ns())))
        await supervisor.run()
        return house

    house = in_virtual_time(work)
    before, meanwhile, after = seen
    assert before.healthy
    assert after.healthy
    assert meanwhile.mode is Mode.PAUSED
    assert meanwhile.reasons[0].startswith("the silence of the feed is ")
    told = [alert.text for _, alert in house.told.alerts if alert.key == "breaker:feed_silent"]
    assert len(told) == 2, told
