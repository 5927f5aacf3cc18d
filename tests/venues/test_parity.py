"""Without faults the simulated venue trades what the backtest trades: every bar, every fill, every cash unit."""

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from novapulse.backtest import BacktestSettings, run
from novapulse.backtest.columns import fine_of
from novapulse.core.bars import MINUTE_NS
from novapulse.core.orders import OrderType
from novapulse.execution.rules import rules_record
from novapulse.venues.simulated import book, matching
from tests.backtest.builders import (
    LIVELY,
    busy_rules,
    facts,
    folded,
    lively_signals,
    market,
    random_signals,
    raw,
    real_bars,
    rules_of,
)
from tests.venues.mirror import Mirror

SEEDS = st.integers(0, 2**31 - 1)
BINANCE = "BTC-USDT ETH-USDT SOL-USDT XRP-USDT BNB-USDT".split()
UNCAPPED = {"position_notional_max": 0.0, "position_fraction_max": 0.0, "gross_fraction_max": 0.0}


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(seed=SEEDS, count=st.integers(1, 3), keeps_exits=st.booleans())
def test_the_venue_trades_what_the_fold_trades_on_random_markets(seed, count, keeps_exits):
    bars, signals = market(seed, count, 120)
    mirror = Mirror(bars, signals, facts(count), busy_rules(seed), 10_000.0, keeps_exits=keeps_exits)
    mirror.run()


@settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow])
@given(seed=SEEDS)
def test_the_venue_trades_what_the_fold_trades_inside_coarse_bars(seed):
    (fine,), _ = market(seed, 1, 400)
    names = {name: getattr(fine, name)[4::5] for name in fine.__dataclass_fields__ if name != "timeframe_ns"}
    coarse = fine.__class__(**names, timeframe_ns=5 * MINUTE_NS)
    inside = fine_of([coarse], [fine])
    Mirror([coarse], [random_signals(seed, coarse)], facts(1), busy_rules(seed), 10_000.0, fine=inside).run()


@pytest.mark.parametrize("entry_kind", [0, 1], ids=["market", "limit"])
@pytest.mark.parametrize("thin", [0.0, 0.0002], ids=["any volume", "thin volume"])
def test_the_venue_trades_what_the_compiled_fold_trades_on_real_bars(shared_data, entry_kind, thin):
    bars = [real_bars(shared_data, f"binance_{name}_1m.parquet", 500, 1200) for name in BINANCE[:3]]
    signals = [lively_signals(columns) for columns in bars]
    rules = rules_of(**LIVELY, **UNCAPPED, entry_kind=entry_kind, participation_max=thin, chases_max=1)
    mirror = Mirror(bars, signals, facts(3), rules, 10_000.0)
    book = mirror.run()
    assert book.round_trips.size > 20
    assert mirror.amended > 10
    assert raw(book.fills) == raw(folded(bars, signals, facts(3), rules).fills)


def test_the_venue_trades_what_a_whole_backtest_trades_on_five_pairs(shared_data):
    table = {
        fact.key: real_bars(shared_data, f"binance_{name}_1m.parquet", 3_000, 1_500)
        for fact, name in zip(five(), BINANCE, strict=True)
    }
    signals = {key: lively_signals(columns) for key, columns in table.items()}
    chosen = lively_settings()
    names = {fact.key: fact for fact in five()}
    result = run(table, chosen, instruments=names, signals=signals)
    keys = sorted(table)
    rules = rules_record(chosen.risk, chosen.execution, MINUTE_NS)
    mirror = Mirror([table[k] for k in keys], [signals[k] for k in keys], [names[k] for k in keys], rules, 10_000.0)
    mirror.run()
    trades, _ = mirror.exchange.fills_after(0)
    assert len(trades) > 50
    told = [(f.ts_event_ns, f.instrument, int(f.side), f.qty_units, f.price_units, f.cash_units) for f in trades]
    wanted = [
        (int(f.ts_ns), keys[f.instrument], int(f.side), int(f.qty_units), int(f.price_units), int(f.cash_units))
        for f in result.fills
    ]
    assert told == wanted
    assert [f.fee_units for f in trades] == result.fills["fee_units"].tolist()


def lively_settings():
    risk = {
        "sizing": {"volatility_target": None},
        "stops": {"target_cost_multiple_min": 0.0},
        "limits": {
            "strategy_cooldown_s": 0.0,
            "loss_cooldown_s": 0.0,
            "loss_streak_max": 0,
            "ruin_trades_min": 0,
            "daily_loss_max_fraction": 0.0,
        },
    }
    return BacktestSettings.model_validate(
        {"risk": risk, "execution": {"chases_max": 0, "fallback_market": False, "touch_probability": 0.5}}
    )


def five():
    kinds = facts(3)
    return [
        replace(kinds[j % 3], symbol=f"{name.split('-')[0]}/USD", base=name.split("-")[0], cash_scale=8)
        for j, name in enumerate(BINANCE)
    ]


def without_cap(cash, position, order, room, bar, instrument, rules):
    return room


def blind_to_entries_inside(position, instrument, bar, rules, room, held_at_open, entered_inside, fill):
    return fill_protection(position, instrument, bar, rules, room, held_at_open, False, fill)


def gapless(position, instrument, bar, rules, room, held_at_open, entered_inside, fill):
    return fill_protection(position, instrument, bar, rules, room, False, entered_inside, fill)


def with_room_of_its_own(position, instrument, bar, rules, room, held_at_open, entered_inside, fill):
    return fill_protection(position, instrument, bar, rules, 2**62, held_at_open, entered_inside, fill)


fill_protection = matching.fill_protection

PLANTED = {
    "cash and caps are not asked": (matching, "entry_room", without_cap),
    "a target counts before the entry": (matching, "fill_protection", blind_to_entries_inside),
    "a gap is filled at the stop": (matching, "fill_protection", gapless),
    "a bracket has volume of its own": (matching, "fill_protection", with_room_of_its_own),
    "exits come before brackets": (
        book.Order,
        "trades_first",
        property(lambda order: order.trigger != 0 or order.request.kind is not OrderType.BRACKET),
    ),
    "a trigger is forgotten": (
        book.Order,
        "trades_first",
        property(lambda order: order.request.kind is not OrderType.BRACKET and not order.reduces),
    ),
    "more can be reduced than is held": (book.Slot, "reducible_units", lambda slot, side: 2**62),
}


@pytest.mark.parametrize(("where", "name", "fault"), PLANTED.values(), ids=PLANTED)
def test_a_planted_fault_of_matching_is_seen(monkeypatch, where, name, fault):
    monkeypatch.setattr(where, name, fault)
    with pytest.raises((AssertionError, IndexError, ValueError)):
        mirror_markets(300)


def mirror_markets(count):
    for seed in range(count):
        bars, signals = market(seed, 2, 120)
        Mirror(bars, signals, facts(2), busy_rules(seed), 10_000.0).run()
