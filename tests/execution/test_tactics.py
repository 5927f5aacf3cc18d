import pytest

from novapulse.core.records import ORDER, Intent, OrderKind
from novapulse.execution.rules import instrument_records
from novapulse.execution.tactics import Step, cross, edge_left, next_step, reprice
from tests.backtest.builders import MINUTE_NS, START_NS, bare_rules, instrument, record_of

RECORD = instrument_records([instrument()])[0]


def working(side=1, **changes):
    base = {
        "intent": Intent.ENTRY, "kind": OrderKind.LIMIT, "side": side, "units": 1000,
        "limit_price": 100.0, "decision_price": 100.0,
        "target_distance": 3.0, "stop_distance": 2.0, "consensus": 10.0 * side, "hold": 100.1, "notional": 100.0,
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
    ],
)
def test_the_next_step(order, price, rules, step):
    assert next_step(order, price, RECORD, bare_rules(**rules)) == step


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
        assert next_step(order, 100.0, RECORD, rules) == Step.GIVE_UP_EXPIRED
