"""Signs of life, on a real socket."""

import socket
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from novapulse.cli.live_beats import Beats
from novapulse.engine.life import Life, Told
from novapulse.engine.supervisor import Ended
from tests.ops.test_watchdog import heard


@dataclass
class Runner:
    """An account as far as it is asked."""

    life: Life = Life.RUNNING
    told: Told = field(default_factory=lambda: Told(why_down=""))


@dataclass
class Accounts:
    """A supervisor as far as it is asked."""

    runners: dict[str, Runner]
    is_ready: bool = True
    ended: Ended = field(default_factory=Ended)


@pytest.fixture
def line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
        line.bind(str(tmp_path / "notify"))
        line.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", line.getsockname())
        monkeypatch.setenv("WATCHDOG_USEC", "60000000")
        monkeypatch.delenv("WATCHDOG_PID", raising=False)
        yield line


def test_it_lives_while_its_ledger_takes_what_it_writes_and_one_account_runs(line: socket.socket) -> None:
    first, second = Runner(), Runner()
    beats = Beats(Accounts({"a": first, "b": second}))
    beats()
    assert heard(line) == ["READY=1\nSTATUS=2 accounts trade", "WATCHDOG=1"]
    second.life, second.told.why_down = Life.DOWN, "the state is damaged"
    beats()
    assert heard(line) == ["WATCHDOG=1"], "one sick account is no reason to stop the others"
    first.life, first.told.why_down = Life.ENDED, "overtaken"
    beats()
    assert heard(line) == ["STATUS=no account runs: overtaken; the state is damaged"]
    first.life = second.life = Life.RUNNING
    beats()
    assert heard(line) == ["STATUS=2 accounts trade", "WATCHDOG=1"]
    second.told.ledger_failed = True
    beats()
    assert heard(line) == ["STATUS=the ledger takes nothing"]


def test_a_trader_that_is_not_ready_lives_and_says_nothing_else(line: socket.socket) -> None:
    accounts = Accounts({"a": Runner()}, is_ready=False)
    beats = Beats(accounts)
    beats()
    assert heard(line) == ["WATCHDOG=1"]
    accounts.is_ready = True
    beats()
    beats()
    assert heard(line) == ["READY=1\nSTATUS=1 account trades", "WATCHDOG=1", "WATCHDOG=1"]


def test_a_trader_that_stops_says_so_once_and_why_and_lives_until_it_has_ended(line: socket.socket) -> None:
    accounts = Accounts({"a": Runner()})
    beats = Beats(accounts)
    beats()
    heard(line)
    accounts.ended.why = "somebody\nasked"
    beats()
    beats()
    assert heard(line) == ["STOPPING=1\nSTATUS=somebody asked", "WATCHDOG=1", "WATCHDOG=1"]
