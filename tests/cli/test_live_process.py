"""A live trader as a process of its own: signals, commands and a kill."""

import json
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from novapulse.control.inbox import Inbox
from novapulse.core.instruments import AccountKey
from novapulse.monitor import read_home
from novapulse.monitor.limits import limits_of
from novapulse.ops import health
from tests.cli.conftest import Cli
from tests.cli.living import BARS, KEYS, configure, refused
from tests.killing import (
    check_books,
    configuration,
    finish,
    start,
)


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
