"""Returns and the ratios made of them.

Invariants:
- returns are simple and of equal periods; ratios are annualised by the periods a year that the caller names: there is
  no default to be wrong by 1.2 (252 for 365). Days come first: `at_day_ends`, then `simple_returns`, then a ratio;
- the opening value belongs to no stamp and is always handed in, so that the first period counts;
- several accounts are judged by the sum of their equities, never by a mean of their ratios;
- what is not known is None: too few periods, nothing that varies, nothing lost. A flat record has no Sharpe ratio.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from novapulse.core.bars import DAY_NS, Floats, Integers, format_ns
from novapulse.stats._inputs import column, columns, positive, same_length, stamps
from novapulse.stats.drawdowns import max_drawdown

YEAR_NS = 365.25 * DAY_NS

_TOLERANCE_FRACTION = 0.03
_EXPONENT_MAX = 700.0


class EquityCurve(NamedTuple):
    """One account or instrument over time.

    Attributes:
        ts_ns: int64[N], ns UTC, ascending.
        equity: float64[N], quote, at each stamp.
        opening: Equity before the first stamp, quote.
    """

    ts_ns: Integers
    equity: Floats
    opening: float


class MonthReturn(NamedTuple):
    """What one month of UTC brought, as a fraction; the first and the last month may be parts."""

    year: int
    month: int
    fraction: float


@dataclass(frozen=True, slots=True)
class AlphaBeta:
    """A line through the returns over those of a benchmark.

    Attributes:
        alpha: Return a year that the benchmark does not explain, fraction.
        beta: Share of the benchmark's returns that is taken along.
        alpha_error: Standard error of alpha a year, Newey-West.
        beta_error: Standard error of beta, Newey-West.
        r_squared: Share of the variance that the line explains; None where the returns do not vary.
        lags: Autocovariances that the errors allow for.
    """

    alpha: float
    beta: float
    alpha_error: float
    beta_error: float
    r_squared: float | None
    lags: int


def periods_per_year(ts_ns: Integers, expected: float) -> float:
    """Return periods a year as the data have them, or refuse a calendar that they contradict.

    Counted are the closes in (first, last], over 365.25 days a year. A stretch too short or too full of gaps to show
    how the year goes on is refused as well.

    Args:
        ts_ns: int64[N], closes, ns UTC, ascending, N >= 2.
        expected: Periods a year by the calendar, > 0.

    Raises:
        ValueError: Fewer than two closes, closes that do not ascend, or more than 3 % apart from the calendar.
    """
    positive("expected periods per year", expected)
    closes = stamps("ts_ns", ts_ns)
    if closes.size < 2:
        raise ValueError(f"periods per year need at least two closes, got {closes.size}")
    measured = (closes.size - 1) / (int(closes[-1] - closes[0]) / YEAR_NS)
    if abs(measured / expected - 1.0) > _TOLERANCE_FRACTION:
        raise ValueError(
            f"the data have {measured:,.1f} periods a year where the calendar expects {expected:,.1f}, "
            f"more than {_TOLERANCE_FRACTION:.0%} apart: another calendar, or data with gaps"
        )
    return measured


def at_day_ends(ts_ns: Integers, equity: Floats, day_end_ns: Integers | None = None) -> tuple[Integers, Floats]:
    """Return the last value of each day. A day without a value has no row.

    Args:
        ts_ns: int64[N], ns UTC, ascending.
        equity: float64[N], quote.
        day_end_ns: int64[D], ascending, the sessions' closes, the last not before the last stamp; a value belongs to
            the first close that is not before it. Days of UTC when not given: midnight ends the day before.

    Returns:
        int64[M] and float64[M], the stamps and values of those rows. The opening value is none of them: hand it to
        `simple_returns` for the first day's return.

    Raises:
        ValueError: Lengths differ, stamps do not ascend, or a stamp lies behind the last close.
    """
    closes, values = stamps("ts_ns", ts_ns), column("equity", equity)
    same_length("ts_ns", closes, "equity", values)
    if day_end_ns is None:
        day = (closes - 1) // DAY_NS
    else:
        ends = stamps("day_end_ns", day_end_ns)
        day = np.searchsorted(ends, closes, "left")
        if closes.size and day[-1] == ends.size:
            raise ValueError(f"equity at {format_ns(int(closes[-1]))} lies behind the last of {ends.size} day ends")
    last = np.flatnonzero(np.append(np.diff(day) != 0, np.ones(min(closes.size, 1), np.bool_)))
    return closes[last], values[last]


def simple_returns(equity: Floats, opening: float) -> Floats:
    """Return the change of each value over the one before it, the first over the opening value.

    Args:
        equity: float64[N], quote.
        opening: Quote, > 0.

    Returns:
        float64[N], fractions; 0 behind a value that is not above zero, from which nothing can be earned or lost.

    Raises:
        ValueError: The opening value is not above zero, or an equity is not finite.
    """
    values = column("equity", equity)
    before = np.append(positive("opening", opening), values[:-1])[: values.size]
    alive = before > 0
    return np.where(alive, values / np.where(alive, before, 1.0) - 1.0, 0.0)


def sharpe(returns: Floats, periods_per_year: float, risk_free: float = 0.0) -> float | None:
    """Return the annualised ratio of mean to standard deviation (ddof 1).

    Args:
        returns: float64[N], fractions.
        periods_per_year: > 0.
        risk_free: Return a year that needs no risk, fraction, taken off in equal parts.

    Returns:
        None for fewer than two returns, or returns that do not vary.

    Raises:
        ValueError: A return is not finite, or periods per year are not above zero.
    """
    values, year = column("returns", returns), positive("periods per year", periods_per_year)
    deviation = _deviation(values)
    return (float(values.mean()) - risk_free / year) / deviation * math.sqrt(year) if deviation else None


def sortino(returns: Floats, periods_per_year: float, minimum_acceptable: float = 0.0) -> float | None:
    """Return the annualised ratio of the mean to the root mean square of shortfalls over all periods.

    Args:
        returns: float64[N], fractions.
        periods_per_year: > 0.
        minimum_acceptable: Return a year below which a period falls short, fraction, taken off in equal parts.

    Returns:
        None for fewer than two returns, or none that falls short.

    Raises:
        ValueError: A return is not finite, or periods per year are not above zero.
    """
    values, year = column("returns", returns), positive("periods per year", periods_per_year)
    if values.size < 2:
        return None
    beyond = values - minimum_acceptable / year
    shortfall = math.sqrt(float(np.mean(np.minimum(beyond, 0.0) ** 2)))
    return float(beyond.mean()) / shortfall * math.sqrt(year) if shortfall > 0 else None


def volatility(returns: Floats, periods_per_year: float) -> float | None:
    """Return the annualised standard deviation (ddof 1); None for fewer than two returns, 0 where they do not vary.

    Raises:
        ValueError: A return is not finite, or periods per year are not above zero.
    """
    values, year = column("returns", returns), positive("periods per year", periods_per_year)
    deviation = _deviation(values)
    return None if deviation is None else deviation * math.sqrt(year)


def annual_growth(growth: float, years: float) -> float | None:
    """Return the rate a year of a growth factor over some years.

    Args:
        growth: Final over opening value.
        years: Length, of 365.25 days each.

    Returns:
        -1 where nothing is left; None without a length, or where no number could hold the rate.
    """
    if years <= 0:
        return None
    if growth <= 0:
        return -1.0
    exponent = math.log(growth) / years
    return math.expm1(exponent) if exponent < _EXPONENT_MAX else None


def cagr(ts_ns: Integers, equity: Floats, opening: float) -> float | None:
    """Return the compound annual growth rate from the opening to the last value, over the first to the last stamp.

    Args:
        ts_ns: int64[N], ns UTC, ascending.
        equity: float64[N], quote.
        opening: Quote, > 0.

    Returns:
        None for fewer than two stamps, or where no number could hold the rate.

    Raises:
        ValueError: Lengths differ, stamps do not ascend, or the opening value is not above zero.
    """
    closes, values = stamps("ts_ns", ts_ns), column("equity", equity)
    same_length("ts_ns", closes, "equity", values)
    positive("opening", opening)
    if closes.size < 2:
        return None
    return annual_growth(float(values[-1]) / opening, int(closes[-1] - closes[0]) / YEAR_NS)


def calmar(ts_ns: Integers, equity: Floats, opening: float) -> float | None:
    """Return `cagr` over the deepest drawdown of the same curve; None where either is unknown or nothing was lost.

    Raises:
        ValueError: As `cagr`.
    """
    rate, depth = cagr(ts_ns, equity, opening), max_drawdown(equity, opening)
    return rate / depth if rate is not None and depth else None


def alpha_beta(
    returns: Floats, benchmark: Floats, periods_per_year: float, lags: int | None = None, *, risk_free: float = 0.0
) -> AlphaBeta | None:
    """Fit excess returns over a benchmark's excess returns, with errors that allow for autocorrelation.

    Ordinary least squares; Newey-West errors with Bartlett weights and no small-sample correction.

    Args:
        returns: float64[N], fractions.
        benchmark: float64[N], fractions, of the same periods.
        periods_per_year: > 0.
        lags: Autocovariances to allow for, 0 <= lags < N; 4 (N / 100)^(2/9) when not given.
        risk_free: Return a year that needs no risk, fraction, taken off in equal parts.

    Returns:
        None for fewer than three periods, or a benchmark that does not vary.

    Raises:
        ValueError: Lengths differ, a return is not finite, or lags are out of range.
    """
    y, x = columns(returns=returns, benchmark=benchmark)
    year, n = positive("periods per year", periods_per_year), y.size
    lags = min(int(4 * (n / 100) ** (2 / 9)), n - 1) if lags is None else lags
    if n and not 0 <= lags < n:
        raise ValueError(f"lags must lie in 0..{n - 1} for {n} returns, got {lags}")
    if n < 3 or not _deviation(x):
        return None
    y, x = y - risk_free / year, x - risk_free / year
    centred = x - x.mean()
    beta = float(centred @ y / (centred @ centred))
    alpha = float(y.mean() - beta * x.mean())
    residuals = y - alpha - beta * x
    design = np.column_stack((np.ones(n), x))
    bread = np.linalg.inv(design.T @ design)
    scores = design * residuals[:, None]
    meat = scores.T @ scores
    for lag in range(1, lags + 1):
        shifted = scores[lag:].T @ scores[:-lag]
        meat += (1.0 - lag / (lags + 1)) * (shifted + shifted.T)
    errors = np.sqrt(np.maximum(np.diag(bread @ meat @ bread), 0.0))
    explained = None
    if _deviation(y):
        explained = 1.0 - float(residuals @ residuals) / float(np.sum((y - y.mean()) ** 2))
    return AlphaBeta(alpha * year, beta, float(errors[0]) * year, float(errors[1]), explained, lags)


def monthly_returns(ts_ns: Integers, equity: Floats, opening: float) -> list[MonthReturn]:
    """Return what each month of UTC brought, partial months included. A month without a value has no row.

    A value at midnight of the first belongs to the month it ends.

    Args:
        ts_ns: int64[N], ns UTC, ascending.
        equity: float64[N], quote.
        opening: Quote, > 0.

    Raises:
        ValueError: Lengths differ, stamps do not ascend, or the opening value is not above zero.
    """
    closes, values = stamps("ts_ns", ts_ns), column("equity", equity)
    same_length("ts_ns", closes, "equity", values)
    month = (closes - 1).astype("datetime64[ns]").astype("datetime64[M]").astype(np.int64)
    last = np.flatnonzero(np.append(np.diff(month) != 0, np.ones(min(closes.size, 1), np.bool_)))
    changes = simple_returns(values[last], opening).tolist()
    return [
        MonthReturn(1970 + number // 12, number % 12 + 1, change)
        for number, change in zip(month[last].tolist(), changes, strict=True)
    ]


def portfolio_curve(curves: Sequence[EquityCurve]) -> EquityCurve:
    """Return the sum of several curves on all their stamps.

    Args:
        curves: At least one, all in the same quote currency. Each stands at its opening value before its first stamp,
            and at its last value between and behind its stamps.

    Raises:
        ValueError: There is none, lengths differ, stamps do not ascend, or a value is not finite.
    """
    if not curves:
        raise ValueError("a portfolio needs at least one equity curve")
    clock = np.unique(np.concatenate([stamps("ts_ns", curve.ts_ns) for curve in curves]))
    total = np.zeros(clock.size)
    for curve in curves:
        values = column("equity", curve.equity)
        same_length("ts_ns", curve.ts_ns, "equity", values)
        total += np.append(curve.opening, values)[np.searchsorted(curve.ts_ns, clock, "right")]
    return EquityCurve(clock, total, float(sum(curve.opening for curve in curves)))


def portfolio_returns(curves: Sequence[EquityCurve], day_end_ns: Integers | None = None) -> Floats:
    """Return the daily returns of several accounts or instruments together, from the sum of their equities.

    Ratios of a portfolio are ratios of these returns; the ratios of its parts say nothing about them.

    Args:
        curves: As `portfolio_curve`.
        day_end_ns: As `at_day_ends`.

    Returns:
        float64[M], fractions, one for each day that has a value.

    Raises:
        ValueError: As `portfolio_curve` and `at_day_ends`, or the opening values sum to nothing above zero.
    """
    total = portfolio_curve(curves)
    return simple_returns(at_day_ends(total.ts_ns, total.equity, day_end_ns)[1], total.opening)


def _deviation(values: Floats) -> float | None:
    if values.size < 2:
        return None
    spread = float(np.sum((values - values.mean()) ** 2))
    # Returns that are all alike have dust of rounding for a deviation, not a risk.
    flat = spread <= 1e-12 * float(values @ values) or spread <= 1e-24 * values.size
    return 0.0 if flat else math.sqrt(spread / (values.size - 1))
