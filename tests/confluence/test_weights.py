"""The tilt: what it may never do, and that it learns."""

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from novapulse.confluence.settings import ConfluenceSettings, RegimeMultipliers
from novapulse.confluence.weights import hedge, loss_of, multiplier_table, tilt
from novapulse.signals.regimes import LABELS

days = st.lists(
    st.tuples(st.lists(st.floats(0, 1), min_size=5, max_size=5), st.lists(st.booleans(), min_size=5, max_size=5)),
    max_size=60,
)
shares = st.lists(st.floats(0.01, 1), min_size=5, max_size=5)


@settings(max_examples=60)
@given(shares, days, st.floats(0, 0.5), st.floats(0.01, 5), st.floats(0, 0.1))
def test_weights_stay_shares_and_sleepers_keep_their_mass(
    base: list[float], history: list[tuple[list[float], list[bool]]], fraction: float, eta: float, share: float
) -> None:
    start = np.array(base) / sum(base)
    mass, weights = start.copy(), np.empty(5)
    for losses, awake in history:
        before = mass.copy()
        hedge(mass, start, np.array(losses), np.array(awake), eta, share)
        asleep = ~np.array(awake)
        assert (mass[asleep] == before[asleep]).all()
        tilt(start, mass, fraction, weights)
        assert (weights >= 0).all()
        assert math.isclose(weights.sum(), 1.0, rel_tol=1e-12)
        assert math.isclose(mass.sum(), 1.0, rel_tol=1e-9)


def test_without_evidence_the_base_weights_remain() -> None:
    base = np.array([0.3, 0.5, 0.2])
    mass = base.copy()
    for _ in range(500):
        hedge(mass, base, np.full(3, 0.5), np.ones(3, np.bool_), 0.6, 0.001)
    assert np.allclose(mass, base, rtol=1e-12)


def test_regret_stays_within_the_bound_of_hedge() -> None:
    steps, experts = 1000, 8
    eta = math.sqrt(8 * math.log(experts) / steps)
    bound = math.sqrt(steps * math.log(experts) / 2)
    for seed in range(20):
        losses = np.random.default_rng(seed).random((steps, experts))
        mass, paid = np.full(experts, 1 / experts), 0.0
        for row in losses:
            paid += float(mass @ row)
            hedge(mass, mass.copy(), row, np.ones(experts, np.bool_), eta, 0.0)
        assert paid - losses.sum(0).min() <= bound


def test_a_skilled_strategy_gains_weight_and_loses_it_when_skill_moves_on() -> None:
    rng = np.random.default_rng(3)
    base = np.full(4, 0.25)
    mass, history = base.copy(), []
    for day in range(1600):
        skill = np.zeros(4)
        skill[0 if day < 800 else 1] = 3.0
        losses = np.array([loss_of(10.0 * x) for x in rng.normal(size=4) + skill])
        hedge(mass, base, losses, np.ones(4, np.bool_), 0.6, 0.001)
        history.append(mass.copy())
    assert history[799][0] > 0.8
    assert history[1599][1] > 0.8


def test_loss_is_a_half_for_nothing_and_bounded() -> None:
    assert [loss_of(x) for x in (0.0, 10.0, -10.0, 1e9, -1e9)] == [0.5, 0.4, 0.6, 0.0, 1.0]


def test_multipliers_follow_family_and_state_r_13() -> None:
    chosen = ConfluenceSettings(
        families={"mine": "trend"},
        weights={"mine": 1.0, "keltner": 1.0},
        regime_multipliers={"trend": RegimeMultipliers(trend=2.0, range=0.5, high=0.1)},
    )
    table = dict(zip(LABELS, multiplier_table(chosen, ("mine", "keltner")).tolist(), strict=True))
    assert table["trend-normal"][0] == 2.0
    assert table["trend-high"][0] == 0.2
    assert table["range-low"][0] == 0.5
    assert table["range-normal"][1] > 1 > table["trend-normal"][1], "the families not named stay as shipped"
