import random
from dataclasses import replace
from decimal import Decimal

import pytest

from novapulse.core.messages import Flow, Severity, VenueOrder
from novapulse.core.order_fold import Order
from novapulse.core.orders import (
    AbsenceProved,
    Attempted,
    CancelAsked,
    Filled,
    OrderStatus,
    OrderType,
    Refused,
    Role,
    Seen,
    Side,
    Terms,
    Unclear,
    VenueState,
)
from novapulse.reconciliation.breaks import RULES, Break, BreakClass, Scope, readings_of
from novapulse.reconciliation.compare import STALE_NS, reconcile, unreachable
from novapulse.reconciliation.orders import news
from novapulse.reconciliation.view import looks_ours
from tests.reconciliation.worlds import ACME, BTC, ETH, NOW, SECOND, World, random_world

LIVE, CANCELED = VenueState.LIVE, VenueState.CANCELED
STRANGER = Seen("somebody", "F1", LIVE, 0, NOW)


def kinds(breaks: list[Break]) -> list[BreakClass]:
    return [each.kind for each in breaks]


def found(world: World, view: dict[str, object] | None = None, **changes: object) -> list[Break]:
    return reconcile(world.view(**(view or {})), world.snapshot(**changes), NOW)


def resting(qty: int = 100) -> tuple[World, Order]:
    world = World()
    return world, world.accept(world.place(BTC, qty))


def foreign(**changes: object) -> VenueOrder:
    return VenueOrder(replace(STRANGER, **changes), BTC.key, Side.BUY, 5)


def moved(world: World, **units: int) -> dict[str, int]:
    return {asset: total + units.get(asset, 0) for asset, total in world.balances().items()}


def test_an_account_that_agrees_with_its_venue_has_no_break():
    for seed in range(300):
        world = random_world(random.Random(seed))
        assert found(world) == [], f"seed {seed}"


def test_the_order_in_which_the_venue_lists_things_changes_nothing():
    for seed in range(150):
        rng = random.Random(seed)
        world = random_world(rng)
        known = {name: order for name, order in world.orders.items() if rng.random() < 0.7}
        snapshot = world.snapshot(
            orders=(*world.snapshot().orders, foreign(), foreign(venue_order_id="F2")),
            flows=(Flow("f1", "deposit", "USD", 5, NOW), Flow("f2", "deposit", "USD", 7, NOW)),
            balances=moved(world, BTC=900_000, USD=-3),
        )
        view = world.view(orders=known)
        expected = reconcile(view, snapshot, NOW)
        for _ in range(4):
            mixed = replace(
                snapshot,
                orders=tuple(rng.sample(snapshot.orders, len(snapshot.orders))),
                fills=tuple(rng.sample(snapshot.fills, len(snapshot.fills))),
                flows=tuple(rng.sample(snapshot.flows, len(snapshot.flows))),
            )
            assert reconcile(view, mixed, NOW) == expected, f"seed {seed}"


def test_d1_an_order_that_the_venue_ended():
    world, order = resting()
    listed = replace(world.snapshot().orders[0], seen=world.says(order, CANCELED))
    assert kinds(found(world, orders=(listed,))) == [BreakClass.ENDED_AT_VENUE]


@pytest.mark.parametrize("cancels", [0, 1])
def test_d2_an_order_that_is_not_listed(cancels):
    world, order = resting()
    if cancels:
        world.tell(order, CancelAsked(order.client_order_id, 1))
    breaks = found(world, orders=())
    assert kinds(breaks) == [BreakClass.NOT_LISTED]
    assert breaks[0].client_order_id == order.client_order_id


def test_d2_a_bracket_that_the_venue_should_have_made():
    world = World()
    entry = world.accept(world.place())
    held = world.place(
        is_sent=False, role=Role.PROTECT, kind=OrderType.BRACKET, side=Side.SELL, attached_to=entry.client_order_id
    )
    assert found(world) == []
    world.fill(entry, 10)
    assert [each.client_order_id for each in found(world)] == [held.client_order_id]
    assert found(world, {"orders_active_ns": {entry.client_order_id: NOW}}) == []


def test_d2_an_order_whose_outcome_is_unknown_is_the_resolvers_and_no_break():
    world = World()
    order = world.place()
    world.tell(order, Unclear(order.client_order_id, 1))
    assert found(world) == []


def test_d2_an_order_that_settles_without_a_last_word_is_looked_up():
    world, order = resting()
    world.tell(order, world.says(order, LIVE, 100))
    assert kinds(found(world, orders=())) == [BreakClass.FILLS_MISSING]


@pytest.mark.parametrize("ended", ["refused", "absent", "canceled"])
def test_d3_an_order_that_ended_here_and_is_live_there(ended):
    world = World()
    order = world.place()
    name = order.client_order_id
    ending = {
        "refused": Refused(name, 1, "funds"),
        "absent": AbsenceProved(name),
        "canceled": world.says(order, CANCELED),
    }
    world.tell(order, ending[ended])
    listed = VenueOrder(world.says(order, LIVE), BTC.key, Side.BUY, 100)
    assert kinds(found(world, orders=(listed,))) == [BreakClass.LIVE_AT_VENUE]


def test_d4_an_order_with_our_id_and_no_record():
    world, order = resting()
    breaks = found(world, {"orders": {}, "venue_ids": {}})
    assert kinds(breaks) == [BreakClass.LOST_RECORD]
    assert breaks[0].rule.scope is Scope.ACCOUNT
    assert looks_ours(order.client_order_id)
    assert not looks_ours("somebody")


def test_d4_an_execution_with_our_id_and_no_record():
    world, order = resting()
    before = world.balances()
    world.fill(order, 100)
    breaks = found(world, {"orders": {}, "venue_ids": {}, "balances": before}, orders=())
    assert kinds(breaks) == [BreakClass.LOST_RECORD]
    assert breaks[0].fills == (world.fills[0],)


def test_d5_an_order_that_is_not_ours_is_found_once_and_again_only_where_it_may_not_be():
    world = World()
    assert kinds(found(world, orders=(foreign(),))) == [BreakClass.FOREIGN_ORDER]
    assert found(world, {"known_foreign": {"F1"}}, orders=(foreign(),)) == []
    exclusive = {"known_foreign": {"F1"}, "is_exclusive": True}
    assert kinds(found(world, exclusive, orders=(foreign(),))) == [BreakClass.FOREIGN_ORDER]


def test_d6_executions_that_the_venue_counted_and_nobody_booked():
    world, order = resting()
    world.tell(order, world.says(order, LIVE, 30))
    listed = replace(world.snapshot().orders[0], seen=world.says(order, LIVE, 30))
    breaks = found(world, orders=(listed,))
    assert kinds(breaks) == [BreakClass.FILLS_MISSING]
    stand_in = breaks[0].stand_in
    assert stand_in is not None
    assert stand_in.venue_trade_id == f"inf:{order.client_order_id}:30"
    assert (stand_in.qty_units, stand_in.price_units) == (30, 5_000_000)
    assert (stand_in.cash_units, stand_in.fee_units) == (1_500_000, 3_900)
    order.add(stand_in)
    assert order.missing_units == 0
    assert found(world, orders=(listed,)) == []


def test_d6_the_executions_that_the_snapshot_brings_explain_the_balance():
    world, order = resting()
    ours = world.balances()
    booked = world.facts[order.client_order_id][:]
    world.fill(order, 40)
    early = Order(order.client_order_id)
    for fact in booked:
        early.add(fact)
    view = {"orders": {order.client_order_id: early}, "balances": ours}
    breaks = found(world, view)
    assert kinds(breaks) == [BreakClass.FILLS_MISSING]
    assert breaks[0].fills == (world.fills[0],)


def test_d7_more_is_booked_than_the_venue_filled():
    world, order = resting()
    world.fill(order, 40)
    listed = replace(world.snapshot().orders[0], seen=world.says(order, LIVE, 10))
    assert kinds(found(world, orders=(listed,))) == [BreakClass.FILLS_BEYOND_VENUE]


def test_d8_an_execution_of_nobodys_order():
    world, order = resting()
    mine = world.execution(order, 20, "X")
    alien = replace(mine, client_order_id="", venue_order_id="F9")
    totals = moved(world, BTC=2_000, USD=-(mine.cash_units + mine.fee_units) * 100)
    breaks = found(world, fills=(alien,), balances=totals)
    assert kinds(breaks) == [BreakClass.FILL_OF_UNKNOWN_ORDER]
    assert breaks[0].fills == (alien,)
    booked = {"known_trades": {"X"}, "balances": totals}
    assert found(world, booked, fills=(alien,), balances=totals) == []


def test_d9_what_is_too_small_to_trade_is_dust_and_one_more_is_not():
    world = World()
    assert kinds(found(world, balances=moved(world, ETH=400))) == [BreakClass.DUST]
    assert kinds(found(world, balances=moved(world, ETH=600))) == [BreakClass.UNEXPLAINED]
    assert kinds(found(world, balances=moved(world, ETH=1_001))) == [BreakClass.UNEXPLAINED]


def test_d9_a_lot_may_be_dust_by_quantity_and_not_by_worth():
    world = World()
    cheap = {"marks": {**world.view().marks, BTC.key: 1_000}}
    assert kinds(found(world, cheap, balances=moved(world, BTC=200))) == [BreakClass.DUST]
    assert kinds(found(world, cheap, balances=moved(world, BTC=201))) == [BreakClass.UNEXPLAINED]
    assert kinds(found(world, balances=moved(world, BTC=200))) == [BreakClass.UNEXPLAINED]
    assert kinds(found(world, {"marks": {}}, balances=moved(world, BTC=1))) == [BreakClass.UNEXPLAINED]


def test_d9_cash_may_be_off_by_one_smallest_unit_for_each_execution():
    world = World()
    three = {"fills_since_clean": 3}
    assert kinds(found(world, three, balances=moved(world, USD=-300))) == [BreakClass.DUST]
    assert kinds(found(world, three, balances=moved(world, USD=-301))) == [BreakClass.UNEXPLAINED]
    assert kinds(found(world, balances=moved(world, USD=1))) == [BreakClass.UNEXPLAINED]


def test_what_differs_is_told_in_amounts_of_something():
    """A bug: an operator who was to adopt a difference read of -5000 units, and of how much of what had to guess."""
    world = World()
    (short,) = found(world, balances=moved(world, USD=-5_000))
    assert (short.text, short.ours, short.theirs) == ("USD differs by -0.005 USD", "50000 USD", "49999.995 USD")
    (dust,) = found(world, balances=moved(world, ETH=400))
    assert dust.text == "ETH differs by 0.0004 ETH, less than can be traded"
    flows = [Flow(f"f-{asset}", "deposit", asset, 5_000_000, NOW) for asset in ("USD", "DOGE")]
    breaks = found(world, flows=tuple(flows), balances=moved(world, USD=5_000_000))
    assert {one.text for one in breaks if one.flow} == {"deposit of 5 USD", "deposit of 5000000 units of DOGE"}
    bare = {"positions": {BTC.key: 100}, "to_protect": frozenset({BTC.key})}
    (unprotected,) = found(world, bare)
    assert (unprotected.text, unprotected.ours) == ("0.01 BTC of BTC/USD have no protective order", "0.01 BTC")
    world, order = resting()
    world.fill(order, 40)
    name, listed = order.client_order_id, world.snapshot().orders[0]
    (beyond,) = found(world, orders=(replace(listed, seen=world.says(order, LIVE, 10)),))
    assert beyond.text == f"order {name}: 0.004 BTC are booked and the venue filled 0.001 BTC"
    (missing,) = found(world, orders=(replace(listed, seen=world.says(order, LIVE, 70)),))
    assert missing.text == f"order {name}: the venue filled 0.003 BTC more than the 0.004 BTC that are booked"
    assert (missing.ours, missing.theirs) == ("0.004 BTC", "0.007 BTC")


def test_d10_a_movement_that_is_not_booked_explains_the_balance():
    world = World()
    deposit = Flow("f1", "deposit", "USD", 5_000_000, NOW)
    breaks = found(world, flows=(deposit,), balances=moved(world, USD=5_000_000))
    assert kinds(breaks) == [BreakClass.UNRECORDED_FLOW]
    assert breaks[0].flow == deposit
    assert found(world, {"known_flows": {"f1"}}, flows=(deposit,)) == []
    too_little = found(world, flows=(deposit,), balances=moved(world, USD=4_000_000))
    assert set(kinds(too_little)) == {BreakClass.UNRECORDED_FLOW, BreakClass.UNEXPLAINED}


def test_d11_two_differences_that_are_one_trade():
    world = World()
    bought = moved(world, BTC=10_000, USD=-500_000_000 - 1_300_000)
    breaks = found(world, balances=bought)
    assert kinds(breaks) == [BreakClass.UNSEEN_TRADE] * 2
    assert {each.asset for each in breaks} == {"BTC", "USD"}
    same_sign = found(world, balances=moved(world, BTC=10_000, USD=500_000_000))
    assert kinds(same_sign) == [BreakClass.UNEXPLAINED] * 2
    far_off = found(world, balances=moved(world, BTC=10_000, USD=-600_000_000))
    assert kinds(far_off) == [BreakClass.UNEXPLAINED] * 2


def test_d12_shares_that_were_split_or_merged():
    world = World()
    for factor in (2, Decimal(3) / 2, Decimal(1) / 10):
        split = {**world.balances(), "ACME": int(12_300 * factor)}
        assert kinds(found(world, balances=split)) == [BreakClass.CORPORATE_ACTION]
    odd = {**world.balances(), "ACME": 12_311}
    assert kinds(found(world, balances=odd)) == [BreakClass.UNEXPLAINED]
    crypto = {**world.balances(), "BTC": 6_000_000}
    assert kinds(found(world, balances=crypto)) == [BreakClass.UNEXPLAINED]


def test_d13_an_asset_that_the_venue_does_not_list_is_held_at_zero():
    world = World()
    totals = world.balances()
    del totals["BTC"]
    breaks = found(world, balances=totals)
    assert kinds(breaks) == [BreakClass.UNEXPLAINED]
    assert (breaks[0].diff_units, breaks[0].worth_units) == (-3_000_000, 150_000_000_000)
    assert breaks[0].instruments == (BTC.key,)


def test_d13_an_asset_that_is_neither_traded_nor_expected_is_not_ours():
    world = World()
    assert found(world, balances={**world.balances(), "DOGE": 7}) == []
    expected = {"balances": {**world.balances(), "DOGE": 7}}
    assert kinds(found(world, expected)) == [BreakClass.UNEXPLAINED]


def test_d14_a_position_without_a_protective_order():
    world = World()
    policy = {"positions": {BTC.key: 100, ETH.key: 0}, "to_protect": frozenset({BTC.key, ETH.key})}
    breaks = found(world, policy, balances=moved(world, USD=-5))
    assert kinds(breaks) == [BreakClass.UNPROTECTED, BreakClass.UNEXPLAINED]
    assert breaks[0].instruments == (BTC.key,)
    assert found(world, {**policy, "to_protect": frozenset()}) == []


def test_d14_a_protective_order_counts_while_it_is_known_to_stand():
    world = World()
    bracket = world.place(role=Role.PROTECT, kind=OrderType.BRACKET, side=Side.SELL)
    policy = {"positions": {BTC.key: 100}, "to_protect": frozenset({BTC.key})}
    world.tell(bracket, Unclear(bracket.client_order_id, 1))
    assert kinds(found(world, policy)) == [BreakClass.UNPROTECTED]
    world.accept(bracket)
    assert found(world, policy) == []
    world.end(bracket, CANCELED)
    assert kinds(found(world, policy)) == [BreakClass.UNPROTECTED]


def test_d15_two_live_orders_for_one_purpose_name_the_newest():
    world = World()
    first = world.accept(world.place())
    second = world.accept(world.place(parent=first.client_order_id))
    third = world.accept(world.place(parent=second.client_order_id))
    world.accept(world.place())
    breaks = found(world)
    assert kinds(breaks) == [BreakClass.TWO_LIVE_ORDERS]
    assert breaks[0].client_order_id == third.client_order_id
    for order in (first, second):
        world.end(order, CANCELED)
    assert found(world) == []


def test_d15_an_order_whose_executions_are_still_being_booked_is_not_a_second_live_one():
    world = World()
    first = world.accept(world.place())
    world.tell(first, world.says(first, CANCELED, 30))
    world.accept(world.place(parent=first.client_order_id))
    assert first.status is OrderStatus.SETTLING
    assert kinds(found(world)) == [BreakClass.FILLS_MISSING]


def test_d15_two_brackets_of_one_instrument():
    world = World()
    for instrument in (BTC, BTC, ETH):
        world.accept(world.place(instrument, role=Role.PROTECT, kind=OrderType.BRACKET, side=Side.SELL))
    breaks = found(world)
    assert [(each.kind, each.instruments) for each in breaks] == [(BreakClass.TWO_LIVE_ORDERS, (BTC.key,))]


def test_d16_a_failed_or_old_reading_says_nothing_else():
    world, _ = resting()
    view = world.view()
    assert kinds(unreachable(view, "timed out", NOW)) == [BreakClass.VENUE_UNREACHABLE]
    old = replace(world.snapshot(orders=(), balances={}), began_ns=NOW - STALE_NS - 1)
    assert kinds(reconcile(view, old, NOW)) == [BreakClass.VENUE_UNREACHABLE]
    assert BreakClass.VENUE_UNREACHABLE not in kinds(reconcile(view, replace(old, began_ns=NOW - STALE_NS), NOW))


def test_what_was_active_just_before_the_reading_is_left_alone():
    world, order = resting()
    began = world.snapshot().began_ns
    guard = world.view().race_guard_ns
    racing, calm = began - guard + 1, began - guard
    assert found(world, {"orders_active_ns": {order.client_order_id: racing}}, orders=()) == []
    assert kinds(found(world, {"orders_active_ns": {order.client_order_id: calm}}, orders=())) == [
        BreakClass.NOT_LISTED
    ]
    off = moved(world, BTC=900_000, ETH=50_000)
    breaks = found(world, {"instruments_active_ns": {BTC.key: racing}}, balances=off)
    assert [each.asset for each in breaks] == ["ETH"]
    assert len(found(world, {"instruments_active_ns": {BTC.key: calm}}, balances=off)) == 2


def test_readings_count_while_they_are_identical_and_the_age_goes_on_when_they_are_not():
    world = World()
    breaks = reconcile(world.view(), world.snapshot(balances=moved(world, BTC=900_000)), NOW)
    assert [(each.readings, each.first_ns) for each in breaks] == [(1, NOW)]
    for units, later, count in ((900_000, SECOND, 2), (900_000, 2 * SECOND, 3), (800_000, 3 * SECOND, 1)):
        snapshot = world.snapshot(balances=moved(world, BTC=units))
        breaks = reconcile(world.view(readings=readings_of(breaks)), snapshot, NOW + later)
        assert [(each.readings, each.first_ns, each.ts_ns) for each in breaks] == [(count, NOW, NOW + later)]
    gone = reconcile(world.view(readings=readings_of(breaks)), world.snapshot(), NOW)
    assert readings_of(gone) == {}


def test_the_news_of_a_snapshot_bear_our_ids_and_leave_no_break_once_they_are_booked():
    for seed in range(100):
        rng = random.Random(seed)
        world = random_world(rng)
        late = World(opening=world.opening)
        for name, facts in world.facts.items():
            late.orders[name] = Order(name)
            kept = [fact for fact in facts if not (isinstance(fact, Filled) and rng.random() < 0.4)]
            for fact in kept:
                late.orders[name].add(fact)
        late.fills = [fill for fill in world.fills if fill.venue_trade_id in late.orders[fill.client_order_id].fills]
        nameless = tuple(replace(fill, client_order_id="") for fill in world.fills)
        snapshot = world.snapshot(fills=nameless)
        for fact in news(late.view(), snapshot):
            assert fact.client_order_id
            if late.orders[fact.client_order_id].add(fact) and isinstance(fact, Filled):
                late.fills.append(fact)
        assert reconcile(late.view(), snapshot, NOW) == [], f"seed {seed}"
        assert not [fact for fact in news(late.view(), snapshot) if isinstance(fact, Filled)]


def test_every_class_has_its_rule_and_its_number():
    assert set(RULES) == set(BreakClass)
    assert [each.value for each in BreakClass] == [f"D{number}" for number in range(1, 17)]
    harmless = {each for each, rule in RULES.items() if not rule.is_blocking}
    assert harmless == {
        BreakClass.ENDED_AT_VENUE,
        BreakClass.FOREIGN_ORDER,
        BreakClass.DUST,
        BreakClass.UNRECORDED_FLOW,
    }
    assert RULES[BreakClass.UNPROTECTED].severity is Severity.CRITICAL


def test_a_stand_in_has_the_price_of_a_market_order_from_the_last_trade_or_none():
    world = World()
    order = world.accept(world.place(ACME, 7, kind=OrderType.MARKET, terms=Terms(7)))
    world.tell(order, world.says(order, LIVE, 7))
    assert order.status is OrderStatus.SETTLING
    first = found(world, orders=())[0]
    assert first.stand_in is not None
    assert (first.stand_in.price_units, first.stand_in.cash_units) == (10_000, 7_000_000)
    assert found(world, {"marks": {}}, orders=())[0].stand_in is None


def test_an_order_that_is_only_on_its_way_is_no_break():
    world = World()
    order = world.place()
    assert order.status is OrderStatus.SENDING
    assert isinstance(world.facts[order.client_order_id][1], Attempted)
    assert found(world) == []
