"""An audit names the first entry that is not as it was written, whatever was done behind the journal's back."""

import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Row

from novapulse.core.ports import Unwritable
from novapulse.ledger import audit as audit_module
from novapulse.ledger.audit import audit
from novapulse.ledger.journal import Ledger
from novapulse.ledger.opening import SchemaError
from tests.ledger.damage import Unguarded
from tests.ledger.written import LEASE_NS, MAIN, SCALES, START_NS, live_on, open_accounts, write_life


def test_a_ledger_as_it_was_written_is_proven_and_its_head_is_told(whole: Path) -> None:
    found = audit(whole)
    with closing(sqlite3.connect(whole)) as connection:
        seq, digest = connection.execute("SELECT head_seq, head_hash FROM ledger").fetchone()
        events = connection.execute("SELECT count(*) FROM event").fetchone()[0]
    assert (found.ok, found.first_bad, found.faulty) == (True, None, 0)
    assert (found.entries, found.head_seq, found.head_hash) == (events, seq, digest.hex())
    assert events > 200


def test_an_empty_ledger_is_proven(tmp_path: Path) -> None:
    Ledger.open(tmp_path / "new.db", durable=False, now_ns=START_NS).close()
    found = audit(tmp_path / "new.db")
    assert (found.ok, found.entries, found.head_seq) == (True, 0, 0)


PLANTED = {
    "an event behind the head": (
        "INSERT INTO event SELECT seq + 1, ts_ns, exchange, account_id, kind, body, zeroblob(32) FROM event "
        "ORDER BY seq DESC LIMIT 1",
        "event.hash",
    ),
    "the last event cut off, and the head with it": (
        "UPDATE ledger SET head_seq = head_seq - 1, head_hash = (SELECT hash FROM event WHERE seq = head_seq - 1);"
        "DELETE FROM event WHERE seq = (SELECT max(seq) FROM event)",
        "",
    ),
    "the head set back": ("UPDATE ledger SET head_seq = head_seq - 1", "ledger.head_seq"),
    "an amount and its counterpart": (
        "UPDATE posting SET amount = amount * 2 WHERE seq = (SELECT min(seq) FROM posting)",
        "event.hash",
    ),
    "two legs swapped": (
        "UPDATE posting SET leg = 1 - leg + 100 WHERE seq = (SELECT min(seq) FROM posting);"
        "UPDATE posting SET leg = leg - 100 WHERE leg > 50",
        "event.hash",
    ),
    "a number left out among the legs": (
        "UPDATE posting SET leg = leg + 1 WHERE seq = (SELECT max(seq) FROM posting) AND leg = "
        "(SELECT max(leg) FROM posting p WHERE p.seq = posting.seq)",
        "posting.leg",
    ),
    "legs of no event": ("INSERT INTO posting VALUES (100000, 0, 'cash', 'USD', 5)", "posting"),
    "a balance from nowhere": ("UPDATE balance SET amount = amount + 1 WHERE book = 'cash'", "balance.amount"),
    "a balance too many": ("INSERT INTO balance VALUES ('kraken', 'ghost', 'cash', 'USD', 5)", "balance.amount"),
    "an execution too many": ("INSERT INTO fill_key VALUES ('kraken', 'main', 'T-none', 1)", "fill_key"),
    "an order too many": ("INSERT INTO order_step VALUES ('kraken', 'main', 'C-none', 0, 1, 0)", "order_step"),
    "an order closed behind its back": ("UPDATE order_step SET closes = 1 WHERE step = 0", "order_step"),
    "a coarser scale": ("UPDATE asset SET scale = 2 WHERE asset = 'BTC'", "asset.scale"),
    "a state of the future": ("UPDATE checkpoint SET seq = 100000", "checkpoint.seq"),
    "a state that is gone": ("DELETE FROM checkpoint WHERE exchange = 'coinbase'", "checkpoint"),
    "a state that is empty": ("UPDATE checkpoint SET state = x'' WHERE exchange = 'coinbase'", "checkpoint"),
    "a state of another account": (
        "UPDATE checkpoint SET state = (SELECT state FROM checkpoint WHERE exchange = 'coinbase')",
        "checkpoint.state",
    ),
    "a state of an earlier entry": ("UPDATE checkpoint SET seq = seq - 1", "checkpoint.state"),
    "a state of a later close": ("UPDATE checkpoint SET ts_close_ns = ts_close_ns + 1", "checkpoint.state"),
    "a stretch that ends before it begins": (
        "INSERT INTO hold_run VALUES ('kraken', 'main', 'BTC/USD', 20, 10, 0, 1)",
        "hold_run",
    ),
    "a lease that nobody had": ("UPDATE lease SET epoch = 0", "lease"),
    "a cursor of the future": ("INSERT INTO consumer VALUES ('shipper', 100000, 0, 0)", "consumer.cursor"),
    "another ledger's name": ("UPDATE ledger SET ledger_id = 'mine'", "event.hash"),
}


@pytest.mark.parametrize(("statements", "where"), PLANTED.values(), ids=PLANTED)
def test_a_planted_fault_is_named(damaged: Path, statements: str, where: str) -> None:
    with Unguarded(damaged) as connection:
        for statement in statements.split(";"):
            connection.execute(statement)
    found = audit(damaged)
    assert not found.ok
    if where:
        assert any(where in fault.where for fault in found.faults), found.faults


def test_one_changed_event_is_one_fault(damaged: Path) -> None:
    with Unguarded(damaged) as connection:
        connection.execute("UPDATE event SET ts_ns = ts_ns + 1 WHERE seq = 20")
    found = audit(damaged)
    assert [(fault.seq, fault.where) for fault in found.faults] == [(20, "event.hash")]


def test_faults_are_counted_and_the_first_ones_kept(damaged: Path) -> None:
    with Unguarded(damaged) as connection:
        connection.execute("UPDATE event SET ts_ns = ts_ns + 1 WHERE seq BETWEEN 5 AND 180")
    found = audit(damaged)
    assert found.faulty == 176
    assert [fault.seq for fault in found.faults] == list(range(5, 105))


def test_a_rewritten_past_is_told_by_a_head_that_was_noted_elsewhere_and_by_nothing_else(
    whole: Path, tmp_path: Path
) -> None:
    noted = audit(whole).head_hash
    forged = tmp_path / "forged.db"
    write_life(forged, seed=8, rounds=6)
    assert audit(forged).ok
    found = audit(forged, head=noted)
    assert found.first_bad is not None
    assert found.first_bad.where == "head"
    assert audit(whole, head=noted).ok


def test_a_head_that_was_noted_earlier_is_still_in_the_chain(whole: Path) -> None:
    with closing(sqlite3.connect(whole)) as connection:
        earlier = connection.execute("SELECT hash FROM event WHERE seq = 17").fetchone()[0].hex()
    assert audit(whole, head=earlier).ok


def test_a_head_that_is_no_hash_is_refused(whole: Path) -> None:
    with pytest.raises(ValueError, match="expected 64 hex digits"):
        audit(whole, head="abc")


def test_an_audit_beside_a_writer_sees_one_state(tmp_path: Path) -> None:
    path = tmp_path / "busy.db"
    with Ledger.open(path, durable=False, now_ns=START_NS) as journal:
        journal.register_assets(SCALES)
        lives = open_accounts(journal, 5)
        stop = threading.Event()

        def write() -> None:
            while not stop.is_set():
                for life in lives.values():
                    live_on(journal, life)

        writer = threading.Thread(target=write)
        writer.start()
        try:
            heads = []
            for _ in range(8):
                found = audit(path)
                assert found.ok, found.faults
                heads.append(found.head_seq)
        finally:
            stop.set()
            writer.join()
    assert heads == sorted(heads)
    assert heads[0] < heads[-1]


def test_a_writer_that_is_always_faster_keeps_no_audit_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "busy.db"
    with Ledger.open(path, durable=False, now_ns=START_NS) as journal:
        journal.register_assets(SCALES)
        lives = open_accounts(journal, 5)

        read = audit_module._head

        def and_it_is_written(connection: Connection, where: str | Path) -> Row[Any]:
            row = read(connection, where)
            for life in lives.values():
                live_on(journal, life)
            return row

        monkeypatch.setattr(audit_module, "_head", and_it_is_written)
        found = audit(path)
        assert found.ok, found.faults
        assert 0 < found.head_seq < journal.head()[0]
        with Unguarded(path) as connection:
            connection.execute("UPDATE posting SET amount = amount * 2 WHERE seq = (SELECT min(seq) FROM posting)")
        found = audit(path)
        assert found.first_bad is not None
        assert found.first_bad.where == "event.hash"


def test_what_is_no_ledger_is_refused_in_a_sentence(tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    with closing(sqlite3.connect(other)) as connection:
        connection.execute("CREATE TABLE bars (a)")
    with pytest.raises(SchemaError, match="is not a ledger"):
        audit(other)
    with pytest.raises(Unwritable, match="no such ledger"):
        audit(tmp_path / "none.db")
    noise = tmp_path / "noise.db"
    noise.write_bytes(b"not a database at all" * 400)
    with pytest.raises((SchemaError, Unwritable), match=r"noise\.db"):
        audit(noise)


def test_a_ledger_of_newer_code_is_refused(damaged: Path) -> None:
    with Unguarded(damaged) as connection:
        connection.execute("UPDATE ledger SET revision = 99, oldest_revision = 99")
    with pytest.raises(SchemaError, match="99"):
        audit(damaged)


def test_a_lease_does_not_keep_an_audit_out(damaged: Path) -> None:
    with Ledger.open(damaged, durable=False, now_ns=START_NS) as journal:
        journal.take_lease(MAIN, "trader", START_NS, LEASE_NS)
        assert audit(damaged).ok


def test_who_is_told_hears_how_far_it_is_and_may_end_it(damaged: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug: whoever cancelled a proof saw nothing of it any more, and it went on."""
    monkeypatch.setattr(audit_module, "TOLD_EVENTS", 13)
    alone, told = audit(damaged), list[tuple[int, int]]()
    assert audit(damaged, told=lambda *how_far: told.append(how_far)) == alone
    head = alone.head_seq
    assert told == [*((done, head) for done in range(0, head, 13)), (head, head)]
    with Unguarded(damaged) as connection:
        connection.execute("UPDATE event SET ts_ns = ts_ns + 1 WHERE seq IN (13, 14, ?)", (head,))
        connection.execute("DELETE FROM event WHERE seq = 26")
    alone = audit(damaged)
    assert not alone.ok
    assert audit(damaged, told=lambda *_: None) == alone

    class EnoughError(Exception):
        pass

    def enough(done: int, total: int) -> None:
        walked.append(done)
        if done >= 26:
            raise EnoughError

    walked: list[int] = []
    with pytest.raises(EnoughError):
        audit(damaged, told=enough)
    assert walked == [0, 13, 26]
