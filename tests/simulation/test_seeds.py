"""A hundred seeds with all faults: nothing breaks, everything is reached, and the same seed is the same world."""

import os
from collections import Counter
from itertools import combinations

import pytest

from novapulse.simulation.campaign import MUST_BE_REACHED, Campaign, Size, run_campaign
from novapulse.simulation.faults import TABLE, Fault, chosen
from novapulse.simulation.scene import scene_of
from novapulse.simulation.seeds import cast_of, run_seed

SEEDS = range(100, 200)
SIZE = Size(days=0.25)


@pytest.fixture(scope="module")
def campaign() -> Campaign:
    processes = min(2, os.cpu_count() or 1)
    return run_campaign(SEEDS, chosen("all"), "all", size=SIZE, processes=processes)


def test_no_seed_of_a_hundred_breaks_an_invariant(campaign: Campaign) -> None:
    broken = [(report.seed, report.violation, campaign.replay_of(report.seed)) for report in campaign.failed]
    assert not broken, broken


@pytest.mark.parametrize("mark", MUST_BE_REACHED)
def test_a_hundred_seeds_reach_every_fault_and_every_way_of_recovery(campaign: Campaign, mark: str) -> None:
    assert campaign.marks[mark] > 0


def test_a_hundred_seeds_trade_enough_to_be_worth_looking_at(campaign: Campaign) -> None:
    assert sum(report.trips for report in campaign.reports) > 20 * len(SEEDS)


@pytest.mark.parametrize("seed", [1, 5, 9])
def test_the_same_seed_twice_is_the_same_event_log(seed: int) -> None:
    scene = scene_of(0.1)
    first, second = (run_seed(scene, seed, chosen("all")) for _ in range(2))
    assert (first.digest, first.marks, first.points) == (second.digest, second.marks, second.points)


def test_another_seed_is_another_event_log() -> None:
    scene = scene_of(0.1)
    digests = {run_seed(scene, seed, chosen("all")).digest for seed in range(3)}
    assert len(digests) == 3


def test_a_seed_does_not_depend_on_the_process_it_runs_in(campaign: Campaign) -> None:
    alone = run_seed(cast_of(scene_of(SIZE.days), SEEDS[-1]), SEEDS[-1], chosen("all"))
    assert alone.digest == campaign.reports[-1].digest


def test_seeds_are_lived_with_one_account_with_some_and_with_all_in_every_mixture() -> None:
    scene = scene_of(0.1)
    casts = Counter(tuple(part.key for part in cast_of(scene, seed).parts) for seed in range(300))
    everybody = tuple(part.key for part in scene.parts)
    assert set(casts) == {some for size in (1, 2, 3) for some in combinations(everybody, size)}
    by_size = Counter({size: sum(casts[some] for some in casts if len(some) == size) for size in (1, 2, 3)})
    assert all(80 < count < 120 for count in by_size.values()), by_size
    assert cast_of(scene_of(0.1, accounts=1), 7).parts == scene_of(0.1, accounts=1).parts
    policies = Counter(cast_of(scene, seed).settings.partial_fill for seed in range(300))
    assert policies.keys() == {"keep", "complete", "unwind"}
    assert all(80 < count < 120 for count in policies.values()), policies


def test_without_faults_nothing_unusual_is_reached() -> None:
    report = run_seed(scene_of(0.1), 0, frozenset())
    assert report.ok
    assert not [mark for mark in report.marks if mark.startswith(("fault", "crash", "restart", "absence"))]


def test_what_comes_and_goes_by_hand_is_no_loss_behind_a_midnight() -> None:
    report = run_seed(scene_of(1.5), 7, frozenset({Fault.FOREIGN_ACTIVITY}))
    assert report.ok, report.violation
    assert report.marks["somebody took money"]


def test_every_fault_is_in_the_table_and_the_forty_four_are_numbered_in_order() -> None:
    assert set(TABLE) == set(Fault)
    assert [fault.number for fault in Fault] == list(range(1, 45))


@pytest.mark.parametrize("name", ["", "crash,no_such_fault", "ALL"])
def test_a_fault_that_there_is_not_is_refused_by_name(name: str) -> None:
    with pytest.raises(ValueError, match="no such fault"):
        chosen(name)
