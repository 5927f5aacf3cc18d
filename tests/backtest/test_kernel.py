"""The compiled fold against the same fold in plain Python, and against itself cut into pieces."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from novapulse.backtest.account import opening_state
from novapulse.backtest.columns import NO_FINE, fine_of, market_of, new_output, new_scratch, signals_of
from novapulse.backtest.kernel import fold
from novapulse.core.bars import MINUTE_NS
from novapulse.core.records import Reason
from novapulse.execution.rules import instrument_records
from novapulse.parity.plain import PlainFold
from tests.backtest.builders import (
    LIVELY,
    Book,
    bare_rules,
    bars_of,
    book_of,
    busy_rules,
    facts,
    folded,
    instrument,
    lively_signals,
    market,
    random_signals,
    raw,
    real_bars,
    rules_of,
)

SEEDS = st.integers(0, 2**31 - 1)
FLAT = (100.0, 100.0, 100.0, 100.0)


@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(seed=SEEDS, count=st.integers(1, 3), fine=st.booleans())
def test_the_compiled_fold_is_the_plain_fold_to_the_bit(seed, count, fine):
    bars, signals = market(seed, count, 150)
    inside = NO_FINE
    if fine:
        coarse = [b[4::5] for b in bars]
        inside = fine_of([b.__class__(**{**fields_of(b), "timeframe_ns": 5 * MINUTE_NS}) for b in coarse], bars)
        bars, signals = coarse, [random_signals(seed + j, b) for j, b in enumerate(coarse)]
    rules = busy_rules(seed)
    compiled = folded(bars, signals, facts(count), rules, fine=inside)
    plain = Book(*PlainFold(bars, signals, facts(count), rules, 10_000.0, inside).run())
    for name in ("fills", "round_trips", "denials", "equity", "equity_ts_ns", "reasons"):
        assert raw(getattr(compiled, name)) == raw(getattr(plain, name)), name
    assert compiled.digest == plain.digest


def fields_of(bars):
    return {name: getattr(bars, name) for name in type(bars).__dataclass_fields__}


def test_the_compiled_fold_is_the_plain_fold_on_real_bars(shared_data):
    names = ("binance_BTC-USDT_1m.parquet", "binance_SOL-USDT_1m.parquet")
    bars = [real_bars(shared_data, name, 500, 1500) for name in names]
    signals = [lively_signals(b) for b in bars]
    rules = rules_of(**LIVELY)
    compiled = folded(bars, signals, facts(2), rules)
    assert compiled.round_trips.size > 10
    assert compiled.digest == Book(*PlainFold(bars, signals, facts(2), rules, 10_000.0).run()).digest


@settings(max_examples=15)
@given(seed=SEEDS, cuts=st.lists(st.integers(0, 300), max_size=4))
def test_a_fold_in_stretches_is_the_fold_in_one_go(seed, cuts):
    (bars,), (signals,) = market(seed, 1, 300)
    rules, names = busy_rules(seed), facts(1)
    whole = folded([bars], [signals], names, rules)
    state, output = opening_state(10_000.0, names), new_output(300, 1, curve=True, events=4096)
    edges = [0, *sorted(cuts), 300]
    for first, last in pairwise(edges):
        part = signals._replace(**{n: c[first:last] for n, c in signals._asdict().items() if c.size})
        columns = market_of([bars[first:last]])
        cursor = np.zeros(1, np.int64)
        fold(columns, part, NO_FINE, instrument_records(names), rules, state, cursor, new_scratch(), output, 8)
    assert book_of(output, state, bars.ts_close_ns).digest == whole.digest


@settings(max_examples=15)
@given(seed=SEEDS, count=st.integers(1, 3))
def test_growing_outputs_and_keeping_none_change_nothing(seed, count):
    bars, signals = market(seed, count, 200)
    rules = busy_rules(seed)
    whole = folded(bars, signals, facts(count), rules)
    assert folded(bars, signals, facts(count), rules, room=20).digest == whole.digest
    totals = folded(bars, signals, facts(count), rules, room=0)
    assert raw(totals.state.tally) == raw(whole.state.tally)
    assert raw(totals.reasons) == raw(whole.reasons)
    assert raw(totals.equity) == raw(whole.equity)


@settings(max_examples=25)
@given(seed=SEEDS, count=st.integers(1, 3))
def test_whatever_happens_the_books_keep_their_promises(seed, count):
    bars, signals = market(seed, count, 200)
    names, rules = facts(count), busy_rules(seed)
    book = folded(bars, signals, names, rules)
    account = book.account
    decided = book.fills[np.isin(book.fills.reason, (Reason.ENTER_CONSENSUS, Reason.EXIT_TIME, Reason.EXIT_OPPOSITE))]
    assert (decided.ts_ns > decided.decision_ts_ns + rules.latency_ns).all()
    for j, fact in enumerate(names):
        mine = book.fills[book.fills.instrument == j]
        lots = instrument_records(names)[j]
        assert (mine.qty_units % lots.lot_units == 0).all(), "V-13: an order off its step"
        assert (mine.price_units % lots.tick_units == 0).all(), "V-13: a price off its tick"
        assert (mine.qty_units > 0).all()
        if not fact.shortable:
            assert (np.cumsum(mine.side * mine.qty_units) >= 0).all()
        if rules.participation_max > 0:
            for ts in np.unique(mine.ts_ns):
                volume = bars[j].volume[np.searchsorted(bars[j].ts_close_ns, ts)]
                assert mine.qty[mine.ts_ns == ts].sum() <= volume * rules.participation_max * (1 + 1e-9)
    working = sum(
        o.intent == 1 or p.qty_units != 0 for o, p in zip(book.state.orders, book.state.positions, strict=True)
    )
    assert account.positions == working
    assert account.trades == book.round_trips.size == book.tally.trades
    for trip in book.round_trips:
        mine = book.fills[book.fills.round_trip == trip.number]
        assert (mine.side * mine.qty_units).sum() == 0
        assert mine.ts_ns.min() == trip.entry_ts_ns
        assert mine.ts_ns.max() == trip.exit_ts_ns
        assert set(mine.instrument) == {trip.instrument}
        price_r = trip.direction * (trip.exit_price - trip.entry_price) * trip.qty / trip.risk
        assert trip.mae_r - 1e-9 <= price_r <= trip.mfe_r + 1e-9


def test_decisions_in_sorted_order_share_cash_and_room():
    bars = [bars_of([FLAT] * 3)] * 2
    signals = [signals_of(np.array([10.0, 0, 0]), np.ones(3))] * 2
    names = [instrument("AAA/USD", group="g"), instrument("BBB/USD", group="g")]
    for limit, why in (
        ({"positions_max": 1}, Reason.POSITIONS_MAX),
        ({"gross_fraction_max": 0.25}, Reason.GROSS_EXPOSURE),
        ({"group_fraction_max": 0.25}, Reason.GROUP_EXPOSURE),
    ):
        book = folded(bars, signals, names, bare_rules(**limit))
        assert book.fills.instrument.tolist() == [0]
        assert (book.denials.instrument.tolist(), book.denials.reason.tolist()) == ([1], [why])
    poor = folded(bars, signals, names, bare_rules(risk_fraction=1.0))
    assert (poor.fills.instrument.tolist(), poor.denials.reason.tolist()) == ([0], [Reason.BUYING_POWER])
    assert poor.account.cash == 0.0


def test_an_instrument_without_a_bar_neither_decides_nor_fills_at_that_tick():
    both = bars_of([FLAT, (100.0, 100.0, 90.0, 95.0), (95.0, 95.0, 95.0, 95.0), FLAT])
    some = both[::3]
    signals = [
        signals_of(np.array([10.0, 0, 0, 0]), np.full(4, 9.0)),
        signals_of(np.array([10.0, 0.0]), np.full(2, 9.0)),
    ]
    book = folded([both, some], signals, [instrument("A/USD"), instrument("B/USD")], bare_rules(fixed_units=1000))
    assert book.fills.ts_ns.tolist() == [both.ts_close_ns[1], both.ts_close_ns[3]]
    assert book.fills.instrument.tolist() == [0, 1]
    assert book.reasons.sum(axis=1).tolist() == [4, 2]
    assert book.equity.tolist() == [10_000.0, 9_995.0, 9_995.0, 10_000.0]


@pytest.mark.parametrize(
    ("path", "reason", "price"),
    [([103.5, 97.5], Reason.EXIT_TARGET, 103.0), ([97.5, 103.5], Reason.EXIT_STOP, 98.0)],
    ids=["target first", "stop first"],
)
def test_finer_bars_tell_which_of_stop_and_target_came_first(path, reason, price):
    coarse = bars_of([FLAT, FLAT, (100.0, 103.5, 97.5, path[1])], timeframe_ns=5 * MINUTE_NS)
    steps = [100.0] * 11 + path + [path[1]] * 2
    fine = bars_of([(a, max(a, b), min(a, b), b) for a, b in zip([100.0, *steps[:-1]], steps, strict=True)])
    signals = [signals_of(np.array([10.0, 0, 0]), np.ones(3))]
    rules = bare_rules(fixed_units=1000, time_to_live_ns=5 * MINUTE_NS)
    blind = folded([coarse], signals, [instrument()], rules)
    assert blind.fills.reason.tolist()[1] == Reason.EXIT_STOP
    book = folded([coarse], signals, [instrument()], rules, fine=fine_of([coarse], [fine]))
    assert (book.fills.reason[1], book.fills.price[1]) == (reason, price)
    assert book.fills.ts_ns[1] == fine.ts_close_ns[11]


def test_an_account_that_is_flattened_leaves_and_stays_out():
    bars, names = bars_of([FLAT] * 6), [instrument()]
    signals = signals_of(np.full(6, 10.0), np.ones(6))
    state = opening_state(10_000.0, names)
    folded([bars[:3]], [signals_of(np.full(3, 10.0), np.ones(3))], names, bare_rules(fixed_units=1000), state=state)
    state.account[0].flattening = 1
    book = folded(
        [bars[3:]],
        [signals_of(signals.consensus[3:].copy(), np.ones(3))],
        names,
        bare_rules(fixed_units=1000),
        state=state,
    )
    assert book.fills.reason.tolist() == [Reason.EXIT_MODE]
    assert book.denials.reason.tolist() == [Reason.MODE_REDUCE_ONLY]
