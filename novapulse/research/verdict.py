"""A backtest in a few plain sentences: what came out, what it cost, and how little one may believe it."""

from collections.abc import Iterator, Mapping
from typing import Any

from novapulse.backtest import Result
from novapulse.core.bars import DAY_NS
from novapulse.core.records import REASON_TEXT, Reason
from novapulse.stats.sharpe import OBSERVATIONS_MIN

TRADES_MIN = 100
"""Round trips below which a result says little (the promotion gate asks for as many)."""

_COLD_SHOWN_FRACTION = 0.1

_LUCK = {
    "double_costs": "with twice the costs",
    "one_bar_late": "one bar late",
    "without_best_five": "without its best five round trips",
}


def verdict(result: Result, parts: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the sentences; the first is the headline.

    Args:
        result: The backtest.
        parts: The parts of its analysis: summary, statistics, stress, bands, monte_carlo.
    """
    return tuple(_sentences(result, parts))


def _sentences(result: Result, parts: Mapping[str, Any]) -> Iterator[str]:
    summary = parts["summary"]
    days = _days(result)
    span = f"in {days:,.0f} days" if days >= 2 else f"in {24 * days:,.1f} hours"
    if summary["trades"] == 0:
        yield f"No round trip was closed {span}."
        yield from _why_nothing(result)
        return
    total = summary["total_return"]
    yield (
        f"{'Gained' if total > 0 else 'Lost' if total < 0 else 'Kept'} {_percent(abs(total))} {span}: "
        f"{_count(summary['trades'], 'round trip')}, {_percent(summary['win_rate'], 0)} won, "
        f"{summary['expectancy_r']:+.2f} R each after costs."
    )
    yield from _cold(result)
    yield from _costs(result, summary)
    yield from _bands(parts["bands"])
    if total > 0 and parts["stress"]:
        yield _luck(parts["stress"])
    yield from _depth(summary, parts["monte_carlo"])
    yield from _belief(summary, parts["statistics"])


def _days(result: Result) -> float:
    return float(result.tally["last_ts_ns"] - result.tally["first_ts_ns"]) / DAY_NS


def _cold(result: Result) -> Iterator[str]:
    decisions = result.decisions()
    cold = decisions.get(Reason.NOT_WARM.name, 0) / max(sum(decisions.values()), 1)
    if cold >= _COLD_SHOWN_FRACTION:
        yield f"Nothing could be decided on {_percent(cold, 0)} of the bars: their indicators were not warm yet."


def _why_nothing(result: Result) -> Iterator[str]:
    decisions = result.decisions()
    if decisions:
        name, count = next(iter(decisions.items()))
        share = _percent(count / sum(decisions.values()), 0)
        yield f"The most frequent reason, on {share} of all decisions: {_said(name)}."


def _said(name: str) -> str:
    return REASON_TEXT[Reason[name]]


def _costs(result: Result, summary: Mapping[str, Any]) -> Iterator[str]:
    quote, capital = result.instruments[0].quote, result.settings.capital
    costs = summary["fees"] + summary["slippage"]
    if costs <= 0:
        return
    free = summary["total_return"] + costs / capital
    yield f"Fees and slippage took {costs:,.2f} {quote}; the same fills free of cost would have made {_signed(free)}."
    breaks_even = summary["break_even_slippage_bps"]
    if breaks_even is not None and breaks_even <= 0:
        yield "It loses even without any slippage."
    elif breaks_even is not None:
        yield f"It breaks even at {breaks_even:.1f} bps of slippage over all that is traded."


def _bands(bands: Mapping[str, Any]) -> Iterator[str]:
    never, always = bands["pessimistic"]["total_return"], bands["optimistic"]["total_return"]
    if never != always:
        yield f"If a touched limit order never filled it would be {_signed(never)}, if it always did {_signed(always)}."


def _luck(stress: Mapping[str, Any]) -> str:
    stands = [text for name, text in _LUCK.items() if name in stress and stress[name]["total_return"] > 0]
    falls = [text for name, text in _LUCK.items() if name in stress and stress[name]["total_return"] <= 0]
    if not falls:
        return f"It stays above zero {_listed(stands)}."
    return f"It is gone {_listed(falls)}" + (f"; it stays above zero {_listed(stands)}." if stands else ".")


def _depth(summary: Mapping[str, Any], monte_carlo: Mapping[str, Any] | None) -> Iterator[str]:
    text = f"The deepest drawdown was {_percent(summary['max_drawdown'])}"
    if monte_carlo is None:
        yield f"{text}."
        return
    likely = monte_carlo["resampled"]["max_drawdown"]["high"]
    yield f"{text}; of {monte_carlo['paths']:,} resampled histories one in twenty goes beyond {_percent(likely)}."


def _belief(summary: Mapping[str, Any], statistics: Mapping[str, Any]) -> Iterator[str]:
    days, trades = statistics.get("days"), summary["trades"]
    if summary["sharpe"] is None:
        yield "There are too few days, or too many without bars, for a yearly ratio."
    elif statistics.get("psr") is not None:
        low, high = statistics["sharpe_low"], statistics["sharpe_high"]
        between = "" if low is None else f" (95 % interval {low:+.1f} to {high:+.1f})"
        yield (
            f"Sharpe ratio {summary['sharpe']:+.2f} a year{between}; the chance that the true one is above zero is "
            f"{_chance(statistics['psr'])}."
        )
    if days is not None and (days < OBSERVATIONS_MIN or trades < TRADES_MIN):
        needed = statistics.get("min_track_record_days") or 0.0
        more = f"; at this Sharpe ratio {needed:,.0f} days would be needed" if needed > days else ""
        yield (
            f"Too little to judge by: {_count(days, 'day')} and {_count(trades, 'round trip')}, where "
            f"{OBSERVATIONS_MIN} and {TRADES_MIN} are the least{more}."
        )


def _percent(fraction: float, digits: int = 2) -> str:
    return f"{100 * fraction:,.{digits}f} %"


def _signed(fraction: float) -> str:
    return f"{100 * fraction:+,.2f} %"


def _chance(probability: float) -> str:
    # 0 % and 100 % would claim what no sample can.
    if probability < 0.01:
        return "under 1 %"
    return "over 99 %" if probability > 0.99 else _percent(probability, 0)


def _listed(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _count(count: int, noun: str) -> str:
    return f"1 {noun}" if count == 1 else f"{count:,} {noun}s"
