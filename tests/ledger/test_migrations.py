"""Schemas that change under code that does not: expand, then contract."""

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from novapulse.core.ports import JournalError, Unwritable
from novapulse.ledger import opening
from novapulse.ledger.audit import audit
from novapulse.ledger.chain import canonical_bytes, genesis, link
from novapulse.ledger.journal import Ledger
from novapulse.ledger.opening import Place, SchemaError, bring_up, migrate, open_storage, sqlite_notice
from novapulse.ledger.schema import OLDEST_REVISION, REVISION, TWINS
from novapulse.ledger.storage import Storage
from tests.ledger.conftest import MAIN, intended, noted, opened, write

# What code of revision 1 says to the database, word for word. It does not know of hosts.
REVISION_1 = (
    "INSERT INTO asset (asset, scale) VALUES (?, ?) ON CONFLICT DO NOTHING",
    "INSERT INTO lease (exchange, account_id, epoch, holder, renewed_ns, expires_ns) VALUES (?, ?, ?, ?, ?, ?) "
    "ON CONFLICT (exchange, account_id) DO UPDATE SET epoch = lease.epoch + 1, holder = excluded.holder",
    "INSERT INTO posting (seq, leg, book, asset, amount) VALUES (?, ?, ?, ?, ?)",
    "INSERT INTO event (seq, ts_ns, exchange, account_id, kind, body, hash) VALUES (?, ?, ?, ?, ?, ?, ?)",
    "INSERT INTO order_step (exchange, account_id, client_order_id, step, seq, closes) VALUES (?, ?, ?, ?, ?, ?)",
    "INSERT INTO balance (exchange, account_id, book, asset, amount) VALUES (?, ?, ?, ?, ?) "
    "ON CONFLICT (exchange, account_id, book, asset) DO UPDATE SET amount = balance.amount + excluded.amount",
    "INSERT INTO checkpoint (exchange, account_id, ts_close_ns, seq, state) VALUES (?, ?, ?, ?, ?) "
    "ON CONFLICT (exchange, account_id) DO UPDATE SET seq = excluded.seq, state = excluded.state",
    "UPDATE ledger SET head_seq = ?, head_hash = ?",
)


def old_code_writes(storage: Storage, order: str) -> None:
    """One order intent as revision 1 wrote it."""
    here = ("kraken", "main")
    seq, last = storage.execute("SELECT head_seq, head_hash FROM ledger").fetchone()
    seq, body = seq + 1, f'{{"client_order_id":"{order}"}}'
    legs = [("cash", "USD", -5), ("hold", "USD", 5)]
    own = link(bytes(last), seq, canonical_bytes(1, *here, "order_intended", body, legs))
    asset, lease, posting, event, step, balance, checkpoint, head = (storage.prepare(text) for text in REVISION_1)
    storage.begin()
    storage.execute(asset, ("USD", 8))
    storage.execute(lease, (*here, 1, "old", 1, 2))
    for leg, (book, name, amount) in enumerate(legs):
        storage.execute(posting, (seq, leg, book, name, amount))
        if book == "hold":
            storage.execute(balance, (*here, book, name, amount))
    storage.execute(event, (seq, 1, *here, "order_intended", body, own))
    storage.execute(step, (*here, order, 0, seq, 0))
    storage.execute(checkpoint, (*here, 1, seq, b"state"))
    storage.execute(head, (seq, own))
    storage.commit()


@pytest.fixture
def old(lasting: str) -> str:
    """A ledger of revision 1 with one order in it, closed."""
    place = Place.of(lasting)
    storage = open_storage(place)
    bring_up(storage, place, now_ns=1, ledger_id="L", target=1)
    old_code_writes(storage, "before")
    storage.close()
    return lasting


def test_code_of_the_revision_before_goes_on_writing_after_the_migration(old: str) -> None:
    storage = open_storage(Place.of(old))
    migrated = open_storage(Place.of(old)) if not storage.exclusive else storage
    said = bring_up(migrated, Place.of(old), now_ns=5, ledger_id="")
    assert said.endswith(f"schema brought from 0001 to {REVISION:04d}")
    old_code_writes(storage, "after")
    migrated.close()
    storage.close()
    with opened(old) as ledger:
        assert [e.record.body["client_order_id"] for e in ledger.records(MAIN)] == ["before", "after"]
        found = ledger.lease(MAIN)
        assert found is not None
        assert (found.epoch, found.holder) == (3, "me")
        write(ledger, intended("new"))
        assert ledger.head()[0] == 3
        assert ledger.ledger_id == "L"


def test_opening_an_older_ledger_migrates_it_and_says_so(old: str) -> None:
    with Ledger.open(old, now_ns=5) as ledger:
        assert any(notice.endswith(f"schema brought from 0001 to {REVISION:04d}") for notice in ledger.notices)
        with ledger.reading() as storage:
            row = storage.execute("SELECT revision, oldest_revision FROM ledger").fetchone()
        assert tuple(row) == (REVISION, OLDEST_REVISION)
    with Ledger.open(old, now_ns=5) as ledger:
        assert not any("schema" in notice for notice in ledger.notices)


def test_a_crash_right_after_a_migration_leaves_a_ledger_that_says_its_revision(
    old: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bug: the schema was new and the ledger said it was old, for ever: no later opening brought it up."""
    whole = opening.upgrade

    def killed(*arguments: Any) -> None:
        whole(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(opening, "upgrade", killed)
    with pytest.raises(KeyboardInterrupt):
        migrate(old, now_ns=5)
    monkeypatch.undo()
    with opened(old) as ledger, ledger.reading() as storage:
        row = storage.execute("SELECT revision, oldest_revision FROM ledger").fetchone()
    assert tuple(row) == (REVISION, OLDEST_REVISION)


@pytest.mark.parametrize("revision", range(1, REVISION + 1))
def test_a_ledger_of_every_revision_is_proven(tmp_path: Path, revision: int) -> None:
    """A bug: a lease of revision 1 has no host, and was said to be unreadable."""
    place = Place.of(tmp_path / "ledger.db")
    storage = open_storage(place)
    bring_up(storage, place, now_ns=5, ledger_id="L", target=revision)
    storage.close()
    assert audit(tmp_path / "ledger.db").faults == ()


def test_what_older_code_writes_is_written_twice(old: str) -> None:
    migrate(old, now_ns=5)
    storage = open_storage(Place.of(old))
    old_code_writes(storage, "after")
    for table, twin in TWINS.items():
        names = ", ".join(twin.columns.keys())
        rows = storage.execute(f"SELECT {names} FROM {table.name}").fetchall()
        assert rows == storage.execute(f"SELECT {names} FROM {twin.name}").fetchall(), table.name
    assert storage.execute("SELECT epoch, holder FROM lease_twin").fetchall() == [(2, "old")]
    storage.close()


def test_who_does_not_want_a_migration_is_told_that_one_is_due(old: str) -> None:
    with pytest.raises(SchemaError, match=f"schema 0001 is older than {REVISION:04d}: run novapulse ledger migrate"):
        Ledger.open(old, now_ns=5, migrate=False)


def test_migrate_says_what_it_did_and_the_second_time_that_there_is_nothing_to_do(old: str) -> None:
    assert migrate(old, now_ns=5).endswith(f"schema brought from 0001 to {REVISION:04d}")
    assert migrate(old, now_ns=5).endswith(f"schema is {REVISION:04d} already")


def test_nothing_is_migrated_under_a_trader(old: str) -> None:
    with Ledger.open(old, now_ns=5) as ledger:
        ledger.take_lease(MAIN, "trader", now_ns=10, ttl_ns=100)
        if ledger.storage.exclusive:
            with pytest.raises(Unwritable, match=r"process \d+ writes this ledger already"):
                migrate(old, now_ns=50)
            return
        with ledger.transaction() as storage:
            for twin in TWINS.values():
                storage.execute(f"DROP TABLE {twin.name}")
                storage.execute(f"DROP FUNCTION ledger_{twin.name} CASCADE")
            storage.execute("DROP INDEX ix_event_kind")
            storage.execute("ALTER TABLE lease DROP COLUMN host")
            storage.execute("UPDATE alembic_version SET version_num = '0001'")
        with pytest.raises(
            SchemaError, match="not migrated, a trader holds main at kraken by trader, for another 1 s, until "
        ):
            migrate(old, now_ns=50)
    assert migrate(old, now_ns=110).endswith(f"schema brought from 0001 to {REVISION:04d}")


def pretend(where: str, revision: int, oldest: int, alembic: str = "") -> None:
    storage = open_storage(Place.of(where))
    storage.begin()
    storage.execute(storage.prepare("UPDATE ledger SET revision = ?, oldest_revision = ?"), (revision, oldest))
    storage.execute(storage.prepare("UPDATE alembic_version SET version_num = ?"), (alembic or f"{revision:04d}",))
    storage.commit()
    storage.close()


def test_a_newer_schema_that_still_knows_this_code_is_written_with_a_notice(lasting: str) -> None:
    opened(lasting).close()
    pretend(lasting, REVISION + 1, REVISION)
    with opened(lasting) as ledger:
        assert any("newer" in notice and "an update is due" in notice for notice in ledger.notices)
        write(ledger, noted())


@pytest.mark.parametrize(
    ("revision", "oldest", "alembic", "expected"),
    [
        (REVISION + 1, REVISION + 1, "", "schema 0005 is newer than 0004, .* only code from revision 5 on may write"),
        (REVISION, OLDEST_REVISION, "9999", "schema 9999 is newer than 0004, the newest this code knows$"),
    ],
    ids=["one that this code would damage", "one that only claims to be newer"],
)
def test_a_newer_schema_is_refused(lasting: str, revision: int, oldest: int, alembic: str, expected: str) -> None:
    opened(lasting).close()
    pretend(lasting, revision, oldest, alembic)
    for act in (lambda: Ledger.open(lasting), lambda: migrate(lasting, now_ns=5)):
        with pytest.raises(SchemaError, match=expected):
            act()


def test_what_is_no_ledger_stays_untouched(tmp_path: Path) -> None:
    place = tmp_path / "other.db"
    raw = sqlite3.connect(place)
    raw.execute("CREATE TABLE customers (name TEXT)")
    raw.close()
    for act in (lambda: Ledger.open(place), lambda: migrate(place, now_ns=5)):
        with pytest.raises(SchemaError, match="is not a ledger, it holds customers"):
            act()
    raw = sqlite3.connect(place)
    assert [row[0] for row in raw.execute("SELECT name FROM sqlite_master")] == ["customers"]
    raw.close()
    with pytest.raises(Unwritable, match="there is no such ledger"):
        migrate(tmp_path / "absent.db", now_ns=5)
    assert not (tmp_path / "absent.db").exists()


def test_a_migration_that_fails_half_way_leaves_the_old_schema(old: str) -> None:
    storage = open_storage(Place.of(old))
    storage.begin()
    storage.execute("CREATE INDEX ix_event_kind ON event (kind)")
    storage.commit()
    storage.close()
    with pytest.raises(JournalError, match="ix_event_kind"):
        migrate(old, now_ns=5)
    storage = open_storage(Place.of(old))
    storage.begin()
    storage.execute("DROP INDEX ix_event_kind")
    storage.commit()
    storage.close()
    assert migrate(old, now_ns=5).endswith(f"schema brought from 0001 to {REVISION:04d}")


def test_memory_has_the_same_schema_as_a_file(tmp_path: Path) -> None:
    def schema(ledger: Ledger) -> list[tuple[str, ...]]:
        with ledger.reading() as storage:
            return storage.execute("SELECT type, name, sql FROM sqlite_master ORDER BY 1, 2").fetchall()

    with Ledger.open(tmp_path / "ledger.db") as file, Ledger.open(":memory:") as one, Ledger.open(":memory:") as two:
        assert schema(file) == schema(one) == schema(two)
        assert one.head()[1] == genesis(one.ledger_id)


def test_the_operator_hears_of_versions_of_sqlite_that_may_not_be_shared() -> None:
    assert "only this process may write the ledger" in sqlite_notice((3, 40, 1))
    assert "only this process may write the ledger" in sqlite_notice((3, 51, 2))
    assert sqlite_notice((3, 51, 3)) == sqlite_notice((3, 54, 0)) == ""


def test_a_linked_sqlite_with_the_fault_is_named_at_the_opening(tmp_path: Path) -> None:
    with Ledger.open(tmp_path / "ledger.db") as ledger:
        assert (sqlite_notice() in ledger.notices) == bool(sqlite_notice())
    with Ledger.open(":memory:") as ledger:
        assert ledger.notices == ()


def test_errors_of_the_schema_are_errors_of_the_journal() -> None:
    assert issubclass(SchemaError, JournalError)
