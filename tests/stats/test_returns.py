"""Returns and ratios: published figures, the backtest's own totals, and numbers of another library."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from novapulse.backtest.result import summarise
from novapulse.core.bars import DAY_NS, MINUTE_NS
from novapulse.market.calendars import calendar
from novapulse.stats.returns import (
    YEAR_NS,
    EquityCurve,
    MonthReturn,
    alpha_beta,
    at_day_ends,
    cagr,
    calmar,
    monthly_returns,
    periods_per_year,
    portfolio_curve,
    portfolio_returns,
    sharpe,
    simple_returns,
    sortino,
    volatility,
)
from tests.backtest.builders import START_NS, busy_rules, facts, folded, market
from tests.stats.series import autoregression

SORTINO_RETURNS = np.array([0.17, 0.15, 0.23, -0.05, 0.12, 0.09, 0.13, -0.04])
SHARPE_RETURNS = np.array([0.259, 0.198, 0.364, -0.081, 0.057, 0.055, 0.188, 0.317, 0.24, 0.184, -0.01, 0.526])


def stamps_of(text: str) -> np.ndarray:
    return np.array(text.split(), "datetime64[ns]").astype(np.int64)


def test_published_ratios() -> None:
    assert sortino(SORTINO_RETURNS, 1.0) == pytest.approx(4.4173, abs=5e-5)
    assert sharpe(SHARPE_RETURNS, 1.0, 0.05) == pytest.approx(0.8344, abs=5e-5)


def test_the_risk_free_rate_is_a_rate_a_year() -> None:
    monthly = sharpe(SHARPE_RETURNS, 12.0, 0.6)
    assert monthly == pytest.approx(12**0.5 * sharpe(SHARPE_RETURNS, 1.0, 0.05))
    assert sortino(SORTINO_RETURNS, 4.0, 0.04) == pytest.approx(2.0 * sortino(SORTINO_RETURNS, 1.0, 0.01))


def test_252_for_365_days_misstates_by_a_fifth() -> None:
    for ratio in (sharpe, volatility):
        assert ratio(SHARPE_RETURNS, 365.0) / ratio(SHARPE_RETURNS, 252.0) == pytest.approx(1.2035, abs=5e-5)


@settings(max_examples=20)
@given(seed=st.integers(0, 2**31 - 1), count=st.integers(1, 3))
def test_a_backtests_curve_has_the_ratios_of_its_running_totals(seed: int, count: int) -> None:
    bars, signals = market(seed, count, 300)
    book = folded(bars, signals, facts(count), busy_rules(seed))
    summary = summarise(book.tally, 10_000.0, 365.25)
    warm_ns = book.tally.warm_ts_ns
    stamps, equity = at_day_ends(book.equity_ts_ns, book.equity)
    track = (stamps - 1) // DAY_NS >= (warm_ns - 1) // DAY_NS
    returns = simple_returns(equity, 10_000.0)[track]
    has_its_days = abs(returns.size - (stamps[-1] - warm_ns) / DAY_NS) <= 3
    for figure in (sharpe, sortino, volatility):
        expected = summary[figure.__name__]
        got = figure(returns, 365.25)
        if has_its_days:
            assert got == (None if expected is None else pytest.approx(expected, rel=1e-6, abs=1e-12)), figure.__name__
    live = book.equity_ts_ns >= warm_ns
    curve = (book.equity_ts_ns[live], book.equity[live], 10_000.0)
    assert cagr(*curve) == pytest.approx(summary["cagr"])
    expected = summary["calmar"]
    assert calmar(*curve) == (None if expected is None else pytest.approx(expected))


def test_what_cannot_be_known_is_none() -> None:
    one, flat, rising = np.array([0.01]), np.zeros(9), np.full(9, 0.1)
    assert [figure(one, 365.25) for figure in (sharpe, sortino, volatility)] == [None, None, None]
    assert (sharpe(flat, 365.25), sortino(flat, 365.25), volatility(flat, 365.25)) == (None, None, 0.0)
    assert (sharpe(rising, 365.25), sortino(rising, 365.25)) == (None, None)
    dust = simple_returns(1.01 ** np.arange(1, 30), 1.0)
    assert dust.std() > 0
    assert (sharpe(dust, 365.25), volatility(dust, 365.25)) == (None, 0.0)
    assert cagr(np.array([START_NS]), np.array([2.0]), 1.0) is None
    assert calmar(START_NS + DAY_NS * np.arange(3), np.array([1.0, 2.0, 3.0]), 1.0) is None
    assert alpha_beta(rising, rising, 365.25) is None


def test_calmar_by_hand() -> None:
    closes = START_NS + np.array([0, 0.5, 1.0, 1.5, 2.0]) * YEAR_NS
    equity = np.array([100.0, 150.0, 120.0, 130.0, 144.0])
    assert cagr(closes.astype(np.int64), equity, 100.0) == pytest.approx(0.2)
    assert calmar(closes.astype(np.int64), equity, 100.0) == pytest.approx(1.0)


FIVE_NS = 5 * MINUTE_NS
ROUND_THE_CLOCK = START_NS + FIVE_NS * np.arange(105_120)


@pytest.mark.parametrize(
    ("closes", "expected"),
    [
        (ROUND_THE_CLOCK, 105_192.0),
        (np.delete(ROUND_THE_CLOCK, np.arange(40_000, 42_016)), 105_192.0),
        (START_NS + DAY_NS * np.arange(30), 365.25),
    ],
    ids=["five minutes", "a week missing", "thirty days"],
)
def test_periods_a_year_are_those_of_the_calendar(closes: np.ndarray, expected: float) -> None:
    """V-8: the width of a bar is never assumed."""
    assert periods_per_year(closes, expected) == pytest.approx(expected, rel=0.03)
    assert periods_per_year(closes[:1000], expected) == pytest.approx(expected, rel=1e-12)


def test_half_days_holidays_and_clocks_put_forward_are_counted() -> None:
    """V-8: 252 sessions of 2024, three of them short, have 97,740 minutes."""
    market = calendar("XNYS")
    closes = market.closes(START_NS, START_NS + 366 * DAY_NS, FIVE_NS)
    assert closes.size == 97_740 / 5
    assert periods_per_year(closes, market.bars_per_year(FIVE_NS)) == pytest.approx(19_548, rel=0.01)
    with pytest.raises(ValueError, match=r"expects 105,192\.0"):
        periods_per_year(closes, calendar("24/7").bars_per_year(FIVE_NS))


@pytest.mark.parametrize(
    ("closes", "expected"),
    [
        (START_NS + DAY_NS * np.arange(400), 252.0),
        (ROUND_THE_CLOCK, 525_960.0),
        (np.delete(START_NS + DAY_NS * np.arange(400), np.arange(100, 120)), 365.25),
    ],
    ids=["days of a market that never closes", "minutes for five", "a gap"],
)
def test_a_calendar_that_the_data_contradict_is_refused(closes: np.ndarray, expected: float) -> None:
    """V-8."""
    measured = (closes.size - 1) / ((closes[-1] - closes[0]) / YEAR_NS)
    with pytest.raises(ValueError, match=f"the data have {measured:,.1f} .* expects {expected:,.1f}, more than 3%"):
        periods_per_year(closes, expected)


def test_a_day_ends_with_its_last_value_and_midnight_ends_the_day_before() -> None:
    closes = stamps_of("2024-01-01T12:00 2024-01-02T00:00 2024-01-02T00:01 2024-01-04T10:00 2024-01-04T11:00")
    ts_ns, equity = at_day_ends(closes, np.array([1.0, 2.0, 3.0, 4.0, 5.0]))
    assert (ts_ns == closes[[1, 2, 4]]).all()
    assert equity.tolist() == [2.0, 3.0, 5.0]
    assert simple_returns(equity, 1.6).tolist() == pytest.approx([0.25, 0.5, 2 / 3])


def test_a_session_takes_in_what_came_after_the_one_before() -> None:
    ends = stamps_of("2024-01-02T21:00 2024-01-03T18:00 2024-01-04T21:00")
    closes = stamps_of("2024-01-02T20:59 2024-01-02T21:00 2024-01-02T22:00 2024-01-03T18:00 2024-01-03T18:01")
    assert at_day_ends(closes, np.arange(5.0), ends)[1].tolist() == [1.0, 3.0, 4.0]
    with pytest.raises(ValueError, match="2024-01-03 18:01:00Z lies behind the last of 2 day ends"):
        at_day_ends(closes, np.arange(5.0), ends[:2])


def test_nothing_is_earned_from_what_is_lost() -> None:
    assert simple_returns(np.array([50.0, -1.0, 5.0, 6.0]), 100.0).tolist() == pytest.approx([-0.5, -1.02, 0.0, 0.2])


def test_months_of_utc_with_their_partial_ends() -> None:
    closes = stamps_of("2023-12-30T12:00 2024-01-01T00:00 2024-01-01T00:01 2024-01-20T00:00 2024-03-01T00:00")
    rows = monthly_returns(closes, np.array([90.0, 110.0, 100.0, 121.0, 60.5]), 100.0)
    assert rows == [
        MonthReturn(2023, 12, pytest.approx(0.1)),
        MonthReturn(2024, 1, pytest.approx(0.1)),
        MonthReturn(2024, 2, pytest.approx(-0.5)),
    ]


@given(st.lists(st.floats(1.0, 1e6), min_size=1, max_size=60), st.integers(1, 40))
def test_months_compound_to_the_whole(values: list[float], step_days: int) -> None:
    equity = np.array(values)
    rows = monthly_returns(START_NS + step_days * DAY_NS * np.arange(equity.size), equity, 10.0)
    assert np.prod([1.0 + row.fraction for row in rows]) == pytest.approx(equity[-1] / 10.0)


def test_the_portfolios_sharpe_ratio_is_not_that_of_its_first_part() -> None:
    """HS-007: two pairs of accounts that share the first one, of which one hedges it and the other doubles it."""
    noise = np.random.default_rng(3).normal(0.0, 0.01, 400)
    closes = START_NS + DAY_NS * np.arange(1, 401)

    def account(daily: np.ndarray) -> EquityCurve:
        return EquityCurve(closes, 1_000.0 + 1_000.0 * np.cumsum(daily), 1_000.0)

    first, double = account(0.001 + noise), account(0.001 + noise)
    hedge = account(0.001 - 0.9 * noise)
    alone = sharpe(portfolio_returns([first]), 365.25)
    doubled = sharpe(portfolio_returns([first, double]), 365.25)
    hedged = sharpe(portfolio_returns([first, hedge]), 365.25)
    assert doubled == pytest.approx(alone)
    total = np.append(2_000.0, first.equity + hedge.equity)
    returns = np.diff(total) / total[:-1]
    assert hedged == pytest.approx(returns.mean() / returns.std(ddof=1) * 365.25**0.5)
    assert hedged > 5 * alone
    average = (alone + sharpe(portfolio_returns([hedge]), 365.25)) / 2
    assert hedged > 5 * average


def test_a_portfolio_stands_still_where_an_account_has_no_stamp() -> None:
    minutes = START_NS + MINUTE_NS * np.array([1, 3, 4])
    late = EquityCurve(START_NS + MINUTE_NS * np.array([2, 3]), np.array([55.0, 60.0]), 50.0)
    total = portfolio_curve([EquityCurve(minutes, np.array([10.0, 12.0, 9.0]), 8.0), late])
    assert (total.ts_ns == START_NS + MINUTE_NS * np.arange(1, 5)).all()
    assert total.equity.tolist() == [60.0, 65.0, 72.0, 69.0]
    assert total.opening == 58.0


@pytest.mark.parametrize(
    ("lags", "alpha_error", "beta_error"),
    [
        (0, 0.0014132726165149848, 0.06886675031298702),
        (3, 0.0021075778592494526, 0.06274177432929826),
        (5, 0.0022573023800906795, 0.06288206307754006),
    ],
)
def test_alpha_and_beta_are_those_of_another_library(lags: int, alpha_error: float, beta_error: float) -> None:
    """Numbers of statsmodels 0.15.0: OLS(y, add_constant(x)).fit(cov_type="HAC", cov_kwds={"maxlags": lags})."""
    x = np.random.default_rng(11).normal(0.001, 0.02, 60)
    y = 0.0005 + 0.8 * x + 0.01 * autoregression(0.4, 60, 12)
    fit = alpha_beta(y, x, 100.0, lags)
    assert fit is not None
    assert fit.alpha == pytest.approx(100.0 * 0.0025725365718167496)
    assert fit.beta == pytest.approx(0.7974095467892985)
    assert fit.alpha_error == pytest.approx(100.0 * alpha_error)
    assert fit.beta_error == pytest.approx(beta_error)
    assert fit.r_squared == pytest.approx(0.6225167630596757)


def test_alpha_is_what_is_left_over_the_risk_free_rate() -> None:
    market_returns = np.array([0.01, -0.02, 0.03, 0.0, 0.005])
    fit = alpha_beta(0.001 + 2.0 * (market_returns - 0.0001) + 0.0001, market_returns, 365.0, 1, risk_free=0.0365)
    assert fit is not None
    assert (fit.alpha, fit.beta) == (pytest.approx(0.365), pytest.approx(2.0))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: sharpe(np.array([0.1, np.nan]), 365.0), "returns: row 1 is nan, not a finite number"),
        (lambda: sharpe(np.zeros((2, 2)), 365.0), r"returns must have one dimension, got shape \(2, 2\)"),
        (lambda: sharpe(np.zeros(3), 0.0), "periods per year must be a finite number above 0, got 0.0"),
        (lambda: simple_returns(np.ones(2), 0.0), "opening must be a finite number above 0"),
        (lambda: at_day_ends(np.array([2, 2]), np.ones(2)), "ts_ns: row 1, 2, does not come after 2"),
        (lambda: at_day_ends(np.array([1.0, 2.0]), np.ones(2)), "ts_ns must be whole nanoseconds"),
        (lambda: cagr(np.array([1, 2]), np.ones(3), 1.0), "equity has 3 rows, ts_ns has 2"),
        (lambda: alpha_beta(np.ones(3), np.ones(4), 1.0), "benchmark has 4 rows, returns has 3"),
        (lambda: alpha_beta(np.ones(3), np.ones(3), 1.0, 3), "lags must lie in 0..2 for 3 returns, got 3"),
        (lambda: portfolio_returns([]), "at least one equity curve"),
        (lambda: periods_per_year(np.array([START_NS]), 365.25), "at least two closes, got 1"),
    ],
)
def test_a_wrong_argument_is_named(call, message) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_an_empty_curve_has_no_rows() -> None:
    nothing = np.zeros(0, np.int64), np.zeros(0)
    assert [part.size for part in at_day_ends(*nothing)] == [0, 0]
    assert monthly_returns(*nothing, 1.0) == []
    assert simple_returns(nothing[1], 1.0).size == 0
