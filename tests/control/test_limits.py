"""Allowances: the algorithm against a plain model, shared by processes, bounded in rows."""

import multiprocessing
import sqlite3
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from novapulse.control import limits
from novapulse.control.limits import READS, Allowances, Flood, Limit, address_key, give_back, take
from novapulse.control.storage import ControlError, Storage
from tests.control.conftest import NOW, SECOND_NS, Clock

THREE = Limit("three", 3, 30 * SECOND_NS)


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage(tmp_path / "control.db")


def rows(storage: Storage) -> int:
    with storage.reading() as database:
        return int(database.execute("SELECT count(*) FROM allowance").fetchone()[0])


def test_so_many_at_once_and_then_one_after_another(storage: Storage, clock: Clock) -> None:
    allowances = Allowances(storage, clock)
    assert [allowances.take(THREE, "ann").wait_s for _ in range(5)] == [0, 0, 0, 10, 10]
    assert allowances.take(THREE, "bob").allowed, "another's allowance"
    assert allowances.take(Limit("other", 3, 30 * SECOND_NS), "ann").allowed, "another limit"
    clock.wait(10)
    assert [allowances.take(THREE, "ann").allowed for _ in range(2)] == [True, False]
    clock.wait(30)
    assert [allowances.take(THREE, "ann").allowed for _ in range(4)] == [True, True, True, False]


@settings(max_examples=60)
@given(
    limit=st.builds(Limit, st.just("x"), st.integers(1, 6), st.integers(6, 100)),
    steps=st.lists(st.tuples(st.integers(0, 40), st.integers(1, 2)), max_size=40),
)
def test_it_is_a_bucket_that_fills_drop_by_drop(limit: Limit, steps: list[tuple[int, int]]) -> None:
    """The model keeps what is left; the row keeps when it is full again. They are to agree at every step."""
    database = sqlite3.connect(":memory:", isolation_level=None)
    database.execute("CREATE TABLE allowance (key BLOB PRIMARY KEY, full_ns INTEGER)")
    left_ns, capacity_ns, now_ns = limit.burst * limit.every_ns, limit.burst * limit.every_ns, 0
    for wait_ns, count in steps:
        now_ns += wait_ns
        left_ns = min(capacity_ns, left_ns + wait_ns)
        count = min(count, limit.burst)
        ruling = take(database, limit, "ann", now_ns, count)
        assert ruling.allowed == (left_ns >= count * limit.every_ns)
        if ruling.allowed:
            left_ns -= count * limit.every_ns
        else:
            assert ruling.wait_ns == count * limit.every_ns - left_ns
    database.close()


def test_a_clock_that_was_set_back_makes_nobody_wait_longer_than_an_empty_allowance(
    storage: Storage, clock: Clock
) -> None:
    allowances = Allowances(storage, clock)
    for _ in range(3):
        allowances.take(THREE, "ann")
    clock.wait(-86_400)
    assert allowances.take(THREE, "ann").wait_s == 10
    clock.wait(10)
    assert allowances.take(THREE, "ann").allowed


def taken_by_a_process(path: Path, count: int) -> int:
    allowances = Allowances(Storage(path, busy_s=60), Clock())
    return sum(allowances.take(Limit("shared", 20, 20 * SECOND_NS), "ann").allowed for _ in range(count))


def test_two_processes_share_one_allowance(storage: Storage) -> None:
    """V-9: a limit counts for all processes together, and not for each."""
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        granted = pool.starmap(taken_by_a_process, [(storage.path, 15), (storage.path, 15)])
    assert sum(granted) == 20


def test_handfuls_give_out_no_more_than_there_is(storage: Storage, clock: Clock) -> None:
    many = Limit("many", 60, 60 * SECOND_NS)
    one, other = Allowances(storage, clock), Allowances(storage, clock)
    granted = sum(allowances.take_cheaply(many, "ann").allowed for _ in range(50) for allowances in (one, other))
    assert granted == 60
    clock.wait(3)
    assert one.take_cheaply(many, "ann").allowed
    clock.wait(2)
    assert other.take_cheaply(many, "ann").wait_s == 1, "what one has at hand is nobody else's"
    assert [one.take_cheaply(many, "ann").wait_s for _ in range(3)] == [0, 0, 1], "and is good until it is used"
    clock.wait(5)
    assert one.take_cheaply(many, "ann").allowed
    clock.wait(60)
    granted = sum(allowances.take_cheaply(many, "ann").allowed for _ in range(50) for allowances in (one, other))
    assert granted == 60, "what was kept for as long as an allowance takes to fill up is worth nothing"


@pytest.mark.parametrize("every_s", [0.2, 1.0, 2.9, 31.0])
def test_who_looks_as_often_as_is_allowed_is_never_turned_away(every_s: float, storage: Storage, clock: Clock) -> None:
    """A bug: what was left of a handful was thrown away after a second, and one look a second was too many in half a
    minute, of ten that are allowed."""
    allowances = Allowances(storage, clock)
    for _ in range(round(300 / every_s)):
        assert allowances.take_cheaply(READS, "ann").allowed
        clock.wait(every_s)


def test_rows_that_mean_nothing_any_more_go(storage: Storage, clock: Clock) -> None:
    allowances = Allowances(storage, clock)
    with storage.writing() as database:
        for number in range(150):
            take(database, THREE, str(number), clock())
    assert rows(storage) == 150
    clock.wait(10)
    allowances.take(THREE, "late")
    assert rows(storage) == 51, "a hundred at once"
    allowances.take(THREE, "late")
    assert rows(storage) == 1


def test_there_are_never_more_rows_than_the_bound(
    storage: Storage, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """V-9: what the limiter remembers has a bound."""
    monkeypatch.setattr(limits, "ROWS_MAX", 10)
    allowances = Allowances(storage, clock)
    for _ in range(4):
        allowances.take(THREE, "guesser")
    for number in range(40):
        allowances.take(THREE, str(number))
        assert rows(storage) <= 10
    assert not allowances.take(THREE, "guesser").allowed, "those at work longest are forgotten last"


def test_what_was_used_well_is_given_back(storage: Storage, clock: Clock) -> None:
    allowances = Allowances(storage, clock)
    assert [allowances.take(THREE, "ann").allowed for _ in range(4)] == [True, True, True, False]
    with storage.writing() as database:
        give_back(database, THREE, "ann")
    assert [allowances.take(THREE, "ann").allowed for _ in range(2)] == [True, False]


def test_of_a_flood_every_power_of_two_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "_SUBJECTS_MAX", 2)
    flood = Flood()
    assert [flood.refused("a") for _ in range(9)] == [1, 2, 0, 4, 0, 0, 0, 8, 0]
    flood.over("a")
    assert flood.refused("a") == 1
    assert [flood.refused(name) for name in "bc"] == [1, 1]
    assert flood.refused("a") == 1, "forgotten: never more than so many subjects"


def test_a_flood_is_over_after_a_minute_without_a_refusal() -> None:
    now_s = 0.0
    flood = Flood(lambda: now_s)
    assert [flood.refused("ann") for _ in range(3)] == [1, 2, 0]
    now_s += limits.FLOOD_ENDS_S - 1
    assert flood.refused("ann") == 4
    now_s += limits.FLOOD_ENDS_S
    assert [flood.refused("ann") for _ in range(2)] == [1, 2]


def test_a_refusal_writes_nothing(storage: Storage, clock: Clock) -> None:
    allowances = Allowances(storage, clock)
    for _ in range(3):
        allowances.take(THREE, "ann")
    before = storage.path.read_bytes()
    assert not allowances.take(THREE, "ann").allowed
    assert storage.path.read_bytes() == before


def test_who_waits_for_the_disk_holds_up_nobody_who_has_some_at_hand(storage: Storage, clock: Clock) -> None:
    allowances, many = Allowances(storage, clock), Limit("many", 100, 60 * SECOND_NS)
    assert allowances.take_cheaply(many, "bob").allowed
    with storage.writing():
        waiting = threading.Thread(target=allowances.take_cheaply, args=(many, "ann"))
        waiting.start()
        time.sleep(0.1)
        assert waiting.is_alive()
        began_s = time.monotonic()
        assert allowances.take_cheaply(many, "bob").allowed
        assert time.monotonic() - began_s < 1.0
    waiting.join(10)
    assert not waiting.is_alive()


def test_where_it_cannot_be_counted_nothing_is_allowed_but_a_look(storage: Storage, clock: Clock) -> None:
    storage.path.write_bytes(b"no database" * 1000)
    with pytest.raises(ControlError, match="cannot be used"):
        Allowances(storage, clock).take(THREE, "ann")
    assert Allowances(storage, clock).take_cheaply(THREE, "ann").allowed


def test_a_look_does_not_wait_for_whoever_writes(storage: Storage, clock: Clock) -> None:
    allowances, many = Allowances(storage, clock), Limit("many", 600, 60 * SECOND_NS)
    began_s = time.monotonic()
    with storage.writing():
        assert all(allowances.take_cheaply(many, "ann").allowed for _ in range(60))
    assert time.monotonic() - began_s < 2.0, "a quarter of a second for each handful of thirty"
    assert not rows(storage)


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("testclient", "testclient"),
    ],
)
def test_a_line_of_ipv6_is_one_address(address: str, key: str) -> None:
    assert address_key(address) == key


def test_the_clock_of_these_tests_stands_still(clock: Clock) -> None:
    assert clock() == NOW
