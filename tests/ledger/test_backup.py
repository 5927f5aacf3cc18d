"""A backup is one sound state of a ledger that goes on; a restore takes nothing else and loses nothing."""

import hashlib
import multiprocessing
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from novapulse.core.instruments import AccountKey
from novapulse.core.messages import Commit, Record
from novapulse.core.ports import Unwritable
from novapulse.ledger.audit import audit
from novapulse.ledger.backup import BrokenBackupError, backup, check_backup, restore
from novapulse.ledger.journal import Ledger
from novapulse.ledger.newer import NewerEntriesError
from novapulse.ledger.opening import SchemaError
from novapulse.ledger.reads import RESTORED
from tests.ledger.written import ACCOUNTS, LEASE_NS, MAIN, SCALES, START_NS, live_on, open_accounts, write_life

LATER_NS = START_NS + 10 * LEASE_NS


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("backup") / "ledger.db"
    write_life(path, seed=2, rounds=5)
    return path


@pytest.fixture(scope="module")
def saved(ledger: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return backup(ledger, tmp_path_factory.mktemp("saved") / "ledger.backup").path


def copied(saved: Path, folder: Path) -> Path:
    shutil.copy(saved.with_name(saved.name + ".sha256"), folder)
    return Path(shutil.copy(saved, folder))


def contents(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        return [line for line in connection.iterdump() if not line.startswith("PRAGMA")]


def test_a_backup_holds_what_the_ledger_holds_and_is_one_file(ledger: Path, tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    made = backup(ledger, tmp_path / "deep" / "one.db")
    assert contents(made.path) == contents(ledger)
    assert sorted(file.name for file in made.path.parent.iterdir()) == ["one.db", "one.db.sha256"]
    assert made.path.read_bytes()[18:20] == bytes((1, 1)), "it would need a log beside it to be read"
    assert made.audit.ok
    assert (made.audit.entries, made.size) == (audit(ledger).entries, made.path.stat().st_size)


def test_the_hash_beside_a_backup_is_what_sha256sum_reads(saved: Path) -> None:
    note = saved.with_name(saved.name + ".sha256")
    assert note.read_text() == f"{hashlib.sha256(saved.read_bytes()).hexdigest()}  {saved.name}\n"
    checked = subprocess.run(["sha256sum", "-c", note.name], cwd=saved.parent, capture_output=True, check=False)
    assert checked.returncode == 0, checked.stderr


def test_a_backup_is_never_written_over(ledger: Path, saved: Path) -> None:
    before = saved.read_bytes()
    with pytest.raises(Unwritable, match="is there already"):
        backup(ledger, saved)
    assert saved.read_bytes() == before


def test_commits_between_its_steps_do_not_start_a_backup_anew(tmp_path: Path) -> None:
    path, steps = tmp_path / "busy.db", list[int]()
    write_life(path, seed=2, rounds=5)
    with Ledger.open(path, durable=False, now_ns=START_NS) as journal:

        def write(done: int, _total: int) -> None:
            assert done > max(steps, default=0), "the copy was started anew"
            steps.append(done)
            journal.take_lease(MAIN, f"step {done}", START_NS + 2 * LEASE_NS * len(steps), LEASE_NS)

        made = backup(path, tmp_path / "busy.backup", pages=4, progress=write)
    assert len(steps) > 10
    with closing(sqlite3.connect(made.path)) as connection:
        holders = connection.execute("SELECT holder FROM lease").fetchall()
    assert {holder for (holder,) in holders} == {"test"}


def test_a_backup_is_one_state_while_a_writer_commits(tmp_path: Path) -> None:
    path = tmp_path / "busy.db"
    with Ledger.open(path, durable=False, now_ns=START_NS) as journal:
        journal.register_assets(SCALES)
        lives = open_accounts(journal, 5)
        stop, written = threading.Event(), threading.Event()

        def write() -> None:
            while not stop.is_set():
                for life in lives.values():
                    live_on(journal, life)
                if journal.head()[0] > 2000:
                    written.set()

        writer = threading.Thread(target=write)
        writer.start()
        try:
            assert written.wait(60)
            before = journal.head()[0]
            made = backup(path, tmp_path / "busy.backup", pages=2, pause_s=0.002)
            after = journal.head()[0]
        finally:
            stop.set()
            writer.join()
    assert before <= made.audit.head_seq < after, "nothing was written while it was copied"
    assert made.audit.ok
    assert audit(path).ok


def _write_until_told(
    path: str, told: "multiprocessing.synchronize.Event", ready: "multiprocessing.synchronize.Event"
) -> None:
    with Ledger.open(path, durable=False, now_ns=START_NS) as journal:
        journal.register_assets(SCALES)
        lives = open_accounts(journal, 9)
        while not told.is_set():
            for life in lives.values():
                live_on(journal, life)
            ready.set()


def test_a_backup_beside_another_process_is_sound_and_a_restore_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "apart.db"
    context = multiprocessing.get_context("spawn")
    told, ready = context.Event(), context.Event()
    writer = context.Process(target=_write_until_told, args=(str(path), told, ready))
    writer.start()
    try:
        assert ready.wait(60)
        made = backup(path, tmp_path / "apart.backup", pages=4)
        with pytest.raises(Unwritable, match=f"process {writer.pid} writes this ledger"):
            restore(made.path, path, now_ns=LATER_NS)
    finally:
        told.set()
        writer.join(60)
    assert writer.exitcode == 0
    assert made.audit.ok
    assert restore(made.path, path, now_ns=LATER_NS, drop_newer=True).audit.head_seq == made.audit.head_seq


def test_a_broken_ledger_gives_no_backup(ledger: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.db"
    backup(ledger, broken)
    with closing(sqlite3.connect(broken)) as connection:
        connection.execute("UPDATE balance SET amount = amount + 1 WHERE book = 'cash'")
        connection.commit()
    target = tmp_path / "target.db"
    with pytest.raises(BrokenBackupError, match=r"broken\.db: not backed up, it is broken: balance\.amount"):
        backup(broken, target)
    assert not list(tmp_path.glob("*target*")), "something was left behind"


@given(at=st.integers(0, 10**8), bit=st.integers(0, 7))
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_backup_with_any_flipped_bit_is_refused(saved: Path, tmp_path: Path, at: int, bit: int) -> None:
    broken, target = copied(saved, tmp_path), tmp_path / "ledger.db"
    raw = bytearray(broken.read_bytes())
    raw[at % len(raw)] ^= 1 << bit
    broken.write_bytes(raw)
    with pytest.raises(BrokenBackupError, match="has the hash"):
        restore(broken, target, now_ns=LATER_NS)
    assert not target.exists()


def test_a_backup_that_was_changed_and_hashed_anew_fails_its_audit(saved: Path, tmp_path: Path) -> None:
    broken, target = copied(saved, tmp_path), tmp_path / "ledger.db"
    with closing(sqlite3.connect(broken)) as connection:
        connection.execute("UPDATE balance SET amount = amount + 1 WHERE book = 'cash'")
        connection.commit()
    broken.with_name(broken.name + ".sha256").write_text(f"{hashlib.sha256(broken.read_bytes()).hexdigest()}  x\n")
    with pytest.raises(BrokenBackupError, match=r"is broken: balance\.amount"):
        restore(broken, target, now_ns=LATER_NS)
    assert not target.exists()


@pytest.mark.parametrize("note", [None, b"", b"\xff\xfe", b"0" * 64])
def test_a_backup_whose_hash_is_gone_or_wrong_is_refused(saved: Path, tmp_path: Path, note: bytes | None) -> None:
    lonely = copied(saved, tmp_path)
    beside = lonely.with_name(lonely.name + ".sha256")
    beside.unlink()
    if note is not None:
        beside.write_bytes(note)
    with pytest.raises(BrokenBackupError, match="hash"):
        check_backup(lonely)


@pytest.mark.parametrize("size", [0, 1, 4096, -1])
def test_a_backup_cut_short_is_refused(saved: Path, tmp_path: Path, size: int) -> None:
    short = copied(saved, tmp_path)
    short.write_bytes(short.read_bytes()[:size])
    with pytest.raises(BrokenBackupError, match="has the hash"):
        restore(short, tmp_path / "ledger.db", now_ns=LATER_NS)


def test_a_restored_ledger_goes_on_and_the_replaced_one_is_kept(saved: Path, tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    write_life(path, seed=33, rounds=2)
    replaced = contents(path)
    done = restore(saved, path, now_ns=LATER_NS, drop_newer=True)
    assert done.aside is not None
    assert contents(done.aside) == replaced
    with Ledger.open(path, durable=False, now_ns=LATER_NS) as journal:
        journal.take_lease(MAIN, "next", LATER_NS, LEASE_NS)
        assert journal.head()[0] == done.audit.head_seq + len(done.halted)
    assert audit(path).ok
    assert not [file.name for file in tmp_path.iterdir() if file.name.startswith(".")], "something was left behind"


def test_a_restore_that_drops_nothing_puts_back_what_was_saved_to_the_bit(ledger: Path, tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    made = backup(ledger, path).path
    done = restore(made, path, now_ns=LATER_NS)
    assert (done.lost, done.halted) == (None, ())
    assert path.read_bytes() == made.read_bytes()


def _dropped(path: Path, account: AccountKey) -> list[Record]:
    with Ledger.open(path, durable=False, now_ns=LATER_NS) as journal:
        found = journal.restore(account)
        found.check()
        return [entry.record for entry in found.entries if entry.record.kind == RESTORED]


def test_newer_entries_are_dropped_only_where_that_was_said_and_every_account_hears_of_it(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    write_life(path, seed=2, rounds=2)
    made = backup(path, tmp_path / "old.db")
    with Ledger.open(path, durable=False, now_ns=LATER_NS) as journal:
        journal.take_lease(MAIN, "next", LATER_NS, LEASE_NS)
        for number in range(3):
            record = Record("session_stopped", LATER_NS + number * 60_000_000_000, {})
            journal.commit([(MAIN, Commit((record,)))])
        journal.release_lease(MAIN, LATER_NS)
    before = contents(path)
    told = "3 newer entries, from 2026-08-29 10:50:00Z to 2026-08-29 10:52:00Z"
    with pytest.raises(NewerEntriesError, match=f"not restored, {told}: --drop-newer drops them"):
        restore(made.path, path, now_ns=LATER_NS)
    assert contents(path) == before
    done = restore(made.path, path, now_ns=LATER_NS, drop_newer=True)
    assert done.lost is not None
    assert (done.lost.entries, done.halted) == (3, tuple(sorted(ACCOUNTS)))
    assert audit(path).ok
    for account in ACCOUNTS:
        (record,) = _dropped(path, account)
        assert record.body["dropped"] == 3
        assert f"{told}, were dropped" in str(record.body["text"])
    # What was put back has an entry that the backup does not have, too.
    with pytest.raises(NewerEntriesError, match="not restored, 3 newer entries"):
        restore(made.path, path, now_ns=LATER_NS)


def test_entries_behind_a_fork_are_counted_from_the_fork(tmp_path: Path) -> None:
    path, other = tmp_path / "ledger.db", tmp_path / "other.db"
    write_life(path, seed=2, rounds=1)
    shutil.copy(path, other)
    for ledger, number in ((path, 2), (other, 5)):
        with Ledger.open(ledger, durable=False, now_ns=LATER_NS) as journal:
            journal.take_lease(MAIN, "next", LATER_NS, LEASE_NS)
            for at in range(number):
                journal.commit([(MAIN, Commit((Record("session_stopped", LATER_NS + at, {"at": number}),)))])
            journal.release_lease(MAIN, LATER_NS)
    made = backup(other, tmp_path / "other.backup")
    with pytest.raises(NewerEntriesError, match="not restored, 2 newer entries, from"):
        restore(made.path, path, now_ns=LATER_NS)


def test_where_no_ledger_was_nobody_knows_what_came_after_and_the_accounts_hear_of_it(
    saved: Path, tmp_path: Path
) -> None:
    path = tmp_path / "ledger.db"
    done = restore(saved, path, now_ns=LATER_NS)
    assert (done.aside, done.halted) == (None, tuple(sorted(ACCOUNTS)))
    (record,) = _dropped(path, MAIN)
    assert record.body["dropped"] is None
    assert "what came after the backup is not known" in str(record.body["text"])
    assert audit(path).ok


def test_a_log_that_was_left_behind_is_not_replayed_into_the_restored_ledger(saved: Path, tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    write_life(path, seed=33, rounds=1)
    unclean = sqlite3.connect(path)
    unclean.execute("PRAGMA wal_autocheckpoint = 0")
    unclean.execute("INSERT INTO consumer VALUES ('somebody', 0, 0, 0)")
    unclean.commit()
    for name in ("", "-wal", "-shm"):
        shutil.copy(f"{path}{name}", tmp_path / f"killed.db{name}")
    unclean.close()
    killed = tmp_path / "killed.db"
    done = restore(saved, killed, now_ns=LATER_NS, drop_newer=True)
    assert not any("somebody" in line for line in contents(killed))
    assert done.aside is not None
    assert any("somebody" in line for line in contents(done.aside)), "the replaced ledger lost its log"


def test_nothing_is_restored_while_a_lease_is_held(saved: Path, tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with Ledger.open(path, durable=False, now_ns=START_NS) as journal:
        journal.take_lease(MAIN, "trader on host", START_NS, LEASE_NS)
        with pytest.raises(Unwritable, match="writes this ledger"):
            restore(saved, path, now_ns=START_NS + 1)
    before = contents(path)
    with pytest.raises(SchemaError, match="main at kraken by trader on host, for another 60 s"):
        restore(saved, path, now_ns=START_NS + 1)
    assert contents(path) == before
    assert restore(saved, path, now_ns=START_NS + LEASE_NS).audit.ok


def _trade_until_killed(path: str, host: str, ready: "multiprocessing.synchronize.Event") -> None:
    with Ledger.open(path, durable=False, now_ns=START_NS) as journal:
        journal.take_lease(MAIN, f"trader (process {os.getpid()})", START_NS, LEASE_NS, host)
        ready.set()
        time.sleep(600)


@pytest.mark.parametrize("host", [socket.gethostname(), "another"], ids=["this host", "another host"])
def test_the_lease_of_a_killed_process_of_this_host_is_in_nobodys_way(saved: Path, tmp_path: Path, host: str) -> None:
    path = tmp_path / "ledger.db"
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    trader = context.Process(target=_trade_until_killed, args=(str(path), host, ready))
    trader.start()
    try:
        assert ready.wait(60)
        with pytest.raises(Unwritable, match=f"process {trader.pid} writes this ledger"):
            restore(saved, path, now_ns=START_NS + 1)
    finally:
        trader.kill()
        trader.join(60)
    assert trader.exitcode == -signal.SIGKILL
    if host == socket.gethostname():
        assert restore(saved, path, now_ns=START_NS + 1).audit.ok
    else:
        with pytest.raises(SchemaError, match=r"for another 60 s, until 2026-08-29 10:41:00 UTC"):
            restore(saved, path, now_ns=START_NS + 1)


def test_a_damaged_ledger_can_be_replaced(saved: Path, tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    path.write_bytes(b"SQLite format 3\0" + b"\xff" * 8000)
    with pytest.raises(NewerEntriesError, match=r"cannot be read .*how many newer entries it has is not known"):
        restore(saved, path, now_ns=LATER_NS)
    done = restore(saved, path, now_ns=LATER_NS, drop_newer=True)
    assert done.lost is not None
    assert done.lost.entries is None
    assert done.aside is not None
    assert done.aside.read_bytes().endswith(b"\xff" * 8000)
    assert audit(path).ok


def test_a_folder_that_is_not_there_is_named_and_not_made(ledger: Path, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    with pytest.raises(Unwritable, match=rf"one\.db: there is no folder {disk}: mount its disk"):
        backup(ledger, disk / "deep" / "one.db")
    assert not disk.exists()


def test_a_backup_that_finds_no_room_names_its_target_and_not_the_ledger(
    ledger: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def narrow(path: object, *rest: object, **more: Any) -> sqlite3.Connection:
        connection = sqlite3_connect(path, *rest, **more)
        if not more.get("uri"):
            connection.execute("PRAGMA max_page_count = 2")
        return connection

    sqlite3_connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", narrow)
    with pytest.raises(Unwritable, match=r"one\.db: cannot be written, the disk is full") as told:
        backup(ledger, tmp_path / "one.db")
    assert str(ledger) not in str(told.value)
    assert not list(tmp_path.iterdir())


def test_what_is_not_there_is_said(saved: Path, tmp_path: Path) -> None:
    with pytest.raises(Unwritable, match="there is no such ledger"):
        backup(tmp_path / "none.db", tmp_path / "copy.db")
    with pytest.raises(Unwritable, match="there is no such backup"):
        restore(tmp_path / "none.backup", tmp_path / "ledger.db", now_ns=LATER_NS)


def test_a_folder_that_cannot_be_written_is_said_and_nothing_is_lost(ledger: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(Unwritable, match="cannot be written"):
        backup(ledger, tmp_path / "file" / "copy.db")
