"""The soak in small, and the detector that reads it."""

from dataclasses import replace
from pathlib import Path

from novapulse.simulation.faults import chosen
from novapulse.simulation.scene import scene_of
from novapulse.simulation.soak import Sample, held_bytes, soak
from tests.simulation.soaking import LINES_PER_DAY, LOG_BYTES, grown, told

FLAT = [
    Sample(6.0 * n, 200 * 2**20, 2 * 2**20, 12, 40, 9, 20_000, 1500, 1000 * n, 10**6 * n, 4 * 2**20, 50 * n)
    for n in range(1, 20)
]


def test_a_long_seed_with_faults_keeps_its_sizes(tmp_path: Path) -> None:
    samples, violation = soak(scene_of(0.5, pairs=8), 3, chosen("all"), tmp_path, every_hours=1.0)
    assert violation is None
    assert len(samples) >= 10
    assert max(each.log_bytes for each in samples) < LOG_BYTES
    assert max(each.files for each in samples) == min(each.files for each in samples)
    assert max(each.timers for each in samples) < 200
    assert max(each.appointments for each in samples) < 2000


def test_what_does_not_grow_is_not_told() -> None:
    assert grown(FLAT) == []


def test_memory_that_grows_by_a_little_every_hour_is_told() -> None:
    leaking = [replace(each, resident_bytes=each.resident_bytes + n * 4 * 2**20) for n, each in enumerate(FLAT)]
    assert any("memory" in text for text in grown(leaking))


def test_traders_that_grow_are_told_where_the_process_hides_it() -> None:
    leaking = [replace(each, trader_bytes=each.trader_bytes + n * 60_000) for n, each in enumerate(FLAT)]
    assert any("traders grew" in text for text in grown(leaking))


def test_what_is_held_is_counted_once_with_all_that_it_refers_to() -> None:
    shared = [bytes(1_000_000)]
    alone = held_bytes([shared])
    assert alone > 1_000_000
    assert held_bytes([{"a": shared, "b": shared, "code": test_what_does_not_grow_is_not_told}]) < alone + 1_000


def test_a_log_that_is_never_emptied_is_told() -> None:
    assert any("log" in text for text in grown([*FLAT, replace(FLAT[-1], log_bytes=LOG_BYTES + 1)]))


def test_a_log_that_fills_by_the_minute_is_told() -> None:
    noisy = [replace(each, lines=LINES_PER_DAY * n) for n, each in enumerate(FLAT)]
    assert any("lines a day" in text for text in grown(noisy))


def test_the_first_day_stands_beside_the_last_one() -> None:
    rows = told([replace(each, files=each.files + (each.hours > 90)) for each in FLAT])
    assert ("open files", "12", "13") in rows
    assert ("lines of log a day", "200", "200") in rows


def test_timers_that_pile_up_are_told() -> None:
    piling = [replace(each, timers=each.timers + 10 * n) for n, each in enumerate(FLAT)]
    assert any("timers" in text for text in grown(piling))
