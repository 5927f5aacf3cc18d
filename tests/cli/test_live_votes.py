"""Votes for the health document: of the very bar of the consensus, once per bar, never at the price of the document."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from novapulse.cli import live_votes
from novapulse.cli.live_votes import EARLIER_MAX, LastVotes
from novapulse.core.instruments import AccountKey, InstrumentKey
from novapulse.core.records import SIGNAL, Mode
from novapulse.engine.votes import Vote
from novapulse.ops.health import AccountHealth


class Signals:
    """Signals of two instruments that say of which bars a window was asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, int]] = []

    def window(self, key: InstrumentKey, ts_close_ns: int, earlier: int = 0) -> Any:
        self.asked.append((key.symbol, ts_close_ns))
        stamps = np.arange(ts_close_ns - earlier, ts_close_ns + 1)
        return None if key.symbol == "GONE/USD" else SimpleNamespace(bars=SimpleNamespace(ts_close_ns=stamps))

    def between(self, key: InstrumentKey, after_ns: int, before_ns: int) -> Any:
        stamps = np.arange(after_ns + 1, before_ns)
        said = np.zeros(len(stamps), SIGNAL)
        said["warm"], said["regime"], said["consensus"] = 1, 2, stamps / 10
        return stamps, said


def told(account_id: str, ts_close_ns: int, symbols: tuple[str, ...] = ("BTC/USD",), warm: bool = True) -> Any:
    signals = {symbol: {"ts_close_ns": ts_close_ns, "regime": 1, "warm": warm} for symbol in symbols}
    return AccountHealth("kraken", account_id, Mode.NORMAL, more={"signals": signals})


@pytest.fixture
def signals() -> Signals:
    return Signals()


@pytest.fixture
def votes(signals: Signals, monkeypatch: pytest.MonkeyPatch) -> LastVotes:
    def votes_on(window: Any, key: InstrumentKey, regime: int) -> dict[str, Vote]:
        return {"trend": Vote(float(window.bars.ts_close_ns[-1]), 0.25)}

    def forecasts_on(window: Any, key: InstrumentKey, last: int) -> dict[str, list[float]]:
        return {"trend": window.bars.ts_close_ns[-last:].astype(float).tolist()}

    monkeypatch.setattr(live_votes, "forecasts_on", forecasts_on)
    monkeypatch.setattr(live_votes, "votes_on", votes_on)
    listeners = [
        SimpleNamespace(runner=SimpleNamespace(key=AccountKey("kraken", name)), signals=signals) for name in ("a", "b")
    ]
    feeds: Any = [SimpleNamespace(listeners=listeners)]
    return LastVotes(feeds)


def of(account: AccountHealth, symbol: str = "BTC/USD") -> Any:
    return account.more["signals"][symbol].get("votes")


def test_a_bar_is_judged_once_for_all_accounts_and_beats(votes: LastVotes, signals: Signals) -> None:
    for _ in range(2):
        accounts = [told("a", 7), told("b", 7)]
        votes.asked(accounts)()
        assert [of(one) for one in accounts] == [{"trend": {"forecast": 7.0, "weight": 0.25}}] * 2
    assert set(signals.asked) == {("BTC/USD", 7)}
    later = [told("a", 8), told("b", 7)]
    votes.asked(later)()
    assert of(later[0]) == {"trend": {"forecast": 8.0, "weight": 0.25}}


def test_who_reads_every_second_document_misses_no_close(votes: LastVotes) -> None:
    """A bug: of ten closes a second one was told, and the lanes stayed empty for good."""
    told_at: list[list[int]] = []
    for ts_close_ns in (100, 103, 104, 110, 110):
        accounts = [told("a", ts_close_ns), told("b", ts_close_ns)]
        votes.asked(accounts)()
        first, second = (one.more["signals"]["BTC/USD"].get("earlier", {}) for one in accounts)
        assert first == second
        told_at.append(first.get("ts_close_ns", []))
        assert [float(ts_ns) for ts_ns in told_at[-1]] == first.get("forecasts", {}).get("trend", [])
        assert first.get("consensus", []) == [ts_ns / 10 for ts_ns in told_at[-1]]
    assert told_at == [[], [101, 102], [101, 102, 103], [*range(104, 110)], [*range(104, 110)]]
    late = told("a", 1000)
    votes.asked([late])()
    assert late.more["signals"]["BTC/USD"]["earlier"]["ts_close_ns"] == [*range(1000 - EARLIER_MAX, 1000)]


def test_votes_of_another_bar_are_never_told_beside_a_consensus(votes: LastVotes) -> None:
    votes.asked([told("a", 7)])()
    assert of_after(votes, told("a", 9, ("BTC/USD", "GONE/USD")), "GONE/USD") is None


def of_after(votes: LastVotes, account: AccountHealth, symbol: str) -> Any:
    votes.asked([account])()
    return of(account, symbol)


def test_what_is_not_warm_or_not_run_is_not_asked_for(votes: LastVotes, signals: Signals) -> None:
    assert of_after(votes, told("a", 7, warm=False), "BTC/USD") is None
    assert of_after(votes, told("nobody", 7), "BTC/USD") is None
    votes.asked([AccountHealth("kraken", "a", Mode.HALTED)])()
    assert signals.asked == []


def test_a_document_does_not_wait_for_more_votes_than_its_budget(
    votes: LastVotes, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = iter(float(second) for second in range(100))
    monkeypatch.setattr(live_votes.time, "monotonic", lambda: next(now_s))
    symbols = ("A/USD", "B/USD")
    first = told("a", 7, symbols)
    votes.asked([first])()
    assert [of(first, symbol) for symbol in symbols] == [None, None]
    monkeypatch.setattr(live_votes.time, "monotonic", lambda: 0.0)
    second = told("a", 7, symbols)
    votes.asked([second])()
    assert all(of(second, symbol) for symbol in symbols)


def test_a_strategy_that_raises_costs_its_votes_and_not_the_document(
    votes: LastVotes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(*_: Any) -> dict[str, Vote]:
        raise ValueError("a strategy of one's own")

    monkeypatch.setattr(live_votes, "votes_on", wrong)
    account = told("a", 7)
    votes.asked([account])()
    assert of(account) is None
