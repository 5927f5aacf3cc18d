import math

import numpy as np
import pytest

from novapulse.market.quality import SpikeFilter, SpikeSettings, Verdict, spikes

TICKS = 60_000


def garch(seed: int, volatility: float) -> np.ndarray:
    chance = np.random.default_rng(seed)
    shocks = chance.standard_t(5.0, TICKS) * math.sqrt(3.0 / 5.0)
    moves, variance = np.empty(TICKS), 1.0
    for row, shock in enumerate(shocks.tolist()):
        moves[row] = volatility * math.sqrt(variance) * shock
        variance = 0.03 + 0.07 * variance * shock * shock + 0.90 * variance
    return moves


@pytest.mark.parametrize("volatility", [0.0002, 0.0008, 0.002])
def test_bad_prints_are_caught_and_jumps_accepted(volatility: float) -> None:
    """V-14: the simulated acceptance set; a fixed 20 % rule catches under half of it."""
    moves, chance = garch(5, volatility), np.random.default_rng(6)
    rows = chance.choice(np.arange(200, TICKS - 200, 100), 80, replace=False)
    bad, jumps = rows[:60], rows[60:]
    moves[jumps] += chance.choice([-1.0, 1.0], jumps.size) * chance.uniform(10, 40, jumps.size) * volatility
    prices = 100.0 * np.exp(np.cumsum(moves))
    prices[bad] *= np.exp(chance.choice([-1.0, 1.0], bad.size) * chance.uniform(0.02, 0.3, bad.size))
    verdicts, _ = spikes(prices)
    rejected = verdicts == Verdict.REJECTED
    waits = [next(k for k in range(TICKS) if not rejected[row + k]) for row in jumps]
    unexpected = rejected.copy()
    unexpected[np.concatenate([bad, *(jumps + k for k in range(4))])] = False
    edges = np.flatnonzero(np.concatenate([[True], ~rejected, [True]]))
    assert rejected[bad].mean() >= 0.98
    assert unexpected.mean() <= 10e-4
    assert max(waits) <= 4
    assert np.diff(edges).max() - 1 <= 5
    assert (np.abs(np.diff(prices)[bad - 1] / prices[bad - 1]) > 0.2).mean() < 0.5


def test_live_steps_and_history_are_one() -> None:
    prices = 50.0 * np.exp(np.cumsum(garch(9, 0.001)[:3_000]))
    prices[[500, 900, 901]] *= 1.1
    prices[1500:] *= 0.8
    prices[[10, 700]] = [math.nan, -1.0]
    elapsed = np.random.default_rng(1).integers(1, 30, prices.size)
    settings = SpikeSettings(window_returns=40, confirmations=2)
    history, _ = spikes(prices, elapsed, settings, tick=0.01)
    live = SpikeFilter(settings, tick=0.01)
    steps = zip(prices.tolist(), elapsed.tolist(), strict=True)
    assert [live.step(price, bars) for price, bars in steps] == history.tolist()
    assert {0, 1, 2} == set(history.tolist())


def test_a_second_venue_confirms_at_once() -> None:
    live = SpikeFilter()
    for row in range(100):
        live.step(100.0 + 0.01 * (row % 3))
    assert live.step(110.0) is Verdict.REJECTED
    assert live.step(110.0, confirmed=True) is Verdict.SHIFTED
    assert live.step(110.01) is Verdict.ACCEPTED


def test_one_tick_is_never_a_spike() -> None:
    """A market that stands still for an hour has no volatility; its first tick is no bad print."""
    prices = np.full(100, 0.999)
    prices[80:] = 1.0
    assert (spikes(prices, tick=0.001)[0] == Verdict.ACCEPTED).all()
    assert (spikes(prices)[0] == Verdict.REJECTED).any()


def test_how_far_is_too_far_is_a_setting() -> None:
    prices = 100.0 * np.exp(np.cumsum(garch(3, 0.001)[:20_000]))
    rejected = [(spikes(prices, settings=SpikeSettings(reject_scales=k))[0] == 1).sum() for k in (5.0, 8.0, 12.0)]
    assert rejected[0] > rejected[1] > rejected[2]


def test_the_scale_is_the_larger_of_median_deviation_and_exponential_deviation() -> None:
    moves = garch(4, 0.001)[:400]
    prices = 100.0 * np.exp(np.cumsum(moves))
    verdicts, scales = spikes(prices)
    assert (verdicts == Verdict.ACCEPTED).all()
    returns, variance, larger = np.diff(np.log(prices)), 0.0, set()
    for row in range(1, prices.size):
        if row > 20:
            window = returns[max(0, row - 61) : row - 1]
            robust = 1.4826 * np.median(np.abs(window - np.median(window)))
            assert scales[row] == pytest.approx(max(robust, math.sqrt(variance)), rel=1e-9)
            larger.add(bool(robust > math.sqrt(variance)))
        variance = 0.97 * variance + 0.03 * returns[row - 1] ** 2 if row > 1 else returns[0] ** 2
    assert larger == {True, False}


def test_a_price_after_a_pause_may_move_further() -> None:
    prices = np.append(100.0 * np.exp(np.cumsum(garch(4, 0.001)[:200])), 0.0)
    elapsed = np.ones(201, np.int64)
    prices[200] = prices[199] * math.exp(15 * spikes(prices)[1][199])
    assert spikes(prices, elapsed)[0][200] == Verdict.REJECTED
    elapsed[200] = 9
    assert spikes(prices, elapsed)[0][200] == Verdict.ACCEPTED


def test_prices_that_disagree_confirm_nothing_and_a_shift_does_not_widen_the_scale() -> None:
    prices = 100.0 * np.exp(np.cumsum(garch(4, 0.001)[:300]))
    prices[[150, 151, 152]] *= [1.1, 0.9, 1.2]
    prices[200:] *= 2.0
    verdicts, scales = spikes(prices)
    assert verdicts[149:154].tolist() == [0, 1, 1, 1, 0]
    assert verdicts[199:204].tolist() == [0, 1, 1, 2, 0]
    assert scales[203] < 2.5 * scales[199]


def test_lengths_must_agree() -> None:
    with pytest.raises(ValueError, match="elapsed_bars has shape"):
        spikes(np.ones(3), np.ones(2, np.int64))
