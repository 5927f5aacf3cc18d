"""An audit of a ledger on a PostgreSQL server finds what it finds in a file."""

from pathlib import Path

import psycopg
import pytest

from novapulse.ledger.audit import audit
from tests.ledger.written import write_life


def test_guards_that_are_missing_on_a_server_are_a_fault(postgresql: str) -> None:
    write_life(postgresql, seed=7, rounds=1)
    with psycopg.connect(postgresql, autocommit=True) as connection:
        connection.execute("DROP TRIGGER event_no_update ON event")
        connection.execute("ALTER TABLE posting DISABLE TRIGGER posting_no_delete")
    found = audit(postgresql)
    assert [fault.where for fault in found.faults] == ["trigger event_no_update", "trigger posting_no_delete"]


def test_a_ledger_on_a_server_is_proven_the_same(postgresql: str, whole: Path) -> None:
    write_life(postgresql, seed=7, rounds=6, started=True)
    found, in_a_file = audit(postgresql), audit(whole)
    assert found.ok, found.faults
    assert (found.entries, found.head_hash) == (in_a_file.entries, in_a_file.head_hash)


@pytest.mark.parametrize(
    ("statement", "seq", "where"),
    [
        ("UPDATE event SET body = replace(body, 'a', 'b') WHERE seq = 30", 30, "event.hash"),
        ("DELETE FROM event WHERE seq = 30", 30, "event.seq"),
        ("UPDATE posting SET amount = amount + 1 WHERE seq = 1 AND leg = 0", 1, "event.hash"),
        ("UPDATE balance SET amount = amount + 1 WHERE book = 'cash'", None, "balance.amount"),
        ("DELETE FROM order_step WHERE seq = 5", 5, "order_step"),
        ("UPDATE fill_key SET venue_trade_id = 'T-none' WHERE venue_trade_id = 'T1'", None, "fill_key"),
        ("UPDATE event SET body = 'no JSON' WHERE seq = 30", 30, "event.hash"),
        ("UPDATE lease SET epoch = 7", None, "lease.epoch"),
        ("DELETE FROM lease_twin WHERE exchange = 'coinbase'", None, "lease"),
        ("UPDATE ledger SET created_ns = created_ns + 1", None, "ledger.created_ns"),
        ("INSERT INTO asset VALUES ('DOGE', 3)", None, "asset"),
        ("UPDATE alembic_version SET version_num = '0001'", None, "ledger.revision"),
    ],
)
def test_a_fault_on_a_server_is_named(postgresql: str, statement: str, seq: int | None, where: str) -> None:
    write_life(postgresql, seed=7, rounds=2)
    with psycopg.connect(postgresql, autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute(statement.encode())
    found = audit(postgresql)
    assert found.first_bad is not None
    assert found.first_bad.where in (where, "event")
    if seq is not None:
        assert found.first_bad.seq == seq, found.faults
