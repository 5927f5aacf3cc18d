"""Opening a file: who may, what is refused and by which name, and the settings and the log that it is opened with."""

import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing as closing_it
from contextlib import contextmanager
from pathlib import Path

import pytest

from novapulse.core.ports import Unwritable
from novapulse.ledger.audit import audit
from novapulse.ledger.journal import Ledger
from novapulse.ledger.opening import CHECKPOINT_PAGES, PAGE_BYTES
from tests.ledger.conftest import MAIN, closed, intended, noted, opened, write
from tests.ledger.test_durability import WRITER
from tests.ledger.test_journal import chain_of

NOBODY = 65534


@contextmanager
def as_nobody() -> Iterator[None]:
    """Run as somebody whom file permissions bind."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that everybody may enter and write to."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        Path(folder).chmod(0o777)
        yield Path(folder)


def test_a_read_only_file_is_refused_by_name(open_folder: Path) -> None:
    place = open_folder / "ledger.db"
    opened(place).close()
    Path(f"{place}.lock").unlink()
    place.chmod(0o444)
    with as_nobody(), Ledger.open(place) as ledger, pytest.raises(Unwritable, match="not written, it is read-only"):
        ledger.take_lease(MAIN, "me", now_ns=1, ttl_ns=1)
    open_folder.chmod(0o555)
    Path(f"{place}.lock").unlink()
    with as_nobody(), pytest.raises(Unwritable, match=r"cannot be locked for writing .*Permission denied"):
        Ledger.open(place)


def test_a_folder_in_the_file_s_place_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(Unwritable, match="the file cannot be opened"):
        Ledger.open(tmp_path)


def test_a_foreign_connection_that_holds_the_file_is_waited_for_and_then_named(tmp_path: Path) -> None:
    place = tmp_path / "ledger.db"
    with opened(place) as ledger:
        head = ledger.head()
        foreign = sqlite3.connect(place, isolation_level=None)
        foreign.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unwritable, match="locked by another connection"):
            write(ledger, noted())
        assert ledger.head() == head
        foreign.execute("ROLLBACK")
        foreign.close()
        write(ledger, noted())


def test_a_foreign_connection_that_stays_is_waited_for_once_and_in_full_again_when_it_has_gone(tmp_path: Path) -> None:
    place = tmp_path / "ledger.db"

    def patience_ms() -> int:
        return int(ledger.storage.execute("PRAGMA busy_timeout").fetchone()[0])

    with (
        Ledger.open(place, busy_ms=1500) as ledger,
        closing_it(sqlite3.connect(place, isolation_level=None)) as foreign,
    ):
        ledger.take_lease(MAIN, "a test", 1, 10**18)
        foreign.execute("BEGIN IMMEDIATE")
        for patient_ms in (1500, 250, 250):
            assert patience_ms() == patient_ms
            with pytest.raises(Unwritable, match="locked by another connection"):
                ledger.release_lease(MAIN, 2)
        foreign.execute("ROLLBACK")
        ledger.release_lease(MAIN, 2)
        assert patience_ms() == 1500


def test_a_second_writer_is_refused_and_told_who_writes(tmp_path: Path) -> None:
    place = tmp_path / "ledger.db"
    with opened(place):
        code = f"from novapulse.ledger.journal import Ledger; Ledger.open({str(place)!r})"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert f"Unwritable: {place}: process {os.getpid()} writes this ledger already" in done.stderr
    opened(place).close()


def test_the_lock_of_a_killed_writer_is_free(tmp_path: Path) -> None:
    place = tmp_path / "ledger.db"
    command = [sys.executable, "-c", WRITER, str(place), "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        child.stdout.readline()
        child.send_signal(signal.SIGSTOP)
        with pytest.raises(Unwritable, match=f"process {child.pid} writes"):
            Ledger.open(place)
        child.kill()
    opened(place).close()


def filled_file(place: Path) -> None:
    with opened(place) as ledger:
        write(ledger, *(intended(str(number)) for number in range(300)))


DAMAGE = {
    "another format": (0, b"not a database at all", "no SQLite database"),
    "garbage in the tables": (2048, os.urandom(4096), "damaged"),
    "zeros in the middle": (2048 * 20, bytes(2048 * 8), "damaged"),
}


@pytest.mark.parametrize(("offset", "garbage", "expected"), DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_file_is_not_opened(tmp_path: Path, offset: int, garbage: bytes, expected: str) -> None:
    place = tmp_path / "ledger.db"
    filled_file(place)
    with place.open("r+b") as file:
        file.seek(offset)
        file.write(garbage)
    with pytest.raises(Unwritable, match=expected):
        Ledger.open(place)


def test_half_a_file_is_not_opened(tmp_path: Path) -> None:
    place = tmp_path / "ledger.db"
    filled_file(place)
    os.truncate(place, place.stat().st_size // 2)
    with pytest.raises(Unwritable, match="damaged"):
        Ledger.open(place)


def test_damage_that_shows_while_writing_ends_the_writing(tmp_path: Path) -> None:
    place = tmp_path / "ledger.db"
    filled_file(place)
    with opened(place) as ledger:
        ledger.shrink_log()
        ledger.storage.execute("PRAGMA cache_size = 1")
        ledger.storage.execute("PRAGMA shrink_memory")
        with place.open("r+b") as file:
            file.seek(2048)
            file.write(b"\xff" * (place.stat().st_size - 2048))
        with pytest.raises(Unwritable, match="the file is damaged"):
            write(ledger, intended("new"))
        with pytest.raises(Unwritable, match="not written since the file is damaged"):
            write(ledger, noted())


def test_a_file_is_opened_with_the_settings_that_durability_needs(tmp_path: Path) -> None:
    expected = {
        "journal_mode": "wal",
        "synchronous": 2,
        "foreign_keys": 1,
        "busy_timeout": 5000,
        "wal_autocheckpoint": 2000,
        "mmap_size": 0,
        "temp_store": 2,
        "cell_size_check": 1,
        "trusted_schema": 0,
    }
    with Ledger.open(tmp_path / "ledger.db") as ledger:
        found = {name: ledger.storage.execute(f"PRAGMA {name}").fetchone()[0] for name in expected}
    assert found == expected
    with Ledger.open(tmp_path / "fast.db", durable=False) as ledger:
        assert ledger.storage.execute("PRAGMA synchronous").fetchone()[0] == 0


def test_the_write_ahead_log_stays_small_and_is_emptied_on_demand(tmp_path: Path) -> None:
    place = tmp_path / "ledger.db"
    log = Path(f"{place}-wal")
    with opened(place) as ledger:
        for number in range(800):
            write(ledger, intended(str(number)), state=bytes(2000))
        assert 100_000 < log.stat().st_size < 5_000_000
        ledger.shrink_log()
        assert log.stat().st_size == 0
        write(ledger, noted())


def test_no_commit_waits_for_the_log_to_grow_and_what_filled_it_is_nowhere(tmp_path: Path) -> None:
    path, log = tmp_path / "ledger.db", tmp_path / "ledger.db-wal"
    with opened(path) as ledger:
        size = log.stat().st_size
        assert size >= CHECKPOINT_PAGES * PAGE_BYTES
        for number in range(500):
            write(ledger, intended(str(number)), closed(str(number)))
        assert log.stat().st_size == size
        with ledger.reading() as storage:
            tables = storage.execute("SELECT name FROM sqlite_master WHERE name = 'room'").fetchall()
            pages = storage.execute("PRAGMA page_count").fetchone()[0]
        assert (tables, pages < CHECKPOINT_PAGES) == ([], True)
    assert audit(path).ok


def test_a_log_that_is_left_behind_by_a_kill_while_it_was_filled_holds_nothing(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with opened(path) as ledger:
        write(ledger, noted("kept"))
        for name in ("ledger.db", "ledger.db-wal"):
            shutil.copy(tmp_path / name, tmp_path / f"copy-{name}")
    with opened(tmp_path / "copy-ledger.db") as ledger:
        assert [entry.record.body["text"] for entry in ledger.records(MAIN)] == ["kept"]
        assert chain_of(ledger) == ledger.head()[1]


def test_a_file_that_a_foreign_connection_holds_is_opened_without_waiting_for_it(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with opened(path) as ledger:
        write(ledger, noted("before"))
    with closing_it(sqlite3.connect(path, isolation_level=None)) as foreign:
        foreign.execute("BEGIN IMMEDIATE")
        began = time.monotonic()
        with Ledger.open(path, now_ns=1, busy_ms=60_000) as ledger:
            assert time.monotonic() - began < 30
            foreign.execute("ROLLBACK")
            ledger.take_lease(MAIN, "me", 10**18, 1)
            write(ledger, noted("behind"))
            assert ledger.head()[0] == 2


def test_nothing_is_left_open_when_a_ledger_is_refused(tmp_path: Path) -> None:
    place = tmp_path / "ledger.db"
    place.write_bytes(b"x" * 5000)
    handles = len(os.listdir("/dev/fd"))
    for _ in range(5):
        with pytest.raises(Unwritable):
            Ledger.open(place)
    assert len(os.listdir("/dev/fd")) == handles
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] > handles
