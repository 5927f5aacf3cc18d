"""Votes for the health document: of the very bar of the consensus, once per bar, never at the price of the document."""

from types import SimpleNamespace
from typing import Any

import pytest

from novapulse.cli import live_votes
from novapulse.cli.live_votes import LastVotes
from novapulse.core.instruments import AccountKey, InstrumentKey
from novapulse.core.records import Mode
from novapulse.engine.votes import Vote
from novapulse.ops.health import AccountHealth


class Signals:
    """Signals of two instruments that say of which bars a window was asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, int]] = []

    def window(self, key: InstrumentKey, ts_close_ns: int) -> Any:
        self.asked.append((key.symbol, ts_close_ns))
        return None if key.symbol == "GONE/USD" else ts_close_ns


def told(account_id: str, ts_close_ns: int, symbols: tuple[str, ...] = ("BTC/USD",), warm: bool = True) -> Any:
    signals = {symbol: {"ts_close_ns": ts_close_ns, "regime": 1, "warm": warm} for symbol in symbols}
    return AccountHealth("kraken", account_id, Mode.NORMAL, more={"signals": signals})


@pytest.fixture
def signals() -> Signals:
    return Signals()


@pytest.fixture
def votes(signals: Signals, monkeypatch: pytest.MonkeyPatch) -> LastVotes:
    def votes_on(window: int, key: InstrumentKey, regime: int) -> dict[str, Vote]:
        return {"trend": Vote(float(window), 0.25)}

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
