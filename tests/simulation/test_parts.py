"""The parts that a seed is made of: dice, plans, fates, reads, the virtual clock."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from novapulse.core.messages import ReadSnapshot
from novapulse.core.orders import OrderType, Side, Terms
from novapulse.simulation.campaign import Campaign, Size
from novapulse.simulation.chance import Chance
from novapulse.simulation.faults import Fault, chosen
from novapulse.simulation.host import host_of
from novapulse.simulation.marks import Marks
from novapulse.simulation.network import Network
from novapulse.simulation.plan import CALM_NS, MINUTE_NS, plan_of
from novapulse.simulation.scene import scene_of
from novapulse.simulation.world import Timeline
from novapulse.venues.simulated import ClientIds

DAY_NS = 1440 * MINUTE_NS


@given(st.integers(0, 2**40), st.lists(st.sampled_from("abc"), max_size=40))
def test_a_site_is_not_moved_by_what_others_ask(seed: int, asked: list[str]) -> None:
    mixed, alone = Chance(seed), Chance(seed)
    seen = [mixed.bits(site) for site in asked]
    assert [bits for bits, site in zip(seen, asked, strict=True) if site == "a"] == [
        alone.bits("a") for site in asked if site == "a"
    ]


def test_dice_are_fair_enough_and_differ_by_seed_and_site() -> None:
    chance = Chance(7)
    rolls = [chance.roll("x") for _ in range(20_000)]
    assert abs(sum(rolls) / len(rolls) - 0.5) < 0.01
    assert abs(sum(roll < 0.1 for roll in rolls) / len(rolls) - 0.1) < 0.01
    assert len({Chance(seed).bits("x") for seed in range(1000)}) == 1000
    assert Chance(1).bits("x") != Chance(1).bits("y")


@given(st.integers(0, 2**31), st.integers(-50, 50), st.integers(0, 100))
def test_a_number_between_two_bounds_is_between_them(seed: int, low: int, width: int) -> None:
    chance = Chance(seed)
    assert all(low <= chance.between("x", low, low + width) <= low + width for _ in range(20))


@pytest.mark.parametrize("seed", range(20))
def test_nothing_is_planned_for_a_calm(seed: int) -> None:
    plan = plan_of(seed, chosen("all"), 0, DAY_NS, DAY_NS + 10 * MINUTE_NS)
    assert plan.acts
    for act in plan.acts:
        assert not any(begin <= act.ts_ns < end for begin, end in plan.calms), act
    assert [end - begin for begin, end in plan.calms[:-1]] == [CALM_NS] * (len(plan.calms) - 1)
    assert plan.calms[-1][0] == DAY_NS


def test_a_calm_has_no_accidents_and_a_storm_has() -> None:
    plan = plan_of(3, chosen("ack_lost,request_lost"), 0, DAY_NS, DAY_NS)
    assert plan.is_stormy(MINUTE_NS)
    assert not plan.is_stormy(plan.calms[0][0])
    assert not plan.is_stormy(plan.calms[0][1] - 1)
    assert plan.is_stormy(plan.calms[0][1])


def test_every_seed_has_some_of_the_faults_and_never_one_that_was_not_asked_for() -> None:
    wanted = chosen("crash,stream_gap,dust,split,slow_reads")
    plans = [plan_of(seed, wanted, 0, DAY_NS, DAY_NS) for seed in range(200)]
    assert all(plan.faults <= wanted for plan in plans)
    assert {fault for plan in plans for fault in plan.faults} == wanted
    assert len({plan.faults for plan in plans}) > 10


def test_who_asks_for_few_faults_gets_them_in_every_seed() -> None:
    wanted = chosen("crash,split")
    assert all(plan_of(seed, wanted, 0, DAY_NS, DAY_NS).faults == wanted for seed in range(20))


def test_a_calm_network_delivers_everything_once_and_soon() -> None:
    plan = plan_of(0, chosen("all"), 0, DAY_NS, DAY_NS)
    network = Network(plan, Marks())
    for _ in range(200):
        fate = network.fate(ReadSnapshot("", "look"), plan.calms[0][0])
        assert fate.is_taken
        assert fate.is_heard
        assert not any((fate.unclear, fate.refused, fate.again_ns, fate.lags, fate.is_repeated))
        assert fate.out_ns + fate.back_ns < 1_000_000_000


def test_what_is_due_at_one_moment_happens_in_the_order_in_which_it_was_asked_for() -> None:
    timeline, seen = Timeline(100), list[int]()
    timeline.at(150, lambda: seen.append(2))
    timeline.at(120, lambda: seen.append(1))
    timeline.at(150, lambda: seen.append(3))
    timeline.at(10, lambda: seen.append(0))
    timeline.run(149)
    assert (seen, timeline.now_ns, timeline.waiting) == ([0, 1], 149, 2)
    timeline.run(150)
    assert seen == [0, 1, 2, 3]


def test_a_venue_that_forgets_ids_makes_a_second_order_and_the_world_never_asks_for_one() -> None:
    # Fault 37: the reason why an id is minted once and never used again.
    scene = scene_of(0.05)
    host = host_of(scene, scene.parts[0], ClientIds.OPEN)
    key = scene.parts[0].instruments[0].key
    host.levers.place(key, Side.BUY, OrderType.LIMIT, Terms(100, 100), 1, client_order_id="x")
    request = host.exchange.book.of_client("x")[0].request
    host.levers.cancel("x", 2)
    limit = round(1_000 * float(host.exchange.slots[key].record["price_factor"]))
    host.exchange.submit(replace(request, terms=Terms(100_000, limit)), 3)
    assert len(host.exchange.book.of_client("x")) == 2
    # Nobody here ever asks for it: so nobody can ask for the fault, and the campaign says why.
    assert Fault.ID_REUSE not in chosen("all")
    with pytest.raises(ValueError, match="id_reuse cannot be asked for: a client order id is minted once"):
        chosen("crash,id_reuse")


def test_a_failing_seed_names_the_command_that_lives_it_again() -> None:
    campaign = Campaign(Size(0.5, 6, 2), "crash,dust")
    assert campaign.replay_of(17) == (
        "novapulse simulate --seeds 17:18 --days 0.5 --faults crash,dust --pairs 6 --accounts 2"
    )


@pytest.mark.parametrize("size", [(0.0, 4, 3), (1.0, 1, 3), (1.0, 4, 0), (1.0, 4, 4), (400.0, 4, 3)])
def test_a_scene_of_no_size_is_refused(size: tuple[float, int, int]) -> None:
    with pytest.raises(ValueError, match="there is none"):
        scene_of(*size)


def test_two_accounts_of_one_exchange_share_a_pair_and_every_limit_is_on() -> None:
    scene = scene_of(0.05)
    main, _, second = scene.parts
    assert main.key.exchange == second.key.exchange
    assert {one.key for one in main.instruments} & {one.key for one in second.instruments}
    limits = scene.decides.risk.limits.model_dump()
    assert all(value for value in limits.values()), limits
