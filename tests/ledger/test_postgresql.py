"""What only a server can do to a ledger: answers that get lost, connections that end, other hosts that write."""

import threading
from typing import Any

import psycopg
import pytest
from sqlalchemy import URL

from novapulse.core.ports import Unwritable
from novapulse.ledger.journal import Ledger
from novapulse.ledger.opening import Place
from tests.ledger.conftest import MAIN, OTHER, contents, intended, noted, opened, write
from tests.ledger.test_journal import chain_of


def losing(ledger: Ledger, monkeypatch: pytest.MonkeyPatch, *, arrives: bool, stays_away: bool = False) -> None:
    """Let the connection break at COMMIT, before or after the server did it; `stays_away` keeps the server gone."""
    storage: Any = ledger.storage
    commit, begin = storage.commit, storage.begin
    calls: list[str] = []

    def breaking() -> None:
        monkeypatch.setattr(storage, "commit", commit)
        if arrives:
            commit()
        storage.connection.close()
        if stays_away:
            monkeypatch.setattr(storage, "begin", gone)
        raise psycopg.OperationalError("server closed the connection unexpectedly")

    def gone() -> None:
        calls.append("begin")
        monkeypatch.setattr(storage, "begin", begin)
        raise Unwritable("the server cannot be reached")

    monkeypatch.setattr(storage, "commit", breaking)


def test_a_commit_whose_answer_was_lost_is_looked_up_and_found(
    postgresql: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(postgresql) as ledger:
        write(ledger, noted())
        losing(ledger, monkeypatch, arrives=True)
        write(ledger, intended("a"), state=b"s")
        write(ledger, intended("b"))
        assert ledger.head() == (3, chain_of(ledger))


def test_a_commit_that_never_arrived_is_reported_and_the_next_one_goes_on(
    postgresql: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(postgresql) as ledger:
        write(ledger, noted())
        before = contents(ledger)
        losing(ledger, monkeypatch, arrives=False)
        with pytest.raises(Unwritable, match="server closed the connection"):
            write(ledger, intended("a"), state=b"s")
        assert contents(ledger) == before
        write(ledger, intended("a"))
        assert ledger.head() == (2, chain_of(ledger))


@pytest.mark.parametrize("arrives", [True, False], ids=["it had arrived", "it had not"])
def test_while_nobody_can_say_whether_it_arrived_nothing_more_is_written(
    postgresql: str, monkeypatch: pytest.MonkeyPatch, arrives: bool
) -> None:
    with opened(postgresql) as ledger:
        losing(ledger, monkeypatch, arrives=arrives, stays_away=True)
        with pytest.raises(Unwritable, match="cannot be reached"):
            write(ledger, intended("a"))
        if arrives:
            for _ in range(2):
                with pytest.raises(Unwritable, match="a commit that was given up did arrive: start anew"):
                    write(ledger, intended("b"))
            assert ledger.head()[0] == 1
        else:
            write(ledger, intended("a"))
            write(ledger, intended("b"))
            assert ledger.head() == (2, chain_of(ledger))


def test_a_connection_that_was_ended_comes_back_by_itself(postgresql: str) -> None:
    with opened(postgresql) as ledger:
        write(ledger, noted())
        with psycopg.connect(postgresql, autocommit=True) as other:
            storage: Any = ledger.storage
            other.execute("SELECT pg_terminate_backend(%s)", (storage.connection.info.backend_pid,))
        with pytest.raises(Unwritable, match="the server refused"):
            write(ledger, noted("lost"))
        write(ledger, noted("next"))
        assert [entry.record.body["text"] for entry in ledger.records(MAIN)] == ["x", "next"]


def test_a_server_that_is_not_there_is_named_without_its_password() -> None:
    url = URL.create("postgresql", "me", "swordfish", "127.0.0.1", 1, "x")
    spelled = url.render_as_string(hide_password=False)
    assert "swordfish" in spelled
    with pytest.raises(Unwritable, match="the server cannot be reached") as refused:
        Ledger.open(spelled)
    assert "127.0.0.1:1/x" in str(refused.value)
    assert "swordfish" not in str(refused.value)
    assert "swordfish" not in str(Place.of(spelled))


def test_two_writers_at_once_make_one_chain_without_a_gap(postgresql: str) -> None:
    problems: list[BaseException] = []

    def writing(account: Any) -> None:
        try:
            with opened(postgresql, str(account), account) as ledger:
                for number in range(40):
                    write(ledger, intended(str(number)), noted(), account=account, state=b"s")
        except BaseException as error:
            problems.append(error)

    opened(postgresql, "maker").close()
    with Ledger.open(postgresql) as maker:
        maker.take_lease(MAIN, "maker", now_ns=10**18, ttl_ns=0)
    threads = [threading.Thread(target=writing, args=(account,)) for account in (OTHER, MAIN)]
    with psycopg.connect(postgresql, autocommit=True) as connection:
        connection.execute("UPDATE lease SET expires_ns = 1")
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    with Ledger.open(postgresql) as ledger:
        assert ledger.head() == (160, chain_of(ledger))


def test_whoever_listens_hears_of_new_events_at_once(postgresql: str) -> None:
    with opened(postgresql) as ledger, psycopg.connect(postgresql, autocommit=True) as listener:
        listener.execute("LISTEN novapulse_ledger")
        write(ledger, noted(), intended("a"))
        write(ledger, state=b"state only")
        heard = [note.payload for note in listener.notifies(timeout=0.5)]
        assert heard == [f"{ledger.ledger_id} 2"]


@pytest.mark.parametrize("statement", ["TRUNCATE event CASCADE", "TRUNCATE fill_key", "TRUNCATE order_step"])
def test_facts_cannot_be_truncated(postgresql: str, statement: str) -> None:
    with opened(postgresql) as ledger, psycopg.connect(postgresql, autocommit=True) as other:
        write(ledger, noted())
        with pytest.raises(psycopg.errors.IntegrityConstraintViolation, match="append-only"):
            other.execute(statement)


def test_a_simulation_may_do_without_waiting_for_the_disk(postgresql: str) -> None:
    for durable, expected in ((True, "on"), (False, "off")):
        with Ledger.open(postgresql, durable=durable) as ledger:
            assert ledger.storage.execute("SHOW synchronous_commit").fetchone()[0] == expected
