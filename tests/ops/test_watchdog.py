"""The line to systemd, on a real socket."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from novapulse.ops.watchdog import LAG_S_MAX, Watchdog


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
        line.bind(str(tmp_path / "notify"))
        line.setblocking(False)
        yield line


def heard(line: socket.socket) -> list[str]:
    messages = []
    while True:
        try:
            messages.append(line.recv(4096).decode())
        except BlockingIOError:
            return messages


def watchdog(line: socket.socket, usec: int = 60_000_000, **more: str) -> Watchdog:
    return Watchdog({"NOTIFY_SOCKET": line.getsockname(), "WATCHDOG_USEC": str(usec), **more})


def test_it_says_ready_status_and_stopping(listener: socket.socket) -> None:
    dog = watchdog(listener)
    assert dog.ready("3 accounts\nreconciled")
    assert dog.status("trading")
    assert dog.stopping("asked to")
    assert heard(listener) == ["READY=1\nSTATUS=3 accounts reconciled", "STATUS=trading", "STOPPING=1\nSTATUS=asked to"]


def test_a_sign_of_life_needs_a_loop_that_answers_and_no_objection(listener: socket.socket) -> None:
    dog = watchdog(listener)
    assert dog.beat(LAG_S_MAX / 2, None)
    assert heard(listener) == ["WATCHDOG=1"]
    assert not dog.beat(LAG_S_MAX, None)
    assert heard(listener) == []
    assert not dog.beat(0.0, "the ledger cannot be written")
    assert heard(listener) == ["STATUS=the ledger cannot be written"]


def test_a_name_that_lies_in_no_folder_is_reached() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
        line.bind(f"\0novapulse-test-{os.getpid()}")
        line.setblocking(False)
        assert Watchdog({"NOTIFY_SOCKET": f"@novapulse-test-{os.getpid()}"}).status("here")
        assert heard(line) == ["STATUS=here"]


def test_without_systemd_nothing_happens(tmp_path: Path) -> None:
    assert not Watchdog({}).ready("here")
    assert not Watchdog({"NOTIFY_SOCKET": str(tmp_path / "gone"), "WATCHDOG_USEC": "9"}).beat(0.0, None)


@pytest.mark.parametrize("more", [{"WATCHDOG_USEC": "soon"}, {"WATCHDOG_USEC": ""}, {"WATCHDOG_PID": "1"}])
def test_a_watchdog_that_is_not_meant_for_us_gets_no_sign_of_life(
    listener: socket.socket, more: dict[str, str]
) -> None:
    assert not watchdog(listener, **more).beat(0.0, None)
