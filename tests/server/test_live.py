"""The live stream: one reading for all, pushed when something happens; a socket ends with what opened it."""

import asyncio
import json
import queue
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, cast

import pytest
from starlette.websockets import WebSocketDisconnect

from novapulse.control.roles import Role, Scope
from novapulse.core.messages import Commit
from novapulse.ledger.journal import Ledger
from novapulse.monitor import Hub, entries, feed
from novapulse.monitor.state import Overview
from novapulse.server import live
from novapulse.server.gate import CLOSED_BY_POLICY
from novapulse.server.live import Broadcast
from novapulse.server.parts import API
from tests.engine.harness import ACCOUNT, ORIGIN_NS
from tests.server.conftest import OURS, PASSWORD, SHELL, House, beat

PATH = f"{API}/live"


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "CHECK_EVERY_S", 0.05)


def read(wire: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(wire.receive_text())
    return found


def until_running(wire: Any, home: Path) -> dict[str, Any]:
    while not (found := read(wire))["trader"].get("running"):
        beat(home)
    return found


def test_what_happens_is_pushed_to_all_at_once_from_one_reading(house: House) -> None:
    ana, script = house.browser(Role.VIEWER), house.script(Scope.READ)
    with ExitStack() as open_sockets:
        wires = [
            open_sockets.enter_context(house.client.websocket_connect(PATH, headers=who.headers))
            for who in (ana, ana, script)
        ]
        first = [read(wire) for wire in wires]
        assert {one["type"] for one in first} == {"overview"}
        assert {one["trader"]["life"] for one in first} == {"stopped"}
        assert [len(one["accounts"]) for one in first] == [3, 3, 3]
        assert house.hub.listeners == 1
        beat(house.home)
        told = [until_running(wire, house.home) for wire in wires]
        assert len({one["head_seq"] for one in told}) == 1
        # The same readings, each of them for all.
        later = [{read(wire)["as_of_ns"] for _ in range(3)} for wire in wires]
        assert later[0] & later[1] & later[2]
    for _ in range(200):
        if not house.hub.listeners:
            return
        threading.Event().wait(0.05)
    raise AssertionError("nobody listens, and the hub is still read")


def test_a_commit_is_the_next_thing_that_is_said(tmp_path: Path, lived: tuple[dict[str, int], list[Commit]]) -> None:
    scales, commits = lived
    with Ledger.open(str(tmp_path / "ledger.db"), durable=False, now_ns=1) as ledger:
        ledger.register_assets(scales)
        ledger.take_lease(ACCOUNT, "test", ORIGIN_NS, 10**18)
        ledger.commit([(ACCOUNT, commits[0])])
        house = House(tmp_path)
        with house.client, house.client.websocket_connect(PATH, headers=house.browser(Role.VIEWER).headers) as wire:
            head = read(wire)["head_seq"]
            ledger.commit([(ACCOUNT, commits[1])])
            committed_ns, late = time.time_ns(), 0
            while (told := read(wire))["head_seq"] == head:
                late += told["as_of_ns"] > committed_ns
    # At most the one that was being read at that moment.
    assert late <= 1


REFUSED = {
    "nobody": lambda house: {"origin": OURS},
    "another site": lambda house: house.browser(Role.ADMIN).headers | {"origin": "http://evil.example"},
    "no origin": lambda house: {"cookie": house.browser(Role.ADMIN).headers["cookie"]},
    "a wrong key beside a good cookie": lambda house: house.browser(Role.ADMIN).headers | {"authorization": "Bearer x"},
    "a key that may not read": lambda house: house.script(Scope.CONTROL).headers,
    "another site that says it brings a key": lambda house: (
        house.browser(Role.ADMIN).headers | {"origin": "http://evil.example", "authorization": "Basic eA=="}
    ),
}


@pytest.mark.parametrize("headers", REFUSED.values(), ids=REFUSED)
def test_who_may_not_look_gets_no_socket(house: House, headers: Any) -> None:
    with pytest.raises(WebSocketDisconnect), house.client.websocket_connect(PATH, headers=headers(house)):
        pass
    assert [row["arguments"]["path"] for row in house.audit(action="read", outcome="denied")] == [PATH]


def test_a_socket_outlives_the_password_given_once_more(house: House) -> None:
    ana = house.browser(Role.OPERATOR, "ana")
    with house.client.websocket_connect(PATH, headers=ana.headers) as wire:
        read(wire)
        answer = ana.post(f"{API}/session/step-up", json={"password": PASSWORD})
        assert answer.status_code == 200
        ana.headers["cookie"] = answer.headers["set-cookie"].partition(";")[0]
        over_s = time.monotonic() + 0.5
        while time.monotonic() < over_s:
            beat(house.home)
            read(wire)
        ana.ask("DELETE", f"{API}/session")
        assert ended(wire) == CLOSED_BY_POLICY


def test_a_page_that_is_only_looked_at_keeps_its_session_until_its_day_is_over(house: House) -> None:
    ana = house.browser(Role.VIEWER, "ana")
    with house.client.websocket_connect(PATH, headers=ana.headers) as wire:
        read(wire)
        for _ in range(12 * 3 - 1):
            house.clock.wait(20 * 60)
            until_seen(house, "ana")
        assert ana.get(f"{API}/session").status_code == 200
        house.clock.wait(20 * 60)
        assert ended(wire) == CLOSED_BY_POLICY
    answer = ana.get(f"{API}/session")
    assert (answer.status_code, answer.json()["error"]) == (401, "not_signed_in")


def until_seen(house: House, name: str) -> None:
    for _ in range(400):
        if house.clock() - house.plane.sessions.of(name)[0].seen_ns < 60 * 10**9:
            return
        time.sleep(0.05)
    raise AssertionError(f"{name} is not seen")


def ended(wire: Any) -> int:
    while True:
        try:
            wire.receive_text()
        except WebSocketDisconnect as closed:
            return closed.code


ENDINGS = {
    "signed out": lambda house, ana: ana.ask("DELETE", f"{API}/session"),
    "revoked": lambda house, ana: house.plane.sessions.end(SHELL, house.plane.sessions.of("ana")[0].handle),
    "disabled": lambda house, ana: house.plane.people.disable(SHELL, "ana"),
    "idle": lambda house, ana: house.clock.wait(31 * 60),
}


@pytest.mark.parametrize("end", ENDINGS.values(), ids=ENDINGS)
def test_a_socket_ends_with_its_session(house: House, end: Any) -> None:
    ana = house.browser(Role.VIEWER, "ana")
    with house.client.websocket_connect(PATH, headers=ana.headers) as wire:
        read(wire)
        end(house, ana)
        assert ended(wire) == CLOSED_BY_POLICY


def test_a_socket_ends_with_its_key(house: House) -> None:
    script = house.script(Scope.READ, name="ana")
    with house.client.websocket_connect(PATH, headers=script.headers) as wire:
        read(wire)
        house.plane.keys.revoke(SHELL, house.plane.keys.of("ana")[0].prefix)
        assert ended(wire) == CLOSED_BY_POLICY


def test_nobody_takes_the_sockets_of_everybody(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "SOCKETS_OF_ONE_MAX", 1)
    ana, bob = house.browser(Role.VIEWER, "ana"), house.browser(Role.VIEWER, "bob")
    with house.client.websocket_connect(PATH, headers=ana.headers) as wire:
        read(wire)
        with pytest.raises(WebSocketDisconnect), house.client.websocket_connect(PATH, headers=ana.headers):
            pass
        with house.client.websocket_connect(PATH, headers=bob.headers) as other:
            read(other)


class Readings:
    """A hub whose readings are put in by hand."""

    def __init__(self) -> None:
        self.queues: list[queue.Queue[Overview]] = []

    @contextmanager
    def subscribed(self) -> Iterator["queue.Queue[Overview]"]:
        mine: queue.Queue[Overview] = queue.Queue()
        self.queues.append(mine)
        yield mine


def test_who_is_slow_gets_the_newest_and_who_comes_back_nothing_old() -> None:
    async def story() -> None:
        broadcast = Broadcast(cast("Hub", Readings()))
        async with broadcast.joined("ana") as seen:
            for number in range(5):
                await broadcast._put(f"all {number}", f"alive {number}", says_more=number != 4)
            seen, text = await broadcast.next(seen)
            assert (seen, text) == (5, "all 4"), "one that was slow is told the newest, once"
            await broadcast._put("all 5", "alive 5", says_more=False)
            seen, text = await broadcast.next(seen)
            assert (seen, text) == (6, "alive 5"), "nothing new is a sign of life"
            async with broadcast.joined("bob") as fresh:
                assert await broadcast.next(fresh) == (6, "all 5"), "who comes to others is told all at once"
            await broadcast._put("all 6", "alive 6", says_more=True)
            assert await broadcast.next(seen) == (7, "all 6")
        async with broadcast.joined("ana") as seen:
            waiting = asyncio.ensure_future(broadcast.next(seen))
            await asyncio.sleep(0)
            assert not waiting.done(), "what was said before everybody left is old"
            await broadcast._put("new", "alive", says_more=False)
            assert await waiting == (8, "new"), "who begins to listen is told all"

    asyncio.run(story())


def test_nothing_new_is_a_short_sign_of_life_with_its_moment(house: House) -> None:
    ana = house.browser(Role.VIEWER)
    # A trader that runs: how long one has been gone is told anew each second.
    beat(house.home)
    with house.client.websocket_connect(PATH, headers=ana.headers) as wire:
        first, second, third = (json.loads(wire.receive_text()) for _ in range(3))
    assert [one["type"] for one in (first, second, third)] == ["overview", "alive", "alive"]
    assert first["as_of_ns"] < second["as_of_ns"] < third["as_of_ns"]
    assert (third["head_seq"], third["ledger_id"]) == (first["head_seq"], first["ledger_id"])
    assert third["trader"]["heartbeat_age_s"] > first["trader"]["heartbeat_age_s"]
    assert {(one["exchange"], one["account_id"]) for one in third["accounts"]} == {
        (one["exchange"], one["account_id"]) for one in first["accounts"]
    }
    assert len(json.dumps(third)) < len(json.dumps(first)) / 20


def events(wire: Any, until_seq: int) -> list[dict[str, Any]]:
    """The events that a socket tells up to a number: those of a reading come before the next one."""
    found: list[dict[str, Any]] = []
    is_there = False
    while True:
        told = read(wire)
        if told["type"] == "event":
            found.append(told)
        elif is_there:
            return found
        else:
            is_there = told["head_seq"] >= until_seq


def test_events_are_told_once_each_and_go_on_from_where_somebody_left(
    tmp_path: Path, lived: tuple[dict[str, int], list[Commit]]
) -> None:
    scales, commits = lived
    half = len(commits) // 8
    with Ledger.open(str(tmp_path / "ledger.db"), durable=False, now_ns=1) as ledger:
        ledger.register_assets(scales)
        ledger.take_lease(ACCOUNT, "test", ORIGIN_NS, 10**18)
        for commit in commits[:half]:
            ledger.commit([(ACCOUNT, commit)])
        house = House(tmp_path)
        headers = house.browser(Role.VIEWER).headers
        with house.client:
            with house.client.websocket_connect(f"{PATH}?after=0", headers=headers) as wire:
                first = read(wire)
                before = events(wire, first["head_seq"])
                for commit in commits[half : 2 * half]:
                    ledger.commit([(ACCOUNT, commit)])
                before += events(wire, _head(tmp_path))
            for commit in commits[2 * half : 3 * half]:
                ledger.commit([(ACCOUNT, commit)])
            whose = f"exchange={ACCOUNT.exchange}&account_id={ACCOUNT.account_id}"
            path = f"{PATH}?after={before[-1]['seq']}&ledger_id={first['ledger_id']}&{whose}"
            with house.client.websocket_connect(path, headers=headers) as wire:
                after = events(wire, _head(tmp_path))
    told = before + after
    kinds = {kind: topic for topic, of in feed.TOPICS.items() for kind in of}
    written = [one for one in _written(tmp_path) if one.kind in kinds]
    assert {kinds[one.kind] for one in written} >= {"fills", "orders", "decisions"}
    assert [(one["seq"], one["topic"]) for one in told] == [(one.seq, kinds[one.kind]) for one in written]
    assert [one["body"] for one in told] == [one.json()["body"] for one in written]
    assert [one["legs"] for one in told] == [one.json()["legs"] for one in written]


def _head(home: Path) -> int:
    return Hub(home).now().head_seq


def _written(home: Path) -> list[entries.EntryState]:
    found: list[entries.EntryState] = []
    while page := entries.page(home, before_seq=found[-1].seq if found else None, limit=500):
        found += page
    return found[::-1]


def test_a_number_of_another_ledger_is_told_so_and_ends_the_socket(house: House) -> None:
    ana = house.browser(Role.VIEWER)
    for query in ("after=99999999", "after=3&ledger_id=another"):
        with house.client.websocket_connect(f"{PATH}?{query}", headers=ana.headers) as wire:
            head = read(wire)["head_seq"]
            told = read(wire)
            assert (told["type"], told["head_seq"]) == ("other_ledger", head)
            with pytest.raises(WebSocketDisconnect):
                read(wire)


@pytest.mark.parametrize("query", ["after=x", "after=-1", "after=0&exchange=kraken", "after=0&exchange=a&account_id=b"])
def test_events_that_cannot_be_had_are_refused(house: House, query: str) -> None:
    with (
        pytest.raises(WebSocketDisconnect),
        house.client.websocket_connect(f"{PATH}?{query}", headers=house.browser(Role.VIEWER).headers),
    ):
        raise AssertionError("it was let in")


def test_events_are_those_of_the_account_that_was_asked_for(house: House) -> None:
    path = f"{PATH}?after=0&exchange=coinbase&account_id=main"
    with house.client.websocket_connect(path, headers=house.browser(Role.VIEWER).headers) as wire:
        head = read(wire)["head_seq"]
        told = events(wire, head)
    assert {(one["exchange"], one["account_id"]) for one in told} == {("coinbase", "main")}
    kinds = {kind for kinds in feed.TOPICS.values() for kind in kinds}
    mine = [one for one in _written(house.home) if (one.exchange, one.account_id) == ("coinbase", "main")]
    assert [one["seq"] for one in told] == [one.seq for one in mine if one.kind in kinds]
