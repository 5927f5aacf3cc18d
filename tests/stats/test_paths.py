"""Monte Carlo of round trips against every path there is, written out where there are few."""

import tracemalloc
from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from novapulse.core.bars import DAY_NS, MINUTE_NS
from novapulse.stats.drawdowns import longest_under_water, max_drawdown
from novapulse.stats.paths import trade_paths


def exits(days: list[int]) -> np.ndarray:
    """Stamps of round trips on numbered days, in the order given within a day."""
    return np.array([DAY_NS * (20_000 + day) + MINUTE_NS * (k + 1) for k, day in enumerate(days)])


def grown(path, capital: float) -> np.ndarray:
    """Equity of an account that opened with 1, after round trips that made so much of each `capital`."""
    return np.cumprod(1.0 + np.array(path) / capital)


def ruined(path, capital: float, fraction: float) -> bool:
    return bool(grown(path, capital).min() <= 1 - fraction + 1e-12)


def bands_of(paths: list, capital: float) -> tuple[set[float], set[float]]:
    curves = [grown(path, capital) for path in paths]
    return {max_drawdown(c, 1.0) for c in curves}, {float(longest_under_water(c, 1.0)) for c in curves}


def test_permuted_paths_are_the_orders_of_the_record() -> None:
    pnl = [30.0, -20.0, -25.0, 10.0, -5.0]
    days = exits([1, 2, 3, 4, 5])
    got = trade_paths(days, np.array(pnl) / 100.0, years=2.0, seed=1, paths=20_000, ruin_fraction=0.39)
    every = list(permutations(pnl))
    expected = np.mean([ruined(path, 100.0, 0.39) for path in every])
    assert 0 < expected < 1
    assert got.permuted.ruin_probability == pytest.approx(expected, abs=0.015)
    depths = [max_drawdown(grown(path, 100.0), 1.0) for path in every]
    assert list(got.permuted.max_drawdown) == pytest.approx(np.quantile(depths, (0.05, 0.5, 0.95)).tolist(), abs=0.02)
    final = grown(pnl, 100.0)[-1]
    assert got.permuted.final_return == pytest.approx([final - 1] * 3)
    assert got.permuted.cagr == pytest.approx([final**0.5 - 1] * 3)
    assert got.max_drawdown == pytest.approx(max_drawdown(grown(pnl, 100.0), 1.0))


def test_resampled_single_days_are_every_draw_with_replacement() -> None:
    pnl = [30.0, -20.0, -25.0]
    got = trade_paths(
        exits([1, 2, 3]), np.array(pnl) / 100.0, years=1.0, seed=2, paths=20_000, ruin_fraction=0.39, block_days=1
    )
    every = list(product(pnl, repeat=3))
    assert got.resampled.ruin_probability == pytest.approx(
        np.mean([ruined(path, 100.0, 0.39) for path in every]), abs=0.015
    )
    finals = np.quantile([grown(path, 100.0)[-1] - 1 for path in every], (0.05, 0.5, 0.95))
    assert got.resampled.final_return == pytest.approx(finals, abs=0.011)


@settings(max_examples=30)
@given(
    st.lists(st.tuples(st.integers(-20, 20).map(float), st.integers(0, 2)), min_size=2, max_size=12), st.integers(0, 99)
)
def test_one_endless_block_is_the_record_begun_on_another_day(trips: list, seed: int) -> None:
    pnl, days = [each for each, _ in trips], np.cumsum([step for _, step in trips]).tolist()
    got = trade_paths(exits(days), np.array(pnl) / 1000.0, years=1.0, seed=seed, paths=50, block_days=1e12)
    if days[0] == days[-1]:
        assert got is None
        return
    begins = [k for k in range(len(days)) if k == 0 or days[k] != days[k - 1]]
    depths, lengths = bands_of([pnl[k:] + pnl[:k] for k in begins], 1000.0)
    assert got.resampled.final_return == pytest.approx([grown(pnl, 1000.0)[-1] - 1] * 3)
    low, high = min(depths), max(depths)
    assert all(low - 1e-12 <= each <= high + 1e-12 for each in got.resampled.max_drawdown)
    assert all(min(lengths) <= each <= max(lengths) for each in got.resampled.under_water_trades)


@pytest.mark.parametrize("kind", ["resampled", "permuted"])
def test_round_trips_of_a_day_stay_together_and_in_order(kind: str) -> None:
    """A loss that the same day wins back, whichever instruments they are of, never adds up with another."""
    days = np.repeat(np.arange(40), 2).tolist()
    got = trade_paths(exits(days), np.tile([-0.1, 0.12], 40), years=1.0, seed=3)
    bands = getattr(got, kind)
    assert bands.max_drawdown == pytest.approx([0.1] * 3)
    assert bands.under_water_trades == (1.0, 1.0, 1.0)


def test_every_path_has_as_many_round_trips_as_the_record_in_any_order_given() -> None:
    days = [0, 0, 0, 0, 1, 2, 2, 5, 5, 5, 5, 5]
    shuffle = np.random.default_rng(1).permutation(12)
    got = trade_paths(exits(days)[shuffle], np.full(12, 0.01), years=1.0, seed=3)
    assert got.resampled.final_return == pytest.approx([1.01**12 - 1] * 3)
    assert got.permuted.final_return == pytest.approx([1.01**12 - 1] * 3)
    assert got.resampled.max_drawdown == (0.0, 0.0, 0.0)
    assert (got.trades, got.days, got.paths) == (12, 4, 1000)
    ordered = trade_paths(exits(days), np.full(12, 0.01), years=1.0, seed=3)
    assert got == ordered


def test_losses_that_cluster_draw_deeper_in_blocks_than_singly() -> None:
    pnl = np.tile(np.repeat([12.0, -10.0], 20), 10)
    days = exits(list(range(pnl.size)))
    blocks = trade_paths(days, pnl / 10_000.0, years=1.0, seed=3)
    single = trade_paths(days, pnl / 10_000.0, years=1.0, seed=3, block_days=1.0)
    assert blocks.block_days > 5
    assert blocks.resampled.max_drawdown.p50 > 1.3 * single.resampled.max_drawdown.p50


def test_ruin_for_certain_and_a_loss_of_everything() -> None:
    got = trade_paths(exits([1, 2]), np.array([-0.8, -1.5]), years=1.0, seed=1)
    assert got.permuted.ruin_probability == got.resampled.ruin_probability == 1.0
    assert got.permuted.cagr == (-1.0, -1.0, -1.0)
    assert got.permuted.max_drawdown == pytest.approx([1.0] * 3)
    assert trade_paths(exits([1, 2]), np.full(2, 0.01), years=0.0, seed=1).permuted.cagr is None


def test_midnight_ends_a_day_and_one_day_has_no_other_order() -> None:
    midnight = DAY_NS * 20_000
    stamps = np.array([midnight - MINUTE_NS, midnight, midnight + 1])
    assert trade_paths(stamps[:2], np.full(2, 0.01), years=1.0, seed=1) is None
    assert trade_paths(stamps, np.full(3, 0.01), years=1.0, seed=1).days == 2
    assert trade_paths(stamps[:0], np.ones(0), years=1.0, seed=1) is None


def test_the_same_seed_gives_the_same_paths() -> None:
    days, pnl = exits(list(range(50))), np.random.default_rng(1).normal(size=50)
    one, again, other = (trade_paths(days, pnl / 100.0, years=1.0, seed=seed) for seed in (5, 5, 6))
    assert one == again != other


def test_memory_does_not_grow_with_the_paths() -> None:
    days, pnl = exits(np.repeat(np.arange(250), 8).tolist()), np.random.default_rng(1).normal(size=2000)
    tracemalloc.start()
    trade_paths(days, pnl / 1000.0, years=1.0, seed=1, paths=600)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20e6


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ruin_fraction": 1.0}, "ruin_fraction must lie between 0 and 1, got 1.0"),
        ({"paths": 0}, "paths must be at least 1, got 0"),
        ({"block_days": 0.0}, "block must be at least 1 row, got 0.0"),
        ({"fractions": np.array([1.0, np.nan])}, "fractions: row 1 is nan"),
        ({"exit_ts_ns": np.array([1.5, 2.5])}, "exit_ts_ns must be whole nanoseconds in one dimension, got float64"),
        ({"fractions": np.ones(3)}, "fractions has 3 rows, exit_ts_ns has 2"),
    ],
)
def test_a_wrong_argument_is_named(changes, message) -> None:
    given = {"exit_ts_ns": exits([1, 2]), "fractions": np.ones(2), "years": 1.0, "seed": 1}
    with pytest.raises(ValueError, match=message):
        trade_paths(**given | changes)
