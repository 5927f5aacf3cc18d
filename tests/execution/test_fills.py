"""The fill model, one order and one bar at a time."""

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from novapulse.core.records import FILL, ORDER, POSITION, Intent, Liquidity, OrderKind, Reason, StopKind
from novapulse.execution.fills import (
    Protection,
    chance,
    fill_order,
    fill_protection,
    fillable_units,
    limit_trades,
    stop_reason,
    taker_price_units,
)
from novapulse.execution.rules import instrument_records
from tests.backtest.builders import MINUTE_NS, START_NS, bar_of, bare_rules, instrument, record_of

FACT = instrument(maker_fee_bps=Decimal(-1), taker_fee_bps=Decimal(5), tick=Decimal("0.01"))
RECORD = instrument_records([FACT])[0]
ROOM = 10**9


def order(kind=OrderKind.LIMIT, side=1, limit=100.0, units=1000):
    return record_of(
        ORDER, intent=Intent.ENTRY, kind=kind, side=side, limit_price=limit, units=units, reason=Reason.ENTER_CONSENSUS
    )


def filled(order_, bar, rules, room=ROOM):
    fill = record_of(FILL)
    return fill if fill_order(order_, RECORD, bar, rules, room, fill) else None


@pytest.mark.parametrize(
    ("low", "pessimistic", "optimistic"),
    [
        (100.01, False, False),
        (100.0, False, True),
        (99.995, False, True),
        (99.99, False, True),
        (99.98, True, True),
        (90.0, True, True),
    ],
)
def test_through_fills_for_certain_and_a_touch_by_chance(low, pessimistic, optimistic):
    """V-8: whether a limit order fills is modelled, with a pessimistic and an optimistic end."""
    for side, extreme in ((1, low), (-1, 200.0 - low)):
        for probability, expected in ((0.0, pessimistic), (1.0, optimistic)):
            trades = limit_trades(100.0, side, extreme, RECORD, START_NS, bare_rules(touch_probability=probability))
            assert bool(trades) == expected


def test_the_base_band_fills_a_quarter_of_the_touches():
    rules = bare_rules(touch_probability=0.25, seed=3)
    hits = [limit_trades(100.0, 1, 100.0, RECORD, START_NS + k * MINUTE_NS, rules) for k in range(4000)]
    assert 0.22 < np.mean(hits) < 0.28


def test_chance_is_uniform_and_knows_only_seed_instrument_and_time():
    draws = np.array([chance(7, 12345, START_NS + k * MINUTE_NS) for k in range(20_000)])
    assert (draws >= 0).all()
    assert (draws < 1).all()
    counts = np.histogram(draws, 20, (0, 1))[0]
    assert ((counts - 1000) ** 2 / 1000).sum() < 45, "chi-squared of 19 degrees of freedom"
    assert abs(np.corrcoef(draws[:-1], draws[1:])[0, 1]) < 0.03
    for other in ((8, 12345, 0), (7, 12346, 0), (7, 12345, 1)):
        shifted = np.array([chance(other[0], other[1], START_NS + other[2] + k * MINUTE_NS) for k in range(2000)])
        assert abs(np.corrcoef(draws[:2000], shifted)[0, 1]) < 0.08
    assert chance(7, 12345, START_NS) == draws[0]


def test_a_limit_fills_at_its_limit_as_maker_even_when_the_bar_gaps_through_it():
    fill = filled(
        order(), bar_of(95.0, 96.0, 94.0, 95.0), bare_rules(half_spread_fraction=0.01, slippage_fraction=0.01)
    )
    assert (fill.price, fill.liquidity, fill.slippage) == (100.0, Liquidity.MAKER, 0.0)
    assert (fill.cash_units, fill.fee_units) == (100 * 10**8, -(10**6))


@pytest.mark.parametrize(("side", "price"), [(1, 100.31), (-1, 99.69)])
def test_a_market_order_pays_spread_slippage_and_the_taker_fee_at_the_open(side, price):
    rules = bare_rules(half_spread_fraction=0.001, slippage_fraction=0.00201)
    fill = filled(order(OrderKind.MARKET, side), bar_of(100.0, 105.0, 95.0, 101.0), rules)
    assert (fill.price, fill.liquidity) == (price, Liquidity.TAKER)
    assert fill.slippage == pytest.approx(0.31)
    assert fill.fee_units == round(price * 10**8 * 5 / 10_000)


@given(st.floats(1.0, 1e5), st.sampled_from([1, -1]), st.floats(0, 0.01), st.floats(0, 0.01))
def test_a_taker_never_trades_better_than_the_reference(reference, side, spread, slippage):
    price = (
        taker_price_units(RECORD, reference, side, bare_rules(half_spread_fraction=spread, slippage_fraction=slippage))
        / 100
    )
    worse = side * (price - reference * (1 + side * (spread + slippage)))
    assert -1e-9 * reference <= worse <= 0.01 + 1e-9 * reference


def test_participation_caps_what_one_bar_fills_in_whole_lots():
    rules = bare_rules(participation_max=0.1)
    assert [fillable_units(RECORD, volume, rules) for volume in (0.0, 0.009, 0.0199, 5.0)] == [0, 0, 1, 500]
    assert fillable_units(RECORD, 0.0, bare_rules()) > 10**15
    bar = bar_of(100.0, 101.0, 95.0, 99.0)
    assert filled(order(), bar, rules, room=400).qty_units == 400
    assert filled(order(), bar, rules, room=0) is None


def position(direction=1, **changes):
    base = {
        "direction": direction,
        "qty_units": direction * 1000,
        "stop_price": 100 - 2 * direction,
        "target_price": 100 + 3 * direction,
    }
    return record_of(POSITION, **(base | changes))


def protected(direction, open_, high, low, close, rules, held_at_open=True, entered_inside=False, room=ROOM, **changes):
    bar = bar_of(open_, high, low, close) if direction > 0 else bar_of(200 - open_, 200 - low, 200 - high, 200 - close)
    fill = record_of(FILL)
    hit = fill_protection(position(direction, **changes), RECORD, bar, rules, room, held_at_open, entered_inside, fill)
    if hit == Protection.NOT_REACHED:
        return None
    price = fill.price if direction > 0 else 200 - fill.price
    return Reason(fill.reason).name, round(float(price), 6), int(fill.qty_units), Liquidity(fill.liquidity).name


@pytest.mark.parametrize("direction", [1, -1])
def test_protection_on_one_bar(direction):
    resting, crossing = bare_rules(target_kind=1, touch_probability=0.0), bare_rules(target_kind=0)
    calm = (100.0, 102.0, 99.0, 101.0)
    assert protected(direction, *calm, resting) is None
    assert protected(direction, 100.0, 110.0, 98.0, 109.0, resting) == ("EXIT_STOP", 98.0, 1000, "TAKER")
    assert protected(direction, 97.0, 97.5, 96.0, 97.0, resting) == ("EXIT_STOP", 97.0, 1000, "TAKER")
    assert protected(direction, 97.0, 100.0, 96.0, 97.0, resting, held_at_open=False) == (
        "EXIT_STOP",
        98.0,
        1000,
        "TAKER",
    )
    assert protected(direction, 100.0, 103.02, 99.0, 101.0, resting) == ("EXIT_TARGET", 103.0, 1000, "MAKER")
    assert protected(direction, 100.0, 103.0, 99.0, 101.0, resting) is None
    assert protected(direction, 100.0, 103.0, 99.0, 101.0, crossing) == ("EXIT_TARGET", 103.0, 1000, "TAKER")
    assert protected(direction, 104.0, 105.0, 99.0, 101.0, crossing) == ("EXIT_TARGET", 104.0, 1000, "TAKER")
    assert protected(direction, 104.0, 105.0, 99.0, 104.0, crossing, False, True) == (
        "EXIT_TARGET",
        103.0,
        1000,
        "TAKER",
    )
    assert protected(direction, 100.0, 105.0, 99.0, 102.9, crossing, False, True) is None
    assert protected(direction, 100.0, 110.0, 99.0, 101.0, resting, target_price=0.0) is None
    assert protected(direction, 100.0, 102.0, 90.0, 91.0, resting, room=0)[:3] == ("EXIT_STOP", 98.0, 0)
    assert protected(direction, 100.0, 110.0, 99.0, 101.0, resting, room=0) is None


def test_the_reason_of_a_stop_is_the_rule_that_put_it_there():
    for kind, why in (
        (StopKind.INITIAL, "EXIT_STOP"),
        (StopKind.BREAKEVEN, "EXIT_BREAKEVEN"),
        (StopKind.TRAIL, "EXIT_TRAIL"),
    ):
        assert Reason(int(stop_reason(position(stop_kind=kind)))).name == why
