"""Turns: what takes long is refused where it would pile up, and waits where it would crowd out a command."""

import threading

import pytest

from novapulse.server.lanes import BusyError, Turns


def test_who_comes_while_all_turns_are_taken_is_refused_at_once() -> None:
    turns = Turns("a proof", 1, 7)
    with turns.taken():
        with pytest.raises(BusyError, match="try again in 7 s") as refused, turns.taken():
            raise AssertionError("there was no turn")
        assert refused.value.wait_s == 7
    with turns.taken():
        pass


def test_different_work_that_computes_shares_its_places_and_waits_for_them() -> None:
    places = threading.Semaphore(1)
    proofs, backtests = Turns("a proof", 1, 1, places), Turns("a backtest", 1, 1, places)
    began, ended = threading.Event(), threading.Event()

    def backtest() -> None:
        with backtests.taken():
            began.set()
        ended.set()

    with proofs.taken():
        other = threading.Thread(target=backtest)
        other.start()
        assert not began.wait(0.2), "two computed at once"
        with pytest.raises(BusyError), backtests.taken():
            raise AssertionError("one that waits has the turn")
    assert ended.wait(10)
    other.join()


def test_work_that_fails_gives_turn_and_place_back() -> None:
    places = threading.Semaphore(1)
    turns = Turns("a proof", 1, 1, places)
    with pytest.raises(ZeroDivisionError), turns.taken():
        raise ZeroDivisionError
    with turns.taken():
        assert not places.acquire(blocking=False)
    assert places.acquire(blocking=False)
