"""What a backtest leaves behind: structured arrays, and a summary in which the unknown is None and never zero."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from novapulse.backtest.columns import Records
from novapulse.backtest.settings import BacktestSettings
from novapulse.confluence.calibration import Calibration
from novapulse.confluence.combine import SignalColumns
from novapulse.core.bars import DAY_NS, Flags, Floats, Integers
from novapulse.core.instruments import Instrument, InstrumentKey
from novapulse.core.records import REASON_TEXT, Reason
from novapulse.stats.returns import YEAR_NS, annual_growth

_DAYS_TOLERANCE_FRACTION, _DAYS_TOLERANCE = 0.03, 3
"""How far the days with bars may be from the calendar's: first and last day are parts, a week has a weekend."""


@dataclass(frozen=True)
class Result:
    """One finished backtest.

    Attributes:
        settings: What it ran with.
        instruments: In sorted (exchange, symbol) order; events name them by index.
        strategies: Names that `lead` indexes.
        fills: FILL[F] in time order; empty in metrics-only runs, like the next three.
        round_trips: ROUND_TRIP[R] in order of their exits.
        denials: DENIAL[D], refused and unfilled entries, one row per run of the same reason.
        equity: float64[T], quote, at each clock tick.
        equity_ts_ns: int64[T], close of each tick.
        reasons: int64[P, reasons], how often each decision was taken per instrument.
        tally: TALLY record, the running totals that the summary is made of.
        days_per_year: Trading days a year by calendar, which annualises daily returns.
        bands: Summaries of the same run with other chances for a touched limit.
        signals: Per instrument, the columns the decisions were taken on; empty in metrics-only runs.
        calibrations: The rows that `signals[...].calibration` counts in.
    """

    settings: BacktestSettings
    instruments: tuple[Instrument, ...]
    strategies: tuple[str, ...]
    fills: Records
    round_trips: Records
    denials: Records
    equity: Floats
    equity_ts_ns: Integers
    reasons: Integers
    tally: Records
    days_per_year: float
    bands: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)
    signals: Mapping[InstrumentKey, SignalColumns] = field(default_factory=dict)
    calibrations: tuple[Calibration, ...] = ()

    def summary(self) -> dict[str, float | int | None]:
        """Return the figures of the whole account; None where there is too little to know one.

        Ratios come from the returns of UTC days of the whole account, annualised by the calendar's trading days; they
        are None where the days that have bars contradict the calendar.
        """
        return summarise(self.tally, self.settings.capital, self.days_per_year)

    @cached_property
    def by_strategy(self) -> dict[str, dict[str, float | int | None]]:
        """Round trips by the strategy that led the entry."""
        return {
            name: trip_figures(self.round_trips[self.round_trips["lead"] == number])
            for number, name in enumerate(self.strategies)
        }

    @property
    def warm_ts_ns(self) -> int | None:
        """Close of the first bar on which anything could be decided; None where there is none."""
        return int(self.tally["warm_ts_ns"]) or None

    @property
    def track_days(self) -> int:
        """Days of UTC with bars, from that of the first warm bar on."""
        return int(self.tally["days"] - self.tally["cold_days"]) + 1 if self.warm_ts_ns else 0

    def is_track(self, ts_ns: Integers) -> Flags:
        """Return which stamps lie on or behind the day of the first warm bar: bool[N]."""
        warm_ts_ns = self.warm_ts_ns
        if warm_ts_ns is None:
            return np.zeros(ts_ns.size, np.bool_)
        return np.asarray((ts_ns - 1) // DAY_NS >= (warm_ts_ns - 1) // DAY_NS)

    def decisions(self) -> dict[str, int]:
        """Return how often each reason was given, over all instruments, the most frequent first."""
        totals = self.reasons.sum(axis=0)
        order = np.argsort(-totals, kind="stable")
        return {Reason(int(code)).name: int(totals[code]) for code in order if totals[code] > 0}

    def denial_counts(self) -> dict[str, int]:
        """Return bars on which an entry was refused, and entries that were not filled, by reason."""
        first, last = Reason.SHORT_NOT_ALLOWED, Reason.BELOW_MINIMUM
        unfilled = (
            Reason.UNFILLED_EXPIRED,
            Reason.UNFILLED_NO_EDGE,
            Reason.UNFILLED_SUPERSEDED,
            Reason.UNFILLED_TURNED,
        )
        names = {reason.name for reason in REASON_TEXT if first <= reason <= last or reason in unfilled}
        return {name: count for name, count in self.decisions().items() if name in names}


def summarise(tally: Records, capital: float, days_per_year: float) -> dict[str, float | int | None]:
    """Return the summary of running totals.

    Args:
        tally: TALLY record after the last tick.
        capital: Opening equity, quote, > 0.
        days_per_year: Trading days a year.

    Returns:
        Shares as fractions (0.05 is 5 %), money in quote; drawdown is 1 - equity / peak. Rates and ratios count from
        the first bar on which anything could be decided; ratios of daily returns are None for an account that lost
        everything.
    """
    equity = float(tally["equity"])
    years = float(tally["last_ts_ns"] - tally["warm_ts_ns"]) / YEAR_NS if tally["warm_ts_ns"] else 0.0
    ticks, trades = int(tally["ticks"] - tally["cold_ticks"]), int(tally["trades"])
    growth = equity / capital
    cagr = annual_growth(growth, years)
    drawdown = float(tally["drawdown_max"])
    all_equity = float(tally["equity_sum"]) + equity * int(tally["run_ticks"])
    mean_equity = (all_equity - capital * int(tally["cold_ticks"])) / ticks if ticks else None
    profit, loss = float(tally["profit"]), float(tally["loss"])
    traded, fees = (float(tally[name]) / float(tally["cash_factor"]) for name in ("traded_units", "fee_units"))
    before_slippage = equity - capital + float(tally["slippage"])
    return {
        "total_return": growth - 1.0,
        "cagr": cagr,
        **_daily_ratios(tally, days_per_year, years),
        "calmar": _over(cagr, drawdown),
        "max_drawdown": drawdown,
        "max_drawdown_bars": int(tally["drawdown_ticks_max"]),
        "trades": trades,
        "win_rate": _over(int(tally["wins"]), trades),
        "profit_factor": _over(profit, loss),
        "expectancy": _over(profit - loss, trades),
        "expectancy_r": _over(float(tally["r_sum"]), trades),
        "exposure": _over(float(tally["gross_sum"]), mean_equity * ticks if mean_equity else None),
        "time_in_market": _over(int(tally["ticks_in_market"]), ticks),
        "turnover": _over(_over(traded, mean_equity), years),
        "fees": fees,
        "slippage": float(tally["slippage"]),
        "fills": int(tally["fills"]),
        "maker_share": _over(int(tally["maker_fills"]), int(tally["fills"])),
        "break_even_slippage_bps": _over(before_slippage * 1e4, traded),
        "final_equity": equity,
    }


def _daily_ratios(tally: Records, days_per_year: float, years: float) -> dict[str, float | None]:
    last = float(tally["equity"]) / float(tally["day_equity"]) - 1.0 if tally["day_equity"] > 0 else 0.0
    days = int(tally["days"] - tally["cold_days"]) + (1 if tally["ticks"] else 0)
    ruined = tally["trough"] <= 0 or tally["drawdown_max"] >= 1
    if days < 2 or years == 0.0 or ruined or _contradict(days, years * days_per_year):
        return {"sharpe": None, "sortino": None, "volatility": None}
    mean = (float(tally["day_return_sum"]) + last) / days
    squares = float(tally["day_return_squares"]) + last * last
    downside = float(tally["day_downside_squares"]) + min(last, 0.0) ** 2
    spread = squares - days * mean * mean
    # Days that are all alike have dust of rounding for a deviation, not a risk.
    flat = spread <= 1e-12 * squares or spread <= 1e-24 * days
    deviation = 0.0 if flat else math.sqrt(spread / (days - 1))
    year = math.sqrt(days_per_year)
    return {
        "sharpe": None if flat else mean / deviation * year,
        "sortino": _over(mean * year, math.sqrt(downside / days)),
        "volatility": deviation * year,
    }


def _contradict(days: int, expected: float) -> bool:
    # Days without bars make a year of the calendar into less than a year of returns: no factor is right for both.
    return abs(days - expected) > max(_DAYS_TOLERANCE_FRACTION * expected, _DAYS_TOLERANCE)


def trip_figures(trips: Records) -> dict[str, float | int | None]:
    """Return what some round trips came to: ROUND_TRIP[R] -> trades, PnL and fees in quote, share won, mean R."""
    pnl = trips["pnl"]
    count = int(pnl.size)
    return {
        "trades": count,
        "pnl": float(pnl.sum()),
        "win_rate": _over(int((pnl > 0).sum()), count),
        "average_r": _over(float(trips["r_multiple"].sum()), count),
        "fees": float(trips["fees"].sum()),
    }


def _over(numerator: float | None, denominator: float | None) -> float | None:
    if numerator is None or denominator is None or denominator <= 0:
        return None
    return _finite(numerator / denominator)


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
