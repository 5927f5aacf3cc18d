"""A crash at every point of a small world, one at a time: before and after every write, and at every send."""

from collections import Counter

import pytest

from novapulse.simulation.scene import scene_of
from novapulse.simulation.seeds import SeedReport, run_seed

DAYS = 0.014
EVERY = 5
NOTHING = frozenset[int]()


@pytest.fixture(scope="module")
def unbroken() -> SeedReport:
    report = run_seed(scene_of(DAYS), 0, frozenset(), NOTHING)
    assert report.ok
    return report


@pytest.mark.parametrize("offset", range(EVERY))
def test_every_point_at_which_the_process_can_end_is_survived(unbroken: SeedReport, offset: int) -> None:
    ended: Counter[bool] = Counter()
    for point in range(1 + offset, unbroken.points + 1, EVERY):
        report = run_seed(scene_of(DAYS), 0, frozenset(), frozenset({point}))
        where = [mark for mark in report.marks if mark.startswith("crash ")]
        assert report.ok, (point, where, report.violation)
        assert where, f"point {point} was never reached"
        ended[report.outcome == unbroken.outcome] += 1
    # Where a decision was lost with its commit, the market is met a bar later; everywhere else nothing may differ.
    assert ended[True] >= 0.75 * sum(ended.values()), ended


def test_two_crashes_in_a_row_are_survived(unbroken: SeedReport) -> None:
    for point in range(1, unbroken.points - 12, 61):
        for gap in (1, 3, 8):
            report = run_seed(scene_of(DAYS), 0, frozenset(), frozenset({point, point + gap}))
            assert report.ok, (point, gap, report.violation)


def test_a_world_without_its_points_is_the_world_with_none(unbroken: SeedReport) -> None:
    assert run_seed(scene_of(DAYS), 0, frozenset()).outcome == unbroken.outcome
