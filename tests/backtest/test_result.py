"""Figures of a summary, recomputed from the curve and the fills with plain numpy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from novapulse.backtest.columns import market_of
from novapulse.backtest.result import Result, summarise
from novapulse.backtest.settings import BacktestSettings
from novapulse.backtest.tally import new_tally, tally_tick
from novapulse.backtest.warmth import note_warmth
from novapulse.core.bars import DAY_NS, BarColumns
from novapulse.core.records import Liquidity, Reason
from novapulse.stats.returns import YEAR_NS
from tests.backtest.builders import START_NS, bare_rules, busy_rules, facts, folded, market, one

DAYS = 365.25


def result_of(book, names):
    return Result(
        settings=BacktestSettings(capital=10_000.0),
        instruments=tuple(names),
        strategies=("a", "b", "c", "d"),
        fills=book.fills,
        round_trips=book.round_trips,
        denials=book.denials,
        equity=book.equity,
        equity_ts_ns=book.equity_ts_ns,
        reasons=book.reasons,
        tally=book.tally,
        days_per_year=DAYS,
    )


def day_returns(equity, stamps):
    days = (stamps - 1) // DAY_NS
    last_of_day = np.flatnonzero(np.append(np.diff(days) != 0, True))
    closes = np.concatenate(([10_000.0], equity[last_of_day]))
    return closes[1:] / closes[:-1] - 1.0


@settings(max_examples=25)
@given(seed=st.integers(0, 2**31 - 1), count=st.integers(1, 3))
def test_every_figure_equals_its_recomputation(seed, count):
    bars, signals = market(seed, count, 300)
    names = facts(count)
    book = folded(bars, signals, names, busy_rules(seed))
    summary, equity = result_of(book, names).summary(), book.equity
    warm_ns = min(int(b.ts_close_ns[s.warm][0]) for b, s in zip(bars, signals, strict=True) if s.warm.any())
    live = book.equity_ts_ns >= warm_ns
    returns = day_returns(equity, book.equity_ts_ns)[-np.unique((book.equity_ts_ns[live] - 1) // DAY_NS).size :]
    if returns.size > 1 and returns.std() > 1e-9:
        assert summary["sharpe"] == pytest.approx(returns.mean() / returns.std(ddof=1) * DAYS**0.5)
        assert summary["volatility"] == pytest.approx(returns.std(ddof=1) * DAYS**0.5)
        down = np.sqrt(np.mean(np.minimum(returns, 0.0) ** 2))
        assert summary["sortino"] == (pytest.approx(returns.mean() / down * DAYS**0.5) if down > 0 else None)
    peaks = np.maximum.accumulate(np.concatenate(([10_000.0], equity)))[1:]
    assert summary["max_drawdown"] == pytest.approx(np.max(1.0 - equity / peaks), abs=1e-15)
    below = np.concatenate(([0], (equity < peaks).astype(int), [0]))
    edges = np.flatnonzero(np.diff(below))
    assert summary["max_drawdown_bars"] == max(edges[1::2] - edges[::2], default=0)
    years = (book.equity_ts_ns[-1] - warm_ns) / YEAR_NS
    fills = book.fills
    assert summary["turnover"] == pytest.approx((fills.price * fills.qty).sum() / equity[live].mean() / years, rel=1e-4)
    gross = np.zeros(equity.size)
    for j, columns in enumerate(bars):
        mine = fills[fills.instrument == j]
        held = np.concatenate(([0.0], np.cumsum(mine.side * mine.qty)))[
            np.searchsorted(mine.ts_ns, book.equity_ts_ns, "right")
        ]
        marks = columns.close[np.maximum(np.searchsorted(columns.ts_close_ns, book.equity_ts_ns, "right") - 1, 0)]
        gross += np.abs(np.round(held, 6)) * marks
    assert summary["exposure"] == pytest.approx(np.mean(gross[live]) / np.mean(equity[live]), abs=1e-12)
    assert summary["time_in_market"] == pytest.approx(np.mean(gross[live] > 0))
    pnl = book.round_trips.pnl
    assert summary["win_rate"] == (pytest.approx(np.mean(pnl > 0)) if pnl.size else None)
    if (pnl < 0).any():
        assert summary["profit_factor"] == pytest.approx(pnl[pnl > 0].sum() / -pnl[pnl <= 0].sum())
    assert summary["fees"] == pytest.approx(fills.fee_units.sum() / 10.0 ** names[0].cash_scale)
    assert summary["maker_share"] == (
        pytest.approx(np.mean(fills.liquidity == Liquidity.MAKER)) if fills.size else None
    )


def test_what_cannot_be_known_is_none_and_never_zero():
    nothing = summarise(new_tally(10_000.0, 100.0)[0], 10_000.0, DAYS)
    idle = result_of(one([(100.0, 100.0, 100.0, 100.0)] * 3, [], bare_rules()), []).summary()
    for name in (
        "sharpe",
        "sortino",
        "calmar",
        "win_rate",
        "profit_factor",
        "expectancy",
        "expectancy_r",
        "maker_share",
    ):
        assert nothing[name] is None, name
        assert idle[name] is None, name
    assert idle["break_even_slippage_bps"] is None
    assert nothing["cagr"] is None
    assert (idle["total_return"], idle["trades"], idle["exposure"]) == (0.0, 0, 0.0)


def curve(closes, step_ns=DAY_NS):
    tally = new_tally(10_000.0, 100.0)[0]
    tally.warm_ts_ns = START_NS + step_ns
    for k, equity in enumerate(closes):
        tally_tick(tally, float(equity), 0.0, START_NS + step_ns * (k + 1))
    return summarise(tally, 10_000.0, DAYS)


def test_a_gain_within_minutes_has_no_annual_rate_and_no_traceback():
    summary = curve([10_000.0, 10_500.0, 10_400.0], step_ns=60 * 10**9)
    assert summary["cagr"] is None
    assert summary["calmar"] is None
    assert summary["total_return"] == pytest.approx(0.04)


def test_equal_gains_every_day_have_no_sharpe_ratio():
    assert curve(10_000.0 * 1.01 ** np.arange(1, 30))["sharpe"] is None
    assert curve(np.full(30, 10_000.0))["sharpe"] is None


def test_days_before_anything_could_be_decided_are_no_track_record():
    """Twenty flat cold days in front change nothing but what there is to see."""
    rng = np.random.default_rng(3)
    rates = rng.normal(0.001, 0.01, 60)
    closes = 10_000.0 * np.cumprod(1.0 + rates)
    warm = curve(closes)
    tally = new_tally(10_000.0, 100.0)
    stamps = START_NS + DAY_NS * np.arange(1, 81)
    bars = BarColumns.checked(stamps, *[np.full(80, 100.0)] * 4, np.ones(80), timeframe_ns=DAY_NS)
    for part in (slice(0, 7), slice(7, 80)):
        note_warmth(tally, market_of([bars[part]]), np.arange(80)[part] >= 20)
    for ts, equity in zip(stamps, np.concatenate([np.full(20, 10_000.0), closes]), strict=True):
        tally_tick(tally[0], float(equity), 0.0, int(ts))
    cold = summarise(tally[0], 10_000.0, DAYS)
    for name in ("sharpe", "sortino", "volatility", "cagr", "calmar"):
        assert cold[name] == pytest.approx(warm[name]), name


def test_a_lost_account_is_lost():
    summary = curve([5_000.0, -100.0, -100.0])
    assert summary["cagr"] == -1.0
    assert summary["sharpe"] is None
    assert summary["max_drawdown"] == pytest.approx(1.01)


def test_round_trips_and_refusals_are_listed_by_strategy_and_reason():
    bars, signals = market(11, 1, 300)
    book = folded(bars, signals, facts(1), busy_rules(11))
    result = result_of(book, facts(1))
    assert sum(v["trades"] for v in result.by_strategy.values()) == book.round_trips.size
    assert sum(result.decisions().values()) == book.reasons.sum()
    refused = book.denials[book.denials.reason <= Reason.BELOW_MINIMUM].bars.sum()
    unfilled = (book.denials.reason >= Reason.UNFILLED_EXPIRED).sum()
    assert sum(result.denial_counts().values()) == refused + unfilled
