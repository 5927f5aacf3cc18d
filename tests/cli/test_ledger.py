"""`novapulse ledger` (V-7): the books are proven, copied, put back and handed on from the command line."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from novapulse.core.messages import Commit, Record
from novapulse.core.ports import JournalError
from novapulse.ledger.journal import Ledger
from novapulse.ledger.reads import Entry
from tests.cli.conftest import Cli
from tests.ledger.written import ACCOUNTS, MAIN, START_NS, write_life


@pytest.fixture
def ledger(home: Path) -> Path:
    home.mkdir(exist_ok=True)
    write_life(home / "ledger.db", seed=1, rounds=3)
    return home / "ledger.db"


def spoil(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP TRIGGER IF EXISTS event_no_update")
        connection.execute(statement)
        connection.commit()


def test_a_sound_ledger_is_proven(cli: Cli, ledger: Path) -> None:
    outcome = cli("ledger", "audit")
    assert outcome.code == 0
    assert "every one as it was written" in outcome.out
    told = json.loads(cli("ledger", "audit", "--json").out)
    assert (told["ok"], told["first_bad"], told["faults"]) == (True, None, 0)
    assert told["entries"] == told["head"]["seq"] > 100
    assert f"head {told['head']['seq']} {told['head']['hash']}" in outcome.out
    assert cli("ledger", "audit", "--head", told["head"]["hash"]).code == 0


def test_the_first_bad_entry_is_named_and_the_exit_code_says_so(cli: Cli, ledger: Path) -> None:
    spoil(ledger, "UPDATE event SET ts_ns = ts_ns + 1 WHERE seq IN (40, 20)")
    outcome = cli("ledger", "audit")
    assert outcome.code == 1
    assert "entry 20: event.hash" in outcome.err
    assert outcome.out.index("entry 20") < outcome.out.index("entry 40")
    told = json.loads(cli("ledger", "audit", "--json").out)
    assert (told["ok"], told["first_bad"]["seq"], told["first_bad"]["where"]) == (False, 20, "event.hash")


@pytest.mark.parametrize("content", [b"", b"not a ledger " * 1000])
def test_a_file_that_is_no_ledger_fails_the_audit_with_one_object(cli: Cli, home: Path, content: bytes) -> None:
    home.mkdir()
    (home / "ledger.db").write_bytes(content)
    outcome = cli("ledger", "audit", "--json")
    told = json.loads(outcome.out)
    assert (outcome.code, told["ok"], told["entries"], told["first_bad"]["where"]) == (1, False, 0, "file")
    assert "ledger.db" in outcome.err


@pytest.mark.parametrize("verb", [["audit"], ["backup"], ["export", "out"], ["migrate"]])
def test_a_ledger_that_is_not_there_is_wrong_usage(cli: Cli, home: Path, verb: list[str]) -> None:
    outcome = cli("ledger", *verb)
    assert (outcome.code, outcome.out) == (2, "")
    assert "there is no ledger" in outcome.err


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["audit", "--head", "abc"], "expected 64 hex digits"),
        (["audit", "--ledger", "mysql://there/db"], "expected a path, sqlite:///PATH or postgresql://"),
        (["export", "out", "--format", "xml"], "invalid choice: 'xml'"),
        (["restore"], "required: FILE"),
        ([], "usage"),
    ],
)
def test_wrong_words_are_refused(cli: Cli, ledger: Path, words: list[str], complaint: str) -> None:
    outcome = cli("ledger", *words)
    assert outcome.code == 2
    assert complaint in outcome.err


def test_a_backup_goes_out_and_comes_back(cli: Cli, ledger: Path, home: Path) -> None:
    made = json.loads(cli("ledger", "backup", "--json").out)
    copy = Path(made["path"])
    assert copy.parent == home / "backups"
    assert (made["ok"], made["bytes"]) == (True, copy.stat().st_size)
    spoil(ledger, "UPDATE event SET kind = 'nothing' WHERE seq = 9")
    assert cli("ledger", "audit").code == 1
    done = json.loads(cli("ledger", "restore", str(copy), "--json").out)
    assert (done["ok"], done["head"], done["entries"]) == (True, made["head"], made["entries"])
    assert Path(done["replaced"]).is_file()
    assert cli("ledger", "audit").code == 0


def test_a_broken_backup_is_refused_and_the_ledger_stays(cli: Cli, ledger: Path, home: Path) -> None:
    copy = home / "copy.db"
    assert cli("ledger", "backup", str(copy)).code == 0
    spoil(copy, "UPDATE event SET kind = 'nothing' WHERE seq = 9")
    before = ledger.read_bytes()
    outcome = cli("ledger", "restore", str(copy), "--json")
    told = json.loads(outcome.out)
    assert (outcome.code, told["ok"]) == (1, False)
    assert "has the hash" in told["error"]
    assert ledger.read_bytes() == before


def every(journal: Ledger) -> list[Entry]:
    return [entry for account in ACCOUNTS for entry in journal.records(account)]


def test_text_that_is_none_is_named_as_damage_and_the_way_to_find_it(ledger: Path) -> None:
    with closing(sqlite3.connect(ledger)) as connection:
        connection.execute("DROP TRIGGER IF EXISTS event_no_update")
        connection.execute("UPDATE event SET body = CAST(x'ff' AS TEXT) WHERE seq = 40")
        connection.commit()
    advice = "an entry in it is damaged, 'novapulse ledger audit' names it"
    with Ledger.open(ledger) as journal, pytest.raises(JournalError, match=advice):
        every(journal)


def test_a_backup_without_its_hash_is_a_plain_sentence(cli: Cli, ledger: Path, home: Path) -> None:
    copy = home / "copy.db"
    assert cli("ledger", "backup", copy).code == 0
    copy.with_name("copy.db.sha256").unlink()
    outcome = cli("ledger", "restore", copy)
    assert outcome.code == 1
    assert f"{copy}: its hash {copy}.sha256 is not there: a backup is two files" in outcome.err
    assert "Errno" not in outcome.err


def test_a_restore_that_would_drop_entries_says_how_many_and_from_when(cli: Cli, ledger: Path, home: Path) -> None:
    copy = home / "copy.db"
    assert cli("ledger", "backup", copy).code == 0
    with Ledger.open(ledger) as journal:
        journal.take_lease(MAIN, "next", START_NS, 10**9)
        journal.commit([(MAIN, Commit((Record("session_stopped", START_NS, {}),)))])
        journal.release_lease(MAIN, START_NS)
    outcome = cli("ledger", "restore", copy)
    assert (outcome.code, outcome.out) == (1, "")
    assert "not restored, 1 newer entry, from 2026-08-29" in outcome.err
    assert "--drop-newer drops them" in outcome.err
    done = json.loads(cli("ledger", "restore", copy, "--drop-newer", "--json").out)
    assert (done["dropped"]["entries"], len(done["halted"])) == (1, 3)


def test_a_broken_ledger_is_not_backed_up(cli: Cli, ledger: Path, home: Path) -> None:
    spoil(ledger, "UPDATE event SET kind = 'nothing' WHERE seq = 9")
    outcome = cli("ledger", "backup")
    assert outcome.code == 1
    assert "not backed up, it is broken: event 9, event.hash" in outcome.err
    assert not list((home / "backups").iterdir())


def test_an_export_says_what_it_wrote(cli: Cli, ledger: Path, tmp_path: Path) -> None:
    told = json.loads(cli("ledger", "export", str(tmp_path / "out"), "--json").out)
    assert set(told["files"]) == {file.name for file in (tmp_path / "out").iterdir()}
    assert told["files"]["events.csv"] == json.loads(cli("ledger", "audit", "--json").out)["entries"]
    assert cli("ledger", "export", str(tmp_path / "out")).code == 1
    only = json.loads(cli("ledger", "export", str(tmp_path / "one"), "--format", "beancount", "--json").out)
    assert list(only["files"]) == ["journal.beancount"]


def test_a_ledger_of_an_older_schema_is_renewed(cli: Cli, home: Path) -> None:
    from novapulse.ledger.opening import Place, bring_up, open_storage

    home.mkdir()
    place = Place.of(home / "ledger.db")
    storage = open_storage(place)
    bring_up(storage, place, now_ns=START_NS, ledger_id="old", target=1)
    storage.close()
    told = json.loads(cli("ledger", "migrate", "--json").out)
    assert told["ok"]
    assert "0001 to 0004" in told["text"]
    assert "0004 already" in cli("ledger", "migrate").out
    assert cli("ledger", "audit").code == 0
