"""Stops that never loosen, targets that clear their costs."""

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from novapulse.core.records import FILL, POSITION, StopKind
from novapulse.execution.rules import instrument_records
from novapulse.risk.settle import apply_fill, mark_position
from novapulse.risk.stops import place_stops, round_trip_cost, stop_distance, target_distance
from tests.backtest.builders import account_of, bare_rules, instrument, record_of, rules_of

RECORD = instrument_records([instrument(shortable=True)])[0]
SIDES = st.sampled_from([1, -1])


def entered(direction, price=100.0, distance=2.0, target=3.0, units=1000, position=None):
    """Book one fill of an entry and return the position."""
    if position is None:
        position = record_of(POSITION, direction=direction, stop_distance=distance, target_distance=target)
    cash = round(price * units * 10**5)
    fill = record_of(FILL, side=direction, price=price, qty_units=units, qty=units / 1000, cash_units=cash, ts_ns=1)
    apply_fill(account_of(), position, RECORD, fill, bare_rules())
    return position


@given(
    SIDES,
    st.lists(st.floats(-1.5, 1.5), min_size=1, max_size=40),
    st.sampled_from([0.0, 0.5, 1.0]),
    st.sampled_from([0.0, 0.8, 2.0]),
    st.lists(st.sampled_from([99.0, 99.6, 100.4, 101.0]), max_size=3),
)
def test_a_stop_never_loosens_whatever_the_bars_and_later_fills_do(direction, moves, breakeven, trail, fills):
    rules = rules_of(breakeven_r=breakeven, trail_r=trail, trail_start_r=1.0)
    position = entered(direction)
    price, before = 100.0, float(position.stop_price)
    for k, move in enumerate(moves):
        price = max(price + move, 1.0)
        position.best_price = direction * max(direction * position.best_price, direction * price)
        mark_position(position, RECORD, price, rules)
        if k < len(fills):
            entered(direction, fills[k], position=position)
        assert direction * (position.stop_price - before) >= 0.0
        before = float(position.stop_price)
        assert round(before * 100) == pytest.approx(before * 100, abs=1e-6), "on the tick grid"


@given(SIDES, st.floats(0.5, 1e4), st.floats(0.001, 100.0), st.floats(0.0, 100.0), st.sampled_from([0.01, 0.05, 2.5]))
def test_rounding_never_adds_risk_nor_brings_the_target_nearer(direction, price, distance, target, tick):
    record = RECORD.copy()
    record.tick, record.tick_units = tick, round(tick * 100)
    position = record_of(
        POSITION, direction=direction, entry_price=price, stop_distance=distance, target_distance=target
    )
    place_stops(position, record)
    noise = 1e-9 * (price + distance + target)
    stop = max(price - direction * distance, tick)
    assert direction * (position.stop_price - stop) >= -noise - (tick if stop == tick else 0.0)
    assert abs(position.stop_price - stop) < tick + noise or position.stop_price == tick
    if target > 0.0:
        assert direction * (position.target_price - max(price + direction * target, tick)) >= -noise
    else:
        assert position.target_price == 0.0


@given(
    st.floats(1.0, 1e5),
    st.floats(1e-6, 0.1),
    st.just(0.0) | st.floats(0.1, 20.0),
    st.floats(0.0, 5.0),
    st.floats(1.0, 3.0),
    st.floats(0, 0.002),
)
def test_a_target_clears_its_costs_or_there_is_no_trade(price, range_, target_atr, multiple, stretch, spread):
    fee = instrument_records([instrument(taker_fee_bps=Decimal("4.5"))])[0]
    rules = bare_rules(
        target_atr=target_atr,
        target_cost_multiple_min=multiple,
        target_stretch_max=stretch,
        half_spread_fraction=spread,
    )
    distance = target_distance(fee, price, range_ * price, rules)
    cost = round_trip_cost(fee, rules)
    assert cost == pytest.approx(2 * 0.00045 + 2 * spread)
    if target_atr == 0.0:
        assert distance == 0.0
    elif distance == -1.0:
        assert multiple * cost > stretch * target_atr * range_ * (1 - 1e-9)
    else:
        assert distance >= multiple * cost * price * (1 - 1e-9)
        plain = target_atr * range_ * price
        assert plain * (1 - 1e-9) <= distance <= stretch * plain * (1 + 1e-9)


def test_a_stop_is_at_least_two_ticks_away():
    rules = bare_rules(stop_atr=2.0)
    assert [stop_distance(RECORD, atr, rules) for atr in (1.0, 0.011, 0.001)] == [2.0, 0.022, 0.02]


@pytest.mark.parametrize("direction", [1, -1])
def test_break_even_comes_once_the_gain_is_there_and_covers_the_costs_then_the_trail_takes_over(direction):
    rules = bare_rules(breakeven_r=1.0, trail_r=2.0, trail_start_r=2.0, half_spread_fraction=0.0005)
    position = entered(direction)
    assert (position.stop_price, position.target_price) == (100 - 2 * direction, 100 + 3 * direction)
    for gain, stop, kind in (
        (1.99, -2.0, StopKind.INITIAL),
        (2.0, 0.1, StopKind.BREAKEVEN),
        (3.9, 0.1, StopKind.BREAKEVEN),
        (4.0, 0.1, StopKind.BREAKEVEN),
        (4.5, 0.5, StopKind.TRAIL),
        (7.0, 3.0, StopKind.TRAIL),
    ):
        position.best_price = 100 + direction * gain
        mark_position(position, RECORD, 100.0, rules)
        assert position.stop_price == pytest.approx(100 + direction * stop)
        assert position.stop_kind == kind
    assert position.bars_held == 6


def test_break_even_waits_until_the_gain_pays_the_costs():
    rules = bare_rules(breakeven_r=0.1, half_spread_fraction=0.01)
    position = entered(1)
    position.best_price = 101.0
    mark_position(position, RECORD, 101.0, rules)
    assert position.stop_price == 98.0


def test_a_flat_position_is_left_alone():
    position = np.zeros(1, POSITION)[0]
    mark_position(position, RECORD, 100.0, rules_of())
    assert position.tobytes() == np.zeros(1, POSITION)[0].tobytes()
