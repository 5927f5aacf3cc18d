"""One small market from the first bar to the last, every number worked out by hand.

Capital 1,000, tick 0.01, lot 0.01, fees 10 bps maker and 20 bps taker, half spread plus slippage 10 bps, 1 % of the
equity at risk, stop 2 ATR and target 4 ATR away with ATR 1, break-even at 1 R. Entries rest as limits at the close.
"""

from decimal import Decimal

import pytest

from novapulse.core.records import Liquidity, Reason
from tests.backtest.builders import MINUTE_NS, START_NS, bare_rules, instrument, one
from tests.backtest.test_result import result_of

FACT = instrument(
    lot=Decimal("0.01"), maker_fee_bps=Decimal(10), taker_fee_bps=Decimal(20), cash_scale=2, shortable=True
)
RULES = {
    "entry_kind": 1, "risk_fraction": 0.01, "target_atr": 4.0, "breakeven_r": 1.0, "half_spread_fraction": 0.0004,
    "slippage_fraction": 0.0006, "time_to_live_ns": 2 * MINUTE_NS, "chases_max": 0, "fallback_market": 0,
    "touch_probability": 0.0, "exit_forecast_min": 2.0, "participation_max": 0.5,
}  # fmt: skip
ROWS = [
    # open, high, low, close, volume
    (100.0, 100.0, 100.0, 100.0, 9.0),  # 1 decides long: 10 at risk / 2 = 5.00, limit 100.00
    (100.5, 101.0, 100.0, 100.8, 9.0),  # 2 touches the limit: no fill
    (100.2, 100.4, 99.5, 100.2, 6.0),  # 3 goes through: half of 6 = 3.00 at 100.00; the other 2.00 expire
    (100.2, 102.2, 100.1, 102.0, 9.0),  # 4 is 1.1 R up: the stop goes to 100 + 0.6 % = 100.60
    (101.5, 101.6, 100.5, 100.9, 9.0),  # 5 falls on the stop: 3.00 at 100.60 less 0.1 % = 100.49
    (100.9, 101.0, 100.9, 101.0, 9.0),  # 6 decides short: 10.0057 at risk / 2 = 5.00, limit 101.00
    (101.0, 101.5, 100.8, 101.0, 20.0),  # 7 goes through: 5.00 sold at 101.00, stop 103.00, target 97.00
    (100.0, 100.5, 96.9, 97.5, 40.0),  # 8 goes through the target: bought back at 97.00 as maker
    (97.5, 97.5, 97.5, 97.5, 9.0),
]


def test_the_whole_story():
    book = one(ROWS, [10, 0, 0, 0, 0, -10, 0, 0, 0], bare_rules(**RULES), facts=FACT, capital=1_000.0)
    story = [
        (int((f.ts_ns - START_NS) // MINUTE_NS), Reason(f.reason).name, int(f.side), float(f.qty), float(f.price),
         int(f.cash_units), int(f.fee_units), Liquidity(f.liquidity).name)
        for f in book.fills
    ]  # fmt: skip
    assert story == [
        (3, "ENTER_CONSENSUS", 1, 3.0, 100.0, 30_000, 30, "MAKER"),
        (5, "EXIT_BREAKEVEN", -1, 3.0, 100.49, 30_147, 60, "TAKER"),
        (7, "ENTER_CONSENSUS", -1, 5.0, 101.0, 50_500, 51, "MAKER"),
        (8, "EXIT_TARGET", 1, 5.0, 97.0, 48_500, 49, "MAKER"),
    ]
    assert book.equity.tolist() == pytest.approx(
        [1000.0, 1000.0, 1000.3, 1005.7, 1000.57, 1000.57, 1000.06, 1019.57, 1019.57]
    )
    first, second = book.round_trips
    assert (first.pnl_units, second.pnl_units) == (57, 1900)
    assert (first.fees, second.fees) == (0.9, 1.0)
    assert (first.risk, second.risk) == (6.0, 10.0)
    assert (first.r_multiple, second.r_multiple) == pytest.approx((0.095, 1.9))
    assert (first.mfe_r, first.mae_r) == pytest.approx((1.1, -0.25))
    assert (second.mfe_r, second.mae_r) == pytest.approx((2.0, -0.25))
    assert (first.bars_held, second.bars_held) == (2, 1)
    assert first.slippage == pytest.approx(0.33)
    assert [(Reason(d.reason).name, int(d.bars)) for d in book.denials] == [("UNFILLED_EXPIRED", 1)]
    assert book.account.cash_units == 101_957
    summary = result_of(book, [FACT]).summary()
    assert (summary["trades"], summary["fills"], summary["win_rate"]) == (2, 4, 1.0)
    assert summary["fees"] == pytest.approx(1.9)
    assert summary["max_drawdown"] == pytest.approx(1 - 1000.06 / 1005.7)
    assert summary["max_drawdown_bars"] == 3
    assert summary["maker_share"] == 0.75
