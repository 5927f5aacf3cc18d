"""Everything that people are shown of a backtest, worked out once for terminal, JSON, tear sheet and notebook.

Invariants:
- ratios are those of the whole account's daily returns, from its own equity;
- what is not known is None, never zero;
- chance has a seed: the same run gives the same figures.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from novapulse.backtest import Result
from novapulse.backtest.account import Plan
from novapulse.backtest.columns import Records, market_of
from novapulse.backtest.refused import horizon_bars, imagine, taken
from novapulse.backtest.result import trip_figures
from novapulse.core.bars import DAY_NS, Floats
from novapulse.core.instruments import InstrumentKey
from novapulse.core.records import REASON_TEXT, Reason
from novapulse.research.inputs import Markets, iso
from novapulse.research.stress import equity_at, stress
from novapulse.research.verdict import verdict
from novapulse.research.warmth import cold_notes
from novapulse.signals.regimes import LABELS
from novapulse.stats.drawdowns import episodes
from novapulse.stats.paths import Band, PathBands, trade_paths
from novapulse.stats.resampling import sharpe_interval
from novapulse.stats.returns import (
    YEAR_NS,
    EquityCurve,
    alpha_beta,
    at_day_ends,
    monthly_returns,
    portfolio_curve,
    simple_returns,
)
from novapulse.stats.sharpe import (
    Moments,
    autocorrelations,
    minimum_track_record_length,
    probabilistic_sharpe_ratio,
)
from novapulse.stats.trades import excursions, holding, longest_streaks, payoff_ratio, system_quality_number
from novapulse.strategies import Strategy

Figures = Mapping[str, float | int | None]

SEED = 20_111
_DRAWDOWNS_SHOWN = 5
_HOUR_NS = DAY_NS // 24
_PATHS, _PATH_CELLS_MAX = 1_000, 2_000_000
_AUTOCORRELATION_DAYS_MIN = _INTERVAL_DAYS_MIN = 30


@dataclass(frozen=True)
class Analysis:
    """What a backtest came to, in plain values; the attributes are the keys of `as_data`.

    Attributes:
        result: The backtest itself, for its curve, events and signals.
        data: Which bars: hash, span, instruments with their fees.
        settings_hash: Name of the settings.
        verdict: Sentences; the first is the headline, the others qualify it.
        summary: Figures of the account, as `Result.summary`.
        statistics: Figures of round trips, of the market itself, and of how sure one can be; None as above.
        by_strategy: Round trips by the strategy that led the entry; None for a metrics-only run.
        attribution: The same by strategy, regime, hour (UTC, of the entry), exit, instrument and direction.
        stress: Under worse luck, see `research.stress`; None for a metrics-only run.
        bands: Summaries with other chances for a touched limit.
        months: Return of each month of UTC from the first warm bar on; None for a metrics-only run.
        years: The months of a year compounded; None for a metrics-only run.
        drawdowns: The deepest, at most five; None for a metrics-only run.
        monte_carlo: Quantiles over resampled and permuted days of round trips; None where there are too few.
        denials: Bars on which an entry was refused, and orders not filled, by reason.
        refused: By reason, what the refused entries would have made, in R after costs; the first row, `TAKEN`, is the
            control: the entries that were taken, imagined in the same way. None for a metrics-only run.
        notes: What keeps the result from meaning much.
    """

    result: Result
    data: Mapping[str, Any]
    settings_hash: str
    verdict: tuple[str, ...]
    summary: Figures
    statistics: Figures | None
    by_strategy: Mapping[str, Figures] | None
    attribution: Mapping[str, Mapping[str, Figures]] | None
    stress: Mapping[str, Figures] | None
    bands: Mapping[str, Figures]
    months: tuple[Figures, ...] | None
    years: tuple[Figures, ...] | None
    drawdowns: tuple[Mapping[str, Any], ...] | None
    monte_carlo: Mapping[str, Any] | None
    denials: Mapping[str, int]
    refused: tuple[Mapping[str, Any], ...] | None
    notes: tuple[str, ...]

    def as_data(self) -> dict[str, Any]:
        """Return it as JSON can hold it: what is not finite is None."""
        cleaned: dict[str, Any] = _finite({name: value for name, value in vars(self).items() if name != "result"})
        return cleaned


def analyse(result: Result, markets: Markets, strategies: Mapping[str, Strategy]) -> Analysis:
    """Work out what people are shown of a backtest.

    Args:
        result: The backtest.
        markets: What it ran on.
        strategies: Those it ran with, by name.
    """
    kept = result.equity.size > 0
    parts: dict[str, Any] = {
        "result": result,
        "data": {**markets.description, "instruments": _with_fees(markets, result)},
        "settings_hash": result.settings.hash,
        "summary": result.summary(),
        "statistics": statistics(result, markets) if kept else None,
        "by_strategy": result.by_strategy if kept else None,
        "attribution": attribution(result) if kept else None,
        "stress": stress(result, markets),
        "bands": result.bands,
        "months": tuple(_months(result)) if kept else None,
        "years": tuple(_years_of(result)) if kept else None,
        "drawdowns": tuple(_drawdowns(result)) if kept else None,
        "monte_carlo": _monte_carlo(result),
        "denials": result.denial_counts(),
        "refused": tuple(_refused(result, markets)) if kept else None,
        "notes": tuple(cold_notes(result, markets.bars, strategies)),
    }
    return Analysis(**parts, verdict=verdict(result, parts))


def statistics(result: Result, markets: Markets) -> dict[str, float | int | None]:
    """Return figures of the round trips, of the market they were made in, and of how sure the record lets one be."""
    trips = result.round_trips
    pnl, r = _column(trips, "pnl"), _column(trips, "r_multiple")
    excursion, held, streaks = excursions(_column(trips, "mae_r"), _column(trips, "mfe_r")), None, None
    if trips.size:
        held = holding(trips["entry_ts_ns"], trips["exit_ts_ns"])
        streaks = longest_streaks(pnl)
    return {
        "payoff": payoff_ratio(pnl),
        "average_win": _mean(pnl[pnl > 0]),
        "average_loss": _mean(pnl[pnl < 0]),
        "best_trade": float(pnl.max()) if pnl.size else None,
        "worst_trade": float(pnl.min()) if pnl.size else None,
        "longest_winning_streak": streaks.wins if streaks else None,
        "longest_losing_streak": streaks.losses if streaks else None,
        "sqn": system_quality_number(r),
        "hours_held_average": held.average_ns / _HOUR_NS if held else None,
        "hours_held_median": held.median_ns / _HOUR_NS if held else None,
        "bars_held_average": _mean(_column(trips, "bars_held")),
        "mae_r_median": excursion.mae_median if excursion else None,
        "mfe_r_median": excursion.mfe_median if excursion else None,
        "edge_ratio": excursion.edge_ratio if excursion else None,
        **_confidence(result),
        **_against_the_market(result, markets),
    }


def _confidence(result: Result) -> dict[str, float | int | None]:
    stamps, equity = at_day_ends(result.equity_ts_ns, result.equity)
    track = result.is_track(stamps)
    figures: dict[str, float | int | None] = dict.fromkeys(
        ("psr", "min_track_record_days", "sharpe_low", "sharpe_high", "skew", "kurtosis")
    )
    figures["days"] = int(track.sum())
    if result.summary()["sharpe"] is None:
        return figures
    returns = simple_returns(equity, result.settings.capital)[track]
    interval = sharpe_interval(returns, result.days_per_year, SEED) if returns.size >= _INTERVAL_DAYS_MIN else None
    if interval is not None:
        figures |= {"sharpe_low": interval.low, "sharpe_high": interval.high}
    moments = _moments(returns)
    if moments is not None:
        figures |= {"skew": moments.skew, "kurtosis": moments.kurtosis}
        figures["psr"] = _or_none(lambda: probabilistic_sharpe_ratio(moments))
        figures["min_track_record_days"] = _or_none(lambda: minimum_track_record_length(moments))
    return figures


def _against_the_market(result: Result, markets: Markets) -> dict[str, float | int | None]:
    """Compare with holding equal shares of the instruments, bought at the close of the first warm bar without costs."""
    figures: dict[str, float | int | None] = dict.fromkeys(("market_return", "alpha", "beta"))
    start = result.warm_ts_ns
    if start is None:
        return figures
    curves = []
    for fact in result.instruments:
        bars = markets.bars[fact.key].between(start, None)
        before = markets.bars[fact.key].between(None, start)
        if len(bars):
            opening = float(before.close[-1]) if len(before) else float(bars.open[0])
            curves.append(EquityCurve(bars.ts_close_ns, bars.close / opening, 1.0))
    if not curves:
        return figures
    held = portfolio_curve(curves)
    figures["market_return"] = float(held.equity[-1]) / held.opening - 1.0
    stamps, equity = at_day_ends(result.equity_ts_ns, result.equity)
    days, market = at_day_ends(held.ts_ns, held.equity)
    ours, theirs = simple_returns(equity, result.settings.capital), simple_returns(market, held.opening)
    both, mine, its = np.intersect1d((stamps - 1) // DAY_NS, (days - 1) // DAY_NS, return_indices=True)
    if result.summary()["sharpe"] is not None and both.size >= _INTERVAL_DAYS_MIN:
        line = alpha_beta(ours[mine], theirs[its], result.days_per_year)
        if line is not None:
            figures |= {"alpha": line.alpha, "beta": line.beta}
    return figures


def _moments(returns: Floats) -> Moments | None:
    lagged = autocorrelations(returns, 1) if returns.size >= _AUTOCORRELATION_DAYS_MIN else None
    return Moments.of(returns, 0.0 if lagged is None else float(lagged[0]))


def _or_none(figure: Callable[[], float]) -> float | None:
    # The variance of a ratio can come out below zero for returns that no normal quantile describes.
    try:
        value = figure()
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def attribution(result: Result) -> dict[str, dict[str, dict[str, float | int | None]]]:
    """Return the figures of the round trips by what they have in common; groups without one are left out."""
    trips = result.round_trips
    hours = (trips["entry_ts_ns"] // _HOUR_NS) % 24
    return {
        "strategy": _grouped(trips, trips["lead"], enumerate(result.strategies)),
        "regime": _grouped(trips, trips["regime"], enumerate(LABELS)),
        "hour": _grouped(trips, hours, ((hour, f"{hour:02d}") for hour in range(24))),
        "exit": _grouped(trips, trips["exit_reason"], ((reason.value, reason.name) for reason in Reason)),
        "instrument": _grouped(trips, trips["instrument"], enumerate(fact.key.symbol for fact in result.instruments)),
        "direction": _grouped(trips, trips["direction"], ((1, "long"), (-1, "short"))),
    }


def _grouped(
    trips: Records, group: Records, names: Iterable[tuple[int, str]]
) -> dict[str, dict[str, float | int | None]]:
    members = ((name, trips[group == number]) for number, name in names)
    return {name: trip_figures(some) for name, some in members if some.size}


def _months(result: Result) -> Iterable[dict[str, float | int]]:
    track = result.is_track(result.equity_ts_ns)
    stamps, equity = result.equity_ts_ns[track], result.equity[track]
    for year, month, fraction in monthly_returns(stamps, equity, result.settings.capital):
        yield {"year": year, "month": month, "total_return": fraction}


def _years_of(result: Result) -> Iterable[dict[str, float | int]]:
    growth: dict[int, float] = {}
    for month in _months(result):
        year = int(month["year"])
        growth[year] = growth.get(year, 1.0) * (1.0 + month["total_return"])
    for year, factor in growth.items():
        yield {"year": year, "total_return": factor - 1.0}


def _drawdowns(result: Result) -> Iterable[dict[str, Any]]:
    for one in episodes(result.equity_ts_ns, result.equity, result.settings.capital, _DRAWDOWNS_SHOWN):
        yield {
            "peak": iso(one.peak_ts_ns),
            "trough": iso(one.trough_ts_ns),
            "recovered": None if one.recovered_ts_ns is None else iso(one.recovered_ts_ns),
            "depth": one.depth,
            "days": one.under_water_ns / DAY_NS,
        }


def _monte_carlo(result: Result) -> dict[str, Any] | None:
    trips = result.round_trips
    years = _years(result)
    if trips.size == 0 or years is None:
        return None
    paths = max(min(_PATHS, _PATH_CELLS_MAX // int(trips.size)), 100)
    equity = equity_at(result, trips["entry_ts_ns"])
    if not (equity > 0).all():
        return None
    drawn = trade_paths(
        trips["exit_ts_ns"],
        _column(trips, "pnl") / equity,
        years=years,
        seed=SEED,
        paths=paths,
    )
    if drawn is None:
        return None
    return {
        "paths": drawn.paths,
        "days": drawn.days,
        "block_days": drawn.block_days,
        "max_drawdown_at_exits": drawn.max_drawdown,
        "resampled": _quantiles(drawn.resampled),
        "permuted": _quantiles(drawn.permuted),
    }


def _quantiles(bands: PathBands) -> dict[str, Any]:
    def spread(band: Band | None) -> dict[str, float] | None:
        return None if band is None else {"low": band.p05, "median": band.p50, "high": band.p95}

    return {
        "total_return": spread(bands.final_return),
        "cagr": spread(bands.cagr),
        "max_drawdown": spread(bands.max_drawdown),
        "under_water_trades": spread(bands.under_water_trades),
        "ruin_probability": bands.ruin_probability,
    }


def _refused(result: Result, markets: Markets) -> Iterable[dict[str, Any]]:
    # The rest of an entry that was partly filled is no entry of its own.
    denials = result.denials[result.denials["reason"] != Reason.UNFILLED_SUPERSEDED]
    table = {fact.key: markets.bars[fact.key] for fact in result.instruments}
    plan = Plan.of(result.settings, result.instruments, table)
    market, horizon = market_of(list(table.values())), horizon_bars(result.round_trips)
    if result.round_trips.size:
        control = taken(result.fills, result.round_trips, plan.records, plan.rules)
        outcome = imagine(control, market, plan.records, plan.rules, horizon).r
        yield _imagined("TAKEN", "the entries that were taken, imagined in the same way", control, outcome)
    if denials.size == 0:
        return
    outcome = imagine(denials, market, plan.records, plan.rules, horizon).r
    reasons, counts = np.unique(denials["reason"], return_counts=True)
    for number in np.argsort(-counts, kind="stable"):
        chosen = denials["reason"] == reasons[number]
        reason = Reason(int(reasons[number]))
        yield _imagined(reason.name, REASON_TEXT[reason], denials[chosen], outcome[chosen])


def _imagined(name: str, text: str, entries: Records, outcome: Floats) -> dict[str, Any]:
    known = outcome[np.isfinite(outcome)]
    return {
        "reason": name,
        "text": text,
        "entries": int(entries.size),
        "bars": int(entries["bars"].sum()),
        "average_r": _mean(known),
        "total_r": float(known.sum()) if known.size else None,
        "win_rate": float((known > 0).mean()) if known.size else None,
    }


def _with_fees(markets: Markets, result: Result) -> list[dict[str, Any]]:
    facts = {fact.key: fact for fact in result.instruments}
    is_configured = result.settings.execution.taker_fee_bps is not None
    with_fees = []
    for one in markets.description["instruments"]:
        fact = facts[InstrumentKey(one["exchange"], one["symbol"])]
        fees = {
            "maker_fee_bps": float(fact.maker_fee_bps),
            "taker_fee_bps": float(fact.taker_fee_bps),
            "fees_from": "configured" if is_configured else "assumed" if fact.inferred else "venue",
        }
        with_fees.append({**one, **fees})
    return with_fees


def _years(result: Result) -> float | None:
    if result.warm_ts_ns is None or result.equity_ts_ns.size == 0:
        return None
    return float(result.equity_ts_ns[-1] - result.warm_ts_ns) / YEAR_NS


def _column(trips: Records, name: str) -> Floats:
    return np.ascontiguousarray(trips[name], np.float64)


def _mean(values: Floats) -> float | None:
    return float(values.mean()) if values.size else None


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
