"""What refused entries would have made, against outcomes worked out by hand."""

import math
from decimal import Decimal

import numpy as np
import pytest

from novapulse.backtest.columns import market_of
from novapulse.backtest.refused import HORIZON_BARS, horizon_bars, imagine, taken
from novapulse.core.bars import MINUTE_NS
from novapulse.core.records import DENIAL, FILL, ROUND_TRIP, Reason
from novapulse.execution.rules import instrument_records
from tests.backtest.builders import START_NS, bare_rules, bars_of, instrument, one

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


@pytest.mark.parametrize(
    ("held", "horizon"),
    [
        ([], HORIZON_BARS),
        ([1], 20),
        ([4], 20),
        ([5], 25),
        ([7, 100, 9], 45),
        ([8, 9], 42),
        ([287], 1435),
        ([289], 1440),
    ],
)
def test_the_horizon_is_five_median_holds_within_bounds(held, horizon):
    trips = np.zeros(len(held), ROUND_TRIP)
    trips["bars_held"] = held
    assert horizon_bars(trips) == horizon


def written(dtype, rows):
    """Records of the fields that are given."""
    records = np.zeros(len(rows), dtype)
    for record, row in zip(records, rows, strict=True):
        for name, value in row.items():
            record[name] = value
    return records


TRIPS = [
    {"number": 7, "instrument": 1, "direction": -1, "risk": 6.0, "qty": 3.0, "entry_price": 500.0},
    {"number": 4, "instrument": 0, "direction": 1, "risk": 6.0, "qty": 2.0, "entry_price": 100.0},
]
FILLS = [
    {"round_trip": 4, "decision_ts_ns": 40, "ts_ns": 45},
    {"round_trip": 5, "decision_ts_ns": 50, "ts_ns": 51},  # still open
    {"round_trip": 7, "decision_ts_ns": 60, "ts_ns": 62},
    {"round_trip": 4, "decision_ts_ns": 70, "ts_ns": 71},
    {"round_trip": 7, "decision_ts_ns": 80, "ts_ns": 82},
]


def control(**rules):
    facts = instrument_records([instrument(taker_fee_bps=Decimal(fee)) for fee in ("10", "40")])
    worse = {"half_spread_fraction": 0.0002, "slippage_fraction": 0.0003}
    return taken(written(FILL, FILLS), written(ROUND_TRIP, TRIPS), facts, bare_rules(**worse, **rules))


def test_what_was_taken_is_written_as_a_refusal_of_the_decision_behind_its_first_fill():
    """Round trips come in order of their exits, fills in order of time: they meet by number."""
    entries = control(stop_atr=2.0, target_atr=3.0, target_cost_multiple_min=4.0)
    assert entries["first_ts_ns"].tolist() == [60, 40]
    assert entries["instrument"].tolist() == [1, 0]
    assert entries["direction"].tolist() == [-1, 1]
    assert entries["stop_distance"].tolist() == [2.0, 3.0]
    assert entries["bars"].tolist() == [1, 1]
    # Costs of both sides four times, 1.8 % of 500 in all; the range is farther for the other.
    assert entries["target_distance"] == pytest.approx([500.0 * 4 * 0.009, 3.0 * 1.5])
    assert control(target_atr=0.0, target_cost_multiple_min=4.0)["target_distance"].tolist() == [0.0, 0.0]


def test_a_real_entry_that_left_at_its_target_is_imagined_as_it_was():
    """Without costs, break-even and trail the imagined entry is the real one."""
    quiet = (100.0, 100.5, 99.5, 100.0)
    rows = [quiet, quiet, quiet, (100.0, 104.0, 100.0, 103.5), quiet]
    rules = bare_rules()
    book = one(rows, [0.0, 10.0, 10.0, 10.0], rules)
    facts = instrument_records([instrument()])
    entries = taken(book.fills, book.round_trips[:1], facts, rules)
    outcome = imagine(entries, market_of([bars_of(rows)]), facts, rules)
    assert book.round_trips[0].exit_reason == Reason.EXIT_TARGET
    assert outcome.r.tolist() == pytest.approx([book.round_trips[0].r_multiple])
    assert outcome.r[0] == pytest.approx(1.5)
    assert outcome.bars_held.tolist() == [2]
