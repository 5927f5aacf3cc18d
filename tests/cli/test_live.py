import json
import os
import resource
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from novapulse.backtest import run as backtest
from novapulse.cli.live_chores import _Measurements
from novapulse.config import load, settings_of
from novapulse.control.inbox import Inbox
from novapulse.core.bars import format_ns
from novapulse.core.instruments import AccountKey, InstrumentKey
from novapulse.core.postings import Book
from novapulse.ledger.audit import audit
from novapulse.ledger.journal import Ledger
from novapulse.market.lake import Lake
from novapulse.market.recorder import read_recording
from novapulse.monitor import read_home
from novapulse.monitor.limits import limits_of
from novapulse.ops import health
from tests.cli.conftest import Cli, Outcome
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

BARS = 200
KEYS = [(one["exchange"], one["account_id"]) for one in ACCOUNTS]


class NoHooks:
    """Crash hooks would take those of the test run away; processes of their own have real ones."""

    def __init__(self, *_: object) -> None:
        return

    def watch(self, loop: object) -> None:
        return

    def close(self) -> None:
        return


@pytest.fixture
def stocked_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with a lake of two exchanges and a configuration of three accounts."""
    monkeypatch.setattr("novapulse.cli.live.CrashHooks", NoHooks)
    return make_home(home, BARS)


def live(cli: Cli, home: Path, *words: str) -> dict[str, Any]:
    outcome = cli("live", "--config", home / "config.yaml", "--json", *words)
    assert outcome.code == 0, outcome
    said: dict[str, Any] = json.loads(outcome.out)
    return said


def configure(home: Path, **changes: Any) -> None:
    (home / "config.yaml").write_text(yaml.safe_dump({**configuration(BARS), **changes}))


def test_it_trades_three_accounts_over_two_exchanges_and_says_so(cli: Cli, stocked_home: Path) -> None:
    said = live(cli, stocked_home)
    assert [(one["exchange"], one["account_id"]) for one in said["accounts"]] == KEYS
    assert said["clean_stop"] is True
    assert said["feed"]["ended"] is True
    assert said["decisions"] > 10
    assert said["fills"] > 10
    assert said["ledger"]["place"] == str(stocked_home / "ledger.db")
    check_books(stocked_home)
    assert {key: len(book.round_trips) for key, book in books_of(stocked_home).items()} == {
        (one["exchange"], one["account_id"]): one["round_trips"] for one in said["accounts"]
    }


def test_started_again_it_goes_on_where_it_ended(cli: Cli, stocked_home: Path) -> None:
    live(cli, stocked_home)
    books = books_of(stocked_home)
    outcome = cli("live", "--config", stocked_home / "config.yaml", "--json")
    again = json.loads(outcome.out)
    assert "going on behind 2024-" in outcome.err
    assert (again["closes"], again["decisions"], again["clean_stop"]) == (0, 0, True)
    assert books_of(stocked_home) == books


def test_it_says_what_it_trades_on_and_where_everything_lies(cli: Cli, stocked_home: Path) -> None:
    outcome = cli("live", "--config", stocked_home / "config.yaml")
    assert "recorded bars that close from 2024-01-17 16:30:00Z" in outcome.err
    for place in ("ledger.db", "logs", "sessions"):
        assert str(stocked_home / place) in outcome.err
    assert "second" in outcome.out
    assert "stopped because the feed has ended" in outcome.out


def test_without_any_bars_it_trades_on_a_sample_market_and_says_so(cli: Cli, home: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("novapulse.research.at_hand.recordings_folder", lambda environment: None)
    monkeypatch.setattr("novapulse.cli.live.CrashHooks", NoHooks)
    home.mkdir(parents=True)
    configure(home, feed={"source": "recorded", "start": "2031-01-01T00:00Z"})
    outcome = cli("live", "--config", home / "config.yaml", "--json", "--duration", "0.5")
    assert outcome.code == 0, outcome
    assert "sample market" in outcome.err
    assert "a generated sample market" in outcome.err
    said = json.loads(outcome.out)
    assert said["feed"]["is_sample"] is True
    assert said["why"] in ("it has run for 0.5 s", "the feed has ended")


def test_the_health_document_lists_every_account(cli: Cli, stocked_home: Path) -> None:
    live(cli, stocked_home)
    verdict = health.read(stocked_home / health.FILE, time.time_ns())
    assert not verdict.healthy
    assert "was stopped" in verdict.reasons[0]
    assert {(one["exchange"], one["account_id"]) for one in verdict.accounts} == set(KEYS)
    assert all(one["healthy"] for one in verdict.document["accounts"])
    assert not any(one["healthy"] for one in verdict.accounts), "nobody looks after them any more"


@pytest.mark.parametrize("is_disturbed", [False, True], ids=["on a quiet machine", "on a busy one"])
def test_each_account_makes_the_round_trips_of_its_backtest(
    cli: Cli, stocked_home: Path, monkeypatch: Any, is_disturbed: bool
) -> None:
    if is_disturbed:
        # What goes by the machine's clock happens all the time, and finds that the clock was set: how long the run
        # takes on a busy machine changes nothing of what it does.
        for name in ("MEASURE_EVERY_S", "HEALTH_EVERY_S", "TIDY_EVERY_S"):
            monkeypatch.setattr(f"novapulse.cli.live_chores.{name}", 0.05)
        monkeypatch.setattr("novapulse.engine.lease_keeper.LeaseKeeper.every_s", 0.05)
        monkeypatch.setattr("novapulse.ops.clock.WallWatch.jump_ns", lambda watch: 3_000_000_000)
    configure(stocked_home, feed={"source": "recorded"})
    live(cli, stocked_home)
    books = books_of(stocked_home)
    loaded = load(os.environ, stocked_home / "config.yaml")
    lake = Lake(stocked_home / "lake")
    for account in loaded.settings.accounts:
        own = settings_of(loaded.settings, account)
        keys = [InstrumentKey(account.exchange, symbol) for symbol in account.symbols]
        bars = {key: lake.bars(key.exchange, key.symbol, "15m") for key in keys}
        result = backtest(
            bars, own.backtest, instruments={key: lake.instrument(key.exchange, key.symbol) for key in keys}
        )
        wanted = sorted(
            (
                result.instruments[int(one.instrument)].symbol,
                int(one.entry_ts_ns),
                int(one.exit_ts_ns),
                int(one.pnl_units),
            )
            for one in result.round_trips
        )
        found = books[account.exchange, account.account_id].round_trips
        assert [one[:4] for one in found] == wanted
        assert len(wanted) > 5


def test_what_a_session_saw_is_recorded_to_the_bit(cli: Cli, stocked_home: Path) -> None:
    said = live(cli, stocked_home)
    header, seen = read_recording(stocked_home / "sessions" / said["session"] / "kraken.bars")
    assert header["session"] == said["session"]
    bars = Lake(stocked_home / "lake").bars("kraken", "ETH/USD", "15m")
    last = [one for one in seen if one.instrument.symbol == "ETH/USD"]
    count = len(last)
    assert count == BARS - 1
    for name in ("ts_close_ns", "open", "high", "low", "close", "volume"):
        assert [one.bar[name] for one in last] == getattr(bars, name)[-count:].tolist()
    assert {one.problem for one in seen} == {""}


# ---- What cannot be ----


def refused(outcome: Outcome, code: int, *named: str) -> None:
    assert outcome.code == code, outcome
    assert outcome.out == ""
    assert "Traceback" not in outcome.err
    assert "bug of ours" not in outcome.err
    for part in named:
        assert part in outcome.err, outcome.err


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


def test_other_instruments_than_the_ledger_knows_are_refused(cli: Cli, stocked_home: Path) -> None:
    live(cli, stocked_home)
    configure(stocked_home, accounts=[account("ETH/USD", account_id="second")])
    (stocked_home / "paper-kraken-second.db").unlink()
    refused(cli("live", "--config", stocked_home / "config.yaml", "--json"), 2, "BTC/USD", "ETH/USD", "second")


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


def test_a_clock_that_was_set_is_told_to_every_account(monkeypatch: Any, tmp_path: Path) -> None:
    class Runner:
        said: list[tuple[str, float | None]]

        def __init__(self) -> None:
            self.said = []

        def condition(self, name: str, value: float | None, text: str = "") -> None:
            self.said.append((name, value))

    class Stub:
        home = tmp_path

        def __init__(self) -> None:
            self.runners = {number: Runner() for number in range(2)}

    stub = Stub()
    measure = _Measurements(stub, stub)
    measure._watch.jump_ns = iter([None, -300_000_000_000]).__next__
    measure()
    measure()
    for runner in stub.runners.values():
        assert [name for name, _ in runner.said] == ["disk_free", "disk_free", "clock_step"]
        assert runner.said[-1] == ("clock_step", -300.0)


# ---- A process of its own ----


@pytest.fixture
def slow(stocked_home: Path) -> Iterator["subprocess.Popen[str]"]:
    """A trader that takes its time: ten bars a second."""
    configure(stocked_home, feed={"source": "recorded", "speed": 10.0, "start": configuration(BARS)["feed"]["start"]})
    process = start(stocked_home)
    until = time.monotonic() + 240
    while not (stocked_home / health.FILE).exists() and process.poll() is None and time.monotonic() < until:
        time.sleep(0.02)
    yield process
    process.kill()
    process.communicate()


def wait_healthy(home: Path) -> health.Verdict:
    until = time.monotonic() + 30
    while True:
        verdict = health.read(home / health.FILE, time.time_ns())
        if verdict.healthy or time.monotonic() > until:
            return verdict
        time.sleep(0.05)


def test_it_is_healthy_obeys_and_stops_clean_within_ten_seconds(
    slow: "subprocess.Popen[str]", stocked_home: Path, cli: Cli
) -> None:
    verdict = wait_healthy(stocked_home)
    assert verdict.healthy, (verdict.reasons, verdict.accounts, (stocked_home / "stderr.txt").read_text()[-2000:])
    assert {(one["exchange"], one["account_id"]) for one in verdict.accounts} == set(KEYS)
    second = cli("live", "--config", stocked_home / "config.yaml", "--json")
    refused(second, 1, f"process {slow.pid} writes this ledger already")
    told = cli("control", "pause", "--all", "--json", "--wait", "20")
    assert told.code == 0, told
    slow.send_signal(signal.SIGUSR1)
    began_s = time.monotonic()
    slow.send_signal(signal.SIGTERM)
    said = finish(slow, stocked_home)
    assert time.monotonic() - began_s < 10
    assert (said["clean_stop"], said["why"]) == (True, "it was asked to by SIGTERM")
    assert [one["mode"] for one in said["accounts"]] == ["paused"] * 3
    assert "hear_stream" in (stocked_home / "logs" / "stacks.txt").read_text()
    check_books(stocked_home)
    answers = Inbox(stocked_home / "control.db").answers(json.loads(told.out)["command_id"])
    assert answers is not None
    assert {one.account for one in answers} == {AccountKey(*key) for key in KEYS}
    configure(stocked_home)
    finish(start(stocked_home), stocked_home)
    check_books(stocked_home)


def test_limits_are_obeyed_outlive_a_kill_and_are_told_with_every_decision_under_them(
    slow: "subprocess.Popen[str]", stocked_home: Path, cli: Cli
) -> None:
    assert wait_healthy(stocked_home).healthy
    limits = ("--set", "position_notional_max=60", "--set", "daily_loss_max_fraction=0.02")
    told = cli("control", "limits", "--all", *limits, "--wait", "20")
    assert told.code == 0, told
    assert told.out.count("done: daily_loss_max_fraction is 0.02, was 0.05; position_notional_max is 60.0, was") == 3
    refused_ = cli("control", "limits", "--all", "--set", "positions_max=-1", "--wait", "20")
    assert refused_.code == 1
    assert refused_.out.count("REFUSED: positions_max is -1: it should be greater than or equal to 0") == 3
    slow.kill()
    slow.wait()
    configure(stocked_home)
    said = finish(start(stocked_home), stocked_home)
    assert [set(one["limits"]) for one in said["accounts"]] == [
        {"position_notional_max", "daily_loss_max_fraction"}
    ] * 3
    check_books(stocked_home)
    main = read_home(stocked_home).account("kraken", "main")
    (command_id,) = {one.command_id for one in main.limit_changes}
    meters = {one.name: one for one in limits_of(main)}
    assert (meters["daily_loss_max_fraction"].limit, meters["daily_loss_max_fraction"].configured) == (0.02, 0.05)
    assert meters["daily_loss_max_fraction"].command_id == command_id
    with closing(sqlite3.connect(f"file:{stocked_home / 'ledger.db'}?mode=ro", uri=True)) as ledger:
        rows = ledger.execute("SELECT body FROM event WHERE kind = 'decision_taken' ORDER BY seq").fetchall()
    entered = [one for one in (json.loads(body) for (body,) in rows) if one["verb"] == "ENTER"]
    under = [one for one in entered if one["settings"] in {each["settings_hash"] for each in said["accounts"]}]
    assert under, "nothing was entered under the changed limits"
    for decision in (under[0], under[-1]):
        explained = cli("explain", "--decision", decision["decision_id"], "--json")
        values = json.loads(explained.out)
        assert (explained.code, values["same"]) == (0, True), values["checks"]
        assert values["state"]["limits"]["daily loss"][1] == 0.02
        assert values["state"]["notional"] <= 60
