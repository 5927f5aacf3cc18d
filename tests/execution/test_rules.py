from decimal import Decimal

import pytest
from pydantic import ValidationError

from novapulse.core.bars import MINUTE_NS
from novapulse.core.records import RULES
from novapulse.execution.rules import instrument_records, rules_record
from novapulse.execution.settings import ExecutionSettings
from novapulse.risk.settings import RiskSettings, SizingSettings
from tests.backtest.builders import instrument


def fixed(qty, lot="0.1"):
    return rules_record(
        RiskSettings(sizing=SizingSettings(fixed_qty=qty)), ExecutionSettings(), MINUTE_NS, instrument(lot=Decimal(lot))
    ).fixed_units


def test_a_fixed_quantity_is_rounded_down_to_its_lot():
    assert [fixed(q) for q in (0.1, 0.3, 0.19, 0.15, 1.99)] == [1, 3, 1, 1, 19]
    assert fixed(7.0, lot="2.5") == 50


def test_a_fixed_quantity_below_one_lot_is_refused_and_not_taken_for_off():
    with pytest.raises(ValueError, match=r"fixed_qty.*0\.04.*lot.*0\.1"):
        fixed(0.04)


def test_a_fixed_quantity_needs_one_instrument():
    with pytest.raises(ValueError, match="one instrument"):
        rules_record(RiskSettings(sizing=SizingSettings(fixed_qty=1.0)), ExecutionSettings(), MINUTE_NS)


def test_every_rule_is_written():
    """A field that no setting reaches would silently be zero, which means off."""
    ones = ExecutionSettings(limit_offset_bps=1, participation_max_fraction=0.1, exit_cross_bars=2)
    first = rules_record(
        RiskSettings.model_validate(
            {
                "sizing": {"fixed_qty": 1.0},
                "stops": {"time_stop_bars": 3},
                "gate": {"required": True, "probability_min": 0.5},
            }
        ),
        ones,
        MINUTE_NS,
        instrument(),
    )
    zero_by_choice = {"exit_kind"}  # market
    assert {name for name in RULES.names if first[name] == 0} == zero_by_choice


def test_units_follow_the_scales_and_back():
    (record,) = instrument_records(
        [
            instrument(
                tick=Decimal("0.05"), lot=Decimal("0.00025"), qty_min=Decimal("0.001"), taker_fee_bps=Decimal("2.6")
            )
        ]
    )
    assert (record.tick_units, record.lot_units, record.qty_min_units) == (5, 25, 100)
    assert (record.price_factor, record.qty_factor, record.tick) == (100.0, 100_000.0, 0.05)
    assert (record.cash_multiplier, record.cash_divisor, record.taker_fee_e8) == (10, 1, 26_000)


def test_a_minimum_between_lots_is_not_rounded_away():
    (record,) = instrument_records([instrument(lot=Decimal("0.01"), qty_min=Decimal("0.014"))])
    assert record.qty_min_units == 2


def test_groups_are_numbered_together_and_loners_have_none():
    names = [instrument(f"{n}/USD", group=g) for n, g in (("A", "x"), ("B", ""), ("C", "y"), ("D", "x"))]
    assert instrument_records(names)["group"].tolist() == [0, -1, 1, 0]


@pytest.mark.parametrize(
    "bad", [{"touch_probability": 1.5}, {"time_to_live_bars": 0}, {"latency_ms": -1}, {"unknown": 1}]
)
def test_impossible_settings_are_refused(bad):
    with pytest.raises(ValidationError, match=next(iter(bad))):
        ExecutionSettings(**bad)


def test_a_latency_of_a_bar_or_more_is_refused():
    with pytest.raises(ValueError, match=r"latency_ms is 60000.*next bar of 60 s"):
        rules_record(RiskSettings(), ExecutionSettings(latency_ms=60_000), MINUTE_NS, None)
