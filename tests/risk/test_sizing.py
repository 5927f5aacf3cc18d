"""Sizes against published vectors, and the promise that no size passes any cap."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from novapulse.core.records import ACTION, CAPS, POSITION, Reason, Verb
from novapulse.execution.rules import instrument_records
from novapulse.risk.cash import FEE_ONE
from novapulse.risk.decide import decide
from novapulse.risk.sizing import (
    drawdown,
    drawdown_scale,
    forecast_scale,
    kelly_cap,
    risk_of_ruin,
    ruin_probability,
    volatility_qty,
)
from tests.backtest.builders import account_of, bar_of, instrument, rules_of, signal_of


@pytest.mark.parametrize(
    ("depth", "scale"), [(0.0, 1.0), (0.05, 0.789), (0.10, 0.556), (0.15, 0.294), (0.19, 0.062), (0.2, 0.0), (0.9, 0.0)]
)
def test_the_surplus_curve(depth, scale):
    assert drawdown_scale(depth, 0.2) == pytest.approx(scale, abs=6e-4)


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0.01, 1))
def test_the_surplus_curve_falls_and_stays_between_nothing_and_all(a, b, limit):
    low, high = min(a, b), max(a, b)
    assert 0.0 <= drawdown_scale(high, limit) <= drawdown_scale(low, limit) <= 1.0
    assert drawdown_scale(a, 0.0) == 1.0


def test_risk_of_ruin_vectors():
    assert risk_of_ruin(0.1, 0.2, 0.2, 1.0) == pytest.approx(0.1803, abs=5e-5)
    assert risk_of_ruin(0.1, 0.2, 0.0, 1.0) == 1.0
    assert (risk_of_ruin(-0.1, 0.0, 1.0, 10.0), risk_of_ruin(-0.09, 0.0, 1.0, 10.0)) == (1.0, 0.0)
    assert risk_of_ruin(-5.0, 0.1, 50.0, 1000.0) == pytest.approx(1.0)
    assert risk_of_ruin(5.0, 0.1, 50.0, 1000.0) == 0.0


@given(st.floats(-1, 1), st.floats(0.01, 3), st.floats(0.1, 50), st.floats(0.1, 50), st.integers(1, 1000))
def test_risk_of_ruin_falls_with_room_and_rises_with_time(mean, deviation, room, more, steps):
    near, far = risk_of_ruin(mean, deviation, room, steps), risk_of_ruin(mean, deviation, room + more, steps)
    assert 0.0 <= far <= near + 1e-9 <= 1.0 + 2e-9
    assert near <= risk_of_ruin(mean, deviation, room, steps + 10) + 1e-9


def trades(rs, **changes):
    rs = np.asarray(rs, float)
    return account_of(evidence=rs.size, r_sum=rs.sum(), r_squares=(rs**2).sum(), **changes)


def test_kelly_is_half_when_the_edge_is_clear_a_quarter_when_not_and_the_floor_without_one():
    rules = rules_of(kelly_trades_min=100, kelly_floor_fraction=0.0)
    strong, weak, losing = [1.0] * 60 + [-1.0] * 40, [1.0] * 102 + [-1.0] * 98, [1.0] * 49 + [-1.0] * 51
    assert kelly_cap(trades(strong), rules) == pytest.approx(0.5 * 0.2 / 0.96)
    assert kelly_cap(trades(weak), rules) == pytest.approx(0.25 * 0.02 / (1 - 0.0004))
    assert kelly_cap(trades(losing), rules) == 0.0
    assert kelly_cap(trades([0.0] * 100), rules) == 0.0
    assert kelly_cap(trades(losing), rules_of(kelly_trades_min=100, kelly_floor_fraction=0.001)) == 0.001
    assert kelly_cap(trades(strong[:99]), rules) == math.inf
    assert kelly_cap(trades(losing), rules_of(kelly_trades_min=0)) == math.inf


def test_ruin_counts_the_room_to_the_drawdown_limit_in_the_size_that_r_had():
    rules = rules_of(drawdown_max=0.2, ruin_horizon_trades=100)
    account = trades([1.5] * 45 + [-1.0] * 55, risk_sum=100 * 100.0)
    mean, deviation = 0.125, math.sqrt((45 * 2.25 + 55) / 100 - 0.125**2)
    assert ruin_probability(account, rules) == pytest.approx(risk_of_ruin(mean, deviation, 20.0, 100))
    account.equity_peak = 12_500.0
    assert drawdown(account) == pytest.approx(0.2)
    assert ruin_probability(account, rules) == 1.0
    assert ruin_probability(account_of(), rules) == 0.0


def test_a_forecast_scales_up_to_twice():
    assert [forecast_scale(f) for f in (0.0, 5.0, -10.0, 20.0, 99.0)] == [0.0, 0.5, 1.0, 2.0, 2.0]


@pytest.mark.parametrize("volatility", [math.nan, 0.0, -1.0])
def test_an_unknown_volatility_allows_nothing(volatility):
    assert volatility_qty(account_of(), 100.0, volatility, rules_of(volatility_target=0.5)) == 0.0


SITUATIONS = st.fixed_dictionaries(
    {
        "equity": st.floats(1, 1e6),
        "peak": st.floats(1.0, 1.3),
        "spent": st.floats(0, 1),
        "hold": st.floats(0, 1),
        "gross": st.floats(0, 0.6),
        "pending": st.floats(0, 0.6),
        "group": st.floats(0, 0.6),
        "price": st.floats(0.5, 1e5),
        "atr": st.floats(1e-5, 0.2),
        "volatility": st.floats(0.05, 5),
        "consensus": st.floats(5, 20) | st.floats(-20, -5),
        "trades": st.integers(0, 200),
        "mean": st.floats(-0.5, 0.5),
        "fixed": st.sampled_from([0, 0, 1500]),
        "entry_kind": st.integers(0, 1),
    }
)
OPEN = {"instrument_cooldown_ns": 0, "daily_loss_max": 0.0, "ruin_trades_min": 0, "target_cost_multiple_min": 0.0}
FACT = instrument(shortable=True, group="g")


def decided(s, **changes):
    s = s | {k: v for k, v in changes.items() if k in s}
    equity = s["equity"]
    account = account_of(
        equity,
        cash=equity * s["spent"],
        hold=equity * s["hold"] * s["spent"],
        equity_peak=equity * s["peak"],
        gross_exposure=equity * s["gross"],
        pending_exposure=equity * s["pending"],
        evidence=s["trades"],
        r_sum=s["mean"] * s["trades"],
        r_squares=1.2 * s["trades"],
    )
    rules = rules_of(
        **OPEN, fixed_units=s["fixed"], entry_kind=s["entry_kind"], group_fraction_max=0.4, limit_offset_fraction=0.001
    )
    signal = signal_of(s["consensus"], s["atr"] * s["price"], volatility=s["volatility"])
    bar = bar_of(*[s["price"]] * 4)
    record, action, group = instrument_records([FACT])[0], np.zeros(1, ACTION)[0], equity * s["group"]
    decide(account, np.zeros(1, POSITION)[0], record, bar, signal, group, rules, action)
    return account, rules, record, action, group


@given(SITUATIONS)
def test_no_size_passes_any_cap(s):
    account, rules, record, action, group = decided(s)
    if action.verb != Verb.ENTER:
        assert action.reason != Reason.ENTER_CONSENSUS
        return
    slack = 1 + 1e-9
    qty, price, equity = action.qty, s["price"], account.equity
    notional = qty * price
    assert action.units > 0
    assert action.units % record.lot_units == 0
    assert notional <= rules.position_notional_max * slack
    assert notional <= rules.position_fraction_max * equity * slack
    assert notional + account.gross_exposure + account.pending_exposure <= rules.gross_fraction_max * equity * slack
    assert notional + group <= rules.group_fraction_max * equity * slack
    assert action.hold <= (account.cash - account.hold) * slack
    assert action.hold >= notional * (1 + max(record.taker_fee_e8, 0) / FEE_ONE)
    assert qty <= action.sizes.min() * slack
    if s["fixed"]:
        assert action.units <= s["fixed"]
        return
    depth = 1 - equity / account.equity_peak
    scale = drawdown_scale(depth, rules.drawdown_max) * forecast_scale(s["consensus"])
    assert qty * action.stop_distance <= rules.risk_fraction * scale * equity * slack
    assert notional <= rules.volatility_target / s["volatility"] * scale * equity * slack
    assert qty * action.stop_distance <= kelly_cap(account, rules) * equity * slack
    assert action.binding == int(np.argmin(action.sizes))


@given(
    SITUATIONS, st.sampled_from(["peak", "volatility", "atr", "gross", "pending", "group", "hold"]), st.floats(1.0, 3.0)
)
def test_a_size_never_grows_with_drawdown_volatility_range_or_what_is_out_already(s, name, factor):
    before = decided(s)[3]
    after = decided(s, **{name: min(s[name] * factor, 1.0) if name == "hold" else s[name] * factor})[3]
    assert after.units * (after.verb == Verb.ENTER) <= before.units * (before.verb == Verb.ENTER)


def test_each_cap_binds_where_it_is_the_smallest():
    base = {
        "equity": 10_000.0, "peak": 1.0, "spent": 1.0, "hold": 0.0, "gross": 0.0, "pending": 0.0, "group": 0.0,
        "price": 100.0, "atr": 0.15, "volatility": 0.1, "consensus": 10.0, "trades": 0, "mean": 0.0, "fixed": 0,
        "entry_kind": 0,
    }  # fmt: skip
    cases = {
        "risk": ({}, 50 / 30),
        "volatility": ({"volatility": 5.0, "atr": 0.01, "equity": 1_000.0}, 1.0),
        "kelly": ({"trades": 150, "mean": 4e-3}, 0.25 * 4e-3 / (1.2 - 1.6e-5) * 10_000 / 30),
        "position": ({"atr": 0.01}, 2.0),
        "gross": ({"atr": 0.01, "gross": 0.3, "pending": 0.19}, 1.0),
        "group": ({"atr": 0.01, "group": 0.39}, 1.0),
        "cash": ({"atr": 0.01, "spent": 0.01}, 1.0 / 1.0003),
    }
    assert tuple(cases) == CAPS
    for name, (changes, qty) in cases.items():
        action = decided(base, **changes)[3]
        assert CAPS[action.binding] == name
        assert action.sizes[action.binding] == pytest.approx(qty), name
