"""What is remembered of votes: of the last closes, each once, and never of two sets of strategies together."""

from dataclasses import replace
from pathlib import Path

from novapulse.monitor import Hub, Overview, read_home
from novapulse.monitor.rows import VoteState
from novapulse.monitor.voted import KEPT, Memory


def voted(reading: Overview, ts_ns: int, forecasts: dict[str, float] | None) -> Overview:
    """The reading with every instrument voted on at a moment."""
    accounts = tuple(
        replace(
            one,
            votes=tuple(
                replace(each, votes_ns=ts_ns, consensus=ts_ns / 1000, regime="range-low", forecasts=forecasts)
                for each in one.votes
            ),
        )
        for one in reading.accounts
    )
    return replace(reading, accounts=accounts)


def test_the_last_closes_are_remembered_each_once(left_home: Path) -> None:
    memory, reading = Memory(), read_home(left_home)
    for ts_ns in (*range(1, KEPT + 11), KEPT + 10):
        memory.note(voted(reading, ts_ns, {"trend": float(ts_ns), "momentum": -1.5}))
    found = memory.closes("kraken", "second", "BTC/USD")
    assert list(found) == list(range(11, KEPT + 11))
    assert found[20].forecasts == {"trend": 20.0, "momentum": -1.5}
    assert (found[20].consensus, found[20].regime) == (0.02, "range-low")
    assert memory.closes("kraken", "second", "ETH/USD") == {}


def test_votes_of_other_strategies_begin_anew_and_unknown_ones_are_not_kept(left_home: Path) -> None:
    memory, reading = Memory(), read_home(left_home)
    memory.note(voted(reading, 1, {"trend": 1.0}))
    memory.note(voted(reading, 2, None))
    assert list(memory.closes("kraken", "main", "ETH/USD")) == [1]
    memory.note(voted(reading, 3, {"own": 2.0}))
    assert {ts_ns: one.forecasts for ts_ns, one in memory.closes("kraken", "main", "ETH/USD").items()} == {
        3: {"own": 2.0}
    }


def test_closes_between_two_readings_are_remembered_with_the_later_one(left_home: Path) -> None:
    memory, reading = Memory(), read_home(left_home)
    memory.note(voted(reading, 1, {"trend": 1.0}))
    later = voted(reading, 5, {"trend": 5.0})
    before = (
        VoteState(1, "trend-low", -9.0, {"trend": -9.0}),
        VoteState(3, "trend-low", 0.5, {"trend": 3.0}),
        VoteState(4, "trend-low", 0.5, {"own": 3.0}),
    )
    votes = tuple(replace(one, votes_before=before) for one in later.accounts[0].votes)
    memory.note(replace(later, accounts=(replace(later.accounts[0], votes=votes),)))
    whose = later.accounts[0]
    found = memory.closes(whose.exchange, whose.account_id, votes[0].symbol)
    assert {ts_ns: (one.regime, one.forecasts) for ts_ns, one in found.items()} == {
        1: ("range-low", {"trend": 1.0}),
        3: ("trend-low", {"trend": 3.0}),
        5: ("range-low", {"trend": 5.0}),
    }


def test_a_hub_remembers_what_it_has_read(left_home: Path) -> None:
    hub = Hub(left_home)
    one = hub.now().account("kraken", "main").votes[0]
    (seen,) = hub.voted.closes("kraken", "main", one.symbol).items()
    assert (seen[0], seen[1].consensus, seen[1].forecasts) == (one.votes_ns, one.consensus, one.forecasts)
