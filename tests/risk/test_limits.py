"""Each limit just below, at and just above; and for every refusal a situation that earns it."""

import math
from decimal import Decimal

import numpy as np
import pytest

from novapulse.core.bars import MINUTE_NS
from novapulse.core.records import ACTION, POSITION, Mode, Reason, Verb
from novapulse.execution.rules import instrument_records
from novapulse.risk.decide import decide
from tests.backtest.builders import START_NS, account_of, bar_of, bare_rules, instrument, record_of, rules_of, signal_of

NS = 1
AT = START_NS
LOSING = {"r_sum": -30.0, "r_squares": 60.0, "risk_sum": 60 * 50.0}


def decision(*, account=None, position=None, signal=None, rules=None, group_exposure=0.0, price=100.0, **facts):
    action = np.zeros(1, ACTION)[0]
    decide(
        account_of(**(account or {})),
        record_of(POSITION, **(position or {})),
        instrument_records([instrument(**facts)])[0],
        bar_of(*[price] * 4, ts_close_ns=AT),
        signal_of(**(signal or {})),
        group_exposure,
        bare_rules(**(rules or {})),
        action,
    )
    return action


def reason(**situation):
    return Reason(int(decision(**situation).reason))


WHY_NOT = [
    # reason, situation that earns it, the same just inside the limit
    (Reason.NOT_WARM, {"signal": {"warm": 0}}, {"signal": {"warm": 1}}),
    (Reason.NO_SIGNAL, {"signal": {"consensus": 4.999}}, {"signal": {"consensus": 5.0}}),
    (Reason.NO_SIGNAL, {"signal": {"consensus": math.nan}}, {}),
    (Reason.ORDER_WORKING, {"position": {"pending_units": 1}}, {"position": {"pending_units": 0}}),
    (Reason.SHORT_NOT_ALLOWED, {"signal": {"consensus": -10.0}}, {"signal": {"consensus": -10.0}, "shortable": True}),
    (Reason.MODE_PAUSED, {"account": {"mode": Mode.PAUSED}}, {"account": {"mode": Mode.NORMAL}}),
    (Reason.MODE_REDUCE_ONLY, {"account": {"mode": Mode.REDUCE_ONLY}}, {}),
    (Reason.MODE_REDUCE_ONLY, {"account": {"flattening": 1}}, {"account": {"flattening": 0}}),
    (Reason.MODE_HALTED, {"account": {"mode": Mode.HALTED, "flattening": 1}}, {}),
    (
        Reason.DAILY_LOSS,
        {"account": {"equity": 9_500.0, "day_opening_equity": 10_000.0}, "rules": {"daily_loss_max": 0.05}},
        {"account": {"equity": 9_500.01, "day_opening_equity": 10_000.0}, "rules": {"daily_loss_max": 0.05}},
    ),
    (
        Reason.DRAWDOWN,
        {"account": {"equity": 8_000.0, "equity_peak": 10_000.0}, "rules": {"drawdown_max": 0.2}},
        {"account": {"equity": 8_050.0, "equity_peak": 10_000.0}, "rules": {"drawdown_max": 0.2}},
    ),
    (Reason.LOSS_COOLDOWN, {"account": {"loss_ready_ns": AT + NS}}, {"account": {"loss_ready_ns": AT}}),
    (Reason.LOSS_STREAK, {"account": {"streak_ready_ns": AT + NS}}, {"account": {"streak_ready_ns": AT}}),
    (Reason.INSTRUMENT_COOLDOWN, {"position": {"ready_ns": AT + NS}}, {"position": {"ready_ns": AT}}),
    (
        Reason.STRATEGY_COOLDOWN,
        {"account": {"strategy_ready_ns": [0, 0, AT + NS] + [0] * 29}, "signal": {"lead": 2}},
        {"account": {"strategy_ready_ns": [0, AT + NS, AT] + [0] * 29}, "signal": {"lead": 2}},
    ),
    (
        Reason.GATE_MISSING,
        {"rules": {"gate_required": 1}},
        {"rules": {"gate_required": 1}, "signal": {"gate_probability": 0.0}},
    ),
    (
        Reason.GATE_REFUSED,
        {"rules": {"gate_probability_min": 0.6}, "signal": {"gate_probability": 0.599}},
        {"rules": {"gate_probability_min": 0.6}, "signal": {"gate_probability": 0.6}},
    ),
    (
        Reason.RISK_OF_RUIN,
        {"account": {"evidence": 50, **LOSING}, "rules": {"ruin_trades_min": 50}},
        {"account": {"evidence": 49, **LOSING}, "rules": {"ruin_trades_min": 50}},
    ),
    (Reason.VOLATILITY_UNKNOWN, {"signal": {"atr": math.nan}}, {}),
    (Reason.VOLATILITY_UNKNOWN, {"signal": {"atr": 0.0}}, {}),
    (
        Reason.VOLATILITY_UNKNOWN,
        {"rules": {"volatility_target": 0.5}},
        {"rules": {"volatility_target": 0.5}, "signal": {"volatility": 0.5}},
    ),
    (
        # A round trip costs 0.2 %: 0.2 at 100, times 15 is a target of 3; the range puts it at 3 ATR, without stretch.
        Reason.TARGET_BELOW_COSTS,
        {
            "rules": {"half_spread_fraction": 0.001, "target_cost_multiple_min": 15.0, "target_stretch_max": 1.0},
            "signal": {"atr": 0.999},
        },
        {
            "rules": {"half_spread_fraction": 0.001, "target_cost_multiple_min": 15.0, "target_stretch_max": 1.0},
            "signal": {"atr": 1.001},
        },
    ),
    (
        Reason.POSITIONS_MAX,
        {"rules": {"positions_max": 3}, "account": {"positions": 3}},
        {"rules": {"positions_max": 3}, "account": {"positions": 2}},
    ),
    (
        Reason.GROSS_EXPOSURE,
        {"rules": {"gross_fraction_max": 0.5}, "account": {"gross_exposure": 3_000.0, "pending_exposure": 2_000.0}},
        {"rules": {"gross_fraction_max": 0.5}, "account": {"gross_exposure": 3_000.0, "pending_exposure": 1_999.0}},
    ),
    (
        Reason.GROUP_EXPOSURE,
        {"rules": {"group_fraction_max": 0.4}, "group_exposure": 4_000.0, "group": "g"},
        {"rules": {"group_fraction_max": 0.4}, "group_exposure": 3_999.0, "group": "g"},
    ),
    (Reason.BUYING_POWER, {"account": {"hold": 10_000.0}}, {"account": {"hold": 9_999.0}}),
    (Reason.BUYING_POWER, {"account": {"equity": 0.0}}, {}),
    (
        Reason.KELLY_ZERO,
        {"account": {"evidence": 100, **LOSING}, "rules": {"kelly_trades_min": 100, "kelly_floor_fraction": 0.0}},
        {"account": {"evidence": 99, **LOSING}, "rules": {"kelly_trades_min": 100, "kelly_floor_fraction": 0.0}},
    ),
    (Reason.BELOW_MINIMUM, {"rules": {"position_notional_max": 0.0999}}, {"rules": {"position_notional_max": 0.1}}),
]


@pytest.mark.parametrize(("why", "outside", "inside"), WHY_NOT, ids=[f"{w[0].name}-{k}" for k, w in enumerate(WHY_NOT)])
def test_why_not(why, outside, inside):
    assert reason(**outside) == why
    assert decision(**outside).verb == Verb.HOLD
    if inside:
        assert reason(**inside) == Reason.ENTER_CONSENSUS


def test_every_refusal_of_a_decision_is_earned_above():
    held = {Reason.NONE, Reason.HOLDING}
    assert {w[0] for w in WHY_NOT} == {r for r in Reason if r < Reason.ENTER_CONSENSUS} - held


HELD = {"qty_units": 1000, "qty": 1.0, "direction": 1, "stop_price": 98.0, "bars_held": 5}


@pytest.mark.parametrize(
    ("why", "situation"),
    [
        (Reason.HOLDING, {"signal": {"consensus": -1.999}}),
        (Reason.HOLDING, {"signal": {"consensus": math.nan}}),
        (Reason.EXIT_OPPOSITE, {"signal": {"consensus": -2.0}}),
        (Reason.HOLDING, {"rules": {"time_stop_bars": 6}}),
        (Reason.EXIT_TIME, {"rules": {"time_stop_bars": 5}}),
        (Reason.EXIT_MODE, {"account": {"flattening": 1}}),
        (Reason.EXIT_MODE, {"account": {"flattening": 1, "mode": Mode.HALTED}}),
        (Reason.ORDER_WORKING, {"account": {"flattening": 1}, "position": {**HELD, "exiting": 1}}),
    ],
)
def test_a_position_is_held_or_left(why, situation):
    """Exits are never blocked: not by a mode, not by a loss, not by missing warm-up."""
    blocked = {"equity": 1.0, "mode": Mode.REDUCE_ONLY, "loss_ready_ns": AT + NS}
    account = blocked | situation.get("account", {})
    action = decision(**({"position": HELD} | situation | {"account": account}))
    assert action.reason == why
    assert action.verb == (Verb.HOLD if why in (Reason.HOLDING, Reason.ORDER_WORKING) else Verb.EXIT)
    if action.verb == Verb.EXIT:
        assert (action.side, action.units, action.target_units) == (-1, 1000, 0)


def test_a_limit_exit_rests_at_the_passive_side_of_the_close():
    for direction, price in ((1, 100.1), (-1, 99.9)):
        position = HELD | {"direction": direction, "qty_units": direction * 1000, "qty": direction * 1.0}
        rules = {"exit_kind": 1, "limit_offset_fraction": 0.001, "time_stop_bars": 1}
        action = decision(position=position, rules=rules, signal={"consensus": 0.0})
        assert action.limit_price == pytest.approx(price)


def test_an_order_is_never_off_its_step_nor_below_the_minimum_v_13():
    """V-13: orders off-step or below minimum."""
    facts = {"qty_min": Decimal("0.05"), "notional_min": Decimal(10)}
    small = decision(rules={"position_notional_max": 9.999}, **facts)
    assert (small.verb, small.units, small.reason) == (Verb.HOLD, 0, Reason.BELOW_MINIMUM)
    exact = decision(rules={"position_notional_max": 10.0}, **facts)
    assert (exact.verb, exact.units) == (Verb.ENTER, 100)
    resting = decision(rules={"position_notional_max": 10.0, "entry_kind": 1, "limit_offset_fraction": 0.001}, **facts)
    assert resting.reason == Reason.BELOW_MINIMUM, "at its limit of 99.90 the order is worth 9.99"
    assert (
        decision(rules={"position_notional_max": 4.0}, price=100.0, qty_min=Decimal("0.05")).reason
        == Reason.BELOW_MINIMUM
    )
    odd = decision(rules={"fixed_units": 1234}, lot=Decimal("0.005"))
    assert odd.units == 1230


def test_the_order_of_the_rules_is_the_order_of_the_answers():
    everything = {
        "account": {
            "mode": Mode.PAUSED,
            "equity": 8_000.0,
            "equity_peak": 10_000.0,
            "day_opening_equity": 10_000.0,
            "positions": 9,
        },
        "position": {"ready_ns": AT + NS},
        "signal": {"consensus": -10.0, "atr": math.nan},
        "rules": {"daily_loss_max": 0.05, "drawdown_max": 0.2, "positions_max": 1, "gate_required": 1},
    }
    answers = []
    for cure in (
        {"account": {"mode": Mode.NORMAL}},
        {"signal": {"consensus": 10.0}},
        {"rules": {"daily_loss_max": 0.0}},
        {"rules": {"drawdown_max": 0.0}},
        {"position": {"ready_ns": 0}},
        {"rules": {"gate_required": 0}},
        {"account": {"positions": 0}},
        {"signal": {"atr": 1.0}},
    ):
        answers.append(reason(**everything))
        everything = {name: {**value, **cure.get(name, {})} for name, value in everything.items()}
    assert [answer.name for answer in answers] == [
        "MODE_PAUSED",
        "SHORT_NOT_ALLOWED",
        "DAILY_LOSS",
        "DRAWDOWN",
        "INSTRUMENT_COOLDOWN",
        "GATE_MISSING",
        "POSITIONS_MAX",
        "VOLATILITY_UNKNOWN",
    ]
    assert reason(**everything) == Reason.ENTER_CONSENSUS


def test_the_shipped_limits_are_those_of_the_requirements():
    """R-30, R-32: the defaults that a person gets without asking."""
    rules = rules_of()
    assert (rules.risk_fraction, rules.position_notional_max) == (0.005, 200.0)
    assert (rules.daily_loss_max, rules.gross_fraction_max) == (0.05, 0.5)
    assert (rules.loss_cooldown_ns, rules.ruin_trades_min) == (30 * MINUTE_NS, 50)
