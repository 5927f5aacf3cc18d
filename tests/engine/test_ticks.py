import json

import pytest

from novapulse.core.messages import Alert, QuoteSeen, Submit
from novapulse.core.records import Reason
from novapulse.engine.configuration import parsed
from novapulse.engine.opening import new_trader
from novapulse.simulation.world import Timeline
from tests.engine.harness import ORIGIN_NS, SECOND_NS, MemoryJournal, noisy_ticks, trader_of, world_of
from tests.engine.scene import Scene
from tests.engine.shell import PATIENT

MINUTE_NS = 60 * SECOND_NS
TICKS = noisy_ticks(bars=200)


def played(quoted: set[int], *, has_quotes: bool) -> MemoryJournal:
    """Play a market; in some minutes, quotes of both instruments come a second before the close."""
    trader = trader_of(trader=PATIENT, has_quotes=has_quotes)
    world, node, journal = world_of(trader)
    world.start(node)

    def quote(row: int) -> None:
        for column, key in enumerate(TICKS.keys):
            price = float(TICKS.bars[row, column]["close"])
            world.deliver(node, QuoteSeen(world.now(node), key, price * 0.9999, price * 1.0001))

    timeline = world.timeline
    assert isinstance(timeline, Timeline)
    for row in sorted(quoted):
        timeline.at(int(TICKS.ts_close_ns[row]) - SECOND_NS, lambda row=row: quote(row))
    world.play(node, TICKS)
    timeline.run(int(TICKS.ts_close_ns[-1]) + SECOND_NS)
    return journal


def entries(journal: MemoryJournal) -> list[int]:
    """Return the minutes of the closes at which something was entered."""
    taken = [record.body for record in journal.records("decision_taken") if record.body["verb"] == "ENTER"]
    return sorted({(body["ts_close_ns"] - ORIGIN_NS) // MINUTE_NS for body in taken})


def blocked_bars(journal: MemoryJournal) -> int:
    runs = [run for _, commit in journal.commits for run in commit.holds]
    return sum(run.bars for run in runs if run.reason == Reason.SPREAD_UNKNOWN)


def test_where_quotes_should_come_and_do_not_nothing_is_entered() -> None:
    journal = played(set(), has_quotes=True)
    assert entries(journal) == []
    assert blocked_bars(journal) > 0
    tripped = [record.body for record in journal.records("breaker_tripped") if record.body["name"] == "spread"]
    assert len(tripped) == len(TICKS.keys), "it is said once for each instrument"


def spread_breaker(journal: MemoryJournal) -> list[str]:
    kinds = "breaker_tripped", "breaker_cleared", "alert_raised"
    bodies = [record.body for record in journal.records(*kinds)]
    return [body["text"] for body in bodies if "spread" in body["text"]]


def test_a_spread_that_is_not_known_yet_blocks_entries_and_alarms_nobody() -> None:
    journal = played(set(range(200)), has_quotes=True)
    assert blocked_bars(journal) > 0
    assert min(entries(journal)) > 20
    assert spread_breaker(journal) == []


def test_a_first_quote_that_comes_late_is_told_once_and_over_when_the_spread_is_known() -> None:
    journal = played(set(range(10, 200)), has_quotes=True)
    tripped = [record.body for record in journal.records("breaker_tripped") if record.body["name"] == "spread"]
    cleared = [record for record in journal.records("breaker_cleared") if record.body["name"] == "spread"]
    assert [body["text"] for body in tripped] == [f"the spread of {key} is unknown" for key in TICKS.keys]
    assert len(cleared) == len(tripped)
    assert min(record.ts_ns for record in cleared) > ORIGIN_NS + 30 * MINUTE_NS


def test_a_known_spread_that_goes_stale_or_is_too_wide_alarms() -> None:
    scene = Scene(has_quotes=True)
    key = scene.desk.instruments[0].key

    def quote(half: float) -> list[str]:
        scene.hear(QuoteSeen(scene.wait(1), key, 100.0 - half, 100.0 + half))
        return [alert.text for alert in scene.sent(Alert)]

    assert [quote(0.1) for _ in range(20)] == [[]] * 20
    assert scene.desk.breakers.blocks(key) is None
    assert quote(1.0) == ["the spread of BTC/USD on kraken is 10.1 medians, above 5 medians"]
    quote(0.1)
    assert scene.desk.breakers.blocks(key) is None
    scene.tick()
    assert [alert.text for alert in scene.sent(Alert)] == ["the spread of BTC/USD on kraken is unknown"]


@pytest.mark.parametrize("has_quotes", [False, True])
def test_a_crossed_quote_alarms_also_before_the_spread_is_known(has_quotes: bool) -> None:
    scene = Scene(has_quotes=has_quotes)
    key = scene.desk.instruments[0].key
    scene.hear(QuoteSeen(scene.wait(1), key, 100.0, 99.0))
    assert scene.desk.breakers.blocks(key) == "the spread of BTC/USD on kraken is unknown"
    assert scene.sent(Alert)
    scene.hear(QuoteSeen(scene.wait(1), key, 99.0, 100.0))
    assert scene.desk.breakers.blocks(key), "one good quote does not tell the usual spread"


def test_the_first_quotes_of_a_feed_that_was_to_have_none_block_entries_until_the_spread_is_known() -> None:
    scene = Scene(has_quotes=False)
    key = scene.desk.instruments[0].key
    scene.hear(QuoteSeen(scene.wait(1), key, 99.0, 100.0))
    scene.tick(12.0)
    assert not scene.sent(Submit)
    assert scene.desk.books.actions[0].reason == Reason.SPREAD_UNKNOWN
    assert not scene.sent(Alert)


def test_where_no_quotes_come_the_spread_that_a_simulated_venue_fills_by_is_known() -> None:
    journal = played(set(), has_quotes=False)
    assert len(entries(journal)) > 10
    assert blocked_bars(journal) == 0


def test_a_trader_of_whose_spread_nobody_said_anything_enters_nothing() -> None:
    """A bug: without quotes the spread restricted nothing, whatever the venue."""
    known = trader_of()
    one = known.desk.configured
    unsaid = new_trader(
        known.desk.key, one.instruments, one.decides, one.settings, one.breakers, one.timeframe_ns, one.scales
    )
    world, node, journal = world_of(unsaid)
    world.start(node)
    world.play(node, TICKS)
    world.timeline.run(int(TICKS.ts_close_ns[-1]) + SECOND_NS)
    assert entries(journal) == []
    assert blocked_bars(journal) > 0


@pytest.mark.parametrize(
    ("said", "is_known"), [({}, True), ({"has_quotes": False}, True), ({"has_quotes": True}, False)]
)
def test_what_a_session_of_before_ran_with_is_read_as_it_was(said: dict[str, bool], is_known: bool) -> None:
    values = json.loads(trader_of().desk.configured.text)
    del values["spread_by_model"]
    assert parsed(json.dumps({**values, **said})).spread_by_model is is_known


@pytest.mark.parametrize("silent", [range(120, 150), range(0)], ids=["they stop for half an hour", "they come"])
def test_quotes_that_come_let_entries_through_and_those_that_stop_block_them(silent: range) -> None:
    minutes = entries(played(set(range(200)) - set(silent), has_quotes=True))
    # The usual spread of an instrument is known after twenty quotes.
    assert min(minutes) > 20
    assert [minute for minute in minutes if minute > 151]
    assert any(121 <= minute <= 150 for minute in minutes) is not bool(silent)
