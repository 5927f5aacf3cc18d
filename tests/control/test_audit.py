"""The audit only grows, and shows what was done to it behind its back."""

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from novapulse.control import audit
from novapulse.control.audit import TamperedError
from novapulse.control.storage import ControlError, Storage
from novapulse.core.instruments import AccountKey

ROWS = 5


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    storage = Storage(tmp_path / "control.db")
    for number in range(ROWS):
        with storage.writing() as database:
            audit.append(
                database,
                ts_ns=number,
                actor="web:ann",
                action="pause",
                outcome=audit.DONE,
                account=AccountKey("kraken", "main"),
                arguments={"reason": f"r{number}"},
            )
    return storage


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit SET actor = 'web:bob' WHERE audit_id = 2",
        "DELETE FROM audit WHERE audit_id = 5",
        "INSERT INTO audit SELECT 9, ts_ns, actor, credential, source, action, exchange, account_id, arguments, "
        "outcome, text, idempotency_key, command_id, hash FROM audit WHERE audit_id = 1",
        "REPLACE INTO audit SELECT * FROM audit WHERE audit_id = 1",
    ],
)
def test_a_row_is_neither_changed_nor_taken_away_nor_left_out(statement: str, storage: Storage) -> None:
    with pytest.raises(ControlError, match=r"the audit (only grows|has no gap)"), storage.writing() as database:
        database.execute(statement)
    with storage.reading() as database:
        assert audit.verify(database)[0] == ROWS


def without_triggers(storage: Storage, *statements: str) -> None:
    with sqlite3.connect(storage.path) as database:
        for trigger in ("audit_is_not_changed", "audit_is_not_cut", "audit_has_no_gap"):
            database.execute(f"DROP TRIGGER {trigger}")
        for statement in statements:
            database.execute(statement)
    database.close()


CHANGES = {
    name: f"UPDATE audit SET {name} = {value} WHERE audit_id = 3"
    for name, value in {
        "ts_ns": "1",
        "actor": "'web:bob'",
        "credential": "'x'",
        "source": "'x'",
        "action": "'halt'",
        "exchange": "'coinbase'",
        "account_id": "'second'",
        "arguments": "'{}'",
        "outcome": "'denied'",
        "text": "'x'",
        "idempotency_key": "'x'",
        "command_id": "'x'",
        "hash": "zeroblob(32)",
    }.items()
}


@pytest.mark.parametrize("statement", CHANGES.values(), ids=CHANGES)
def test_a_change_of_any_column_names_the_row(statement: str, storage: Storage) -> None:
    without_triggers(storage, statement)
    with storage.reading() as database, pytest.raises(TamperedError, match="row 3 of the audit is not as it was"):
        audit.verify(database)


def swapped(storage: Storage) -> None:
    without_triggers(
        storage,
        "UPDATE audit SET audit_id = 99 WHERE audit_id = 2",
        "UPDATE audit SET audit_id = 2 WHERE audit_id = 3",
        "UPDATE audit SET audit_id = 3 WHERE audit_id = 99",
    )


def cut_out(storage: Storage) -> None:
    without_triggers(storage, "DELETE FROM audit WHERE audit_id = 2")


@pytest.mark.parametrize("harm", [swapped, cut_out])
def test_a_row_that_is_gone_or_elsewhere_is_named(harm: Callable[[Storage], None], storage: Storage) -> None:
    harm(storage)
    with storage.reading() as database, pytest.raises(TamperedError, match="row 2 of the audit is"):
        audit.verify(database)


def test_a_cut_at_the_end_shows_by_a_head_that_was_noted(storage: Storage) -> None:
    with storage.reading() as database:
        count, head = audit.verify(database)
        assert audit.verify(database, head) == (count, head) == (ROWS, head)
    without_triggers(storage, f"DELETE FROM audit WHERE audit_id = {ROWS}")
    with storage.reading() as database:
        assert audit.verify(database)[0] == ROWS - 1
        with pytest.raises(TamperedError, match="rows at its end are gone"):
            audit.verify(database, head)


def test_pages_are_newest_first_and_of_one_actor_where_that_is_wanted(storage: Storage) -> None:
    with storage.writing() as database:
        audit.append(database, ts_ns=9, actor="cli:bob", action="halt", outcome=audit.DENIED, text="no")
    with storage.reading() as database:
        assert [row.audit_id for row in audit.page(database, limit=2)] == [6, 5]
        assert [row.audit_id for row in audit.page(database, before=5, limit=2)] == [4, 3]
        (row,) = audit.page(database, actor="cli:bob")
    assert (row.outcome, row.text, row.account, row.json()["exchange"]) == ("denied", "no", None, None)
