"""Server and trader as processes: the kill switch acts, and neither notices how the other one ends."""

import json
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from novapulse.server.stopping import CUT_OFF_S
from tests.killing import check_books, last_seen_ns
from tests.server.conftest import ACCOUNTS
from tests.server.processes import Served, serving, trading, until

BARS = 6000
KEYS = [(key.exchange, key.account_id) for key in ACCOUNTS]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The home of a trader that is at work, ten bars a second, as long as the tests of this module are."""
    found = tmp_path_factory.mktemp("processes") / "home"
    with trading(found, BARS, 10.0) as trader:
        yield found
        assert trader.poll() is None, "the trader ended by itself"
    assert trader.returncode == 0, (found / "stderr.txt").read_text()[-3000:]
    check_books(found)


def entries(home: Path, kind: str) -> list[tuple[int, tuple[str, str], Any]]:
    with closing(sqlite3.connect(f"file:{home / 'ledger.db'}?mode=ro", uri=True)) as ledger:
        query = "SELECT seq, exchange, account_id, body FROM event WHERE kind = ? ORDER BY seq"
        return [
            (seq, (exchange, name), json.loads(body)) for seq, exchange, name, body in ledger.execute(query, (kind,))
        ]


def command(served: Served, verb: str, key: str) -> dict[str, Any]:
    status, told = served.ask("POST", f"/api/v1/control/{verb}?wait=10", {"all": True}, idempotency_key=key)
    assert status == 202, told
    found: dict[str, Any] = told
    return found


def read_to_the_end(wire: ClientConnection) -> ConnectionClosed:
    try:
        while True:
            wire.recv()
    except ConnectionClosed as closed:
        return closed


def test_kill_is_written_then_obeyed_by_every_account_then_proven_flat(home: Path) -> None:
    until(lambda: bool(entries(home, "fill_booked")), "something was traded")
    with serving(home) as served:
        told = command(served, "kill", "stop everything 1")
        assert (told["accepted"], told["taken"], told["done"], told["ok"]) == (True, True, True, True), told
        assert sorted((one["exchange"], one["account_id"]) for one in told["accounts"]) == KEYS
        status, proof = served.ask("GET", f"{told['results_url']}/proof?wait=10")
        assert (status, proof["flat"]) == (200, True), proof
        again = command(served, "kill", "stop everything 1")
        assert (again["repeated"], again["audit_id"]) == (True, told["audit_id"])
    answered = [one for one in entries(home, "command_answered") if one[2]["verb"] == "kill"]
    assert sorted(account for _, account, _ in answered) == KEYS, "once in every account"
    halted = {account: seq for seq, account, _ in answered}
    intents = entries(home, "order_intended")
    bought = [(seq, account) for seq, account, body in intents if body["request"]["role"] == "entry"]
    assert bought
    assert not [seq for seq, account in bought if seq > halted[account]], "nothing was bought after that"


def test_a_trader_does_not_notice_that_its_server_dies(home: Path) -> None:
    with serving(home) as served, connect(served.live, additional_headers=served.bearer) as wire:
        assert json.loads(wire.recv())["trader"]["running"] is True
        assert command(served, "pause", "take a break 1")["ok"] is True
        served.process.send_signal(signal.SIGKILL)
        assert served.process.wait() == -signal.SIGKILL
        read_to_the_end(wire)
        seen_ns = last_seen_ns(home)
        until(lambda: last_seen_ns(home) > seen_ns, "the trader goes on")
    with serving(home) as again:
        assert command(again, "reduce_only", "take a break 2")["ok"] is True
        status, health = again.ask("GET", "/api/v1/health")
        assert health["trader"]["life"] == "running", (status, health)
        assert [one["mode"] for one in health["accounts"]] != ["normal"] * 3


ENDS_S = CUT_OFF_S + 2
"""Much longer than it takes; for ever is what it took, and then seconds in which nothing bounded it."""


@pytest.mark.parametrize("times", [1, 2])
def test_open_pages_keep_no_server_from_ending(home: Path, times: int) -> None:
    """A bug: Python waited for the threads of marimo's kernels, so it had to be killed."""
    with serving(home) as served, served.page("desk", "s_abc123") as desk, served.page("risk", "s_abc124") as risk:
        for page in (desk, risk):
            assert json.loads(page.recv())["op"] == "kernel-ready"
        for _ in range(times):
            served.process.send_signal(signal.SIGINT)
        for page in (desk, risk):
            closed = read_to_the_end(page)
            # Whatever else it said, a page would not look for the server again.
            assert closed.rcvd is not None
            assert (closed.rcvd.code, closed.rcvd.reason) == (1012, "")
        assert served.process.wait(timeout=ENDS_S) == 0
        assert "Traceback" not in (home / "server.txt").read_text()


def test_told_to_stop_it_closes_its_sockets_and_ends_by_itself(home: Path) -> None:
    with serving(home) as served, connect(served.live, additional_headers=served.bearer) as wire:
        wire.recv()
        served.process.send_signal(signal.SIGTERM)
        closed = read_to_the_end(wire)
        assert closed.rcvd is not None
        assert closed.rcvd.code in (1001, 1012)
        assert served.process.wait(timeout=ENDS_S) == 0
        assert "Traceback" not in (home / "server.txt").read_text()
