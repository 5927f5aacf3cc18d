import pytest

from novapulse.core.messages import QuoteSeen
from novapulse.core.records import Reason
from novapulse.simulation.world import Timeline
from tests.engine.harness import ORIGIN_NS, SECOND_NS, MemoryJournal, noisy_ticks, trader_of, world_of
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


def test_a_feed_without_quotes_is_not_held_up_by_them() -> None:
    journal = played(set(), has_quotes=False)
    assert len(entries(journal)) > 10
    assert blocked_bars(journal) == 0


@pytest.mark.parametrize("silent", [range(120, 150), range(0)], ids=["they stop for half an hour", "they come"])
def test_quotes_that_come_let_entries_through_and_those_that_stop_block_them(silent: range) -> None:
    minutes = entries(played(set(range(200)) - set(silent), has_quotes=True))
    # The usual spread of an instrument is known after twenty quotes.
    assert min(minutes) > 20
    assert [minute for minute in minutes if minute > 151]
    assert any(121 <= minute <= 150 for minute in minutes) is not bool(silent)
