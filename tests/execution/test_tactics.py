from decimal import Decimal

import pytest

from novapulse.core.records import ORDER, Intent, OrderKind
from novapulse.execution.rules import instrument_records
from novapulse.execution.tactics import (
    Step,
    cross,
    edge_left,
    has_lapsed,
    last_moment_ns,
    next_step,
    reach,
    reprice,
    rests_until,
)
from tests.backtest.builders import MINUTE_NS, START_NS, bare_rules, instrument, record_of

RECORD = instrument_records([instrument()])[0]


def working(side=1, **changes):
    base = {
        "intent": Intent.ENTRY, "kind": OrderKind.LIMIT, "side": side, "units": 1000,
        "limit_price": 100.0, "decision_price": 100.0,
        "target_distance": 3.0, "stop_distance": 2.0, "consensus": 10.0 * side, "hold": 100.1, "notional": 100.0,
        "decision_ts_ns": START_NS,
    }  # fmt: skip
    return record_of(ORDER, **(base | changes))


CROSSING = {"fallback_market": 1, "fallback_edge_capture": 0.5, "half_spread_fraction": 0.0025}


@pytest.mark.parametrize("side", [1, -1])
def test_the_edge_shrinks_as_the_price_runs_away(side):
    rules = bare_rules(**CROSSING)
    assert [edge_left(working(side), 100.0 + side * away, rules) for away in (-1.0, 0.0, 1.0, 3.0, 9.0)] == [
        2.0,
        1.5,
        1.0,
        0.0,
        0.0,
    ]
    assert edge_left(working(side, consensus=5.0 * side), 100.0, rules) == 0.75
    assert edge_left(working(side, target_distance=0.0), 100.0, rules) == 1.0


@pytest.mark.parametrize(
    ("order", "price", "rules", "step"),
    [
        (working(chases_left=1), 100.0, CROSSING, Step.CHASE),
        (working(), 100.0, CROSSING, Step.CROSS),
        (working(), 101.98, CROSSING, Step.CROSS),  # 0.51 left, 0.5099 to pay: half a percent of the price
        (working(), 101.99, CROSSING, Step.GIVE_UP_NO_EDGE),
        (working(), 100.0, CROSSING | {"fallback_market": 0}, Step.GIVE_UP_EXPIRED),
        (working(intent=Intent.EXIT), 100.0, CROSSING | {"fallback_market": 0}, Step.CROSS),
        (working(intent=Intent.EXIT, chases_left=2), 100.0, CROSSING, Step.CHASE),
        (working(intent=Intent.EXIT, chases_left=2), 100.0, CROSSING | {"exit_deadline_ns": MINUTE_NS}, Step.CROSS),
        (working(intent=Intent.EXIT), 100.0, CROSSING | {"exit_cross_ns": 1}, Step.REACH),
        (working(intent=Intent.EXIT, chases_left=-1), 100.0, CROSSING | {"exit_cross_ns": 1}, Step.CROSS),
        (working(chases_left=2), 100.0, CROSSING | {"exit_deadline_ns": MINUTE_NS, "exit_cross_ns": 1}, Step.CHASE),
    ],
)
def test_the_next_step(order, price, rules, step):
    order.decision_ts_ns = START_NS - MINUTE_NS
    assert (
        next_step(order, price, START_NS, RECORD, bare_rules(**({"exit_deadline_ns": 9 * MINUTE_NS} | rules))) == step
    )


@pytest.mark.parametrize(
    ("facts", "left", "price"), [({"qty_min": 2}, 1999, 100.0), ({"notional_min": 100}, 1000, 99.99)]
)
def test_what_is_left_of_an_entry_and_less_than_the_venue_takes_is_given_up(facts, left, price):
    record = instrument_records([instrument(**{name: Decimal(value) for name, value in facts.items()})])[0]
    rules = bare_rules(**CROSSING)
    assert next_step(working(units=left), price, START_NS, record, rules) == Step.GIVE_UP_EXPIRED
    assert next_step(working(units=left + 1), price + 0.01, START_NS, record, rules) == Step.CROSS
    assert next_step(working(units=left, intent=Intent.EXIT), price, START_NS, record, rules) == Step.CROSS


@pytest.mark.parametrize(("intent", "bars"), [(Intent.ENTRY, 5), (Intent.EXIT, 3)])
def test_an_exit_rests_no_longer_than_its_deadline_and_an_entry_as_long_as_it_lives(intent, bars):
    rules = bare_rules(time_to_live_ns=5 * MINUTE_NS, exit_deadline_ns=4 * MINUTE_NS)
    order = working(intent=intent, decision_ts_ns=START_NS - MINUTE_NS)
    assert rests_until(order, START_NS, rules) == START_NS + bars * MINUTE_NS


@pytest.mark.parametrize(("side", "price"), [(-1, 99.79), (1, 100.21)])
def test_an_exit_across_the_spread_lies_a_tick_beyond_what_a_taker_gets(side, price):
    rules = bare_rules(latency_ns=7, exit_cross_ns=2 * MINUTE_NS, half_spread_fraction=0.0005, slippage_fraction=0.0015)
    order = working(side, intent=Intent.EXIT, hold=0.0)
    reach(order, 100.0, START_NS, RECORD, rules)
    assert (order.kind, order.limit_price, order.chases_left) == (OrderKind.ACROSS, price, -1)
    assert (order.active_ns, order.expires_ns) == (START_NS + 7, START_NS + 2 * MINUTE_NS)


@pytest.mark.parametrize(("side", "price"), [(1, 109.89), (-1, 110.11)])
def test_a_chase_rests_on_the_passive_side_of_the_price_and_starts_its_clock_again(side, price):
    rules = bare_rules(limit_offset_fraction=0.001, latency_ns=7, time_to_live_ns=MINUTE_NS)
    order = working(side, chases_left=2)
    reprice(order, 110.0, START_NS, RECORD, rules)
    assert (order.limit_price, order.chases_left) == (price, 1)
    assert (order.active_ns, order.expires_ns) == (START_NS + 7, START_NS + MINUTE_NS)
    assert (order.notional, order.hold) == (pytest.approx(price), pytest.approx(price * 1.001))


@pytest.mark.parametrize(("intent", "patience_ns"), [(Intent.ENTRY, 3 * MINUTE_NS), (Intent.EXIT, None)])
def test_a_crossed_entry_waits_for_a_trade_only_so_long_and_an_exit_for_ever(intent, patience_ns):
    order = working(expires_ns=START_NS, intent=intent)
    rules = bare_rules(latency_ns=5, time_to_live_ns=MINUTE_NS, chases_max=2)
    cross(order, START_NS, rules)
    assert (order.kind, order.limit_price, order.active_ns) == (OrderKind.MARKET, 0.0, START_NS + 5)
    assert order.expires_ns == (START_NS + patience_ns if patience_ns else 0)
    if patience_ns:
        assert next_step(order, 100.0, START_NS, RECORD, rules) == Step.GIVE_UP_EXPIRED


@pytest.mark.parametrize("chases", [0, 1, 4])
def test_no_step_of_an_entry_comes_behind_its_last_moment_where_there_is_no_gap(chases):
    rules = bare_rules(chases_max=chases, **CROSSING)
    order = working(expires_ns=START_NS + rules["time_to_live_ns"], chases_left=chases, decision_ts_ns=START_NS)
    steps = []
    while not steps or steps[-1] in (Step.CHASE, Step.CROSS):
        now_ns = int(order.expires_ns)
        assert not has_lapsed(order, now_ns, rules)
        steps.append(Step(next_step(order, 100.0, now_ns, RECORD, rules)))
        if steps[-1] == Step.CHASE:
            reprice(order, 100.0, now_ns, RECORD, rules)
        elif steps[-1] == Step.CROSS:
            cross(order, now_ns, rules)
    assert steps == [Step.CHASE] * chases + [Step.CROSS, Step.GIVE_UP_EXPIRED]


def test_an_entry_whose_last_moment_has_passed_is_over_and_an_exit_never_is():
    rules = bare_rules(chases_max=1, **CROSSING)
    entry, leaving = (working(chases_left=1, intent=intent) for intent in (Intent.ENTRY, Intent.EXIT))
    last_ns = last_moment_ns(entry, rules)
    assert last_ns == entry.decision_ts_ns + 6 * rules["time_to_live_ns"]
    assert next_step(entry, 100.0, last_ns, RECORD, rules) == Step.CHASE
    assert next_step(entry, 100.0, last_ns + 1, RECORD, rules) == Step.GIVE_UP_EXPIRED
    assert not has_lapsed(leaving, last_ns + 1, rules)
