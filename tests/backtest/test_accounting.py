"""The kernel's money against two independent books: exact decimals, and vectorbt."""

from decimal import ROUND_HALF_UP, Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from novapulse.core.records import Liquidity, Reason
from tests.backtest.builders import (
    LIVELY,
    bare_rules,
    busy_rules,
    facts,
    folded,
    instrument,
    lively_signals,
    market,
    one,
    real_bars,
    rules_of,
)

MAKER = int(Liquidity.MAKER)


def exact_books(fills, names, capital):
    """Recompute cash, quantities and round trips from price, quantity, side, liquidity and the fee schedule alone."""
    unit = Decimal(1).scaleb(-names[0].cash_scale)
    cash, qty, open_pnl, trips = Decimal(str(capital)), [Decimal(0)] * len(names), [Decimal(0)] * len(names), []
    for fill in fills:
        j, fact = int(fill.instrument), names[int(fill.instrument)]
        amount = Decimal(repr(float(fill.qty)))
        notional = (amount * Decimal(repr(float(fill.price)))).quantize(unit, ROUND_HALF_UP)
        bps = fact.maker_fee_bps if fill.liquidity == MAKER else fact.taker_fee_bps
        fee = (notional * bps / 10_000).quantize(unit, ROUND_HALF_UP)
        flow = -int(fill.side) * notional - fee
        cash += flow
        open_pnl[j] += flow
        qty[j] += int(fill.side) * amount
        if qty[j] == 0:
            trips.append(open_pnl[j])
            open_pnl[j] = Decimal(0)
    return cash, qty, trips, unit


@settings(max_examples=40)
@given(seed=st.integers(0, 2**31 - 1), count=st.integers(1, 3))
def test_cash_positions_and_round_trips_equal_exact_decimals(seed, count):
    bars, signals = market(seed, count, 250)
    names = facts(count)
    book = folded(bars, signals, names, busy_rules(seed))
    cash, qty, trips, unit = exact_books(book.fills, names, 10_000.0)
    assert Decimal(int(book.account.cash_units)) * unit == cash
    assert [
        Decimal(int(p.qty_units)).scaleb(-f.qty_scale) for p, f in zip(book.state.positions, names, strict=True)
    ] == qty
    assert [Decimal(int(u)) * unit for u in book.round_trips.pnl_units] == trips
    worth = sum(q * Decimal(repr(float(b.close[-1]))) for q, b in zip(qty, bars, strict=True))
    assert Decimal(repr(float(book.account.equity))) == pytest.approx(cash + worth, abs=Decimal("1e-9"))


def test_friction_is_charged_once_hs_012():
    """HS-012: equity loses fees and slippage once each, against the same trades priced at their reference."""
    rows = [(100.0, 100.0, 100.0, 100.0)] * 2 + [(110.0, 110.0, 110.0, 110.0)] * 3
    fees = instrument(maker_fee_bps=Decimal(10), taker_fee_bps=Decimal(20))
    rules = bare_rules(fixed_units=1000, target_atr=0.0, half_spread_fraction=0.0003, slippage_fraction=0.0007)
    book = one(rows, [10, 0, -10], rules, facts=fees, atr=9.0)
    # Bought at 100 * 1.001 = 100.10 and sold at 110 * 0.999 = 109.89: 9.79 before fees of 0.2002 and 0.21978.
    assert book.fills.price.tolist() == [100.10, 109.89]
    assert book.fills.fee_units.tolist() == [20_020_000, 21_978_000]
    assert book.fills.slippage.tolist() == pytest.approx([0.10, 0.11])
    assert book.account.equity == 10_009.37002
    before_friction = 10.0
    fees = book.tally.fee_units / book.tally.cash_factor
    assert book.account.equity - 10_000 == pytest.approx(before_friction - fees - book.tally.slippage)
    (trip,) = book.round_trips
    assert (trip.pnl, trip.fees, trip.slippage) == pytest.approx((9.37002, 0.41998, 0.21))


def test_fees_are_charged_on_both_sides_v_13():
    """V-13: a fee on one side only may not return."""
    rows = [(100.0, 100.0, 100.0, 100.0)] * 5
    for taker in ("0", "7.5"):
        fact = instrument(taker_fee_bps=Decimal(taker))
        book = one(rows, [10, 0, -10], bare_rules(fixed_units=1000), facts=fact)
        assert book.fills.fee_units.tolist() == [int(Decimal(taker) * 10**6)] * 2


@pytest.fixture(scope="module")
def vectorbt():
    module = pytest.importorskip("vectorbt", reason="vectorbt belongs to the research extra")
    module.settings["engine"] = "rust"
    return module


@pytest.mark.parametrize(
    "files",
    [("binance_BTC-USDT_1m.parquet",), ("binance_ETH-USDT_1m.parquet", "binance_SOL-USDT_1m.parquet")],
    ids=["one", "shared cash"],
)
def test_vectorbt_keeps_the_same_books_for_the_same_orders(vectorbt, shared_data, files):
    bars = [real_bars(shared_data, name, 1000, 3000) for name in files]
    names = [
        instrument(
            f"A{j}/USD", maker_fee_bps=Decimal(1), taker_fee_bps=Decimal(4), shortable=True, lot=Decimal("0.0001")
        )
        for j in range(len(files))
    ]
    book = folded(bars, [lively_signals(b) for b in bars], names, rules_of(position_notional_max=0.0, **LIVELY))
    assert book.fills.size > 50
    assert book.round_trips.size > 20
    # One row per fill, then one per tick that closes it: vectorbt takes a single order per row and column.
    steps = sorted(
        [(int(t), k) for k, t in enumerate(book.fills.ts_ns)] + [(int(t), book.fills.size) for t in book.equity_ts_ns]
    )
    shape = (len(steps), len(files))
    close, size, price, fees = (np.full(shape, np.nan) for _ in range(4))
    row_of = {int(t): k for k, t in enumerate(bars[0].ts_close_ns)}
    ends = []
    for row, (ts, k) in enumerate(steps):
        close[row] = [b.close[row_of[ts]] for b in bars]
        price[row] = close[row]
        fees[row] = 0.0
        if k == book.fills.size:
            ends.append(row)
            continue
        fill = book.fills[k]
        bps = names[fill.instrument].maker_fee_bps if fill.liquidity == MAKER else names[fill.instrument].taker_fee_bps
        size[row, fill.instrument] = fill.side * fill.qty
        price[row, fill.instrument] = fill.price
        fees[row, fill.instrument] = float(bps) / 1e4
    portfolio = vectorbt.Portfolio.from_orders(
        close,
        size=size,
        price=price,
        fees=fees,
        init_cash=10_000.0,
        cash_sharing=len(files) > 1,
        group_by=len(files) > 1 or None,
    )
    value = np.asarray(portfolio.value()).reshape(-1)[ends]
    assert np.max(np.abs(value / book.equity - 1.0)) < 1e-9
    assert value[-1] == pytest.approx(book.account.equity, rel=1e-9)
    assert int(np.sum(book.fills.reason == Reason.ENTER_CONSENSUS)) > 0
