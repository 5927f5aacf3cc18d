"""One working order inside the fold, by hand-made bars: one unit around 100, ATR 1, stop 2 and target 3 away."""

from decimal import Decimal

import numpy as np
import pytest

from novapulse.backtest.columns import signals_of
from novapulse.core.records import Intent, Liquidity, Reason
from tests.backtest.builders import MINUTE_NS, START_NS, bare_rules, bars_of, folded, instrument, one

LIMIT, MARKET = 1, 0
FLAT = (100.0, 100.0, 100.0, 100.0)
UNIT = {"fixed_units": 1000}
PATIENT = {"entry_kind": LIMIT, "time_to_live_ns": 3 * MINUTE_NS, "chases_max": 0, "fallback_market": 0}


def story(book):
    return [
        (Reason(f.reason).name, float(f.side * f.qty), float(f.price), Liquidity(f.liquidity).name) for f in book.fills
    ]


def test_nothing_fills_on_the_bar_that_decided():
    wide = (100.0, 110.0, 90.0, 100.0)
    for kind in (LIMIT, MARKET):
        rules = bare_rules(
            entry_kind=kind, target_atr=0.0, stop_atr=20.0, time_to_live_ns=MINUTE_NS, chases_max=0, **UNIT
        )
        book = one([FLAT, wide, wide], [0, 10], rules)
        assert book.fills.ts_ns.tolist() == [START_NS + 3 * MINUTE_NS]
        assert book.fills.decision_ts_ns.tolist() == [START_NS + 2 * MINUTE_NS]


def test_latency_beyond_the_next_bar_keeps_the_order_away_from_it():
    book = one([FLAT] * 4, [10], bare_rules(latency_ns=MINUTE_NS, target_atr=0.0, **UNIT))
    assert book.fills.ts_ns.tolist() == [START_NS + 3 * MINUTE_NS]


def test_what_a_bar_fills_shares_one_participation_cap():
    # 10 % of 5 is room for half a unit: the entry takes it all, the stop inside the same bar has to wait.
    book = one(
        [FLAT, (100.0, 100.0, 97.0, 97.5, 5.0), (97.4, 97.4, 97.4, 97.4, 50.0)],
        [10],
        bare_rules(participation_max=0.1, **UNIT),
    )
    assert story(book) == [("ENTER_CONSENSUS", 0.5, 100.0, "TAKER"), ("EXIT_STOP", -0.5, 97.4, "TAKER")]
    assert book.denials.reason.tolist() == [Reason.UNFILLED_SUPERSEDED]


def test_a_triggered_stop_is_a_market_order_until_it_is_filled():
    recovered = (101.0, 101.0, 101.0, 101.0)
    thin = (100.0, 100.0, 97.0, 100.0, 0.001)
    book = one([FLAT, FLAT, thin, recovered], [10], bare_rules(participation_max=0.1, **UNIT))
    assert story(book)[1:] == [("EXIT_STOP", -1.0, 101.0, "TAKER")]


def test_a_partly_filled_stop_leaves_with_the_rest_at_the_next_opens():
    down = (98.5, 98.5, 97.0, 97.0, 4.0)
    book = one([FLAT, FLAT, down, (96.0, 99.0, 96.0, 99.0, 3.0), FLAT], [10], bare_rules(participation_max=0.1, **UNIT))
    assert story(book)[1:] == [
        ("EXIT_STOP", -0.4, 98.0, "TAKER"),
        ("EXIT_STOP", -0.3, 96.0, "TAKER"),
        ("EXIT_STOP", pytest.approx(-0.3), 100.0, "TAKER"),
    ]
    assert book.round_trips.size == 1
    assert book.account.positions == 0


def test_a_later_partial_fill_never_loosens_the_stop():
    # A market order fills half at 100 (stop 98), half at 97.9 would put the stop to 96.95: the stop stays and is hit.
    rules = bare_rules(participation_max=0.1, target_atr=0.0, **UNIT)
    book = one([FLAT, (100.0, 100.0, 99.0, 99.0, 5.0), (98.5, 98.5, 97.9, 98.2, 5.0), FLAT], [10], rules)
    assert story(book)[2][0] == "EXIT_STOP"


@pytest.mark.parametrize(("minutes", "fills"), [(0, 1), (9, 1), (10, 0), (60, 0)])
def test_an_entry_rests_through_a_gap_until_its_last_moment(minutes, fills):
    # Decided at the first close, it lives 3 bars without a chase: the venue ends it 12 bars behind its decision.
    bars = bars_of([FLAT, FLAT, (99.0, 99.0, 95.0, 99.0)])
    late = bars.ts_close_ns.copy()
    late[2] += (minutes + 1) * MINUTE_NS if minutes else 0
    gap = type(bars).checked(late, bars.open, bars.high, bars.low, bars.close, bars.volume, timeframe_ns=MINUTE_NS)
    rules = bare_rules(touch_probability=0.0, **PATIENT, **UNIT)
    book = folded([gap], [signals_of(np.array([10.0, 0, 0]), np.full(3, 9.0))], [instrument()], rules)
    assert book.fills.size == fills
    assert book.denials.reason.tolist() == [Reason.UNFILLED_EXPIRED] * (1 - fills)


def test_a_gap_hits_what_was_held_at_the_open_even_when_more_was_bought_inside():
    # Half is bought at 100 on bar 1; bar 2 opens at 90, far below the stop at 98, and fills the rest at its limit.
    rows = [FLAT, (100.0, 100.0, 99.5, 100.0, 5.0), (90.0, 91.0, 89.0, 90.0, 100.0)]
    book = one(rows, [10], bare_rules(participation_max=0.1, **PATIENT, **UNIT))
    assert story(book) == [
        ("ENTER_CONSENSUS", 0.5, 100.0, "MAKER"),
        ("ENTER_CONSENSUS", 0.5, 100.0, "MAKER"),
        ("EXIT_STOP", -1.0, 90.0, "TAKER"),
    ]


def test_entered_inside_a_bar_the_stop_is_no_gap_and_the_target_needs_the_close():
    rules = bare_rules(touch_probability=0.0, **PATIENT, **UNIT)
    stopped = one([FLAT, (97.0, 100.0, 96.0, 99.0)], [10], rules)
    assert story(stopped)[1] == ("EXIT_STOP", -1.0, 98.0, "TAKER")
    spike = one([FLAT, (100.0, 110.0, 99.5, 102.0)], [10], rules)
    assert len(story(spike)) == 1
    touched = one([FLAT, (100.0, 110.0, 99.5, 103.0)], [10], rules)
    assert len(story(touched)) == 1, "the high may lie before the entry: at the target's own price it is a mere touch"
    beyond = one([FLAT, (100.0, 110.0, 99.5, 103.5)], [10], rules)
    assert story(beyond)[1] == ("EXIT_TARGET", -1.0, 103.0, "MAKER")


def test_of_stop_and_target_inside_one_bar_the_stop_fills():
    book = one([FLAT, (100.0, 110.0, 90.0, 109.0)], [10], bare_rules(**UNIT))
    assert story(book) == [("ENTER_CONSENSUS", 1.0, 100.0, "TAKER"), ("EXIT_STOP", -1.0, 98.0, "TAKER")]


def test_a_gap_fills_stops_at_the_open_and_resting_targets_at_their_price():
    down = one([FLAT, FLAT, (95.0, 99.0, 94.0, 99.0)], [10], bare_rules(**UNIT))
    assert story(down)[1] == ("EXIT_STOP", -1.0, 95.0, "TAKER")
    up = (106.0, 107.0, 105.0, 106.0)
    assert story(one([FLAT, FLAT, up], [10], bare_rules(target_kind=LIMIT, **UNIT)))[1][2:] == (103.0, "MAKER")
    assert story(one([FLAT, FLAT, up], [10], bare_rules(target_kind=MARKET, **UNIT)))[1][2:] == (106.0, "TAKER")


def test_a_resting_target_that_fills_in_part_leaves_the_decided_exit_at_work():
    # Bar 2 decides to leave with a limit at 101; bar 3 fills a tenth of the target at 103; the limit stays at work.
    rules = bare_rules(exit_kind=LIMIT, participation_max=0.1, time_to_live_ns=9 * MINUTE_NS, target_kind=LIMIT, **UNIT)
    rows = [
        FLAT,
        FLAT,
        (100.0, 101.0, 100.0, 101.0),
        (101.0, 104.0, 101.0, 101.0, 1.0),
        (101.0, 102.0, 101.0, 101.0, 1e6),
    ]
    book = one(rows, [10, 0, -5], rules)
    assert story(book)[1:] == [
        ("EXIT_TARGET", -0.1, 103.0, "MAKER"),
        ("EXIT_OPPOSITE", pytest.approx(-0.9), 101.0, "MAKER"),
    ]
    assert book.account.positions == 0


def test_an_unfilled_limit_expires_chases_crosses_or_gives_up_and_says_so():
    """V-8: a limit order is not assumed to fill."""
    away = [FLAT] + [(100.0 + k, 100.5 + k, 100.0 + k, 100.5 + k) for k in range(1, 8)]
    base = {
        "entry_kind": LIMIT,
        "time_to_live_ns": MINUTE_NS,
        "touch_probability": 0.0,
        "fallback_edge_capture": 1.0,
    } | UNIT
    given_up = one(away, [10], bare_rules(chases_max=0, fallback_market=0, **base))
    assert given_up.fills.size == 0
    assert given_up.denials.reason.tolist() == [Reason.UNFILLED_EXPIRED]
    assert (given_up.account.positions, given_up.account.hold) == (0, 0.0)
    crossed = one(away, [10], bare_rules(chases_max=1, fallback_market=1, target_atr=9.0, **base))
    assert story(crossed)[0] == ("ENTER_CONSENSUS", 1.0, 103.0, "TAKER")
    costly = one(away, [10], bare_rules(chases_max=1, fallback_market=1, half_spread_fraction=0.09, **base))
    assert costly.fills.size == 0
    assert costly.denials.reason.tolist() == [Reason.UNFILLED_NO_EDGE]
    chased = one([*away[:2], (101.0, 102.0, 99.0, 101.0)], [10], bare_rules(chases_max=1, fallback_market=0, **base))
    assert story(chased) == [("ENTER_CONSENSUS", 1.0, 101.5, "MAKER"), ("EXIT_STOP", -1.0, 99.5, "TAKER")]


LEAVING = {
    "exit_kind": LIMIT,
    "time_to_live_ns": 9 * MINUTE_NS,
    "exit_deadline_ns": MINUTE_NS,
    "exit_cross_ns": 2 * MINUTE_NS,
    "slippage_fraction": 0.01,
    "touch_probability": 0.0,
    "stop_atr": 9.0,
    "target_atr": 0.0,
} | UNIT


def after_an_exit(*rows, **changes):
    """Bar 3 closes at 100 and decides to leave; the exit rests at 100 on bar 4, which stays below."""
    below = (99.9, 100.0, 99.9, 100.0)
    return story(one([FLAT, FLAT, FLAT, below, *rows], [10, 0, -5], bare_rules(**(LEAVING | changes))))[1:]


def test_an_exit_across_the_spread_takes_the_open_or_rests_then_ends_at_the_market():
    # Bar 4 closes at 100 at the deadline: across is 100 * 0.99 and a tick.
    (at_open,) = after_an_exit((100.5, 101.0, 100.0, 100.0))
    assert at_open == ("EXIT_OPPOSITE", -1.0, 99.49, "TAKER")
    (at_limit,) = after_an_exit((99.5, 99.5, 99.0, 99.0), (98.0, 99.5, 98.0, 98.0))
    assert at_limit == ("EXIT_OPPOSITE", -1.0, 98.99, "MAKER")
    low = (98.0, 98.5, 98.0, 98.0)
    (at_market,) = after_an_exit(low, low, (97.0, 97.0, 97.0, 97.0))
    assert at_market == ("EXIT_OPPOSITE", -1.0, 96.03, "TAKER")
    # The rest of what the open filled in part rests at the limit, and a later open is no second chance to take.
    thin = after_an_exit((100.5, 101.0, 100.0, 100.0, 2.0), (101.0, 101.0, 101.0, 101.0, 1e6), participation_max=0.1)
    assert thin == [("EXIT_OPPOSITE", -0.2, 99.49, "TAKER"), ("EXIT_OPPOSITE", -0.8, 98.99, "MAKER")]


def test_a_stop_comes_before_an_exit_that_rests_across_the_spread_and_behind_one_that_takes_the_open():
    both = (98.5, 99.5, 96.0, 99.0)
    assert after_an_exit(both, stop_atr=3.0) == [("EXIT_STOP", -1.0, 97.02, "TAKER")]
    (first,) = after_an_exit((100.5, 100.5, 96.0, 96.0), stop_atr=3.0)
    assert first == ("EXIT_OPPOSITE", -1.0, 99.49, "TAKER")


@pytest.mark.parametrize("bars", [1, 2, 4])
def test_a_resting_exit_crosses_at_its_deadline_however_long_it_lives_and_however_often_it_may_chase(bars):
    book = one(
        [FLAT, FLAT, *[(99.0 - k, 99.0 - k, 99.0 - k, 99.0 - k) for k in range(8)]],
        [10, -5],
        bare_rules(**(LEAVING | {"exit_deadline_ns": bars * MINUTE_NS, "exit_cross_ns": 0, "chases_max": 9})),
    )
    assert book.fills.ts_ns[1] == START_NS + (3 + bars) * MINUTE_NS
    assert Liquidity(book.fills.liquidity[1]) is Liquidity.TAKER


def test_a_chasing_order_reserves_what_its_new_price_needs():
    up = (110.0, 110.0, 110.0, 110.0)
    rules = bare_rules(entry_kind=LIMIT, time_to_live_ns=MINUTE_NS, chases_max=5, touch_probability=0.0, **UNIT)
    book = one([FLAT, up, up], [10], rules)
    order = book.state.orders[0]
    assert order.intent == Intent.ENTRY
    assert (order.notional, order.hold) == (pytest.approx(110.0), pytest.approx(110.0))


def test_without_volume_nothing_fills():
    dead = (100.0, 100.0, 100.0, 100.0, 0.0)
    rules = bare_rules(participation_max=0.1, **UNIT)
    assert one([FLAT, dead, dead], [10], rules).fills.size == 0
    assert one([FLAT, dead, FLAT], [10], rules).fills.ts_ns.tolist() == [START_NS + 3 * MINUTE_NS]


def test_excursions_in_r_reach_from_the_worst_to_the_best_price_held():
    # Bought at the open of bar 1 at 100 (R = 2); low 99 and high 102.5; left at the gapped open 98.2 of bar 4.
    rows = [
        FLAT,
        (100.0, 101.0, 99.0, 100.0),
        (100.0, 102.5, 100.0, 101.0),
        (101.0, 101.0, 100.0, 100.0),
        (98.2, 108.0, 98.2, 99.0),
    ]
    trip = one(rows, [10, 0, 0, -5], bare_rules(**UNIT)).round_trips[0]
    assert (trip.mfe_r, trip.mae_r) == (pytest.approx(1.25), pytest.approx(-0.9))
    assert trip.r_multiple == pytest.approx(-0.9)
    stop = one([FLAT, FLAT, (100.0, 102.9, 97.0, 98.0)], [10], bare_rules(**UNIT)).round_trips[0]
    assert (stop.mfe_r, stop.mae_r) == (0.0, -1.0), "a bar that stops out may have made its high afterwards"
    target = one([FLAT, FLAT, (100.0, 104.0, 98.5, 98.5)], [10], bare_rules(**UNIT)).round_trips[0]
    assert (target.mfe_r, target.mae_r) == (1.5, -0.75)


def test_cash_and_room_come_back_when_the_rest_of_an_entry_is_given_up():
    rows = [FLAT, (100.0, 100.0, 99.0, 100.0, 5.0), (100.0, 100.0, 97.0, 97.5), FLAT, FLAT]
    book = one(rows, [10], bare_rules(participation_max=0.1, **PATIENT, **UNIT))
    account, position = book.account, book.state.positions[0]
    assert (account.positions, account.hold, account.pending_exposure, position.pending_units) == (0, 0.0, 0.0, 0)
    assert (position.qty_units, position.stop_price, position.direction) == (0, 0.0, 0)


def test_shorts_mirror_longs():
    rng = np.random.default_rng(3)
    facts = instrument(shortable=True, tick=Decimal("0.5"))
    rules = bare_rules(participation_max=0.1, breakeven_r=1.0, trail_r=1.0, trail_start_r=1.5, **PATIENT, **UNIT)
    checked = 0
    for _ in range(60):
        path = 200.0 + np.cumsum(rng.integers(-3, 4, 61)) * 0.5
        opens, closes = path[:-1], path[1:]
        highs = np.maximum(opens, closes) + 0.5 * rng.integers(0, 4, 60)
        lows = np.minimum(opens, closes) - 0.5 * rng.integers(0, 4, 60)
        volume = rng.integers(1, 12, 60).astype(float)
        consensus = np.where(rng.random(60) < 0.3, rng.choice([-10.0, 10.0], 60), 0.0)
        up = bars_of(list(zip(opens, highs, lows, closes, volume, strict=True)))
        down = bars_of(list(zip(400 - opens, 400 - lows, 400 - highs, 400 - closes, volume, strict=True)))
        atr = np.full(60, 1.0)
        a = folded([up], [signals_of(consensus, atr)], [facts], rules, capital=1e6)
        b = folded([down], [signals_of(-consensus, atr)], [facts], rules, capital=1e6)
        assert a.fills.price.tolist() == (400 - b.fills.price).tolist()
        assert (a.fills.side * a.fills.qty_units).tolist() == (-b.fills.side * b.fills.qty_units).tolist()
        assert a.fills.reason.tolist() == b.fills.reason.tolist()
        assert a.round_trips.pnl_units.tolist() == b.round_trips.pnl_units.tolist()
        assert a.equity.tolist() == b.equity.tolist()
        checked += a.fills.size
    assert checked > 500


def test_the_average_price_comes_from_prices_and_not_from_rounded_cash():
    # 0.0001 at 98,765.43 costs 9.88 in cents: that would be a price of 98,800 and a stop 35 too high.
    fact = instrument(lot=Decimal("0.0001"), cash_scale=2)
    rows = [(98765.43,) * 4, (98765.43,) * 4, (98765.43, 98765.43, 98000.0, 98000.0)]
    book = one(rows, [10], bare_rules(fixed_units=1, target_atr=0.0), facts=fact, atr=50.0)
    (trip,) = book.round_trips
    assert (trip.entry_price, trip.exit_price) == (98765.43, 98665.43)
    assert trip.mae_r == pytest.approx(-1.0)


def test_an_entry_is_withdrawn_when_the_consensus_turns_before_it_fills():
    above = (101.0, 101.0, 100.5, 101.0)
    rules = bare_rules(entry_kind=LIMIT, time_to_live_ns=10 * MINUTE_NS, exit_forecast_min=2.0, target_atr=0.0, **UNIT)
    book = one([FLAT, above, above, FLAT, FLAT], [10, 10, -3, 0, 0], rules)
    assert not book.fills.size
    assert book.denials.reason.tolist() == [Reason.UNFILLED_TURNED]
    assert book.reasons[0, Reason.UNFILLED_TURNED] == 1
    assert (book.account.positions, book.state.positions[0].pending_units) == (0, 0)
    kept = one([FLAT, above, above, (100.0, 100.0, 99.0, 100.0), FLAT], [10, 10, -1, 0, 0], rules)
    assert kept.fills.size == 1


def test_a_gap_never_spends_more_cash_than_there_is():
    gap = (150.0, 150.0, 150.0, 150.0)
    rules = bare_rules(fixed_units=100_000, target_atr=0.0, stop_atr=20.0)
    book = one([FLAT, gap, gap], [10], rules)
    assert book.fills.qty[0] < 100.0
    assert book.account.cash_units >= 0
    assert book.fills.price[0] == 150.0


def test_a_market_entry_does_not_wait_for_ever_for_somebody_to_trade():
    still = (100.0, 100.0, 100.0, 100.0, 0.0)
    rules = bare_rules(
        participation_max=0.1, time_to_live_ns=MINUTE_NS, chases_max=2, target_atr=0.0, stop_atr=20.0, **UNIT
    )
    book = one([FLAT, still, still, still, FLAT, FLAT], [10], rules)
    assert not book.fills.size
    assert book.denials.reason.tolist() == [Reason.UNFILLED_EXPIRED]


def test_a_gap_and_a_chase_never_carry_a_position_over_its_cap():
    gap = (130.0, 130.0, 130.0, 130.0)
    capped = {"position_notional_max": 200.0, "risk_fraction": 0.1, "target_atr": 0.0, "stop_atr": 20.0}
    market = one([FLAT, gap, gap], [10], bare_rules(**capped))
    assert 190.0 < market.fills.qty[0] * market.fills.price[0] <= 200.0
    away = (110.0, 110.0, 109.0, 110.0)
    back = (110.0, 110.0, 100.0, 100.0)
    chased = bare_rules(entry_kind=LIMIT, time_to_live_ns=MINUTE_NS, chases_max=1, **capped)
    book = one([FLAT, away, back], [10], chased)
    assert book.fills.price.tolist() == [110.0]
    assert 190.0 < book.fills.qty[0] * book.fills.price[0] <= 200.0


def test_a_partial_fill_releases_its_share_of_the_cash_that_was_held():
    half = (100.0, 100.0, 100.0, 100.0, 5.0)
    rules = bare_rules(participation_max=0.1, target_atr=0.0, stop_atr=20.0, time_to_live_ns=10 * MINUTE_NS, **UNIT)
    waiting = one([FLAT], [10], rules).state.orders[0]
    book = one([FLAT, half], [10], rules)
    assert book.fills.qty.tolist() == [0.5]
    assert waiting.hold > 0
    assert book.state.orders[0].hold == pytest.approx(waiting.hold / 2)
    assert book.account.hold == book.state.orders[0].hold
    assert book.account.pending_exposure == pytest.approx(waiting.notional / 2)
