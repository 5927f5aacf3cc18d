"""control.db: which files are one, and what becomes of those that are not."""

import os
import re
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from novapulse.control import schema
from novapulse.control.inbox import Inbox
from novapulse.control.plane import ControlPlane
from novapulse.control.storage import ControlError, Storage, UnusableError
from novapulse.core.instruments import AccountKey


def made(path: Path, *statements: str) -> bytes:
    with closing(sqlite3.connect(path)) as database:
        for statement in statements:
            database.execute(statement)
        database.commit()
    return path.read_bytes()


FOREIGN = {
    "a database of something else": ("CREATE TABLE bookmark (url TEXT)",),
    "another program's mark": ("PRAGMA application_id = 77",),
    "an unmarked file with a version": ("PRAGMA user_version = 3",),
    "one of a later version": (
        f"PRAGMA application_id = {schema.APPLICATION_ID}",
        f"PRAGMA user_version = {schema.VERSION + 1}",
    ),
}


@pytest.mark.parametrize("statements", FOREIGN.values(), ids=FOREIGN)
def test_what_is_not_ours_is_refused_and_left_alone(statements: tuple[str, ...], tmp_path: Path) -> None:
    before = made(tmp_path / "control.db", *statements)
    with pytest.raises(ControlError, match=r"control\.db cannot be used: it is (a database of|of version)"):
        Storage(tmp_path / "control.db")
    assert (tmp_path / "control.db").read_bytes() == before


def test_an_inbox_of_the_first_version_keeps_its_commands(tmp_path: Path) -> None:
    path = tmp_path / "control.db"
    made(
        path,
        *filter(str.strip, schema.INBOX.split(";")),
        "INSERT INTO command VALUES (1, 'c1', 'halt', 'kraken', 'main', '{}', 'cli:ann', 5, NULL, NULL)",
    )
    inbox = Inbox(path)
    assert [(one.command_id, one.account) for one in inbox.pending()] == [("c1", AccountKey("kraken", "main"))]
    with Storage(path).reading() as database:
        assert database.execute("PRAGMA user_version").fetchone() == (schema.VERSION,)
        assert database.execute("SELECT count(*) FROM audit").fetchone() == (0,)


def test_a_file_of_version_1_keeps_its_keys_which_work_from_anywhere(tmp_path: Path) -> None:
    path, column = tmp_path / "control.db", ",\n    networks TEXT NOT NULL DEFAULT ''"
    assert column in schema.PEOPLE
    made(
        path,
        *filter(str.strip, (schema.INBOX + schema.PEOPLE.replace(column, "") + schema.AUDIT).split(";")),
        *schema.TRIGGERS,
        f"PRAGMA application_id = {schema.APPLICATION_ID}",
        "PRAGMA user_version = 1",
        "INSERT INTO person VALUES ('ann', 'viewer', NULL, 1, 1, NULL)",
        "INSERT INTO api_key VALUES ('p', x'00', 'ann', 'a script', 'read', 1, 2, NULL, NULL)",
    )
    for _ in range(2):
        (key,) = ControlPlane(tmp_path).keys.of("ann")
        assert (key.label, key.networks) == ("a script", ())
        assert ControlPlane(tmp_path).second_factors.of("ann") is None
    with Storage(path).reading() as database:
        assert database.execute("PRAGMA user_version").fetchone() == (schema.VERSION,)


def test_a_file_of_version_2_keeps_its_people_who_have_no_second_factor(tmp_path: Path) -> None:
    path = tmp_path / "control.db"
    made(
        path,
        *filter(str.strip, (schema.INBOX + schema.PEOPLE + schema.AUDIT).split(";")),
        *schema.TRIGGERS,
        f"PRAGMA application_id = {schema.APPLICATION_ID}",
        "PRAGMA user_version = 2",
        "INSERT INTO person VALUES ('ann', 'admin', 'a hash', 1, 1, NULL)",
        "INSERT INTO session VALUES (x'00', 'h', 'ann', 'c', '', '', 1, 1, 9, 0)",
    )
    tables = "SELECT name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%' ORDER BY name"
    with closing(sqlite3.connect(path)) as database:
        before = dict(database.execute(tables).fetchall())
    for _ in range(2):
        plane = ControlPlane(tmp_path, clock=lambda: 2)
        (ann,) = plane.people.all()
        assert (ann.can_sign_in, ann.has_second_factor) == (True, False)
        (session,) = plane.sessions.of("ann")
        assert not session.has_second_factor
    with closing(sqlite3.connect(path)) as database, closing(sqlite3.connect(":memory:")) as fresh:
        schema.prepare(fresh)
        after = dict(database.execute(tables).fetchall())
        assert after == dict(fresh.execute(tables).fetchall())
        assert before.items() <= after.items(), "what was there is as it was"
        assert database.execute("PRAGMA user_version").fetchone() == (schema.VERSION,)


def fill(storage: Storage) -> None:
    with storage.writing() as database:
        database.execute("PRAGMA max_page_count = 1")
        database.execute("CREATE TABLE much AS SELECT randomblob(100000)")


def test_a_full_disk_is_named_and_what_to_do(tmp_path: Path) -> None:
    storage = Storage(tmp_path / "control.db")
    advice = f"the disk is full .*: free space at {re.escape(str(tmp_path))}; .* SIGTERM"
    with pytest.raises(UnusableError, match=advice):
        fill(storage)


def test_only_its_owner_may_read_it(tmp_path: Path) -> None:
    path = tmp_path / "control.db"
    Storage(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    os.chmod(path, 0o644)
    Storage(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_half_a_transaction_is_none(tmp_path: Path) -> None:
    storage = Storage(tmp_path / "control.db")

    def broken() -> None:
        with storage.writing() as database:
            database.execute("INSERT INTO person (name, role, created_ns, changed_ns) VALUES ('ann', 'admin', 1, 1)")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        broken()
    with storage.reading() as database:
        assert database.execute("SELECT count(*) FROM person").fetchone() == (0,)


def test_what_is_committed_is_on_the_disk(tmp_path: Path) -> None:
    """In a process of its own, as these tests spare themselves the wait; FULL is 2, a file with a journal is DELETE."""
    code = (
        "import sys; from pathlib import Path; from novapulse.control.storage import Storage\n"
        "with Storage(Path(sys.argv[1])).writing() as database:\n"
        "    print(*(database.execute('PRAGMA ' + name).fetchone()[0] for name in ('synchronous', 'journal_mode')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "control.db"], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["2", "delete"]


def test_commands_alone_load_neither_what_signing_in_needs_nor_the_ledger() -> None:
    """The trader lives without the libraries for passwords and codes, and a command does not wait for them."""
    code = (
        "import sys, novapulse.control.plane, novapulse.cli.control, novapulse.cli.people; "
        "print([name for name in ('argon2', 'pyotp', 'segno', 'sqlalchemy', 'fastapi') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
