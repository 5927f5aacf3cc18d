"""What protects the rows is there, and is what the migrations made."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from novapulse.ledger.audit import audit
from tests.ledger.damage import Unguarded, opened_up


def test_missing_guards_are_a_fault(damaged: Path) -> None:
    with closing(sqlite3.connect(damaged)) as connection:
        there = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")}
        for name in there:
            connection.execute(f"DROP TRIGGER {name}")
        connection.commit()
    found = audit(damaged)
    assert {fault.where for fault in found.faults} == {f"trigger {name}" for name in there}
    assert len(there) == 34


def definitions(path: Path) -> list[tuple[str, str, str]]:
    """Kind, name and text of everything but the tables."""
    with closing(sqlite3.connect(path)) as connection:
        kinds = "type IN ('trigger', 'view', 'index') AND sql IS NOT NULL"
        return connection.execute(f"SELECT type, name, sql FROM sqlite_master WHERE {kinds}").fetchall()


def test_a_guard_a_view_or_an_index_that_is_not_what_it_was_is_named(damaged: Path) -> None:
    found = definitions(damaged)
    assert {kind for kind, *_ in found} == {"trigger", "view", "index"}
    with closing(opened_up(damaged)) as connection:
        for kind, name, text in found:
            toothless = {
                "trigger": f"{text.split('BEGIN')[0]} BEGIN SELECT 1; END",
                "view": f"{text} LIMIT 0",
                "index": f"CREATE INDEX {name} ON event (ts_ns)",
            }[kind]
            connection.execute(f"DROP {kind} {name}")
            connection.execute(toothless)
        connection.commit()
    told = {fault.where for fault in audit(damaged).faults if "is not what revision" in fault.what}
    assert told == {f"{kind} {name}" for kind, name, _ in found}


def test_a_table_a_view_or_an_index_that_is_gone_is_named(damaged: Path) -> None:
    with Unguarded(damaged) as connection:
        connection.execute("DROP INDEX ix_event_kind")
        connection.execute("DROP VIEW outbox")
    assert {fault.where for fault in audit(damaged).faults} == {"index ix_event_kind", "view outbox"}


def test_a_trigger_of_somebody_else_is_named(damaged: Path) -> None:
    with closing(opened_up(damaged)) as connection:
        connection.execute("CREATE TRIGGER sly AFTER INSERT ON event BEGIN DELETE FROM lease; END")
        connection.commit()
    assert [fault.where for fault in audit(damaged).faults] == ["trigger sly"]


@pytest.mark.parametrize(
    ("statement", "where"),
    [
        ("UPDATE ledger SET revision = revision - 1", "ledger.revision"),
        ("UPDATE alembic_version SET version_num = '0001'", "ledger.revision"),
        ("DELETE FROM alembic_version", "ledger.revision"),
        ("UPDATE ledger SET oldest_revision = 2", "ledger.oldest_revision"),
        ("UPDATE ledger SET oldest_revision = 99", "ledger.oldest_revision"),
        (
            "INSERT INTO ledger SELECT 2, ledger_id, created_ns, 4, 1, head_seq, head_hash FROM ledger",
            "ledger",
        ),
    ],
)
def test_a_revision_that_is_not_that_of_the_schema_is_named(damaged: Path, statement: str, where: str) -> None:
    with Unguarded(damaged) as connection:
        connection.execute(statement)
    assert where in {fault.where for fault in audit(damaged).faults}
