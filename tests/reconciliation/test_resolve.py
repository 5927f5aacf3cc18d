import random
from dataclasses import replace
from fractions import Fraction

import pytest

from novapulse.core.messages import Flow, VenueOrder
from novapulse.core.order_fold import Order
from novapulse.core.orders import TERMINAL, DisputeRaised, OrderStatus, Refused, Side, VenueState
from novapulse.reconciliation.breaks import Break, BreakClass, readings_of
from novapulse.reconciliation.compare import reconcile
from novapulse.reconciliation.resolve import (
    AdoptExternal,
    AlertOnly,
    BookFacts,
    BookProvisional,
    CancelAtVenue,
    FreezeEntries,
    HaltAccount,
    HaltInstrument,
    ImportFlow,
    LookUp,
    Policy,
    Resolution,
    SweepDust,
    WidenFills,
    resolve,
)
from tests.reconciliation.worlds import BTC, ETH, NOW, SECOND, World, random_world

LIVE = VenueState.LIVE
USUAL = Policy()
EXCLUSIVE = Policy(is_exclusive=True)
SUBJECT = Break(
    BreakClass.NOT_LISTED,
    "x",
    "what differs",
    instruments=(BTC.key,),
    client_order_id="ours",
    venue_order_id="theirs",
    asset="BTC",
    diff_units=7,
    worth_units=1,
    equity_units=1_000,
    flow=Flow("f", "deposit", "USD", 5, NOW),
    first_ns=NOW,
    ts_ns=NOW,
)


def types(resolutions: tuple[Resolution, ...]) -> list[type[Resolution]]:
    return [type(each) for each in resolutions]


def of(kind: BreakClass, policy: Policy = USUAL, **changes: object) -> list[type[Resolution]]:
    return types(resolve(replace(SUBJECT, kind=kind, **changes), policy))


@pytest.mark.parametrize("kind", BreakClass)
@pytest.mark.parametrize("policy", [USUAL, EXCLUSIVE])
def test_nothing_is_cancelled_on_the_first_reading(kind, policy):
    assert CancelAtVenue not in of(kind, policy)


@pytest.mark.parametrize("kind", [BreakClass.UNEXPLAINED, BreakClass.UNSEEN_TRADE, BreakClass.FILLS_BEYOND_VENUE])
def test_a_difference_of_amounts_halts_nothing_on_the_first_reading(kind):
    assert not {HaltInstrument, HaltAccount} & set(of(kind, worth_units=10**9))


@pytest.mark.parametrize("kind", BreakClass)
@pytest.mark.parametrize("readings", [1, 2, 9])
def test_an_order_that_is_not_listed_or_not_known_gets_no_last_word(kind, readings):
    """No fact is booked but what the venue listed, what it executed, and a dispute."""
    for each in resolve(replace(SUBJECT, kind=kind, readings=readings, first_ns=0), EXCLUSIVE):
        if isinstance(each, BookFacts):
            assert all(isinstance(fact, DisputeRaised) for fact in each.facts)
        assert not isinstance(each, BookProvisional)


def test_no_resolution_ends_an_order_because_a_list_lacks_it():
    for seed in range(150):
        world = random_world(random.Random(seed))
        alive = {name for name, order in world.orders.items() if order.status not in TERMINAL}
        readings: dict[str, object] = {}
        for reading in range(1, 6):
            now = NOW + reading * 300 * SECOND
            view = world.view(readings=readings)
            snapshot = world.snapshot(orders=(), fills=(), began_ns=now - SECOND, ended_ns=now)
            breaks = reconcile(view, snapshot, now)
            readings = dict(readings_of(breaks))
            for each in (each for found in breaks for each in resolve(found, EXCLUSIVE)):
                for fact in each.facts if isinstance(each, BookFacts) else ():
                    world.orders[fact.client_order_id].add(fact)
                if isinstance(each, BookProvisional):
                    world.orders[each.fill.client_order_id].add(each.fill)
        assert {name for name in alive if world.orders[name].status in TERMINAL} == set(), f"seed {seed}"


def test_d1_books_what_the_venue_said_and_asks_for_the_executions():
    world = World()
    order = world.accept(world.place())
    listed = VenueOrder(world.says(order, VenueState.CANCELED), BTC.key, Side.BUY, 100)
    found = reconcile(world.view(), world.snapshot(orders=(listed,)), NOW)
    booked, asked = resolve(found[0], USUAL)
    assert isinstance(booked, BookFacts)
    assert isinstance(asked, LookUp)
    for fact in booked.facts:
        order.add(fact)
    assert order.status is OrderStatus.CANCELED


def test_d2_asks_for_the_order_however_often_it_is_not_listed():
    for readings in (1, 2, 50):
        assert of(BreakClass.NOT_LISTED, readings=readings) == [LookUp]


def test_d3_reopens_what_ended_without_the_word_of_the_venue_then_cancels_it():
    world = World()
    order = world.place()
    world.tell(order, Refused(order.client_order_id, 1, "funds"))
    snapshot = world.snapshot(orders=(VenueOrder(world.says(order, LIVE), BTC.key, Side.BUY, 100),))
    found = reconcile(world.view(), snapshot, NOW)[0]
    booked, asked = resolve(found, USUAL)
    assert isinstance(booked, BookFacts)
    assert isinstance(asked, LookUp)
    assert resolve(replace(found, readings=2), USUAL) == (
        HaltInstrument(BTC.key, found.text),
        AlertOnly(found.text),
        CancelAtVenue(order.client_order_id, found.venue_order_id, BTC.key),
    )
    order.add(booked.facts[0])
    assert order.status is OrderStatus.ACCEPTED


def test_d4_halts_the_account_and_pages_at_once():
    assert of(BreakClass.LOST_RECORD) == [HaltAccount, AdoptExternal, AlertOnly]


def test_d5_is_cancelled_only_where_nobody_else_may_trade_and_read_twice():
    assert of(BreakClass.FOREIGN_ORDER, EXCLUSIVE) == [AdoptExternal, AlertOnly]
    assert of(BreakClass.FOREIGN_ORDER, USUAL, readings=5) == [AdoptExternal, AlertOnly]
    assert of(BreakClass.FOREIGN_ORDER, EXCLUSIVE, readings=2) == [AdoptExternal, AlertOnly, CancelAtVenue]
    cancel = resolve(replace(SUBJECT, kind=BreakClass.FOREIGN_ORDER, readings=2), EXCLUSIVE)[-1]
    assert cancel == CancelAtVenue("", "theirs", BTC.key)


def counted_and_not_shown(units: int, *, is_racing: bool = False) -> tuple[World, Order, list[tuple[Resolution, ...]]]:
    """Return what is wanted within eleven minutes of an order with 30 units counted, where the balance has some."""
    world = World()
    order = world.accept(world.place())
    world.tell(order, world.says(order, LIVE, 30))
    listed = (VenueOrder(world.says(order, LIVE, 30), BTC.key, Side.BUY, 100),)
    readings: dict[str, object] = {}
    wanted = []
    for minutes in (0, 5, 10, 11):
        now = NOW + minutes * 60 * SECOND
        view = world.view(readings=readings, instruments_active_ns={BTC.key: now} if is_racing else {})
        balances = {**world.balances(), "BTC": world.balances()["BTC"] + 100 * units}
        shown = world.snapshot(orders=listed, began_ns=now, ended_ns=now, balances=balances)
        breaks = reconcile(view, shown, now)
        readings = dict(readings_of(breaks))
        (found,) = (each for each in breaks if each.kind is BreakClass.FILLS_MISSING)
        wanted.append(resolve(found, USUAL))
    return world, order, wanted


@pytest.mark.parametrize("units", [30, 29, 16])
def test_d6_asks_for_ten_minutes_then_books_a_stand_in_whose_end_is_told_by_executions(units):
    world, order, wanted = counted_and_not_shown(units)
    assert [types(each) for each in wanted] == [[LookUp], [LookUp], [LookUp], [BookProvisional, LookUp]]
    booked = wanted[-1][0]
    assert isinstance(booked, BookProvisional)
    assert order.add(booked.fill)
    assert not order.add(booked.fill)
    assert (order.status, order.filled_units, order.missing_units) == (OrderStatus.PARTIALLY_FILLED, 30, 0)
    for name in ("A", "B"):
        order.add(world.execution(order, 15, name))
    assert (order.filled_units, order.provisional_units) == (30, 0)


@pytest.mark.parametrize("units", [0, 14, -30])
def test_d6_of_which_list_and_balance_have_nothing_was_taken_back_and_moves_nothing(units):
    _, order, wanted = counted_and_not_shown(units)
    assert [types(each) for each in wanted] == [[LookUp], [LookUp], [LookUp], [BookFacts]]
    booked = wanted[-1][0]
    assert isinstance(booked, BookFacts)
    assert [order.add(fact) for fact in booked.facts] == [True, True]
    assert (order.filled_units, order.missing_units, order.provisional_units) == (0, 0, 0)
    assert order.status is OrderStatus.PARTIALLY_FILLED
    assert not order.disputes


def test_d6_is_not_judged_by_a_balance_to_which_something_happens():
    _, _, wanted = counted_and_not_shown(30, is_racing=True)
    assert [types(each) for each in wanted] == [[LookUp]] * 4


def test_an_execution_that_shows_after_its_stand_in_was_taken_back_is_booked_all_the_same():
    world, order, wanted = counted_and_not_shown(0)
    for fact in wanted[-1][0].facts:
        order.add(fact)
    assert order.add(world.execution(order, 30, "late"))
    assert (order.filled_units, order.missing_units) == (30, 0)


def test_d6_without_a_price_invents_none():
    late = {"first_ns": 0, "stand_in": None}
    assert of(BreakClass.FILLS_MISSING, **late) == [LookUp, HaltInstrument, AlertOnly]


def test_d6_books_the_executions_that_the_snapshot_brought():
    world = World()
    fill = world.execution(world.accept(world.place()), 5)
    assert resolve(replace(SUBJECT, kind=BreakClass.FILLS_MISSING, fills=(fill,)), USUAL) == (BookFacts((fill,)),)


def test_d7_is_a_dispute_after_three_readings():
    assert of(BreakClass.FILLS_BEYOND_VENUE, readings=2) == [LookUp]
    resolutions = resolve(replace(SUBJECT, kind=BreakClass.FILLS_BEYOND_VENUE, readings=3), USUAL)
    assert types(resolutions) == [BookFacts, HaltInstrument, AlertOnly]
    assert isinstance(resolutions[0], BookFacts)
    order = Order("ours")
    order.add(resolutions[0].facts[0])
    assert order.status is OrderStatus.DISPUTED


def test_d8_is_adopted_as_external():
    assert of(BreakClass.FILL_OF_UNKNOWN_ORDER) == [AdoptExternal, AlertOnly]


def test_d9_is_swept_and_d10_imported():
    assert resolve(replace(SUBJECT, kind=BreakClass.DUST), USUAL) == (SweepDust("BTC", 7),)
    assert of(BreakClass.UNRECORDED_FLOW) == [ImportFlow]


def test_d11_reads_executions_again_and_is_then_unexplained():
    assert of(BreakClass.UNSEEN_TRADE) == [WidenFills]
    assert of(BreakClass.UNSEEN_TRADE, readings=2) == [HaltInstrument, AlertOnly]


def test_d12_stops_the_instrument_for_a_person():
    assert of(BreakClass.CORPORATE_ACTION) == [HaltInstrument, AlertOnly]


@pytest.mark.parametrize(
    ("worth", "instruments", "expected"),
    [
        (10, (BTC.key,), [HaltInstrument, AlertOnly]),
        (11, (BTC.key,), [HaltAccount, AlertOnly]),
        (None, (BTC.key, ETH.key), [HaltInstrument, HaltInstrument, AlertOnly]),
        (10, (), [FreezeEntries, AlertOnly]),
        (11, (), [HaltAccount, AlertOnly]),
    ],
)
def test_d13_halts_the_narrowest_scope_and_the_account_above_one_percent_of_equity(worth, instruments, expected):
    about = {"worth_units": worth, "instruments": instruments}
    assert of(BreakClass.UNEXPLAINED, readings=2, **about) == expected
    assert of(BreakClass.UNEXPLAINED, **about) == [WidenFills, FreezeEntries]


def test_d13_the_share_of_equity_is_a_setting():
    patient = Policy(halt_share=Fraction(1, 2))
    assert of(BreakClass.UNEXPLAINED, patient, readings=2, worth_units=400) == [HaltInstrument, AlertOnly]


def test_d14_is_told_at_once():
    assert of(BreakClass.UNPROTECTED) == [AlertOnly]


def test_d15_cancels_the_newest_after_a_second_reading_and_disputes_it():
    assert of(BreakClass.TWO_LIVE_ORDERS) == [HaltInstrument, AlertOnly, LookUp]
    assert of(BreakClass.TWO_LIVE_ORDERS, readings=2) == [HaltInstrument, AlertOnly, BookFacts, CancelAtVenue]


def test_d16_freezes_entries_and_does_nothing_else():
    assert of(BreakClass.VENUE_UNREACHABLE, readings=9) == [FreezeEntries]
