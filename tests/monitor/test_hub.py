"""One thread for all who listen, none for nobody; slow listeners lose the oldest; nothing ends it but leaving."""

import queue
import threading
from pathlib import Path

import pytest

from novapulse.monitor import hub_of
from novapulse.monitor.home import Home
from novapulse.monitor.hub import QUEUE_MAX, Hub, Readings, _put
from novapulse.monitor.state import LedgerHealth, Life, Overview
from tests.monitor.conftest import beat

PATIENCE_S = 30


def threads(home: Path) -> list[threading.Thread]:
    return [one for one in threading.enumerate() if one.name == f"monitor of {home}"]


def until(readings: Readings, wanted: str) -> Overview:
    """Return the first reading that says so; the queue is empty before it only if none ever comes."""
    while True:
        found = readings.get(timeout=PATIENCE_S)
        if wanted in (found.ledger.value, found.trader.life.value):
            return found


def test_one_thread_serves_all_and_ends_with_the_last(paper_home: Path) -> None:
    hub = hub_of(paper_home)
    assert hub_of(paper_home) is hub
    assert hub_of(paper_home.parent) is not hub
    assert hub.now().ledger is LedgerHealth.OK
    assert threads(paper_home) == []
    with hub.subscribed() as one:
        with hub.subscribed() as other:
            first = one.get(timeout=PATIENCE_S)
            assert other.get(timeout=PATIENCE_S).accounts == first.accounts
            assert one.get(timeout=PATIENCE_S).as_of_ns > first.as_of_ns
            assert other.get(timeout=PATIENCE_S).head_seq == first.head_seq
            assert len(threads(paper_home)) == 1
            assert hub.listeners == 2
        assert len(threads(paper_home)) == 1
        assert one.get(timeout=PATIENCE_S).ledger is LedgerHealth.OK
    assert threads(paper_home) == []
    with hub.subscribed() as again:
        assert again.get(timeout=PATIENCE_S).ledger is LedgerHealth.OK
    assert threads(paper_home) == []


def test_a_death_and_a_lost_ledger_reach_who_listens_and_so_does_the_end_of_both(paper_home: Path) -> None:
    beat(paper_home, 2.5)
    with Hub(paper_home).subscribed() as readings:
        assert until(readings, Life.RUNNING).accounts[0].healthy
        silent = until(readings, Life.SILENT)
        assert silent.accounts[0].equity is not None
        assert not silent.accounts[0].healthy
        (paper_home / "ledger.db").rename(paper_home / "aside.db")
        lost = until(readings, LedgerHealth.MISSING)
        assert [one.equity for one in lost.accounts] == [one.equity for one in silent.accounts]
        assert not any(one.proven for one in lost.accounts)
        (paper_home / "aside.db").rename(paper_home / "ledger.db")
        assert all(one.proven for one in until(readings, LedgerHealth.OK).accounts)


def test_a_slow_listener_loses_the_oldest_readings(paper_home: Path) -> None:
    reading = Home(paper_home)
    mine: Readings = queue.Queue(QUEUE_MAX)
    made = [reading.look() for _ in range(QUEUE_MAX + 10)]
    reading.close()
    for one in made:
        _put(mine, one)
    assert [mine.get_nowait() for _ in range(QUEUE_MAX)] == made[10:]
    assert mine.empty()


def test_a_bug_of_ours_is_told_and_does_not_end_the_thread(paper_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    beat(paper_home)
    look = Home.look

    def fails(_: Home) -> Overview:
        raise ZeroDivisionError("planted")

    with Hub(paper_home).subscribed() as readings:
        before = until(readings, LedgerHealth.OK)
        monkeypatch.setattr(Home, "look", fails)
        told = until(readings, LedgerHealth.UNREACHABLE)
        assert "the monitor itself failed: ZeroDivisionError: planted" in told.ledger_problem
        assert not any(one.proven or one.healthy for one in told.accounts)
        assert [one.equity for one in told.accounts] == [one.equity for one in before.accounts]
        monkeypatch.setattr(Home, "look", look)
        assert all(one.proven for one in until(readings, LedgerHealth.OK).accounts)
