"""The analysis against another reading of the same events and curve, in plain Python, one round trip at a time."""

import json
import math
import statistics
from bisect import bisect_left
from collections import Counter, defaultdict
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import groupby, pairwise
from statistics import NormalDist

import numpy as np
import pytest

from novapulse.backtest.columns import market_of
from novapulse.backtest.refused import imagine
from novapulse.core.bars import DAY_NS
from novapulse.core.records import DENIAL, REASON_TEXT, Reason
from novapulse.execution.rules import instrument_records, rules_record
from novapulse.research.analysis import SEED, analyse
from novapulse.stats.paths import trade_paths
from novapulse.stats.resampling import sharpe_interval
from novapulse.strategies import STRATEGIES
from tests.research.runs import Case, eventful, sample_run, shaken

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
REGIMES = ("range-low", "range-normal", "range-high", "trend-low", "trend-normal", "trend-high")
CASES = {
    "cold in front": eventful,
    "warm from the first bar": lambda: eventful(is_cold=False),
    "losing": lambda: eventful(edge=-0.35),
    "down at the first tick": shaken,
}


@pytest.fixture(params=CASES)
def case(request) -> Case:
    return CASES[request.param]()


def analysed(case: Case):
    return analyse(case.result, case.markets, STRATEGIES)


def rows_of(records) -> list[dict]:
    return [dict(zip(records.dtype.names, one, strict=True)) for one in records.tolist()]


def moment(ts_ns: int) -> datetime:
    assert ts_ns % 1_000 == 0
    return EPOCH + timedelta(microseconds=ts_ns // 1_000)


def day_of(ts_ns: int) -> int:
    """Midnight ends the day before."""
    return (ts_ns - 1) // DAY_NS


def curve(case: Case) -> list[tuple[int, float]]:
    return list(zip(case.result.equity_ts_ns.tolist(), case.result.equity.tolist(), strict=True))


def daily(points: list[tuple[int, float]], opening: float) -> dict[int, float]:
    """Return of each day that has a value, over the last value before it."""
    last = {day_of(ts): value for ts, value in points}
    return {day: after / before - 1.0 for day, before, after in _steps(last, opening)}


def _steps(last: dict, opening: float):
    return [(key, before, after) for (key, after), before in zip(last.items(), [opening, *last.values()], strict=False)]


def tracked(case: Case) -> list[float]:
    """Daily returns from the day of the first warm bar on."""
    returns = daily(curve(case), case.result.settings.capital)
    return [value for day, value in returns.items() if day >= day_of(case.warm_ts_ns)]


def test_the_cases_have_what_the_tests_are_about():
    case = eventful()
    trips, reasons = rows_of(case.result.round_trips), set(case.result.denials["reason"].tolist())
    assert case.result.warm_ts_ns == case.warm_ts_ns
    assert day_of(case.warm_ts_ns) - day_of(int(case.result.equity_ts_ns[0])) == case.result.tally["cold_days"] == 4
    assert {trip["direction"] for trip in trips} == {1, -1}
    assert {trip["regime"] for trip in trips} == set(range(6))
    assert len({trip["exit_reason"] for trip in trips}) >= 4
    assert sum(moment(t["entry_ts_ns"]).hour != moment(t["exit_ts_ns"]).hour for t in trips) > len(trips) / 4
    assert {Reason.UNFILLED_SUPERSEDED, Reason.LOSS_COOLDOWN} < reasons
    assert len(analysed(shaken()).drawdowns) == len(analysed(case).drawdowns) == 5
    bars = next(iter(case.markets.bars.values()))
    row = bars.ts_close_ns.tolist().index(case.warm_ts_ns)
    assert len(set(bars.close[row - 1 : row + 2])) == 3
    assert case.result.summary()["total_return"] > 0 > eventful(edge=-0.35).result.summary()["total_return"]
    assert shaken().result.equity[0] < shaken().result.settings.capital


def shares(trips: list[dict], key) -> dict[str, dict]:
    groups = defaultdict(list)
    for trip in trips:
        groups[key(trip)].append(trip)
    return {name: came_to(some) for name, some in groups.items()}


def came_to(trips: list[dict]) -> dict:
    return {
        "trades": len(trips),
        "pnl": pytest.approx(math.fsum(trip["pnl"] for trip in trips), abs=1e-9),
        "win_rate": pytest.approx(sum(trip["pnl"] > 0 for trip in trips) / len(trips)),
        "average_r": pytest.approx(statistics.fmean(trip["r_multiple"] for trip in trips), abs=1e-12),
        "fees": pytest.approx(math.fsum(trip["fees"] for trip in trips), abs=1e-9),
    }


def test_round_trips_are_shared_out_by_what_they_have_in_common(case: Case):
    trips, names = rows_of(case.result.round_trips), list(STRATEGIES)
    keys = {
        "strategy": lambda trip: names[trip["lead"]],
        "regime": lambda trip: REGIMES[trip["regime"]],
        "hour": lambda trip: moment(trip["entry_ts_ns"]).strftime("%H"),
        "exit": lambda trip: Reason(trip["exit_reason"]).name,
        "instrument": lambda trip: case.result.instruments[trip["instrument"]].key.symbol,
        "direction": lambda trip: {1: "long", -1: "short"}[trip["direction"]],
    }
    analysis = analysed(case)
    assert analysis.attribution == {part: shares(trips, key) for part, key in keys.items()}
    led = {name: row for name, row in analysis.by_strategy.items() if row["trades"]}
    assert led == analysis.attribution["strategy"]
    assert list(analysis.by_strategy) == names


def test_statistics_of_round_trips(case: Case):
    trips, got = rows_of(case.result.round_trips), analysed(case).statistics
    pnl = [trip["pnl"] for trip in trips]
    won, lost = [one for one in pnl if one > 0], [one for one in pnl if one < 0]
    runs = [(sign, len(list(run))) for sign, run in groupby((one > 0) - (one < 0) for one in pnl)]
    hours = [(trip["exit_ts_ns"] - trip["entry_ts_ns"]) / 3.6e12 for trip in trips]
    r = [trip["r_multiple"] for trip in trips]
    worst, best = ([trip[name] for trip in trips] for name in ("mae_r", "mfe_r"))
    expected = {
        "payoff": statistics.fmean(won) / -statistics.fmean(lost),
        "average_win": statistics.fmean(won),
        "average_loss": statistics.fmean(lost),
        "best_trade": max(pnl),
        "worst_trade": min(pnl),
        "longest_winning_streak": max(length for sign, length in runs if sign > 0),
        "longest_losing_streak": max(length for sign, length in runs if sign < 0),
        "sqn": math.sqrt(len(r)) * statistics.fmean(r) / statistics.stdev(r),
        "hours_held_average": statistics.fmean(hours),
        "hours_held_median": statistics.median(hours),
        "bars_held_average": statistics.fmean(trip["bars_held"] for trip in trips),
        "mae_r_median": statistics.median(worst),
        "mfe_r_median": statistics.median(best),
        "edge_ratio": statistics.fmean(best) / -statistics.fmean(worst),
    }
    assert {name: got[name] for name in expected} == pytest.approx(expected, rel=1e-9)
    assert expected["average_loss"] < 0 < expected["average_win"]


def test_how_sure_one_can_be_rests_on_the_days_since_the_first_warm_bar(case: Case):
    """Periods are days of a calendar of 365.25; the probabilistic ratio is the more sceptical of its two forms."""
    returns, got = tracked(case), analysed(case).statistics
    n, mean = len(returns), statistics.fmean(returns)
    ratio = mean / statistics.stdev(returns)
    second, third, fourth = (statistics.fmean((one - mean) ** k for one in returns) for k in (2, 3, 4))
    skew, kurtosis = third / second**1.5, fourth / second**2
    rho = sum((a - mean) * (b - mean) for a, b in pairwise(returns)) / (n * second)
    of_2012 = 1.0 - skew * ratio + (kurtosis - 1.0) / 4.0 * ratio**2
    of_2025 = (1.0 + rho) / (1.0 - rho)
    chances = [NormalDist().cdf(ratio / math.sqrt(v)) for v in (of_2012 / (n - 1), of_2025 / n)]
    errors = (NormalDist().inv_cdf(0.95) / ratio) ** 2
    interval = sharpe_interval(np.array(returns), 365.25, SEED)
    expected = {
        "days": n,
        "skew": skew,
        "kurtosis": kurtosis,
        "psr": min(chances),
        "min_track_record_days": max(1.0 + of_2012 * errors, of_2025 * errors) if ratio > 0 else None,
        "sharpe_low": interval.low,
        "sharpe_high": interval.high,
    }
    assert {name: got[name] for name in expected} == {
        name: value if value is None else pytest.approx(value, rel=1e-6) for name, value in expected.items()
    }
    assert interval.estimate == pytest.approx(ratio * 365.25**0.5)
    assert case.result.track_days == n
    first = day_of(max(case.warm_ts_ns, int(case.result.equity_ts_ns[0])))
    assert n == day_of(int(case.result.equity_ts_ns[-1])) - first + 1


def test_the_market_is_held_in_equal_shares_from_the_first_warm_bar_on(case: Case):
    """Bought at its close, or at the open of a market that begins later; each share runs on by itself."""
    worth, opening = {}, {}
    for key, bars in case.markets.bars.items():
        points = list(zip(bars.ts_close_ns.tolist(), bars.close.tolist(), strict=True))
        before = [close for ts, close in points if ts <= case.warm_ts_ns]
        opening[key] = before[-1] if before else float(bars.open[0])
        for ts, close in points:
            if ts > case.warm_ts_ns:
                worth.setdefault(ts, {})[key] = close / opening[key]
    last, held = dict.fromkeys(opening, 1.0), []
    for ts in sorted(worth):
        last |= worth[ts]
        held.append((ts, sum(last.values())))
    got = analysed(case).statistics
    assert got["market_return"] == pytest.approx(held[-1][1] / len(opening) - 1.0)
    theirs, ours = daily(held, float(len(opening))), daily(curve(case), case.result.settings.capital)
    assert set(theirs) <= set(ours)
    pairs = [(theirs[day], ours[day]) for day in theirs]
    beta, alpha = np.polyfit(*np.array(pairs).T, 1)
    assert got["alpha"] == pytest.approx(alpha * 365.25, rel=1e-8)
    assert got["beta"] == pytest.approx(beta, rel=1e-6, abs=1e-12)


def test_months_begin_with_the_first_warm_day_and_compound_to_years(case: Case):
    since = [(ts, value) for ts, value in curve(case) if day_of(ts) >= day_of(case.warm_ts_ns)]

    def changes(form: str) -> dict[str, float]:
        last = {(moment(ts) - timedelta(microseconds=1)).strftime(form): value for ts, value in since}
        return {name: after / before - 1.0 for name, before, after in _steps(last, case.result.settings.capital)}

    analysis = analysed(case)
    months, years = changes("%Y-%m"), changes("%Y")
    assert {f"{one['year']}-{one['month']:02d}": one["total_return"] for one in analysis.months} == pytest.approx(
        months
    )
    assert {str(one["year"]): one["total_return"] for one in analysis.years} == pytest.approx(years)
    assert len(years) == 2
    assert ("2023-11" in months) == (moment(case.warm_ts_ns - 1_000).month == 11)


def test_the_deepest_drawdowns_from_their_peak_to_their_recovery(case: Case):
    points, peak, peak_ts = curve(case), case.result.settings.capital, None
    found, under = [], None
    for ts, value in points:
        if value < peak:
            if under is None:
                under = {"peak": peak_ts or ts, "trough": ts, "lowest": value, "level": peak, "recovered": None}
            if value < under["lowest"]:
                under |= {"lowest": value, "trough": ts}
        else:
            if under is not None:
                found.append({**under, "recovered": ts})
                under = None
            peak, peak_ts = value, ts
    if under is not None:
        found.append(under)
    found.sort(key=lambda one: one["lowest"] / one["level"])
    got = analysed(case).drawdowns
    assert len(got) == min(len(found), 5)
    for one, expected in zip(got, found, strict=False):
        until = expected["recovered"] or points[-1][0]
        assert one == {
            "peak": moment(expected["peak"]).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "trough": moment(expected["trough"]).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "recovered": expected["recovered"] and moment(expected["recovered"]).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "depth": pytest.approx(1.0 - expected["lowest"] / expected["level"]),
            "days": pytest.approx((until - expected["peak"]) / 86_400e9),
        }


def test_a_curve_that_never_falls_has_no_drawdown_and_a_loss_at_once_is_one():
    case = eventful()
    count, capital = case.result.equity.size, case.result.settings.capital
    rising = replace(case.result, equity=np.linspace(capital, 2 * capital, count))
    assert analyse(rising, case.markets, STRATEGIES).drawdowns == ()
    (one,) = analyse(replace(rising, equity=rising.equity * 0.5), case.markets, STRATEGIES).drawdowns
    assert one["depth"] == 0.5
    assert one["peak"] == one["trough"]


def made_of_equity(case: Case) -> tuple[list[int], list[float]]:
    """Round trips as shares of the account: profit over the equity on the tick of the entry."""
    stamps, values = zip(*curve(case), strict=True)
    trips = rows_of(case.result.round_trips)
    at = [values[min(bisect_left(stamps, trip["entry_ts_ns"]), len(values) - 1)] for trip in trips]
    return [t["exit_ts_ns"] for t in trips], [t["pnl"] / equity for t, equity in zip(trips, at, strict=True)]


def test_monte_carlo_draws_shares_of_the_equity_at_the_entry_over_the_warm_years(case: Case):
    got = analysed(case).monte_carlo
    exits, fractions = made_of_equity(case)
    years = (int(case.result.equity_ts_ns[-1]) - case.warm_ts_ns) / (365.25 * 86_400e9)
    drawn = trade_paths(np.array(exits), np.array(fractions), years=years, seed=SEED, paths=got["paths"])
    ordered = [fraction for _, fraction in sorted(zip(exits, fractions, strict=True), key=lambda pair: pair[0])]
    level, peak, depth = 1.0, 1.0, 0.0
    for fraction in ordered:
        level *= 1.0 + fraction
        peak = max(peak, level)
        depth = max(depth, 1.0 - level / peak)
    assert got["max_drawdown_at_exits"] == pytest.approx(depth)
    assert (got["paths"], got["days"], got["block_days"]) == (
        1_000,
        len({day_of(ts) for ts in exits}),
        drawn.block_days,
    )
    # Another order ends where the record ends: a check on the years that needs no drawing.
    assert got["permuted"]["total_return"]["median"] == pytest.approx(level - 1.0)
    assert got["permuted"]["cagr"]["median"] == pytest.approx(level ** (1.0 / years) - 1.0)
    sources = {"total_return": "final_return"}
    for kind in ("resampled", "permuted"):
        bands = getattr(drawn, kind)
        assert got[kind]["ruin_probability"] == bands.ruin_probability
        for name in ("total_return", "cagr", "max_drawdown", "under_water_trades"):
            quantiles = getattr(bands, sources.get(name, name))
            assert list(got[kind][name]) == ["low", "median", "high"]
            assert list(got[kind][name].values()) == pytest.approx(list(quantiles), rel=1e-9), (kind, name)
    spread = got["resampled"]["total_return"]
    assert spread["low"] < spread["median"] < spread["high"]


def test_there_are_no_paths_without_trades_or_from_an_account_without_equity():
    case = eventful()
    assert (
        analyse(replace(case.result, round_trips=case.result.round_trips[:0]), case.markets, STRATEGIES).monte_carlo
        is None
    )
    lost = case.result.equity.copy()
    lost[len(lost) // 2 :] = -1.0
    assert analyse(replace(case.result, equity=lost), case.markets, STRATEGIES).monte_carlo is None


def outcomes_of(case: Case, entries) -> list[float]:
    """R of each entry, imagined one at a time and held for at most five of the run's median holds."""
    result, markets = case.result, case.markets
    bars = [markets.bars[fact.key] for fact in result.instruments]
    rules = rules_record(result.settings.risk, result.settings.execution, bars[0].timeframe_ns)
    held = sorted(int(trip["bars_held"]) for trip in result.round_trips)
    horizon = min(max(int(5 * statistics.median(held)), 20), 1_440)
    facts = instrument_records(result.instruments)
    return [
        float(imagine(entries[k : k + 1], market_of(bars), facts, rules, horizon).r[0]) for k in range(len(entries))
    ]


def control_of(case: Case) -> np.ndarray:
    """The entries that were taken, written down as refusals of the decision behind their first fill."""
    result, control = case.result, np.zeros(case.result.round_trips.size, DENIAL)
    risk, execution = result.settings.risk, result.settings.execution
    decided: dict[int, int] = {}
    for fill in rows_of(result.fills):
        decided.setdefault(fill["round_trip"], fill["decision_ts_ns"])
    for row, trip in zip(control, rows_of(result.round_trips), strict=True):
        taker_bps = float(result.instruments[trip["instrument"]].taker_fee_bps)
        cost = 2e-4 * (taker_bps + execution.half_spread_bps + execution.slippage_bps) * trip["entry_price"]
        stop = trip["risk"] / trip["qty"]
        row["instrument"], row["direction"] = trip["instrument"], trip["direction"]
        row["first_ts_ns"], row["stop_distance"] = decided[trip["number"]], stop
        by_range = stop * risk.stops.target_atr / risk.stops.stop_atr
        row["target_distance"] = max(by_range, risk.stops.target_cost_multiple_min * cost)
    return control


def imagined(outcomes: list[float]) -> dict:
    known = [one for one in outcomes if math.isfinite(one)]
    if not known:
        return dict.fromkeys(("average_r", "total_r", "win_rate"))
    return {
        "average_r": pytest.approx(statistics.fmean(known)),
        "total_r": pytest.approx(math.fsum(known)),
        "win_rate": pytest.approx(sum(one > 0 for one in known) / len(known)),
    }


def test_what_was_refused_is_imagined_reason_by_reason_beside_what_was_taken(case: Case):
    denials, trips = case.result.denials, case.result.round_trips.size
    text = "the entries that were taken, imagined in the same way"
    taken = {"reason": "TAKEN", "text": text, "entries": trips, "bars": trips}
    expected = [taken | imagined(outcomes_of(case, control_of(case)))]
    counts = Counter(denials["reason"].tolist())
    counts.pop(Reason.UNFILLED_SUPERSEDED, None)
    for reason, count in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])):
        some = denials[denials["reason"] == reason]
        row = {"reason": Reason(reason).name, "text": REASON_TEXT[Reason(reason)], "entries": count}
        row["bars"] = sum(one["bars"] for one in rows_of(some))
        expected.append(row | imagined(outcomes_of(case, some)))
    assert list(analysed(case).refused) == expected
    assert len(expected) > 4
    unknown = next(row for row in expected if row["reason"] == "VOLATILITY_UNKNOWN")
    assert unknown["average_r"] is None


def test_denials_count_bars_of_refusals_and_orders_not_filled_the_rest_of_partial_ones_too(case: Case):
    counts: Counter[str] = Counter()
    for denial in rows_of(case.result.denials):
        name = Reason(denial["reason"]).name
        counts[name] += 1 if name.startswith("UNFILLED") else denial["bars"]
    assert analysed(case).denials == counts


def test_without_a_refusal_only_the_control_is_left():
    case = eventful()
    (only,) = analyse(replace(case.result, denials=case.result.denials[:0]), case.markets, STRATEGIES).refused
    assert only["reason"] == "TAKEN"


def test_it_is_the_same_twice_and_fits_into_json():
    first, second = (analysed(eventful()).as_data() for _ in range(2))
    assert json.dumps(first, allow_nan=False) == json.dumps(second, allow_nan=False)
    assert set(first) == set(vars(analysed(eventful()))) - {"result"}
    unknown = replace(analysed(eventful()), bands={"base": {"total_return": math.inf, "calmar": -0.5}}).as_data()
    assert unknown["bands"] == {"base": {"total_return": None, "calmar": -0.5}}


def test_fees_are_those_it_ran_with_and_where_they_come_from():
    analysis = analysed(eventful())
    assert [(one["maker_fee_bps"], one["taker_fee_bps"], one["fees_from"]) for one in analysis.data["instruments"]] == [
        (-1.0, 4.0, "venue")
    ] * 2
    (one, _) = analyse(*sample_run(), STRATEGIES).data["instruments"]
    assert one["fees_from"] == "assumed"


def test_a_run_without_events_says_so_with_none():
    whole, analysis = (analyse(*sample_run(metrics_only=only), STRATEGIES) for only in (False, True))
    unknown = "statistics by_strategy attribution stress months years drawdowns monte_carlo refused".split()
    for name in unknown:
        assert getattr(analysis, name) is None, name
        assert getattr(whole, name) is not None, name
    for name in ("summary", "bands", "denials", "settings_hash", "data", "notes"):
        assert getattr(analysis, name) == getattr(whole, name), name
    ratio = f"Sharpe ratio {whole.summary['sharpe']:+.2f} a year."
    assert [sentence for sentence in analysis.verdict if sentence not in whole.verdict] == [ratio]


def test_cold_bars_have_no_trades_no_ratios_and_a_sentence():
    analysis = analyse(*sample_run(bars=3_000), STRATEGIES)
    assert analysis.verdict == (
        "No order was filled in 2 days.",
        "Nothing could be decided on 100 % of the bars, whose indicators were not warm yet; "
        "rates and ratios begin behind them.",
    )
    known = {"days": 0}
    assert analysis.statistics == {**dict.fromkeys(analysis.statistics), **known}
    assert (analysis.months, analysis.years, analysis.drawdowns, analysis.refused) == ((), (), (), ())
    assert analysis.monte_carlo is None
    assert analysis.attribution == {part: {} for part in analysis.attribution}
    assert "needs" in analysis.notes[0]
