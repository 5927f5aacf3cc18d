"""A backup of a server is the file that a backup of a file is: made online, proven, and restored to either."""

import shutil
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import URL

from novapulse.core.ports import Unwritable
from novapulse.ledger import portable
from novapulse.ledger.audit import audit
from novapulse.ledger.backup import BrokenBackupError, backup, restore
from novapulse.ledger.journal import Ledger
from novapulse.ledger.opening import SchemaError
from novapulse.ledger.schema import REVISION
from tests.ledger.conftest import contents
from tests.ledger.written import ACCOUNTS, LEASE_NS, MAIN, SCALES, START_NS, live_on, open_accounts, write_life

LATER_NS = START_NS + 10 * LEASE_NS


def kept(where: str | Path) -> dict[str, list[tuple[object, ...]]]:
    with Ledger.open(where, durable=False, migrate=False) as ledger:
        return {table: sorted(rows) for table, rows in contents(ledger).items()}


def apart_from_restores(where: str | Path) -> dict[str, list[tuple[object, ...]]]:
    """Return what a ledger holds, but for the entries that restores left and the head and leases that these moved."""
    found = {table: rows for table, rows in kept(where).items() if table not in ("ledger", "lease")}
    return {table: [row for row in rows if "ledger_restored" not in row] for table, rows in found.items()}


def tables(url: str) -> list[Any]:
    with psycopg.connect(url) as connection:
        return connection.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = current_schema()::regnamespace UNION "
            "SELECT proname FROM pg_proc WHERE pronamespace = current_schema()::regnamespace"
        ).fetchall()


def test_one_backup_serves_both_kinds_of_place(postgresql: str, other_postgresql: str, tmp_path: Path) -> None:
    write_life(postgresql, seed=2, rounds=4)
    before, proven = kept(postgresql), audit(postgresql)
    told: list[tuple[int, int]] = []
    made = backup(postgresql, tmp_path / "server.db", progress=lambda *counts: told.append(counts))
    assert (made.audit.head_hash, made.audit.ok) == (proven.head_hash, True)
    assert told[-1][0] == told[-1][1] == sum(map(len, before.values())) + 3
    assert sorted(file.name for file in tmp_path.iterdir()) == ["server.db", "server.db.sha256"]

    assert restore(made.path, tmp_path / "ledger.db", now_ns=LATER_NS).audit.head_hash == proven.head_hash
    carried = apart_from_restores(postgresql)
    assert apart_from_restores(tmp_path / "ledger.db") == carried
    again = backup(tmp_path / "ledger.db", tmp_path / "file.db")
    done = restore(again.path, other_postgresql, now_ns=LATER_NS)
    assert (done.aside, done.audit.head_hash) == (None, again.audit.head_hash)
    assert done.audit.entries == proven.entries + len(done.halted)
    assert done.halted == tuple(sorted(ACCOUNTS)), "nobody knows what came after a backup that fills an empty server"
    assert audit(other_postgresql).entries == proven.entries + 2 * len(done.halted)
    assert apart_from_restores(other_postgresql) == carried
    assert tables(other_postgresql) == tables(postgresql)


def test_a_restored_server_is_nobodys_and_goes_on_behind_the_epochs_it_had(
    postgresql: str, other_postgresql: str, tmp_path: Path
) -> None:
    with Ledger.open(postgresql, durable=False, now_ns=START_NS) as journal:
        journal.take_lease(MAIN, "first", START_NS, LEASE_NS)
        made = backup(postgresql, tmp_path / "held.db")
    restore(made.path, other_postgresql, now_ns=START_NS + 1)
    with Ledger.open(other_postgresql, durable=False, now_ns=START_NS) as journal:
        assert journal.take_lease(MAIN, "second", START_NS + 2, LEASE_NS) == 2


def test_a_backup_is_one_state_while_a_trader_commits(postgresql: str, tmp_path: Path) -> None:
    with Ledger.open(postgresql, durable=False, now_ns=START_NS) as journal:
        journal.register_assets(SCALES)
        life = open_accounts(journal, 9, (MAIN,))[MAIN]
        live_on(journal, life)
        before = journal.head()[0]
        made = backup(postgresql, tmp_path / "busy.db", progress=lambda *_: live_on(journal, life))
        assert (made.audit.ok, made.audit.head_seq) == (True, before)
        assert journal.head()[0] > before


def test_a_broken_server_gives_no_backup(postgresql: str, tmp_path: Path) -> None:
    write_life(postgresql, seed=2, rounds=1)
    with psycopg.connect(postgresql, autocommit=True) as connection:
        connection.execute("UPDATE balance SET amount = amount + 1 WHERE book = 'cash'")
    with pytest.raises(BrokenBackupError, match=r"not backed up, it is broken: balance\.amount"):
        backup(postgresql, tmp_path / "broken.db")
    assert list(tmp_path.iterdir()) == []


def test_a_broken_backup_leaves_a_server_empty(postgresql: str, tmp_path: Path) -> None:
    write_life(tmp_path / "ledger.db", seed=2, rounds=1)
    made = backup(tmp_path / "ledger.db", tmp_path / "good.db").path
    with made.open("rb+") as file:
        file.seek(5000)
        file.write(b"?")
    with pytest.raises(BrokenBackupError, match="has the hash"):
        restore(made, postgresql, now_ns=LATER_NS)
    assert tables(postgresql) == []


@pytest.mark.parametrize("fault", ["a row that was changed on the way", "a server that stops taking rows"])
def test_what_a_server_did_not_take_whole_is_taken_away_again(
    postgresql: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    write_life(tmp_path / "ledger.db", seed=2, rounds=1)
    made = backup(tmp_path / "ledger.db", tmp_path / "good.db").path
    carry = portable._carry

    def losing(source: Any, target: Any, progress: Any) -> None:
        carry(source, target, progress)
        wrong = "UPDATE balance SET amount = amount + 1" if "changed" in fault else "SELECT 1 / 0"
        target.exec_driver_sql(wrong)

    monkeypatch.setattr(portable, "_carry", losing)
    refused, reason = (
        (BrokenBackupError, r"what the server took is broken: balance\.amount")
        if "changed" in fault
        else (Unwritable, "not restored .division by zero")
    )
    with pytest.raises(refused, match=reason):
        restore(made, postgresql, now_ns=LATER_NS)
    assert tables(postgresql) == []
    monkeypatch.undo()
    assert restore(made, postgresql, now_ns=LATER_NS).audit.ok


def test_a_server_that_holds_something_is_never_written_over(postgresql: str, tmp_path: Path) -> None:
    write_life(tmp_path / "ledger.db", seed=2, rounds=1)
    made = backup(tmp_path / "ledger.db", tmp_path / "good.db").path
    with Ledger.open(postgresql, durable=False, now_ns=START_NS) as journal:
        journal.take_lease(MAIN, "trader", START_NS, LEASE_NS)
    with pytest.raises(SchemaError, match="main at kraken by trader, for another 60 s, until 2026-08-29 10:41:00 UTC"):
        restore(made, postgresql, now_ns=START_NS + 1)
    with pytest.raises(SchemaError, match="it holds a ledger: name an empty database or schema"):
        restore(made, postgresql, now_ns=LATER_NS)


def test_what_is_no_ledger_or_of_another_schema_is_named(postgresql: str, tmp_path: Path) -> None:
    with psycopg.connect(postgresql, autocommit=True) as connection:
        connection.execute("CREATE TABLE shopping (item TEXT)")
    with pytest.raises(SchemaError, match="is not a ledger"):
        backup(postgresql, tmp_path / "none.db")
    write_life(tmp_path / "ledger.db", seed=2, rounds=1)
    made = backup(tmp_path / "ledger.db", tmp_path / "good.db").path
    with pytest.raises(SchemaError, match="is not a ledger, it holds shopping"):
        restore(made, postgresql, now_ns=LATER_NS)
    with psycopg.connect(postgresql, autocommit=True) as connection:
        connection.execute("DROP TABLE shopping")
    write_life(postgresql, seed=2, rounds=1)
    with psycopg.connect(postgresql, autocommit=True) as connection:
        connection.execute("UPDATE ledger SET revision = 1")
    with pytest.raises(SchemaError, match=f"schema 1 is not {REVISION}, which alone is carried: migrate it first"):
        backup(postgresql, tmp_path / "old.db")


def test_a_server_that_is_not_there_is_said_and_nothing_is_left(tmp_path: Path) -> None:
    write_life(tmp_path / "ledger.db", seed=2, rounds=1)
    made = backup(tmp_path / "ledger.db", tmp_path / "good.db").path
    url = URL.create("postgresql", "me", "swordfish", "127.0.0.1", 1, "x")
    nowhere = url.render_as_string(hide_password=False)
    (tmp_path / "out").mkdir()
    with pytest.raises(Unwritable, match="cannot be copied") as refused:
        backup(nowhere, tmp_path / "out" / "x.db")
    assert "swordfish" not in str(refused.value)
    assert list((tmp_path / "out").iterdir()) == []
    shutil.rmtree(tmp_path / "out")
    with pytest.raises(Unwritable, match="the server cannot be reached"):
        restore(made, nowhere, now_ns=LATER_NS)
