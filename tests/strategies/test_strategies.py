"""What holds for every built-in strategy: silence where nothing can be known, no lookahead, windows equal history."""

import hashlib
import os
import subprocess
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pydantic
import pytest

from novapulse.core.bars import BarColumns
from novapulse.signals import Indicators
from novapulse.signals.regimes import Thresholds
from novapulse.strategies import FAMILIES, STRATEGIES, Votes, evaluate_all
from tests.strategies.markets import QUIET_BARS, market, mirrored, quiet, recorded

NAMES = list(STRATEGIES)
DEFAULTS = {name: (strategy, strategy.Params()) for name, strategy in STRATEGIES.items()}
FILES = ["binance_BTC-USDT_1m", "kraken_BTC-USD_1h"]


@cache
def real_bars(folder: Path, name: str) -> BarColumns:
    """Return the last 6,000 bars of a recorded file."""
    return recorded(folder, name)[-6_000:]


@cache
def real_votes(folder: Path, name: str) -> dict[str, Votes]:
    """Return all votes on them."""
    return evaluate_all(DEFAULTS, real_bars(folder, name), Thresholds())


def wandering(bars: int, seed: int) -> BarColumns:
    """Return a random walk with uneven volume and bouts of drift."""
    chance = np.random.default_rng(seed)
    drift = np.repeat(chance.choice([-0.06, 0.0, 0.06], bars // 100), 100)
    closes = 1000.0 + np.cumsum(drift + chance.normal(0.0, 0.2, drift.size))
    return market(closes, chance.gamma(1.5, 10.0, drift.size), wick=0.08)


def test_every_strategy_has_a_family() -> None:
    assert FAMILIES.keys() == STRATEGIES.keys()
    assert set(FAMILIES.values()) == {"trend", "breakout", "reversion", "flow"}


@pytest.mark.parametrize("name", NAMES)
def test_settings_are_frozen_and_refuse_what_they_do_not_know(name: str) -> None:
    params = STRATEGIES[name].Params()
    with pytest.raises(pydantic.ValidationError, match="no_such_key"):
        STRATEGIES[name].Params(no_such_key=1)
    for field in type(params).model_fields:
        with pytest.raises(pydantic.ValidationError, match="frozen"):
            setattr(params, field, 1)
        with pytest.raises(pydantic.ValidationError, match=field):
            STRATEGIES[name].Params(**{field: float("nan")})


@pytest.mark.parametrize("wick", [0.0, 0.5])
def test_a_constant_price_is_no_opinion(wick: float) -> None:
    votes = evaluate_all(DEFAULTS, market(np.full(QUIET_BARS, 50.0), wick=wick), Thresholds())
    assert not any(column.forecast.any() for column in votes.values())


def test_bars_without_trade_or_range_are_no_opinion() -> None:
    bars = wandering(4_000, seed=1)
    made = np.random.default_rng(2).random(len(bars)) < 0.2
    flat = {name: np.where(made, bars.open, getattr(bars, name)) for name in ("high", "low", "close")}
    untraded = BarColumns.checked(
        bars.ts_close_ns,
        bars.open,
        *(np.where(made, bars.open, flat[name]) for name in ("high", "low", "close")),
        np.where(made, 0.0, bars.volume),
        timeframe_ns=bars.timeframe_ns,
        made=made,
    )
    single_price = replace(untraded, volume=bars.volume)
    no_volume = replace(bars, volume=untraded.volume)
    for quiet_bars in (untraded, single_price, no_volume):
        votes = evaluate_all(DEFAULTS, quiet_bars, Thresholds())
        for name, column in votes.items():
            assert not column.forecast[made].any(), name
            assert column.forecast[~made].any(), name


@pytest.mark.parametrize("name", NAMES)
def test_warm_up_rows_are_zero_and_short_stretches_are_silent(name: str) -> None:
    strategy, params = DEFAULTS[name]
    warmup = strategy.warmup_bars(params)
    bars = wandering(3_000, seed=3)
    votes = strategy.votes(Indicators(bars), params)
    assert not votes.forecast[:warmup].any()
    assert not votes.confidence[:warmup].any()
    assert votes.forecast[warmup:].any()
    for length in (0, 1, 2, 30, warmup):
        short = strategy.votes(Indicators(bars[:length]), params)
        assert len(short) == length
        assert not short.forecast.any()


def test_upside_down_is_the_opposite_opinion() -> None:
    always_normal = Thresholds(1e-9, 1e-9, 1e9, 1e9, 0.14)
    bars = market(quiet(5_000, seed=8) + np.repeat(np.random.default_rng(9).normal(0, 0.2, 50), 100).cumsum() / 40)
    up, down = (evaluate_all(DEFAULTS, each, always_normal) for each in (bars, mirrored(bars)))
    for name in NAMES:
        assert up[name].forecast.any(), name
        np.testing.assert_allclose(up[name].forecast, -down[name].forecast, atol=1e-7, err_msg=name)
        np.testing.assert_allclose(up[name].confidence, down[name].confidence, atol=1e-7, err_msg=name)


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("name", NAMES)
def test_a_window_gives_the_bits_of_the_whole_history(shared_data: Path, file: str, name: str) -> None:
    bars, votes = real_bars(shared_data, file), real_votes(shared_data, file)[name]
    strategy, params = DEFAULTS[name]
    width = strategy.warmup_bars(params) + 1
    warm = np.array([i for i in range(width, len(bars)) if bars.number[i] - bars.number[i - width + 1] == width - 1])
    spoken = warm[votes.forecast[warm] != 0]
    assert spoken.size > 20, "the recorded bars must make this strategy speak"
    chance = np.random.default_rng(10)
    for row in (*chance.choice(spoken, 20, replace=False), *chance.choice(warm, 20, replace=False)):
        window = strategy.votes(Indicators(bars[row - width + 1 : row + 1]), params)
        assert window.forecast[-1] == votes.forecast[row]
        assert window.confidence[-1] == votes.confidence[row]


@pytest.mark.parametrize("file", FILES)
def test_no_vote_changes_when_the_future_is_cut_off(shared_data: Path, file: str) -> None:
    bars, votes = real_bars(shared_data, file), real_votes(shared_data, file)
    for cut in np.random.default_rng(11).integers(1_600, len(bars), 15):
        early = evaluate_all(DEFAULTS, bars[:cut], Thresholds())
        for name in NAMES:
            assert np.array_equal(early[name].forecast, votes[name].forecast[:cut]), name
            assert np.array_equal(early[name].confidence, votes[name].confidence[:cut]), name


def extreme(name: str, largest: bool) -> Any:
    """Return settings with every span at one end of what is allowed."""
    strategy = STRATEGIES[name]
    spans: dict[str, int] = {}
    for field, info in strategy.Params.model_fields.items():
        if info.annotation is int:
            bounds = {type(bound).__name__: bound for bound in info.metadata}
            spans[field] = bounds["Le"].le if largest else bounds["Ge"].ge
    return strategy.Params(**spans)


@pytest.mark.parametrize("largest", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_the_declared_warm_up_suffices_for_every_span(name: str, largest: bool) -> None:
    strategy, params = STRATEGIES[name], extreme(name, largest)
    bars = wandering(6_000, seed=12)
    width = strategy.warmup_bars(params) + 1
    votes = strategy.votes(Indicators(bars), params)
    rows = np.arange(width, len(bars))
    spoken = rows[votes.forecast[rows] != 0]
    assert spoken.size > 0 or not largest
    for row in (*spoken[:: max(1, spoken.size // 12)], *rows[::500]):
        window = strategy.votes(Indicators(bars[row - width + 1 : row + 1]), params)
        assert (window.forecast[-1], window.confidence[-1]) == (votes.forecast[row], votes.confidence[row])


def fingerprint(folder: Path) -> str:
    """Return the hash of all votes on 3,000 recorded bars."""
    votes = evaluate_all(DEFAULTS, recorded(folder, FILES[0])[-3_000:], Thresholds())
    digest = hashlib.sha256()
    for column in votes.values():
        digest.update(column.forecast.tobytes() + column.confidence.tobytes())
    return digest.hexdigest()


def test_compiled_and_uncompiled_votes_are_the_same_bits(shared_data: Path) -> None:
    code = (
        "from tests.conftest import SHARED_DATA\n"
        "from tests.strategies.test_strategies import fingerprint\n"
        "print(fingerprint(SHARED_DATA))"
    )
    uncompiled = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
        cwd=Path(__file__).resolve().parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert uncompiled.stderr == ""
    assert uncompiled.stdout.strip() == fingerprint(shared_data)
