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
from novapulse.backtest.refused import imagine
from novapulse.backtest.result import trip_figures
from novapulse.core.bars import DAY_NS, Floats, format_ns
from novapulse.core.instruments import InstrumentKey
from novapulse.core.records import REASON_TEXT, Reason
from novapulse.research.inputs import Markets
from novapulse.research.stress import stress
from novapulse.research.verdict import verdict
from novapulse.research.warmth import cold_notes
from novapulse.signals.regimes import LABELS
from novapulse.stats.drawdowns import episodes
from novapulse.stats.paths import Band, PathBands, trade_paths
from novapulse.stats.resampling import sharpe_interval
from novapulse.stats.returns import at_day_ends, monthly_returns, simple_returns
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
_AUTOCORRELATION_DAYS_MIN = 30


@dataclass(frozen=True)
class Analysis:
    """What a backtest came to, in plain values; the attributes are the keys of `as_data`.

    Attributes:
        result: The backtest itself, for its curve, events and signals.
        data: Which bars: hash, span, instruments with their fees.
        settings_hash: Name of the settings.
        verdict: Sentences; the first is the headline, the others qualify it.
        summary: Figures of the account, as `Result.summary`.
        statistics: Figures of trades and of how sure one can be.
        by_strategy: Round trips by the strategy that led the entry; None for a metrics-only run.
        attribution: The same by strategy, regime, hour (UTC, of the entry), exit, instrument and direction.
        stress: Under worse luck, see `research.stress`; None for a metrics-only run.
        bands: Summaries with other chances for a touched limit.
        months: Return of each month of UTC.
        drawdowns: The deepest, at most five.
        monte_carlo: Quantiles over resampled and permuted days of round trips; None where there are too few.
        denials: Bars on which an entry was refused, and orders not filled, by reason.
        refused: By reason, what the refused entries would have made, in R after costs.
        notes: What keeps the result from meaning much.
    """

    result: Result
    data: Mapping[str, Any]
    settings_hash: str
    verdict: tuple[str, ...]
    summary: Figures
    statistics: Figures
    by_strategy: Mapping[str, Figures] | None
    attribution: Mapping[str, Mapping[str, Figures]] | None
    stress: Mapping[str, Figures] | None
    bands: Mapping[str, Figures]
    months: tuple[Figures, ...]
    drawdowns: tuple[Mapping[str, Any], ...]
    monte_carlo: Mapping[str, Any] | None
    denials: Mapping[str, int]
    refused: tuple[Mapping[str, Any], ...]
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
        "statistics": statistics(result) if kept else {},
        "by_strategy": result.by_strategy if kept else None,
        "attribution": attribution(result) if kept else None,
        "stress": stress(result, markets),
        "bands": result.bands,
        "months": tuple(_months(result)) if kept else (),
        "drawdowns": tuple(_drawdowns(result)) if kept else (),
        "monte_carlo": _monte_carlo(result),
        "denials": result.denial_counts(),
        "refused": tuple(_refused(result, markets)),
        "notes": tuple(cold_notes(result, markets.bars, strategies)),
    }
    return Analysis(**parts, verdict=verdict(result, parts))


def statistics(result: Result) -> dict[str, float | int | None]:
    """Return figures of the round trips, and of how sure the record lets one be of its Sharpe ratio."""
    trips = result.round_trips
    pnl, r = _column(trips, "pnl"), _column(trips, "r_multiple")
    excursion, held, streaks = excursions(_column(trips, "mae_r"), _column(trips, "mfe_r")), None, None
    if trips.size:
        held = holding(trips["entry_ts_ns"], trips["exit_ts_ns"])
        streaks = longest_streaks(pnl)
    return {
        "payoff": payoff_ratio(pnl),
        "average_win": _mean(pnl[pnl > 0]),
        "average_loss": _mean(pnl[pnl <= 0]),
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
    }


def _confidence(result: Result) -> dict[str, float | int | None]:
    _, equity = at_day_ends(result.equity_ts_ns, result.equity)
    figures: dict[str, float | int | None] = dict.fromkeys(
        ("psr", "min_track_record_days", "sharpe_low", "sharpe_high", "skew", "kurtosis")
    )
    figures["days"] = int(equity.size)
    if result.summary()["sharpe"] is None or not (equity > 0).all():
        return figures
    returns = simple_returns(equity, result.settings.capital)
    interval = sharpe_interval(returns, result.days_per_year, SEED)
    if interval is not None:
        figures |= {"sharpe_low": interval.low, "sharpe_high": interval.high}
    track = _track(returns)
    if track is not None:
        figures |= {"skew": track.skew, "kurtosis": track.kurtosis}
        figures["psr"] = _or_none(lambda: probabilistic_sharpe_ratio(track))
        figures["min_track_record_days"] = _or_none(lambda: minimum_track_record_length(track))
    return figures


def _track(returns: Floats) -> Moments | None:
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
    for year, month, fraction in monthly_returns(result.equity_ts_ns, result.equity, result.settings.capital):
        yield {"year": year, "month": month, "total_return": fraction}


def _drawdowns(result: Result) -> Iterable[dict[str, Any]]:
    for one in episodes(result.equity_ts_ns, result.equity, result.settings.capital, _DRAWDOWNS_SHOWN):
        yield {
            "peak": _iso(one.peak_ts_ns),
            "trough": _iso(one.trough_ts_ns),
            "recovered": None if one.recovered_ts_ns is None else _iso(one.recovered_ts_ns),
            "depth": one.depth,
            "days": one.under_water_ns / DAY_NS,
        }


def _monte_carlo(result: Result) -> dict[str, Any] | None:
    trips = result.round_trips
    years = _years(result)
    if trips.size == 0 or years is None:
        return None
    paths = max(min(_PATHS, _PATH_CELLS_MAX // int(trips.size)), 100)
    drawn = trade_paths(
        trips["exit_ts_ns"],
        _column(trips, "pnl"),
        capital=result.settings.capital,
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
    denials = result.denials
    if denials.size == 0:
        return
    table = {fact.key: markets.bars[fact.key] for fact in result.instruments}
    plan = Plan.of(result.settings, result.instruments, table)
    outcome = imagine(denials, market_of(list(table.values())), plan.records, plan.rules).r
    reasons, counts = np.unique(denials["reason"], return_counts=True)
    for number in np.argsort(-counts, kind="stable"):
        chosen = denials["reason"] == reasons[number]
        known = outcome[chosen & np.isfinite(outcome)]
        reason = Reason(int(reasons[number]))
        yield {
            "reason": reason.name,
            "text": REASON_TEXT[reason],
            "entries": int(counts[number]),
            "bars": int(denials["bars"][chosen].sum()),
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
    if result.equity_ts_ns.size < 2:
        return None
    return float(result.equity_ts_ns[-1] - result.equity_ts_ns[0]) / (365.25 * DAY_NS)


def _column(trips: Records, name: str) -> Floats:
    return np.ascontiguousarray(trips[name], np.float64)


def _mean(values: Floats) -> float | None:
    return float(values.mean()) if values.size else None


def _iso(ts_ns: int) -> str:
    return format_ns(ts_ns).replace(" ", "T")


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
