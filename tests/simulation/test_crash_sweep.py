"""A crash at every point of a small world, one at a time: before and after every write, and at every send."""

import pytest

from novapulse.simulation.scene import scene_of
from tests.simulation.sweeping import MISSED, STALE, UNMOVED, UNSENT, Lived, lived, why_different

DAYS = 0.014
EVERY = 5
SOME = 19


@pytest.fixture(scope="module")
def whole() -> Lived:
    return lived(scene_of(DAYS), frozenset())


def reasons(whole: Lived, broken: Lived) -> set[str]:
    pairs = zip(whole.accounts, broken.accounts, strict=True)
    return {why for one, other in pairs if (why := why_different(one, other))}


@pytest.mark.parametrize("offset", range(EVERY))
def test_a_crash_at_any_point_ends_where_none_would_have_but_for_an_order_that_was_not_sent(
    whole: Lived, offset: int
) -> None:
    for point in range(1 + offset, whole.points + 1, EVERY):
        broken = lived(scene_of(DAYS), frozenset({point}))
        assert broken.ends, f"point {point} was never reached"
        why = reasons(whole, broken)
        assert not why or (why, broken.ends) == ({UNSENT}, ("crash after the commit at W1 and W2",)), point


@pytest.mark.parametrize(("absence_s", "whys"), [(90, {MISSED, STALE, UNSENT, UNMOVED}), (150, {MISSED, UNSENT})])
def test_whoever_is_down_over_a_close_differs_by_what_the_ledger_says(
    whole: Lived, absence_s: int, whys: set[str]
) -> None:
    found: set[str] = set()
    # What ends later than this is still down when everything has to be at rest.
    for point in range(5, whole.points * 2 // 3, SOME):
        found |= reasons(whole, lived(scene_of(DAYS), frozenset({point}), absence_s))
    assert found <= whys
    assert MISSED in found


def test_two_crashes_in_a_row_are_survived(whole: Lived) -> None:
    for point in range(1, whole.points - 12, 61):
        for gap in (1, 3, 8):
            assert lived(scene_of(DAYS), frozenset({point, point + gap})).ends, (point, gap)


def test_a_world_without_its_points_is_the_world_with_none(whole: Lived) -> None:
    assert [life.executions for life in lived(scene_of(DAYS), None).accounts] == [
        life.executions for life in whole.accounts
    ]
