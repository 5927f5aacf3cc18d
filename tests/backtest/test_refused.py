"""What refused entries would have made, against outcomes worked out by hand."""

import math
from decimal import Decimal

import numpy as np
import pytest

from novapulse.backtest.columns import market_of
from novapulse.backtest.refused import HORIZON_BARS, imagine
from novapulse.core.bars import MINUTE_NS
from novapulse.core.records import DENIAL, Reason
from novapulse.execution.rules import instrument_records
from tests.backtest.builders import START_NS, bare_rules, bars_of, instrument

FLAT = (100.0, 100.5, 99.5, 100.0)


def refused(rows, *, direction=1, stop=2.0, target=3.0, after=1, fee="0", **rules):
    """R of one entry refused at the close of bar `after` (counted from 1)."""
    denials = np.zeros(1, DENIAL)
    for name, value in {
        "reason": Reason.LOSS_COOLDOWN,
        "direction": direction,
        "first_ts_ns": START_NS + after * MINUTE_NS,
        "stop_distance": stop,
        "target_distance": target,
    }.items():
        denials[name] = value
    instruments = instrument_records([instrument(taker_fee_bps=Decimal(fee), maker_fee_bps=Decimal(fee))])
    outcome = imagine(denials, market_of([bars_of(rows)]), instruments, bare_rules(**rules))
    return outcome.r[0], outcome.bars_held[0]


@pytest.mark.parametrize(
    ("rows", "direction", "r", "held"),
    [
        ([FLAT, (100.0, 101.0, 99.0, 100.0), (100.0, 103.5, 100.0, 103.0)], 1, 1.5, 2),
        ([FLAT, (100.0, 101.0, 99.0, 100.0), (100.0, 100.0, 97.0, 97.5)], 1, -1.0, 2),
        ([FLAT, (100.0, 104.0, 97.0, 100.0)], 1, -1.0, 1),  # stop and target inside one bar
        ([FLAT, FLAT, (95.0, 96.0, 94.0, 95.0)], 1, -2.5, 2),  # a gap leaves at the open
        ([FLAT, FLAT, (96.0, 97.0, 95.0, 96.0)], -1, 1.5, 2),  # a gap beyond the target is no better than the target
        ([FLAT, FLAT, (103.0, 104.0, 102.5, 103.0)], -1, -1.5, 2),
        ([FLAT, FLAT, (100.0, 101.5, 99.5, 101.0)], 1, 0.5, 2),  # neither: marked at the last close
    ],
)
def test_stops_targets_and_gaps(rows, direction, r, held):
    assert refused(rows, direction=direction) == (pytest.approx(r), held)


def test_it_enters_at_the_open_after_the_refusal_and_is_unknown_where_there_is_none():
    rows = [FLAT, (90.0, 90.5, 89.5, 90.0), (91.0, 94.5, 90.5, 94.0)]
    assert refused(rows, after=1)[0] == pytest.approx(1.5)
    assert refused(rows, after=2)[0] == pytest.approx(1.5)
    assert math.isnan(refused(rows, after=3)[0])


def test_costs_are_paid_on_both_sides():
    rows = [FLAT, FLAT, (100.0, 110.0, 100.0, 110.0)]
    r, _ = refused(rows, fee="10", half_spread_fraction=0.0005, slippage_fraction=0.0005)
    entry = 100.0 * 1.001
    leave = (entry + 3.0) * 0.999
    assert r == pytest.approx((leave - entry - 0.001 * (entry + leave)) / 2.0)


def test_a_target_beyond_its_costs_is_where_the_range_puts_it_and_none_is_none():
    rising = [FLAT, *((100.0 + k, 101.0 + k, 99.5 + k, 101.0 + k) for k in range(8))]
    assert refused(rising, target=-1.0, stop_atr=2.0, target_atr=3.0)[0] == pytest.approx(1.5)
    assert refused(rising, target=0.0)[0] == pytest.approx((108.0 - 100.0) / 2.0)


def test_it_is_closed_at_the_horizon():
    rows = [FLAT] * (HORIZON_BARS + 1) + [(100.0, 110.0, 100.0, 110.0)]
    assert refused(rows) == (pytest.approx(0.0), HORIZON_BARS)
