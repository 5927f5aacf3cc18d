"""Who may write, by an epoch that only grows."""

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from novapulse.core.messages import Commit
from novapulse.core.ports import Fenced, JournalError
from novapulse.ledger.journal import Ledger
from novapulse.ledger.lease import Lease
from tests.ledger.conftest import MAIN, OTHER, noted, opened, write

TTL = 100


@pytest.fixture
def held(where: str) -> Ledger:
    """A ledger whose MAIN is held by `first` from 1000 to 1100."""
    ledger = Ledger.open(where, now_ns=1)
    assert ledger.take_lease(MAIN, "first", now_ns=1000, ttl_ns=TTL, host="here") == 1
    return ledger


def test_another_holder_is_refused_and_told_who_has_it(held: Ledger) -> None:
    with held, pytest.raises(Fenced, match=r"main at kraken is traded by first \(epoch 1\), whose lease .* 1 s"):
        held.take_lease(MAIN, "second", now_ns=1099, ttl_ns=TTL)
    assert held.leases.epochs == {MAIN: 1}


def test_an_account_of_the_same_name_elsewhere_is_free(held: Ledger) -> None:
    with held:
        assert held.take_lease(OTHER, "second", now_ns=1001, ttl_ns=TTL) == 1


FREE: dict[str, Callable[[Ledger], object]] = {
    "it ran out": lambda ledger: None,
    "it was given back": lambda ledger: ledger.release_lease(MAIN, now_ns=1050),
}


@pytest.mark.parametrize(("end", "now_ns"), list(zip(FREE.values(), (1100, 1051), strict=True)), ids=FREE)
def test_the_next_holder_gets_a_higher_epoch_once(held: Ledger, end: Callable[[Ledger], object], now_ns: int) -> None:
    with held:
        end(held)
        assert held.take_lease(MAIN, "second", now_ns=now_ns, ttl_ns=TTL) == 2
        assert held.lease(MAIN) == Lease(2, "second", now_ns, now_ns + TTL)
        write(held, noted())


def test_the_same_holder_may_take_it_again_and_gets_a_higher_epoch(held: Ledger) -> None:
    with held:
        assert held.take_lease(MAIN, "first", now_ns=1001, ttl_ns=TTL) == 2


def test_renewing_moves_the_end_and_keeps_the_epoch(held: Ledger) -> None:
    with held:
        held.renew_lease(MAIN, now_ns=1090, ttl_ns=TTL)
        assert held.lease(MAIN) == Lease(1, "first", 1090, 1190)
        with pytest.raises(Fenced):
            held.take_lease(MAIN, "second", now_ns=1150, ttl_ns=TTL)


def test_a_lease_that_ran_out_but_was_not_taken_still_writes(held: Ledger) -> None:
    with held:
        write(held, noted(ts_ns=10**18))
        held.renew_lease(MAIN, now_ns=5000, ttl_ns=TTL)


def test_what_was_given_back_writes_and_renews_no_more(held: Ledger) -> None:
    with held:
        held.release_lease(MAIN, now_ns=1001)
        for act in (
            lambda: write(held, noted()),
            lambda: held.renew_lease(MAIN, 1002, TTL),
            lambda: held.release_lease(MAIN, 1002),
        ):
            with pytest.raises(Fenced, match="holds no lease"):
                act()


def test_a_holder_that_was_overtaken_is_fenced_off_in_the_transaction_and_told_by_whom(held: Ledger) -> None:
    with held:
        write(held, noted())
        with held.transaction() as storage:
            storage.execute("UPDATE lease SET epoch = 7, holder = 'rival', expires_ns = 9999")
        for act in (
            lambda: write(held, noted()),
            lambda: held.renew_lease(MAIN, 1002, TTL),
            lambda: held.release_lease(MAIN, 1002),
        ):
            with pytest.raises(Fenced, match=r"our lease of epoch 1 was overtaken by rival \(epoch 7\)"):
                act()
        assert held.head()[0] == 1


def test_one_account_that_is_fenced_off_takes_the_whole_commit_with_it(held: Ledger) -> None:
    with held:
        held.take_lease(OTHER, "first", now_ns=1000, ttl_ns=TTL)
        with held.transaction() as storage:
            storage.execute("UPDATE lease SET epoch = 7 WHERE exchange = 'coinbase'")
        with pytest.raises(Fenced, match="main at coinbase"):
            held.commit([(MAIN, Commit((noted(),))), (OTHER, Commit((noted(),)))])
        assert held.head()[0] == 0


def test_the_epoch_never_falls_and_its_row_stays(held: Ledger) -> None:
    with held:
        for statement in ("UPDATE lease SET epoch = 0", "DELETE FROM lease"):
            with pytest.raises(JournalError, match="epoch"), held.transaction() as storage:
                storage.execute(statement)


def test_the_lease_of_a_process_that_died_does_not_stand_in_the_way_of_the_file(tmp_path: Path) -> None:
    place = tmp_path / "ledger.db"
    with opened(place, "killed"):
        pass
    with sqlite3.connect(place) as raw:
        raw.execute("UPDATE lease SET expires_ns = 10000000000000")
    raw.close()
    with Ledger.open(place) as ledger:
        assert ledger.take_lease(MAIN, "next", now_ns=2, ttl_ns=TTL) == 2
        with pytest.raises(Fenced, match="traded by next"):
            ledger.take_lease(MAIN, "third", now_ns=3, ttl_ns=TTL)


def test_on_a_server_two_processes_share_the_ledger_but_not_an_account(postgresql: str) -> None:
    with Ledger.open(postgresql) as one, Ledger.open(postgresql) as other:
        one.take_lease(MAIN, "one", now_ns=1000, ttl_ns=TTL)
        with pytest.raises(Fenced, match="traded by one"):
            other.take_lease(MAIN, "other", now_ns=1001, ttl_ns=TTL)
        other.take_lease(OTHER, "other", now_ns=1001, ttl_ns=TTL)
        write(one, noted("1"))
        write(other, noted("2"), account=OTHER)
        write(one, noted("3"))
        assert one.head() == other.head()
        assert one.head()[0] == 3
        assert other.take_lease(MAIN, "other", now_ns=1100, ttl_ns=TTL) == 2
        with pytest.raises(Fenced, match=r"overtaken by other \(epoch 2\)"):
            write(one, noted("4"))
        write(other, noted("5"))
