"""Killed, full, read-only, locked, damaged: each a named outcome, and nothing half done or lost."""

import random
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from novapulse.core.messages import Commit
from novapulse.core.ports import Unwritable
from novapulse.core.postings import Book
from novapulse.ledger.journal import Ledger
from novapulse.ledger.outbox import Outbox
from novapulse.ledger.storage import SqliteStorage
from tests.ledger.conftest import MAIN, OTHER, closed, contents, fact, intended, noted, opened, write
from tests.ledger.test_journal import chain_of

WRITER = """
import sys
from novapulse.core.messages import Commit
from tests.ledger.conftest import MAIN, fact, intended, noted, opened
place, first = sys.argv[1], int(sys.argv[2])
with opened(place) as ledger:
    for number in range(first, 10**9):
        name = str(number)
        records = (noted(name), intended(name, hold=1), fact(name, "order_attempted"))
        ledger.commit([(MAIN, Commit(records, number + 1, name.encode()))])
        print(number, flush=True)
"""


def test_a_writer_that_is_killed_at_any_moment_leaves_whole_commits_and_every_one_it_reported(tmp_path: Path) -> None:
    place, chance, written = tmp_path / "ledger.db", random.Random(3), 0
    for _ in range(6):
        command = [sys.executable, "-c", WRITER, str(place), str(written)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            reported = [int(child.stdout.readline())]
            time.sleep(chance.uniform(0, 0.1))
            child.kill()
            reported += [int(line) for line in child.stdout.read().split()]
        with opened(place) as ledger:
            head, last = ledger.head()
            assert chain_of(ledger) == last
            assert head % 3 == 0
            assert head // 3 - 1 in (reported[-1], reported[-1] + 1)
            found = ledger.restore(MAIN)
            assert (found.state, found.ts_close_ns, found.seq) == (str(head // 3 - 1).encode(), head // 3, head)
            assert found.balances[Book.HOLD, "USD"] == head // 3
            assert len(found.open_facts) == head // 3 * 2
            written = head // 3
    assert written > 20


class PlantedError(Exception):
    """Stands for a fault."""


def fault_at(ledger: Ledger, number: int, error: Exception, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let the `number`th statement of the ledger fail; gives the list of those that ran."""
    storage: Any = ledger.storage
    seen: list[str] = []

    def failing(run: Any) -> Any:
        def statement(text: str, *arguments: Any) -> Any:
            if text != "ROLLBACK":
                seen.append(text)
                if len(seen) == number:
                    raise error
            return run(text, *arguments)

        return statement

    monkeypatch.setattr(storage, "execute", failing(storage.execute))
    monkeypatch.setattr(storage, "many", failing(storage.many))
    return seen


def fill_up(ledger: Ledger) -> Commit:
    write(ledger, intended("old"))
    return Commit((intended("a"), fact("a"), closed("old"), noted()), 5, b"state")


def test_a_fault_at_any_statement_leaves_the_ledger_as_it_was(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = fill_up(ledger)
    before, number = contents(ledger), 0
    while True:
        number += 1
        with monkeypatch.context() as patch:
            seen = fault_at(ledger, number, PlantedError(), patch)
            try:
                ledger.commit([(MAIN, commit)])
            except PlantedError:
                pass
            else:
                break
        assert contents(ledger) == before
    assert number > 8, seen
    assert ledger.head() == (5, chain_of(ledger))
    assert ledger.restore(MAIN).state == b"state"


@pytest.mark.parametrize(
    ("code", "expected", "is_final"),
    [
        (sqlite3.SQLITE_FULL, "the disk is full", False),
        (sqlite3.SQLITE_BUSY, "it is locked by another connection", False),
        (sqlite3.SQLITE_READONLY, "it is read-only", False),
        (sqlite3.SQLITE_IOERR_FSYNC, "the disk fails", True),
        (sqlite3.SQLITE_CORRUPT, "the file is damaged", True),
    ],
)
@pytest.mark.parametrize("statement", ["BEGIN IMMEDIATE", "COMMIT"])
def test_each_failure_has_its_name_and_what_may_be_damage_ends_the_writing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, expected: str, is_final: bool, statement: str
) -> None:
    place = tmp_path / "ledger.db"
    with opened(place) as ledger:
        commit = fill_up(ledger)
        before, head = contents(ledger), ledger.head()
        with monkeypatch.context() as patch:
            storage: Any = ledger.storage
            run = storage.execute

            def failing(text: str, *arguments: Any) -> Any:
                if text == statement:
                    error = sqlite3.OperationalError("planted")
                    error.sqlite_errorcode = code
                    raise error
                return run(text, *arguments)

            patch.setattr(storage, "execute", failing)
            with pytest.raises(Unwritable, match=rf"{place}: not written, {expected} \(planted\)"):
                ledger.commit([(MAIN, commit)])
        assert (contents(ledger), ledger.head()) == (before, head)
        assert ledger.gone == (f"{expected} (planted)" if is_final else "")
        if is_final:
            with pytest.raises(Unwritable, match=f"not written since {expected}.*open it anew"):
                ledger.commit([(MAIN, commit)])
        else:
            ledger.commit([(MAIN, commit)])
            return
    with opened(place) as ledger:
        assert contents(ledger) == before
        ledger.commit([(MAIN, commit)])


def test_a_full_disk_loses_nothing_and_ends_when_there_is_room_again(tmp_path: Path) -> None:
    with opened(tmp_path / "ledger.db") as ledger:
        write(ledger, noted())
        (pages,) = ledger.storage.execute("PRAGMA page_count").fetchone()
        ledger.storage.execute(f"PRAGMA max_page_count = {pages + 2}")
        written = 1

        def write_on() -> None:
            nonlocal written
            for number in range(1000):
                write(ledger, intended(f"{number}" * 50), state=bytes(5000))
                written += 1

        with pytest.raises(Unwritable, match="the disk is full"):
            write_on()
        assert ledger.head() == (written, chain_of(ledger))
        ledger.storage.execute("PRAGMA max_page_count = 1000000")
        write(ledger, intended("room"))
        assert ledger.head() == (written + 1, chain_of(ledger))


LIMITED = """
import resource, sys
from novapulse.core.ports import Unwritable
from tests.ledger.conftest import intended, noted, opened, write
with opened(sys.argv[1]) as ledger:
    write(ledger, noted())
    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))
    try:
        for number in range(100_000):
            write(ledger, intended(str(number)), state=bytes(1000))
            print(number, flush=True)
    except Unwritable as error:
        print(error)
"""


def test_a_file_that_may_not_grow_ends_the_writing_by_name_and_opens_whole(tmp_path: Path) -> None:
    place = tmp_path / "ledger.db"
    done = subprocess.run([sys.executable, "-c", LIMITED, str(place)], capture_output=True, text=True, check=True)
    *numbers, said = done.stdout.splitlines()
    assert "not written, the disk" in said
    with opened(place) as ledger:
        assert ledger.head() == (int(numbers[-1]) + 2, chain_of(ledger))
        write(ledger, noted())


def test_threads_take_turns(tmp_path: Path) -> None:
    problems: list[BaseException] = []
    with opened(tmp_path / "ledger.db", "me", MAIN, OTHER) as ledger:
        outbox = Outbox(ledger)
        outbox.register("reader", after_seq=0)

        def writing(account: Any) -> None:
            try:
                for number in range(100):
                    write(ledger, intended(str(number)), noted(), account=account, state=b"s")
            except BaseException as error:
                problems.append(error)

        threads = [threading.Thread(target=writing, args=(account,)) for account in (MAIN, OTHER)]
        for thread in threads:
            thread.start()
        seen: list[int] = []
        while len(seen) < 400 and not problems:
            seen += [delivery.seq for delivery in outbox.fetch("reader", 0, 7)]
            outbox.delivered("reader", seen[-1] if seen else 0)
        for thread in threads:
            thread.join()
        assert problems == []
        assert seen == list(range(1, 401))
        assert ledger.head() == (400, chain_of(ledger))


def test_a_storage_in_memory_is_one_too() -> None:
    with opened(":memory:") as ledger:
        assert isinstance(ledger.storage, SqliteStorage)
        assert ledger.storage.execute("PRAGMA foreign_keys").fetchone()[0] == 1
        ledger.shrink_log()
