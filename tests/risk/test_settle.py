"""Booking fills and marking the account: cooldowns, streaks, days and the rolling peak."""

import pytest

from novapulse.core.bars import DAY_NS, MINUTE_NS
from novapulse.core.records import FILL, PEAK_DAYS, POSITION
from novapulse.execution.rules import instrument_records
from novapulse.risk.settle import apply_fill, clear_position, mark_account
from novapulse.risk.sizing import drawdown
from tests.backtest.builders import START_NS, account_of, bare_rules, instrument, record_of

RECORD = instrument_records([instrument()])[0]
PACES = {
    "instrument_cooldown_ns": 1 * MINUTE_NS,
    "strategy_cooldown_ns": 10 * MINUTE_NS,
    "loss_cooldown_ns": 30 * MINUTE_NS,
    "loss_streak_max": 2,
    "loss_streak_pause_ns": 240 * MINUTE_NS,
}


def fill(side, price, ts_ns, fee=0):
    return record_of(
        FILL, side=side, price=price, qty=1.0, qty_units=1000, cash_units=round(price * 1e8), fee_units=fee, ts_ns=ts_ns
    )


def round_trip(account, position, exit_price, ts_ns, fee=0):
    position.direction, position.stop_distance, position.lead = 1, 2.0, 3
    assert not apply_fill(account, position, RECORD, fill(1, 100.0, ts_ns, fee), bare_rules(**PACES))
    assert apply_fill(account, position, RECORD, fill(-1, exit_price, ts_ns + 1, fee), bare_rules(**PACES))
    clear_position(position)


def test_a_round_trip_starts_the_cooldowns_that_it_should():
    account, position = account_of(), record_of(POSITION)
    round_trip(account, position, 101.0, START_NS)
    assert account.strategy_ready_ns[3] == START_NS + 10 * MINUTE_NS
    assert position.ready_ns == START_NS + 1 + MINUTE_NS
    assert (account.loss_ready_ns, account.loss_streak, account.trades) == (0, 0, 1)
    round_trip(account, position, 99.0, START_NS)
    assert (account.loss_ready_ns, account.loss_streak, account.streak_ready_ns) == (
        START_NS + 1 + 30 * MINUTE_NS,
        1,
        0,
    )
    round_trip(account, position, 99.0, START_NS)
    assert (account.streak_ready_ns, account.loss_streak) == (START_NS + 1 + 240 * MINUTE_NS, 0)
    assert (account.r_sum, account.r_squares) == (-0.5, 0.75)
    assert account.cash_units == 9_999 * 10**8


def test_a_win_ends_a_streak_and_fees_can_make_a_loss_of_a_gain():
    account, position = account_of(), record_of(POSITION)
    round_trip(account, position, 99.0, START_NS)
    round_trip(account, position, 100.0, START_NS)
    assert account.loss_streak == 0
    round_trip(account, position, 100.1, START_NS, fee=10**7)
    assert account.loss_streak == 1
    assert account.r_sum == pytest.approx((-1.0 + 0.0 - 0.1) / 2)


def test_a_cleared_position_keeps_its_cooldown_and_nothing_of_the_round_trip():
    account, position = account_of(), record_of(POSITION)
    round_trip(account, position, 99.0, START_NS)
    for name in (
        "qty_units",
        "stop_price",
        "target_price",
        "entered_units",
        "exit_units",
        "fee_units",
        "exiting",
        "direction",
    ):
        assert position[name] == 0, name
    assert position.ready_ns > 0


def test_the_day_opens_with_the_equity_of_the_last_close_before_midnight_utc():
    account = account_of()
    for minutes, value, opening in (
        (1, 100.0, 10_000.0),
        (1439, 300.0, 10_000.0),
        (1440, 200.0, 10_000.0),
        (1441, 50.0, 10_200.0),
    ):
        mark_account(account, value, abs(value), START_NS + minutes * MINUTE_NS)
        assert account.day_opening_equity == opening, minutes
    assert account.equity == 10_050.0
    assert account.equity_peak == 10_300.0


def test_the_peak_is_forgotten_after_its_days_so_that_no_drawdown_lasts_for_ever():
    account = account_of(equity_peak=10_000.0)
    mark_account(account, 10_000.0, 0.0, START_NS + MINUTE_NS)
    for day in range(1, PEAK_DAYS + 4):
        mark_account(account, 0.0, 0.0, START_NS + day * DAY_NS + MINUTE_NS)
        # The first day after it still opened at the old height.
        expected = 20_000.0 if day <= PEAK_DAYS + 1 else 10_000.0
        assert account.equity_peak == expected, day
    assert drawdown(account) == 0.0


def test_evidence_fades_by_half_in_ninety_days_and_the_peak_by_calendar_days():
    account = account_of(evidence=60.0, r_sum=-30.0, r_squares=90.0, risk_sum=600.0, day_end_ns=DAY_NS, day_peak=2e4)
    mark_account(account, 0.0, 0.0, 91 * DAY_NS)
    assert (account.evidence, account.r_sum, account.r_squares, account.risk_sum) == (30.0, -15.0, 45.0, 300.0)
    assert account.equity_peak == 20_000.0
    mark_account(account, 0.0, 0.0, 182 * DAY_NS)
    assert account.equity_peak == account.equity == 10_000.0
