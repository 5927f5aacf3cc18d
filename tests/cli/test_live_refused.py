"""What cannot be traded, or not any more: each with a sentence, and nothing lost."""

import json
import resource
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from novapulse.cli.console import UsageError
from novapulse.core.bars import format_ns
from novapulse.core.instruments import AccountKey
from novapulse.core.postings import Book
from novapulse.ledger.audit import audit
from novapulse.ledger.journal import Ledger
from novapulse.market.lake import Lake
from novapulse.ops import health
from tests.cli.conftest import Cli
from tests.cli.living import BARS, KEYS, NoHooks, configure, live, refused
from tests.killing import (
    ACCOUNTS,
    ROOT,
    WIDTH_NS,
    books_of,
    check_books,
    configuration,
    environment,
    finish,
    make_home,
    start,
)


def account(symbol: str = "BTC/USD", **changes: Any) -> dict[str, Any]:
    return {"exchange": "kraken", "account_id": "main", "symbols": [symbol], **changes}


WRONG = {
    "no account": ({"accounts": []}, ["there is no account to trade", "config/paper.yaml"]),
    "a symbol without bars": ({"accounts": [account("DOGE/USD"), account(account_id="b")]}, ["kraken DOGE/USD"]),
    "an exchange without bars": ({"accounts": [account(exchange="bitstamp"), account()]}, ["bitstamp BTC/USD"]),
    "a range without bars": ({"feed": {"start": "2030-01-01"}}, ["after 2030-01-01", "account main on coinbase"]),
    "an end before the start": (
        {"feed": {"start": "2024-02-01", "end": "2022-01-01"}},
        ["feed.end (2022-01-01", ") is not after feed.start (2024-02-01", "no bar closes in between"],
    ),
    "real money": ({"mode": "live"}, ["NOVAPULSE_REAL_MONEY=yes"]),
    "an unknown setting": ({"accounts": [account(overrides={"risk": {"wild": 1}})]}, ["risk.wild is no setting"]),
}


def test_a_crash_and_a_question_are_heard_while_bars_are_still_being_read(
    cli: Cli, stocked_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    began: list[str] = []

    class Hooks(NoHooks):
        def __init__(self, *_: Any) -> None:
            began.append("hooks")

    def slow(*_: Any) -> Any:
        began.append("bars")
        raise UsageError("read no further")

    monkeypatch.setattr("novapulse.cli.live.CrashHooks", Hooks)
    monkeypatch.setattr("novapulse.cli.live.read_market", slow)
    refused(cli("live", "--config", stocked_home / "config.yaml"), 2, "read no further")
    assert began == ["hooks", "bars"]


@pytest.mark.parametrize(("changes", "named"), WRONG.values(), ids=WRONG)
def test_a_configuration_that_cannot_be_traded_is_refused(
    cli: Cli, stocked_home: Path, changes: dict[str, Any], named: list[str]
) -> None:
    configure(stocked_home, **changes)
    refused(cli("live", "--config", stocked_home / "config.yaml"), 2, *named)
    assert not (stocked_home / "ledger.db").exists()


def test_a_corrupt_ledger_is_refused_and_left_as_it_is(cli: Cli, stocked_home: Path) -> None:
    live(cli, stocked_home)
    ledger = stocked_home / "ledger.db"
    whole = bytearray(ledger.read_bytes())
    whole[8192:16384] = bytes(8192)
    ledger.write_bytes(whole)
    refused(cli("live", "--config", stocked_home / "config.yaml", "--json"), 1, str(ledger))
    assert ledger.read_bytes() == whole


def test_a_ledger_that_is_none_is_refused(cli: Cli, stocked_home: Path) -> None:
    (stocked_home / "ledger.db").write_text("this is a diary" * 1000)
    refused(cli("live", "--config", stocked_home / "config.yaml", "--json"), 1, "ledger.db")


def test_a_paper_file_of_another_account_is_refused(cli: Cli, stocked_home: Path) -> None:
    live(cli, stocked_home)
    (stocked_home / "paper-kraken-second.db").unlink()
    (stocked_home / "paper-kraken-main.db").rename(stocked_home / "paper-kraken-second.db")
    refused(cli("live", "--config", stocked_home / "config.yaml", "--json"), 1, "paper-kraken-second.db", "main")


def test_a_second_ledger_for_the_same_paper_accounts_is_refused(cli: Cli, stocked_home: Path) -> None:
    live(cli, stocked_home)
    ledger = stocked_home / "ledger.db"
    kept = ledger.rename(stocked_home / "kept.db")
    words = ("live", "--config", stocked_home / "config.yaml", "--json")
    refused(cli(*words), 1, "paper-kraken-main.db", "the books of this account are in ledger", "bring that ledger back")
    kept.replace(ledger)
    assert live(cli, stocked_home)["clean_stop"]


def test_an_account_that_holds_something_and_is_not_configured_is_not_left_alone_in_silence(
    cli: Cli, stocked_home: Path
) -> None:
    live(cli, stocked_home)
    main = AccountKey("kraken", "main")
    trips = books_of(stocked_home)["kraken", "main"].round_trips
    entry_ns = next(entry for _, entry, leaving, *_ in trips if leaving - entry > 3 * WIDTH_NS)
    for path in (*stocked_home.glob("ledger.db*"), *stocked_home.glob("paper-*")):
        path.unlink()
    feed = {**configuration(BARS)["feed"], "end": format_ns(entry_ns + 2 * WIDTH_NS)}
    configure(stocked_home, feed=feed)
    live(cli, stocked_home)
    with Ledger.open(stocked_home / "ledger.db") as ledger:
        assert any(book == Book.INVENTORY for book, _ in ledger.restore(main).balances)
        head = ledger.head()
    accounts = [{**one, "account_id": one["account_id"].replace("main", "mian")} for one in ACCOUNTS[:2]]
    configure(stocked_home, feed=feed, accounts=[*accounts, ACCOUNTS[2]])
    words = ("live", "--config", stocked_home / "config.yaml", "--json")
    refused(cli(*words), 2, "open orders or holdings of account main on kraken, which", "--leave-accounts")
    with Ledger.open(stocked_home / "ledger.db") as ledger:
        assert ledger.head() == head
    assert not (stocked_home / "paper-kraken-mian.db").exists()
    outcome = cli(*words, "--leave-accounts")
    assert outcome.code == 0, outcome
    assert "WARNING: nobody looks after the open orders and holdings of account main on kraken" in outcome.err
    document = json.loads((stocked_home / health.FILE).read_text())
    assert document["reasons"] == ["nobody looks after account main on kraken"]


def test_after_an_older_backup_was_put_back_every_account_is_halted_until_somebody_resumes(
    cli: Cli, stocked_home: Path
) -> None:
    feed = configuration(BARS)["feed"]
    half = np.datetime64(feed["start"].rstrip("Z"), "ns") + np.timedelta64(BARS // 2 * WIDTH_NS, "ns")
    configure(stocked_home, feed={**feed, "end": f"{half}Z"})
    live(cli, stocked_home)
    copy = stocked_home / "old.db"
    assert cli("ledger", "backup", copy).code == 0
    configure(stocked_home)
    assert sum(one["decisions"] for one in live(cli, stocked_home)["accounts"]) > 0
    refused(cli("ledger", "restore", copy), 1, "newer entries, from", "--drop-newer")
    outcome = cli("ledger", "restore", copy, "--drop-newer")
    assert outcome.code == 0, outcome
    assert "main on kraken: halts at its next start, until you resume-from-halt" in outcome.out
    first, again = (live(cli, stocked_home)["accounts"] for _ in range(2))
    # Started once more they are what they were: only an operator ends it.
    assert [one["mode"] for one in (*first, *again)] == ["halted"] * 2 * len(ACCOUNTS)
    for one in first:
        assert any("newer entries, from" in text and "were dropped" in text for text in one["alerts"])
    assert cli("ledger", "audit").code == 0


def test_a_ledger_that_somebody_locks_is_refused(cli: Cli, stocked_home: Path, monkeypatch: Any) -> None:
    live(cli, stocked_home)
    monkeypatch.setattr("novapulse.cli.live_session.Ledger.open", partial(Ledger.open, busy_ms=50))
    with closing(sqlite3.connect(stocked_home / "ledger.db", isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        refused(cli("live", "--config", stocked_home / "config.yaml", "--json"), 1, "ledger.db", "lock")
    assert live(cli, stocked_home)["clean_stop"]


def test_an_instrument_that_is_paid_in_another_asset_than_the_account_has_is_refused(
    cli: Cli, stocked_home: Path
) -> None:
    live(cli, stocked_home)
    lake = Lake(stocked_home / "lake")
    lake.append("kraken", "ETH/BTC", "15m", lake.bars("kraken", "ETH/USD", "15m"), source="a test")
    configure(stocked_home, accounts=[account("ETH/BTC", account_id="second"), ACCOUNTS[0], ACCOUNTS[2]])
    (stocked_home / "paper-kraken-second.db").unlink()
    words = ("live", "--config", stocked_home / "config.yaml", "--json")
    refused(cli(*words), 2, "account second on kraken keeps its cash in USD", "ETH/BTC is paid in BTC")
    configure(stocked_home)
    assert live(cli, stocked_home)["clean_stop"]


def test_a_disk_that_is_read_only_is_named(cli: Cli, stocked_home: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("NOVAPULSE_DATA_DIR", str(stocked_home / "lake"))
    monkeypatch.setenv("NOVAPULSE_HOME", "/proc/novapulse")
    outcome = cli("live", "--config", stocked_home / "config.yaml", "--json")
    refused(outcome, 1, "/proc/novapulse")


def test_a_full_disk_stops_the_trading_loses_nothing_and_is_over_when_there_is_room(
    stocked_home: Path, tmp_path: Path
) -> None:
    whole = make_home(tmp_path / "whole", BARS)
    finish(start(whole), whole)

    def little_room() -> None:
        # No file may grow beyond this: what a full disk says, without filling one.
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_200_000, 1_200_000))

    command = [sys.executable, "-m", "novapulse.cli", "live", "--config", str(stocked_home / "config.yaml"), "--json"]
    command += ["--duration", "4"]
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment(stocked_home),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=little_room,
    ) as full:
        out, err = full.communicate(timeout=120)
    assert full.returncode == 1, err[-3000:]
    assert "bug of ours" not in err
    assert "Traceback" not in err
    said = json.loads(out)
    assert said["clean_stop"] is False
    assert any("disk" in left for left in said["left"]), said["left"]
    assert audit(stocked_home / "ledger.db").ok
    with Ledger.open(stocked_home / "ledger.db") as ledger:
        decided = {key: ledger.restore(AccountKey(*key)).ts_close_ns for key in KEYS}
    finish(start(stocked_home), stocked_home)
    check_books(stocked_home)
    found, wanted = books_of(stocked_home), books_of(whole)
    # The venues played on while nothing could be decided; up to there the books are those of a run without a full disk.
    for key, until_ns in decided.items():
        before = [fill for fill in wanted[key].fills if fill[1] <= until_ns]
        assert len(before) > 2
        assert [fill for fill in found[key].fills if fill[1] <= until_ns] == before
        assert [trip for trip in found[key].round_trips if trip[2] <= until_ns] == [
            trip for trip in wanted[key].round_trips if trip[2] <= until_ns
        ]


def test_a_ledger_that_is_gone_ends_the_process_at_once_and_a_new_start_goes_on(
    cli: Cli, stocked_home: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr("novapulse.cli.live_chores.HEALTH_EVERY_S", 0.05)
    write, calls = Ledger.commit, iter(range(10**6))

    def commit(ledger: Ledger, commits: Any) -> None:
        if next(calls) == 200:
            ledger.storage.gone = "the disk fails (planted)"
        if ledger.gone:
            # The recording is not over before somebody has looked.
            time.sleep(0.02)
        write(ledger, commits)

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "commit", commit)
        outcome = cli("live", "--config", stocked_home / "config.yaml", "--json")
    assert outcome.code == 1, outcome
    said = json.loads(outcome.out)
    assert said["why"] == "the ledger is not written any more: the disk fails (planted)"
    assert said["clean_stop"] is False
    assert said["feed"]["ended"] is False
    assert "Traceback" not in outcome.err
    assert live(cli, stocked_home)["clean_stop"]
    check_books(stocked_home)
